/* One AMBER NetCDF trajectory file (Convention 1.0), read through NetCDF-C behind a lock. */
#ifndef QMD_LIB_AMBER_FILE_H
#define QMD_LIB_AMBER_FILE_H

#include "base/error.h"

/* A variable whose first dimension is the frame. */
typedef struct qmdi_amber_variable {
	int id;       /* of NetCDF-C; -1 if the file has none */
	double scale; /* what the stored numbers are multiplied by to give angstrom, picoseconds or degrees */
	int is_float; /* stored in single precision, else in double */
} qmdi_amber_variable;

typedef struct qmdi_amber_file {
	char *path;
	int id; /* of NetCDF-C */
	int is_open;
	size_t n_frames, n_atoms;
	qmdi_amber_variable coordinates, time, cell_lengths, cell_angles;
	double *row; /* one frame as stored, if its numbers must be converted; else NULL */
} qmdi_amber_file;

/* Check and open a file. On failure there is nothing to close. */
qmd_status qmdi_amber_open(const char *path, qmdi_amber_file *file);

/* Close a file; one that is all zeros is allowed. */
void qmdi_amber_close(qmdi_amber_file *file);

/* Coordinates of n frames, in angstrom. The range has been checked. QMD_ERROR_RANGE if one is not finite. */
qmd_status qmdi_amber_read(const qmdi_amber_file *file, size_t first, size_t n, float *xyz);

/* n numbers (1 for the time, 3 for the cell) of one frame in our unit, of a variable that the file has. */
qmd_status qmdi_amber_read_row(const qmdi_amber_file *file, const qmdi_amber_variable *variable, size_t frame, size_t n,
							   double *values);

#endif
