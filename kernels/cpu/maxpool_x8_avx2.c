/*
 * maxpool_x8_avx2: the largest number of each window, channel by channel, by AVX2. The result is that of
 * maxpool_x8_ref.
 *
 *     output[y][x][c] = max over i, j of input[y*stride_h + i][x*stride_w + j][c]
 *
 * 32 channels of a pixel at a time by vpmaxub or vpmaxsb. A task is one output row.
 *
 * Registers: 1 largest and 1 read: 2 ymm of 16.
 *
 * Edges: the last channels of a pixel are read as 32 (QMDI_SLACK covers the read) and stored one by one.
 */
#include "vector_ymm.h"
#include "../rows.h"

/* The largest of 32 channels over the window at `corner`. */
INLINE vector largest_of_window(const qmdi_kernel_call *call, const uint8_t *corner, const int is_u8) {
	const qmdi_kernel_shape *shape = call->shape;
	vector largest = _mm256_loadu_si256((const vector *)corner);
	for (size_t i = 0; i < shape->kernel_h; ++i) {
		const uint8_t *row = corner + i * call->inputs[0].row_stride;
		for (size_t j = 0; j < shape->kernel_w; ++j) {
			const vector numbers = _mm256_loadu_si256((const vector *)(row + j * shape->in_c));
			largest = is_u8 ? _mm256_max_epu8(largest, numbers) : _mm256_max_epi8(largest, numbers);
		}
	}
	return largest;
}

static void run(const qmdi_kernel_call *call, size_t first_task, size_t n_tasks) {
	const qmdi_kernel_shape *shape = call->shape;
	for (size_t pixel = first_task * shape->out_w; pixel < (first_task + n_tasks) * shape->out_w; ++pixel) {
		const size_t image = pixel / shape->out_w / shape->out_h;
		const size_t y = pixel / shape->out_w % shape->out_h, x = pixel % shape->out_w;
		const uint8_t *corner = qmdi_pixel(&call->inputs[0], image, (ptrdiff_t)(y * shape->stride_h),
										   (ptrdiff_t)(x * shape->stride_w), shape->in_c);
		uint8_t *output = qmdi_pixel(&call->output, image, (ptrdiff_t)y, (ptrdiff_t)x, shape->out_c);
		for (size_t c = 0; c < shape->out_c; c += sizeof(vector)) {
			const vector largest = shape->operand == QMDI_U8 ? largest_of_window(call, corner + c, 1)
															 : largest_of_window(call, corner + c, 0);
			if (shape->out_c - c >= sizeof largest) {
				_mm256_storeu_si256((vector *)(output + c), largest);
			} else {
				memcpy(output + c, &largest, shape->out_c - c);
			}
		}
	}
}

QMDI_WEIGHTLESS_ROW(maxpool_x8_avx2, QMDI_OP_MAXPOOL, QMDI_ISA_AVX2, QMDI_CPU_AVX2);
