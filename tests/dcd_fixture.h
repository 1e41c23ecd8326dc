/* Small DCD files of any kind for the tests. */
#ifndef QMD_TESTS_DCD_FIXTURE_H
#define QMD_TESTS_DCD_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

/* What a file is to hold. Coordinates are qmdt_coordinate(), fixed atoms keep those of the first frame. */
typedef struct qmdt_dcd {
	size_t n_frames, n_atoms;
	int is_big_endian;
	int has_wide_markers; /* 64 bits */
	int is_xplor;
	int32_t n_frames_said;
	int32_t first_step, step_interval;
	double time_step;
	const double *cell;         /* 6 numbers, in each frame; NULL: none */
	const uint32_t *free_atoms; /* numbers from 1 on; NULL: all atoms */
	size_t n_free;
	int32_t has_four_dimensions;
	const char *kind; /* default "CORD" */
} qmdt_dcd;

/* Write a file into the scratch folder; returns its path. */
const char *qmdt_write_dcd(const char *name, const qmdt_dcd *content);

#endif
