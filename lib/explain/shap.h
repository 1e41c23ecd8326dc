/*
 * KernelSHAP (Lundberg and Lee, NIPS 2017): Shapley values by least squares over random coalitions of residues.
 *
 * Coalitions come in pairs, one and its complement (Covert and Lee, AISTATS 2021). Their sizes are drawn as the kernel
 * weighs them, so the squares themselves have equal weights. A coalition is a pure function of seed, stream and pair.
 */
#ifndef QMD_LIB_SHAP_H
#define QMD_LIB_SHAP_H

#include <qmd/base.h>

typedef struct qmdi_shap {
	uint64_t seed;
	size_t n_residues; /* at least 2 */
	size_t n_pairs;    /* that can be drawn; at least 1 */
	size_t n_words;    /* of 64 pairs */
	double *shares;    /* [n_residues - 1]: share of coalitions of up to size i + 1 */
} qmdi_shap;

/* One coalition after another: 0 is everyone, 1 is no one, 2 + 2p and 3 + 2p are pair p. So many have n_pairs pairs. */
size_t qmdi_shap_n_coalitions(size_t n_pairs);

qmd_status qmdi_shap_create(qmdi_shap *shap, size_t n_residues, size_t n_pairs, uint64_t seed);
void qmdi_shap_release(qmdi_shap *shap);

/* Draw the first coalition of pairs [first, end): members[residue][word], bit p % 64 of word p / 64 is pair p. With
 * first = 0 all others are cleared; those before `first` must have been drawn. */
void qmdi_shap_draw(const qmdi_shap *shap, uint64_t stream, size_t first, size_t end, uint64_t *members);

/* Is a residue in a coalition? */
int qmdi_shap_has(const qmdi_shap *shap, const uint64_t *members, size_t coalition, size_t residue);

/* Room for what is solved, and after it what the factorization left: [n_residues][n_residues], and [n_residues] each.
 */
typedef struct qmdi_shap_work {
	double *matrix, *ones, *spare;
} qmdi_shap_work;

/*
 * The scores that fit the values of the coalitions of the first n_pairs pairs, all that have been drawn, best in the
 * sense of least squares, and add up to values[0] - values[1].
 *
 * QMD_ERROR_STATE if the coalitions do not determine the scores
 */
qmd_status qmdi_shap_solve(const qmdi_shap *shap, const uint64_t *members, size_t n_pairs, const double *values,
						   qmdi_shap_work *work, double *scores);

/*
 * How well they fit, after qmdi_shap_solve() of the same: the share of the values' variance that additive scores
 * explain, NaN where values do not vary, and each score's standard error, which sampling and what is not additive
 * leave.
 */
void qmdi_shap_assess(const qmdi_shap *shap, const uint64_t *members, size_t n_pairs, const double *values,
					  qmdi_shap_work *work, const double *scores, double *r2, double *errors);

#endif
