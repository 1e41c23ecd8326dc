/* Descriptors of the emulated cuDNN's functions from before its graphs. */
#ifndef QMD_KERNELS_CUDA_CUDNN_LEGACY_HOST_H
#define QMD_KERNELS_CUDA_CUDNN_LEGACY_HOST_H

#include "cudnn_host.h"

struct cudnnTensorStruct {
	bool is_set;
	qmdi::host::layout place;
};

struct cudnnPoolingStruct {
	bool is_set;
	cudnnPoolingMode_t mode;
	bool propagates_nan;
	int64_t window[2], padding[2], stride[2];
};

namespace qmdi::host {

extern registry<cudnnTensorStruct> tensors;
extern registry<cudnnPoolingStruct> poolings;

cudnnStatus_t pooled_dims(cudnnPoolingDescriptor_t pooling, cudnnTensorDescriptor_t x, int64_t (&dims)[4]);

/* A tensor and its numbers: FP32 alone, which is what alpha and beta are read as. */
cudnnStatus_t check_tensor(const char *name, cudnnTensorDescriptor_t tensor, const void *memory);

} // namespace qmdi::host

#endif
