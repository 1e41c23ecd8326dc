/* The vector of the 256-bit kernels: 8 lanes of int32, and what kernels do with it. */
#ifndef QMD_KERNELS_VECTOR_YMM_H
#define QMD_KERNELS_VECTOR_YMM_H

#include <immintrin.h>
#include <string.h>

#include "../gemm.h"

#define LANES 8
typedef __m256i vector;
typedef __m256 float_vector;

INLINE vector vector_load(const uint8_t *stream) {
	return _mm256_load_si256((const vector *)stream);
}

INLINE float_vector vector_load_float(const uint8_t *stream) {
	return _mm256_load_ps((const float *)stream);
}

/* A dword of the input in every lane; if flipped, with the highest bit of each byte flipped. */
INLINE vector vector_broadcast(const uint8_t *input, const int is_flipped) {
	const vector x = _mm256_broadcastd_epi32(_mm_loadu_si32(input));
	return is_flipped ? _mm256_xor_si256(x, _mm256_set1_epi8(INT8_MIN)) : x;
}

INLINE vector vector_larger(vector a, vector b) {
	return _mm256_max_epi32(a, b);
}

/* The first n of 8 values as int8: clamped to [low, 127], then rounded to nearest, ties to even. */
INLINE void store_bytes(uint8_t *output, size_t n, float_vector value, int32_t low) {
	const float_vector above = _mm256_max_ps(value, _mm256_set1_ps((float)low));
	const vector rounded = _mm256_cvtps_epi32(_mm256_min_ps(above, _mm256_set1_ps(127.0f)));
	const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
	const __m128i bytes = _mm_packs_epi16(words, words);
	if (n >= LANES) {
		_mm_storel_epi64((__m128i *)output, bytes);
	} else {
		const int64_t lanes = _mm_cvtsi128_si64(bytes);
		memcpy(output, &lanes, n);
	}
}

/* The first n of 8 values as they are. */
INLINE void store_floats(uint8_t *output, size_t n, float_vector value) {
	const vector count = _mm256_set1_epi32((int32_t)(n < LANES ? n : LANES));
	_mm256_maskstore_ps((float *)output, _mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)), value);
}

/* Lanes of vector `number` of a block and after it that are written. */
INLINE size_t n_written(const qmdi_tile *tile, size_t number) {
	return tile->n_channels <= LANES * number ? 0 : tile->n_channels - LANES * number;
}

/* Vector `number` of a block's sums into a pixel at `output`, requantized. */
INLINE void vector_store(const qmdi_tile *tile, uint8_t *output, size_t number, vector sum, float_vector multiplier) {
	const float_vector value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), multiplier);
	store_bytes(output + LANES * number, n_written(tile, number), value, tile->shape->low);
}

/* The same as float. */
INLINE void vector_store_float(const qmdi_tile *tile, uint8_t *output, size_t number, vector sum,
							   float_vector multiplier) {
	const float_vector value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), multiplier);
	store_floats(output + 4 * LANES * number, n_written(tile, number), value);
}

#endif
