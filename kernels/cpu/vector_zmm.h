/* The vector of the 512-bit kernels: 16 lanes of int32, and what conv_tile.h and dense_tile.h do with it. */
#ifndef QMD_KERNELS_VECTOR_ZMM_H
#define QMD_KERNELS_VECTOR_ZMM_H

#include <immintrin.h>

#include "../gemm.h"

#define LANES 16
typedef __m512i vector;
typedef __m512 float_vector;

INLINE vector vector_load(const uint8_t *stream) {
	return _mm512_load_si512(stream);
}

INLINE float_vector vector_load_float(const uint8_t *stream) {
	return _mm512_load_ps(stream);
}

/* A dword of the input in every lane; if flipped, with the highest bit of each byte flipped. */
INLINE vector vector_broadcast(const uint8_t *input, const int is_flipped) {
	const vector x = _mm512_broadcastd_epi32(_mm_loadu_si32(input));
	return is_flipped ? _mm512_xor_si512(x, _mm512_set1_epi8(INT8_MIN)) : x;
}

INLINE vector vector_larger(vector a, vector b) {
	return _mm512_max_epi32(a, b);
}

/* Vector `number` of a block's sums into a pixel at `output`, requantized. */
INLINE void vector_store(const qmdi_tile *tile, uint8_t *output, size_t number, vector sum, float_vector multiplier) {
	const __mmask16 mask = (__mmask16)(UINT64_MAX >> (64 - tile->n_channels) >> LANES * number);
	const float_vector value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), multiplier);
	const float_vector above = _mm512_max_ps(value, _mm512_set1_ps((float)tile->shape->low));
	const vector rounded = _mm512_cvtps_epi32(_mm512_min_ps(above, _mm512_set1_ps(127.0f)));
	_mm_mask_storeu_epi8(output + LANES * number, mask, _mm512_cvtepi32_epi8(rounded));
}

/* The same as float. */
INLINE void vector_store_float(const qmdi_tile *tile, uint8_t *output, size_t number, vector sum,
							   float_vector multiplier) {
	const __mmask16 mask = (__mmask16)(UINT64_MAX >> (64 - tile->n_channels) >> LANES * number);
	_mm512_mask_storeu_ps((float *)output + LANES * number, mask, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), multiplier));
}

#endif
