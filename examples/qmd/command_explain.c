#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data.h"
#include "files.h"
#include "numbering.h"
#include "progress.h"
#include "report.h"
#include "residue_files.h"
#include "svg.h"
#include "workbook.h"

typedef struct explain_job {
	const program_arguments *arguments;
	qmd_engine *engine;
	qmd_dataset *dataset;
	split_plan plan;
	qmd_split *split;
	uint32_t *frames;
	size_t n_frames;
	qmd_explanation *explanation;
	char *output; /* where to write; NULL: to stdout */
	profile_residue *residues;
	size_t n_residues;
	numbering labels;
} explain_job;

static int choose_frames(explain_job *job) {
	const program_arguments *a = job->arguments;
	TRY(data_plan_split(a, job->dataset, &job->plan));
	TRY(data_split(&job->plan, job->dataset, a->fold, &job->split));
	size_t n = 0;
	const uint32_t *frames = a->fold ? qmd_split_test(job->split, &n) : qmd_split_train(job->split, &n);
	job->frames = data_spread(frames, n, a->explain_frames, &job->n_frames);
	return job->frames ? PROGRAM_OK : fail_memory();
}

static int compute(explain_job *job) {
	progress_bar bar = {0};
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.n_threads = job->arguments->threads;
	options.method = job->arguments->method;
	options.n_samples = job->arguments->samples;
	options.seed = job->arguments->seed;
	options.progress = progress_report;
	options.user = &bar;
	const qmd_status status =
		qmd_explain(job->engine, job->dataset, job->frames, job->n_frames, &options, &job->explanation);
	progress_clear();
	if (status != QMD_ERROR_CANCELLED || !job->explanation)
		TRY_QMD(status);
	if (residues_are_all_zero(job->explanation))
		return fail("%s: every score is 0: the network says the same whatever it is shown, so there is nothing to "
					"explain",
					job->arguments->operands[0]);
	job->n_residues = qmd_explanation_n_residues(job->explanation);
	job->residues = calloc(job->n_residues, sizeof *job->residues);
	if (!job->residues)
		return fail_memory();
	for (size_t r = 0; r < job->n_residues; r++) {
		qmd_residue_score score = {.struct_size = sizeof score};
		TRY_QMD(qmd_explanation_residue(job->explanation, r, &score));
		job->residues[r] = residues_from_score(&score);
	}
	if (job->arguments->numbering)
		numbering_apply(&job->labels, job->arguments->numbering, job->residues, job->n_residues);
	return PROGRAM_OK;
}

static int is_partial(const explain_job *job) {
	return qmd_explanation_n_frames(job->explanation) < job->n_frames;
}

/* What -o says or, where not all frames were scored, DIR/partial/ or FILE.partial.EXT. */
static int choose_output(explain_job *job) {
	const char *output = job->arguments->output;
	if (!output)
		return PROGRAM_OK;
	const char *slash = strrchr(output, '/'), *dot = strrchr(output, '.');
	const size_t stem = dot && (!slash || dot > slash + 1) ? (size_t)(dot - output) : strlen(output);
	int length;
	if (!is_partial(job))
		length = asprintf(&job->output, "%s", output);
	else if (files_has_suffix(output, "/"))
		length = asprintf(&job->output, "%spartial/", output);
	else
		length = asprintf(&job->output, "%.*s.partial%s", (int)stem, output, output + stem);
	if (length < 0) {
		job->output = NULL;
		return fail_memory();
	}
	return files_has_suffix(job->output, "/") ? files_make_folder(job->output) : PROGRAM_OK;
}

static int print_json(const explain_job *job) {
	json_t *residues = json_array();
	for (size_t r = 0; r < job->n_residues; r++)
		json_array_append_new(residues, report_residue(&job->residues[r]));
	json_t *json = json_pack("{s:s, s:s, s:I, s:b, s:o}", "engine", job->arguments->operands[0], "method",
							 method_name(job->arguments->method), "n_frames",
							 (json_int_t)qmd_explanation_n_frames(job->explanation), "is_partial", is_partial(job),
							 "residues", residues);
	const int code = report_print(json);
	json_decref(json);
	return code;
}

static int write_files(const explain_job *job, const char *title) {
	if (files_has_suffix(job->output, "/"))
		return residue_files_write(job->output, job->dataset, job->residues, job->n_residues, title);
	if (files_has_suffix(job->output, ".svg"))
		return svg_write_profile(job->output, job->residues, job->n_residues, title);
	if (files_has_suffix(job->output, ".xlsx"))
		return workbook_write(job->output, job->dataset, job->residues, job->n_residues);
	return residues_write_csv(job->output, job->residues, job->n_residues);
}

static int write_results(const explain_job *job) {
	const int is_shap = job->arguments->method == QMD_EXPLAIN_SHAP;
	if (job->output)
		TRY(write_files(job, is_shap ? "Shapley values of residues" : "Residues left out one at a time"));
	if (job->arguments->json)
		return print_json(job);
	if (!job->output && is_partial(job))
		return PROGRAM_OK; /* a table on stdout could not be told from a whole one */
	if (!job->output)
		return residues_write_csv(NULL, job->residues, job->n_residues);
	residues_print_top(job->residues, job->n_residues, is_shap ? "share of the logit margin" : RESIDUES_LEFT_OUT);
	printf("\nWritten to %s\n", job->output);
	return PROGRAM_OK;
}

static int fail_partial(const explain_job *job) {
	fail("interrupted after %zu of %zu frames%s%s", qmd_explanation_n_frames(job->explanation), job->n_frames,
		 job->output ? ": their scores are in " : "", job->output ? job->output : "");
	return PROGRAM_INTERRUPTED;
}

static int explain(explain_job *job) {
	const char *output = job->arguments->output;
	TRY_QMD(qmd_engine_load(job->arguments->operands[0], &job->engine));
	TRY(data_open(job->arguments, 1, &job->dataset));
	TRY(choose_frames(job));
	if (job->arguments->numbering)
		TRY(numbering_load(job->arguments->numbering, job->dataset, &job->labels));
	if (output && files_has_suffix(output, "/"))
		TRY(files_make_folder(output));
	progress_catch_interrupt();
	TRY(compute(job));
	TRY(choose_output(job));
	TRY(write_results(job));
	return is_partial(job) ? fail_partial(job) : PROGRAM_OK;
}

static int run(const program_arguments *arguments) {
	explain_job job = {.arguments = arguments};
	const int code = explain(&job);
	free(job.residues);
	free(job.output);
	numbering_release(&job.labels);
	qmd_explanation_free(job.explanation);
	free(job.frames);
	qmd_split_free(job.split);
	qmd_dataset_free(job.dataset);
	qmd_engine_free(job.engine);
	return code;
}

static const option_code options[] = {
	OPTION_STATE,   OPTION_OUTPUT, OPTION_SELECT,         OPTION_MAP,    OPTION_STRIDE,  OPTION_SPLIT,     OPTION_FOLDS,
	OPTION_FOLD,    OPTION_GAP,    OPTION_EXPLAIN_FRAMES, OPTION_METHOD, OPTION_SAMPLES, OPTION_NUMBERING, OPTION_SEED,
	OPTION_THREADS, OPTION_JSON,   OPTION_HELP,           OPTION_END};

const program_command command_explain = {
	.name = "explain",
	.summary = "Score the residues that drive an engine's decision",
	.operands = "ENGINE.qme --state NAME=PDB,NC[,NC...] ... [-o FILE.csv|FILE.svg|FILE.xlsx|DIR/]",
	.details =
		"\nEach residue's pixels are set to 'no displacement' in turn; its score is how much the logit margin of the\n"
		"frame's own state falls. With --method shap it is the residue's Shapley value: its share of the margin, from\n"
		"random coalitions of residues, which --seed draws. All frames count, or with --fold the held-out ones.\n"
		"Without -o the CSV goes to stdout; -o DIR/ writes it there, with a figure, scores of atoms, and a PDB file\n"
		"with scores as B-factors.\n",
	.min_operands = 1,
	.max_operands = 1,
	.options = options,
	.run = run};
