/* A build without CUDA. */
#include "backend.h"

const qmdi_backend *const qmdi_cuda_backend = NULL;
