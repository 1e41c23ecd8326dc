#include "softmax.h"

#include "base/softmax_math.h"

void qmdi_softmax(const float *logits, size_t n, float *probabilities) {
	qmdi_softmax_of(logits, n, probabilities);
}
