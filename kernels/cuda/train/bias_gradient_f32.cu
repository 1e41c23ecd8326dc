/*
 * bias_gradient_f32: the gradient of a linear layer's bias, sums over the rows of [n_rows][n_units]; rows are images,
 * or pixels of all images.
 *
 *     d_b[unit] = float(sum of d_y[row][unit])
 *
 * Sums are FP64 from the first to the last, and rounded once at the end. Two launches of one scheme, first over shares
 * of 512 rows, then over the shares: lanes are units, each warp takes every eighth row, and the warps' sums are added
 * one after the other. The order is that of the shape alone. -fmad=false.
 *
 *   Budget: qmdi_*_f32 registers<=40 shared<=0 spills=0 calls=0 needs=DADD
 *   shared        dynamic, 2 KiB: a number a thread
 */
#include "fours.h"
#include "train_kernels.h"

namespace qmdi {
namespace {

constexpr uint32_t rows_threads = 256, n_warps = rows_threads / 32, per_share = 512;

template <class From, class To> struct sum_rows_params {
	const From *rows;                              /* [n_rows][n_units] */
	To *sums;                                      /* [shares][n_units] */
	uint32_t n_rows, n_units, per_share, n_strips; /* strips: 32 units */
};

template <class From, class To> QMDI_DEVICE void sum_rows(const sum_rows_params<From, To> &p) {
	const uint32_t share = blockIdx.x / p.n_strips, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	const uint32_t unit = blockIdx.x % p.n_strips * 32 + lane;
	const uint32_t begin = share * p.per_share, end = min(p.n_rows, begin + p.per_share);
	double *const of_warps = reinterpret_cast<double *>(shared_memory()); /* [n_warps][32] */
	double sum = 0.0;
	wait_for_earlier_launches();
	let_later_launches_start();
	if (unit < p.n_units) {
		for (uint32_t row = begin + warp; row < end; row += n_warps) {
			sum += static_cast<double>(load(p.rows + static_cast<uint64_t>(row) * p.n_units + unit));
		}
	}
	store_shared(of_warps + threadIdx.x, sum);
	sync_block();
	if (warp == 0 && unit < p.n_units) {
		for (uint32_t i = 1; i < n_warps; ++i) {
			sum += load_shared(of_warps + 32 * i + lane);
		}
		store(p.sums + static_cast<uint64_t>(share) * p.n_units + unit, static_cast<To>(sum));
	}
}

using first_params = sum_rows_params<float, double>;
using second_params = sum_rows_params<double, float>;

QMDI_CUDA_KERNEL(qmdi_sum_rows_f32, rows_threads, 1, first_params, sum_rows);
QMDI_CUDA_KERNEL(qmdi_bias_gradient_f32, rows_threads, 1, second_params, sum_rows);

uint64_t count_shares(uint64_t n_rows) {
	return (n_rows + per_share - 1) / per_share;
}

} // namespace
} // namespace qmdi

size_t qmdi_cuda_bias_gradient_scratch(size_t n_rows, size_t n_units) {
	return qmdi::count_shares(n_rows) * n_units * sizeof(double);
}

int qmdi_cuda_bias_gradient_launch(size_t n_rows, size_t n_units, const float *d_y, void *scratch, float *d_b,
								   qmdi_cuda_launch launches[2]) {
	if (qmdi::count_elements(n_rows, n_units) == 0) {
		return -1;
	}
	const uint32_t rows = static_cast<uint32_t>(n_rows), units = static_cast<uint32_t>(n_units);
	const uint32_t n_strips = (units + 31) / 32, n_shares = static_cast<uint32_t>(qmdi::count_shares(n_rows));
	double *sums = static_cast<double *>(scratch);
	const qmdi::first_params first = {d_y, sums, rows, units, qmdi::per_share, n_strips};
	const qmdi::second_params second = {sums, d_b, n_shares, units, n_shares, n_strips};
	const uint32_t shared = qmdi::rows_threads * sizeof(double);
	return qmdi::set_launch(&launches[0], &qmdi::qmdi_sum_rows_f32_entry, {uint64_t(n_shares) * n_strips, 1},
							qmdi::rows_threads, shared, first) |
		   qmdi::set_launch(&launches[1], &qmdi::qmdi_bias_gradient_f32_entry, {n_strips, 1}, qmdi::rows_threads,
							shared, second);
}
