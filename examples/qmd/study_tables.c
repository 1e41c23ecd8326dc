#include <stdio.h>
#include <string.h>

#include "report.h"
#include "study.h"

/* Of what cuDNN computes there are accuracies alone. */
static void accuracy_row(table *t, const json_t *row, int has_comparators) {
	static const char *const keys[] = {"train_accuracy", "test_accuracy", "test_auc"};
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		table_number(t, report_get(row, "fp32", keys[i], NULL), 3);
		if (has_comparators && i < 2)
			table_number(t, report_get(row, "cudnn_fp16", keys[i], NULL), 3);
		table_number(t, report_get(row, "int8", keys[i], NULL), 3);
		if (has_comparators && i < 2)
			table_number(t, report_get(row, "cudnn_int8", keys[i], NULL), 3);
	}
	table_number(t, report_get(row, "agreement", NULL), 3);
	table_number(t, report_get(row, "nearest_mean", "test_accuracy", NULL), 3);
	table_number(t, report_get(row, "ridge", "test_accuracy", NULL), 3);
}

void study_accuracy_table(const json_t *report, table *t) {
	static const char *const headings[] = {"<fold",     "frames",       "train FP32", "train INT8",
										   "test FP32", "test INT8",    "AUC FP32",   "AUC INT8",
										   "agreement", "nearest mean", "ridge",      NULL};
	static const char *const compared[] = {"<fold",      "frames",           "train FP32", "train FP16 cuDNN",
										   "train INT8", "train INT8 cuDNN", "test FP32",  "test FP16 cuDNN",
										   "test INT8",  "test INT8 cuDNN",  "AUC FP32",   "AUC INT8",
										   "agreement",  "nearest mean",     "ridge",      NULL};
	const int has_comparators = json_object_get(json_object_get(report, "mean"), "cudnn_fp16") != NULL;
	table_start(t, has_comparators ? compared : headings);
	size_t k;
	json_t *fold;
	json_array_foreach(json_object_get(report, "folds"), k, fold) {
		table_cell(t, "%zu", k + 1);
		table_cell(t, "%.0f+%.0f", report_get(fold, "n_train", NULL), report_get(fold, "n_test", NULL));
		accuracy_row(t, fold, has_comparators);
	}
	table_cell(t, "mean");
	table_cell(t, "%s", "");
	accuracy_row(t, json_object_get(report, "mean"), has_comparators);
}

static double step_part(const json_t *report, const char *numbers, const char *part, const char *statistic) {
	return report_get(report, "timing_ms", numbers, part, statistic, NULL);
}

void study_timing_table(const json_t *report, table *t) {
	static const char *const headings[] = {"<", "pixels median", "p99", "network median", "p99", "step median", NULL};
	static const char *const rows[][2] = {{"fp32", "FP32"}, {"int8", "INT8"}};
	double steps[2];
	table_start(t, headings);
	for (size_t i = 0; i < 2; i++) {
		table_cell(t, "%s", rows[i][1]);
		table_number(t, step_part(report, rows[i][0], "pixels", "median"), 3);
		table_number(t, step_part(report, rows[i][0], "pixels", "p99"), 3);
		table_number(t, step_part(report, rows[i][0], "network", "median"), 3);
		table_number(t, step_part(report, rows[i][0], "network", "p99"), 3);
		steps[i] =
			step_part(report, rows[i][0], "pixels", "median") + step_part(report, rows[i][0], "network", "median");
		table_number(t, steps[i], 3);
	}
	table_cell(t, "FP32 / INT8");
	table_cell(t, "%s", "");
	table_cell(t, "%s", "");
	table_number(t, step_part(report, "fp32", "network", "median") / step_part(report, "int8", "network", "median"), 2);
	table_cell(t, "%s", "");
	table_number(t, steps[0] / steps[1], 2);
}

static void trust_row(table *t, const char *what, double value, int decimals, double chance, int chance_decimals) {
	table_cell(t, "%s", what);
	table_number(t, value, decimals);
	table_number(t, chance, chance_decimals);
}

void study_trust_table(const json_t *report, table *t) {
	static const char *const headings[] = {"<", "found", "by chance", NULL};
	const json_t *trust = json_object_get(report, "trust");
	const double n_seeds = report_get(trust, "n_seeds", NULL), chance = report_get(trust, "overlap_by_chance", NULL);
	char seeds[80];
	table_start(t, headings);
	trust_row(t, "of the 20 highest, what two folds share", report_get(trust, "folds_overlap", NULL), 2, chance, 2);
	snprintf(seeds, sizeof seeds, "of the 20 highest, what networks of %.0f seeds share", n_seeds);
	if (n_seeds > 1)
		trust_row(t, seeds, report_get(trust, "seeds_overlap", NULL), 2, chance, 2);
	trust_row(t, "of the 20 highest, what INT8 and FP32 share", report_get(trust, "int8_fp32_overlap", NULL), 2, chance,
			  2);
	trust_row(t, "rank correlation of INT8 and FP32", report_get(trust, "int8_fp32_spearman", NULL), 4, 0, 0);
	trust_row(t, "area below the deletion curve (small is good)", report_get(trust, "deletion_area", NULL), 3,
			  report_get(trust, "random_deletion_area", NULL), 3);
	trust_row(t, "residues beyond 3 standard errors", report_get(trust, "n_beyond_3_errors", NULL), 0,
			  report_get(trust, "n_beyond_by_chance", NULL), 1);
}

void study_device_text(const json_t *report, char *text, size_t size) {
	const json_t *machine = json_object_get(report, "made_with");
	const char *device = report_text(machine, "device"), *name = report_text(machine, "device_name");
	if (strcmp(device, "cpu") == 0)
		snprintf(text, size, "Trained on the CPU (%s).", report_text(machine, "processor"));
	else
		snprintf(
			text, size,
			"Trained on device %s%s%s%s, which gave the FP32 accuracies too. The INT8 engine, times and scores are the "
			"CPU's (%s); the engine's answers are the same bytes on any device.",
			device, *name ? " (" : "", name, *name ? ")" : "", report_text(machine, "processor"));
}
