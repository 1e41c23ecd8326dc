/* Small AMBER NetCDF files for the tests, written by NetCDF-C itself. */
#ifndef QMD_TESTS_NETCDF_FIXTURE_H
#define QMD_TESTS_NETCDF_FIXTURE_H

#include <stddef.h>

/* What a file is to hold. Members that are 0 are left out or take what the convention says. */
typedef struct qmdt_netcdf {
	int format; /* 1, 2 or 5: CDF-1, CDF-2, CDF-5; 4: NetCDF-4. 0: CDF-2 */
	size_t n_frames, n_atoms;
	const double *xyz; /* stored numbers, n_frames * n_atoms * 3; NULL: qmdt_coordinate() */
	int is_double;
	int frame_is_fixed; /* the dimension `frame` is not the unlimited one */
	int without_units, without_coordinates;
	const char *length_unit;    /* default "angstrom" */
	double length_scale_factor; /* 0: none */
	const char *conventions;    /* default "AMBER" */
	const char *atom_dimension; /* default "atom" */
	const double *times;        /* n_frames stored numbers; NULL: no variable */
	const char *time_unit;      /* default "picosecond" */
	double time_scale_factor;   /* 0: none */
	const double *lengths;      /* n_frames * 3 stored numbers; NULL: no variable */
	const double *angles;       /* n_frames * 3 stored numbers; NULL: no variable */
	const char *angle_unit;     /* default "degree" */
	size_t spatial;             /* default 3 */
	int is_restart;             /* one frame without a dimension; n_frames is 1 */
	int is_lower_case;          /* names of attributes */
	int has_velocities;         /* velocities and forces too */
} qmdt_netcdf;

/* A number that a float holds, different for each place. */
double qmdt_coordinate(size_t frame, size_t atom, size_t axis);

/* Write a file into the scratch folder; returns its path. */
const char *qmdt_write_netcdf(const char *name, const qmdt_netcdf *content);

#endif
