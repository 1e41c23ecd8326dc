/*
 * Inside of the reference column: one thread, one number after the other, in the order in which the formula is written.
 * It is what the other columns are tested against, so it shares no loop with them. Sums of convolutions, dense layers
 * and batch normalization are double and rounded once.
 */
#ifndef QMD_LIB_TENSOR_REFERENCE_H
#define QMD_LIB_TENSOR_REFERENCE_H

#include "tensor.h"

/* Offset of element (y, x, c) of an image. */
static inline size_t qmdi_reference_element(qmd_shape shape, size_t image, size_t y, size_t x, size_t c) {
	return ((image * shape.h + y) * shape.w + x) * shape.c + c;
}

/* The entries of the table that are in files of their own, as tensor.h describes them. A plan is one block of memory.
 */

qmd_status qmdi_reference_linear_create(qmdi_tensor_device *device, const qmdi_linear_shape *shape, int gradients,
										void **plan);
qmd_status qmdi_reference_linear_forward(qmdi_tensor_device *device, void *plan, const float *x, const float *w,
										 const float *b, float *y);
qmd_status qmdi_reference_linear_backward_parameters(qmdi_tensor_device *device, void *plan, const float *x,
													 const float *d_y, float *d_w, float *d_b);
qmd_status qmdi_reference_linear_backward_input(qmdi_tensor_device *device, void *plan, const float *w,
												const float *d_y, float *d_x);

qmd_status qmdi_reference_batchnorm_create(qmdi_tensor_device *device, const qmdi_batchnorm_shape *shape, void **plan);
qmd_status qmdi_reference_batchnorm_training(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
											 const float *beta, float *running_mean, float *running_variance, float *y);
qmd_status qmdi_reference_batchnorm_inference(qmdi_tensor_device *device, void *plan, const float *x,
											  const float *gamma, const float *beta, const float *mean,
											  const float *variance, float *y);
qmd_status qmdi_reference_batchnorm_backward_inference(qmdi_tensor_device *device, void *plan, const float *gamma,
													   const float *variance, const float *d_y, float *d_x);
qmd_status qmdi_reference_batchnorm_backward(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
											 const float *d_y, float *d_gamma, float *d_beta, float *d_x);

#endif
