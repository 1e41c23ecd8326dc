/* Devices that the kernels are built for, and giving back what is theirs. */
#ifndef QMD_LIB_CUDA_DEVICE_H
#define QMD_LIB_CUDA_DEVICE_H

#include "cuda/runtime.h"

/* As qmdi_cuda_find_device(); QMD_ERROR_UNSUPPORTED for a device older than QMDI_CUDA_OLDEST. */
qmd_status qmdi_cuda_find_usable_device(int number, qmdi_cuda_device *device);

/* Call give(what), which frees something of a device, with the device current and once a stream of it has nothing left
 * to do; also where the device no longer answers. The last error stays: why something is given up is told, not what
 * giving it up met. */
void qmdi_cuda_give_back(int device, qmdi_cuda_stream *stream, void (*give)(void *), void *what);

#endif
