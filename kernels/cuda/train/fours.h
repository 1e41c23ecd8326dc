/*
 * What the kernels of training share that are bound by memory: a thread has four numbers that lie side by side, which
 * it reads and writes as 16 bytes where they are aligned and complete, else one by one. All that a thread reads it
 * reads before it writes, so that an output may be an input.
 */
#ifndef QMD_KERNELS_CUDA_FOURS_H
#define QMD_KERNELS_CUDA_FOURS_H

#include "../device.h"

#include "base/shared_math.h"

namespace qmdi {
namespace {

constexpr uint32_t fours_threads = 256;

/* The first number of this thread: at most 2^31 + 1023, and no thread has one from n on. */
QMDI_DEVICE uint32_t first_of_four() {
	return 4 * (blockIdx.x * fours_threads + threadIdx.x);
}

QMDI_DEVICE bool is_whole_four(const float *tensor, uint32_t first, uint32_t n) {
	return first + 4 <= n && reinterpret_cast<uintptr_t>(tensor + first) % 16 == 0;
}

/* Numbers from n on are 0. */
QMDI_DEVICE void load_four(const float *tensor, uint32_t first, uint32_t n, float (&values)[4]) {
	if (is_whole_four(tensor, first, n)) {
		const float4 four = load(reinterpret_cast<const float4 *>(tensor + first));
		values[0] = four.x;
		values[1] = four.y;
		values[2] = four.z;
		values[3] = four.w;
		return;
	}
	QMDI_UNROLLED
	for (uint32_t i = 0; i < 4; ++i) {
		values[i] = first + i < n ? load(tensor + first + i) : 0.0f;
	}
}

QMDI_DEVICE void store_four(float *tensor, uint32_t first, uint32_t n, const float (&values)[4]) {
	if (is_whole_four(tensor, first, n)) {
		store(reinterpret_cast<float4 *>(tensor + first), float4{values[0], values[1], values[2], values[3]});
		return;
	}
	QMDI_UNROLLED
	for (uint32_t i = 0; i < 4; ++i) {
		if (first + i < n) {
			store(tensor + first + i, values[i]);
		}
	}
}

/* y[i] = function(i, a[i], b[i]), where b may be NULL. */
template <class Function>
QMDI_DEVICE void map_fours(uint32_t n, const float *a, const float *b, float *y, Function function) {
	const uint32_t first = first_of_four();
	float of_a[4], of_b[4] = {};
	wait_for_earlier_launches();
	let_later_launches_start();
	load_four(a, first, n, of_a);
	if (b != nullptr) {
		load_four(b, first, n, of_b);
	}
	QMDI_UNROLLED
	for (uint32_t i = 0; i < 4; ++i) {
		of_a[i] = function(first + i, of_a[i], of_b[i]);
	}
	store_four(y, first, n, of_a);
}

/* ---- On the host ---- */

/* Elements of a tensor of a * b, or 0 where these are more than a call may have, which no launch is made for. */
inline uint64_t count_elements(uint64_t a, uint64_t b) {
	return a != 0 && b <= INT32_MAX / a ? a * b : 0;
}

template <class Params>
int launch_fours(qmdi_cuda_launch *launch, const qmdi_cuda_entry *entry, uint64_t n, const Params &params) {
	const uint64_t per_block = 4 * uint64_t(fours_threads);
	return n == 0 || n > INT32_MAX
			   ? -1
			   : set_launch(launch, entry, {(n + per_block - 1) / per_block, 1}, fours_threads, 0, params);
}

} // namespace
} // namespace qmdi

#endif
