/*
 * weight_scales_f32: scales of weights by the largest magnitude of each unit.
 *
 *     scales[unit] = max|w[unit][..]| / high; 1 where that is below FLT_MIN
 *
 * A block does a unit. NaN is no magnitude, as on the CPU; a maximum does not depend on the order. -fmad=false.
 *
 *   Budget: qmdi_weight_scales_f32 registers<=32 shared<=0 spills=0 calls=1 needs=FCHK
 *   calls         float32 divisions have their rare cases in a subroutine
 *   shared        dynamic, a number a warp
 */
#include "../join_block.h"
#include "fours.h"
#include "train_kernels.h"

#include "tensor/tensor_math.h"

namespace qmdi {
namespace {

constexpr uint32_t scales_threads = 256, n_warps = scales_threads / 32;

struct weight_scales_params {
	const float *w;
	float *scales;
	uint32_t n_per_unit;
	float high;
};

QMDI_DEVICE void weight_scales(const weight_scales_params &p) {
	const float *w = p.w + static_cast<uint64_t>(blockIdx.x) * p.n_per_unit;
	float largest[1] = {0.0f};
	wait_for_earlier_launches();
	let_later_launches_start();
	for (uint32_t i = threadIdx.x; i < p.n_per_unit; i += scales_threads) {
		const float magnitude = fabsf(load(w + i));
		largest[0] = magnitude > largest[0] ? magnitude : largest[0];
	}
	join_block(reinterpret_cast<uint64_t(*)[n_warps]>(shared_memory()), largest,
			   [](float a, float b) { return a > b ? a : b; });
	if (threadIdx.x == 0) {
		store(p.scales + blockIdx.x, qmdi_weight_scale(largest[0], p.high));
	}
}

QMDI_CUDA_KERNEL(qmdi_weight_scales_f32, scales_threads, 1, weight_scales_params, weight_scales);

} // namespace
} // namespace qmdi

int qmdi_cuda_weight_scales_launch(size_t n_units, size_t n_per_unit, int32_t high, const float *w, float *scales,
								   qmdi_cuda_launch *launch) {
	if (qmdi::count_elements(n_units, n_per_unit) == 0) {
		return -1;
	}
	const qmdi::weight_scales_params params = {w, scales, static_cast<uint32_t>(n_per_unit), static_cast<float>(high)};
	return qmdi::set_launch(launch, &qmdi::qmdi_weight_scales_f32_entry, {n_units, 1}, qmdi::scales_threads,
							qmdi::n_warps * sizeof(uint64_t), params);
}
