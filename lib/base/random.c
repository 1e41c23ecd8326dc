#include "random.h"

#include "random_math.h"

void qmdi_random4(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]) {
	qmdi_philox(seed, stream, counter, out);
}

uint32_t qmdi_random_u32(uint64_t seed, uint64_t stream, uint64_t index) {
	uint32_t words[4];
	qmdi_random4(seed, stream, index / 4, words);
	return words[index % 4];
}

float qmdi_random_f32(uint64_t seed, uint64_t stream, uint64_t index) {
	return qmdi_uniform(qmdi_random_u32(seed, stream, index));
}

void qmdi_random_shuffle(uint64_t seed, uint64_t stream, uint32_t *values, size_t n) {
	for (size_t i = n; i > 1; i--) {
		/* The bias of scaling 32 bits to i choices is below i / 2^32. */
		const size_t j = (size_t)(((uint64_t)qmdi_random_u32(seed, stream, i) * i) >> 32);
		const uint32_t swap = values[i - 1];
		values[i - 1] = values[j];
		values[j] = swap;
	}
}
