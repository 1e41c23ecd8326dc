/*
 * conv_x8s8_ref: 2-D convolution (cross-correlation) of bytes, the definition of what every conv2d kernel gives.
 *
 *     acc[y][x][c] = bias[c] + sum over i, j, k of input[y*stride_h + i - pad_top][x*stride_w + j - pad_left][k]
 *                                                  * weights[c][i][j][k]                            int32
 *     q[y][x][c]   = round(clamp(float32(acc) * m[c], low, 127)), ties to even                     int8
 *     output       = q, or with pool = 2 the largest q of each 2x2, or with float_output float32(acc) * m[c]
 *
 * Exact while |acc| < 2^31, which whoever makes the shape has checked. What padding reads is the input's halo.
 *
 * Packed: int32 bias[out_c] | float m[out_c] | int8 weights[out_c][kernel_h][kernel_w][in_c].
 */
#include <string.h>

#include "reference.h"
#include "../rows.h"

static size_t row_bytes(const qmdi_kernel_shape *shape) {
	return (size_t)shape->kernel_w * shape->in_c;
}

static size_t packed_size(const qmdi_kernel_shape *shape) {
	return shape->out_c * (sizeof(int32_t) + sizeof(float) + shape->kernel_h * row_bytes(shape));
}

static void pack(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, void *packed) {
	int32_t *bias = packed;
	float *multipliers = (float *)(bias + shape->out_c);
	memcpy(bias, weights->bias, shape->out_c * sizeof *bias);
	memcpy(multipliers, weights->multipliers, shape->out_c * sizeof *multipliers);
	memcpy(multipliers + shape->out_c, weights->weights, shape->out_c * shape->kernel_h * row_bytes(shape));
}

static int32_t dot_u8(const uint8_t *x, const int8_t *w, size_t n) {
	int32_t sum = 0;
	for (size_t i = 0; i < n; ++i) {
		sum += x[i] * w[i];
	}
	return sum;
}

static int32_t dot_s8(const int8_t *x, const int8_t *w, size_t n) {
	int32_t sum = 0;
	for (size_t i = 0; i < n; ++i) {
		sum += x[i] * w[i];
	}
	return sum;
}

/* The window at one pixel of the convolution (before the pool) times the weights of one channel. */
static int32_t convolve(const qmdi_kernel_call *call, size_t image, size_t y, size_t x, const int8_t *weights) {
	const qmdi_kernel_shape *shape = call->shape;
	int32_t sum = 0;
	for (size_t i = 0; i < shape->kernel_h; ++i) {
		const uint8_t *window =
			qmdi_pixel(&call->inputs[0], image, (ptrdiff_t)(y * shape->stride_h + i) - shape->pad_top,
					   (ptrdiff_t)(x * shape->stride_w) - shape->pad_left, shape->in_c);
		const int8_t *row = weights + i * row_bytes(shape);
		sum += shape->operand == QMDI_U8 ? dot_u8(window, row, row_bytes(shape))
										 : dot_s8((const int8_t *)window, row, row_bytes(shape));
	}
	return sum;
}

static void write_channel(const qmdi_kernel_call *call, size_t image, size_t y, size_t x, size_t channel) {
	const qmdi_kernel_shape *shape = call->shape;
	const int32_t *bias = call->packed;
	const float *multipliers = (const float *)(bias + shape->out_c);
	const int8_t *weights = (const int8_t *)(multipliers + shape->out_c);
	weights += channel * shape->kernel_h * row_bytes(shape);
	uint8_t *output = qmdi_pixel(&call->output, image, (ptrdiff_t)y, (ptrdiff_t)x, qmdi_output_bytes(shape));
	if (shape->float_output) {
		const int32_t sum = bias[channel] + convolve(call, image, y, x, weights);
		((float *)output)[channel] = (float)sum * multipliers[channel];
		return;
	}
	int8_t largest = INT8_MIN;
	for (size_t i = 0; i < (size_t)shape->pool * shape->pool; ++i) {
		const int32_t sum = bias[channel] + convolve(call, image, y * shape->pool + i / shape->pool,
													 x * shape->pool + i % shape->pool, weights);
		const int8_t q = qmdi_ref_round((float)sum * multipliers[channel], shape->low);
		largest = q > largest ? q : largest;
	}
	((int8_t *)output)[channel] = largest;
}

static size_t n_tasks(const qmdi_kernel_shape *shape, size_t n_images) {
	return qmdi_row_tasks(shape, n_images);
}

static void run(const qmdi_kernel_call *call, size_t first_task, size_t n_tasks) {
	const qmdi_kernel_shape *shape = call->shape;
	for (size_t task = first_task; task < first_task + n_tasks; ++task) {
		for (size_t x = 0; x < shape->out_w; ++x) {
			for (size_t channel = 0; channel < shape->out_c; ++channel) {
				write_channel(call, task / shape->out_h, task % shape->out_h, x, channel);
			}
		}
	}
}

QMDI_WEIGHTED_ROW(conv_x8s8_ref, QMDI_OP_CONV2D, QMDI_ISA_REF, 0);
