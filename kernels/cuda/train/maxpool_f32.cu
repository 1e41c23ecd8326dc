/*
 * maxpool_f32: the greatest number of each window, and its gradient; windows without padding, NHWC.
 *
 *     forward   y = x at the place of the window's maximum: the first of equals in window order, as on the CPU. A NaN
 *               is greater than nothing, and nothing is greater than a NaN
 *     backward  d_x = sum of d_y over the windows whose maximum this is, in the order of the outputs, from 0
 *
 * A thread does one number, of y or of d_x, with neighbouring channels in neighbouring threads. In backward it looks
 * for the maximum of each window that it lies in again, so that no two threads write one number and the order of the
 * sum is that of the CPU: for windows that do not overlap that is a window a thread. -fmad=false.
 *
 *   Budget: qmdi_maxpool*_f32 registers<=56 shared<=0 spills=0 calls=0 needs=
 */
#include "../device.h"
#include "train_kernels.h"

namespace qmdi {
namespace {

constexpr uint32_t maxpool_threads = 256;

struct maxpool_params {
	const float *x, *d_y; /* d_y: of backward */
	float *out;           /* y, or d_x */
	uint32_t n;           /* numbers of `out` */
	uint32_t in_h, in_w, out_h, out_w, channels;
	uint32_t kernel_h, kernel_w, stride_h, stride_w;
};

/* A number of a tensor. */
struct place {
	uint32_t image, row, column, channel;
};

/* Divisions of 32 bits: those of 64 are subroutines. */
QMDI_DEVICE place place_of(uint32_t i, uint32_t h, uint32_t w, uint32_t channels) {
	const uint32_t pixel = i / channels;
	const uint32_t row = pixel / w;
	return {row / h, row % h, pixel % w, i % channels};
}

/* Where the maximum of the window of an output lies, and what it is. */
struct maximum {
	uint32_t row, column;
	float value;
};

QMDI_DEVICE maximum find_maximum(const maxpool_params &p, const place &output) {
	const uint32_t top = output.row * p.stride_h, left = output.column * p.stride_w;
	const uint32_t first = ((output.image * p.in_h + top) * p.in_w + left) * p.channels + output.channel;
	maximum greatest = {top, left, load_cached(p.x + first)};
	for (uint32_t i = 0; i < p.kernel_h; ++i) {
		for (uint32_t j = 0; j < p.kernel_w; ++j) {
			const float value = load_cached(p.x + first + (i * p.in_w + j) * p.channels);
			if (value > greatest.value) {
				greatest = {top + i, left + j, value};
			}
		}
	}
	return greatest;
}

QMDI_DEVICE void maxpool(const maxpool_params &p) {
	const uint32_t i = blockIdx.x * maxpool_threads + threadIdx.x;
	wait_for_earlier_launches();
	let_later_launches_start();
	if (i < p.n) {
		store(p.out + i, find_maximum(p, place_of(i, p.out_h, p.out_w, p.channels)).value);
	}
}

/* The first window that reaches `position`, and the first one behind. */
QMDI_DEVICE uint32_t first_window(uint32_t position, uint32_t kernel, uint32_t stride) {
	return position < kernel ? 0 : (position - kernel) / stride + 1;
}

QMDI_DEVICE uint32_t end_of_windows(uint32_t position, uint32_t stride, uint32_t n_windows) {
	const uint32_t end = position / stride + 1;
	return end < n_windows ? end : n_windows;
}

QMDI_DEVICE float sum_of_gradients(const maxpool_params &p, const place &input) {
	const uint32_t end_row = end_of_windows(input.row, p.stride_h, p.out_h);
	const uint32_t end_column = end_of_windows(input.column, p.stride_w, p.out_w);
	float sum = 0.0f;
	for (uint32_t row = first_window(input.row, p.kernel_h, p.stride_h); row < end_row; ++row) {
		for (uint32_t column = first_window(input.column, p.kernel_w, p.stride_w); column < end_column; ++column) {
			const maximum greatest = find_maximum(p, {input.image, row, column, input.channel});
			if (greatest.row == input.row && greatest.column == input.column) {
				sum += load(p.d_y + ((input.image * p.out_h + row) * p.out_w + column) * p.channels + input.channel);
			}
		}
	}
	return sum;
}

QMDI_DEVICE void maxpool_backward(const maxpool_params &p) {
	const uint32_t i = blockIdx.x * maxpool_threads + threadIdx.x;
	wait_for_earlier_launches();
	let_later_launches_start();
	if (i < p.n) {
		store(p.out + i, sum_of_gradients(p, place_of(i, p.in_h, p.in_w, p.channels)));
	}
}

QMDI_CUDA_KERNEL(qmdi_maxpool_f32, maxpool_threads, 1, maxpool_params, maxpool);
QMDI_CUDA_KERNEL(qmdi_maxpool_backward_f32, maxpool_threads, 1, maxpool_params, maxpool_backward);

/* ---- On the host ---- */

/* Numbers of a batch, or 0 where these are more than a call may have. */
uint64_t size_of(uint64_t batch, const qmd_shape &shape) {
	const uint64_t row = uint64_t(shape.w) * shape.c;
	return row <= INT32_MAX && shape.h <= INT32_MAX / (row != 0 ? row : 1) && row * shape.h != 0 &&
				   batch <= INT32_MAX / (row * shape.h)
			   ? batch * shape.h * row
			   : 0;
}

int launch_maxpool(const qmdi_cuda_entry *entry, const qmdi_pool_shape *s, const qmd_shape &out, maxpool_params p,
				   qmdi_cuda_launch *launch) {
	const uint64_t n = size_of(s->batch, out);
	if (n == 0 || size_of(s->batch, s->input) == 0 || size_of(s->batch, s->output) == 0) {
		return -1;
	}
	p.n = static_cast<uint32_t>(n);
	p.in_h = s->input.h;
	p.in_w = s->input.w;
	p.out_h = s->output.h;
	p.out_w = s->output.w;
	p.channels = s->input.c;
	p.kernel_h = s->kernel_h;
	p.kernel_w = s->kernel_w;
	p.stride_h = s->stride_h;
	p.stride_w = s->stride_w;
	return set_launch(launch, entry, {(n + maxpool_threads - 1) / maxpool_threads, 1}, maxpool_threads, 0, p);
}

} // namespace
} // namespace qmdi

int qmdi_cuda_maxpool_launch(const qmdi_pool_shape *shape, const float *x, float *y, qmdi_cuda_launch *launch) {
	qmdi::maxpool_params p = {};
	p.x = x;
	p.out = y;
	return qmdi::launch_maxpool(&qmdi::qmdi_maxpool_f32_entry, shape, shape->output, p, launch);
}

int qmdi_cuda_maxpool_backward_launch(const qmdi_pool_shape *shape, const float *x, const float *d_y, float *d_x,
									  qmdi_cuda_launch *launch) {
	qmdi::maxpool_params p = {};
	p.x = x;
	p.d_y = d_y;
	p.out = d_x;
	return qmdi::launch_maxpool(&qmdi::qmdi_maxpool_backward_f32_entry, shape, shape->input, p, launch);
}
