/* Devices that the kernels are built for. */
#ifndef QMD_LIB_CUDA_DEVICE_H
#define QMD_LIB_CUDA_DEVICE_H

#include "cuda/runtime.h"

/* As qmdi_cuda_find_device(); QMD_ERROR_UNSUPPORTED for a device older than QMDI_CUDA_OLDEST. */
qmd_status qmdi_cuda_find_usable_device(int number, qmdi_cuda_device *device);

#endif
