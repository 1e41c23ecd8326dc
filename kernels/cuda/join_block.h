/* Joining a number of each thread of a block: sums, minima, maxima. */
#ifndef QMD_KERNELS_CUDA_JOIN_BLOCK_H
#define QMD_KERNELS_CUDA_JOIN_BLOCK_H

#include "device.h"

#include "base/shared_math.h"

namespace qmdi {
namespace {

/* values[k] afterwards is that of all threads, in every thread. The order is fixed: within warps by halves, then warp
 * after warp; `join` must not care for the order of its two. of_warps: shared memory for at least n rows, which the
 * block has synchronized since it was last read. */
template <uint32_t n_warps, uint32_t n, class T, class Join>
QMDI_DEVICE void join_block(uint64_t (*of_warps)[n_warps], T (&values)[n], Join join) {
	const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	QMDI_UNROLLED
	for (uint32_t k = 0; k < n; ++k) {
		QMDI_UNROLLED
		for (unsigned mask = 16; mask > 0; mask /= 2) {
			values[k] = join(values[k], shuffle_xor(values[k], mask));
		}
		if (lane == 0) {
			store_shared(reinterpret_cast<T *>(&of_warps[k][warp]), values[k]);
		}
	}
	sync_block();
	QMDI_UNROLLED
	for (uint32_t k = 0; k < n; ++k) {
		values[k] = load_shared(reinterpret_cast<T *>(&of_warps[k][0]));
		for (uint32_t i = 1; i < n_warps; ++i) {
			values[k] = join(values[k], load_shared(reinterpret_cast<T *>(&of_warps[k][i])));
		}
	}
	sync_block();
}

} // namespace
} // namespace qmdi

#endif
