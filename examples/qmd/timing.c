#include "timing.h"

#include <stdlib.h>

#include "metrics.h"
#include "progress.h"

#define N_WARM_UP 20
#define N_STEPS 500
#define MAX_FRAMES 64 /* kept in memory and gone through again and again */

typedef struct stopwatch {
	double pixels[N_STEPS], network[N_STEPS]; /* seconds */
} stopwatch;

typedef struct timing_bench {
	const qmd_pixels *pixels;
	qmd_predictor *predictor;
	qmd_context *context;
	size_t n_atoms, n_frames;
	float *xyz;
	unsigned char *image;
	float *logits;
	stopwatch *fp32, *int8;
} timing_bench;

static void bench_release(timing_bench *bench) {
	qmd_predictor_free(bench->predictor);
	qmd_context_free(bench->context);
	free(bench->xyz);
	free(bench->image);
	free(bench->logits);
	free(bench->fp32);
	free(bench->int8);
}

static int bench_prepare(timing_bench *bench, const qmd_model *model, const qmd_engine *engine, qmd_dataset *dataset,
						 const uint32_t *frames, size_t n_frames) {
	bench->pixels = qmd_engine_pixels(engine);
	bench->n_atoms = qmd_dataset_n_atoms(dataset);
	bench->n_frames = n_frames < MAX_FRAMES ? n_frames : MAX_FRAMES;
	const size_t side = qmd_pixels_side(bench->pixels);
	bench->xyz = malloc(bench->n_frames * bench->n_atoms * 3 * sizeof *bench->xyz);
	bench->image = malloc(side * side * 3);
	bench->logits = malloc(qmd_engine_n_classes(engine) * sizeof *bench->logits);
	bench->fp32 = malloc(sizeof *bench->fp32);
	bench->int8 = malloc(sizeof *bench->int8);
	if (!bench->xyz || !bench->image || !bench->logits || !bench->fp32 || !bench->int8)
		return fail_memory();
	for (size_t i = 0; i < bench->n_frames; i++)
		TRY_QMD(qmd_dataset_read(dataset, frames[i], bench->xyz + i * bench->n_atoms * 3));
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.max_batch = 1;
	qmd_predictor_options predicting;
	qmd_predictor_options_init(&predicting);
	predicting.batch_size = 1;
	predicting.n_threads = 1;
	TRY_QMD(qmd_predictor_create(model, &predicting, &bench->predictor));
	TRY_QMD(qmd_context_create(engine, &options, &bench->context));
	return PROGRAM_OK;
}

static int time_step(timing_bench *bench, size_t step, int is_int8) {
	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.xyz = bench->xyz + step % bench->n_frames * bench->n_atoms * 3;
	frame.n_atoms = bench->n_atoms;
	const qmd_output output = {.name = "logits", .data = bench->logits};
	const double start = seconds_now();
	TRY_QMD(qmd_pixels_run(bench->pixels, &frame, 1, bench->image));
	const double middle = seconds_now();
	if (is_int8)
		TRY_QMD(qmd_context_run_images(bench->context, bench->image, 1, &output, 1));
	else
		TRY_QMD(qmd_predictor_run_images(bench->predictor, bench->image, qmd_pixels_type(bench->pixels), 1,
										 bench->logits, NULL));
	const double end = seconds_now();
	if (step >= N_WARM_UP) {
		stopwatch *watch = is_int8 ? bench->int8 : bench->fp32;
		watch->pixels[step - N_WARM_UP] = middle - start;
		watch->network[step - N_WARM_UP] = end - middle;
	}
	return PROGRAM_OK;
}

static step_time summarize(stopwatch *watch) {
	return (step_time){.pixels_median = 1e3 * metrics_quantile(watch->pixels, N_STEPS, 0.5),
					   .pixels_p99 = 1e3 * metrics_quantile(watch->pixels, N_STEPS, 0.99),
					   .network_median = 1e3 * metrics_quantile(watch->network, N_STEPS, 0.5),
					   .network_p99 = 1e3 * metrics_quantile(watch->network, N_STEPS, 0.99)};
}

static int bench_run(timing_bench *bench) {
	for (size_t step = 0; step < N_WARM_UP + N_STEPS; step++) {
		TRY(time_step(bench, step, 0));
		TRY(time_step(bench, step, 1));
	}
	return PROGRAM_OK;
}

int timing_measure(const qmd_model *model, const qmd_engine *engine, qmd_dataset *dataset, const uint32_t *frames,
				   size_t n_frames, step_time *fp32, step_time *int8) {
	timing_bench bench = {0};
	int code = bench_prepare(&bench, model, engine, dataset, frames, n_frames);
	if (code == PROGRAM_OK)
		code = bench_run(&bench);
	if (code == PROGRAM_OK) {
		*fp32 = summarize(bench.fp32);
		*int8 = summarize(bench.int8);
	}
	bench_release(&bench);
	return code;
}
