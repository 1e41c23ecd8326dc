/*
 * dense_x8s8_dp4a: a matrix times vectors of bytes without tensor cores, for any shape. The result is that of
 * dense_x8s8_ref.
 *
 *     acc[n][c] = bias[c] + sum over k of input[n][k] * weights[c][k]
 *     output    = requantized acc, or float32(acc) * m
 *
 * A lane is a channel, a warp 32 of them, a block four warps with up to 8 images (or one) and a part of K. One word of
 * K (4 bytes) of 32 channels is 128 neighbouring bytes of the stream of packed weights (kernels/gemm.h, nr = 32); an
 * image's word is the same for all lanes. With few images K is cut into as many parts as give each multiprocessor four
 * blocks; splits.h says how they are added up in the same launch.
 *
 * Exact: dp4a wraps; u8 goes in as it is (dp4a u32.s32). Ranges are those of the reference.
 *
 * Budget.
 *   Budget: qmdi_dense_dp4a_*_1 registers<=64 shared<=0 spills=0 calls=0 needs=IDP
 *   Budget: qmdi_dense_dp4a_*_8 registers<=128 shared<=0 spills=0 calls=0 needs=IDP
 *   shared        dynamic, 4 bytes
 *   global        weights once for each 8 images; inputs once for each 32 channels; the sums of the splits
 *   loads         weights 4 sectors for 128 bytes; an input 1 sector for 4 bytes
 *
 * Edges: images beyond the last read the last again and are not stored; channels beyond out_c have weights of 0 and are
 * not stored. Reads pass an image's last byte by 7 at most (QMDI_SLACK covers them).
 */
#include "gemm_words.h"
#include "splits.h"

namespace qmdi {
namespace {

constexpr uint32_t n_threads = 128, n_warps = 4, many_images = 8, least_words = 64;

struct dense_words_params : gemm_params {
	split_params splits;
	uint32_t n_words, n_blocks; /* of channels, 32 each */
	int32_t is_whole;
};

/* Sums of up to n_images images over this block's part of K. */
template <class A, int n_images>
QMDI_DEVICE void add_words(const dense_words_params &p, const channel_stream &stream, uint32_t first_image,
						   int32_t (&sums)[n_images]) {
	const uint8_t *images[n_images];
#pragma unroll
	for (uint32_t i = 0; i < n_images; ++i) {
		images[i] = p.input + size_t(min(first_image + i, p.splits.n_images - 1)) * p.image_stride;
	}
	const uint32_t first = blockIdx.y * p.splits.steps, end = min(first + p.splits.steps, p.n_words);
#pragma unroll(n_images == 1 ? 8 : 2)
	for (uint32_t word = first; word < end; ++word) {
		const uint32_t w = stream.weight(word);
#pragma unroll
		for (int i = 0; i < n_images; ++i) {
			sums[i] = dot4<A>(input_word(images[i] + size_t(word) * 4, p.is_whole), w, sums[i]);
		}
	}
}

template <class A, int n_images> QMDI_DEVICE void multiply_words(const dense_words_params &p) {
	let_later_launches_start();
	const uint32_t n_groups = (p.n_blocks + n_warps - 1) / n_warps;
	const uint32_t block = blockIdx.x % n_groups * n_warps + threadIdx.x / 32;
	const uint32_t first_image = blockIdx.x / n_groups * n_images;
	const bool has_block = block < p.n_blocks; /* the same for a whole warp */
	const channel_stream stream(p.packed, min(block, p.n_blocks - 1), p.n_words);
	int32_t sums[n_images] = {};
	wait_for_earlier_launches();
	add_words<A>(p, stream, first_image, sums);
	const uint32_t n = min(static_cast<uint32_t>(n_images), p.splits.n_images - first_image);
	if (p.splits.n_splits > 1) {
#pragma unroll
		for (uint32_t i = 0; i < n_images; ++i) {
			if (has_block && i < n) {
				store(sums_of(p.splits, blockIdx.y, first_image + i, stream.channel), sums[i]);
			}
		}
		if (!is_last_split(p.splits)) {
			return;
		}
	}
#pragma unroll
	for (uint32_t i = 0; i < n_images; ++i) {
		if (has_block && i < n) {
			const int32_t sum = p.splits.n_splits > 1 ? add_splits(p.splits, first_image + i, stream.channel) : sums[i];
			stream.write(p.out, p.out.data + (first_image + i) * p.out.image_stride, sum);
		}
	}
}

QMDI_CUDA_KERNEL(qmdi_dense_dp4a_s8_1, n_threads, 8, dense_words_params, multiply_words<int8_t, 1>);
QMDI_CUDA_KERNEL(qmdi_dense_dp4a_u8_1, n_threads, 8, dense_words_params, multiply_words<uint8_t, 1>);
QMDI_CUDA_KERNEL(qmdi_dense_dp4a_s8_8, n_threads, 4, dense_words_params, multiply_words<int8_t, many_images>);
QMDI_CUDA_KERNEL(qmdi_dense_dp4a_u8_8, n_threads, 4, dense_words_params, multiply_words<uint8_t, many_images>);

/* ---- The row ---- */

/* How a call is cut up. */
struct tiling {
	uint32_t n_words, n_blocks;
	uint64_t n_tiles;
	division k;

	tiling(const qmdi_kernel_shape *shape, size_t n_images, uint32_t n_multiprocessors)
		: n_words(divide_up(shape->in_c, 4)), n_blocks(divide_up(shape->out_c, block_channels)),
		  n_tiles(divide_up(n_blocks, n_warps) * uint64_t(n_images == 1 ? 1 : divide_up(n_images, many_images))),
		  k(n_words, n_tiles, 4 * uint64_t(n_multiprocessors), least_words, n_images * n_blocks * block_channels) {
	}
};

size_t scratch_size(const qmdi_kernel_shape *shape, size_t n_images, uint32_t n_multiprocessors) {
	return tiling(shape, n_images, n_multiprocessors).k.scratch_size();
}

int launch(const qmdi_cuda_call *cuda_call, qmdi_cuda_launch *launch) {
	const qmdi_kernel_call *call = &cuda_call->call;
	const qmdi_kernel_shape *shape = call->shape;
	if (call->n_images > INT32_MAX) {
		return -1;
	}
	const tiling t(shape, call->n_images, cuda_call->n_multiprocessors);
	dense_words_params p = {};
	set_gemm(p, call);
	p.splits = t.k.params(cuda_call->scratch, call->n_images, t.n_blocks * block_channels);
	p.n_words = t.n_words, p.n_blocks = t.n_blocks;
	p.is_whole = has_whole_words(p, 0);
	const qmdi_cuda_entry *const entries[2][2] = {{&qmdi_dense_dp4a_s8_1_entry, &qmdi_dense_dp4a_u8_1_entry},
												  {&qmdi_dense_dp4a_s8_8_entry, &qmdi_dense_dp4a_u8_8_entry}};
	return set_launch(launch, entries[call->n_images > 1][shape->operand == QMDI_U8], {t.n_tiles, t.k.n_splits},
					  n_threads, sizeof(uint32_t), p);
}

} // namespace
} // namespace qmdi

QMDI_CUDA_DEFINE_ROW(dense_x8s8_dp4a, QMDI_OP_DENSE, 61, QMDI_PER_CHANNEL, 1, qmdi_cuda_any_shape,
					 qmdi::words_packed_size, qmdi::words_pack, qmdi::scratch_size, qmdi_cuda_no_softmax);
