/*
 * The micro-kernel of dense: up to MR images by four vectors of channels, every sum in a register. The file that
 * includes this states the contract, defines MR, and has included a vector and a multiply_add().
 */
#ifndef QMD_KERNELS_DENSE_TILE_H
#define QMD_KERNELS_DENSE_TILE_H

#include "../gemm.h"

#define NR (4 * LANES)

INLINE void compute(const qmdi_tile *tile, const int n, const qmdi_operand operand) {
	vector sums[MR][4];
	UNROLL
	for (int i = 0; i < 4 * n; ++i) {
		sums[i / 4][i % 4] = vector_load(tile->stream + 4 * LANES * (i % 4));
	}
	const uint8_t *input = tile->inputs[0], *weights = tile->stream + 4 * NR;
	for (size_t dword = 0; dword < tile->n_dwords; ++dword, input += 4, weights += 4 * NR) {
		UNROLL
		for (int i = 0; i < 4 * n; ++i) { /* the compiler reads each x and each w once */
			const vector x = vector_broadcast(input + (size_t)(i / 4) * tile->input_step, operand == FLIPPED);
			multiply_add(&sums[i / 4][i % 4], x, vector_load(weights + 4 * LANES * (i % 4)), operand);
		}
	}
	UNROLL
	for (int i = 0; i < 4 * n; ++i) {
		const float_vector multiplier = vector_load_float(weights + 4 * LANES * (i % 4));
		uint8_t *output = tile->output + (size_t)(i / 4) * tile->output_step;
		if (tile->shape->float_output) {
			vector_store_float(tile, output, (size_t)i % 4, sums[i / 4][i % 4], multiplier);
		} else {
			vector_store(tile, output, (size_t)i % 4, sums[i / 4][i % 4], multiplier);
		}
	}
}

#include "tile_variants.h"

#endif
