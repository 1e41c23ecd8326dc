/* Progress bars on a terminal, and stopping by SIGINT. */
#ifndef QMD_PROGRESS_H
#define QMD_PROGRESS_H

#include "training_log.h"

/* What a bar is about: "fold 1". Start from {0} or a label; a bar serves several calls one after another. */
typedef struct progress_bar {
	const char *label; /* or NULL */
	double last_drawn; /* seconds */
	training_log *log; /* where epochs of these numbers are noted, or NULL */
	size_t train_epochs, fine_tune_epochs;
} progress_bar;

/* A qmd_progress_fn whose user is a progress_bar. Cancels once SIGINT came. */
int progress_report(void *bar, const qmd_progress *progress);

/* Take a drawn bar off the terminal. */
void progress_clear(void);

/* From now on the first SIGINT cancels the running call; a second one ends the program at once. */
void progress_catch_interrupt(void);

/* PROGRAM_OK, or fail with PROGRAM_INTERRUPTED once SIGINT came. */
int progress_check_interrupt(void);

/* Seconds on a clock that never goes back. */
double seconds_now(void);

#endif
