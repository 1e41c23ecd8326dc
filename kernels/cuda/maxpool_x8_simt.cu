/*
 * maxpool_x8_simt: the largest number of each window, channel by channel, as kernels/ref/maxpool_x8_ref.c defines it:
 *
 *     output[y][x][c] = max over i, j of input[y*stride_h + i][x*stride_w + j][c]
 *
 * A thread gives one number (elementwise.h). Any shape. -fmad=false.
 *
 *   Budget: qmdi_maxpool_simt registers<=64 shared<=0 spills=0 calls=0 needs=
 */
#include "elementwise.h"

namespace qmdi {
namespace {

QMDI_DEVICE void maxpool(const elementwise_params &p) {
	element e;
	wait_for_earlier_launches();
	let_later_launches_start();
	if (!find_element(p, e)) {
		return;
	}
	int32_t largest = INT32_MIN;
	for (uint32_t i = 0; i < p.shape.kernel_h; ++i) {
		for (uint32_t j = 0; j < p.shape.kernel_w; ++j) {
			const int32_t number = read_number(p, 0, e.image, static_cast<uint64_t>(e.y) * p.shape.stride_h + i,
											   static_cast<uint64_t>(e.x) * p.shape.stride_w + j, e.channel);
			largest = number > largest ? number : largest;
		}
	}
	store(output_pixel(p, e, 1) + e.channel, static_cast<uint8_t>(largest));
}

QMDI_CUDA_KERNEL(qmdi_maxpool_simt, elementwise_threads, 1, elementwise_params, maxpool);

int launch(const qmdi_cuda_call *call, qmdi_cuda_launch *launch) {
	return launch_elementwise(&qmdi_maxpool_simt_entry, call, launch);
}

} // namespace
} // namespace qmdi

QMDI_ELEMENTWISE_ROW(maxpool_x8_simt, QMDI_OP_MAXPOOL);
