/* AMBER NetCDF trajectories and restart files (Convention 1.0), read through NetCDF-C behind a lock. */
#include "trajectory_file.h"

#include <math.h>
#include <netcdf.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/memory.h"
#include "netcdf_check.h"
#include "unit_cell.h"

#define ATTRIBUTE_SIZE 64

/* NetCDF-C is not thread-safe, not even for different files. */
static pthread_mutex_t netcdf_lock = PTHREAD_MUTEX_INITIALIZER;

/* A variable whose first dimension is the frame. */
typedef struct amber_variable {
	int id;       /* of NetCDF-C; -1 if the file has none */
	double scale; /* what the stored numbers are multiplied by to give angstrom, picoseconds or degrees */
	int is_float; /* stored in single precision, else in double */
} amber_variable;

typedef struct amber_file {
	const char *path;    /* borrowed */
	char *absolute_path; /* realpath()'s */
	struct stat opened;  /* the file as it was */
	int id;              /* of NetCDF-C */
	int is_open;
	int is_restart;     /* one frame, and no dimension for it */
	uint64_t n_records; /* of the file, if it has a record dimension */
	size_t n_frames, n_atoms;
	amber_variable coordinates, time, cell_lengths, cell_angles;
	double *row; /* one frame as stored, if its numbers must be converted; else NULL */
} amber_file;

static int has_magic(const unsigned char start[QMDI_MAGIC_SIZE]) {
	return memcmp(start, "CDF", 3) == 0 || memcmp(start, "\x89HDF", 4) == 0; /* HDF5 is refused by its name */
}

static qmd_status fail_netcdf(const amber_file *file, int code, const char *what) {
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

/* An attribute by its name in any case, as a file spells it in `found`: "" if it has none. */
static qmd_status find_attribute(const amber_file *file, int variable, const char *name, char found[NC_MAX_NAME + 1],
								 nc_type *type, size_t *length) {
	int n = 0;
	int code = variable == NC_GLOBAL ? nc_inq_natts(file->id, &n) : nc_inq_varnatts(file->id, variable, &n);
	for (int i = 0; code == NC_NOERR && i < n; i++) {
		code = nc_inq_attname(file->id, variable, i, found);
		if (code == NC_NOERR && strcasecmp(found, name) == 0) {
			code = nc_inq_att(file->id, variable, found, type, length);
			return code == NC_NOERR ? QMD_OK : fail_netcdf(file, code, name);
		}
	}
	found[0] = 0;
	return code == NC_NOERR ? QMD_OK : fail_netcdf(file, code, name);
}

/* A text attribute without the blanks and NULs that writers pad with; "" if there is none. */
static qmd_status get_text(const amber_file *file, int variable, const char *name, char text[ATTRIBUTE_SIZE]) {
	char found[NC_MAX_NAME + 1];
	nc_type type = NC_NAT;
	size_t length = 0;
	text[0] = 0;
	QMDI_TRY(find_attribute(file, variable, name, found, &type, &length));
	if (!found[0])
		return QMD_OK;
	if (type != NC_CHAR || length >= ATTRIBUTE_SIZE)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: attribute '%s': expected a text of at most %d characters", file->path,
						 name, ATTRIBUTE_SIZE - 1);
	const int read_code = nc_get_att_text(file->id, variable, found, text);
	if (read_code != NC_NOERR)
		return fail_netcdf(file, read_code, name);
	while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == 0))
		length--;
	text[length] = 0;
	return QMD_OK;
}

static qmd_status get_scale_factor(const amber_file *file, int variable, const char *name, double *factor) {
	char found[NC_MAX_NAME + 1];
	nc_type type = NC_NAT;
	size_t length = 0;
	*factor = 1;
	QMDI_TRY(find_attribute(file, variable, "scale_factor", found, &type, &length));
	if (!found[0])
		return QMD_OK;
	if ((type != NC_FLOAT && type != NC_DOUBLE) || length != 1)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: variable '%s': scale_factor: expected one float or double", file->path,
						 name);
	const int read_code = nc_get_att_double(file->id, variable, found, factor);
	if (read_code != NC_NOERR)
		return fail_netcdf(file, read_code, "scale_factor");
	if (!isfinite(*factor) || *factor == 0)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: variable '%s': scale_factor: expected a finite number other than 0",
						 file->path, name);
	return QMD_OK;
}

/* The convention demands `units`, but names one unit for each variable: it is what a file without them means. */
static qmd_status get_scale(const amber_file *file, int variable, const char *name, unit_quantity quantity,
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

/* What the convention says of a variable: its dimensions by name, and lengths for those that have one. In a restart
 * file the first is missing. */
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

/* MDTraj and ParmEd give the time of a restart file a dimension of its own, of length 1. */
static int is_time_in_a_row(const amber_file *file, int variable, const variable_layout *layout) {
	int rank = 0, id;
	size_t length = 0;
	return file->is_restart && layout->quantity == TIME && nc_inq_varndims(file->id, variable, &rank) == NC_NOERR &&
		   rank == 1 && nc_inq_vardimid(file->id, variable, &id) == NC_NOERR &&
		   nc_inq_dimlen(file->id, id, &length) == NC_NOERR && length == 1;
}

static qmd_status check_dimensions(const amber_file *file, int variable, const variable_layout *layout,
								   size_t lengths[3]) {
	const int first = file->is_restart, expected_rank = layout->rank - first;
	int rank, ids[3];
	int code = nc_inq_var(file->id, variable, NULL, NULL, &rank, NULL, NULL);
	if (code == NC_NOERR && rank != expected_rank)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: variable '%s': expected %d dimensions, found %d", file->path,
						 layout->name, expected_rank, rank);
	if (code == NC_NOERR)
		code = nc_inq_vardimid(file->id, variable, ids);
	for (int i = first; code == NC_NOERR && i < layout->rank; i++) {
		char name[NC_MAX_NAME + 1];
		code = nc_inq_dim(file->id, ids[i - first], name, &lengths[i]);
		if (code == NC_NOERR && strcmp(name, layout->dimensions[i]) != 0)
			return qmdi_fail(QMD_ERROR_FORMAT, "%s: variable '%s': expected dimension %d to be '%s', found '%s'",
							 file->path, layout->name, i - first, layout->dimensions[i], name);
	}
	if (code != NC_NOERR)
		return fail_netcdf(file, code, layout->name);
	if (layout->inner_is_3 && lengths[layout->rank - 1] != 3)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: variable '%s': expected 3 numbers in dimension '%s', found %zu",
						 file->path, layout->name, layout->dimensions[layout->rank - 1], lengths[layout->rank - 1]);
	return QMD_OK;
}

/* Find a variable; its id is -1 if there is none. */
static qmd_status find_variable(const amber_file *file, const variable_layout *layout, amber_variable *variable,
								size_t lengths[3]) {
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
	if (!is_time_in_a_row(file, variable->id, layout))
		QMDI_TRY(check_dimensions(file, variable->id, layout, lengths));
	return get_scale(file, variable->id, layout->name, layout->quantity, &variable->scale);
}

static qmd_status check_conventions(amber_file *file) {
	char text[ATTRIBUTE_SIZE];
	QMDI_TRY(get_text(file, NC_GLOBAL, "Conventions", text));
	file->is_restart = strcasestr(text, "AMBERRESTART") != NULL;
	if (!strcasestr(text, "AMBER"))
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: attribute 'Conventions': expected 'AMBER', found '%s'", file->path,
						 text);
	QMDI_TRY(get_text(file, NC_GLOBAL, "ConventionVersion", text));
	if (strcmp(text, "1.0") != 0)
		qmdi_log(QMD_LOG_WARNING, "%s: read as AMBER NetCDF Convention 1.0, but says '%s'", file->path, text);
	return QMD_OK;
}

/* The record dimension counts the frames of most files; its length is what the check of the header gave. */
static qmd_status count_frames(amber_file *file, size_t length) {
	int record_dimension = -1, frame_dimension = -1;
	file->n_frames = file->is_restart ? 1 : length;
	int code = nc_inq_unlimdim(file->id, &record_dimension);
	if (code == NC_NOERR && !file->is_restart)
		code = nc_inq_dimid(file->id, "frame", &frame_dimension);
	if (code != NC_NOERR)
		return fail_netcdf(file, code, "frame");
	if (frame_dimension >= 0 && frame_dimension == record_dimension)
		file->n_frames = (size_t)file->n_records;
	return QMD_OK;
}

static qmd_status find_variables(amber_file *file) {
	size_t lengths[3] = {0};
	QMDI_TRY(check_conventions(file));
	QMDI_TRY(find_variable(file, &coordinates_layout, &file->coordinates, lengths));
	if (file->coordinates.id < 0)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: expected a variable 'coordinates', found none", file->path);
	if (lengths[1] == 0 || lengths[1] > UINT32_MAX)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: expected 1 to %u atoms, found %zu", file->path, UINT32_MAX, lengths[1]);
	file->n_atoms = lengths[1];
	QMDI_TRY(count_frames(file, lengths[0]));
	/* All go by the one dimension 'frame', so their numbers of frames agree. */
	QMDI_TRY(find_variable(file, &time_layout, &file->time, lengths));
	QMDI_TRY(find_variable(file, &lengths_layout, &file->cell_lengths, lengths));
	return find_variable(file, &angles_layout, &file->cell_angles, lengths);
}

static qmd_status open_locked(amber_file *file) {
	const int code = nc_open(file->absolute_path, NC_NOWRITE, &file->id);
	if (code != NC_NOERR)
		return fail_netcdf(file, code, "cannot open");
	file->is_open = 1;
	return find_variables(file);
}

/* NetCDF-C takes some names for addresses of servers; an absolute path without "//" is always a file. */
static qmd_status open_absolute(amber_file *amber) {
	amber->absolute_path = realpath(amber->path, NULL);
	if (!amber->absolute_path || stat(amber->absolute_path, &amber->opened) != 0)
		return qmdi_fail(QMD_ERROR_IO, "%s: cannot resolve the path", amber->path);
	pthread_mutex_lock(&netcdf_lock);
	const qmd_status status = open_locked(amber);
	pthread_mutex_unlock(&netcdf_lock);
	return status;
}

static qmd_status open_amber(qmdi_trajectory_file *file) {
	uint64_t n_records = 0;
	QMDI_TRY(qmdi_netcdf_check(file->path, &n_records));
	amber_file *amber = qmdi_zeroed(1, sizeof *amber);
	if (!amber)
		return QMD_ERROR_MEMORY;
	file->content = amber;
	amber->path = file->path;
	amber->n_records = n_records;
	QMDI_TRY(open_absolute(amber));
	file->n_frames = amber->n_frames;
	file->n_atoms = amber->n_atoms;
	if (amber->coordinates.is_float && amber->coordinates.scale == 1)
		return QMD_OK;
	amber->row = qmdi_array(amber->n_atoms, 3 * sizeof *amber->row);
	return amber->row ? QMD_OK : QMD_ERROR_MEMORY;
}

static void close_amber(qmdi_trajectory_file *file) {
	amber_file *amber = file->content;
	if (!amber)
		return;
	if (amber->is_open) {
		pthread_mutex_lock(&netcdf_lock);
		nc_close(amber->id);
		pthread_mutex_unlock(&netcdf_lock);
	}
	free(amber->absolute_path);
	qmdi_release(amber->row);
	qmdi_release(amber);
}

/* ---- Reading ---- */

/* NetCDF-C gives zeros beyond the end of a file that was cut after it had been opened; asked for after each read. */
static qmd_status check_still_whole(const amber_file *amber) {
	struct stat now;
	if (stat(amber->absolute_path, &now) != 0 || now.st_ino != amber->opened.st_ino ||
		now.st_dev != amber->opened.st_dev || now.st_size >= amber->opened.st_size)
		return QMD_OK; /* another file of that name does not concern the open one */
	return qmdi_fail(QMD_ERROR_IO, "%s: the file was cut from %lld to %lld bytes while it was open", amber->path,
					 (long long)amber->opened.st_size, (long long)now.st_size);
}

static qmd_status read_amber(const qmdi_trajectory_file *file, size_t frame, float *xyz) {
	const amber_file *amber = file->content;
	const int id = amber->coordinates.id;
	const size_t all_start[3] = {frame, 0, 0}, all_count[3] = {1, amber->n_atoms, 3};
	const size_t *start = all_start + amber->is_restart, *count = all_count + amber->is_restart;
	pthread_mutex_lock(&netcdf_lock);
	const int code = amber->row ? nc_get_vara_double(amber->id, id, start, count, amber->row)
								: nc_get_vara_float(amber->id, id, start, count, xyz);
	pthread_mutex_unlock(&netcdf_lock);
	if (code != NC_NOERR)
		return fail_netcdf(amber, code, "cannot read coordinates");
	QMDI_TRY(check_still_whole(amber));
	for (size_t i = 0; amber->row && i < 3 * amber->n_atoms; i++)
		xyz[i] = (float)(amber->row[i] * amber->coordinates.scale);
	return QMD_OK;
}

/* n numbers (1 for the time, 3 for the cell) of one frame in our unit, of a variable that the file has. */
static qmd_status read_row(const amber_file *amber, const amber_variable *variable, size_t frame, size_t n,
						   double *values) {
	const size_t all_start[2] = {frame, 0}, all_count[2] = {1, n};
	const size_t *start = all_start + amber->is_restart, *count = all_count + amber->is_restart;
	pthread_mutex_lock(&netcdf_lock);
	const int code = nc_get_vara_double(amber->id, variable->id, start, count, values);
	pthread_mutex_unlock(&netcdf_lock);
	if (code != NC_NOERR)
		return fail_netcdf(amber, code, "cannot read");
	for (size_t i = 0; i < n; i++)
		values[i] *= variable->scale;
	return check_still_whole(amber);
}

static qmd_status time_of_amber(const qmdi_trajectory_file *file, size_t frame, double *time_ps) {
	const amber_file *amber = file->content;
	if (amber->time.id < 0)
		return qmdi_fail(QMD_ERROR_STATE, "%s: the file has no variable 'time'", file->path);
	return read_row(amber, &amber->time, frame, 1, time_ps);
}

static qmd_status box_of_amber(const qmdi_trajectory_file *file, size_t frame, double box[9], int *has_box) {
	const amber_file *amber = file->content;
	double lengths[3], angles[3];
	if (amber->cell_lengths.id < 0 || amber->cell_angles.id < 0)
		return QMD_OK;
	QMDI_TRY(read_row(amber, &amber->cell_lengths, frame, 3, lengths));
	QMDI_TRY(read_row(amber, &amber->cell_angles, frame, 3, angles));
	QMDI_TRY(qmdi_unit_cell_check(file->path, frame, lengths, 3));
	QMDI_TRY(qmdi_unit_cell_check(file->path, frame, angles, 3));
	for (size_t i = 0; i < 3; i++)
		angles[i] = qmdi_cos_degrees(angles[i]);
	*has_box = qmdi_unit_cell_box(lengths, angles, box);
	return QMD_OK;
}

const qmdi_trajectory_format qmdi_amber_format = {has_magic,  open_amber,    close_amber,
												  read_amber, time_of_amber, box_of_amber};
