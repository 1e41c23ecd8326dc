#include "fake_quant.h"

#include <float.h>
#include <math.h>

/*
 * Round half to even, for |x| <= 2^22 in the default rounding mode: adding 1.5 * 2^23 leaves no fraction bits. Unlike
 * rintf() compilers turn it into vectors without SSE4.1.
 */
static inline float round_to_even(float x) {
	const float shift = 0x1.8p23f;
	return (x + shift) - shift;
}

/* The integer as a float. NaN stays NaN, so that a training that diverges shows. */
static inline float quantize(float x, float scale, float low, float high) {
	float q = x / scale;
	q = q < low ? low : q;
	q = q > high ? high : q;
	return round_to_even(q);
}

int32_t qmdi_quantize_f32(float x, float scale, int32_t low, int32_t high) {
	const float q = quantize(x, scale, (float)low, (float)high);
	return isnan(q) ? 0 : (int32_t)q;
}

void qmdi_fake_quant(const float *x, size_t n, float scale, int32_t low, int32_t high, float *out) {
	for (size_t i = 0; i < n; i++)
		out[i] = scale * quantize(x[i], scale, (float)low, (float)high);
}

void qmdi_fake_quant_backward(const float *x, const float *d_out, size_t n, float scale, int32_t low, int32_t high,
							  float *d_x) {
	const float lowest = (float)low, highest = (float)high;
	for (size_t i = 0; i < n; i++) {
		const float q = x[i] / scale;
		const float d = d_out[i]; /* read in any case: a branch here would be mispredicted, and is no vector */
		d_x[i] = (q < lowest) | (q > highest) ? 0.0f : d;
	}
}

/* d out / d scale of one number. */
static inline float scale_slope(float x, float scale, float low, float high) {
	const float q = x / scale;
	float clamped = q < low ? low : q;
	clamped = clamped > high ? high : clamped;
	const float inside = (q > low) & (q < high) ? q : 0.0f;
	return round_to_even(clamped) - inside;
}

float qmdi_fake_quant_scale_gradient(const float *x, const float *d_out, size_t n, float scale, int32_t low,
									 int32_t high, size_t n_gradient) {
	/* Several sums side by side, so that an addition need not wait for the one before. */
	enum { N_SUMS = 8 };
	double sums[N_SUMS] = {0.0};
	const size_t n_whole = n / N_SUMS * N_SUMS;
	for (size_t i = 0; i < n_whole; i += N_SUMS)
		for (size_t j = 0; j < N_SUMS; j++)
			sums[j] += (double)d_out[i + j] * (double)scale_slope(x[i + j], scale, (float)low, (float)high);
	for (size_t i = n_whole; i < n; i++)
		sums[0] += (double)d_out[i] * (double)scale_slope(x[i], scale, (float)low, (float)high);
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
		const float scale = largest / (float)high;
		/* Below the normal numbers a scale has no precision left: such a channel counts as zeros. */
		scales[unit] = scale < FLT_MIN ? 1.0f : scale;
	}
}

int32_t qmdi_quantize_bias(float bias, float input_scale, float weight_scale) {
	const double q = rint((double)bias / ((double)input_scale * (double)weight_scale));
	if (isnan(q))
		return 0;
	return q <= (double)INT32_MIN ? INT32_MIN : q >= (double)INT32_MAX ? INT32_MAX : (int32_t)q;
}
