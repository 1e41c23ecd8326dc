#include "study.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "metrics.h"
#include "pipeline.h"
#include "report.h"

/* One fold while it runs. What is on disk already after an interruption is read, not made again. */
typedef struct fold {
	const study *study;
	size_t number;
	char *model_path, *quantized_path, *engine_path, *checkpoint_path, *log_path, *result_path;
	qmd_split *split;
	const uint32_t *train, *test; /* of the split */
	size_t n_train, n_test;
	qmd_model *model;
	qmd_engine *engine;
	pixel_set train_images, test_images;
	double *train_scores, *test_scores;                                     /* FP32, and scratch: [frame][class] */
	double *int8_train_scores, *int8_test_scores;                           /* [frame][class] */
	double train_seconds, quantize_seconds, explain_seconds, trust_seconds; /* NaN: read from disk */
	char label[32];
	progress_bar bar;
	training_log log;
} fold;

static void fold_release(fold *f) {
	free(f->model_path);
	free(f->quantized_path);
	free(f->engine_path);
	free(f->checkpoint_path);
	free(f->log_path);
	free(f->result_path);
	training_log_release(&f->log);
	qmd_split_free(f->split);
	qmd_model_free(f->model);
	qmd_engine_free(f->engine);
	data_release_images(&f->train_images);
	data_release_images(&f->test_images);
	free(f->train_scores);
	free(f->test_scores);
	free(f->int8_train_scores);
	free(f->int8_test_scores);
}

__attribute__((format(printf, 2, 3))) static void say(const fold *f, const char *format, ...) {
	if (f->study->arguments->json)
		return;
	va_list values;
	va_start(values, format);
	printf("fold %zu of %zu: ", f->number, f->study->plan.n_folds);
	vprintf(format, values);
	printf("\n");
	fflush(stdout);
	va_end(values);
}

/* ---- Steps ---- */

static int train_model(fold *f) {
	const study *s = f->study;
	if (files_exists(f->model_path)) {
		TRY_QMD(qmd_model_load(f->model_path, &f->model));
		say(f, "read the trained model from %s", f->model_path);
		return PROGRAM_OK;
	}
	const double start = seconds_now();
	qmd_pixels *pixels = NULL;
	TRY(pipeline_fit_pixels(s->arguments, s->dataset, f->split, &pixels));
	const int code = pipeline_train(s->arguments, s->dataset, f->split, pixels, f->checkpoint_path, &f->bar, &f->model);
	qmd_pixels_free(pixels);
	TRY(training_log_save(&f->log, f->log_path)); /* interrupted or not */
	TRY(code);
	TRY_QMD(qmd_model_save(f->model, f->model_path));
	f->train_seconds = seconds_now() - start;
	say(f, "trained on %zu frames in %.1f s", f->n_train, f->train_seconds);
	return files_remove(f->checkpoint_path);
}

/* cuDNN and cuBLAS compute too, for comparison. */
static int has_comparators(const fold *f) {
	return strncmp(f->study->arguments->device, "cuda", 4) == 0;
}

static int make_engine(fold *f) {
	const study *s = f->study;
	if (files_exists(f->engine_path)) {
		TRY_QMD(qmd_engine_load(f->engine_path, &f->engine));
		say(f, "read the engine from %s", f->engine_path);
		return PROGRAM_OK;
	}
	const double start = seconds_now();
	qmd_model *quantized = NULL;
	TRY(pipeline_quantize(s->arguments, f->model, s->dataset, f->split, &f->bar, &quantized));
	if (training_log_save(&f->log, f->log_path) != PROGRAM_OK) {
		qmd_model_free(quantized);
		return PROGRAM_FAILED;
	}
	qmd_status status = qmd_engine_compile(quantized, NULL, &f->engine);
	if (status == QMD_OK && has_comparators(f))
		status = qmd_model_save(quantized, f->quantized_path);
	qmd_model_free(quantized);
	if (status == QMD_OK)
		status = qmd_engine_save(f->engine, f->engine_path);
	TRY_QMD(status);
	f->quantize_seconds = seconds_now() - start;
	say(f, "quantized in %.1f s", f->quantize_seconds);
	return PROGRAM_OK;
}

static int allocate_scores(fold *f, size_t n_classes) {
	f->train_scores = calloc((f->n_train + 1) * n_classes, sizeof(double));
	f->test_scores = calloc((f->n_test + 1) * n_classes, sizeof(double));
	f->int8_train_scores = calloc((f->n_train + 1) * n_classes, sizeof(double));
	f->int8_test_scores = calloc((f->n_test + 1) * n_classes, sizeof(double));
	if (!f->train_scores || !f->test_scores || !f->int8_train_scores || !f->int8_test_scores)
		return fail_memory();
	return PROGRAM_OK;
}

static int quality_of(const fold *f, const double *train_scores, const double *test_scores, size_t n_classes,
					  json_t *result, const char *key) {
	classifier_quality quality;
	TRY(pipeline_quality(train_scores, f->train_images.labels, f->n_train, test_scores, f->test_images.labels,
						 f->n_test, n_classes, &quality));
	return json_object_set_new(result, key, report_quality(&quality)) == 0 ? PROGRAM_OK : report_fail();
}

static json_t *rows_of(const double *scores, size_t n, size_t n_classes) {
	json_t *rows = json_array();
	for (size_t i = 0; i < n; i++) {
		json_t *row = json_array();
		for (size_t c = 0; c < n_classes; c++)
			json_array_append_new(row, report_number(scores[i * n_classes + c]));
		json_array_append_new(rows, row);
	}
	return rows;
}

/* To each file that is held out: which of its frames, and their logits. */
static int add_logits(const fold *f, size_t n_classes, json_t *result) {
	size_t k, i = 0;
	json_t *file;
	json_array_foreach(json_object_get(result, "held_out"), k, file) {
		const size_t n = (size_t)json_integer_value(json_object_get(file, "n_frames"));
		json_t *frames = json_array();
		for (size_t j = i; j < i + n; j++) {
			qmd_frame_origin origin;
			TRY_QMD(qmd_dataset_frame_origin(f->study->dataset, f->test[j], &origin));
			json_array_append_new(frames, json_integer((json_int_t)origin.frame));
		}
		if (json_object_set_new(file, "frames", frames) != 0 ||
			json_object_set_new(file, "fp32_logits", rows_of(f->test_scores + i * n_classes, n, n_classes)) != 0 ||
			json_object_set_new(file, "int8_logits", rows_of(f->int8_test_scores + i * n_classes, n, n_classes)) != 0)
			return report_fail();
		i += n;
	}
	return PROGRAM_OK;
}

static int compare(fold *f, const qmd_model *model, const char *engine, size_t n_classes, json_t *result,
				   const char *key) {
	TRY(pipeline_predict(f->study->arguments, model, engine, &f->train_images, f->train_scores));
	TRY(pipeline_predict(f->study->arguments, model, engine, &f->test_images, f->test_scores));
	return quality_of(f, f->train_scores, f->test_scores, n_classes, result, key);
}

/* By cuDNN in FP16, and in INT8 of what the engine was compiled from. */
static int evaluate_comparators(fold *f, size_t n_classes, json_t *result) {
	qmd_model *quantized = NULL;
	if (!has_comparators(f))
		return PROGRAM_OK;
	TRY(compare(f, f->model, "cudnn-fp16", n_classes, result, "cudnn_fp16"));
	TRY_QMD(qmd_model_load(f->quantized_path, &quantized));
	const int code = compare(f, quantized, "cudnn-int8", n_classes, result, "cudnn_int8");
	qmd_model_free(quantized);
	return code;
}

/* The only place where held-out frames are looked at; nothing is chosen after it. */
static int evaluate(fold *f, json_t *result) {
	const study *s = f->study;
	const uint32_t n_threads = s->arguments->threads;
	const size_t n_classes = qmd_dataset_n_states(s->dataset);
	const qmd_pixels *pixels = qmd_engine_pixels(f->engine);
	TRY(allocate_scores(f, n_classes));
	TRY(data_load_images(s->dataset, pixels, s->class_of_state, f->train, f->n_train, &f->train_images));
	TRY(data_load_images(s->dataset, pixels, s->class_of_state, f->test, f->n_test, &f->test_images));

	TRY(compare(f, f->model, "fp32", n_classes, result, "fp32"));
	TRY(pipeline_run_engine(f->engine, n_threads, s->dataset, f->train, f->n_train, f->int8_train_scores));
	TRY(pipeline_run_engine(f->engine, n_threads, s->dataset, f->test, f->n_test, f->int8_test_scores));
	TRY(quality_of(f, f->int8_train_scores, f->int8_test_scores, n_classes, result, "int8"));
	const double agreement = metrics_agreement(f->test_scores, f->int8_test_scores, f->n_test, n_classes);
	if (json_object_set_new(result, "agreement", report_number(agreement)) != 0)
		return report_fail();
	TRY(add_logits(f, n_classes, result));
	TRY(evaluate_comparators(f, n_classes, result));

	TRY(baselines_nearest_mean(&f->train_images, &f->test_images, n_classes, f->train_scores, f->test_scores));
	TRY(quality_of(f, f->train_scores, f->test_scores, n_classes, result, "nearest_mean"));
	TRY(baselines_ridge(&f->train_images, &f->test_images, n_classes, f->train_scores, f->test_scores));
	return quality_of(f, f->train_scores, f->test_scores, n_classes, result, "ridge");
}

static int add_residues(const qmd_explanation *explanation, json_t *result) {
	json_t *residues = json_array();
	for (size_t r = 0; r < qmd_explanation_n_residues(explanation); r++) {
		qmd_residue_score score = {.struct_size = sizeof score};
		const qmd_status status = qmd_explanation_residue(explanation, r, &score);
		const profile_residue residue = residues_from_score(&score);
		if (status == QMD_OK && json_array_append_new(residues, report_residue(&residue)) == 0)
			continue;
		json_decref(residues);
		return status == QMD_OK ? report_fail() : fail_status(status);
	}
	return json_object_set_new(result, "residues", residues) == 0 ? PROGRAM_OK : report_fail();
}

static int explain(fold *f, json_t *result) {
	const study *s = f->study;
	const double start = seconds_now();
	size_t n = 0;
	uint32_t *frames = data_spread(f->test, f->n_test, s->arguments->explain_frames, &n);
	if (!frames)
		return fail_memory();
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.n_threads = s->arguments->threads;
	options.progress = progress_report;
	options.user = &f->bar;
	qmd_explanation *explanation = NULL;
	const qmd_status status = qmd_explain(f->engine, s->dataset, frames, n, &options, &explanation);
	progress_clear();
	free(frames);
	if (status != QMD_OK) {
		qmd_explanation_free(explanation); /* of some frames, where it was interrupted */
		return fail_status(status);
	}
	if (residues_are_all_zero(explanation))
		warn("fold %zu: every score of a residue is 0: the network says the same whatever it is shown", f->number);
	int code = add_residues(explanation, result);
	qmd_explanation_free(explanation);
	f->explain_seconds = seconds_now() - start;
	if (code == PROGRAM_OK && json_object_set_new(result, "n_explained", json_integer((json_int_t)n)) != 0)
		code = report_fail();
	return code;
}

static int put_to_the_test(fold *f, json_t *result) {
	progress_bar bar = f->bar;
	bar.log = NULL; /* of this fold's own network alone */
	trust_fold trusted = {
		.study = f->study, .number = f->number, .split = f->split, .model = f->model, .engine = f->engine, .bar = &bar};
	json_t *trust = NULL;
	const double start = seconds_now();
	const int code = study_trust_fold(&trusted, json_object_get(result, "residues"), &trust);
	f->trust_seconds = seconds_now() - start;
	if (code == PROGRAM_OK && json_object_set(result, "trust", trust) == 0) {
		json_decref(trust);
		return PROGRAM_OK;
	}
	json_decref(trust);
	return code == PROGRAM_OK ? report_fail() : code;
}

/* ---- The fold ---- */

json_t *study_held_out(const study *s, const qmd_split *split) {
	size_t n_test = 0;
	const uint32_t *test = qmd_split_test(split, &n_test);
	json_t *files = json_array();
	size_t i = 0;
	for (uint32_t state = 0; state < s->arguments->n_states; state++)
		for (uint32_t replica = 0; replica < s->arguments->states[state].n_trajectories; replica++) {
			size_t n = 0;
			qmd_frame_origin origin;
			/* Frames ascend state by state, replica by replica. */
			while (i + n < n_test && qmd_dataset_frame_origin(s->dataset, test[i + n], &origin) == QMD_OK &&
				   origin.state == state && origin.replica == replica)
				n++;
			i += n;
			if (n > 0)
				json_array_append_new(files, json_pack("{s:s, s:s, s:I}", "state", s->arguments->states[state].name,
													   "file", s->arguments->states[state].trajectories[replica],
													   "n_frames", (json_int_t)n));
		}
	return files;
}

static int fill_result(fold *f, json_t *result) {
	TRY(train_model(f));
	TRY(make_engine(f));
	TRY(progress_check_interrupt());
	TRY(evaluate(f, result));
	TRY(explain(f, result));
	TRY(put_to_the_test(f, result));
	json_t *seconds = json_pack("{s:o, s:o, s:o, s:o}", "train", report_number(f->train_seconds), "quantize",
								report_number(f->quantize_seconds), "explain", report_number(f->explain_seconds),
								"trust", report_number(f->trust_seconds));
	if (json_object_set_new(result, "seconds", seconds) != 0 || json_object_set(result, "training", f->log.phases) != 0)
		return report_fail();
	say(f, "test accuracy FP32 %.3f, INT8 %.3f on %zu frames", report_get(result, "fp32", "test_accuracy", NULL),
		report_get(result, "int8", "test_accuracy", NULL), f->n_test);
	return report_write(f->result_path, result);
}

static int run(fold *f) {
	const study *s = f->study;
	TRY(data_split(&s->plan, s->dataset, f->number, &f->split));
	f->train = qmd_split_train(f->split, &f->n_train);
	f->test = qmd_split_test(f->split, &f->n_test);
	TRY(training_log_open(&f->log, f->log_path));
	json_t *result =
		json_pack("{s:I, s:o, s:I, s:I}", "fold", (json_int_t)f->number, "held_out", study_held_out(s, f->split),
				  "n_train", (json_int_t)f->n_train, "n_test", (json_int_t)f->n_test);
	const int code = result ? fill_result(f, result) : report_fail();
	json_decref(result);
	return code;
}

int study_run_fold(const study *s, size_t number, json_t **result) {
	fold f = {.study = s,
			  .number = number,
			  .model_path = files_path(s->folder, "fold-%zu.qmd", number),
			  .quantized_path = files_path(s->folder, "fold-%zu-quantized.qmd", number),
			  .engine_path = files_path(s->folder, "fold-%zu.qme", number),
			  .checkpoint_path = files_path(s->folder, "fold-%zu.checkpoint", number),
			  .log_path = files_path(s->folder, "fold-%zu.training.json", number),
			  .result_path = files_path(s->folder, "fold-%zu.json", number),
			  .train_seconds = NAN,
			  .quantize_seconds = NAN,
			  .explain_seconds = NAN,
			  .trust_seconds = NAN};
	snprintf(f.label, sizeof f.label, "fold %zu", number);
	f.bar.label = f.label;
	f.bar.log = &f.log;
	f.bar.train_epochs = s->arguments->epochs;
	f.bar.fine_tune_epochs = s->arguments->qat_epochs;
	int code = PROGRAM_OK;
	if (!f.model_path || !f.quantized_path || !f.engine_path || !f.checkpoint_path || !f.log_path || !f.result_path)
		code = fail_memory();
	else if (files_exists(f.result_path))
		say(&f, "read from %s", f.result_path);
	else
		code = run(&f);
	if (code == PROGRAM_OK) /* with the digits of the file, also what was just made: --resume must not change one */
		code = report_load(f.result_path, result);
	fold_release(&f);
	return code;
}
