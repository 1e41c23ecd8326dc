/* Shards, put together, are one run; and what is not all of one run is refused. */
#include "linear_fixture.h"
#include "support.h"

#include <stdio.h>

#include "container_fixture.h"

#define MOST_SHARDS 7
#define NOTE "a note: \xce\xb1"

static void default_options(qmd_explain_options *options, int32_t method) {
	qmd_explain_options_init(options);
	options->method = method;
	options->n_samples = method == QMD_EXPLAIN_SHAP ? 200 : 0;
	options->seed = 9;
}

static qmd_explanation *explain(const qmdt_linear *fixture, const qmd_explain_options *options) {
	qmd_explanation *explanation;
	if (options->method == QMD_EXPLAIN_INTEGRATED_GRADIENTS)
		qmdt_ok(qmd_explain_model(fixture->model, fixture->dataset, fixture->frames, LINEAR_N_FRAMES, options,
								  &explanation));
	else
		qmdt_ok(
			qmd_explain(fixture->engine, fixture->dataset, fixture->frames, LINEAR_N_FRAMES, options, &explanation));
	return explanation;
}

static const char *shard_path(uint32_t shard) {
	char name[32];
	snprintf(name, sizeof name, "shard-%u.qmx", shard);
	return qmdt_scratch(name);
}

/* What a shard is once it was saved and loaded; it takes its place. */
static void pass_through_a_file(qmd_explanation **shard, const char *note, const char *path) {
	qmdt_ok(qmd_explanation_save(*shard, note, path));
	qmd_explanation_free(*shard);
	qmdt_ok(qmd_explanation_load(path, shard));
}

static void make_shards(const qmdt_linear *fixture, int32_t method, uint32_t n, qmd_explanation **shards) {
	for (uint32_t i = 0; i < n; i++) {
		qmd_explain_options options;
		default_options(&options, method);
		options.n_shards = n;
		options.shard = i;
		options.n_threads = 1 + i % 2;
		shards[i] = explain(fixture, &options);
		pass_through_a_file(&shards[i], NOTE, shard_path(i));
	}
}

static void free_shards(qmd_explanation **shards, size_t n) {
	for (size_t i = 0; i < n; i++)
		qmd_explanation_free(shards[i]);
}

static qmd_status merge(qmd_explanation **shards, size_t n, qmd_explanation **merged) {
	const qmd_explanation *list[MOST_SHARDS + 1];
	for (size_t i = 0; i < n; i++)
		list[i] = shards[i];
	return qmd_explanation_merge(list, n, merged);
}

static void expect_same_fits(const qmd_explanation *a, const qmd_explanation *b) {
	for (size_t f = 0; f < LINEAR_N_FRAMES; f++) {
		qmd_explain_fit left, right;
		memset(&left, 0, sizeof left);
		memset(&right, 0, sizeof right);
		left.struct_size = right.struct_size = sizeof left;
		qmdt_ok(qmd_explanation_fit(a, f, &left));
		qmdt_ok(qmd_explanation_fit(b, f, &right));
		ck_assert_mem_eq(&left, &right, sizeof left);
	}
}

static void expect_same(const qmd_explanation *a, const qmd_explanation *b) {
	const size_t n = LINEAR_N_FRAMES * LINEAR_N_RESIDUES;
	ck_assert_uint_eq(qmd_explanation_n_frames(a), LINEAR_N_FRAMES);
	ck_assert_uint_eq(qmd_explanation_n_frames(b), LINEAR_N_FRAMES);
	ck_assert_mem_eq(qmd_explanation_frame_scores(a), qmd_explanation_frame_scores(b), n * sizeof(double));
	ck_assert_mem_eq(qmd_explanation_frame_errors(a), qmd_explanation_frame_errors(b), n * sizeof(double));
	qmd_residue_score left[LINEAR_N_RESIDUES], right[LINEAR_N_RESIDUES];
	memset(left, 0, sizeof left);
	memset(right, 0, sizeof right);
	qmdt_linear_read_scores(a, left);
	qmdt_linear_read_scores(b, right);
	ck_assert_mem_eq(left, right, sizeof left);
	expect_same_fits(a, b);
	qmd_explain_work work = {.struct_size = sizeof work}, other = {.struct_size = sizeof other};
	qmdt_ok(qmd_explanation_work(a, &work));
	qmdt_ok(qmd_explanation_work(b, &other));
	ck_assert_mem_eq(&work, &other, sizeof work);
}

static void check_method(int32_t method) {
	static const uint32_t numbers[] = {1, 3, MOST_SHARDS};
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explain_options options;
	default_options(&options, method);
	qmd_explanation *whole = explain(&fixture, &options);
	for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++) {
		const uint32_t n = numbers[k];
		qmd_explanation *shards[MOST_SHARDS], *backwards[MOST_SHARDS], *merged;
		make_shards(&fixture, method, n, shards);
		for (uint32_t i = 0; i < n; i++)
			backwards[i] = shards[n - 1 - i];
		qmdt_ok(merge(backwards, n, &merged));
		expect_same(whole, merged);
		ck_assert_str_eq(qmd_explanation_note(merged), NOTE);
		qmd_explanation_free(merged);
		free_shards(shards, n);
	}
	qmd_explanation_free(whole);
	qmdt_linear_teardown(&fixture);
}

START_TEST(merged_shards_are_one_run) {
	check_method(QMD_EXPLAIN_LEAVE_ONE_OUT);
	check_method(QMD_EXPLAIN_SHAP);
	check_method(QMD_EXPLAIN_INTEGRATED_GRADIENTS);
}
END_TEST

START_TEST(shards_that_are_missing_or_doubled_are_refused) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *shards[MOST_SHARDS + 1], *merged;
	make_shards(&fixture, QMD_EXPLAIN_LEAVE_ONE_OUT, 3, shards);
	qmdt_fails(merge(shards, 2, &merged), QMD_ERROR_ARGUMENT, "number 2 (from 0) is missing");
	ck_assert_ptr_null(merged);
	qmdt_fails(merge(shards + 1, 2, &merged), QMD_ERROR_ARGUMENT, "number 0 (from 0) is missing");
	shards[3] = shards[1];
	qmdt_fails(merge(shards, 4, &merged), QMD_ERROR_ARGUMENT, "shard 1 of 3 (from 0), as is ");
	qmd_explanation_free(shards[2]);
	shards[2] = shards[1];
	qmdt_fails(merge(shards, 3, &merged), QMD_ERROR_ARGUMENT, "shard-1.qmx: it is shard 1");
	qmdt_fails(merge(shards, 0, &merged), QMD_ERROR_ARGUMENT, "n is 0");
	qmdt_fails(qmd_explanation_merge(NULL, 1, &merged), QMD_ERROR_ARGUMENT, "shards");
	shards[2] = NULL;
	qmdt_fails(merge(shards, 3, &merged), QMD_ERROR_ARGUMENT, "shards[2] is NULL");
	free_shards(shards, 2);
	qmdt_linear_teardown(&fixture);
}
END_TEST

/* Shard 1 of 2 of another run beside shard 0 of a first one. */
static void expect_stranger(const qmdt_linear *fixture, const qmd_explain_options *options, const qmd_engine *engine,
							qmd_dataset *dataset, const uint32_t *frames, const char *note, const char *part) {
	qmd_explanation *shards[2], *merged;
	qmd_explain_options first;
	default_options(&first, QMD_EXPLAIN_SHAP);
	first.n_shards = 2;
	shards[0] = explain(fixture, &first);
	pass_through_a_file(&shards[0], "", qmdt_scratch("first.qmx"));
	qmdt_ok(qmd_explain(engine, dataset, frames, 2, options, &shards[1]));
	pass_through_a_file(&shards[1], note, qmdt_scratch("other.qmx"));
	qmdt_fails(merge(shards, 2, &merged), QMD_ERROR_ARGUMENT, part);
	free_shards(shards, 2);
}

START_TEST(shards_of_other_runs_are_refused) {
	qmdt_linear fixture, other;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmdt_linear_setup(&other, QMD_PIXELS_ICNNMD);
	qmd_explain_options options;
	default_options(&options, QMD_EXPLAIN_SHAP);
	options.n_shards = 2;
	options.shard = 1;
	const uint32_t *frames = fixture.frames;
	expect_stranger(&fixture, &options, other.engine, fixture.dataset, frames, "",
					"other.qmx: its engine or model is not that of");
	qmd_dataset *fewer;
	qmdt_ok(qmd_dataset_create(NULL, &fewer));
	qmdt_linear_add_state(fewer, fixture.topology, 0, qmdt_linear_names[0]);
	expect_stranger(&fixture, &options, fixture.engine, fewer, frames, "", "its data set is not that of");
	qmd_dataset_free(fewer);
	qmdt_ok(qmd_dataset_shuffle_labels(other.dataset, 1));
	expect_stranger(&fixture, &options, fixture.engine, other.dataset, frames, "", "its data set is not that of");
	expect_stranger(&fixture, &options, fixture.engine, fixture.dataset, frames, "", "its list of frames");
	options.n_shards = 1;
	options.shard = 0;
	expect_stranger(&fixture, &options, fixture.engine, fixture.dataset, frames, "", "its number of shards");
	qmdt_linear_teardown(&other);
	qmdt_linear_teardown(&fixture);
}
END_TEST

START_TEST(shards_by_other_options_are_refused) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	static const struct {
		int32_t method, background;
		uint64_t seed;
		const char *note, *part;
	} cases[] = {{QMD_EXPLAIN_LEAVE_ONE_OUT, QMD_BACKGROUND_PIXELS, 9, NOTE, "its method"},
				 {QMD_EXPLAIN_SHAP, QMD_BACKGROUND_PIXELS, 10, NOTE, "its samples or seed"},
				 {QMD_EXPLAIN_SHAP, QMD_BACKGROUND_OTHER_STATES, 9, NOTE, "its background or segments"},
				 {QMD_EXPLAIN_SHAP, QMD_BACKGROUND_PIXELS, 9, "another", "its note"}};
	for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
		qmd_explanation *shards[2], *merged;
		make_shards(&fixture, QMD_EXPLAIN_SHAP, 2, shards);
		qmd_explanation_free(shards[1]);
		qmd_explain_options options;
		default_options(&options, cases[k].method);
		options.seed = cases[k].seed;
		options.background = cases[k].background;
		options.n_samples = 200;
		options.n_shards = 2;
		options.shard = 1;
		shards[1] = explain(&fixture, &options);
		pass_through_a_file(&shards[1], cases[k].note, shard_path(1));
		qmdt_fails(merge(shards, 2, &merged), QMD_ERROR_ARGUMENT, cases[k].part);
		free_shards(shards, 2);
	}
	qmdt_linear_teardown(&fixture);
}
END_TEST

static int cancel_after_a_chunk(void *user, const qmd_progress *progress) {
	(void)user;
	return progress->done > 0;
}

START_TEST(interrupted_shards_say_so) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *shards[2], *merged;
	make_shards(&fixture, QMD_EXPLAIN_LEAVE_ONE_OUT, 2, shards);
	qmd_explanation_free(shards[1]);
	qmd_explain_options options;
	default_options(&options, QMD_EXPLAIN_LEAVE_ONE_OUT);
	options.n_shards = 2;
	options.shard = 1;
	options.progress = cancel_after_a_chunk;
	ck_assert_int_eq(
		qmd_explain(fixture.engine, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, &options, &shards[1]),
		QMD_ERROR_CANCELLED);
	pass_through_a_file(&shards[1], NOTE, shard_path(1));
	qmdt_fails(merge(shards, 2, &merged), QMD_ERROR_STATE, "shard-1.qmx: it was interrupted after 2 of its 11 frames");
	free_shards(shards, 2);
	qmdt_linear_teardown(&fixture);
}
END_TEST

START_TEST(wrong_shards_are_refused) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *explanation;
	qmd_explain_options options;
	default_options(&options, QMD_EXPLAIN_LEAVE_ONE_OUT);
	options.n_shards = 3;
	options.shard = 3;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "shard is 3");
	options.shard = 0;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 2, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "n_shards is 3, but there are 2 frames");
	options.n_shards = 65537;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 2, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "at most 65536");
	const uint32_t order[LINEAR_N_RESIDUES] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
	double margins[LINEAR_N_RESIDUES + 1];
	qmdt_fails(qmd_explain_deletion(fixture.engine, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, order,
									LINEAR_N_RESIDUES, &options, margins),
			   QMD_ERROR_ARGUMENT, "a curve is of all frames");
	options.n_shards = 0;
	explanation = explain(&fixture, &options);
	qmdt_fails(qmd_explanation_save(explanation, "", shard_path(0)), QMD_ERROR_STATE, "is no shard");
	const qmd_explanation *list[1] = {explanation};
	qmd_explanation *merged;
	qmdt_fails(qmd_explanation_merge(list, 1, &merged), QMD_ERROR_ARGUMENT, "shards[0]: the explanation is no shard");
	qmd_explanation_free(explanation);
	ck_assert_str_eq(qmd_explanation_note(NULL), "");
	qmdt_fails(qmd_explanation_save(NULL, "", shard_path(0)), QMD_ERROR_ARGUMENT, "explanation");
	qmdt_fails(qmd_explanation_load(NULL, &explanation), QMD_ERROR_ARGUMENT, "path");
	qmdt_fails(qmd_explanation_load(qmdt_scratch("nowhere.qmx"), &explanation), QMD_ERROR_IO, "nowhere.qmx");
	qmdt_linear_teardown(&fixture);
}
END_TEST

/* ---- Files ---- */

static qmd_status load_and_free(const char *path) {
	qmd_explanation *explanation;
	const qmd_status status = qmd_explanation_load(path, &explanation);
	qmd_explanation_free(explanation);
	return status;
}

/* Shard 1 of 7, of three frames. */
static const char *small_shard(void) {
	const char *path = qmdt_scratch("small.qmx");
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explain_options options;
	default_options(&options, QMD_EXPLAIN_LEAVE_ONE_OUT);
	options.n_shards = 7;
	options.shard = 1;
	qmd_explanation *explanation = explain(&fixture, &options);
	qmdt_ok(qmd_explanation_save(explanation, NOTE, path));
	qmd_explanation_free(explanation);
	qmdt_linear_teardown(&fixture);
	return path;
}

START_TEST(damaged_files_are_refused) {
	qmdt_refuses_damage(small_shard(), qmdt_scratch("damaged.qmx"), load_and_free);
}
END_TEST

START_TEST(files_that_contradict_themselves_are_refused) {
	static const struct {
		const char *section;
		size_t offset;
		uint32_t value;
		const char *part;
	} cases[] = {
		{"run", 44, 0, "shard 1 of 0"},
		{"run", 44, 1, "shard 1 of 1"},
		{"run", 44, 22, "shard 1 of 22 of 21 frames"},
		{"run", 48, 7, "shard 7 of 7"},
		{"run", 52, 6, "shard 1 of 7 of 6 frames"},
		{"run", 56, 0, "0 frames, expected 1 to 3"},
		{"run", 56, 4, "4 frames, expected 1 to 3"},
		{"run", 56, 2, "for 2 frames and 9 residues"},
		{"residues", 0, 0, "0 residues"},
		{"residues", 0, 8, "for 3 frames and 8 residues"},
		{"residues", 0, UINT32_MAX, "4294967295 residues"},
		{"residues", 4, 8, "offset"}, /* the length of an atom's name */
		{"note", 0, UINT32_MAX, "offset"},
		{"note", 0, 1, "offset"},
	};
	const char *path = small_shard(), *crafted = qmdt_scratch("crafted.qmx");
	size_t size, section_size;
	unsigned char *data = qmdt_read_file(path, &size);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		unsigned char *field = data + qmdt_find_section(data, cases[i].section, &section_size) + cases[i].offset;
		const uint64_t saved = qmdt_load(field, 4);
		qmdt_store(field, 4, cases[i].value);
		qmdt_reseal_container(data, size);
		qmdt_write_file(crafted, data, size);
		qmdt_fails(load_and_free(crafted), QMD_ERROR_FORMAT, cases[i].part);
		qmdt_store(field, 4, saved);
	}
	free(data);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("explain_shards");
	TCase *shards = tcase_create("shards");
	tcase_add_test(shards, merged_shards_are_one_run);
	tcase_add_test(shards, shards_that_are_missing_or_doubled_are_refused);
	tcase_add_test(shards, shards_of_other_runs_are_refused);
	tcase_add_test(shards, shards_by_other_options_are_refused);
	tcase_add_test(shards, interrupted_shards_say_so);
	tcase_add_test(shards, wrong_shards_are_refused);
	suite_add_tcase(suite, shards);
	TCase *files = tcase_create("files");
	tcase_add_test(files, damaged_files_are_refused);
	tcase_add_test(files, files_that_contradict_themselves_are_refused);
	suite_add_tcase(suite, files);
	return qmdt_run(suite);
}
