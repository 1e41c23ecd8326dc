/* What the compiler makes of a model: the plan of an engine, and which models are none. */
#include "engine_fixture.h"

#include <math.h>
#include <stdio.h>

#include "engine/engine_internal.h"

START_TEST(layers_are_fused) {
	qmd_model *model = qmdt_network(0);
	qmd_engine *engine = qmdt_compile(model, 1);
	static const struct {
		const char *name, *op;
		qmd_shape input, output;
		uint64_t n_macs, n_weights;
	} expected[] = {
		{"conv2d_1+relu_1+maxpool_1", "conv2d", {15, 15, 3}, {7, 7, 8}, 14 * 14 * 25 * 3 * 8, 25 * 3 * 8},
		{"conv2d_2+relu_2", "conv2d", {7, 7, 8}, {7, 7, 20}, 7 * 7 * 9 * 8 * 20, 9 * 8 * 20},
		{"conv2d_3+relu_3+maxpool_2", "conv2d", {7, 7, 20}, {2, 2, 17}, 4 * 4 * 9 * 20 * 17, 9 * 20 * 17},
		{"dense_1+relu_4", "dense", {1, 1, 68}, {1, 1, 33}, 68 * 33, 68 * 33},
		{"dense_2", "dense", {1, 1, 33}, {1, 1, 3}, 33 * 3, 33 * 3},
		{"softmax_1", "softmax", {1, 1, 3}, {1, 1, 3}, 0, 0},
	};
	ck_assert_uint_eq(qmd_engine_n_layers(engine), 6);
	uint64_t n_macs = 0;
	for (size_t i = 0; i < 6; i++) {
		qmd_engine_layer layer = {.struct_size = sizeof layer};
		qmdt_ok(qmd_engine_layer_info(engine, i, &layer));
		ck_assert_str_eq(layer.name, expected[i].name);
		ck_assert_str_eq(layer.op, expected[i].op);
		ck_assert_mem_eq(&layer.input, &expected[i].input, sizeof layer.input);
		ck_assert_mem_eq(&layer.output, &expected[i].output, sizeof layer.output);
		ck_assert_uint_eq(layer.n_macs, expected[i].n_macs);
		ck_assert_int_eq(layer.inputs[0], (int32_t)i - 1);
		ck_assert_int_eq(layer.inputs[1], -2);
		ck_assert_int_eq(layer.output_scale > 0, i < 4);
		ck_assert_uint_ge(layer.weight_bytes, expected[i].n_weights);
		n_macs += layer.n_macs;
	}
	/* Rows and columns that a pool of 2 drops from 15 x 15 and from 5 x 5. */
	const uint64_t n_dropped = (15 * 15 - 14 * 14) * 25 * 3 * 8 + (5 * 5 - 4 * 4) * 9 * 20 * 17;
	ck_assert_uint_eq(n_macs + n_dropped, qmd_model_n_macs(model));
	ck_assert_ptr_nonnull(strstr(qmd_engine_passes(engine), "fusion: 4 relu and 2 maxpool"));
	ck_assert_ptr_nonnull(strstr(qmd_engine_passes(engine), "dropout removal: 1 removed"));
	qmd_engine_layer layer = {.struct_size = sizeof layer};
	qmdt_fails(qmd_engine_layer_info(engine, 6, &layer), QMD_ERROR_RANGE, "layer 6 of 6");
	layer.struct_size = 0;
	qmdt_fails(qmd_engine_layer_info(engine, 0, &layer), QMD_ERROR_ARGUMENT, "struct_size");
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

/* A fork: a dense layer, which reads an image with a halo and so becomes a convolution, and a convolution read the
 * relu; the logits of both branches are added. */
START_TEST(layers_tell_what_they_read) {
	qmd_model *model = qmdt_network(4);
	qmd_engine *engine = qmdt_compile(model, 1);
	static const struct {
		const char *op;
		int32_t inputs[2];
	} expected[] = {
		{"conv2d", {-1, -2}}, {"conv2d", {0, -2}}, {"conv2d", {0, -2}},
		{"dense", {2, -2}},   {"add", {1, 3}},     {"softmax", {4, -2}},
	};
	ck_assert_uint_eq(qmd_engine_n_layers(engine), 6);
	for (size_t i = 0; i < 6; i++) {
		qmd_engine_layer layer = {.struct_size = sizeof layer};
		qmdt_ok(qmd_engine_layer_info(engine, i, &layer));
		ck_assert_str_eq(layer.op, expected[i].op);
		ck_assert_int_eq(layer.inputs[0], expected[i].inputs[0]);
		ck_assert_int_eq(layer.inputs[1], expected[i].inputs[1]);
	}
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

static void expect_why(const qmd_model *model, size_t index, const char *why) {
	qmd_engine *engine = qmdt_compile(model, 1);
	qmd_engine_layer layer = {.struct_size = sizeof layer};
	qmdt_ok(qmd_engine_layer_info(engine, index, &layer));
	ck_assert_ptr_nonnull(strstr(layer.why, why));
	qmd_engine_free(engine);
}

/* Of the six convolutions of the table only the reference may run, then whatever the machine can. */
START_TEST(layers_tell_why_their_kernel_was_chosen) {
	qmd_model *model = qmdt_network(0);
	char machine[64];
	expect_why(model, 5, "the only one");
	snprintf(machine, sizeof machine, "(%s, this machine)", qmdi_isa_name(qmdi_machine_isa()));
	expect_why(model, 1, machine);
	if (qmdi_machine_isa() > QMDI_ISA_REF) {
		setenv("QMD_MAX_ISA", "ref", 1);
		expect_why(model, 1, "best of 1 that fit and run here (ref, by QMD_MAX_ISA); 5 better do not");
		unsetenv("QMD_MAX_ISA");
	}
	qmd_model_free(model);
}
END_TEST

START_TEST(fusion_can_be_switched_off) {
	qmd_model *model = qmdt_network(0);
	qmd_engine *engine = qmdt_compile(model, 0);
	ck_assert_uint_eq(qmd_engine_n_layers(engine), 12);
	ck_assert_ptr_nonnull(strstr(qmd_engine_passes(engine), "fusion: switched off"));
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

START_TEST(tensors_share_memory) {
	qmd_model *model = qmdt_network(0);
	qmd_engine *engine = qmdt_compile(model, 0);
	qmdi_tensor_layout layouts[13];
	size_t size;
	qmdt_ok(qmdi_plan_memory(engine, 4, layouts, &size));
	ck_assert_uint_lt(size, qmdi_plan_memory_unshared(engine, 4));
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

/* A 1 x 1 image of many channels makes long sums without a large network. */
static qmd_model *long_dense(uint32_t n_inputs, float bias) {
	qmd_model *model;
	qmd_layer layer;
	qmdt_ok(qmd_model_create((qmd_shape){1, 1, n_inputs}, &model));
	qmd_layer_init(&layer, QMD_LAYER_DENSE);
	layer.units = 1;
	layer.name = "long";
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	for (size_t i = 0; i < n_inputs; i++)
		model->layers[1].parameters[QMDI_WEIGHT][i] = 127;
	model->layers[1].parameters[QMDI_BIAS][0] = bias;
	unsigned char *image = qmdt_images(model, 1, 1);
	qmdt_quantize_by_hand(model, QMD_U8, image);
	free(image);
	return model;
}

START_TEST(sums_that_could_overflow_are_refused) {
	/* 66311 * 255 * 127 = 2147481735 = 2^31 - 1913; the bias is 255 * b in integers. */
	const struct {
		uint32_t n;
		float bias;
		int fits;
	} cases[] = {{66311, 0, 1}, {66311, 7.5f, 1}, {66311, 7.51f, 0}, {66311, -7.51f, 0}, {66312, 0, 0}, {10, 1e30f, 0}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		qmd_model *model = long_dense(cases[i].n, cases[i].bias);
		qmd_engine *engine = NULL;
		if (cases[i].fits) {
			qmdt_ok(qmd_engine_compile(model, NULL, &engine));
			unsigned char *image = malloc(cases[i].n);
			memset(image, 255, cases[i].n);
			float *expected = qmdt_reference_logits(model, image, 1), logit = 0;
			qmd_context *context = qmdt_new_context(engine, 1, 1);
			qmdt_ok(qmd_context_run_images(context, image, 1, &(qmd_output){"logits", &logit}, 1));
			ck_assert_float_eq(logit, *expected);
			ck_assert_float_gt(logit, 0);
			qmd_context_free(context);
			free(expected);
			free(image);
		} else {
			qmdt_fails(qmd_engine_compile(model, NULL, &engine), QMD_ERROR_RANGE, "'long'");
			qmdt_fails(qmd_engine_compile(model, NULL, &engine), QMD_ERROR_RANGE, "2^31");
			ck_assert_ptr_null(engine);
		}
		qmd_engine_free(engine);
		qmd_model_free(model);
	}
}
END_TEST

START_TEST(models_that_are_no_engines_are_refused) {
	qmd_engine *engine = (qmd_engine *)1;
	qmd_model *model = qmdt_network(0);
	qmdt_fails(qmd_engine_compile(NULL, NULL, &engine), QMD_ERROR_ARGUMENT, "quantized");
	ck_assert_ptr_null(engine);
	qmdt_fails(qmd_engine_compile(model, NULL, NULL), QMD_ERROR_ARGUMENT, "engine");
	qmd_engine_options options = {.struct_size = 1};
	qmdt_fails(qmd_engine_compile(model, &options, &engine), QMD_ERROR_ARGUMENT, "struct_size");
	model->weight_bits = 4;
	qmdt_fails(qmd_engine_compile(model, NULL, &engine), QMD_ERROR_UNSUPPORTED, "4-bit weights");
	model->weight_bits = model->activation_bits = 0;
	qmdt_fails(qmd_engine_compile(model, NULL, &engine), QMD_ERROR_STATE, "not quantized");
	model->weight_bits = model->activation_bits = 8;
	model->layers[2].activation_scale = NAN;
	qmdt_fails(qmd_engine_compile(model, NULL, &engine), QMD_ERROR_RANGE, "relu_1");
	model->layers[2].activation_scale = model->layers[1].activation_scale;
	model->layers[1].weight_scales[3] = 1e-44f;
	qmdt_fails(qmd_engine_compile(model, NULL, &engine), QMD_ERROR_RANGE, "conv2d_1");
	qmd_model_free(model);

	qmd_layer layer;
	qmdt_ok(qmd_model_create((qmd_shape){4, 4, 3}, &model));
	qmd_layer_init(&layer, QMD_LAYER_RELU);
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	model->weight_bits = model->activation_bits = 8;
	model->image_type = QMD_S8;
	qmdt_fails(qmd_engine_compile(model, NULL, &engine), QMD_ERROR_UNSUPPORTED, "relu_1");
	qmd_model_free(model);
}
END_TEST

START_TEST(an_unfolded_batchnorm_is_refused) {
	qmd_model *model;
	qmd_engine *engine;
	qmd_layer layer;
	qmdt_ok(qmd_model_create((qmd_shape){1, 1, 3}, &model));
	qmd_layer_init(&layer, QMD_LAYER_BATCHNORM);
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	qmd_layer_init(&layer, QMD_LAYER_DENSE);
	layer.units = 2;
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	unsigned char *image = qmdt_images(model, 1, 1);
	qmdt_quantize_by_hand(model, QMD_S8, image);
	free(image);
	qmdt_fails(qmd_engine_compile(model, NULL, &engine), QMD_ERROR_UNSUPPORTED, "batchnorm_1");
	qmd_model_free(model);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("engine_plan");
	TCase *plan = tcase_create("plan");
	tcase_add_test(plan, layers_are_fused);
	tcase_add_test(plan, layers_tell_what_they_read);
	tcase_add_test(plan, layers_tell_why_their_kernel_was_chosen);
	tcase_add_test(plan, fusion_can_be_switched_off);
	tcase_add_test(plan, tensors_share_memory);
	tcase_add_test(plan, sums_that_could_overflow_are_refused);
	tcase_add_test(plan, models_that_are_no_engines_are_refused);
	tcase_add_test(plan, an_unfolded_batchnorm_is_refused);
	suite_add_tcase(suite, plan);
	return qmdt_run(suite);
}
