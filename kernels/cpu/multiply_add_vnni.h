/*
 * Four products of bytes a lane by VNNI's vpdpbusd on whichever vector is in use: EVEX-encoded in a file compiled for
 * AVX512-VNNI, VEX-encoded in one compiled for AVX-VNNI.
 *
 * It takes u8 x s8, so u8 and s7 go in as they are. Signed x comes as x + 128 (x with its highest bit flipped), and
 * packing takes 128 * sum(w) off the bias; in the halo 0 becomes 128 and is taken off alike. Sums wrap, never saturate.
 */
#ifndef QMD_KERNELS_MULTIPLY_ADD_VNNI_H
#define QMD_KERNELS_MULTIPLY_ADD_VNNI_H

#include "../gemm.h"

/* Packing and the tiles: which operand comes with its highest bits flipped, what that adds to it, and how u8 is read.
 */
#define FLIPPED QMDI_S8
#define U8_IS_READ_AS QMDI_S7
#define MOVE 128

/* In assembly, since GCC 12 copies the intrinsic's sums about and spills them. */
INLINE void multiply_add(vector *sum, vector x, vector w, const qmdi_operand operand) {
	(void)operand;
#ifdef __AVXVNNI__
	__asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(*sum) : "x"(x), "x"(w));
#else
	__asm__("%{evex%} vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(w));
#endif
}

#endif
