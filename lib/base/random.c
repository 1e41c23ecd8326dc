#include "random.h"

#define ROUNDS 10
#define MULTIPLIER_0 0xD2511F53u
#define MULTIPLIER_1 0xCD9E8D57u
#define WEYL_0 0x9E3779B9u
#define WEYL_1 0xBB67AE85u

void qmdi_random4(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]) {
	uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
	uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
	uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
	for (int round = 0; round < ROUNDS; round++) {
		const uint64_t product0 = (uint64_t)MULTIPLIER_0 * c0, product1 = (uint64_t)MULTIPLIER_1 * c2;
		const uint32_t next0 = (uint32_t)(product1 >> 32) ^ c1 ^ key0;
		const uint32_t next2 = (uint32_t)(product0 >> 32) ^ c3 ^ key1;
		c0 = next0;
		c1 = (uint32_t)product1;
		c2 = next2;
		c3 = (uint32_t)product0;
		key0 += WEYL_0;
		key1 += WEYL_1;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

uint32_t qmdi_random_u32(uint64_t seed, uint64_t stream, uint64_t index) {
	uint32_t words[4];
	qmdi_random4(seed, stream, index / 4, words);
	return words[index % 4];
}

float qmdi_random_f32(uint64_t seed, uint64_t stream, uint64_t index) {
	return (float)(qmdi_random_u32(seed, stream, index) >> 8) * 0x1p-24f;
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
