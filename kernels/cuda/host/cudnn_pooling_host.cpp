/* Pooling of the emulated cuDNN. */
#include <cmath>
#include <limits>

#include "cudnn_legacy_host.h"

namespace qmdi::host {

cudnnStatus_t check_tensor(const char *name, cudnnTensorDescriptor_t tensor, const void *memory) {
	QMDI_CUDNN_CHECK(tensors.has(tensor) && tensor->is_set);
	if (tensor->place.type != CUDNN_DATA_FLOAT) {
		return fail(CUDNN_STATUS_NOT_SUPPORTED, "%s is not FP32", name);
	}
	return check_memory(name, memory, tensor->place.n_bytes(), sizeof(float));
}

namespace {

bool same_dims(const layout &a, const layout &b) {
	return std::equal(a.dims, a.dims + 4, b.dims);
}

/* One window of one channel: the numbers of x within it. */
struct window {
	std::vector<size_t> inputs;
	size_t n_positions; /* with those of the padding */
};

/* visit(output, window) for every output in the order n, h, w, c */
template <class Visit>
void for_each_window(const cudnnPoolingStruct &p, const layout &x, const layout &y, Visit visit) {
	size_t output = 0;
	for (int64_t n = 0; n < y.dims[0]; ++n) {
		for (int64_t h = 0; h < y.dims[2]; ++h) {
			for (int64_t w = 0; w < y.dims[3]; ++w) {
				for (int64_t c = 0; c < y.dims[1]; ++c) {
					window in = {{}, static_cast<size_t>(p.window[0] * p.window[1])};
					for (int64_t i = 0; i < p.window[0] * p.window[1]; ++i) {
						const int64_t row = h * p.stride[0] - p.padding[0] + i / p.window[1];
						const int64_t column = w * p.stride[1] - p.padding[1] + i % p.window[1];
						if (row >= 0 && row < x.dims[2] && column >= 0 && column < x.dims[3]) {
							in.inputs.push_back(
								static_cast<size_t>(((n * x.dims[2] + row) * x.dims[3] + column) * x.dims[1] + c));
						}
					}
					visit(output++, in);
				}
			}
		}
	}
}

bool is_maximum(const cudnnPoolingStruct &p) {
	return p.mode == CUDNN_POOLING_MAX || p.mode == CUDNN_POOLING_MAX_DETERMINISTIC;
}

double divisor(const cudnnPoolingStruct &p, const window &in) {
	return static_cast<double>(p.mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING ? in.n_positions
																					 : in.inputs.size());
}

/* The last of equals; a NaN is the greatest, or the least of all where it does not propagate. */
size_t place_of_maximum(const cudnnPoolingStruct &p, const window &in, const std::vector<double> &x) {
	size_t best = in.inputs[0];
	for (const size_t i : in.inputs) {
		const bool is_greater = x[i] >= x[best];
		const bool is_better = p.propagates_nan ? std::isnan(x[i]) || is_greater : std::isnan(x[best]) || is_greater;
		best = is_better ? i : best;
	}
	return best;
}

std::vector<double> pool(const cudnnPoolingStruct &p, const layout &x_layout, const layout &y_layout,
						 const std::vector<double> &x) {
	std::vector<double> y(static_cast<size_t>(y_layout.n_numbers()));
	for_each_window(p, x_layout, y_layout, [&](size_t output, const window &in) {
		if (is_maximum(p)) {
			y[output] = x[place_of_maximum(p, in, x)];
			return;
		}
		double sum = 0;
		for (const size_t i : in.inputs) {
			sum += x[i];
		}
		y[output] = sum / divisor(p, in);
	});
	return y;
}

std::vector<double> pool_gradient(const cudnnPoolingStruct &p, const layout &x_layout, const layout &y_layout,
								  const std::vector<double> &x, const std::vector<double> &d_y) {
	std::vector<double> d_x(static_cast<size_t>(x_layout.n_numbers()));
	for_each_window(p, x_layout, y_layout, [&](size_t output, const window &in) {
		if (is_maximum(p)) {
			d_x[place_of_maximum(p, in, x)] += d_y[output];
			return;
		}
		for (const size_t i : in.inputs) {
			d_x[i] += d_y[output] / divisor(p, in);
		}
	});
	const uint64_t run = next_run();
	for (size_t i = 0; i < d_x.size() && p.mode == CUDNN_POOLING_MAX; ++i) {
		d_x[i] = disturb(d_x[i], run, i);
	}
	return d_x;
}

/* Forward in FP16 and INT8 too. */
cudnnStatus_t check_pooled_tensor(const char *name, cudnnTensorDescriptor_t tensor, const void *memory) {
	QMDI_CUDNN_CHECK(tensors.has(tensor) && tensor->is_set);
	const cudnnDataType_t type = tensor->place.type;
	if ((type == CUDNN_DATA_INT8 && vendor.refuses & QMDI_HOST_INT8) ||
		(type == CUDNN_DATA_HALF && vendor.refuses & QMDI_HOST_FP16) || type == CUDNN_DATA_INT32) {
		return fail(CUDNN_STATUS_NOT_SUPPORTED, "%s is of a type that is refused", name);
	}
	return check_memory(name, memory, tensor->place.n_bytes(), size_of(type));
}

cudnnStatus_t check_pooled(cudnnPoolingDescriptor_t pooling, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t y) {
	int64_t dims[4];
	QMDI_CUDNN_TRY(pooled_dims(pooling, x, dims));
	QMDI_CUDNN_CHECK(std::equal(dims, dims + 4, y->place.dims));
	return CUDNN_STATUS_SUCCESS;
}

} // namespace

cudnnStatus_t cudnnPoolingForward(cudnnHandle_t handle, cudnnPoolingDescriptor_t pooling, const void *alpha,
								  cudnnTensorDescriptor_t x_tensor, const void *x, const void *beta,
								  cudnnTensorDescriptor_t y_tensor, void *y) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_TRY(check_handle(handle));
	QMDI_CUDNN_CHECK(alpha && beta);
	QMDI_CUDNN_TRY(check_pooled_tensor("x", x_tensor, x));
	QMDI_CUDNN_TRY(check_pooled_tensor("y", y_tensor, y));
	QMDI_CUDNN_CHECK(x_tensor->place.type == y_tensor->place.type);
	QMDI_CUDNN_TRY(check_pooled(pooling, x_tensor, y_tensor));
	return give(handle, [=, p = *pooling, x_layout = x_tensor->place, y_layout = y_tensor->place,
						 a = *static_cast<const float *>(alpha), b = *static_cast<const float *>(beta)] {
		blend_numbers(y_layout, pool(p, x_layout, y_layout, read_numbers(x_layout, x)), a, b, y);
	});
}

cudnnStatus_t cudnnPoolingBackward(cudnnHandle_t handle, cudnnPoolingDescriptor_t pooling, const void *alpha,
								   cudnnTensorDescriptor_t y_tensor, const void *y, cudnnTensorDescriptor_t d_y_tensor,
								   const void *d_y, cudnnTensorDescriptor_t x_tensor, const void *x, const void *beta,
								   cudnnTensorDescriptor_t d_x_tensor, void *d_x) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_TRY(check_handle(handle));
	QMDI_CUDNN_CHECK(alpha && beta);
	QMDI_CUDNN_TRY(check_tensor("y", y_tensor, y));
	QMDI_CUDNN_TRY(check_tensor("dy", d_y_tensor, d_y));
	QMDI_CUDNN_TRY(check_tensor("x", x_tensor, x));
	QMDI_CUDNN_TRY(check_tensor("dx", d_x_tensor, d_x));
	QMDI_CUDNN_TRY(check_pooled(pooling, x_tensor, y_tensor));
	QMDI_CUDNN_CHECK(same_dims(y_tensor->place, d_y_tensor->place));
	QMDI_CUDNN_CHECK(same_dims(x_tensor->place, d_x_tensor->place));
	return give(handle, [=, p = *pooling, x_layout = x_tensor->place, d_y_layout = d_y_tensor->place,
						 d_x_layout = d_x_tensor->place, a = *static_cast<const float *>(alpha),
						 b = *static_cast<const float *>(beta)] {
		blend_numbers(d_x_layout,
					  pool_gradient(p, x_layout, d_y_layout, read_numbers(x_layout, x), read_numbers(d_y_layout, d_y)),
					  a, b, d_x);
	});
}

} // namespace qmdi::host
