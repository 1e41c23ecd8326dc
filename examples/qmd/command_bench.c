#include "commands.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "predictors.h"
#include "progress.h"
#include "report.h"
#include "table.h"

#define N_WARM_UP 20
#define N_PARTS 4

static const char *const part_names[N_PARTS] = {"input", "compute", "output", "end to end"};

/* One number of frames at a time, with graphs or without. */
typedef struct bench_case {
	uint32_t batch;
	int graph;
	double *times; /* [N_PARTS][repeats], in ms */
} bench_case;

typedef struct bench {
	const program_arguments *arguments;
	qmd_engine *engine;
	timed_model timed;          /* with --engine, in the place of an engine's file */
	char device[32], name[256]; /* what the first case ran on */
	int on_gpu, has_parts;
	float *xyz;
	qmd_frame *frames;
	qmd_run_time *raw;
	bench_case *cases;
	size_t n_cases;
} bench;

static void release(bench *b) {
	for (size_t i = 0; i < b->n_cases; i++)
		free(b->cases[i].times);
	free(b->cases);
	free(b->raw);
	free(b->frames);
	free(b->xyz);
	qmd_engine_free(b->engine);
	timed_model_release(&b->timed);
}

/* ---- Measuring ---- */

/* Every frame is the reference itself: the time does not depend on what it shows. */
static int prepare_frames(bench *b) {
	const program_arguments *a = b->arguments;
	TRY_QMD(qmd_engine_load(a->operands[0], &b->engine));
	const qmd_pixels *pixels = qmd_engine_pixels(b->engine);
	if (!pixels)
		return fail("%s was compiled without pixels: it cannot run frames", a->operands[0]);
	const size_t n_atoms = qmd_engine_n_atoms(b->engine);
	b->xyz = malloc(n_atoms * 3 * sizeof *b->xyz);
	b->frames = calloc(ARGUMENTS_MAX_BATCH, sizeof *b->frames);
	if (!b->xyz || !b->frames)
		return fail_memory();
	TRY_QMD(qmd_pixels_reference(pixels, b->xyz));
	for (size_t i = 0; i < ARGUMENTS_MAX_BATCH; i++) {
		qmd_frame_init(&b->frames[i]);
		b->frames[i].xyz = b->xyz;
		b->frames[i].n_atoms = n_atoms;
	}
	return PROGRAM_OK;
}

static int prepare(bench *b) {
	const program_arguments *a = b->arguments;
	uint32_t largest = 1;
	for (size_t i = 0; i < a->n_batches; i++)
		largest = a->batches[i] > largest ? a->batches[i] : largest;
	b->raw = calloc(a->repeats + N_WARM_UP, sizeof *b->raw);
	b->cases = calloc(2 * ARGUMENTS_MAX_BATCHES, sizeof *b->cases);
	if (!b->raw || !b->cases)
		return fail_memory();
	return a->engine ? timed_model_load(a, largest, &b->timed) : prepare_frames(b);
}

static int note_device(bench *b, const qmd_context *context) {
	qmd_context_device device = {.struct_size = sizeof device};
	TRY_QMD(qmd_context_device_info(context, &device));
	snprintf(b->device, sizeof b->device, "%s", device.device);
	snprintf(b->name, sizeof b->name, "%s", device.name);
	b->on_gpu = b->has_parts = strcmp(device.device, "cpu") != 0;
	return PROGRAM_OK;
}

static int keep_times(bench *b, bench_case *c) {
	const uint32_t n = b->arguments->repeats;
	c->times = malloc(N_PARTS * (size_t)n * sizeof *c->times);
	if (!c->times)
		return fail_memory();
	for (uint32_t i = 0; i < n; i++) {
		const qmd_run_time *time = &b->raw[N_WARM_UP + i];
		const double seconds[N_PARTS] = {time->input, time->compute, time->output, time->total};
		for (size_t k = 0; k < N_PARTS; k++)
			c->times[k * n + i] = 1e3 * seconds[k];
	}
	return PROGRAM_OK;
}

static int measure(bench *b, uint32_t batch, int graph) {
	qmd_context_options options;
	qmd_context *context;
	qmd_context_options_init(&options);
	options.device = b->arguments->device;
	options.n_threads = b->arguments->has_threads ? b->arguments->threads : 1;
	options.max_batch = batch;
	options.graph = graph;
	TRY(progress_check_interrupt());
	TRY_QMD(qmd_context_create(b->engine, &options, &context));
	const qmd_status status = qmd_context_time(context, b->frames, batch, b->arguments->repeats + N_WARM_UP, b->raw);
	int code = status == QMD_OK ? note_device(b, context) : fail_status(status);
	qmd_context_free(context);
	bench_case *c = &b->cases[b->n_cases++];
	*c = (bench_case){.batch = batch, .graph = graph};
	return code == PROGRAM_OK ? keep_times(b, c) : code;
}

/* A model's engine runs as a graph wherever it can. */
static int measure_model(bench *b, uint32_t batch) {
	TRY(progress_check_interrupt());
	TRY(timed_model_open(&b->timed, batch));
	TRY(timed_model_time(&b->timed, b->arguments->repeats + N_WARM_UP, b->raw));
	snprintf(b->device, sizeof b->device, "%s", b->arguments->device);
	snprintf(b->name, sizeof b->name, "%s", b->arguments->engine);
	b->on_gpu = strcmp(b->device, "cpu") != 0;
	b->has_parts = timed_model_has_parts(&b->timed);
	bench_case *c = &b->cases[b->n_cases++];
	*c = (bench_case){.batch = batch, .graph = b->has_parts};
	return keep_times(b, c);
}

static int measure_all(bench *b) {
	for (size_t i = 0; i < b->arguments->n_batches; i++) {
		if (b->arguments->engine) {
			TRY(measure_model(b, b->arguments->batches[i]));
			continue;
		}
		TRY(measure(b, b->arguments->batches[i], 1));
		if (b->on_gpu)
			TRY(measure(b, b->arguments->batches[i], 0));
	}
	return PROGRAM_OK;
}

/* ---- Saying ---- */

/* As trtexec reports times, in ms. */
typedef struct time_summary {
	double min, mean, median, p90, p99;
} time_summary;

static time_summary summarize(const bench *b, const bench_case *c, size_t part) {
	const size_t n = b->arguments->repeats;
	double *times = c->times + part * n;
	return (time_summary){.min = metrics_quantile(times, n, 0),
						  .mean = metrics_mean(times, n),
						  .median = metrics_quantile(times, n, 0.5),
						  .p90 = metrics_quantile(times, n, 0.9),
						  .p99 = metrics_quantile(times, n, 0.99)};
}

/* Frames a second, from end to end. */
static double throughput(const bench *b, const bench_case *c) {
	return 1e3 * c->batch / summarize(b, c, N_PARTS - 1).mean;
}

/* On the CPU a run has no parts, and of a model in FP32 they are not told apart. */
static int has_part(const bench *b, size_t part) {
	return b->has_parts || part == N_PARTS - 1;
}

static void put_case(const bench *b, const bench_case *c, table *t) {
	for (size_t k = 0; k < N_PARTS; k++) {
		if (!has_part(b, k))
			continue;
		const time_summary s = summarize(b, c, k);
		table_cell(t, "%u", c->batch);
		table_cell(t, "%s", b->has_parts ? c->graph ? "graph" : "launches" : "");
		table_cell(t, "%s", part_names[k]);
		table_number(t, s.min, 4);
		table_number(t, s.mean, 4);
		table_number(t, s.median, 4);
		table_number(t, s.p90, 4);
		table_number(t, s.p99, 4);
		table_number(t, k == N_PARTS - 1 ? throughput(b, c) : NAN, 0);
	}
}

static void print_tables(const bench *b) {
	static const char *const headings[] = {"batch",  "<by", "<part", "min ms",   "mean",
										   "median", "p90", "p99",   "frames/s", NULL};
	table t;
	table_start(&t, headings);
	for (size_t i = 0; i < b->n_cases; i++)
		put_case(b, &b->cases[i], &t);
	printf("%s on %s%s%s, %u runs each\n\n", b->arguments->operands[0], b->device, b->name[0] != '\0' ? ", " : "",
		   b->name, b->arguments->repeats);
	table_print(&t, stdout);
}

static json_t *case_json(const bench *b, const bench_case *c) {
	json_t *parts = json_object();
	for (size_t k = 0; k < N_PARTS; k++) {
		if (!has_part(b, k))
			continue;
		const time_summary s = summarize(b, c, k);
		json_object_set_new(parts, part_names[k],
							json_pack("{s:o, s:o, s:o, s:o, s:o}", "min_ms", report_number(s.min), "mean_ms",
									  report_number(s.mean), "median_ms", report_number(s.median), "p90_ms",
									  report_number(s.p90), "p99_ms", report_number(s.p99)));
	}
	return json_pack("{s:I, s:b, s:o, s:o}", "batch", (json_int_t)c->batch, "graph", b->has_parts && c->graph,
					 "frames_per_second", report_number(throughput(b, c)), "parts", parts);
}

static int print_json(const bench *b) {
	json_t *cases = json_array();
	for (size_t i = 0; i < b->n_cases; i++)
		json_array_append_new(cases, case_json(b, &b->cases[i]));
	json_t *json = json_pack("{s:s, s:s, s:s, s:I, s:o}", "engine", b->arguments->operands[0], "device", b->device,
							 "device_name", b->name, "repeats", (json_int_t)b->arguments->repeats, "cases", cases);
	const int code = json ? report_print(json) : report_fail();
	json_decref(json);
	return code;
}

static int run(const program_arguments *arguments) {
	bench b = {.arguments = arguments};
	progress_catch_interrupt();
	int code = prepare(&b);
	if (code == PROGRAM_OK)
		code = measure_all(&b);
	if (code == PROGRAM_OK && arguments->json)
		code = print_json(&b);
	else if (code == PROGRAM_OK)
		print_tables(&b);
	release(&b);
	return code;
}

static const option_code options[] = {OPTION_BATCHES, OPTION_REPEATS, OPTION_DEVICE, OPTION_ENGINE,
									  OPTION_THREADS, OPTION_JSON,    OPTION_HELP,   OPTION_END};

const program_command command_bench = {
	.name = "bench",
	.summary = "Time an engine from coordinates to probabilities, over sizes of batches",
	.operands = "ENGINE.qme [--device cuda] [--batches N,N...] | MODEL.qmd --engine cudnn-fp16",
	.details =
		"\nOf each batch the least, mean, median, 90th and 99th percentile. On a GPU also of its parts, by the GPU's "
		"clock:\ncoordinates to the GPU, pixels and network, probabilities back; once by one graph, once by single "
		"launches. End to\nend is by wall clock, with coordinates and probabilities in the memory of the host.\n\nWith "
		"--engine it is a model, as cuDNN and cuBLAS "
		"or FP32 compute it, from images to logits: pixels are no part of it.\n",
	.min_operands = 1,
	.max_operands = 1,
	.options = options,
	.run = run};
