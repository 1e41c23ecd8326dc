/*
 * avgpool_x8_avx2: the mean of each window, channel by channel, by AVX2. The result is that of avgpool_x8_ref.
 *
 *     sum             = (...(0 + scale_a * input[y*stride_h][x*stride_w][c]) + ...) in window order, row by row
 *     mean            = sum / (kernel_h * kernel_w)
 *     output[y][x][c] = round(clamp(mean / scale_out, low, 127)), ties to even, or with float_output the mean
 *
 * Eight channels of a pixel at a time, by the reference's operations one by one: no FMA, true divisions. A task is one
 * output row.
 *
 * Registers: 1 sum, 1 number, scale, divisors, low and 127: 7 ymm of 16.
 *
 * Edges: the last channels of a pixel are read as eight (QMDI_SLACK covers the read) and stored one by one.
 */
#include "floats_avx2.h"
#include "../rows.h"

/* Sum of scale * number over the window at `corner`, of eight channels. */
INLINE float_vector sum_window(const qmdi_kernel_call *call, const uint8_t *corner, const int is_u8) {
	const qmdi_kernel_shape *shape = call->shape;
	const float_vector scale = _mm256_set1_ps(shape->scale_a);
	float_vector sum = _mm256_setzero_ps();
	for (size_t i = 0; i < shape->kernel_h; ++i) {
		const uint8_t *row = corner + i * call->inputs[0].row_stride;
		for (size_t j = 0; j < shape->kernel_w; ++j) {
			sum = _mm256_add_ps(sum, _mm256_mul_ps(scale, load_numbers(row + j * shape->in_c, is_u8)));
		}
	}
	return sum;
}

static void run(const qmdi_kernel_call *call, size_t first_task, size_t n_tasks) {
	const qmdi_kernel_shape *shape = call->shape;
	const float_vector size = _mm256_set1_ps((float)((size_t)shape->kernel_h * shape->kernel_w));
	const float_vector scale_out = _mm256_set1_ps(shape->float_output ? 1.0f : shape->scale_out);
	for (size_t pixel = first_task * shape->out_w; pixel < (first_task + n_tasks) * shape->out_w; ++pixel) {
		const size_t image = pixel / shape->out_w / shape->out_h;
		const size_t y = pixel / shape->out_w % shape->out_h, x = pixel % shape->out_w;
		const uint8_t *corner = qmdi_pixel(&call->inputs[0], image, (ptrdiff_t)(y * shape->stride_h),
										   (ptrdiff_t)(x * shape->stride_w), shape->in_c);
		uint8_t *output = qmdi_pixel(&call->output, image, (ptrdiff_t)y, (ptrdiff_t)x, qmdi_output_bytes(shape));
		for (size_t c = 0; c < shape->out_c; c += LANES) {
			const float_vector sum =
				shape->operand == QMDI_U8 ? sum_window(call, corner + c, 1) : sum_window(call, corner + c, 0);
			const float_vector mean = _mm256_div_ps(sum, size);
			store_values(shape, output, c, shape->out_c - c, _mm256_div_ps(mean, scale_out));
		}
	}
}

QMDI_WEIGHTLESS_ROW(avgpool_x8_avx2, QMDI_OP_AVGPOOL, QMDI_ISA_AVX2, QMDI_CPU_AVX2);
