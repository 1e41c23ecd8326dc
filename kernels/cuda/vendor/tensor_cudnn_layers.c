/* The column of cuDNN: pooling and batch normalization, by cuDNN's functions for them, and maxima of a training by
 * kernels of our own, since cuDNN does not say to which of equal numbers their gradient goes. */
#include <limits.h>
#include <string.h>

#include "base/memory.h"
#include "cuda/train/train_kernels.h"
#include "tensor_cudnn.h"

/* Results replace what was there. */
static const float one = 1, zero = 0;

static const qmdi_vendor *vendor_of(const qmdi_cudnn_device *device) {
	return device->cudnn.vendor;
}

qmd_status qmdi_cudnn_images(const qmdi_vendor *vendor, cudnnDataType_t type, size_t n, size_t h, size_t w, size_t c,
							 cudnnTensorDescriptor_t *images) {
	if (n > INT_MAX || h > INT_MAX || w > INT_MAX || c > INT_MAX)
		return qmdi_fail(QMD_ERROR_RANGE, "%zu images of %zu x %zu x %zu numbers, cuDNN counts to %d", n, h, w, c,
						 INT_MAX);
	QMDI_TRY(QMDI_CUDNN_CALL(vendor, cudnnCreateTensorDescriptor, images));
	return QMDI_CUDNN_CALL(vendor, cudnnSetTensor4dDescriptor, *images, CUDNN_TENSOR_NHWC, type, (int)n, (int)c, (int)h,
						   (int)w);
}

static void free_images(const qmdi_vendor *vendor, cudnnTensorDescriptor_t images) {
	if (images)
		(void)vendor->cudnnDestroyTensorDescriptor(images);
}

/* ---- Pooling ---- */

typedef struct pool {
	qmdi_pool_shape shape;
	cudnnPoolingDescriptor_t window;
	cudnnTensorDescriptor_t x, y;
} pool;

/* cuDNN counts the outputs itself; the model's must be these. */
static qmd_status check_output(const qmdi_vendor *vendor, const pool *p) {
	int n = 0, c = 0, h = 0, w = 0;
	QMDI_TRY(QMDI_CUDNN_CALL(vendor, cudnnGetPooling2dForwardOutputDim, p->window, p->x, &n, &c, &h, &w));
	const qmd_shape *output = &p->shape.output;
	if ((size_t)n != p->shape.batch || (uint32_t)h != output->h || (uint32_t)w != output->w || (uint32_t)c != output->c)
		return qmdi_fail(QMD_ERROR_INTERNAL, "cuDNN's output is %d x %d x %d x %d, the model's %zu x %u x %u x %u", n,
						 h, w, c, p->shape.batch, output->h, output->w, output->c);
	return QMD_OK;
}

static qmd_status describe_pool(const qmdi_vendor *vendor, cudnnDataType_t type, pool *p) {
	const qmdi_pool_shape *s = &p->shape;
	const cudnnPoolingMode_t mode = s->is_max ? CUDNN_POOLING_MAX : CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING;
	QMDI_TRY(qmdi_cudnn_images(vendor, type, s->batch, s->input.h, s->input.w, s->input.c, &p->x));
	QMDI_TRY(qmdi_cudnn_images(vendor, type, s->batch, s->output.h, s->output.w, s->output.c, &p->y));
	QMDI_TRY(QMDI_CUDNN_CALL(vendor, cudnnCreatePoolingDescriptor, &p->window));
	QMDI_TRY(QMDI_CUDNN_CALL(vendor, cudnnSetPooling2dDescriptor, p->window, mode, CUDNN_PROPAGATE_NAN,
							 (int)s->kernel_h, (int)s->kernel_w, 0, 0, (int)s->stride_h, (int)s->stride_w));
	return check_output(vendor, p);
}

qmd_status qmdi_cudnn_pool_create_of(qmdi_tensor_device *device, const qmdi_pool_shape *shape, cudnnDataType_t type,
									 void **plan) {
	pool *p = qmdi_zeroed(1, sizeof *p);
	if (!p)
		return QMD_ERROR_MEMORY;
	p->shape = *shape;
	const qmd_status status = describe_pool(vendor_of(device->state), type, p);
	if (status == QMD_OK)
		*plan = p;
	else
		qmdi_cudnn_pool_destroy(device, p);
	return qmdi_cudnn_of_layer(shape->name, status);
}

qmd_status qmdi_cudnn_pool_create(qmdi_tensor_device *device, const qmdi_pool_shape *shape, void **plan) {
	return qmdi_cudnn_pool_create_of(device, shape, CUDNN_DATA_FLOAT, plan);
}

void qmdi_cudnn_pool_destroy(qmdi_tensor_device *device, void *plan) {
	const qmdi_vendor *vendor = vendor_of(device->state);
	pool *p = plan;
	if (p) {
		free_images(vendor, p->x);
		free_images(vendor, p->y);
	}
	if (p && p->window)
		(void)vendor->cudnnDestroyPoolingDescriptor(p->window);
	qmdi_release(p);
}

qmd_status qmdi_cudnn_pool_forward_of(qmdi_tensor_device *device, void *plan, const void *x, void *y) {
	const qmdi_cudnn *cudnn = &((qmdi_cudnn_device *)device->state)->cudnn;
	const pool *p = plan;
	return QMDI_CUDNN_CALL(cudnn->vendor, cudnnPoolingForward, cudnn->handle, p->window, &one, p->x, x, &zero, p->y, y);
}

static qmd_status take_maxima(qmdi_cudnn_device *device, const pool *p, const float *x, float *y) {
	qmdi_cuda_launch launch;
	const int refused = qmdi_cuda_maxpool_launch(&p->shape, x, y, &launch);
	return qmdi_cudnn_submit(device, "maxima", refused, &launch, 1);
}

static qmd_status give_to_maxima(qmdi_cudnn_device *device, const pool *p, const float *x, const float *d_y,
								 float *d_x) {
	qmdi_cuda_launch launch;
	const int refused = qmdi_cuda_maxpool_backward_launch(&p->shape, x, d_y, d_x, &launch);
	return qmdi_cudnn_submit(device, "gradient of maxima", refused, &launch, 1);
}

qmd_status qmdi_cudnn_pool_forward(qmdi_tensor_device *device, void *plan, const float *x, float *y) {
	const pool *p = plan;
	return qmdi_cudnn_of_layer(p->shape.name, p->shape.is_max ? take_maxima(device->state, p, x, y)
															  : qmdi_cudnn_pool_forward_of(device, plan, x, y));
}

qmd_status qmdi_cudnn_pool_backward(qmdi_tensor_device *device, void *plan, const float *x, const float *y,
									const float *d_y, float *d_x) {
	const qmdi_cudnn *cudnn = &((qmdi_cudnn_device *)device->state)->cudnn;
	const pool *p = plan;
	if (p->shape.is_max)
		return qmdi_cudnn_of_layer(p->shape.name, give_to_maxima(device->state, p, x, d_y, d_x));
	return qmdi_cudnn_of_layer(p->shape.name,
							   QMDI_CUDNN_CALL(cudnn->vendor, cudnnPoolingBackward, cudnn->handle, p->window, &one,
											   p->y, y, p->y, d_y, p->x, x, &zero, p->x, d_x));
}

/* ---- Batch normalization ---- */

typedef struct batchnorm {
	qmdi_batchnorm_shape shape;
	cudnnTensorDescriptor_t x, channels;
	float *memory; /* of the device: what the pointers below point to */
	float *mean, *inverse_deviation, *zeros, *one;
} batchnorm;

static qmd_status describe_batchnorm(qmdi_cudnn_device *device, batchnorm *b) {
	const qmdi_batchnorm_shape *s = &b->shape;
	const size_t n = 3 * s->n_channels + 1;
	QMDI_TRY(qmdi_cudnn_images(vendor_of(device), CUDNN_DATA_FLOAT, s->batch, s->n_pixels, 1, s->n_channels, &b->x));
	QMDI_TRY(qmdi_cudnn_images(vendor_of(device), CUDNN_DATA_FLOAT, 1, 1, 1, s->n_channels, &b->channels));
	QMDI_TRY(qmdi_cuda_allocate(n * sizeof *b->memory, (void **)&b->memory));
	QMDI_TRY(qmdi_cuda_fill(device->stream, b->memory, 0, n * sizeof *b->memory));
	b->mean = b->memory;
	b->inverse_deviation = b->mean + s->n_channels;
	b->zeros = b->inverse_deviation + s->n_channels;
	b->one = b->zeros + s->n_channels;
	return qmdi_cuda_copy(device->stream, b->one, &one, sizeof one);
}

qmd_status qmdi_cudnn_batchnorm_create(qmdi_tensor_device *device, const qmdi_batchnorm_shape *shape, void **plan) {
	batchnorm *b = qmdi_zeroed(1, sizeof *b);
	if (!b)
		return QMD_ERROR_MEMORY;
	b->shape = *shape;
	const qmd_status status = describe_batchnorm(device->state, b);
	if (status == QMD_OK)
		*plan = b;
	else
		qmdi_cudnn_batchnorm_destroy(device, b);
	return qmdi_cudnn_of_layer(shape->name, status);
}

void qmdi_cudnn_batchnorm_destroy(qmdi_tensor_device *device, void *plan) {
	batchnorm *b = plan;
	if (b) {
		free_images(vendor_of(device->state), b->x);
		free_images(vendor_of(device->state), b->channels);
		device->ops->release(device, b->memory);
	}
	qmdi_release(b);
}

/*
 * The running moments of a batch of one number a channel, whose unbiased variance is 0 over 0: cuDNN does not say what
 * it does then. mean = momentum mean + (1 - momentum) batch's; variance = momentum variance.
 */
static qmd_status move_by_single_numbers(qmdi_cudnn_device *device, const batchnorm *b, float *running_mean,
										 float *running_variance) {
	const float keep = b->shape.momentum, take = 1 - keep;
	const int n = (int)b->shape.n_channels;
	QMDI_TRY(QMDI_CUBLAS_CALL(vendor_of(device), cublasSgemm_v2, device->cublas, CUBLAS_OP_N, CUBLAS_OP_N, n, 1, 1,
							  &take, b->mean, n, b->one, 1, &keep, running_mean, n));
	return QMDI_CUBLAS_CALL(vendor_of(device), cublasSgemm_v2, device->cublas, CUBLAS_OP_N, CUBLAS_OP_N, n, 1, 1, &one,
							b->zeros, n, b->one, 1, &keep, running_variance, n);
}

static qmd_status train(qmdi_cudnn_device *device, const batchnorm *b, const float *x, const float *gamma,
						const float *beta, float *running_mean, float *running_variance, float *y) {
	const int is_single = b->shape.batch * b->shape.n_pixels == 1;
	QMDI_TRY(QMDI_CUDNN_CALL(vendor_of(device), cudnnBatchNormalizationForwardTraining, device->cudnn.handle,
							 CUDNN_BATCHNORM_SPATIAL, &one, &zero, b->x, x, b->x, y, b->channels, gamma, beta,
							 1 - (double)b->shape.momentum, is_single ? NULL : running_mean,
							 is_single ? NULL : running_variance, (double)b->shape.epsilon, b->mean,
							 b->inverse_deviation));
	return is_single ? move_by_single_numbers(device, b, running_mean, running_variance) : QMD_OK;
}

static qmd_status infer(qmdi_cudnn_device *device, const batchnorm *b, const float *x, const float *gamma,
						const float *beta, const float *mean, const float *variance, float *y) {
	return QMDI_CUDNN_CALL(vendor_of(device), cudnnBatchNormalizationForwardInference, device->cudnn.handle,
						   CUDNN_BATCHNORM_SPATIAL, &one, &zero, b->x, x, b->x, y, b->channels, gamma, beta, mean,
						   variance, (double)b->shape.epsilon);
}

/* cuDNN always computes the gradient of the input: where nobody wants it, it goes to the workspace. */
static qmd_status backward(qmdi_cudnn_device *device, const batchnorm *b, const float *x, const float *gamma,
						   const float *d_y, float *d_gamma, float *d_beta, float *d_x) {
	const qmdi_batchnorm_shape *s = &b->shape;
	void *unwanted = d_x;
	if (!d_x)
		QMDI_TRY(qmdi_cudnn_workspace(device, s->batch * s->n_pixels * s->n_channels * sizeof *d_x, &unwanted));
	return QMDI_CUDNN_CALL(vendor_of(device), cudnnBatchNormalizationBackward, device->cudnn.handle,
						   CUDNN_BATCHNORM_SPATIAL, &one, &zero, &one, &zero, b->x, x, b->x, d_y, b->x, unwanted,
						   b->channels, gamma, d_gamma, d_beta, (double)s->epsilon, b->mean, b->inverse_deviation);
}

qmd_status qmdi_cudnn_batchnorm_training(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
										 const float *beta, float *running_mean, float *running_variance, float *y) {
	const batchnorm *b = plan;
	return qmdi_cudnn_of_layer(b->shape.name,
							   train(device->state, b, x, gamma, beta, running_mean, running_variance, y));
}

qmd_status qmdi_cudnn_batchnorm_inference(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
										  const float *beta, const float *mean, const float *variance, float *y) {
	const batchnorm *b = plan;
	return qmdi_cudnn_of_layer(b->shape.name, infer(device->state, b, x, gamma, beta, mean, variance, y));
}

qmd_status qmdi_cudnn_batchnorm_backward(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
										 const float *d_y, float *d_gamma, float *d_beta, float *d_x) {
	const batchnorm *b = plan;
	return qmdi_cudnn_of_layer(b->shape.name, backward(device->state, b, x, gamma, d_y, d_gamma, d_beta, d_x));
}

/* Inference of d_y with no mean and no beta. */
qmd_status qmdi_cudnn_batchnorm_backward_inference(qmdi_tensor_device *device, void *plan, const float *gamma,
												   const float *variance, const float *d_y, float *d_x) {
	const batchnorm *b = plan;
	return qmdi_cudnn_of_layer(b->shape.name, infer(device->state, b, d_y, gamma, b->zeros, b->zeros, variance, d_x));
}
