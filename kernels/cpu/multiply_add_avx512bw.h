/*
 * Four products of bytes a lane by AVX512-BW, for processors without VNNI: multiply_add_avx2.h on 512 bits, exact for
 * the same reasons. There is no vpsignb here: the sign of x goes to w by a mask and a subtraction from zero (where x is
 * 0, |x| is, whatever w is).
 */
#ifndef QMD_KERNELS_MULTIPLY_ADD_AVX512BW_H
#define QMD_KERNELS_MULTIPLY_ADD_AVX512BW_H

#include "vector_zmm.h"

/* Packing and the tiles: which operand comes with its highest bits flipped, what that adds to it, and how u8 is read.
 */
#define FLIPPED QMDI_U8
#define U8_IS_READ_AS QMDI_U8
#define MOVE (-128)

INLINE vector with_sign_of(vector x, vector w) {
	return _mm512_mask_sub_epi8(w, _mm512_movepi8_mask(x), _mm512_setzero_si512(), w);
}

INLINE void multiply_add(vector *sum, vector x, vector w, const qmdi_operand operand) {
	const vector pairs =
		operand == QMDI_S7 ? _mm512_maddubs_epi16(x, w) : _mm512_maddubs_epi16(_mm512_abs_epi8(x), with_sign_of(x, w));
	*sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

#endif
