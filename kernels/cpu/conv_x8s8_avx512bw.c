/*
 * conv_x8s8_avx512bw: 2-D convolution of bytes by AVX512-BW. The result is that of conv_x8s8_ref.
 *
 *     acc[i][c] = bias[c] + sum over k of x[i][k] * w[c][k]    i: windows of a tile, c: channels of a block, k: K
 *     output    = requantized acc, after the largest of each 2x2 windows with pool 2 (max commutes with requantizing,
 *                 which is monotone as m > 0), or float32(acc) * m
 *
 * Tile: mr x nr x kr = 12 x 32 x 4. Four products a lane take three instructions, four for signed x and two more for
 * each broadcast: arithmetic is the limit, 14 loads for 72 of them, and only vpaddd is in the chain of a sum. With pool
 * 2 a tile is 2 rows of at most 6 windows: 3 pixels written.
 *
 * Exact: multiply_add_avx512bw.h says how for each operand. Sums wrap, so any order gives the int32 that the reference
 * gives. Conversion to float32, multiplication, clamp and conversion to int32 (ties to even) are the reference's
 * operations, one by one.
 *
 * Stream: gemm.h draws it, with nr = 32. One step of K reads 128 bytes, a cache line for each vector of channels.
 *
 * Registers: 24 sums + 2 weights + 1 broadcast + 1 of its absolute values + 1 product + 1 of ones + 1 of zeros + 1 for
 * 0x80808080 = 32 zmm of 32.
 *
 * Edges: fewer windows have a variant of their own, each count from 1 to 12; channels beyond out_c have zero weights
 * and are not stored; dwords that end beyond a window meet zero weights (QMDI_SLACK covers the read).
 */
#define MR 12

#include "vector_zmm.h"
#include "multiply_add_avx512bw.h"
#include "conv_tile.h"

static const qmdi_gemm gemm = {.nr = NR, .mr = MR, .moved = FLIPPED, .move = MOVE, .tile = compute_tile};

QMDI_GEMM_ROW(conv_x8s8_avx512bw, QMDI_OP_CONV2D, QMDI_ISA_AVX512BW, QMDI_CPU_AVX512BW);
