/*
 * avgpool_x8_simt: the mean of each window, channel by channel, as kernels/ref/avgpool_x8_ref.c defines it: in float32,
 * each operation rounded, in the order of the window.
 *
 *     sum             = (...(0 + scale_a * input[y*stride_h][x*stride_w][c]) + ...)
 *     output[y][x][c] = round(clamp(sum / (kernel_h * kernel_w) / scale_out, low, 127)), or with float_output the mean
 *
 * A thread gives one number (elementwise.h). Any shape. -fmad=false.
 *
 *   Budget: qmdi_avgpool_simt registers<=64 shared<=0 spills=0 calls=1 needs=
 *   calls         float32 divisions have their rare cases in a subroutine
 */
#include "elementwise.h"

namespace qmdi {
namespace {

QMDI_DEVICE void avgpool(const elementwise_params &p) {
	element e;
	wait_for_earlier_launches();
	let_later_launches_start();
	if (!find_element(p, e)) {
		return;
	}
	float sum = 0;
	for (uint32_t i = 0; i < p.shape.kernel_h; ++i) {
		for (uint32_t j = 0; j < p.shape.kernel_w; ++j) {
			const int32_t number = read_number(p, 0, e.image, static_cast<uint64_t>(e.y) * p.shape.stride_h + i,
											   static_cast<uint64_t>(e.x) * p.shape.stride_w + j, e.channel);
			sum = sum + multiply_rn(p.shape.scale_a, static_cast<float>(number));
		}
	}
	const float mean = sum / static_cast<float>(static_cast<uint64_t>(p.shape.kernel_h) * p.shape.kernel_w);
	write_value(p, e, p.shape.float_output ? mean : mean / p.shape.scale_out);
}

QMDI_CUDA_KERNEL(qmdi_avgpool_simt, elementwise_threads, 1, elementwise_params, avgpool);

int launch(const qmdi_cuda_call *call, qmdi_cuda_launch *launch) {
	return launch_elementwise(&qmdi_avgpool_simt_entry, call, launch);
}

} // namespace
} // namespace qmdi

QMDI_ELEMENTWISE_ROW(avgpool_x8_simt, QMDI_OP_AVGPOOL);
