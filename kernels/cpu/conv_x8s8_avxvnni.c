/*
 * conv_x8s8_avxvnni: 2-D convolution of bytes by AVX-VNNI. The result is that of conv_x8s8_ref.
 *
 *     acc[i][c] = bias[c] + sum over k of x[i][k] * w[c][k]    i: windows of a tile, c: channels of a block, k: K
 *     output    = requantized acc, after the largest of each 2x2 windows with pool 2 (max commutes with requantizing,
 *                 which is monotone as m > 0), or float32(acc) * m
 *
 * Tile: mr x nr x kr = 6 x 16 x 4. vpdpbusd adds 4 products to each of 8 sums. Two vectors of 8 channels share one
 * broadcast of a window's dword, 6 windows share the two loads of weights: 8 loads for 12 vpdpbusd, and 12 sums in
 * flight hide its latency of 5 cycles at two a cycle. With pool 2 a tile is 2 x 2 windows: one pixel written. The same
 * code as conv_x8s8_ymm_avx512vnni, VEX-encoded.
 *
 * Exact: multiply_add_vnni.h says how for each operand. Sums wrap, so any order gives the int32 that the reference
 * gives. Conversion to float32, multiplication, clamp and conversion to int32 (ties to even) are the reference's
 * operations, one by one.
 *
 * Stream: gemm.h draws it, with nr = 16. One step of K reads 64 bytes, a cache line.
 *
 * Registers: 12 sums + 2 weights + 1 broadcast + 1 for 0x80808080 = 16 ymm of 16.
 *
 * Edges: fewer windows have a variant of their own, each count from 1 to 6; channels beyond out_c have zero weights and
 * are not stored; dwords that end beyond a window meet zero weights (QMDI_SLACK covers the read).
 */
#define MR 6

#include "vector_ymm.h"
#include "multiply_add_vnni.h"
#include "conv_tile.h"

static const qmdi_gemm gemm = {.nr = NR, .mr = MR, .moved = FLIPPED, .move = MOVE, .tile = compute_tile};

QMDI_GEMM_ROW(conv_x8s8_avxvnni, QMDI_OP_CONV2D, QMDI_ISA_AVXVNNI, QMDI_CPU_AVXVNNI);
