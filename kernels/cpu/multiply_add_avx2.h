/*
 * Four products of bytes a lane by AVX2: vpmaddubsw (u8 x s8, pairs added in int16), vpmaddwd by ones (pairs of these
 * in int32) and vpaddd. Exact where no pair of products leaves int16:
 *
 *     s7  0 <= x <= 127 is u8 as it is: 2 * 127 * 127 = 32,258 < 32,767.
 *     s8  |x| times w with the sign of x: at most 2 * 128 * 127 = 32,512 < 32,767. |-128| is 128 as u8, and w is never
 *         -128, so that its sign can be changed.
 *     u8  comes as x - 128 (x with its highest bit flipped), which is s8; packing gives 128 * sum(w) to the bias. In
 *         the halo 0 becomes -128 and is given back alike.
 */
#ifndef QMD_KERNELS_MULTIPLY_ADD_AVX2_H
#define QMD_KERNELS_MULTIPLY_ADD_AVX2_H

#include "vector_ymm.h"

/* Packing and the tiles: which operand comes with its highest bits flipped, what that adds to it, and how u8 is read.
 */
#define FLIPPED QMDI_U8
#define U8_IS_READ_AS QMDI_U8
#define MOVE (-128)

INLINE void multiply_add(vector *sum, vector x, vector w, const qmdi_operand operand) {
	const vector pairs = operand == QMDI_S7 ? _mm256_maddubs_epi16(x, w)
											: _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(w, x));
	*sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#endif
