/*
 * conv_x8s8_avx2: 2-D convolution of bytes by AVX2. The result is that of conv_x8s8_ref.
 *
 *     acc[i][c] = bias[c] + sum over k of x[i][k] * w[c][k]    i: windows of a tile, c: channels of a block, k: K
 *     output    = requantized acc, after the largest of each 2x2 windows with pool 2 (max commutes with requantizing,
 *                 which is monotone as m > 0), or float32(acc) * m
 *
 * Tile: mr x nr x kr = 5 x 16 x 4. Four products a lane take three instructions, five for signed x: arithmetic is the
 * limit, 7 loads for 30 of them, and only vpaddd is in the chain of a sum. With pool 2 a tile is 2 x 2 windows: one
 * pixel written.
 *
 * Exact: multiply_add_avx2.h says how for each operand. Sums wrap, so any order gives the int32 that the reference
 * gives. Conversion to float32, multiplication, clamp and conversion to int32 (ties to even) are the reference's
 * operations, one by one.
 *
 * Stream: gemm.h draws it, with nr = 16. One step of K reads 64 bytes, a cache line.
 *
 * Registers: 10 sums + 2 weights + 1 broadcast + 1 of its absolute values + 1 product + 1 of ones = 16 ymm of 16; u8
 * takes one more for 0x80808080, which is read from memory.
 *
 * Edges: fewer windows have a variant of their own, each count from 1 to 5; channels beyond out_c have zero weights and
 * are not stored; dwords that end beyond a window meet zero weights (QMDI_SLACK covers the read).
 */
#define MR 5

#include "vector_ymm.h"
#include "multiply_add_avx2.h"
#include "conv_tile.h"

static const qmdi_gemm gemm = {.nr = NR, .mr = MR, .moved = FLIPPED, .move = MOVE, .tile = compute_tile};

QMDI_GEMM_ROW(conv_x8s8_avx2, QMDI_OP_CONV2D, QMDI_ISA_AVX2, QMDI_CPU_AVX2);
