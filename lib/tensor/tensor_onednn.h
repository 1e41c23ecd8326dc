/*
 * Inside of the CPU's column. oneDNN computes convolutions and dense layers; the other operations are bound by memory
 * and are plain loops, in the order of operations that docs/numerics.md lays down, shared out by OpenMP so that no
 * result depends on the number of threads.
 */
#ifndef QMD_LIB_TENSOR_ONEDNN_H
#define QMD_LIB_TENSOR_ONEDNN_H

#include <dnnl.h>

#include "base/error.h"
#include "base/float_environment.h"
#include "base/memory.h"
#include "tensor.h"

typedef struct qmdi_onednn {
	size_t n_threads;
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	dnnl_primitive_attr_t attributes;
	/* The caller's, between enter() and leave(). */
	int caller_threads;
	qmdi_float_environment *environments; /* [n_threads] */
} qmdi_onednn;

/* Fail if a oneDNN call did not succeed. `name`: of the layer, or NULL. */
qmd_status qmdi_onednn_check(const char *name, dnnl_status_t status, const char *call);

/* The entries of the table, as tensor.h describes them. */

qmd_status qmdi_onednn_linear_create(qmdi_tensor_device *device, const qmdi_linear_shape *shape, int gradients,
									 void **plan);
void qmdi_onednn_linear_destroy(qmdi_tensor_device *device, void *plan);
qmd_status qmdi_onednn_linear_forward(qmdi_tensor_device *device, void *plan, const float *x, const float *w,
									  const float *b, float *y);
qmd_status qmdi_onednn_linear_backward_parameters(qmdi_tensor_device *device, void *plan, const float *x,
												  const float *d_y, float *d_w, float *d_b);
qmd_status qmdi_onednn_linear_backward_input(qmdi_tensor_device *device, void *plan, const float *w, const float *d_y,
											 float *d_x);

qmd_status qmdi_onednn_pool_create(qmdi_tensor_device *device, const qmdi_pool_shape *shape, void **plan);
void qmdi_onednn_pool_destroy(qmdi_tensor_device *device, void *plan);
qmd_status qmdi_onednn_pool_forward(qmdi_tensor_device *device, void *plan, const float *x, float *y);
qmd_status qmdi_onednn_pool_backward(qmdi_tensor_device *device, void *plan, const float *x, const float *y,
									 const float *d_y, float *d_x);

qmd_status qmdi_onednn_batchnorm_create(qmdi_tensor_device *device, const qmdi_batchnorm_shape *shape, void **plan);
void qmdi_onednn_batchnorm_destroy(qmdi_tensor_device *device, void *plan);
qmd_status qmdi_onednn_batchnorm_training(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
										  const float *beta, float *running_mean, float *running_variance, float *y);
qmd_status qmdi_onednn_batchnorm_inference(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
										   const float *beta, const float *mean, const float *variance, float *y);
qmd_status qmdi_onednn_batchnorm_backward(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
										  const float *d_y, float *d_gamma, float *d_beta, float *d_x);
qmd_status qmdi_onednn_batchnorm_backward_inference(qmdi_tensor_device *device, void *plan, const float *gamma,
													const float *variance, const float *d_y, float *d_x);

qmd_status qmdi_onednn_copy(qmdi_tensor_device *device, size_t n, const float *x, float *y);
qmd_status qmdi_onednn_add(qmdi_tensor_device *device, size_t n, const float *a, const float *b, float *y);
qmd_status qmdi_onednn_multiply(qmdi_tensor_device *device, size_t n, const float *a, const float *b, float *y);
qmd_status qmdi_onednn_relu(qmdi_tensor_device *device, size_t n, const float *x, float *y);
qmd_status qmdi_onednn_relu_backward(qmdi_tensor_device *device, size_t n, const float *y, const float *d_y,
									 float *d_x);
qmd_status qmdi_onednn_dropout_mask(qmdi_tensor_device *device, size_t n, uint64_t seed, uint64_t stream, float rate,
									float *mask);
qmd_status qmdi_onednn_softmax(qmdi_tensor_device *device, size_t n_images, size_t n_classes, const float *logits,
							   float *probabilities);

qmd_status qmdi_onednn_weight_scales(qmdi_tensor_device *device, size_t n_units, size_t n_per_unit, int32_t high,
									 const float *w, float *scales);
qmd_status qmdi_onednn_fake_quant(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x, float *y);
qmd_status qmdi_onednn_fake_quant_backward(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x,
										   const float *d_y, float *d_x);
qmd_status qmdi_onednn_scale_gradients(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x,
									   const float *d_y, float *gradients);
qmd_status qmdi_onednn_quantize_bias(qmdi_tensor_device *device, size_t n_units, const float *input_scale,
									 const float *weight_scales, const float *bias, float *out);

qmd_status qmdi_onednn_update(qmdi_tensor_device *device, const qmdi_update *update);

#endif
