/* The softmax as a launch of its own, for networks whose last step does not fuse it. */
#ifndef QMD_KERNELS_CUDA_SOFTMAX_F32_H
#define QMD_KERNELS_CUDA_SOFTMAX_F32_H

#include "launch.h"

#ifdef __cplusplus
extern "C" {
#endif

/* n_images times n_classes floats, images so many bytes apart. */
typedef struct qmdi_cuda_softmax {
	const float *logits;
	float *probabilities;
	uint64_t logits_stride, probabilities_stride;
	uint32_t n_images, n_classes;
} qmdi_cuda_softmax;

void qmdi_cuda_softmax_launch(const qmdi_cuda_softmax *softmax, qmdi_cuda_launch *launch);

#ifdef __cplusplus
}
#endif

#endif
