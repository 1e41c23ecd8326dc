#include "explain/shap.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"
#include "explain/cholesky.h"

#define WORD_BITS 64
#define SMALLEST_PIVOT 1e-9 /* of the matrix, whose numbers are counts */

static size_t words_of(size_t n_pairs) {
	return (n_pairs + WORD_BITS - 1) / WORD_BITS;
}

qmd_status qmdi_shap_create(qmdi_shap *shap, size_t n_residues, size_t n_pairs, uint64_t seed) {
	*shap = (qmdi_shap){.seed = seed, .n_residues = n_residues, .n_pairs = n_pairs, .n_words = words_of(n_pairs)};
	shap->shares = qmdi_array(n_residues - 1, sizeof *shap->shares);
	if (!shap->shares)
		return QMD_ERROR_MEMORY;
	double sum = 0;
	for (size_t size = 1; size < n_residues; size++)
		shap->shares[size - 1] = sum += 1.0 / ((double)size * (double)(n_residues - size));
	for (size_t i = 0; i + 1 < n_residues; i++)
		shap->shares[i] /= sum;
	return QMD_OK;
}

void qmdi_shap_release(qmdi_shap *shap) {
	qmdi_release(shap->shares);
	*shap = (qmdi_shap){0};
}

size_t qmdi_shap_n_coalitions(size_t n_pairs) {
	return 2 + 2 * n_pairs;
}

/* ---- Coalitions ---- */

static size_t draw_size(const qmdi_shap *shap, uint32_t random) {
	const double share = (double)random * 0x1p-32;
	size_t size = 1;
	while (size + 1 < shap->n_residues && shap->shares[size - 1] <= share)
		size++;
	return size;
}

/* Each residue in turn, with the probability that as many as are still wanted are among those still left (Knuth,
 * The Art of Computer Programming 2, algorithm 3.4.2 S). */
void qmdi_shap_draw(const qmdi_shap *shap, uint64_t stream, size_t first, size_t end, uint64_t *members) {
	const size_t n = shap->n_residues;
	if (first == 0)
		memset(members, 0, n * shap->n_words * sizeof *members);
	for (size_t p = first; p < end; p++) {
		uint64_t next = (uint64_t)p * (n + 1);
		size_t wanted = draw_size(shap, qmdi_random_u32(shap->seed, stream, next++));
		for (size_t r = 0; r < n; r++) {
			const uint64_t random = qmdi_random_u32(shap->seed, stream, next++);
			if ((random * (n - r)) >> 32 >= wanted)
				continue;
			members[r * shap->n_words + p / WORD_BITS] |= UINT64_C(1) << p % WORD_BITS;
			wanted--;
		}
	}
}

int qmdi_shap_has(const qmdi_shap *shap, const uint64_t *members, size_t coalition, size_t residue) {
	if (coalition < 2)
		return coalition == 0;
	const size_t p = coalition / 2 - 1;
	const int is_first = members[residue * shap->n_words + p / WORD_BITS] >> p % WORD_BITS & 1;
	return is_first != (int)(coalition % 2);
}

/* ---- Least squares ---- */

/* In how many of the first n_words * WORD_BITS pairs are both in the first coalition? */
static size_t count_pairs(const qmdi_shap *shap, const uint64_t *members, size_t n_words, size_t a, size_t b) {
	const uint64_t *of_a = members + a * shap->n_words, *of_b = members + b * shap->n_words;
	size_t n = 0;
	for (size_t w = 0; w < n_words; w++)
		n += (size_t)__builtin_popcountll(of_a[w] & of_b[w]);
	return n;
}

/* matrix[a][b], b <= a: in how many coalitions are both? It is exact. */
static void count_coalitions(const qmdi_shap *shap, const uint64_t *members, size_t n_pairs, qmdi_shap_work *work) {
	const size_t n = shap->n_residues, n_words = words_of(n_pairs);
	double *own = work->spare; /* in how many pairs is a residue in the first coalition? */
	for (size_t a = 0; a < n; a++) {
		own[a] = (double)count_pairs(shap, members, n_words, a, a);
		for (size_t b = 0; b <= a; b++) {
			const double both = (double)count_pairs(shap, members, n_words, a, b);
			work->matrix[a * n + b] = both + ((double)n_pairs + both - own[a] - own[b]);
		}
	}
}

/* sums[r]: of values[coalition] - values[1] over the coalitions that have residue r. */
static void sum_values(const qmdi_shap *shap, const uint64_t *members, size_t n_pairs, const double *values,
					   double *sums) {
	for (size_t r = 0; r < shap->n_residues; r++) {
		sums[r] = 0;
		for (size_t c = 2; c < qmdi_shap_n_coalitions(n_pairs); c++)
			if (qmdi_shap_has(shap, members, c, r))
				sums[r] += values[c] - values[1];
	}
}

qmd_status qmdi_shap_solve(const qmdi_shap *shap, const uint64_t *members, size_t n_pairs, const double *values,
						   qmdi_shap_work *work, double *scores) {
	const size_t n = shap->n_residues;
	double sum = 0, sum_ones = 0;
	count_coalitions(shap, members, n_pairs, work);
	sum_values(shap, members, n_pairs, values, scores);
	for (size_t r = 0; r < n; r++)
		work->ones[r] = 1;
	const size_t n_determined = qmdi_cholesky_factorize(work->matrix, n, SMALLEST_PIVOT);
	if (n_determined < n)
		return qmdi_fail(QMD_ERROR_STATE,
						 "qmd_explain: the samples do not determine the score of residue %zu: take more", n_determined);
	qmdi_cholesky_solve(work->matrix, n, scores);
	qmdi_cholesky_solve(work->matrix, n, work->ones);
	for (size_t r = 0; r < n; r++) {
		sum += scores[r];
		sum_ones += work->ones[r];
	}
	/* A Lagrange multiplier makes them add up. */
	const double multiplier = (sum - (values[0] - values[1])) / sum_ones;
	for (size_t r = 0; r < n; r++)
		scores[r] -= multiplier * work->ones[r];
	return QMD_OK;
}

/* ---- How well it fits ---- */

/* What additive scores say of a coalition. */
static double predict(const qmdi_shap *shap, const uint64_t *members, size_t coalition, const double *values,
					  const double *scores) {
	double sum = values[1];
	for (size_t r = 0; r < shap->n_residues; r++)
		if (qmdi_shap_has(shap, members, coalition, r))
			sum += scores[r];
	return sum;
}

/*
 * The two values of a pair and their predictions each add up to numbers that no score changes, so that a pair has one
 * error, of the difference of its values, and that difference is what scores are fitted to: with a design of 1 and -1,
 * of whose sum of squares the matrix of coalitions is half, up to what the fixed sum of scores projects out.
 */
void qmdi_shap_assess(const qmdi_shap *shap, const uint64_t *members, size_t n_pairs, const double *values,
					  qmdi_shap_work *work, const double *scores, double *r2, double *errors) {
	const size_t n = shap->n_residues, n_values = 2 * n_pairs;
	double mean = 0, total = 0, residual = 0, of_pairs = 0, sum_ones = 0;
	for (size_t c = 2; c < n_values + 2; c++)
		mean += values[c] / (double)n_values;
	for (size_t c = 2; c < n_values + 2; c += 2) {
		const double first = values[c] - predict(shap, members, c, values, scores);
		const double second = values[c + 1] - predict(shap, members, c + 1, values, scores);
		residual += first * first + second * second;
		of_pairs += (first - second) * (first - second);
		total += (values[c] - mean) * (values[c] - mean) + (values[c + 1] - mean) * (values[c + 1] - mean);
	}
	*r2 = total > 0 ? 1 - residual / total : NAN;
	const double n_free = (double)n_pairs - (double)(n - 1);
	const double variance = n_free > 0 ? of_pairs / n_free : INFINITY;
	qmdi_cholesky_inverse_diagonal(work->matrix, n, work->spare, errors);
	for (size_t r = 0; r < n; r++)
		sum_ones += work->ones[r];
	for (size_t r = 0; r < n; r++)
		errors[r] = sqrt(0.5 * variance * fmax(errors[r] - work->ones[r] * work->ones[r] / sum_ones, 0));
}
