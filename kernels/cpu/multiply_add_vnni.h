/*
 * Four products of bytes a lane by VNNI on 256-bit vectors, VEX-encoded in a file compiled for AVX-VNNI, EVEX-encoded
 * in one compiled for AVX512-VNNI. vpdpbusd takes u8 x s8: u8 and s7 go in as they are, signed x comes as x + 128 (x
 * with its highest bit flipped), and packing takes 128 * sum(w) off the bias.
 */
#ifndef QMD_KERNELS_MULTIPLY_ADD_VNNI_H
#define QMD_KERNELS_MULTIPLY_ADD_VNNI_H

#include "ymm.h"

#define FLIPPED QMDI_S8

/* In assembly, since GCC 12 copies the intrinsic's sums about and spills them. */
INLINE void multiply_add(__m256i *sum, __m256i x, __m256i w, const qmdi_operand operand) {
	(void)operand;
#ifdef __AVXVNNI__
	__asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(*sum) : "x"(x), "x"(w));
#else
	__asm__("%{evex%} vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(w));
#endif
}

#endif
