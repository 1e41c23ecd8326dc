/* What is known of the magnitudes of one activation. */
#ifndef QMD_LIB_OBSERVER_H
#define QMD_LIB_OBSERVER_H

#include "base/error.h"

#define QMDI_OBSERVER_BINS 8192

/* Start from {0}. */
typedef struct qmdi_observer {
	double ema, ema_weight; /* sum of weighted batch maxima, and of weights */
	double sum;             /* of all magnitudes */
	uint64_t n_summed;
	float largest;
	uint64_t *histogram; /* [QMDI_OBSERVER_BINS] of equal width from 0 to `largest`; NULL until it is begun */
	uint64_t n;          /* in the histogram */
} qmdi_observer;

/* One batch for EMA and largest; QMD_ERROR_RANGE if a number is not finite. */
qmd_status qmdi_observe_range(qmdi_observer *observer, const float *x, size_t n);

double qmdi_observer_mean(const qmdi_observer *observer);

/* After all ranges have been observed: the same numbers once more, for the percentile. */
qmd_status qmdi_observer_begin_histogram(qmdi_observer *observer);
void qmdi_observe_histogram(qmdi_observer *observer, const float *x, size_t n);

/* Moving average of the batch maxima, corrected for having begun at 0 (as Adam's moments are). */
double qmdi_observer_ema(const qmdi_observer *observer);

/* The magnitude that `percentile` percent of all do not exceed: the upper edge of its bin. */
double qmdi_observer_percentile(const qmdi_observer *observer, double percentile);

void qmdi_observer_release(qmdi_observer *observer);

#endif
