/*
 * The micro-kernel of dense on 256-bit vectors: a tile of up to MR images by 32 channels. The file that includes this
 * states the contract and defines MR (at most 3), FLIPPED, the operand that is read with its highest bits flipped,
 * and multiply_add(sum, x, w, operand), which adds four products to each of 8 sums.
 */
#ifndef QMD_KERNELS_DENSE_YMM_H
#define QMD_KERNELS_DENSE_YMM_H

#include "ymm.h"

#define NR 32

INLINE void compute(const qmdi_tile *tile, const int n, const qmdi_operand operand) {
	__m256i sums[MR][4];
	UNROLL
	for (int i = 0; i < 4 * n; ++i) {
		sums[i / 4][i % 4] = qmdi_ymm_load(tile->stream + 32 * (i % 4));
	}
	const uint8_t *input = tile->inputs[0], *weights = tile->stream + 4 * NR;
	for (size_t dword = 0; dword < tile->n_dwords; ++dword, input += 4, weights += 4 * NR) {
		UNROLL
		for (int i = 0; i < 4 * n; ++i) {
			/* The compiler reads each x and each w once. */
			const __m256i x = qmdi_ymm_broadcast(input + (size_t)(i / 4) * tile->input_step, operand == FLIPPED);
			multiply_add(&sums[i / 4][i % 4], x, qmdi_ymm_load(weights + 32 * (i % 4)), operand);
		}
	}
	UNROLL
	for (int i = 0; i < 4 * n; ++i) {
		const __m256 multiplier = _mm256_load_ps((const float *)weights + 8 * (i % 4));
		uint8_t *output = tile->output + (size_t)(i / 4) * tile->output_step;
		if (tile->shape->float_output) {
			qmdi_ymm_store_float(tile, output, (size_t)i % 4, sums[i / 4][i % 4], multiplier);
		} else {
			qmdi_ymm_store(tile, output, (size_t)i % 4, sums[i / 4][i % 4], multiplier);
		}
	}
}

/* A variant for each number of images, so that the sums of all are registers. */
INLINE void compute_variant(const qmdi_tile *tile, size_t n, const qmdi_operand operand) {
	switch (n) {
		QMDI_VARIANT(1, operand);
		QMDI_VARIANT(2, operand);
#if MR >= 3
		QMDI_VARIANT(3, operand);
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
