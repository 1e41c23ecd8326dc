/*
 * maxpool_x8_ref: the largest number of each window, channel by channel.
 *
 *     output[y][x][c] = max over i, j of input[y*stride_h + i][x*stride_w + j][c]
 *
 * Numbers are passed on as they are, so u8 stays u8 and no scale is needed. There is no padding: what does not fill a
 * window is dropped. A task is one output row.
 */
#include "reference.h"
#include "../rows.h"

static uint8_t largest_of_window(const qmdi_kernel_call *call, size_t image, size_t y, size_t x, size_t channel) {
	const qmdi_kernel_shape *shape = call->shape;
	int32_t largest = INT32_MIN;
	for (size_t i = 0; i < shape->kernel_h; ++i) {
		for (size_t j = 0; j < shape->kernel_w; ++j) {
			const uint8_t *pixel = qmdi_pixel(&call->inputs[0], image, (ptrdiff_t)(y * shape->stride_h + i),
											  (ptrdiff_t)(x * shape->stride_w + j), shape->in_c);
			const int32_t number = qmdi_ref_number(pixel + channel, shape->operand);
			largest = number > largest ? number : largest;
		}
	}
	return (uint8_t)largest;
}

static void run(const qmdi_kernel_call *call, size_t first_task, size_t n_tasks) {
	const qmdi_kernel_shape *shape = call->shape;
	for (size_t task = first_task; task < first_task + n_tasks; ++task) {
		const size_t image = task / shape->out_h, y = task % shape->out_h;
		for (size_t x = 0; x < shape->out_w; ++x) {
			uint8_t *output = qmdi_pixel(&call->output, image, (ptrdiff_t)y, (ptrdiff_t)x, shape->out_c);
			for (size_t channel = 0; channel < shape->out_c; ++channel) {
				output[channel] = largest_of_window(call, image, y, x, channel);
			}
		}
	}
}

QMDI_WEIGHTLESS_ROW(maxpool_x8_ref, QMDI_OP_MAXPOOL, QMDI_ISA_REF, 0);
