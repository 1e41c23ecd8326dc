/*
 * dense_x8s8_ref: a matrix times vectors of bytes, the definition of what every dense kernel gives.
 *
 *     acc[n][c] = bias[c] + sum over k of input[n][k] * weights[c][k]                               int32
 *     output    = round(clamp(float32(acc) * m[c], low, 127)), ties to even                         int8
 *                 or with float_output float32(acc) * m[c]                                          float
 *
 * Exact while |acc| < 2^31, which whoever makes the shape has checked. A task is one channel of all vectors.
 *
 * Packed: int32 bias[out_c] | float m[out_c] | int8 weights[out_c][in_c].
 */
#include <string.h>

#include "reference.h"
#include "../rows.h"

static size_t packed_size(const qmdi_kernel_shape *shape) {
	return shape->out_c * (sizeof(int32_t) + sizeof(float) + shape->in_c);
}

static void pack(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, void *packed) {
	int32_t *bias = packed;
	float *multipliers = (float *)(bias + shape->out_c);
	memcpy(bias, weights->bias, shape->out_c * sizeof *bias);
	memcpy(multipliers, weights->multipliers, shape->out_c * sizeof *multipliers);
	memcpy(multipliers + shape->out_c, weights->weights, (size_t)shape->out_c * shape->in_c);
}

static size_t n_tasks(const qmdi_kernel_shape *shape, size_t n_images) {
	(void)n_images;
	return shape->out_c;
}

static void run(const qmdi_kernel_call *call, size_t first_task, size_t n_tasks) {
	const qmdi_kernel_shape *shape = call->shape;
	const int32_t *bias = call->packed;
	const float *multipliers = (const float *)(bias + shape->out_c);
	const int8_t *weights = (const int8_t *)(multipliers + shape->out_c);
	for (size_t channel = first_task; channel < first_task + n_tasks; ++channel) {
		for (size_t image = 0; image < call->n_images; ++image) {
			const uint8_t *input = qmdi_pixel(&call->inputs[0], image, 0, 0, shape->in_c);
			int32_t sum = bias[channel];
			for (size_t k = 0; k < shape->in_c; ++k) {
				sum += qmdi_ref_number(input + k, shape->operand) * weights[channel * shape->in_c + k];
			}
			qmdi_ref_write(shape, qmdi_pixel(&call->output, image, 0, 0, 0), channel,
						   (float)sum * multipliers[channel]);
		}
	}
}

QMDI_WEIGHTED_ROW(dense_x8s8_ref, QMDI_OP_DENSE, QMDI_ISA_REF, 0);
