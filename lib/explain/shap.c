#include "explain/shap.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"
#include "explain/cholesky.h"

#define WORD_BITS 64
#define SMALLEST_PIVOT 1e-9 /* of the matrix, whose numbers are counts */

qmd_status qmdi_shap_create(qmdi_shap *shap, size_t n_residues, size_t n_pairs, uint64_t seed) {
	*shap = (qmdi_shap){
		.seed = seed, .n_residues = n_residues, .n_pairs = n_pairs, .n_words = (n_pairs + WORD_BITS - 1) / WORD_BITS};
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

size_t qmdi_shap_n_coalitions(const qmdi_shap *shap) {
	return 2 + 2 * shap->n_pairs;
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
void qmdi_shap_draw(const qmdi_shap *shap, uint64_t stream, uint64_t *members) {
	const size_t n = shap->n_residues;
	memset(members, 0, n * shap->n_words * sizeof *members);
	for (size_t p = 0; p < shap->n_pairs; p++) {
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

static size_t count_pairs(const qmdi_shap *shap, const uint64_t *members, size_t a, size_t b) {
	const uint64_t *of_a = members + a * shap->n_words, *of_b = members + b * shap->n_words;
	size_t n = 0;
	for (size_t w = 0; w < shap->n_words; w++)
		n += (size_t)__builtin_popcountll(of_a[w] & of_b[w]);
	return n;
}

/* matrix[a][b], b <= a: in how many coalitions are both? It is exact. */
static void count_coalitions(const qmdi_shap *shap, const uint64_t *members, double *matrix) {
	const size_t n = shap->n_residues;
	for (size_t a = 0; a < n; a++) {
		const size_t n_a = count_pairs(shap, members, a, a);
		for (size_t b = 0; b <= a; b++) {
			const size_t n_b = count_pairs(shap, members, b, b), n_both = count_pairs(shap, members, a, b);
			matrix[a * n + b] = (double)(n_both + (shap->n_pairs + n_both - n_a - n_b));
		}
	}
}

/* sums[r]: of values[coalition] - values[1] over the coalitions that have residue r. */
static void sum_values(const qmdi_shap *shap, const uint64_t *members, const double *values, double *sums) {
	for (size_t r = 0; r < shap->n_residues; r++) {
		sums[r] = 0;
		for (size_t c = 2; c < qmdi_shap_n_coalitions(shap); c++)
			if (qmdi_shap_has(shap, members, c, r))
				sums[r] += values[c] - values[1];
	}
}

qmd_status qmdi_shap_solve(const qmdi_shap *shap, const uint64_t *members, const double *values, double *matrix,
						   double *work, double *scores) {
	const size_t n = shap->n_residues;
	double *free_scores = work, *ones = work + n, sum = 0, sum_ones = 0;
	count_coalitions(shap, members, matrix);
	sum_values(shap, members, values, free_scores);
	for (size_t r = 0; r < n; r++)
		ones[r] = 1;
	const size_t n_determined = qmdi_cholesky_factorize(matrix, n, SMALLEST_PIVOT);
	if (n_determined < n)
		return qmdi_fail(QMD_ERROR_STATE,
						 "qmd_explain: the samples do not determine the score of residue %zu: take more", n_determined);
	qmdi_cholesky_solve(matrix, n, free_scores);
	qmdi_cholesky_solve(matrix, n, ones);
	for (size_t r = 0; r < n; r++) {
		sum += free_scores[r];
		sum_ones += ones[r];
	}
	/* A Lagrange multiplier makes them add up. */
	const double multiplier = (sum - (values[0] - values[1])) / sum_ones;
	for (size_t r = 0; r < n; r++)
		scores[r] = free_scores[r] - multiplier * ones[r];
	return QMD_OK;
}
