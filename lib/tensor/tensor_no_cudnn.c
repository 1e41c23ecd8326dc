/* A build without training on a GPU. */
#include "tensor.h"

const qmdi_tensor_ops *const qmdi_tensor_cudnn = NULL;
