/* Random coalitions of residues: shap.h says which, and what their margins make of it. */
#include "base/memory.h"
#include "explain/explain_internal.h"
#include "explain/shap.h"

#define MAX_SAMPLES ((size_t)1 << 24)
#define SAMPLES_A_RESIDUE 4 /* at least; default: 2 a residue and 2048 more, as the shap package takes */

/* Of one worker, for the coalitions of a frame. */
typedef struct shap_worker {
	double *margins;       /* [coalition] */
	uint64_t *members;     /* of qmdi_shap_draw() */
	double *matrix, *work; /* of qmdi_shap_solve() */
} shap_worker;

static qmd_status create(qmdi_explain_job *job, const qmd_explain_options *options) {
	if (job->n_residues < 2)
		return qmdi_fail(QMD_ERROR_STATE, "qmd_explain: SHAP shares out among residues, and there is only %zu",
						 job->n_residues);
	const size_t least = SAMPLES_A_RESIDUE * job->n_residues;
	const size_t n = options->n_samples ? options->n_samples : 2 * job->n_residues + 2048;
	if (options->n_samples && (n < least || n > MAX_SAMPLES))
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: n_samples is %zu, SHAP of %zu residues takes %zu to %zu", n,
						 job->n_residues, least, MAX_SAMPLES);
	qmdi_shap *shap = job->state = qmdi_zeroed(1, sizeof *shap);
	if (!shap)
		return QMD_ERROR_MEMORY;
	return qmdi_shap_create(shap, job->n_residues, ((n < least ? least : n) + 1) / 2, options->seed);
}

static void destroy(qmdi_explain_job *job) {
	if (job->state)
		qmdi_shap_release(job->state);
	qmdi_release(job->state);
}

static qmd_status create_worker(const qmdi_explain_job *job, qmdi_explain_worker *worker) {
	const size_t n = job->n_residues;
	const qmdi_shap *shap = job->state;
	shap_worker *own = worker->state = qmdi_zeroed(1, sizeof *own);
	if (!own)
		return QMD_ERROR_MEMORY;
	own->margins = qmdi_array(qmdi_shap_n_coalitions(shap), sizeof *own->margins);
	own->members = qmdi_array(n * shap->n_words, sizeof *own->members);
	own->matrix = n > SIZE_MAX / n ? NULL : qmdi_array(n * n, sizeof *own->matrix);
	own->work = qmdi_array(2 * n, sizeof *own->work);
	return own->margins && own->members && own->matrix && own->work ? QMD_OK : QMD_ERROR_MEMORY;
}

static void destroy_worker(qmdi_explain_worker *worker) {
	shap_worker *own = worker->state;
	if (!own)
		return;
	qmdi_release(own->margins);
	qmdi_release(own->members);
	qmdi_release(own->matrix);
	qmdi_release(own->work);
	qmdi_release(own);
}

static void draw(const qmdi_explain_job *job, const qmdi_explain_worker *worker, size_t variant, unsigned char *image) {
	const shap_worker *own = worker->state;
	for (size_t r = 0; r < job->n_residues; r++)
		if (!qmdi_shap_has(job->state, own->members, variant, r))
			qmdi_explain_leave_out(job, r, image);
}

static qmd_status score(const qmdi_explain_job *job, size_t frame, qmdi_explain_worker *worker, double *scores) {
	const qmdi_shap *shap = job->state;
	shap_worker *own = worker->state;
	qmdi_shap_draw(shap, job->frames[frame], own->members);
	QMDI_TRY(
		qmdi_explain_values(job, frame, worker, qmdi_shap_n_coalitions(shap), draw, qmdi_explain_margin, own->margins));
	return qmdi_shap_solve(shap, own->members, own->margins, own->matrix, own->work, scores);
}

const qmdi_explain_method qmdi_explain_shap = {.id = QMD_EXPLAIN_SHAP,
											   .create = create,
											   .destroy = destroy,
											   .create_worker = create_worker,
											   .destroy_worker = destroy_worker,
											   .score = score};
