/* XTC and DCD files. Those in tests/fuzz/corpus are written by MDTraj and MDAnalysis (tests/fuzz/make_corpus.py). */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "dcd_fixture.h"
#include "netcdf_fixture.h"

static const char *corpus(const char *name) {
	static char path[4096];
	snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", QMDT_SOURCE_DIR, name);
	return path;
}

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

/* As water() of make_corpus.py: thousandths of a nanometer. */
static int water(size_t frame, size_t atom, int axis, int spread) {
	static const int near[3][3] = {{0, 0, 0}, {57, 67, 77}, {-43, -36, -29}};
	const int oxygen = ((int)(atom / 3) * 371 + (int)frame * 113 + axis * 529) % 2001 - 1000;
	return oxygen * spread + near[atom % 3][axis];
}

/* ---- XTC ---- */

/* Numbers of more than 24 bits are rounded to float before they are packed. */
static void check_water(const char *name, size_t n_frames, size_t n_atoms, int spread, int is_exact) {
	qmd_trajectory *trajectory = open_one(corpus(name));
	float xyz[3 * 24];
	ck_assert_uint_eq(qmd_trajectory_n_frames(trajectory), n_frames);
	ck_assert_uint_eq(qmd_trajectory_n_atoms(trajectory), n_atoms);
	for (size_t i = n_frames; i-- > 0;) {
		double time_ps, box[9];
		int has_box;
		qmdt_ok(qmd_trajectory_read(trajectory, i, 1, xyz));
		for (size_t j = 0; j < 3 * n_atoms; j++) {
			const float expected = (float)water(i, j / 3, (int)(j % 3), spread) * 0.001f * 10;
			const double slack = is_exact ? 0 : fabs((double)expected) * 4e-7;
			ck_assert_msg(fabs((double)xyz[j] - (double)expected) <= slack, "%s: frame %zu, number %zu: %g, not %g",
						  name, i, j, (double)xyz[j], (double)expected);
		}
		qmdt_ok(qmd_trajectory_time_ps(trajectory, i, &time_ps));
		ck_assert_double_eq(time_ps, 0.5 * (double)i);
		qmdt_ok(qmd_trajectory_box(trajectory, i, box, &has_box));
		static const double expected_box[9] = {30, 0, 0, 5, 25, 0, -2.5, 7.5, 20};
		ck_assert_int_eq(has_box, 1);
		for (size_t j = 0; j < 9; j++)
			ck_assert_double_eq(box[j], expected_box[j]);
	}
	qmd_trajectory_free(trajectory);
}

START_TEST(reads_xtc) {
	check_water("xtc/water.xtc", 3, 24, 1, 1);
	check_water("xtc/large-magic.xtc", 1, 24, 1, 1);
	check_water("xtc/joint-69-bits.xtc", 2, 15, 4001, 1);
	check_water("xtc/plain-ranges.xtc", 2, 15, 20001, 0);
	check_water("xtc/plain.xtc", 2, 9, 1, 0);
}
END_TEST

/* A file whose bytes from `at` on are replaced. */
static const char *changed(const char *name, size_t at, const char *bytes, size_t n) {
	size_t size;
	unsigned char *content = qmdt_read_file(corpus(name), &size);
	const char *path = qmdt_scratch("changed");
	ck_assert_uint_le(at + n, size);
	memcpy(content + at, bytes, n);
	qmdt_write_file(path, content, size);
	free(content);
	return path;
}

static void read_fails(const char *path, size_t frame, qmd_status status, const char *part) {
	float xyz[3 * 24];
	qmd_trajectory *trajectory = open_one(path);
	qmdt_fails(qmd_trajectory_read(trajectory, frame, 1, xyz), status, part);
	qmd_trajectory_free(trajectory);
}

START_TEST(refuses_malformed_xtc) {
	open_fails(changed("xtc/water.xtc", 180, "\0\0\0\1", 4), QMD_ERROR_FORMAT, "expected the magic number");
	open_fails(changed("xtc/water.xtc", 4, "\0\0\0\0", 4), QMD_ERROR_FORMAT, "number of atoms");
	open_fails(changed("xtc/water.xtc", 4, "\0\0\0\31", 4), QMD_ERROR_FORMAT, "number of atoms");
	open_fails(changed("xtc/water.xtc", 56, "\x7f\x80\0\0", 4), QMD_ERROR_FORMAT, "expected a precision above 0");
	open_fails(changed("xtc/water.xtc", 56, "\0\0\0\0", 4), QMD_ERROR_FORMAT, "expected a precision above 0");
	open_fails(changed("xtc/water.xtc", 72, "\x80\0\0\0", 4), QMD_ERROR_FORMAT, "highest coordinate");
	open_fails(changed("xtc/water.xtc", 84, "\0\0\0\x49", 4), QMD_ERROR_FORMAT, "from 9 to 72");
	open_fails(changed("xtc/water.xtc", 84, "\0\0\0\x08", 4), QMD_ERROR_FORMAT, "from 9 to 72");
	open_fails(changed("xtc/water.xtc", 88, "\x7f\xff\xff\xff", 4), QMD_ERROR_FORMAT, "truncated");
	open_fails(changed("xtc/water.xtc", 88, "\0\0\0\5", 4), QMD_ERROR_FORMAT, "than the packed bytes can hold");
	open_fails(changed("xtc/large-magic.xtc", 88, "\xff\xff\xff\xff", 4), QMD_ERROR_FORMAT, "truncated");
	read_fails(changed("xtc/water.xtc", 92, "\xff\xff\xff\xff\xff\xff\xff\xff", 8), 0, QMD_ERROR_FORMAT,
			   "frame 0: the packed coordinates are damaged");
	read_fails(changed("xtc/plain.xtc", 164 + 56 + 16, "\x7f\xc0\0\0", 4), 1, QMD_ERROR_RANGE,
			   "frame 1, atom 1: coordinate y");
	qmd_trajectory *trajectory = open_one(changed("xtc/water.xtc", 12, "\x7f\x80\0\0\x7f\x80\0\0", 8));
	double time_ps, box[9];
	int has_box;
	qmdt_fails(qmd_trajectory_time_ps(trajectory, 0, &time_ps), QMD_ERROR_RANGE, "frame 0: the time is inf");
	qmdt_fails(qmd_trajectory_box(trajectory, 0, box, &has_box), QMD_ERROR_RANGE, "frame 0: number 0 of the cell");
	qmd_trajectory_free(trajectory);
}
END_TEST

START_TEST(refuses_xtc_boxes_in_other_directions) {
	qmd_trajectory *trajectory = open_one(changed("xtc/water.xtc", 20, "\x3f\x80\0\0", 4));
	double box[9];
	int has_box = 1;
	qmdt_fails(qmd_trajectory_box(trajectory, 0, box, &has_box), QMD_ERROR_UNSUPPORTED, "a along x");
	ck_assert_int_eq(has_box, 0);
	qmd_trajectory_free(trajectory);
	trajectory = open_one(changed("xtc/water.xtc", 16, "\0\0\0\0", 4));
	qmdt_ok(qmd_trajectory_box(trajectory, 0, box, &has_box));
	ck_assert_int_eq(has_box, 0);
	qmd_trajectory_free(trajectory);
}
END_TEST

/* ---- DCD ---- */

static void check_dcd(const qmdt_dcd *content) {
	qmd_trajectory *trajectory = open_one(qmdt_write_dcd("made.dcd", content));
	float xyz[3 * 8];
	ck_assert_uint_eq(qmd_trajectory_n_frames(trajectory), content->n_frames);
	ck_assert_uint_eq(qmd_trajectory_n_atoms(trajectory), content->n_atoms);
	for (size_t i = content->n_frames; i-- > 0;) {
		double time_ps;
		qmdt_ok(qmd_trajectory_read(trajectory, i, 1, xyz));
		for (size_t j = 0; j < content->n_atoms; j++) {
			int is_free = !content->free_atoms;
			for (size_t k = 0; k < content->n_free; k++)
				is_free |= content->free_atoms[k] == j + 1;
			for (size_t axis = 0; axis < 3; axis++)
				ck_assert_float_eq(xyz[3 * j + axis], (float)qmdt_coordinate(is_free ? i : 0, j, axis));
		}
		const double steps = content->first_step + (double)i * content->step_interval;
		qmdt_ok(qmd_trajectory_time_ps(trajectory, i, &time_ps));
		ck_assert_double_eq_tol(time_ps, steps * content->time_step * 0.0488882129, 1e-7);
	}
	qmd_trajectory_free(trajectory);
}

START_TEST(reads_every_kind_of_dcd) {
	static const double cell[6] = {30, 0, 40, 0, 0, 50};
	static const uint32_t free_atoms[2] = {2, 5};
	for (int kind = 0; kind < 64; kind++) {
		const int has_fixed = kind & 16, is_xplor = kind & 4;
		qmdt_dcd content = {.n_frames = 3,
							.n_atoms = 5,
							.is_big_endian = kind & 1,
							.has_wide_markers = kind & 2,
							.is_xplor = is_xplor,
							.cell = kind & 8 && !is_xplor ? cell : NULL,
							.free_atoms = has_fixed ? free_atoms : NULL,
							.n_free = has_fixed ? 2 : 0,
							.n_frames_said = kind & 32 ? 0 : 77,
							.first_step = 10,
							.step_interval = 5,
							.time_step = 0.25};
		check_dcd(&content);
		content.n_frames = 1;
		check_dcd(&content);
	}
}
END_TEST

START_TEST(reads_dcd_of_mdanalysis) {
	qmd_trajectory *trajectory = open_one(corpus("dcd/mdanalysis.dcd"));
	float xyz[3 * 6];
	double time_ps, box[9];
	int has_box;
	ck_assert_uint_eq(qmd_trajectory_n_frames(trajectory), 3);
	for (size_t i = 0; i < 3; i++) {
		qmdt_ok(qmd_trajectory_read(trajectory, i, 1, xyz));
		for (size_t j = 0; j < 18; j++)
			ck_assert_float_eq(xyz[j], (float)water(i, j / 3, (int)(j % 3), 1) / 8);
		qmdt_ok(qmd_trajectory_time_ps(trajectory, i, &time_ps));
		ck_assert_double_eq_tol(time_ps, 0.5 * (double)i, 1e-6);
		qmdt_ok(qmd_trajectory_box(trajectory, i, box, &has_box));
		ck_assert_int_eq(has_box, 1);
		ck_assert_double_eq_tol(box[0], 30, 1e-4);
		ck_assert_double_eq_tol(atan2(box[4], box[3]) * 180 / M_PI, 110, 1e-4);
	}
	qmd_trajectory_free(trajectory);
}
END_TEST

/* A, gamma, B, beta, alpha, C. */
START_TEST(reads_cells_of_dcd) {
	static const struct {
		double cell[6];
		qmd_status status;
		int has_box;
	} cases[] = {{{10, 110, 20, 95, 80, 30}, QMD_OK, 1},
				 {{10, -0.3420201433256687, 20, -0.08715574274765817, 0.17364817766693041, 30}, QMD_OK, 1},
				 {{0, 0, 0, 0, 0, 0}, QMD_OK, 0},
				 {{10, -2.5, 20, 3, 4, 30}, QMD_ERROR_UNSUPPORTED, 0},
				 {{10, 190, 20, 90, 90, 30}, QMD_ERROR_UNSUPPORTED, 0},
				 {{NAN, 0, 20, 0, 0, 30}, QMD_ERROR_RANGE, 0}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		qmd_trajectory *trajectory =
			open_one(qmdt_write_dcd("cell.dcd", &(qmdt_dcd){.n_frames = 2, .n_atoms = 1, .cell = cases[i].cell}));
		double box[9];
		int has_box;
		ck_assert_int_eq(qmd_trajectory_box(trajectory, 1, box, &has_box), cases[i].status);
		ck_assert_int_eq(has_box, cases[i].has_box);
		if (has_box) {
			ck_assert_double_eq(box[0], 10);
			ck_assert_double_eq_tol(hypot(box[3], box[4]), 20, 1e-12);
			ck_assert_double_eq_tol(acos(box[3] / 20) * 180 / M_PI, 110, 1e-10);
			ck_assert_double_eq_tol(acos(box[6] / 30) * 180 / M_PI, 95, 1e-10);
			ck_assert_double_eq_tol(acos((box[3] * box[6] + box[4] * box[7]) / 600) * 180 / M_PI, 80, 1e-10);
		}
		qmd_trajectory_free(trajectory);
	}
}
END_TEST

START_TEST(counts_no_time_without_a_step) {
	static const double steps[] = {0, NAN, -1};
	for (size_t i = 0; i < 3; i++) {
		qmd_trajectory *trajectory = open_one(qmdt_write_dcd(
			"time.dcd", &(qmdt_dcd){.n_frames = 1, .n_atoms = 1, .step_interval = 1, .time_step = steps[i]}));
		double time_ps;
		qmdt_fails(qmd_trajectory_time_ps(trajectory, 0, &time_ps), QMD_ERROR_STATE, "no time step");
		qmd_trajectory_free(trajectory);
	}
}
END_TEST

START_TEST(refuses_malformed_dcd) {
	static const uint32_t free_atoms[] = {2, 7};
	open_fails(qmdt_write_dcd("no.dcd", &(qmdt_dcd){.n_frames = 1, .n_atoms = 1, .has_four_dimensions = 1}),
			   QMD_ERROR_UNSUPPORTED, "four dimensions");
	open_fails(qmdt_write_dcd("no.dcd", &(qmdt_dcd){.n_frames = 1, .n_atoms = 1, .kind = "VELD"}),
			   QMD_ERROR_UNSUPPORTED, "velocities");
	open_fails(qmdt_write_dcd("no.dcd", &(qmdt_dcd){.n_frames = 1, .n_atoms = 0}), QMD_ERROR_FORMAT,
			   "expected a number of atoms, found 0");
	open_fails(
		qmdt_write_dcd("no.dcd", &(qmdt_dcd){.n_frames = 1, .n_atoms = 6, .free_atoms = free_atoms, .n_free = 2}),
		QMD_ERROR_FORMAT, "1 to 6, found 7");
	open_fails(changed("dcd/mdanalysis.dcd", 40, "\6\0\0\0", 4), QMD_ERROR_FORMAT, "fewer than 6 fixed atoms");
	open_fails(changed("dcd/mdanalysis.dcd", 40, "\xff\xff\xff\xff", 4), QMD_ERROR_FORMAT, "found -1");
	open_fails(changed("dcd/mdanalysis.dcd", 88, "\x55\0\0\0", 4), QMD_ERROR_FORMAT, "its marker says 85");
	open_fails(changed("dcd/mdanalysis.dcd", 348, "\0\0\0\x40", 4), QMD_ERROR_FORMAT, "truncated");
	const char *path = changed("dcd/mdanalysis.dcd", 812 - 4, "\x19\0\0\0", 4);
	read_fails(path, 2, QMD_ERROR_FORMAT, "offset 808: z: expected a record of 24 bytes, its marker says 25");
	path = qmdt_write_dcd("none.dcd", &(qmdt_dcd){.n_frames = 0, .n_atoms = 3});
	qmd_trajectory *trajectory = open_one(path);
	ck_assert_uint_eq(qmd_trajectory_n_frames(trajectory), 0);
	qmd_trajectory_free(trajectory);
}
END_TEST

/* ---- All formats ---- */

/* The first bytes tell, not the name; files of different formats are one trajectory. */
START_TEST(reads_files_of_several_formats) {
	const char *paths[3] = {qmdt_write_netcdf("a.xtc", &(qmdt_netcdf){.n_frames = 2, .n_atoms = 6}),
							qmdt_write_dcd("b.nc", &(qmdt_dcd){.n_frames = 2, .n_atoms = 6}), NULL};
	float xyz[4 * 18];
	qmd_trajectory *trajectory;
	qmdt_ok(qmd_trajectory_open(paths, 2, 0, &trajectory));
	ck_assert_uint_eq(qmd_trajectory_n_frames(trajectory), 4);
	qmdt_ok(qmd_trajectory_read(trajectory, 0, 4, xyz));
	for (size_t i = 0; i < 4 * 18; i++)
		ck_assert_float_eq(xyz[i], (float)qmdt_coordinate(i / 18 % 2, i / 3 % 6, i % 3));
	qmd_trajectory_free(trajectory);
	paths[2] = corpus("xtc/water.xtc");
	qmdt_fails(qmd_trajectory_open(paths, 3, 0, &trajectory), QMD_ERROR_SHAPE, "expected 6 atoms, found 24");
}
END_TEST

/* The last frame of a file of three that is cut after it was opened. */
static void cut_fails(const char *path, off_t size) {
	qmd_trajectory *trajectory = open_one(path);
	const size_t n_atoms = qmd_trajectory_n_atoms(trajectory);
	double time_ps, box[9];
	int has_box;
	float *xyz = malloc(n_atoms * 3 * sizeof *xyz);
	ck_assert_ptr_nonnull(xyz);
	ck_assert_uint_eq(qmd_trajectory_n_frames(trajectory), 3);
	ck_assert_int_eq(truncate(path, size), 0);
	qmdt_fails(qmd_trajectory_read(trajectory, 2, 1, xyz), QMD_ERROR_IO, path);
	ck_assert_int_ne(qmd_trajectory_box(trajectory, 2, box, &has_box), QMD_OK);
	ck_assert_int_eq(has_box, 0);
	qmd_trajectory_time_ps(trajectory, 2, &time_ps);
	free(xyz);
	qmd_trajectory_free(trajectory);
}

START_TEST(notices_files_that_are_cut_while_they_are_open) {
	static const double numbers[] = {1, 2, 3, 4, 5, 6, 90, 90, 90};
	static const double cell[] = {30, 0, 40, 0, 0, 50};
	const qmdt_netcdf netcdf = {
		.n_frames = 3, .n_atoms = 5000, .times = numbers, .lengths = numbers, .angles = numbers};
	cut_fails(qmdt_write_netcdf("cut.nc", &netcdf), 100000);
	cut_fails(qmdt_write_dcd("cut.dcd", &(qmdt_dcd){.n_frames = 3, .n_atoms = 6, .cell = cell, .step_interval = 1}),
			  400);
	size_t size;
	unsigned char *bytes = qmdt_read_file(corpus("xtc/water.xtc"), &size);
	const char *path = qmdt_scratch("cut.xtc");
	qmdt_write_file(path, bytes, size);
	free(bytes);
	cut_fails(path, 370); /* of 540 */
}
END_TEST

/* A file that takes the name of an open one is another file, however short. */
START_TEST(goes_on_with_a_file_that_was_replaced) {
	const char *path = qmdt_write_netcdf("replaced.nc", &(qmdt_netcdf){.n_frames = 3, .n_atoms = 5000});
	qmd_trajectory *trajectory = open_one(path);
	float *xyz = malloc(5000 * 3 * sizeof *xyz);
	ck_assert_ptr_nonnull(xyz);
	ck_assert_int_eq(rename(qmdt_write_netcdf("short.nc", &(qmdt_netcdf){.n_frames = 1, .n_atoms = 1}), path), 0);
	qmdt_ok(qmd_trajectory_read(trajectory, 2, 1, xyz));
	for (size_t i = 0; i < 15000; i++)
		ck_assert_float_eq(xyz[i], (float)qmdt_coordinate(2, i / 3, i % 3));
	free(xyz);
	qmd_trajectory_free(trajectory);
}
END_TEST

START_TEST(refuses_what_is_no_trajectory) {
	const char *path = qmdt_scratch("none");
	qmdt_write_file(path, "", 0);
	open_fails(path, QMD_ERROR_FORMAT, "not a trajectory: expected NetCDF, XTC or DCD, found bytes 00 00");
	qmdt_write_file(path, "ATOM      1", 11);
	open_fails(path, QMD_ERROR_FORMAT, "not a trajectory: expected NetCDF, XTC or DCD, found bytes 41 54");
	open_fails("/nowhere/x.xtc", QMD_ERROR_IO, "/nowhere/x.xtc");
}
END_TEST

int main(void) {
	Suite *suite = suite_create("trajectory_formats");
	TCase *xtc = tcase_create("xtc"), *dcd = tcase_create("dcd"), *all = tcase_create("all");
	tcase_add_test(xtc, reads_xtc);
	tcase_add_test(xtc, refuses_malformed_xtc);
	tcase_add_test(xtc, refuses_xtc_boxes_in_other_directions);
	tcase_add_test(dcd, reads_every_kind_of_dcd);
	tcase_add_test(dcd, reads_dcd_of_mdanalysis);
	tcase_add_test(dcd, reads_cells_of_dcd);
	tcase_add_test(dcd, counts_no_time_without_a_step);
	tcase_add_test(dcd, refuses_malformed_dcd);
	tcase_add_test(all, reads_files_of_several_formats);
	tcase_add_test(all, notices_files_that_are_cut_while_they_are_open);
	tcase_add_test(all, goes_on_with_a_file_that_was_replaced);
	tcase_add_test(all, refuses_what_is_no_trajectory);
	suite_add_tcase(suite, xtc);
	suite_add_tcase(suite, dcd);
	suite_add_tcase(suite, all);
	return qmdt_run(suite);
}
