/*
 * What the kernels on tensor cores have in common: the packed stream of weights and how a warp reads it, and the end of
 * a tile, from int32 sums to bytes.
 *
 * A warp multiplies windows (rows of the GEMM) by units of 16 channels (columns), 32 bytes of K a step. The packed
 * stream is one unit after another,
 *
 *     unit 0                                                                    unit 1 ...
 *     +----------------+-------------------------------------+-----------------+----
 *     | int32 bias[16] | steps x 512 bytes of weights        | float m[16]     |
 *     +----------------+-------------------------------------+-----------------+----
 *
 * filled up to an even number of units; a step's 512 bytes are the registers of the 32 lanes, 16 bytes each, so that a
 * warp loads its B fragments straight from global memory in one access of 16 sectors, each byte once a block:
 *
 *     lane 0: b[0] b[1] of columns 0-7 | b[0] b[1] of columns 8-15 | lane 1: ...
 *
 * Columns are channels in an order that leaves each lane with four neighbours. Lane 4g + t has columns 2t, 2t + 1 of
 * both halves in its accumulators; half j, column n stands for channel 4 * (n / 2) + 2 * j + n % 2 of the unit, so the
 * lane has channels 4t .. 4t + 3 and stores one word. What fills up the last unit has weights, bias and m of 0.
 */
#ifndef QMD_KERNELS_CUDA_GEMM_MMA_H
#define QMD_KERNELS_CUDA_GEMM_MMA_H

#include "gemm_call.h"

namespace qmdi {
namespace {

constexpr uint32_t unit_channels = 16, step_bytes = 512, step_k = 32;
constexpr uint32_t tile_columns = 8; /* of a convolution: an mma's rows are 2 rows of 8 pixels */

/* ---- On the host: packing ---- */

__host__ __device__ inline size_t unit_bytes(size_t n_steps) {
	return 2 * unit_channels * sizeof(int32_t) + n_steps * step_bytes;
}

/* Units of the stream: an even number. */
inline uint32_t count_units(const qmdi_kernel_shape *shape) {
	return divide_up(shape->out_c, 2 * unit_channels) * 2;
}

/* Locate: (step, byte of the step) to the index of a weight among its channel's, or -1 for a filling 0. */
template <class Locate>
void pack_units(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, size_t n_steps, void *packed,
				Locate locate) {
	const size_t n_units = count_units(shape), size = unit_bytes(n_steps);
	const size_t n_weights = static_cast<size_t>(shape->kernel_h) * shape->kernel_w * shape->in_c;
	memset(packed, 0, n_units * size);
	for (size_t channel = 0; channel < shape->out_c; ++channel) {
		unsigned char *unit = static_cast<unsigned char *>(packed) + channel / unit_channels * size;
		const size_t in_unit = channel % unit_channels, half = in_unit / 2 % 2;
		const size_t column = in_unit / 4 * 2 + in_unit % 2;
		memcpy(unit + in_unit * sizeof(int32_t), &weights->bias[channel], sizeof(int32_t));
		memcpy(unit + size - (unit_channels - in_unit) * sizeof(float), &weights->multipliers[channel], sizeof(float));
		for (size_t i = 0; i < n_steps * step_k; ++i) {
			const size_t step = i / step_k, k = i % step_k;
			const ptrdiff_t from = locate(step, k);
			const size_t lane = column * 4 + k % 16 / 4, word = 2 * half + k / 16;
			const size_t at = unit_channels * sizeof(int32_t) + step * step_bytes + lane * 16 + word * 4 + k % 4;
			unit[at] =
				from < 0
					? 0
					: static_cast<unsigned char>(weights->weights[channel * n_weights + static_cast<size_t>(from)]);
		}
	}
}

/* ---- On the device ---- */

/*
 * The weights of `units` neighbouring units of one warp, a step at a time, `depth` steps of them on their way:
 * registers take turns, so that a load is used `depth` steps after it was issued.
 */
template <int units, int depth> struct weight_stream {
	const unsigned char *next; /* this lane's bytes of the next step to load */
	size_t unit_stride;
	uint32_t n_left; /* steps not yet loaded */
	uint4 ring[depth][units];

	QMDI_DEVICE weight_stream(const unsigned char *first_unit, size_t unit_stride_, uint32_t first_step,
							  uint32_t n_steps)
		: next(first_unit + unit_channels * sizeof(int32_t) + first_step * size_t(step_bytes) + threadIdx.x % 32 * 16),
		  unit_stride(unit_stride_), n_left(n_steps) {
#pragma unroll
		for (int i = 0; i < depth; ++i) {
			load_step(i);
		}
	}

	QMDI_DEVICE void load_step(int i) {
		if (n_left > 0) {
#pragma unroll
			for (int u = 0; u < units; ++u) {
				ring[i][u] = load_constant(reinterpret_cast<const uint4 *>(next + u * unit_stride));
			}
			next += step_bytes;
			--n_left;
		}
	}

	/* The oldest step, and the load of another in its place. */
	QMDI_DEVICE void take(uint4 (&b)[units]) {
#pragma unroll
		for (int u = 0; u < units; ++u) {
			b[u] = ring[0][u];
#pragma unroll
			for (int i = 0; i + 1 < depth; ++i) {
				ring[i][u] = ring[i + 1][u];
			}
		}
		load_step(depth - 1);
	}
};

/* One step of 16 windows by one unit. */
template <class A> QMDI_DEVICE void multiply_unit(int32_t (&sums)[2][4], const uint32_t (&a)[4], const uint4 &b) {
	const uint32_t left[2] = {b.x, b.y}, right[2] = {b.z, b.w};
	multiply_m16n8k32<A>(sums[0], a, left);
	multiply_m16n8k32<A>(sums[1], a, right);
}

/* What turns the sums of this lane's four channels of a unit into the output. */
struct epilogue {
	int32_t bias[4];
	float multipliers[4];
	uint32_t channel; /* first of the four */

	QMDI_DEVICE void load(const unsigned char *unit, size_t unit_size, uint32_t unit_number) {
		const uint32_t t = threadIdx.x % 4;
		const int4 b = load_constant(reinterpret_cast<const int4 *>(unit) + t);
		const float4 m =
			load_constant(reinterpret_cast<const float4 *>(unit + unit_size - unit_channels * sizeof(float)) + t);
		bias[0] = b.x, bias[1] = b.y, bias[2] = b.z, bias[3] = b.w;
		multipliers[0] = m.x, multipliers[1] = m.y, multipliers[2] = m.z, multipliers[3] = m.w;
		channel = unit_number * unit_channels + 4 * t;
	}

	/* Write four channels of a pixel, those there are. */
	QMDI_DEVICE void write(const output_params &out, uint8_t *pixel, const int32_t (&sums)[4]) const {
		if (out.float_output) {
			for (int i = 0; i < 4; ++i) {
				if (channel + static_cast<uint32_t>(i) < out.out_c) {
					store(reinterpret_cast<float *>(pixel) + channel + i, scale_sum(sums[i], bias[i], multipliers[i]));
				}
			}
			return;
		}
		uint32_t word = 0;
#pragma unroll
		for (int i = 0; i < 4; ++i) {
			word |= static_cast<uint32_t>(round_to_byte(scale_sum(sums[i], bias[i], multipliers[i]), out.low)) << 8 * i;
		}
		if (out.has_words && channel < out.out_c) {
			store(reinterpret_cast<uint32_t *>(pixel + channel), word);
			return;
		}
		for (uint32_t i = 0; i < 4 && channel + i < out.out_c; ++i) {
			store(pixel + channel + i, static_cast<uint8_t>(word >> 8 * i));
		}
	}
};

/* The sums of this lane's four channels in one of its two rows (0: row g, 1: row g + 8). */
QMDI_DEVICE void four_channels(const int32_t (&sums)[2][4], int row, int32_t (&four)[4]) {
	four[0] = sums[0][2 * row], four[1] = sums[0][2 * row + 1];
	four[2] = sums[1][2 * row], four[3] = sums[1][2 * row + 1];
}

/* The output of an mma's 2 rows of 8 pixels of a convolution, pooled or not, by `units` units. All lanes of the warp.
 */
template <int units>
QMDI_DEVICE void write_two_rows(const output_params &out, const int32_t (&sums)[units][2][4],
								const epilogue (&ends)[units], uint32_t image, uint32_t row, uint32_t first_column) {
	const uint32_t column = first_column + threadIdx.x % 32 / 4;
	uint8_t *const data = out.data + image * out.image_stride;
#pragma unroll
	for (int u = 0; u < units; ++u) {
		int32_t upper[4], lower[4];
		four_channels(sums[u], 0, upper);
		four_channels(sums[u], 1, lower);
		if (out.pool == 2) {
			for (int i = 0; i < 4; ++i) {
				upper[i] = max(upper[i], lower[i]);
				upper[i] = max(upper[i], shuffle_xor(upper[i], 4));
			}
			if (column % 2 == 0 && row / 2 < out.rows && column / 2 < out.columns) {
				ends[u].write(out, data + row / 2 * out.row_stride + size_t(column / 2) * out.pixel_bytes, upper);
			}
			continue;
		}
		uint8_t *const pixel = data + row * out.row_stride + size_t(column) * out.pixel_bytes;
		if (row < out.rows && column < out.columns) {
			ends[u].write(out, pixel, upper);
		}
		if (row + 1 < out.rows && column < out.columns) {
			ends[u].write(out, pixel + out.row_stride, lower);
		}
	}
}

} // namespace
} // namespace qmdi

#endif
