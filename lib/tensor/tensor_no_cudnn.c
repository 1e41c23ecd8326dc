/* A build without CUDA, or without cuDNN. */
#include "tensor.h"

const qmdi_tensor_ops *const qmdi_tensor_cudnn = NULL;
