/*
 * A host may have set another rounding mode, flush-to-zero or traps. A computing thread runs in the default environment
 * (round to nearest even, no FTZ or DAZ, no traps) and gives the host's back.
 */
#ifndef QMD_LIB_FLOAT_ENVIRONMENT_H
#define QMD_LIB_FLOAT_ENVIRONMENT_H

#include <fenv.h>

typedef fenv_t qmdi_float_environment;

static inline void qmdi_float_enter(qmdi_float_environment *saved) {
	fegetenv(saved);
	fesetenv(FE_DFL_ENV); /* glibc sets MXCSR too, which holds FTZ and DAZ */
}

static inline void qmdi_float_leave(const qmdi_float_environment *saved) {
	fesetenv(saved);
}

#endif
