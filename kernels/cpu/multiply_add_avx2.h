/*
 * Four products of bytes a lane by AVX2, exact where no pair of products leaves int16:
 *
 *     s7  0 <= x <= 127 is u8 as it is: 2 * 127 * 127 = 32,258.
 *     s8  |x| times w with the sign of x: at most 2 * 128 * 127 = 32,512 < 32,767. |-128| is 128 as u8, and w is never
 *         -128, so that its sign can be changed.
 *     u8  comes as x - 128 (x with its highest bit flipped), which is s8; packing gives 128 * sum(w) to the bias. In
 *         the halo 0 becomes -128 and is given back alike.
 */
#ifndef QMD_KERNELS_MULTIPLY_ADD_AVX2_H
#define QMD_KERNELS_MULTIPLY_ADD_AVX2_H

#include "ymm.h"

#define FLIPPED QMDI_U8

INLINE void multiply_add(__m256i *sum, __m256i x, __m256i w, const qmdi_operand operand) {
	const __m256i pairs = operand == QMDI_S7 ? _mm256_maddubs_epi16(x, w)
											 : _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(w, x));
	*sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#endif
