/* Softmax, the same on every machine. */
#ifndef QMD_LIB_SOFTMAX_H
#define QMD_LIB_SOFTMAX_H

#include <stddef.h>

/* Probabilities of n logits: exp is computed here, not by the C library, and the sum runs in order. */
void qmdi_softmax(const float *logits, size_t n, float *probabilities);

#endif
