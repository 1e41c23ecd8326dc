/* Several trajectory files as one. */
#include "trajectory_internal.h"

#include <math.h>
#include <string.h>

#include "base/float_environment.h"
#include "base/memory.h"
#include "trajectory_file.h"

struct qmd_trajectory {
	qmdi_trajectory_file *files;
	size_t n_files;
	size_t n_atoms, n_frames;
};

static qmd_status open_file(qmd_trajectory *trajectory, const char *path) {
	qmdi_trajectory_file *file = &trajectory->files[trajectory->n_files];
	QMDI_TRY(qmdi_trajectory_file_open(path, file));
	trajectory->n_files++;
	if (trajectory->n_atoms == 0)
		trajectory->n_atoms = file->n_atoms;
	if (file->n_atoms != trajectory->n_atoms)
		return qmdi_fail(QMD_ERROR_SHAPE, "%s: expected %zu atoms, found %zu", path, trajectory->n_atoms,
						 file->n_atoms);
	if (__builtin_add_overflow(trajectory->n_frames, file->n_frames, &trajectory->n_frames))
		return qmdi_fail(QMD_ERROR_RANGE, "%s: too many frames", path);
	return QMD_OK;
}

qmd_status qmd_trajectory_open(const char *const *paths, size_t n_paths, size_t n_atoms, qmd_trajectory **trajectory) {
	QMDI_REQUIRE(trajectory);
	*trajectory = NULL;
	QMDI_REQUIRE(paths);
	if (n_paths == 0)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_trajectory_open: n_paths is 0, expected at least 1");
	for (size_t i = 0; i < n_paths; i++)
		if (!paths[i])
			return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_trajectory_open: paths[%zu] is NULL", i);
	qmd_trajectory *opened = qmdi_zeroed(1, sizeof *opened);
	if (!opened)
		return QMD_ERROR_MEMORY;
	opened->n_atoms = n_atoms;
	opened->files = qmdi_zeroed(n_paths, sizeof *opened->files);
	qmd_status status = opened->files ? QMD_OK : QMD_ERROR_MEMORY;
	for (size_t i = 0; status == QMD_OK && i < n_paths; i++)
		status = open_file(opened, paths[i]);
	if (status != QMD_OK) {
		qmd_trajectory_free(opened);
		return status;
	}
	*trajectory = opened;
	return QMD_OK;
}

void qmd_trajectory_free(qmd_trajectory *trajectory) {
	if (!trajectory)
		return;
	for (size_t i = 0; i < trajectory->n_files; i++)
		qmdi_trajectory_file_close(&trajectory->files[i]);
	qmdi_release(trajectory->files);
	qmdi_release(trajectory);
}

size_t qmd_trajectory_n_atoms(const qmd_trajectory *trajectory) {
	return trajectory ? trajectory->n_atoms : 0;
}

size_t qmd_trajectory_n_frames(const qmd_trajectory *trajectory) {
	return trajectory ? trajectory->n_frames : 0;
}

size_t qmd_trajectory_n_files(const qmd_trajectory *trajectory) {
	return trajectory ? trajectory->n_files : 0;
}

size_t qmd_trajectory_n_file_frames(const qmd_trajectory *trajectory, size_t file) {
	return trajectory && file < trajectory->n_files ? trajectory->files[file].n_frames : 0;
}

/* The file that holds a frame, whose number becomes the one within that file. The range has been checked. */
static const qmdi_trajectory_file *find_frame(const qmd_trajectory *trajectory, size_t *frame) {
	const qmdi_trajectory_file *file = trajectory->files;
	while (*frame >= file->n_frames) {
		*frame -= file->n_frames;
		file++;
	}
	return file;
}

const char *qmdi_trajectory_path(const qmd_trajectory *trajectory, size_t frame) {
	return find_frame(trajectory, &frame)->path;
}

static qmd_status check_frame(const qmd_trajectory *trajectory, const char *what, size_t frame) {
	if (frame >= trajectory->n_frames)
		return qmdi_fail(QMD_ERROR_RANGE, "%s: frame is %zu, but there are %zu frames", what, frame,
						 trajectory->n_frames);
	return QMD_OK;
}

/* ---- Frames ---- */

static uint32_t bits_of(float value) {
	uint32_t bits;
	memcpy(&bits, &value, sizeof bits);
	return bits;
}

/* Exponents of all ones are infinities and NaN. The loop without a way out is one that compilers vectorize. */
static qmd_status check_finite(const qmdi_trajectory_file *file, size_t frame, const float *xyz) {
	const uint32_t exponent = 0x7f800000u;
	uint32_t found = 0;
	for (size_t i = 0; i < 3 * file->n_atoms; i++)
		found |= (bits_of(xyz[i]) & exponent) == exponent;
	if (!found)
		return QMD_OK;
	size_t at = 0;
	while (isfinite(xyz[at]))
		at++;
	return qmdi_fail(QMD_ERROR_RANGE, "%s: frame %zu, atom %zu: coordinate %c is %g, expected a finite number",
					 file->path, frame, at / 3, "xyz"[at % 3], (double)xyz[at]);
}

static qmd_status read_frames(const qmd_trajectory *trajectory, size_t first, size_t n, float *xyz) {
	for (size_t i = 0; i < n; i++, xyz += 3 * trajectory->n_atoms) {
		size_t frame = first + i;
		const qmdi_trajectory_file *file = find_frame(trajectory, &frame);
		QMDI_TRY(file->format->read(file, frame, xyz));
		QMDI_TRY(check_finite(file, frame, xyz));
	}
	return QMD_OK;
}

qmd_status qmd_trajectory_read(qmd_trajectory *trajectory, size_t first, size_t n, float *xyz) {
	QMDI_REQUIRE(trajectory);
	QMDI_REQUIRE(xyz);
	if (first > trajectory->n_frames || n > trajectory->n_frames - first)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_trajectory_read: first is %zu and n is %zu, but there are %zu frames",
						 first, n, trajectory->n_frames);
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	const qmd_status status = read_frames(trajectory, first, n, xyz);
	qmdi_float_leave(&saved);
	return status;
}

qmd_status qmd_trajectory_time_ps(qmd_trajectory *trajectory, size_t frame, double *time_ps) {
	QMDI_REQUIRE(trajectory);
	QMDI_REQUIRE(time_ps);
	QMDI_TRY(check_frame(trajectory, "qmd_trajectory_time_ps", frame));
	const qmdi_trajectory_file *file = find_frame(trajectory, &frame);
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	const qmd_status status = file->format->time_ps(file, frame, time_ps);
	qmdi_float_leave(&saved);
	if (status == QMD_OK && !isfinite(*time_ps))
		return qmdi_fail(QMD_ERROR_RANGE, "%s: frame %zu: the time is %g, expected a finite number", file->path, frame,
						 *time_ps);
	return status;
}

qmd_status qmd_trajectory_box(qmd_trajectory *trajectory, size_t frame, double box[9], int *has_box) {
	QMDI_REQUIRE(trajectory);
	QMDI_REQUIRE(box);
	QMDI_REQUIRE(has_box);
	QMDI_TRY(check_frame(trajectory, "qmd_trajectory_box", frame));
	*has_box = 0;
	memset(box, 0, 9 * sizeof *box);
	const qmdi_trajectory_file *file = find_frame(trajectory, &frame);
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	const qmd_status status = file->format->box(file, frame, box, has_box);
	qmdi_float_leave(&saved);
	return status;
}
