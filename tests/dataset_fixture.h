/* Data sets of made-up states, and what must hold of the atoms that they share. */
#ifndef QMD_TESTS_DATASET_FIXTURE_H
#define QMD_TESTS_DATASET_FIXTURE_H

#include "support.h"

#define QMDT_MOST_ATOMS 64

/* selection, map_path: NULL for none. Free with qmd_dataset_free(). */
qmd_dataset *qmdt_dataset(const char *selection, const char *map_path, size_t stride);

/* Add a state of one replica with the atoms of qmdt_write_pdb(); atom i of its frame f stands at qmdt_coordinate(). */
qmd_status qmdt_add_frames(qmd_dataset *dataset, const char *name, const char *atoms, size_t n_frames);

/* The same with two frames. */
qmd_status qmdt_add_state(qmd_dataset *dataset, const char *name, const char *atoms);

/* The shared atoms of a state must be those of its topology at these places, and frames must hold them in order. */
void qmdt_check_shared(qmd_dataset *dataset, size_t state, size_t n, const uint32_t *expected);

/* The atoms of a state that were dropped, by their places in its topology. */
void qmdt_check_dropped(const qmd_dataset *dataset, size_t state, size_t n, const uint32_t *expected);

/* Their number, and an array of them, as the last two arguments of both. */
#define QMDT_INDICES(...)                                                                                              \
	(sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)), (uint32_t[]) {                                             \
		__VA_ARGS__                                                                                                    \
	}

/* What the log said: how often, and last. */
typedef struct qmdt_log_lines {
	size_t n;
	char last[256];
} qmdt_log_lines;

/* For qmd_set_log(), with qmdt_log_lines as `user`; expects warnings alone. */
void qmdt_keep_line(void *user, qmd_log_level level, const char *text);

#endif
