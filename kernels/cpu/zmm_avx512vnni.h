/* What the 512-bit kernels share: the multiply-add, the broadcast, and a vector of sums on its way into the output. */
#ifndef QMD_KERNELS_ZMM_AVX512VNNI_H
#define QMD_KERNELS_ZMM_AVX512VNNI_H

#include <immintrin.h>

#include "../gemm.h"

/* sum += u8 x s8, four products a lane. In assembly, since GCC 12 copies the intrinsic's sums about and spills them. */
INLINE void qmdi_zmm_multiply_add(__m512i *sum, __m512i x, __m512i w) {
	__asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(w));
}

/* A dword of the input in every lane; if flipped, with the highest bit of each byte flipped. */
INLINE __m512i qmdi_zmm_broadcast(const uint8_t *input, const int is_flipped) {
	const __m512i x = _mm512_broadcastd_epi32(_mm_loadu_si32(input));
	return is_flipped ? _mm512_xor_si512(x, _mm512_set1_epi8(INT8_MIN)) : x;
}

/* Vector `vector` of a block's sums into a pixel at `output`, requantized. */
INLINE void qmdi_zmm_store(const qmdi_tile *tile, uint8_t *output, size_t vector, __m512i sum, __m512 multiplier) {
	const __mmask16 mask = (__mmask16)(UINT64_MAX >> (64 - tile->n_channels) >> 16 * vector);
	const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), multiplier);
	const __m512 above = _mm512_max_ps(value, _mm512_set1_ps((float)tile->shape->low));
	const __m512i rounded = _mm512_cvtps_epi32(_mm512_min_ps(above, _mm512_set1_ps(127.0f)));
	_mm_mask_storeu_epi8(output + 16 * vector, mask, _mm512_cvtepi32_epi8(rounded));
}

/* The same as float. */
INLINE void qmdi_zmm_store_float(const qmdi_tile *tile, uint8_t *output, size_t vector, __m512i sum,
								 __m512 multiplier) {
	const __mmask16 mask = (__mmask16)(UINT64_MAX >> (64 - tile->n_channels) >> 16 * vector);
	_mm512_mask_storeu_ps(output + 64 * vector, mask, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), multiplier));
}

#endif
