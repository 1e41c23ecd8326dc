/* The emulated cuDNN: its table, failures, handles, and the descriptors of its older functions. */
#include "cudnn_host.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>

#include "cudnn_legacy_host.h"

extern "C" {
#include "base/error.h"
}

namespace qmdi::host {

qmdi_host_vendor vendor = QMDI_HOST_VENDOR;
registry<cudnnContext> handles;
registry<cudnnTensorStruct> tensors;
registry<cudnnPoolingStruct> poolings;

/* ---- Failures ---- */

namespace {
thread_local char last_error[512];
}

cudnnStatus_t fail(cudnnStatus_t status, const char *format, ...) {
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(last_error, sizeof last_error, format, arguments);
	va_end(arguments);
	return status;
}

const char *cudnnGetErrorString(cudnnStatus_t status) {
	switch (status) {
	case CUDNN_STATUS_SUCCESS:
		return "CUDNN_STATUS_SUCCESS";
	case CUDNN_STATUS_NOT_SUPPORTED:
		return "CUDNN_STATUS_NOT_SUPPORTED";
	case CUDNN_STATUS_INTERNAL_ERROR:
		return "CUDNN_STATUS_INTERNAL_ERROR";
	default:
		return CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_BAD_PARAM ? "CUDNN_STATUS_BAD_PARAM"
																	   : "CUDNN_STATUS_EXECUTION_FAILED";
	}
}

void cudnnGetLastErrorString(char *message, size_t max_size) {
	if (max_size != 0) {
		snprintf(message, max_size, "%s", last_error);
	}
	last_error[0] = '\0';
}

size_t cudnnGetVersion(void) {
	return CUDNN_VERSION;
}

/* ---- Handles ---- */

namespace {

template <class T> cudnnStatus_t create_in(registry<T> &all, const T &value, T **object) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_CHECK(object);
	*object = all.create(value);
	return CUDNN_STATUS_SUCCESS;
}

template <class T> cudnnStatus_t destroy_in(registry<T> &all, T *object) {
	const std::lock_guard<std::recursive_mutex> guard(machine_lock());
	QMDI_CUDNN_CHECK(!object || all.destroy(object));
	return CUDNN_STATUS_SUCCESS;
}

} // namespace

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
	return create_in(handles, {qmdi_host_current_device(), nullptr}, handle);
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
	return destroy_in(handles, handle);
}

cudnnStatus_t check_handle(cudnnHandle_t handle) {
	QMDI_CUDNN_CHECK(handles.has(handle));
	if (handle->device != qmdi_host_current_device()) {
		return fail(CUDNN_STATUS_BAD_PARAM, "the handle is of device %d, but device %d is current", handle->device,
					qmdi_host_current_device());
	}
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_TRY(check_handle(handle));
	auto *emulated = reinterpret_cast<qmdi_cuda_stream *>(stream);
	if (!is_stream(emulated)) {
		return fail(CUDNN_STATUS_BAD_PARAM_STREAM_MISMATCH, "cudnnSetStream: not a stream of the handle's device");
	}
	handle->stream = emulated;
	return CUDNN_STATUS_SUCCESS;
}

/* The device has no default stream, which nothing here may use. */
cudnnStatus_t give(cudnnHandle_t handle, std::function<void()> item) {
	if (!handle->stream) {
		return fail(CUDNN_STATUS_EXECUTION_FAILED, "the handle has no stream");
	}
	const qmd_status status = give_work(handle->stream, [item = std::move(item)] {
		item();
		return QMD_OK;
	});
	return status == QMD_OK ? CUDNN_STATUS_SUCCESS : fail(CUDNN_STATUS_EXECUTION_FAILED_CUDART, "%s", qmd_last_error());
}

cudnnStatus_t check_memory(const char *name, const void *pointer, size_t size, size_t alignment) {
	if (!pointer) {
		return fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "%s is NULL", name);
	}
	if (reinterpret_cast<uintptr_t>(pointer) % alignment != 0) {
		return fail(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "%s is not aligned to %zu bytes", name, alignment);
	}
	if (!is_device_memory(pointer, size)) {
		return fail(CUDNN_STATUS_EXECUTION_FAILED, "%s is not %zu bytes of the device", name, size);
	}
	return CUDNN_STATUS_SUCCESS;
}

/* ---- Tensor descriptors ---- */

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *tensor) {
	return create_in(tensors, {}, tensor);
}

cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensor) {
	return destroy_in(tensors, tensor);
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensor, cudnnTensorFormat_t format,
										 cudnnDataType_t type, int n, int c, int h, int w) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_CHECK(tensors.has(tensor));
	QMDI_CUDNN_CHECK(format == CUDNN_TENSOR_NHWC || format == CUDNN_TENSOR_NCHW);
	QMDI_CUDNN_CHECK(size_of(type) != 0);
	QMDI_CUDNN_CHECK(n > 0 && c > 0 && h > 0 && w > 0);
	layout l = {type, {n, c, h, w}, {}};
	if (static_cast<double>(n) * c * h * w > INT32_MAX) {
		return fail(CUDNN_STATUS_NOT_SUPPORTED, "a tensor of more than 2^31 - 1 numbers");
	}
	const bool nhwc = format == CUDNN_TENSOR_NHWC;
	l.strides[0] = l.dims[1] * l.dims[2] * l.dims[3];
	l.strides[1] = nhwc ? 1 : l.dims[2] * l.dims[3];
	l.strides[2] = nhwc ? l.dims[1] * l.dims[3] : l.dims[3];
	l.strides[3] = nhwc ? l.dims[1] : 1;
	tensor->place = l;
	tensor->is_set = true;
	return CUDNN_STATUS_SUCCESS;
}

/* ---- Pooling descriptors ---- */

cudnnStatus_t cudnnCreatePoolingDescriptor(cudnnPoolingDescriptor_t *pooling) {
	return create_in(poolings, {}, pooling);
}

cudnnStatus_t cudnnDestroyPoolingDescriptor(cudnnPoolingDescriptor_t pooling) {
	return destroy_in(poolings, pooling);
}

cudnnStatus_t cudnnSetPooling2dDescriptor(cudnnPoolingDescriptor_t pooling, cudnnPoolingMode_t mode,
										  cudnnNanPropagation_t nan, int window_h, int window_w, int pad_h, int pad_w,
										  int stride_h, int stride_w) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_CHECK(poolings.has(pooling));
	QMDI_CUDNN_CHECK(mode >= CUDNN_POOLING_MAX && mode <= CUDNN_POOLING_MAX_DETERMINISTIC);
	QMDI_CUDNN_CHECK(nan == CUDNN_PROPAGATE_NAN || nan == CUDNN_NOT_PROPAGATE_NAN);
	QMDI_CUDNN_CHECK(window_h > 0 && window_w > 0 && stride_h > 0 && stride_w > 0);
	QMDI_CUDNN_CHECK(pad_h >= 0 && pad_h < window_h && pad_w >= 0 && pad_w < window_w);
	*pooling = {true, mode, nan == CUDNN_PROPAGATE_NAN, {window_h, window_w}, {pad_h, pad_w}, {stride_h, stride_w}};
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t pooled_dims(cudnnPoolingDescriptor_t pooling, cudnnTensorDescriptor_t x, int64_t (&dims)[4]) {
	QMDI_CUDNN_CHECK(poolings.has(pooling) && pooling->is_set);
	QMDI_CUDNN_CHECK(tensors.has(x) && x->is_set);
	dims[0] = x->place.dims[0];
	dims[1] = x->place.dims[1];
	for (int i = 0; i < 2; ++i) {
		const int64_t room = x->place.dims[2 + i] + 2 * pooling->padding[i] - pooling->window[i];
		QMDI_CUDNN_CHECK(room >= 0);
		dims[2 + i] = room / pooling->stride[i] + 1;
	}
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetPooling2dForwardOutputDim(cudnnPoolingDescriptor_t pooling, cudnnTensorDescriptor_t x, int *n,
												int *c, int *h, int *w) {
	QMDI_CUDNN_BEGIN;
	int64_t dims[4];
	QMDI_CUDNN_CHECK(n && c && h && w);
	QMDI_CUDNN_TRY(pooled_dims(pooling, x, dims));
	*n = static_cast<int>(dims[0]);
	*c = static_cast<int>(dims[1]);
	*h = static_cast<int>(dims[2]);
	*w = static_cast<int>(dims[3]);
	return CUDNN_STATUS_SUCCESS;
}

} // namespace qmdi::host

/* ---- In place of the loader ---- */

void qmdi_host_vendor_set(const qmdi_host_vendor *wanted) {
	const std::lock_guard<std::recursive_mutex> guard(qmdi::host::machine_lock());
	qmdi::host::vendor = *wanted;
}

qmd_status qmdi_vendor_open(const qmdi_vendor **vendor) {
	static const qmdi_vendor emulated = {
#define POINTER(function) qmdi::host::function,
		QMDI_CUDNN_FUNCTIONS(POINTER) QMDI_CUBLAS_FUNCTIONS(POINTER)
#undef POINTER
	};
	const std::lock_guard<std::recursive_mutex> guard(qmdi::host::machine_lock());
	if (!qmdi::host::count_call()) {
		return qmdi_fail(QMD_ERROR_INTERNAL, "qmdi_vendor_open: a failure that was asked for");
	}
	if (qmdi::host::vendor.is_missing) {
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "libcudnn.so.9 is not there (emulated)");
	}
	*vendor = &emulated;
	return QMD_OK;
}
