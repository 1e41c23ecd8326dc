/*
 * conv_x8s8_dp4a: 2-D convolution of bytes without tensor cores, for any shape. The result is that of conv_x8s8_ref.
 *
 *     acc[i][c] = bias[c] + sum over k of x[i][k] * w[c][k]    i: windows of a warp, c: its 32 channels, k: K
 *     output    = requantized acc, after the largest of each 2x2 windows with pool 2, or float32(acc) * m
 *
 * A lane is a channel. A warp has 8 windows: two pixels of 2x2 with pool 2, else 8 neighbours of a row. One word of K
 * (4 bytes) of 32 channels is 128 neighbouring bytes of the stream of packed weights (kernels/gemm.h, nr = 32); the
 * word of a window is the same for all lanes. So a step is 1 + 8 loads and 8 dp4a, inputs mostly from the cache.
 *
 * K runs along the rows of a window as they lie in memory, filled up to whole words with weights of 0. A word that does
 * not begin at a multiple of 4 is cut out of two.
 *
 * Exact: dp4a wraps; u8 goes in as it is (dp4a u32.s32). Ranges are those of the reference.
 *
 * Budget.
 *   Budget: qmdi_conv_dp4a_* registers<=64 shared<=0 spills=0 calls=0 needs=IDP
 *   shared        none
 *   global        weights once a warp; each window's bytes once for 32 channels. Counted by warp, not what caches leave
 *   loads         weights 4 sectors for 128 bytes; an input 1 sector for 4 bytes
 *   stores        32 channels of a pixel: 32 bytes
 *
 * Edges: windows beyond a row's last read the last again and are not stored; channels beyond out_c have weights of 0
 * and are not stored. Reads pass the tensor's last byte by 7 at most (QMDI_SLACK covers them).
 */
#include "gemm_words.h"

namespace qmdi {
namespace {

constexpr uint32_t n_threads = 128, n_windows = 8;

struct conv_words_params : gemm_params {
	uint32_t kernel_h, row_words;   /* words of K in a row of the window */
	uint32_t row_step, column_step; /* strides: in rows, and in bytes */
	uint32_t n_groups;              /* of windows, in an output row */
	uint32_t n_items;               /* groups of all images */
	int32_t is_whole;
};

/* First bytes of the windows of a group in row `row` of the output. */
QMDI_DEVICE void place_windows(const conv_words_params &p, const uint8_t *image, uint32_t row, uint32_t group,
							   const uint8_t *(&windows)[n_windows]) {
	const uint32_t last = p.out.columns * p.out.pool - 1;
#pragma unroll
	for (uint32_t i = 0; i < n_windows; ++i) {
		const uint32_t y = p.out.pool == 2 ? 2 * row + i / 2 % 2 : row;
		const uint32_t x = p.out.pool == 2 ? 4 * group + i / 4 * 2 + i % 2 : n_windows * group + i;
		windows[i] = image + size_t(y) * p.row_step * p.row_stride + size_t(min(x, last)) * p.column_step;
	}
}

template <class A> QMDI_DEVICE void convolve_words(const conv_words_params &p) {
	let_later_launches_start();
	const uint32_t n_words = p.kernel_h * p.row_words;
	const channel_stream stream(p.packed, blockIdx.y, n_words);
	wait_for_earlier_launches();
	const uint32_t item = blockIdx.x * (n_threads / 32) + threadIdx.x / 32;
	if (item >= p.n_items) {
		return;
	}
	const uint32_t group = item % p.n_groups, row = item / p.n_groups % p.out.rows;
	const size_t image = item / p.n_groups / p.out.rows;
	const uint8_t *windows[n_windows];
	place_windows(p, p.input + image * p.image_stride, row, group, windows);

	int32_t sums[n_windows] = {};
	for (uint32_t i = 0; i < p.kernel_h; ++i) {
		for (uint32_t word = 0; word < p.row_words; ++word) {
			const uint32_t w = stream.weight(i * p.row_words + word);
#pragma unroll
			for (uint32_t j = 0; j < n_windows; ++j) {
				sums[j] = dot4<A>(input_word(windows[j] + i * p.row_stride + word * 4, p.is_whole), w, sums[j]);
			}
		}
	}
	uint8_t *const line = p.out.data + image * p.out.image_stride + row * p.out.row_stride;
	if (p.out.pool == 2) {
#pragma unroll
		for (uint32_t j = 0; j < n_windows; j += 4) {
			const uint32_t x = 2 * group + j / 4;
			if (x < p.out.columns) {
				stream.write(p.out, line + size_t(x) * p.out.pixel_bytes,
							 max(max(sums[j], sums[j + 1]), max(sums[j + 2], sums[j + 3])));
			}
		}
		return;
	}
#pragma unroll
	for (uint32_t j = 0; j < n_windows; ++j) {
		const uint32_t x = n_windows * group + j;
		if (x < p.out.columns) {
			stream.write(p.out, line + size_t(x) * p.out.pixel_bytes, sums[j]);
		}
	}
}

QMDI_CUDA_KERNEL(qmdi_conv_dp4a_s8, n_threads, 8, conv_words_params, convolve_words<int8_t>);
QMDI_CUDA_KERNEL(qmdi_conv_dp4a_u8, n_threads, 8, conv_words_params, convolve_words<uint8_t>);

/* ---- The row ---- */

int launch(const qmdi_cuda_call *cuda_call, qmdi_cuda_launch *launch) {
	const qmdi_kernel_call *call = &cuda_call->call;
	const qmdi_kernel_shape *s = call->shape;
	conv_words_params p = {};
	set_gemm(p, call);
	p.kernel_h = s->kernel_h, p.row_words = divide_up(static_cast<uint64_t>(s->kernel_w) * s->in_c, 4);
	p.row_step = s->stride_h, p.column_step = s->stride_w * s->in_c;
	p.n_groups = divide_up(s->out_w, s->pool == 2 ? n_windows / 4 : n_windows);
	const uint64_t n_items = static_cast<uint64_t>(p.n_groups) * s->out_h * call->n_images;
	p.n_items = static_cast<uint32_t>(n_items);
	p.is_whole = has_whole_words(p, p.row_stride | p.column_step);
	const uint64_t grid[2] = {(n_items + n_threads / 32 - 1) / (n_threads / 32), divide_up(s->out_c, block_channels)};
	if (n_items > INT32_MAX) {
		return -1;
	}
	return set_launch(launch, s->operand == QMDI_U8 ? &qmdi_conv_dp4a_u8_entry : &qmdi_conv_dp4a_s8_entry, grid,
					  n_threads, 0, p);
}

} // namespace
} // namespace qmdi

QMDI_CUDA_DEFINE_ROW(conv_x8s8_dp4a, QMDI_OP_CONV2D, 61, QMDI_PER_CHANNEL, 1, qmdi_cuda_any_shape,
					 qmdi::words_packed_size, qmdi::words_pack, qmdi_cuda_no_scratch, qmdi_cuda_no_softmax);
