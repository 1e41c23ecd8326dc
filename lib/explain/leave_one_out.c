/* How much the margin falls without a residue, one residue at a time. */
#include "base/memory.h"
#include "explain/explain_internal.h"

static qmd_status create_worker(const qmdi_explain_job *job, qmdi_explain_worker *worker) {
	worker->state = qmdi_array(job->n_residues + 1, sizeof(double)); /* margins */
	return worker->state ? QMD_OK : QMD_ERROR_MEMORY;
}

static void destroy_worker(qmdi_explain_worker *worker) {
	qmdi_release(worker->state);
}

/* Variant 0 is whole, r + 1 is without residue r. */
static void draw(const qmdi_explain_job *job, const qmdi_explain_worker *worker, size_t variant, unsigned char *image) {
	(void)worker;
	if (variant > 0)
		qmdi_explain_leave_out(job, variant - 1, image);
}

static qmd_status score(const qmdi_explain_job *job, size_t frame, qmdi_explain_worker *worker, double *scores) {
	double *margins = worker->state;
	QMDI_TRY(qmdi_explain_margins(job, frame, worker, job->n_residues + 1, draw, margins));
	for (size_t r = 0; r < job->n_residues; r++)
		scores[r] = margins[0] - margins[r + 1];
	return QMD_OK;
}

const qmdi_explain_method qmdi_explain_leave_one_out = {
	.id = QMD_EXPLAIN_LEAVE_ONE_OUT, .create_worker = create_worker, .destroy_worker = destroy_worker, .score = score};
