/* Loss and accuracy of each epoch, taken from progress reports and kept beside the model. */
#ifndef QMD_TRAINING_LOG_H
#define QMD_TRAINING_LOG_H

#include <jansson.h>

#include "program.h"

/* What a fold's training and fine-tuning went through. Start from {0}; `training_log_release()` at the end. */
typedef struct training_log {
	json_t *phases; /* {"train": {"loss": [...], "accuracy": [...]}, "fine_tune": {...}}; null: an epoch not seen */
} training_log;

/* Begin with what an earlier run left in the file, if it is there. */
int training_log_open(training_log *log, const char *path);

/* Note a progress report of a phase of so many epochs; reports of other phases are ignored. A later report of the same
 * epoch takes the place of an earlier one. */
void training_log_note(training_log *log, const qmd_progress *progress, size_t train_epochs, size_t fine_tune_epochs);

/* Write the file; PROGRAM_OK where nothing has been noted. */
int training_log_save(const training_log *log, const char *path);

void training_log_release(training_log *log);

#endif
