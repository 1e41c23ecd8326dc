/*
 * dense_x8s8_avx512vnni: a matrix times vectors of bytes by AVX512-VNNI. The result is that of dense_x8s8_ref.
 *
 *     acc[i][c] = bias[c] + sum over k of x[i][k] * w[c][k]    i: images of a tile, c: channels of a block
 *     output    = requantized acc, or float32(acc) * m
 *
 * Tile: mr x nr x kr = 6 x 64 x 4. With one image a dense layer is a stream of weights, each used once, and what counts
 * is to read it in one straight line at the speed of the cache or memory it lies in: 256 bytes a step of K, and
 * 4 sums in flight, enough to take 64 bytes a cycle. With more images 6 of them share a load of weights: 10 loads for
 * 24 vpdpbusd. A task is a block of channels, so that threads share the stream of one image.
 *
 * Exact: as conv_x8s8_avx512vnni; signed x goes in as x + 128, and packing takes 128 * sum(w) off the bias.
 *
 * Stream: gemm.h draws it, with nr = 64 and one segment.
 *
 * Registers: 24 sums + 4 weights + 1 broadcast + 1 for 0x80808080 = 30 zmm of 32. Images are addressed from one pointer
 * by multiples 1, 3 and 5 of the step, which x86 scales by 1, 2 and 4.
 *
 * Edges: fewer images have a variant of their own; channels beyond out_c have zero weights and are masked out of the
 * store; the dword that ends beyond the vector meets zero weights (QMDI_SLACK covers the read).
 */
#include "zmm_avx512vnni.h"
#include "../rows.h"

#define MR 6
#define NR 64

INLINE void compute(const qmdi_tile *tile, const int n, const qmdi_operand operand) {
	__m512i sums[MR][4];
	UNROLL
	for (int i = 0; i < 4 * n; ++i) {
		sums[i / 4][i % 4] = _mm512_load_si512(tile->stream + 64 * (i % 4));
	}
	const uint8_t *input = tile->inputs[0], *weights = tile->stream + 4 * NR;
	for (size_t dword = 0; dword < tile->n_dwords; ++dword, input += 4, weights += 4 * NR) {
		const __m512i w0 = _mm512_load_si512(weights), w1 = _mm512_load_si512(weights + 64);
		const __m512i w2 = _mm512_load_si512(weights + 128), w3 = _mm512_load_si512(weights + 192);
		UNROLL
		for (int i = 0; i < n; ++i) {
			const __m512i x = qmdi_zmm_broadcast(input + (size_t)i * tile->input_step, operand == QMDI_S8);
			qmdi_zmm_multiply_add(&sums[i][0], x, w0);
			qmdi_zmm_multiply_add(&sums[i][1], x, w1);
			qmdi_zmm_multiply_add(&sums[i][2], x, w2);
			qmdi_zmm_multiply_add(&sums[i][3], x, w3);
		}
	}
	UNROLL
	for (int i = 0; i < 4 * n; ++i) {
		const __m512 multiplier = _mm512_load_ps(weights + 64 * (i % 4));
		uint8_t *output = tile->output + (size_t)(i / 4) * tile->output_step;
		if (tile->shape->float_output) {
			qmdi_zmm_store_float(tile, output, (size_t)i % 4, sums[i / 4][i % 4], multiplier);
		} else {
			qmdi_zmm_store(tile, output, (size_t)i % 4, sums[i / 4][i % 4], multiplier);
		}
	}
}

/* A variant for each number of images, so that the sums of all are registers. */
INLINE void compute_variant(const qmdi_tile *tile, size_t n, const qmdi_operand operand) {
	switch (n) {
		QMDI_VARIANT(1, operand);
		QMDI_VARIANT(2, operand);
		QMDI_VARIANT(3, operand);
		QMDI_VARIANT(4, operand);
		QMDI_VARIANT(5, operand);
		QMDI_VARIANT(6, operand);
	default:
		break;
	}
}

static void compute_tile(const qmdi_tile *tile, size_t n) {
	if (tile->shape->operand == QMDI_S8) {
		compute_variant(tile, n, QMDI_S8);
	} else {
		compute_variant(tile, n, QMDI_U8);
	}
}

static const qmdi_gemm gemm = {.nr = NR, .mr = MR, .moved = QMDI_S8, .move = 128, .tile = compute_tile};

QMDI_GEMM_ROW(dense_x8s8_avx512vnni, QMDI_OP_DENSE, QMDI_ISA_AVX512VNNI, QMDI_CPU_AVX512VNNI);
