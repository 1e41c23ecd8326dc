/*
 * conv_few_x8s8_imma: 2-D convolution of bytes on the tensor cores for any number of channels, meant for the few of a
 * first layer. The result is that of conv_x8s8_ref, as in conv_x8s8_imma.
 *
 * K runs along the rows of a window as they lie in memory: kernel_w * in_c neighbouring bytes a row, filled up to whole
 * words with weights of 0. 3 channels under 5x5 are 5 rows of 4 words (15 bytes + 1), 20 words or 80 bytes of K in 3
 * steps of 32, where one tap after another would take 25 steps.
 *
 * A window begins at any byte, which ldmatrix cannot read. So a lane puts its fragments together itself: a register of
 * A is a word of K, which it cuts out of two neighbouring words of the patch. Rows of the patch are copied by words
 * from the word that holds their first byte, so that rows of a tensor may begin anywhere.
 *
 *     shared memory:  uint32 table[8 * steps]: for each word of K, its row of the window << 16 | its byte in that row
 *                     row 0 of the patch: words   row 1: ...
 *
 * A block has 2 rows by 8 columns of pixels (before the pool) for each of its warps, and 2 units of 16 channels; every
 * warp reads the weights of both, the second and later ones from the cache. gemm_mma.h draws the packed stream.
 *
 * Exact: int32 sums wrap; u8 goes in as it is (mma u8 x s8). Ranges are those of the reference.
 *
 * Budget.
 *   Budget: qmdi_conv_few_imma_* registers<=128 shared<=0 spills=0 calls=0 needs=IMMA
 *   shared        dynamic, the table and the words of the patch: 624 bytes for 5x5 over 3 channels and 4 warps
 *   bank conflicts 8 neighbouring pixels x 4 words of K: none up to 4 channels and a stride of 1
 *   global        the stream of its two units once a warp, the patch once a block
 *   loads         a row of the patch is read by neighbouring lanes: at most one sector more than its bytes
 *
 * Edges: tiles that reach beyond the image read the last word of each row, and its last row, again, and do not store;
 * channels beyond out_c likewise; words of K beyond the last read the first, by weights of 0.
 */
#include "gemm_mma.h"

namespace qmdi {
namespace {

constexpr uint32_t max_warps = 4, prefetch = 3;

struct conv_few_params : gemm_params {
	uint32_t n_units, n_steps;
	uint32_t kernel_h, row_words;   /* words of K in a row of the window */
	uint32_t row_step, column_step; /* strides: in rows, and in bytes */
	uint32_t last_row, row_bytes;   /* of the padded input */
	uint32_t patch_words;           /* in a row of the patch */
	uint32_t row_tiles, column_tiles;
};

/* Where each word of K lies in a window. */
QMDI_DEVICE void fill_table(const conv_few_params &p, uint32_t *table) {
	for (uint32_t word = threadIdx.x; word < p.n_steps * 8; word += blockDim.x) {
		const uint32_t row = word / p.row_words;
		store_shared(&table[word], row < p.kernel_h ? row << 16 | word % p.row_words * 4 : 0);
	}
}

/* The patch of a block. */
struct few_patch {
	const uint8_t *first; /* first byte of its first row */
	uint32_t n_rows;
	uint32_t first_row, first_byte; /* in the padded input */
	const uint32_t *words;          /* in shared memory */

	/* Bytes before the first of row `row` in its first word. */
	QMDI_DEVICE uint32_t shift(const conv_few_params &p, uint32_t row) const {
		return (static_cast<uint32_t>(reinterpret_cast<uintptr_t>(first)) + row * static_cast<uint32_t>(p.row_stride)) %
			   4;
	}

	QMDI_DEVICE void copy(const conv_few_params &p, uint32_t *target) const {
		for (uint32_t i = threadIdx.x; i < n_rows * p.patch_words; i += blockDim.x) {
			const uint32_t row = min(i / p.patch_words, p.last_row - first_row), word = i % p.patch_words;
			const uint8_t *const start = first + row * p.row_stride;
			const uint32_t before = shift(p, row), last = (before + p.row_bytes - first_byte - 1) / 4;
			copy_async<4>(&target[i], start - before + min(word, last) * 4);
		}
	}

	/* Four bytes from byte `byte` of row `row`. */
	QMDI_DEVICE uint32_t read(const conv_few_params &p, uint32_t row, uint32_t byte) const {
		const uint32_t at = byte + shift(p, row);
		const uint32_t *const word = words + row * p.patch_words + at / 4;
		return bytes_at(load_shared(word), load_shared(word + 1), at % 4);
	}
};

template <class A, int units> QMDI_DEVICE void convolve_few(const conv_few_params &p) {
	let_later_launches_start();
	const uint32_t n_tiles = p.row_tiles * p.column_tiles, image = blockIdx.x / n_tiles, n_warps = blockDim.x / 32;
	const uint32_t row_tile = blockIdx.x % n_tiles / p.column_tiles, column_tile = blockIdx.x % p.column_tiles;
	const uint32_t lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32;
	const size_t unit_size = unit_bytes(p.n_steps);
	const uint32_t first_unit = blockIdx.y * units;
	const unsigned char *const unit = p.packed + first_unit * unit_size;
	weight_stream<units, prefetch> weights(unit, unit_size, 0, p.n_steps);
	epilogue ends[units];
#pragma unroll
	for (int u = 0; u < units; ++u) {
		ends[u].load(unit + u * unit_size, unit_size, first_unit + u);
	}

	uint32_t *const table = reinterpret_cast<uint32_t *>(shared_memory()), *const words = table + p.n_steps * 8;
	const uint32_t first_row = row_tile * 2 * n_warps * p.row_step,
				   first_byte = column_tile * tile_columns * p.column_step;
	const few_patch patch = {p.input + image * p.image_stride + first_row * p.row_stride + first_byte,
							 (2 * n_warps - 1) * p.row_step + p.kernel_h, first_row, first_byte, words};
	fill_table(p, table);
	wait_for_earlier_launches();
	patch.copy(p, words);
	commit_copies();
	wait_copies<0>();
	sync_block();

	const uint32_t upper = 2 * warp * p.row_step, lower = upper + p.row_step, window = g * p.column_step;
	int32_t sums[units][2][4] = {};
#pragma unroll 3
	for (uint32_t step = 0; step < p.n_steps; ++step) {
		uint4 b[units];
		weights.take(b);
		uint32_t a[4];
#pragma unroll
		for (int half = 0; half < 2; ++half) {
			const uint32_t place = load_shared(&table[step * 8 + half * 4 + t]);
			a[2 * half] = patch.read(p, upper + (place >> 16), window + (place & 0xffff));
			a[2 * half + 1] = patch.read(p, lower + (place >> 16), window + (place & 0xffff));
		}
#pragma unroll
		for (int u = 0; u < units; ++u) {
			multiply_unit<A>(sums[u], a, b[u]);
		}
	}
	write_two_rows(p.out, sums, ends, image, (row_tile * n_warps + warp) * 2, column_tile * tile_columns);
}

QMDI_CUDA_KERNEL(qmdi_conv_few_imma_s8, 128, 4, conv_few_params, convolve_few<int8_t, 2>);
QMDI_CUDA_KERNEL(qmdi_conv_few_imma_u8, 128, 4, conv_few_params, convolve_few<uint8_t, 2>);

/* ---- The row ---- */

uint64_t words_in_row(const qmdi_kernel_shape *shape) {
	return (static_cast<uint64_t>(shape->kernel_w) * shape->in_c + 3) / 4;
}

uint64_t count_steps(const qmdi_kernel_shape *shape) {
	return (words_in_row(shape) * shape->kernel_h + 7) / 8;
}

/* Words of a row of the patch: its last window, up to three bytes before the first, and a word to cut from. */
uint64_t patch_words(const qmdi_kernel_shape *shape) {
	const uint64_t bytes =
		static_cast<uint64_t>(tile_columns - 1) * shape->stride_w * shape->in_c + 4 * words_in_row(shape);
	return (3 + bytes + 3) / 4 + 1;
}

uint64_t shared_size(const qmdi_kernel_shape *shape, uint32_t n_warps) {
	const uint64_t rows = static_cast<uint64_t>(2 * n_warps - 1) * shape->stride_h + shape->kernel_h;
	return 4 * (count_steps(shape) * 8 + rows * patch_words(shape));
}

int supports(const qmdi_kernel_shape *shape) {
	const uint32_t longest =
		4096; /* keeps products of four extents below 2^64, and rows and bytes of the table in 16 bits */
	return shape->in_c < longest && shape->kernel_h < longest && shape->kernel_w < longest &&
		   shape->stride_h < longest && shape->stride_w < longest &&
		   shared_size(shape, 1) <= QMDI_CUDA_PLAIN_SHARED_BYTES;
}

size_t packed_size(const qmdi_kernel_shape *shape) {
	return count_units(shape) * unit_bytes(count_steps(shape));
}

void pack(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, void *packed) {
	const size_t row_words = words_in_row(shape), row_bytes = static_cast<size_t>(shape->kernel_w) * shape->in_c;
	pack_units(shape, weights, count_steps(shape), packed, [=](size_t step, size_t k) {
		const size_t word = step * 8 + k / 4, row = word / row_words, byte = word % row_words * 4 + k % 4;
		return row < shape->kernel_h && byte < row_bytes ? static_cast<ptrdiff_t>(row * row_bytes + byte) : -1;
	});
}

int launch(const qmdi_cuda_call *cuda_call, qmdi_cuda_launch *launch) {
	const qmdi_kernel_call *call = &cuda_call->call;
	const qmdi_kernel_shape *s = call->shape;
	uint32_t n_warps = max_warps;
	while (n_warps > 1 && shared_size(s, n_warps) > QMDI_CUDA_PLAIN_SHARED_BYTES) {
		n_warps /= 2;
	}
	conv_few_params p = {};
	set_gemm(p, call);
	p.n_units = count_units(s), p.n_steps = static_cast<uint32_t>(count_steps(s));
	p.kernel_h = s->kernel_h, p.row_words = static_cast<uint32_t>(words_in_row(s));
	p.row_step = s->stride_h, p.column_step = s->stride_w * s->in_c;
	p.last_row = s->pad_top + s->in_h + s->pad_bottom - 1;
	p.row_bytes = (s->pad_left + s->in_w + s->pad_right) * s->in_c;
	p.patch_words = static_cast<uint32_t>(patch_words(s));
	p.row_tiles = divide_up(static_cast<uint64_t>(s->out_h) * s->pool, 2 * n_warps);
	p.column_tiles = divide_up(static_cast<uint64_t>(s->out_w) * s->pool, tile_columns);
	const uint64_t grid[2] = {static_cast<uint64_t>(p.row_tiles) * p.column_tiles * call->n_images, p.n_units / 2};
	return set_launch(launch, s->operand == QMDI_U8 ? &qmdi_conv_few_imma_u8_entry : &qmdi_conv_few_imma_s8_entry, grid,
					  32 * n_warps, static_cast<uint32_t>(shared_size(s, n_warps)), p);
}

} // namespace
} // namespace qmdi

QMDI_CUDA_DEFINE_ROW(conv_few_x8s8_imma, QMDI_OP_CONV2D, 75, QMDI_PER_CHANNEL, 1, qmdi::supports, qmdi::packed_size,
					 qmdi::pack, qmdi_cuda_no_scratch, qmdi_cuda_no_softmax);
