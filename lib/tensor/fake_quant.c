#include "fake_quant.h"

#include "tensor_math.h"

int32_t qmdi_quantize_f32(float x, float scale, int32_t low, int32_t high) {
	const float q = qmdi_quantized(x, scale, (float)low, (float)high);
	return isnan(q) ? 0 : (int32_t)q;
}

void qmdi_fake_quant(const float *x, size_t n, float scale, int32_t low, int32_t high, float *out) {
	for (size_t i = 0; i < n; i++)
		out[i] = scale * qmdi_quantized(x[i], scale, (float)low, (float)high);
}

void qmdi_fake_quant_backward(const float *x, const float *d_out, size_t n, float scale, int32_t low, int32_t high,
							  float *d_x) {
	for (size_t i = 0; i < n; i++)
		d_x[i] = qmdi_straight_through(x[i], d_out[i], scale, (float)low, (float)high);
}

float qmdi_fake_quant_scale_gradient(const float *x, const float *d_out, size_t n, float scale, int32_t low,
									 int32_t high, size_t n_gradient) {
	/* Several sums side by side, so that an addition need not wait for the one before. */
	enum { N_SUMS = 8 };
	double sums[N_SUMS] = {0.0};
	const size_t n_whole = n / N_SUMS * N_SUMS;
	for (size_t i = 0; i < n_whole; i += N_SUMS)
		for (size_t j = 0; j < N_SUMS; j++)
			sums[j] += (double)d_out[i + j] * (double)qmdi_scale_slope(x[i + j], scale, (float)low, (float)high);
	for (size_t i = n_whole; i < n; i++)
		sums[0] += (double)d_out[i] * (double)qmdi_scale_slope(x[i], scale, (float)low, (float)high);
	for (size_t j = 1; j < N_SUMS; j++)
		sums[0] += sums[j];
	return (float)(sums[0] / sqrt((double)n_gradient * (double)high));
}

void qmdi_weight_scales(const float *weights, size_t units, size_t n_per_unit, int32_t high, float *scales) {
	for (size_t unit = 0; unit < units; unit++) {
		const float *w = weights + unit * n_per_unit;
		float largest = 0.0f;
		for (size_t i = 0; i < n_per_unit; i++) {
			const float magnitude = fabsf(w[i]);
			largest = magnitude > largest ? magnitude : largest;
		}
		scales[unit] = qmdi_weight_scale(largest, (float)high);
	}
}

int32_t qmdi_quantize_bias(float bias, float input_scale, float weight_scale) {
	return qmdi_integer_bias(bias, input_scale, weight_scale);
}
