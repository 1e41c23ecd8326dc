/* Data sets of several states, matched atom by atom, and their splits. */
#include "support.h"

#include <stdio.h>

static qmd_dataset *new_dataset(void) {
	qmd_dataset *dataset;
	qmdt_ok(qmd_dataset_create(NULL, &dataset));
	return dataset;
}

START_TEST(reads_the_bundled_states) {
	static const char *const names[2] = {"open", "closed"};
	qmd_dataset *dataset = new_dataset();
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
	ck_assert_uint_eq(qmd_dataset_n_frames(dataset), 240);
	ck_assert_uint_eq(qmd_dataset_n_atoms(dataset), 1656);
	ck_assert_uint_eq(qmd_dataset_n_residues(dataset), 214);
	ck_assert_uint_eq(qmd_topology_n_atoms(qmd_dataset_topology(dataset, 0)), 1656);

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
	qmd_trajectory_free(trajectory);
	qmd_dataset_free(dataset);
	free(expected);
	free(found);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("dataset");
	TCase *matching = tcase_create("matching");
	tcase_add_test(matching, reads_the_bundled_states);
	suite_add_tcase(suite, matching);
	return qmdt_run(suite);
}
