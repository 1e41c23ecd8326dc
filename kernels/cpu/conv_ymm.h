/*
 * The micro-kernel of conv2d on 256-bit vectors: a tile of up to MR windows by 16 channels. The file that includes this
 * states the contract and defines MR (at most 6), FLIPPED, the operand that is read with its highest bits flipped,
 * and multiply_add(sum, x, w, operand), which adds four products to each of 8 sums.
 */
#ifndef QMD_KERNELS_CONV_YMM_H
#define QMD_KERNELS_CONV_YMM_H

#include "ymm.h"

#define NR 16

/* The sums of n windows, the first (n + 1) / 2 of them in row 0, over all of K. Returns the end of the weights. */
INLINE const uint8_t *accumulate(const qmdi_tile *tile, const int n, const qmdi_operand operand, __m256i sums[MR][2]) {
	const int n0 = (n + 1) / 2;
	const uint8_t *weights = tile->stream + 4 * NR;
	UNROLL
	for (int i = 0; i < n; ++i) {
		sums[i][0] = qmdi_ymm_load(tile->stream);
		sums[i][1] = qmdi_ymm_load(tile->stream + 32);
	}
	for (size_t segment = 0; segment < tile->n_segments; ++segment) {
		const uint8_t *row0 = tile->inputs[0] + segment * tile->segment_step;
		const uint8_t *row1 = tile->inputs[1] + segment * tile->segment_step;
		for (size_t dword = 0; dword < tile->n_dwords; ++dword, row0 += 4, row1 += 4, weights += 4 * NR) {
			const __m256i w0 = qmdi_ymm_load(weights), w1 = qmdi_ymm_load(weights + 32);
			UNROLL
			for (int i = 0; i < n; ++i) {
				const uint8_t *row = i < n0 ? row0 : row1;
				const uint8_t *window = row + (size_t)(i < n0 ? i : i - n0) * tile->input_step;
				const __m256i x = qmdi_ymm_broadcast(window, operand == FLIPPED);
				multiply_add(&sums[i][0], x, w0, operand);
				multiply_add(&sums[i][1], x, w1, operand);
			}
		}
	}
	return weights;
}

/* The largest of windows i and i + 1 of both rows. */
INLINE __m256i pool(const int n, __m256i sums[MR][2], int i, size_t half) {
	const __m256i above = _mm256_max_epi32(sums[i][half], sums[i + 1][half]);
	const __m256i below = _mm256_max_epi32(sums[n / 2 + i][half], sums[n / 2 + i + 1][half]);
	return _mm256_max_epi32(above, below);
}

/* One vector of the block's channels (half 0 or 1) of all pixels of the tile. */
INLINE void finish(const qmdi_tile *tile, const int n, const size_t half, __m256i sums[MR][2],
				   const uint8_t *multipliers) {
	const __m256 multiplier = _mm256_load_ps((const float *)multipliers + 8 * half);
	uint8_t *output = tile->output;
	if (n % 4 == 0 && tile->shape->pool == 2) {
		UNROLL
		for (int i = 0; i < n / 2; i += 2, output += tile->output_step) {
			qmdi_ymm_store(tile, output, half, pool(n, sums, i, half), multiplier);
		}
	} else if (tile->shape->float_output) {
		UNROLL
		for (int i = 0; i < n; ++i, output += tile->output_step) {
			qmdi_ymm_store_float(tile, output, half, sums[i][half], multiplier);
		}
	} else {
		UNROLL
		for (int i = 0; i < n; ++i, output += tile->output_step) {
			qmdi_ymm_store(tile, output, half, sums[i][half], multiplier);
		}
	}
}

INLINE void compute(const qmdi_tile *tile, const int n, const qmdi_operand operand) {
	__m256i sums[MR][2];
	const uint8_t *multipliers = accumulate(tile, n, operand, sums);
	finish(tile, n, 0, sums, multipliers);
	finish(tile, n, 1, sums, multipliers);
}

/* A variant for each number of windows, so that the sums of all are registers. */
INLINE void compute_variant(const qmdi_tile *tile, size_t n, const qmdi_operand operand) {
	switch (n) {
		QMDI_VARIANT(1, operand);
		QMDI_VARIANT(2, operand);
		QMDI_VARIANT(3, operand);
		QMDI_VARIANT(4, operand);
#if MR >= 5
		QMDI_VARIANT(5, operand);
#endif
#if MR >= 6
		QMDI_VARIANT(6, operand);
#endif
	default:
		break;
	}
}

static void compute_tile(const qmdi_tile *tile, size_t n) {
	switch (tile->shape->operand) {
	case QMDI_U8:
		compute_variant(tile, n, QMDI_U8);
		break;
	case QMDI_S8:
		compute_variant(tile, n, QMDI_S8);
		break;
	default:
		compute_variant(tile, n, QMDI_S7);
		break;
	}
}

#endif
