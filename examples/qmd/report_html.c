#include "report_html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plot.h"
#include "report.h"
#include "study.h"
#include "svg.h"

#define N_TOP 20
#define MOST_FOLDS_BESIDE 8 /* of which a table shows the ranks side by side */

static const json_t *states_of(const study_report *r) {
	return json_object_get(r->json, "states");
}

static const char *state_name(const study_report *r, size_t state) {
	return report_text(json_array_get(states_of(r), state), "name");
}

static void put_legend(page *p, const study_report *r) {
	const size_t n = json_array_size(states_of(r));
	const char **names = calloc(n + 1, sizeof *names);
	for (size_t s = 0; s < n && names; s++)
		names[s] = state_name(r, s);
	if (names)
		page_legend(p, names, n);
	free(names);
}

/* ---- The beginning ---- */

static int begin(page *p, const study_report *r) {
	char *title = NULL, *subtitle = NULL;
	size_t size = 0, s;
	json_t *state;
	FILE *out = open_memstream(&title, &size);
	if (!out)
		return fail_memory();
	json_array_foreach(states_of(r), s, state) fprintf(out, "%s%s",
													   s == 0                                  ? ""
													   : s + 1 < json_array_size(states_of(r)) ? ", "
																							   : " or ",
													   report_text(state, "name"));
	fprintf(out, "?");
	if (fclose(out) != 0 || asprintf(&subtitle,
									 "What a convolutional network learns of %zu states from simulations, and which "
									 "residues it looks at. libqmd %s, seed %.0f.",
									 json_array_size(states_of(r)), report_text(r->json, "version"),
									 report_get(r->json, "arguments", "seed", NULL)) < 0)
		subtitle = NULL;
	const int code = title && subtitle ? page_begin(p, title, subtitle) : fail_memory();
	free(title);
	free(subtitle);
	return code;
}

static double mean_accuracy(const study_report *r, const char *classifier) {
	return report_get(r->json, "mean", classifier, "test_accuracy", NULL);
}

static void put_key_figures(page *p, const study_report *r) {
	const double step = report_get(r->json, "timing_ms", "int8", "pixels", "median", NULL) +
						report_get(r->json, "timing_ms", "int8", "network", "median", NULL);
	page_figures_begin(p);
	page_figure(p, "held-out accuracy, INT8 engine, mean over folds", "%.3f", mean_accuracy(r, "int8"));
	page_figure(p, "the same in FP32", "%.3f", mean_accuracy(r, "fp32"));
	page_figure(p, "the better of two simple baselines", "%.3f",
				fmax(mean_accuracy(r, "nearest_mean"), mean_accuracy(r, "ridge")));
	page_figure(p, "a time-step in INT8, one thread", "%.3f ms", step);
	page_figure(p, "network, FP32 time over INT8 time", "%.1fx",
				report_get(r->json, "timing_ms", "ratio", "network", NULL));
	page_figures_end(p);
}

/* ---- What was run ---- */

/* JSON of an argument as a person would write it. */
static void put_argument(table *t, const char *key, const json_t *value) {
	table_cell(t, "%s", key);
	if (json_is_string(value))
		table_cell(t, "%s", json_string_value(value));
	else if (json_is_integer(value))
		table_cell(t, "%lld", (long long)json_integer_value(value));
	else if (json_is_real(value))
		table_cell(t, "%.9g", json_real_value(value));
	else
		table_cell(t, "%s", json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "default");
}

static void put_inputs(page *p, const study_report *r) {
	static const char *const headings[] = {"<state", "frames", "atoms left out", "<topology", "<trajectories", NULL};
	table t;
	size_t s, i;
	json_t *state, *trajectory;
	table_start(&t, headings);
	json_array_foreach(states_of(r), s, state) {
		char *list = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&list, &size);
		if (!out)
			break;
		json_array_foreach(json_object_get(state, "trajectories"), i, trajectory)
			fprintf(out, "%s%s", i ? ", " : "", json_is_string(trajectory) ? json_string_value(trajectory) : "");
		fclose(out);
		table_cell(&t, "%s", report_text(state, "name"));
		table_cell(&t, "%.0f", report_get(state, "n_frames", NULL));
		table_cell(&t, "%.0f", report_get(state, "n_dropped_atoms", NULL));
		table_cell(&t, "%s", report_text(state, "topology"));
		table_cell(&t, "%s", list ? list : "");
		free(list);
	}
	page_table(p, &t, NULL);
}

static void put_run(page *p, const study_report *r) {
	const json_t *arguments = json_object_get(r->json, "arguments");
	page_section(p, "What was run");
	page_paragraph(
		p,
		"%.0f frames, %.0f atoms of %.0f residues, the same in every state. Pixels: %s. Split by %s into %zu "
		"folds: in each, an FP32 network is trained and quantized on the training frames alone; the held-out "
		"frames are looked at once, at the end.",
		report_get(r->json, "n_frames", NULL), report_get(r->json, "n_atoms", NULL),
		report_get(r->json, "n_residues", NULL), report_text(arguments, "pixels"), report_text(arguments, "split"),
		json_array_size(json_object_get(r->json, "folds")));
	char device[768];
	study_device_text(r->json, device, sizeof device);
	page_paragraph(p, "%s", device);
	if (strcmp(report_text(arguments, "split"), "icnnmd") == 0)
		page_paragraph(p, "Warning: this split leaks. Most held-out frames have a neighbour in time among the training "
						  "frames, so that the accuracies below say little.");
	if (strcmp(report_text(arguments, "control"), "shuffled") == 0)
		page_paragraph(p, "A control: frames were handed out among the states at random, so that states say nothing of "
						  "them. Accuracies should be those of chance, and scores of residues within their errors.");
	put_inputs(p, r);
}

/* ---- Results ---- */

static void put_accuracy(page *p, const study_report *r) {
	const double best = fmax(mean_accuracy(r, "nearest_mean"), mean_accuracy(r, "ridge"));
	table t;
	page_section(p, "Accuracy");
	if (mean_accuracy(r, "int8") > best)
		page_paragraph(p, "On held-out frames the network is better than both simple baselines.");
	else
		page_paragraph(p, "On held-out frames a simple baseline is as good as the network or better: for telling these "
						  "states apart the network is not needed.");
	study_accuracy_table(r->json, &t);
	page_table(p, &t,
			   "Share of right answers, training + held-out frames; agreement: held-out frames on which FP32 and INT8 "
			   "answer the same; nearest mean and ridge regression on the same pixels, held-out frames");
}

static void put_matrix(page *p, const study_report *r, const char *key, int fold, const char *caption) {
	const size_t n = json_array_size(states_of(r));
	if (n + 2 > TABLE_MAX_COLUMNS)
		return;
	size_t *counts = calloc(n * n, sizeof *counts);
	const char *headings[TABLE_MAX_COLUMNS + 1] = {"<true state"};
	for (size_t c = 0; c < n; c++)
		headings[c + 1] = state_name(r, c);
	if (counts && report_count_answers(r->json, key, fold, counts)) {
		table t;
		table_start(&t, headings);
		for (size_t s = 0; s < n; s++) {
			table_cell(&t, "%s", state_name(r, s));
			for (size_t c = 0; c < n; c++)
				table_cell(&t, "%zu", counts[s * n + c]);
		}
		page_table(p, &t, caption);
	}
	free(counts);
}

static void put_confusion(page *p, const study_report *r) {
	const size_t n_folds = json_array_size(json_object_get(r->json, "folds"));
	page_section(p, "Confusion");
	page_paragraph(p, "Held-out frames: a row is the state a frame is of, a column the answer.");
	page_plots_begin(p, 0);
	put_matrix(p, r, "fp32_logits", -1, "All folds, FP32");
	put_matrix(p, r, "int8_logits", -1, "All folds, INT8");
	for (size_t k = 0; k < n_folds && n_folds > 1; k++) {
		char caption[48];
		snprintf(caption, sizeof caption, "Fold %zu, INT8", k + 1);
		put_matrix(p, r, "int8_logits", (int)k, caption);
	}
	page_plots_end(p);
}

static void put_curves(page *p, const study_report *r) {
	const int are_two = json_array_size(states_of(r)) == 2;
	page_section(p, "ROC curves");
	page_paragraph(p,
				   "Held-out frames, ranked by the log-odds of a state%s. Solid: INT8 engine; dashed: FP32; dotted: "
				   "chance.",
				   are_two ? " (the second one; the first gives the same curve, mirrored)" : ", one against the rest");
	put_legend(p, r);
	report_plot_roc(p, r->json);

	page_section(p, "Precision and recall");
	page_paragraph(p,
				   "The same frames, each state against the rest: of the frames that are taken for the state, the "
				   "share that are; and of its frames, the share that are found. AP is the average precision, its mean "
				   "over the states. Solid: INT8 engine; dashed: FP32.");
	put_legend(p, r);
	report_plot_precision_recall(p, r->json);

	page_section(p, "Along each held-out simulation");
	page_paragraph(p, "Probability of each state, frame by frame; long files by means of neighbouring frames. Solid: "
					  "INT8 engine; dashed: FP32.");
	put_legend(p, r);
	report_plot_trajectories(p, r->json);

	page_section(p, "Training");
	page_paragraph(p, "Mean loss (cross-entropy) of the training frames by epoch, a line a fold. Training stops early "
					  "once this loss is low.");
	const char *const folds[PLOT_N_COLORS] = {"fold 1", "fold 2", "fold 3", "fold 4", "fold 5", "fold 6"};
	const size_t n_folds = json_array_size(json_object_get(r->json, "folds"));
	page_legend(p, folds, n_folds < PLOT_N_COLORS ? n_folds : PLOT_N_COLORS);
	report_plot_training(p, r->json);
}

/* ---- Residues ---- */

static void put_top_row(table *t, const study_report *r, size_t index, size_t n_folds) {
	const profile_residue *residue = &r->residues[index];
	char name[RESIDUE_NAME_SIZE];
	residues_name(residue, " ", name);
	table_cell(t, "%u", residue->rank);
	table_cell(t, "%s", residue->chain);
	table_cell(t, "%s", name);
	table_number(t, residue->score, 4);
	table_number(t, residue->standard_error, 4);
	for (size_t k = 0; k < n_folds; k++) {
		const json_t *fold = json_array_get(json_object_get(r->json, "folds"), k);
		table_number(t, report_get(json_array_get(json_object_get(fold, "residues"), index), "rank", NULL), 0);
	}
}

/* Of the highest of all folds together, how many are among the highest of every fold. */
static size_t count_agreed(const study_report *r) {
	size_t n_agreed = 0, k;
	json_t *fold;
	for (size_t i = 0; i < r->n_residues; i++) {
		int is_agreed = r->residues[i].rank <= N_TOP;
		json_array_foreach(json_object_get(r->json, "folds"), k, fold) is_agreed &=
			report_get(json_array_get(json_object_get(fold, "residues"), i), "rank", NULL) <= N_TOP;
		n_agreed += is_agreed != 0;
	}
	return n_agreed;
}

static void put_top(page *p, const study_report *r) {
	const size_t n_all = json_array_size(json_object_get(r->json, "folds"));
	const size_t n_folds = n_all > 1 && n_all <= MOST_FOLDS_BESIDE ? n_all : 0;
	const char *headings[TABLE_MAX_COLUMNS + 1] = {"rank", "<chain", "<residue", "score", "standard error"};
	char names[MOST_FOLDS_BESIDE][32];
	for (size_t k = 0; k < n_folds; k++) {
		snprintf(names[k], sizeof names[k], "rank in fold %zu", k + 1);
		headings[5 + k] = names[k];
	}
	if (n_all > 1)
		page_paragraph(
			p, "Of the %d highest, %zu are among the %d highest of every fold, each on its own held-out frames.", N_TOP,
			count_agreed(r), N_TOP);
	table t;
	table_start(&t, headings);
	for (uint32_t rank = 1; rank <= N_TOP; rank++)
		for (size_t i = 0; i < r->n_residues; i++)
			if (r->residues[i].rank == rank)
				put_top_row(&t, r, i, n_folds);
	page_table(p, &t, n_folds ? "The highest scores, and where each fold alone ranks them" : "The highest scores");
}

static void put_residues(page *p, const study_report *r) {
	page_section(p, "Which residues");
	page_paragraph(p,
				   "How much the logit margin of a frame's own state falls when a residue's pixels are set to 'no "
				   "displacement', averaged over held-out frames of all folds; bars of one standard error. Frames of "
				   "one simulation are correlated, so this error is too small for what another simulation would give. "
				   "The scores are those of the INT8 engine.");
	page_plots_begin(p, 1);
	svg_draw_profile(p->out, r->residues, r->n_residues, "Residues left out one at a time; the ten highest are named",
					 0);
	page_plots_end(p);
	put_top(p, r);
}

/* ---- The end ---- */

static void put_timing(page *p, const study_report *r) {
	table t;
	page_section(p, "Latency");
	page_paragraph(p,
				   "From raw coordinates in memory to logits, one thread, one frame at a time, fold 1; FP32 and INT8 "
				   "took turns on the same machine.");
	study_timing_table(r->json, &t);
	page_table(p, &t, "Milliseconds");
}

static void put_part(table *t, const char *key, const json_t *value) {
	if (json_is_string(value)) {
		table_cell(t, "%s", key);
		table_cell(t, "%s", json_string_value(value));
	}
	size_t i;
	json_t *item;
	json_array_foreach((json_t *)value, i, item) {
		table_cell(t, "%s", i == 0 ? key : "");
		table_cell(t, "%s", json_string_value(item));
	}
}

static void put_reproduction(page *p, const study_report *r) {
	static const char *const parts[] = {"<part", "<version or name", NULL};
	static const char *const headings[] = {"<option", "<value", NULL};
	static const char *const seconds[] = {"<fold", "train", "quantize", "explain", "trust", NULL};
	table t;
	const char *key;
	json_t *value, *fold;
	size_t k;
	page_section(p, "What it was made with");
	table_start(&t, parts);
	json_object_foreach(json_object_get(r->json, "made_with"), key, value) put_part(&t, key, value);
	page_table(p, &t, NULL);
	page_section(p, "To run it again");
	page_paragraph(p,
				   "Options of qmd study; version is that of libqmd. report.json beside this page holds all numbers.");
	table_start(&t, headings);
	json_object_foreach(json_object_get(r->json, "arguments"), key, value) if (!json_is_array(value))
		put_argument(&t, key, value);
	page_table(p, &t, NULL);
	table_start(&t, seconds);
	json_array_foreach(json_object_get(r->json, "folds"), k, fold) {
		table_cell(&t, "%zu", k + 1);
		for (size_t i = 1; i < 5; i++)
			table_number(&t, report_get(fold, "seconds", seconds[i], NULL), 1);
	}
	page_table(p, &t, "Seconds of each step; -: read from an earlier run");
}

int report_html_write(const char *path, const study_report *report) {
	page p;
	TRY(begin(&p, report));
	put_key_figures(&p, report);
	put_run(&p, report);
	put_accuracy(&p, report);
	put_residues(&p, report);
	report_put_trust(&p, report);
	put_curves(&p, report);
	put_confusion(&p, report);
	report_put_pictures(&p, report);
	put_timing(&p, report);
	put_reproduction(&p, report);
	return page_write(&p, path);
}
