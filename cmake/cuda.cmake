# The CUDA back end (lib/cuda, kernels/cuda). The CUDA runtime is linked statically and looks for the driver when a program
# asks for a GPU, so that the library loads on machines without one.
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90a-real 100-real 120) # and PTX for what comes after
endif()
enable_language(CUDA)
find_package(CUDAToolkit 12.8 REQUIRED)
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)

file(GLOB qmd_cuda_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/../lib/cuda/*.c ${CMAKE_CURRENT_LIST_DIR}/../kernels/cuda/*.c
     ${CMAKE_CURRENT_LIST_DIR}/../kernels/cuda/*.cu ${CMAKE_CURRENT_LIST_DIR}/../kernels/cuda/train/*.cu)

# Numbers are part of the contract: no FMA contraction on the device either.
function(qmd_add_cuda target)
  target_sources(${target} PRIVATE ${qmd_cuda_sources})
  target_compile_options(${target} PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:-fmad=false;-Xcompiler=-ffp-contract=off,-fno-exceptions,-fno-threadsafe-statics;--Werror=all-warnings>")
  target_link_libraries(${target} PRIVATE CUDA::cudart_static)
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C) # nothing in it needs C++'s library
  message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER_VERSION}, for ${CMAKE_CUDA_ARCHITECTURES}")
endfunction()
