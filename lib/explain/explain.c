/*
 * How much the margin of a frame's own class falls when residues' pixels say nothing: one residue at a time, or random
 * coalitions of them.
 *
 * Frames are shared out to workers, each with a context of its own; sums run in the order of the frames, so the number
 * of threads changes nothing.
 */
#include <qmd/explain.h>

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/float_environment.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/threads.h"
#include "explain/shap.h"

#define CHANNELS 3
#define IMAGES_AT_A_TIME 32
#define FRAMES_A_WORKER 2 /* in one chunk: between chunks progress is reported and may cancel */
#define MESSAGE_SIZE 512
#define MAX_SAMPLES ((size_t)1 << 24)
#define SAMPLES_A_RESIDUE 4 /* at least; default: 2 a residue and 2048 more, as the shap package takes */

struct qmd_explanation {
	qmd_residue_score *residues;
	size_t n_residues;
};

/* What one worker runs with. */
typedef struct explain_worker {
	qmd_context *context;
	unsigned char *images; /* [IMAGES_AT_A_TIME][image_size] */
	float *logits;         /* [IMAGES_AT_A_TIME][n_classes] */
	double *margins;       /* [n_variants] */
	uint64_t *members;     /* coalitions of the frame; these three for SHAP alone */
	double *matrix, *work; /* of qmdi_shap_solve() */
	qmd_status status;
	char message[MESSAGE_SIZE]; /* the last error belongs to the worker's thread: carried to the caller's */
} explain_worker;

/* Atoms of one residue lie in [first, end); others may lie there too. */
typedef struct atom_span {
	uint32_t first, end;
} atom_span;

typedef struct explain_job {
	const qmd_engine *engine;
	size_t n_classes, image_size;
	size_t n_atoms, n_residues;
	uint32_t *residue_of_atom;
	atom_span *spans; /* one a residue */
	unsigned char *background;
	uint32_t *class_of_state;
	int32_t method;
	qmdi_shap shap;
	size_t n_variants; /* images of a frame; the first is whole */
	qmdi_pool *pool;
	explain_worker *workers;
	size_t n_workers;
	/* One chunk of frames. */
	size_t chunk_capacity;
	const uint32_t *frames; /* [frame] of the data set */
	unsigned char *images;  /* [frame][image_size] */
	uint32_t *classes;      /* [frame] */
	double *falls;          /* [frame][residue] */
	/* Over all frames so far (Welford 1962). */
	double *means, *squares; /* [residue] */
	size_t n_seen;
} explain_job;

void qmd_explain_options_init_sized(qmd_explain_options *options, size_t size) {
	const qmd_explain_options defaults = {
		.struct_size = sizeof defaults, .n_threads = 1, .method = QMD_EXPLAIN_LEAVE_ONE_OUT, .seed = 1};
	qmdi_struct_fill(options, size, &defaults, sizeof defaults);
}

/* ---- Do data set and engine fit together? ---- */

static int is_same_atom(const qmd_atom *a, const qmd_atom *b) {
	return strcmp(a->chain, b->chain) == 0 && a->residue_number == b->residue_number &&
		   a->insertion_code == b->insertion_code && strcmp(a->residue_name, b->residue_name) == 0 &&
		   strcmp(a->name, b->name) == 0;
}

static qmd_status check_atoms(const qmd_engine *engine, const qmd_dataset *dataset) {
	const size_t n_atoms = qmd_engine_n_atoms(engine);
	if (n_atoms == 0)
		return qmdi_fail(QMD_ERROR_STATE, "qmd_explain: the engine has no pixels, so residues have none to leave out");
	if (qmd_dataset_n_atoms(dataset) != n_atoms)
		return qmdi_fail(QMD_ERROR_MATCH, "qmd_explain: the data set has %zu atoms, the engine looks at %zu",
						 qmd_dataset_n_atoms(dataset), n_atoms);
	for (size_t i = 0; i < n_atoms; i++) {
		qmd_atom own, wanted;
		QMDI_TRY(qmd_dataset_atom(dataset, i, &own));
		QMDI_TRY(qmd_engine_atom(engine, i, &wanted));
		if (!is_same_atom(&own, &wanted))
			return qmdi_fail(QMD_ERROR_MATCH,
							 "qmd_explain: atom %zu is %s %s%d %s in the data set, but %s %s%d %s in the engine", i,
							 own.chain, own.residue_name, own.residue_number, own.name, wanted.chain,
							 wanted.residue_name, wanted.residue_number, wanted.name);
	}
	return QMD_OK;
}

static qmd_status match_classes(explain_job *job, const qmd_dataset *dataset) {
	const size_t n_states = qmd_dataset_n_states(dataset);
	job->class_of_state = qmdi_array(n_states, sizeof *job->class_of_state);
	if (!job->class_of_state)
		return QMD_ERROR_MEMORY;
	for (size_t s = 0; s < n_states; s++) {
		const char *name = qmd_dataset_state_name(dataset, s);
		size_t c = 0;
		while (c < job->n_classes && strcmp(name, qmd_engine_class_name(job->engine, c)) != 0)
			c++;
		if (c == job->n_classes)
			return qmdi_fail(QMD_ERROR_ARGUMENT,
							 "qmd_explain: state '%s' is none of the engine's %zu classes (the first is '%s')", name,
							 job->n_classes, qmd_engine_class_name(job->engine, 0));
		job->class_of_state[s] = (uint32_t)c;
	}
	return QMD_OK;
}

static qmd_status map_residues(explain_job *job, const qmd_dataset *dataset, qmd_residue_score *residues) {
	for (size_t i = 0; i < job->n_atoms; i++) {
		qmd_atom atom;
		QMDI_TRY(qmd_dataset_atom(dataset, i, &atom));
		if (atom.residue >= job->n_residues)
			return qmdi_fail(QMD_ERROR_RANGE, "qmd_explain: atom %zu belongs to residue %u of %zu", i, atom.residue,
							 job->n_residues);
		job->residue_of_atom[i] = atom.residue;
		atom_span *span = &job->spans[atom.residue];
		qmd_residue_score *score = &residues[atom.residue];
		if (score->n_atoms++ == 0) {
			score->residue = atom;
			span->first = (uint32_t)i;
		}
		span->end = (uint32_t)i + 1;
	}
	return QMD_OK;
}

/* ---- The job's memory ---- */

static void job_release(explain_job *job) {
	for (size_t w = 0; job->workers && w < job->n_workers; w++) {
		qmd_context_free(job->workers[w].context);
		qmdi_release(job->workers[w].images);
		qmdi_release(job->workers[w].logits);
		qmdi_release(job->workers[w].margins);
		qmdi_release(job->workers[w].members);
		qmdi_release(job->workers[w].matrix);
		qmdi_release(job->workers[w].work);
	}
	qmdi_release(job->workers);
	qmdi_pool_free(job->pool);
	qmdi_shap_release(&job->shap);
	qmdi_release(job->residue_of_atom);
	qmdi_release(job->spans);
	qmdi_release(job->background);
	qmdi_release(job->class_of_state);
	qmdi_release(job->images);
	qmdi_release(job->classes);
	qmdi_release(job->falls);
	qmdi_release(job->means);
	qmdi_release(job->squares);
}

static qmd_status allocate_for_shap(const explain_job *job, explain_worker *worker) {
	const size_t n = job->n_residues;
	worker->members = qmdi_array(n * job->shap.n_words, sizeof *worker->members);
	worker->matrix = n > SIZE_MAX / n ? NULL : qmdi_array(n * n, sizeof *worker->matrix);
	worker->work = qmdi_array(2 * n, sizeof *worker->work);
	return worker->members && worker->matrix && worker->work ? QMD_OK : QMD_ERROR_MEMORY;
}

static qmd_status create_workers(explain_job *job, size_t n_workers) {
	QMDI_TRY(qmdi_pool_create(n_workers, &job->pool));
	job->workers = qmdi_zeroed(n_workers, sizeof *job->workers);
	if (!job->workers)
		return QMD_ERROR_MEMORY;
	job->n_workers = n_workers;
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.max_batch = IMAGES_AT_A_TIME;
	for (size_t w = 0; w < n_workers; w++) {
		explain_worker *worker = &job->workers[w];
		QMDI_TRY(qmd_context_create(job->engine, &options, &worker->context));
		worker->images = qmdi_array(IMAGES_AT_A_TIME, job->image_size);
		worker->logits = qmdi_array(IMAGES_AT_A_TIME * job->n_classes, sizeof *worker->logits);
		worker->margins = qmdi_array(job->n_variants, sizeof *worker->margins);
		if (!worker->images || !worker->logits || !worker->margins)
			return QMD_ERROR_MEMORY;
		if (job->method == QMD_EXPLAIN_SHAP)
			QMDI_TRY(allocate_for_shap(job, worker));
	}
	return QMD_OK;
}

static qmd_status job_allocate(explain_job *job, size_t n_frames, size_t n_workers) {
	if (n_workers > n_frames)
		n_workers = n_frames;
	job->chunk_capacity = n_workers * FRAMES_A_WORKER;
	job->residue_of_atom = qmdi_array(job->n_atoms, sizeof *job->residue_of_atom);
	job->spans = qmdi_zeroed(job->n_residues, sizeof *job->spans);
	job->background = qmdi_allocate(job->image_size);
	job->images = qmdi_array(job->chunk_capacity, job->image_size);
	job->classes = qmdi_array(job->chunk_capacity, sizeof *job->classes);
	job->falls = qmdi_array(job->chunk_capacity * job->n_residues, sizeof *job->falls);
	job->means = qmdi_zeroed(job->n_residues, sizeof *job->means);
	job->squares = qmdi_zeroed(job->n_residues, sizeof *job->squares);
	if (!job->residue_of_atom || !job->spans || !job->background || !job->images || !job->classes || !job->falls ||
		!job->means || !job->squares)
		return QMD_ERROR_MEMORY;
	return create_workers(job, n_workers);
}

/* ---- Scoring ---- */

static double margin(const float *logits, size_t n_classes, size_t own) {
	double other = -INFINITY;
	for (size_t c = 0; c < n_classes; c++)
		if (c != own && (double)logits[c] > other)
			other = logits[c];
	return (double)logits[own] - other;
}

static void leave_out(const explain_job *job, size_t residue, unsigned char *image) {
	const atom_span span = job->spans[residue];
	for (size_t i = span.first; i < span.end; i++)
		if (job->residue_of_atom[i] == residue)
			memcpy(image + i * CHANNELS, job->background + i * CHANNELS, CHANNELS);
}

/* Variant 0 is whole; r + 1 is without residue r, or they are the coalitions of SHAP. */
static void draw_variant(const explain_job *job, const explain_worker *worker, size_t variant, unsigned char *image) {
	if (job->method == QMD_EXPLAIN_SHAP) {
		for (size_t r = 0; r < job->n_residues; r++)
			if (!qmdi_shap_has(&job->shap, worker->members, variant, r))
				leave_out(job, r, image);
	} else if (variant > 0) {
		leave_out(job, variant - 1, image);
	}
}

static qmd_status run_variants(const explain_job *job, size_t frame, explain_worker *worker) {
	const unsigned char *whole = job->images + frame * job->image_size;
	for (size_t first = 0; first < job->n_variants; first += IMAGES_AT_A_TIME) {
		const size_t left = job->n_variants - first, n = left < IMAGES_AT_A_TIME ? left : IMAGES_AT_A_TIME;
		for (size_t i = 0; i < n; i++) {
			unsigned char *image = worker->images + i * job->image_size;
			memcpy(image, whole, job->image_size);
			draw_variant(job, worker, first + i, image);
		}
		const qmd_output output = {.name = "logits", .data = worker->logits};
		QMDI_TRY(qmd_context_run_images(worker->context, worker->images, n, &output, 1));
		for (size_t i = 0; i < n; i++)
			worker->margins[first + i] =
				margin(worker->logits + i * job->n_classes, job->n_classes, job->classes[frame]);
	}
	return QMD_OK;
}

static qmd_status score_frame(const explain_job *job, size_t frame, explain_worker *worker) {
	double *falls = job->falls + frame * job->n_residues;
	if (job->method == QMD_EXPLAIN_SHAP) {
		qmdi_shap_draw(&job->shap, job->frames[frame], worker->members);
		QMDI_TRY(run_variants(job, frame, worker));
		return qmdi_shap_solve(&job->shap, worker->members, worker->margins, worker->matrix, worker->work, falls);
	}
	QMDI_TRY(run_variants(job, frame, worker));
	for (size_t r = 0; r < job->n_residues; r++)
		falls[r] = worker->margins[0] - worker->margins[r + 1];
	return QMD_OK;
}

static void score_task(void *user, size_t task, size_t worker_index) {
	explain_job *job = user;
	explain_worker *worker = &job->workers[worker_index];
	if (worker->status != QMD_OK)
		return;
	worker->status = score_frame(job, task, worker);
	if (worker->status == QMD_OK)
		return;
	strncpy(worker->message, qmd_last_error(), MESSAGE_SIZE - 1);
}

static qmd_status score_chunk(explain_job *job, qmd_dataset *dataset, const uint32_t *frames, size_t n) {
	QMDI_TRY(qmd_pixels_run_dataset(qmd_engine_pixels(job->engine), dataset, frames, n, job->images));
	job->frames = frames;
	for (size_t i = 0; i < n; i++) {
		qmd_frame_origin origin;
		QMDI_TRY(qmd_dataset_frame_origin(dataset, frames[i], &origin));
		job->classes[i] = job->class_of_state[origin.state];
	}
	qmdi_pool_run(job->pool, score_task, job, n);
	for (size_t w = 0; w < job->n_workers; w++)
		if (job->workers[w].status != QMD_OK)
			return qmdi_fail(job->workers[w].status, "%s", job->workers[w].message);
	for (size_t i = 0; i < n; i++) {
		job->n_seen++;
		for (size_t r = 0; r < job->n_residues; r++) {
			const double fall = job->falls[i * job->n_residues + r];
			const double step = fall - job->means[r];
			job->means[r] += step / (double)job->n_seen;
			job->squares[r] += step * (fall - job->means[r]);
		}
	}
	return QMD_OK;
}

static int compare_scores(const void *left, const void *right) {
	const qmd_residue_score *a = *(const qmd_residue_score *const *)left;
	const qmd_residue_score *b = *(const qmd_residue_score *const *)right;
	if (a->score != b->score)
		return a->score < b->score ? 1 : -1;
	return a < b ? -1 : 1; /* both in one array, in the order of the molecule */
}

static qmd_status finish_scores(const explain_job *job, qmd_residue_score *residues) {
	const double n = (double)job->n_seen;
	qmd_residue_score **order = qmdi_array(job->n_residues, sizeof(qmd_residue_score *));
	if (!order)
		return QMD_ERROR_MEMORY;
	for (size_t r = 0; r < job->n_residues; r++) {
		residues[r].struct_size = sizeof residues[r];
		residues[r].score = job->means[r];
		residues[r].standard_error = job->n_seen > 1 ? sqrt(job->squares[r] / (n - 1) / n) : 0.0;
		order[r] = &residues[r];
	}
	qsort(order, job->n_residues, sizeof(qmd_residue_score *), compare_scores);
	for (size_t i = 0; i < job->n_residues; i++)
		order[i]->rank = (uint32_t)i + 1;
	qmdi_release(order);
	return QMD_OK;
}

static qmd_status choose_method(explain_job *job, const qmd_explain_options *options) {
	job->method = options->method;
	job->n_variants = job->n_residues + 1;
	if (options->method == QMD_EXPLAIN_LEAVE_ONE_OUT)
		return QMD_OK;
	if (options->method != QMD_EXPLAIN_SHAP)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: method is %d, not a qmd_explain_method", options->method);
	if (job->n_residues < 2)
		return qmdi_fail(QMD_ERROR_STATE, "qmd_explain: SHAP shares out among residues, and there is only %zu",
						 job->n_residues);
	const size_t least = SAMPLES_A_RESIDUE * job->n_residues;
	const size_t n = options->n_samples ? options->n_samples : 2 * job->n_residues + 2048;
	if (options->n_samples && (n < least || n > MAX_SAMPLES))
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: n_samples is %zu, SHAP of %zu residues takes %zu to %zu", n,
						 job->n_residues, least, MAX_SAMPLES);
	QMDI_TRY(qmdi_shap_create(&job->shap, job->n_residues, ((n < least ? least : n) + 1) / 2, options->seed));
	job->n_variants = qmdi_shap_n_coalitions(&job->shap);
	return QMD_OK;
}

static qmd_status explain(explain_job *job, qmd_dataset *dataset, const uint32_t *frames, size_t n_frames,
						  const qmd_explain_options *options, qmd_explanation *explanation) {
	explanation->n_residues = job->n_residues;
	explanation->residues = qmdi_zeroed(job->n_residues, sizeof *explanation->residues);
	if (!explanation->residues)
		return QMD_ERROR_MEMORY;
	QMDI_TRY(match_classes(job, dataset));
	QMDI_TRY(choose_method(job, options));
	QMDI_TRY(job_allocate(job, n_frames, options->n_threads ? options->n_threads : qmdi_n_processors()));
	QMDI_TRY(map_residues(job, dataset, explanation->residues));
	QMDI_TRY(qmd_pixels_background(qmd_engine_pixels(job->engine), job->background));
	for (size_t done = 0; done < n_frames;) {
		QMDI_TRY(qmdi_progress(options->progress, options->user, "explain", done, n_frames, NAN, NAN));
		const size_t n = n_frames - done < job->chunk_capacity ? n_frames - done : job->chunk_capacity;
		QMDI_TRY(score_chunk(job, dataset, frames + done, n));
		done += n;
	}
	QMDI_TRY(qmdi_progress(options->progress, options->user, "explain", n_frames, n_frames, NAN, NAN));
	return finish_scores(job, explanation->residues);
}

qmd_status qmd_explain(const qmd_engine *engine, qmd_dataset *dataset, const uint32_t *frames, size_t n_frames,
					   const qmd_explain_options *options, qmd_explanation **explanation) {
	QMDI_REQUIRE(engine);
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(frames);
	QMDI_REQUIRE(explanation);
	*explanation = NULL;
	qmd_explain_options own;
	qmd_explain_options_init(&own);
	QMDI_TRY(
		qmdi_options_copy(&own, sizeof own, offsetof(qmd_explain_options, method), options, "qmd_explain_options"));
	if (n_frames == 0)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: no frames are given (n_frames is 0)");
	if (qmd_engine_n_classes(engine) < 2)
		return qmdi_fail(QMD_ERROR_STATE, "qmd_explain: the engine has %zu outputs, a margin needs at least 2",
						 qmd_engine_n_classes(engine));
	QMDI_TRY(check_atoms(engine, dataset));

	qmd_explanation *new_explanation = qmdi_zeroed(1, sizeof *new_explanation);
	if (!new_explanation)
		return QMD_ERROR_MEMORY;
	const qmd_shape shape = qmd_engine_image_shape(engine);
	explain_job job = {.engine = engine,
					   .n_classes = qmd_engine_n_classes(engine),
					   .image_size = (size_t)shape.h * shape.w * shape.c,
					   .n_atoms = qmd_dataset_n_atoms(dataset),
					   .n_residues = qmd_dataset_n_residues(dataset)};
	qmdi_float_environment environment;
	qmdi_float_enter(&environment);
	const qmd_status status = explain(&job, dataset, frames, n_frames, &own, new_explanation);
	qmdi_float_leave(&environment);
	job_release(&job);
	if (status == QMD_OK)
		*explanation = new_explanation;
	else
		qmd_explanation_free(new_explanation);
	return status;
}

/* ---- Reading it ---- */

void qmd_explanation_free(qmd_explanation *explanation) {
	if (!explanation)
		return;
	qmdi_release(explanation->residues);
	qmdi_release(explanation);
}

size_t qmd_explanation_n_residues(const qmd_explanation *explanation) {
	return explanation ? explanation->n_residues : 0;
}

qmd_status qmd_explanation_residue(const qmd_explanation *explanation, size_t index, qmd_residue_score *score) {
	QMDI_REQUIRE(explanation);
	QMDI_REQUIRE(score);
	if (index >= explanation->n_residues)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_explanation_residue: index %zu, but there are %zu residues", index,
						 explanation->n_residues);
	return qmdi_struct_give(score, &explanation->residues[index], sizeof *score, sizeof *score, "qmd_residue_score");
}
