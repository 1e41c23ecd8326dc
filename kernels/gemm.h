/*
 * Implicit GEMM: what the vector kernels of conv2d and dense have in common. A kernel's file names its micro-kernel,
 * which computes one tile (cpu/conv_tile.h, cpu/dense_tile.h); here is the stream of packed weights that it reads, and
 * the walk that cuts a call into tiles.
 *
 * A window of a convolution is kernel_h segments of kernel_w * in_c bytes, each contiguous in memory since tensors are
 * NHWC and have their padding around them. So K, the length of the dot products, runs over segments of whole dwords
 * (4 bytes, what vpdpbusd and its kin take at once), the last one of each filled up with zero weights: 3 channels under
 * 5x5 are 5 segments of 4 dwords, 64 channels under 3x3 are 3 segments of 48. Nothing is copied, nothing is im2col.
 * A dense layer is the same with one segment, and images in the place of pixels.
 *
 * The packed stream, channels in blocks of nr, little endian, every part a multiple of 64 bytes:
 *
 *     block 0                                                                          block 1 ...
 *     +----------------+------------------------------------------------+-----------------+----
 *     | int32 bias[nr] | int8 weights[segments][dwords][nr][4]          | float m[nr]     |
 *     +----------------+------------------------------------------------+-----------------+----
 *                        one dword of K of nr channels side by side:
 *                        c0k0 c0k1 c0k2 c0k3 | c1k0 c1k1 c1k2 c1k3 | ...
 *
 * Channels that fill up the last block have bias, weights and m of 0 and are not written.
 */
#ifndef QMD_KERNELS_GEMM_H
#define QMD_KERNELS_GEMM_H

#include "rows.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Windows of a convolution lie in two rows, the second as long as the first or one shorter; dense has one row. */
typedef struct qmdi_tile {
	const uint8_t *inputs[2];                  /* first byte of the first window of each row */
	size_t input_step;                         /* bytes from a window to the next of its row */
	size_t n_segments, n_dwords, segment_step; /* step in bytes of the input */
	const uint8_t *stream;                     /* a block of the packed stream */
	size_t n_channels;                         /* channels of the block that are written */
	uint8_t *output;                           /* first element written */
	size_t output_step;                        /* bytes from a pixel written to the next */
	const qmdi_kernel_shape *shape;            /* for operand, pool, low and float_output */
} qmdi_tile;

/* Micro-kernel: a tile of n windows. With pool 2, n is 4 times the pixels written, and the rows lie one above the
 * other; else n pixels are written, the first row's before the second's. */
typedef void (*qmdi_tile_fn)(const qmdi_tile *tile, size_t n);

typedef struct qmdi_gemm {
	size_t nr;          /* channels in a block */
	size_t mr;          /* windows in a tile at most; at least 4 for conv2d */
	qmdi_operand moved; /* inputs of this operand are read with their highest bit flipped ... */
	int32_t move;       /* ... which adds this to each, and is taken off the bias in packing */
	qmdi_tile_fn tile;
} qmdi_gemm;

size_t qmdi_gemm_packed_size(const qmdi_gemm *gemm, const qmdi_kernel_shape *shape);
void qmdi_gemm_pack(const qmdi_gemm *gemm, const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights,
					void *packed);

/* A task is one output row of one image, for dense one block of channels of all images. */
size_t qmdi_gemm_n_tasks(const qmdi_gemm *gemm, const qmdi_kernel_shape *shape, size_t n_images);
void qmdi_gemm_run(const qmdi_gemm *gemm, const qmdi_kernel_call *call, size_t first_task, size_t n_tasks);

#ifdef __cplusplus
}
#endif

/* Loops over a tile are unrolled whole. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif
#define INLINE static inline __attribute__((always_inline))

/* The row of the table for a micro-kernel: what stands in a kernel's file after its `static const qmdi_gemm gemm`. */
#define QMDI_GEMM_ROW(row, op_, isa_, features_)                                                                       \
	static size_t packed_size(const qmdi_kernel_shape *shape) {                                                        \
		return qmdi_gemm_packed_size(&gemm, shape);                                                                    \
	}                                                                                                                  \
	static void pack(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, void *packed) {               \
		qmdi_gemm_pack(&gemm, shape, weights, packed);                                                                 \
	}                                                                                                                  \
	static size_t n_tasks(const qmdi_kernel_shape *shape, size_t n_images) {                                           \
		return qmdi_gemm_n_tasks(&gemm, shape, n_images);                                                              \
	}                                                                                                                  \
	static void run(const qmdi_kernel_call *call, size_t first_task, size_t n_tasks) {                                 \
		qmdi_gemm_run(&gemm, call, first_task, n_tasks);                                                               \
	}                                                                                                                  \
	QMDI_WEIGHTED_ROW(row, op_, isa_, features_)

#endif
