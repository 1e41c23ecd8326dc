/* Deletion curves of a linear network, whose margins a dot product in double precision knows; and cancelled jobs. */
#include "linear_fixture.h"
#include "support.h"

#include <math.h>

/* The mean margin over all frames with the first `n_left_out` residues of an order left out. */
static double true_margin(const qmdt_linear *fixture, const uint32_t *order, size_t n_left_out) {
	unsigned char bytes[LINEAR_N_FRAMES][LINEAR_N_PIXELS], background_bytes[LINEAR_N_PIXELS];
	int image[LINEAR_N_PIXELS], background[LINEAR_N_PIXELS];
	double sum = 0;
	qmdt_ok(qmd_pixels_run_dataset(fixture->pixels, fixture->dataset, fixture->frames, LINEAR_N_FRAMES, bytes));
	qmdt_ok(qmd_pixels_background(fixture->pixels, background_bytes));
	qmdt_linear_read_pixels(fixture, background_bytes, background);
	for (int f = 0; f < LINEAR_N_FRAMES; f++) {
		qmdt_linear_read_pixels(fixture, bytes[f], image);
		for (size_t i = 0; i < n_left_out; i++)
			for (uint32_t p = 0; p < LINEAR_ATOMS_A_RESIDUE * 3; p++) {
				const uint32_t at = order[i] * LINEAR_ATOMS_A_RESIDUE * 3 + p;
				image[at] = background[at];
			}
		sum += qmdt_linear_margin(fixture, image, 1.0 / 127, f / LINEAR_FRAMES_A_STATE);
	}
	return sum / LINEAR_N_FRAMES;
}

static void check_order(const qmdt_linear *fixture, const uint32_t *order) {
	double margins[LINEAR_N_RESIDUES + 1], again[LINEAR_N_RESIDUES + 1];
	qmdt_ok(qmd_explain_deletion(fixture->engine, fixture->dataset, fixture->frames, LINEAR_N_FRAMES, order,
								 LINEAR_N_RESIDUES, NULL, margins));
	for (size_t i = 0; i <= LINEAR_N_RESIDUES; i++)
		ck_assert_double_eq_tol(margins[i], true_margin(fixture, order, i), 1e-5);
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.n_threads = 3;
	options.method = QMD_EXPLAIN_SHAP; /* says nothing here */
	qmdt_ok(qmd_explain_deletion(fixture->engine, fixture->dataset, fixture->frames, LINEAR_N_FRAMES, order,
								 LINEAR_N_RESIDUES, &options, again));
	ck_assert_mem_eq(margins, again, sizeof margins);
	qmdt_ok(qmd_explain_deletion(fixture->engine, fixture->dataset, fixture->frames, LINEAR_N_FRAMES, order, 4, NULL,
								 again));
	const size_t left_out[] = {0, 2, 4, 6, 9};
	for (size_t i = 0; i <= 4; i++)
		ck_assert_double_eq(again[i], margins[left_out[i]]);
}

START_TEST(margins_fall_as_residues_are_left_out) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	check_order(&fixture, (const uint32_t[]){0, 1, 2, 3, 4, 5, 6, 7, 8});
	check_order(&fixture, (const uint32_t[]){5, 3, 8, 1, 0, 7, 2, 6, 4});
	qmdt_linear_teardown(&fixture);
}
END_TEST

/* No margins are written either. */
static void expect_refused(const qmdt_linear *fixture, size_t n_frames, const uint32_t *order, size_t n_steps,
						   const char *part) {
	double margins[LINEAR_N_RESIDUES + 1] = {77};
	qmdt_fails(qmd_explain_deletion(fixture->engine, fixture->dataset, fixture->frames, n_frames, order, n_steps, NULL,
									margins),
			   QMD_ERROR_ARGUMENT, part);
	ck_assert_double_eq(margins[0], 77);
}

START_TEST(what_is_no_order_is_refused) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	const uint32_t twice[] = {0, 1, 2, 3, 4, 5, 6, 7, 3}, beyond[] = {0, 1, 2, 9, 4, 5, 6, 7, 8};
	const uint32_t good[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
	expect_refused(&fixture, 1, twice, LINEAR_N_RESIDUES, "order[8] is 3, which is there twice");
	expect_refused(&fixture, 1, beyond, LINEAR_N_RESIDUES, "order[3] is 9, which is no residue");
	expect_refused(&fixture, 1, NULL, LINEAR_N_RESIDUES, "order");
	expect_refused(&fixture, 0, good, LINEAR_N_RESIDUES, "no frames");
	expect_refused(&fixture, 1, good, 10, "n_steps is 10, expected 1 to 9");
	expect_refused(&fixture, 1, good, 0, "n_steps is 0");
	qmdt_linear_teardown(&fixture);
}
END_TEST

/* ---- Cancelled ---- */

static int cancel_at(void *user, const qmd_progress *progress) {
	return progress->done >= *(const size_t *)user;
}

START_TEST(a_cancelled_job_keeps_the_frames_that_are_done) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	size_t at = 5;
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.progress = cancel_at;
	options.user = &at;
	qmd_explanation *partial, *whole;
	ck_assert_int_eq(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, &options, &partial),
					 QMD_ERROR_CANCELLED);
	const size_t n = qmd_explanation_n_frames(partial);
	ck_assert_uint_ge(n, at);
	ck_assert_uint_lt(n, LINEAR_N_FRAMES);
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, n, NULL, &whole));
	qmd_residue_score left[LINEAR_N_RESIDUES], right[LINEAR_N_RESIDUES];
	qmdt_linear_read_scores(partial, left);
	qmdt_linear_read_scores(whole, right);
	for (size_t r = 0; r < LINEAR_N_RESIDUES; r++) {
		ck_assert_double_eq(left[r].score, right[r].score);
		ck_assert_double_eq(left[r].standard_error, right[r].standard_error);
		ck_assert_uint_eq(left[r].rank, right[r].rank);
	}
	qmd_explanation_free(partial);
	qmd_explanation_free(whole);
	at = 0; /* at once: there is nothing to keep */
	ck_assert_int_eq(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, &options, &partial),
					 QMD_ERROR_CANCELLED);
	ck_assert_ptr_null(partial);
	const uint32_t order[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
	double margins[LINEAR_N_RESIDUES + 1] = {77};
	at = 5; /* half a curve is none */
	ck_assert_int_eq(qmd_explain_deletion(fixture.engine, fixture.dataset, fixture.frames, LINEAR_N_FRAMES, order,
										  LINEAR_N_RESIDUES, &options, margins),
					 QMD_ERROR_CANCELLED);
	ck_assert_double_eq(margins[0], 77);
	qmdt_linear_teardown(&fixture);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("explain_deletion");
	TCase *curves = tcase_create("curves");
	tcase_add_test(curves, margins_fall_as_residues_are_left_out);
	tcase_add_test(curves, what_is_no_order_is_refused);
	tcase_add_test(curves, a_cancelled_job_keeps_the_frames_that_are_done);
	suite_add_tcase(suite, curves);
	return qmdt_run(suite);
}
