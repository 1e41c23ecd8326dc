/*
 * ICNNMD's way: LIME over superpixels of a frame's image, on the probability of the frame's own class. An atom counts
 * where the weight of its superpixel is positive, and a residue's score is the share of its atoms that count.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "explain/explain_internal.h"
#include "explain/lime.h"
#include "explain/slic.h"

#define CHANNELS 3
#define DEFAULT_SAMPLES 1000
#define MIN_SAMPLES 2
#define MAX_SAMPLES ((size_t)1 << 24)

typedef struct lime_settings {
	size_t n_samples;
	uint64_t seed;
	int as_published;
} lime_settings;

/* Of one worker, for one frame. */
typedef struct lime_worker {
	uint32_t *labels; /* [pixel]: its segment */
	size_t n_segments;
	uint64_t *masks;       /* [sample][words of 64 segments] */
	double *probabilities; /* [sample] */
	double *weights;       /* [segment] */
	unsigned *n_credits;   /* [residue] */
} lime_worker;

static size_t count_pixels(const qmdi_explain_job *job) {
	return job->subject.image_size / CHANNELS;
}

static qmd_status create(qmdi_explain_job *job, const qmd_explain_options *options) {
	const size_t n = options->n_samples ? options->n_samples : DEFAULT_SAMPLES;
	if (n < MIN_SAMPLES || n > MAX_SAMPLES)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: n_samples is %zu, LIME takes %d to %zu", n, MIN_SAMPLES,
						 MAX_SAMPLES);
	if (options->as_published && job->subject.engine)
		return qmdi_fail(QMD_ERROR_ARGUMENT,
						 "qmd_explain: as_published explains images on another scale than the network was trained on, "
						 "which an engine's integers do not hold: give a model in FP32 (qmd_explain_model())");
	lime_settings *settings = job->state = qmdi_zeroed(1, sizeof *settings);
	if (!settings)
		return QMD_ERROR_MEMORY;
	*settings = (lime_settings){.n_samples = n, .seed = options->seed, .as_published = options->as_published != 0};
	job->subject.reads_bytes = settings->as_published;
	return QMD_OK;
}

static void destroy(qmdi_explain_job *job) {
	qmdi_release(job->state);
}

static qmd_status create_worker(const qmdi_explain_job *job, qmdi_explain_worker *worker) {
	const lime_settings *settings = job->state;
	const size_t n_pixels = count_pixels(job); /* and no more segments */
	lime_worker *own = worker->state = qmdi_zeroed(1, sizeof *own);
	if (!own)
		return QMD_ERROR_MEMORY;
	own->labels = qmdi_array(n_pixels, sizeof *own->labels);
	own->probabilities = qmdi_array(settings->n_samples, sizeof *own->probabilities);
	own->weights = qmdi_array(n_pixels, sizeof *own->weights);
	own->n_credits = qmdi_array(job->n_residues, sizeof *own->n_credits);
	return own->labels && own->probabilities && own->weights && own->n_credits ? QMD_OK : QMD_ERROR_MEMORY;
}

static void destroy_worker(qmdi_explain_worker *worker) {
	lime_worker *own = worker->state;
	if (!own)
		return;
	qmdi_release(own->labels);
	qmdi_release(own->masks);
	qmdi_release(own->probabilities);
	qmdi_release(own->weights);
	qmdi_release(own->n_credits);
	qmdi_release(own);
}

/* Hidden pixels are zero, as in ICNNMD: black, or no displacement. */
static void draw(const qmdi_explain_job *job, const qmdi_explain_worker *worker, size_t variant, unsigned char *image) {
	const lime_worker *own = worker->state;
	const uint64_t *mask = own->masks + variant * qmdi_lime_n_words(own->n_segments);
	for (size_t p = 0; p < count_pixels(job); p++)
		if (!qmdi_lime_shows(mask, own->labels[p]))
			memset(image + p * CHANNELS, 0, CHANNELS);
}

static void draw_masks(const qmdi_explain_job *job, size_t frame, lime_worker *own) {
	const lime_settings *settings = job->state;
	qmdi_lime_draw(settings->seed, job->frames[frame], settings->n_samples, own->n_segments, own->masks);
}

static qmd_status fit_frame(const qmdi_explain_job *job, size_t frame, qmdi_explain_worker *worker) {
	const lime_settings *settings = job->state;
	lime_worker *own = worker->state;
	const unsigned char *image = job->images + frame * job->subject.image_size;
	QMDI_TRY(qmdi_slic(image, (int32_t)qmd_pixels_type(job->subject.pixels), qmd_pixels_side(job->subject.pixels),
					   own->labels, &own->n_segments));
	qmdi_release(own->masks);
	own->masks = qmdi_array(settings->n_samples, qmdi_lime_n_words(own->n_segments) * sizeof *own->masks);
	if (!own->masks)
		return QMD_ERROR_MEMORY;
	draw_masks(job, frame, own);
	QMDI_TRY(qmdi_explain_values(job, frame, worker, 0, settings->n_samples, draw, qmdi_explain_probability,
								 own->probabilities));
	qmdi_lime_fit fit;
	QMDI_TRY(qmdi_lime_solve(own->masks, own->probabilities, settings->n_samples, own->n_segments, own->weights, &fit));
	worker->fit->n_samples = (uint32_t)settings->n_samples;
	worker->fit->r2 = fit.r2;
	return QMD_OK;
}

/* Share out the atoms that count. As published, each stands with the atom before it, and so the first of all nowhere;
 * the residue of the last, which is complete at no other's beginning, gets no score at all. */
static void score_residues(const qmdi_explain_job *job, const lime_worker *own, int as_published, double *scores) {
	memset(own->n_credits, 0, job->n_residues * sizeof *own->n_credits);
	memset(scores, 0, job->n_residues * sizeof *scores);
	for (size_t i = as_published ? 1 : 0; i < job->n_atoms; i++) {
		const uint32_t residue = job->residue_of_atom[as_published ? i - 1 : i];
		own->n_credits[residue]++;
		scores[residue] += own->weights[own->labels[i]] > 0;
	}
	for (size_t r = 0; r < job->n_residues; r++)
		scores[r] /= own->n_credits[r];
	if (as_published)
		scores[job->residue_of_atom[job->n_atoms - 1]] = NAN;
}

static qmd_status score(const qmdi_explain_job *job, size_t frame, qmdi_explain_worker *worker, double *scores) {
	const lime_settings *settings = job->state;
	QMDI_TRY(fit_frame(job, frame, worker));
	score_residues(job, worker->state, settings->as_published, scores);
	return QMD_OK;
}

const qmdi_explain_method qmdi_explain_lime = {.id = QMD_EXPLAIN_SLIC_LIME,
											   .create = create,
											   .destroy = destroy,
											   .create_worker = create_worker,
											   .destroy_worker = destroy_worker,
											   .score = score};
