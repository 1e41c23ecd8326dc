/*
 * Counter-based random numbers: Philox 4x32-10 (Salmon et al., SC11). A number is a pure function of (seed, stream,
 * counter), so nothing needs a state to be saved, and any number of threads draws the same.
 */
#ifndef QMD_LIB_RANDOM_H
#define QMD_LIB_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Four 32-bit words for (seed, stream, counter). */
void qmdi_random4(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);

/* Word `index` of a stream: words come four to a counter. */
uint32_t qmdi_random_u32(uint64_t seed, uint64_t stream, uint64_t index);

/* Uniform in [0, 1), 24 bits. */
float qmdi_random_f32(uint64_t seed, uint64_t stream, uint64_t index);

/* Fisher-Yates shuffle of n numbers. */
void qmdi_random_shuffle(uint64_t seed, uint64_t stream, uint32_t *values, size_t n);

#endif
