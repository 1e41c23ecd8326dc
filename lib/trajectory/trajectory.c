/* Several AMBER NetCDF files as one trajectory. */
#include <qmd/trajectory.h>

#include <math.h>
#include <string.h>

#include "amber_file.h"
#include "base/float_environment.h"
#include "base/memory.h"

struct qmd_trajectory {
	qmdi_amber_file *files;
	size_t n_files;
	size_t n_atoms, n_frames;
};

static qmd_status open_file(qmd_trajectory *trajectory, const char *path) {
	qmdi_amber_file *file = &trajectory->files[trajectory->n_files];
	QMDI_TRY(qmdi_amber_open(path, file));
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
		qmdi_amber_close(&trajectory->files[i]);
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
static const qmdi_amber_file *find_frame(const qmd_trajectory *trajectory, size_t *frame) {
	const qmdi_amber_file *file = trajectory->files;
	while (*frame >= file->n_frames) {
		*frame -= file->n_frames;
		file++;
	}
	return file;
}

static qmd_status check_frame(const qmd_trajectory *trajectory, const char *what, size_t frame) {
	if (frame >= trajectory->n_frames)
		return qmdi_fail(QMD_ERROR_RANGE, "%s: frame is %zu, but there are %zu frames", what, frame,
						 trajectory->n_frames);
	return QMD_OK;
}

qmd_status qmd_trajectory_read(qmd_trajectory *trajectory, size_t first, size_t n, float *xyz) {
	QMDI_REQUIRE(trajectory);
	QMDI_REQUIRE(xyz);
	if (first > trajectory->n_frames || n > trajectory->n_frames - first)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_trajectory_read: first is %zu and n is %zu, but there are %zu frames",
						 first, n, trajectory->n_frames);
	while (n > 0) {
		size_t in_file = first;
		const qmdi_amber_file *file = find_frame(trajectory, &in_file);
		const size_t left = file->n_frames - in_file, n_here = n < left ? n : left;
		QMDI_TRY(qmdi_amber_read(file, in_file, n_here, xyz));
		first += n_here;
		n -= n_here;
		xyz += n_here * trajectory->n_atoms * 3;
	}
	return QMD_OK;
}

qmd_status qmd_trajectory_time_ps(qmd_trajectory *trajectory, size_t frame, double *time_ps) {
	QMDI_REQUIRE(trajectory);
	QMDI_REQUIRE(time_ps);
	QMDI_TRY(check_frame(trajectory, "qmd_trajectory_time_ps", frame));
	const qmdi_amber_file *file = find_frame(trajectory, &frame);
	if (file->time.id < 0)
		return qmdi_fail(QMD_ERROR_STATE, "%s: the file has no variable 'time'", file->path);
	QMDI_TRY(qmdi_amber_read_row(file, &file->time, frame, 1, time_ps));
	if (!isfinite(*time_ps))
		return qmdi_fail(QMD_ERROR_RANGE, "%s: frame %zu: the time is %g, expected a finite number", file->path, frame,
						 *time_ps);
	return QMD_OK;
}

/* Exact where crystals and boxes are: the rest is the C library's. */
static double cos_degrees(double angle) {
	if (angle == 90)
		return 0;
	if (angle == 60)
		return 0.5;
	if (angle == 120)
		return -0.5;
	return cos(angle * (M_PI / 180));
}

/* Box vectors from lengths a, b, c and angles alpha (b, c), beta (a, c), gamma (a, b). 0 if they have no volume. */
static int make_box(const double lengths[3], const double angles[3], double box[9]) {
	const double cos_alpha = cos_degrees(angles[0]), cos_beta = cos_degrees(angles[1]);
	const double cos_gamma = cos_degrees(angles[2]), sin_gamma = sqrt(1 - cos_gamma * cos_gamma);
	const double c_y = (cos_alpha - cos_beta * cos_gamma) / sin_gamma;
	const double c_z_squared = 1 - cos_beta * cos_beta - c_y * c_y;
	if (!(lengths[0] > 0 && lengths[1] > 0 && lengths[2] > 0 && sin_gamma > 0 && c_z_squared > 0))
		return 0;
	const double made[9] = {lengths[0],
							0,
							0,
							lengths[1] * cos_gamma,
							lengths[1] * sin_gamma,
							0,
							lengths[2] * cos_beta,
							lengths[2] * c_y,
							lengths[2] * sqrt(c_z_squared)};
	memcpy(box, made, sizeof made);
	return 1;
}

qmd_status qmd_trajectory_box(qmd_trajectory *trajectory, size_t frame, double box[9], int *has_box) {
	QMDI_REQUIRE(trajectory);
	QMDI_REQUIRE(box);
	QMDI_REQUIRE(has_box);
	QMDI_TRY(check_frame(trajectory, "qmd_trajectory_box", frame));
	*has_box = 0;
	memset(box, 0, 9 * sizeof *box);
	const qmdi_amber_file *file = find_frame(trajectory, &frame);
	if (file->cell_lengths.id < 0 || file->cell_angles.id < 0)
		return QMD_OK;
	double cell[6];
	QMDI_TRY(qmdi_amber_read_row(file, &file->cell_lengths, frame, 3, cell));
	QMDI_TRY(qmdi_amber_read_row(file, &file->cell_angles, frame, 3, cell + 3));
	for (size_t i = 0; i < 6; i++)
		if (!isfinite(cell[i]))
			return qmdi_fail(QMD_ERROR_RANGE, "%s: frame %zu: the cell's %s is %g, expected a finite number",
							 file->path, frame, i < 3 ? "length" : "angle", cell[i]);
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	*has_box = make_box(cell, cell + 3, box);
	qmdi_float_leave(&saved);
	return QMD_OK;
}
