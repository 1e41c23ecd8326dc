#include "predictors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "report.h"
#include "table.h"

int timed_model_load(const program_arguments *arguments, uint32_t largest_batch, timed_model *timed) {
	*timed = (timed_model){.arguments = arguments};
	TRY_QMD(qmd_model_load(arguments->operands[0], &timed->model));
	const qmd_pixels *pixels = qmd_model_pixels(timed->model);
	if (!pixels)
		return fail("%s is not bound to pixels: there is no telling what images it reads", arguments->operands[0]);
	const size_t side = qmd_pixels_side(pixels);
	timed->images = calloc(largest_batch, 3 * side * side);
	return timed->images ? PROGRAM_OK : fail_memory();
}

void timed_model_release(timed_model *timed) {
	qmd_predictor_free(timed->predictor);
	qmd_model_free(timed->model);
	free(timed->images);
}

int timed_model_open(timed_model *timed, uint32_t batch) {
	qmd_predictor_options options;
	qmd_predictor_options_init(&options);
	options.engine = timed->arguments->engine;
	options.device = timed->arguments->device;
	options.n_threads = timed->arguments->has_threads ? timed->arguments->threads : 1;
	options.batch_size = batch;
	qmd_predictor_free(timed->predictor);
	timed->predictor = NULL;
	timed->batch = batch;
	TRY_QMD(qmd_predictor_create(timed->model, &options, &timed->predictor));
	return PROGRAM_OK;
}

static qmd_type image_type(const timed_model *timed) {
	return qmd_pixels_type(qmd_model_pixels(timed->model));
}

int timed_model_time(timed_model *timed, uint32_t n, qmd_run_time *times) {
	TRY_QMD(qmd_predictor_time(timed->predictor, timed->images, image_type(timed), timed->batch, n, times));
	return PROGRAM_OK;
}

int timed_model_has_parts(const timed_model *timed) {
	return strcmp(timed->arguments->engine, "fp32") != 0;
}

/* ---- Layer by layer ---- */

/* A layer and those that are computed with it. */
typedef struct timed_step {
	char names[512];
	const char *computed_by;
	double ms; /* median */
} timed_step;

/* By layers; no names where a layer is computed with another one. */
static int make_steps(const timed_model *timed, double *times, timed_step *steps) {
	const uint32_t n_repeats = timed->arguments->repeats;
	for (size_t i = 0; i < qmd_predictor_n_layers(timed->predictor); i++) {
		qmd_predictor_layer layer = {.struct_size = sizeof layer};
		TRY_QMD(qmd_predictor_layer_info(timed->predictor, i, &layer));
		timed_step *step = &steps[layer.computed_with];
		const size_t length = strlen(step->names);
		snprintf(step->names + length, sizeof step->names - length, "%s%s", length > 0 ? "+" : "", layer.name);
		if (layer.computed_with != i)
			continue;
		step->computed_by = layer.computed_by;
		step->ms = 1e3 * metrics_quantile(times + i * n_repeats, n_repeats, 0.5);
	}
	return PROGRAM_OK;
}

static void print_steps(const timed_model *timed, const timed_step *steps) {
	static const char *const headings[] = {"<layers", "ms", "<computed by", NULL};
	table t;
	table_start(&t, headings);
	for (size_t i = 0; i < qmd_predictor_n_layers(timed->predictor); i++) {
		if (steps[i].names[0] == '\0')
			continue;
		table_cell(&t, "%s", steps[i].names);
		table_number(&t, steps[i].ms, 4);
		table_cell(&t, "%s", steps[i].computed_by);
	}
	printf("%s by %s on %s, %u images at a time, medians of %u runs, layer by layer\n\n", timed->arguments->operands[0],
		   timed->arguments->engine, timed->arguments->device, timed->batch, timed->arguments->repeats);
	table_print(&t, stdout);
}

static int print_steps_json(const timed_model *timed, const timed_step *steps) {
	json_t *list = json_array();
	for (size_t i = 0; i < qmd_predictor_n_layers(timed->predictor); i++)
		if (steps[i].names[0] != '\0')
			json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "layers", steps[i].names, "computed_by",
												  steps[i].computed_by, "ms", report_number(steps[i].ms)));
	json_t *json = json_pack("{s:s, s:s, s:s, s:I, s:o}", "model", timed->arguments->operands[0], "engine",
							 timed->arguments->engine, "device", timed->arguments->device, "batch",
							 (json_int_t)timed->batch, "steps", list);
	const int code = json ? report_print(json) : report_fail();
	json_decref(json);
	return code;
}

static int time_layers(timed_model *timed, double *times, timed_step *steps) {
	const program_arguments *a = timed->arguments;
	TRY_QMD(
		qmd_predictor_time_layers(timed->predictor, timed->images, image_type(timed), timed->batch, a->repeats, times));
	TRY(make_steps(timed, times, steps));
	if (a->json)
		return print_steps_json(timed, steps);
	print_steps(timed, steps);
	return PROGRAM_OK;
}

static int profile(timed_model *timed) {
	TRY(timed_model_open(timed, timed->arguments->batch));
	const size_t n_layers = qmd_predictor_n_layers(timed->predictor);
	double *times = calloc(n_layers * timed->arguments->repeats, sizeof *times);
	timed_step *steps = calloc(n_layers, sizeof *steps);
	const int code = times && steps ? time_layers(timed, times, steps) : fail_memory();
	free(times);
	free(steps);
	return code;
}

int timed_model_profile(const program_arguments *arguments) {
	timed_model timed;
	int code = timed_model_load(arguments, arguments->batch, &timed);
	if (code == PROGRAM_OK)
		code = profile(&timed);
	timed_model_release(&timed);
	return code;
}
