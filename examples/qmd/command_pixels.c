#include "commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atoms.h"
#include "data.h"
#include "files.h"
#include "kind.h"
#include "npy.h"
#include "pipeline.h"
#include "report.h"

#define FRAMES_AT_A_TIME 64

typedef struct pixels_job {
	const program_arguments *arguments;
	qmd_dataset *dataset;
	split_plan plan;
	qmd_split *split;
	qmd_model *model;
	qmd_engine *engine;
	qmd_pixels *fitted;
	const qmd_pixels *pixels; /* of the model, of the engine, or fitted */
	size_t first, n;          /* frames to write */
	unsigned char *images;    /* FRAMES_AT_A_TIME images */
} pixels_job;

static void release(pixels_job *job) {
	qmd_model_free(job->model);
	qmd_engine_free(job->engine);
	qmd_pixels_free(job->fitted);
	qmd_split_free(job->split);
	qmd_dataset_free(job->dataset);
	free(job->images);
}

static int borrow_pixels(pixels_job *job) {
	const char *path = job->arguments->model;
	file_kind kind;
	TRY(kind_of_file(path, &kind));
	if (kind == KIND_ENGINE)
		TRY_QMD(qmd_engine_load(path, &job->engine));
	else
		TRY_QMD(qmd_model_load(path, &job->model));
	job->pixels = kind == KIND_ENGINE ? qmd_engine_pixels(job->engine) : qmd_model_pixels(job->model);
	if (!job->pixels)
		return fail("%s: has no pixels", path);
	return atoms_check_pixels(job->pixels, job->dataset);
}

static int fit_pixels(pixels_job *job) {
	TRY(data_plan_split(job->arguments, job->dataset, &job->plan));
	TRY(data_split(&job->plan, job->dataset, job->arguments->fold, &job->split));
	TRY(pipeline_fit_pixels(job->arguments, job->dataset, job->split, &job->fitted));
	job->pixels = job->fitted;
	return PROGRAM_OK;
}

static int render(pixels_job *job, size_t first, size_t n) {
	uint32_t frames[FRAMES_AT_A_TIME];
	for (size_t i = 0; i < n; i++)
		frames[i] = (uint32_t)(first + i);
	TRY_QMD(qmd_pixels_run_dataset(job->pixels, job->dataset, frames, n, job->images));
	return PROGRAM_OK;
}

static int write_npy(pixels_job *job, FILE *file) {
	const size_t side = qmd_pixels_side(job->pixels), image_size = side * side * 3;
	int has_failed = npy_write_header(file, job->n, side, qmd_pixels_type(job->pixels)) != 0;
	for (size_t done = 0; done < job->n && !has_failed;) {
		const size_t n = job->n - done < FRAMES_AT_A_TIME ? job->n - done : FRAMES_AT_A_TIME;
		TRY(render(job, job->first + done, n));
		has_failed = fwrite(job->images, image_size, n, file) != n;
		done += n;
	}
	return has_failed ? fail("%s: cannot be written: %s", job->arguments->output, strerror(errno)) : PROGRAM_OK;
}

static int write_file(pixels_job *job) {
	const char *path = job->arguments->output;
	if (files_has_suffix(path, ".png")) {
		TRY(render(job, job->first, 1));
		TRY_QMD(qmd_pixels_write_png(job->pixels, job->images, path));
		return PROGRAM_OK;
	}
	FILE *file = fopen(path, "wb");
	if (!file)
		return fail("%s: cannot be written: %s", path, strerror(errno));
	int code = write_npy(job, file);
	if (fclose(file) != 0 && code == PROGRAM_OK)
		code = fail("%s: cannot be written: %s", path, strerror(errno));
	if (code != PROGRAM_OK)
		remove(path);
	return code;
}

/* Frames are numbered state by state. */
static json_t *describe_states(const qmd_dataset *dataset) {
	json_t *states = json_array();
	uint32_t frame = 0;
	const size_t n_frames = qmd_dataset_n_frames(dataset);
	for (uint32_t s = 0; s < qmd_dataset_n_states(dataset); s++) {
		const uint32_t first = frame;
		qmd_frame_origin origin;
		while (frame < n_frames && qmd_dataset_frame_origin(dataset, frame, &origin) == QMD_OK && origin.state == s)
			frame++;
		json_array_append_new(states,
							  json_pack("{s:s, s:I, s:I}", "name", qmd_dataset_state_name(dataset, s), "first_frame",
										(json_int_t)first, "n_frames", (json_int_t)(frame - first)));
	}
	return states;
}

static int report_result(const pixels_job *job) {
	const size_t side = qmd_pixels_side(job->pixels);
	if (!job->arguments->json) {
		TRY(data_print(job->dataset));
		printf("%s pixels, %zu x %zu, superposed on %zu atoms; %zu image%s written to %s\n",
			   pixels_name(qmd_pixels_kind_of(job->pixels)), side, side, qmd_pixels_n_superposed(job->pixels), job->n,
			   job->n == 1 ? "" : "s", job->arguments->output);
		return PROGRAM_OK;
	}
	json_t *json = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "images", job->arguments->output, "pixels",
							 pixels_name(qmd_pixels_kind_of(job->pixels)), "type",
							 qmd_pixels_type(job->pixels) == QMD_S8 ? "s8" : "u8", "n_images", (json_int_t)job->n,
							 "side", (json_int_t)side, "n_superposed", (json_int_t)qmd_pixels_n_superposed(job->pixels),
							 "states", describe_states(job->dataset));
	const int code = report_print(json);
	json_decref(json);
	return code;
}

static int make_pixels(pixels_job *job) {
	const program_arguments *a = job->arguments;
	const int is_png = a->output && files_has_suffix(a->output, ".png");
	if (!a->output || (!is_png && !files_has_suffix(a->output, ".npy")))
		return fail_usage("give -o FILE.npy for all images, or -o FILE.png for the image of one frame");
	TRY(data_open(a, 1, &job->dataset));
	const size_t n_frames = qmd_dataset_n_frames(job->dataset);
	if (a->frame != SIZE_MAX && a->frame >= n_frames)
		return fail("--frame %zu, but there are %zu frames", a->frame, n_frames);
	job->first = a->frame == SIZE_MAX ? 0 : a->frame;
	job->n = is_png || a->frame != SIZE_MAX ? 1 : n_frames;
	TRY(a->model ? borrow_pixels(job) : fit_pixels(job));
	const size_t side = qmd_pixels_side(job->pixels);
	job->images = calloc(FRAMES_AT_A_TIME, side * side * 3);
	if (!job->images)
		return fail_memory();
	TRY(write_file(job));
	return report_result(job);
}

static int run(const program_arguments *arguments) {
	pixels_job job = {.arguments = arguments};
	const int code = make_pixels(&job);
	release(&job);
	return code;
}

static const option_code options[] = {OPTION_STATE, OPTION_OUTPUT, OPTION_MODEL,  OPTION_FRAME,     OPTION_SELECT,
									  OPTION_MAP,   OPTION_STRIDE, OPTION_PIXELS, OPTION_SUPERPOSE, OPTION_RANGE,
									  OPTION_SIGMA, OPTION_SPLIT,  OPTION_FOLDS,  OPTION_FOLD,      OPTION_GAP,
									  OPTION_SEED,  OPTION_JSON,   OPTION_HELP,   OPTION_END};

const program_command command_pixels = {.name = "pixels",
										.summary = "Turn frames into images: a NumPy array of all, or a PNG of one",
										.operands = "--state NAME=PDB,NC[,NC...] ... -o FILE.npy|FILE.png",
										.details =
											"\nPixels are fitted on all frames, or with --fold on the training frames; "
											"--model takes those of a model or an\n"
											"engine instead. Images are numbered state by state, file by file.\n",
										.options = options,
										.run = run};
