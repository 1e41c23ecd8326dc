/* A build without CUDA, or without cuDNN. */
#include "tensor.h"
#include "train/predictor_backend.h"

const qmdi_tensor_ops *const qmdi_tensor_cudnn = NULL;
const qmdi_predictor_backend *const qmdi_cudnn_predictor = NULL;
