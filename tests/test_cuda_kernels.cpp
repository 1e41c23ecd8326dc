/* Every row of the table of CUDA kernels, on the host back end, against the scalar reference of the CPU. */
#include <check.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/cuda_kernel.h"
#include "cuda/host/host_launch.h"
#include "kernel_fixture.h"

extern "C" int qmdt_run(Suite *suite);

namespace {

/* How a row is run: on which device, in which order. */
struct machine {
	int arch;
	uint32_t n_multiprocessors;
	uint64_t seed;
};

struct aligned_memory {
	void *bytes;

	explicit aligned_memory(size_t size) : bytes(aligned_alloc(256, (size + 256) / 256 * 256)) {
		ck_assert_ptr_nonnull(bytes);
		memset(bytes, 0, (size + 256) / 256 * 256);
	}
	~aligned_memory() {
		free(bytes);
	}
	aligned_memory(const aligned_memory &) = delete;
	aligned_memory &operator=(const aligned_memory &) = delete;
};

std::string describe(const qmdt_kernel_case *test, const machine &on) {
	const qmdi_kernel_shape *s = &test->shape;
	char text[384];
	snprintf(text, sizeof text,
			 "operand %d, in %ux%ux%u, out %ux%ux%u, kernel %ux%u, stride %ux%u, pad %u %u %u %u, pool %u, low %d, "
			 "float %d, %zu images, fill %d, sm_%d with %u multiprocessors, seed %llu",
			 static_cast<int>(s->operand), s->in_h, s->in_w, s->in_c, s->out_h, s->out_w, s->out_c, s->kernel_h,
			 s->kernel_w, s->stride_h, s->stride_w, s->pad_top, s->pad_left, s->pad_bottom, s->pad_right, s->pool,
			 s->low, s->float_output, test->n_images, static_cast<int>(test->fill), on.arch, on.n_multiprocessors,
			 static_cast<unsigned long long>(on.seed));
	return text;
}

/* Run a row once; the output's memory holds the pattern before. */
void run_row(qmdt_kernel_case *test, const qmdi_cuda_kernel *row, const machine &on, qmdi_host_counters *counters) {
	const qmdi_kernel_weights weights = {test->weights, test->bias, test->multipliers};
	const aligned_memory packed(row->packed_size(&test->shape));
	const aligned_memory scratch(row->scratch_size(&test->shape, test->n_images, on.n_multiprocessors));
	row->pack(&test->shape, &weights, packed.bytes);
	memset(test->output.bytes, QMDT_GUARD, test->output.size + QMDI_SLACK);
	qmdi_cuda_call call = {};
	call.call.shape = &test->shape;
	call.call.packed = packed.bytes;
	call.call.n_images = test->n_images;
	call.call.inputs[0] = test->inputs[0].view;
	call.call.inputs[1] = test->inputs[1].view;
	call.call.output = test->output.view;
	call.scratch = scratch.bytes;
	call.n_multiprocessors = on.n_multiprocessors;
	qmdi_cuda_launch launch;
	ck_assert_int_eq(row->launch(&call, &launch), 0);
	if (qmdi_host_launch(&launch, on.seed, on.arch, counters) != 0) {
		ck_abort_msg("%s: %s", qmdi_host_error(), describe(test, on).c_str());
	}
}

/* The reference's output, guards included. */
std::vector<uint8_t> expected_output(qmdt_kernel_case *test) {
	const qmdi_kernel *reference = qmdi_kernel_choose(&test->shape, QMDI_ISA_REF);
	ck_assert_ptr_nonnull(reference);
	qmdt_case_run(test, reference);
	return std::vector<uint8_t>(test->output.bytes, test->output.bytes + test->output.size + QMDI_SLACK);
}

/* Returns outputs compared. */
size_t check_row(qmdt_kernel_case *test, const std::vector<uint8_t> &expected, const qmdi_cuda_kernel *row,
				 const machine &on) {
	run_row(test, row, on, nullptr);
	if (memcmp(test->output.bytes, expected.data(), expected.size()) != 0) {
		size_t i = 0;
		while (test->output.bytes[i] == expected[i]) {
			++i;
		}
		ck_abort_msg("%s differs from the reference at byte %zu: %s", row->name, i, describe(test, on).c_str());
	}
	return qmdt_case_n_outputs(test);
}

/* All rows that support a case: their order of blocks and warps, and the number of multiprocessors, by chance. */
size_t check_rows(const qmdi_kernel_shape *shape, qmdt_fill fill, size_t n_images) {
	size_t n_rows, n_compared = 0;
	const qmdi_cuda_kernel *const *rows = qmdi_cuda_kernels(&n_rows);
	for (size_t i = 0; i < n_rows; ++i) {
		const machine on = {qmdt_random_below(3) == 0 ? 75 : 80, 1 + qmdt_random_below(2) * qmdt_random_below(200),
							qmdt_random_below(6)};
		if (qmdi_cuda_kernel_supports(rows[i], shape, on.arch)) {
			qmdt_kernel_case test;
			qmdt_case_make_aligned(&test, shape, fill, n_images, rows[i]->alignment);
			n_compared += check_row(&test, expected_output(&test), rows[i], on);
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
