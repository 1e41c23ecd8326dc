/*
 * dense_x8s8_avx2: a matrix times vectors of bytes by AVX2. The result is that of dense_x8s8_ref.
 *
 *     acc[i][c] = bias[c] + sum over k of x[i][k] * w[c][k]    i: images of a tile, c: channels of a block
 *     output    = requantized acc, or float32(acc) * m
 *
 * Tile: mr x nr x kr = 2 x 32 x 4. With one image a dense layer is a stream of weights, each used once: 128 bytes a
 * step of K in one straight line. With more images two of them share the stream. A task is a block of channels, so that
 * threads share the stream of one image.
 *
 * Exact: multiply_add_avx2.h says how for each operand. Sums wrap, so any order gives the int32 that the reference
 * gives. Conversion to float32, multiplication, clamp and conversion to int32 (ties to even) are the reference's
 * operations, one by one.
 *
 * Stream: gemm.h draws it, with nr = 32 and one segment.
 *
 * Registers: 8 sums + 4 weights + 1 broadcast + 1 of its absolute values + 1 product + 1 of ones = 16 ymm of 16; u8
 * takes one more for 0x80808080, which is read from memory.
 *
 * Edges: fewer images have a variant of their own, each count from 1 to 2; channels beyond out_c have zero weights and
 * are not stored; the dword that ends beyond the vector meets zero weights (QMDI_SLACK covers the read).
 */
#define MR 2

#include "vector_ymm.h"
#include "multiply_add_avx2.h"
#include "dense_tile.h"

static const qmdi_gemm gemm = {.nr = NR, .mr = MR, .moved = FLIPPED, .move = MOVE, .tile = compute_tile};

QMDI_GEMM_ROW(dense_x8s8_avx2, QMDI_OP_DENSE, QMDI_ISA_AVX2, QMDI_CPU_AVX2);
