/* The wall clock, for durations. */
#ifndef QMD_LIB_CLOCK_H
#define QMD_LIB_CLOCK_H

#include <time.h>

static inline double qmdi_seconds_now(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
