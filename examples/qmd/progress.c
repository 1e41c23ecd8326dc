#include "progress.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_WIDTH 30
#define SECONDS_BETWEEN_DRAWINGS 0.1

static volatile sig_atomic_t interrupted;
static int is_drawn;

double seconds_now(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void on_interrupt(int signal) {
	(void)signal;
	interrupted = 1;
}

void progress_catch_interrupt(void) {
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = on_interrupt;
	action.sa_flags = (int)SA_RESETHAND | SA_RESTART;
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
}

int progress_check_interrupt(void) {
	return interrupted ? fail_status(QMD_ERROR_CANCELLED) : PROGRAM_OK;
}

void progress_clear(void) {
	if (is_drawn)
		fprintf(stderr, "\r\033[K");
	is_drawn = 0;
}

static void draw(const progress_bar *bar, const qmd_progress *progress) {
	char filled[BAR_WIDTH + 1];
	const size_t n = progress->total ? progress->done * BAR_WIDTH / progress->total : 0;
	for (size_t i = 0; i < BAR_WIDTH; i++)
		filled[i] = i < n ? '#' : '.';
	filled[BAR_WIDTH] = 0;
	fprintf(stderr, "\r\033[K%s%s%-9s [%s] %zu/%zu", bar->label ? bar->label : "", bar->label ? "  " : "",
			progress->phase, filled, progress->done, progress->total);
	if (isfinite(progress->loss))
		fprintf(stderr, "  loss %.4f", progress->loss);
	if (isfinite(progress->accuracy))
		fprintf(stderr, "  accuracy %.3f", progress->accuracy);
	fflush(stderr);
	is_drawn = 1;
}

int progress_report(void *user, const qmd_progress *progress) {
	progress_bar *bar = user;
	if (bar->log)
		training_log_note(bar->log, progress, bar->train_epochs, bar->fine_tune_epochs);
	const double now = seconds_now();
	if (isatty(STDERR_FILENO) && now - bar->last_drawn > SECONDS_BETWEEN_DRAWINGS) {
		draw(bar, progress);
		bar->last_drawn = now;
	}
	return interrupted;
}
