/* What a model holds beside its graph: weights, pixels and names of classes, and how the stages after it see it. */
#include "support.h"

#include <float.h>
#include <math.h>

#include "allocator_fixture.h"
#include "base/memory.h"
#include "model_fixture.h"

/* ---- Parameters ---- */

static float *read_parameter(const qmd_model *model, const char *layer, const char *parameter, size_t *n) {
	qmdt_ok(qmd_model_parameters(model, layer, parameter, n, NULL));
	float *values = malloc(*n * sizeof *values + 1);
	qmdt_ok(qmd_model_parameters(model, layer, parameter, n, values));
	return values;
}

/* Mean 0 and variance limit^2 / 3 of a uniform distribution, within 5 standard errors. */
static void expect_uniform(const qmd_model *model, const char *layer, size_t expected_n, double limit) {
	size_t n;
	float *values = read_parameter(model, layer, "weight", &n);
	ck_assert_uint_eq(n, expected_n);
	double sum = 0, squares = 0, largest = 0;
	for (size_t i = 0; i < n; i++) {
		sum += values[i];
		squares += (double)values[i] * values[i];
		largest = fmax(largest, fabs((double)values[i]));
	}
	const double variance = limit * limit / 3;
	ck_assert_double_le(largest, limit * (1 + FLT_EPSILON));
	ck_assert_double_gt(largest, limit * (1 - 20.0 / (double)n));
	ck_assert_double_lt(fabs(sum / (double)n), 5 * sqrt(variance / (double)n));
	ck_assert_double_lt(fabs(squares / (double)n / variance - 1), 5 * sqrt(0.8 / (double)n));
	free(values);
}

START_TEST(weights_are_drawn_by_the_fan_in) {
	qmd_model *model;
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){16, 16, 3}, 2, 5, &model));
	expect_uniform(model, "conv2d_1", 864, 1 / sqrt(9.0 * 3));
	expect_uniform(model, "conv2d_3", 18432, 1 / sqrt(9.0 * 32));
	expect_uniform(model, "dense_1", 512 * 256, 1 / sqrt(256.0));
	size_t n;
	float *bias = read_parameter(model, "dense_1", "bias", &n);
	ck_assert_uint_eq(n, 512);
	for (size_t i = 0; i < n; i++)
		ck_assert(bias[i] == 0.0f);
	free(bias);
	qmd_model_free(model);
}
END_TEST

/* The weights of layer 2, a 1x1 convolution of 4 by 4 channels. */
static void draw_second_layer(uint32_t kernel_of_first, uint64_t seed, float weights[16]) {
	qmd_model *model = qmdt_model(8, 8, 1);
	qmdt_add_conv(model, QMD_PREVIOUS, 4, kernel_of_first, 1, QMD_PADDING_SAME);
	qmdt_add_conv(model, QMD_PREVIOUS, 4, 1, 1, QMD_PADDING_VALID);
	qmdt_ok(qmd_model_initialize(model, 77));
	qmdt_ok(qmd_model_initialize(model, seed)); /* what was there before does not matter */
	size_t n = 16;
	qmdt_ok(qmd_model_parameters(model, "conv2d_2", "weight", &n, weights));
	qmd_model_free(model);
}

START_TEST(weights_are_a_function_of_seed_and_layer_number) {
	float first[16], again[16], other_net[16], other_seed[16];
	draw_second_layer(3, 1, first);
	draw_second_layer(3, 1, again);
	draw_second_layer(5, 1, other_net);
	draw_second_layer(3, 2, other_seed);
	ck_assert_mem_eq(first, again, sizeof first);
	ck_assert_mem_eq(first, other_net, sizeof first);
	for (int i = 0; i < 16; i++)
		ck_assert(first[i] != other_seed[i]);
}
END_TEST

START_TEST(a_new_batchnorm_changes_nothing) {
	qmd_model *model = qmdt_model(2, 2, 3);
	qmdt_add_kind(model, QMD_LAYER_BATCHNORM);
	static const char *const names[] = {"gamma", "beta", "mean", "variance"};
	static const float expected[] = {1, 0, 0, 1};
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 4; i++) {
			size_t n;
			float *values = read_parameter(model, "batchnorm_1", names[i], &n);
			ck_assert_uint_eq(n, 3);
			ck_assert(values[0] == expected[i] && values[1] == expected[i] && values[2] == expected[i]);
			free(values);
			static const float twos[3] = {2, 2, 2};
			qmdt_ok(qmd_model_set_parameters(model, "batchnorm_1", names[i], 3, twos));
		}
		qmdt_ok(qmd_model_initialize(model, 1));
	}
	qmd_model_free(model);
}
END_TEST

START_TEST(parameters_are_set_and_read_back) {
	qmd_model *model = qmdt_model(2, 2, 3);
	qmdt_add_conv(model, QMD_PREVIOUS, 2, 1, 1, QMD_PADDING_VALID);
	float weights[6] = {1, 2, 3, 4, 5, 6}, found[7] = {0};
	size_t n = 6;
	qmdt_ok(qmd_model_parameters(model, "conv2d_1", "weight", &n, found));
	for (int i = 0; i < 6; i++)
		ck_assert(found[i] == 0.0f); /* until they are drawn or set */
	qmdt_ok(qmd_model_set_parameters(model, "conv2d_1", "weight", 6, weights));
	n = 7;
	qmdt_ok(qmd_model_parameters(model, "conv2d_1", "weight", &n, found));
	ck_assert_uint_eq(n, 6);
	ck_assert_mem_eq(found, weights, sizeof weights);
	ck_assert(found[6] == 0.0f);
	n = 5;
	qmdt_fails(qmd_model_parameters(model, "conv2d_1", "weight", &n, found), QMD_ERROR_RANGE,
			   "layer 'conv2d_1': weight has 6 numbers, there is room for 5");
	ck_assert_uint_eq(n, 6);
	qmdt_fails(qmd_model_set_parameters(model, "conv2d_1", "weight", 5, weights), QMD_ERROR_SHAPE,
			   "layer 'conv2d_1': weight has 6 numbers, 5 were given");
	weights[4] = NAN;
	qmdt_fails(qmd_model_set_parameters(model, "conv2d_1", "weight", 6, weights), QMD_ERROR_RANGE,
			   "layer 'conv2d_1': weight[4] is ");
	qmdt_ok(qmd_model_parameters(model, "conv2d_1", "weight", &n, found));
	ck_assert(found[0] == 1.0f && found[4] == 5.0f);
	qmdt_fails(qmd_model_parameters(model, "conv2d_2", "weight", &n, found), QMD_ERROR_ARGUMENT, "no layer 'conv2d_2'");
	qmdt_fails(qmd_model_parameters(model, "conv2d_1", "gamma", &n, found), QMD_ERROR_ARGUMENT,
			   "layer 'conv2d_1' (conv2d) has no parameter 'gamma'");
	qmdt_fails(qmd_model_parameters(model, "input", "weight", &n, found), QMD_ERROR_ARGUMENT, "(input) has no");
	qmdt_fails(qmd_model_parameters(model, "conv2d_1", "weight", NULL, found), QMD_ERROR_ARGUMENT, "'n' is NULL");
	qmdt_fails(qmd_model_set_parameters(model, "conv2d_1", "weight", 6, NULL), QMD_ERROR_ARGUMENT, "'values' is NULL");
	qmdt_add_kind(model, QMD_LAYER_BATCHNORM);
	static const float variances[2] = {0, -1e-9f};
	qmdt_ok(qmd_model_set_parameters(model, "batchnorm_1", "mean", 2, variances));
	qmdt_fails(qmd_model_set_parameters(model, "batchnorm_1", "variance", 2, variances), QMD_ERROR_RANGE,
			   "variance[1] is -1e-09, expected a finite number that is not negative");
	qmd_model_free(model);
}
END_TEST

START_TEST(a_quantized_model_keeps_its_weights) {
	qmd_model *model = qmdt_model_of_every_kind();
	qmdt_set_scales(model);
	ck_assert_int_eq(qmd_model_is_quantized(model), 1);
	const float bias[2] = {1, 2};
	qmdt_fails(qmd_model_initialize(model, 1), QMD_ERROR_STATE, "qmd_model_initialize: the model is quantized");
	qmdt_fails(qmd_model_set_parameters(model, "dense_1", "bias", 2, bias), QMD_ERROR_STATE, "is quantized");
	qmd_model_free(model);
	model = qmdt_model(2, 2, 1);
	qmdt_add_kind(model, QMD_LAYER_RELU);
	qmdt_set_scales(model);
	const qmd_layer layer = qmdt_layer(QMD_LAYER_RELU);
	qmdt_fails(qmd_model_add(model, &layer, NULL), QMD_ERROR_STATE, "after 'relu_1': the model is quantized");
	ck_assert_uint_eq(qmd_model_n_layers(model), 2);
	qmd_model_free(model);
}
END_TEST

/* ---- Binding ---- */

START_TEST(a_model_is_bound_to_pixels_and_names) {
	qmd_model *model = qmdt_model_of_every_kind();
	qmd_pixels *pixels = qmdt_pixels(9, QMD_PIXELS_DISPLACEMENT);
	char open[] = "open";
	const char *const names[] = {open, "closed"};
	ck_assert_ptr_null(qmd_model_pixels(model));
	ck_assert_ptr_null(qmd_model_class_name(model, 0));
	qmdt_ok(qmd_model_bind(model, pixels, names));
	open[0] = '?'; /* it was copied */
	ck_assert_ptr_eq(qmd_model_pixels(model), pixels);
	qmd_pixels_free(pixels); /* the model holds them */
	ck_assert_uint_eq(qmd_pixels_side(qmd_model_pixels(model)), 9);
	ck_assert_str_eq(qmd_model_class_name(model, 0), "open");
	ck_assert_str_eq(qmd_model_class_name(model, 1), "closed");
	ck_assert_ptr_null(qmd_model_class_name(model, 2));
	qmdt_ok(qmd_model_bind(model, model->pixels, NULL)); /* once more, to the same */
	ck_assert_uint_eq(qmd_pixels_side(qmd_model_pixels(model)), 9);
	ck_assert_ptr_null(qmd_model_class_name(model, 0));
	qmd_model_free(model);
	ck_assert_ptr_null(qmd_model_pixels(NULL));
	ck_assert_ptr_null(qmd_model_class_name(NULL, 0));
}
END_TEST

START_TEST(binding_is_checked) {
	qmd_model *model = qmdt_model_of_every_kind();
	qmd_pixels *pixels = qmdt_pixels(9, QMD_PIXELS_DISPLACEMENT);
	qmd_pixels *small = qmdt_pixels(8, QMD_PIXELS_DISPLACEMENT);
	qmd_pixels *unsigned_pixels = qmdt_pixels(9, QMD_PIXELS_ICNNMD);
	const char *const names[] = {"open", "closed"}, *const holes[] = {"open", NULL}, *const blanks[] = {"open", ""};
	qmdt_fails(qmd_model_bind(model, small, names), QMD_ERROR_SHAPE,
			   "the model's input is 9 x 9 x 3, the pixels are 8 x 8 x 3");
	qmdt_fails(qmd_model_bind(model, pixels, holes), QMD_ERROR_ARGUMENT, "the name of class 1 is NULL");
	qmdt_fails(qmd_model_bind(model, pixels, blanks), QMD_ERROR_ARGUMENT, "the name of class 1 is empty");
	qmdt_fails(qmd_model_bind(model, NULL, names), QMD_ERROR_ARGUMENT, "'pixels' is NULL");
	qmdt_fails(qmd_model_bind(NULL, pixels, names), QMD_ERROR_ARGUMENT, "'model' is NULL");
	ck_assert_ptr_null(qmd_model_pixels(model));
	qmdt_ok(qmd_model_bind(model, pixels, names));
	qmdt_fails(qmd_model_bind(model, small, names), QMD_ERROR_SHAPE, "8 x 8");
	ck_assert_ptr_eq(qmd_model_pixels(model), pixels); /* it is bound as it was */
	ck_assert_str_eq(qmd_model_class_name(model, 1), "closed");
	qmdt_set_scales(model);
	qmdt_fails(qmd_model_bind(model, unsigned_pixels, names), QMD_ERROR_SHAPE,
			   "the model was quantized for s8 pixels, these are u8");
	qmd_model_free(model);

	model = qmdt_model(9, 9, 3);
	qmdt_fails(qmd_model_bind(model, pixels, names), QMD_ERROR_SHAPE, "layer 'input' is not flat");
	qmdt_ok(qmd_model_bind(model, pixels, NULL));
	const qmd_layer layer = qmdt_layer(QMD_LAYER_RELU);
	qmdt_fails(qmd_model_add(model, &layer, NULL), QMD_ERROR_STATE, "after 'input': the model is bound to pixels");
	qmd_model_free(model);
	qmd_pixels_free(pixels);
	qmd_pixels_free(small);
	qmd_pixels_free(unsigned_pixels);
}
END_TEST

/* ---- The graph as the stages after it see it ---- */

START_TEST(consumers_and_logits_are_found) {
	qmd_model *model = qmdt_model_of_every_kind();
	size_t consumer = 99;
	ck_assert_uint_eq(qmdi_model_consumers(model, 0, &consumer), 1);
	ck_assert_uint_eq(consumer, 1);
	ck_assert_uint_eq(qmdi_model_consumers(model, 3, &consumer), 2); /* the branch */
	ck_assert_uint_eq(consumer, 5);
	ck_assert_uint_eq(qmdi_model_consumers(model, 4, NULL), 1);
	consumer = 99;
	ck_assert_uint_eq(qmdi_model_consumers(model, 11, &consumer), 0);
	ck_assert_uint_eq(consumer, 99);
	ck_assert_uint_eq(qmdi_model_logits(model), 10);
	qmd_model_free(model);
	model = qmdt_model(1, 1, 3);
	ck_assert_uint_eq(qmdi_model_logits(model), 0);
	qmdt_add_dense(model, 2);
	ck_assert_uint_eq(qmdi_model_logits(model), 1);
	qmd_model_free(model);
}
END_TEST

START_TEST(what_cannot_be_negative_is_known) {
	qmd_model *model = qmdt_model_of_every_kind();
	/* input conv bn relu conv add maxpool avgpool dropout flatten dense softmax */
	static const char signed_input[] = "000100000001", unsigned_input[] = "100100000001";
	for (size_t i = 0; i < 12; i++) {
		model->image_type = QMD_S8;
		ck_assert_int_eq(qmdi_model_is_nonnegative(model, i), signed_input[i] - '0');
		model->image_type = QMD_U8;
		ck_assert_int_eq(qmdi_model_is_nonnegative(model, i), unsigned_input[i] - '0');
	}
	qmd_model_free(model);

	model = qmdt_model(8, 8, 2);
	model->image_type = QMD_U8;
	const int32_t pooled = qmdt_add_pool(model, QMD_LAYER_MAXPOOL, 2);
	const int32_t conv = qmdt_add_conv(model, QMD_PREVIOUS, 2, 1, 1, QMD_PADDING_VALID);
	const int32_t relu = qmdt_add_kind(model, QMD_LAYER_RELU);
	ck_assert_int_eq(qmdi_model_is_nonnegative(model, (size_t)qmdt_add_sum(model, pooled, relu)), 1);
	ck_assert_int_eq(qmdi_model_is_nonnegative(model, (size_t)qmdt_add_sum(model, pooled, conv)), 0);
	ck_assert_int_eq(qmdi_model_is_nonnegative(model, (size_t)qmdt_add_sum(model, conv, relu)), 0);
	qmd_model_free(model);
}
END_TEST

/* A ladder of sums has 2^500 paths from its end to its input. */
START_TEST(shared_branches_cost_no_more_than_layers) {
	qmd_model *model = qmdt_model(1, 1, 1);
	qmdt_add_kind(model, QMD_LAYER_RELU);
	for (int32_t i = 1; i < 1000; i += 2) {
		qmdt_add_kind(model, QMD_LAYER_DROPOUT);
		qmdt_add_sum(model, i, i + 1);
	}
	ck_assert_int_eq(qmdi_model_is_nonnegative(model, model->n_layers - 1), 1);
	qmd_model_free(model);
}
END_TEST

START_TEST(a_copy_stands_alone) {
	qmd_model *model = qmdt_model_of_every_kind(), *copy;
	qmd_pixels *pixels = qmdt_pixels(9, QMD_PIXELS_DISPLACEMENT);
	const char *const names[] = {"open", "closed"};
	qmdt_ok(qmd_model_bind(model, pixels, names));
	qmd_pixels_free(pixels);
	qmdt_set_scales(model);
	float weights[108];
	memcpy(weights, model->layers[1].parameters[QMDI_WEIGHT], sizeof weights);
	qmdt_ok(qmdi_model_copy(model, &copy));
	memset(model->layers[1].parameters[QMDI_WEIGHT], 0, sizeof weights);
	memset(model->layers[1].weight_scales, 0, 4 * sizeof(float));
	qmd_model_free(model);
	ck_assert_uint_eq(qmd_model_n_layers(copy), 12);
	ck_assert_mem_eq(copy->layers[1].parameters[QMDI_WEIGHT], weights, sizeof weights);
	ck_assert(copy->layers[1].weight_scales[3] == 0.004f);
	ck_assert(copy->layers[1].activation_scale == 0.0078125f);
	ck_assert_str_eq(copy->layers[5].name, "add_1");
	ck_assert_str_eq(copy->passes, "nothing was folded\nnothing was collapsed\n");
	ck_assert_str_eq(qmd_model_class_name(copy, 1), "closed");
	ck_assert_uint_eq(qmd_pixels_n_atoms(qmd_model_pixels(copy)), 81);
	ck_assert(copy->weight_bits == 8 && copy->activation_bits == 8 && copy->image_type == QMD_S8);
	qmd_model_free(copy);
}
END_TEST

/* ---- Memory ---- */

/* Build, bind and copy a model. */
static qmd_status make_models(void *pixels) {
	static const char *const names[] = {"open", "closed"};
	qmd_model *model = NULL, *copy = NULL;
	qmd_status status = qmd_model_create_preset("icnnmd", (qmd_shape){10, 10, 3}, 2, 1, &model);
	if (status == QMD_OK)
		status = qmd_model_bind(model, pixels, names);
	if (status == QMD_OK)
		status = qmdi_model_copy(model, &copy);
	qmd_model_free(copy);
	qmd_model_free(model);
	return status;
}

START_TEST(every_failing_allocation_is_survived) {
	qmd_pixels *pixels = qmdt_pixels(10, QMD_PIXELS_DISPLACEMENT);
	ck_assert_uint_gt(qmdt_fail_each_allocation(make_models, pixels), 60);
	qmd_pixels_free(pixels);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("model_parameters");
	TCase *parameters = tcase_create("parameters");
	tcase_add_test(parameters, weights_are_drawn_by_the_fan_in);
	tcase_add_test(parameters, weights_are_a_function_of_seed_and_layer_number);
	tcase_add_test(parameters, a_new_batchnorm_changes_nothing);
	tcase_add_test(parameters, parameters_are_set_and_read_back);
	tcase_add_test(parameters, a_quantized_model_keeps_its_weights);
	suite_add_tcase(suite, parameters);
	TCase *binding = tcase_create("binding");
	tcase_add_test(binding, a_model_is_bound_to_pixels_and_names);
	tcase_add_test(binding, binding_is_checked);
	suite_add_tcase(suite, binding);
	TCase *inside = tcase_create("inside");
	tcase_add_test(inside, consumers_and_logits_are_found);
	tcase_add_test(inside, what_cannot_be_negative_is_known);
	tcase_add_test(inside, shared_branches_cost_no_more_than_layers);
	tcase_add_test(inside, a_copy_stands_alone);
	tcase_add_test(inside, every_failing_allocation_is_survived);
	suite_add_tcase(suite, inside);
	return qmdt_run(suite);
}
