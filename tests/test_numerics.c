/* The worked examples of docs/numerics.md, sections 1 to 3, as the page prints them. */
#include "support.h"

#include "kernel.h"
#include "tensor/fake_quant.h"

START_TEST(quantize) {
	static const struct {
		float x;
		int32_t q, q_relu;
	} rows[] = {{0.195f, 6, 6}, {0.225f, 8, 8}, {-0.195f, -6, 0}, {4.0f, 127, 127}, {-4.0f, -128, 0}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ck_assert_int_eq(qmdi_quantize_f32(rows[i].x, 0.03f, -128, 127), rows[i].q);
		ck_assert_int_eq(qmdi_quantize_f32(rows[i].x, 0.03f, 0, 127), rows[i].q_relu);
	}
	/* The product with the inverse is not the quotient. */
	ck_assert_float_eq(0.195f / 0.03f, 6.5f);
	ck_assert_float_eq(0.195f * (1.0f / 0.03f), 6.5000005f);
}
END_TEST

START_TEST(bias) {
	ck_assert_int_eq(qmdi_quantize_bias(0.05f, 1.0f / 127.0f, 0.003f), 2117);
}
END_TEST

/* One step of the reference kernels on one image. Its inputs lie in rows without halo. */
static void run(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, int8_t *a, int8_t *b,
				void *output) {
	_Alignas(64) static unsigned char packed[64];
	const qmdi_kernel *kernel = qmdi_kernel_choose(shape, QMDI_ISA_REF);
	ck_assert_ptr_nonnull(kernel);
	ck_assert_uint_le(kernel->packed_size(shape), sizeof packed);
	kernel->pack(shape, weights, packed);
	const qmdi_kernel_call call = {.shape = shape,
								   .packed = packed,
								   .n_images = 1,
								   .inputs = {{a, shape->in_w, 0}, {b, shape->in_w, 0}},
								   .output = {output, sizeof(float), 0}};
	kernel->run(&call, 0, kernel->n_tasks(shape, 1));
}

/* A step from extent x extent numbers to one. */
static qmdi_kernel_shape step(qmdi_op op, uint32_t extent) {
	qmdi_kernel_shape shape = {.op = op, .operand = QMDI_S8, .low = -128};
	shape.in_h = shape.in_w = shape.kernel_h = shape.kernel_w = shape.stride_h = shape.stride_w = extent;
	shape.in_c = shape.out_h = shape.out_w = shape.out_c = shape.pool = 1;
	return shape;
}

/* A dense layer of one number, x = 1 and w = 0, so that the accumulator is the bias. */
static void requantize(int32_t acc, float multiplier, int32_t low, int32_t float_output, void *output) {
	qmdi_kernel_shape shape = step(QMDI_OP_DENSE, 1);
	shape.low = low;
	shape.float_output = float_output;
	int8_t x = 1;
	const int8_t w = 0;
	const qmdi_kernel_weights weights = {&w, &acc, &multiplier};
	run(&shape, &weights, &x, NULL, output);
}

START_TEST(requantization) {
	static const struct {
		int32_t acc;
		float value;
		int8_t q, q_relu;
	} rows[] = {
		{12345, 5.8322835f, 6, 6}, {-12345, -5.8322835f, -6, 0}, {3175, 1.5f, 2, 2}, {400000, 188.97638f, 127, 127}};
	const float product = 1.0f / 127.0f * 0.003f, multiplier = product / 0.05f;
	ck_assert_float_eq(product, 2.3622048e-05f);
	ck_assert_float_eq(multiplier, 0.00047244094f);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		float value;
		int8_t q, q_relu;
		requantize(rows[i].acc, multiplier, -128, 1, &value);
		requantize(rows[i].acc, multiplier, -128, 0, &q);
		requantize(rows[i].acc, multiplier, 0, 0, &q_relu);
		ck_assert_float_eq(value, rows[i].value);
		ck_assert_int_eq(q, rows[i].q);
		ck_assert_int_eq(q_relu, rows[i].q_relu);
	}
	float large;
	requantize(16777217, 1.0f, -128, 1, &large);
	ck_assert_float_eq(large, 16777216.0f);
}
END_TEST

START_TEST(add) {
	qmdi_kernel_shape shape = step(QMDI_OP_ADD, 1);
	shape.scale_a = 0.02f;
	shape.scale_b = 0.05f;
	shape.scale_out = 0.04f;
	int8_t a = 100, b = -57, q;
	run(&shape, NULL, &a, &b, &q);
	ck_assert_int_eq(q, -21);
}
END_TEST

START_TEST(average) {
	qmdi_kernel_shape shape = step(QMDI_OP_AVGPOOL, 2);
	shape.scale_a = shape.scale_out = 0.1f;
	int8_t x[4] = {10, 11, 13, 16}, q;
	run(&shape, NULL, x, NULL, &q);
	ck_assert_int_eq(q, 12);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("numerics");
	TCase *examples = tcase_create("examples of the page");
	tcase_add_test(examples, quantize);
	tcase_add_test(examples, bias);
	tcase_add_test(examples, requantization);
	tcase_add_test(examples, add);
	tcase_add_test(examples, average);
	suite_add_tcase(suite, examples);
	return qmdt_run(suite);
}
