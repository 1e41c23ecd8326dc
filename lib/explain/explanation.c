/* What came out: scores of frames, their means over frames, and the ranks of those. */
#include <math.h>
#include <stdlib.h>

#include "base/float_environment.h"
#include "base/memory.h"
#include "explain/explain_internal.h"

qmd_status qmdi_explanation_create(size_t n_residues, size_t n_frames, qmd_explanation **result) {
	qmd_explanation *explanation = qmdi_zeroed(1, sizeof *explanation);
	*result = NULL;
	if (!explanation)
		return QMD_ERROR_MEMORY;
	explanation->n_residues = n_residues;
	explanation->n_frames = n_frames;
	explanation->residues = qmdi_zeroed(n_residues, sizeof *explanation->residues);
	if (n_frames <= SIZE_MAX / n_residues) {
		explanation->frame_scores = qmdi_zeroed(n_frames * n_residues, sizeof *explanation->frame_scores);
		explanation->frame_errors = qmdi_zeroed(n_frames * n_residues, sizeof *explanation->frame_errors);
	}
	explanation->fits = qmdi_array(n_frames, sizeof *explanation->fits);
	for (size_t f = 0; explanation->fits && f < n_frames; f++)
		explanation->fits[f] = (qmd_explain_fit){.struct_size = sizeof(qmd_explain_fit), .r2 = NAN};
	if (!explanation->residues || !explanation->frame_scores || !explanation->frame_errors || !explanation->fits) {
		qmd_explanation_free(explanation);
		return QMD_ERROR_MEMORY;
	}
	*result = explanation;
	return QMD_OK;
}

void qmd_explanation_free(qmd_explanation *explanation) {
	if (!explanation)
		return;
	qmdi_release(explanation->residues);
	qmdi_release(explanation->frame_scores);
	qmdi_release(explanation->frame_errors);
	qmdi_release(explanation->fits);
	qmdi_release(explanation->note);
	qmdi_release(explanation->path);
	qmdi_release(explanation);
}

/* ---- Means ---- */

/* In the order of the frames (Welford 1962). */
static void average(qmd_explanation *explanation, size_t residue) {
	double mean = 0, squares = 0;
	for (size_t f = 0; f < explanation->n_frames; f++) {
		const double score = explanation->frame_scores[f * explanation->n_residues + residue];
		const double step = score - mean;
		mean += step / (double)(f + 1);
		squares += step * (score - mean);
	}
	const double n = (double)explanation->n_frames;
	qmd_residue_score *out = &explanation->residues[residue];
	out->struct_size = sizeof *out;
	out->score = mean;
	out->standard_error = explanation->n_frames > 1 ? sqrt(squares / (n - 1) / n) : explanation->frame_errors[residue];
}

static int compare_scores(const void *left, const void *right) {
	const qmd_residue_score *a = *(const qmd_residue_score *const *)left;
	const qmd_residue_score *b = *(const qmd_residue_score *const *)right;
	if (isnan(a->score) != isnan(b->score))
		return isnan(a->score) ? 1 : -1;
	if (a->score < b->score || a->score > b->score)
		return a->score < b->score ? 1 : -1;
	return a < b ? -1 : 1; /* both in one array, in the order of the molecule */
}

qmd_status qmdi_explanation_finish(qmd_explanation *explanation) {
	qmd_residue_score **order = qmdi_array(explanation->n_residues, sizeof(qmd_residue_score *));
	if (!order)
		return QMD_ERROR_MEMORY;
	qmdi_float_environment environment; /* the host's, where a file is loaded or shards are put together */
	qmdi_float_enter(&environment);
	for (size_t r = 0; r < explanation->n_residues; r++) {
		average(explanation, r);
		order[r] = &explanation->residues[r];
	}
	qmdi_float_leave(&environment);
	qsort(order, explanation->n_residues, sizeof(qmd_residue_score *), compare_scores);
	for (size_t i = 0; i < explanation->n_residues; i++)
		order[i]->rank = (uint32_t)i + 1;
	qmdi_release(order);
	return QMD_OK;
}

/* ---- Reading it ---- */

size_t qmd_explanation_n_residues(const qmd_explanation *explanation) {
	return explanation ? explanation->n_residues : 0;
}

size_t qmd_explanation_n_frames(const qmd_explanation *explanation) {
	return explanation ? explanation->n_frames : 0;
}

qmd_status qmd_explanation_residue(const qmd_explanation *explanation, size_t index, qmd_residue_score *score) {
	QMDI_REQUIRE(explanation);
	QMDI_REQUIRE(score);
	if (index >= explanation->n_residues)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_explanation_residue: index %zu, but there are %zu residues", index,
						 explanation->n_residues);
	return qmdi_struct_give(score, &explanation->residues[index], sizeof *score, sizeof *score, "qmd_residue_score");
}

const double *qmd_explanation_frame_scores(const qmd_explanation *explanation) {
	return explanation ? explanation->frame_scores : NULL;
}

qmd_status qmd_explanation_fit(const qmd_explanation *explanation, size_t index, qmd_explain_fit *fit) {
	QMDI_REQUIRE(explanation);
	QMDI_REQUIRE(fit);
	if (index >= explanation->n_frames)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_explanation_fit: index %zu, but there are %zu frames", index,
						 explanation->n_frames);
	return qmdi_struct_give(fit, &explanation->fits[index], sizeof *fit, sizeof *fit, "qmd_explain_fit");
}

const double *qmd_explanation_frame_errors(const qmd_explanation *explanation) {
	return explanation ? explanation->frame_errors : NULL;
}

qmd_status qmd_explanation_work(const qmd_explanation *explanation, qmd_explain_work *work) {
	QMDI_REQUIRE(explanation);
	QMDI_REQUIRE(work);
	const qmd_explain_work ours = {sizeof ours, 0, explanation->work.n_macs, explanation->work.n_macs_whole};
	return qmdi_struct_give(work, &ours, sizeof ours, sizeof ours, "qmd_explain_work");
}
