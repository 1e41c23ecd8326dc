/* PDB files and AMBER NetCDF trajectories. */
#include "support.h"

#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "netcdf_fixture.h"
#include "pdb_fixture.h"

/* ---- PDB ---- */

static qmd_topology *load_text(const char *text) {
	const char *path = qmdt_scratch("text.pdb");
	qmd_topology *topology;
	qmdt_write_file(path, text, strlen(text));
	qmdt_ok(qmd_topology_load(path, &topology));
	return topology;
}

static void text_fails(const char *text, qmd_status status, const char *part) {
	const char *path = qmdt_scratch("wrong.pdb");
	qmd_topology *topology;
	qmdt_write_file(path, text, strlen(text));
	qmdt_fails(qmd_topology_load(path, &topology), status, part);
	ck_assert_ptr_null(topology);
}

static qmd_atom atom_of(const qmd_topology *topology, size_t index) {
	qmd_atom atom;
	qmdt_ok(qmd_topology_atom(topology, index, &atom));
	return atom;
}

START_TEST(reads_the_bundled_pdb) {
	qmd_topology *topology;
	qmdt_ok(qmd_topology_load(qmdt_bundled("adk-open.pdb"), &topology));
	ck_assert_uint_eq(qmd_topology_n_atoms(topology), 1656);
	ck_assert_uint_eq(qmd_topology_n_residues(topology), 214);
	const qmd_atom atom = atom_of(topology, 1655);
	ck_assert_str_eq(atom.name, "OXT");
	ck_assert_str_eq(atom.residue_name, "GLY");
	ck_assert_str_eq(atom.chain, "");
	ck_assert_str_eq(atom.element, "O");
	ck_assert_int_eq(atom.residue_number, 214);
	ck_assert_uint_eq(atom.residue, 213);
	float *xyz = malloc(1656 * 3 * sizeof *xyz);
	qmdt_ok(qmd_topology_coordinates(topology, xyz));
	ck_assert_float_eq(xyz[0], -11.921f);
	ck_assert_float_eq(xyz[1655 * 3 + 2], 21.494f);
	free(xyz);
	qmd_topology_free(topology);
}
END_TEST

START_TEST(reads_every_column) {
	qmd_topology *topology =
		load_text("HEADER    ONE OF EACH\r\n"
				  "ATOM      1  N  AMET A  -1A      1.000   2.500-999.875  1.00 10.00           N1+\r\n"
				  "HETATM    2 FE   HEM B9999    -0.001     .5      1e1    1.00 10.00          FE\r\n"
				  "ATOM      3 HG11 VAL B  12       0.000   0.000   0.000\r\n"
				  "ATOM      4  OH2 TIP3   13       0.000   0.000   0.000\r\n"
				  "END\r\n"
				  "ATOM      5  N   ALA A   1       0.000   0.000   0.000\r\n");
	ck_assert_uint_eq(qmd_topology_n_atoms(topology), 4);
	ck_assert_uint_eq(qmd_topology_n_residues(topology), 4);
	qmd_atom atom = atom_of(topology, 0);
	ck_assert_str_eq(atom.name, "N");
	ck_assert_str_eq(atom.residue_name, "MET");
	ck_assert_str_eq(atom.chain, "A");
	ck_assert_str_eq(atom.element, "N");
	ck_assert_int_eq(atom.residue_number, -1);
	ck_assert_int_eq(atom.insertion_code, 'A');
	ck_assert_uint_eq(atom.hetero, 0);
	atom = atom_of(topology, 1);
	ck_assert_str_eq(atom.name, "FE");
	ck_assert_str_eq(atom.element, "Fe");
	ck_assert_int_eq(atom.residue_number, 9999);
	ck_assert_int_eq(atom.insertion_code, 0);
	ck_assert_uint_eq(atom.hetero, 1);
	ck_assert_uint_eq(atom.residue, 1);
	atom = atom_of(topology, 2);
	ck_assert_str_eq(atom.name, "HG11");
	ck_assert_str_eq(atom.element, "H");
	atom = atom_of(topology, 3);
	ck_assert_str_eq(atom.residue_name, "TIP3");
	ck_assert_str_eq(atom.chain, "");
	float xyz[12];
	qmdt_ok(qmd_topology_coordinates(topology, xyz));
	ck_assert_float_eq(xyz[2], -999.875f);
	ck_assert_float_eq(xyz[3], -0.001f);
	ck_assert_float_eq(xyz[4], 0.5f);
	ck_assert_float_eq(xyz[5], 10.0f);
	qmd_topology_free(topology);
}
END_TEST

/* Name column 13, residue, expected element: the element column is missing. */
START_TEST(fills_in_elements) {
	static const struct {
		const char *name, *residue, *element;
	} cases[] = {{" CA ", "ALA", "C"},  {"CA  ", "ALA", "C"},  {"CA  ", " CA", "Ca"}, {" CA ", "LIG", "C"},
				 {"HG11", "VAL", "H"},  {"1HB ", "ALA", "H"},  {"HG  ", " HG", "Hg"}, {"HO5'", " DA", "H"},
				 {"SE  ", "MSE", "Se"}, {"ZN  ", " ZN", "Zn"}, {" SD ", "MET", "S"},  {"CL1 ", "LIG", "Cl"},
				 {"NA  ", " NA", "Na"}, {" D1 ", "DOD", "D"},  {" P  ", " DA", "P"},  {" X1 ", "LIG", ""},
				 {" NA ", "NA+", "Na"}, {" CL ", "CL-", "Cl"}, {" ZN ", "ZN2", "Zn"}, {" CA ", "CAX", "C"}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char line[128];
		snprintf(line, sizeof line, "ATOM      1 %s %s A   1       0.000   0.000   0.000\n", cases[i].name,
				 cases[i].residue);
		qmd_topology *topology = load_text(line);
		const qmd_atom atom = atom_of(topology, 0);
		ck_assert_msg(strcmp(atom.element, cases[i].element) == 0, "%s of %s is '%s', expected '%s'", cases[i].name,
					  cases[i].residue, atom.element, cases[i].element);
		qmd_topology_free(topology);
	}
}
END_TEST

START_TEST(keeps_the_likeliest_location) {
	qmd_topology *topology = load_text("ATOM      1  N   SER A   1       1.000   0.000   0.000  1.00\n"
									   "ATOM      2  CA ASER A   1       2.000   0.000   0.000  0.30\n"
									   "ATOM      3  CB ASER A   1       3.000   0.000   0.000  0.50\n"
									   "ATOM      4  CA BSER A   1       4.000   0.000   0.000  0.70\n"
									   "ATOM      5  CB BSER A   1       5.000   0.000   0.000  0.50\n"
									   "ATOM      6  CA CSER A   1       6.000   0.000   0.000\n"
									   "ATOM      7  CA ASER A   2       7.000   0.000   0.000  0.10\n");
	float xyz[12];
	ck_assert_uint_eq(qmd_topology_n_atoms(topology), 4);
	qmdt_ok(qmd_topology_coordinates(topology, xyz));
	ck_assert_float_eq(xyz[0], 1);
	ck_assert_float_eq(xyz[3], 3); /* the first of two equally likely */
	ck_assert_float_eq(xyz[6], 4);
	ck_assert_float_eq(xyz[9], 7);
	ck_assert_uint_eq(qmd_topology_n_residues(topology), 2);
	qmd_topology_free(topology);
}
END_TEST

static void keep_line(void *user, qmd_log_level level, const char *text) {
	ck_assert_int_eq(level, QMD_LOG_WARNING);
	snprintf(user, 256, "%s", text);
}

START_TEST(warns_of_alternate_locations) {
	char line[256] = "";
	qmd_set_log(keep_line, line);
	qmd_topology_free(load_text("ATOM      1  CA ASER A   1       1.000   0.000   0.000  0.30\n"
								"ATOM      2  CB ASER A   1       2.000   0.000   0.000  0.50\n"));
	ck_assert_str_eq(line, "");
	qmd_topology_free(load_text("ATOM      1  CA ASER A   1       1.000   0.000   0.000  0.30\n"
								"ATOM      2  CA BSER A   1       2.000   0.000   0.000  0.50\n"
								"ATOM      3  CA CSER A   1       3.000   0.000   0.000  0.20\n"));
	qmd_set_log(NULL, NULL);
	ck_assert_ptr_nonnull(strstr(line, "text.pdb: some atoms have alternate locations"));
	ck_assert_ptr_nonnull(strstr(line, "2 others are left out"));
}
END_TEST

/* Column 21 is the fourth letter of a residue, or in other files the first of a chain. */
START_TEST(tells_long_chains_from_long_residues) {
	qmd_topology *topology = load_text("ATOM      1  CA  ALAAB   1       1.000   0.000   0.000\n"
									   "ATOM      2  CA  ALA C   1       2.000   0.000   0.000\n"
									   "HETATM    3  C1  LIGZZ   1       3.000   0.000   0.000\n"
									   "HETATM    4  OH2 TIP3W   1       4.000   0.000   0.000\n"
									   "HETATM    5 ZN    ZNAA   1       4.000   0.000   0.000\n"
									   "HETATM    6  P   POPC    1       5.000   0.000   0.000\n");
	static const char *const expected[][2] = {{"ALA", "AB"}, {"ALA", "C"}, {"LIG", "ZZ"},
											  {"TIP3", "W"}, {"ZN", "AA"}, {"POPC", ""}};
	for (size_t i = 0; i < 6; i++) {
		ck_assert_str_eq(atom_of(topology, i).residue_name, expected[i][0]);
		ck_assert_str_eq(atom_of(topology, i).chain, expected[i][1]);
	}
	qmd_topology_free(topology);
	topology = load_text("ATOM      1  CA  NALAA   1       1.000   0.000   0.000\n"
						 "ATOM      2  CA  LYSHA   2       2.000   0.000   0.000\n"
						 "ATOM      3  P   POPCB   1       3.000   0.000   0.000\n");
	ck_assert_str_eq(atom_of(topology, 0).residue_name, "NALA");
	ck_assert_str_eq(atom_of(topology, 1).residue_name, "LYSH");
	ck_assert_str_eq(atom_of(topology, 2).residue_name, "POPC");
	ck_assert_str_eq(atom_of(topology, 2).chain, "B");
	qmd_topology_free(topology);
}
END_TEST

/* Records that say nothing about atoms: the box of a file without one, bonds, anisotropy, the end of a chain. */
START_TEST(passes_over_other_records) {
	qmd_topology *topology = load_text("CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1\n"
									   "MODEL        1\n"
									   "ATOM  A0000  CA  ALA A   1       1.000   0.000   0.000\n"
									   "ANISOU    1  CA  ALA A   1      100    100    100      0      0      0\n"
									   "TER   A0001      ALA A   1\n"
									   "HETATMA0002 ZN    ZN A   2       2.000   0.000   0.000\n"
									   "CONECT    1    2\n"
									   "ENDMDL\n");
	ck_assert_uint_eq(qmd_topology_n_atoms(topology), 2);
	ck_assert_uint_eq(atom_of(topology, 1).hetero, 1);
	qmd_topology_free(topology);
}
END_TEST

START_TEST(reads_serial_numbers_of_any_width) {
	qmd_topology *topology = load_text("ATOM  *****  N   ALA A   1       1.000   0.000   0.000\n"
									   "ATOM 100000  CA  ALA A   1       2.000   0.000   0.000\n"
									   "HETATM186a0  O   HOH A   2       3.000   0.000   0.000\n");
	ck_assert_uint_eq(qmd_topology_n_atoms(topology), 3);
	ck_assert_str_eq(atom_of(topology, 1).name, "CA");
	qmd_topology_free(topology);
}
END_TEST

START_TEST(reads_the_first_model_alone) {
	qmd_topology *topology = load_text("MODEL        1\n"
									   "ATOM      1  CA  ALA A   1       1.000   0.000   0.000\n"
									   "TER\n"
									   "ENDMDL\n"
									   "MODEL        2\n"
									   "ATOM      1  CA  ALA A   1       2.000   0.000   0.000\n"
									   "ENDMDL\n");
	ck_assert_uint_eq(qmd_topology_n_atoms(topology), 1);
	qmd_topology_free(topology);
}
END_TEST

START_TEST(reads_numbers_beyond_9999) {
	qmd_topology *topology = load_text("ATOM      1  O   HOH A10000      0.000   0.000   0.000\n"
									   "ATOM      2  O   HOH AA000       0.000   0.000   0.000\n"
									   "ATOM      3  O   HOH AA001B      0.000   0.000   0.000\n"
									   "ATOM      4  O   HOH Aa000       0.000   0.000   0.000\n");
	/* https://cci.lbl.gov/hybrid_36: A000 is 10000, and a000 is 10000 + 26 * 36^3. */
	static const int32_t expected[] = {10000, 10000, 10001, 10000 + 26 * 46656};
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(atom_of(topology, i).residue_number, expected[i]);
	ck_assert_int_eq(atom_of(topology, 2).insertion_code, 'B');
	qmd_topology_free(topology);
}
END_TEST

START_TEST(refuses_malformed_pdb) {
	qmd_topology *topology;
	qmdt_fails(qmd_topology_load("/nowhere/x.pdb", &topology), QMD_ERROR_IO, "/nowhere/x.pdb");
	qmdt_fails(qmd_topology_load("/", &topology), QMD_ERROR_IO, "/");
	qmdt_fails(qmd_topology_load(NULL, &topology), QMD_ERROR_ARGUMENT, "path");
	qmdt_fails(qmd_topology_load("x.pdb", NULL), QMD_ERROR_ARGUMENT, "topology");
	text_fails("", QMD_ERROR_FORMAT, "expected ATOM");
	text_fails("HEADER\nEND\n", QMD_ERROR_FORMAT, "found none in 2 lines");
	text_fails("ATOM      1  CA  ALA A   1       1.000   0.000\n", QMD_ERROR_FORMAT, "line 1, column 47");
	text_fails("ATOM      1  CA  ALA A   1      ********   0.000   0.000\n", QMD_ERROR_FORMAT, "column 31");
	text_fails("REMARK\nATOM      1  CA  ALA A   1       1.000     nan   0.000\n", QMD_ERROR_RANGE,
			   "line 2, column 39: expected a finite coordinate, found 'nan'");
	text_fails("ATOM      1  CA  ALA A   1       1.000   0.000   1 2 3\n", QMD_ERROR_FORMAT, "found '1 2 3'");
	text_fails("ATOM      1  CA  ALA A          1.000   0.000   0.000\n", QMD_ERROR_FORMAT, "column 23");
	text_fails("ATOM      1  CA  ALA A 1X2      1.000   0.000   0.000\n", QMD_ERROR_FORMAT, "column 23");
	text_fails("ATOM      1      ALA A   1      1.000   0.000   0.000\n", QMD_ERROR_FORMAT, "column 13");
	text_fails("ATOM      1  C\001  ALA A   1      1.000   0.000   0.000\n", QMD_ERROR_FORMAT, "column 15");
	text_fails("ATOM\n", QMD_ERROR_FORMAT, "column 13");
}
END_TEST

/* A line may have any length. */
START_TEST(reads_long_lines) {
	const char *atom = "ATOM      1  CA  ALA A   1       1.000   0.000   0.000  1.00  0.00           C";
	char text[4096];
	snprintf(text, sizeof text, "%-900s\n%-1200s\n%s", atom, "REMARK", atom);
	qmd_topology *topology = load_text(text);
	ck_assert_uint_eq(qmd_topology_n_atoms(topology), 2);
	qmd_topology_free(topology);
}
END_TEST

START_TEST(makes_topologies_from_memory) {
	qmd_atom atoms[3] = {{.name = "N", .residue_name = "ALA", .residue_number = 1},
						 {.name = "CA", .residue_name = "ALA", .residue_number = 1, .residue = 77},
						 {.name = "CL", .residue_name = "CL", .residue_number = 2, .hetero = 5}};
	qmd_topology *topology;
	qmdt_ok(qmd_topology_create(atoms, 3, &topology));
	ck_assert_uint_eq(qmd_topology_n_residues(topology), 2);
	ck_assert_uint_eq(atom_of(topology, 1).residue, 0);
	ck_assert_str_eq(atom_of(topology, 1).element, "C");
	ck_assert_str_eq(atom_of(topology, 2).element, "Cl");
	ck_assert_uint_eq(atom_of(topology, 2).hetero, 1);
	float xyz[9];
	qmd_atom atom;
	qmdt_fails(qmd_topology_coordinates(topology, xyz), QMD_ERROR_STATE, "memory");
	qmdt_fails(qmd_topology_atom(topology, 3, &atom), QMD_ERROR_RANGE, "index is 3");
	qmd_topology_free(topology);
	qmd_topology_free(NULL);
	ck_assert_uint_eq(qmd_topology_n_atoms(NULL), 0);
	ck_assert_uint_eq(qmd_topology_n_residues(NULL), 0);

	qmdt_fails(qmd_topology_create(atoms, 0, &topology), QMD_ERROR_ARGUMENT, "n_atoms is 0");
	qmdt_fails(qmd_topology_create(NULL, 1, &topology), QMD_ERROR_ARGUMENT, "atoms");
	memset(atoms[1].name, 'A', sizeof atoms[1].name);
	qmdt_fails(qmd_topology_create(atoms, 3, &topology), QMD_ERROR_ARGUMENT, "atoms[1].name has no terminating NUL");
	strcpy(atoms[1].name, " CA");
	qmdt_fails(qmd_topology_create(atoms, 3, &topology), QMD_ERROR_ARGUMENT, "atoms[1].name");
	strcpy(atoms[1].name, "");
	qmdt_fails(qmd_topology_create(atoms, 3, &topology), QMD_ERROR_ARGUMENT, "is empty");
}
END_TEST

/* ---- Trajectories ---- */

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
	float *xyz = malloc(n_frames * n_atoms * 3 * sizeof *xyz);
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
	TCase *pdb = tcase_create("pdb"), *netcdf = tcase_create("netcdf");
	tcase_add_test(pdb, reads_the_bundled_pdb);
	tcase_add_test(pdb, reads_every_column);
	tcase_add_test(pdb, fills_in_elements);
	tcase_add_test(pdb, keeps_the_likeliest_location);
	tcase_add_test(pdb, warns_of_alternate_locations);
	tcase_add_test(pdb, tells_long_chains_from_long_residues);
	tcase_add_test(pdb, passes_over_other_records);
	tcase_add_test(pdb, reads_serial_numbers_of_any_width);
	tcase_add_test(pdb, reads_the_first_model_alone);
	tcase_add_test(pdb, reads_numbers_beyond_9999);
	tcase_add_test(pdb, refuses_malformed_pdb);
	tcase_add_test(pdb, reads_long_lines);
	tcase_add_test(pdb, makes_topologies_from_memory);
	tcase_add_test(netcdf, reads_every_classic_format);
	tcase_add_test(netcdf, converts_units);
	tcase_add_test(netcdf, does_without_units_time_and_cell);
	tcase_add_test(netcdf, refuses_times_that_are_not_finite);
	tcase_add_test(netcdf, makes_boxes);
	tcase_add_test(netcdf, reads_files_as_one);
	tcase_add_test(netcdf, demands_equal_numbers_of_atoms);
	tcase_add_test(netcdf, names_coordinates_that_are_not_finite);
	tcase_add_test(netcdf, refuses_other_conventions);
	tcase_add_test(netcdf, reads_in_any_float_environment);
	tcase_add_test(netcdf, reads_bundled_trajectories);
	tcase_add_test(netcdf, reads_in_several_threads);
	tcase_add_test(netcdf, opens_files_with_odd_names);
	suite_add_tcase(suite, pdb);
	suite_add_tcase(suite, netcdf);
	return qmdt_run(suite);
}
