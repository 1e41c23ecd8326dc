/*
 * conv_x8s8_avx512vnni: 2-D convolution of bytes by AVX512-VNNI. The result is that of conv_x8s8_ref.
 *
 *     acc[i][c] = bias[c] + sum over k of x[i][k] * w[c][k]    i: windows of a tile, c: channels of a block, k: K
 *     output    = requantized acc, after the largest of each 2x2 windows with pool 2 (max commutes with requantizing,
 *                 which is monotone as m > 0), or float32(acc) * m
 *
 * Tile: mr x nr x kr = 14 x 32 x 4. vpdpbusd adds 4 products to each of 16 sums. Two vectors of 16 channels share one
 * broadcast of a window's dword, 14 windows share the two loads of weights: 16 loads for 28 vpdpbusd, and 28 sums in
 * flight hide its latency of 5 cycles. With pool 2 a tile is 2 rows of at most 6 windows: 3 pixels written.
 *
 * Exact: vpdpbusd takes u8 x s8 and its sums wrap, never saturate, so any order gives the int32 that the reference
 * gives. u8 and s7 go in as they are. Signed x goes in as x + 128 (x with its highest bit flipped), and packing takes
 * 128 * sum(w) off the bias; in the halo 0 becomes 128 and is taken off alike. Conversion to float32, multiplication,
 * clamp and conversion to int32 (ties to even) are the reference's operations, one by one.
 *
 * Stream: gemm.h draws it, with nr = 32. One step of K reads 128 bytes, one cache line for each vector of channels.
 *
 * Registers: 28 sums + 2 weights + 1 broadcast + 1 for 0x80808080 = 32 zmm of 32. Windows are addressed from two row
 * pointers by multiples 1, 3 and 5 of the step, which x86 scales by 1, 2 and 4: seven windows a row, no pointer each.
 *
 * Edges: fewer windows have a variant of their own, each count from 1 to 14; channels beyond out_c have zero weights
 * and are masked out of the store; dwords that end beyond a window meet zero weights (QMDI_SLACK covers the read).
 */
#include "zmm_avx512vnni.h"
#include "../rows.h"

#define MR 14
#define NR 32

/* The sums of n windows, the first (n + 1) / 2 of them in row 0, over all of K. Returns the end of the weights. */
INLINE const uint8_t *accumulate(const qmdi_tile *tile, const int n, const qmdi_operand operand, __m512i sums[MR][2]) {
	const int n0 = (n + 1) / 2;
	const uint8_t *weights = tile->stream + 128;
	UNROLL
	for (int i = 0; i < n; ++i) {
		sums[i][0] = _mm512_load_si512(tile->stream);
		sums[i][1] = _mm512_load_si512(tile->stream + 64);
	}
	for (size_t segment = 0; segment < tile->n_segments; ++segment) {
		const uint8_t *row0 = tile->inputs[0] + segment * tile->segment_step;
		const uint8_t *row1 = tile->inputs[1] + segment * tile->segment_step;
		for (size_t dword = 0; dword < tile->n_dwords; ++dword, row0 += 4, row1 += 4, weights += 128) {
			const __m512i w0 = _mm512_load_si512(weights), w1 = _mm512_load_si512(weights + 64);
			UNROLL
			for (int i = 0; i < n; ++i) {
				const uint8_t *row = i < n0 ? row0 : row1;
				const __m512i x =
					qmdi_zmm_broadcast(row + (size_t)(i < n0 ? i : i - n0) * tile->input_step, operand == QMDI_S8);
				qmdi_zmm_multiply_add(&sums[i][0], x, w0);
				qmdi_zmm_multiply_add(&sums[i][1], x, w1);
			}
		}
	}
	return weights;
}

/* The largest of windows i and i + 1 of both rows. */
INLINE __m512i pool(const int n, __m512i sums[MR][2], int i, size_t half) {
	const __m512i above = _mm512_max_epi32(sums[i][half], sums[i + 1][half]);
	const __m512i below = _mm512_max_epi32(sums[n / 2 + i][half], sums[n / 2 + i + 1][half]);
	return _mm512_max_epi32(above, below);
}

/* One vector of the block's channels (half 0 or 1) of all pixels of the tile. */
INLINE void finish(const qmdi_tile *tile, const int n, const size_t half, __m512i sums[MR][2],
				   const uint8_t *multipliers) {
	const __m512 multiplier = _mm512_load_ps(multipliers + 64 * half);
	uint8_t *output = tile->output;
	if (n % 4 == 0 && tile->shape->pool == 2) {
		UNROLL
		for (int i = 0; i < n / 2; i += 2, output += tile->output_step) {
			qmdi_zmm_store(tile, output, half, pool(n, sums, i, half), multiplier);
		}
	} else if (tile->shape->float_output) {
		UNROLL
		for (int i = 0; i < n; ++i, output += tile->output_step) {
			qmdi_zmm_store_float(tile, output, half, sums[i][half], multiplier);
		}
	} else {
		UNROLL
		for (int i = 0; i < n; ++i, output += tile->output_step) {
			qmdi_zmm_store(tile, output, half, sums[i][half], multiplier);
		}
	}
}

INLINE void compute(const qmdi_tile *tile, const int n, const qmdi_operand operand) {
	__m512i sums[MR][2];
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
		QMDI_VARIANT(5, operand);
		QMDI_VARIANT(6, operand);
		QMDI_VARIANT(7, operand);
		QMDI_VARIANT(8, operand);
		QMDI_VARIANT(9, operand);
		QMDI_VARIANT(10, operand);
		QMDI_VARIANT(11, operand);
		QMDI_VARIANT(12, operand);
		QMDI_VARIANT(13, operand);
		QMDI_VARIANT(14, operand);
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

QMDI_GEMM_ROW(conv_x8s8_avx512vnni, QMDI_OP_CONV2D, QMDI_ISA_AVX512VNNI, QMDI_CPU_AVX512VNNI);
