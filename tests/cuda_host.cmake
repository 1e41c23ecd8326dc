# qmd_cuda_host: the kernels of kernels/cuda against the host back end of their device header. It is linked into tests
# alone.
set(cxx_flags ${CMAKE_CXX_FLAGS})
enable_language(CXX)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS ON)
if(NOT cxx_flags)
  set(CMAKE_CXX_FLAGS "${CMAKE_C_FLAGS}") # the presets' sanitizers
endif()

set(cuda_folder ${PROJECT_SOURCE_DIR}/kernels/cuda)
file(GLOB cuda_host_sources CONFIGURE_DEPENDS ${cuda_folder}/host/*.cpp)
file(GLOB vendor_host_sources CONFIGURE_DEPENDS ${cuda_folder}/host/cudnn_*.cpp ${cuda_folder}/host/cublas_*.cpp)
list(REMOVE_ITEM cuda_host_sources ${vendor_host_sources})
file(GLOB cuda_kernel_sources CONFIGURE_DEPENDS ${cuda_folder}/*.cu ${cuda_folder}/train/*.cu)
set_source_files_properties(${cuda_kernel_sources} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++;-Wno-unknown-pragmas")
add_library(qmd_cuda_host STATIC ${cuda_host_sources} ${cuda_kernel_sources})
target_link_libraries(qmd_cuda_host PUBLIC qmd_static)

# The back end on emulated devices: linked as objects it is found before the static library's own, which is none.
file(GLOB cuda_backend_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/lib/cuda/*.c)
add_library(qmd_cuda_emulated OBJECT ${cuda_backend_sources})
target_link_libraries(qmd_cuda_emulated PUBLIC qmd_cuda_host)

# Training on emulated devices, with cuDNN and cuBLAS emulated too. Their headers are needed, for the types, but not they. Where
# a library with CUDA was to have cudnn.h (cmake/cuda.cmake), that is not looked for elsewhere.
if(NOT TARGET qmd_cuda)
  find_path(QMD_CUDNN_INCLUDE_DIR cudnn.h HINTS ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES include
            DOC "Folder of cudnn.h, for training on GPUs; OFF: without")
endif()
find_path(QMD_CUBLAS_INCLUDE_DIR cublas_v2.h HINTS ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES include)
set(vendor_suites test_cuda_cudnn_host test_cuda_cudnn_graphs test_cuda_predictor test_cuda_tensor test_cuda_train)
if(QMD_CUDNN_INCLUDE_DIR AND QMD_CUBLAS_INCLUDE_DIR)
  file(GLOB vendor_sources CONFIGURE_DEPENDS ${cuda_folder}/vendor/*.c)
  list(FILTER vendor_sources EXCLUDE REGEX "/vendor_library\\.c$") # in its place is the emulation
  add_library(qmd_vendor_emulated OBJECT ${vendor_sources} ${vendor_host_sources})
  target_include_directories(qmd_vendor_emulated SYSTEM PUBLIC ${QMD_CUDNN_INCLUDE_DIR} ${QMD_CUBLAS_INCLUDE_DIR})
  target_link_libraries(qmd_vendor_emulated PUBLIC qmd_cuda_emulated)
  target_compile_definitions(qmd_vendor_emulated PUBLIC QMDT_CUDNN_FOLDER="${QMD_CUDNN_INCLUDE_DIR}")
else()
  message(STATUS "No headers of cuDNN and cuBLAS: training on the GPU is not tested")
  add_test(NAME cuda_training COMMAND ${CMAKE_COMMAND} -E echo
           "SKIPPED: no headers of cuDNN and cuBLAS on this machine, training on the GPU was not tested")
endif()

# And as a library that takes the place of libqmd.so in a program (LD_PRELOAD).
add_library(qmd_emulated SHARED $<TARGET_OBJECTS:qmd_objects>)
target_link_libraries(qmd_emulated PRIVATE qmd_cuda_emulated $<TARGET_NAME_IF_EXISTS:qmd_vendor_emulated>)
set_target_properties(qmd_emulated PROPERTIES LINKER_LANGUAGE CXX)
target_link_options(qmd_emulated PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/lib/libqmd.map)

add_library(qmd_cuda_fixture STATIC cuda_fixture.cpp)
target_link_libraries(qmd_cuda_fixture PUBLIC qmd_cuda_host qmd_test_support)

include(cuda_planted.cmake)

file(GLOB cuda_host_suites CONFIGURE_DEPENDS test_*.cpp test_cuda_*.c)
foreach(source ${cuda_host_suites})
  get_filename_component(suite ${source} NAME_WE)
  if(suite IN_LIST vendor_suites AND NOT TARGET qmd_vendor_emulated)
    continue()
  endif()
  add_executable(${suite} ${source})
  if(suite IN_LIST vendor_suites)
    target_link_libraries(${suite} PRIVATE qmd_vendor_emulated ${CMAKE_DL_LIBS})
    if(suite MATCHES "^test_cuda_cudnn_")
      target_sources(${suite} PRIVATE cudnn_bench.c)
    endif()
  endif()
  if(source MATCHES "\\.c$")
    target_link_libraries(${suite} PRIVATE qmd_test_support qmd_cuda_emulated)
    set_target_properties(${suite} PROPERTIES LINKER_LANGUAGE CXX)
  else()
    target_link_libraries(${suite} PRIVATE qmd_cuda_fixture)
    target_include_directories(${suite} PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
  endif()
  add_test(NAME ${suite} COMMAND ${suite})
  set_tests_properties(${suite} PROPERTIES ENVIRONMENT "${test_environment}" TIMEOUT 600)
endforeach()
