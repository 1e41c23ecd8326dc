/* LIME by what defines its weights, and scores of residues made of them; test_lime.py has the package of its authors.
 */
#include "linear_fixture.h"
#include "support.h"

#include <math.h>

#include "base/random.h"
#include "explain/lime.h"

#define N 70
#define N_SAMPLES 400
#define N_WORDS 2

typedef struct lime_fixture {
	uint64_t masks[N_SAMPLES * N_WORDS];
	double values[N_SAMPLES], weights[N];
	qmdi_lime_fit fit;
} lime_fixture;

static void draw(lime_fixture *f) {
	ck_assert_uint_eq(qmdi_lime_n_words(N), N_WORDS);
	qmdi_lime_draw(3, 9, N_SAMPLES, N, f->masks);
}

static double shows(const lime_fixture *f, size_t sample, size_t segment) {
	return qmdi_lime_shows(f->masks + sample * N_WORDS, segment);
}

static void solve(lime_fixture *f) {
	qmdt_ok(qmdi_lime_solve(f->masks, f->values, N_SAMPLES, N, f->weights, &f->fit));
}

/* The cosine between a mask and that of the whole picture, as the quotient of a product and two lengths. */
static double kernel(const lime_fixture *f, size_t sample) {
	double product = 0;
	for (size_t k = 0; k < N; k++)
		product += shows(f, sample, k);
	const double distance = product > 0 ? 1 - product / (sqrt(product) * sqrt((double)N)) : 1;
	return exp(-0.5 * distance * distance / 0.0625);
}

static double predict(const lime_fixture *f, size_t sample) {
	double sum = f->fit.intercept;
	for (size_t k = 0; k < N; k++)
		sum += f->weights[k] * shows(f, sample, k);
	return sum;
}

/* What makes it the minimum of sum w (y - a - b x)^2 + b^2: no gradient, in a or in any b. */
START_TEST(weights_are_the_ridge_regression) {
	lime_fixture f;
	draw(&f);
	for (size_t i = 0; i < N_SAMPLES; i++)
		f.values[i] = sin((double)i) + shows(&f, i, 3) - 0.5 * shows(&f, i, 66);
	solve(&f);
	double of_intercept = 0, of_weights[N] = {0}, residual = 0, total = 0, mean = 0, weight = 0;
	for (size_t i = 0; i < N_SAMPLES; i++) {
		mean += kernel(&f, i) * f.values[i];
		weight += kernel(&f, i);
	}
	mean /= weight;
	for (size_t i = 0; i < N_SAMPLES; i++) {
		const double error = f.values[i] - predict(&f, i);
		of_intercept += kernel(&f, i) * error;
		residual += kernel(&f, i) * error * error;
		total += kernel(&f, i) * (f.values[i] - mean) * (f.values[i] - mean);
		for (size_t k = 0; k < N; k++)
			of_weights[k] += kernel(&f, i) * error * shows(&f, i, k);
	}
	ck_assert_double_eq_tol(of_intercept, 0, 1e-9);
	for (size_t k = 0; k < N; k++)
		ck_assert_double_eq_tol(of_weights[k], f.weights[k], 1e-9);
	ck_assert_double_eq_tol(f.fit.r2, 1 - residual / total, 1e-12);
	ck_assert_double_gt(f.weights[3], 0.5);
	ck_assert_double_lt(f.weights[66], -0.2);
}
END_TEST

/* A saturated network gives one number for all pictures. Weights that are rounding alone would have a sign. */
START_TEST(values_that_do_not_vary_have_no_weights) {
	lime_fixture f;
	draw(&f);
	for (size_t i = 0; i < N_SAMPLES; i++)
		f.values[i] = 0.1;
	solve(&f);
	for (size_t k = 0; k < N; k++)
		ck_assert(f.weights[k] == 0.0);
	ck_assert(f.fit.intercept == 0.1);
	ck_assert(isnan(f.fit.r2));
}
END_TEST

START_TEST(masks_depend_on_seed_and_stream_alone) {
	uint64_t few[10 * N_WORDS];
	lime_fixture f;
	draw(&f);
	qmdi_lime_draw(3, 9, 10, N, few);
	ck_assert_mem_eq(few, f.masks, sizeof few);
	qmdi_lime_draw(3, 8, 10, N, few);
	ck_assert_mem_ne(few + N_WORDS, f.masks + N_WORDS, sizeof few - N_WORDS * sizeof *few);
	for (size_t k = 0; k < N; k++)
		ck_assert(shows(&f, 0, k) == 1);
	for (size_t i = 0; i < N_SAMPLES; i++)
		ck_assert_uint_eq(f.masks[i * N_WORDS + 1] >> (N - 64), 0); /* no bit beyond the last segment */
}
END_TEST

/* ---- Residues ---- */

static void explain(const qmdt_linear *fixture, uint32_t n_threads, uint64_t seed, qmd_residue_score *scores) {
	qmdt_linear_sample(fixture, QMD_EXPLAIN_SLIC_LIME, 150, n_threads, seed, scores);
}

START_TEST(scores_are_shares_that_depend_on_the_seed_alone) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_ICNNMD);
	qmd_residue_score one[LINEAR_N_RESIDUES], many[LINEAR_N_RESIDUES], other[LINEAR_N_RESIDUES];
	explain(&fixture, 1, 1, one);
	explain(&fixture, 3, 1, many);
	explain(&fixture, 1, 2, other);
	int n_differ = 0;
	for (int r = 0; r < LINEAR_N_RESIDUES; r++) {
		ck_assert(one[r].score == many[r].score);
		ck_assert(one[r].score >= 0 && one[r].score <= 1);
		n_differ += one[r].score != other[r].score;
	}
	ck_assert_int_gt(n_differ, 0);
	qmdt_linear_teardown(&fixture);
}
END_TEST

START_TEST(as_published_leaves_the_last_residue_without_a_score) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_ICNNMD);
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.method = QMD_EXPLAIN_SLIC_LIME;
	options.as_published = 1;
	qmd_explanation *explanation;
	qmdt_ok(qmd_explain_model(fixture.model, fixture.dataset, fixture.frames, 2, &options, &explanation));
	qmd_residue_score scores[LINEAR_N_RESIDUES];
	qmdt_linear_read_scores(explanation, scores);
	for (int r = 0; r < LINEAR_N_RESIDUES; r++)
		ck_assert_int_eq(isnan(scores[r].score), r == LINEAR_N_RESIDUES - 1);
	ck_assert_uint_eq(scores[LINEAR_N_RESIDUES - 1].rank, LINEAR_N_RESIDUES);
	qmd_explanation_free(explanation);
	qmdt_linear_teardown(&fixture);
}
END_TEST

START_TEST(wrong_options_are_refused) {
	qmdt_linear fixture;
	qmdt_linear_setup(&fixture, QMD_PIXELS_ICNNMD);
	qmd_explanation *explanation;
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.method = QMD_EXPLAIN_SLIC_LIME;
	options.n_samples = 1;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "n_samples is 1, LIME takes 2 to 16777216");
	options.n_samples = 0;
	options.as_published = 1;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "give a model in FP32");
	options.method = QMD_EXPLAIN_SHAP;
	qmdt_fails(qmd_explain_model(fixture.model, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "as_published is of SLIC-LIME alone");
	qmdt_linear_teardown(&fixture);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("explain_lime");
	TCase *lime = tcase_create("lime");
	tcase_add_test(lime, weights_are_the_ridge_regression);
	tcase_add_test(lime, values_that_do_not_vary_have_no_weights);
	tcase_add_test(lime, masks_depend_on_seed_and_stream_alone);
	suite_add_tcase(suite, lime);
	TCase *residues = tcase_create("residues");
	tcase_add_test(residues, scores_are_shares_that_depend_on_the_seed_alone);
	tcase_add_test(residues, as_published_leaves_the_last_residue_without_a_score);
	tcase_add_test(residues, wrong_options_are_refused);
	suite_add_tcase(suite, residues);
	return qmdt_run(suite);
}
