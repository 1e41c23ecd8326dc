/* Data sets of several states, matched atom by atom. */
#include "support.h"

#include <math.h>
#include <stdio.h>

#include "allocator_fixture.h"
#include "netcdf_fixture.h"
#include "pdb_fixture.h"
#include "trajectory/dataset_internal.h"

#define MAX_ATOMS 64

static qmd_dataset *new_dataset(const char *selection, const char *map_path, size_t stride) {
	qmd_dataset_options options;
	qmd_dataset *dataset;
	qmd_dataset_options_init(&options);
	if (selection)
		options.selection = selection;
	options.map_path = map_path;
	options.stride = stride;
	qmdt_ok(qmd_dataset_create(&options, &dataset));
	return dataset;
}

/* Add a state of one replica with the atoms of qmdt_write_pdb(); atom i of its frame f stands at qmdt_coordinate(). */
static qmd_status add_frames_of(qmd_dataset *dataset, const char *name, const char *atoms, size_t n_frames) {
	const char *pdb = qmdt_write_pdb("state.pdb", atoms);
	qmd_topology *topology;
	qmdt_ok(qmd_topology_load(pdb, &topology));
	const qmdt_netcdf content = {.n_frames = n_frames, .n_atoms = qmd_topology_n_atoms(topology)};
	qmd_topology_free(topology);
	char file[64];
	snprintf(file, sizeof file, "%s.nc", *name ? name : "unnamed");
	const char *trajectory = qmdt_write_netcdf(file, &content);
	return qmd_dataset_add_state(dataset, name, pdb, &trajectory, 1);
}

static qmd_status add(qmd_dataset *dataset, const char *name, const char *atoms) {
	return add_frames_of(dataset, name, atoms, 2);
}

/* The shared atoms of a state must be those of its topology at these places, and frames must hold them in order. */
static void check_shared(qmd_dataset *dataset, size_t state, size_t n, const uint32_t *expected) {
	uint32_t indices[MAX_ATOMS];
	float xyz[3 * MAX_ATOMS];
	ck_assert_uint_eq(qmd_dataset_n_atoms(dataset), n);
	qmdt_ok(qmd_dataset_atom_indices(dataset, state, indices));
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(indices[i], expected[i]);
	for (size_t frame = 0; frame < qmd_dataset_n_frames(dataset); frame++) {
		qmd_frame_origin origin;
		qmdt_ok(qmd_dataset_frame_origin(dataset, frame, &origin));
		if (origin.state != state)
			continue;
		qmdt_ok(qmd_dataset_read(dataset, frame, xyz));
		for (size_t i = 0; i < 3 * n; i++)
			ck_assert_float_eq(xyz[i], (float)qmdt_coordinate(origin.frame, expected[i / 3], i % 3));
	}
}

static void check_dropped(const qmd_dataset *dataset, size_t state, size_t n, const uint32_t *expected) {
	uint32_t indices[MAX_ATOMS];
	size_t found = 0;
	qmdt_ok(qmd_dataset_dropped(dataset, state, &found, NULL));
	ck_assert_uint_eq(found, n);
	found = MAX_ATOMS;
	qmdt_ok(qmd_dataset_dropped(dataset, state, &found, indices));
	ck_assert_uint_eq(found, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(indices[i], expected[i]);
	if (n > 0) {
		found = n - 1;
		qmdt_fails(qmd_dataset_dropped(dataset, state, &found, indices), QMD_ERROR_RANGE, "room");
		ck_assert_uint_eq(found, n);
	}
}

#define INDICES(...)                                                                                                   \
	(sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)), (uint32_t[]) {                                             \
		__VA_ARGS__                                                                                                    \
	}

/* ---- The bundled data ---- */

START_TEST(reads_the_bundled_states) {
	static const char *const names[2] = {"open", "closed"};
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
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
	check_dropped(dataset, 0, 0, NULL);

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
	qmd_dataset *dataset = new_dataset("noh", NULL, 1);
	qmdt_ok(add(dataset, "apo", "A:1:ALA:N A:1:ALA:H A:1:ALA:CA A:2:GLY:N A:2:GLY:CA"));
	qmdt_ok(add(dataset, "holo", "L:9:LIG:C1 A:1:ALA:N A:1:ALA:CA L:9:LIG:C2 A:2:GLY:N A:2:GLY:CA"));
	check_shared(dataset, 0, INDICES(0, 2, 3, 4));
	check_shared(dataset, 1, INDICES(1, 2, 4, 5));
	check_dropped(dataset, 0, 0, NULL); /* the hydrogen was not selected */
	check_dropped(dataset, 1, INDICES(0, 3));
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(selects_protein_without_hydrogens_by_default) {
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
	qmdt_ok(add(dataset, "x", "A:1:ALA:N A:1:ALA:H A:1:ALA:CA L:9:LIG:C1 W:1:HOH:O A:2:HSD:CG"));
	check_shared(dataset, 0, INDICES(0, 2, 5));
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(drops_what_a_mutant_changes) {
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
	qmdt_ok(add(dataset, "wild", "A:1:ALA:N A:1:ALA:CA A:2:LEU:N A:2:LEU:CA A:3:GLY:N A:3:GLY:CA A:4:GLY:N"));
	qmdt_ok(add(dataset, "mutant", "A:1:ALA:N A:1:ALA:CA A:2:VAL:N A:2:VAL:CA A:3:GLY:N A:3:GLY:CA A:4:GLY:N"));
	check_shared(dataset, 0, INDICES(0, 1, 4, 5, 6));
	check_shared(dataset, 1, INDICES(0, 1, 4, 5, 6));
	check_dropped(dataset, 0, INDICES(2, 3));
	check_dropped(dataset, 1, INDICES(2, 3));
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
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
	qmdt_ok(add(dataset, "a", "A:1:ALA:N A:1:ALA:CA A:1:ALA:C A:1:ALA:O"));
	qmdt_ok(add(dataset, "b", "A:1:ALA:C A:1:ALA:O A:1:ALA:CB A:1:ALA:CA A:1:ALA:N"));
	check_shared(dataset, 0, INDICES(0, 1, 2, 3));
	check_shared(dataset, 1, INDICES(4, 3, 0, 1));
	qmd_atom atom;
	qmdt_ok(qmd_dataset_atom(dataset, 1, &atom));
	ck_assert_str_eq(atom.name, "CA");
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(tells_insertion_codes_and_chains_apart) {
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
	qmdt_ok(add(dataset, "a", "A:1:ALA:N A:1A:ALA:N B:1:ALA:N A:-1:ALA:N"));
	qmdt_ok(add(dataset, "b", "B:1:ALA:N A:1B:ALA:N A:1:ALA:N A:1A:ALA:N"));
	check_shared(dataset, 0, INDICES(0, 1, 2));
	check_shared(dataset, 1, INDICES(2, 3, 0));
	check_dropped(dataset, 0, INDICES(3));
	check_dropped(dataset, 1, INDICES(1));
	qmd_dataset_free(dataset);
}
END_TEST

/* A third state takes from what the first two share. */
START_TEST(shares_among_all_states) {
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
	qmdt_ok(add(dataset, "a", "A:1:ALA:N A:1:ALA:CA A:1:ALA:C A:1:ALA:O A:1:ALA:CB"));
	qmdt_ok(add(dataset, "b", "A:1:ALA:CA A:1:ALA:C A:1:ALA:O A:1:ALA:CB"));
	qmdt_ok(add(dataset, "c", "A:1:ALA:N A:1:ALA:CB A:1:ALA:C A:1:ALA:CA"));
	check_shared(dataset, 0, INDICES(1, 2, 4));
	check_shared(dataset, 1, INDICES(0, 1, 3));
	check_shared(dataset, 2, INDICES(3, 2, 1));
	check_dropped(dataset, 0, INDICES(0, 3));
	check_dropped(dataset, 1, INDICES(2));
	check_dropped(dataset, 2, INDICES(0));
	qmd_dataset_free(dataset);
}
END_TEST

/* Of the five atoms of the smaller state at least three must be shared, of four two. */
START_TEST(demands_half_in_common) {
	static const char *const first = "A:1:ALA:N A:1:ALA:CA A:1:ALA:C A:1:ALA:O A:1:ALA:CB";
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
	qmdt_ok(add(dataset, "a", first));
	qmdt_fails(add(dataset, "b", "A:1:ALA:N A:1:ALA:CA A:2:ALA:C A:2:ALA:O A:2:ALA:CB A:2:ALA:N"), QMD_ERROR_MATCH,
			   "state 'b' shares 2 atoms with the states before it, expected at least half of the 5");
	ck_assert_ptr_nonnull(strstr(qmd_last_error(), "it has no chain A residue 1 ALA atom C"));
	qmdt_fails(add(dataset, "b", "B:1:ALA:N B:1:ALA:CA"), QMD_ERROR_MATCH, "shares 0 atoms");
	ck_assert_uint_eq(qmd_dataset_n_states(dataset), 1);
	check_shared(dataset, 0, INDICES(0, 1, 2, 3, 4)); /* as before the calls */
	qmdt_ok(add(dataset, "b", "A:1:ALA:N A:1:ALA:CA A:1:ALA:C A:2:ALA:O A:2:ALA:CB A:2:ALA:N"));
	qmdt_ok(add(dataset, "c", "A:1:ALA:N A:1:ALA:CA A:3:ALA:O A:3:ALA:CB"));
	qmdt_fails(add(dataset, "d", "A:1:ALA:N A:4:ALA:N A:4:ALA:CA A:4:ALA:C"), QMD_ERROR_MATCH, "of the 4");
	check_shared(dataset, 2, INDICES(0, 1));
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(refuses_what_cannot_be_matched) {
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
	qmdt_fails(add(dataset, "water", "W:1:HOH:O W:2:HOH:O"), QMD_ERROR_MATCH,
			   "state 'water': the selection 'protein and noh' matches none of 2 atoms");
	qmdt_fails(add(dataset, "twice", "A:1:ALA:N A:1:ALA:CA A:2:ALA:N A:1:ALA:CA"), QMD_ERROR_MATCH,
			   "state 'twice': atoms 1 and 3 are both chain A residue 1 ALA atom CA");
	ck_assert_uint_eq(qmd_dataset_n_states(dataset), 0);
	ck_assert_uint_eq(qmd_dataset_n_frames(dataset), 0);
	qmdt_ok(add(dataset, "a", "A:1:ALA:N W:1:HOH:O W:1:HOH:O")); /* what is not selected may be ambiguous */
	qmdt_fails(add(dataset, "a", "A:1:ALA:N"), QMD_ERROR_ARGUMENT, "a state 'a' already");
	qmdt_fails(add(dataset, "", "A:1:ALA:N"), QMD_ERROR_ARGUMENT, "empty");
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(passes_on_what_files_say) {
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
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
		qmd_dataset *dataset = new_dataset(NULL, NULL, stride);
		qmdt_ok(add_frames_of(dataset, "a", "A:1:ALA:N A:1:ALA:CA", 7));
		ck_assert_uint_eq(qmd_dataset_n_frames(dataset), expected[stride - 1]);
		qmd_frame_origin origin;
		qmdt_ok(qmd_dataset_frame_origin(dataset, expected[stride - 1] - 1, &origin));
		ck_assert_uint_eq(origin.frame, (expected[stride - 1] - 1) * stride);
		check_shared(dataset, 0, INDICES(0, 1)); /* compares each frame with its origin's */
		qmd_dataset_free(dataset);
	}
}
END_TEST

START_TEST(selects_among_the_shared_atoms) {
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
	uint32_t indices[4];
	size_t n = 4;
	qmdt_ok(add(dataset, "a", "A:1:ALA:N A:1:ALA:CA A:1:ALA:CB A:2:GLY:N A:2:GLY:CA"));
	qmdt_ok(add(dataset, "b", "A:1:ALA:CB A:1:ALA:CA A:2:GLY:N A:2:GLY:CA"));
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
	qmd_dataset *dataset = new_dataset(NULL, NULL, 2);
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

/* What the log said: how often, and last. */
typedef struct log_lines {
	size_t n;
	char last[256];
} log_lines;

static void keep_line(void *user, qmd_log_level level, const char *text) {
	log_lines *lines = user;
	ck_assert_int_eq(level, QMD_LOG_WARNING);
	snprintf(lines->last, sizeof lines->last, "%s", text);
	lines->n++;
}

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
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
	log_lines lines = {0};
	float xyz[6];
	qmdt_ok(qmd_dataset_add_state(dataset, "a", pdb, paths, 3));
	qmd_set_log(keep_line, &lines);
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
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
	float read[9];
	qmdt_ok(qmd_dataset_add_state(dataset, "a", pdb, &path, 1));
	qmdt_ok(qmd_dataset_read(dataset, 0, read));
	qmdt_fails(qmd_dataset_read(dataset, 1, read), QMD_ERROR_RANGE,
			   "zeros.nc: frame 1: all atoms are in one place, (0, 0, 0)");
	qmdt_fails(qmd_dataset_read(dataset, 2, read), QMD_ERROR_RANGE, "in one place, (7, 7, 7)");
	qmd_dataset_free(dataset);
	dataset = new_dataset("name N", NULL, 1); /* one atom is always in one place */
	qmdt_ok(qmd_dataset_add_state(dataset, "a", pdb, &path, 1));
	qmdt_ok(qmd_dataset_read(dataset, 1, read));
	qmd_dataset_free(dataset);
}
END_TEST

/* ---- Matching by a map file ---- */

#define WILD "A:1:ALA:N A:1:ALA:CA A:2:HSD:N A:2:HSD:CA A:2:HSD:CG"

static qmd_dataset *new_mapped(const char *map) {
	const char *path = qmdt_scratch("map.txt");
	qmdt_write_file(path, map, strlen(map));
	qmd_dataset *dataset = new_dataset(NULL, path, 1);
	qmdt_ok(add(dataset, "wild", WILD));
	return dataset;
}

START_TEST(follows_the_map_file) {
	qmd_dataset *dataset = new_mapped("# states may be named that never come\n"
									  "\n"
									  "other A 1 ALA N -> A 1 ALA CA\n"
									  "shifted - 12B HSE CA -> A 2 HSD CA # the rest of the line\r\n"
									  "shifted\t- 12B HSE N -> A 2 HSD N\n"
									  "shifted - 11 ALA N -> A 1 ALA N");
	qmdt_ok(add(dataset, "shifted", ":11:ALA:N :11:ALA:CA :12B:HSE:N :12B:HSE:CA"));
	check_shared(dataset, 0, INDICES(0, 2, 3));
	check_shared(dataset, 1, INDICES(0, 2, 3));
	check_dropped(dataset, 1, INDICES(1));
	/* Without a line of its own a state is matched by identity. */
	qmdt_ok(add(dataset, "again", WILD));
	check_shared(dataset, 2, INDICES(0, 2, 3));
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(warns_of_lines_about_other_states) {
	log_lines lines = {0};
	qmd_split *split;
	qmd_dataset *dataset =
		new_mapped("b A 1 ALA N -> A 1 ALA N\n\nbb A 1 ALA N -> A 1 ALA N\nbb A 1 ALA CA -> A 1 ALA CA\n");
	qmdt_ok(add(dataset, "b", WILD));
	qmd_set_log(keep_line, &lines);
	qmdt_ok(qmd_split_all(dataset, &split));
	qmd_split_free(split);
	ck_assert_ptr_nonnull(
		strstr(lines.last, "map.txt: line 3: the data set has no state 'bb'; 2 such lines are not used"));
	ck_assert_uint_eq(lines.n, 1);
	qmdt_ok(add(dataset, "bb", WILD));
	qmdt_ok(qmd_split_all(dataset, &split));
	qmd_split_free(split);
	qmd_set_log(NULL, NULL);
	ck_assert_uint_eq(lines.n, 1);
	qmd_dataset_free(dataset);
}
END_TEST

/* Two atoms change their names: lines are about the names in the file, not about those other lines gave. */
START_TEST(swaps_atoms_by_the_map_file) {
	qmd_dataset *dataset = new_mapped("b A 1 ALA N -> A 1 ALA CA\nb A 1 ALA CA -> A 1 ALA N\n");
	qmdt_ok(add(dataset, "b", WILD));
	check_shared(dataset, 1, INDICES(1, 0, 2, 3, 4));
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(refuses_contradictory_maps) {
	static const struct {
		const char *map, *part;
	} cases[] = {
		{"b A 1 ALA CB -> A 1 ALA N\n", "line 1: state 'b' has no selected atom chain A residue 1 ALA atom CB"},
		{"b A 1 ALA N -> - 1 ALA N\n", "line 1: the first state, 'wild', has no selected atom chain - residue 1"},
		{"b A 1 ALA N -> A 1 ALA CA\n", "line 1: state 'b': atoms 0 and 1 would both be"},
		{"b A 1 ALA N -> A 1 ALA CA\n\nb A 1 ALA N -> A 1 ALA N\n", "lines 1 and 3 are about one atom"}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		qmd_dataset *dataset = new_mapped(cases[i].map);
		qmdt_fails(add(dataset, "b", WILD), QMD_ERROR_MATCH, cases[i].part);
		ck_assert_uint_eq(qmd_dataset_n_states(dataset), 1);
		qmd_dataset_free(dataset);
	}
	const char *path = qmdt_scratch("map.txt");
	qmd_dataset *dataset = new_dataset(NULL, path, 1);
	qmdt_fails(add(dataset, "b", WILD), QMD_ERROR_MATCH, "'b' is the first state");
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(refuses_malformed_maps) {
	static const struct {
		const char *map, *part;
	} cases[] = {{"b A 1 ALA N -> A 1 ALA\n", "line 1: expected 'state chain"},
				 {"#\nb A 1 ALA N -> A 1 ALA N N\n", "line 2: expected 'state chain"},
				 {"b A 1 ALA N => A 1 ALA N\n", "line 1: expected 'state chain"},
				 {"b A one ALA N -> A 1 ALA N\n", "a residue number with an insertion code or none, found 'one'"},
				 {"b A 1AB ALA N -> A 1 ALA N\n", "found '1AB'"},
				 {"b A 99999999999 ALA N -> A 1 ALA N\n", "found '99999999999'"},
				 {"b A 1 ALANINES N -> A 1 ALA N\n", "at most 7 characters, found 'ALANINES'"}};
	const char *path = qmdt_scratch("map.txt");
	qmd_dataset_options options;
	qmd_dataset *dataset;
	qmd_dataset_options_init(&options);
	options.map_path = path;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		qmdt_write_file(path, cases[i].map, strlen(cases[i].map));
		qmdt_fails(qmd_dataset_create(&options, &dataset), QMD_ERROR_FORMAT, cases[i].part);
	}
	char line[2000];
	memset(line, 'x', sizeof line);
	qmdt_write_file(path, line, sizeof line);
	qmdt_fails(qmd_dataset_create(&options, &dataset), QMD_ERROR_FORMAT, "line 1: longer");
	options.map_path = "/nowhere/map.txt";
	qmdt_fails(qmd_dataset_create(&options, &dataset), QMD_ERROR_IO, "/nowhere/map.txt");
	options.map_path = "/";
	qmdt_fails(qmd_dataset_create(&options, &dataset), QMD_ERROR_IO, "cannot read");
}
END_TEST

/* ---- Frames from memory ---- */

static qmd_topology *new_topology(size_t n_atoms) {
	qmd_atom atoms[MAX_ATOMS] = {0};
	qmd_topology *topology;
	for (size_t i = 0; i < n_atoms; i++) {
		strcpy(atoms[i].name, "CA");
		strcpy(atoms[i].residue_name, "ALA");
		atoms[i].residue_number = (int32_t)i;
	}
	qmdt_ok(qmd_topology_create(atoms, n_atoms, &topology));
	return topology;
}

START_TEST(takes_frames_from_memory) {
	enum { N_ATOMS = 3, N_FRAMES = 4 };
	float xyz[N_FRAMES * N_ATOMS * 3];
	for (size_t i = 0; i < sizeof xyz / sizeof *xyz; i++)
		xyz[i] = (float)qmdt_coordinate(i / 9, i / 3 % 3, i % 3);
	qmd_topology *topology = new_topology(N_ATOMS);
	qmd_dataset *dataset = new_dataset(NULL, NULL, 2); /* the stride is about files */
	qmdt_ok(qmd_dataset_add_frames(dataset, "a", topology, xyz, N_FRAMES));
	qmdt_ok(qmd_dataset_add_frames(dataset, "b", topology, xyz, 1));
	qmdt_ok(qmd_dataset_add_frames(dataset, "a", topology, xyz, 2));
	qmd_topology_free(topology);
	memset(xyz, 0, sizeof xyz);
	ck_assert_uint_eq(qmd_dataset_n_states(dataset), 2);
	ck_assert_uint_eq(qmd_dataset_n_replicas(dataset, 0), 2);
	ck_assert_uint_eq(qmd_dataset_n_frames(dataset), 7);
	qmd_frame_origin origin;
	qmdt_ok(qmd_dataset_frame_origin(dataset, 5, &origin));
	ck_assert_uint_eq(origin.state, 0);
	ck_assert_uint_eq(origin.replica, 1);
	ck_assert_uint_eq(origin.frame, 1);
	check_shared(dataset, 0, INDICES(0, 1, 2));
	check_shared(dataset, 1, INDICES(0, 1, 2));
	double box[9] = {1};
	int has_box = 1;
	qmdt_ok(qmd_dataset_box(dataset, 0, box, &has_box));
	ck_assert_int_eq(has_box, 0);
	ck_assert_double_eq(box[0], 0);
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(mixes_files_and_memory) {
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
	qmd_topology *topology;
	float xyz[9] = {0, 0, 0, 1, 2, 3};
	qmdt_ok(add(dataset, "file", "A:1:ALA:N A:1:ALA:CA"));
	qmdt_ok(qmd_topology_load(qmdt_write_pdb("memory.pdb", "A:1:ALA:CA A:1:ALA:CB A:1:ALA:N"), &topology));
	qmdt_fails(qmd_dataset_add_frames(dataset, "file", topology, xyz, 1), QMD_ERROR_ARGUMENT, "already");
	qmdt_ok(qmd_dataset_add_frames(dataset, "memory", topology, xyz, 1));
	check_dropped(dataset, 1, INDICES(1));
	float read[6];
	qmdt_ok(qmd_dataset_read(dataset, 2, read));
	ck_assert_float_eq(read[0], 0); /* N stands at place 2 of the topology, CA at place 0 */
	ck_assert_float_eq(read[3], 0);
	qmd_topology_free(topology);
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(refuses_wrong_frames_from_memory) {
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
	qmd_topology *two = new_topology(2), *three = new_topology(3), *other;
	float xyz[18] = {0};
	xyz[9 + 4] = NAN;
	qmdt_fails(qmd_dataset_add_frames(dataset, "a", three, xyz, 2), QMD_ERROR_RANGE, "frame 1, atom 1: coordinate y");
	ck_assert_uint_eq(qmd_dataset_n_states(dataset), 0);
	xyz[9 + 4] = 0;
	qmdt_ok(qmd_dataset_add_frames(dataset, "a", three, xyz, 2));
	qmdt_fails(qmd_dataset_add_frames(dataset, "a", two, xyz, 2), QMD_ERROR_SHAPE, "has 3 atoms, the new replica 2");
	qmdt_ok(qmd_topology_load(qmdt_write_pdb("other.pdb", ":0:ALA:CA :1:ALA:CA :2:ALA:CB"), &other));
	qmdt_fails(qmd_dataset_add_frames(dataset, "a", other, xyz, 1), QMD_ERROR_MATCH,
			   "expected atom 2 to be chain - residue 2 ALA atom CA, found chain - residue 2 ALA atom CB");
	qmdt_fails(qmd_dataset_add_frames(dataset, "b", two, xyz, 0), QMD_ERROR_ARGUMENT, "n_frames is 0");
	qmdt_fails(qmd_dataset_add_frames(dataset, "", two, xyz, 1), QMD_ERROR_ARGUMENT, "empty");
	qmdt_fails(qmd_dataset_add_frames(dataset, "b", two, NULL, 1), QMD_ERROR_ARGUMENT, "xyz");
	qmdt_fails(qmd_dataset_add_frames(dataset, "b", two, xyz, SIZE_MAX), QMD_ERROR_RANGE, "too many");
	ck_assert_uint_eq(qmd_dataset_n_frames(dataset), 2);
	qmd_topology_free(two);
	qmd_topology_free(three);
	qmd_topology_free(other);
	qmd_dataset_free(dataset);
}
END_TEST

/* ---- Shuffled labels ---- */

/* Frame f holds the number f in every coordinate. */
static qmd_dataset *number_frames(void) {
	enum { N_ATOMS = 2 };
	static const size_t n_frames[2] = {23, 17};
	static const char *const names[2] = {"a", "b"};
	qmd_dataset *dataset = new_dataset(NULL, NULL, 1);
	qmd_topology *topology = new_topology(N_ATOMS);
	float xyz[23 * N_ATOMS * 3];
	for (size_t s = 0; s < 2; s++) {
		for (size_t i = 0; i < n_frames[s] * N_ATOMS * 3; i++) {
			const size_t frame = i / 3 / N_ATOMS;
			xyz[i] = (float)(frame + s * n_frames[0]);
		}
		qmdt_ok(qmd_dataset_add_frames(dataset, names[s], topology, xyz, n_frames[s]));
	}
	qmd_topology_free(topology);
	return dataset;
}

static uint32_t number_of(qmd_dataset *dataset, size_t frame) {
	float xyz[6];
	qmdt_ok(qmd_dataset_read(dataset, frame, xyz));
	for (size_t i = 1; i < 6; i++)
		ck_assert_float_eq(xyz[i], xyz[0]);
	return (uint32_t)xyz[0];
}

START_TEST(shuffles_labels) {
	qmd_dataset *dataset = number_frames();
	const size_t n = qmd_dataset_n_frames(dataset);
	uint32_t first[40];
	int is_seen[40] = {0};
	size_t n_moved = 0, n_crossed = 0, n_again = 0;
	ck_assert_uint_eq(n, 40);
	qmdt_ok(qmd_dataset_shuffle_labels(dataset, 7));
	for (size_t f = 0; f < n; f++) {
		first[f] = number_of(dataset, f);
		ck_assert_int_eq(is_seen[first[f]]++, 0); /* each once */
		n_moved += first[f] != f;
		n_crossed += (first[f] < 23) != (f < 23);
		qmd_frame_origin origin;
		qmdt_ok(qmd_dataset_frame_origin(dataset, f, &origin));
		ck_assert_uint_eq(origin.state, f >= 23);
		ck_assert_uint_eq(origin.frame, f < 23 ? f : f - 23);
	}
	ck_assert_uint_gt(n_moved, 30);  /* 1 stays on average */
	ck_assert_uint_gt(n_crossed, 9); /* 19.6 on average */
	ck_assert_uint_lt(n_crossed, 31);
	qmdt_ok(qmd_dataset_shuffle_labels(dataset, 8));
	for (size_t f = 0; f < n; f++)
		n_again += number_of(dataset, f) == first[f];
	ck_assert_uint_lt(n_again, 10);
	qmdt_ok(qmd_dataset_shuffle_labels(dataset, 7)); /* from the beginning, not from the last shuffle */
	for (size_t f = 0; f < n; f++)
		ck_assert_uint_eq(number_of(dataset, f), first[f]);
	qmd_topology *topology = new_topology(2);
	qmdt_fails(qmd_dataset_add_frames(dataset, "a", topology, (float[6]){0}, 1), QMD_ERROR_STATE, "shuffled");
	qmdt_fails(add(dataset, "c", "-:0:ALA:CA -:1:ALA:CA"), QMD_ERROR_STATE, "shuffled");
	qmdt_fails(qmd_dataset_shuffle_labels(NULL, 1), QMD_ERROR_ARGUMENT, "dataset");
	qmd_topology_free(topology);
	qmd_dataset_free(dataset);
}
END_TEST

/* ---- No memory ---- */

/* Files of two states, and how a map file has them matched. */
typedef struct two_states {
	const char *map, *pdb[2], *trajectories[2];
} two_states;

/* Everything a data set does, until a call fails. */
static qmd_status use_dataset(void *argument) {
	static const float xyz[15];
	const two_states *states = argument;
	qmd_dataset_options options;
	qmd_dataset *dataset = NULL;
	qmd_split *split = NULL;
	float read[MAX_ATOMS];
	uint32_t dropped[MAX_ATOMS];
	size_t n = MAX_ATOMS;
	qmd_dataset_options_init(&options);
	options.map_path = states->map;
	qmd_status status = qmd_dataset_create(&options, &dataset);
	for (size_t i = 0; status == QMD_OK && i < 2; i++)
		status = qmd_dataset_add_state(dataset, i ? "b" : "wild", states->pdb[i], &states->trajectories[i], 1);
	for (size_t i = 0; status == QMD_OK && i < 2; i++)
		status = qmd_dataset_add_frames(dataset, "memory", qmd_dataset_topology(dataset, 0), xyz, 1);
	if (status == QMD_OK)
		status = qmd_dataset_shuffle_labels(dataset, 1);
	if (status == QMD_OK)
		status = qmd_dataset_read(dataset, 3, read);
	if (status == QMD_OK)
		status = qmd_dataset_dropped(dataset, 1, &n, dropped);
	if (status == QMD_OK)
		status = qmd_split_icnnmd(dataset, 2, 0, 1, &split);
	qmd_split_free(split);
	qmd_dataset_free(dataset);
	return status;
}

START_TEST(survives_lack_of_memory) {
	static const char map_text[] = "b A 1 ALA CB -> A 1 ALA CA\n";
	two_states states = {.map = qmdt_scratch("map.txt"),
						 .pdb = {qmdt_write_pdb("wild.pdb", WILD),
								 qmdt_write_pdb("b.pdb", "A:1:ALA:N A:1:ALA:CB A:2:HSD:N A:2:HSD:CA")}};
	qmdt_write_file(states.map, map_text, strlen(map_text));
	states.trajectories[0] = qmdt_write_netcdf("wild.nc", &(qmdt_netcdf){.n_frames = 2, .n_atoms = 5});
	states.trajectories[1] = qmdt_write_netcdf("b.nc", &(qmdt_netcdf){.n_frames = 3, .n_atoms = 4, .is_double = 1});
	qmdt_ok(use_dataset(&states));
	ck_assert_uint_gt(qmdt_fail_each_allocation(use_dataset, &states), 20);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("dataset");
	TCase *matching = tcase_create("matching"), *map = tcase_create("map"), *memory = tcase_create("memory");
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
	tcase_add_test(map, follows_the_map_file);
	tcase_add_test(map, warns_of_lines_about_other_states);
	tcase_add_test(map, swaps_atoms_by_the_map_file);
	tcase_add_test(map, refuses_contradictory_maps);
	tcase_add_test(map, refuses_malformed_maps);
	tcase_add_test(memory, takes_frames_from_memory);
	tcase_add_test(memory, mixes_files_and_memory);
	tcase_add_test(memory, refuses_wrong_frames_from_memory);
	tcase_add_test(memory, shuffles_labels);
	tcase_add_test(memory, survives_lack_of_memory);
	suite_add_tcase(suite, matching);
	suite_add_tcase(suite, map);
	suite_add_tcase(suite, memory);
	return qmdt_run(suite);
}
