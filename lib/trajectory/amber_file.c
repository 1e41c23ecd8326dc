#include "amber_file.h"

#include <math.h>
#include <netcdf.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/float_environment.h"
#include "base/log.h"
#include "base/memory.h"
#include "netcdf_check.h"

#define ATTRIBUTE_SIZE 64

/* NetCDF-C is not thread-safe, not even for different files. */
static pthread_mutex_t netcdf_lock = PTHREAD_MUTEX_INITIALIZER;

static qmd_status fail_netcdf(const qmdi_amber_file *file, int code, const char *what) {
	return qmdi_fail(code == NC_ENOMEM ? QMD_ERROR_MEMORY : QMD_ERROR_IO, "%s: %s: %s", file->path, what,
					 nc_strerror(code));
}

/* ---- Units ---- */

typedef enum unit_quantity { LENGTH, TIME, ANGLE } unit_quantity;

static const struct unit {
	unit_quantity quantity;
	const char *name;
	double factor; /* to angstrom, picosecond, degree */
} units[] = {{LENGTH, "angstrom", 1},
			 {LENGTH, "angstroms", 1},
			 {LENGTH, "nanometer", 10},
			 {LENGTH, "nanometers", 10},
			 {LENGTH, "nm", 10},
			 {TIME, "picosecond", 1},
			 {TIME, "picoseconds", 1},
			 {TIME, "ps", 1},
			 {TIME, "femtosecond", 1e-3},
			 {TIME, "femtoseconds", 1e-3},
			 {TIME, "fs", 1e-3},
			 {TIME, "nanosecond", 1e3},
			 {TIME, "nanoseconds", 1e3},
			 {TIME, "ns", 1e3},
			 {ANGLE, "degree", 1},
			 {ANGLE, "degrees", 1},
			 {ANGLE, "radian", 180 / M_PI},
			 {ANGLE, "radians", 180 / M_PI}};

/* A text attribute without the blanks and NULs that writers pad with; "" if there is none. */
static qmd_status get_text(const qmdi_amber_file *file, int variable, const char *name, char text[ATTRIBUTE_SIZE]) {
	nc_type type;
	size_t length;
	text[0] = 0;
	const int code = nc_inq_att(file->id, variable, name, &type, &length);
	if (code == NC_ENOTATT)
		return QMD_OK;
	if (code != NC_NOERR)
		return fail_netcdf(file, code, name);
	if (type != NC_CHAR || length >= ATTRIBUTE_SIZE)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: attribute '%s': expected a text of at most %d characters", file->path,
						 name, ATTRIBUTE_SIZE - 1);
	const int read_code = nc_get_att_text(file->id, variable, name, text);
	if (read_code != NC_NOERR)
		return fail_netcdf(file, read_code, name);
	while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == 0))
		length--;
	text[length] = 0;
	return QMD_OK;
}

static qmd_status get_scale_factor(const qmdi_amber_file *file, int variable, const char *name, double *factor) {
	nc_type type;
	size_t length;
	*factor = 1;
	const int code = nc_inq_att(file->id, variable, "scale_factor", &type, &length);
	if (code == NC_ENOTATT)
		return QMD_OK;
	if (code != NC_NOERR)
		return fail_netcdf(file, code, "scale_factor");
	if ((type != NC_FLOAT && type != NC_DOUBLE) || length != 1)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: variable '%s': scale_factor: expected one float or double", file->path,
						 name);
	const int read_code = nc_get_att_double(file->id, variable, "scale_factor", factor);
	if (read_code != NC_NOERR)
		return fail_netcdf(file, read_code, "scale_factor");
	if (!isfinite(*factor) || *factor == 0)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: variable '%s': scale_factor: expected a finite number other than 0",
						 file->path, name);
	return QMD_OK;
}

/* The convention demands `units`, but names one unit for each variable: it is what a file without them means. */
static qmd_status get_scale(const qmdi_amber_file *file, int variable, const char *name, unit_quantity quantity,
							double *scale) {
	char text[ATTRIBUTE_SIZE];
	QMDI_TRY(get_scale_factor(file, variable, name, scale));
	QMDI_TRY(get_text(file, variable, "units", text));
	if (!text[0])
		return QMD_OK;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		if (units[i].quantity == quantity && strcasecmp(units[i].name, text) == 0) {
			*scale *= units[i].factor;
			return QMD_OK;
		}
	}
	return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: variable '%s': unknown unit '%s'", file->path, name, text);
}

/* ---- Opening; the lock is held ---- */

/* What the convention says of a variable: its dimensions by name, and lengths for those that have one. */
typedef struct variable_layout {
	const char *name;
	unit_quantity quantity;
	int rank;
	const char *dimensions[3];
	int inner_is_3; /* the last dimension has length 3 */
} variable_layout;

static const variable_layout coordinates_layout = {"coordinates", LENGTH, 3, {"frame", "atom", "spatial"}, 1};
static const variable_layout time_layout = {"time", TIME, 1, {"frame"}, 0};
static const variable_layout lengths_layout = {"cell_lengths", LENGTH, 2, {"frame", "cell_spatial"}, 1};
static const variable_layout angles_layout = {"cell_angles", ANGLE, 2, {"frame", "cell_angular"}, 1};

static qmd_status check_dimensions(const qmdi_amber_file *file, int variable, const variable_layout *layout,
								   size_t lengths[3]) {
	int rank, ids[3];
	int code = nc_inq_var(file->id, variable, NULL, NULL, &rank, NULL, NULL);
	if (code == NC_NOERR && rank != layout->rank)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: variable '%s': expected %d dimensions, found %d", file->path,
						 layout->name, layout->rank, rank);
	if (code == NC_NOERR)
		code = nc_inq_vardimid(file->id, variable, ids);
	for (int i = 0; code == NC_NOERR && i < rank; i++) {
		char name[NC_MAX_NAME + 1];
		code = nc_inq_dim(file->id, ids[i], name, &lengths[i]);
		if (code == NC_NOERR && strcmp(name, layout->dimensions[i]) != 0)
			return qmdi_fail(QMD_ERROR_FORMAT, "%s: variable '%s': expected dimension %d to be '%s', found '%s'",
							 file->path, layout->name, i, layout->dimensions[i], name);
	}
	if (code != NC_NOERR)
		return fail_netcdf(file, code, layout->name);
	if (layout->inner_is_3 && lengths[rank - 1] != 3)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: variable '%s': expected 3 numbers in dimension '%s', found %zu",
						 file->path, layout->name, layout->dimensions[rank - 1], lengths[rank - 1]);
	return QMD_OK;
}

/* Find a variable; its id is -1 if there is none. */
static qmd_status find_variable(const qmdi_amber_file *file, const variable_layout *layout,
								qmdi_amber_variable *variable, size_t lengths[3]) {
	nc_type type;
	int code = nc_inq_varid(file->id, layout->name, &variable->id);
	if (code == NC_ENOTVAR) {
		variable->id = -1;
		return QMD_OK;
	}
	if (code == NC_NOERR)
		code = nc_inq_vartype(file->id, variable->id, &type);
	if (code != NC_NOERR)
		return fail_netcdf(file, code, layout->name);
	if (type != NC_FLOAT && type != NC_DOUBLE)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: variable '%s': expected float or double", file->path, layout->name);
	variable->is_float = type == NC_FLOAT;
	QMDI_TRY(check_dimensions(file, variable->id, layout, lengths));
	return get_scale(file, variable->id, layout->name, layout->quantity, &variable->scale);
}

static qmd_status check_conventions(const qmdi_amber_file *file) {
	char text[ATTRIBUTE_SIZE];
	QMDI_TRY(get_text(file, NC_GLOBAL, "Conventions", text));
	if (!strstr(text, "AMBER"))
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: attribute 'Conventions': expected 'AMBER', found '%s'", file->path,
						 text);
	QMDI_TRY(get_text(file, NC_GLOBAL, "ConventionVersion", text));
	if (strcmp(text, "1.0") != 0)
		qmdi_log(QMD_LOG_WARNING, "%s: read as AMBER NetCDF Convention 1.0, but says '%s'", file->path, text);
	return QMD_OK;
}

static qmd_status find_variables(qmdi_amber_file *file) {
	size_t lengths[3] = {0};
	QMDI_TRY(check_conventions(file));
	QMDI_TRY(find_variable(file, &coordinates_layout, &file->coordinates, lengths));
	if (file->coordinates.id < 0)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: expected a variable 'coordinates', found none", file->path);
	if (lengths[1] == 0 || lengths[1] > UINT32_MAX)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: expected 1 to %u atoms, found %zu", file->path, UINT32_MAX, lengths[1]);
	file->n_frames = lengths[0];
	file->n_atoms = lengths[1];
	/* All go by the one dimension 'frame', so their numbers of frames agree. */
	QMDI_TRY(find_variable(file, &time_layout, &file->time, lengths));
	QMDI_TRY(find_variable(file, &lengths_layout, &file->cell_lengths, lengths));
	return find_variable(file, &angles_layout, &file->cell_angles, lengths);
}

static qmd_status open_locked(qmdi_amber_file *file, const char *absolute_path) {
	const int code = nc_open(absolute_path, NC_NOWRITE, &file->id);
	if (code != NC_NOERR)
		return fail_netcdf(file, code, "cannot open");
	file->is_open = 1;
	return find_variables(file);
}

qmd_status qmdi_amber_open(const char *path, qmdi_amber_file *file) {
	memset(file, 0, sizeof *file);
	QMDI_TRY(qmdi_netcdf_check(path));
	file->path = qmdi_string(path);
	if (!file->path)
		return QMD_ERROR_MEMORY;
	/* NetCDF-C takes some names for addresses of servers; an absolute path without "//" is always a file. */
	char *absolute_path = realpath(path, NULL);
	qmd_status status = QMD_OK;
	if (!absolute_path) {
		status = qmdi_fail(QMD_ERROR_IO, "%s: cannot resolve the path", path);
	} else {
		pthread_mutex_lock(&netcdf_lock);
		status = open_locked(file, absolute_path);
		pthread_mutex_unlock(&netcdf_lock);
	}
	free(absolute_path);
	if (status == QMD_OK && !(file->coordinates.is_float && file->coordinates.scale == 1)) {
		file->row = qmdi_array(file->n_atoms, 3 * sizeof *file->row);
		status = file->row ? QMD_OK : QMD_ERROR_MEMORY;
	}
	if (status != QMD_OK)
		qmdi_amber_close(file);
	return status;
}

void qmdi_amber_close(qmdi_amber_file *file) {
	if (file->is_open) {
		pthread_mutex_lock(&netcdf_lock);
		nc_close(file->id);
		pthread_mutex_unlock(&netcdf_lock);
	}
	qmdi_release(file->path);
	qmdi_release(file->row);
	memset(file, 0, sizeof *file);
}

/* ---- Reading ---- */

static uint32_t bits_of(float value) {
	uint32_t bits;
	memcpy(&bits, &value, sizeof bits);
	return bits;
}

/* Exponents of all ones are infinities and NaN. The loop without a way out is one that compilers vectorize. */
static qmd_status check_finite(const qmdi_amber_file *file, size_t frame, const float *xyz) {
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

static qmd_status get_rows(const qmdi_amber_file *file, size_t first, size_t n, float *floats, double *doubles) {
	const size_t start[3] = {first, 0, 0}, count[3] = {n, file->n_atoms, 3};
	pthread_mutex_lock(&netcdf_lock);
	const int code = floats ? nc_get_vara_float(file->id, file->coordinates.id, start, count, floats)
							: nc_get_vara_double(file->id, file->coordinates.id, start, count, doubles);
	pthread_mutex_unlock(&netcdf_lock);
	return code == NC_NOERR ? QMD_OK : fail_netcdf(file, code, "cannot read coordinates");
}

static qmd_status read_converted(const qmdi_amber_file *file, size_t frame, float *xyz) {
	QMDI_TRY(get_rows(file, frame, 1, NULL, file->row));
	for (size_t i = 0; i < 3 * file->n_atoms; i++)
		xyz[i] = (float)(file->row[i] * file->coordinates.scale);
	return QMD_OK;
}

qmd_status qmdi_amber_read(const qmdi_amber_file *file, size_t first, size_t n, float *xyz) {
	const size_t frame_size = 3 * file->n_atoms;
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	qmd_status status = file->row || n == 0 ? QMD_OK : get_rows(file, first, n, xyz, NULL);
	for (size_t i = 0; status == QMD_OK && i < n; i++) {
		if (file->row)
			status = read_converted(file, first + i, xyz + i * frame_size);
		if (status == QMD_OK)
			status = check_finite(file, first + i, xyz + i * frame_size);
	}
	qmdi_float_leave(&saved);
	return status;
}

qmd_status qmdi_amber_read_row(const qmdi_amber_file *file, const qmdi_amber_variable *variable, size_t frame, size_t n,
							   double *values) {
	const size_t start[2] = {frame, 0}, count[2] = {1, n};
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	pthread_mutex_lock(&netcdf_lock);
	const int code = nc_get_vara_double(file->id, variable->id, start, count, values);
	pthread_mutex_unlock(&netcdf_lock);
	for (size_t i = 0; code == NC_NOERR && i < n; i++)
		values[i] *= variable->scale;
	qmdi_float_leave(&saved);
	return code == NC_NOERR ? QMD_OK : fail_netcdf(file, code, "cannot read");
}
