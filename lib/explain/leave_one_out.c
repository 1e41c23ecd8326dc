/*
 * How much the margin falls without a residue, one residue at a time. An engine computes again only what the residue's
 * pixels reach; a model computes whole images.
 */
#include <string.h>

#include "base/memory.h"
#include "engine/engine_rerun.h"
#include "explain/explain_internal.h"

typedef struct leave_one_out_worker {
	double *margins;   /* [n_residues + 1] */
	qmdi_rerun *rerun; /* NULL for a model */
} leave_one_out_worker;

static qmd_status create(qmdi_explain_job *job, const qmd_explain_options *options) {
	(void)options;
	if (!job->subject.engine)
		return QMD_OK;
	qmdi_rerun_plan *plan;
	QMDI_TRY(qmdi_rerun_plan_create(job->subject.engine, &plan));
	job->state = plan;
	return QMD_OK;
}

static void destroy(qmdi_explain_job *job) {
	qmdi_rerun_plan_free(job->state);
}

static qmd_status create_worker(const qmdi_explain_job *job, qmdi_explain_worker *worker) {
	leave_one_out_worker *own = worker->state = qmdi_zeroed(1, sizeof *own);
	if (!own)
		return QMD_ERROR_MEMORY;
	own->margins = qmdi_array(job->n_residues + 1, sizeof *own->margins);
	if (!own->margins)
		return QMD_ERROR_MEMORY;
	return job->state ? qmdi_rerun_create(job->state, &own->rerun) : QMD_OK;
}

static void destroy_worker(qmdi_explain_worker *worker) {
	leave_one_out_worker *own = worker->state;
	if (!own)
		return;
	qmdi_rerun_free(own->rerun);
	qmdi_release(own->margins);
	qmdi_release(own);
}

/* Variant 0 is whole, r + 1 is without residue r. */
static void draw(const qmdi_explain_job *job, const qmdi_explain_worker *worker, size_t variant, unsigned char *image) {
	if (variant > 0)
		qmdi_explain_leave_out(job, worker, variant - 1, image);
}

/* As qmdi_explain_values(), in part. */
static void margins_by_rerun(const qmdi_explain_job *job, size_t frame, qmdi_explain_worker *worker) {
	const size_t image_size = job->subject.image_size, n_classes = job->subject.n_classes;
	const size_t own_class = job->classes[frame];
	const unsigned char *whole = job->images + frame * image_size;
	leave_one_out_worker *own = worker->state;
	const uint64_t n_macs_before = qmdi_rerun_macs(own->rerun);
	qmdi_rerun_set(own->rerun, whole, worker->logits);
	own->margins[0] = qmdi_explain_margin(worker->logits, n_classes, own_class);
	for (size_t first = 0; first < job->n_residues; first += QMDI_RERUN_BATCH) {
		const size_t left = job->n_residues - first, n = left < QMDI_RERUN_BATCH ? left : QMDI_RERUN_BATCH;
		qmdi_variant variants[QMDI_RERUN_BATCH];
		for (size_t i = 0; i < n; i++) {
			unsigned char *image = worker->images + i * image_size;
			const qmdi_atom_span span = job->spans[first + i];
			memcpy(image, whole, image_size);
			qmdi_explain_leave_out(job, worker, first + i, image);
			variants[i] = (qmdi_variant){image, span.first, span.end};
		}
		qmdi_rerun_variants(own->rerun, variants, n, worker->logits);
		for (size_t i = 0; i < n; i++)
			own->margins[first + i + 1] = qmdi_explain_margin(worker->logits + i * n_classes, n_classes, own_class);
	}
	worker->work.n_macs += qmdi_rerun_macs(own->rerun) - n_macs_before;
	worker->work.n_macs_whole += (job->n_residues + 1) * job->subject.n_macs;
}

static qmd_status score(const qmdi_explain_job *job, size_t frame, qmdi_explain_worker *worker, double *scores) {
	const leave_one_out_worker *own = worker->state;
	if (own->rerun)
		margins_by_rerun(job, frame, worker);
	else
		QMDI_TRY(
			qmdi_explain_values(job, frame, worker, 0, job->n_residues + 1, draw, qmdi_explain_margin, own->margins));
	for (size_t r = 0; r < job->n_residues; r++)
		scores[r] = own->margins[0] - own->margins[r + 1];
	return QMD_OK;
}

const qmdi_explain_method qmdi_explain_leave_one_out = {.id = QMD_EXPLAIN_LEAVE_ONE_OUT,
														.create = create,
														.destroy = destroy,
														.create_worker = create_worker,
														.destroy_worker = destroy_worker,
														.score = score};
