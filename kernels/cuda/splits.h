/*
 * Dense layers whose K is cut into parts, one block each, that are added up in the same launch. Each block writes its
 * int32 sums, takes a ticket for its tile (images by channels), and the one that takes the last adds up all splits and
 * finishes. Integers add up to the same in any order; a ticket wraps to 0 by itself for the next launch.
 *
 *     scratch:  uint32 ticket[tiles of the grid], to 256 bytes | int32 sums[split][image][channel]
 */
#ifndef QMD_KERNELS_CUDA_SPLITS_H
#define QMD_KERNELS_CUDA_SPLITS_H

#include "gemm_call.h"

namespace qmdi {
namespace {

struct split_params {
	uint32_t *tickets; /* by blockIdx.x */
	int32_t *sums;
	uint32_t n_images, n_channels; /* of sums: a multiple of 4 */
	uint32_t steps, n_splits;      /* steps of K a split, split blockIdx.y */
};

QMDI_DEVICE int32_t *sums_of(const split_params &p, uint32_t split, uint32_t image, uint32_t channel) {
	return p.sums + (size_t(split) * p.n_images + image) * p.n_channels + channel;
}

/* The sum over all splits: of four channels, and of one. */
QMDI_DEVICE void add_splits(const split_params &p, uint32_t image, uint32_t channel, int32_t (&totals)[4]) {
	uint4 sum = {0, 0, 0, 0};
#pragma unroll 8
	for (uint32_t split = 0; split < p.n_splits; ++split) {
		const uint4 part = load(reinterpret_cast<const uint4 *>(sums_of(p, split, image, channel)));
		sum.x += part.x, sum.y += part.y, sum.z += part.z, sum.w += part.w;
	}
	totals[0] = int32_t(sum.x), totals[1] = int32_t(sum.y), totals[2] = int32_t(sum.z), totals[3] = int32_t(sum.w);
}

QMDI_DEVICE int32_t add_splits(const split_params &p, uint32_t image, uint32_t channel) {
	uint32_t sum = 0;
#pragma unroll 8
	for (uint32_t split = 0; split < p.n_splits; ++split) {
		sum += static_cast<uint32_t>(load(sums_of(p, split, image, channel)));
	}
	return static_cast<int32_t>(sum);
}

/* Whether this block is the last of its tile to come by. All of its threads call this after they have written sums; the
 * first 4 bytes of shared memory are used. */
QMDI_DEVICE bool is_last_split(const split_params &p) {
	uint32_t *const is_last = reinterpret_cast<uint32_t *>(shared_memory());
	fence();
	sync_block();
	if (threadIdx.x == 0) {
		store_shared(is_last, uint32_t(atomic_increment(&p.tickets[blockIdx.x], p.n_splits - 1) == p.n_splits - 1));
	}
	sync_block();
	fence();
	return load_shared(is_last) != 0;
}

/* How K is cut up, and what that takes of scratch memory. */
struct division {
	uint32_t steps, n_splits;
	size_t tickets_bytes, sums_bytes;

	/* Enough splits for `wanted` blocks over the tiles, none shorter than `least` steps. */
	division(uint64_t n_steps, uint64_t n_tiles, uint64_t wanted, uint32_t least, size_t n_sums) {
		const uint64_t splits = wanted / n_tiles;
		steps = splits < 2 ? static_cast<uint32_t>(n_steps) : divide_up(n_steps, splits);
		steps = steps < least ? least : steps;
		n_splits = divide_up(n_steps, steps);
		tickets_bytes = divide_up(n_tiles * sizeof(uint32_t), 256) * size_t(256);
		sums_bytes = n_splits * n_sums * sizeof(int32_t);
	}

	size_t scratch_size() const {
		return n_splits > 1 ? tickets_bytes + sums_bytes : 0;
	}

	split_params params(void *scratch, size_t n_images, uint32_t n_channels) const {
		unsigned char *const bytes = static_cast<unsigned char *>(scratch);
		return {reinterpret_cast<uint32_t *>(bytes),
				reinterpret_cast<int32_t *>(bytes + tickets_bytes),
				static_cast<uint32_t>(n_images),
				n_channels,
				steps,
				n_splits};
	}
};

} // namespace
} // namespace qmdi

#endif
