#include "commands.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agreement.h"
#include "data.h"
#include "explain_shard.h"
#include "files.h"
#include "kind.h"
#include "numbering.h"
#include "progress.h"
#include "report.h"
#include "residue_files.h"
#include "segments.h"
#include "svg.h"
#include "workbook.h"

typedef struct explain_job {
	const program_arguments *arguments;
	qmd_engine *engine; /* or a model */
	qmd_model *model;
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
	segment_list segments; /* with --segments */
	double seeds_overlap;  /* of the highest, between explanations from other seeds; NaN: not asked for */
} explain_job;

/* What a method's scores are, for titles and tables. */
typedef struct method_text {
	int32_t method;
	const char *title, *what;
} method_text;

static const method_text *text_of(int32_t method) {
	static const method_text texts[] = {
		{QMD_EXPLAIN_LEAVE_ONE_OUT, "Residues left out one at a time", RESIDUES_LEFT_OUT},
		{QMD_EXPLAIN_SHAP, "Shapley values of residues", "share of the logit margin"},
		{QMD_EXPLAIN_SLIC_LIME, "LIME over superpixels", "share of their atoms in superpixels of positive weight"},
		{QMD_EXPLAIN_INTEGRATED_GRADIENTS, "Integrated gradients of residues", "share of the logit margin"}};
	size_t i = 0;
	while (texts[i].method != method)
		i++;
	return &texts[i];
}

static int open_subject(explain_job *job) {
	const char *path = job->arguments->operands[0];
	file_kind kind;
	TRY(kind_of_file(path, &kind));
	if (kind == KIND_MODEL)
		TRY_QMD(qmd_model_load(path, &job->model));
	else
		TRY_QMD(qmd_engine_load(path, &job->engine));
	return PROGRAM_OK;
}

/* Frames [0], [10] and so on, as ICNNMD takes them. */
static uint32_t *every_tenth(const uint32_t *frames, size_t n_frames, size_t *n_chosen) {
	*n_chosen = (n_frames + 9) / 10;
	uint32_t *chosen = calloc(*n_chosen + 1, sizeof *chosen);
	for (size_t i = 0; chosen && i < *n_chosen; i++)
		chosen[i] = frames[10 * i];
	return chosen;
}

static int choose_frames(explain_job *job) {
	const program_arguments *a = job->arguments;
	TRY(data_plan_split(a, job->dataset, &job->plan));
	TRY(data_split(&job->plan, job->dataset, a->fold, &job->split));
	size_t n = 0;
	const uint32_t *frames = a->fold ? qmd_split_test(job->split, &n) : qmd_split_train(job->split, &n);
	job->frames = a->method == QMD_EXPLAIN_SLIC_LIME && !a->has_explain_frames
					  ? every_tenth(frames, n, &job->n_frames)
					  : data_spread(frames, n, a->explain_frames, &job->n_frames);
	return job->frames ? PROGRAM_OK : fail_memory();
}

static int is_of_displacement(const explain_job *job) {
	const qmd_pixels *pixels = job->model ? qmd_model_pixels(job->model) : qmd_engine_pixels(job->engine);
	return qmd_pixels_kind_of(pixels) == QMD_PIXELS_DISPLACEMENT;
}

/* The word for what is left out: with displacement pixels the mean of the training frames is no displacement. */
static const char *name_background(const explain_job *job) {
	if (job->arguments->background != BACKGROUND_DEFAULT)
		return background_name(job->arguments->background);
	if (job->arguments->method == QMD_EXPLAIN_SLIC_LIME)
		return "zeros";
	return background_name(is_of_displacement(job) ? BACKGROUND_NONE : BACKGROUND_MEAN);
}

static int choose_background(const explain_job *job, qmd_explain_options *options) {
	const background_kind background = job->arguments->background;
	if (background == BACKGROUND_NONE && !is_of_displacement(job))
		return fail_usage("--background none is of displacement pixels, and these are icnnmd: mean or other");
	if (background != BACKGROUND_DEFAULT && job->arguments->method == QMD_EXPLAIN_SLIC_LIME)
		return fail_usage("--background says nothing with --method slic-lime, which hides by zeros");
	options->background = background == BACKGROUND_OTHER ? QMD_BACKGROUND_OTHER_STATES : QMD_BACKGROUND_PIXELS;
	return PROGRAM_OK;
}

static int run_method(const explain_job *job, uint64_t seed, qmd_explanation **explanation) {
	progress_bar bar = {0};
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.n_threads = job->arguments->threads;
	options.method = job->arguments->method;
	options.n_samples = job->arguments->samples;
	options.seed = seed;
	options.as_published = job->arguments->as_published;
	options.n_shards = job->arguments->n_shards;
	options.shard = job->arguments->shard;
	options.n_segments = (uint32_t)job->segments.n;
	options.segment_of_residue = job->segments.of_residue;
	options.progress = progress_report;
	options.user = &bar;
	TRY(choose_background(job, &options));
	const qmd_status status =
		job->model ? qmd_explain_model(job->model, job->dataset, job->frames, job->n_frames, &options, explanation)
				   : qmd_explain(job->engine, job->dataset, job->frames, job->n_frames, &options, explanation);
	progress_clear();
	if (status != QMD_ERROR_CANCELLED || !*explanation) /* cancelled: of some frames */
		TRY_QMD(status);
	return PROGRAM_OK;
}

/* Merged scores are of the data as they were when the shards were made. */
static int check_merged(const explain_job *job) {
	const size_t n_residues = job->segments.n ? job->segments.n : qmd_dataset_n_residues(job->dataset);
	if (qmd_explanation_n_residues(job->explanation) != n_residues ||
		qmd_explanation_n_frames(job->explanation) != job->n_frames)
		return fail("%s: the data are others than when the shards were made", job->arguments->operands[0]);
	return PROGRAM_OK;
}

static int check_scores(const explain_job *job) {
	if (residues_are_all_zero(job->explanation))
		return fail("%s: every score is 0: the network says the same whatever it is shown, so there is nothing to "
					"explain",
					job->arguments->operands[0]);
	return PROGRAM_OK;
}

/* Frames that were to be scored. */
static size_t n_wanted(const explain_job *job) {
	const program_arguments *a = job->arguments;
	return a->n_shards ? explain_shard_size(job->n_frames, a->shard, a->n_shards) : job->n_frames;
}

static int is_partial(const explain_job *job) {
	return qmd_explanation_n_frames(job->explanation) < n_wanted(job);
}

/* ---- Other seeds ---- */

/* One that has no score comes last. */
static void copy_scores(const qmd_explanation *explanation, double *scores) {
	for (size_t r = 0; r < qmd_explanation_n_residues(explanation); r++) {
		qmd_residue_score score = {.struct_size = sizeof score};
		qmd_explanation_residue(explanation, r, &score);
		scores[r] = isnan(score.score) ? -INFINITY : score.score;
	}
}

/* scores: room for [n_seeds][n] */
static int explain_from_seeds(explain_job *job, size_t n_seeds, size_t n, double *scores) {
	copy_scores(job->explanation, scores);
	for (size_t i = 1; i < n_seeds; i++) {
		qmd_explanation *explanation = NULL;
		TRY(run_method(job, job->arguments->seed + i, &explanation));
		const int is_whole = qmd_explanation_n_frames(explanation) == job->n_frames;
		copy_scores(explanation, scores + i * n);
		qmd_explanation_free(explanation);
		if (!is_whole)
			return fail_status(QMD_ERROR_CANCELLED);
	}
	job->seeds_overlap = agreement_top_of_pairs(scores, n_seeds, n, RESIDUES_N_TOP);
	return PROGRAM_OK;
}

static int compare_seeds(explain_job *job) {
	const size_t n_seeds = job->arguments->explain_seeds, n = qmd_explanation_n_residues(job->explanation);
	double *scores = calloc(n_seeds * n, sizeof *scores);
	const int code = scores ? explain_from_seeds(job, n_seeds, n, scores) : fail_memory();
	free(scores);
	return code;
}

static int check_seeds(const program_arguments *a) {
	if (a->explain_seeds > 1 && a->method != QMD_EXPLAIN_SHAP && a->method != QMD_EXPLAIN_SLIC_LIME)
		return fail_usage("--explain-seeds: %s draws nothing, its scores are the same for every seed",
						  method_name(a->method));
	if (a->explain_seeds > 1 && a->n_shards)
		return fail_usage("--explain-seeds compares explanations of all frames, and --shard makes one of a part");
	return PROGRAM_OK;
}

/* ---- What came out ---- */

/* Those that have a score, which as published the last one has not. */
static int read_residues(explain_job *job) {
	const size_t n = qmd_explanation_n_residues(job->explanation);
	job->residues = calloc(n, sizeof *job->residues);
	if (!job->residues)
		return fail_memory();
	for (size_t r = 0; r < n; r++) {
		qmd_residue_score score = {.struct_size = sizeof score};
		TRY_QMD(qmd_explanation_residue(job->explanation, r, &score));
		if (!isnan(score.score))
			job->residues[job->n_residues++] = residues_from_score(&score);
	}
	return PROGRAM_OK;
}

static int read_segments(explain_job *job) {
	TRY(segments_set_scores(&job->segments, job->explanation));
	job->residues = segments_residues(&job->segments);
	job->n_residues = job->segments.n_residues;
	return job->residues ? PROGRAM_OK : PROGRAM_FAILED;
}

static int tabulate(explain_job *job) {
	TRY(check_scores(job));
	TRY(job->segments.n ? read_segments(job) : read_residues(job));
	if (job->arguments->numbering)
		numbering_apply(&job->labels, job->arguments->numbering, job->residues, job->n_residues);
	return job->arguments->explain_seeds > 1 && !is_partial(job) ? compare_seeds(job) : PROGRAM_OK;
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

/* How scores were sampled, over frames. */
typedef struct sampling {
	double r2; /* mean; NaN: not fitted, or a frame that does not vary */
	uint32_t fewest, most;
	size_t n_settled;
} sampling;

static sampling read_sampling(const explain_job *job) {
	sampling all = {.fewest = UINT32_MAX};
	const size_t n = qmd_explanation_n_frames(job->explanation);
	for (size_t f = 0; f < n; f++) {
		qmd_explain_fit fit = {.struct_size = sizeof fit};
		if (qmd_explanation_fit(job->explanation, f, &fit) != QMD_OK)
			continue;
		all.r2 += fit.r2 / (double)n;
		all.fewest = fit.n_samples < all.fewest ? fit.n_samples : all.fewest;
		all.most = fit.n_samples > all.most ? fit.n_samples : all.most;
		all.n_settled += fit.is_settled != 0;
	}
	return all;
}

static void print_sampling(const explain_job *job) {
	const sampling all = read_sampling(job);
	if (all.most == 0)
		return;
	printf("\n%u", all.fewest);
	if (all.most > all.fewest)
		printf(" to %u", all.most);
	printf(" images a frame");
	if (!isnan(all.r2))
		printf(", R2 %.3f", all.r2);
	if (job->arguments->method == QMD_EXPLAIN_SHAP && job->arguments->samples == 0)
		printf("; the top 20 settled in %zu of %zu frames", all.n_settled, qmd_explanation_n_frames(job->explanation));
	printf("\n");
}

static void print_work(const explain_job *job) {
	qmd_explain_work work = {.struct_size = sizeof work};
	if (qmd_explanation_work(job->explanation, &work) == QMD_OK && work.n_macs < work.n_macs_whole)
		printf("\n%.1f %% of the multiplications of whole images were saved\n",
			   100 - 100 * (double)work.n_macs / (double)work.n_macs_whole);
}

static json_t *work_json(const explain_job *job) {
	qmd_explain_work work = {.struct_size = sizeof work};
	if (qmd_explanation_work(job->explanation, &work) != QMD_OK)
		return NULL;
	return json_pack("{s:I, s:I, s:o}", "multiplications", (json_int_t)work.n_macs, "of_whole_images",
					 (json_int_t)work.n_macs_whole, "share_saved",
					 report_number(1 - (double)work.n_macs / (double)work.n_macs_whole));
}

static int print_json(const explain_job *job) {
	json_t *scores = job->segments.n ? segments_json(&job->segments) : json_array();
	for (size_t r = 0; !job->segments.n && r < job->n_residues; r++)
		json_array_append_new(scores, report_residue(&job->residues[r]));
	const sampling sampled = read_sampling(job);
	json_t *json = json_pack(
		"{s:s, s:s, s:s, s:I, s:b, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", job->model ? "model" : "engine",
		job->arguments->operands[0], "method", method_name(job->arguments->method), "background", name_background(job),
		"n_frames", (json_int_t)qmd_explanation_n_frames(job->explanation), "is_partial", is_partial(job), "r2",
		report_number(sampled.r2), "fewest_samples", (json_int_t)sampled.fewest, "most_samples",
		(json_int_t)sampled.most, "n_settled", (json_int_t)sampled.n_settled, "n_seeds",
		(json_int_t)job->arguments->explain_seeds, "seeds_overlap", report_number(job->seeds_overlap), "work",
		work_json(job), job->segments.n ? "segments" : "residues", scores);
	const int code = report_print(json);
	json_decref(json);
	return code;
}

/* With segments, each residue's files have its segment's score, and a table of segments stands beside them. */
static int write_folder(const explain_job *job, const char *title) {
	TRY(residue_files_write(job->output, job->dataset, job->residues, job->n_residues, title));
	if (!job->segments.n)
		return PROGRAM_OK;
	char *path = files_path(job->output, "segments.csv");
	const int code = path ? segments_write_csv(path, &job->segments) : fail_memory();
	free(path);
	return code;
}

static int write_table(const explain_job *job) {
	return job->segments.n ? segments_write_csv(job->output, &job->segments)
						   : residues_write_csv(job->output, job->residues, job->n_residues);
}

static int write_files(const explain_job *job, const char *title) {
	if (files_has_suffix(job->output, "/"))
		return write_folder(job, title);
	if (files_has_suffix(job->output, ".svg"))
		return svg_write_profile(job->output, job->residues, job->n_residues, title);
	if (files_has_suffix(job->output, ".xlsx"))
		return workbook_write(job->output, job->dataset, job->residues, job->n_residues);
	return write_table(job);
}

static int write_results(const explain_job *job) {
	const method_text *text = text_of(job->arguments->method);
	if (job->output)
		TRY(write_files(job, text->title));
	if (job->arguments->json)
		return print_json(job);
	if (!job->output && is_partial(job))
		return PROGRAM_OK; /* a table on stdout could not be told from a whole one */
	if (!job->output)
		return write_table(job);
	if (job->segments.n)
		segments_print(&job->segments, text->what);
	else
		residues_print_top(job->residues, job->n_residues, text->what);
	print_sampling(job);
	if (!isnan(job->seeds_overlap))
		printf("\nOf the %d highest, what explanations from %zu seeds share: %.2f\n", RESIDUES_N_TOP,
			   job->arguments->explain_seeds, job->seeds_overlap);
	print_work(job);
	printf("\nWritten to %s\n", job->output);
	return PROGRAM_OK;
}

static int fail_partial(const explain_job *job) {
	fail("interrupted after %zu of %zu frames%s%s", qmd_explanation_n_frames(job->explanation), n_wanted(job),
		 job->output ? ": their scores are in " : "", job->output ? job->output : "");
	return PROGRAM_INTERRUPTED;
}

static int check_output(const program_arguments *a) {
	if (a->as_published && a->output && (files_has_suffix(a->output, "/") || files_has_suffix(a->output, ".xlsx")))
		return fail_usage("--as-published leaves the last residue without a score: -o FILE.csv or FILE.svg, not '%s'",
						  a->output);
	return PROGRAM_OK;
}

static int print_shard_json(const explain_job *job) {
	json_t *json =
		json_pack("{s:s, s:I, s:I}", "file", job->output, "n_frames",
				  (json_int_t)qmd_explanation_n_frames(job->explanation), "n_frames_of_all", (json_int_t)job->n_frames);
	const int code = report_print(json);
	json_decref(json);
	return code;
}

/* The shard in its file, DIR/shard-I-of-N.qmx or FILE.qmx, as it is. */
static int write_shard(explain_job *job) {
	TRY(explain_shard_write(job->arguments, job->explanation, &job->output));
	if (is_partial(job))
		return fail_partial(job);
	if (job->arguments->json)
		return print_shard_json(job);
	printf("%zu of %zu frames, written to %s\n", qmd_explanation_n_frames(job->explanation), job->n_frames,
		   job->output);
	return PROGRAM_OK;
}

static int write_all(explain_job *job) {
	TRY(tabulate(job));
	TRY(choose_output(job));
	TRY(write_results(job));
	return is_partial(job) ? fail_partial(job) : PROGRAM_OK;
}

/* Of an explanation that is there, all but the scoring. */
static int explain(explain_job *job) {
	const char *output = job->arguments->output;
	TRY(check_output(job->arguments));
	TRY(check_seeds(job->arguments));
	TRY(explain_shard_check_output(job->arguments));
	TRY(open_subject(job));
	TRY(data_open(job->arguments, 1, &job->dataset));
	TRY(choose_frames(job));
	if (job->arguments->numbering)
		TRY(numbering_load(job->arguments->numbering, job->dataset, &job->labels));
	if (job->arguments->segments)
		TRY(segments_load(job->arguments->segments, job->dataset, &job->segments));
	if (output && files_has_suffix(output, "/"))
		TRY(files_make_folder(output));
	if (job->explanation) {
		TRY(check_merged(job));
		return write_all(job);
	}
	progress_catch_interrupt();
	TRY(run_method(job, job->arguments->seed, &job->explanation));
	return job->arguments->n_shards ? write_shard(job) : write_all(job);
}

int explain_run(const program_arguments *arguments, qmd_explanation *merged) {
	explain_job job = {.arguments = arguments, .explanation = merged, .seeds_overlap = NAN};
	const int code = explain(&job);
	free(job.residues);
	free(job.output);
	numbering_release(&job.labels);
	segments_release(&job.segments);
	qmd_explanation_free(job.explanation);
	free(job.frames);
	qmd_split_free(job.split);
	qmd_dataset_free(job.dataset);
	qmd_engine_free(job.engine);
	qmd_model_free(job.model);
	return code;
}

static int run(const program_arguments *arguments) {
	return explain_run(arguments, NULL);
}

static const option_code options[] = {OPTION_STATE,         OPTION_OUTPUT,         OPTION_SELECT,   OPTION_MAP,
									  OPTION_STRIDE,        OPTION_SPLIT,          OPTION_FOLDS,    OPTION_FOLD,
									  OPTION_GAP,           OPTION_EXPLAIN_FRAMES, OPTION_METHOD,   OPTION_SAMPLES,
									  OPTION_EXPLAIN_SEEDS, OPTION_BACKGROUND,     OPTION_SEGMENTS, OPTION_AS_PUBLISHED,
									  OPTION_SHARD,         OPTION_NUMBERING,      OPTION_SEED,     OPTION_THREADS,
									  OPTION_JSON,          OPTION_HELP,           OPTION_END};

const program_command command_explain = {
	.name = "explain",
	.summary = "Score the residues that drive an engine's decision",
	.operands = "ENGINE.qme|MODEL.qmd --state NAME=PDB,NC[,NC...] ... [-o FILE.csv|FILE.svg|FILE.xlsx|DIR/]",
	.details =
		"\nEach residue's pixels are set to 'no displacement' in turn; its score is how much the logit margin of the\n"
		"frame's own state falls. With --method shap it is the residue's Shapley value: its share of the margin, from\n"
		"random coalitions of residues, which --seed draws. --method slic-lime is what ICNNMD does, for comparison.\n"
		"All frames count, or with --fold the held-out ones. With --segments, segments stand in the place of "
		"residues.\n"
		"Without -o the CSV goes to stdout; -o DIR/ writes it there, with a figure, scores of atoms, and a PDB file\n"
		"with scores as B-factors.\n"
		"\nOf many frames, jobs of a cluster score parts, --shard 1/8 -o DIR/ to --shard 8/8 -o DIR/, and qmd merge\n"
		"writes what one run would have written.\n",
	.min_operands = 1,
	.max_operands = 1,
	.options = options,
	.run = run};
