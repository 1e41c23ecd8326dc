/* What the 256-bit kernels share: reading the input and the stream, and a vector of sums on its way into the output. */
#ifndef QMD_KERNELS_YMM_H
#define QMD_KERNELS_YMM_H

#include <immintrin.h>
#include <string.h>

#include "../gemm.h"

/* A dword of the input in every lane; if flipped, with the highest bit of each byte flipped. */
INLINE __m256i qmdi_ymm_broadcast(const uint8_t *input, const int is_flipped) {
	const __m256i x = _mm256_broadcastd_epi32(_mm_loadu_si32(input));
	return is_flipped ? _mm256_xor_si256(x, _mm256_set1_epi8(INT8_MIN)) : x;
}

INLINE __m256i qmdi_ymm_load(const uint8_t *stream) {
	return _mm256_load_si256((const __m256i *)stream);
}

/* Channels of a block's vector of 8 that are written. */
INLINE size_t qmdi_ymm_n_written(const qmdi_tile *tile, size_t vector) {
	return tile->n_channels <= 8 * vector ? 0 : tile->n_channels - 8 * vector < 8 ? tile->n_channels - 8 * vector : 8;
}

/* Vector `vector` of a block's sums into a pixel at `output`, requantized. */
INLINE void qmdi_ymm_store(const qmdi_tile *tile, uint8_t *output, size_t vector, __m256i sum, __m256 multiplier) {
	const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), multiplier);
	const __m256 above = _mm256_max_ps(value, _mm256_set1_ps((float)tile->shape->low));
	const __m256i rounded = _mm256_cvtps_epi32(_mm256_min_ps(above, _mm256_set1_ps(127.0f)));
	const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
	const __m128i bytes = _mm_packs_epi16(words, words);
	const size_t n = qmdi_ymm_n_written(tile, vector);
	if (n == 8) {
		_mm_storel_epi64((__m128i *)(output + 8 * vector), bytes);
	} else {
		const int64_t lanes = _mm_cvtsi128_si64(bytes);
		memcpy(output + 8 * vector, &lanes, n);
	}
}

/* The same as float. */
INLINE void qmdi_ymm_store_float(const qmdi_tile *tile, uint8_t *output, size_t vector, __m256i sum,
								 __m256 multiplier) {
	const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	const __m256i n = _mm256_set1_epi32((int32_t)qmdi_ymm_n_written(tile, vector));
	const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), multiplier);
	_mm256_maskstore_ps((float *)output + 8 * vector, _mm256_cmpgt_epi32(n, lanes), value);
}

#endif
