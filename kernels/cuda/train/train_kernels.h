/*
 * The kernels of training that are our own: tensor operations that cuDNN and cuBLAS do not have or define otherwise
 * (tensor.h says what each computes). A function fills in what is to be launched; the tensors are the device's memory.
 *
 * Each returns 0, or -1 for a call without an element or with more than 2^31 - 1 of them, which it does not describe.
 * All give the same bits on every device and in every run: sums are taken in an order that the shape alone decides.
 * Tensors whose addresses are multiples of 16 bytes are read and written faster.
 */
#ifndef QMD_KERNELS_CUDA_TRAIN_KERNELS_H
#define QMD_KERNELS_CUDA_TRAIN_KERNELS_H

#include "../launch.h"

#ifdef __cplusplus
extern "C" {
#endif

#include "tensor/tensor.h"

/* ---- Element by element, in place if wanted; the bits of the other columns ---- */

int qmdi_cuda_add_launch(size_t n, const float *a, const float *b, float *y, qmdi_cuda_launch *launch);
int qmdi_cuda_multiply_launch(size_t n, const float *a, const float *b, float *y, qmdi_cuda_launch *launch);
int qmdi_cuda_relu_launch(size_t n, const float *x, float *y, qmdi_cuda_launch *launch);
int qmdi_cuda_relu_backward_launch(size_t n, const float *y, const float *d_y, float *d_x, qmdi_cuda_launch *launch);
int qmdi_cuda_dropout_mask_launch(size_t n, uint64_t seed, uint64_t stream, float rate, float *mask,
								  qmdi_cuda_launch *launch);

/* ---- Maxima of windows: the bits of the other columns. Numbers of x and of y are counted. ---- */

int qmdi_cuda_maxpool_launch(const qmdi_pool_shape *shape, const float *x, float *y, qmdi_cuda_launch *launch);
int qmdi_cuda_maxpool_backward_launch(const qmdi_pool_shape *shape, const float *x, const float *d_y, float *d_x,
									  qmdi_cuda_launch *launch);

/* ---- Biases of linear layers: rows are images, or pixels of all images ---- */

/* y[row][unit] += b[unit] */
int qmdi_cuda_add_bias_launch(size_t n_rows, size_t n_units, const float *b, float *y, qmdi_cuda_launch *launch);

/* d_b[unit] = sum of d_y[row][unit] over the rows, in FP64, rounded once. Two launches, one after the other, and bytes
 * of scratch memory for both, aligned to 16, with anything in it. */
size_t qmdi_cuda_bias_gradient_scratch(size_t n_rows, size_t n_units);
int qmdi_cuda_bias_gradient_launch(size_t n_rows, size_t n_units, const float *d_y, void *scratch, float *d_b,
								   qmdi_cuda_launch launches[2]);

/* ---- Fake-quant. All but the scales' gradients have the bits of the other columns. ---- */

int qmdi_cuda_weight_scales_launch(size_t n_units, size_t n_per_unit, int32_t high, const float *w, float *scales,
								   qmdi_cuda_launch *launch);
int qmdi_cuda_fake_quant_launch(const qmdi_grid *grid, const float *x, float *y, qmdi_cuda_launch *launch);
int qmdi_cuda_fake_quant_backward_launch(const qmdi_grid *grid, const float *x, const float *d_y, float *d_x,
										 qmdi_cuda_launch *launch);

/* Two launches and their scratch memory, as above. Sums in FP64, a group's rounded to float. */
size_t qmdi_cuda_scale_gradients_scratch(const qmdi_grid *grid);
int qmdi_cuda_scale_gradients_launch(const qmdi_grid *grid, const float *x, const float *d_y, void *scratch,
									 float *gradients, qmdi_cuda_launch launches[2]);

int qmdi_cuda_quantize_bias_launch(size_t n_units, const float *input_scale, const float *weight_scales,
								   const float *bias, float *out, qmdi_cuda_launch *launch);

/* ---- Optimizer: the bits of the other columns ---- */

int qmdi_cuda_update_launch(const qmdi_update *update, qmdi_cuda_launch *launch);

#ifdef __cplusplus
}
#endif

#endif
