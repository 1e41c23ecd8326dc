/* Coalitions of KernelSHAP and the least squares over them, by the properties that define both. */
#include "support.h"

#include <math.h>

#include "base/error.h"
#include "base/random.h"
#include "explain/shap.h"

#define N 12
#define N_PAIRS 150
#define N_COALITIONS (2 + 2 * N_PAIRS)
#define N_WORDS ((N_PAIRS + 63) / 64)

typedef struct shap_fixture {
	qmdi_shap shap;
	uint64_t members[N * N_WORDS];
	double values[N_COALITIONS], matrix[N * N], ones[N], spare[N], scores[N], errors[N], r2;
} shap_fixture;

static void setup(shap_fixture *f) {
	qmdt_ok(qmdi_shap_create(&f->shap, N, N_PAIRS, 7));
	ck_assert_uint_eq(f->shap.n_words, N_WORDS);
	ck_assert_uint_eq(qmdi_shap_n_coalitions(N_PAIRS), N_COALITIONS);
	qmdi_shap_draw(&f->shap, 3, 0, N_PAIRS, f->members);
}

static qmd_status solve(shap_fixture *f) {
	qmdi_shap_work work = {f->matrix, f->ones, f->spare};
	QMDI_TRY(qmdi_shap_solve(&f->shap, f->members, N_PAIRS, f->values, &work, f->scores));
	qmdi_shap_assess(&f->shap, f->members, N_PAIRS, f->values, &work, f->scores, &f->r2, f->errors);
	return QMD_OK;
}

static size_t count_members(const shap_fixture *f, size_t coalition) {
	size_t n = 0;
	for (size_t r = 0; r < N; r++)
		n += (size_t)qmdi_shap_has(&f->shap, f->members, coalition, r);
	return n;
}

START_TEST(pairs_are_complements) {
	shap_fixture f;
	setup(&f);
	ck_assert_uint_eq(count_members(&f, 0), N);
	ck_assert_uint_eq(count_members(&f, 1), 0);
	for (size_t c = 2; c < N_COALITIONS; c += 2) {
		const size_t n = count_members(&f, c);
		ck_assert(n >= 1 && n < N);
		for (size_t r = 0; r < N; r++)
			ck_assert_int_ne(qmdi_shap_has(&f.shap, f.members, c, r), qmdi_shap_has(&f.shap, f.members, c + 1, r));
	}
	qmdi_shap_release(&f.shap);
}
END_TEST

START_TEST(coalitions_depend_on_seed_and_stream_alone) {
	shap_fixture f;
	uint64_t again[N * N_WORDS];
	setup(&f);
	qmdi_shap_draw(&f.shap, 3, 0, N_PAIRS, again);
	ck_assert_mem_eq(again, f.members, sizeof again);
	qmdi_shap_draw(&f.shap, 4, 0, N_PAIRS, again);
	ck_assert_mem_ne(again, f.members, sizeof again);
	qmdi_shap_draw(&f.shap, 3, 0, 70, again); /* in two rounds */
	qmdi_shap_draw(&f.shap, 3, 70, N_PAIRS, again);
	ck_assert_mem_eq(again, f.members, sizeof again);
	f.shap.seed = 8;
	qmdi_shap_draw(&f.shap, 3, 0, N_PAIRS, again);
	ck_assert_mem_ne(again, f.members, sizeof again);
	qmdi_shap_release(&f.shap);
}
END_TEST

/* Pearson's chi-squared over many streams: sizes as the kernel weighs them, residues alike. The limit for 10 degrees of
 * freedom is passed once in 10,000 times, and the seed is fixed. */
START_TEST(sizes_and_members_have_the_kernels_shares) {
	shap_fixture f;
	setup(&f);
	double of_size[N] = {0}, of_residue[N] = {0}, n = 0, n_members = 0;
	for (uint64_t stream = 0; stream < 60; stream++) {
		qmdi_shap_draw(&f.shap, stream, 0, N_PAIRS, f.members);
		for (size_t c = 2; c < N_COALITIONS; c += 2, n++) {
			of_size[count_members(&f, c)]++;
			for (size_t r = 0; r < N; r++)
				of_residue[r] += qmdi_shap_has(&f.shap, f.members, c, r);
		}
	}
	double sum = 0, chi_squared = 0;
	for (int size = 1; size < N; size++)
		sum += 1.0 / (size * (N - size));
	for (int size = 1; size < N; size++) {
		const double expected = n / (size * (N - size)) / sum;
		chi_squared += (of_size[size] - expected) * (of_size[size] - expected) / expected;
		n_members += size * of_size[size];
	}
	ck_assert_double_lt(chi_squared, 35.6);
	for (size_t r = 0; r < N; r++)
		ck_assert_double_eq_tol(of_residue[r], n_members / N, 5 * sqrt(n / 4));
	qmdi_shap_release(&f.shap);
}
END_TEST

/* Where every residue adds its own amount, whoever else is there, these amounts are the scores. */
START_TEST(additive_values_are_found_exactly) {
	shap_fixture f;
	setup(&f);
	double amounts[N];
	for (size_t r = 0; r < N; r++)
		amounts[r] = r == 4 ? 0.0 : (double)r - 5.25;
	for (size_t c = 0; c < N_COALITIONS; c++) {
		f.values[c] = 2.5;
		for (size_t r = 0; r < N; r++)
			f.values[c] += amounts[r] * qmdi_shap_has(&f.shap, f.members, c, r);
	}
	qmdt_ok(solve(&f));
	for (size_t r = 0; r < N; r++)
		ck_assert_double_eq_tol(f.scores[r], amounts[r], 1e-11);
	ck_assert_double_eq_tol(f.r2, 1, 1e-12);
	for (size_t r = 0; r < N; r++)
		ck_assert_double_eq_tol(f.errors[r], 0, 1e-11);
	qmdi_shap_release(&f.shap);
}
END_TEST

/* Values that are amounts and noise: over many draws, scores scatter as much as their errors say. */
START_TEST(errors_are_the_scatter_of_scores) {
	const int n_draws = 400;
	shap_fixture f;
	setup(&f);
	double squares[N] = {0}, variances[N] = {0}, r2 = 0;
	for (int d = 0; d < n_draws; d++) {
		qmdi_shap_draw(&f.shap, (uint64_t)d, 0, N_PAIRS, f.members);
		for (size_t c = 0; c < N_COALITIONS; c++) {
			f.values[c] = c < 2 ? 0 : (double)qmdi_random_f32(5, (uint64_t)d, c) - 0.5;
			for (size_t r = 0; r < N; r++)
				f.values[c] += (r == 0) * 0.25 * qmdi_shap_has(&f.shap, f.members, c, r);
		}
		qmdt_ok(solve(&f));
		for (size_t r = 0; r < N; r++) {
			const double error = f.scores[r] - (r == 0) * 0.25;
			squares[r] += error * error / n_draws;
			variances[r] += f.errors[r] * f.errors[r] / n_draws;
		}
		r2 += f.r2 / n_draws;
	}
	for (size_t r = 0; r < N; r++)
		ck_assert_double_eq_tol(squares[r] / variances[r], 1, 0.3); /* 4 standard deviations of a variance of 400 */
	ck_assert_double_gt(r2, 0.05); /* of the variance, 1 / 64 is the amount's and 1 / 12 the noise's: 0.16 */
	ck_assert_double_lt(r2, 0.25);
	qmdi_shap_release(&f.shap);
}
END_TEST

/* What makes it the least squares with a fixed sum: the sum, and a gradient that is the same for every score. */
START_TEST(scores_are_the_least_squares) {
	shap_fixture f;
	setup(&f);
	for (size_t c = 0; c < N_COALITIONS; c++)
		f.values[c] = 4 * (double)qmdi_random_f32(1, 2, c) - 1;
	qmdt_ok(solve(&f));
	double gradient[N] = {0}, sum = 0;
	for (size_t c = 2; c < N_COALITIONS; c++) {
		double residual = f.values[c] - f.values[1];
		for (size_t r = 0; r < N; r++)
			residual -= f.scores[r] * qmdi_shap_has(&f.shap, f.members, c, r);
		for (size_t r = 0; r < N; r++)
			gradient[r] += residual * qmdi_shap_has(&f.shap, f.members, c, r);
	}
	for (size_t r = 0; r < N; r++) {
		sum += f.scores[r];
		ck_assert_double_eq_tol(gradient[r], gradient[0], 1e-10);
	}
	ck_assert_double_eq_tol(sum, f.values[0] - f.values[1], 1e-12);
	qmdi_shap_release(&f.shap);
}
END_TEST

START_TEST(too_few_coalitions_are_refused) {
	shap_fixture f;
	setup(&f);
	memset(f.values, 0, sizeof f.values);
	memset(f.members + 5 * N_WORDS, 0, N_WORDS * sizeof *f.members);
	memset(f.members + 9 * N_WORDS, 0, N_WORDS * sizeof *f.members); /* residues 5 and 9 are always together */
	qmdt_fails(solve(&f), QMD_ERROR_STATE, "residue 9");
	qmdi_shap_release(&f.shap);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("explain_shap");
	TCase *coalitions = tcase_create("coalitions");
	tcase_add_test(coalitions, pairs_are_complements);
	tcase_add_test(coalitions, coalitions_depend_on_seed_and_stream_alone);
	tcase_add_test(coalitions, sizes_and_members_have_the_kernels_shares);
	suite_add_tcase(suite, coalitions);
	TCase *squares = tcase_create("squares");
	tcase_add_test(squares, additive_values_are_found_exactly);
	tcase_add_test(squares, errors_are_the_scatter_of_scores);
	tcase_add_test(squares, scores_are_the_least_squares);
	tcase_add_test(squares, too_few_coalitions_are_refused);
	suite_add_tcase(suite, squares);
	return qmdt_run(suite);
}
