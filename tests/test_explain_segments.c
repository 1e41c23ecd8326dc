/* Segments in the place of residues, and backgrounds, on a linear network whose margins a dot product knows. */
#include "linear_fixture.h"
#include "support.h"

#include <math.h>

#define N_SEGMENTS 4

/* Residues 0, 3 and 4; 1; 2 and 8; the rest. */
static const uint32_t segment_of[LINEAR_N_RESIDUES] = {0, 1, 2, 0, 0, 3, 3, 3, 2};

typedef struct images {
	int pixels[LINEAR_N_FRAMES][LINEAR_N_PIXELS];
	double scale;
} images;

static void read_images(const qmdt_linear *fixture, images *all) {
	unsigned char bytes[LINEAR_N_FRAMES][LINEAR_N_PIXELS];
	qmdt_ok(qmd_pixels_run_dataset(fixture->pixels, fixture->dataset, fixture->frames, LINEAR_N_FRAMES, bytes));
	for (int f = 0; f < LINEAR_N_FRAMES; f++)
		qmdt_linear_read_pixels(fixture, bytes[f], all->pixels[f]);
	all->scale = (double)qmd_pixels_scale(fixture->pixels);
}

static void background_of_pixels(const qmdt_linear *fixture, int background[LINEAR_N_PIXELS]) {
	unsigned char bytes[LINEAR_N_PIXELS];
	qmdt_ok(qmd_pixels_background(fixture->pixels, bytes));
	qmdt_linear_read_pixels(fixture, bytes, background);
}

/* The mean, to the nearest whole number, of the frames of all states but one. */
static void background_of_others(const images *all, int state, int background[LINEAR_N_PIXELS]) {
	for (int p = 0; p < LINEAR_N_PIXELS; p++) {
		double sum = 0;
		int n = 0;
		for (int f = 0; f < LINEAR_N_FRAMES; f++)
			if (f / LINEAR_FRAMES_A_STATE != state) {
				sum += all->pixels[f][p];
				n++;
			}
		background[p] = (int)nearbyint(sum / n);
	}
}

/* The mean over frames of how much the margin falls without the residues of a segment. */
static double true_score(const qmdt_linear *fixture, const images *all, const uint32_t *segments, uint32_t segment,
						 int32_t background_kind) {
	double sum = 0;
	for (int f = 0; f < LINEAR_N_FRAMES; f++) {
		const int state = f / LINEAR_FRAMES_A_STATE;
		int image[LINEAR_N_PIXELS], background[LINEAR_N_PIXELS];
		if (background_kind == QMD_BACKGROUND_OTHER_STATES)
			background_of_others(all, state, background);
		else
			background_of_pixels(fixture, background);
		for (int p = 0; p < LINEAR_N_PIXELS; p++)
			image[p] = segments[p / (3 * LINEAR_ATOMS_A_RESIDUE)] == segment ? background[p] : all->pixels[f][p];
		sum += qmdt_linear_margin(fixture, all->pixels[f], all->scale, state) -
			   qmdt_linear_margin(fixture, image, all->scale, state);
	}
	return sum / LINEAR_N_FRAMES;
}

static void check_scores(int32_t pixels_kind, int32_t background, int is_of_model) {
	qmdt_linear fixture;
	images all;
	qmdt_linear_setup(&fixture, pixels_kind);
	read_images(&fixture, &all);
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.background = background;
	options.n_segments = N_SEGMENTS;
	options.segment_of_residue = segment_of;
	options.n_threads = 2;
	qmd_explanation *explanation;
	qmdt_ok(
		is_of_model
			? qmd_explain_model(fixture.model, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, &options, &explanation)
			: qmd_explain(fixture.engine, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, &options, &explanation));
	static const uint32_t n_residues[N_SEGMENTS] = {3, 1, 2, 3};
	static const int first_residue[N_SEGMENTS] = {101, 102, 103, 106};
	ck_assert_uint_eq(qmd_explanation_n_residues(explanation), N_SEGMENTS);
	for (uint32_t s = 0; s < N_SEGMENTS; s++) {
		qmd_residue_score score = {.struct_size = sizeof score};
		qmdt_ok(qmd_explanation_residue(explanation, s, &score));
		ck_assert_double_eq_tol(score.score, true_score(&fixture, &all, segment_of, s, background), 1e-4);
		ck_assert_uint_eq(score.n_atoms, n_residues[s] * LINEAR_ATOMS_A_RESIDUE);
		ck_assert_int_eq(score.residue.residue_number, first_residue[s]);
	}
	qmd_explanation_free(explanation);
	qmdt_linear_teardown(&fixture);
}

START_TEST(segments_are_left_out_whole) {
	check_scores(QMD_PIXELS_DISPLACEMENT, QMD_BACKGROUND_PIXELS, 0);
	check_scores(QMD_PIXELS_ICNNMD, QMD_BACKGROUND_PIXELS, 1);
}
END_TEST

START_TEST(the_other_states_can_be_the_background) {
	check_scores(QMD_PIXELS_DISPLACEMENT, QMD_BACKGROUND_OTHER_STATES, 0);
	check_scores(QMD_PIXELS_DISPLACEMENT, QMD_BACKGROUND_OTHER_STATES, 1);
	check_scores(QMD_PIXELS_ICNNMD, QMD_BACKGROUND_OTHER_STATES, 0);
}
END_TEST

/* Shares of segments add up, as those of residues do. */
START_TEST(shapley_values_of_segments_add_up) {
	qmdt_linear fixture;
	images all;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	read_images(&fixture, &all);
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.method = QMD_EXPLAIN_SHAP;
	options.n_segments = N_SEGMENTS;
	options.segment_of_residue = segment_of;
	qmd_explanation *explanation;
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames + 4, 1, &options, &explanation));
	const int nothing[LINEAR_N_PIXELS] = {0};
	const double total =
		qmdt_linear_margin(&fixture, all.pixels[4], all.scale, 0) - qmdt_linear_margin(&fixture, nothing, all.scale, 0);
	double sum = 0;
	for (int s = 0; s < N_SEGMENTS; s++)
		sum += qmd_explanation_frame_scores(explanation)[s];
	ck_assert_double_eq_tol(sum, total, 1e-5);
	qmd_explanation_free(explanation);
	qmdt_linear_teardown(&fixture);
}
END_TEST

static void check_refused(const qmdt_linear *fixture, const qmd_explain_options *options, const char *part) {
	qmd_explanation *explanation;
	qmdt_fails(qmd_explain(fixture->engine, fixture->dataset, fixture->frames, 1, options, &explanation),
			   QMD_ERROR_ARGUMENT, part);
	ck_assert_ptr_null(explanation);
}

START_TEST(wrong_segments_and_backgrounds_are_refused) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.background = 7;
	check_refused(&fixture, &options, "background is 7");
	options.background = QMD_BACKGROUND_PIXELS;
	options.n_segments = 3;
	check_refused(&fixture, &options, "n_segments is 3 and segment_of_residue is NULL");
	options.segment_of_residue = segment_of;
	check_refused(&fixture, &options, "of 9 residues 3 are in no segment, and of 3 segments 0 have no residue");
	options.n_segments = 5;
	check_refused(&fixture, &options, "of 9 residues 0 are in no segment, and of 5 segments 1 have no residue");
	options.n_segments = UINT32_MAX;
	check_refused(&fixture, &options, "segments");
	options.n_segments = 0;
	check_refused(&fixture, &options, "n_segments is 0 and segment_of_residue is given");
	options.n_segments = N_SEGMENTS;
	double margins[LINEAR_N_RESIDUES + 1];
	const uint32_t order[LINEAR_N_RESIDUES] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
	qmdt_fails(qmd_explain_deletion(fixture.engine, fixture.dataset, fixture.frames, 1, order, 2, &options, margins),
			   QMD_ERROR_ARGUMENT, "of residues alone");

	qmd_dataset *one_state;
	qmdt_ok(qmd_dataset_create(NULL, &one_state));
	qmdt_linear_add_state(one_state, fixture.topology, 0, qmdt_linear_names[0]);
	qmd_explain_options_init(&options);
	options.background = QMD_BACKGROUND_OTHER_STATES;
	qmd_explanation *explanation;
	qmdt_fails(qmd_explain(fixture.engine, one_state, fixture.frames, 1, &options, &explanation), QMD_ERROR_STATE,
			   "none of another state");
	qmd_dataset_free(one_state);
	qmdt_linear_teardown(&fixture);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("explain_segments");
	TCase *scores = tcase_create("scores");
	tcase_add_test(scores, segments_are_left_out_whole);
	tcase_add_test(scores, the_other_states_can_be_the_background);
	tcase_add_test(scores, shapley_values_of_segments_add_up);
	suite_add_tcase(suite, scores);
	TCase *errors = tcase_create("errors");
	tcase_add_test(errors, wrong_segments_and_backgrounds_are_refused);
	suite_add_tcase(suite, errors);
	return qmdt_run(suite);
}
