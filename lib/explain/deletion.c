/* The margin as residues are left out one after another, each beside those before it. */
#include "base/memory.h"
#include "explain/explain_internal.h"

/* A method whose first n_steps + 1 scores are margins. */
typedef struct deletion_method {
	qmdi_explain_method method; /* first, so that a job's method leads here */
	const uint32_t *order;
	size_t n_steps;
} deletion_method;

static const deletion_method *own_method(const qmdi_explain_job *job) {
	return (const deletion_method *)job->method;
}

static void draw(const qmdi_explain_job *job, const qmdi_explain_worker *worker, size_t variant, unsigned char *image) {
	const deletion_method *own = own_method(job);
	for (size_t i = 0; i < variant * job->n_residues / own->n_steps; i++)
		qmdi_explain_leave_out(job, worker, own->order[i], image);
}

static qmd_status score(const qmdi_explain_job *job, size_t frame, qmdi_explain_worker *worker, double *scores) {
	return qmdi_explain_values(job, frame, worker, 0, own_method(job)->n_steps + 1, draw, qmdi_explain_margin, scores);
}

static qmd_status check_order(const qmd_dataset *dataset, const uint32_t *order) {
	const size_t n = qmd_dataset_n_residues(dataset);
	unsigned char *is_there = qmdi_zeroed(n, 1);
	if (!is_there)
		return QMD_ERROR_MEMORY;
	qmd_status status = QMD_OK;
	for (size_t i = 0; i < n && status == QMD_OK; i++)
		if (order[i] >= n || is_there[order[i]]++)
			status = qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain_deletion: order[%zu] is %u, which is %s", i, order[i],
							   order[i] < n ? "there twice" : "no residue");
	qmdi_release(is_there);
	return status;
}

qmd_status qmd_explain_deletion(const qmd_engine *engine, qmd_dataset *dataset, const uint32_t *frames, size_t n_frames,
								const uint32_t *order, size_t n_steps, const qmd_explain_options *options,
								double *margins) {
	QMDI_REQUIRE(engine);
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(frames);
	QMDI_REQUIRE(order);
	QMDI_REQUIRE(margins);
	if (n_steps == 0 || n_steps > qmd_dataset_n_residues(dataset))
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain_deletion: n_steps is %zu, expected 1 to %zu", n_steps,
						 qmd_dataset_n_residues(dataset));
	QMDI_TRY(check_order(dataset, order));
	const deletion_method method = {.method = {.score = score}, .order = order, .n_steps = n_steps};
	qmdi_explain_job job = {.method = &method.method, .n_more_scores = 1};
	QMDI_TRY(qmdi_subject_of_engine(engine, &job.subject));
	qmd_explanation *explanation = NULL;
	const qmd_status status = qmdi_explain_run(&job, dataset, frames, n_frames, options, &explanation);
	for (size_t i = 0; status == QMD_OK && i <= n_steps; i++)
		margins[i] = explanation->residues[i].score;
	qmd_explanation_free(explanation);
	return status;
}
