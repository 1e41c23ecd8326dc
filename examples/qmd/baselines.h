/* Two simple classifiers on the same pixels, to compare a network with. */
#ifndef QMD_BASELINES_H
#define QMD_BASELINES_H

#include "program.h"

/* Images and what they show. */
typedef struct pixel_set {
	unsigned char *images; /* [n][image_size], signed where type is QMD_S8 */
	uint32_t *labels;      /* [n] */
	size_t n, image_size;
	qmd_type type;
} pixel_set;

/* Scores [n][n_classes]: minus the squared distance to the mean image of each class's training images. Every class must
 * have a training image. */
int baselines_nearest_mean(const pixel_set *train, const pixel_set *test, size_t n_classes, double *train_scores,
						   double *test_scores);

/*
 * Scores [n][n_classes]: ridge regression on the centred pixels, with intercept, onto +1 for the class and -1 for the
 * others. Solved in its dual form, (K + lambda I) alpha = Y with K the inner products of the training images, by
 * LAPACK's Cholesky factorization; lambda is BASELINES_RIDGE times the mean of K's diagonal. Fitted on at most
 * BASELINES_MAX_RIDGE training images, evenly spread.
 */
#define BASELINES_RIDGE 1.0
#define BASELINES_MAX_RIDGE 4096
int baselines_ridge(const pixel_set *train, const pixel_set *test, size_t n_classes, double *train_scores,
					double *test_scores);

#endif
