#include "profile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "progress.h"
#include "report.h"

/* Engines take turns: so many batches of one, then of the next. */
#define TURNS 10

/* ---- Opening ---- */

static double n_elements(qmd_shape shape) {
	return (double)shape.h * shape.w * shape.c;
}

static void describe_step(step_profile *step, double batch) {
	const qmd_engine_layer *layer = &step->layer;
	const int reads_floats = strcmp(layer->op, "softmax") == 0;
	const double n_inputs = strcmp(layer->op, "add") == 0 ? 2 : 1;
	const double read = n_inputs * n_elements(layer->input) * (reads_floats ? 4 : 1);
	const double written = n_elements(layer->output) * (layer->output_scale == 0 ? 4 : 1);
	step->n_macs = batch * (double)layer->n_macs;
	step->n_bytes = (double)layer->weight_bytes + batch * (read + written);
	step->seconds = NAN;
}

/* Images of noise: the time does not depend on what they show. */
static int make_images(engine_profile *profile) {
	const size_t size = profile->batch * (size_t)n_elements(qmd_engine_image_shape(profile->engine));
	uint32_t state = 1;
	profile->images = malloc(size);
	if (!profile->images)
		return fail_memory();
	for (size_t i = 0; i < size; i++) {
		state = state * 1664525u + 1013904223u;
		profile->images[i] = (unsigned char)(state >> 24);
	}
	return PROGRAM_OK;
}

int profile_open(engine_profile *profile, const program_arguments *arguments, const char *path) {
	profile->path = path;
	profile->batch = arguments->batch;
	profile->threads = arguments->has_threads ? arguments->threads : 1;
	profile->pixels_seconds = profile->network_seconds = NAN;
	TRY_QMD(qmd_engine_load(path, &profile->engine));
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.n_threads = profile->threads;
	options.max_batch = profile->batch;
	options.device = arguments->device;
	TRY_QMD(qmd_context_create(profile->engine, &options, &profile->context));
	profile->device.struct_size = sizeof profile->device;
	TRY_QMD(qmd_context_device_info(profile->context, &profile->device));
	TRY(make_images(profile));
	profile->n_steps = qmd_engine_n_layers(profile->engine);
	profile->steps = calloc(profile->n_steps, sizeof *profile->steps);
	if (!profile->steps)
		return fail_memory();
	for (size_t i = 0; i < profile->n_steps; i++) {
		step_profile *step = &profile->steps[i];
		step->layer.struct_size = sizeof step->layer;
		TRY_QMD(qmd_engine_layer_info(profile->engine, i, &step->layer));
		step->layer.kernel = qmd_context_kernel(profile->context, i);
		describe_step(step, profile->batch);
	}
	return PROGRAM_OK;
}

void profile_release(engine_profile *profile) {
	qmd_context_free(profile->context);
	qmd_engine_free(profile->engine);
	free(profile->images);
	free(profile->steps);
	*profile = (engine_profile){0};
}

int profile_is_on_gpu(const engine_profile *profile) {
	return strcmp(profile->device.device, "cpu") != 0;
}

/* ---- Measuring ---- */

/* The pixels of the reference itself, frame after frame. */
static int time_pixels(engine_profile *profile, uint32_t repeats) {
	const qmd_pixels *pixels = qmd_engine_pixels(profile->engine);
	if (!pixels)
		return PROGRAM_OK;
	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.n_atoms = qmd_pixels_n_atoms(pixels);
	float *xyz = malloc(frame.n_atoms * 3 * sizeof *xyz);
	double *times = malloc(repeats * sizeof *times);
	qmd_status status = xyz && times ? qmd_pixels_reference(pixels, xyz) : QMD_OK;
	frame.xyz = xyz;
	for (uint32_t i = 0; xyz && times && status == QMD_OK && i < repeats; i++) {
		const double start = seconds_now();
		status = qmd_pixels_run(pixels, &frame, 1, profile->images);
		times[i] = seconds_now() - start;
	}
	if (xyz && times && status == QMD_OK)
		profile->pixels_seconds = profile->batch * metrics_quantile(times, repeats, 0.5);
	const int has_memory = xyz && times;
	free(xyz);
	free(times);
	if (!has_memory)
		return fail_memory();
	return status == QMD_OK ? PROGRAM_OK : fail_status(status);
}

/* turns: [n_profiles][TURNS][n_steps] medians of each turn, the profiles' one behind the other */
static int take_turns(engine_profile *profiles, size_t n_profiles, uint32_t repeats, double *turns) {
	for (size_t turn = 0; turn < TURNS; turn++) {
		double *own = turns;
		for (size_t i = 0; i < n_profiles; own += TURNS * profiles[i].n_steps, i++) {
			TRY(progress_check_interrupt());
			TRY_QMD(qmd_context_profile(profiles[i].context, profiles[i].images, profiles[i].batch, repeats,
										own + turn * profiles[i].n_steps));
		}
	}
	return PROGRAM_OK;
}

static void summarize(engine_profile *profile, const double *turns) {
	profile->network_seconds = 0;
	for (size_t i = 0; i < profile->n_steps; i++) {
		double values[TURNS];
		for (size_t turn = 0; turn < TURNS; turn++)
			values[turn] = turns[turn * profile->n_steps + i];
		profile->steps[i].seconds = metrics_quantile(values, TURNS, 0.5);
		profile->network_seconds += profile->steps[i].seconds;
	}
}

int profile_measure(engine_profile *profiles, size_t n_profiles, uint32_t repeats) {
	size_t n = 1; /* never an empty array */
	for (size_t i = 0; i < n_profiles; i++)
		n += TURNS * profiles[i].n_steps;
	double *turns = malloc(n * sizeof *turns);
	if (!turns)
		return fail_memory();
	int code = take_turns(profiles, n_profiles, (repeats + TURNS - 1) / TURNS, turns);
	const double *own = turns;
	for (size_t i = 0; code == PROGRAM_OK && i < n_profiles; own += TURNS * profiles[i].n_steps, i++) {
		summarize(&profiles[i], own);
		if (code == PROGRAM_OK && !profile_is_on_gpu(&profiles[i]))
			code = time_pixels(&profiles[i], repeats);
	}
	free(turns);
	return code;
}

/* ---- Saying ---- */

const char *profile_shape_text(qmd_shape shape, char *text, size_t size) {
	if (shape.h == 1 && shape.w == 1)
		snprintf(text, size, "%u", shape.c);
	else
		snprintf(text, size, "%ux%ux%u", shape.h, shape.w, shape.c);
	return text;
}

/* The steps it reads, -1 for the image. */
static json_t *inputs_json(const qmd_engine_layer *layer) {
	return layer->inputs[1] < -1 ? json_pack("[i]", (int)layer->inputs[0])
								 : json_pack("[i,i]", (int)layer->inputs[0], (int)layer->inputs[1]);
}

static json_t *step_json(const engine_profile *profile, const step_profile *step, double peak) {
	const qmd_engine_layer *layer = &step->layer;
	const double rate = step->n_macs / step->seconds;
	const int has_macs = step->n_macs > 0 && step->seconds > 0;
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:[i,i,i], s:[i,i,i], s:o, s:o, s:I, s:I, s:I, s:o, s:o}", "layers",
					 layer->name, "op", layer->op, "kernel", layer->kernel, "why", layer->why, "inputs",
					 inputs_json(layer), "input", (int)layer->input.h, (int)layer->input.w, (int)layer->input.c,
					 "output", (int)layer->output.h, (int)layer->output.w, (int)layer->output.c, "ms",
					 report_number(1e3 * step->seconds), "share",
					 report_number(step->seconds / profile->network_seconds), "n_macs", (json_int_t)step->n_macs,
					 "n_bytes", (json_int_t)step->n_bytes, "weight_bytes", (json_int_t)layer->weight_bytes,
					 "gmacs_per_second", report_number(has_macs ? 1e-9 * rate : NAN), "share_of_peak",
					 report_number(has_macs && peak > 0 ? rate / (peak * profile->threads) : NAN));
}

json_t *profile_json(const engine_profile *profile, double peak) {
	json_t *steps = json_array();
	for (size_t i = 0; i < profile->n_steps; i++)
		if (json_array_append_new(steps, step_json(profile, &profile->steps[i], peak)) != 0) {
			json_decref(steps);
			return NULL;
		}
	return json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o}", "file", profile->path, "device", profile->device.device,
					 "batch", (json_int_t)profile->batch, "threads", (json_int_t)profile->threads, "pixels_ms",
					 report_number(1e3 * profile->pixels_seconds), "network_ms",
					 report_number(1e3 * profile->network_seconds), "steps", steps);
}
