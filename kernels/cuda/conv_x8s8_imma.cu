/*
 * conv_x8s8_imma: 2-D convolution of bytes on the tensor cores, where channels come in sixteens. The result is that of
 * conv_x8s8_ref.
 *
 *     acc[i][c] = bias[c] + sum over k of x[i][k] * w[c][k]    i: pixels of a tile, c: channels of units, k: K
 *     output    = requantized acc, after the largest of each 2x2 pixels with pool 2 (max commutes with requantizing,
 *                 which is monotone as m > 0), or float32(acc) * m
 *
 * Tile of a block: 2 * tiles rows by 8 columns of pixels before the pool, times the units of its warps: each warp has
 * `units` units of 16 channels and all of the pixels. The 16 rows of an mma are 2 rows of 8 pixels, one above the
 * other: a lane has a pixel and the one below it, and its neighbour is 4 lanes on, so that a pool is two maxima and a
 * shuffle.
 *
 * Implicit GEMM. The patch that a tile's windows cover is copied to shared memory once, 32 channels at a time, while
 * the 32 before are multiplied. A window's row of A for one tap and 32 channels is 2 x 16 contiguous bytes of the
 * patch, so ldmatrix reads A fragments at any tap straight from it: no im2col, not even in shared memory.
 *
 *     chunk of 32 channels of the patch, two of them in turn:
 *     pixel (0,0): 16 bytes | 16 bytes | 16 unused   pixel (0,1): ...        48 bytes a pixel
 *
 * K runs over chunks, then taps, then the 32 channels. Weights go straight from global memory to registers (gemm_mma.h
 * draws the packed stream), four steps ahead. If in_c is an odd multiple of 16, the last chunk's upper half is not
 * copied: it meets weights of 0.
 *
 * Two variants: 1 tile x 1 unit a warp, for few images (small blocks on all multiprocessors); 2 tiles x 2 units for
 * many (a fragment of A serves 2 units, one of B serves 2 tiles).
 *
 * Exact: int32 sums wrap; u8 goes in as it is (mma u8 x s8). Ranges are those of the reference.
 *
 * Budget.
 *   Budget: qmdi_conv_imma_*_1x1 registers<=128 shared<=0 spills=0 calls=0 needs=IMMA,LDSM
 *   Budget: qmdi_conv_imma_*_2x2 registers<=168 shared<=0 spills=0 calls=0 needs=IMMA,LDSM
 *   shared        dynamic, 2 * patch rows * patch columns * 48 bytes: 3,840 for 3x3 and 1 tile
 *   bank conflicts none for a stride of 1: 48 bytes are 3 sixteenths of the banks, an odd number, so 8 neighbouring
 *                 pixels' 16 bytes fall on different banks. A stride of 2 has 2 passes instead of 1.
 *   global        the stream of its units once a block, the patch once a block, a sector for a pixel's 32 bytes
 *   stores        4 bytes a lane, 16 neighbouring bytes a pixel: 2 sectors' room for 1 sector's bytes
 *
 * Edges: tiles that reach beyond the image read its last row or column again and do not store; channels beyond out_c
 * likewise. Input data and strides are multiples of 16.
 */
#include "gemm_mma.h"

namespace qmdi {
namespace {

constexpr uint32_t chunk_channels = 32, pixel_pitch = 48, max_warps = 4, prefetch = 4;

struct conv_params : gemm_params {
	uint32_t in_c, n_chunks, n_units;
	uint32_t kernel_h, kernel_w, stride_h, stride_w;
	uint32_t last_row, last_column; /* of the padded input */
	uint32_t row_tiles, column_tiles;
};

/* The patch of a block: where it comes from, and how large it is. */
struct input_patch {
	const uint8_t *image;
	uint32_t first_row, first_column, rows, columns;

	QMDI_DEVICE uint32_t bytes() const {
		return rows * columns * pixel_pitch;
	}

	/* Begin to copy a chunk, 16 bytes a thread: 8 lanes the lower halves of 8 neighbours, 8 the upper, so that they
	 * write to different banks. */
	QMDI_DEVICE void copy(const conv_params &p, uint32_t chunk, unsigned char *target) const {
		const uint32_t n_pixels = rows * columns;
		const uint32_t n_halves = p.in_c - chunk * chunk_channels < chunk_channels ? 1 : 2;
		for (uint32_t i = threadIdx.x; i / 16 * 8 < n_pixels; i += blockDim.x) {
			const uint32_t half = i / 8 % 2, pixel = i / 16 * 8 + i % 8;
			const uint32_t row = min(first_row + pixel / columns, p.last_row);
			const uint32_t column = min(first_column + pixel % columns, p.last_column);
			if (pixel < n_pixels && half < n_halves) {
				copy_async<16>(target + pixel * pixel_pitch + half * 16, image + row * p.row_stride +
																			 size_t(column) * p.in_c +
																			 chunk * chunk_channels + half * 16);
			}
		}
	}
};

/* This lane's row of A in the patch at tap (0, 0) of the first tile: lanes 0-7 the upper 8 pixels, 8-15 the lower,
 * 16-31 the same for the upper 16 channels. */
QMDI_DEVICE uint32_t fragment_offset(const conv_params &p, uint32_t patch_columns) {
	const uint32_t lane = threadIdx.x % 32;
	const uint32_t row = lane / 8 % 2 * p.stride_h, column = lane % 8 * p.stride_w;
	return (row * patch_columns + column) * pixel_pitch + lane / 16 * 16;
}

template <class A, int tiles, int units> QMDI_DEVICE void convolve(const conv_params &p) {
	let_later_launches_start();
	const uint32_t n_tiles = p.row_tiles * p.column_tiles, image = blockIdx.x / n_tiles;
	const uint32_t row_tile = blockIdx.x % n_tiles / p.column_tiles, column_tile = blockIdx.x % p.column_tiles;
	const uint32_t n_taps = p.kernel_h * p.kernel_w, n_steps = p.n_chunks * n_taps;
	const size_t unit_size = unit_bytes(n_steps);
	const uint32_t first_unit = (blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32) * units;
	const unsigned char *unit = p.packed + min(first_unit, p.n_units - units) * unit_size;
	weight_stream<units, prefetch> weights(unit, unit_size, 0, n_steps);
	epilogue ends[units];
#pragma unroll
	for (int u = 0; u < units; ++u) {
		ends[u].load(unit + u * unit_size, unit_size, first_unit + u);
	}

	const input_patch patch = {p.input + image * p.image_stride, row_tile * 2 * tiles * p.stride_h,
							   column_tile * tile_columns * p.stride_w, (2 * tiles - 1) * p.stride_h + p.kernel_h,
							   (tile_columns - 1) * p.stride_w + p.kernel_w};
	const uint32_t lane_offset = fragment_offset(p, patch.columns);
	const uint32_t tile_step = 2 * p.stride_h * patch.columns * pixel_pitch;
	int32_t sums[tiles][units][2][4] = {};

	wait_for_earlier_launches();
	patch.copy(p, 0, shared_memory());
	commit_copies();
	for (uint32_t chunk = 0; chunk < p.n_chunks; ++chunk) {
		if (chunk + 1 < p.n_chunks) {
			patch.copy(p, chunk + 1, shared_memory() + (chunk + 1) % 2 * patch.bytes());
		}
		commit_copies();
		wait_copies<1>();
		sync_block();
		const unsigned char *line = shared_memory() + chunk % 2 * patch.bytes() + lane_offset, *window = line;
		uint32_t column = 0;
#pragma unroll 4
		for (uint32_t tap = 0; tap < n_taps; ++tap) {
			uint4 b[units];
			weights.take(b);
#pragma unroll
			for (int i = 0; i < tiles; ++i) {
				uint32_t a[4];
				load_matrix_x4(a, window + i * tile_step);
#pragma unroll
				for (int u = 0; u < units; ++u) {
					multiply_unit<A>(sums[i][u], a, b[u]);
				}
			}
			window += pixel_pitch;
			if (++column == p.kernel_w) {
				column = 0;
				line += patch.columns * pixel_pitch;
				window = line;
			}
		}
		sync_block();
	}
#pragma unroll
	for (int i = 0; i < tiles; ++i) {
		write_two_rows(p.out, sums[i], ends, image, (row_tile * tiles + i) * 2, column_tile * tile_columns);
	}
}

QMDI_CUDA_KERNEL(qmdi_conv_imma_s8_1x1, 128, 4, conv_params, convolve<int8_t, 1, 1>);
QMDI_CUDA_KERNEL(qmdi_conv_imma_u8_1x1, 128, 4, conv_params, convolve<uint8_t, 1, 1>);
QMDI_CUDA_KERNEL(qmdi_conv_imma_s8_2x2, 128, 3, conv_params, convolve<int8_t, 2, 2>);
QMDI_CUDA_KERNEL(qmdi_conv_imma_u8_2x2, 128, 3, conv_params, convolve<uint8_t, 2, 2>);

/* ---- The row ---- */

uint64_t patch_bytes(const qmdi_kernel_shape *shape, uint32_t tiles) {
	const uint64_t rows = (2 * tiles - 1) * static_cast<uint64_t>(shape->stride_h) + shape->kernel_h;
	const uint64_t columns = (tile_columns - 1) * static_cast<uint64_t>(shape->stride_w) + shape->kernel_w;
	return rows * columns * pixel_pitch;
}

int supports(const qmdi_kernel_shape *shape) {
	const uint32_t longest = 4096; /* keeps products of two extents far below 2^64 */
	return shape->in_c % 16 == 0 && shape->kernel_h < longest && shape->kernel_w < longest &&
		   shape->stride_h < longest && shape->stride_w < longest &&
		   patch_bytes(shape, 1) <= QMDI_CUDA_PLAIN_SHARED_BYTES / 2;
}

uint32_t count_chunks(const qmdi_kernel_shape *shape) {
	return divide_up(shape->in_c, chunk_channels);
}

size_t count_steps(const qmdi_kernel_shape *shape) {
	return static_cast<size_t>(count_chunks(shape)) * shape->kernel_h * shape->kernel_w;
}

size_t packed_size(const qmdi_kernel_shape *shape) {
	return count_units(shape) * unit_bytes(count_steps(shape));
}

void pack(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, void *packed) {
	const size_t n_taps = static_cast<size_t>(shape->kernel_h) * shape->kernel_w;
	pack_units(shape, weights, count_steps(shape), packed, [=](size_t step, size_t k) {
		const size_t channel = step / n_taps * chunk_channels + k;
		return channel < shape->in_c ? static_cast<ptrdiff_t>(step % n_taps * shape->in_c + channel) : -1;
	});
}

/* Blocks for a variant: along x and y. */
void set_grid(const qmdi_kernel_call *call, uint32_t tiles, uint32_t units, conv_params &p, uint32_t &n_warps,
			  uint64_t (&grid)[2]) {
	const qmdi_kernel_shape *shape = call->shape;
	p.row_tiles = divide_up(static_cast<uint64_t>(shape->out_h) * shape->pool, 2 * tiles);
	p.column_tiles = divide_up(static_cast<uint64_t>(shape->out_w) * shape->pool, tile_columns);
	const uint32_t n_warps_needed = divide_up(divide_up(shape->out_c, unit_channels), units);
	n_warps = n_warps_needed < max_warps ? n_warps_needed : max_warps;
	grid[0] = static_cast<uint64_t>(p.row_tiles) * p.column_tiles * call->n_images;
	grid[1] = divide_up(n_warps_needed, n_warps);
}

int launch(const qmdi_cuda_call *cuda_call, qmdi_cuda_launch *launch) {
	const qmdi_kernel_call *call = &cuda_call->call;
	const qmdi_kernel_shape *s = call->shape;
	conv_params p = {};
	set_gemm(p, call);
	p.in_c = s->in_c, p.n_chunks = count_chunks(s), p.n_units = count_units(s);
	p.kernel_h = s->kernel_h, p.kernel_w = s->kernel_w, p.stride_h = s->stride_h, p.stride_w = s->stride_w;
	p.last_row = s->pad_top + s->in_h + s->pad_bottom - 1, p.last_column = s->pad_left + s->in_w + s->pad_right - 1;

	/* The large variant if its blocks go twice around the machine. */
	uint32_t tiles = 2, n_warps;
	uint64_t grid[2];
	set_grid(call, 2, 2, p, n_warps, grid);
	if (grid[0] * grid[1] < 2 * cuda_call->n_multiprocessors || patch_bytes(s, 2) > QMDI_CUDA_PLAIN_SHARED_BYTES / 2) {
		tiles = 1;
		set_grid(call, 1, 1, p, n_warps, grid);
	}
	const qmdi_cuda_entry *const entries[2][2] = {{&qmdi_conv_imma_s8_1x1_entry, &qmdi_conv_imma_u8_1x1_entry},
												  {&qmdi_conv_imma_s8_2x2_entry, &qmdi_conv_imma_u8_2x2_entry}};
	return set_launch(launch, entries[tiles - 1][s->operand == QMDI_U8], grid, 32 * n_warps,
					  static_cast<uint32_t>(patch_bytes(s, tiles)) * (p.n_chunks > 1 ? 2 : 1), p);
}

} // namespace
} // namespace qmdi

QMDI_CUDA_DEFINE_ROW(conv_x8s8_imma, QMDI_OP_CONV2D, 75, QMDI_PER_CHANNEL, 16, qmdi::supports, qmdi::packed_size,
					 qmdi::pack, qmdi_cuda_no_scratch, qmdi_cuda_no_softmax);
