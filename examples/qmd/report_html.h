/* A study as a page to read: report.json and the pictures, in DIR/report.html. */
#ifndef QMD_REPORT_HTML_H
#define QMD_REPORT_HTML_H

#include <jansson.h>

#include "baselines.h"
#include "page.h"
#include "residues.h"

/* What a report is made from. */
typedef struct study_report {
	const json_t *json; /* report.json */
	const profile_residue *residues;
	size_t n_residues;
	const pixel_set *pictures; /* images of side * side * 3, labelled with their states */
	size_t side;
	const double *picture_scores;    /* of the residues in each of them: [picture][residue] */
	const uint32_t *residue_of_atom; /* [n_atoms]: an atom is a pixel */
	size_t n_atoms;
} study_report;

int report_html_write(const char *path, const study_report *report);

/* ---- report_pictures.c ---- */

void report_put_pictures(page *p, const study_report *report);

/* ---- report_trust.c ---- */

void report_put_trust(page *p, const study_report *report);

/* ---- report_plots.c ---- */

/* Curves of all folds; a fold that has not kept its numbers is left out. */
void report_plot_roc(page *p, const json_t *report);
void report_plot_precision_recall(page *p, const json_t *report);
void report_plot_training(page *p, const json_t *report);
void report_plot_trajectories(page *p, const json_t *report);

/* How the answers of "fp32_logits" or "int8_logits" are spread over the states, in fold `fold` (from 0) or, where it is
 * negative, in all. counts[true state][answer] start from 0. Returns 0 if no logits were kept. */
int report_count_answers(const json_t *report, const char *key, int fold, size_t *counts);

#endif
