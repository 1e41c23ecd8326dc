/* PDB files, and topologies from memory. */
#include "support.h"

#include <stdio.h>

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

/* What AMBER, GROMACS and VMD write of more than 9999 residues. */
START_TEST(keeps_residues_of_one_number_apart) {
	qmd_topology *topology = load_text("ATOM      1  CA ASER A   1       1.000   0.000   0.000  0.30\n"
									   "ATOM      2  CA BSER A   1       2.000   0.000   0.000  0.70\n"
									   "ATOM      3  CA  ALA A9999       3.000   0.000   0.000  1.00\n"
									   "ATOM      4  CA  ALA A   0       4.000   0.000   0.000  1.00\n"
									   "ATOM      5  CA ASER A   1       5.000   0.000   0.000  0.60\n"
									   "ATOM      6  CA BSER A   1       6.000   0.000   0.000  0.40\n"
									   "ATOM      7  CA  ALA A99999      7.000   0.000   0.000  1.00\n"
									   "ATOM      8  CA ASER A   1       8.000   0.000   0.000  0.50\n");
	static const float expected[] = {2, 3, 4, 5, 7, 8};
	float xyz[18];
	ck_assert_uint_eq(qmd_topology_n_atoms(topology), 6);
	ck_assert_uint_eq(qmd_topology_n_residues(topology), 6);
	qmdt_ok(qmd_topology_coordinates(topology, xyz));
	for (size_t i = 0; i < 6; i++) {
		ck_assert_float_eq(xyz[3 * i], expected[i]);
		ck_assert_uint_eq(atom_of(topology, i).residue, i);
	}
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

int main(void) {
	Suite *suite = suite_create("trajectory_pdb");
	TCase *pdb = tcase_create("pdb");
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
	tcase_add_test(pdb, keeps_residues_of_one_number_apart);
	tcase_add_test(pdb, refuses_malformed_pdb);
	tcase_add_test(pdb, reads_long_lines);
	tcase_add_test(pdb, makes_topologies_from_memory);
	suite_add_tcase(suite, pdb);
	return qmdt_run(suite);
}
