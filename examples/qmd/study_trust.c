/*
 * How far the scores of residues can be trusted: what other means say on the same held-out frames, fold by fold, and
 * how far it all agrees. The same frames and leave-one-out throughout, so that nothing else differs.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agreement.h"
#include "files.h"
#include "metrics.h"
#include "pipeline.h"
#include "report.h"
#include "study.h"

#define N_RANDOM_ORDERS 5
#define MOST_STEPS 50          /* of a deletion curve */
#define BEYOND 3.0             /* standard errors */
#define BEYOND_SHARE 0.0026998 /* of a normal distribution */

/* What scores residues: an engine or, where it is not NULL, a model. */
typedef struct scorer {
	const qmd_engine *engine;
	const qmd_model *model;
} scorer;

static size_t n_residues_of(const trust_fold *fold) {
	return qmd_dataset_n_residues(fold->study->dataset);
}

static void set_options(const trust_fold *fold, qmd_explain_options *options) {
	qmd_explain_options_init(options);
	options->n_threads = fold->study->arguments->threads;
	options->progress = progress_report;
	options->user = fold->bar;
}

/* scores: [n_residues] */
static int score(const trust_fold *fold, scorer by, double *scores) {
	qmd_explain_options options;
	qmd_explanation *explanation = NULL;
	set_options(fold, &options);
	qmd_status status =
		by.model
			? qmd_explain_model(by.model, fold->study->dataset, fold->frames, fold->n_frames, &options, &explanation)
			: qmd_explain(by.engine, fold->study->dataset, fold->frames, fold->n_frames, &options, &explanation);
	progress_clear();
	for (size_t r = 0; r < n_residues_of(fold) && status == QMD_OK; r++) {
		qmd_residue_score residue = {.struct_size = sizeof residue};
		status = qmd_explanation_residue(explanation, r, &residue);
		scores[r] = residue.score;
	}
	qmd_explanation_free(explanation);
	return status == QMD_OK ? PROGRAM_OK : fail_status(status);
}

/* ---- Deletion ---- */

static size_t n_steps_of(const trust_fold *fold) {
	const size_t n = n_residues_of(fold);
	return n < MOST_STEPS ? n : MOST_STEPS;
}

/* Which share of the residues is left out at a step. */
static double share_of(const trust_fold *fold, size_t step) {
	const size_t n = n_residues_of(fold), n_left_out = step * n / n_steps_of(fold);
	return (double)n_left_out / (double)n;
}

/* Below margins / margins[0], over the share that is left out; NaN unless margins[0] > 0. */
static double area_below(const trust_fold *fold, const double *margins) {
	double area = 0;
	for (size_t i = 0; i < n_steps_of(fold); i++)
		area += (margins[i] + margins[i + 1]) / 2 * (share_of(fold, i + 1) - share_of(fold, i));
	return margins[0] > 0 ? area / margins[0] : NAN;
}

static int delete_in_order(const trust_fold *fold, const uint32_t *order, double *margins) {
	qmd_explain_options options;
	set_options(fold, &options);
	const qmd_status status = qmd_explain_deletion(fold->engine, fold->study->dataset, fold->frames, fold->n_frames,
												   order, n_steps_of(fold), &options, margins);
	progress_clear();
	return status == QMD_OK ? PROGRAM_OK : fail_status(status);
}

/* Any order of residues will do that does not know of them; it must be the same on every machine. */
static void shuffle(uint32_t *order, size_t n, uint64_t *state) {
	for (size_t i = n; i > 1; i--) {
		*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407); /* Knuth's MMIX */
		const size_t j = (size_t)((*state >> 33) % i);
		const uint32_t swap = order[i - 1];
		order[i - 1] = order[j];
		order[j] = swap;
	}
}

/* The residues as the fold ranks them. */
static int rank_order(const json_t *residues, size_t n, uint32_t *order) {
	for (size_t r = 0; r < n; r++) {
		const double rank = report_get(json_array_get(residues, r), "rank", NULL);
		if (!(rank >= 1 && rank <= (double)n))
			return fail("residue %zu has no rank", r + 1);
		order[(size_t)rank - 1] = (uint32_t)r;
	}
	return PROGRAM_OK;
}

static int delete_at_random(const trust_fold *fold, uint32_t *order, double *margins, double *mean) {
	const size_t n = n_residues_of(fold);
	uint64_t state = fold->study->arguments->seed + fold->number;
	for (size_t i = 0; i < N_RANDOM_ORDERS; i++) {
		shuffle(order, n, &state);
		TRY(delete_in_order(fold, order, margins));
		for (size_t j = 0; j <= n_steps_of(fold); j++)
			mean[j] += margins[j] / N_RANDOM_ORDERS;
	}
	return PROGRAM_OK;
}

static json_t *numbers(const double *values, size_t n) {
	json_t *array = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, report_number(values[i]));
	return array;
}

/* room: 4 times as many numbers as a curve has points */
static int fill_deletion(const trust_fold *fold, const json_t *residues, uint32_t *order, double *room, json_t *trust) {
	const size_t n = n_residues_of(fold), n_points = n_steps_of(fold) + 1;
	double *shares = room, *margins = room + n_points, *random = room + 2 * n_points, *scratch = room + 3 * n_points;
	for (size_t i = 0; i < n_points; i++)
		shares[i] = share_of(fold, i);
	TRY(rank_order(residues, n, order));
	TRY(delete_in_order(fold, order, margins));
	TRY(delete_at_random(fold, order, scratch, random));
	json_t *deletion =
		json_pack("{s:o, s:o, s:o, s:o, s:o}", "shares", numbers(shares, n_points), "margins",
				  numbers(margins, n_points), "random_margins", numbers(random, n_points), "area",
				  report_number(area_below(fold, margins)), "random_area", report_number(area_below(fold, random)));
	return json_object_set_new(trust, "deletion", deletion) == 0 ? PROGRAM_OK : report_fail();
}

static int add_deletion(const trust_fold *fold, const json_t *residues, json_t *trust) {
	uint32_t *order = calloc(n_residues_of(fold) + 1, sizeof *order);
	double *room = calloc(4 * (n_steps_of(fold) + 1), sizeof *room);
	const int code = order && room ? fill_deletion(fold, residues, order, room, trust) : fail_memory();
	free(order);
	free(room);
	return code;
}

/* ---- INT8 and FP32 ---- */

static int add_numbers(const trust_fold *fold, double *int8, json_t *trust) {
	const size_t n = n_residues_of(fold);
	double *fp32 = calloc(n + 1, sizeof *fp32);
	if (!fp32)
		return fail_memory();
	int code = score(fold, (scorer){.engine = fold->engine}, int8);
	if (code == PROGRAM_OK)
		code = score(fold, (scorer){.model = fold->model}, fp32);
	if (code == PROGRAM_OK &&
		(json_object_set_new(trust, "int8_scores", numbers(int8, n)) != 0 ||
		 json_object_set_new(trust, "fp32_scores", numbers(fp32, n)) != 0 ||
		 json_object_set_new(trust, "spearman", report_number(agreement_spearman(int8, fp32, n))) != 0 ||
		 json_object_set_new(trust, "top_overlap", report_number(agreement_top(int8, fp32, n, RESIDUES_N_TOP))) != 0))
		code = report_fail();
	free(fp32);
	return code;
}

/* ---- Other seeds of training ---- */

static int train_engine(const trust_fold *fold, const program_arguments *arguments, qmd_engine **engine) {
	const study *s = fold->study;
	qmd_pixels *pixels = NULL;
	qmd_model *model = NULL, *quantized = NULL;
	int code = pipeline_fit_pixels(arguments, s->dataset, fold->split, &pixels);
	if (code == PROGRAM_OK)
		code = pipeline_train(arguments, s->dataset, fold->split, pixels, NULL, fold->bar, &model);
	if (code == PROGRAM_OK)
		code = pipeline_quantize(arguments, model, s->dataset, fold->split, fold->bar, &quantized);
	if (code == PROGRAM_OK) {
		const qmd_status status = qmd_engine_compile(quantized, NULL, engine);
		code = status == QMD_OK ? PROGRAM_OK : fail_status(status);
	}
	qmd_model_free(quantized);
	qmd_model_free(model);
	qmd_pixels_free(pixels);
	return code;
}

/* DIR/fold-K.seed-I.qme is the I-th network of a fold, whose first is DIR/fold-K.qme; it is read where it is there. */
static int make_engine(const trust_fold *fold, size_t index, const program_arguments *arguments, qmd_engine **engine) {
	char *path = files_path(fold->study->folder, "fold-%zu.seed-%zu.qme", fold->number, index);
	if (!path)
		return fail_memory();
	int code = PROGRAM_OK;
	qmd_status status = QMD_OK;
	if (files_exists(path))
		status = qmd_engine_load(path, engine);
	else if ((code = train_engine(fold, arguments, engine)) == PROGRAM_OK)
		status = qmd_engine_save(*engine, path);
	free(path);
	TRY(code);
	TRY_QMD(status);
	return PROGRAM_OK;
}

static int measure_accuracy(const trust_fold *fold, const qmd_engine *engine, double *accuracy) {
	const study *s = fold->study;
	const size_t n_classes = qmd_dataset_n_states(s->dataset);
	size_t n = 0;
	const uint32_t *test = qmd_split_test(fold->split, &n);
	double *logits = calloc(n * n_classes + 1, sizeof *logits);
	uint32_t *labels = NULL;
	int code = logits ? data_load_labels(s->dataset, s->class_of_state, test, n, &labels) : fail_memory();
	if (code == PROGRAM_OK)
		code = pipeline_run_engine(engine, s->arguments->threads, s->dataset, test, n, logits);
	if (code == PROGRAM_OK)
		*accuracy = metrics_accuracy(logits, labels, n, n_classes);
	free(labels);
	free(logits);
	return code;
}

/* scores: room for [n_residues] */
static int add_seed(const trust_fold *fold, size_t index, double *scores, json_t *seeds) {
	program_arguments arguments = *fold->study->arguments;
	arguments.seed += index - 1;
	qmd_engine *engine = NULL;
	double accuracy = NAN;
	int code = make_engine(fold, index, &arguments, &engine);
	if (code == PROGRAM_OK)
		code = measure_accuracy(fold, engine, &accuracy);
	if (code == PROGRAM_OK)
		code = score(fold, (scorer){.engine = engine}, scores);
	qmd_engine_free(engine);
	if (code == PROGRAM_OK &&
		json_array_append_new(seeds,
							  json_pack("{s:I, s:o, s:o}", "seed", (json_int_t)arguments.seed, "test_accuracy",
										report_number(accuracy), "scores", numbers(scores, n_residues_of(fold)))) != 0)
		code = report_fail();
	return code;
}

/* scores: [n_seeds][n_residues], of which the first are there: those of the fold's own network. */
static int fill_seeds(const trust_fold *fold, double *scores, json_t *seeds, json_t *trust) {
	const size_t n = n_residues_of(fold), n_seeds = fold->study->arguments->explain_seeds;
	for (size_t i = 1; i < n_seeds; i++)
		TRY(add_seed(fold, i + 1, scores + i * n, seeds));
	const double overlap = agreement_top_of_pairs(scores, n_seeds, n, RESIDUES_N_TOP);
	return json_object_set(trust, "seeds", seeds) == 0 &&
				   json_object_set_new(trust, "seeds_overlap", report_number(overlap)) == 0
			   ? PROGRAM_OK
			   : report_fail();
}

static int add_seeds(const trust_fold *fold, const double *first, json_t *trust) {
	const size_t n = n_residues_of(fold);
	double *scores = calloc(n * fold->study->arguments->explain_seeds, sizeof *scores);
	if (!scores)
		return fail_memory();
	memcpy(scores, first, n * sizeof *scores);
	json_t *seeds = json_array();
	const int code = fill_seeds(fold, scores, seeds, trust);
	json_decref(seeds);
	free(scores);
	return code;
}

/* ---- A fold ---- */

static int fill_trust(trust_fold *fold, const json_t *residues, json_t *trust) {
	double *int8 = calloc(n_residues_of(fold) + 1, sizeof *int8);
	if (!int8)
		return fail_memory();
	int code = add_numbers(fold, int8, trust);
	if (code == PROGRAM_OK)
		code = add_deletion(fold, residues, trust);
	if (code == PROGRAM_OK && fold->study->arguments->explain_seeds > 1)
		code = add_seeds(fold, int8, trust);
	free(int8);
	return code;
}

int study_trust_fold(trust_fold *fold, const json_t *residues, json_t **trust) {
	size_t n = 0;
	const uint32_t *test = qmd_split_test(fold->split, &n);
	uint32_t *frames = data_spread(test, n, fold->study->arguments->trust_frames, &fold->n_frames);
	fold->frames = frames;
	*trust = json_pack("{s:I}", "n_frames", (json_int_t)fold->n_frames);
	int code = frames && *trust ? fill_trust(fold, residues, *trust) : fail_memory();
	fold->frames = NULL;
	free(frames);
	return code;
}

/* ---- All folds ---- */

/* NaN if there is one fold, or one of them has not kept its scores. */
static double overlap_of_folds(const study *s) {
	const size_t n = s->n_residues, n_folds = json_array_size(s->folds);
	double *scores = calloc(n_folds * n + 1, sizeof *scores);
	for (size_t k = 0; k < n_folds && scores; k++)
		for (size_t r = 0; r < n; r++)
			scores[k * n + r] =
				report_get(json_array_get(json_object_get(json_array_get(s->folds, k), "residues"), r), "score", NULL);
	const double overlap = scores ? agreement_top_of_pairs(scores, n_folds, n, RESIDUES_N_TOP) : NAN;
	free(scores);
	return overlap;
}

json_t *study_describe_trust(const study *s) {
	const size_t n_top = s->n_residues < RESIDUES_N_TOP ? s->n_residues : RESIDUES_N_TOP;
	size_t n_beyond = 0;
	for (size_t r = 0; r < s->n_residues; r++)
		n_beyond += fabs(s->residues[r].score) > BEYOND * s->residues[r].standard_error;
	return json_pack(
		"{s:I, s:f, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:f}", "n_top", (json_int_t)n_top, "overlap_by_chance",
		(double)n_top / (double)s->n_residues, "folds_overlap", report_number(overlap_of_folds(s)), "n_seeds",
		(json_int_t)s->arguments->explain_seeds, "seeds_overlap",
		report_number(report_mean(s->folds, "trust", "seeds_overlap", NULL)), "int8_fp32_spearman",
		report_number(report_mean(s->folds, "trust", "spearman", NULL)), "int8_fp32_overlap",
		report_number(report_mean(s->folds, "trust", "top_overlap", NULL)), "deletion_area",
		report_number(report_mean(s->folds, "trust", "deletion", "area", NULL)), "random_deletion_area",
		report_number(report_mean(s->folds, "trust", "deletion", "random_area", NULL)), "n_beyond_3_errors",
		(json_int_t)n_beyond, "n_beyond_by_chance", BEYOND_SHARE * (double)s->n_residues);
}
