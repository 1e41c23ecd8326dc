/* A study: all folds of the main job, and what they say together. */
#ifndef QMD_STUDY_H
#define QMD_STUDY_H

#include <jansson.h>

#include "data.h"
#include "numbering.h"
#include "progress.h"
#include "residues.h"
#include "segments.h"
#include "table.h"

/* A study that runs. */
typedef struct study {
	const program_arguments *arguments;
	const char *folder;
	qmd_dataset *dataset;
	split_plan plan;
	uint32_t *class_of_state; /* the states are the classes, in order */
	json_t *identity;         /* what the command line asked for; DIR/study.json */
	json_t *folds;            /* array of fold objects, as they stand in the report */
	json_t *timing;
	profile_residue *residues; /* of all folds together */
	size_t n_residues;
	numbering labels;      /* of --numbering */
	segment_list segments; /* of --segments */
	pixel_set pictures;    /* the first held-out frame of every state that has one, in fold 1 */
	size_t pictures_side;
	double *picture_scores;    /* of the residues in each picture: [picture][residue] */
	uint32_t *residue_of_atom; /* [n_atoms] */
	json_t *machine;           /* on what it was computed */
} study;

/* ---- study_identity.c: may a folder be gone on with? ---- */

/* The arguments that decide the results. */
json_t *study_identity(const program_arguments *arguments, const split_plan *plan);

/* With --resume: is a study in the folder to be gone on with? Fails if it was made with other arguments. */
int study_check_resume(const study *s, int *is_resumed);

/* Make the folder, or clear it of an earlier study, and note the arguments there. */
int study_begin_folder(const study *s);

/* ---- study_fold.c ---- */

/* Fold K (1-based): {"fold", "held_out", "n_train", ...}, as it stands in the report and in DIR/fold-K.json. */
int study_run_fold(const study *s, size_t number, json_t **result);

/* Where the frames of a split that are held out come from: [{"file", "n_frames", "of"}, ...] */
json_t *study_held_out(const study *s, const qmd_split *split);

/* ---- study_trust.c ---- */

/* A fold whose scores of residues are put to the test. */
typedef struct trust_fold {
	const study *study;
	size_t number; /* 1-based */
	const qmd_split *split;
	const qmd_model *model;
	const qmd_engine *engine;
	progress_bar *bar;
	const uint32_t *frames; /* held out, while it runs */
	size_t n_frames;
} trust_fold;

/*
 * {"n_frames", "int8_scores", "fp32_scores", "spearman", "top_overlap", "deletion": {"shares", "margins",
 * "random_margins", "area", "random_area"}, and with --explain-seeds "seeds": [{"seed", "test_accuracy", "scores"}],
 * "seeds_overlap"}. `residues` are the fold's, as they stand in the report. The JSON is the caller's, after a failure
 * too.
 */
int study_trust_fold(trust_fold *fold, const json_t *residues, json_t **trust);

/* What the folds say together, once their residues are combined. */
json_t *study_describe_trust(const study *s);

/* ---- study_report.c ---- */

/* Combine the residues of the folds, over all their explained frames. */
int study_combine_residues(study *s);

/* DIR/report.json; the JSON is the caller's. */
int study_write_report(const study *s, json_t **report);

/* DIR/report.html */
int study_write_page(const study *s, const json_t *report);

/* DIR/residues.csv, and what goes with it (residue_files.h) */
int study_write_residues(const study *s);

/* ---- study_tables.c: of a report, for the terminal and the page ---- */

void study_accuracy_table(const json_t *report, table *t);
void study_timing_table(const json_t *report, table *t);
void study_trust_table(const json_t *report, table *t);

/* On what was trained, and on what the rest ran. */
void study_device_text(const json_t *report, char *text, size_t size);

/* The tables at the end. */
void study_print(const study *s, const json_t *report);

#endif
