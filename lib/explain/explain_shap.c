/* Random coalitions of residues: shap.h says which, and what their margins make of it. */
#include <stdlib.h>

#include "base/memory.h"
#include "explain/explain_internal.h"
#include "explain/shap.h"

#define MAX_SAMPLES ((size_t)1 << 24)
#define SAMPLES_A_RESIDUE 4 /* at least */
#define FIRST_SAMPLES 2048  /* and 2 a residue, as the shap package takes: the first round where rounds are taken */
#define MAX_DOUBLINGS 5
#define N_TOP 20
#define N_MAY_LEAVE 1 /* of the top, in the round that settles it */

typedef struct shap_settings {
	qmdi_shap shap;
	size_t first_pairs; /* of the first round */
} shap_settings;

/* Of one worker, for the coalitions of a frame. */
typedef struct shap_worker {
	double *margins;   /* [coalition] */
	uint64_t *members; /* of qmdi_shap_draw() */
	qmdi_shap_work work;
	uint32_t *order;        /* [n_residues]: highest first */
	unsigned char *was_top; /* [n_residues]: in the round before */
} shap_worker;

static qmd_status create(qmdi_explain_job *job, const qmd_explain_options *options) {
	if (job->n_residues < 2)
		return qmdi_fail(QMD_ERROR_STATE, "qmd_explain: SHAP shares out among residues, and there is only %zu",
						 job->n_residues);
	const size_t least = SAMPLES_A_RESIDUE * job->n_residues;
	const size_t n = options->n_samples ? options->n_samples : 2 * job->n_residues + FIRST_SAMPLES;
	if (options->n_samples && (n < least || n > MAX_SAMPLES))
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: n_samples is %zu, SHAP of %zu residues takes %zu to %zu", n,
						 job->n_residues, least, MAX_SAMPLES);
	shap_settings *settings = job->state = qmdi_zeroed(1, sizeof *settings);
	if (!settings)
		return QMD_ERROR_MEMORY;
	settings->first_pairs = ((n < least ? least : n) + 1) / 2;
	const size_t n_pairs = options->n_samples ? settings->first_pairs : settings->first_pairs << MAX_DOUBLINGS;
	return qmdi_shap_create(&settings->shap, job->n_residues, n_pairs, options->seed);
}

static void destroy(qmdi_explain_job *job) {
	shap_settings *settings = job->state;
	if (settings)
		qmdi_shap_release(&settings->shap);
	qmdi_release(settings);
}

static qmd_status create_worker(const qmdi_explain_job *job, qmdi_explain_worker *worker) {
	const size_t n = job->n_residues;
	const qmdi_shap *shap = &((const shap_settings *)job->state)->shap;
	shap_worker *own = worker->state = qmdi_zeroed(1, sizeof *own);
	if (!own)
		return QMD_ERROR_MEMORY;
	own->margins = qmdi_array(qmdi_shap_n_coalitions(shap->n_pairs), sizeof *own->margins);
	own->members = qmdi_array(n * shap->n_words, sizeof *own->members);
	own->work.matrix = n > SIZE_MAX / n ? NULL : qmdi_array(n * n, sizeof(double));
	own->work.ones = qmdi_array(n, sizeof(double));
	own->work.spare = qmdi_array(n, sizeof(double));
	own->order = qmdi_array(n, sizeof *own->order);
	own->was_top = qmdi_array(n, sizeof *own->was_top);
	return own->margins && own->members && own->work.matrix && own->work.ones && own->work.spare && own->order &&
				   own->was_top
			   ? QMD_OK
			   : QMD_ERROR_MEMORY;
}

static void destroy_worker(qmdi_explain_worker *worker) {
	shap_worker *own = worker->state;
	if (!own)
		return;
	qmdi_release(own->margins);
	qmdi_release(own->members);
	qmdi_release(own->work.matrix);
	qmdi_release(own->work.ones);
	qmdi_release(own->work.spare);
	qmdi_release(own->order);
	qmdi_release(own->was_top);
	qmdi_release(own);
}

static void draw(const qmdi_explain_job *job, const qmdi_explain_worker *worker, size_t variant, unsigned char *image) {
	const qmdi_shap *shap = &((const shap_settings *)job->state)->shap;
	const shap_worker *own = worker->state;
	for (size_t r = 0; r < job->n_residues; r++)
		if (!qmdi_shap_has(shap, own->members, variant, r))
			qmdi_explain_leave_out(job, worker, r, image);
}

/* ---- Rounds ---- */

static int compare_scores(const void *left, const void *right, void *user) {
	const double *scores = user;
	const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
	if (scores[a] != scores[b])
		return scores[a] < scores[b] ? 1 : -1;
	return a < b ? -1 : 1;
}

/* Mark the highest residues; returns how many of those marked before are no longer. */
static size_t update_top(const qmdi_explain_job *job, shap_worker *own, double *scores) {
	const size_t n = job->n_residues, n_top = n < 2 * N_TOP ? n / 2 : N_TOP;
	size_t n_left = 0;
	for (size_t r = 0; r < n; r++)
		own->order[r] = (uint32_t)r;
	qsort_r(own->order, n, sizeof *own->order, compare_scores, scores);
	for (size_t i = n_top; i < n; i++)
		n_left += own->was_top[own->order[i]];
	for (size_t i = 0; i < n; i++)
		own->was_top[own->order[i]] = i < n_top;
	return n_left;
}

static qmd_status score(const qmdi_explain_job *job, size_t frame, qmdi_explain_worker *worker, double *scores) {
	const shap_settings *settings = job->state;
	const qmdi_shap *shap = &settings->shap;
	shap_worker *own = worker->state;
	size_t n_pairs = 0, n_left = job->n_residues;
	for (size_t next = settings->first_pairs; next <= shap->n_pairs && n_left > N_MAY_LEAVE; next *= 2) {
		const size_t n_before = n_pairs ? qmdi_shap_n_coalitions(n_pairs) : 0;
		qmdi_shap_draw(shap, job->frames[frame], n_pairs, next, own->members);
		QMDI_TRY(qmdi_explain_values(job, frame, worker, n_before, qmdi_shap_n_coalitions(next), draw,
									 qmdi_explain_margin, own->margins));
		QMDI_TRY(qmdi_shap_solve(shap, own->members, next, own->margins, &own->work, scores));
		const size_t n_changed = update_top(job, own, scores);
		n_left = n_pairs ? n_changed : n_left; /* the first round has none before it */
		n_pairs = next;
	}
	worker->fit->n_samples = (uint32_t)(2 * n_pairs);
	worker->fit->is_settled = n_left <= N_MAY_LEAVE;
	qmdi_shap_assess(shap, own->members, n_pairs, own->margins, &own->work, scores, &worker->fit->r2, worker->errors);
	return QMD_OK;
}

const qmdi_explain_method qmdi_explain_shap = {.id = QMD_EXPLAIN_SHAP,
											   .create = create,
											   .destroy = destroy,
											   .create_worker = create_worker,
											   .destroy_worker = destroy_worker,
											   .score = score};
