/*
 * fake_quant_f32: quantization in floats and the way back through it, by the rules of docs/numerics.md; the arithmetic
 * is tensor_math.h, which the CPU includes too.
 *
 *     fake_quant           y = scale * rint(clamp(x / scale, low, high)), ties to even
 *     fake_quant_backward  d_x = low <= x / scale <= high ? d_y : 0
 *     quantize_bias        s * rint(b / s) with s = input_scale * weight_scale, FP64, the integer saturated to int32
 *
 * Numbers are [n_groups][n_units][n_per_unit] with a scale for each unit; a thread does four of them (fours.h), of
 * quantize_bias one. The division is IEEE's. -fmad=false.
 *
 *   Budget: qmdi_*_f32 registers<=48 shared<=0 spills=0 calls=1 needs=FCHK,LDG.E.128,STG.E.128
 *   Budget: qmdi_quantize_bias_f32 registers<=48 shared<=0 spills=0 calls=1 needs=DMUL
 *   calls         divisions have their rare cases in a subroutine
 */
#include "fours.h"
#include "train_kernels.h"

#include "tensor/tensor_math.h"

namespace qmdi {
namespace {

struct fake_quant_params {
	const float *scales, *x, *d_y;
	float *out;
	uint32_t n, n_units, n_per_unit;
	float low, high;

	QMDI_DEVICE float scale_of(uint32_t i) const {
		return load_cached(scales + (n_units == 1 ? 0 : i / n_per_unit % n_units));
	}
};

QMDI_DEVICE void fake_quant(const fake_quant_params &p) {
	map_fours(p.n, p.x, nullptr, p.out, [&](uint32_t i, float x, float) {
		const float scale = p.scale_of(i);
		return multiply_rn(scale, qmdi_quantized(x, scale, p.low, p.high));
	});
}

QMDI_DEVICE void fake_quant_backward(const fake_quant_params &p) {
	map_fours(p.n, p.x, p.d_y, p.out,
			  [&](uint32_t i, float x, float d) { return qmdi_straight_through(x, d, p.scale_of(i), p.low, p.high); });
}

struct quantize_bias_params {
	const float *input_scale, *weight_scales, *bias;
	float *out;
	uint32_t n_units;
};

constexpr uint32_t bias_threads = 128;

QMDI_DEVICE void quantize_bias(const quantize_bias_params &p) {
	const uint32_t unit = blockIdx.x * bias_threads + threadIdx.x;
	wait_for_earlier_launches();
	let_later_launches_start();
	if (unit < p.n_units) {
		store(p.out + unit,
			  qmdi_quantized_bias(load(p.bias + unit), load(p.input_scale), load(p.weight_scales + unit)));
	}
}

QMDI_CUDA_KERNEL(qmdi_fake_quant_f32, fours_threads, 1, fake_quant_params, fake_quant);
QMDI_CUDA_KERNEL(qmdi_fake_quant_backward_f32, fours_threads, 1, fake_quant_params, fake_quant_backward);
QMDI_CUDA_KERNEL(qmdi_quantize_bias_f32, bias_threads, 1, quantize_bias_params, quantize_bias);

int launch_grid(const qmdi_cuda_entry *entry, const qmdi_grid &grid, const float *x, const float *d_y, float *out,
				qmdi_cuda_launch *launch) {
	const uint64_t n = count_elements(count_elements(grid.n_groups, grid.n_units), grid.n_per_unit);
	const fake_quant_params params = {grid.scales,
									  x,
									  d_y,
									  out,
									  static_cast<uint32_t>(n),
									  static_cast<uint32_t>(grid.n_units),
									  static_cast<uint32_t>(grid.n_per_unit),
									  static_cast<float>(grid.low),
									  static_cast<float>(grid.high)};
	return launch_fours(launch, entry, n, params);
}

} // namespace
} // namespace qmdi

int qmdi_cuda_fake_quant_launch(const qmdi_grid *grid, const float *x, float *y, qmdi_cuda_launch *launch) {
	return qmdi::launch_grid(&qmdi::qmdi_fake_quant_f32_entry, *grid, x, nullptr, y, launch);
}

int qmdi_cuda_fake_quant_backward_launch(const qmdi_grid *grid, const float *x, const float *d_y, float *d_x,
										 qmdi_cuda_launch *launch) {
	return qmdi::launch_grid(&qmdi::qmdi_fake_quant_backward_f32_entry, *grid, x, d_y, d_x, launch);
}

int qmdi_cuda_quantize_bias_launch(size_t n_units, const float *input_scale, const float *weight_scales,
								   const float *bias, float *out, qmdi_cuda_launch *launch) {
	if (n_units == 0 || n_units > INT32_MAX) {
		return -1;
	}
	const qmdi::quantize_bias_params params = {input_scale, weight_scales, bias, out, static_cast<uint32_t>(n_units)};
	const uint64_t n_blocks = (n_units + uint64_t(qmdi::bias_threads) - 1) / qmdi::bias_threads;
	return qmdi::set_launch(launch, &qmdi::qmdi_quantize_bias_f32_entry, {n_blocks, 1}, qmdi::bias_threads, 0, params);
}
