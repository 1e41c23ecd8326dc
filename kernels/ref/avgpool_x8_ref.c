/*
 * avgpool_x8_ref: the mean of each window, channel by channel, in float32 with each operation rounded.
 *
 *     sum             = (...(0 + scale_a * input[y*stride_h][x*stride_w][c]) + ...) in window order, row by row
 *     mean            = sum / (kernel_h * kernel_w)
 *     output[y][x][c] = round(clamp(mean / scale_out, low, 127)), ties to even, or with float_output the mean
 *
 * There is no padding: what does not fill a window is dropped. A task is one output row.
 */
#include "reference.h"
#include "../rows.h"

static float mean_of_window(const qmdi_kernel_call *call, size_t image, size_t y, size_t x, size_t channel) {
	const qmdi_kernel_shape *shape = call->shape;
	float sum = 0;
	for (size_t i = 0; i < shape->kernel_h; ++i) {
		for (size_t j = 0; j < shape->kernel_w; ++j) {
			const uint8_t *pixel = qmdi_pixel(&call->inputs[0], image, (ptrdiff_t)(y * shape->stride_h + i),
											  (ptrdiff_t)(x * shape->stride_w + j), shape->in_c);
			sum += shape->scale_a * (float)qmdi_ref_number(pixel + channel, shape->operand);
		}
	}
	return sum / (float)((size_t)shape->kernel_h * shape->kernel_w);
}

static void run(const qmdi_kernel_call *call, size_t first_task, size_t n_tasks) {
	const qmdi_kernel_shape *shape = call->shape;
	for (size_t task = first_task; task < first_task + n_tasks; ++task) {
		const size_t image = task / shape->out_h, y = task % shape->out_h;
		for (size_t x = 0; x < shape->out_w; ++x) {
			uint8_t *output = qmdi_pixel(&call->output, image, (ptrdiff_t)y, (ptrdiff_t)x, qmdi_output_bytes(shape));
			for (size_t channel = 0; channel < shape->out_c; ++channel) {
				const float mean = mean_of_window(call, image, y, x, channel);
				qmdi_ref_write(shape, output, channel, shape->float_output ? mean : mean / shape->scale_out);
			}
		}
	}
}

QMDI_WEIGHTLESS_ROW(avgpool_x8_ref, QMDI_OP_AVGPOOL, QMDI_ISA_REF, 0);
