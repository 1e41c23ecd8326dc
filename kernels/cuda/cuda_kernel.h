/*
 * The table of CUDA kernels, and its rows: what kernels/kernel.h is for the CPU. A step of a plan is the same
 * qmdi_kernel_shape; the backend takes the first row that supports it on its device, packs the weights by that row on
 * the host, copies them to the device as they are, and lets the row say how a call is launched.
 *
 * The table is one of its own because a library without CUDA has none of these rows, while tests run all of them on the
 * host back end.
 */
#ifndef QMD_KERNELS_CUDA_KERNEL_H
#define QMD_KERNELS_CUDA_KERNEL_H

#include "../kernel.h"
#include "launch.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One run of a step. */
typedef struct qmdi_cuda_call {
	qmdi_kernel_call call; /* packed and views are device memory; a view's data and strides are multiples of the row's
							  alignment */
	void *scratch;         /* of scratch_size() bytes, 16-byte aligned, zero before the first launch. Launches that may
							  run at the same time have different ones */
	float *probabilities;  /* [n_images][out_c], where the row fuses the softmax; else NULL */
	uint32_t n_multiprocessors;
} qmdi_cuda_call;

typedef struct qmdi_cuda_kernel {
	const char *name; /* <op>_<input><weights>_<instruction>: "conv_x8s8_imma", and that of its file */
	qmdi_op op;
	int arch_min, arch_max; /* compute capability as 75, 80, 90, ... inclusive */
	uint32_t operands;      /* qmdi_operand bits */
	qmdi_granularity granularity;
	uint32_t alignment;                              /* of the inputs: data and strides; a power of two */
	int (*supports)(const qmdi_kernel_shape *shape); /* op and operand have been checked */
	size_t (*packed_size)(const qmdi_kernel_shape *shape);
	void (*pack)(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights,
				 void *packed); /* host memory; on the device 256-byte aligned */
	size_t (*scratch_size)(const qmdi_kernel_shape *shape, size_t n_images, uint32_t n_multiprocessors);
	int (*fuses_softmax)(const qmdi_kernel_shape *shape); /* of a float_output, in the same launch */
	/* Say how a call is launched. 0, or -1 if no grid is large enough for so many images. */
	int (*launch)(const qmdi_cuda_call *call, qmdi_cuda_launch *launch);
} qmdi_cuda_kernel;

/* The table, n rows: for each op the best first, the one for any shape last. */
const qmdi_cuda_kernel *const *qmdi_cuda_kernels(size_t *n);

/* The best row for a shape on a device of this compute capability, NULL if there is none. alignment: a power of two
 * that the inputs' data and strides are multiples of. */
const qmdi_cuda_kernel *qmdi_cuda_kernel_choose(const qmdi_kernel_shape *shape, int arch, size_t alignment);

int qmdi_cuda_kernel_supports(const qmdi_cuda_kernel *kernel, const qmdi_kernel_shape *shape, int arch);

#ifdef __cplusplus
}
#endif

#endif
