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

# Training takes cuDNN and cuBLAS too: of cuDNN the headers alone, both are opened when a program asks for them.
if(QMD_RUNTIME_ONLY)
  list(FILTER qmd_cuda_sources EXCLUDE REGEX "/kernels/cuda/train/")
else()
  find_path(QMD_CUDNN_INCLUDE_DIR cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS} DOC "Folder of cudnn.h, for training on GPUs; OFF: without")
  file(GLOB qmd_vendor_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/../kernels/cuda/vendor/*.c)
endif()

# qmd_cuda: the objects. Numbers are part of the contract: no FMA contraction on the device either.
function(qmd_add_cuda)
  add_library(qmd_cuda OBJECT ${qmd_cuda_sources})
  target_include_directories(qmd_cuda PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/lib
                                              ${PROJECT_SOURCE_DIR}/kernels)
  target_compile_options(qmd_cuda PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:-fmad=false;-Xcompiler=-ffp-contract=off,-fno-exceptions,-fno-threadsafe-statics;--Werror=all-warnings>")
  target_link_libraries(qmd_cuda PUBLIC CUDA::cudart_static)
  message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER_VERSION}, for ${CMAKE_CUDA_ARCHITECTURES}")
  if(QMD_RUNTIME_ONLY)
    return()
  elseif(QMD_CUDNN_INCLUDE_DIR)
    target_sources(qmd_cuda PRIVATE ${qmd_vendor_sources})
    target_include_directories(qmd_cuda SYSTEM PRIVATE ${QMD_CUDNN_INCLUDE_DIR})
    target_link_libraries(qmd_cuda PUBLIC ${CMAKE_DL_LIBS})
    message(STATUS "cuDNN: ${QMD_CUDNN_INCLUDE_DIR}/cudnn.h")
  else()
    target_sources(qmd_cuda PRIVATE ${no_cudnn})
    message(STATUS "cuDNN: there is no cudnn.h (QMD_CUDNN_INCLUDE_DIR), libqmd will not train on GPUs")
  endif()
endfunction()
