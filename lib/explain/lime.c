#include "explain/lime.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "explain/cholesky.h"

#define WORD_BITS 64
#define KERNEL_WIDTH 0.25
#define RIDGE 1.0

/* ---- Masks ---- */

size_t qmdi_lime_n_words(size_t n_segments) {
	return (n_segments + WORD_BITS - 1) / WORD_BITS;
}

void qmdi_lime_draw(uint64_t seed, uint64_t stream, size_t n_samples, size_t n_segments, uint64_t *masks) {
	const size_t n_words = qmdi_lime_n_words(n_segments);
	for (size_t i = 0; i < n_samples; i++)
		for (size_t w = 0; w < n_words; w++) {
			const size_t left = n_segments - w * WORD_BITS;
			const uint64_t used = left < WORD_BITS ? (UINT64_C(1) << left) - 1 : UINT64_MAX;
			const uint64_t low = qmdi_random_u32(seed, stream, 2 * (i * n_words + w));
			const uint64_t high = qmdi_random_u32(seed, stream, 2 * (i * n_words + w) + 1);
			masks[i * n_words + w] = i == 0 ? used : (high << 32 | low) & used;
		}
}

int qmdi_lime_shows(const uint64_t *mask, size_t segment) {
	return (int)(mask[segment / WORD_BITS] >> segment % WORD_BITS & 1);
}

/* ---- Ridge regression with weights ---- */

typedef struct regression {
	const uint64_t *masks;
	const double *values;
	size_t n_samples, n, n_words;
	double *matrix;  /* [n][n]: sums of products of centered columns, at and below the diagonal */
	double *means;   /* [n] */
	double mean;     /* of values, less the first */
	double weight;   /* of all samples together */
	uint32_t *shown; /* [n]: the segments of one sample */
} regression;

/* sqrt(exp(-d^2 / width^2)), d the cosine distance between a mask and that of the whole picture. */
static double kernel(size_t n_shown, size_t n) {
	const double distance = 1 - sqrt((double)n_shown / (double)n);
	return sqrt(exp(-distance * distance / (KERNEL_WIDTH * KERNEL_WIDTH)));
}

/* As a difference from the first, so that values that do not vary are exactly nothing. */
static double value_of(const regression *r, size_t sample) {
	return r->values[sample] - r->values[0];
}

/* Which segments a sample shows; returns how many. */
static size_t list_shown(const regression *r, size_t sample) {
	const uint64_t *mask = r->masks + sample * r->n_words;
	size_t n_shown = 0;
	for (size_t k = 0; k < r->n; k++)
		if (qmdi_lime_shows(mask, k))
			r->shown[n_shown++] = (uint32_t)k;
	return n_shown;
}

/* Sums over samples of what each shows; right: of that times the value. */
static void add_samples(regression *r, double *right) {
	for (size_t i = 0; i < r->n_samples; i++) {
		const size_t n_shown = list_shown(r, i);
		const double weight = kernel(n_shown, r->n), weighted = weight * value_of(r, i);
		r->weight += weight;
		r->mean += weighted;
		for (size_t a = 0; a < n_shown; a++) {
			double *row = r->matrix + r->shown[a] * r->n;
			right[r->shown[a]] += weighted;
			for (size_t b = 0; b <= a; b++)
				row[r->shown[b]] += weight;
		}
	}
}

/* From sums to sums of centered columns; those of the values too. */
static void center(regression *r, double *right) {
	r->mean /= r->weight;
	for (size_t k = 0; k < r->n; k++)
		r->means[k] = r->matrix[k * r->n + k] / r->weight;
	for (size_t a = 0; a < r->n; a++) {
		right[a] -= r->weight * r->means[a] * r->mean;
		for (size_t b = 0; b <= a; b++)
			r->matrix[a * r->n + b] -= r->weight * r->means[a] * r->means[b];
		r->matrix[a * r->n + a] += RIDGE;
	}
}

static double share_explained(const regression *r, const double *weights, double intercept) {
	double residual = 0, total = 0;
	for (size_t i = 0; i < r->n_samples; i++) {
		const size_t n_shown = list_shown(r, i);
		const double weight = kernel(n_shown, r->n), from_mean = value_of(r, i) - r->mean;
		double error = value_of(r, i) - intercept;
		for (size_t k = 0; k < n_shown; k++)
			error -= weights[r->shown[k]];
		residual += weight * error * error;
		total += weight * from_mean * from_mean;
	}
	return total > 0 ? 1 - residual / total : NAN;
}

static void regress(regression *r, double *weights, qmdi_lime_fit *fit) {
	memset(weights, 0, r->n * sizeof *weights);
	add_samples(r, weights);
	center(r, weights);
	qmdi_cholesky_factorize(r->matrix, r->n, 0); /* its pivots are RIDGE at least */
	qmdi_cholesky_solve(r->matrix, r->n, weights);
	fit->intercept = r->mean;
	for (size_t k = 0; k < r->n; k++)
		fit->intercept -= r->means[k] * weights[k];
	fit->r2 = share_explained(r, weights, fit->intercept);
	fit->intercept += r->values[0];
}

qmd_status qmdi_lime_solve(const uint64_t *masks, const double *values, size_t n_samples, size_t n_segments,
						   double *weights, qmdi_lime_fit *fit) {
	regression r = {.masks = masks,
					.values = values,
					.n_samples = n_samples,
					.n = n_segments,
					.n_words = qmdi_lime_n_words(n_segments),
					.means = qmdi_array(n_segments, sizeof(double)),
					.shown = qmdi_array(n_segments, sizeof(uint32_t))};
	if (n_segments <= SIZE_MAX / n_segments)
		r.matrix = qmdi_zeroed(n_segments * n_segments, sizeof *r.matrix);
	const qmd_status status = r.matrix && r.means && r.shown ? QMD_OK : QMD_ERROR_MEMORY;
	if (status == QMD_OK)
		regress(&r, weights, fit);
	qmdi_release(r.matrix);
	qmdi_release(r.means);
	qmdi_release(r.shown);
	return status;
}
