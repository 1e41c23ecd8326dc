/*
 * Writes random steps of a plan for test_kernels.py: what goes in and what the best kernels of this machine make of it,
 * as raw files beside cases.json.
 *
 *     kernels_dump FOLDER N_CASES
 *
 * Weights stay within +-63: where a machine has no VNNI, ONNX Runtime's own kernels saturate beyond (docs/numerics.md).
 */
#include <stdio.h>

#include "kernel_fixture.h"
#include "support.h"

static const qmdi_op ops[] = {QMDI_OP_CONV2D, QMDI_OP_DENSE, QMDI_OP_MAXPOOL, QMDI_OP_AVGPOOL, QMDI_OP_ADD};

static const char *folder;
static size_t n_cases;

static void write_array(size_t number, const char *what, const void *data, size_t size) {
	char path[4096];
	snprintf(path, sizeof path, "%s/%zu.%s", folder, number, what);
	qmdt_write_file(path, data, size);
}

/* The inside of a tensor, without halo and gaps. */
static void write_tensor(size_t number, const char *what, const qmdt_tensor *tensor, const size_t extents[4]) {
	const size_t row = extents[2] * extents[3];
	uint8_t *inside = malloc(extents[0] * extents[1] * row);
	ck_assert_ptr_nonnull(inside);
	for (size_t y = 0; y < extents[0] * extents[1]; ++y) {
		const uint8_t *from = tensor->view.data;
		from += y / extents[1] * tensor->view.image_stride + y % extents[1] * tensor->view.row_stride;
		memcpy(inside + y * row, from, row);
	}
	write_array(number, what, inside, extents[0] * extents[1] * row);
	free(inside);
}

/* Weight scales that give about the multipliers drawn, and the multipliers that docs/numerics.md makes of them. */
static void write_weights(size_t number, qmdt_kernel_case *test) {
	qmdi_kernel_shape *shape = &test->shape;
	const size_t n = (size_t)shape->out_c * shape->kernel_h * shape->kernel_w * shape->in_c;
	float *scales = malloc(shape->out_c * sizeof *scales);
	ck_assert_ptr_nonnull(scales);
	for (size_t c = 0; c < shape->out_c; ++c) {
		scales[c] = test->multipliers[c] * (shape->scale_out / shape->scale_a);
		const float product = shape->scale_a * scales[c];
		test->multipliers[c] = shape->float_output ? product : product / shape->scale_out;
	}
	for (size_t i = 0; i < n; ++i) {
		test->weights[i] = (int8_t)(test->weights[i] / 2);
	}
	write_array(number, "weights", test->weights, n);
	write_array(number, "bias", test->bias, shape->out_c * sizeof *test->bias);
	write_array(number, "weight_scales", scales, shape->out_c * sizeof *scales);
	free(scales);
}

static void write_case(size_t number, FILE *list) {
	qmdi_kernel_shape shape = qmdt_random_shape(ops[number % 5]);
	if (shape.operand == QMDI_U8 && shape.op != QMDI_OP_MAXPOOL) {
		shape.operand = QMDI_S8; /* ONNX Runtime's operators give the type that they take */
	}
	shape.float_output = shape.op == QMDI_OP_DENSE ? shape.float_output : 0;
	const size_t n_images = 1 + number % 3;
	qmdt_kernel_case test;
	qmdt_case_make(&test, &shape, (qmdt_fill)(number / 5 % QMDT_N_FILLS), n_images);
	write_tensor(number, "a", &test.inputs[0], (const size_t[]){n_images, shape.in_h, shape.in_w, shape.in_c});
	if (shape.op == QMDI_OP_ADD) {
		write_tensor(number, "b", &test.inputs[1], (const size_t[]){n_images, shape.in_h, shape.in_w, shape.in_c});
	}
	if (test.weights != NULL) {
		write_weights(number, &test);
	}
	const qmdi_kernel *kernel = qmdi_kernel_choose(&shape, qmdi_machine_isa());
	qmdt_case_run(&test, kernel);
	const size_t pixel = shape.out_c * (shape.float_output ? sizeof(float) : 1);
	write_tensor(number, "output", &test.output, (const size_t[]){n_images, shape.out_h, shape.out_w, pixel});
	fprintf(
		list,
		"%s{\"kernel\": \"%s\", \"op\": %d, \"operand\": %d, \"n\": %zu, \"in\": [%u, %u, %u], \"out\": [%u, %u, %u],\n"
		"\"window\": [%u, %u], \"stride\": [%u, %u], \"pads\": [%u, %u, %u, %u], \"pool\": %u, \"low\": %d, \"float\": "
		"%d,\n"
		"\"scale_a\": %.9g, \"scale_b\": %.9g, \"scale_out\": %.9g}",
		number == 0 ? "[" : ",\n", kernel->name, (int)shape.op, (int)shape.operand, n_images, shape.in_h, shape.in_w,
		shape.in_c, shape.out_h, shape.out_w, shape.out_c, shape.kernel_h, shape.kernel_w, shape.stride_h,
		shape.stride_w, shape.pad_top, shape.pad_left, shape.pad_bottom, shape.pad_right, shape.pool, shape.low,
		shape.float_output, (double)shape.scale_a, (double)shape.scale_b, (double)shape.scale_out);
	qmdt_case_free(&test);
}

/* Check's assertions want to be inside of a test. */
START_TEST(write_everything) {
	char path[4096];
	snprintf(path, sizeof path, "%s/cases.json", folder);
	FILE *list = fopen(path, "w");
	ck_assert_msg(list != NULL, "cannot write %s", path);
	qmdt_random_seed(3);
	for (size_t number = 0; number < n_cases; ++number) {
		write_case(number, list);
	}
	fputs("]\n", list);
	ck_assert_int_eq(fclose(list), 0);
}
END_TEST

int main(int argc, char **argv) {
	if (argc != 3) {
		fprintf(stderr, "usage: %s FOLDER N_CASES\n", argv[0]);
		return 2;
	}
	folder = argv[1];
	n_cases = strtoul(argv[2], NULL, 10);
	Suite *suite = suite_create("dump");
	TCase *writing = tcase_create("write");
	tcase_set_timeout(writing, 120);
	tcase_add_test(writing, write_everything);
	suite_add_tcase(suite, writing);
	return qmdt_run(suite);
}
