/* Splits of a data set into training and test frames. */
#include "support.h"

#define MAX_FRAMES 4096

typedef enum role { UNUSED, TRAIN, TEST } role;

/* A data set from memory: `n_replicas` lists of frame numbers for each of two states, ended by 0. */
static qmd_dataset *new_dataset(const size_t *replicas_of_a, const size_t *replicas_of_b) {
	static const float xyz[MAX_FRAMES * 3];
	const qmd_atom atom = {.name = "CA", .residue_name = "ALA"};
	qmd_topology *topology;
	qmd_dataset *dataset;
	qmdt_ok(qmd_topology_create(&atom, 1, &topology));
	qmdt_ok(qmd_dataset_create(NULL, &dataset));
	for (; *replicas_of_a; replicas_of_a++)
		qmdt_ok(qmd_dataset_add_frames(dataset, "a", topology, xyz, *replicas_of_a));
	for (; *replicas_of_b; replicas_of_b++)
		qmdt_ok(qmd_dataset_add_frames(dataset, "b", topology, xyz, *replicas_of_b));
	qmd_topology_free(topology);
	return dataset;
}

#define REPLICAS(...) ((const size_t[]){__VA_ARGS__, 0})

/* The role of each frame; the lists must ascend, and no frame be in both. Frees the split. */
static void get_roles(const qmd_dataset *dataset, qmd_split *split, role *roles) {
	const size_t n_frames = qmd_dataset_n_frames(dataset);
	size_t n_train, n_test;
	const uint32_t *train = qmd_split_train(split, &n_train), *test = qmd_split_test(split, &n_test);
	for (size_t i = 0; i < n_frames; i++)
		roles[i] = UNUSED;
	for (size_t i = 0; i < n_train; i++) {
		ck_assert_uint_lt(train[i], n_frames);
		ck_assert(i == 0 || train[i] > train[i - 1]);
		roles[train[i]] = TRAIN;
	}
	for (size_t i = 0; i < n_test; i++) {
		ck_assert_uint_lt(test[i], n_frames);
		ck_assert(i == 0 || test[i] > test[i - 1]);
		ck_assert_int_eq(roles[test[i]], UNUSED);
		roles[test[i]] = TEST;
	}
	qmd_split_free(split);
}

/* Roles as text: '.' unused, 't' train, 'T' test. */
static void check_roles(const qmd_dataset *dataset, qmd_split *split, const char *expected) {
	role roles[MAX_FRAMES] = {UNUSED};
	char text[MAX_FRAMES + 1] = {0};
	get_roles(dataset, split, roles);
	for (size_t i = 0; i < qmd_dataset_n_frames(dataset); i++)
		text[i] = ".tT"[roles[i]];
	ck_assert_str_eq(text, expected);
}

START_TEST(holds_out_replicas) {
	qmd_dataset *dataset = new_dataset(REPLICAS(2, 3, 1), REPLICAS(1, 2));
	qmd_split *split;
	qmdt_ok(qmd_split_by_replica(dataset, 0, &split));
	check_roles(dataset, split,
				"TTtttt"
				"Ttt");
	qmdt_ok(qmd_split_by_replica(dataset, 1, &split));
	check_roles(dataset, split,
				"ttTTTt"
				"tTT");
	qmdt_ok(qmd_split_by_replica(dataset, 2, &split)); /* the second state has no third replica */
	check_roles(dataset, split,
				"tttttT"
				"ttt");
	qmdt_fails(qmd_split_by_replica(dataset, 3, &split), QMD_ERROR_STATE, "holds out no frame");
	ck_assert_ptr_null(split);
	qmd_dataset_free(dataset);

	dataset = new_dataset(REPLICAS(2, 3), REPLICAS(4));
	qmdt_fails(qmd_split_by_replica(dataset, 0, &split), QMD_ERROR_STATE, "state 'b' no training frame of its 4");
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(holds_out_blocks) {
	qmd_dataset *dataset = new_dataset(REPLICAS(10, 5), REPLICAS(7));
	qmd_split *split;
	qmdt_ok(qmd_split_by_block(dataset, 5, 0, 0, &split));
	check_roles(dataset, split,
				"TTtttttttt"
				"Ttttt"
				"Ttttttt");
	qmdt_ok(qmd_split_by_block(dataset, 5, 2, 1, &split));
	check_roles(dataset, split,
				"ttt.TT.ttt"
				"t.T.t"
				"t.TT.tt");
	qmdt_ok(qmd_split_by_block(dataset, 5, 4, 2, &split));
	check_roles(dataset, split,
				"tttttt..TT"
				"tt..T"
				"ttt..TT");
	/* More folds than frames: a replica whose block is empty loses no frame to the gap either. */
	qmdt_ok(qmd_split_by_block(dataset, 10, 1, 3, &split));
	check_roles(dataset, split,
				".T...ttttt"
				"T...t"
				"T...ttt");
	qmdt_ok(qmd_split_by_block(dataset, 10, 0, 3, &split));
	check_roles(dataset, split,
				"T...tttttt"
				"ttttt"
				"ttttttt");
	qmd_dataset_free(dataset);
}
END_TEST

/* Every frame is held out by one fold, and n_folds need not divide anything. */
START_TEST(blocks_cover_every_frame) {
	qmd_dataset *dataset = new_dataset(REPLICAS(13, 4), REPLICAS(29));
	for (size_t n_folds = 2; n_folds <= 13; n_folds++) {
		size_t n_held_out[46] = {0};
		for (size_t fold = 0; fold < n_folds; fold++) {
			role roles[46];
			qmd_split *split;
			qmdt_ok(qmd_split_by_block(dataset, n_folds, fold, 0, &split));
			get_roles(dataset, split, roles);
			for (size_t i = 0; i < 46; i++)
				n_held_out[i] += roles[i] == TEST;
		}
		for (size_t i = 0; i < 46; i++)
			ck_assert_uint_eq(n_held_out[i], 1);
	}
	qmd_dataset_free(dataset);
}
END_TEST

static size_t n_warnings;

static void count_warnings(void *user, qmd_log_level level, const char *line) {
	(void)user;
	n_warnings += level == QMD_LOG_WARNING && strstr(line, "leaks") != NULL;
}

/* 100 frames a state, 20 groups of 5: of each group every fold holds out one frame. */
START_TEST(deals_groups_to_folds) {
	qmd_dataset *dataset = new_dataset(REPLICAS(30, 70), REPLICAS(100));
	role roles[200], again[200], other_seed[200];
	size_t n_held_out[200] = {0}, n_unlike_the_first = 0, n_unlike_the_seed = 0;
	qmd_set_log(count_warnings, NULL);
	n_warnings = 0;
	for (size_t fold = 0; fold < 5; fold++) {
		qmd_split *split;
		qmdt_ok(qmd_split_icnnmd(dataset, 5, fold, 7, &split));
		get_roles(dataset, split, roles);
		qmdt_ok(qmd_split_icnnmd(dataset, 5, fold, 7, &split));
		get_roles(dataset, split, again);
		ck_assert_mem_eq(roles, again, sizeof roles);
		qmdt_ok(qmd_split_icnnmd(dataset, 5, fold, 8, &split));
		get_roles(dataset, split, other_seed);
		for (size_t group = 0; group < 40; group++) {
			size_t n_test = 0, n_train = 0;
			for (size_t i = 5 * group; i < 5 * group + 5; i++) {
				n_test += roles[i] == TEST;
				n_train += roles[i] == TRAIN;
				n_held_out[i] += roles[i] == TEST;
				n_unlike_the_first += roles[i] != roles[i % 5];
				n_unlike_the_seed += roles[i] != other_seed[i];
			}
			ck_assert_uint_eq(n_test, 1);
			ck_assert_uint_eq(n_train, 4);
		}
	}
	qmd_set_log(NULL, NULL);
	for (size_t i = 0; i < 200; i++)
		ck_assert_uint_eq(n_held_out[i], 1);
	ck_assert_uint_eq(n_warnings, 15);
	/* Random: groups are not dealt alike, nor are seeds. Four frames in five would agree by chance in 68 of 100. */
	ck_assert_uint_gt(n_unlike_the_first, 200);
	ck_assert_uint_gt(n_unlike_the_seed, 200);
	qmd_dataset_free(dataset);
}
END_TEST

/* Fewer frames than groups times folds: the parts of a state still differ by at most one frame. */
START_TEST(deals_evenly) {
	for (size_t n = 5; n <= 63; n += 7) {
		qmd_dataset *dataset = new_dataset(REPLICAS(n), REPLICAS(5));
		for (size_t fold = 0; fold < 5; fold++) {
			qmd_split *split;
			size_t n_test;
			qmdt_ok(qmd_split_icnnmd(dataset, 5, fold, 1, &split));
			qmd_split_test(split, &n_test);
			ck_assert_uint_ge(n_test, n / 5 + 1);
			ck_assert_uint_le(n_test, (n + 4) / 5 + 1);
			qmd_split_free(split);
		}
		qmd_dataset_free(dataset);
	}
}
END_TEST

START_TEST(trains_on_all) {
	qmd_dataset *dataset = new_dataset(REPLICAS(2), REPLICAS(3));
	qmd_split *split;
	qmdt_ok(qmd_split_all(dataset, &split));
	check_roles(dataset, split, "ttttt");
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(refuses_wrong_folds) {
	qmd_dataset *dataset = new_dataset(REPLICAS(10), REPLICAS(10)), *empty;
	qmd_split *split;
	size_t n = 9;
	qmdt_fails(qmd_split_by_block(dataset, 1, 0, 0, &split), QMD_ERROR_ARGUMENT, "n_folds is 1");
	qmdt_fails(qmd_split_by_block(dataset, 0, 0, 0, &split), QMD_ERROR_ARGUMENT, "n_folds is 0");
	qmdt_fails(qmd_split_by_block(dataset, SIZE_MAX, 0, 0, &split), QMD_ERROR_ARGUMENT, "n_folds");
	qmdt_fails(qmd_split_by_block(dataset, 5, 5, 0, &split), QMD_ERROR_RANGE, "fold is 5");
	qmdt_fails(qmd_split_by_block(dataset, 5, 1, SIZE_MAX, &split), QMD_ERROR_STATE, "no training frame");
	qmdt_fails(qmd_split_icnnmd(dataset, 5, 5, 0, &split), QMD_ERROR_RANGE, "fold is 5");
	qmdt_fails(qmd_split_icnnmd(dataset, 1, 0, 0, &split), QMD_ERROR_ARGUMENT, "n_folds is 1");
	qmdt_fails(qmd_split_icnnmd(dataset, 100, 99, 0, &split), QMD_ERROR_STATE, "holds out no frame");
	qmdt_fails(qmd_split_all(dataset, NULL), QMD_ERROR_ARGUMENT, "split");
	qmdt_fails(qmd_split_all(NULL, &split), QMD_ERROR_ARGUMENT, "dataset");
	qmdt_ok(qmd_dataset_create(NULL, &empty));
	qmdt_fails(qmd_split_all(empty, &split), QMD_ERROR_STATE, "no frames");
	qmd_split_free(NULL);
	ck_assert_ptr_null(qmd_split_train(NULL, &n));
	ck_assert_uint_eq(n, 0);
	qmd_dataset_free(empty);
	qmd_dataset_free(dataset);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("trajectory_split");
	TCase *rules = tcase_create("rules");
	tcase_add_test(rules, holds_out_replicas);
	tcase_add_test(rules, holds_out_blocks);
	tcase_add_test(rules, blocks_cover_every_frame);
	tcase_add_test(rules, deals_groups_to_folds);
	tcase_add_test(rules, deals_evenly);
	tcase_add_test(rules, trains_on_all);
	tcase_add_test(rules, refuses_wrong_folds);
	suite_add_tcase(suite, rules);
	return qmdt_run(suite);
}
