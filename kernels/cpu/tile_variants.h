/*
 * compute_tile(), which calls compute(tile, n, operand) of the file that includes this with n and operand known to the
 * compiler: a variant of the code for each, so that an array of sums becomes registers.
 */
#ifndef QMD_KERNELS_TILE_VARIANTS_H
#define QMD_KERNELS_TILE_VARIANTS_H

#include "../gemm.h"

#define VARIANT(n)                                                                                                     \
	case n:                                                                                                            \
		compute(tile, n, operand);                                                                                     \
		break

INLINE void compute_variant(const qmdi_tile *tile, size_t n, const qmdi_operand operand) {
	switch (n) {
		VARIANT(1);
#if MR >= 2
		VARIANT(2);
#endif
#if MR >= 3
		VARIANT(3);
#endif
#if MR >= 4
		VARIANT(4);
#endif
#if MR >= 5
		VARIANT(5);
#endif
#if MR >= 6
		VARIANT(6);
#endif
#if MR >= 7
		VARIANT(7);
#endif
#if MR >= 8
		VARIANT(8);
#endif
#if MR >= 9
		VARIANT(9);
#endif
#if MR >= 10
		VARIANT(10);
#endif
#if MR >= 11
		VARIANT(11);
#endif
#if MR >= 12
		VARIANT(12);
#endif
#if MR >= 13
		VARIANT(13);
#endif
#if MR >= 14
		VARIANT(14);
#endif
	default:
		break;
	}
}

static void compute_tile(const qmdi_tile *tile, size_t n) {
	const qmdi_operand operand = tile->shape->operand;
	switch (operand == QMDI_U8 ? U8_IS_READ_AS : operand) {
	case QMDI_U8:
		compute_variant(tile, n, QMDI_U8);
		break;
	case QMDI_S8:
		compute_variant(tile, n, QMDI_S8);
		break;
	default:
		compute_variant(tile, n, QMDI_S7);
		break;
	}
}

#endif
