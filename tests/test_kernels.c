#include "support.h"

#include "kernel.h"

/* Run one image through the reference. Views without halo; numbers as bytes. */
static void run_reference(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, const void *a,
						  const void *b, void *output) {
	const qmdi_kernel *kernel = qmdi_kernel_choose(shape, QMDI_ISA_REF);
	ck_assert_ptr_nonnull(kernel);
	_Alignas(64) static uint8_t packed[4096];
	ck_assert_uint_le(kernel->packed_size(shape), sizeof packed);
	kernel->pack(shape, weights, packed);
	const size_t element = shape->float_output ? sizeof(float) : 1;
	qmdi_kernel_call call = {.shape = shape, .packed = packed, .n_images = 1};
	call.inputs[0] = (qmdi_view){(void *)(uintptr_t)a, (size_t)shape->in_w * shape->in_c, 0};
	call.inputs[1] = (qmdi_view){(void *)(uintptr_t)b, (size_t)shape->in_w * shape->in_c, 0};
	call.output = (qmdi_view){output, (size_t)shape->out_w * shape->out_c * element, 0};
	kernel->run(&call, 0, kernel->n_tasks(shape, 1));
}

/* 3x3 pixels of one channel, a 2x2 window, two channels out. */
START_TEST(reference_conv2d_by_hand) {
	const int8_t input[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
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
	const uint8_t input[] = {255, 1};
	const int8_t weights[] = {0, 1, 0, 3, 0, 5, 0, -1, 0, -3, 127, 0, -127, 0, 0, 7};
	const int32_t bias[] = {0, 0, 0, 0, 0, 0, 0, 0};
	const float multipliers[] = {0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f};
	const qmdi_kernel_weights numbers = {weights, bias, multipliers};
	qmdi_kernel_shape shape = {.op = QMDI_OP_DENSE, .operand = QMDI_U8, .in_h = 1, .in_w = 1, .in_c = 2};
	shape.out_h = shape.out_w = 1;
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
	const uint8_t input[] = {1, 200, 2, 100, 3, 50, 250, 0}; /* 2 x 2 pixels of 2 channels */
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
	const int8_t a[] = {1, -128, 127, 3}, b[] = {2, -128, 127, -5};
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

int main(void) {
	Suite *suite = suite_create("kernels");
	TCase *reference = tcase_create("reference");
	tcase_add_test(reference, reference_conv2d_by_hand);
	tcase_add_test(reference, reference_dense_rounds_ties_to_even_and_clamps);
	tcase_add_test(reference, reference_pools_by_hand);
	tcase_add_test(reference, reference_add_by_hand);
	suite_add_tcase(suite, reference);
	return qmdt_run(suite);
}
