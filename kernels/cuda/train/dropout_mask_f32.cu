/*
 * dropout_mask_f32: factors that drop elements by chance, the same as on the CPU, since word i of a stream depends on
 * nothing else (base/random_math.h, which both include).
 *
 *     mask[i] = upper 24 bits of word i / 2^24 < rate ? 0 : 1 / (1 - rate)
 *
 * Words come four to a counter: a thread does those of one (fours.h).
 *
 *   Budget: qmdi_dropout_mask_f32 registers<=32 shared<=0 spills=0 calls=0 needs=STG.E.128
 */
#include "fours.h"
#include "train_kernels.h"

#include "tensor/tensor_math.h"

namespace qmdi {
namespace {

struct dropout_params {
	uint64_t seed, stream;
	float *mask;
	float rate, kept;
	uint32_t n;
};

QMDI_DEVICE void draw_mask(const dropout_params &p) {
	const uint32_t first = first_of_four();
	uint32_t words[4];
	float factors[4];
	qmdi_philox(p.seed, p.stream, first / 4, words);
	QMDI_UNROLLED
	for (uint32_t i = 0; i < 4; ++i) {
		factors[i] = qmdi_dropout_factor(words[i], p.rate, p.kept);
	}
	wait_for_earlier_launches();
	let_later_launches_start();
	store_four(p.mask, first, p.n, factors);
}

QMDI_CUDA_KERNEL(qmdi_dropout_mask_f32, fours_threads, 1, dropout_params, draw_mask);

} // namespace
} // namespace qmdi

int qmdi_cuda_dropout_mask_launch(size_t n, uint64_t seed, uint64_t stream, float rate, float *mask,
								  qmdi_cuda_launch *launch) {
	const qmdi::dropout_params params = {seed, stream, mask, rate, 1.0f / (1.0f - rate), static_cast<uint32_t>(n)};
	return qmdi::launch_fours(launch, &qmdi::qmdi_dropout_mask_f32_entry, n, params);
}
