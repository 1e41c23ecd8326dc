/* What the AVX2 kernels that compute in float32 share: eight numbers in, eight values out. */
#ifndef QMD_KERNELS_FLOATS_AVX2_H
#define QMD_KERNELS_FLOATS_AVX2_H

#include "vector_ymm.h"

INLINE float_vector load_numbers(const uint8_t *input, const int is_u8) {
	const __m128i bytes = _mm_loadl_epi64((const __m128i *)input);
	return _mm256_cvtepi32_ps(is_u8 ? _mm256_cvtepu8_epi32(bytes) : _mm256_cvtepi8_epi32(bytes));
}

/* The first n of 8 values into elements of the output from number `first` of a pixel or row. */
INLINE void store_values(const qmdi_kernel_shape *shape, uint8_t *output, size_t first, size_t n, float_vector value) {
	if (shape->float_output) {
		store_floats(output + first * sizeof(float), n, value);
	} else {
		store_bytes(output + first, n, value, shape->low);
	}
}

#endif
