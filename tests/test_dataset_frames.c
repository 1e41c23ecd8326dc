/* Data sets of frames from memory, and labels that are shuffled. */
#include "dataset_fixture.h"

#include <math.h>

#include "netcdf_fixture.h"
#include "pdb_fixture.h"

/* ---- Frames from memory ---- */

static qmd_topology *new_topology(size_t n_atoms) {
	qmd_atom atoms[QMDT_MOST_ATOMS] = {0};
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
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 2); /* the stride is about files */
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
	qmdt_check_shared(dataset, 0, QMDT_INDICES(0, 1, 2));
	qmdt_check_shared(dataset, 1, QMDT_INDICES(0, 1, 2));
	double box[9] = {1};
	int has_box = 1;
	qmdt_ok(qmd_dataset_box(dataset, 0, box, &has_box));
	ck_assert_int_eq(has_box, 0);
	ck_assert_double_eq(box[0], 0);
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(mixes_files_and_memory) {
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
	qmd_topology *topology;
	float xyz[9] = {0, 0, 0, 1, 2, 3};
	qmdt_ok(qmdt_add_state(dataset, "file", "A:1:ALA:N A:1:ALA:CA"));
	qmdt_ok(qmd_topology_load(qmdt_write_pdb("memory.pdb", "A:1:ALA:CA A:1:ALA:CB A:1:ALA:N"), &topology));
	qmdt_fails(qmd_dataset_add_frames(dataset, "file", topology, xyz, 1), QMD_ERROR_ARGUMENT, "already");
	qmdt_ok(qmd_dataset_add_frames(dataset, "memory", topology, xyz, 1));
	qmdt_check_dropped(dataset, 1, QMDT_INDICES(1));
	float read[6];
	qmdt_ok(qmd_dataset_read(dataset, 2, read));
	ck_assert_float_eq(read[0], 0); /* N stands at place 2 of the topology, CA at place 0 */
	ck_assert_float_eq(read[3], 0);
	qmd_topology_free(topology);
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(refuses_wrong_frames_from_memory) {
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
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
	qmd_dataset *dataset = qmdt_dataset(NULL, NULL, 1);
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
	qmdt_fails(qmdt_add_state(dataset, "c", "-:0:ALA:CA -:1:ALA:CA"), QMD_ERROR_STATE, "shuffled");
	qmdt_fails(qmd_dataset_shuffle_labels(NULL, 1), QMD_ERROR_ARGUMENT, "dataset");
	qmd_topology_free(topology);
	qmd_dataset_free(dataset);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("dataset_frames");
	TCase *memory = tcase_create("memory");
	tcase_add_test(memory, takes_frames_from_memory);
	tcase_add_test(memory, mixes_files_and_memory);
	tcase_add_test(memory, refuses_wrong_frames_from_memory);
	tcase_add_test(memory, shuffles_labels);
	suite_add_tcase(suite, memory);
	return qmdt_run(suite);
}
