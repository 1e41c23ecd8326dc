#include "support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>

#include "kernel.h"
#include "kernel_fixture.h"

/* Run one image through the reference. Views without halo; numbers as bytes. */
static void run_reference(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, void *a, void *b,
						  void *output) {
	const qmdi_kernel *kernel = qmdi_kernel_choose(shape, QMDI_ISA_REF);
	ck_assert_ptr_nonnull(kernel);
	_Alignas(64) static uint8_t packed[4096];
	ck_assert_uint_le(kernel->packed_size(shape), sizeof packed);
	kernel->pack(shape, weights, packed);
	const size_t element = shape->float_output ? sizeof(float) : 1;
	qmdi_kernel_call call = {.shape = shape, .packed = packed, .n_images = 1};
	call.inputs[0] = (qmdi_view){a, (size_t)shape->in_w * shape->in_c, 0};
	call.inputs[1] = (qmdi_view){b, (size_t)shape->in_w * shape->in_c, 0};
	call.output = (qmdi_view){output, (size_t)shape->out_w * shape->out_c * element, 0};
	kernel->run(&call, 0, kernel->n_tasks(shape, 1));
}

/* 3x3 pixels of one channel, a 2x2 window, two channels out. */
START_TEST(reference_conv2d_by_hand) {
	int8_t input[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
	const int8_t weights[] = {1, 0, 0, -1, 1, 1, 1, 1};
	const int32_t bias[] = {3, -20};
	const float multipliers[] = {0.5f, 0.25f};
	const qmdi_kernel_weights numbers = {weights, bias, multipliers};
	qmdi_kernel_shape shape = {.op = QMDI_OP_CONV2D, .operand = QMDI_S8, .in_h = 3, .in_w = 3, .in_c = 1};
	shape.out_h = shape.out_w = shape.out_c = shape.kernel_h = shape.kernel_w = 2;
	shape.stride_h = shape.stride_w = shape.pool = 1;
	shape.low = -128;
	int8_t output[8];
	run_reference(&shape, &numbers, input, NULL, output);
	/* Channel 0: x[0][0] - x[1][1] + 3 = -1 everywhere, times 0.5 is -0.5, to even 0. */
	/* Channel 1: sums 12, 16, 24, 28 less 20 are -8, -4, 4, 8, times 0.25. */
	const int8_t expected[] = {0, -2, 0, -1, 0, 1, 0, 2};
	ck_assert_mem_eq(output, expected, sizeof expected);

	shape.out_h = shape.out_w = 1;
	shape.pool = 2;
	run_reference(&shape, &numbers, input, NULL, output);
	ck_assert_int_eq(output[0], 0);
	ck_assert_int_eq(output[1], 2);
}
END_TEST

START_TEST(reference_dense_rounds_ties_to_even_and_clamps) {
	uint8_t input[] = {255, 1};
	const int8_t weights[] = {0, 1, 0, 3, 0, 5, 0, -1, 0, -3, 127, 0, -127, 0, 0, 7};
	const int32_t bias[] = {0, 0, 0, 0, 0, 0, 0, 0};
	const float multipliers[] = {0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f};
	const qmdi_kernel_weights numbers = {weights, bias, multipliers};
	qmdi_kernel_shape shape = {.op = QMDI_OP_DENSE, .operand = QMDI_U8, .in_h = 1, .in_w = 1, .in_c = 2};
	shape.out_h = shape.out_w = shape.pool = 1;
	shape.out_c = 8;
	shape.low = -128;
	int8_t output[8];
	run_reference(&shape, &numbers, input, NULL, output);
	const int8_t expected[] = {0, 2, 2, 0, -2, 127, -128, 4};
	ck_assert_mem_eq(output, expected, sizeof expected);

	shape.low = 0;
	run_reference(&shape, &numbers, input, NULL, output);
	const int8_t relu[] = {0, 2, 2, 0, 0, 127, 0, 4};
	ck_assert_mem_eq(output, relu, sizeof relu);

	shape.float_output = 1;
	float logits[8];
	run_reference(&shape, &numbers, input, NULL, logits);
	ck_assert_float_eq(logits[5], 255 * 127 * 0.5f);
	ck_assert_float_eq(logits[4], -1.5f);
}
END_TEST

START_TEST(reference_pools_by_hand) {
	uint8_t input[] = {1, 200, 2, 100, 3, 50, 250, 0}; /* 2 x 2 pixels of 2 channels */
	qmdi_kernel_shape shape = {.op = QMDI_OP_MAXPOOL, .operand = QMDI_U8, .in_h = 2, .in_w = 2, .in_c = 2};
	shape.out_h = shape.out_w = 1;
	shape.out_c = shape.kernel_h = shape.kernel_w = shape.stride_h = shape.stride_w = 2;
	uint8_t output[2];
	run_reference(&shape, NULL, input, NULL, output);
	ck_assert_uint_eq(output[0], 250);
	ck_assert_uint_eq(output[1], 200);
	shape.operand = QMDI_S8; /* 250 is -6, 200 is -56 */
	run_reference(&shape, NULL, input, NULL, output);
	ck_assert_uint_eq(output[0], 3);
	ck_assert_uint_eq(output[1], 100);

	shape.op = QMDI_OP_AVGPOOL;
	shape.operand = QMDI_U8;
	shape.scale_a = 0.5f;
	shape.scale_out = 1;
	run_reference(&shape, NULL, input, NULL, output); /* 256/8 = 32, 350/8 = 43.75 */
	ck_assert_uint_eq(output[0], 32);
	ck_assert_uint_eq(output[1], 44);
	shape.float_output = 1;
	float means[2];
	run_reference(&shape, NULL, input, NULL, means);
	ck_assert_float_eq(means[1], 43.75f);
}
END_TEST

START_TEST(reference_add_by_hand) {
	int8_t a[] = {1, -128, 127, 3}, b[] = {2, -128, 127, -5};
	qmdi_kernel_shape shape = {.op = QMDI_OP_ADD, .operand = QMDI_S8, .in_h = 1, .in_w = 4, .in_c = 1};
	shape.out_h = shape.out_c = 1;
	shape.out_w = 4;
	shape.low = -128;
	shape.scale_a = 0.5f;
	shape.scale_b = 1;
	shape.scale_out = 1;
	int8_t output[4];
	run_reference(&shape, NULL, a, b, output); /* 2.5, -192, 190.5, -3.5 */
	const int8_t expected[] = {2, -128, 127, -4};
	ck_assert_mem_eq(output, expected, sizeof expected);
}
END_TEST

/*
 * The reference once more, another way: in wide integers, input by input, each adding to all outputs that it reaches,
 * without halo; and rounded in double, where the product of two floats is exact.
 */
static void scatter(const qmdt_kernel_case *test, size_t image, int64_t *sums) {
	const qmdi_kernel_shape *shape = &test->shape;
	const int64_t h = (int64_t)shape->out_h * shape->pool, w = (int64_t)shape->out_w * shape->pool;
	for (int64_t i = 0; i < h * w * shape->out_c; ++i) {
		sums[i] = test->bias[i % shape->out_c];
	}
	for (int64_t from = 0; from < (int64_t)shape->in_h * shape->in_w * shape->in_c; ++from) {
		const int64_t y = from / shape->in_c / shape->in_w, x = from / shape->in_c % shape->in_w,
					  k = from % shape->in_c;
		const uint8_t byte = *((const uint8_t *)test->inputs[0].view.data + image * test->inputs[0].view.image_stride +
							   (size_t)y * test->inputs[0].view.row_stride + (size_t)(x * shape->in_c + k));
		const int64_t number = shape->operand == QMDI_S8 ? (int8_t)byte : byte;
		for (int64_t tap = 0; tap < (int64_t)shape->kernel_h * shape->kernel_w; ++tap) {
			const int64_t up = y + shape->pad_top - tap / shape->kernel_w,
						  left = x + shape->pad_left - tap % shape->kernel_w;
			const int64_t to_y = up / shape->stride_h, to_x = left / shape->stride_w;
			if (up < 0 || left < 0 || up % shape->stride_h != 0 || left % shape->stride_w != 0 || to_y >= h ||
				to_x >= w) {
				continue;
			}
			for (int64_t c = 0; c < shape->out_c; ++c) {
				const int64_t weight = (c * shape->kernel_h * shape->kernel_w + tap) * shape->in_c + k;
				sums[(to_y * w + to_x) * shape->out_c + c] += number * test->weights[weight];
			}
		}
	}
}

static int64_t round_half_even(double value) {
	const double below = floor(value);
	const int64_t low = (int64_t)below;
	return value - below > 0.5 || (value - below == 0.5 && low % 2 != 0) ? low + 1 : low;
}

/* What a pixel's channel must be, from the sums of scatter(). */
static double expected_output(const qmdt_kernel_case *test, const int64_t *sums, size_t y, size_t x, size_t c) {
	const qmdi_kernel_shape *shape = &test->shape;
	double largest = -1e300;
	for (size_t i = 0; i < (size_t)shape->pool * shape->pool; ++i) {
		const size_t window =
			(y * shape->pool + i / shape->pool) * shape->out_w * shape->pool + x * shape->pool + i % shape->pool;
		const double value = (float)((double)(float)sums[window * shape->out_c + c] * (double)test->multipliers[c]);
		largest = value > largest ? value : largest;
	}
	if (shape->float_output) {
		return largest;
	}
	return (double)round_half_even(largest < shape->low ? shape->low : largest > 127 ? 127 : largest);
}

static void check_against_scatter(const qmdt_kernel_case *test) {
	const qmdi_kernel_shape *shape = &test->shape;
	int64_t *sums =
		calloc((size_t)shape->out_h * shape->out_w * shape->pool * shape->pool * shape->out_c, sizeof *sums);
	ck_assert_ptr_nonnull(sums);
	for (size_t image = 0; image < test->n_images; ++image) {
		scatter(test, image, sums);
		for (size_t i = 0; i < (size_t)shape->out_h * shape->out_w * shape->out_c; ++i) {
			const size_t y = i / shape->out_c / shape->out_w, x = i / shape->out_c % shape->out_w, c = i % shape->out_c;
			const uint8_t *pixel = (const uint8_t *)test->output.view.data + image * test->output.view.image_stride +
								   y * test->output.view.row_stride;
			const size_t element = x * shape->out_c + c;
			const double found =
				shape->float_output ? ((const float *)pixel)[element] : ((const int8_t *)pixel)[element];
			const double expected = expected_output(test, sums, y, x, c);
			if (found != expected) { /* Check writes to a file at each assertion */
				ck_abort_msg("image %zu, row %zu, pixel %zu, channel %zu: %g instead of %g", image, y, x, c, found,
							 expected);
			}
		}
	}
	free(sums);
}

START_TEST(reference_equals_another_way_of_computing) {
	qmdt_random_seed(11);
	for (int i = 0; i < 120; ++i) {
		const qmdi_kernel_shape shape = qmdt_random_shape(i % 2 == 0 ? QMDI_OP_CONV2D : QMDI_OP_DENSE);
		qmdt_kernel_case test;
		qmdt_case_make(&test, &shape, (qmdt_fill)(i % QMDT_N_FILLS), 1 + (size_t)i % 2);
		qmdt_case_run(&test, qmdi_kernel_choose(&shape, QMDI_ISA_REF));
		check_against_scatter(&test);
		qmdt_case_free(&test);
	}
}
END_TEST

static void check_guards(const qmdt_kernel_case *test) {
	for (size_t i = 0; i < test->output.size + QMDI_SLACK; ++i) {
		if (!qmdt_case_is_inside(test, i) && test->output.bytes[i] != QMDT_GUARD) {
			ck_abort_msg("byte %zu outside the inside was written", i);
		}
	}
}

static void describe(const qmdt_kernel_case *test, char text[256]) {
	const qmdi_kernel_shape *s = &test->shape;
	snprintf(text, 256,
			 "operand %d, in %ux%ux%u, out %ux%ux%u, kernel %ux%u, stride %ux%u, pad %u %u %u %u, pool %u, low %d, "
			 "float %d, "
			 "%zu images, fill %d",
			 (int)s->operand, s->in_h, s->in_w, s->in_c, s->out_h, s->out_w, s->out_c, s->kernel_h, s->kernel_w,
			 s->stride_h, s->stride_w, s->pad_top, s->pad_left, s->pad_bottom, s->pad_right, s->pool, s->low,
			 s->float_output, test->n_images, (int)test->fill);
}

/* Every row that supports the case against the reference, byte for byte, guards included. Returns outputs compared. */
static size_t check_rows(qmdt_kernel_case *test) {
	size_t n_rows, n_compared = 0;
	const qmdi_kernel *const *rows = qmdi_kernels(&n_rows);
	const qmdi_kernel *reference = qmdi_kernel_choose(&test->shape, QMDI_ISA_REF);
	ck_assert_ptr_nonnull(reference);
	qmdt_case_run(test, reference);
	check_guards(test);
	const size_t size = test->output.size + QMDI_SLACK;
	ck_assert_uint_ge(size, QMDI_SLACK);
	uint8_t *expected = malloc(size);
	ck_assert_ptr_nonnull(expected);
	memcpy(expected, test->output.bytes, size);
	for (size_t i = 0; i < n_rows; ++i) {
		if (rows[i] == reference || !qmdi_kernel_runs_here(rows[i]) || !qmdi_kernel_supports(rows[i], &test->shape)) {
			continue;
		}
		qmdt_case_run(test, rows[i]);
		if (memcmp(test->output.bytes, expected, size) != 0) {
			char text[256];
			describe(test, text);
			ck_abort_msg("%s differs from %s: %s", rows[i]->name, reference->name, text);
		}
		n_compared += qmdt_case_n_outputs(test);
	}
	free(expected);
	return n_compared;
}

#ifdef __SANITIZE_ADDRESS__
#define N_CASES 300
#else
#define N_CASES 1500
#endif

/* QMD_TEST_CASES: how many random shapes. */
static long n_cases(void) {
	const char *text = getenv("QMD_TEST_CASES");
	return text ? strtol(text, NULL, 10) : N_CASES;
}

START_TEST(every_row_equals_the_reference) {
	const qmdi_op ops[] = {QMDI_OP_CONV2D, QMDI_OP_DENSE, QMDI_OP_MAXPOOL, QMDI_OP_AVGPOOL, QMDI_OP_ADD};
	qmdt_random_seed(7);
	size_t n_compared = 0;
	for (long i = 0; i < n_cases(); ++i) {
		/* Most are convolutions, the rest in turn. */
		const qmdi_kernel_shape shape = qmdt_random_shape(ops[i % 3 == 2 ? 1 + i / 3 % 4 : 0]);
		qmdt_kernel_case test;
		qmdt_case_make(&test, &shape, (qmdt_fill)qmdt_random_below(QMDT_N_FILLS), 1 + qmdt_random_below(20) % 9 % 7);
		n_compared += check_rows(&test);
		qmdt_case_free(&test);
	}
	printf("%zu outputs compared\n", n_compared);
	size_t n_rows;
	const qmdi_kernel *const *rows = qmdi_kernels(&n_rows);
	for (size_t i = 0; i < n_rows; ++i) {
		if (!qmdi_kernel_runs_here(rows[i])) {
			printf("SKIPPED: this machine cannot run %s\n", rows[i]->name);
		}
	}
}
END_TEST

/* Layers of the icnnmd network on 68 x 68 pixels, whole. */
START_TEST(rows_equal_the_reference_on_the_network) {
	const qmdi_kernel_shape layers[] = {
		{QMDI_OP_CONV2D, QMDI_S8, 68, 68, 3, 33, 33, 32, 5, 5, 1, 1, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0},
		{QMDI_OP_CONV2D, QMDI_U8, 68, 68, 3, 33, 33, 32, 5, 5, 1, 1, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0},
		{QMDI_OP_CONV2D, QMDI_S7, 33, 33, 32, 33, 33, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0},
		{QMDI_OP_CONV2D, QMDI_S7, 33, 33, 64, 15, 15, 64, 3, 3, 1, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0},
		{QMDI_OP_DENSE, QMDI_S7, 1, 1, 14400, 1, 1, 512, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0},
		{QMDI_OP_DENSE, QMDI_S7, 1, 1, 512, 1, 1, 2, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0},
	};
	qmdt_random_seed(5);
	for (size_t i = 0; i < sizeof layers / sizeof layers[0]; ++i) {
		qmdt_kernel_case test;
		qmdt_case_make(&test, &layers[i], i % 2 == 0 ? QMDT_FILL_EXTREME : QMDT_FILL_RANDOM, 2);
		check_rows(&test);
		qmdt_case_free(&test);
	}
}
END_TEST
/* Number of files of a folder below kernels/ that end in .c; each must have the name of one row. */
static size_t count_files(const char *folder) {
	char path[512];
	snprintf(path, sizeof path, "%s/kernels/%s", QMDT_SOURCE_DIR, folder);
	DIR *directory = opendir(path);
	ck_assert_msg(directory != NULL, "cannot open %s", path);
	size_t n_rows, n_files = 0;
	const qmdi_kernel *const *rows = qmdi_kernels(&n_rows);
	for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
		const size_t length = strlen(entry->d_name);
		if (length < 3 || strcmp(entry->d_name + length - 2, ".c") != 0) {
			continue;
		}
		int found = 0;
		for (size_t i = 0; i < n_rows; ++i) {
			found += strncmp(rows[i]->name, entry->d_name, length - 2) == 0 && strlen(rows[i]->name) == length - 2;
		}
		ck_assert_msg(found == 1, "%d rows are called as kernels/%s/%s", found, folder, entry->d_name);
		++n_files;
	}
	closedir(directory);
	return n_files;
}

START_TEST(every_file_has_its_row_and_every_row_its_file) {
	size_t n_rows;
	qmdi_kernels(&n_rows);
	ck_assert_uint_eq(count_files("ref") + count_files("cpu"), n_rows);
}
END_TEST

START_TEST(best_rows_come_first) {
	size_t n_rows;
	const qmdi_kernel *const *rows = qmdi_kernels(&n_rows);
	for (size_t i = 1; i < n_rows; ++i) {
		if (rows[i - 1]->op == rows[i]->op) {
			ck_assert_int_ge(rows[i - 1]->isa, rows[i]->isa);
		} else {
			ck_assert_int_eq(rows[i - 1]->isa, QMDI_ISA_REF);
		}
		ck_assert_int_eq(rows[i]->isa == QMDI_ISA_REF, rows[i]->features == 0);
	}
}
END_TEST

static const qmdi_kernel_shape sound_conv2d = {
	QMDI_OP_CONV2D, QMDI_S7, 33, 33, 32, 33, 33, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0};

/* The best level up to `isa`; the one that a better machine may lack is AVX512-BW. */
static qmdi_isa best_level(qmdi_isa isa) {
	const qmdi_isa level = isa < qmdi_machine_isa() ? isa : qmdi_machine_isa();
	const int is_missing = level == QMDI_ISA_AVX512BW && !(qmdi_machine_features() & QMDI_CPU_AVX512BW);
	return is_missing ? QMDI_ISA_AVX2 : level;
}

START_TEST(choice_is_the_best_that_is_allowed) {
	qmdi_kernel_shape shape = sound_conv2d;
	for (qmdi_isa isa = QMDI_ISA_REF; isa <= QMDI_ISA_AVX512VNNI; ++isa) {
		const qmdi_kernel *kernel = qmdi_kernel_choose(&shape, isa);
		ck_assert_int_eq(kernel->isa, best_level(isa));
		ck_assert(qmdi_kernel_runs_here(kernel));
	}
	shape.op = QMDI_OP_ADD; /* on every machine by the reference */
	shape.out_c = shape.in_c;
	shape.scale_a = shape.scale_b = shape.scale_out = 1;
	ck_assert_str_eq(qmdi_kernel_choose(&shape, QMDI_ISA_REF)->name, "add_x8_ref");
}
END_TEST

START_TEST(environment_limits_the_isa) {
	unsetenv("QMD_MAX_ISA");
	ck_assert_int_eq(qmdi_allowed_isa(), qmdi_machine_isa());
	for (qmdi_isa isa = QMDI_ISA_REF; isa <= QMDI_ISA_AVX512VNNI; ++isa) {
		setenv("QMD_MAX_ISA", qmdi_isa_name(isa), 1);
		ck_assert_int_eq(qmdi_allowed_isa(), isa < qmdi_machine_isa() ? isa : qmdi_machine_isa());
	}
	setenv("QMD_MAX_ISA", "mmx", 1);
	ck_assert_int_eq(qmdi_allowed_isa(), qmdi_machine_isa());
	unsetenv("QMD_MAX_ISA");
}
END_TEST

#define REFUSED(field, value)                                                                                          \
	do {                                                                                                               \
		qmdi_kernel_shape shape = sound;                                                                               \
		shape.field = (value);                                                                                         \
		ck_assert_msg(qmdi_kernel_choose(&shape, qmdi_machine_isa()) == NULL, "op %d takes " #field " = " #value,      \
					  (int)sound.op);                                                                                  \
	} while (0)

START_TEST(shapes_that_contradict_themselves_have_no_kernel) {
	qmdi_kernel_shape sound = sound_conv2d;
	ck_assert_ptr_nonnull(qmdi_kernel_choose(&sound, qmdi_machine_isa()));
	REFUSED(op, (qmdi_op)0);
	REFUSED(operand, (qmdi_operand)8);
	REFUSED(out_h, 34);
	REFUSED(out_w, 0);
	REFUSED(in_c, 0);
	REFUSED(kernel_h, 0);
	REFUSED(kernel_w, 36);
	REFUSED(stride_w, 0);
	REFUSED(pad_left, 3);
	REFUSED(pad_bottom, UINT32_MAX);
	REFUSED(pool, 0);
	REFUSED(pool, 2);
	REFUSED(low, -127);
	sound.pool = 2;
	sound.out_h = sound.out_w = 16;
	ck_assert_ptr_nonnull(qmdi_kernel_choose(&sound, qmdi_machine_isa()));
	REFUSED(float_output, 1);

	sound = (qmdi_kernel_shape){QMDI_OP_DENSE, QMDI_S7, 1, 1, 8, 1, 1, 8, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
	ck_assert_ptr_nonnull(qmdi_kernel_choose(&sound, qmdi_machine_isa()));
	REFUSED(in_h, 2);
	REFUSED(out_w, 2);
	REFUSED(pool, 2);

	sound = (qmdi_kernel_shape){QMDI_OP_AVGPOOL, QMDI_S8, 4, 4, 8, 2, 2, 8, 2, 2, 2, 2, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1};
	ck_assert_ptr_nonnull(qmdi_kernel_choose(&sound, qmdi_machine_isa()));
	REFUSED(out_c, 7);
	REFUSED(pad_top, 1);
	REFUSED(scale_a, 0);
	REFUSED(scale_out, INFINITY);
	REFUSED(scale_out, NAN);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("kernels");
	TCase *reference = tcase_create("reference");
	tcase_add_test(reference, reference_conv2d_by_hand);
	tcase_add_test(reference, reference_dense_rounds_ties_to_even_and_clamps);
	tcase_add_test(reference, reference_pools_by_hand);
	tcase_add_test(reference, reference_add_by_hand);
	tcase_add_test(reference, reference_equals_another_way_of_computing);
	suite_add_tcase(suite, reference);
	TCase *rows = tcase_create("rows");
	tcase_set_timeout(rows, 300);
	tcase_add_test(rows, every_row_equals_the_reference);
	tcase_add_test(rows, rows_equal_the_reference_on_the_network);
	suite_add_tcase(suite, rows);
	TCase *table = tcase_create("table");
	tcase_add_test(table, every_file_has_its_row_and_every_row_its_file);
	tcase_add_test(table, best_rows_come_first);
	tcase_add_test(table, choice_is_the_best_that_is_allowed);
	tcase_add_test(table, environment_limits_the_isa);
	tcase_add_test(table, shapes_that_contradict_themselves_have_no_kernel);
	suite_add_tcase(suite, table);
	return qmdt_run(suite);
}
