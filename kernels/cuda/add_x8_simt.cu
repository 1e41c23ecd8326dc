/*
 * add_x8_simt: the sum of two tensors with scales of their own, as kernels/ref/add_x8_ref.c defines it: in float32,
 * each operation rounded.
 *
 *     output = round(clamp(a * (scale_a/scale_out) + b * (scale_b/scale_out), low, 127))
 *              or with float_output a * scale_a + b * scale_b
 *
 * A thread gives one number (elementwise.h). Any shape. -fmad=false.
 *
 *   Budget: qmdi_add_simt registers<=64 shared<=0 spills=0 calls=1 needs=
 *   calls         float32 divisions have their rare cases in a subroutine
 */
#include "elementwise.h"

namespace qmdi {
namespace {

QMDI_DEVICE void add(const elementwise_params &p) {
	element e;
	wait_for_earlier_launches();
	let_later_launches_start();
	if (!find_element(p, e)) {
		return;
	}
	const float scale_out = p.shape.float_output ? 1.0f : p.shape.scale_out;
	const float a = static_cast<float>(read_number(p, 0, e.image, e.y, e.x, e.channel));
	const float b = static_cast<float>(read_number(p, 1, e.image, e.y, e.x, e.channel));
	write_value(p, e, multiply_rn(a, p.shape.scale_a / scale_out) + multiply_rn(b, p.shape.scale_b / scale_out));
}

QMDI_CUDA_KERNEL(qmdi_add_simt, elementwise_threads, 1, elementwise_params, add);

int launch(const qmdi_cuda_call *call, qmdi_cuda_launch *launch) {
	return launch_elementwise(&qmdi_add_simt_entry, call, launch);
}

} // namespace
} // namespace qmdi

QMDI_ELEMENTWISE_ROW(add_x8_simt, QMDI_OP_ADD);
