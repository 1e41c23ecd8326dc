/* Quantization in floats, by the rules of docs/numerics.md: q = rint(clamp(x / scale, low, high)), result scale * q. */
#ifndef QMD_LIB_FAKE_QUANT_H
#define QMD_LIB_FAKE_QUANT_H

#include <stddef.h>
#include <stdint.h>

/* The integer of one number: a true division, clamp, ties to even. */
int32_t qmdi_quantize_f32(float x, float scale, int32_t low, int32_t high);

/* out = fake-quantized x, n numbers with one scale. In place is allowed. */
void qmdi_fake_quant(const float *x, size_t n, float scale, int32_t low, int32_t high, float *out);

/* Straight-through estimator: d_x = d_out where x / scale lies in [low, high], else 0. In place is allowed. */
void qmdi_fake_quant_backward(const float *x, const float *d_out, size_t n, float scale, int32_t low, int32_t high,
							  float *d_x);

/* Gradient of the scale by LSQ (Esser et al. 2020, eq. 3), times 1 / sqrt(n_gradient * high). */
float qmdi_fake_quant_scale_gradient(const float *x, const float *d_out, size_t n, float scale, int32_t low,
									 int32_t high, size_t n_gradient);

/* Per-channel max-abs scales of weights [units][n_per_unit]: max|w| / high; 1 for a channel of zeros. */
void qmdi_weight_scales(const float *weights, size_t units, size_t n_per_unit, int32_t high, float *scales);

/* Bias as int32: rint(b / (s_x * s_w)) in FP64, saturated to int32. */
int32_t qmdi_quantize_bias(float bias, float input_scale, float weight_scale);

#endif
