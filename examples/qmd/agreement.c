#include "agreement.h"

#include <math.h>
#include <stdlib.h>

typedef struct scored {
	double score;
	size_t index;
} scored;

static int compare_scored(const void *left, const void *right) {
	const scored *a = left, *b = right;
	if (a->score < b->score || a->score > b->score)
		return a->score < b->score ? 1 : -1;
	return a->index < b->index ? -1 : 1;
}

/* From the highest to the lowest; NULL if memory runs out. */
static scored *sort_scores(const double *scores, size_t n) {
	scored *sorted = calloc(n + 1, sizeof *sorted);
	for (size_t i = 0; i < n && sorted; i++)
		sorted[i] = (scored){scores[i], i};
	if (sorted)
		qsort(sorted, n, sizeof *sorted, compare_scored);
	return sorted;
}

/* ---- Ranks ---- */

/* ranks[i] counts from 1; ties share the mean of theirs. */
static int rank_scores(const double *scores, size_t n, double *ranks) {
	scored *sorted = sort_scores(scores, n);
	if (!sorted)
		return 0;
	for (size_t first = 0; first < n;) {
		size_t end = first;
		while (end < n && sorted[end].score == sorted[first].score)
			end++;
		for (size_t i = first; i < end; i++)
			ranks[sorted[i].index] = 0.5 * (double)(first + 1 + end);
		first = end;
	}
	free(sorted);
	return 1;
}

static double correlate(const double *a, const double *b, size_t n) {
	const double mean = 0.5 * (double)(n + 1); /* of ranks */
	double aa = 0, bb = 0, ab = 0;
	for (size_t i = 0; i < n; i++) {
		aa += (a[i] - mean) * (a[i] - mean);
		bb += (b[i] - mean) * (b[i] - mean);
		ab += (a[i] - mean) * (b[i] - mean);
	}
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : NAN;
}

double agreement_spearman(const double *a, const double *b, size_t n) {
	double *ranks = calloc(2 * n + 1, sizeof *ranks), result = NAN;
	if (ranks && rank_scores(a, n, ranks) && rank_scores(b, n, ranks + n))
		result = correlate(ranks, ranks + n, n);
	free(ranks);
	return result;
}

/* ---- The highest ---- */

double agreement_top(const double *a, const double *b, size_t n, size_t n_top) {
	scored *of_a = sort_scores(a, n), *of_b = sort_scores(b, n);
	size_t n_shared = 0;
	n_top = n_top < n ? n_top : n;
	for (size_t i = 0; i < n_top && of_a && of_b; i++)
		for (size_t j = 0; j < n_top; j++)
			n_shared += of_a[i].index == of_b[j].index;
	const int is_known = of_a && of_b && n_top > 0;
	free(of_a);
	free(of_b);
	return is_known ? (double)n_shared / (double)n_top : NAN;
}

double agreement_top_of_pairs(const double *scores, size_t n_rows, size_t n, size_t n_top) {
	double sum = 0;
	size_t n_pairs = 0;
	for (size_t i = 0; i < n_rows; i++)
		for (size_t j = 0; j < i; j++, n_pairs++)
			sum += agreement_top(scores + i * n, scores + j * n, n, n_top);
	return n_pairs ? sum / (double)n_pairs : NAN;
}
