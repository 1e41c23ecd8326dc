/* The entries of the table about memory, as tensor.h describes them, for columns whose tensors are the host's. */
#ifndef QMD_LIB_TENSOR_HOST_H
#define QMD_LIB_TENSOR_HOST_H

#include "tensor.h"

qmd_status qmdi_host_tensor_allocate(qmdi_tensor_device *device, size_t n, float **tensor);
void qmdi_host_tensor_release(qmdi_tensor_device *device, float *tensor);
qmd_status qmdi_host_tensor_copy(qmdi_tensor_device *device, const float *from, size_t n, float *to);
qmd_status qmdi_host_tensor_wait(qmdi_tensor_device *device);
qmd_status qmdi_host_tensor_available(qmdi_tensor_device *device, size_t *bytes);

#endif
