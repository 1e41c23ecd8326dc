/*
 * Functions whose loops are worth wider vectors than every x86-64 has. They are compiled for AVX2 as well, and the
 * loader chooses. The numbers are the same: an operation on a vector rounds as that on its elements does, and none is
 * contracted (docs/numerics.md). Sanitizers are not ready yet when the loader asks, so they see the plain ones.
 */
#ifndef QMD_LIB_VECTORIZED_H
#define QMD_LIB_VECTORIZED_H

#include <limits.h> /* says whether this is glibc */

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) &&                           \
	!defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define QMDI_VECTORIZED __attribute__((target_clones("avx2", "default")))
#else
#define QMDI_VECTORIZED
#endif

#endif
