/* The column of cuDNN, cuBLAS and kernels of our own: the device, its memory, and what our own kernels do. */
#include "tensor_cudnn.h"

#include <string.h>

#include "base/memory.h"
#include "cuda/cuda_device.h"
#include "cuda/softmax_f32.h"
#include "cuda/train/train_kernels.h"

/* NVIDIA recommends 32 MiB from sm_90 on. One workspace of a fixed size for one stream: then cuBLAS gives the same bits
 * in each run. */
static size_t cublas_workspace(const qmdi_cuda_device *device) {
	return (size_t)(device->capability >= 90 ? 32 : 4) << 20;
}

static qmdi_cudnn_device *state_of(const qmdi_tensor_device *device) {
	return device->state;
}

/* ---- Errors ---- */

qmd_status qmdi_cudnn_of_layer(const char *name, qmd_status status) {
	return status == QMD_OK ? QMD_OK : qmdi_fail_within(status, "layer '%s'", name);
}

qmd_status qmdi_cublas_check(const qmdi_vendor *vendor, cublasStatus_t status, const char *call) {
	if (status == CUBLAS_STATUS_SUCCESS)
		return QMD_OK;
	qmd_status code = QMD_ERROR_INTERNAL;
	if (status == CUBLAS_STATUS_ALLOC_FAILED)
		code = QMD_ERROR_MEMORY;
	else if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_ARCH_MISMATCH)
		code = QMD_ERROR_UNSUPPORTED;
	return qmdi_fail(code, "cuBLAS: %s: %s", call, vendor->cublasGetStatusString(status));
}

/* ---- The device ---- */

/* FP32 as IEEE has it: no TF32, no sums of BF16, whatever the environment of the process asks for. */
static qmd_status open_cublas(qmdi_cudnn_device *device) {
	const qmdi_vendor *vendor = device->cudnn.vendor;
	const size_t size = cublas_workspace(&device->device);
	QMDI_TRY(QMDI_CUBLAS_CALL(vendor, cublasCreate_v2, &device->cublas));
	QMDI_TRY(QMDI_CUBLAS_CALL(vendor, cublasSetStream_v2, device->cublas, (cudaStream_t)device->stream));
	QMDI_TRY(qmdi_cuda_allocate(size, &device->cublas_workspace));
	QMDI_TRY(QMDI_CUBLAS_CALL(vendor, cublasSetWorkspace_v2, device->cublas, device->cublas_workspace, size));
	return QMDI_CUBLAS_CALL(vendor, cublasSetMathMode, device->cublas, CUBLAS_PEDANTIC_MATH);
}

static qmd_status open_all(qmdi_cudnn_device *device) {
	const qmdi_vendor *vendor = device->cudnn.vendor;
	QMDI_TRY(qmdi_cuda_stream_create(&device->stream));
	QMDI_TRY(QMDI_CUDNN_CALL(vendor, cudnnCreate, &device->cudnn.handle));
	QMDI_TRY(QMDI_CUDNN_CALL(vendor, cudnnSetStream, device->cudnn.handle, (cudaStream_t)device->stream));
	return open_cublas(device);
}

static void close_all(void *opened) {
	qmdi_cudnn_device *device = opened;
	const qmdi_vendor *vendor = device->cudnn.vendor;
	if (device->cublas)
		(void)vendor->cublasDestroy_v2(device->cublas);
	if (device->cudnn.handle)
		(void)vendor->cudnnDestroy(device->cudnn.handle);
	qmdi_cuda_release(device->cublas_workspace);
	qmdi_cuda_release(device->workspace);
	qmdi_cuda_stream_free(device->stream);
}

static qmd_status open_on_device(qmdi_cudnn_device *device) {
	const qmd_status status = open_all(device);
	if (status != QMD_OK)
		close_all(device);
	return status;
}

static qmd_status enter_and_open(qmdi_cudnn_device *device) {
	QMDI_CUDA_ON_DEVICE(device->device.number, open_on_device(device));
}

static qmd_status open_device(qmdi_tensor_device *tensor_device, int number, size_t n_threads) {
	(void)n_threads;
	qmdi_cudnn_device opened = {0};
	QMDI_TRY(qmdi_cuda_find_usable_device(number, &opened.device));
	QMDI_TRY(qmdi_vendor_open(&opened.cudnn.vendor));
	qmdi_cudnn_device *device = tensor_device->state = qmdi_copy(&opened, 1, sizeof opened);
	if (!device)
		return QMD_ERROR_MEMORY;
	const qmd_status status = enter_and_open(device);
	if (status != QMD_OK) {
		qmdi_release(device);
		tensor_device->state = NULL;
	}
	return status;
}

void qmdi_cudnn_give_back(qmdi_cudnn_device *device, void (*give)(void *), void *what) {
	qmdi_cuda_give_back(device->device.number, device->stream, give, what);
}

static void close_device(qmdi_tensor_device *device) {
	qmdi_cudnn_give_back(state_of(device), close_all, state_of(device));
	qmdi_release(device->state);
}

/* The floating-point environment is for what the host computes in between. */
static qmd_status enter(qmdi_tensor_device *device) {
	QMDI_TRY(qmdi_cuda_enter(state_of(device)->device.number, &state_of(device)->before));
	qmdi_float_enter(&state_of(device)->environment);
	return QMD_OK;
}

static void leave(qmdi_tensor_device *device) {
	qmdi_float_leave(&state_of(device)->environment);
	qmdi_cuda_leave(&state_of(device)->before);
}

/* ---- Memory ---- */

static qmd_status allocate_zeros(qmdi_cudnn_device *device, size_t size, void **memory) {
	void *zeros = NULL;
	QMDI_TRY(qmdi_cuda_allocate(size, &zeros));
	const qmd_status status = qmdi_cuda_fill(device->stream, zeros, 0, size);
	if (status == QMD_OK)
		*memory = zeros;
	else
		qmdi_cuda_release(zeros);
	return status;
}

/* Bytes of n floats, at least one. */
static qmd_status size_of_floats(size_t n, size_t *size) {
	if (n > SIZE_MAX / sizeof(float))
		return qmdi_fail(QMD_ERROR_MEMORY, "CUDA: the device has no memory for %zu numbers", n);
	*size = (n > 0 ? n : 1) * sizeof(float);
	return QMD_OK;
}

static qmd_status allocate(qmdi_tensor_device *device, size_t n, float **tensor) {
	size_t size = 0;
	QMDI_TRY(size_of_floats(n, &size));
	QMDI_CUDA_ON_DEVICE(state_of(device)->device.number, allocate_zeros(state_of(device), size, (void **)tensor));
}

static void release(qmdi_tensor_device *device, float *tensor) {
	if (tensor)
		qmdi_cudnn_give_back(state_of(device), qmdi_cuda_release, tensor);
}

static qmd_status allocate_pinned(qmdi_cudnn_device *device, size_t size, void **array) {
	QMDI_CUDA_ON_DEVICE(device->device.number, qmdi_cuda_allocate_pinned(size, array));
}

static qmd_status allocate_host(qmdi_tensor_device *device, size_t n, float **array) {
	size_t size = 0;
	QMDI_TRY(size_of_floats(n, &size));
	QMDI_TRY(allocate_pinned(state_of(device), size, (void **)array));
	memset(*array, 0, size);
	return QMD_OK;
}

static void release_host(qmdi_tensor_device *device, float *array) {
	if (array)
		qmdi_cudnn_give_back(state_of(device), qmdi_cuda_release_pinned, array);
}

static qmd_status copy_floats(qmdi_cudnn_device *device, const float *from, size_t n, float *to) {
	return n > 0 ? qmdi_cuda_copy(device->stream, to, from, n * sizeof *to) : QMD_OK;
}

static qmd_status upload(qmdi_tensor_device *device, const float *from, size_t n, float *to) {
	QMDI_CUDA_ON_DEVICE(state_of(device)->device.number, copy_floats(state_of(device), from, n, to));
}

static qmd_status copy_and_wait(qmdi_cudnn_device *device, const float *from, size_t n, float *to) {
	QMDI_TRY(copy_floats(device, from, n, to));
	return qmdi_cuda_stream_wait(device->stream);
}

static qmd_status download(qmdi_tensor_device *device, const float *from, size_t n, float *to) {
	QMDI_CUDA_ON_DEVICE(state_of(device)->device.number, copy_and_wait(state_of(device), from, n, to));
}

static qmd_status wait_for_all(qmdi_tensor_device *device) {
	QMDI_CUDA_ON_DEVICE(state_of(device)->device.number, qmdi_cuda_stream_wait(state_of(device)->stream));
}

static qmd_status available(qmdi_tensor_device *device, size_t *bytes) {
	QMDI_CUDA_ON_DEVICE(state_of(device)->device.number, qmdi_cuda_available(bytes));
}

/* The old piece may still be needed by what the stream has to do. */
qmd_status qmdi_cudnn_workspace(qmdi_cudnn_device *device, size_t size, void **workspace) {
	if (size > device->workspace_size) {
		QMDI_TRY(qmdi_cuda_stream_wait(device->stream));
		qmdi_cuda_release(device->workspace);
		device->workspace = NULL;
		device->workspace_size = 0;
		QMDI_TRY(qmdi_cuda_allocate(size, &device->workspace));
		device->workspace_size = size;
	}
	*workspace = device->workspace;
	return QMD_OK;
}

/* ---- Kernels of our own ---- */

qmd_status qmdi_cudnn_submit(qmdi_cudnn_device *device, const char *what, int refused, const qmdi_cuda_launch *launches,
							 size_t n) {
	if (refused)
		return qmdi_fail(QMD_ERROR_RANGE, "%s: no numbers, or more than 2^31 - 1", what);
	for (size_t i = 0; i < n; i++)
		QMDI_TRY(qmdi_cuda_submit(device->stream, &launches[i], 0));
	return QMD_OK;
}

static qmd_status copy(qmdi_tensor_device *device, size_t n, const float *x, float *y) {
	return x == y ? QMD_OK : copy_floats(state_of(device), x, n, y);
}

static qmd_status add(qmdi_tensor_device *device, size_t n, const float *a, const float *b, float *y) {
	qmdi_cuda_launch launch;
	const int refused = qmdi_cuda_add_launch(n, a, b, y, &launch);
	return qmdi_cudnn_submit(state_of(device), "add", refused, &launch, 1);
}

static qmd_status multiply(qmdi_tensor_device *device, size_t n, const float *a, const float *b, float *y) {
	qmdi_cuda_launch launch;
	const int refused = qmdi_cuda_multiply_launch(n, a, b, y, &launch);
	return qmdi_cudnn_submit(state_of(device), "multiply", refused, &launch, 1);
}

static qmd_status relu(qmdi_tensor_device *device, size_t n, const float *x, float *y) {
	qmdi_cuda_launch launch;
	const int refused = qmdi_cuda_relu_launch(n, x, y, &launch);
	return qmdi_cudnn_submit(state_of(device), "relu", refused, &launch, 1);
}

static qmd_status relu_backward(qmdi_tensor_device *device, size_t n, const float *y, const float *d_y, float *d_x) {
	qmdi_cuda_launch launch;
	const int refused = qmdi_cuda_relu_backward_launch(n, y, d_y, d_x, &launch);
	return qmdi_cudnn_submit(state_of(device), "gradient of relu", refused, &launch, 1);
}

static qmd_status dropout_mask(qmdi_tensor_device *device, size_t n, uint64_t seed, uint64_t stream, float rate,
							   float *mask) {
	qmdi_cuda_launch launch;
	const int refused = qmdi_cuda_dropout_mask_launch(n, seed, stream, rate, mask, &launch);
	return qmdi_cudnn_submit(state_of(device), "dropout", refused, &launch, 1);
}

static qmd_status softmax(qmdi_tensor_device *device, size_t n_images, size_t n_classes, const float *logits,
						  float *probabilities) {
	qmdi_cuda_launch launch;
	const size_t stride = n_classes * sizeof *logits;
	const qmdi_cuda_softmax numbers = {logits, probabilities, stride, stride, (uint32_t)n_images, (uint32_t)n_classes};
	const int refused = n_images == 0 || n_classes == 0 || n_images > INT32_MAX / n_classes;
	qmdi_cuda_softmax_launch(&numbers, &launch);
	return qmdi_cudnn_submit(state_of(device), "softmax", refused, &launch, 1);
}

static qmd_status weight_scales(qmdi_tensor_device *device, size_t n_units, size_t n_per_unit, int32_t high,
								const float *w, float *scales) {
	qmdi_cuda_launch launch;
	const int refused = qmdi_cuda_weight_scales_launch(n_units, n_per_unit, high, w, scales, &launch);
	return qmdi_cudnn_submit(state_of(device), "scales of weights", refused, &launch, 1);
}

static qmd_status fake_quant(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x, float *y) {
	qmdi_cuda_launch launch;
	const int refused = qmdi_cuda_fake_quant_launch(grid, x, y, &launch);
	return qmdi_cudnn_submit(state_of(device), "fake-quant", refused, &launch, 1);
}

static qmd_status fake_quant_backward(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x,
									  const float *d_y, float *d_x) {
	qmdi_cuda_launch launch;
	const int refused = qmdi_cuda_fake_quant_backward_launch(grid, x, d_y, d_x, &launch);
	return qmdi_cudnn_submit(state_of(device), "gradient of fake-quant", refused, &launch, 1);
}

static qmd_status scale_gradients(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x, const float *d_y,
								  float *gradients) {
	qmdi_cuda_launch launches[2];
	void *scratch;
	QMDI_TRY(qmdi_cudnn_workspace(state_of(device), qmdi_cuda_scale_gradients_scratch(grid), &scratch));
	const int refused = qmdi_cuda_scale_gradients_launch(grid, x, d_y, scratch, gradients, launches);
	return qmdi_cudnn_submit(state_of(device), "gradients of scales", refused, launches, 2);
}

static qmd_status quantize_bias(qmdi_tensor_device *device, size_t n_units, const float *input_scale,
								const float *weight_scales_, const float *bias, float *out) {
	qmdi_cuda_launch launch;
	const int refused = qmdi_cuda_quantize_bias_launch(n_units, input_scale, weight_scales_, bias, out, &launch);
	return qmdi_cudnn_submit(state_of(device), "fake-quant of a bias", refused, &launch, 1);
}

static qmd_status update(qmdi_tensor_device *device, const qmdi_update *step) {
	qmdi_cuda_launch launch;
	const int refused = qmdi_cuda_update_launch(step, &launch);
	return qmdi_cudnn_submit(state_of(device), "update", refused, &launch, 1);
}

/* ---- The table ---- */

static const qmdi_tensor_ops operations = {
	.name = "cuda",
	.open = open_device,
	.close = close_device,
	.enter = enter,
	.leave = leave,
	.allocate = allocate,
	.release = release,
	.allocate_host = allocate_host,
	.release_host = release_host,
	.upload = upload,
	.download = download,
	.wait = wait_for_all,
	.available = available,
	.linear_create = qmdi_cudnn_linear_create,
	.linear_destroy = qmdi_cudnn_linear_destroy,
	.linear_forward = qmdi_cudnn_linear_forward,
	.linear_backward_parameters = qmdi_cudnn_linear_backward_parameters,
	.linear_backward_input = qmdi_cudnn_linear_backward_input,
	.pool_create = qmdi_cudnn_pool_create,
	.pool_destroy = qmdi_cudnn_pool_destroy,
	.pool_forward = qmdi_cudnn_pool_forward,
	.pool_backward = qmdi_cudnn_pool_backward,
	.batchnorm_create = qmdi_cudnn_batchnorm_create,
	.batchnorm_destroy = qmdi_cudnn_batchnorm_destroy,
	.batchnorm_training = qmdi_cudnn_batchnorm_training,
	.batchnorm_inference = qmdi_cudnn_batchnorm_inference,
	.batchnorm_backward = qmdi_cudnn_batchnorm_backward,
	.batchnorm_backward_inference = qmdi_cudnn_batchnorm_backward_inference,
	.copy = copy,
	.add = add,
	.multiply = multiply,
	.relu = relu,
	.relu_backward = relu_backward,
	.dropout_mask = dropout_mask,
	.softmax = softmax,
	.weight_scales = weight_scales,
	.fake_quant = fake_quant,
	.fake_quant_backward = fake_quant_backward,
	.scale_gradients = scale_gradients,
	.quantize_bias = quantize_bias,
	.update = update,
};

const qmdi_tensor_ops *const qmdi_tensor_cudnn = &operations;
