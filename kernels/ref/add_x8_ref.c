/*
 * add_x8_ref: the sum of two tensors with scales of their own, in float32 with each operation rounded.
 *
 *     output = round(clamp(a * (scale_a/scale_out) + b * (scale_b/scale_out), low, 127)), ties to even
 *              or with float_output a * scale_a + b * scale_b
 *
 * A task is one output row.
 */
#include "reference.h"
#include "../rows.h"

static void add_row(const qmdi_kernel_call *call, size_t image, size_t y) {
	const qmdi_kernel_shape *shape = call->shape;
	const float scale_out = shape->float_output ? 1.0f : shape->scale_out;
	const float factor_a = shape->scale_a / scale_out, factor_b = shape->scale_b / scale_out;
	const uint8_t *a = qmdi_pixel(&call->inputs[0], image, (ptrdiff_t)y, 0, shape->in_c);
	const uint8_t *b = qmdi_pixel(&call->inputs[1], image, (ptrdiff_t)y, 0, shape->in_c);
	uint8_t *output = qmdi_pixel(&call->output, image, (ptrdiff_t)y, 0, 0);
	for (size_t i = 0; i < (size_t)shape->out_w * shape->out_c; ++i) {
		const float scaled_a = (float)qmdi_ref_number(a + i, shape->operand) * factor_a;
		const float scaled_b = (float)qmdi_ref_number(b + i, shape->operand) * factor_b;
		qmdi_ref_write(shape, output, i, scaled_a + scaled_b);
	}
}

static void run(const qmdi_kernel_call *call, size_t first_task, size_t n_tasks) {
	for (size_t task = first_task; task < first_task + n_tasks; ++task) {
		add_row(call, task / call->shape->out_h, task % call->shape->out_h);
	}
}

QMDI_WEIGHTLESS_ROW(add_x8_ref, QMDI_OP_ADD, QMDI_ISA_REF, 0);
