#include "commands.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "atoms.h"
#include "files.h"
#include "report.h"

#define FRAMES_AT_A_TIME 32

typedef struct run_job {
	const program_arguments *arguments;
	qmd_engine *engine;
	qmd_context *context;
	qmd_trajectory *trajectory;
	uint32_t *indices; /* of the engine's atoms in a frame of the trajectory; NULL: they are the engine's, in order */
	size_t n_atoms, n_classes, n_frames;
	float *xyz;
	double (*boxes)[9];
	qmd_frame *frames;
	float *probabilities;
	FILE *csv;
	json_t *rows; /* with --json */
} run_job;

static void release(run_job *job) {
	qmd_context_free(job->context);
	qmd_engine_free(job->engine);
	qmd_trajectory_free(job->trajectory);
	free(job->indices);
	free(job->xyz);
	free(job->boxes);
	free(job->frames);
	free(job->probabilities);
	json_decref(job->rows);
}

/* Where the engine's atoms stand in a frame. */
static int match_atoms(run_job *job) {
	const size_t wanted = qmd_engine_n_atoms(job->engine);
	job->n_atoms = qmd_trajectory_n_atoms(job->trajectory);
	if (!job->arguments->topology)
		return job->n_atoms == wanted
				   ? PROGRAM_OK
				   : fail("%s has %zu atoms, the engine looks at %zu: give --topology PDB to find them",
						  job->arguments->operands[1], job->n_atoms, wanted);
	qmd_atom *atoms = NULL;
	size_t n = 0;
	TRY(atoms_load(job->arguments->topology, &atoms, &n));
	int code = PROGRAM_OK;
	if (n != job->n_atoms)
		code = fail("%s has %zu atoms, but %s has %zu", job->arguments->topology, n, job->arguments->operands[1],
					job->n_atoms);
	job->indices = malloc(wanted * sizeof *job->indices);
	if (code == PROGRAM_OK && !job->indices)
		code = fail_memory();
	if (code == PROGRAM_OK) {
		const qmd_status status = qmd_engine_match(job->engine, atoms, n, job->indices);
		code = status == QMD_OK ? PROGRAM_OK : fail_status(status);
	}
	free(atoms);
	return code;
}

static int prepare(run_job *job) {
	const program_arguments *a = job->arguments;
	TRY_QMD(qmd_engine_load(a->operands[0], &job->engine));
	if (qmd_engine_n_atoms(job->engine) == 0)
		return fail("%s was compiled without pixels: it cannot run frames", a->operands[0]);
	TRY_QMD(qmd_trajectory_open((const char *const *)a->operands + 1, a->n_operands - 1, 0, &job->trajectory));
	TRY(match_atoms(job));
	job->n_classes = qmd_engine_n_classes(job->engine);
	job->n_frames = qmd_trajectory_n_frames(job->trajectory);
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.n_threads = a->threads;
	options.max_batch = FRAMES_AT_A_TIME;
	options.device = a->device;
	TRY_QMD(qmd_context_create(job->engine, &options, &job->context));
	job->xyz = calloc(FRAMES_AT_A_TIME * job->n_atoms, 3 * sizeof(float));
	job->boxes = calloc(FRAMES_AT_A_TIME, sizeof *job->boxes);
	job->frames = calloc(FRAMES_AT_A_TIME, sizeof *job->frames);
	job->probabilities = calloc(FRAMES_AT_A_TIME * job->n_classes, sizeof(float));
	job->rows = json_array();
	if (!job->xyz || !job->boxes || !job->frames || !job->probabilities || !job->rows)
		return fail_memory();
	return PROGRAM_OK;
}

static int read_frame(run_job *job, size_t i, size_t number) {
	int has_box = 0;
	float *xyz = job->xyz + i * job->n_atoms * 3;
	TRY_QMD(qmd_trajectory_read(job->trajectory, number, 1, xyz));
	TRY_QMD(qmd_trajectory_box(job->trajectory, number, job->boxes[i], &has_box));
	qmd_frame *frame = &job->frames[i];
	qmd_frame_init(frame);
	frame->xyz = xyz;
	frame->n_atoms = job->n_atoms;
	frame->indices = job->indices;
	frame->box = has_box ? job->boxes[i] : NULL;
	return PROGRAM_OK;
}

/* NaN where the file has no times. */
static int read_time(run_job *job, size_t number, double *time_ps) {
	*time_ps = NAN;
	const qmd_status status = qmd_trajectory_time_ps(job->trajectory, number, time_ps);
	if (status == QMD_OK || status == QMD_ERROR_STATE)
		return PROGRAM_OK;
	return fail_status(status);
}

static int put_row(run_job *job, size_t number, const float *probabilities) {
	double time_ps;
	TRY(read_time(job, number, &time_ps));
	if (job->arguments->json) {
		json_t *values = json_array();
		for (size_t c = 0; c < job->n_classes; c++)
			json_array_append_new(values, report_number(probabilities[c]));
		json_t *row = json_pack("{s:I, s:o, s:o}", "frame", (json_int_t)number, "time_ps", report_number(time_ps),
								"probabilities", values);
		return json_array_append_new(job->rows, row) == 0 ? PROGRAM_OK : report_fail();
	}
	fprintf(job->csv, "%zu,", number);
	if (isfinite(time_ps))
		fprintf(job->csv, "%.9g", time_ps);
	for (size_t c = 0; c < job->n_classes; c++)
		fprintf(job->csv, ",%.9g", (double)probabilities[c]);
	fputc('\n', job->csv);
	return PROGRAM_OK;
}

static void put_headings(const run_job *job) {
	fputs("frame,time_ps", job->csv);
	for (size_t c = 0; c < job->n_classes; c++) {
		char heading[300];
		snprintf(heading, sizeof heading, "p_%s", qmd_engine_class_name(job->engine, c));
		fputc(',', job->csv);
		files_csv_field(job->csv, heading);
	}
	fputc('\n', job->csv);
}

static int run_frames(run_job *job) {
	const size_t stride = job->arguments->stride, n = (job->n_frames + stride - 1) / stride;
	if (!job->arguments->json)
		put_headings(job);
	for (size_t first = 0; first < n; first += FRAMES_AT_A_TIME) {
		const size_t count = n - first < FRAMES_AT_A_TIME ? n - first : FRAMES_AT_A_TIME;
		for (size_t i = 0; i < count; i++)
			TRY(read_frame(job, i, (first + i) * stride));
		TRY_QMD(qmd_context_run(job->context, job->frames, count, job->probabilities));
		for (size_t i = 0; i < count; i++)
			TRY(put_row(job, (first + i) * stride, job->probabilities + i * job->n_classes));
	}
	return PROGRAM_OK;
}

static int write_json(run_job *job) {
	json_t *classes = json_array();
	for (size_t c = 0; c < job->n_classes; c++)
		json_array_append_new(classes, json_string(qmd_engine_class_name(job->engine, c)));
	json_t *json =
		json_pack("{s:s, s:o, s:O}", "engine", job->arguments->operands[0], "classes", classes, "frames", job->rows);
	const int code = job->arguments->output ? report_write(job->arguments->output, json) : report_print(json);
	json_decref(json);
	return code;
}

static int run_to_csv_file(run_job *job) {
	files_text text;
	if (files_text_begin(&text) != PROGRAM_OK)
		return PROGRAM_FAILED;
	job->csv = text.stream;
	return files_text_end(&text, job->arguments->output, run_frames(job));
}

static int run(const program_arguments *arguments) {
	run_job job = {.arguments = arguments, .csv = stdout};
	int code = prepare(&job);
	if (code == PROGRAM_OK && arguments->output && !arguments->json)
		code = run_to_csv_file(&job);
	else if (code == PROGRAM_OK)
		code = run_frames(&job);
	if (code == PROGRAM_OK && arguments->json)
		code = write_json(&job);
	release(&job);
	return code;
}

static const option_code options[] = {OPTION_TOPOLOGY, OPTION_OUTPUT, OPTION_STRIDE, OPTION_THREADS,
									  OPTION_DEVICE,   OPTION_JSON,   OPTION_HELP,   OPTION_END};

const program_command command_run = {
	.name = "run",
	.summary = "Run an engine on trajectories: the probability of each state, frame by frame",
	.operands = "ENGINE.qme TRAJECTORY... [--topology PDB] [--device cuda] [-o FILE.csv]",
	.details =
		"\nCSV with the columns frame,time_ps,p_<state>..., to stdout without -o. Several trajectories count as one.\n",
	.min_operands = 2,
	.max_operands = SIZE_MAX,
	.options = options,
	.run = run};
