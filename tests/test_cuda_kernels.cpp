/* Every row of the table of CUDA kernels, on the host back end, against the scalar reference of the CPU. */
#include "cuda_fixture.h"

#include <unistd.h>

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
#define N_CASES 40
#else
#define N_CASES 240
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

/* ---- The layers of the icnnmd network on 68 x 68 pixels, one image, 132 multiprocessors (an H100's or H200's) ---- */

struct layer {
	qmdi_kernel_shape shape;
	const char *row;
	uint32_t n_blocks;
	/* Budgets of the contract: sectors that all warps ask for together, most of them from a cache. */
	uint64_t most_load_sectors, most_store_sectors;
};

/* A step of a unit's weights is 16 sectors, its bias and multipliers are 4. */
const layer layers[] = {
	{{QMDI_OP_CONV2D, QMDI_U8, 68, 68, 3, 33, 33, 32, 5, 5, 1, 1, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0},
	 "conv_few_x8s8_imma",
	 81,
	 81 * (4 * 2 * (3 * 16 + 4) + 12 * 3), /* 4 warps, 2 units, 3 steps; 12 rows of at most 63 bytes */
	 2 * 33 * 33},                         /* 16 bytes of a pixel's 32 at a time */
	{{QMDI_OP_CONV2D, QMDI_S7, 33, 33, 32, 33, 33, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0},
	 "conv_x8s8_imma",
	 85,
	 85 * (4 * (9 * 16 + 4) + 40), /* 4 units, 9 steps; 40 pixels of 32 bytes */
	 4 * 33 * 33},
	{{QMDI_OP_CONV2D, QMDI_S7, 33, 33, 64, 15, 15, 64, 3, 3, 1, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0},
	 "conv_x8s8_imma",
	 60,
	 60 * (4 * (18 * 16 + 4) + 80),
	 4 * 15 * 15},
	{{QMDI_OP_DENSE, QMDI_S7, 1, 1, 14400, 1, 1, 512, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0},
	 "dense_x8s8_imma",
	 264,
	 /* weights; inputs once for 64 channels; sums of 33 splits; bias and multipliers of the last blocks */
	 32 * 450 * 16 + 8 * 450 + 33 * 512 / 8 + 8 * 4 * (2 + 2) * 4,
	 33 * 512 / 8 + 264 + 128}, /* sums; tickets; outputs, 4 bytes a lane */
	{{QMDI_OP_DENSE, QMDI_S7, 1, 1, 512, 1, 1, 2, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0},
	 "dense_head_x8s8_dp4a",
	 1,
	 2 * (2 * 4 * 5 + 2), /* 4 accesses of 128 bytes each, which may touch 5 sectors */
	 2},
};

#define N_LAYERS static_cast<int>(sizeof layers / sizeof layers[0])

/* Bytes of the tensors, halo included, and of the weights. */
uint64_t least_bytes(const qmdi_kernel_shape &s) {
	const uint64_t padded =
		static_cast<uint64_t>(s.in_h + s.pad_top + s.pad_bottom) * (s.in_w + s.pad_left + s.pad_right);
	const uint64_t output = static_cast<uint64_t>(s.out_h) * s.out_w * s.out_c * (s.float_output ? 4 : 1);
	return padded * s.in_c + output + s.out_c * (static_cast<uint64_t>(s.kernel_h) * s.kernel_w * s.in_c + 8);
}

START_TEST(counts_of_the_network_are_within_the_budgets) {
	const layer &l = layers[_i];
	const qmdi_cuda_kernel *row = qmdi_cuda_kernel_choose(&l.shape, 90, 256);
	ck_assert_str_eq(row->name, l.row);
	qmdt_random_seed(9);
	qmdt_kernel_case test;
	qmdt_case_make_aligned(&test, &l.shape, QMDT_FILL_RANDOM, 1, row->alignment == 16 ? 32 : row->alignment);
	const std::vector<uint8_t> expected = qmdt_expected_output(&test);
	qmdt_cuda_run run(&test, row, 132);
	qmdi_host_counters counts = {};
	ck_assert_msg(run.run(0, 80, &counts) == 0, "%s", qmdi_host_error());
	ck_assert(qmdt_is_equal(&test, expected));
	ck_assert_uint_eq(run.launch.grid[0] * run.launch.grid[1], l.n_blocks);
	/* What must come from memory, and go there: at most 1.2 times the least. */
	const uint64_t sectors = counts.distinct_load_sectors + counts.distinct_store_sectors;
	ck_assert_uint_le(sectors * 32 * 10, least_bytes(l.shape) * 12);
	ck_assert_uint_le(counts.load_sectors, l.most_load_sectors);
	ck_assert_uint_le(counts.store_sectors, l.most_store_sectors);
	ck_assert_uint_eq(counts.shared_conflicts, 0);
	qmdt_case_free(&test);
}
END_TEST

/* ---- Edges: each kernel by every seed, on both kinds of tensor core ---- */

const qmdi_kernel_shape edges[] = {
	/* One pixel, one channel; a chunk's upper half missing; the last unit and word of channels not full. */
	{QMDI_OP_CONV2D, QMDI_S8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, -128, 0, 0, 0, 0},
	{QMDI_OP_CONV2D, QMDI_U8, 9, 17, 16, 7, 15, 33, 3, 3, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0},
	{QMDI_OP_CONV2D, QMDI_S8, 5, 5, 48, 5, 5, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1, -128, 0, 0, 0, 0},
	/* Strides; a pool that drops a row and a column; floats; a kernel as large as the image. */
	{QMDI_OP_CONV2D, QMDI_U8, 11, 19, 32, 5, 9, 16, 3, 3, 2, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0},
	{QMDI_OP_CONV2D, QMDI_S8, 8, 8, 3, 3, 3, 20, 2, 2, 1, 1, 0, 0, 0, 0, 2, -128, 0, 0, 0, 0},
	{QMDI_OP_CONV2D, QMDI_S7, 6, 18, 64, 6, 18, 2, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0},
	{QMDI_OP_CONV2D, QMDI_U8, 7, 7, 5, 1, 1, 3, 7, 7, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0},
	/* One input; an input that is no whole word; many splits; more images than a tile; floats. */
	{QMDI_OP_DENSE, QMDI_S8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, -128, 0, 0, 0, 0},
	{QMDI_OP_DENSE, QMDI_U8, 1, 1, 1023, 1, 1, 65, 1, 1, 1, 1, 0, 0, 0, 0, 1, -128, 0, 0, 0, 0},
	{QMDI_OP_DENSE, QMDI_S8, 1, 1, 3600, 1, 1, 40, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0},
	{QMDI_OP_DENSE, QMDI_U8, 1, 1, 272, 1, 1, 130, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0},
};

START_TEST(edges_equal_the_reference_by_every_seed) {
	const qmdi_kernel_shape &shape = edges[_i];
	size_t n_rows;
	const qmdi_cuda_kernel *const *rows = qmdi_cuda_kernels(&n_rows);
	for (size_t i = 0; i < n_rows; ++i) {
		for (size_t n_images = 1; n_images <= 18; n_images += shape.op == QMDI_OP_DENSE ? 17 : 4) {
			qmdt_kernel_case test;
			qmdt_case_make_aligned(&test, &shape, QMDT_FILL_EXTREME, n_images,
								   shape.in_c % rows[i]->alignment == 0 ? rows[i]->alignment : 1);
			for (uint64_t seed = 0; seed < 6; ++seed) {
				const qmdt_machine on = {seed % 2 == 0 ? 80 : 75, seed % 3 == 0 ? 1u : 150u, seed};
				if (qmdi_cuda_kernel_supports(rows[i], &shape, on.arch)) {
					check_row(&test, rows[i], on);
				}
			}
			qmdt_case_free(&test);
		}
	}
}
END_TEST

/* Launched again and again with the same scratch memory: tickets must have come back to zero. */
START_TEST(scratch_memory_serves_launch_after_launch) {
	size_t n_rows, n_with_scratch = 0;
	const qmdi_cuda_kernel *const *rows = qmdi_cuda_kernels(&n_rows);
	const qmdi_kernel_shape shape = {QMDI_OP_DENSE, QMDI_S8, 1, 1, 2048, 1, 1, 48, 1, 1, 1, 1, 0, 0, 0, 0, 1,
									 -128,          0,       0, 0, 0};
	for (size_t i = 0; i < n_rows; ++i) {
		if (!qmdi_cuda_kernel_supports(rows[i], &shape, 80) || rows[i]->scratch_size(&shape, 3, 50) == 0) {
			continue;
		}
		qmdt_kernel_case test;
		qmdt_case_make_aligned(&test, &shape, QMDT_FILL_RANDOM, 3, rows[i]->alignment);
		const std::vector<uint8_t> expected = qmdt_expected_output(&test);
		qmdt_cuda_run run(&test, rows[i], 50);
		ck_assert_uint_gt(run.launch.grid[1], 1);
		for (uint64_t seed = 0; seed < 5; ++seed) {
			ck_assert_int_eq(run.run(seed, 80, nullptr), 0);
			ck_assert(qmdt_is_equal(&test, expected));
		}
		++n_with_scratch;
		qmdt_case_free(&test);
	}
	ck_assert_uint_eq(n_with_scratch, 2);
}
END_TEST

START_TEST(heads_give_the_probabilities_of_the_library) {
	for (uint32_t out_c = 1; out_c <= 32; out_c += out_c < 4 ? 1 : 7) {
		const qmdi_kernel_shape shape = {
			QMDI_OP_DENSE, QMDI_S7, 1, 1, 100, 1, 1, out_c, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0};
		const qmdi_cuda_kernel *row = qmdi_cuda_kernel_choose(&shape, 61, 256);
		ck_assert_int_eq(row->fuses_softmax(&shape), 1);
		qmdt_kernel_case test;
		qmdt_case_make(&test, &shape, QMDT_FILL_RANDOM, 3);
		const std::vector<uint8_t> expected = qmdt_expected_output(&test);
		qmdt_cuda_run run(&test, row, 108);
		ck_assert_int_eq(run.run(out_c, 80, nullptr), 0);
		ck_assert(qmdt_is_equal(&test, expected));
		ck_assert_uint_eq(run.probabilities.size(), 3 * out_c);
		ck_assert(qmdt_has_probabilities(&test, run));
		qmdt_case_free(&test);
	}
}
END_TEST

/* ---- The table ---- */

START_TEST(every_row_has_its_file) {
	size_t n_rows;
	const qmdi_cuda_kernel *const *rows = qmdi_cuda_kernels(&n_rows);
	for (size_t i = 0; i < n_rows; ++i) {
		char path[512];
		snprintf(path, sizeof path, "%s/kernels/cuda/%s.cu", QMDT_SOURCE_DIR, rows[i]->name);
		ck_assert_msg(access(path, R_OK) == 0, "no file %s", path);
	}
}
END_TEST

/* Each op is served from sm_75 on, convolutions and dense layers from sm_61 on. */
START_TEST(choice_goes_by_the_device) {
	const qmdi_kernel_shape conv = layers[1].shape, few = layers[0].shape, dense = layers[3].shape;
	ck_assert_ptr_null(qmdi_cuda_kernel_choose(&conv, 60, 256));
	ck_assert_str_eq(qmdi_cuda_kernel_choose(&conv, 61, 256)->name, "conv_x8s8_dp4a");
	ck_assert_str_eq(qmdi_cuda_kernel_choose(&conv, 72, 256)->name, "conv_x8s8_dp4a");
	ck_assert_str_eq(qmdi_cuda_kernel_choose(&conv, 75, 256)->name, "conv_x8s8_imma");
	ck_assert_str_eq(qmdi_cuda_kernel_choose(&conv, 120, 256)->name, "conv_x8s8_imma");
	ck_assert_str_eq(qmdi_cuda_kernel_choose(&few, 90, 256)->name, "conv_few_x8s8_imma");
	ck_assert_str_eq(qmdi_cuda_kernel_choose(&dense, 70, 256)->name, "dense_x8s8_dp4a");
	ck_assert_str_eq(qmdi_cuda_kernel_choose(&dense, 80, 256)->name, "dense_x8s8_imma");
	ck_assert_str_eq(qmdi_cuda_kernel_choose(&dense, 80, 16)->name, "dense_x8s8_imma");
	ck_assert_str_eq(qmdi_cuda_kernel_choose(&dense, 80, 8)->name, "dense_x8s8_dp4a");
	qmdi_kernel_shape large = conv; /* a patch that no shared memory holds */
	large.in_c = 4096 + 1;
	large.kernel_h = large.kernel_w = 33;
	large.out_h = large.out_w = 3;
	ck_assert_str_eq(qmdi_cuda_kernel_choose(&large, 90, 256)->name, "conv_x8s8_dp4a");
	/* And one of 22,960 bytes more than 2 times 2^32. */
	large = {QMDI_OP_CONV2D, QMDI_S7, 4068, 6, 16, 1, 1, 1, 4068, 6, 4095, 3131, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
	ck_assert_str_eq(qmdi_cuda_kernel_choose(&large, 90, 256)->name, "conv_x8s8_dp4a");
	large.out_w = 7;
	ck_assert_ptr_null(qmdi_cuda_kernel_choose(&large, 90, 256));
}
END_TEST

START_TEST(calls_too_large_for_a_grid_are_refused) {
	static uint8_t memory[1024];
	size_t n_rows;
	const qmdi_cuda_kernel *const *rows = qmdi_cuda_kernels(&n_rows);
	for (size_t i = 0; i < n_rows; ++i) {
		for (const layer &l : layers) {
			qmdi_cuda_call call = {};
			call.call.shape = &l.shape;
			call.call.n_images = static_cast<size_t>(1) << 40;
			call.call.inputs[0].data = call.call.inputs[1].data = call.call.output.data = memory + sizeof memory / 2;
			call.n_multiprocessors = 132;
			qmdi_cuda_launch launch;
			if (qmdi_cuda_kernel_supports(rows[i], &l.shape, 90)) {
				ck_assert_msg(rows[i]->launch(&call, &launch) == -1, "%s", rows[i]->name);
			}
		}
	}
}
END_TEST

} // namespace

int main() {
	Suite *suite = suite_create("cuda_kernels");
	TCase *rows = tcase_create("rows");
	tcase_set_timeout(rows, 300);
	tcase_add_test(rows, every_row_equals_the_reference);
	tcase_add_loop_test(rows, edges_equal_the_reference_by_every_seed, 0,
						static_cast<int>(sizeof edges / sizeof edges[0]));
	tcase_add_test(rows, scratch_memory_serves_launch_after_launch);
	tcase_add_test(rows, heads_give_the_probabilities_of_the_library);
	suite_add_tcase(suite, rows);
	TCase *budgets = tcase_create("budgets");
	tcase_set_timeout(budgets, 300);
	tcase_add_loop_test(budgets, counts_of_the_network_are_within_the_budgets, 0, N_LAYERS);
	suite_add_tcase(suite, budgets);
	TCase *table = tcase_create("table");
	tcase_add_test(table, every_row_has_its_file);
	tcase_add_test(table, choice_goes_by_the_device);
	tcase_add_test(table, calls_too_large_for_a_grid_are_refused);
	suite_add_tcase(suite, table);
	return qmdt_run(suite);
}
