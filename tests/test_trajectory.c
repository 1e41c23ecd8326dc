/* AMBER NetCDF trajectories, and files as one trajectory. */
#include "support.h"

#include <fenv.h>
#include <math.h>
#include <netcdf.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "netcdf_fixture.h"

static qmd_trajectory *open_one(const char *path) {
	qmd_trajectory *trajectory;
	qmdt_ok(qmd_trajectory_open(&path, 1, 0, &trajectory));
	return trajectory;
}

static void open_fails(const char *path, qmd_status status, const char *part) {
	qmd_trajectory *trajectory;
	qmdt_fails(qmd_trajectory_open(&path, 1, 0, &trajectory), status, part);
	ck_assert_ptr_null(trajectory);
}

/* Every coordinate must be qmdt_coordinate() times `factor`, in float32. */
static void check_coordinates(qmd_trajectory *trajectory, size_t n_frames, size_t n_atoms, double factor) {
	ck_assert_uint_eq(qmd_trajectory_n_frames(trajectory), n_frames);
	ck_assert_uint_eq(qmd_trajectory_n_atoms(trajectory), n_atoms);
	float *xyz = malloc((n_frames + 1) * n_atoms * 3 * sizeof *xyz);
	qmdt_ok(qmd_trajectory_read(trajectory, 0, n_frames, xyz));
	for (size_t i = 0; i < n_frames * n_atoms * 3; i++)
		ck_assert_float_eq(xyz[i], (float)(qmdt_coordinate(i / 3 / n_atoms, i / 3 % n_atoms, i % 3) * factor));
	free(xyz);
}

START_TEST(reads_every_classic_format) {
	for (int format = 1; format <= 5; format += format == 2 ? 3 : 1)
		for (int is_double = 0; is_double <= 1; is_double++)
			for (int frame_is_fixed = 0; frame_is_fixed <= 1; frame_is_fixed++) {
				qmd_trajectory *trajectory =
					open_one(qmdt_write_netcdf("format.nc", &(qmdt_netcdf){.format = format,
																		   .n_frames = 3,
																		   .n_atoms = 5,
																		   .is_double = is_double,
																		   .frame_is_fixed = frame_is_fixed}));
				check_coordinates(trajectory, 3, 5, 1);
				qmd_trajectory_free(trajectory);
			}
	open_fails(qmdt_write_netcdf("format.nc", &(qmdt_netcdf){.format = 4, .n_frames = 1, .n_atoms = 1}),
			   QMD_ERROR_UNSUPPORTED, "NetCDF-4");
}
END_TEST

START_TEST(converts_units) {
	static const double times[] = {1, 2}, lengths[] = {1, 2, 3, 4, 5, 6}, right[] = {90, 90, 90, 90, 90, 90};
	qmdt_netcdf content = {.n_frames = 2, .n_atoms = 4, .times = times, .lengths = lengths, .angles = right};
	static const struct {
		const char *length_unit;
		double length_scale_factor;
		const char *time_unit;
		double time_scale_factor, length, time;
	} cases[] = {{NULL, 0, NULL, 0, 1, 1},
				 {"nanometer", 0, "femtosecond", 0, 10, 1e-3},
				 {"angstrom", 10, "picosecond", 2, 10, 2},
				 {"nm", 0.5, "ns", 0.25, 5, 250},
				 {"Angstrom ", 0.3, "ps", 0, 0.3, 1}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		content.length_unit = cases[i].length_unit;
		content.length_scale_factor = cases[i].length_scale_factor;
		content.time_unit = cases[i].time_unit;
		content.time_scale_factor = cases[i].time_scale_factor;
		qmd_trajectory *trajectory = open_one(qmdt_write_netcdf("units.nc", &content));
		double time, box[9];
		int has_box;
		check_coordinates(trajectory, 2, 4, cases[i].length);
		qmdt_ok(qmd_trajectory_time_ps(trajectory, 1, &time));
		ck_assert_double_eq_tol(time, 2 * cases[i].time, 1e-12);
		qmdt_ok(qmd_trajectory_box(trajectory, 1, box, &has_box));
		ck_assert_int_eq(has_box, 1);
		ck_assert_double_eq_tol(box[0], 4 * cases[i].length, 1e-12);
		ck_assert_double_eq_tol(box[8], 6 * cases[i].length, 1e-12);
		qmd_trajectory_free(trajectory);
	}
	open_fails(qmdt_write_netcdf("units.nc", &(qmdt_netcdf){.n_frames = 1, .n_atoms = 1, .length_unit = "bohr"}),
			   QMD_ERROR_UNSUPPORTED, "unknown unit 'bohr'");
	/* A time is no length. */
	open_fails(qmdt_write_netcdf("units.nc", &(qmdt_netcdf){.n_frames = 1, .n_atoms = 1, .length_unit = "picosecond"}),
			   QMD_ERROR_UNSUPPORTED, "unknown unit 'picosecond'");
	open_fails(qmdt_write_netcdf("units.nc", &(qmdt_netcdf){.n_frames = 1, .n_atoms = 1, .length_scale_factor = NAN}),
			   QMD_ERROR_FORMAT, "scale_factor");
}
END_TEST

START_TEST(does_without_units_time_and_cell) {
	qmd_trajectory *trajectory =
		open_one(qmdt_write_netcdf("bare.nc", &(qmdt_netcdf){.n_frames = 1, .n_atoms = 2, .without_units = 1}));
	double time, box[9];
	int has_box = 1;
	check_coordinates(trajectory, 1, 2, 1);
	qmdt_fails(qmd_trajectory_time_ps(trajectory, 0, &time), QMD_ERROR_STATE, "bare.nc");
	qmdt_ok(qmd_trajectory_box(trajectory, 0, box, &has_box));
	ck_assert_int_eq(has_box, 0);
	for (size_t i = 0; i < 9; i++)
		ck_assert_double_eq(box[i], 0);
	qmd_trajectory_free(trajectory);
}
END_TEST

/* One frame, without a dimension of frames. */
START_TEST(reads_restart_files) {
	static const double times[] = {2.5}, lengths[] = {10, 20, 30}, angles[] = {M_PI / 2, M_PI / 2, M_PI / 2};
	static const int formats[] = {1, 2, 5};
	for (size_t i = 0; i < 3; i++) {
		const qmdt_netcdf content = {.format = formats[i],
									 .n_frames = 1,
									 .n_atoms = 5,
									 .is_double = 1,
									 .is_restart = 1,
									 .has_velocities = 1,
									 .times = times,
									 .lengths = lengths,
									 .angles = angles,
									 .angle_unit = "radian"};
		qmd_trajectory *trajectory = open_one(qmdt_write_netcdf("restart.nc", &content));
		double time, box[9];
		int has_box;
		check_coordinates(trajectory, 1, 5, 1);
		qmdt_ok(qmd_trajectory_time_ps(trajectory, 0, &time));
		ck_assert_double_eq(time, 2.5);
		qmdt_ok(qmd_trajectory_box(trajectory, 0, box, &has_box));
		ck_assert_int_eq(has_box, 1);
		ck_assert_double_eq_tol(box[0], 10, 1e-5);
		ck_assert_double_eq_tol(box[4], 20, 1e-5);
		ck_assert_double_eq_tol(box[8], 30, 1e-5);
		qmd_trajectory_free(trajectory);
	}
	/* A trajectory that says to be a restart file has a dimension too many. */
	open_fails(
		qmdt_write_netcdf("restart.nc", &(qmdt_netcdf){.n_frames = 1, .n_atoms = 2, .conventions = "AMBERRESTART"}),
		QMD_ERROR_FORMAT, "variable 'coordinates': expected 2 dimensions, found 3");
	open_fails(qmdt_write_netcdf("restart.nc",
								 &(qmdt_netcdf){.n_frames = 1, .n_atoms = 2, .is_restart = 1, .conventions = "AMBER"}),
			   QMD_ERROR_FORMAT, "variable 'coordinates': expected 3 dimensions, found 2");
}
END_TEST

/* Names of attributes in lower case, velocities and forces, which nobody asked for. */
START_TEST(reads_what_other_writers_write) {
	const qmdt_netcdf content = {.n_frames = 3,
								 .n_atoms = 4,
								 .is_double = 1,
								 .is_lower_case = 1,
								 .has_velocities = 1,
								 .conventions = "amber",
								 .length_unit = "Angstrom"};
	qmd_trajectory *trajectory = open_one(qmdt_write_netcdf("others.nc", &content));
	check_coordinates(trajectory, 3, 4, 1);
	qmd_trajectory_free(trajectory);
}
END_TEST

/* A writer that is still at it has not stored the number of records, or one that is too small. */
START_TEST(counts_records_that_are_not_counted) {
	static const double times[] = {1, 2, 3};
	static const int formats[] = {1, 2, 5};
	for (size_t i = 0; i < 3; i++) {
		const char *path = qmdt_write_netcdf(
			"streaming.nc", &(qmdt_netcdf){.format = formats[i], .n_frames = 3, .n_atoms = 4, .times = times});
		size_t size;
		unsigned char *bytes = qmdt_read_file(path, &size);
		memset(bytes + 4, 0xff, formats[i] == 5 ? 8 : 4);
		for (size_t n_frames = 0; n_frames <= 3; n_frames++) {
			const size_t record_size = 4 + 4 * 12;
			qmdt_write_file(path, bytes, size - (3 - n_frames) * record_size + (n_frames < 3 ? record_size - 1 : 0));
			qmd_trajectory *trajectory = open_one(path);
			check_coordinates(trajectory, n_frames, 4, 1);
			qmd_trajectory_free(trajectory);
		}
		memset(bytes + 4, 0, formats[i] == 5 ? 8 : 4);
		qmdt_write_file(path, bytes, size);
		qmd_trajectory *trajectory = open_one(path);
		ck_assert_uint_eq(qmd_trajectory_n_frames(trajectory), 0);
		qmd_trajectory_free(trajectory);
		free(bytes);
	}
}
END_TEST

START_TEST(refuses_times_that_are_not_finite) {
	static const double times[] = {1, NAN};
	qmd_trajectory *trajectory =
		open_one(qmdt_write_netcdf("time.nc", &(qmdt_netcdf){.n_frames = 2, .n_atoms = 1, .times = times}));
	double time;
	qmdt_ok(qmd_trajectory_time_ps(trajectory, 0, &time));
	qmdt_fails(qmd_trajectory_time_ps(trajectory, 1, &time), QMD_ERROR_RANGE, "time.nc: frame 1: the time is");
	qmd_trajectory_free(trajectory);
}
END_TEST

/* The box vectors must have the lengths and angles that were stored. */
START_TEST(makes_boxes) {
	static const double lengths[] = {10, 20, 30, 40, 40, 40, 0, 0, 0, 10, 10, 10, NAN, 1, 1};
	static const double angles[] = {80, 95, 110, 60, 60, 90, 90, 90, 90, 10, 10, 120, 90, 90, 90};
	qmd_trajectory *trajectory = open_one(
		qmdt_write_netcdf("box.nc", &(qmdt_netcdf){.n_frames = 5, .n_atoms = 1, .lengths = lengths, .angles = angles}));
	double box[9];
	int has_box;
	for (size_t frame = 0; frame < 2; frame++) {
		qmdt_ok(qmd_trajectory_box(trajectory, frame, box, &has_box));
		ck_assert_int_eq(has_box, 1);
		ck_assert_double_eq(box[1], 0);
		ck_assert_double_eq(box[2], 0);
		ck_assert_double_eq(box[5], 0);
		for (size_t i = 0; i < 3; i++) {
			const double *a = box + 3 * ((i + 1) % 3), *b = box + 3 * ((i + 2) % 3);
			const double length_a = sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]);
			const double length_b = sqrt(b[0] * b[0] + b[1] * b[1] + b[2] * b[2]);
			const double cosine = (a[0] * b[0] + a[1] * b[1] + a[2] * b[2]) / length_a / length_b;
			ck_assert_double_eq_tol(length_a, lengths[3 * frame + (i + 1) % 3], 1e-12);
			ck_assert_double_eq_tol(acos(cosine) * 180 / M_PI, angles[3 * frame + i], 1e-10);
		}
	}
	for (size_t frame = 2; frame < 4; frame++) {
		qmdt_ok(qmd_trajectory_box(trajectory, frame, box, &has_box));
		ck_assert_int_eq(has_box, 0);
		ck_assert_double_eq(box[0], 0);
	}
	qmdt_fails(qmd_trajectory_box(trajectory, 4, box, &has_box), QMD_ERROR_RANGE, "box.nc: frame 4");
	qmd_trajectory_free(trajectory);
}
END_TEST

START_TEST(reads_files_as_one) {
	const char *paths[4];
	static const size_t n_frames[4] = {2, 0, 1, 3};
	for (size_t i = 0; i < 4; i++) {
		char name[16];
		double xyz[3 * 2 * 3];
		for (size_t j = 0; j < 18; j++)
			xyz[j] = (double)(100 * i + j);
		snprintf(name, sizeof name, "part-%zu.nc", i);
		paths[i] = qmdt_write_netcdf(name, &(qmdt_netcdf){.n_frames = n_frames[i], .n_atoms = 2, .xyz = xyz});
	}
	qmd_trajectory *trajectory;
	qmdt_ok(qmd_trajectory_open(paths, 4, 2, &trajectory));
	ck_assert_uint_eq(qmd_trajectory_n_files(trajectory), 4);
	ck_assert_uint_eq(qmd_trajectory_n_frames(trajectory), 6);
	for (size_t i = 0; i < 4; i++)
		ck_assert_uint_eq(qmd_trajectory_n_file_frames(trajectory, i), n_frames[i]);
	ck_assert_uint_eq(qmd_trajectory_n_file_frames(trajectory, 4), 0);
	static const float first_of_frame[6] = {0, 6, 200, 300, 306, 312};
	float xyz[6 * 6];
	for (size_t first = 0; first <= 6; first++)
		for (size_t n = 0; n <= 6 - first; n++) {
			memset(xyz, 0, sizeof xyz);
			qmdt_ok(qmd_trajectory_read(trajectory, first, n, xyz));
			for (size_t i = 0; i < n * 6; i++)
				ck_assert_float_eq(xyz[i], first_of_frame[first + i / 6] + (float)(i % 6));
		}
	double time;
	qmdt_fails(qmd_trajectory_read(trajectory, 6, 1, xyz), QMD_ERROR_RANGE, "6 frames");
	qmdt_fails(qmd_trajectory_read(trajectory, 1, SIZE_MAX, xyz), QMD_ERROR_RANGE, "6 frames");
	qmdt_fails(qmd_trajectory_time_ps(trajectory, 6, &time), QMD_ERROR_RANGE, "frame is 6");
	qmd_trajectory_free(trajectory);
}
END_TEST

START_TEST(demands_equal_numbers_of_atoms) {
	const char *paths[2] = {qmdt_write_netcdf("two.nc", &(qmdt_netcdf){.n_frames = 1, .n_atoms = 2}),
							qmdt_write_netcdf("three.nc", &(qmdt_netcdf){.n_frames = 1, .n_atoms = 3})};
	qmd_trajectory *trajectory;
	qmdt_fails(qmd_trajectory_open(paths, 2, 0, &trajectory), QMD_ERROR_SHAPE, "three.nc: expected 2 atoms, found 3");
	qmdt_fails(qmd_trajectory_open(paths, 1, 3, &trajectory), QMD_ERROR_SHAPE, "two.nc: expected 3 atoms, found 2");
	qmdt_fails(qmd_trajectory_open(paths, 0, 3, &trajectory), QMD_ERROR_ARGUMENT, "n_paths");
	paths[1] = NULL;
	qmdt_fails(qmd_trajectory_open(paths, 2, 2, &trajectory), QMD_ERROR_ARGUMENT, "paths[1]");
	qmdt_fails(qmd_trajectory_open(NULL, 1, 2, &trajectory), QMD_ERROR_ARGUMENT, "paths");
}
END_TEST

START_TEST(names_coordinates_that_are_not_finite) {
	double xyz[2 * 3 * 3] = {0};
	float read[sizeof xyz / sizeof *xyz];
	for (int is_double = 0; is_double <= 1; is_double++) {
		static const double bad[] = {NAN, INFINITY, -INFINITY};
		for (size_t i = 0; i < 3; i++) {
			xyz[9 + 2 * 3 + 1] = bad[i];
			qmd_trajectory *trajectory = open_one(qmdt_write_netcdf(
				"nan.nc", &(qmdt_netcdf){.n_frames = 2, .n_atoms = 3, .xyz = xyz, .is_double = is_double}));
			qmdt_ok(qmd_trajectory_read(trajectory, 0, 1, read));
			qmdt_fails(qmd_trajectory_read(trajectory, 0, 2, read), QMD_ERROR_RANGE,
					   "nan.nc: frame 1, atom 2: coordinate y");
			qmd_trajectory_free(trajectory);
		}
	}
	/* Finite in double, not in float. */
	xyz[10] = 1e300;
	qmd_trajectory *trajectory =
		open_one(qmdt_write_netcdf("nan.nc", &(qmdt_netcdf){.n_frames = 2, .n_atoms = 3, .xyz = xyz, .is_double = 1}));
	qmdt_fails(qmd_trajectory_read(trajectory, 1, 1, read), QMD_ERROR_RANGE, "frame 1, atom 0: coordinate y");
	qmd_trajectory_free(trajectory);
}
END_TEST

/* One attribute of a file that is otherwise whole. */
typedef struct attribute {
	const char *variable, *name; /* variable NULL: of the file */
	int type;
	qmd_status status;
	size_t n;
	const void *value;
	const char *part;
} attribute;

static const char *with_attribute(const attribute *a) {
	const char *path = qmdt_write_netcdf("attribute.nc", &(qmdt_netcdf){.n_frames = 1, .n_atoms = 2});
	int file, variable = NC_GLOBAL;
	ck_assert_int_eq(nc_open(path, NC_WRITE, &file), NC_NOERR);
	ck_assert_int_eq(nc_redef(file), NC_NOERR);
	if (a->variable)
		ck_assert_int_eq(nc_inq_varid(file, a->variable, &variable), NC_NOERR);
	ck_assert_int_eq(nc_put_att(file, variable, a->name, a->type, a->n, a->value), NC_NOERR);
	ck_assert_int_eq(nc_close(file), NC_NOERR);
	return path;
}

START_TEST(refuses_attributes_that_are_no_such_thing) {
	static const char long_text[100] = "AMBER and so on";
	static const int whole[] = {2};
	static const float two[] = {1, 1};
	static const double zero[] = {0}, infinite[] = {INFINITY};
	static const attribute cases[] = {
		{"coordinates", "scale_factor", NC_INT, QMD_ERROR_FORMAT, 1, whole,
		 "scale_factor: expected one float or double"},
		{"coordinates", "scale_factor", NC_FLOAT, QMD_ERROR_FORMAT, 2, two,
		 "scale_factor: expected one float or double"},
		{"coordinates", "scale_factor", NC_DOUBLE, QMD_ERROR_FORMAT, 1, zero, "expected a finite number other than 0"},
		{"coordinates", "Scale_Factor", NC_DOUBLE, QMD_ERROR_FORMAT, 1, infinite,
		 "expected a finite number other than 0"},
		{"coordinates", "units", NC_INT, QMD_ERROR_FORMAT, 1, whole,
		 "attribute 'units': expected a text of at most 63"},
		{"coordinates", "units", NC_CHAR, QMD_ERROR_UNSUPPORTED, 4, "mile",
		 "variable 'coordinates': unknown unit 'mile'"},
		{NULL, "Conventions", NC_CHAR, QMD_ERROR_FORMAT, 100, long_text, "attribute 'Conventions': expected a text"}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		open_fails(with_attribute(&cases[i]), cases[i].status, cases[i].part);
	/* Blanks and NULs around a text are nothing; a factor in single precision is one. */
	static const attribute good[] = {{"coordinates", "units", NC_CHAR, QMD_OK, 10, "angstrom \0", NULL},
									 {"coordinates", "units", NC_CHAR, QMD_OK, 1, " ", NULL},
									 {"coordinates", "scale_factor", NC_FLOAT, QMD_OK, 1, two, NULL}};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		qmd_trajectory_free(open_one(with_attribute(&good[i])));
}
END_TEST

START_TEST(refuses_other_conventions) {
	qmdt_netcdf content = {.n_frames = 1, .n_atoms = 2, .conventions = "CF-1.6"};
	open_fails(qmdt_write_netcdf("other.nc", &content), QMD_ERROR_FORMAT, "expected 'AMBER', found 'CF-1.6'");
	content = (qmdt_netcdf){.n_frames = 1, .n_atoms = 2, .without_coordinates = 1};
	open_fails(qmdt_write_netcdf("other.nc", &content), QMD_ERROR_FORMAT, "'coordinates', found none");
	content = (qmdt_netcdf){.n_frames = 1, .n_atoms = 2, .atom_dimension = "bead"};
	open_fails(qmdt_write_netcdf("other.nc", &content), QMD_ERROR_FORMAT, "to be 'atom', found 'bead'");
	content = (qmdt_netcdf){.n_frames = 1, .n_atoms = 2, .spatial = 2};
	open_fails(qmdt_write_netcdf("other.nc", &content), QMD_ERROR_FORMAT, "found 2");
}
END_TEST

/* A host may flush denormals and round up: the numbers are the file's all the same. */
START_TEST(reads_in_any_float_environment) {
	static const double xyz[3] = {1.0 / 3, 1e-310, -0.1};
	const qmdt_netcdf content = {.n_frames = 1, .n_atoms = 1, .xyz = xyz, .is_double = 1};
	qmd_trajectory *trajectory = open_one(qmdt_write_netcdf("rounding.nc", &content));
	float read[3];
	fesetround(FE_UPWARD);
	const qmd_status status = qmd_trajectory_read(trajectory, 0, 1, read);
	const int rounding = fegetround();
	fesetround(FE_TONEAREST);
	qmdt_ok(status);
	ck_assert_int_eq(rounding, FE_UPWARD);
	ck_assert_float_eq(read[0], (float)(1.0 / 3));
	ck_assert_float_eq(read[1], 0);
	ck_assert_float_eq(read[2], -0.1f);
	qmd_trajectory_free(trajectory);
}
END_TEST

START_TEST(reads_bundled_trajectories) {
	qmd_trajectory *trajectory = open_one(qmdt_bundled("adk-open-1.nc"));
	ck_assert_uint_eq(qmd_trajectory_n_frames(trajectory), 40);
	ck_assert_uint_eq(qmd_trajectory_n_atoms(trajectory), 1656);
	double first, second;
	qmdt_ok(qmd_trajectory_time_ps(trajectory, 0, &first));
	qmdt_ok(qmd_trajectory_time_ps(trajectory, 1, &second));
	ck_assert_double_eq(second - first, 1);
	qmd_trajectory_free(trajectory);
}
END_TEST

/* Threads that each have a trajectory of their own, opened, read and closed all the time. */
static void *read_repeatedly(void *path) {
	for (int i = 0; i < 30; i++) {
		qmd_trajectory *trajectory;
		float xyz[3 * 5 * 3];
		if (qmd_trajectory_open((const char *const *)&path, 1, 0, &trajectory) != QMD_OK)
			return "cannot open";
		const qmd_status status = qmd_trajectory_read(trajectory, 0, 3, xyz);
		qmd_trajectory_free(trajectory);
		if (status != QMD_OK || xyz[44] != (float)qmdt_coordinate(2, 4, 2))
			return "wrong numbers";
	}
	return NULL;
}

START_TEST(reads_in_several_threads) {
	enum { N_THREADS = 4 };
	pthread_t threads[N_THREADS];
	const char *paths[N_THREADS];
	for (int i = 0; i < N_THREADS; i++) {
		char name[32];
		snprintf(name, sizeof name, "thread-%d.nc", i);
		paths[i] = qmdt_write_netcdf(name, &(qmdt_netcdf){.n_frames = 3, .n_atoms = 5, .is_double = i % 2});
	}
	for (int i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_repeatedly, (void *)paths[i]), 0);
	for (int i = 0; i < N_THREADS; i++) {
		void *failure;
		ck_assert_int_eq(pthread_join(threads[i], &failure), 0);
		ck_assert_ptr_null(failure);
	}
}
END_TEST

/* Names that NetCDF-C would take for addresses are files like all others. */
START_TEST(opens_files_with_odd_names) {
	char path[4096], directory[4096];
	const char *plain = qmdt_write_netcdf("odd#mode=zarr", &(qmdt_netcdf){.n_frames = 1, .n_atoms = 2});
	qmd_trajectory_free(open_one(plain));
	ck_assert_ptr_nonnull(getcwd(directory, sizeof directory));
	snprintf(path, sizeof path, "%.*s", (int)(strrchr(plain, '/') - plain), plain);
	ck_assert_int_eq(chdir(path), 0);
	qmd_trajectory_free(open_one("odd#mode=zarr"));
	open_fails("http://localhost/x.nc", QMD_ERROR_IO, "cannot be opened");
	ck_assert_int_eq(chdir(directory), 0);
	open_fails("/", QMD_ERROR_IO, "not a regular file");
}
END_TEST

int main(void) {
	Suite *suite = suite_create("trajectory");
	TCase *netcdf = tcase_create("netcdf");
	tcase_add_test(netcdf, reads_every_classic_format);
	tcase_add_test(netcdf, converts_units);
	tcase_add_test(netcdf, does_without_units_time_and_cell);
	tcase_add_test(netcdf, reads_restart_files);
	tcase_add_test(netcdf, reads_what_other_writers_write);
	tcase_add_test(netcdf, counts_records_that_are_not_counted);
	tcase_add_test(netcdf, refuses_times_that_are_not_finite);
	tcase_add_test(netcdf, makes_boxes);
	tcase_add_test(netcdf, reads_files_as_one);
	tcase_add_test(netcdf, demands_equal_numbers_of_atoms);
	tcase_add_test(netcdf, names_coordinates_that_are_not_finite);
	tcase_add_test(netcdf, refuses_attributes_that_are_no_such_thing);
	tcase_add_test(netcdf, refuses_other_conventions);
	tcase_add_test(netcdf, reads_in_any_float_environment);
	tcase_add_test(netcdf, reads_bundled_trajectories);
	tcase_add_test(netcdf, reads_in_several_threads);
	tcase_add_test(netcdf, opens_files_with_odd_names);
	suite_add_tcase(suite, netcdf);
	return qmdt_run(suite);
}
