/*
 * Numbers of one type as numbers of another, with what stands between two layers of a network at less than FP32: a
 * bias, a scale for each channel, a second term, a lower bound.
 */
#ifndef QMD_KERNELS_CUDA_RESCALE_H
#define QMD_KERNELS_CUDA_RESCALE_H

#include "../launch.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum qmdi_cuda_number {
	QMDI_CUDA_U8,
	QMDI_CUDA_S8,
	QMDI_CUDA_S32,
	QMDI_CUDA_F16, /* IEEE 754 binary16 */
	QMDI_CUDA_F32
} qmdi_cuda_number;

/*
 * y = (a + bias[unit]) * factor[unit] + b * b_factor, at least `low`; each operation rounded to FP32, the last to y's
 * type: F16 or F32, or S8 after a clamp to [low, 127], ties to even, NaN to `low`. Element i belongs to unit
 * i % n_units; a may have further units in each row, which are not read. Of S32 the sum with the bias is one of
 * integers, rounded once. y may be a or b of the same type.
 */
typedef struct qmdi_cuda_rescale {
	const void *a, *b;    /* of `from`; b NULL: without */
	const void *bias;     /* [n_units], int32 for S32, else float; NULL: without */
	const float *factors; /* [n_units]; NULL: `factor` for all */
	float factor, b_factor;
	float low; /* -INFINITY: none; of S8 at least -128 */
	void *y;   /* of `to` */
	qmdi_cuda_number from, to;
	uint32_t n, n_units;
	uint32_t a_units; /* in a row of a; 0: n_units */
} qmdi_cuda_rescale;

size_t qmdi_cuda_number_size(qmdi_cuda_number type);

/* 0, or -1 for no element, more than 2^31 - 1, or a type that it does not give. */
int qmdi_cuda_rescale_launch(const qmdi_cuda_rescale *rescale, qmdi_cuda_launch *launch);

#ifdef __cplusplus
}
#endif

#endif
