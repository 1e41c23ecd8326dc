# The CUDA back end is optional: a build without it exports the same symbols and returns QMD_ERROR_UNSUPPORTED where a GPU is
# asked for. There is no GPU code yet; what is found is only reported.
if(NOT QMD_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
endif()
if(QMD_CUDA STREQUAL "ON" AND NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "QMD_CUDA is ON, but no CUDA compiler was found")
endif()
if(CMAKE_CUDA_COMPILER)
  message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER} found; this version has no CUDA kernels, device \"cuda\" is unsupported")
else()
  message(STATUS "CUDA: none; device \"cuda\" is unsupported")
endif()
