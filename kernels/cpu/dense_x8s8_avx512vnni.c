/*
 * dense_x8s8_avx512vnni: a matrix times vectors of bytes by AVX512-VNNI. The result is that of dense_x8s8_ref.
 *
 *     acc[i][c] = bias[c] + sum over k of x[i][k] * w[c][k]    i: images of a tile, c: channels of a block
 *     output    = requantized acc, or float32(acc) * m
 *
 * Tile: mr x nr x kr = 6 x 64 x 4. With one image a dense layer is a stream of weights, each used once, and what counts
 * is to read it in one straight line at the speed of the cache or memory it lies in: 256 bytes a step of K, and 4 sums
 * in flight, enough for 51 bytes a cycle. With more images 6 of them share the stream: 10 loads for 24 vpdpbusd.
 * A task is a block of channels, so that threads share the stream of one image.
 *
 * Exact: multiply_add_vnni.h says how for each operand. Sums wrap, so any order gives the int32 that the reference
 * gives. Conversion to float32, multiplication, clamp and conversion to int32 (ties to even) are the reference's
 * operations, one by one.
 *
 * Stream: gemm.h draws it, with nr = 64 and one segment.
 *
 * Registers: 24 sums + 4 weights + 1 broadcast + 1 for 0x80808080 = 30 zmm of 32. Images are addressed from one pointer
 * by multiples 1, 3 and 5 of the step, which x86 scales by 1, 2 and 4.
 *
 * Edges: fewer images have a variant of their own, each count from 1 to 6; channels beyond out_c have zero weights and
 * are not stored; the dword that ends beyond the vector meets zero weights (QMDI_SLACK covers the read).
 */
#define MR 6

#include "vector_zmm.h"
#include "multiply_add_vnni.h"
#include "dense_tile.h"

static const qmdi_gemm gemm = {.nr = NR, .mr = MR, .moved = FLIPPED, .move = MOVE, .tile = compute_tile};

QMDI_GEMM_ROW(dense_x8s8_avx512vnni, QMDI_OP_DENSE, QMDI_ISA_AVX512VNNI, QMDI_CPU_AVX512VNNI);
