/*
 * Linear systems with a symmetric positive definite matrix: what least squares come down to. docs/adr/0002 says why
 * these are written out and not LAPACK's.
 */
#ifndef QMD_LIB_CHOLESKY_H
#define QMD_LIB_CHOLESKY_H

#include <stddef.h>

/*
 * Factorize matrix = L L^T in place; matrix[n][n] is read, and L written, at and below the diagonal. Returns n, or the
 * index of the first unknown that is not determined: its pivot is not above `smallest_pivot`.
 */
size_t qmdi_cholesky_factorize(double *matrix, size_t n, double smallest_pivot);

/* Solve L L^T x = b; x holds b before and the solution after. */
void qmdi_cholesky_solve(const double *factor, size_t n, double *x);

/* diagonal[i] = (L L^T)^-1 at [i][i]; work: [n] */
void qmdi_cholesky_inverse_diagonal(const double *factor, size_t n, double *work, double *diagonal);

#endif
