/*
 * Softmax that does not depend on the C library: exp(x) = 2^k * exp(r) with r = x - k ln 2, |r| <= ln 2 / 2, and exp(r)
 * by its Taylor series to r^13 (remainder below 5e-18), in FP64 with + and * in the order written here.
 */
#ifndef QMD_LIB_SOFTMAX_MATH_H
#define QMD_LIB_SOFTMAX_MATH_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/shared_math.h"

#define QMDI_LOG2_E 0x1.71547652b82fep0
/* ln 2 in two parts, the first with 32 bits, so that k times it is exact. */
#define QMDI_LN2_HIGH 0x1.62e42feep-1
#define QMDI_LN2_LOW 0x1.a39ef35793c76p-33
/* Below this, exp(x) is less than half of the smallest float. */
#define QMDI_EXP_LOWEST -104.0

QMDI_SHARED_MATH double qmdi_exp_of_nonpositive(double x) {
	const double inverse_factorials[] = {
		1.0 / 6227020800.0,
		1.0 / 479001600.0,
		1.0 / 39916800.0,
		1.0 / 3628800.0,
		1.0 / 362880.0,
		1.0 / 40320.0,
		1.0 / 5040.0,
		1.0 / 720.0,
		1.0 / 120.0,
		1.0 / 24.0,
		1.0 / 6.0,
		1.0 / 2.0,
		1.0,
		1.0,
	};
	if (!(x >= QMDI_EXP_LOWEST))
		return 0.0;
	const double k = rint(x * QMDI_LOG2_E);
	const double r = (x - k * QMDI_LN2_HIGH) - k * QMDI_LN2_LOW;
	double sum = 0.0;
	QMDI_UNROLLED
	for (size_t i = 0; i < sizeof inverse_factorials / sizeof inverse_factorials[0]; i++)
		sum = sum * r + inverse_factorials[i];
	const uint64_t power_bits = (uint64_t)(1023 + (int64_t)k) << 52;
	double power;
	memcpy(&power, &power_bits, sizeof power);
	return sum * power;
}

/* n logits; may be given their own place. */
QMDI_SHARED_MATH void qmdi_softmax_of(const float *logits, size_t n, float *probabilities) {
	float largest = logits[0];
	for (size_t i = 1; i < n; i++)
		largest = logits[i] > largest ? logits[i] : largest;
	double sum = 0.0;
	for (size_t i = 0; i < n; i++)
		sum += qmdi_exp_of_nonpositive((double)logits[i] - (double)largest);
	for (size_t i = 0; i < n; i++)
		probabilities[i] = (float)(qmdi_exp_of_nonpositive((double)logits[i] - (double)largest) / sum);
}

#endif
