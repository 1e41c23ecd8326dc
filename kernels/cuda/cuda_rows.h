/* The rows of the table, each defined at the end of the file that bears its name. */
#ifndef QMD_KERNELS_CUDA_ROWS_H
#define QMD_KERNELS_CUDA_ROWS_H

#include "cuda_kernel.h"

/* The name of a row's object. Tests compile kernels a second time with a bug planted, and call those rows otherwise. */
#ifndef QMDI_CUDA_ROW
#define QMDI_CUDA_ROW(row) qmdi_cuda_##row
#endif

/* Define a row, at the end of its file; what a row does not say is the same for all of them. Its arguments are named in
 * the order of qmdi_cuda_kernel, its launch() stands in namespace qmdi. */
#define QMDI_CUDA_DEFINE_ROW(row, op, arch_min, granularity, alignment, supports, packed_size, pack, scratch_size,     \
							 fuses_softmax)                                                                            \
	extern "C" const qmdi_cuda_kernel QMDI_CUDA_ROW(row) = {#row,                                                      \
															op,                                                        \
															arch_min,                                                  \
															INT32_MAX,                                                 \
															QMDI_U8 | QMDI_S8 | QMDI_S7,                               \
															granularity,                                               \
															alignment,                                                 \
															supports,                                                  \
															packed_size,                                               \
															pack,                                                      \
															scratch_size,                                              \
															fuses_softmax,                                             \
															qmdi::launch}

#ifdef __cplusplus
extern "C" {
#endif

extern const qmdi_cuda_kernel QMDI_CUDA_ROW(conv_x8s8_imma);
extern const qmdi_cuda_kernel QMDI_CUDA_ROW(conv_few_x8s8_imma);
extern const qmdi_cuda_kernel QMDI_CUDA_ROW(conv_x8s8_dp4a);
extern const qmdi_cuda_kernel QMDI_CUDA_ROW(dense_head_x8s8_dp4a);
extern const qmdi_cuda_kernel QMDI_CUDA_ROW(dense_x8s8_imma);
extern const qmdi_cuda_kernel QMDI_CUDA_ROW(dense_x8s8_dp4a);
extern const qmdi_cuda_kernel QMDI_CUDA_ROW(maxpool_x8_simt);
extern const qmdi_cuda_kernel QMDI_CUDA_ROW(avgpool_x8_simt);
extern const qmdi_cuda_kernel QMDI_CUDA_ROW(add_x8_simt);

/* For rows that take any shape, and for rows without scratch memory or softmax. */
int qmdi_cuda_any_shape(const qmdi_kernel_shape *shape);
size_t qmdi_cuda_no_scratch(const qmdi_kernel_shape *shape, size_t n_images, uint32_t n_multiprocessors);
int qmdi_cuda_no_softmax(const qmdi_kernel_shape *shape);

#ifdef __cplusplus
}
#endif

#endif
