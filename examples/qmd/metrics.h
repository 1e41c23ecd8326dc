/* How good a classifier is. Scores are [n][n_classes]; the largest of a row is the answer, the first among equals. */
#ifndef QMD_METRICS_H
#define QMD_METRICS_H

#include <stddef.h>
#include <stdint.h>

/* Share of right answers; NaN for n = 0. */
double metrics_accuracy(const double *scores, const uint32_t *labels, size_t n, size_t n_classes);

/* Share of equal answers of two classifiers; NaN for n = 0. */
double metrics_agreement(const double *a, const double *b, size_t n, size_t n_classes);

/*
 * Area under the ROC curve: the chance that a frame of the class has a higher score than one of another class, ties
 * counting half (Mann and Whitney 1947). Scores are taken as logits: a frame is ranked by the log-odds of the class,
 * score - log(sum of exp(other scores)). With more than two classes the mean over the classes, one against the rest.
 * NaN where no class has frames on both sides; -1 if memory runs out.
 */
double metrics_auc(const double *scores, const uint32_t *labels, size_t n, size_t n_classes);

/* The q-quantile (0 to 1) of values, by linear interpolation; sorts them. NaN for n = 0. */
double metrics_quantile(double *values, size_t n, double q);

/* NaN for n = 0. */
double metrics_mean(const double *values, size_t n);

/* The ROC curve of one class against the rest, by the log-odds, in room for n + 1 points; returns their number, 0 where
 * there is none or memory has run out. */
size_t metrics_roc(const double *scores, const uint32_t *labels, size_t n, size_t n_classes, size_t positive,
				   double *false_rates, double *true_rates);

/* The precision-recall curve of one class against the rest, by the log-odds, as steps in room for 2n points: the
 * precision at each threshold holds from the recall before it to its own, so that the area below is the average
 * precision. Returns their number, 0 where there is none or memory has run out. */
size_t metrics_precision_recall(const double *scores, const uint32_t *labels, size_t n, size_t n_classes,
								size_t positive, double *recalls, double *precisions);

/* Add to counts[true class][answer]. */
void metrics_confusion(const double *scores, const uint32_t *labels, size_t n, size_t n_classes, size_t *counts);

#endif
