/*
 * dense_x8s8_imma: a matrix times vectors of bytes on the tensor cores, for one image as for many. The result is that
 * of dense_x8s8_ref.
 *
 *     acc[n][c] = bias[c] + sum over k of input[n][k] * weights[c][k]
 *     output    = requantized acc, or float32(acc) * m
 *
 * Images are the rows of the GEMM, channels its columns. A block has 16 * tiles images and, a warp each, up to four
 * units of 16 channels, and a part of K: with few images the weights are what takes time, so that K is cut into as many
 * parts
 * ("splits") as give each multiprocessor two blocks. A block reads its weights once, each lane 16 bytes a step straight
 * into the registers of its B fragments (gemm_mma.h draws the packed stream), `chunk` steps ahead. With one image 15 of
 * the 16 rows of an mma are idle; the weights' bytes bound the time all the same.
 *
 * splits.h says how they are added up in the same launch.
 *
 * Inputs come to shared memory by cp.async, a chunk of K while the one before is multiplied:
 *
 *     stage, two of them in turn:  image 0: chunk * 32 bytes | 16 unused   image 1: ...
 *
 * Variants, tiles x chunk: 1 x 8 up to 16 images, 8 x 4 beyond.
 *
 * Exact: int32 sums wrap; u8 goes in as it is (mma u8 x s8). Ranges are those of the reference.
 *
 * Budget.
 *   Budget: qmdi_dense_imma_*_1x8 registers<=128 shared<=0 spills=0 calls=0 needs=IMMA,LDSM
 *   Budget: qmdi_dense_imma_*_8x4 registers<=160 shared<=0 spills=0 calls=0 needs=IMMA,LDSM
 *   shared        dynamic, 2 * 16 * tiles * (32 * chunk + 16) bytes: 8,704 and 36,864
 *   bank conflicts none: 32 * chunk + 16 is an odd number of 16 bytes
 *   global        weights once for each 16 * tiles images; inputs once for each 64 channels; sums of the splits, which
 * at one image are 2 % of 14400 x 512 weights loads         weights 16 sectors for 512 bytes
 *
 * Edges: images beyond the last are neither read nor written, nor are channels beyond out_c and K beyond in_c (weights
 * of 0 stand there). Input data and strides are multiples of 16, and so is in_c.
 */
#include <algorithm>

#include "gemm_mma.h"
#include "splits.h"

namespace qmdi {
namespace {

constexpr uint32_t tile_images = 16, max_warps = 4;

struct dense_params : gemm_params {
	split_params splits;
	uint32_t in_c, n_images, n_steps, n_units;
	uint32_t n_channel_blocks;
};

/* Begin to copy a chunk of K of the block's images, up to byte `end`. */
template <int tiles, int chunk>
QMDI_DEVICE void copy_chunk(const dense_params &p, uint32_t first_image, uint32_t first_step, uint32_t end,
							unsigned char *stage) {
	for (uint32_t i = threadIdx.x; i < tiles * tile_images * chunk * 2; i += blockDim.x) {
		const uint32_t row = i / (chunk * 2), piece = i % (chunk * 2);
		const uint32_t image = first_image + row, k = first_step * step_k + piece * 16;
		if (image < p.n_images && k < end) {
			copy_async<16>(stage + row * (chunk * step_k + 16) + piece * 16, p.input + image * p.image_stride + k);
		}
	}
}

/* Add up the splits of a tile and write its outputs; a thread has the same four channels of several images. */
template <int tiles> QMDI_DEVICE void finish_splits(const dense_params &p, uint32_t first_image, uint32_t first_unit) {
	const uint32_t n_quads = blockDim.x / 8, quad = threadIdx.x % n_quads, unit = first_unit + quad / 4;
	if (unit >= p.n_units) {
		return;
	}
	const size_t unit_size = unit_bytes(p.n_steps);
	epilogue end = {};
	end.load(p.packed + unit * unit_size, unit_size, unit);
	for (uint32_t row = threadIdx.x / n_quads; row < tiles * tile_images; row += 8) {
		const uint32_t image = first_image + row;
		if (image >= p.n_images) {
			return;
		}
		int32_t sums[4];
		add_splits(p.splits, image, end.channel, sums);
		end.write(p.out, p.out.data + image * p.out.image_stride, sums);
	}
}

/* Write a lane's sums: of the layer if there is one split, else of this split. */
template <int tiles>
QMDI_DEVICE void write_sums(const dense_params &p, const int32_t (&sums)[tiles][2][4], uint32_t first_image,
							uint32_t unit) {
	const size_t unit_size = unit_bytes(p.n_steps);
	epilogue end = {};
	if (p.splits.n_splits == 1) {
		end.load(p.packed + unit * unit_size, unit_size, unit);
	}
#pragma unroll
	for (int i = 0; i < 2 * tiles; ++i) {
		const uint32_t image = first_image + uint32_t(i) * 8 + threadIdx.x % 32 / 4;
		if (image >= p.n_images) {
			continue;
		}
		int32_t four[4];
		four_channels(sums[i / 2], i % 2, four);
		if (p.splits.n_splits == 1) {
			end.write(p.out, p.out.data + image * p.out.image_stride, four);
		} else {
			const uint32_t channel = unit * unit_channels + threadIdx.x % 4 * 4;
			store(reinterpret_cast<int4 *>(sums_of(p.splits, blockIdx.y, image, channel)),
				  int4{four[0], four[1], four[2], four[3]});
		}
	}
}

template <class A, int tiles, int chunk> QMDI_DEVICE void multiply_images(const dense_params &p) {
	let_later_launches_start();
	constexpr uint32_t pitch = chunk * step_k + 16, stage_bytes = tiles * tile_images * pitch;
	const uint32_t lane = threadIdx.x % 32, first_unit = blockIdx.x % p.n_channel_blocks * (blockDim.x / 32);
	const uint32_t unit = first_unit + threadIdx.x / 32;
	const uint32_t first_image = blockIdx.x / p.n_channel_blocks * (tiles * tile_images);
	const uint32_t first_step = blockIdx.y * p.splits.steps;
	const uint32_t n_steps = min(p.splits.steps, p.n_steps - first_step);
	const size_t unit_size = unit_bytes(p.n_steps);
	weight_stream<1, chunk> weights(p.packed + min(unit, p.n_units - 1) * unit_size, unit_size, first_step, n_steps);
	int32_t sums[tiles][2][4] = {};

	wait_for_earlier_launches();
	const uint32_t end = min(p.in_c, (first_step + n_steps) * step_k);
	copy_chunk<tiles, chunk>(p, first_image, first_step, end, shared_memory());
	commit_copies();
	for (uint32_t step = 0; step < n_steps; step += chunk) {
		const uint32_t stage = step / chunk % 2;
		if (step + chunk < n_steps) {
			copy_chunk<tiles, chunk>(p, first_image, first_step + step + chunk, end,
									 shared_memory() + (stage ^ 1) * stage_bytes);
		}
		commit_copies();
		wait_copies<1>();
		sync_block();
		const unsigned char *fragment = shared_memory() + stage * stage_bytes + lane % 16 * pitch + lane / 16 * 16;
#pragma unroll
		for (int s = 0; s < chunk; ++s) {
			if (step + s < n_steps) {
				uint4 b[1];
				weights.take(b);
#pragma unroll
				for (int i = 0; i < tiles; ++i) {
					uint32_t a[4];
					load_matrix_x4(a, fragment + i * tile_images * pitch + s * step_k);
					multiply_unit<A>(sums[i], a, b[0]);
				}
			}
		}
		sync_block();
	}
	if (unit < p.n_units) {
		write_sums<tiles>(p, sums, first_image, unit);
	}
	if (p.splits.n_splits > 1 && is_last_split(p.splits)) {
		finish_splits<tiles>(p, first_image, first_unit);
	}
}

QMDI_CUDA_KERNEL(qmdi_dense_imma_s8_1x8, 128, 4, dense_params, multiply_images<int8_t, 1, 8>);
QMDI_CUDA_KERNEL(qmdi_dense_imma_u8_1x8, 128, 4, dense_params, multiply_images<uint8_t, 1, 8>);
QMDI_CUDA_KERNEL(qmdi_dense_imma_s8_8x4, 128, 2, dense_params, multiply_images<int8_t, 8, 4>);
QMDI_CUDA_KERNEL(qmdi_dense_imma_u8_8x4, 128, 2, dense_params, multiply_images<uint8_t, 8, 4>);

/* ---- The row ---- */

int supports(const qmdi_kernel_shape *shape) {
	return shape->in_c % 16 == 0;
}

size_t count_steps(const qmdi_kernel_shape *shape) {
	return divide_up(shape->in_c, step_k);
}

size_t packed_size(const qmdi_kernel_shape *shape) {
	return count_units(shape) * unit_bytes(count_steps(shape));
}

void pack(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, void *packed) {
	pack_units(shape, weights, count_steps(shape), packed, [=](size_t step, size_t k) {
		return step * step_k + k < shape->in_c ? static_cast<ptrdiff_t>(step * step_k + k) : -1;
	});
}

/* How a call is cut up. */
struct tiling {
	uint32_t tiles, chunk, n_warps, n_channel_blocks;
	uint64_t n_tiles;
	division k;

	tiling(const qmdi_kernel_shape *shape, size_t n_images, uint32_t n_multiprocessors)
		: tiles(n_images <= tile_images ? 1 : 8), chunk(tiles == 1 ? 8 : 4),
		  n_warps(std::min(divide_up(shape->out_c, unit_channels), max_warps)),
		  n_channel_blocks(divide_up(shape->out_c, unit_channels * n_warps)),
		  n_tiles(n_channel_blocks * uint64_t(divide_up(n_images, tiles * tile_images))),
		  /* Two small blocks or one large on each multiprocessor. */
		  k(count_steps(shape), n_tiles, (tiles == 1 ? 2 : 1) * uint64_t(n_multiprocessors), chunk,
			n_images * count_units(shape) * unit_channels) {
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
	dense_params p = {};
	set_gemm(p, call);
	p.splits = t.k.params(cuda_call->scratch, call->n_images, count_units(shape) * unit_channels);
	p.in_c = shape->in_c, p.n_images = static_cast<uint32_t>(call->n_images);
	p.n_steps = static_cast<uint32_t>(count_steps(shape)), p.n_units = count_units(shape);
	p.n_channel_blocks = t.n_channel_blocks;
	const qmdi_cuda_entry *const entries[2][2] = {{&qmdi_dense_imma_s8_1x8_entry, &qmdi_dense_imma_u8_1x8_entry},
												  {&qmdi_dense_imma_s8_8x4_entry, &qmdi_dense_imma_u8_8x4_entry}};
	return set_launch(launch, entries[t.tiles == 8][shape->operand == QMDI_U8], {t.n_tiles, t.k.n_splits},
					  32 * t.n_warps, 2 * t.tiles * tile_images * (t.chunk * step_k + 16), p);
}

} // namespace
} // namespace qmdi

QMDI_CUDA_DEFINE_ROW(dense_x8s8_imma, QMDI_OP_DENSE, 75, QMDI_PER_CHANNEL, 16, qmdi::supports, qmdi::packed_size,
					 qmdi::pack, qmdi::scratch_size, qmdi_cuda_no_softmax);
