/* The generator of random.h, for CPU and GPU. */
#ifndef QMD_LIB_RANDOM_MATH_H
#define QMD_LIB_RANDOM_MATH_H

#include <stdint.h>

#include "base/shared_math.h"

#define QMDI_PHILOX_ROUNDS 10

/* Four words for (seed, stream, counter): Philox 4x32-10 with the seed as key, counter and stream as its counter. */
QMDI_SHARED_MATH void qmdi_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]) {
	const uint32_t multipliers[] = {0xD2511F53u, 0xCD9E8D57u}, weyl[] = {0x9E3779B9u, 0xBB67AE85u};
	uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
	uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
	uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
	QMDI_UNROLLED
	for (int round = 0; round < QMDI_PHILOX_ROUNDS; round++) {
		const uint64_t product0 = (uint64_t)multipliers[0] * c0, product1 = (uint64_t)multipliers[1] * c2;
		const uint32_t next0 = (uint32_t)(product1 >> 32) ^ c1 ^ key0;
		const uint32_t next2 = (uint32_t)(product0 >> 32) ^ c3 ^ key1;
		c0 = next0;
		c1 = (uint32_t)product1;
		c2 = next2;
		c3 = (uint32_t)product0;
		key0 += weyl[0];
		key1 += weyl[1];
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

/* A word as a number in [0, 1), of its upper 24 bits. */
QMDI_SHARED_MATH float qmdi_uniform(uint32_t word) {
	return (float)(word >> 8) * 0x1p-24f;
}

#endif
