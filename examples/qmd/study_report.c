#include "study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "files.h"
#include "report.h"
#include "report_html.h"
#include "residue_files.h"
#include "table.h"
#include "workbook.h"

#define SCHEMA "qmd-study-1"

/* Those of cuDNN where the study has them. */
static const char *const classifiers[] = {"fp32", "cudnn_fp16", "int8", "cudnn_int8", "nearest_mean", "ridge"};
#define N_CLASSIFIERS (sizeof classifiers / sizeof *classifiers)

/* ---- Residues of all folds together ---- */

/* Mean and standard error over the frames of all folds, from each fold's own: sums of squares about the mean add up. */
static int combine_residue(const study *s, size_t r, profile_residue *residue) {
	double n_all = 0, sum = 0, squares = 0;
	size_t k;
	json_t *fold;
	json_array_foreach(s->folds, k, fold) {
		const json_t *own = json_array_get(json_object_get(fold, "residues"), r);
		const double n = report_get(fold, "n_explained", NULL), score = report_get(own, "score", NULL);
		const double standard_error = report_get(own, "standard_error", NULL);
		if (isnan(n) || isnan(score) || isnan(standard_error))
			return fail("fold %zu of %s has no score of residue %zu: remove fold-%zu.json there", k + 1, s->folder,
						r + 1, k + 1);
		n_all += n;
		sum += n * score;
		squares += n * score * score + standard_error * standard_error * n * (n - 1);
	}
	residue->score = sum / n_all;
	const double spread = fmax(0, squares - n_all * residue->score * residue->score);
	residue->standard_error = n_all > 1 ? sqrt(spread / (n_all - 1) / n_all) : 0;
	return PROGRAM_OK;
}

static int compare_residues(const void *left, const void *right) {
	const profile_residue *a = *(const profile_residue *const *)left, *b = *(const profile_residue *const *)right;
	if (a->score != b->score)
		return a->score < b->score ? 1 : -1;
	return a < b ? -1 : 1; /* both in one array */
}

int study_combine_residues(study *s) {
	s->n_residues = qmd_dataset_n_residues(s->dataset);
	TRY(residues_list(s->dataset, &s->residues));
	profile_residue **order = calloc(s->n_residues + 1, sizeof(profile_residue *));
	if (!order)
		return fail_memory();
	int code = PROGRAM_OK;
	for (size_t r = 0; r < s->n_residues && code == PROGRAM_OK; r++) {
		order[r] = &s->residues[r];
		code = combine_residue(s, r, order[r]);
	}
	if (code == PROGRAM_OK)
		qsort(order, s->n_residues, sizeof(profile_residue *), compare_residues);
	for (size_t i = 0; i < s->n_residues && code == PROGRAM_OK; i++)
		order[i]->rank = (uint32_t)i + 1;
	free(order);
	if (code == PROGRAM_OK && s->arguments->numbering)
		numbering_apply(&s->labels, s->arguments->numbering, s->residues, s->n_residues);
	if (code == PROGRAM_OK && s->segments.n)
		segments_apply(&s->segments, s->residues);
	return code;
}

int study_write_residues(const study *s) {
	return residue_files_write(s->folder, s->dataset, s->residues, s->n_residues,
							   "What the network looks at: residues left out one at a time, over held-out frames");
}

/* ---- report.json ---- */

static json_t *describe_states(const study *s) {
	json_t *states = json_array();
	for (size_t i = 0; i < s->arguments->n_states; i++) {
		const state_argument *state = &s->arguments->states[i];
		size_t n_frames = 0, n_dropped = 0;
		for (uint32_t f = 0; f < qmd_dataset_n_frames(s->dataset); f++) {
			qmd_frame_origin origin;
			n_frames += qmd_dataset_frame_origin(s->dataset, f, &origin) == QMD_OK && origin.state == i;
		}
		qmd_dataset_dropped(s->dataset, i, &n_dropped, NULL);
		json_t *trajectories = json_array();
		for (size_t t = 0; t < state->n_trajectories; t++)
			json_array_append_new(trajectories, json_string(state->trajectories[t]));
		json_array_append_new(states, json_pack("{s:s, s:s, s:o, s:I, s:I}", "name", state->name, "topology",
												state->topology, "trajectories", trajectories, "n_frames",
												(json_int_t)n_frames, "n_dropped_atoms", (json_int_t)n_dropped));
	}
	return states;
}

static json_t *describe_means(const json_t *folds) {
	json_t *means = json_object();
	for (size_t i = 0; i < N_CLASSIFIERS; i++) {
		if (!json_object_get(json_array_get(folds, 0), classifiers[i]))
			continue;
		const classifier_quality quality = {.train_accuracy =
												report_mean(folds, classifiers[i], "train_accuracy", NULL),
											.test_accuracy = report_mean(folds, classifiers[i], "test_accuracy", NULL),
											.test_auc = report_mean(folds, classifiers[i], "test_auc", NULL)};
		json_object_set_new(means, classifiers[i], report_quality(&quality));
	}
	json_object_set_new(means, "agreement", report_number(report_mean(folds, "agreement", NULL)));
	return means;
}

static json_t *describe_files(const study *s) {
	json_t *models = json_array(), *engines = json_array();
	for (size_t k = 1; k <= s->plan.n_folds; k++) {
		json_array_append_new(models, json_sprintf("fold-%zu.qmd", k));
		json_array_append_new(engines, json_sprintf("fold-%zu.qme", k));
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s, s:s, s:[s, s, s], s:s, s:o, s:o}", "report", "report.json",
					 "page", "report.html", "residues", "residues.csv", "residue_profile", "residues.svg", "workbook",
					 workbook_is_built() ? "residues.xlsx" : NULL, "atoms", "atoms.csv", "residue_structure",
					 "residues.pdb", "structure_scripts", "residues.pml", "residues.vmd", "residues.cxc", "frames",
					 "frames.png", "models", models, "engines", engines);
}

int study_write_report(const study *s, json_t **report) {
	*report = json_pack("{s:s, s:s, s:O, s:O, s:o, s:s?, s:o, s:I, s:I, s:I, s:O, s:o, s:O, s:o}", "schema", SCHEMA,
						"version", qmd_version(), "arguments", s->identity, "made_with", s->machine, "trust",
						study_describe_trust(s), "numbering", s->arguments->numbering, "states", describe_states(s),
						"n_frames", (json_int_t)qmd_dataset_n_frames(s->dataset), "n_atoms",
						(json_int_t)qmd_dataset_n_atoms(s->dataset), "n_residues",
						(json_int_t)qmd_dataset_n_residues(s->dataset), "folds", s->folds, "mean",
						describe_means(s->folds), "timing_ms", s->timing, "files", describe_files(s));
	char *path = files_path(s->folder, "report.json");
	const int code = path ? report_write(path, *report) : fail_memory();
	free(path);
	return code;
}

int study_write_page(const study *s, const json_t *report) {
	const study_report parts = {.json = report,
								.residues = s->residues,
								.n_residues = s->n_residues,
								.pictures = &s->pictures,
								.side = s->pictures_side,
								.picture_scores = s->picture_scores,
								.residue_of_atom = s->residue_of_atom,
								.n_atoms = qmd_dataset_n_atoms(s->dataset)};
	char *path = files_path(s->folder, "report.html");
	const int code = path ? report_html_write(path, &parts) : fail_memory();
	free(path);
	return code;
}

void study_print(const study *s, const json_t *report) {
	table t;
	char device[768];
	study_device_text(report, device, sizeof device);
	printf("\n%s\n", device);
	study_accuracy_table(report, &t);
	printf("\nAccuracy, training + held-out frames; the last two columns are simple baselines on the held-out ones\n");
	table_print(&t, stdout);
	study_timing_table(report, &t);
	printf("\nA time-step in ms, one thread, one frame at a time\n");
	table_print(&t, stdout);
	study_trust_table(report, &t);
	printf("\nHow far the scores of residues can be trusted\n");
	table_print(&t, stdout);
	residues_print_top(s->residues, s->n_residues, RESIDUES_LEFT_OUT);
	printf(
		"\nWritten to %s: report.html, report.json, residues.csv, residues.svg, residues.pdb, frames.png, fold-K.qmd "
		"(FP32 models), fold-K.qme (INT8 engines)\n",
		s->folder);
}
