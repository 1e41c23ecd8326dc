/* One trajectory file of any format, behind one table of functions. */
#ifndef QMD_LIB_TRAJECTORY_FILE_H
#define QMD_LIB_TRAJECTORY_FILE_H

#include "base/error.h"

typedef struct qmdi_trajectory_file {
	const struct qmdi_trajectory_format *format;
	char *path;
	size_t n_frames, n_atoms;
	void *content; /* the format's own */
} qmdi_trajectory_file;

/* So many bytes of a file's start tell its format; a shorter file is filled up with zeros. */
#define QMDI_MAGIC_SIZE 16

/* Functions get frames that exist, and run in the default float environment. */
typedef struct qmdi_trajectory_format {
	int (*has_magic)(const unsigned char start[QMDI_MAGIC_SIZE]);
	/* Check the file that `path` names, and fill in the rest. `close` follows a failure too. */
	qmd_status (*open)(qmdi_trajectory_file *file);
	void (*close)(qmdi_trajectory_file *file);
	/* Coordinates of one frame, in angstrom; the caller looks whether they are finite. */
	qmd_status (*read)(const qmdi_trajectory_file *file, size_t frame, float *xyz);
	/* QMD_ERROR_STATE if the file has no times; the caller looks whether it is finite. */
	qmd_status (*time_ps)(const qmdi_trajectory_file *file, size_t frame, double *time_ps);
	/* The box vectors as rows, in angstrom; `box` and `has_box` are all 0 before, and stay so where there is none. */
	qmd_status (*box)(const qmdi_trajectory_file *file, size_t frame, double box[9], int *has_box);
} qmdi_trajectory_format;

extern const qmdi_trajectory_format qmdi_amber_format, qmdi_xtc_format, qmdi_dcd_format;

/* Open a file by what its first bytes say. On failure there is nothing to close. */
qmd_status qmdi_trajectory_file_open(const char *path, qmdi_trajectory_file *file);

/* Close a file; one that is all zeros is allowed. */
void qmdi_trajectory_file_close(qmdi_trajectory_file *file);

#endif
