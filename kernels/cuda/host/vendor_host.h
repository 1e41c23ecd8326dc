/*
 * cuDNN and cuBLAS on the emulated devices (host_device.h), in place of the loader of vendor/vendor.h: the functions of
 * its table, with results by scalar loops. They are as strict as NVIDIA's documentation allows, and stricter where it
 * leaves something open: what nobody promises is poison here, or an error.
 *
 *   - Descriptors are checked when they are set, finalized and used; a handle, descriptor or plan that was destroyed is
 *     known as such. What real cuDNN does without looking (a pointer of the host, memory that ends too early, two
 *     tensors of one name) is an error here at once.
 *   - Work is done as late as its stream may do it. A workspace holds QMDI_HOST_POISON after every use.
 *   - An engine does what its notes say: one with tensor cores multiplies TF32, one that is not deterministic rounds
 *     differently in every run. So does the gradient of CUDNN_POOLING_MAX; it and CUDNN_POOLING_MAX_DETERMINISTIC give
 *     it to the last of equals.
 *   - The running variance of one number is NaN.
 *
 * What an emulation cannot know: which shapes an engine of the real library supports, how it orders its sums, and time.
 */
#ifndef QMD_KERNELS_CUDA_VENDOR_HOST_H
#define QMD_KERNELS_CUDA_VENDOR_HOST_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An engine of cuDNN, which runs every graph. */
typedef struct qmdi_host_engine {
	size_t workspace; /* bytes */
	int is_tensor_core, is_nondeterministic;
	int is_refused; /* its plan is not supported, which is told when it is finalized */
} qmdi_host_engine;

#define QMDI_HOST_MAX_ENGINES 8

/* What may be refused, whatever the engine. */
enum {
	QMDI_HOST_INT8 = 1,       /* all of INT8 */
	QMDI_HOST_FP16 = 2,       /* all of FP16 */
	QMDI_HOST_FUSED_INT8 = 4, /* graphs of INT8 with more than the convolution */
	QMDI_HOST_FUSED_FP16 = 8
};

typedef struct qmdi_host_vendor {
	int is_missing; /* there are no libraries */
	/* What heuristics offer, the best first; CUDNN_HEUR_MODE_FALLBACK offers the last alone. */
	qmdi_host_engine engines[QMDI_HOST_MAX_ENGINES];
	size_t n_engines;
	int refuses; /* bits of the enumeration above */
} qmdi_host_vendor;

/* As cuDNN 9.19 answers for an H100: tensor cores first, workspaces of any size, and at the end one that is slow and
 * plain. One that is refused is between. */
#define QMDI_HOST_VENDOR                                                                                               \
	{ 0, {{0, 1, 0, 0}, {131, 1, 1, 0}, {4099, 0, 1, 0}, {64, 0, 0, 1}, {5363, 0, 0, 0}, {0, 0, 0, 0}}, 6, 0 }

/* What exists stays as it is. */
void qmdi_host_vendor_set(const qmdi_host_vendor *vendor);

#ifdef __cplusplus
}
#endif

#endif
