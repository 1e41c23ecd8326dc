/*
 * What tensor operations do to one number, for the loops of the CPU and the kernels of CUDA: one text, hence the same
 * bits. NaN passes, so that a training that diverges shows.
 */
#ifndef QMD_LIB_TENSOR_MATH_H
#define QMD_LIB_TENSOR_MATH_H

#include <float.h>
#include <math.h>

#include "base/random_math.h"
#include "base/shared_math.h"
#include "tensor/tensor.h"

/* ---- Dropout ---- */

/* A factor of the mask by its random word; `kept` is 1 / (1 - rate). */
QMDI_SHARED_MATH float qmdi_dropout_factor(uint32_t word, float rate, float kept) {
	return qmdi_uniform(word) < rate ? 0.0f : kept;
}

/* ---- Fake-quant ---- */

/*
 * Round half to even, for |x| <= 2^22 in the default rounding mode: adding 1.5 * 2^23 leaves no fraction bits. Unlike
 * rintf() compilers turn it into vectors without SSE4.1.
 */
QMDI_SHARED_MATH float qmdi_round_to_even(float x) {
	const float shift = 0x1.8p23f;
	return (x + shift) - shift;
}

QMDI_SHARED_MATH float qmdi_clamp(float x, float low, float high) {
	x = x < low ? low : x;
	return x > high ? high : x;
}

/* The integer as a float. */
QMDI_SHARED_MATH float qmdi_quantized(float x, float scale, float low, float high) {
	return qmdi_round_to_even(qmdi_clamp(x / scale, low, high));
}

/* The gradient by the straight-through estimator. Without a branch, which would be mispredicted and is no vector. */
QMDI_SHARED_MATH float qmdi_straight_through(float x, float d, float scale, float low, float high) {
	const float q = x / scale;
	return (q < low) | (q > high) ? 0.0f : d;
}

/* d y / d scale of one number. */
QMDI_SHARED_MATH float qmdi_scale_slope(float x, float scale, float low, float high) {
	const float q = x / scale;
	const float inside = (q > low) & (q < high) ? q : 0.0f;
	return qmdi_round_to_even(qmdi_clamp(q, low, high)) - inside;
}

/* Of a unit, by the largest magnitude of its weights. Below the normal numbers a scale has no precision left: such a
 * unit counts as zeros. */
QMDI_SHARED_MATH float qmdi_weight_scale(float largest, float high) {
	const float scale = largest / high;
	return scale < FLT_MIN ? 1.0f : scale;
}

/* A bias in steps of input_scale * weight_scale, saturated to int32, NaN to 0. */
QMDI_SHARED_MATH int32_t qmdi_integer_bias(float bias, float input_scale, float weight_scale) {
	const double q = rint((double)bias / ((double)input_scale * (double)weight_scale));
	if (!(q == q))
		return 0;
	return q <= (double)INT32_MIN ? INT32_MIN : q >= (double)INT32_MAX ? INT32_MAX : (int32_t)q;
}

/* The same as a float. */
QMDI_SHARED_MATH float qmdi_quantized_bias(float bias, float input_scale, float weight_scale) {
	const double step = (double)input_scale * (double)weight_scale;
	return (float)(step * (double)qmdi_integer_bias(bias, input_scale, weight_scale));
}

/* ---- Optimizer ---- */

QMDI_SHARED_MATH float qmdi_next_moment(float moment, float beta, float x) {
	const float next = beta * moment + (1.0f - beta) * x;
	return fabsf(next) < FLT_MIN ? 0.0f : next;
}

/* Adam's step of one value along its gradient g. */
QMDI_SHARED_MATH void qmdi_adam(const qmdi_update *u, float g, float *m, float *v, float *w) {
	*m = qmdi_next_moment(*m, u->beta1, g);
	*v = qmdi_next_moment(*v, u->beta2, g * g);
	*w = u->keep * *w - u->rate * (*m / u->correction1) / (sqrtf(*v / u->correction2) + u->epsilon);
}

QMDI_SHARED_MATH void qmdi_rmsprop(const qmdi_update *u, float g, float *v, float *w) {
	*v = qmdi_next_moment(*v, u->beta2, g * g);
	*w = u->keep * *w - u->rate * g / (sqrtf(*v) + u->epsilon);
}

#endif
