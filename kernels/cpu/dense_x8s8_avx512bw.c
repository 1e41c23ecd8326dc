/*
 * dense_x8s8_avx512bw: a matrix times vectors of bytes by AVX512-BW. The result is that of dense_x8s8_ref.
 *
 *     acc[i][c] = bias[c] + sum over k of x[i][k] * w[c][k]    i: images of a tile, c: channels of a block
 *     output    = requantized acc, or float32(acc) * m
 *
 * Tile: mr x nr x kr = 5 x 64 x 4. With one image a dense layer is a stream of weights, each used once: 256 bytes a
 * step of K in one straight line. With more images five of them share the stream. A task is a block of channels, so
 * that threads share the stream of one image.
 *
 * Exact: multiply_add_avx512bw.h says how for each operand. Sums wrap, so any order gives the int32 that the reference
 * gives. Conversion to float32, multiplication, clamp and conversion to int32 (ties to even) are the reference's
 * operations, one by one.
 *
 * Stream: gemm.h draws it, with nr = 64 and one segment.
 *
 * Registers: 20 sums + 4 weights + 1 broadcast + 1 of its absolute values + 1 product + 1 of ones + 1 of zeros + 1 for
 * 0x80808080 = 30 zmm of 32.
 *
 * Edges: fewer images have a variant of their own, each count from 1 to 5; channels beyond out_c have zero weights and
 * are not stored; the dword that ends beyond the vector meets zero weights (QMDI_SLACK covers the read).
 */
#define MR 5

#include "vector_zmm.h"
#include "multiply_add_avx512bw.h"
#include "dense_tile.h"

static const qmdi_gemm gemm = {.nr = NR, .mr = MR, .moved = FLIPPED, .move = MOVE, .tile = compute_tile};

QMDI_GEMM_ROW(dense_x8s8_avx512bw, QMDI_OP_DENSE, QMDI_ISA_AVX512BW, QMDI_CPU_AVX512BW);
