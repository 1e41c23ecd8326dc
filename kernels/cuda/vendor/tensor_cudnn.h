/*
 * Inside of the column of cuDNN, cuBLAS and kernels of our own: one stream, in which everything happens in order, so
 * that all operations can share one piece of memory to work in.
 */
#ifndef QMD_KERNELS_CUDA_TENSOR_CUDNN_H
#define QMD_KERNELS_CUDA_TENSOR_CUDNN_H

#include "base/error.h"
#include "base/float_environment.h"
#include "cuda/runtime.h"

#include "cudnn_graph.h"

typedef struct qmdi_cudnn_device {
	qmdi_cuda_device device;
	/* The caller's, between enter() and leave(). */
	qmdi_cuda_scope before;
	qmdi_float_environment environment;
	qmdi_cuda_stream *stream;
	qmdi_cudnn cudnn;
	cublasHandle_t cublas;
	void *cublas_workspace;
	void *workspace; /* grows */
	size_t workspace_size;
} qmdi_cudnn_device;

/* Memory to work in of at least `size` bytes, aligned to 256, until the next call; what lies in it is anything. */
qmd_status qmdi_cudnn_workspace(qmdi_cudnn_device *device, size_t size, void **workspace);

/* Call give(what) once the stream no longer needs what it frees (qmdi_cuda_give_back()). */
void qmdi_cudnn_give_back(qmdi_cudnn_device *device, void (*give)(void *), void *what);

/* Give a launch, or two, to the stream; refused: what the function that filled them in returned. `what` names it. */
qmd_status qmdi_cudnn_submit(qmdi_cudnn_device *device, const char *what, int refused, const qmdi_cuda_launch *launches,
							 size_t n);

/* Call a function of cuBLAS. */
#define QMDI_CUBLAS_CALL(vendor, function, ...) qmdi_cublas_check(vendor, (vendor)->function(__VA_ARGS__), #function)
qmd_status qmdi_cublas_check(const qmdi_vendor *vendor, cublasStatus_t status, const char *call);

/* Put the layer's name before the error of a call that failed. */
qmd_status qmdi_cudnn_of_layer(const char *name, qmd_status status);

/* Entries of the table, as tensor.h describes them. */

qmd_status qmdi_cudnn_linear_create(qmdi_tensor_device *device, const qmdi_linear_shape *shape, int gradients,
									void **plan);
void qmdi_cudnn_linear_destroy(qmdi_tensor_device *device, void *plan);
qmd_status qmdi_cudnn_linear_forward(qmdi_tensor_device *device, void *plan, const float *x, const float *w,
									 const float *b, float *y);
qmd_status qmdi_cudnn_linear_backward_parameters(qmdi_tensor_device *device, void *plan, const float *x,
												 const float *d_y, float *d_w, float *d_b);
qmd_status qmdi_cudnn_linear_backward_input(qmdi_tensor_device *device, void *plan, const float *w, const float *d_y,
											float *d_x);

qmd_status qmdi_cudnn_pool_create(qmdi_tensor_device *device, const qmdi_pool_shape *shape, void **plan);
/* The same of images of any type: a plan for qmdi_cudnn_pool_forward_of() alone. */
qmd_status qmdi_cudnn_pool_create_of(qmdi_tensor_device *device, const qmdi_pool_shape *shape, cudnnDataType_t type,
									 void **plan);
qmd_status qmdi_cudnn_pool_forward_of(qmdi_tensor_device *device, void *plan, const void *x, void *y);
void qmdi_cudnn_pool_destroy(qmdi_tensor_device *device, void *plan);
qmd_status qmdi_cudnn_pool_forward(qmdi_tensor_device *device, void *plan, const float *x, float *y);
qmd_status qmdi_cudnn_pool_backward(qmdi_tensor_device *device, void *plan, const float *x, const float *y,
									const float *d_y, float *d_x);

qmd_status qmdi_cudnn_batchnorm_create(qmdi_tensor_device *device, const qmdi_batchnorm_shape *shape, void **plan);
void qmdi_cudnn_batchnorm_destroy(qmdi_tensor_device *device, void *plan);
qmd_status qmdi_cudnn_batchnorm_training(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
										 const float *beta, float *running_mean, float *running_variance, float *y);
qmd_status qmdi_cudnn_batchnorm_inference(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
										  const float *beta, const float *mean, const float *variance, float *y);
qmd_status qmdi_cudnn_batchnorm_backward(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
										 const float *d_y, float *d_gamma, float *d_beta, float *d_x);
qmd_status qmdi_cudnn_batchnorm_backward_inference(qmdi_tensor_device *device, void *plan, const float *gamma,
												   const float *variance, const float *d_y, float *d_x);

/* A tensor of images, NHWC; the caller destroys it. QMD_ERROR_RANGE for more than cuDNN can take. */
qmd_status qmdi_cudnn_images(const qmdi_vendor *vendor, cudnnDataType_t type, size_t n, size_t h, size_t w, size_t c,
							 cudnnTensorDescriptor_t *images);

#endif
