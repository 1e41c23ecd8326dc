/* Times of engines as a page to read: bars, the graph of the plan, and the table that the terminal shows. */
#ifndef QMD_ENGINE_HTML_H
#define QMD_ENGINE_HTML_H

#include "profile.h"
#include "program.h"
#include "table.h"

/* The steps of the table, in its order: `n` times in ms of one engine or of two; NaN where one has no such step. */
typedef struct step_times {
	size_t n_engines, n;
	const char *engines[2];
	double *ms[2]; /* malloc'd */
} step_times;

/* Room for `n` rows. */
int step_times_create(step_times *times, size_t n_engines, size_t n);
void step_times_release(step_times *times);

/* Write the page; the table is released. */
int engine_html_write(const char *path, const char *title, const char *subtitle, const engine_profile *profiles,
					  size_t n_profiles, const step_times *times, table *t, const char *caption);

#endif
