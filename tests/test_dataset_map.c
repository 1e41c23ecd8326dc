/* Data sets whose states are matched by a map file. */
#include "dataset_fixture.h"

#include "allocator_fixture.h"
#include "netcdf_fixture.h"
#include "pdb_fixture.h"

#define WILD "A:1:ALA:N A:1:ALA:CA A:2:HSD:N A:2:HSD:CA A:2:HSD:CG"

static qmd_dataset *new_mapped(const char *map) {
	const char *path = qmdt_scratch("map.txt");
	qmdt_write_file(path, map, strlen(map));
	qmd_dataset *dataset = qmdt_dataset(NULL, path, 1);
	qmdt_ok(qmdt_add_state(dataset, "wild", WILD));
	return dataset;
}

START_TEST(follows_the_map_file) {
	qmd_dataset *dataset = new_mapped("# states may be named that never come\n"
									  "\n"
									  "other A 1 ALA N -> A 1 ALA CA\n"
									  "shifted - 12B HSE CA -> A 2 HSD CA # the rest of the line\r\n"
									  "shifted\t- 12B HSE N -> A 2 HSD N\n"
									  "shifted - 11 ALA N -> A 1 ALA N");
	qmdt_ok(qmdt_add_state(dataset, "shifted", ":11:ALA:N :11:ALA:CA :12B:HSE:N :12B:HSE:CA"));
	qmdt_check_shared(dataset, 0, QMDT_INDICES(0, 2, 3));
	qmdt_check_shared(dataset, 1, QMDT_INDICES(0, 2, 3));
	qmdt_check_dropped(dataset, 1, QMDT_INDICES(1));
	/* Without a line of its own a state is matched by identity. */
	qmdt_ok(qmdt_add_state(dataset, "again", WILD));
	qmdt_check_shared(dataset, 2, QMDT_INDICES(0, 2, 3));
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(warns_of_lines_about_other_states) {
	qmdt_log_lines lines = {0};
	qmd_split *split;
	qmd_dataset *dataset =
		new_mapped("b A 1 ALA N -> A 1 ALA N\n\nbb A 1 ALA N -> A 1 ALA N\nbb A 1 ALA CA -> A 1 ALA CA\n");
	qmdt_ok(qmdt_add_state(dataset, "b", WILD));
	qmd_set_log(qmdt_keep_line, &lines);
	qmdt_ok(qmd_split_all(dataset, &split));
	qmd_split_free(split);
	ck_assert_ptr_nonnull(
		strstr(lines.last, "map.txt: line 3: the data set has no state 'bb'; 2 such lines are not used"));
	ck_assert_uint_eq(lines.n, 1);
	qmdt_ok(qmdt_add_state(dataset, "bb", WILD));
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
	qmdt_ok(qmdt_add_state(dataset, "b", WILD));
	qmdt_check_shared(dataset, 1, QMDT_INDICES(1, 0, 2, 3, 4));
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
		qmdt_fails(qmdt_add_state(dataset, "b", WILD), QMD_ERROR_MATCH, cases[i].part);
		ck_assert_uint_eq(qmd_dataset_n_states(dataset), 1);
		qmd_dataset_free(dataset);
	}
	const char *path = qmdt_scratch("map.txt");
	qmd_dataset *dataset = qmdt_dataset(NULL, path, 1);
	qmdt_fails(qmdt_add_state(dataset, "b", WILD), QMD_ERROR_MATCH, "'b' is the first state");
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
	float read[QMDT_MOST_ATOMS];
	uint32_t dropped[QMDT_MOST_ATOMS];
	size_t n = QMDT_MOST_ATOMS;
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
	Suite *suite = suite_create("dataset_map");
	TCase *map = tcase_create("map");
	tcase_add_test(map, follows_the_map_file);
	tcase_add_test(map, warns_of_lines_about_other_states);
	tcase_add_test(map, swaps_atoms_by_the_map_file);
	tcase_add_test(map, refuses_contradictory_maps);
	tcase_add_test(map, refuses_malformed_maps);
	suite_add_tcase(suite, map);
	TCase *memory = tcase_create("memory");
	tcase_add_test(memory, survives_lack_of_memory);
	suite_add_tcase(suite, memory);
	return qmdt_run(suite);
}
