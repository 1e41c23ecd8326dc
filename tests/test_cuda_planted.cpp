/* Tests of the tests: kernels with one bug planted must be found wrong by what the suite of the kernels does, and the
 * same kernels without it right. */
#include "cuda_fixture.h"

namespace {

struct planted_row {
	const char *bug;
	const char *kernel;
	bool is_rare; /* shows only if two blocks come by in one order of many */
	const qmdi_cuda_kernel *row;
};

#define PLANTED(kernel, bug, is_rare) extern "C" const qmdi_cuda_kernel qmdi_cuda_##kernel##_##bug;
#include "planted_rows.inc"
#undef PLANTED

#define PLANTED(kernel, bug, is_rare) {#bug, #kernel, is_rare, &qmdi_cuda_##kernel##_##bug},
const planted_row planted_rows[] = {
#include "planted_rows.inc"
};

#define N_SEEDS 5
#define N_SEEDS_RARE 150

/* A shape that takes the kernel through all of its parts, by several blocks, warps, chunks of K and splits. */
qmdi_kernel_shape shape_for(const qmdi_cuda_kernel *row, uint32_t dense_in_c) {
	const bool has_few_channels = strstr(row->name, "few") != nullptr, is_head = strstr(row->name, "head") != nullptr;
	if (row->op == QMDI_OP_CONV2D) {
		const uint32_t in_c = has_few_channels ? 3 : 96;
		return {QMDI_OP_CONV2D, QMDI_S8, 7, 9, in_c, 3, 4, 40, 3, 3, 1, 1, 1, 1, 1, 1, 2, -128, 0, 0, 0, 0};
	}
	const uint32_t out_c = is_head ? 7 : 100;
	return {QMDI_OP_DENSE, QMDI_S8, 1, 1, dense_in_c, 1, 1, out_c, 1, 1, 1, 1, 0, 0, 0, 0, 1, -128, is_head, 0, 0, 0};
}

/* A row with a shape of its own, and what it should give. */
struct trial {
	qmdt_kernel_case test;
	const qmdi_cuda_kernel *row;
	uint32_t n_multiprocessors; /* how a call is cut up */
	std::vector<uint8_t> expected;

	trial(const qmdi_cuda_kernel *row_, uint32_t dense_in_c, size_t n_images, uint32_t n_multiprocessors_)
		: test(), row(row_), n_multiprocessors(n_multiprocessors_) {
		const qmdi_kernel_shape shape = shape_for(row, dense_in_c);
		qmdt_random_seed(3);
		qmdt_case_make_aligned(&test, &shape, QMDT_FILL_RANDOM, n_images, row->alignment);
		expected = qmdt_expected_output(&test);
	}
	~trial() {
		qmdt_case_free(&test);
	}
	trial(const trial &) = delete;
	trial &operator=(const trial &) = delete;

	bool is_wrong(uint64_t seed) {
		qmdt_cuda_run run(&test, row, n_multiprocessors);
		return run.run(seed, 80, nullptr) != 0 || !qmdt_is_equal(&test, expected) ||
			   !qmdt_has_probabilities(&test, run);
	}

	int count_wrong(int n_seeds) {
		int n_wrong = 0;
		for (int seed = 1; seed <= n_seeds; ++seed) {
			n_wrong += is_wrong(static_cast<uint64_t>(seed));
		}
		return n_wrong;
	}
};

const qmdi_cuda_kernel *find_row(const char *name) {
	size_t n_rows;
	const qmdi_cuda_kernel *const *rows = qmdi_cuda_kernels(&n_rows);
	for (size_t i = 0; i < n_rows; ++i) {
		if (strcmp(rows[i]->name, name) == 0) {
			return rows[i];
		}
	}
	ck_abort_msg("no row is called %s", name);
}

/* By all seeds but one, in both variants. */
START_TEST(planted_bugs_are_found) {
	const planted_row &planted = planted_rows[_i];
	ck_assert_str_eq(planted.row->name, planted.kernel);
	for (int is_large = 0; is_large < 2 && !planted.is_rare; ++is_large) {
		/* What chooses the variant of a kernel: images for a dense layer, blocks a multiprocessor for a convolution. */
		const size_t n_images = !is_large ? 1 : planted.row->op == QMDI_OP_DENSE ? 17 : 2;
		const uint32_t n_multiprocessors =
			static_cast<uint32_t>(planted.row->op == QMDI_OP_DENSE ? 2 + 2 * is_large : 2 - is_large);
		trial right(find_row(planted.kernel), 1280, n_images, n_multiprocessors);
		ck_assert_msg(right.count_wrong(N_SEEDS) == 0, "%s is wrong without a bug", planted.kernel);
		trial wrong(planted.row, 1280, n_images, n_multiprocessors);
		const int n_wrong = wrong.count_wrong(N_SEEDS);
		ck_assert_msg(n_wrong >= N_SEEDS - 1, "%s, %s, %zu images: found by %d of %d seeds", planted.kernel,
					  planted.bug, n_images, n_wrong, N_SEEDS);
	}
}
END_TEST

/* By one of many seeds. */
START_TEST(rare_planted_bugs_are_found) {
	const planted_row &planted = planted_rows[_i];
	if (planted.is_rare) {
		trial right(find_row(planted.kernel), 512, 17, 8), wrong(planted.row, 512, 17, 8);
		int seed = 1;
		while (!wrong.is_wrong(static_cast<uint64_t>(seed))) {
			ck_assert_msg(!right.is_wrong(static_cast<uint64_t>(seed)), "%s is wrong without a bug", planted.kernel);
			ck_assert_msg(++seed <= N_SEEDS_RARE, "%s, %s: not found by %d seeds", planted.kernel, planted.bug,
						  N_SEEDS_RARE);
		}
	}
}
END_TEST

} // namespace

int main() {
	Suite *suite = suite_create("cuda_planted");
	TCase *planted = tcase_create("planted");
	tcase_set_timeout(planted, 300);
	const int n = static_cast<int>(sizeof planted_rows / sizeof planted_rows[0]);
	tcase_add_loop_test(planted, planted_bugs_are_found, 0, n);
	tcase_add_loop_test(planted, rare_planted_bugs_are_found, 0, n);
	suite_add_tcase(suite, planted);
	return qmdt_run(suite);
}
