#include "metrics.h"

#include <math.h>
#include <stdlib.h>

static size_t answer(const double *row, size_t n_classes) {
	size_t best = 0;
	for (size_t c = 1; c < n_classes; c++)
		if (row[c] > row[best])
			best = c;
	return best;
}

double metrics_accuracy(const double *scores, const uint32_t *labels, size_t n, size_t n_classes) {
	size_t n_right = 0;
	for (size_t i = 0; i < n; i++)
		n_right += answer(scores + i * n_classes, n_classes) == labels[i];
	return n ? (double)n_right / (double)n : NAN;
}

double metrics_agreement(const double *a, const double *b, size_t n, size_t n_classes) {
	size_t n_equal = 0;
	for (size_t i = 0; i < n; i++)
		n_equal += answer(a + i * n_classes, n_classes) == answer(b + i * n_classes, n_classes);
	return n ? (double)n_equal / (double)n : NAN;
}

typedef struct ranked {
	double score;
	int is_positive;
} ranked;

static int compare_ranked(const void *left, const void *right) {
	const double a = ((const ranked *)left)->score, b = ((const ranked *)right)->score;
	return (a > b) - (a < b);
}

static double log_odds(const double *row, size_t n_classes, size_t own) {
	double largest = -INFINITY, sum = 0;
	for (size_t c = 0; c < n_classes; c++)
		if (c != own && row[c] > largest)
			largest = row[c];
	for (size_t c = 0; c < n_classes; c++)
		if (c != own)
			sum += exp(row[c] - largest);
	return row[own] - largest - log(sum);
}

/* Frames from the lowest score to the highest; NULL if memory runs out. */
static ranked *rank_frames(const double *scores, const uint32_t *labels, size_t n, size_t n_classes, size_t positive,
						   size_t *n_positive) {
	ranked *frames = calloc(n ? n : 1, sizeof *frames);
	*n_positive = 0;
	if (!frames)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		frames[i] = (ranked){log_odds(scores + i * n_classes, n_classes, positive), labels[i] == positive};
		*n_positive += labels[i] == positive;
	}
	qsort(frames, n, sizeof *frames, compare_ranked);
	return frames;
}

/* Sum of the positives' ranks, ties sharing the mean of theirs. */
static double positive_rank_sum(const ranked *frames, size_t n) {
	double sum = 0;
	for (size_t first = 0; first < n;) {
		size_t end = first, n_positive = 0;
		while (end < n && frames[end].score == frames[first].score)
			n_positive += frames[end++].is_positive != 0;
		sum += (double)n_positive * 0.5 * (double)(first + 1 + end);
		first = end;
	}
	return sum;
}

double metrics_auc(const double *scores, const uint32_t *labels, size_t n, size_t n_classes) {
	double sum = 0;
	size_t n_counted = 0;
	/* Of two classes each is the other's rest: one of them says all. */
	for (size_t c = n_classes == 2 ? 1 : 0; c < n_classes; c++) {
		size_t n_positive;
		ranked *frames = rank_frames(scores, labels, n, n_classes, c, &n_positive);
		if (!frames)
			return -1;
		const size_t n_negative = n - n_positive;
		if (n_positive > 0 && n_negative > 0) {
			const double wins = positive_rank_sum(frames, n) - 0.5 * (double)n_positive * (double)(n_positive + 1);
			sum += wins / ((double)n_positive * (double)n_negative);
			n_counted++;
		}
		free(frames);
	}
	return n_counted ? sum / (double)n_counted : NAN;
}

/* Ties are taken together: can a threshold be between the `taken` highest and the rest? */
static int is_threshold(const ranked *frames, size_t n, size_t taken) {
	return taken == n || frames[n - taken - 1].score != frames[n - taken].score;
}

size_t metrics_roc(const double *scores, const uint32_t *labels, size_t n, size_t n_classes, size_t positive,
				   double *false_rates, double *true_rates) {
	size_t n_positive, n_right = 0, n_points = 0;
	ranked *frames = rank_frames(scores, labels, n, n_classes, positive, &n_positive);
	if (frames && n_positive > 0 && n_positive < n) {
		false_rates[n_points] = true_rates[n_points] = 0;
		n_points++;
		for (size_t taken = 1; taken <= n; taken++) {
			n_right += frames[n - taken].is_positive != 0;
			if (!is_threshold(frames, n, taken))
				continue;
			false_rates[n_points] = (double)(taken - n_right) / (double)(n - n_positive);
			true_rates[n_points++] = (double)n_right / (double)n_positive;
		}
	}
	free(frames);
	return n_points;
}

size_t metrics_precision_recall(const double *scores, const uint32_t *labels, size_t n, size_t n_classes,
								size_t positive, double *recalls, double *precisions) {
	size_t n_positive, n_right = 0, n_points = 0;
	ranked *frames = rank_frames(scores, labels, n, n_classes, positive, &n_positive);
	double recall = 0;
	for (size_t taken = 1; frames && n_positive > 0 && taken <= n; taken++) {
		n_right += frames[n - taken].is_positive != 0;
		if (!is_threshold(frames, n, taken))
			continue;
		recalls[n_points] = recall;
		recalls[n_points + 1] = recall = (double)n_right / (double)n_positive;
		precisions[n_points] = precisions[n_points + 1] = (double)n_right / (double)taken;
		n_points += 2;
	}
	free(frames);
	return n_points;
}

void metrics_confusion(const double *scores, const uint32_t *labels, size_t n, size_t n_classes, size_t *counts) {
	for (size_t i = 0; i < n; i++)
		counts[labels[i] * n_classes + answer(scores + i * n_classes, n_classes)]++;
}

static int compare_doubles(const void *left, const void *right) {
	const double a = *(const double *)left, b = *(const double *)right;
	return (a > b) - (a < b);
}

double metrics_quantile(double *values, size_t n, double q) {
	if (n == 0)
		return NAN;
	qsort(values, n, sizeof *values, compare_doubles);
	const double place = q * (double)(n - 1);
	const size_t below = (size_t)place;
	const size_t above = below + 1 < n ? below + 1 : below;
	return values[below] + (place - (double)below) * (values[above] - values[below]);
}

double metrics_mean(const double *values, size_t n) {
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += values[i];
	return sum / (double)n;
}
