/*
 * LIME (Ribeiro, Singh and Guestrin, KDD 2016) for images, as the `lime` package 0.2.0.1 has it with its defaults: a
 * linear model of what the network says of pictures of which random segments are hidden, fitted by ridge regression
 * with weights that fall with the cosine distance from the whole picture.
 *
 * The package also selects features, all of them unless it is asked for fewer; so do these functions.
 */
#ifndef QMD_LIB_LIME_H
#define QMD_LIB_LIME_H

#include <qmd/base.h>

/* Words of 64 segments in a row of masks. */
size_t qmdi_lime_n_words(size_t n_segments);

/*
 * Draw masks[n_samples][n_words]: bit k % 64 of word k / 64 says whether segment k is shown, with probability 1/2. The
 * first sample shows all. A mask is a pure function of seed, stream and its number.
 */
void qmdi_lime_draw(uint64_t seed, uint64_t stream, size_t n_samples, size_t n_segments, uint64_t *masks);

int qmdi_lime_shows(const uint64_t *mask, size_t segment);

typedef struct qmdi_lime_fit {
	double intercept;
	double r2; /* share of the values' weighted variance that the linear model explains; NaN where they do not vary */
} qmdi_lime_fit;

/* Fit values[n_samples], of pictures as masked; weights: [n_segments], of the linear model. */
qmd_status qmdi_lime_solve(const uint64_t *masks, const double *values, size_t n_samples, size_t n_segments,
						   double *weights, qmdi_lime_fit *fit);

#endif
