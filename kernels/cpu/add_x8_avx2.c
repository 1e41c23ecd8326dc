/*
 * add_x8_avx2: the sum of two tensors with scales of their own by AVX2. The result is that of add_x8_ref.
 *
 *     output = round(clamp(a * (scale_a/scale_out) + b * (scale_b/scale_out), low, 127)), ties to even
 *              or with float_output a * scale_a + b * scale_b
 *
 * Eight elements of a row at a time, by the reference's operations one by one: no FMA. A task is one output row.
 *
 * Registers: 2 numbers, 2 factors, low and 127: 6 ymm of 16.
 *
 * Edges: the last elements of a row are read as eight (QMDI_SLACK covers the read) and stored one by one.
 */
#include "floats_avx2.h"
#include "../rows.h"

INLINE void add_row(const qmdi_kernel_call *call, size_t image, size_t y, const int is_u8) {
	const qmdi_kernel_shape *shape = call->shape;
	const float scale_out = shape->float_output ? 1.0f : shape->scale_out;
	const float_vector factor_a = _mm256_set1_ps(shape->scale_a / scale_out);
	const float_vector factor_b = _mm256_set1_ps(shape->scale_b / scale_out);
	const uint8_t *a = qmdi_pixel(&call->inputs[0], image, (ptrdiff_t)y, 0, 0);
	const uint8_t *b = qmdi_pixel(&call->inputs[1], image, (ptrdiff_t)y, 0, 0);
	uint8_t *output = qmdi_pixel(&call->output, image, (ptrdiff_t)y, 0, 0);
	const size_t n = (size_t)shape->out_w * shape->out_c;
	for (size_t i = 0; i < n; i += LANES) {
		const float_vector scaled_a = _mm256_mul_ps(load_numbers(a + i, is_u8), factor_a);
		const float_vector scaled_b = _mm256_mul_ps(load_numbers(b + i, is_u8), factor_b);
		store_values(shape, output, i, n - i, _mm256_add_ps(scaled_a, scaled_b));
	}
}

static void run(const qmdi_kernel_call *call, size_t first_task, size_t n_tasks) {
	const uint32_t out_h = call->shape->out_h;
	for (size_t task = first_task; task < first_task + n_tasks; ++task) {
		if (call->shape->operand == QMDI_U8) {
			add_row(call, task / out_h, task % out_h, 1);
		} else {
			add_row(call, task / out_h, task % out_h, 0);
		}
	}
}

QMDI_WEIGHTLESS_ROW(add_x8_avx2, QMDI_OP_ADD, QMDI_ISA_AVX2, QMDI_CPU_AVX2);
