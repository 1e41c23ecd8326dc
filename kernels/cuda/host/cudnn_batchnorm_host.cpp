/* Batch normalization of the emulated cuDNN (CUDNN_BATCHNORM_SPATIAL): statistics of a channel over all else. */
#include <cmath>

#include "cudnn_legacy_host.h"

namespace qmdi::host {

namespace {

using numbers = std::vector<double>;

/* Tensors of parameters: one number a channel. */
cudnnStatus_t check_parameters(cudnnTensorDescriptor_t parameters, cudnnTensorDescriptor_t x) {
	QMDI_CUDNN_CHECK(tensors.has(parameters) && parameters->is_set && parameters->place.type == CUDNN_DATA_FLOAT);
	const int64_t *dims = parameters->place.dims;
	QMDI_CUDNN_CHECK(dims[0] == 1 && dims[1] == x->place.dims[1] && dims[2] == 1 && dims[3] == 1);
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t check_images(cudnnTensorDescriptor_t a, cudnnTensorDescriptor_t b) {
	QMDI_CUDNN_CHECK(std::equal(a->place.dims, a->place.dims + 4, b->place.dims));
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t check_mode(cudnnHandle_t handle, cudnnBatchNormMode_t mode, double epsilon) {
	QMDI_CUDNN_TRY(check_handle(handle));
	QMDI_CUDNN_CHECK(epsilon >= CUDNN_BN_MIN_EPSILON);
	if (mode != CUDNN_BATCHNORM_SPATIAL) {
		return fail(CUDNN_STATUS_NOT_SUPPORTED, "batch normalization mode %d is not emulated", mode);
	}
	return CUDNN_STATUS_SUCCESS;
}

struct images {
	cudnnTensorDescriptor_t tensor;
	const void *memory;
};

cudnnStatus_t check_forward(const images &x, const images &y, cudnnTensorDescriptor_t parameters) {
	QMDI_CUDNN_TRY(check_tensor("x", x.tensor, x.memory));
	QMDI_CUDNN_TRY(check_tensor("y", y.tensor, y.memory));
	QMDI_CUDNN_TRY(check_images(x.tensor, y.tensor));
	return check_parameters(parameters, x.tensor);
}

/* All of them one number a channel. */
cudnnStatus_t check_channels(cudnnTensorDescriptor_t parameters, std::initializer_list<const void *> all) {
	for (const void *memory : all) {
		QMDI_CUDNN_TRY(check_memory("a parameter", memory, parameters->place.n_bytes(), sizeof(float)));
	}
	return CUDNN_STATUS_SUCCESS;
}

struct statistics {
	numbers mean, variance; /* of a channel; biased */
	double n;               /* numbers in it */
};

statistics statistics_of(const numbers &x, size_t n_channels) {
	statistics s = {numbers(n_channels), numbers(n_channels), static_cast<double>(x.size() / n_channels)};
	for (size_t i = 0; i < x.size(); ++i) {
		s.mean[i % n_channels] += x[i] / s.n;
	}
	for (size_t i = 0; i < x.size(); ++i) {
		const double difference = x[i] - s.mean[i % n_channels];
		s.variance[i % n_channels] += difference * difference / s.n;
	}
	return s;
}

numbers inverse_deviations(const numbers &variance, double epsilon) {
	numbers inverse(variance.size());
	for (size_t c = 0; c < inverse.size(); ++c) {
		inverse[c] = 1 / std::sqrt(variance[c] + epsilon);
	}
	return inverse;
}

numbers normalize(numbers x, const numbers &mean, const numbers &inverse, const numbers &scale, const numbers &bias) {
	for (size_t i = 0; i < x.size(); ++i) {
		const size_t c = i % mean.size();
		x[i] = (x[i] - mean[c]) * inverse[c] * scale[c] + bias[c];
	}
	return x;
}

float value_of(const void *number) {
	return *static_cast<const float *>(number);
}

} // namespace

cudnnStatus_t cudnnBatchNormalizationForwardTraining(cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void *alpha,
													 const void *beta, cudnnTensorDescriptor_t x_tensor, const void *x,
													 cudnnTensorDescriptor_t y_tensor, void *y,
													 cudnnTensorDescriptor_t parameters, const void *scale,
													 const void *bias, double factor, void *running_mean,
													 void *running_variance, double epsilon, void *saved_mean,
													 void *saved_inverse) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_TRY(check_mode(handle, mode, epsilon));
	QMDI_CUDNN_CHECK(alpha && beta);
	QMDI_CUDNN_TRY(check_forward({x_tensor, x}, {y_tensor, y}, parameters));
	QMDI_CUDNN_CHECK(!running_mean == !running_variance && !saved_mean == !saved_inverse);
	QMDI_CUDNN_TRY(check_channels(parameters, {scale, bias}));
	if (running_mean) {
		QMDI_CUDNN_TRY(check_channels(parameters, {running_mean, running_variance}));
	}
	if (saved_mean) {
		QMDI_CUDNN_TRY(check_channels(parameters, {saved_mean, saved_inverse}));
	}
	return give(handle, [=, x_layout = x_tensor->place, y_layout = y_tensor->place, p = parameters->place,
						 a = value_of(alpha), b = value_of(beta)] {
		const numbers all = read_numbers(x_layout, x);
		statistics s = statistics_of(all, static_cast<size_t>(x_layout.dims[1]));
		const numbers inverse = inverse_deviations(s.variance, epsilon);
		blend_numbers(y_layout, normalize(all, s.mean, inverse, read_numbers(p, scale), read_numbers(p, bias)), a, b,
					  y);
		if (saved_mean) {
			write_numbers(p, s.mean, saved_mean);
			write_numbers(p, inverse, saved_inverse);
		}
		if (running_mean) {
			for (double &variance : s.variance) {
				variance *= s.n / (s.n - 1); /* without bias; NaN for one number */
			}
			blend_numbers(p, s.mean, factor, 1 - factor, running_mean);
			blend_numbers(p, s.variance, factor, 1 - factor, running_variance);
		}
	});
}

cudnnStatus_t cudnnBatchNormalizationForwardInference(cudnnHandle_t handle, cudnnBatchNormMode_t mode,
													  const void *alpha, const void *beta,
													  cudnnTensorDescriptor_t x_tensor, const void *x,
													  cudnnTensorDescriptor_t y_tensor, void *y,
													  cudnnTensorDescriptor_t parameters, const void *scale,
													  const void *bias, const void *mean, const void *variance,
													  double epsilon) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_TRY(check_mode(handle, mode, epsilon));
	QMDI_CUDNN_CHECK(alpha && beta);
	QMDI_CUDNN_TRY(check_forward({x_tensor, x}, {y_tensor, y}, parameters));
	QMDI_CUDNN_TRY(check_channels(parameters, {scale, bias, mean, variance}));
	return give(handle, [=, x_layout = x_tensor->place, y_layout = y_tensor->place, p = parameters->place,
						 a = value_of(alpha), b = value_of(beta)] {
		const numbers inverse = inverse_deviations(read_numbers(p, variance), epsilon);
		blend_numbers(y_layout,
					  normalize(read_numbers(x_layout, x), read_numbers(p, mean), inverse, read_numbers(p, scale),
								read_numbers(p, bias)),
					  a, b, y);
	});
}

namespace {

/* Of scale and bias, and of x: what a change of it does to the mean and the variance included. */
struct gradients {
	numbers scale, bias, x;
};

gradients backward(const numbers &x, const numbers &d_y, const numbers &scale, const numbers &mean,
				   const numbers &inverse) {
	const size_t n_channels = mean.size();
	const double n = static_cast<double>(x.size() / n_channels);
	gradients g = {numbers(n_channels), numbers(n_channels), numbers(x.size())};
	for (size_t i = 0; i < x.size(); ++i) {
		const size_t c = i % n_channels;
		g.bias[c] += d_y[i];
		g.scale[c] += d_y[i] * (x[i] - mean[c]) * inverse[c];
	}
	for (size_t i = 0; i < x.size(); ++i) {
		const size_t c = i % n_channels;
		const double normalized = (x[i] - mean[c]) * inverse[c];
		g.x[i] = scale[c] * inverse[c] * (d_y[i] - g.bias[c] / n - normalized * g.scale[c] / n);
	}
	return g;
}

} // namespace

cudnnStatus_t cudnnBatchNormalizationBackward(cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void *alpha_data,
											  const void *beta_data, const void *alpha_parameters,
											  const void *beta_parameters, cudnnTensorDescriptor_t x_tensor,
											  const void *x, cudnnTensorDescriptor_t d_y_tensor, const void *d_y,
											  cudnnTensorDescriptor_t d_x_tensor, void *d_x,
											  cudnnTensorDescriptor_t parameters, const void *scale, void *d_scale,
											  void *d_bias, double epsilon, const void *saved_mean,
											  const void *saved_inverse) {
	QMDI_CUDNN_BEGIN;
	QMDI_CUDNN_TRY(check_mode(handle, mode, epsilon));
	QMDI_CUDNN_CHECK(alpha_data && beta_data && alpha_parameters && beta_parameters);
	QMDI_CUDNN_TRY(check_tensor("x", x_tensor, x));
	QMDI_CUDNN_TRY(check_tensor("dy", d_y_tensor, d_y));
	QMDI_CUDNN_TRY(check_tensor("dx", d_x_tensor, d_x));
	QMDI_CUDNN_TRY(check_images(x_tensor, d_y_tensor));
	QMDI_CUDNN_TRY(check_images(x_tensor, d_x_tensor));
	QMDI_CUDNN_TRY(check_parameters(parameters, x_tensor));
	QMDI_CUDNN_CHECK(!saved_mean == !saved_inverse);
	QMDI_CUDNN_TRY(check_channels(parameters, {scale, d_scale, d_bias}));
	if (saved_mean) {
		QMDI_CUDNN_TRY(check_channels(parameters, {saved_mean, saved_inverse}));
	}
	return give(handle, [=, x_layout = x_tensor->place, d_y_layout = d_y_tensor->place, d_x_layout = d_x_tensor->place,
						 p = parameters->place, a = value_of(alpha_data), b = value_of(beta_data),
						 a_parameters = value_of(alpha_parameters), b_parameters = value_of(beta_parameters)] {
		const numbers all = read_numbers(x_layout, x);
		statistics s = statistics_of(all, static_cast<size_t>(x_layout.dims[1]));
		const gradients g =
			backward(all, read_numbers(d_y_layout, d_y), read_numbers(p, scale),
					 saved_mean ? read_numbers(p, saved_mean) : s.mean,
					 saved_mean ? read_numbers(p, saved_inverse) : inverse_deviations(s.variance, epsilon));
		blend_numbers(d_x_layout, g.x, a, b, d_x);
		blend_numbers(p, g.scale, a_parameters, b_parameters, d_scale);
		blend_numbers(p, g.bias, a_parameters, b_parameters, d_bias);
	});
}

} // namespace qmdi::host
