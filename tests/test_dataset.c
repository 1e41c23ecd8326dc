/* Data sets of several states, matched atom by atom. */
#include "dataset_fixture.h"

#include <stdio.h>

#include "netcdf_fixture.h"
#include "pdb_fixture.h"
#include "trajectory/dataset_internal.h"

/* ---- The bundled data ---- */

START_TEST(reads_the_bundled_states) {
	static const char *const names[2] = {"open", "closed"};
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
	for (size_t state = 0; state < 2; state++) {
		char name[32];
		const char *paths[3];
		for (int i = 0; i < 3; i++) {
			snprintf(name, sizeof name, "adk-%s-%d.nc", names[state], i + 1);
			paths[i] = qmdt_bundled(name);
		}
		snprintf(name, sizeof name, "adk-%s.pdb", names[state]);
		qmdt_ok(qmd_dataset_add_state(dataset, names[state], qmdt_bundled(name), paths, 3));
	}
	ck_assert_uint_eq(qmd_dataset_n_states(dataset), 2);
	ck_assert_str_eq(qmd_dataset_state_name(dataset, 1), "closed");
	ck_assert_ptr_null(qmd_dataset_state_name(dataset, 2));
	ck_assert_uint_eq(qmd_dataset_n_replicas(dataset, 1), 3);
	ck_assert_uint_eq(qmd_dataset_n_replicas(dataset, 2), 0);
	ck_assert_uint_eq(qmd_dataset_n_frames(dataset), 240);
	ck_assert_uint_eq(qmd_dataset_n_atoms(dataset), 1656);
	ck_assert_uint_eq(qmd_dataset_n_residues(dataset), 214);
	ck_assert_uint_eq(qmd_topology_n_atoms(qmd_dataset_topology(dataset, 0)), 1656);
	qmdt_check_dropped(dataset, 0, 0, NULL);

	/* Frame 3 * 40 + 47 is frame 7 of the second replica of the second state. */
	qmd_frame_origin origin;
	qmdt_ok(qmd_dataset_frame_origin(dataset, 167, &origin));
	ck_assert_uint_eq(origin.state, 1);
	ck_assert_uint_eq(origin.replica, 1);
	ck_assert_uint_eq(origin.frame, 7);
	const char *path = qmdt_bundled("adk-closed-2.nc");
	qmd_trajectory *trajectory;
	float *expected = malloc(1656 * 3 * sizeof *expected), *found = malloc(1656 * 3 * sizeof *found);
	qmdt_ok(qmd_trajectory_open(&path, 1, 1656, &trajectory));
	qmdt_ok(qmd_trajectory_read(trajectory, 7, 1, expected));
	qmdt_ok(qmd_dataset_read(dataset, 167, found));
	ck_assert_mem_eq(found, expected, 1656 * 3 * sizeof *expected);
	qmdt_fails(qmd_dataset_read(dataset, 240, found), QMD_ERROR_RANGE, "240 frames");
	qmdt_fails(qmd_dataset_frame_origin(dataset, 240, &origin), QMD_ERROR_RANGE, "240 frames");
	qmd_trajectory_free(trajectory);
	qmd_dataset_free(dataset);
	free(expected);
	free(found);
}
END_TEST

/* ---- Matching by identity ---- */

START_TEST(drops_a_ligand_and_hydrogens) {
	qmd_dataset *dataset = qmdt_dataset("noh", NULL, 1);
	qmdt_ok(qmdt_add_state(dataset, "apo", "A:1:ALA:N A:1:ALA:H A:1:ALA:CA A:2:GLY:N A:2:GLY:CA"));
	qmdt_ok(qmdt_add_state(dataset, "holo", "L:9:LIG:C1 A:1:ALA:N A:1:ALA:CA L:9:LIG:C2 A:2:GLY:N A:2:GLY:CA"));
	qmdt_check_shared(dataset, 0, QMDT_INDICES(0, 2, 3, 4));
	qmdt_check_shared(dataset, 1, QMDT_INDICES(1, 2, 4, 5));
	qmdt_check_dropped(dataset, 0, 0, NULL); /* the hydrogen was not selected */
	qmdt_check_dropped(dataset, 1, QMDT_INDICES(0, 3));
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(selects_protein_without_hydrogens_by_default) {
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
	qmdt_ok(qmdt_add_state(dataset, "x", "A:1:ALA:N A:1:ALA:H A:1:ALA:CA L:9:LIG:C1 W:1:HOH:O A:2:HSD:CG"));
	qmdt_check_shared(dataset, 0, QMDT_INDICES(0, 2, 5));
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(drops_what_a_mutant_changes) {
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
	qmdt_ok(
		qmdt_add_state(dataset, "wild", "A:1:ALA:N A:1:ALA:CA A:2:LEU:N A:2:LEU:CA A:3:GLY:N A:3:GLY:CA A:4:GLY:N"));
	qmdt_ok(
		qmdt_add_state(dataset, "mutant", "A:1:ALA:N A:1:ALA:CA A:2:VAL:N A:2:VAL:CA A:3:GLY:N A:3:GLY:CA A:4:GLY:N"));
	qmdt_check_shared(dataset, 0, QMDT_INDICES(0, 1, 4, 5, 6));
	qmdt_check_shared(dataset, 1, QMDT_INDICES(0, 1, 4, 5, 6));
	qmdt_check_dropped(dataset, 0, QMDT_INDICES(2, 3));
	qmdt_check_dropped(dataset, 1, QMDT_INDICES(2, 3));
	/* Residues are those that are left, numbered anew. */
	qmd_atom atom;
	ck_assert_uint_eq(qmd_dataset_n_residues(dataset), 3);
	qmdt_ok(qmd_dataset_atom(dataset, 2, &atom));
	ck_assert_int_eq(atom.residue_number, 3);
	ck_assert_uint_eq(atom.residue, 1);
	qmdt_fails(qmd_dataset_atom(dataset, 5, &atom), QMD_ERROR_RANGE, "5 shared atoms");
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(keeps_the_order_of_the_first_state) {
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
	qmdt_ok(qmdt_add_state(dataset, "a", "A:1:ALA:N A:1:ALA:CA A:1:ALA:C A:1:ALA:O"));
	qmdt_ok(qmdt_add_state(dataset, "b", "A:1:ALA:C A:1:ALA:O A:1:ALA:CB A:1:ALA:CA A:1:ALA:N"));
	qmdt_check_shared(dataset, 0, QMDT_INDICES(0, 1, 2, 3));
	qmdt_check_shared(dataset, 1, QMDT_INDICES(4, 3, 0, 1));
	qmd_atom atom;
	qmdt_ok(qmd_dataset_atom(dataset, 1, &atom));
	ck_assert_str_eq(atom.name, "CA");
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(tells_insertion_codes_and_chains_apart) {
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
	qmdt_ok(qmdt_add_state(dataset, "a", "A:1:ALA:N A:1A:ALA:N B:1:ALA:N A:-1:ALA:N"));
	qmdt_ok(qmdt_add_state(dataset, "b", "B:1:ALA:N A:1B:ALA:N A:1:ALA:N A:1A:ALA:N"));
	qmdt_check_shared(dataset, 0, QMDT_INDICES(0, 1, 2));
	qmdt_check_shared(dataset, 1, QMDT_INDICES(2, 3, 0));
	qmdt_check_dropped(dataset, 0, QMDT_INDICES(3));
	qmdt_check_dropped(dataset, 1, QMDT_INDICES(1));
	qmd_dataset_free(dataset);
}
END_TEST

/* A third state takes from what the first two share. */
START_TEST(shares_among_all_states) {
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
	qmdt_ok(qmdt_add_state(dataset, "a", "A:1:ALA:N A:1:ALA:CA A:1:ALA:C A:1:ALA:O A:1:ALA:CB"));
	qmdt_ok(qmdt_add_state(dataset, "b", "A:1:ALA:CA A:1:ALA:C A:1:ALA:O A:1:ALA:CB"));
	qmdt_ok(qmdt_add_state(dataset, "c", "A:1:ALA:N A:1:ALA:CB A:1:ALA:C A:1:ALA:CA"));
	qmdt_check_shared(dataset, 0, QMDT_INDICES(1, 2, 4));
	qmdt_check_shared(dataset, 1, QMDT_INDICES(0, 1, 3));
	qmdt_check_shared(dataset, 2, QMDT_INDICES(3, 2, 1));
	qmdt_check_dropped(dataset, 0, QMDT_INDICES(0, 3));
	qmdt_check_dropped(dataset, 1, QMDT_INDICES(2));
	qmdt_check_dropped(dataset, 2, QMDT_INDICES(0));
	qmd_dataset_free(dataset);
}
END_TEST

/* Of the five atoms of the smaller state at least three must be shared, of four two. */
START_TEST(demands_half_in_common) {
	static const char *const first = "A:1:ALA:N A:1:ALA:CA A:1:ALA:C A:1:ALA:O A:1:ALA:CB";
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
	qmdt_ok(qmdt_add_state(dataset, "a", first));
	qmdt_fails(qmdt_add_state(dataset, "b", "A:1:ALA:N A:1:ALA:CA A:2:ALA:C A:2:ALA:O A:2:ALA:CB A:2:ALA:N"),
			   QMD_ERROR_MATCH, "state 'b' shares 2 atoms with the states before it, expected at least half of the 5");
	ck_assert_ptr_nonnull(strstr(qmd_last_error(), "it has no chain A residue 1 ALA atom C"));
	qmdt_fails(qmdt_add_state(dataset, "b", "B:1:ALA:N B:1:ALA:CA"), QMD_ERROR_MATCH, "shares 0 atoms");
	ck_assert_uint_eq(qmd_dataset_n_states(dataset), 1);
	qmdt_check_shared(dataset, 0, QMDT_INDICES(0, 1, 2, 3, 4)); /* as before the calls */
	qmdt_ok(qmdt_add_state(dataset, "b", "A:1:ALA:N A:1:ALA:CA A:1:ALA:C A:2:ALA:O A:2:ALA:CB A:2:ALA:N"));
	qmdt_ok(qmdt_add_state(dataset, "c", "A:1:ALA:N A:1:ALA:CA A:3:ALA:O A:3:ALA:CB"));
	qmdt_fails(qmdt_add_state(dataset, "d", "A:1:ALA:N A:4:ALA:N A:4:ALA:CA A:4:ALA:C"), QMD_ERROR_MATCH, "of the 4");
	qmdt_check_shared(dataset, 2, QMDT_INDICES(0, 1));
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(refuses_what_cannot_be_matched) {
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
	qmdt_fails(qmdt_add_state(dataset, "water", "W:1:HOH:O W:2:HOH:O"), QMD_ERROR_MATCH,
			   "state 'water': the selection 'protein and noh' matches none of 2 atoms");
	qmdt_fails(qmdt_add_state(dataset, "twice", "A:1:ALA:N A:1:ALA:CA A:2:ALA:N A:1:ALA:CA"), QMD_ERROR_MATCH,
			   "state 'twice': atoms 1 and 3 are both chain A residue 1 ALA atom CA");
	ck_assert_uint_eq(qmd_dataset_n_states(dataset), 0);
	ck_assert_uint_eq(qmd_dataset_n_frames(dataset), 0);
	qmdt_ok(qmdt_add_state(dataset, "a", "A:1:ALA:N W:1:HOH:O W:1:HOH:O")); /* what is not selected may be ambiguous */
	qmdt_fails(qmdt_add_state(dataset, "a", "A:1:ALA:N"), QMD_ERROR_ARGUMENT, "a state 'a' already");
	qmdt_fails(qmdt_add_state(dataset, "", "A:1:ALA:N"), QMD_ERROR_ARGUMENT, "empty");
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(passes_on_what_files_say) {
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
	const char *pdb = qmdt_write_pdb("one.pdb", "A:1:ALA:N");
	const char *good = qmdt_write_netcdf("good.nc", &(qmdt_netcdf){.n_frames = 1, .n_atoms = 1});
	const char *larger = qmdt_write_netcdf("larger.nc", &(qmdt_netcdf){.n_frames = 1, .n_atoms = 2});
	const char *empty = qmdt_write_netcdf("empty.nc", &(qmdt_netcdf){.n_frames = 0, .n_atoms = 1});
	const char *paths[2] = {good, larger};
	qmdt_fails(qmd_dataset_add_state(dataset, "a", "/nowhere.pdb", paths, 1), QMD_ERROR_IO, "/nowhere.pdb");
	qmdt_fails(qmd_dataset_add_state(dataset, "a", pdb, paths, 2), QMD_ERROR_SHAPE, "larger.nc: expected 1 atoms");
	paths[1] = empty;
	qmdt_fails(qmd_dataset_add_state(dataset, "a", pdb, paths, 2), QMD_ERROR_FORMAT, "empty.nc: expected at least one");
	paths[1] = NULL;
	qmdt_fails(qmd_dataset_add_state(dataset, "a", pdb, paths, 2), QMD_ERROR_ARGUMENT, "NULL");
	qmdt_fails(qmd_dataset_add_state(dataset, "a", pdb, paths, 0), QMD_ERROR_ARGUMENT, "n_paths is 0");
	qmdt_fails(qmd_dataset_add_state(dataset, NULL, pdb, paths, 1), QMD_ERROR_ARGUMENT, "name");
	qmdt_fails(qmd_dataset_add_state(NULL, "a", pdb, paths, 1), QMD_ERROR_ARGUMENT, "dataset");
	qmdt_ok(qmd_dataset_add_state(dataset, "a", pdb, paths, 1));
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(checks_options) {
	qmd_dataset_options options;
	qmd_dataset *dataset;
	qmd_dataset_options_init(&options);
	ck_assert_str_eq(options.selection, "protein and noh");
	options.selection = "protein and";
	qmdt_fails(qmd_dataset_create(&options, &dataset), QMD_ERROR_FORMAT, "column 12");
	options.selection = NULL;
	qmdt_fails(qmd_dataset_create(&options, &dataset), QMD_ERROR_ARGUMENT, "selection");
	qmd_dataset_options_init(&options);
	options.stride = 0;
	qmdt_fails(qmd_dataset_create(&options, &dataset), QMD_ERROR_ARGUMENT, "stride");
	qmd_dataset_options_init(&options);
	options.struct_size = 3;
	qmdt_fails(qmd_dataset_create(&options, &dataset), QMD_ERROR_ARGUMENT, "struct_size");
	ck_assert_ptr_null(dataset);
	qmdt_fails(qmd_dataset_create(NULL, NULL), QMD_ERROR_ARGUMENT, "dataset");
	qmd_dataset_free(NULL);
	ck_assert_uint_eq(qmd_dataset_n_states(NULL), 0);
	ck_assert_uint_eq(qmd_dataset_n_frames(NULL), 0);
	ck_assert_uint_eq(qmd_dataset_n_atoms(NULL), 0);
	ck_assert_uint_eq(qmd_dataset_n_residues(NULL), 0);
	ck_assert_ptr_null(qmd_dataset_topology(NULL, 0));
}
END_TEST

START_TEST(strides_through_files) {
	static const size_t expected[] = {7, 4, 3, 2, 2, 2, 1, 1};
	for (size_t stride = 1; stride <= 8; stride++) {
		qmd_dataset *dataset = qmdt_dataset(NULL, NULL, stride);
		qmdt_ok(qmdt_add_frames(dataset, "a", "A:1:ALA:N A:1:ALA:CA", 7));
		ck_assert_uint_eq(qmd_dataset_n_frames(dataset), expected[stride - 1]);
		qmd_frame_origin origin;
		qmdt_ok(qmd_dataset_frame_origin(dataset, expected[stride - 1] - 1, &origin));
		ck_assert_uint_eq(origin.frame, (expected[stride - 1] - 1) * stride);
		qmdt_check_shared(dataset, 0, QMDT_INDICES(0, 1)); /* compares each frame with its origin's */
		qmd_dataset_free(dataset);
	}
}
END_TEST

START_TEST(selects_among_the_shared_atoms) {
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
	uint32_t indices[4];
	size_t n = 4;
	qmdt_ok(qmdt_add_state(dataset, "a", "A:1:ALA:N A:1:ALA:CA A:1:ALA:CB A:2:GLY:N A:2:GLY:CA"));
	qmdt_ok(qmdt_add_state(dataset, "b", "A:1:ALA:CB A:1:ALA:CA A:2:GLY:N A:2:GLY:CA"));
	qmdt_ok(qmdi_dataset_select(dataset, "name CA", &n, indices));
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(indices[0], 0);
	ck_assert_uint_eq(indices[1], 3);
	n = 4;
	qmdt_ok(qmdi_dataset_select(dataset, "index 1 to 2", &n, indices));
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(indices[0], 1);
	n = 1;
	qmdt_fails(qmdi_dataset_select(dataset, "all", &n, indices), QMD_ERROR_RANGE, "4 atoms match");
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(gives_boxes) {
	static const double lengths[] = {1, 1, 1, 2, 2, 2, 3, 3, 3}, angles[] = {90, 90, 90, 90, 90, 90, 90, 90, 90};
	const char *pdb = qmdt_write_pdb("one.pdb", "A:1:ALA:N");
	const char *path =
		qmdt_write_netcdf("box.nc", &(qmdt_netcdf){.n_frames = 3, .n_atoms = 1, .lengths = lengths, .angles = angles});
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 2);
	double box[9];
	int has_box;
	qmdt_ok(qmd_dataset_add_state(dataset, "a", pdb, &path, 1));
	qmdt_ok(qmd_dataset_box(dataset, 1, box, &has_box));
	ck_assert_int_eq(has_box, 1);
	ck_assert_double_eq(box[4], 3);
	qmdt_fails(qmd_dataset_box(dataset, 2, box, &has_box), QMD_ERROR_RANGE, "2 frames");
	int is_swapped = 0;
	for (uint64_t seed = 1; !is_swapped && seed < 100; seed++) {
		float xyz[3];
		qmdt_ok(qmd_dataset_shuffle_labels(dataset, seed));
		qmdt_ok(qmd_dataset_read(dataset, 0, xyz));
		is_swapped = xyz[0] == (float)qmdt_coordinate(2, 0, 0);
	}
	ck_assert_int_eq(is_swapped, 1);
	qmdt_ok(qmd_dataset_box(dataset, 0, box, &has_box)); /* of the coordinates */
	ck_assert_double_eq(box[4], 3);
	qmd_dataset_free(dataset);
}
END_TEST

/* Two atoms in five frames in a box of 30, 40 and 50; the second moves along y by what is given. */
static const char *write_moves(const char *name, const double moves[5], const double *lengths) {
	static const double angles[15] = {90, 90, 90, 90, 90, 90, 90, 90, 90, 90, 90, 90, 90, 90, 90};
	double xyz[5][2][3] = {{{0}}};
	for (size_t i = 0; i < 5; i++) {
		xyz[i][1][0] = 1.5;
		xyz[i][1][1] = moves[i];
	}
	return qmdt_write_netcdf(
		name, &(qmdt_netcdf){.n_frames = 5, .n_atoms = 2, .xyz = &xyz[0][0][0], .lengths = lengths, .angles = angles});
}

START_TEST(warns_once_of_jumps_over_half_a_box) {
	static const double lengths[15] = {30, 40, 50, 30, 40, 50, 30, 40, 50, 30, 40, 50, 30, 40, 50};
	const char *pdb = qmdt_write_pdb("two.pdb", "A:1:ALA:N A:1:ALA:CA");
	const char *paths[] = {write_moves("calm.nc", (const double[]){0, 19, 38, 19, 0}, lengths),
						   write_moves("jumps.nc", (const double[]){0, 0, 21, 0, 21}, lengths),
						   write_moves("boxless.nc", (const double[]){0, 0, 21, 0, 21}, NULL)};
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
	qmdt_log_lines lines = {0};
	float xyz[6];
	qmdt_ok(qmd_dataset_add_state(dataset, "a", pdb, paths, 3));
	qmd_set_log(qmdt_keep_line, &lines);
	for (size_t i = 15; i-- > 0;) /* frames in any other order are not compared */
		qmdt_ok(qmd_dataset_read(dataset, i, xyz));
	ck_assert_uint_eq(lines.n, 0);
	for (size_t i = 0; i < 15; i++)
		qmdt_ok(qmd_dataset_read(dataset, i, xyz));
	qmd_set_log(NULL, NULL);
	ck_assert_uint_eq(lines.n, 1);
	ck_assert_ptr_nonnull(
		strstr(lines.last, "jumps.nc: frame 2: chain A residue 1 ALA atom CA moves by 21.0 angstrom along y"));
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(refuses_frames_of_zeros) {
	const char *pdb = qmdt_write_pdb("two.pdb", "A:1:ALA:N A:1:ALA:CA A:2:ALA:CA");
	static const double xyz[3][3][3] = {{{0, 0, 0}, {0, 0, 0}, {0, 0, 1}}, {{0}}, {{7, 7, 7}, {7, 7, 7}, {7, 7, 7}}};
	const char *path = qmdt_write_netcdf("zeros.nc", &(qmdt_netcdf){.n_frames = 3, .n_atoms = 3, .xyz = &xyz[0][0][0]});
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
	float read[9];
	qmdt_ok(qmd_dataset_add_state(dataset, "a", pdb, &path, 1));
	qmdt_ok(qmd_dataset_read(dataset, 0, read));
	qmdt_fails(qmd_dataset_read(dataset, 1, read), QMD_ERROR_RANGE,
			   "zeros.nc: frame 1: all atoms are in one place, (0, 0, 0)");
	qmdt_fails(qmd_dataset_read(dataset, 2, read), QMD_ERROR_RANGE, "in one place, (7, 7, 7)");
	qmd_dataset_free(dataset);
	dataset = qmdt_dataset("name N", NULL, 1); /* one atom is always in one place */
	qmdt_ok(qmd_dataset_add_state(dataset, "a", pdb, &path, 1));
	qmdt_ok(qmd_dataset_read(dataset, 1, read));
	qmd_dataset_free(dataset);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("dataset");
	TCase *matching = tcase_create("matching");
	tcase_add_test(matching, reads_the_bundled_states);
	tcase_add_test(matching, drops_a_ligand_and_hydrogens);
	tcase_add_test(matching, selects_protein_without_hydrogens_by_default);
	tcase_add_test(matching, drops_what_a_mutant_changes);
	tcase_add_test(matching, keeps_the_order_of_the_first_state);
	tcase_add_test(matching, tells_insertion_codes_and_chains_apart);
	tcase_add_test(matching, shares_among_all_states);
	tcase_add_test(matching, demands_half_in_common);
	tcase_add_test(matching, refuses_what_cannot_be_matched);
	tcase_add_test(matching, passes_on_what_files_say);
	tcase_add_test(matching, checks_options);
	tcase_add_test(matching, strides_through_files);
	tcase_add_test(matching, selects_among_the_shared_atoms);
	tcase_add_test(matching, gives_boxes);
	tcase_add_test(matching, warns_once_of_jumps_over_half_a_box);
	tcase_add_test(matching, refuses_frames_of_zeros);
	suite_add_tcase(suite, matching);
	return qmdt_run(suite);
}
