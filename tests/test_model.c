/* The graph of layers: what may be added, and the shapes that follow. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#include "allocator_fixture.h"
#include "base/memory.h"
#include "model_fixture.h"

static void expect_output(const qmd_model *model, int32_t id, uint32_t h, uint32_t w, uint32_t c) {
	qmd_shape output;
	qmdt_ok(qmd_model_layer(model, (size_t)id, NULL, &output));
	ck_assert_msg(output.h == h && output.w == w && output.c == c, "layer %d: %u x %u x %u instead of %u x %u x %u", id,
				  output.h, output.w, output.c, h, w, c);
}

static qmd_layer read_layer(const qmd_model *model, int32_t id) {
	qmd_layer layer;
	qmd_layer_init(&layer, 0);
	qmdt_ok(qmd_model_layer(model, (size_t)id, &layer, NULL));
	return layer;
}

/* ---- The preset ---- */

START_TEST(the_preset_has_the_published_layers) {
	static const struct {
		const char *name;
		qmd_shape output;
	} expected[] = {
		{"input", {68, 68, 3}},       {"conv2d_1", {68, 68, 32}},  {"conv2d_2", {66, 66, 32}},
		{"relu_1", {66, 66, 32}},     {"maxpool_1", {33, 33, 32}}, {"dropout_1", {33, 33, 32}},
		{"conv2d_3", {33, 33, 64}},   {"relu_2", {33, 33, 64}},    {"conv2d_4", {31, 31, 64}},
		{"relu_3", {31, 31, 64}},     {"maxpool_2", {15, 15, 64}}, {"dropout_2", {15, 15, 64}},
		{"flatten_1", {1, 1, 14400}}, {"dense_1", {1, 1, 512}},    {"relu_4", {1, 1, 512}},
		{"dropout_3", {1, 1, 512}},   {"dense_2", {1, 1, 2}},      {"softmax_1", {1, 1, 2}},
	};
	qmd_model *model;
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){68, 68, 3}, 2, 1, &model));
	ck_assert_uint_eq(qmd_model_n_layers(model), sizeof expected / sizeof *expected);
	for (int32_t i = 0; i < (int32_t)qmd_model_n_layers(model); i++) {
		ck_assert_str_eq(read_layer(model, i).name, expected[i].name);
		expect_output(model, i, expected[i].output.h, expected[i].output.w, expected[i].output.c);
	}
	ck_assert(read_layer(model, 5).rate == 0.25f && read_layer(model, 11).rate == 0.25f);
	ck_assert(read_layer(model, 15).rate == 0.5f);
	ck_assert_uint_eq(qmd_model_n_classes(model), 2);
	/* 68*68*32*27 + 66*66*32*288 + 33*33*64*288 + 31*31*64*576 + 512*14400 + 2*512 */
	ck_assert_uint_eq(qmd_model_n_macs(model), 107012608);
	/* 32*27+32 + 32*288+32 + 64*288+64 + 64*576+64 + 512*14400+512 + 2*512+2 */
	ck_assert_uint_eq(qmd_model_n_parameters(model), 7439906);
	qmd_model_free(model);
}
END_TEST

START_TEST(the_preset_has_its_limits) {
	qmd_model *model = NULL;
	const qmd_shape smallest = {10, 10, 1};
	qmdt_ok(qmd_model_create_preset("icnnmd", smallest, 7, 1, &model));
	ck_assert_uint_eq(qmd_model_n_classes(model), 7);
	qmd_model_free(model);
	qmdt_fails(qmd_model_create_preset("icnnmd", (qmd_shape){9, 10, 3}, 2, 1, &model), QMD_ERROR_SHAPE,
			   "the input is 9 x 10, expected at least 10 x 10");
	ck_assert_ptr_null(model);
	qmdt_fails(qmd_model_create_preset("icnnmd", (qmd_shape){10, 10, 0}, 2, 1, &model), QMD_ERROR_RANGE, "10 x 10 x 0");
	qmdt_fails(qmd_model_create_preset("icnnmd", smallest, 1, 1, &model), QMD_ERROR_RANGE, "n_classes is 1");
	qmdt_fails(qmd_model_create_preset("resnet", smallest, 2, 1, &model), QMD_ERROR_ARGUMENT,
			   "'resnet' is unknown, expected 'icnnmd'");
	qmdt_fails(qmd_model_create_preset(NULL, smallest, 2, 1, &model), QMD_ERROR_ARGUMENT, "'name' is NULL");
	qmdt_fails(qmd_model_create_preset("icnnmd", smallest, 2, 1, NULL), QMD_ERROR_ARGUMENT, "'model' is NULL");
}
END_TEST

/* ---- Shapes ---- */

START_TEST(a_model_begins_with_its_input) {
	qmd_model *model = qmdt_model(4, 5, 6);
	ck_assert_uint_eq(qmd_model_n_layers(model), 1);
	ck_assert_int_eq(read_layer(model, 0).kind, QMD_LAYER_INPUT);
	expect_output(model, 0, 4, 5, 6);
	ck_assert_uint_eq(qmd_model_n_classes(model), 0);
	ck_assert_uint_eq(qmd_model_n_macs(model), 0);
	ck_assert_uint_eq(qmd_model_n_parameters(model), 0);
	qmd_model_free(model);
	ck_assert_uint_eq(qmd_model_n_layers(NULL), 0);
	ck_assert_uint_eq(qmd_model_n_classes(NULL), 0);
	ck_assert_uint_eq(qmd_model_n_macs(NULL), 0);
	ck_assert_int_eq(qmd_model_is_quantized(NULL), 0);
	qmd_model_free(NULL);
	static const qmd_shape refused[] = {{0, 1, 1}, {1, 0, 1}, {1, 1, 0}, {65536, 32768, 1}, {~0u, ~0u, ~0u}};
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		qmdt_fails(qmd_model_create(refused[i], &model), QMD_ERROR_RANGE, "input of ");
	qmdt_ok(qmd_model_create((qmd_shape){1, 1, 0x7fffffff}, &model));
	qmd_model_free(model);
}
END_TEST

/* Output and padding of TensorFlow's 'SAME' and 'VALID', from its documentation of tf.nn.convolution. */
START_TEST(windows_slide_as_documented) {
	static const struct {
		uint32_t in, kernel, stride;
		int32_t padding;
		uint32_t out, before, after;
	} cases[] = {
		{5, 3, 1, QMD_PADDING_SAME, 5, 1, 1},  {5, 3, 2, QMD_PADDING_SAME, 3, 1, 1},
		{6, 3, 2, QMD_PADDING_SAME, 3, 0, 1},  {5, 2, 1, QMD_PADDING_SAME, 5, 0, 1},
		{4, 1, 2, QMD_PADDING_SAME, 2, 0, 0},  {3, 7, 1, QMD_PADDING_SAME, 3, 3, 3},
		{3, 6, 4, QMD_PADDING_SAME, 1, 1, 2},  {5, 3, 1, QMD_PADDING_VALID, 3, 0, 0},
		{6, 3, 2, QMD_PADDING_VALID, 2, 0, 0}, {7, 3, 2, QMD_PADDING_VALID, 3, 0, 0},
		{3, 3, 9, QMD_PADDING_VALID, 1, 0, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		qmd_model *model = qmdt_model(cases[i].in, 20, 2); /* one direction ... */
		qmd_layer layer = qmdt_layer(QMD_LAYER_CONV2D);
		layer.units = 3;
		layer.kernel_h = cases[i].kernel;
		layer.stride_h = cases[i].stride;
		layer.kernel_w = 1;
		layer.padding = cases[i].padding;
		qmdt_ok(qmd_model_add(model, &layer, NULL));
		expect_output(model, 1, cases[i].out, 20, 3);
		const qmd_layer used = read_layer(model, 1);
		ck_assert_uint_eq(used.pad_top, cases[i].before);
		ck_assert_uint_eq(used.pad_bottom, cases[i].after);
		ck_assert_uint_eq(used.pad_left + used.pad_right, 0);
		qmd_model_free(model);

		model = qmdt_model(20, cases[i].in, 2); /* ... and the other */
		layer.kernel_w = cases[i].kernel;
		layer.stride_w = cases[i].stride;
		layer.kernel_h = layer.stride_h = 1;
		qmdt_ok(qmd_model_add(model, &layer, NULL));
		expect_output(model, 1, 20, cases[i].out, 3);
		ck_assert_uint_eq(read_layer(model, 1).pad_left, cases[i].before);
		ck_assert_uint_eq(read_layer(model, 1).pad_right, cases[i].after);
		qmd_model_free(model);
	}
}
END_TEST

START_TEST(explicit_padding_is_used_as_it_is) {
	qmd_model *model = qmdt_model(5, 6, 1);
	qmd_layer layer = qmdt_layer(QMD_LAYER_CONV2D);
	layer.units = 2;
	layer.kernel_h = 4;
	layer.kernel_w = 5;
	layer.padding = QMD_PADDING_EXPLICIT;
	layer.pad_top = 1;
	layer.pad_bottom = 3;
	layer.pad_left = 4;
	layer.pad_right = 2;
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	expect_output(model, 1, 6, 8, 2); /* 5+1+3-4+1, 6+4+2-5+1 */
	const qmd_layer used = read_layer(model, 1);
	ck_assert(used.pad_top == 1 && used.pad_bottom == 3 && used.pad_left == 4 && used.pad_right == 2);
	qmd_model_free(model);
}
END_TEST

START_TEST(every_kind_has_its_shape) {
	qmd_model *model = qmdt_model_of_every_kind();
	expect_output(model, 1, 9, 9, 4);  /* conv2d same */
	expect_output(model, 2, 9, 9, 4);  /* batchnorm */
	expect_output(model, 3, 9, 9, 4);  /* relu */
	expect_output(model, 4, 9, 9, 4);  /* conv2d 1x1 */
	expect_output(model, 5, 9, 9, 4);  /* add */
	expect_output(model, 6, 4, 4, 4);  /* maxpool 2: the ninth row and column are dropped */
	expect_output(model, 7, 2, 2, 4);  /* avgpool 2 */
	expect_output(model, 8, 2, 2, 4);  /* dropout */
	expect_output(model, 9, 1, 1, 16); /* flatten */
	expect_output(model, 10, 1, 1, 2);
	expect_output(model, 11, 1, 1, 2);
	ck_assert(read_layer(model, 6).stride_h == 2 && read_layer(model, 6).stride_w == 2);
	ck_assert(read_layer(model, 5).inputs[0] == 3 && read_layer(model, 5).inputs[1] == 4);
	ck_assert(read_layer(model, 2).inputs[0] == 1 && read_layer(model, 2).inputs[1] == QMD_PREVIOUS);
	ck_assert(read_layer(model, 2).epsilon == 1e-3f && read_layer(model, 2).momentum == 0.99f);
	/* conv2d 4*27+4, batchnorm 4+4, conv2d 4*4+4, dense 2*16+2 */
	ck_assert_uint_eq(qmd_model_n_parameters(model), 112 + 8 + 20 + 34);
	ck_assert_uint_eq(qmd_model_n_macs(model), 81 * 4 * 27 + 81 * 4 * 4 + 2 * 16);
	qmd_model_free(model);

	model = qmdt_model(9, 7, 3);
	qmd_layer pool = qmdt_layer(QMD_LAYER_MAXPOOL);
	pool.kernel_h = 3;
	pool.kernel_w = 2;
	pool.stride_h = 2;
	qmdt_ok(qmd_model_add(model, &pool, NULL));
	expect_output(model, 1, 4, 3, 3);
	ck_assert_uint_eq(read_layer(model, 1).stride_w, 2);
	expect_output(model, qmdt_add_kind(model, QMD_LAYER_GLOBAL_AVGPOOL), 1, 1, 3);
	ck_assert_uint_eq(qmd_model_n_classes(model), 3);
	expect_output(model, qmdt_add_dense(model, 5), 1, 1, 5); /* 1 x 1 x c is flat */
	qmd_model_free(model);
}
END_TEST

START_TEST(what_a_kind_does_not_use_reads_back_as_0) {
	qmd_model *model = qmdt_model(4, 4, 1);
	qmd_layer layer = qmdt_layer(QMD_LAYER_RELU);
	layer.units = 7;
	layer.kernel_h = 9;
	layer.padding = 77;
	layer.pad_left = 3;
	layer.rate = NAN;
	layer.inputs[1] = 12;
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	const qmd_layer used = read_layer(model, 1);
	ck_assert(used.units == 0 && used.kernel_h == 0 && used.padding == 0 && used.pad_left == 0 && used.rate == 0);
	ck_assert_int_eq(used.inputs[1], QMD_PREVIOUS);
	qmd_model_free(model);
}
END_TEST

/* ---- What is refused ---- */

/* Adding must fail and leave the model as it was. */
#define refuses(model, layer, status, part)                                                                            \
	do {                                                                                                               \
		const size_t n_before = qmd_model_n_layers(model);                                                             \
		int32_t id_before = -7;                                                                                        \
		qmdt_fails(qmd_model_add(model, layer, &id_before), status, part);                                             \
		ck_assert_int_eq(id_before, -7);                                                                               \
		ck_assert_uint_eq(qmd_model_n_layers(model), n_before);                                                        \
	} while (0)

START_TEST(convolutions_are_checked) {
	qmd_model *model = qmdt_model(4, 5, 1);
	qmd_layer good = qmdt_layer(QMD_LAYER_CONV2D);
	good.name = "first";
	good.units = 2;
	good.kernel_h = good.kernel_w = 3;
	qmd_layer layer = good;
	layer.units = 0;
	refuses(model, &layer, QMD_ERROR_RANGE, "layer 'first': units is 0");
	layer = good;
	layer.kernel_h = 0;
	refuses(model, &layer, QMD_ERROR_RANGE, "layer 'first': kernel_h is 0");
	layer = good;
	layer.kernel_w = 0;
	refuses(model, &layer, QMD_ERROR_RANGE, "layer 'first': kernel_w is 0");
	layer = good;
	layer.stride_h = 0;
	refuses(model, &layer, QMD_ERROR_RANGE, "layer 'first': stride_h is 0");
	layer = good;
	layer.stride_w = 0;
	refuses(model, &layer, QMD_ERROR_RANGE, "layer 'first': stride_w is 0");
	layer = good;
	layer.kernel_h = 5;
	refuses(model, &layer, QMD_ERROR_SHAPE, "layer 'first': a kernel of 5 x 3 does not fit into 4 x 5");
	layer.padding = 9;
	refuses(model, &layer, QMD_ERROR_ARGUMENT, "layer 'first': padding is 9");
	layer.padding = QMD_PADDING_EXPLICIT;
	layer.pad_top = 5;
	refuses(model, &layer, QMD_ERROR_RANGE, "layer 'first': pad_top is 5, expected less than the kernel's extent 5");
	layer.pad_top = 0;
	layer.pad_right = UINT32_MAX;
	refuses(model, &layer, QMD_ERROR_RANGE, "layer 'first': pad_right is 4294967295");
	layer.pad_right = 2;
	refuses(model, &layer, QMD_ERROR_SHAPE, "a kernel of 5 x 3 does not fit into 4 x 7");
	qmdt_ok(qmd_model_add(model, &good, NULL));
	qmd_model_free(model);
}
END_TEST

START_TEST(sizes_are_limited) {
	qmd_model *model = qmdt_model(1000, 1000, 3);
	qmd_layer layer = qmdt_layer(QMD_LAYER_CONV2D);
	layer.units = UINT32_MAX;
	layer.kernel_h = layer.kernel_w = 1;
	refuses(model, &layer, QMD_ERROR_RANGE, "layer 'conv2d_1': a weight of 4294967295 x 1 x 1 x 3 has more than");
	layer.units = 3000;
	refuses(model, &layer, QMD_ERROR_RANGE, "layer 'conv2d_1': an output of 1000 x 1000 x 3000 x 1 has more than");
	layer.kernel_h = UINT32_MAX;
	layer.padding = QMD_PADDING_SAME;
	refuses(model, &layer, QMD_ERROR_RANGE, "more than");
	layer = qmdt_layer(QMD_LAYER_MAXPOOL);
	layer.kernel_h = UINT32_MAX;
	layer.kernel_w = 1;
	refuses(model, &layer, QMD_ERROR_SHAPE, "a kernel of 4294967295 x 1 does not fit");
	qmd_model_free(model);

	model = qmdt_model(2000, 2000, 3);
	layer = qmdt_layer(QMD_LAYER_CONV2D);
	layer.units = 500;
	layer.kernel_h = layer.kernel_w = 1000;
	layer.padding = QMD_PADDING_SAME;
	refuses(model, &layer, QMD_ERROR_RANGE, "6000000000000000 multiplications an image, more than 2^52");
	qmd_model_free(model);

	model = qmdt_model(1, 1, 0x7fffffff);
	layer = qmdt_layer(QMD_LAYER_DENSE);
	layer.units = 2;
	refuses(model, &layer, QMD_ERROR_RANGE, "layer 'dense_1': a weight of 2 x 2147483647 x 1 x 1 has more than");
	qmd_model_free(model);

	model = qmdt_model(1, 1, 1);
	for (size_t i = 1; i < QMDI_MAX_LAYERS; i++)
		qmdt_add_kind(model, QMD_LAYER_RELU);
	layer = qmdt_layer(QMD_LAYER_RELU);
	refuses(model, &layer, QMD_ERROR_RANGE, "after 'relu_1023': a model has at most 1024 layers");
	qmd_model_free(model);
}
END_TEST

START_TEST(other_kinds_are_checked) {
	qmd_model *model = qmdt_model(4, 5, 2);
	qmd_layer layer = qmdt_layer(QMD_LAYER_DENSE);
	layer.units = 3;
	refuses(model, &layer, QMD_ERROR_SHAPE, "layer 'dense_1': its input is 4 x 5 x 2, expected 1 x 1 x n");
	layer = qmdt_layer(QMD_LAYER_SOFTMAX);
	refuses(model, &layer, QMD_ERROR_SHAPE, "layer 'softmax_1': its input is 4 x 5 x 2");
	layer = qmdt_layer(QMD_LAYER_AVGPOOL);
	refuses(model, &layer, QMD_ERROR_RANGE, "layer 'avgpool_1': kernel_h is 0");
	layer.kernel_h = layer.kernel_w = 5;
	refuses(model, &layer, QMD_ERROR_SHAPE, "layer 'avgpool_1': a kernel of 5 x 5 does not fit into 4 x 5");
	static const float rates[] = {-0.1f, 1.0f, NAN, INFINITY};
	for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
		layer = qmdt_layer(QMD_LAYER_DROPOUT);
		layer.rate = rates[i];
		refuses(model, &layer, QMD_ERROR_RANGE, "layer 'dropout_1': rate is ");
	}
	static const float epsilons[] = {0.0f, -1e-3f, NAN, INFINITY};
	static const float momenta[] = {-0.1f, 1.1f, NAN, INFINITY};
	for (size_t i = 0; i < sizeof epsilons / sizeof *epsilons; i++) {
		layer = qmdt_layer(QMD_LAYER_BATCHNORM);
		layer.epsilon = epsilons[i];
		refuses(model, &layer, QMD_ERROR_RANGE, "layer 'batchnorm_1': epsilon is ");
		layer = qmdt_layer(QMD_LAYER_BATCHNORM);
		layer.momentum = momenta[i];
		refuses(model, &layer, QMD_ERROR_RANGE, "layer 'batchnorm_1': momentum is ");
	}
	static const int32_t kinds[] = {QMD_LAYER_INPUT, 0, 13, -1, INT32_MAX, INT32_MIN};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		layer = qmdt_layer(kinds[i]);
		refuses(model, &layer, QMD_ERROR_ARGUMENT, "cannot be added");
	}
	layer = qmdt_layer(QMD_LAYER_RELU);
	layer.struct_size = 3;
	refuses(model, &layer, QMD_ERROR_ARGUMENT, "qmd_layer: struct_size is 3");
	refuses(model, NULL, QMD_ERROR_ARGUMENT, "'layer' is NULL");
	qmdt_fails(qmd_model_add(NULL, &layer, NULL), QMD_ERROR_ARGUMENT, "'model' is NULL");
	qmd_model_free(model);
}
END_TEST

START_TEST(inputs_are_checked) {
	qmd_model *model = qmdt_model(6, 6, 2);
	const int32_t one = qmdt_add_conv(model, QMD_PREVIOUS, 2, 3, 1, QMD_PADDING_SAME);
	const int32_t two = qmdt_add_conv(model, QMD_PREVIOUS, 2, 3, 1, QMD_PADDING_VALID);
	qmd_layer layer = qmdt_layer(QMD_LAYER_ADD);
	refuses(model, &layer, QMD_ERROR_ARGUMENT, "layer 'add_1': both inputs are layer 2");
	layer.inputs[0] = one;
	layer.inputs[1] = two;
	refuses(model, &layer, QMD_ERROR_SHAPE, "layer 'add_1': its inputs are 6 x 6 x 2 and 4 x 4 x 2");
	static const int32_t numbers[] = {3, -2, INT32_MAX, INT32_MIN};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		layer = qmdt_layer(QMD_LAYER_ADD);
		layer.inputs[1] = numbers[i];
		refuses(model, &layer, QMD_ERROR_RANGE, "is not one of the layers 0 to 2");
		layer = qmdt_layer(QMD_LAYER_RELU);
		layer.inputs[0] = numbers[i];
		refuses(model, &layer, QMD_ERROR_RANGE, "layer 'relu_1': input ");
	}
	qmdt_add_sum(model, 0, one);
	qmdt_add_kind(model, QMD_LAYER_FLATTEN);
	const int32_t logits = qmdt_add_dense(model, 3);
	qmdt_add_kind(model, QMD_LAYER_RELU);
	layer = qmdt_layer(QMD_LAYER_SOFTMAX);
	layer.inputs[0] = logits;
	refuses(model, &layer, QMD_ERROR_ARGUMENT, "layer 'softmax_1': its input is layer 5, expected the last, 6");
	qmdt_add_kind(model, QMD_LAYER_SOFTMAX);
	layer = qmdt_layer(QMD_LAYER_RELU);
	refuses(model, &layer, QMD_ERROR_STATE, "cannot be added after softmax 'softmax_1'");
	qmd_model_free(model);
}
END_TEST

START_TEST(names_are_unique_and_stay_where_they_are) {
	qmd_model *model = qmdt_model(2, 2, 1);
	qmd_layer layer = qmdt_layer(QMD_LAYER_RELU);
	char longest[QMDI_LAYER_NAME_SIZE + 1];
	memset(longest, 'n', sizeof longest);
	longest[QMDI_LAYER_NAME_SIZE] = '\0';
	layer.name = longest;
	refuses(model, &layer, QMD_ERROR_ARGUMENT, "...': a name has 1 to 63 bytes");
	longest[QMDI_LAYER_NAME_SIZE - 1] = '\0';
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	ck_assert_str_eq(read_layer(model, 1).name, longest);
	refuses(model, &layer, QMD_ERROR_ARGUMENT, "the name is taken");
	layer.name = "input";
	refuses(model, &layer, QMD_ERROR_ARGUMENT, "layer 'input': the name is taken");
	layer.name = "";
	refuses(model, &layer, QMD_ERROR_ARGUMENT, "layer '': a name has 1 to 63 bytes");
	layer.name = "a\nb";
	refuses(model, &layer, QMD_ERROR_ARGUMENT, "layer 'a?b': byte 1 of its name is a control character");
	layer.name = "relu_4";
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	const char *early = read_layer(model, 2).name;
	qmdt_add_kind(model, QMD_LAYER_RELU);
	ck_assert_str_eq(read_layer(model, 3).name, "relu_3");
	qmdt_add_kind(model, QMD_LAYER_RELU);
	ck_assert_str_eq(read_layer(model, 4).name, "relu_5"); /* the fourth, whose name was taken */
	for (int i = 0; i < 200; i++)
		qmdt_add_kind(model, QMD_LAYER_RELU);
	ck_assert_ptr_eq(read_layer(model, 2).name, early);
	ck_assert_str_eq(early, "relu_4");
	qmd_model_free(model);
}
END_TEST

START_TEST(reading_a_layer_is_checked) {
	qmd_model *model = qmdt_model(2, 2, 1);
	qmd_layer layer = qmdt_layer(0);
	qmdt_fails(qmd_model_layer(model, 1, &layer, NULL), QMD_ERROR_RANGE, "layer 1: the model has layers 0 to 0");
	qmdt_fails(qmd_model_layer(NULL, 0, &layer, NULL), QMD_ERROR_ARGUMENT, "'model' is NULL");
	layer.struct_size = 0;
	qmdt_fails(qmd_model_layer(model, 0, &layer, NULL), QMD_ERROR_ARGUMENT, "qmd_layer: struct_size is 0");
	qmdt_ok(qmd_model_layer(model, 0, NULL, NULL));
	qmd_model_free(model);
}
END_TEST

/* A layer whose parameters cannot be had leaves the model as it was, and can be added later. */
START_TEST(a_layer_without_memory_is_not_added) {
	qmd_model *model = qmdt_model(4, 4, 1);
	qmd_layer layer = qmdt_layer(QMD_LAYER_CONV2D);
	layer.units = 2;
	layer.kernel_h = layer.kernel_w = 3;
	size_t nth = 0;
	do {
		ck_assert_uint_eq(qmd_model_n_layers(model), 1);
		qmdt_allocator_install(++nth);
	} while (qmd_model_add(model, &layer, NULL) == QMD_ERROR_MEMORY);
	ck_assert_uint_eq(qmd_model_n_layers(model), 2);
	ck_assert_uint_eq(nth, 4); /* weight, bias and name had failed */
	qmdt_allocator_remove();
	expect_output(model, 1, 2, 2, 2);
	qmd_model_free(model);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("model");
	TCase *graph = tcase_create("graph");
	tcase_add_test(graph, the_preset_has_the_published_layers);
	tcase_add_test(graph, the_preset_has_its_limits);
	tcase_add_test(graph, a_model_begins_with_its_input);
	tcase_add_test(graph, windows_slide_as_documented);
	tcase_add_test(graph, explicit_padding_is_used_as_it_is);
	tcase_add_test(graph, every_kind_has_its_shape);
	tcase_add_test(graph, what_a_kind_does_not_use_reads_back_as_0);
	tcase_add_test(graph, convolutions_are_checked);
	tcase_add_test(graph, sizes_are_limited);
	tcase_add_test(graph, other_kinds_are_checked);
	tcase_add_test(graph, inputs_are_checked);
	tcase_add_test(graph, names_are_unique_and_stay_where_they_are);
	tcase_add_test(graph, reading_a_layer_is_checked);
	tcase_add_test(graph, a_layer_without_memory_is_not_added);
	suite_add_tcase(suite, graph);
	return qmdt_run(suite);
}
