/*
 * softmax_f32: probabilities of each image's logits, as lib/base/softmax_math.h defines them for the CPU too: FP64, the
 * sum in the order of the classes.
 *
 * A thread does one image, with any number of classes. -fmad=false.
 *
 *   Budget: qmdi_softmax_f32 registers<=96 shared<=0 spills=0 calls=1 needs=
 *   calls         FP64 divisions have their rare cases in a subroutine
 */
#include "softmax_f32.h"

#include "base/softmax_math.h"
#include "device.h"

namespace qmdi {
namespace {

constexpr uint32_t n_threads = 32;

QMDI_DEVICE void softmax(const qmdi_cuda_softmax &p) {
	const uint32_t image = blockIdx.x * n_threads + threadIdx.x;
	wait_for_earlier_launches();
	let_later_launches_start();
	if (image < p.n_images) {
		qmdi_softmax_of(
			reinterpret_cast<const float *>(reinterpret_cast<const char *>(p.logits) + image * p.logits_stride),
			p.n_classes,
			reinterpret_cast<float *>(reinterpret_cast<char *>(p.probabilities) + image * p.probabilities_stride));
	}
}

QMDI_CUDA_KERNEL(qmdi_softmax_f32, n_threads, 1, qmdi_cuda_softmax, softmax);

} // namespace
} // namespace qmdi

/* So many images as 32 bits count fit into a grid. */
void qmdi_cuda_softmax_launch(const qmdi_cuda_softmax *softmax, qmdi_cuda_launch *launch) {
	const uint64_t n_blocks = (softmax->n_images + uint64_t(qmdi::n_threads) - 1) / qmdi::n_threads;
	(void)qmdi::set_launch(launch, &qmdi::qmdi_softmax_f32_entry, {n_blocks, 1}, qmdi::n_threads, 0, *softmax);
}
