/* Every row of the table of CUDA kernels, on the host back end, against the scalar reference of the CPU. */
#include "cuda_fixture.h"

namespace {

/* Run a row and compare; returns outputs compared. */
size_t check_row(qmdt_kernel_case *test, const qmdi_cuda_kernel *row, const qmdt_machine &on) {
	const std::vector<uint8_t> expected = qmdt_expected_output(test);
	qmdt_cuda_run run(test, row, on.n_multiprocessors);
	if (run.run(on.seed, on.arch, nullptr) != 0) {
		ck_abort_msg("%s: %s", qmdi_host_error(), qmdt_describe(test, on).c_str());
	}
	if (!qmdt_is_equal(test, expected)) {
		ck_abort_msg("%s differs from the reference: %s", row->name, qmdt_describe(test, on).c_str());
	}
	return qmdt_case_n_outputs(test);
}

/* All rows that support a case: their order of blocks and warps, and the number of multiprocessors, by chance. */
size_t check_rows(const qmdi_kernel_shape *shape, qmdt_fill fill, size_t n_images) {
	size_t n_rows, n_compared = 0;
	const qmdi_cuda_kernel *const *rows = qmdi_cuda_kernels(&n_rows);
	for (size_t i = 0; i < n_rows; ++i) {
		const qmdt_machine on = {qmdt_random_below(3) == 0 ? 75 : 80, 1 + qmdt_random_below(2) * qmdt_random_below(200),
								 qmdt_random_below(6)};
		if (qmdi_cuda_kernel_supports(rows[i], shape, on.arch)) {
			qmdt_kernel_case test;
			qmdt_case_make_aligned(&test, shape, fill, n_images, rows[i]->alignment);
			n_compared += check_row(&test, rows[i], on);
			qmdt_case_free(&test);
		}
	}
	return n_compared;
}

/* Smaller than the CPU's cases, since a warp is 32 fibers; channels in sixteens for half of them. */
qmdi_kernel_shape random_shape(qmdi_op op) {
	qmdi_kernel_shape shape;
	do {
		shape = qmdt_random_shape(op);
		if (qmdt_random_below(2) == 0) {
			shape.in_c = (shape.in_c + 15) / 16 * 16;
			shape.out_c = op == QMDI_OP_CONV2D || op == QMDI_OP_DENSE ? shape.out_c : shape.in_c;
		}
	} while ((uint64_t)shape.out_h * shape.out_w * shape.out_c * shape.kernel_h * shape.kernel_w * shape.in_c > 400000);
	return shape;
}

#ifdef __SANITIZE_ADDRESS__
#define N_CASES 60
#else
#define N_CASES 400
#endif

START_TEST(every_row_equals_the_reference) {
	const qmdi_op ops[] = {QMDI_OP_CONV2D, QMDI_OP_DENSE, QMDI_OP_MAXPOOL, QMDI_OP_AVGPOOL, QMDI_OP_ADD};
	qmdt_random_seed(23);
	size_t n_compared = 0;
	for (int i = 0; i < N_CASES; ++i) {
		const qmdi_kernel_shape shape = random_shape(ops[i % 3 == 2 ? 1 + i / 3 % 4 : 0]);
		n_compared += check_rows(&shape, static_cast<qmdt_fill>(qmdt_random_below(QMDT_N_FILLS)),
								 1 + qmdt_random_below(20) % 9 % 7);
	}
	printf("%zu outputs compared\n", n_compared);
}
END_TEST

} // namespace

int main() {
	Suite *suite = suite_create("cuda_kernels");
	TCase *rows = tcase_create("rows");
	tcase_set_timeout(rows, 300);
	tcase_add_test(rows, every_row_equals_the_reference);
	suite_add_tcase(suite, rows);
	return qmdt_run(suite);
}
