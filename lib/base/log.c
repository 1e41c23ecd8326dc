#include "log.h"
#include "error.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static qmd_log_fn current_log;
static void *current_user;

void qmd_set_log(qmd_log_fn log, void *user) {
	pthread_mutex_lock(&lock);
	current_log = log;
	current_user = user;
	pthread_mutex_unlock(&lock);
}

void qmdi_log(qmd_log_level level, const char *format, ...) {
	pthread_mutex_lock(&lock);
	qmd_log_fn log = current_log;
	void *user = current_user;
	pthread_mutex_unlock(&lock);
	if (!log)
		return;
	char line[1024];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	qmdi_keep_one_line(line);
	log(user, level, line);
}

qmd_status qmdi_progress(qmd_progress_fn progress, void *user, const char *phase, size_t done, size_t total,
						 double loss, double accuracy) {
	if (!progress)
		return QMD_OK;
	const qmd_progress now = {sizeof now, phase, done, total ? total : 1, loss, accuracy};
	if (progress(user, &now))
		return qmdi_fail(QMD_ERROR_CANCELLED, "cancelled by the progress callback during '%s'", phase);
	return QMD_OK;
}
