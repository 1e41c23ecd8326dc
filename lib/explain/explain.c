/* How much the margin of a frame's own class owes to each residue: the job of explaining, and its workers. */
#include <qmd/explain.h>

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/float_environment.h"
#include "base/log.h"
#include "base/memory.h"
#include "explain/explain_internal.h"

#define CHANNELS 3
#define FRAMES_A_WORKER 2 /* in one chunk: between chunks progress is reported and may cancel */

/* Ends in NULL. */
static const qmdi_explain_method *const methods[] = {&qmdi_explain_leave_one_out, &qmdi_explain_shap,
													 &qmdi_explain_integrated_gradients, &qmdi_explain_lime, NULL};

void qmd_explain_options_init_sized(qmd_explain_options *options, size_t size) {
	const qmd_explain_options defaults = {.struct_size = sizeof defaults,
										  .n_threads = 1,
										  .method = QMD_EXPLAIN_LEAVE_ONE_OUT,
										  .seed = 1,
										  .background = QMD_BACKGROUND_PIXELS};
	qmdi_struct_fill(options, size, &defaults, sizeof defaults);
}

/* ---- What methods share ---- */

double qmdi_explain_margin(const float *logits, size_t n_classes, size_t own) {
	double other = -INFINITY;
	for (size_t c = 0; c < n_classes; c++)
		if (c != own && (double)logits[c] > other)
			other = logits[c];
	return (double)logits[own] - other;
}

double qmdi_explain_probability(const float *logits, size_t n_classes, size_t own) {
	double sum = 0;
	for (size_t c = 0; c < n_classes; c++)
		sum += exp((double)logits[c] - (double)logits[own]);
	return 1 / sum;
}

void qmdi_explain_leave_out(const qmdi_explain_job *job, const qmdi_explain_worker *worker, size_t residue,
							unsigned char *image) {
	const qmdi_atom_span span = job->spans[residue];
	for (size_t i = span.first; i < span.end; i++)
		if (job->residue_of_atom[i] == residue)
			memcpy(image + i * CHANNELS, worker->background + i * CHANNELS, CHANNELS);
}

qmd_status qmdi_explain_values(const qmdi_explain_job *job, size_t frame, qmdi_explain_worker *worker, size_t first,
							   size_t end, qmdi_draw_fn draw, qmdi_read_fn read, double *values) {
	const size_t image_size = job->subject.image_size, n_classes = job->subject.n_classes;
	const unsigned char *whole = job->images + frame * image_size;
	if (!worker->runner)
		QMDI_TRY(qmdi_runner_create(&job->subject, &worker->runner));
	for (size_t done = first; done < end; done += QMDI_RUNNER_BATCH) {
		const size_t left = end - done, n = left < QMDI_RUNNER_BATCH ? left : QMDI_RUNNER_BATCH;
		for (size_t i = 0; i < n; i++) {
			unsigned char *image = worker->images + i * image_size;
			memcpy(image, whole, image_size);
			draw(job, worker, done + i, image);
		}
		QMDI_TRY(qmdi_runner_logits(worker->runner, worker->images, n, worker->logits));
		for (size_t i = 0; i < n; i++)
			values[done + i] = read(worker->logits + i * n_classes, n_classes, job->classes[frame]);
	}
	worker->work.n_macs += (end - first) * job->subject.n_macs;
	worker->work.n_macs_whole += (end - first) * job->subject.n_macs;
	return QMD_OK;
}

/* ---- Do data set and subject fit together? ---- */

static int is_same_atom(const qmd_atom *a, const qmd_atom *b) {
	return strcmp(a->chain, b->chain) == 0 && a->residue_number == b->residue_number &&
		   a->insertion_code == b->insertion_code && strcmp(a->residue_name, b->residue_name) == 0 &&
		   strcmp(a->name, b->name) == 0;
}

static qmd_status check_atoms(const qmdi_subject *subject, const qmd_dataset *dataset) {
	const size_t n_atoms = qmd_pixels_n_atoms(subject->pixels);
	if (qmd_dataset_n_atoms(dataset) != n_atoms)
		return qmdi_fail(QMD_ERROR_MATCH, "qmd_explain: the data set has %zu atoms, the %s looks at %zu",
						 qmd_dataset_n_atoms(dataset), subject->name, n_atoms);
	for (size_t i = 0; i < n_atoms; i++) {
		qmd_atom own, wanted;
		QMDI_TRY(qmd_dataset_atom(dataset, i, &own));
		QMDI_TRY(qmd_pixels_atom(subject->pixels, i, &wanted));
		if (!is_same_atom(&own, &wanted))
			return qmdi_fail(QMD_ERROR_MATCH,
							 "qmd_explain: atom %zu is %s %s%d %s in the data set, but %s %s%d %s in the %s", i,
							 own.chain, own.residue_name, own.residue_number, own.name, wanted.chain,
							 wanted.residue_name, wanted.residue_number, wanted.name, subject->name);
	}
	return QMD_OK;
}

static int is_named(const qmdi_subject *subject, size_t class, const char *name) {
	const char *own = qmdi_subject_class_name(subject, class);
	return own && strcmp(name, own) == 0;
}

static qmd_status match_classes(qmdi_explain_job *job, const qmd_dataset *dataset) {
	const qmdi_subject *subject = &job->subject;
	const size_t n_states = qmd_dataset_n_states(dataset);
	job->class_of_state = qmdi_array(n_states, sizeof *job->class_of_state);
	if (!job->class_of_state)
		return QMD_ERROR_MEMORY;
	for (size_t s = 0; s < n_states; s++) {
		const char *name = qmd_dataset_state_name(dataset, s), *first = qmdi_subject_class_name(subject, 0);
		size_t c = 0;
		while (c < subject->n_classes && !is_named(subject, c, name))
			c++;
		if (c == subject->n_classes)
			return qmdi_fail(QMD_ERROR_ARGUMENT,
							 "qmd_explain: state '%s' is none of the %s's %zu classes (the first is '%s')", name,
							 subject->name, subject->n_classes, first ? first : "");
		job->class_of_state[s] = (uint32_t)c;
	}
	return QMD_OK;
}

/* segments: of residues, or NULL. From here on a segment is a residue. */
static qmd_status map_residues(qmdi_explain_job *job, const qmd_dataset *dataset, const uint32_t *segments,
							   qmd_residue_score *residues) {
	for (size_t i = 0; i < job->n_atoms; i++) {
		qmd_atom atom;
		QMDI_TRY(qmd_dataset_atom(dataset, i, &atom));
		if (atom.residue >= qmd_dataset_n_residues(dataset))
			return qmdi_fail(QMD_ERROR_RANGE, "qmd_explain: atom %zu belongs to residue %u of %zu", i, atom.residue,
							 qmd_dataset_n_residues(dataset));
		const uint32_t residue = segments ? segments[atom.residue] : atom.residue;
		job->residue_of_atom[i] = residue;
		qmdi_atom_span *span = &job->spans[residue];
		qmd_residue_score *score = &residues[residue];
		if (score->n_atoms++ == 0) {
			score->residue = atom;
			span->first = (uint32_t)i;
		}
		span->end = (uint32_t)i + 1;
	}
	return QMD_OK;
}

/* ---- The job's memory ---- */

static void worker_release(const qmdi_explain_job *job, qmdi_explain_worker *worker) {
	if (job->method->destroy_worker)
		job->method->destroy_worker(worker);
	qmdi_runner_free(worker->runner);
	qmdi_release(worker->images);
	qmdi_release(worker->logits);
}

static void job_release(qmdi_explain_job *job) {
	for (size_t w = 0; job->workers && w < job->n_workers; w++)
		worker_release(job, &job->workers[w]);
	qmdi_release(job->workers);
	qmdi_pool_free(job->pool);
	if (job->method && job->method->destroy)
		job->method->destroy(job);
	qmdi_release(job->residue_of_atom);
	qmdi_release(job->spans);
	qmdi_release(job->backgrounds);
	qmdi_release(job->class_of_state);
	qmdi_release(job->images);
	qmdi_release(job->classes);
}

static qmd_status create_workers(qmdi_explain_job *job, size_t n_workers) {
	QMDI_TRY(qmdi_pool_create(n_workers, &job->pool));
	job->workers = qmdi_zeroed(n_workers, sizeof *job->workers);
	if (!job->workers)
		return QMD_ERROR_MEMORY;
	job->n_workers = n_workers;
	for (size_t w = 0; w < n_workers; w++) {
		qmdi_explain_worker *worker = &job->workers[w];
		worker->images = qmdi_array(QMDI_RUNNER_BATCH, job->subject.image_size);
		worker->logits = qmdi_array(QMDI_RUNNER_BATCH * job->subject.n_classes, sizeof *worker->logits);
		if (!worker->images || !worker->logits)
			return QMD_ERROR_MEMORY;
		if (job->method->create_worker)
			QMDI_TRY(job->method->create_worker(job, worker));
	}
	return QMD_OK;
}

static qmd_status job_allocate(qmdi_explain_job *job, size_t n_frames, size_t n_workers) {
	if (n_workers > n_frames)
		n_workers = n_frames;
	job->chunk_capacity = n_workers * FRAMES_A_WORKER;
	job->residue_of_atom = qmdi_array(job->n_atoms, sizeof *job->residue_of_atom);
	job->spans = qmdi_zeroed(job->n_residues, sizeof *job->spans);
	job->images = qmdi_array(job->chunk_capacity, job->subject.image_size);
	job->classes = qmdi_array(job->chunk_capacity, sizeof *job->classes);
	if (!job->residue_of_atom || !job->spans || !job->images || !job->classes)
		return QMD_ERROR_MEMORY;
	return create_workers(job, n_workers);
}

/* ---- Scoring ---- */

static void score_task(void *user, size_t task, size_t worker_index) {
	const qmdi_explain_job *job = user;
	qmdi_explain_worker *worker = &job->workers[worker_index];
	if (worker->status != QMD_OK)
		return;
	worker->background = job->backgrounds + job->classes[task] * job->subject.image_size;
	worker->fit = &job->fits[task];
	worker->errors = job->errors + task * job->n_scores;
	worker->status = job->method->score(job, task, worker, job->scores + task * job->n_scores);
	if (worker->status == QMD_OK)
		return;
	strncpy(worker->message, qmd_last_error(), QMDI_EXPLAIN_MESSAGE_SIZE - 1);
}

/* Frames [first, first + n) of those that are explained. */
static qmd_status score_chunk(qmdi_explain_job *job, qmd_dataset *dataset, const uint32_t *all_frames, size_t first,
							  size_t n, qmd_explanation *explanation) {
	const uint32_t *frames = all_frames + first;
	QMDI_TRY(qmd_pixels_run_dataset(job->subject.pixels, dataset, frames, n, job->images));
	job->frames = frames;
	job->scores = explanation->frame_scores + first * job->n_scores;
	job->errors = explanation->frame_errors + first * job->n_scores;
	job->fits = explanation->fits + first;
	for (size_t i = 0; i < n; i++) {
		qmd_frame_origin origin;
		QMDI_TRY(qmd_dataset_frame_origin(dataset, frames[i], &origin));
		job->classes[i] = job->class_of_state[origin.state];
	}
	qmdi_pool_run(job->pool, score_task, job, n);
	for (size_t w = 0; w < job->n_workers; w++)
		if (job->workers[w].status != QMD_OK)
			return qmdi_fail(job->workers[w].status, "%s", job->workers[w].message);
	return QMD_OK;
}

static qmd_status choose_method(qmdi_explain_job *job, const qmd_explain_options *options) {
	for (size_t i = 0; methods[i] && !job->method; i++)
		if (methods[i]->id == options->method)
			job->method = methods[i];
	if (!job->method)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: method is %d, not a qmd_explain_method", options->method);
	if (options->as_published && options->method != QMD_EXPLAIN_SLIC_LIME)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: as_published is of SLIC-LIME alone, and method is %d",
						 options->method);
	return job->method->create ? job->method->create(job, options) : QMD_OK;
}

static qmd_status set_up(qmdi_explain_job *job, qmd_dataset *dataset, size_t n_frames,
						 const qmd_explain_options *options, qmd_explanation *explanation) {
	QMDI_TRY(match_classes(job, dataset));
	QMDI_TRY(choose_method(job, options));
	QMDI_TRY(job_allocate(job, n_frames, options->n_threads ? options->n_threads : qmdi_n_processors()));
	QMDI_TRY(map_residues(job, dataset, options->segment_of_residue, explanation->residues));
	return qmdi_explain_set_backgrounds(job, dataset, options->background);
}

/* Score frames until all are, or until a failure or the progress callback ends it; the explanation's n_frames says how
 * many are. */
static qmd_status run(qmdi_explain_job *job, qmd_dataset *dataset, const uint32_t *frames, size_t n_frames,
					  const qmd_explain_options *options, qmd_explanation *explanation) {
	size_t *done = &explanation->n_frames;
	*done = 0;
	QMDI_TRY(set_up(job, dataset, n_frames, options, explanation));
	while (*done < n_frames) {
		QMDI_TRY(qmdi_progress(options->progress, options->user, "explain", *done, n_frames, NAN, NAN));
		const size_t n = n_frames - *done < job->chunk_capacity ? n_frames - *done : job->chunk_capacity;
		QMDI_TRY(score_chunk(job, dataset, frames, *done, n, explanation));
		*done += n;
	}
	return qmdi_progress(options->progress, options->user, "explain", n_frames, n_frames, NAN, NAN);
}

static qmd_status finish(const qmdi_explain_job *job, qmd_explanation *explanation) {
	for (size_t w = 0; w < job->n_workers; w++) {
		explanation->work.n_macs += job->workers[w].work.n_macs;
		explanation->work.n_macs_whole += job->workers[w].work.n_macs_whole;
	}
	return qmdi_explanation_finish(explanation);
}

static qmd_status check_segments(const qmdi_explain_job *job, const qmd_dataset *dataset,
								 const qmd_explain_options *options) {
	const size_t n_residues = qmd_dataset_n_residues(dataset), n = options->n_segments;
	if (!options->segment_of_residue && n == 0)
		return QMD_OK;
	if (!options->segment_of_residue || n == 0)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: n_segments is %zu and segment_of_residue is %s", n,
						 options->segment_of_residue ? "given" : "NULL");
	if (job->method || options->as_published)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: segments are given for what is of residues alone: %s",
						 job->method ? "a deletion curve" : "as_published");
	unsigned char *is_there = n <= n_residues ? qmdi_zeroed(n, 1) : NULL;
	if (n <= n_residues && !is_there)
		return QMD_ERROR_MEMORY;
	size_t n_there = 0, n_wrong = 0;
	for (size_t r = 0; is_there && r < n_residues; r++) {
		const uint32_t segment = options->segment_of_residue[r];
		n_wrong += segment >= n;
		if (segment < n && !is_there[segment]) {
			is_there[segment] = 1;
			n_there++;
		}
	}
	qmdi_release(is_there);
	if (n_wrong > 0 || n_there < n)
		return qmdi_fail(QMD_ERROR_ARGUMENT,
						 "qmd_explain: of %zu residues %zu are in no segment, and of %zu segments %zu have no residue",
						 n_residues, n_wrong, n, n - n_there);
	return QMD_OK;
}

qmd_status qmdi_explain_run(qmdi_explain_job *job, qmd_dataset *dataset, const uint32_t *frames, size_t n_frames,
							const qmd_explain_options *options, qmd_explanation **explanation) {
	qmd_explain_options own;
	qmd_explain_options_init(&own);
	QMDI_TRY(
		qmdi_options_copy(&own, sizeof own, offsetof(qmd_explain_options, method), options, "qmd_explain_options"));
	if (n_frames == 0)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: no frames are given (n_frames is 0)");
	QMDI_TRY(check_atoms(&job->subject, dataset));
	job->n_atoms = qmd_dataset_n_atoms(dataset);
	QMDI_TRY(check_segments(job, dataset, &own));
	job->n_residues = own.segment_of_residue ? own.n_segments : qmd_dataset_n_residues(dataset);
	job->n_scores = job->n_residues + job->n_more_scores;
	qmdi_shard shard = {0};
	if (own.n_shards > 0) {
		if (job->method)
			return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain_deletion: n_shards is %u, but a curve is of all frames",
							 own.n_shards);
		QMDI_TRY(qmdi_shard_describe(&job->subject, dataset, frames, n_frames, &own, &shard));
		frames += qmdi_shard_first(&shard, shard.index);
		n_frames = qmdi_shard_first(&shard, shard.index + 1) - qmdi_shard_first(&shard, shard.index);
	}
	qmd_explanation *scored;
	QMDI_TRY(qmdi_explanation_create(job->n_scores, n_frames, &scored));
	scored->shard = shard;
	qmdi_float_environment environment;
	qmdi_float_enter(&environment);
	const qmd_status status = run(job, dataset, frames, n_frames, &own, scored);
	const int is_kept = status == QMD_OK || (status == QMD_ERROR_CANCELLED && scored->n_frames > 0);
	const qmd_status finished = is_kept ? finish(job, scored) : status;
	qmdi_float_leave(&environment);
	job_release(job);
	if (is_kept && finished == QMD_OK)
		*explanation = scored;
	else
		qmd_explanation_free(scored);
	return is_kept && finished != QMD_OK ? finished : status;
}

qmd_status qmd_explain(const qmd_engine *engine, qmd_dataset *dataset, const uint32_t *frames, size_t n_frames,
					   const qmd_explain_options *options, qmd_explanation **explanation) {
	QMDI_REQUIRE(engine);
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(frames);
	QMDI_REQUIRE(explanation);
	*explanation = NULL;
	qmdi_explain_job job = {0};
	QMDI_TRY(qmdi_subject_of_engine(engine, &job.subject));
	return qmdi_explain_run(&job, dataset, frames, n_frames, options, explanation);
}

qmd_status qmd_explain_model(const qmd_model *model, qmd_dataset *dataset, const uint32_t *frames, size_t n_frames,
							 const qmd_explain_options *options, qmd_explanation **explanation) {
	QMDI_REQUIRE(model);
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(frames);
	QMDI_REQUIRE(explanation);
	*explanation = NULL;
	qmdi_explain_job job = {0};
	QMDI_TRY(qmdi_subject_of_model(model, &job.subject));
	return qmdi_explain_run(&job, dataset, frames, n_frames, options, explanation);
}
