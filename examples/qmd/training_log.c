#include "training_log.h"

#include <string.h>

#include "files.h"
#include "report.h"

int training_log_open(training_log *log, const char *path) {
	if (files_exists(path))
		return report_load(path, &log->phases);
	log->phases = json_object();
	return log->phases ? PROGRAM_OK : report_fail();
}

static void set_at(json_t *phase, const char *key, size_t index, double value) {
	json_t *values = json_object_get(phase, key);
	if (!json_is_array(values)) {
		values = json_array();
		json_object_set_new(phase, key, values);
	}
	while (json_array_size(values) <= index && json_array_append_new(values, json_null()) == 0)
		;
	json_array_set_new(values, index, report_number(value));
}

void training_log_note(training_log *log, const qmd_progress *progress, size_t train_epochs, size_t fine_tune_epochs) {
	const int is_train = strcmp(progress->phase, "train") == 0, is_tune = strcmp(progress->phase, "fine-tune") == 0;
	const size_t n_epochs = is_train ? train_epochs : fine_tune_epochs;
	if ((!is_train && !is_tune) || n_epochs == 0 || progress->done == 0 || progress->total < n_epochs)
		return;
	const char *name = is_train ? "train" : "fine_tune";
	json_t *phase = json_object_get(log->phases, name);
	if (!json_is_object(phase)) {
		phase = json_object();
		json_object_set_new(log->phases, name, phase);
	}
	const size_t epoch = (progress->done - 1) / (progress->total / n_epochs);
	set_at(phase, "loss", epoch, progress->loss);
	set_at(phase, "accuracy", epoch, progress->accuracy);
}

int training_log_save(const training_log *log, const char *path) {
	return json_object_size(log->phases) > 0 ? report_write(path, log->phases) : PROGRAM_OK;
}

void training_log_release(training_log *log) {
	json_decref(log->phases);
}
