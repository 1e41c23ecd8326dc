#include "observer.h"

#include <math.h>

#include "base/memory.h"

#define EMA_DECAY 0.9

qmd_status qmdi_observe_range(qmdi_observer *observer, const float *x, size_t n) {
	float largest = 0.0f;
	double sum = 0;
	for (size_t i = 0; i < n; i++) {
		if (!isfinite(x[i]))
			return qmdi_fail(QMD_ERROR_RANGE, "activation %zu is %g", i, (double)x[i]);
		if (fabsf(x[i]) > largest)
			largest = fabsf(x[i]);
		sum += (double)fabsf(x[i]);
	}
	observer->sum += sum;
	observer->n_summed += n;
	if (largest > observer->largest)
		observer->largest = largest;
	observer->ema = EMA_DECAY * observer->ema + (1.0 - EMA_DECAY) * largest;
	observer->ema_weight = EMA_DECAY * observer->ema_weight + (1.0 - EMA_DECAY);
	return QMD_OK;
}

qmd_status qmdi_observer_begin_histogram(qmdi_observer *observer) {
	observer->histogram = qmdi_zeroed(QMDI_OBSERVER_BINS, sizeof *observer->histogram);
	return observer->histogram ? QMD_OK : QMD_ERROR_MEMORY;
}

void qmdi_observe_histogram(qmdi_observer *observer, const float *x, size_t n) {
	const double bins_per_unit = observer->largest > 0 ? QMDI_OBSERVER_BINS / (double)observer->largest : 0;
	for (size_t i = 0; i < n; i++) {
		const double bin = fabs((double)x[i]) * bins_per_unit;
		observer->histogram[bin < QMDI_OBSERVER_BINS - 1 ? (size_t)bin : QMDI_OBSERVER_BINS - 1]++;
	}
	observer->n += n;
}

double qmdi_observer_ema(const qmdi_observer *observer) {
	return observer->ema_weight > 0 ? observer->ema / observer->ema_weight : 0;
}

double qmdi_observer_mean(const qmdi_observer *observer) {
	return observer->n_summed > 0 ? observer->sum / (double)observer->n_summed : 0;
}

double qmdi_observer_percentile(const qmdi_observer *observer, double percentile) {
	const double wanted = percentile / 100.0 * (double)observer->n;
	uint64_t below = 0;
	for (size_t bin = 0; bin < QMDI_OBSERVER_BINS; bin++) {
		below += observer->histogram[bin];
		if ((double)below >= wanted)
			return (double)observer->largest * (double)(bin + 1) / QMDI_OBSERVER_BINS;
	}
	return observer->largest;
}

void qmdi_observer_release(qmdi_observer *observer) {
	qmdi_release(observer->histogram);
	observer->histogram = NULL;
}
