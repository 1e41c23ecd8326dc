/* Residue scores of a linear network, whose margins a double-precision dot product knows. */
#include "linear_fixture.h"
#include "support.h"

#include <fenv.h>
#include <math.h>

/* Mean and standard error, over all frames, of the fall of the margin without residue r. */
static void true_score(const qmdt_linear *fixture, int residue, double *mean, double *standard_error) {
	const double scale = qmd_pixels_type(fixture->pixels) == QMD_S8 ? 1.0 / 127 : 1.0 / 255;
	unsigned char bytes[LINEAR_N_FRAMES][LINEAR_N_PIXELS], background_bytes[LINEAR_N_PIXELS];
	int image[LINEAR_N_PIXELS], background[LINEAR_N_PIXELS];
	double falls[LINEAR_N_FRAMES], sum = 0, squares = 0;
	qmdt_ok(qmd_pixels_run_dataset(fixture->pixels, fixture->dataset, fixture->frames, LINEAR_N_FRAMES, bytes));
	qmdt_ok(qmd_pixels_background(fixture->pixels, background_bytes));
	qmdt_linear_read_pixels(fixture, background_bytes, background);
	for (int f = 0; f < LINEAR_N_FRAMES; f++) {
		qmdt_linear_read_pixels(fixture, bytes[f], image);
		const double whole = qmdt_linear_margin(fixture, image, scale, f / LINEAR_FRAMES_A_STATE);
		for (int p = residue * LINEAR_ATOMS_A_RESIDUE * 3; p < (residue + 1) * LINEAR_ATOMS_A_RESIDUE * 3; p++)
			image[p] = background[p];
		falls[f] = whole - qmdt_linear_margin(fixture, image, scale, f / LINEAR_FRAMES_A_STATE);
		sum += falls[f];
	}
	*mean = sum / LINEAR_N_FRAMES;
	for (int f = 0; f < LINEAR_N_FRAMES; f++)
		squares += (falls[f] - *mean) * (falls[f] - *mean);
	*standard_error = sqrt(squares / (LINEAR_N_FRAMES - 1) / LINEAR_N_FRAMES);
}

static void check_scores(const qmdt_linear *fixture, const qmd_explanation *explanation) {
	qmd_residue_score scores[LINEAR_N_RESIDUES];
	qmdt_linear_read_scores(explanation, scores);
	double largest = 0;
	for (int r = 0; r < LINEAR_N_RESIDUES; r++) {
		double mean, standard_error;
		true_score(fixture, r, &mean, &standard_error);
		ck_assert_double_eq_tol(scores[r].score, mean, 1e-5);
		ck_assert_double_eq_tol(scores[r].standard_error, standard_error, 1e-5);
		ck_assert_int_eq(scores[r].residue.residue_number, 101 + r);
		ck_assert_str_eq(scores[r].residue.residue_name, "GLY");
		ck_assert_str_eq(scores[r].residue.chain, "A");
		ck_assert_str_eq(scores[r].residue.name, "N");
		ck_assert_uint_eq(scores[r].n_atoms, LINEAR_ATOMS_A_RESIDUE);
		unsigned rank = 1;
		for (int other = 0; other < LINEAR_N_RESIDUES; other++)
			rank += scores[other].score > scores[r].score;
		ck_assert_uint_eq(scores[r].rank, rank);
		largest = fmax(largest, fabs(mean));
	}
	ck_assert_double_gt(largest, 1e-3); /* the scores say something */
}

static void check_scores_of(int32_t kind) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, kind);
	qmd_explanation *explanation;
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, NULL, &explanation));
	check_scores(&fixture, explanation);
	qmd_explanation_free(explanation);
	qmdt_ok(qmd_explain_model(fixture.model, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, NULL, &explanation));
	check_scores(&fixture, explanation);
	qmd_explanation_free(explanation);
	qmdt_linear_teardown(&fixture);
}

START_TEST(scores_are_the_fall_of_the_margin) {
	check_scores_of(QMD_PIXELS_DISPLACEMENT);
}
END_TEST

START_TEST(background_of_icnnmd_pixels_is_their_mean_image) {
	check_scores_of(QMD_PIXELS_ICNNMD);
}
END_TEST

START_TEST(frame_scores_are_those_of_each_frame_alone) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *all, *one;
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, NULL, &all));
	ck_assert_uint_eq(qmd_explanation_n_frames(all), LINEAR_N_FRAMES);
	const double *frame_scores = qmd_explanation_frame_scores(all);
	for (size_t f = 0; f < LINEAR_N_FRAMES; f++) {
		qmd_residue_score scores[LINEAR_N_RESIDUES];
		qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames + f, 1, NULL, &one));
		qmdt_linear_read_scores(one, scores);
		for (size_t r = 0; r < LINEAR_N_RESIDUES; r++)
			ck_assert(frame_scores[f * LINEAR_N_RESIDUES + r] == scores[r].score);
		qmd_explanation_free(one);
	}
	qmd_explanation_free(all);
	ck_assert_uint_eq(qmd_explanation_n_frames(NULL), 0);
	ck_assert_ptr_null(qmd_explanation_frame_scores(NULL));
	qmdt_linear_teardown(&fixture);
}
END_TEST

START_TEST(models_need_pixels_and_class_names) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *explanation;
	qmd_model *model;
	qmdt_fails(qmd_explain_model(NULL, fixture.dataset, fixture.frames, 1, NULL, &explanation), QMD_ERROR_ARGUMENT,
			   "model");
	qmdt_ok(qmd_model_create((qmd_shape){LINEAR_SIDE, LINEAR_SIDE, 3}, &model));
	qmdt_fails(qmd_explain_model(model, fixture.dataset, fixture.frames, 1, NULL, &explanation), QMD_ERROR_STATE,
			   "the model has no pixels");
	qmd_model_free(model);
	qmdt_ok(qmd_model_bind(fixture.model, fixture.pixels, NULL));
	qmdt_fails(qmd_explain_model(fixture.model, fixture.dataset, fixture.frames, 1, NULL, &explanation),
			   QMD_ERROR_ARGUMENT, "state 'apo' is none of the model's 3 classes");
	qmdt_linear_teardown(&fixture);
}
END_TEST

/* ---- SHAP ---- */

#define N_SUBSETS (1u << LINEAR_N_RESIDUES)

/* margins[S] of one frame with the residues whose bits are in S. */
static void margins_of_subsets(const qmdt_linear *fixture, uint32_t frame, double margins[N_SUBSETS]) {
	unsigned char bytes[LINEAR_N_PIXELS], background_bytes[LINEAR_N_PIXELS];
	int whole[LINEAR_N_PIXELS], background[LINEAR_N_PIXELS], image[LINEAR_N_PIXELS];
	qmdt_ok(qmd_pixels_run_dataset(fixture->pixels, fixture->dataset, &frame, 1, bytes));
	qmdt_ok(qmd_pixels_background(fixture->pixels, background_bytes));
	qmdt_linear_read_pixels(fixture, bytes, whole);
	qmdt_linear_read_pixels(fixture, background_bytes, background);
	for (unsigned subset = 0; subset < N_SUBSETS; subset++) {
		for (int p = 0; p < LINEAR_N_PIXELS; p++)
			image[p] = subset >> p / (3 * LINEAR_ATOMS_A_RESIDUE) & 1 ? whole[p] : background[p];
		margins[subset] = qmdt_linear_margin(fixture, image, 1.0 / 127, (int)frame / LINEAR_FRAMES_A_STATE);
	}
}

/* Shapley's own formula: the mean over all orders of what a residue adds to those before it. */
static double shapley_value(const double margins[N_SUBSETS], int residue) {
	double factorials[LINEAR_N_RESIDUES + 1] = {1}, sum = 0;
	for (int i = 1; i <= LINEAR_N_RESIDUES; i++)
		factorials[i] = factorials[i - 1] * i;
	for (unsigned subset = 0; subset < N_SUBSETS; subset++) {
		if (subset >> residue & 1)
			continue;
		const int size = __builtin_popcount(subset);
		const double orders = factorials[size] * factorials[LINEAR_N_RESIDUES - 1 - size];
		sum += orders / factorials[LINEAR_N_RESIDUES] * (margins[subset | 1u << residue] - margins[subset]);
	}
	return sum;
}

static void explain_by_shap(const qmdt_linear *fixture, uint32_t n_threads, uint64_t seed,
							qmd_residue_score scores[LINEAR_N_RESIDUES]) {
	qmdt_linear_sample(fixture, QMD_EXPLAIN_SHAP, 4000, n_threads, seed, scores);
}

START_TEST(shap_finds_shapley_values) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_residue_score scores[LINEAR_N_RESIDUES];
	explain_by_shap(&fixture, 1, 1, scores);
	static double margins[N_SUBSETS];
	double values[LINEAR_N_RESIDUES] = {0}, total = 0, sum = 0, largest = 0;
	for (uint32_t f = 0; f < LINEAR_N_FRAMES; f++) {
		margins_of_subsets(&fixture, f, margins);
		total += (margins[N_SUBSETS - 1] - margins[0]) / LINEAR_N_FRAMES;
		for (int r = 0; r < LINEAR_N_RESIDUES; r++)
			values[r] += shapley_value(margins, r) / LINEAR_N_FRAMES;
	}
	for (int r = 0; r < LINEAR_N_RESIDUES; r++) {
		sum += scores[r].score;
		largest = fmax(largest, fabs(values[r]));
	}
	ck_assert_double_eq_tol(sum, total, 1e-5);
	for (int r = 0; r < LINEAR_N_RESIDUES; r++)
		ck_assert_double_eq_tol(scores[r].score, values[r], 0.01 * largest);
	qmdt_linear_teardown(&fixture);
}
END_TEST

START_TEST(shap_depends_on_its_seed_alone) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_residue_score one[LINEAR_N_RESIDUES], many[LINEAR_N_RESIDUES], other[LINEAR_N_RESIDUES];
	explain_by_shap(&fixture, 1, 1, one);
	explain_by_shap(&fixture, 3, 1, many);
	explain_by_shap(&fixture, 1, 2, other);
	int n_differ = 0;
	for (int r = 0; r < LINEAR_N_RESIDUES; r++) {
		ck_assert(one[r].score == many[r].score);
		ck_assert(one[r].standard_error == many[r].standard_error);
		n_differ += one[r].score != other[r].score;
	}
	ck_assert_int_gt(n_differ, 0);
	qmdt_linear_teardown(&fixture);
}
END_TEST

/* The fixture's margins are sums of scores but for which class is the largest other, so that the first round's top is
 * the second's: 2 * (2 * 9 + 2048) images. */
START_TEST(shap_stops_when_the_top_settles) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	const uint32_t n_asked[] = {0, 501}, n_taken[] = {4132, 502};
	for (int i = 0; i < 2; i++) {
		qmd_explain_options options;
		qmd_explain_options_init(&options);
		options.method = QMD_EXPLAIN_SHAP;
		options.n_samples = n_asked[i];
		qmd_explanation *explanation;
		qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, &options, &explanation));
		qmd_explain_fit fit = {.struct_size = sizeof fit};
		qmdt_ok(qmd_explanation_fit(explanation, 0, &fit));
		ck_assert_uint_eq(fit.n_samples, n_taken[i]);
		ck_assert_int_eq(fit.is_settled, i == 0);
		ck_assert_double_gt(fit.r2, 0.9);
		ck_assert_double_le(fit.r2, 1);
		const double *errors = qmd_explanation_frame_errors(explanation);
		qmd_residue_score scores[LINEAR_N_RESIDUES];
		qmdt_linear_read_scores(explanation, scores);
		for (int r = 0; r < LINEAR_N_RESIDUES; r++) {
			ck_assert(errors[r] > 0);
			ck_assert(scores[r].standard_error == errors[r]);
		}
		qmdt_fails(qmd_explanation_fit(explanation, 1, &fit), QMD_ERROR_RANGE, "there are 1 frames");
		fit.struct_size = 0;
		qmdt_fails(qmd_explanation_fit(explanation, 0, &fit), QMD_ERROR_ARGUMENT, "struct_size is 0");
		qmd_explanation_free(explanation);
	}
	qmdt_linear_teardown(&fixture);
}
END_TEST

START_TEST(threads_and_rounding_mode_change_nothing) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_residue_score one[LINEAR_N_RESIDUES], many[LINEAR_N_RESIDUES];
	qmd_explanation *explanation;
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, NULL, &explanation));
	qmdt_linear_read_scores(explanation, one);
	qmd_explanation_free(explanation);

	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.n_threads = 3;
	ck_assert_int_eq(fesetround(FE_UPWARD), 0);
	const qmd_status status =
		qmd_explain(fixture.engine, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, &options, &explanation);
	const int rounding = fegetround();
	fesetround(FE_TONEAREST);
	qmdt_ok(status);
	ck_assert_int_eq(rounding, FE_UPWARD);
	qmdt_linear_read_scores(explanation, many);
	qmd_explanation_free(explanation);
	for (int r = 0; r < LINEAR_N_RESIDUES; r++) {
		ck_assert(one[r].score == many[r].score);
		ck_assert(one[r].standard_error == many[r].standard_error);
		ck_assert_uint_eq(one[r].rank, many[r].rank);
	}
	qmdt_linear_teardown(&fixture);
}
END_TEST

START_TEST(one_frame_has_no_standard_error) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *explanation;
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames + 3, 1, NULL, &explanation));
	qmd_residue_score scores[LINEAR_N_RESIDUES];
	qmdt_linear_read_scores(explanation, scores);
	for (int r = 0; r < LINEAR_N_RESIDUES; r++)
		ck_assert(scores[r].standard_error == 0.0);
	qmd_explanation_free(explanation);
	qmdt_linear_teardown(&fixture);
}
END_TEST

/* Explain frames 0 .. LINEAR_FRAMES_A_STATE of state 2, from a data set that qmdt_linear_names its states otherwise. */
static void explain_antagonist(const qmdt_linear *fixture, const uint32_t *frames, qmd_dataset *dataset,
							   qmd_residue_score *scores) {
	qmd_explanation *explanation;
	qmdt_ok(qmd_explain(fixture->engine, dataset, frames, LINEAR_FRAMES_A_STATE, NULL, &explanation));
	qmdt_linear_read_scores(explanation, scores);
	qmd_explanation_free(explanation);
}

START_TEST(states_are_found_by_name) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_dataset *reversed;
	qmdt_ok(qmd_dataset_create(NULL, &reversed));
	for (int s = LINEAR_N_CLASSES - 1; s >= 0; s--)
		qmdt_linear_add_state(reversed, fixture.topology, s, qmdt_linear_names[s]);
	qmd_residue_score in_order[LINEAR_N_RESIDUES], in_reverse[LINEAR_N_RESIDUES];
	explain_antagonist(&fixture, fixture.frames + 2 * LINEAR_FRAMES_A_STATE, fixture.dataset, in_order);
	explain_antagonist(&fixture, fixture.frames, reversed, in_reverse);
	for (int r = 0; r < LINEAR_N_RESIDUES; r++)
		ck_assert(in_order[r].score == in_reverse[r].score);
	qmd_dataset_free(reversed);
	qmdt_linear_teardown(&fixture);
}
END_TEST

static int cancel_at_half(void *user, const qmd_progress *progress) {
	int *calls = user;
	++*calls;
	return 2 * progress->done >= progress->total;
}

START_TEST(progress_can_cancel) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	int calls = 0;
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.progress = cancel_at_half;
	options.user = &calls;
	qmd_explanation *explanation;
	ck_assert_int_eq(
		qmd_explain(fixture.engine, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, &options, &explanation),
		QMD_ERROR_CANCELLED);
	qmd_explanation_free(explanation); /* of half the frames */
	ck_assert_int_gt(calls, 1);
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, NULL, &explanation));
	qmd_explanation_free(explanation);
	qmdt_linear_teardown(&fixture);
}
END_TEST

START_TEST(other_atoms_and_other_states_are_refused) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *explanation;
	qmd_dataset *dataset;

	qmd_topology *renumbered = qmdt_linear_topology(201);
	qmdt_ok(qmd_dataset_create(NULL, &dataset));
	qmdt_linear_add_state(dataset, renumbered, 0, "apo");
	qmdt_fails(qmd_explain(fixture.engine, dataset, fixture.frames, 1, NULL, &explanation), QMD_ERROR_MATCH, "GLY201");
	qmd_dataset_free(dataset);
	qmd_topology_free(renumbered);

	qmd_dataset_options options;
	qmd_dataset_options_init(&options);
	options.selection = "name CA";
	qmdt_ok(qmd_dataset_create(&options, &dataset));
	qmdt_linear_add_state(dataset, fixture.topology, 0, "apo");
	qmdt_fails(qmd_explain(fixture.engine, dataset, fixture.frames, 1, NULL, &explanation), QMD_ERROR_MATCH, "9 atoms");
	qmd_dataset_free(dataset);

	qmdt_ok(qmd_dataset_create(NULL, &dataset));
	qmdt_linear_add_state(dataset, fixture.topology, 0, "holo");
	qmdt_fails(qmd_explain(fixture.engine, dataset, fixture.frames, 1, NULL, &explanation), QMD_ERROR_ARGUMENT, "holo");
	qmd_dataset_free(dataset);
	qmdt_linear_teardown(&fixture);
}
END_TEST

START_TEST(wrong_arguments_are_refused) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *explanation;
	qmdt_fails(qmd_explain(NULL, fixture.dataset, fixture.frames, 1, NULL, &explanation), QMD_ERROR_ARGUMENT, "engine");
	qmdt_fails(qmd_explain(fixture.engine, NULL, fixture.frames, 1, NULL, &explanation), QMD_ERROR_ARGUMENT, "dataset");
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, NULL, 1, NULL, &explanation), QMD_ERROR_ARGUMENT, "frames");
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 0, NULL, &explanation), QMD_ERROR_ARGUMENT,
			   "n_frames is 0");
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, NULL, NULL), QMD_ERROR_ARGUMENT,
			   "explanation");
	const uint32_t beyond = LINEAR_N_FRAMES;
	ck_assert_int_eq(qmd_explain(fixture.engine, fixture.dataset, &beyond, 1, NULL, &explanation), QMD_ERROR_RANGE);
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.method = 99;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "method is 99");
	options.method = QMD_EXPLAIN_SHAP;
	options.n_samples = 4 * LINEAR_N_RESIDUES - 1;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "n_samples is 35");
	options.n_samples = UINT32_MAX;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "n_samples is 4294967295");
	options.struct_size = 3;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "struct_size is 3");

	qmd_residue_score score = {.struct_size = sizeof score};
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, NULL, &explanation));
	qmdt_fails(qmd_explanation_residue(explanation, LINEAR_N_RESIDUES, &score), QMD_ERROR_RANGE, "9 residues");
	qmdt_fails(qmd_explanation_residue(NULL, 0, &score), QMD_ERROR_ARGUMENT, "explanation");
	qmdt_fails(qmd_explanation_residue(explanation, 0, NULL), QMD_ERROR_ARGUMENT, "score");
	score.struct_size = 0;
	qmdt_fails(qmd_explanation_residue(explanation, 0, &score), QMD_ERROR_ARGUMENT, "struct_size is 0");
	qmd_explanation_free(explanation);
	qmd_explanation_free(NULL);
	ck_assert_uint_eq(qmd_explanation_n_residues(NULL), 0);
	qmdt_linear_teardown(&fixture);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("explain");
	TCase *scores = tcase_create("scores");
	tcase_add_test(scores, scores_are_the_fall_of_the_margin);
	tcase_add_test(scores, background_of_icnnmd_pixels_is_their_mean_image);
	tcase_add_test(scores, frame_scores_are_those_of_each_frame_alone);
	tcase_add_test(scores, shap_finds_shapley_values);
	tcase_add_test(scores, shap_depends_on_its_seed_alone);
	tcase_add_test(scores, shap_stops_when_the_top_settles);
	tcase_add_test(scores, threads_and_rounding_mode_change_nothing);
	tcase_add_test(scores, one_frame_has_no_standard_error);
	tcase_add_test(scores, states_are_found_by_name);
	tcase_add_test(scores, progress_can_cancel);
	suite_add_tcase(suite, scores);
	TCase *errors = tcase_create("errors");
	tcase_add_test(errors, other_atoms_and_other_states_are_refused);
	tcase_add_test(errors, models_need_pixels_and_class_names);
	tcase_add_test(errors, wrong_arguments_are_refused);
	suite_add_tcase(suite, errors);
	return qmdt_run(suite);
}
