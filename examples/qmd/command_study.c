#include "commands.h"

#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "machine.h"
#include "picture.h"
#include "pipeline.h"
#include "report.h"
#include "study.h"

#define ZOOM 6 /* of frames.png */

/* What is looked at once all folds are done: fold 1, from its files. */
typedef struct example_fold {
	qmd_model *model;
	qmd_engine *engine;
	qmd_split *split;
	const uint32_t *frames; /* held out */
	size_t n_frames;
} example_fold;

static int load_example(const study *s, example_fold *example) {
	char *model_path = files_path(s->folder, "fold-1.qmd"), *engine_path = files_path(s->folder, "fold-1.qme");
	int code = model_path && engine_path ? PROGRAM_OK : fail_memory();
	if (code == PROGRAM_OK) {
		qmd_status status = qmd_model_load(model_path, &example->model);
		if (status == QMD_OK)
			status = qmd_engine_load(engine_path, &example->engine);
		if (status != QMD_OK)
			code = fail_status(status);
	}
	free(model_path);
	free(engine_path);
	TRY(code);
	TRY(data_split(&s->plan, s->dataset, 1, &example->split));
	example->frames = qmd_split_test(example->split, &example->n_frames);
	return PROGRAM_OK;
}

static void release_example(example_fold *example) {
	qmd_model_free(example->model);
	qmd_engine_free(example->engine);
	qmd_split_free(example->split);
}

static int measure_time(study *s, const example_fold *example) {
	step_time fp32, int8;
	TRY(timing_measure(example->model, example->engine, s->dataset, example->frames, example->n_frames, &fp32, &int8));
	s->timing = json_pack("{s:o, s:o, s:{s:f, s:f}}", "fp32", report_step_time(&fp32), "int8", report_step_time(&int8),
						  "ratio", "network", fp32.network_median / int8.network_median, "step",
						  (fp32.pixels_median + fp32.network_median) / (int8.pixels_median + int8.network_median));
	return s->timing ? PROGRAM_OK : report_fail();
}

/* The first held-out frame of every state that has one. */
static int choose_pictures(const study *s, const example_fold *example, uint32_t *chosen, size_t *n_chosen) {
	*n_chosen = 0;
	for (uint32_t state = 0; state < s->arguments->n_states; state++)
		for (size_t i = 0; i < example->n_frames; i++) {
			qmd_frame_origin origin;
			TRY_QMD(qmd_dataset_frame_origin(s->dataset, example->frames[i], &origin));
			if (origin.state != state)
				continue;
			chosen[(*n_chosen)++] = example->frames[i];
			break;
		}
	return PROGRAM_OK;
}

static int map_residues(study *s) {
	const size_t n = qmd_dataset_n_atoms(s->dataset);
	s->residue_of_atom = calloc(n + 1, sizeof *s->residue_of_atom);
	if (!s->residue_of_atom)
		return fail_memory();
	for (size_t i = 0; i < n; i++) {
		qmd_atom atom;
		TRY_QMD(qmd_dataset_atom(s->dataset, i, &atom));
		s->residue_of_atom[i] = atom.residue;
	}
	return PROGRAM_OK;
}

static int explain_pictures(study *s, const example_fold *example, const uint32_t *frames, size_t n) {
	const size_t n_scores = n * qmd_dataset_n_residues(s->dataset);
	s->picture_scores = calloc(n_scores + 1, sizeof *s->picture_scores);
	if (!s->picture_scores)
		return fail_memory();
	if (n == 0)
		return PROGRAM_OK;
	qmd_explanation *explanation;
	TRY_QMD(qmd_explain(example->engine, s->dataset, frames, n, NULL, &explanation));
	memcpy(s->picture_scores, qmd_explanation_frame_scores(explanation), n_scores * sizeof *s->picture_scores);
	qmd_explanation_free(explanation);
	return map_residues(s);
}

static int write_pictures(study *s, const example_fold *example) {
	const qmd_pixels *pixels = qmd_engine_pixels(example->engine);
	uint32_t *chosen = calloc(s->arguments->n_states, sizeof *chosen);
	char *path = files_path(s->folder, "frames.png");
	size_t n = 0;
	int code = chosen && path ? choose_pictures(s, example, chosen, &n) : fail_memory();
	if (code == PROGRAM_OK)
		code = data_load_images(s->dataset, pixels, s->class_of_state, chosen, n, &s->pictures);
	s->pictures_side = qmd_pixels_side(pixels);
	if (code == PROGRAM_OK)
		code = picture_write(path, s->pictures.images, n, s->pictures_side, s->pictures.type, ZOOM);
	if (code == PROGRAM_OK)
		code = explain_pictures(s, example, chosen, n);
	free(chosen);
	free(path);
	return code;
}

static int run_folds(study *s) {
	s->folds = json_array();
	for (size_t k = 1; k <= s->plan.n_folds; k++) {
		json_t *fold = NULL;
		const int code = study_run_fold(s, k, &fold);
		if (code != PROGRAM_OK)
			json_decref(fold);
		TRY(code);
		if (json_array_append_new(s->folds, fold) != 0)
			return report_fail();
		TRY(progress_check_interrupt());
	}
	return PROGRAM_OK;
}

static int finish(study *s) {
	example_fold example = {0};
	int code = load_example(s, &example);
	if (code == PROGRAM_OK)
		code = measure_time(s, &example);
	if (code == PROGRAM_OK)
		code = write_pictures(s, &example);
	s->machine = machine_describe(example.engine, s->arguments->device);
	release_example(&example);
	TRY(code);
	TRY(study_combine_residues(s));
	TRY(study_write_residues(s));
	json_t *report = NULL;
	code = study_write_report(s, &report);
	if (code == PROGRAM_OK)
		code = study_write_page(s, report);
	if (code == PROGRAM_OK && s->arguments->json)
		code = report_print(report);
	else if (code == PROGRAM_OK)
		study_print(s, report);
	json_decref(report);
	return code;
}

/* What fold 1 would fail on is said before an earlier study in the folder is cleared. */
static int check_first_fold(const study *s) {
	qmd_split *split = NULL;
	qmd_pixels *pixels = NULL;
	qmd_model *model = NULL;
	int code = data_split(&s->plan, s->dataset, 1, &split);
	if (code == PROGRAM_OK)
		code = pipeline_fit_pixels(s->arguments, s->dataset, split, &pixels);
	if (code == PROGRAM_OK)
		code = pipeline_create_model(s->arguments, s->dataset, pixels, &model);
	qmd_model_free(model);
	qmd_pixels_free(pixels);
	qmd_split_free(split);
	return code;
}

static int run_study(study *s) {
	if (!s->folder)
		return fail_usage("where to write is missing: give -o DIR");
	TRY(pipeline_check_device(s->arguments));
	TRY(data_open(s->arguments, 2, &s->dataset));
	TRY(data_plan_split(s->arguments, s->dataset, &s->plan));
	if (s->arguments->control == CONTROL_SHUFFLED)
		TRY_QMD(qmd_dataset_shuffle_labels(s->dataset, s->arguments->seed));
	if (s->arguments->numbering)
		TRY(numbering_load(s->arguments->numbering, s->dataset, &s->labels));
	if (s->arguments->segments)
		TRY(segments_load(s->arguments->segments, s->dataset, &s->segments));
	s->class_of_state = calloc(s->arguments->n_states, sizeof *s->class_of_state);
	if (!s->class_of_state)
		return fail_memory();
	for (uint32_t i = 0; i < s->arguments->n_states; i++)
		s->class_of_state[i] = i;
	if (!s->arguments->json) {
		TRY(data_print(s->dataset));
		printf("%s pixels, split by %s, %zu folds\n", pixels_name(s->arguments->pixels_kind), split_name(s->plan.kind),
			   s->plan.n_folds);
	}
	s->identity = study_identity(s->arguments, &s->plan);
	if (!s->identity)
		return report_fail();
	int is_resumed;
	TRY(study_check_resume(s, &is_resumed));
	if (!is_resumed) {
		TRY(check_first_fold(s));
		TRY(study_begin_folder(s));
	}
	progress_catch_interrupt();
	TRY(run_folds(s));
	return finish(s);
}

static int run(const program_arguments *arguments) {
	study s = {.arguments = arguments, .folder = arguments->output};
	const int code = run_study(&s);
	json_decref(s.identity);
	json_decref(s.folds);
	json_decref(s.timing);
	free(s.class_of_state);
	free(s.residues);
	free(s.picture_scores);
	free(s.residue_of_atom);
	json_decref(s.machine);
	numbering_release(&s.labels);
	segments_release(&s.segments);
	data_release_images(&s.pictures);
	qmd_dataset_free(s.dataset);
	return code;
}

static const option_code options[] = {OPTION_STATE,
									  OPTION_OUTPUT,
									  OPTION_SELECT,
									  OPTION_MAP,
									  OPTION_STRIDE,
									  OPTION_PIXELS,
									  OPTION_SUPERPOSE,
									  OPTION_RANGE,
									  OPTION_SIGMA,
									  OPTION_SPLIT,
									  OPTION_FOLDS,
									  OPTION_GAP,
									  OPTION_EPOCHS,
									  OPTION_PATIENCE,
									  OPTION_TARGET_LOSS,
									  OPTION_LEARNING_RATE,
									  OPTION_BATCH_SIZE,
									  OPTION_QAT_EPOCHS,
									  OPTION_QAT_LEARNING_RATE,
									  OPTION_OBSERVER,
									  OPTION_NO_COLLAPSE,
									  OPTION_EXPLAIN_FRAMES,
									  OPTION_EXPLAIN_SEEDS,
									  OPTION_TRUST_FRAMES,
									  OPTION_NUMBERING,
									  OPTION_SEGMENTS,
									  OPTION_CONTROL,
									  OPTION_SEED,
									  OPTION_DEVICE,
									  OPTION_THREADS,
									  OPTION_RESUME,
									  OPTION_JSON,
									  OPTION_HELP,
									  OPTION_END};

const program_command command_study = {
	.name = "study",
	.summary = "Tell the states of a protein apart: train, quantize, test, time and explain, fold by fold",
	.operands = "--state NAME=PDB,NC[,NC...] --state ... -o DIR",
	.details =
		"\nFor each fold an FP32 network is trained and quantized on the training frames alone; the held-out frames\n"
		"are looked at once, at the end. DIR receives report.html to read, report.json, residues.csv, residues.svg,\n"
		"frames.png, scores on the structure (residues.pdb) and, for each fold K, fold-K.qmd (FP32 model) and\n"
		"fold-K.qme (INT8 engine).\n"
		"--device says what trains, fine-tunes and answers in FP32. The INT8 engine, whose answers are the same bytes\n"
		"on a GPU, times and scores are the CPU's.\n",
	.options = options,
	.run = run};
