/* Whole files: reading one that may be hostile, and replacing one so that it is the old or the new, never half. */
#ifndef QMD_LIB_FILE_H
#define QMD_LIB_FILE_H

#include "error.h"

/* Open a regular file for reading. A pipe or a device is refused, and does not block. */
qmd_status qmdi_file_open(const char *path, int *descriptor, uint64_t *size);
void qmdi_file_close(int descriptor);

/* Read `size` bytes at `offset`; QMD_ERROR_IO if the file ends before. */
qmd_status qmdi_file_read(int descriptor, const char *path, uint64_t offset, void *data, size_t size);

/* A file in the making: `temporary` stands in the folder of `path` until it is finished. */
typedef struct qmdi_new_file {
	const char *path; /* borrowed */
	char *temporary;
	int descriptor;
	uint64_t size; /* written so far */
	uint64_t hash; /* of what was written so far, qmdi_hash() */
} qmdi_new_file;

qmd_status qmdi_new_file_begin(const char *path, qmdi_new_file *file);
qmd_status qmdi_new_file_write(qmdi_new_file *file, const void *data, size_t size);

/*
 * If `status` (of what came before) is QMD_OK: fsync, rename to `path`, fsync of the folder. Otherwise, or if that
 * fails, the temporary file goes and the old one stays whole (the new one, where only its folder fails). Returns
 * `status` or the new failure; `file` is released.
 */
qmd_status qmdi_new_file_finish(qmdi_new_file *file, qmd_status status);

#endif
