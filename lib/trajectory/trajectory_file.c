#include "trajectory_file.h"

#include <string.h>

#include "base/file.h"
#include "base/memory.h"

static qmd_status read_start(const char *path, unsigned char start[QMDI_MAGIC_SIZE]) {
	int descriptor;
	uint64_t size;
	memset(start, 0, QMDI_MAGIC_SIZE);
	QMDI_TRY(qmdi_file_open(path, &descriptor, &size));
	const size_t n = size < QMDI_MAGIC_SIZE ? (size_t)size : QMDI_MAGIC_SIZE;
	const qmd_status status = qmdi_file_read(descriptor, path, 0, start, n);
	qmdi_file_close(descriptor);
	return status;
}

/* NULL: none. */
static const qmdi_trajectory_format *find_format(const unsigned char start[QMDI_MAGIC_SIZE]) {
	static const qmdi_trajectory_format *const formats[] = {&qmdi_amber_format, &qmdi_xtc_format, &qmdi_dcd_format,
															NULL};
	size_t i = 0;
	while (formats[i] && !formats[i]->has_magic(start))
		i++;
	return formats[i];
}

qmd_status qmdi_trajectory_file_open(const char *path, qmdi_trajectory_file *file) {
	unsigned char start[QMDI_MAGIC_SIZE];
	memset(file, 0, sizeof *file);
	QMDI_TRY(read_start(path, start));
	const qmdi_trajectory_format *format = find_format(start);
	if (!format)
		return qmdi_fail(QMD_ERROR_FORMAT,
						 "%s: offset 0: not a trajectory: expected NetCDF, XTC or DCD, found bytes %02x %02x %02x %02x "
						 "%02x %02x %02x %02x",
						 path, start[0], start[1], start[2], start[3], start[4], start[5], start[6], start[7]);
	file->path = qmdi_string(path);
	if (!file->path)
		return QMD_ERROR_MEMORY;
	file->format = format;
	const qmd_status status = format->open(file);
	if (status != QMD_OK)
		qmdi_trajectory_file_close(file);
	return status;
}

void qmdi_trajectory_file_close(qmdi_trajectory_file *file) {
	if (file->format)
		file->format->close(file);
	qmdi_release(file->path);
	memset(file, 0, sizeof *file);
}
