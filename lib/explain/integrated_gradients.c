/*
 * Integrated gradients (Sundararajan, Taly and Yan 2017): the gradient of the margin by each pixel, averaged over the
 * straight way from the background to the image, times how far the pixel goes. What all pixels add up to is
 * margin(image) - margin(background), as the steps along the way become small.
 *
 * Steps stand in the middle of equal parts. Cutting each part into three keeps the middles that were there, so the
 * number of steps grows by threes until the sum is right, and no gradient is computed twice.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "explain/explain_internal.h"
#include "model/model_internal.h"
#include "train/labelled_images.h"
#include "train/network.h"

#define BATCH QMDI_RUNNER_BATCH
#define FIRST_STEPS 32
#define MOST_STEPS ((size_t)1 << 24)
#define MOST_STEPS_BY_ITSELF (81 * FIRST_STEPS)
/* How far the sum may be from what it should be: a share of that, or, where scores cancel, of their magnitudes. */
#define TOLERANCE 0.01
#define TOLERANCE_OF_MAGNITUDES 0.001

typedef struct gradient_worker {
	qmd_model *model;
	qmdi_network *network;
	float *image, *background; /* as real numbers */
	double *sums;              /* of gradients, by pixel channel */
	float *weights;            /* [BATCH][n_classes] of qmdi_network_backward_input() */
} gradient_worker;

static qmd_status create(qmdi_explain_job *job, const qmd_explain_options *options) {
	if (!job->subject.model)
		return qmdi_fail(QMD_ERROR_ARGUMENT,
						 "qmd_explain: an engine has no gradients to integrate: explain the model in "
						 "FP32 that it was made from, by qmd_explain_model()");
	if (qmd_model_is_quantized(job->subject.model))
		return qmdi_fail(QMD_ERROR_STATE, "qmd_explain: the model is quantized, and its steps have no gradients to "
										  "integrate: explain the model in FP32 that it was made from");
	if (options->n_samples > MOST_STEPS)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: n_samples is %u, integrated gradients take at most %zu",
						 options->n_samples, MOST_STEPS);
	uint32_t *n_steps = job->state = qmdi_array(1, sizeof *n_steps);
	if (!n_steps)
		return QMD_ERROR_MEMORY;
	*n_steps = options->n_samples;
	return QMD_OK;
}

static void destroy(qmdi_explain_job *job) {
	qmdi_release(job->state);
}

static qmd_status create_worker(const qmdi_explain_job *job, qmdi_explain_worker *worker) {
	gradient_worker *own = worker->state = qmdi_zeroed(1, sizeof *own);
	if (!own)
		return QMD_ERROR_MEMORY;
	const size_t size = job->subject.image_size;
	own->image = qmdi_array(size, sizeof *own->image);
	own->background = qmdi_array(size, sizeof *own->background);
	own->sums = qmdi_array(size, sizeof *own->sums);
	own->weights = qmdi_array(BATCH * job->subject.n_classes, sizeof *own->weights);
	if (!own->image || !own->background || !own->sums || !own->weights)
		return QMD_ERROR_MEMORY;
	QMDI_TRY(qmdi_model_copy(job->subject.model, &own->model));
	return qmdi_network_open(own->model, NULL, 1, BATCH, QMDI_BACKWARD_INPUT, &own->network);
}

static void destroy_worker(qmdi_explain_worker *worker) {
	gradient_worker *own = worker->state;
	if (!own)
		return;
	qmdi_network_free(own->network);
	qmd_model_free(own->model);
	qmdi_release(own->image);
	qmdi_release(own->background);
	qmdi_release(own->sums);
	qmdi_release(own->weights);
	qmdi_release(own);
}

/* The margin is one logit less another; which other one may change along the way. */
static void weigh_logits(const float *logits, size_t n_classes, size_t own_class, float *weights) {
	size_t other = own_class == 0 ? 1 : 0;
	for (size_t c = 0; c < n_classes; c++)
		if (c != own_class && logits[c] > logits[other])
			other = c;
	memset(weights, 0, n_classes * sizeof *weights);
	weights[own_class] = 1.0f;
	weights[other] = -1.0f;
}

/* Where a step stands: 0 is the background, 1 the image. */
static void draw_step(const gradient_worker *own, size_t size, double place, float *image) {
	for (size_t i = 0; i < size; i++) {
		const double from = (double)own->background[i], to = (double)own->image[i];
		image[i] = (float)(from + place * (to - from));
	}
}

/* Add the gradients at n places to the sums. */
static qmd_status add_gradients(const qmdi_explain_job *job, size_t own_class, gradient_worker *own,
								const double *places, size_t n) {
	const size_t size = job->subject.image_size, n_classes = job->subject.n_classes;
	float *input = qmdi_network_input(own->network);
	const float *gradients;
	for (size_t i = 0; i < n; i++)
		draw_step(own, size, places[i], input + i * size);
	QMDI_TRY(qmdi_network_forward(own->network, QMDI_INFERENCE, 0, 0));
	const float *logits = qmdi_network_logits(own->network);
	for (size_t i = 0; i < BATCH; i++)
		weigh_logits(logits + i * n_classes, n_classes, own_class, own->weights + i * n_classes);
	QMDI_TRY(qmdi_network_backward_input(own->network, own->weights, &gradients));
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < size; k++)
			own->sums[k] += (double)gradients[i * size + k];
	return QMD_OK;
}

/* Add the gradients at the middles of n parts, but for those that are the middle of three, if `with_middles` is 0. */
static qmd_status add_steps(const qmdi_explain_job *job, size_t own_class, qmdi_explain_worker *worker, size_t n,
							int with_middles) {
	double places[BATCH];
	size_t n_places = 0;
	for (size_t i = 0; i < n; i++) {
		if (with_middles || i % 3 != 1)
			places[n_places++] = ((double)i + 0.5) / (double)n;
		if (n_places < BATCH && i + 1 < n)
			continue;
		QMDI_TRY(add_gradients(job, own_class, worker->state, places, n_places));
		worker->work.n_macs += 2 * n_places * job->subject.n_macs; /* forward and backward */
		worker->work.n_macs_whole += 2 * n_places * job->subject.n_macs;
		n_places = 0;
	}
	return QMD_OK;
}

/* The scores of residues after n steps. */
static void sum_residues(const qmdi_explain_job *job, const gradient_worker *own, size_t n, double *scores) {
	memset(scores, 0, job->n_residues * sizeof *scores);
	for (size_t i = 0; i < job->n_atoms; i++)
		for (size_t k = 3 * i; k < 3 * i + 3; k++)
			scores[job->residue_of_atom[i]] +=
				((double)own->image[k] - (double)own->background[k]) * own->sums[k] / (double)n;
}

static int is_complete(const double *scores, size_t n, double expected) {
	double sum = 0, magnitudes = 0;
	for (size_t r = 0; r < n; r++) {
		sum += scores[r];
		magnitudes += fabs(scores[r]);
	}
	return fabs(sum - expected) <= fmax(TOLERANCE * fabs(expected), TOLERANCE_OF_MAGNITUDES * magnitudes);
}

/* Variant 0 is the image, 1 the background. */
static void draw_ends(const qmdi_explain_job *job, const qmdi_explain_worker *worker, size_t variant,
					  unsigned char *image) {
	if (variant == 1)
		memcpy(image, worker->background, job->subject.image_size);
}

/* As many steps as it takes. */
static qmd_status integrate(const qmdi_explain_job *job, size_t frame, qmdi_explain_worker *worker, double *scores) {
	double margins[2];
	QMDI_TRY(qmdi_explain_values(job, frame, worker, 0, 2, draw_ends, qmdi_explain_margin, margins));
	for (size_t n = FIRST_STEPS; n <= MOST_STEPS_BY_ITSELF; n *= 3) {
		QMDI_TRY(add_steps(job, job->classes[frame], worker, n, n == FIRST_STEPS));
		sum_residues(job, worker->state, n, scores);
		if (is_complete(scores, job->n_residues, margins[0] - margins[1]))
			return QMD_OK;
	}
	return qmdi_fail(QMD_ERROR_RANGE,
					 "qmd_explain: frame %u: after %d steps the integrated gradients still do not add up to "
					 "margin(image) - margin(background) = %g: give their number by n_samples",
					 job->frames[frame], MOST_STEPS_BY_ITSELF, margins[0] - margins[1]);
}

static qmd_status score(const qmdi_explain_job *job, size_t frame, qmdi_explain_worker *worker, double *scores) {
	const size_t size = job->subject.image_size;
	const int32_t type = (int32_t)qmd_pixels_type(job->subject.pixels);
	const uint32_t n_steps = *(const uint32_t *)job->state;
	gradient_worker *own = worker->state;
	memset(own->sums, 0, size * sizeof *own->sums);
	qmdi_bytes_to_real(job->images + frame * size, type, size, own->image);
	qmdi_bytes_to_real(worker->background, type, size, own->background);
	if (n_steps == 0)
		return integrate(job, frame, worker, scores);
	QMDI_TRY(add_steps(job, job->classes[frame], worker, n_steps, 1));
	sum_residues(job, own, n_steps, scores);
	return QMD_OK;
}

const qmdi_explain_method qmdi_explain_integrated_gradients = {.id = QMD_EXPLAIN_INTEGRATED_GRADIENTS,
															   .create = create,
															   .destroy = destroy,
															   .create_worker = create_worker,
															   .destroy_worker = destroy_worker,
															   .score = score};
