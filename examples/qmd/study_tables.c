#include "report.h"
#include "study.h"

static void accuracy_row(table *t, const json_t *row) {
	static const char *const keys[] = {"train_accuracy", "test_accuracy", "test_auc"};
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		table_number(t, report_get(row, "fp32", keys[i], NULL), 3);
		table_number(t, report_get(row, "int8", keys[i], NULL), 3);
	}
	table_number(t, report_get(row, "agreement", NULL), 3);
	table_number(t, report_get(row, "nearest_mean", "test_accuracy", NULL), 3);
	table_number(t, report_get(row, "ridge", "test_accuracy", NULL), 3);
}

void study_accuracy_table(const json_t *report, table *t) {
	static const char *const headings[] = {"<fold",     "frames",       "train FP32", "train INT8",
										   "test FP32", "test INT8",    "AUC FP32",   "AUC INT8",
										   "agreement", "nearest mean", "ridge",      NULL};
	table_start(t, headings);
	size_t k;
	json_t *fold;
	json_array_foreach(json_object_get(report, "folds"), k, fold) {
		table_cell(t, "%zu", k + 1);
		table_cell(t, "%.0f+%.0f", report_get(fold, "n_train", NULL), report_get(fold, "n_test", NULL));
		accuracy_row(t, fold);
	}
	table_cell(t, "mean");
	table_cell(t, "%s", "");
	accuracy_row(t, json_object_get(report, "mean"));
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
