/*
 * The micro-kernel of conv2d: up to MR windows by two vectors of channels, every sum in a register. The file that
 * includes this states the contract, defines MR, and has included a vector and a multiply_add().
 */
#ifndef QMD_KERNELS_CONV_TILE_H
#define QMD_KERNELS_CONV_TILE_H

#include "../gemm.h"

#define NR (2 * LANES)

/* The sums of n windows, the first (n + 1) / 2 of them in row 0, over all of K. Returns the end of the weights. */
INLINE const uint8_t *accumulate(const qmdi_tile *tile, const int n, const qmdi_operand operand, vector sums[MR][2]) {
	const int n0 = (n + 1) / 2;
	const uint8_t *weights = tile->stream + 4 * NR;
	UNROLL
	for (int i = 0; i < n; ++i) {
		sums[i][0] = vector_load(tile->stream);
		sums[i][1] = vector_load(tile->stream + 4 * LANES);
	}
	for (size_t segment = 0; segment < tile->n_segments; ++segment) {
		const uint8_t *row0 = tile->inputs[0] + segment * tile->segment_step;
		const uint8_t *row1 = tile->inputs[1] + segment * tile->segment_step;
		for (size_t dword = 0; dword < tile->n_dwords; ++dword, row0 += 4, row1 += 4, weights += 4 * NR) {
			const vector w0 = vector_load(weights), w1 = vector_load(weights + 4 * LANES);
			UNROLL
			for (int i = 0; i < n; ++i) {
				const uint8_t *row = i < n0 ? row0 : row1;
				const uint8_t *window = row + (size_t)(i < n0 ? i : i - n0) * tile->input_step;
				const vector x = vector_broadcast(window, operand == FLIPPED);
				multiply_add(&sums[i][0], x, w0, operand);
				multiply_add(&sums[i][1], x, w1, operand);
			}
		}
	}
	return weights;
}

/* The largest of windows i and i + 1 of both rows. */
INLINE vector pool(const int n, vector sums[MR][2], int i, size_t half) {
	return vector_larger(vector_larger(sums[i][half], sums[i + 1][half]),
						 vector_larger(sums[n / 2 + i][half], sums[n / 2 + i + 1][half]));
}

/* One vector of the block's channels (half 0 or 1) of all pixels of the tile. */
INLINE void finish(const qmdi_tile *tile, const int n, const size_t half, vector sums[MR][2],
				   const uint8_t *multipliers) {
	const float_vector multiplier = vector_load_float(multipliers + 4 * LANES * half);
	uint8_t *output = tile->output;
	if (n % 4 == 0 && tile->shape->pool == 2) {
		UNROLL
		for (int i = 0; i < n / 2; i += 2, output += tile->output_step) {
			vector_store(tile, output, half, pool(n, sums, i, half), multiplier);
		}
	} else if (tile->shape->float_output) {
		UNROLL
		for (int i = 0; i < n; ++i, output += tile->output_step) {
			vector_store_float(tile, output, half, sums[i][half], multiplier);
		}
	} else {
		UNROLL
		for (int i = 0; i < n; ++i, output += tile->output_step) {
			vector_store(tile, output, half, sums[i][half], multiplier);
		}
	}
}

INLINE void compute(const qmdi_tile *tile, const int n, const qmdi_operand operand) {
	vector sums[MR][2];
	const uint8_t *multipliers = accumulate(tile, n, operand, sums);
	finish(tile, n, 0, sums, multipliers);
	finish(tile, n, 1, sums, multipliers);
}

#include "tile_variants.h"

#endif
