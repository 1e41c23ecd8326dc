#include "baselines.h"

#include <lapacke.h>
#include <stdlib.h>
#include <string.h>

/* ---- Nearest mean ---- */

static double pixel(const pixel_set *set, size_t image, size_t p) {
	const unsigned char byte = set->images[image * set->image_size + p];
	return set->type == QMD_S8 ? (double)(signed char)byte : (double)byte;
}

static void score_by_distance(const pixel_set *set, const double *means, size_t n_classes, double *scores) {
	for (size_t i = 0; i < set->n; i++)
		for (size_t c = 0; c < n_classes; c++) {
			double sum = 0;
			for (size_t p = 0; p < set->image_size; p++) {
				const double difference = pixel(set, i, p) - means[c * set->image_size + p];
				sum += difference * difference;
			}
			scores[i * n_classes + c] = -sum;
		}
}

int baselines_nearest_mean(const pixel_set *train, const pixel_set *test, size_t n_classes, double *train_scores,
						   double *test_scores) {
	double *means = calloc(n_classes * train->image_size, sizeof *means);
	size_t *counts = calloc(n_classes, sizeof *counts);
	if (!means || !counts) {
		free(means);
		free(counts);
		return fail_memory();
	}
	for (size_t i = 0; i < train->n; i++) {
		counts[train->labels[i]]++;
		for (size_t p = 0; p < train->image_size; p++)
			means[train->labels[i] * train->image_size + p] += pixel(train, i, p);
	}
	for (size_t c = 0; c < n_classes; c++)
		for (size_t p = 0; p < train->image_size; p++)
			means[c * train->image_size + p] /= (double)counts[c];
	score_by_distance(train, means, n_classes, train_scores);
	score_by_distance(test, means, n_classes, test_scores);
	free(means);
	free(counts);
	return PROGRAM_OK;
}

/* ---- Ridge regression ---- */

/* The inner products of one image with every image of the fit. */
typedef struct ridge_fit {
	const pixel_set *train;
	size_t *members; /* of the training images, ascending */
	size_t n, n_classes;
	double *products;    /* K + lambda I, then its factor: [n][n] */
	double *alphas;      /* [class][n] */
	double *row_means;   /* of the inner products before centring: [n] */
	double overall_mean; /* of row_means */
	double *intercepts;  /* mean target of each class */
	double *row;         /* scratch: [n] */
} ridge_fit;

static void ridge_release(ridge_fit *fit) {
	free(fit->members);
	free(fit->products);
	free(fit->alphas);
	free(fit->row_means);
	free(fit->intercepts);
	free(fit->row);
}

/* Exact: a block's products fit an int32. */
static double inner_product(const unsigned char *a, const unsigned char *b, size_t n, qmd_type type) {
	enum { BLOCK = 8192 };
	int64_t sum = 0;
	for (size_t first = 0; first < n; first += BLOCK) {
		const size_t end = n - first < BLOCK ? n : first + BLOCK;
		int32_t block = 0;
		if (type == QMD_S8)
			for (size_t p = first; p < end; p++)
				block += (signed char)a[p] * (signed char)b[p];
		else
			for (size_t p = first; p < end; p++)
				block += a[p] * b[p];
		sum += block;
	}
	return (double)sum;
}

static const unsigned char *image_of(const pixel_set *set, size_t i) {
	return set->images + i * set->image_size;
}

static int ridge_allocate(ridge_fit *fit) {
	const size_t n = fit->n;
	fit->members = calloc(n, sizeof *fit->members);
	fit->products = calloc(n * n, sizeof *fit->products);
	fit->alphas = calloc(n * fit->n_classes, sizeof *fit->alphas);
	fit->row_means = calloc(n, sizeof *fit->row_means);
	fit->intercepts = calloc(fit->n_classes, sizeof *fit->intercepts);
	fit->row = calloc(n, sizeof *fit->row);
	if (!fit->members || !fit->products || !fit->alphas || !fit->row_means || !fit->intercepts || !fit->row)
		return fail_memory();
	for (size_t i = 0; i < n; i++)
		fit->members[i] = i * fit->train->n / n;
	return PROGRAM_OK;
}

static void compute_products(ridge_fit *fit) {
	const size_t n = fit->n;
	const pixel_set *train = fit->train;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j <= i; j++) {
			const double product = inner_product(image_of(train, fit->members[i]), image_of(train, fit->members[j]),
												 train->image_size, train->type);
			fit->products[i * n + j] = fit->products[j * n + i] = product;
		}
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n; j++)
			fit->row_means[i] += fit->products[i * n + j] / (double)n;
		fit->overall_mean += fit->row_means[i] / (double)n;
	}
	double trace = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			fit->products[i * n + j] += fit->overall_mean - fit->row_means[i] - fit->row_means[j];
			trace += i == j ? fit->products[i * n + i] : 0;
		}
	/* All training images equal: any ridge will do. */
	const double ridge = trace > 0 ? BASELINES_RIDGE * trace / (double)n : 1;
	for (size_t i = 0; i < n; i++)
		fit->products[i * n + i] += ridge;
}

static double target(const ridge_fit *fit, size_t i, size_t c) {
	return fit->train->labels[fit->members[i]] == c ? 1 : -1;
}

static int solve(ridge_fit *fit) {
	const size_t n = fit->n;
	for (size_t c = 0; c < fit->n_classes; c++) {
		for (size_t i = 0; i < n; i++)
			fit->intercepts[c] += target(fit, i, c) / (double)n;
		for (size_t i = 0; i < n; i++)
			fit->alphas[c * n + i] = target(fit, i, c) - fit->intercepts[c];
	}
	const lapack_int info = LAPACKE_dposv(LAPACK_COL_MAJOR, 'L', (lapack_int)n, (lapack_int)fit->n_classes,
										  fit->products, (lapack_int)n, fit->alphas, (lapack_int)n);
	return info == 0 ? PROGRAM_OK : fail("ridge regression: LAPACK's dposv returned %ld", (long)info);
}

static void score_by_regression(ridge_fit *fit, const pixel_set *set, double *scores) {
	const size_t n = fit->n;
	for (size_t i = 0; i < set->n; i++) {
		double mean = 0;
		for (size_t j = 0; j < n; j++) {
			fit->row[j] =
				inner_product(image_of(set, i), image_of(fit->train, fit->members[j]), set->image_size, set->type);
			mean += fit->row[j] / (double)n;
		}
		for (size_t c = 0; c < fit->n_classes; c++) {
			double sum = fit->intercepts[c];
			for (size_t j = 0; j < n; j++)
				sum += (fit->row[j] - mean - fit->row_means[j] + fit->overall_mean) * fit->alphas[c * n + j];
			scores[i * fit->n_classes + c] = sum;
		}
	}
}

int baselines_ridge(const pixel_set *train, const pixel_set *test, size_t n_classes, double *train_scores,
					double *test_scores) {
	ridge_fit fit = {
		.train = train, .n = train->n < BASELINES_MAX_RIDGE ? train->n : BASELINES_MAX_RIDGE, .n_classes = n_classes};
	int code = ridge_allocate(&fit);
	if (code == PROGRAM_OK) {
		compute_products(&fit);
		code = solve(&fit);
	}
	if (code == PROGRAM_OK) {
		score_by_regression(&fit, train, train_scores);
		score_by_regression(&fit, test, test_scores);
	}
	ridge_release(&fit);
	return code;
}
