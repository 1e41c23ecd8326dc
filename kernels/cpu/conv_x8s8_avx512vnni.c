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
 * Exact: multiply_add_vnni.h says how for each operand. Sums wrap, so any order gives the int32 that the reference
 * gives. Conversion to float32, multiplication, clamp and conversion to int32 (ties to even) are the reference's
 * operations, one by one.
 *
 * Stream: gemm.h draws it, with nr = 32. One step of K reads 128 bytes, a cache line for each vector of channels.
 *
 * Registers: 28 sums + 2 weights + 1 broadcast + 1 for 0x80808080 = 32 zmm of 32. Windows are addressed from two row
 * pointers by multiples 1, 3 and 5 of the step, which x86 scales by 1, 2 and 4: seven windows a row, no pointer each.
 *
 * Edges: fewer windows have a variant of their own, each count from 1 to 14; channels beyond out_c have zero weights
 * and are not stored; dwords that end beyond a window meet zero weights (QMDI_SLACK covers the read).
 */
#define MR 14

#include "vector_zmm.h"
#include "multiply_add_vnni.h"
#include "conv_tile.h"

static const qmdi_gemm gemm = {.nr = NR, .mr = MR, .moved = FLIPPED, .move = MOVE, .tile = compute_tile};

QMDI_GEMM_ROW(conv_x8s8_avx512vnni, QMDI_OP_CONV2D, QMDI_ISA_AVX512VNNI, QMDI_CPU_AVX512VNNI);
