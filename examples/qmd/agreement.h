/* How far scores of the same residues agree that were found by different means. */
#ifndef QMD_AGREEMENT_H
#define QMD_AGREEMENT_H

#include <stddef.h>

/* Spearman's rank correlation, ties sharing the mean of their ranks; NaN where either side is constant, or where memory
 * runs out. */
double agreement_spearman(const double *a, const double *b, size_t n);

/* Of the `n_top` highest of one (all, if they are fewer) the share that is among those of the other; ties by order. NaN
 * for n = 0, or where memory runs out. */
double agreement_top(const double *a, const double *b, size_t n, size_t n_top);

/* The mean of agreement_top() over all pairs of rows of scores [n_rows][n]; NaN for fewer than two. */
double agreement_top_of_pairs(const double *scores, size_t n_rows, size_t n, size_t n_top);

#endif
