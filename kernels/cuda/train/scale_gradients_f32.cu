/*
 * scale_gradients_f32: gradients of scales by LSQ (Esser et al. 2020, eq. 3), over [n_groups][n_units][n_per_unit].
 *
 *     slope(x) = rint(clamp(x / scale, low, high)) - (low < x / scale < high ? x / scale : 0)
 *     of a group   float(sum of d_y * slope(x) / sqrt(n_per_unit * high))
 *     gradient     float(sum of the groups')
 *
 * Products of two floats are exact in FP64, in which all sums are taken. Two launches: a block sums a share of at most
 * 16384 numbers of a unit in a group, and a warp then does a unit: its shares one after the other, its groups by lanes.
 * The order is that of the shape alone, so that every device and every run gives the same bits; it is not the order of
 * the CPU, from which a group's number may differ by the rounding of a float. -fmad=false.
 *
 *   Budget: qmdi_sum_slopes_f32 registers<=40 shared<=0 spills=0 calls=1 needs=FCHK,DADD,DMUL
 *   Budget: qmdi_scale_gradients_f32 registers<=64 shared<=0 spills=0 calls=1 needs=DADD
 *   calls         divisions have their rare cases in a subroutine
 *   shared        dynamic, a number a warp
 */
#include "../join_block.h"
#include "fours.h"
#include "train_kernels.h"

#include "tensor/tensor_math.h"

namespace qmdi {
namespace {

constexpr uint32_t slopes_threads = 256, n_warps = slopes_threads / 32, per_share = 16384;

struct sum_slopes_params {
	const float *scales, *x, *d_y;
	double *sums; /* [n_groups][n_units][n_shares] */
	uint32_t n_units, n_per_unit, n_shares;
	float low, high;
};

QMDI_DEVICE void sum_slopes(const sum_slopes_params &p) {
	const uint32_t row = blockIdx.x / p.n_shares, share = blockIdx.x % p.n_shares; /* row: a unit in a group */
	const uint32_t begin = share * per_share, end = min(p.n_per_unit, begin + per_share);
	const uint64_t first = static_cast<uint64_t>(row) * p.n_per_unit;
	double sum[1] = {0.0};
	wait_for_earlier_launches();
	let_later_launches_start();
	const float scale = load(p.scales + row % p.n_units);
	for (uint32_t i = begin + threadIdx.x; i < end; i += slopes_threads) {
		const float slope = qmdi_scale_slope(load(p.x + first + i), scale, p.low, p.high);
		sum[0] += static_cast<double>(load(p.d_y + first + i)) * static_cast<double>(slope);
	}
	join_block(reinterpret_cast<uint64_t(*)[n_warps]>(shared_memory()), sum, [](double a, double b) { return a + b; });
	if (threadIdx.x == 0) {
		store(p.sums + blockIdx.x, sum[0]);
	}
}

struct scale_gradients_params {
	const double *sums;
	float *gradients;
	double divisor;
	uint32_t n_groups, n_units, n_shares;
};

QMDI_DEVICE void scale_gradients(const scale_gradients_params &p) {
	const uint32_t unit = blockIdx.x;
	double gradient = 0.0;
	wait_for_earlier_launches();
	let_later_launches_start();
	for (uint32_t group = threadIdx.x; group < p.n_groups; group += 32) {
		const double *shares = p.sums + (static_cast<uint64_t>(group) * p.n_units + unit) * p.n_shares;
		double sum = 0.0;
		for (uint32_t share = 0; share < p.n_shares; ++share) {
			sum += load(shares + share);
		}
		gradient += static_cast<double>(static_cast<float>(sum / p.divisor));
	}
	QMDI_UNROLLED
	for (unsigned mask = 16; mask > 0; mask /= 2) {
		gradient += shuffle_xor(gradient, mask);
	}
	if (threadIdx.x == 0) {
		store(p.gradients + unit, static_cast<float>(gradient));
	}
}

QMDI_CUDA_KERNEL(qmdi_sum_slopes_f32, slopes_threads, 1, sum_slopes_params, sum_slopes);
QMDI_CUDA_KERNEL(qmdi_scale_gradients_f32, 32, 1, scale_gradients_params, scale_gradients);

uint64_t count_shares(const qmdi_grid &grid) {
	return (grid.n_per_unit + uint64_t(per_share) - 1) / per_share;
}

} // namespace
} // namespace qmdi

size_t qmdi_cuda_scale_gradients_scratch(const qmdi_grid *grid) {
	return grid->n_groups * grid->n_units * qmdi::count_shares(*grid) * sizeof(double);
}

int qmdi_cuda_scale_gradients_launch(const qmdi_grid *grid, const float *x, const float *d_y, void *scratch,
									 float *gradients, qmdi_cuda_launch launches[2]) {
	const uint64_t n_rows = qmdi::count_elements(grid->n_groups, grid->n_units);
	if (qmdi::count_elements(n_rows, grid->n_per_unit) == 0) {
		return -1;
	}
	const uint32_t n_groups = static_cast<uint32_t>(grid->n_groups), n_units = static_cast<uint32_t>(grid->n_units);
	const uint32_t n_per_unit = static_cast<uint32_t>(grid->n_per_unit);
	const uint32_t n_shares = static_cast<uint32_t>(qmdi::count_shares(*grid));
	double *sums = static_cast<double *>(scratch);
	const double divisor = sqrt(static_cast<double>(grid->n_per_unit) * static_cast<double>(grid->high));
	const qmdi::sum_slopes_params first = {grid->scales,
										   x,
										   d_y,
										   sums,
										   n_units,
										   n_per_unit,
										   n_shares,
										   static_cast<float>(grid->low),
										   static_cast<float>(grid->high)};
	const qmdi::scale_gradients_params second = {sums, gradients, divisor, n_groups, n_units, n_shares};
	return qmdi::set_launch(&launches[0], &qmdi::qmdi_sum_slopes_f32_entry, {n_rows * n_shares, 1},
							qmdi::slopes_threads, qmdi::n_warps * sizeof(uint64_t), first) |
		   qmdi::set_launch(&launches[1], &qmdi::qmdi_scale_gradients_f32_entry, {n_units, 1}, 32, 0, second);
}
