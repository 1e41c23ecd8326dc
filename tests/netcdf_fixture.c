#include "netcdf_fixture.h"

#include <netcdf.h>

#include "support.h"

#define check_netcdf(call)                                                                                             \
	do {                                                                                                               \
		const int code = (call);                                                                                       \
		ck_assert_msg(code == NC_NOERR, "%s: %s", #call, nc_strerror(code));                                           \
	} while (0)

double qmdt_coordinate(size_t frame, size_t atom, size_t axis) {
	return (double)frame * 64 + (double)atom * 0.5 - (double)axis * 0.125 - 3;
}

static void put_text(int file, int variable, const char *name, const char *text) {
	check_netcdf(nc_put_att_text(file, variable, name, strlen(text), text));
}

static const char *or_default(const char *text, const char *otherwise) {
	return text ? text : otherwise;
}

static void put_text_attributes(int file, const qmdt_netcdf *content) {
	const char *convention = content->is_restart ? "AMBERRESTART" : "AMBER";
	put_text(file, NC_GLOBAL, content->is_lower_case ? "conventions" : "Conventions",
			 or_default(content->conventions, convention));
	put_text(file, NC_GLOBAL, content->is_lower_case ? "conventionversion" : "ConventionVersion", "1.0");
}

static int define(int file, const char *name, nc_type type, int rank, const int *dimensions, const char *unit,
				  double scale_factor) {
	int variable;
	check_netcdf(nc_def_var(file, name, type, rank, dimensions, &variable));
	if (unit)
		put_text(file, variable, "units", unit);
	if (scale_factor != 0)
		check_netcdf(nc_put_att_double(file, variable, "scale_factor", NC_DOUBLE, 1, &scale_factor));
	return variable;
}

/* `first` dimensions, 0 or 1, are left out. */
static void put_values(int file, int variable, int first, size_t n_frames, size_t n, const double *values) {
	const size_t start[3] = {0, 0, 0}, count[3] = {n_frames, n, 3};
	const int code = nc_put_vara_double(file, variable, start + first, count + first, values);
	/* An infinity is stored in a float, and called out of range. */
	ck_assert_msg(code == NC_NOERR || code == NC_ERANGE, "%s", nc_strerror(code));
}

static void put_coordinates(int file, int variable, const qmdt_netcdf *content) {
	const size_t n_atoms = content->n_atoms;
	double *made = malloc((content->n_frames * n_atoms * 3 + 1) * sizeof *made);
	ck_assert_ptr_nonnull(made);
	for (size_t i = 0; i < content->n_frames * n_atoms * 3; i++)
		made[i] = content->xyz ? content->xyz[i] : qmdt_coordinate(i / 3 / n_atoms, i / 3 % n_atoms, i % 3);
	if (content->n_frames > 0)
		put_values(file, variable, content->is_restart, content->n_frames, n_atoms, made);
	free(made);
}

const char *qmdt_write_netcdf(const char *name, const qmdt_netcdf *content) {
	static const int modes[] = {
		[0] = NC_64BIT_OFFSET, [1] = 0, [2] = NC_64BIT_OFFSET, [4] = NC_NETCDF4, [5] = NC_64BIT_DATA};
	const char *path = qmdt_scratch(name);
	const size_t frames = content->frame_is_fixed ? content->n_frames : NC_UNLIMITED;
	const int first = content->is_restart;
	int file, coordinates = -1, time = -1, lengths = -1, angles = -1, dimensions[3], cell[2];
	check_netcdf(nc_create(path, NC_CLOBBER | modes[content->format], &file));
	put_text_attributes(file, content);
	check_netcdf(nc_def_dim(file, "frame", frames, &dimensions[0]));
	check_netcdf(nc_def_dim(file, or_default(content->atom_dimension, "atom"), content->n_atoms, &dimensions[1]));
	check_netcdf(nc_def_dim(file, "spatial", content->spatial ? content->spatial : 3, &dimensions[2]));
	cell[0] = dimensions[0];
	const char *length_unit = content->without_units ? NULL : or_default(content->length_unit, "angstrom");
	if (content->times)
		time = define(file, "time", NC_FLOAT, 1 - first, dimensions, or_default(content->time_unit, "picosecond"),
					  content->time_scale_factor);
	if (!content->without_coordinates)
		coordinates = define(file, "coordinates", content->is_double ? NC_DOUBLE : NC_FLOAT, 3 - first,
							 dimensions + first, length_unit, content->length_scale_factor);
	if (content->lengths) {
		check_netcdf(nc_def_dim(file, "cell_spatial", 3, &cell[1]));
		lengths =
			define(file, "cell_lengths", NC_DOUBLE, 2 - first, cell + first, length_unit, content->length_scale_factor);
	}
	if (content->angles) {
		check_netcdf(nc_def_dim(file, "cell_angular", 3, &cell[1]));
		angles = define(file, "cell_angles", NC_FLOAT, 2 - first, cell + first,
						or_default(content->angle_unit, "degree"), 0);
	}
	if (content->has_velocities) {
		define(file, "velocities", NC_DOUBLE, 3 - first, dimensions + first, "angstrom/picosecond", 20.455);
		define(file, "forces", NC_FLOAT, 3 - first, dimensions + first, "kilocalorie/mole/angstrom", 0);
	}
	check_netcdf(nc_enddef(file));
	if (coordinates >= 0 && (!content->spatial || content->spatial == 3))
		put_coordinates(file, coordinates, content);
	if (content->times)
		put_values(file, time, first, content->n_frames, 0, content->times);
	if (content->lengths)
		put_values(file, lengths, first, content->n_frames, 3, content->lengths);
	if (content->angles)
		put_values(file, angles, first, content->n_frames, 3, content->angles);
	check_netcdf(nc_close(file));
	return path;
}
