/* Model files: round trips, the documented bytes, damage, and hostile files whose checksums are right. */
#include "support.h"

#include <math.h>
#include <stdio.h>

#include "allocator_fixture.h"
#include "base/container.h"
#include "base/random.h"
#include "container_fixture.h"
#include "model_fixture.h"

static qmd_status load(const char *path) {
	qmd_model *model;
	const qmd_status status = qmd_model_load(path, &model);
	ck_assert_msg(status == QMD_OK || !model, "a model was left after %s", qmd_last_error());
	qmd_model_free(model);
	return status;
}

/* conv2d - relu - flatten - dropout - dense - softmax on 2 x 2 pixels, bound and quantized: every section, few bytes.
 */
static qmd_model *small_model(void) {
	static const char *const names[] = {"open", "closed"};
	qmd_model *model = qmdt_model(2, 2, 3);
	qmdt_add_conv(model, QMD_PREVIOUS, 2, 2, 1, QMD_PADDING_SAME);
	qmdt_add_kind(model, QMD_LAYER_RELU);
	qmdt_add_kind(model, QMD_LAYER_FLATTEN);
	qmdt_add_dropout(model, 0.25f);
	qmdt_add_dense(model, 2);
	qmdt_add_kind(model, QMD_LAYER_SOFTMAX);
	qmdt_ok(qmd_model_initialize(model, 3));
	qmd_pixels *pixels = qmdt_pixels(2, QMD_PIXELS_DISPLACEMENT);
	qmdt_ok(qmd_model_bind(model, pixels, names));
	qmd_pixels_free(pixels);
	qmdt_set_scales(model);
	return model;
}

static const char *save_small_model(const char *name) {
	const char *path = qmdt_scratch(name);
	qmd_model *model = small_model();
	qmdt_ok(qmd_model_save(model, path));
	qmd_model_free(model);
	return path;
}

static void expect_equal_files(const char *a, const char *b) {
	size_t a_size, b_size;
	unsigned char *a_data = qmdt_read_file(a, &a_size), *b_data = qmdt_read_file(b, &b_size);
	ck_assert_uint_eq(a_size, b_size);
	ck_assert_mem_eq(a_data, b_data, a_size);
	free(a_data);
	free(b_data);
}

/* ---- Round trips ---- */

static void expect_equal_layers(const qmdi_layer *a, const qmdi_layer *b) {
	qmd_layer a_definition = a->definition, b_definition = b->definition;
	ck_assert_str_eq(a_definition.name, b_definition.name);
	a_definition.name = b_definition.name = NULL;
	ck_assert_mem_eq(&a_definition, &b_definition, offsetof(qmd_layer, momentum) + sizeof a_definition.momentum);
	ck_assert_mem_eq(&a->input, &b->input, sizeof a->input);
	ck_assert_mem_eq(&a->output, &b->output, sizeof a->output);
	for (int i = 0; i < QMDI_MAX_PARAMETERS; i++) {
		ck_assert_uint_eq(a->n_parameters[i], b->n_parameters[i]);
		if (a->n_parameters[i] > 0)
			ck_assert_mem_eq(a->parameters[i], b->parameters[i], a->n_parameters[i] * sizeof(float));
	}
	ck_assert(a->activation_scale == b->activation_scale);
	ck_assert(!a->weight_scales == !b->weight_scales);
	if (a->weight_scales)
		ck_assert_mem_eq(a->weight_scales, b->weight_scales, a->definition.units * sizeof(float));
}

/* What is loaded equals what was saved, and is saved as the same bytes. */
static void expect_round_trip(const qmd_model *model) {
	const char *path = qmdt_scratch("round-trip"), *again = qmdt_scratch("again");
	qmd_model *loaded;
	qmdt_ok(qmd_model_save(model, path));
	qmdt_ok(qmd_model_load(path, &loaded));
	ck_assert_uint_eq(loaded->n_layers, model->n_layers);
	for (size_t i = 0; i < model->n_layers; i++)
		expect_equal_layers(&loaded->layers[i], &model->layers[i]);
	ck_assert_uint_eq(loaded->weight_bits, model->weight_bits);
	ck_assert_uint_eq(loaded->activation_bits, model->activation_bits);
	ck_assert_int_eq(loaded->image_type, model->image_type);
	ck_assert(!loaded->passes == !model->passes);
	if (model->passes)
		ck_assert_str_eq(loaded->passes, model->passes);
	ck_assert(!loaded->pixels == !model->pixels);
	ck_assert_uint_eq(loaded->n_class_names, model->n_class_names);
	for (size_t i = 0; i < model->n_class_names; i++)
		ck_assert_str_eq(loaded->class_names[i], model->class_names[i]);
	qmdt_ok(qmd_model_save(loaded, again));
	expect_equal_files(path, again);
	qmd_model_free(loaded);
}

START_TEST(models_are_loaded_as_they_were_saved) {
	qmd_model *model = qmdt_model(1, 1, 1);
	expect_round_trip(model);
	qmd_model_free(model);
	model = qmdt_model_of_every_kind();
	qmdt_draw_parameters(model, 4);
	expect_round_trip(model);
	qmd_pixels *pixels = qmdt_pixels(9, QMD_PIXELS_ICNNMD);
	qmdt_ok(qmd_model_bind(model, pixels, NULL));
	qmd_pixels_free(pixels);
	expect_round_trip(model);
	qmd_model_free(model);
	model = qmdt_residual_net(1);
	expect_round_trip(model);
	qmd_model_free(model);
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){12, 12, 3}, 4, 1, &model));
	expect_round_trip(model);
	qmd_model_free(model);
	model = small_model();
	expect_round_trip(model);
	qmd_model_free(model);
}
END_TEST

START_TEST(what_quantization_makes_is_saved) {
	enum { N = 8 };
	unsigned char images[N * 11 * 9 * 3];
	uint32_t labels[N];
	for (uint32_t i = 0; i < sizeof images; i++)
		images[i] = (unsigned char)qmdi_random_u32(6, 0, i);
	for (uint32_t i = 0; i < N; i++)
		labels[i] = i % 3;
	qmd_model *model = qmdt_residual_net(1);
	qmdt_draw_parameters(model, 2);
	static const uint32_t bits[] = {8, 4, 2};
	for (size_t i = 0; i < 3; i++) {
		qmd_quantize_options options;
		qmd_quantize_options_init(&options);
		options.weight_bits = options.activation_bits = bits[i];
		options.epochs = 1;
		options.batch_size = 4;
		options.n_threads = 1;
		qmd_model *quantized;
		qmdt_ok(qmd_quantize_images(model, images, i % 2 ? QMD_S8 : QMD_U8, labels, N, &options, &quantized));
		expect_round_trip(quantized);
		qmd_model_free(quantized);
	}
	qmd_model_free(model);
}
END_TEST

START_TEST(pixels_come_back_with_their_model) {
	qmd_model *model;
	qmdt_ok(qmd_model_load(save_small_model("with-pixels"), &model));
	const qmd_pixels *pixels = qmd_model_pixels(model);
	ck_assert_uint_eq(qmd_pixels_n_atoms(pixels), 4);
	ck_assert_int_eq(qmd_pixels_kind_of(pixels), QMD_PIXELS_DISPLACEMENT);
	qmd_atom atom;
	qmdt_ok(qmd_pixels_atom(pixels, 3, &atom));
	ck_assert_int_eq(atom.residue_number, 4);
	float reference[12];
	qmdt_ok(qmd_pixels_reference(pixels, reference));
	ck_assert(reference[9] == 3.8f * 3);
	qmd_model_free(model);
}
END_TEST

START_TEST(a_file_is_written_as_documented) {
	qmd_model *model = qmdt_model(1, 1, 2);
	qmdt_add_dense(model, 1);
	const float weight[2] = {1.0f, -2.0f}, bias = 0.5f;
	qmdt_ok(qmd_model_set_parameters(model, "dense_1", "weight", 2, weight));
	qmdt_ok(qmd_model_set_parameters(model, "dense_1", "bias", 1, &bias));
	const char *path = qmdt_scratch("documented");
	qmdt_ok(qmd_model_save(model, path));
	qmd_model_free(model);
	static const unsigned char graph[] = {
		1, 0, 0, 0, 1,    0,    0,    0,    2,   0,   0,   0, 1, 0, 0, 0,             /* input h w c, 1 layer */
		7, 0, 0, 0, 'd',  'e',  'n',  's',  'e', '_', '1', 3, 0, 0, 0,                /* name, kind */
		0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1,   0,   0,   0,                         /* inputs, units */
		0, 0, 0, 0, 0,    0,    0,    0,    0,   0,   0,   0, 0, 0, 0, 0,             /* kernel, stride */
		0, 0, 0, 0, 0,    0,    0,    0,    0,   0,   0,   0, 0, 0, 0, 0, 0, 0, 0, 0, /* padding, pads */
		0, 0, 0, 0, 0,    0,    0,    0,    0,   0,   0,   0};                        /* rate, epsilon, momentum */
	static const unsigned char weights[] = {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0, 0x3f};
	size_t file_size, size;
	unsigned char *data = qmdt_read_file(path, &file_size);
	ck_assert_mem_eq(data, "QMDMODEL", 8);
	ck_assert_uint_eq(qmdt_load(data + 8, 4), 1);  /* major */
	ck_assert_uint_eq(qmdt_load(data + 12, 4), 0); /* minor */
	ck_assert_uint_eq(qmdt_load(data + 24, 4), 2); /* sections */
	ck_assert_mem_eq(data + qmdt_find_section(data, "graph", &size), graph, sizeof graph);
	ck_assert_uint_eq(size, sizeof graph);
	ck_assert_mem_eq(data + qmdt_find_section(data, "weights", &size), weights, sizeof weights);
	ck_assert_uint_eq(size, sizeof weights);
	free(data);
}
END_TEST

/* ---- Damage ---- */

START_TEST(every_damage_is_refused) {
	qmdt_refuses_damage(save_small_model("whole"), qmdt_scratch("damaged"), load);
}
END_TEST

START_TEST(other_files_are_refused) {
	const char *path = qmdt_scratch("other");
	qmd_model *model;
	qmdt_write_file(path, "", 0);
	qmdt_fails(load(path), QMD_ERROR_FORMAT, "other: header: the file has 0 bytes");
	qmdt_write_file(path, "ATOM      1  N   MET A   1      26.981  53.977  40.085  1.00 40.83", 66);
	qmdt_fails(load(path), QMD_ERROR_FORMAT, "magic is 'ATOM    ', expected 'QMDMODEL'");
	qmdt_fails(load(qmdt_scratch("absent")), QMD_ERROR_IO, "absent: cannot be opened");
	qmdt_fails(qmd_model_load(NULL, &model), QMD_ERROR_ARGUMENT, "'path' is NULL");
	qmdt_fails(qmd_model_load(path, NULL), QMD_ERROR_ARGUMENT, "'model' is NULL");

	size_t size;
	unsigned char *data = qmdt_read_file(save_small_model("newer"), &size);
	qmdt_store(data + 8, 4, 2);
	qmdt_reseal_container(data, size);
	qmdt_write_file(path, data, size);
	qmdt_fails(load(path), QMD_ERROR_VERSION, "format version is 2.0, libqmd 0.1.0 reads versions up to 1.x");
	free(data);
}
END_TEST

/* ---- Hostile files whose checksums are right ---- */

typedef struct craft {
	const char *section;
	size_t offset, n_bytes; /* in the section */
	uint64_t value;
	const char *text; /* of the refusal */
} craft;

/* Bits of a float. */
#define MINUS_ONE 0xbf800000u
#define ONE 0x3f800000u
#define INFINITE 0x7f800000u
#define NOT_A_NUMBER 0x7fc00000u
#define DENORMAL 1u

#define FLATTEN_IN_ASCII UINT64_C(0x5f6e657474616c66)

/*
 * Layers of small_model() in "graph": the input's 12 bytes and the number of layers, then of each layer a text (4 bytes
 * and the name) and 64 bytes. In "quantization": 12 bytes, a text of 4 + 41 bytes, then the layers' scales.
 */
enum {
	N_LAYERS = 12,
	CONV_NAME = 16,
	CONV = CONV_NAME + 4 + 8,
	RELU_NAME = CONV + 64,
	RELU = RELU_NAME + 4 + 6,
	FLATTEN = RELU + 64 + 4 + 9,
	DROPOUT = FLATTEN + 64 + 4 + 9,
	DENSE = DROPOUT + 64 + 4 + 7,
	KIND = 0,
	INPUT = 4,
	SECOND_INPUT = 8,
	UNITS = 12,
	KERNEL_H = 16,
	STRIDE_H = 24,
	PADDING = 32,
	PAD_TOP = 36,
	PAD_BOTTOM = 44,
	RATE = 52,
	SCALES = 12 + 4 + 41,
	CONV_SCALE = SCALES + 4,
	CONV_WEIGHT_SCALE = CONV_SCALE + 4,
	RELU_SCALE = CONV_WEIGHT_SCALE + 8,
	DENSE_SCALE = RELU_SCALE + 12,
};

static const craft crafts[] = {
	{"graph", 0, 4, 0, "input of 0 x 2 x 3"},
	{"graph", 0, 4, UINT32_MAX, "input of 4294967295 x 2 x 3"},
	{"graph", 0, 4, 3, "layer 'dense_1' has 26 parameters, but only 18 are left in the file"},
	{"graph", N_LAYERS, 4, UINT32_MAX, "section 'graph': offset "},
	{"graph", N_LAYERS, 4, 5, "bytes are left over"},
	{"graph", N_LAYERS, 4, 0, "bytes are left over"},
	{"graph", CONV_NAME, 4, 64, "a text of 64 bytes, expected less than 64"},
	{"graph", CONV_NAME, 4, UINT32_MAX, "a text of 4294967295 bytes"},
	{"graph", CONV_NAME + 4, 1, 0, "NUL"},
	{"graph", CONV_NAME + 4, 1, '\n', "control character"},
	{"graph", CONV + KIND, 4, QMD_LAYER_INPUT, "kind 1 cannot be added"},
	{"graph", CONV + KIND, 4, 13, "kind 13 cannot be added"},
	{"graph", CONV + KIND, 4, QMD_LAYER_DENSE, "its input is 2 x 2 x 3"},
	{"graph", CONV + INPUT, 4, 1, "input 1 is not one of the layers 0 to 0"},
	{"graph", CONV + INPUT, 4, UINT32_MAX, "the byte is 255, but by the rest of the graph it is 0"},
	{"graph", CONV + SECOND_INPUT, 4, 0, "by the rest of the graph it is 255"},
	{"graph", CONV + UNITS, 4, 0, "units is 0"},
	{"graph", CONV + UNITS, 4, UINT32_MAX, "a weight of 4294967295 x 2 x 2 x 3 has more than"},
	{"graph", CONV + UNITS, 4, 100000000,
	 "layer 'conv2d_1' has 1300000000 parameters, but only 44 are left in the file"},
	{"graph", CONV + UNITS, 4, 4, "are left in the file"},
	{"graph", CONV + KERNEL_H, 4, 0, "kernel_h is 0"},
	{"graph", CONV + KERNEL_H, 4, 1, "by the rest of the graph it is 0"},
	{"graph", CONV + STRIDE_H, 4, 0, "stride_h is 0"},
	{"graph", CONV + STRIDE_H, 4, 2, "by the rest of the graph"},
	{"graph", CONV + PADDING, 4, 0, "padding is 0"},
	{"graph", CONV + PADDING, 4, QMD_PADDING_VALID, "by the rest of the graph"},
	{"graph", CONV + PAD_TOP, 4, 1, "by the rest of the graph it is 0"},
	{"graph", CONV + PAD_BOTTOM, 4, 0, "by the rest of the graph it is 1"},
	{"graph", DROPOUT - 9, 8, FLATTEN_IN_ASCII, "layer 'flatten_1': the name is taken"},
	{"graph", RELU + UNITS, 4, 7, "by the rest of the graph it is 0"},
	{"graph", RELU + KIND, 4, QMD_LAYER_ADD, "both inputs are layer 1"},
	{"graph", DROPOUT + RATE, 4, NOT_A_NUMBER, "rate is "},
	{"graph", DROPOUT + RATE, 4, ONE, "layer 'dropout_1': rate is 1"},
	{"graph", DENSE + UNITS, 4, 3, "layer 'dense_1' has 27 parameters, but only 18 are left in the file"},
	{"graph", DENSE + UNITS, 4, 1, "bytes are left over"},
	{"graph", DENSE + KIND, 4, QMD_LAYER_SOFTMAX, "after softmax"},
	{"weights", 0, 4, NOT_A_NUMBER, "layer 'conv2d_1': weight[0] is "},
	{"weights", 4 * 24, 4, INFINITE, "layer 'conv2d_1': bias[0] is inf"},
	{"weights", 4 * (44 - 1), 4, INFINITE | 0x80000000u, "layer 'dense_1': bias[1] is -inf"},
	{"pixels", 0, 4, 9, "section 'pixels': offset "},
	{"classes", 0, 4, 3, "3 names of classes, but the graph has 2"},
	{"classes", 0, 4, UINT32_MAX, "4294967295 names of classes"},
	{"classes", 4, 4, 400, "only "},
	{"classes", 9, 1, 0, "NUL"},
	{"quantization", 0, 4, 0, "weights are 0 bits wide, expected 2 to 8"},
	{"quantization", 0, 4, 9, "weights are 9 bits wide"},
	{"quantization", 4, 4, 1, "activations are 1 bits wide"},
	{"quantization", 8, 4, QMD_F32, "the image type is 1"},
	{"quantization", 8, 4, QMD_U8, "the model was quantized for u8 pixels, these are s8"},
	{"quantization", 12, 4, UINT32_MAX, "expected 4294967295 elements"},
	{"quantization", 16, 1, 0, "NUL"},
	{"quantization", SCALES, 4, 0, "layer 'input': its activation scale is 0"},
	{"quantization", CONV_SCALE, 4, NOT_A_NUMBER, "layer 'conv2d_1': its activation scale is "},
	{"quantization", CONV_SCALE, 4, MINUS_ONE, "layer 'conv2d_1': its activation scale is -1"},
	{"quantization", CONV_SCALE, 4, ONE,
	 "layer 'relu_1': its activation scale is 0.0078125, expected that of 'conv2d_1', 1"},
	{"quantization", CONV_WEIGHT_SCALE, 4, INFINITE, "layer 'conv2d_1': a weight scale is inf"},
	{"quantization", CONV_WEIGHT_SCALE + 4, 4, DENORMAL, "layer 'conv2d_1': a weight scale is 1.4013e-45"},
	{"quantization", RELU_SCALE, 4, ONE, "layer 'relu_1': its activation scale is 1, expected that of 'conv2d_1'"},
	{"quantization", DENSE_SCALE, 4, ONE, "layer 'dense_1': its activation scale is 1, expected 0 from the logits on"},
};

START_TEST(crafted_files_are_refused) {
	const char *path = qmdt_scratch("crafted");
	size_t size, section_size;
	unsigned char *whole = qmdt_read_file(save_small_model("to-craft"), &size);
	unsigned char *data = malloc(size);
	for (size_t i = 0; i < sizeof crafts / sizeof *crafts; i++) {
		const craft *c = &crafts[i];
		memcpy(data, whole, size);
		const size_t begin = qmdt_find_section(data, c->section, &section_size);
		ck_assert_uint_le(c->offset + c->n_bytes, section_size);
		qmdt_store(data + begin + c->offset, c->n_bytes, c->value);
		qmdt_reseal_container(data, size);
		qmdt_write_file(path, data, size);
		const qmd_status status = load(path);
		ck_assert_msg(status == QMD_ERROR_FORMAT, "%zu: '%s': %s", i, c->text, qmd_status_name(status));
		ck_assert_msg(strstr(qmd_last_error(), c->text) && strstr(qmd_last_error(), path), "%zu: '%s' is not in '%s'",
					  i, c->text, qmd_last_error());
	}
	free(data);
	free(whole);
}
END_TEST

/* small_model()'s sections with one left out, cut or lengthened by 4 bytes. */
static qmd_status load_resized(const char *name, int change) {
	const char *path = qmdt_scratch("resized");
	static const char *const names[] = {"graph", "weights", "pixels", "classes", "quantization"};
	qmdi_section sections[5];
	size_t n = 0, size;
	unsigned char *data = qmdt_read_file(save_small_model("to-resize"), &size);
	for (size_t i = 0; i < 5; i++) {
		const size_t begin = qmdt_find_section(data, names[i], &size);
		const int is_named = strcmp(names[i], name) == 0;
		if (is_named && change == 0)
			continue;
		sections[n++] = (qmdi_section){names[i], data + begin, is_named ? size + (size_t)change : size};
	}
	qmdt_ok(qmdi_container_save(path, "QMDMODEL", 1, 0, sections, n));
	free(data);
	return load(path);
}

START_TEST(sections_must_be_there_and_of_their_size) {
	qmdt_fails(load_resized("graph", 0), QMD_ERROR_FORMAT, "no section 'graph'");
	qmdt_fails(load_resized("weights", 0), QMD_ERROR_FORMAT, "no section 'weights'");
	qmdt_fails(load_resized("pixels", 0), QMD_ERROR_FORMAT, "no section 'pixels'"); /* but classes */
	qmdt_ok(load_resized("classes", 0));
	qmdt_ok(load_resized("quantization", 0));
	static const char *const names[] = {"graph", "weights", "pixels", "classes", "quantization"};
	for (size_t i = 0; i < 5; i++) {
		char text[64];
		snprintf(text, sizeof text, "section '%s'", strcmp(names[i], "weights") ? names[i] : "graph");
		qmdt_fails(load_resized(names[i], -4), QMD_ERROR_FORMAT, text);
		snprintf(text, sizeof text, "section '%s'", names[i]);
		qmdt_fails(load_resized(names[i], 4), QMD_ERROR_FORMAT, text);
		qmdt_fails(load_resized(names[i], 4), QMD_ERROR_FORMAT, "4 bytes are left over");
	}
}
END_TEST

/* Bytes drawn at random, checksums made right: refused, or a model that is saved as just those bytes again. */
START_TEST(random_files_are_refused_or_mean_what_they_say) {
	enum { N = 1500 };
	const char *path = qmdt_scratch("random"), *again = qmdt_scratch("random-again");
	size_t size, n_loaded = 0;
	unsigned char *whole = qmdt_read_file(save_small_model("to-mutate"), &size);
	unsigned char *data = malloc(size);
	for (uint64_t i = 0; i < N; i++) {
		memcpy(data, whole, size);
		for (uint64_t change = 0; change <= i % 3; change++) {
			const size_t first = 32 + 5 * 40; /* behind the table */
			const uint32_t where = qmdi_random_u32(i, 1, 2 * change), what = qmdi_random_u32(i, 1, 2 * change + 1);
			data[first + where % (size - first)] ^= (unsigned char)(what % 255 + 1);
		}
		qmdt_reseal_container(data, size);
		qmdt_write_file(path, data, size);
		qmd_model *model;
		const qmd_status status = qmd_model_load(path, &model);
		if (status == QMD_OK) {
			n_loaded++;
			qmdt_ok(qmd_model_save(model, again));
			expect_equal_files(path, again);
		} else {
			ck_assert_msg(status == QMD_ERROR_FORMAT || status == QMD_ERROR_CORRUPT, "%s", qmd_last_error());
		}
		qmd_model_free(model);
	}
	ck_assert_uint_gt(n_loaded, N / 50); /* a weight is as good as another */
	ck_assert_uint_lt(n_loaded, N / 2);
	free(data);
	free(whole);
}
END_TEST

/* ---- Failing ---- */

START_TEST(what_could_not_be_loaded_is_not_saved) {
	const char *path = save_small_model("kept");
	size_t size;
	unsigned char *before = qmdt_read_file(path, &size);
	qmd_model *model = small_model();
	model->layers[5].parameters[QMDI_BIAS][1] = NAN; /* a training that went astray */
	qmdt_fails(qmd_model_save(model, path), QMD_ERROR_RANGE,
			   "kept: the model is not saved: layer 'dense_1': bias[1] is ");
	model->layers[5].parameters[QMDI_BIAS][1] = 0;
	model->layers[1].weight_scales[0] = 0;
	qmdt_fails(qmd_model_save(model, path), QMD_ERROR_RANGE, "layer 'conv2d_1': a weight scale is 0");
	model->layers[1].weight_scales[0] = 1;
	float *scales = model->layers[1].weight_scales;
	model->layers[1].weight_scales = NULL;
	qmdt_fails(qmd_model_save(model, path), QMD_ERROR_STATE, "layer 'conv2d_1': it has no weight scales");
	model->layers[1].weight_scales = scales;
	qmdt_fails(qmd_model_save(model, qmdt_scratch("none/file")), QMD_ERROR_IO, "none/file: cannot be created");
	qmdt_fails(qmd_model_save(NULL, path), QMD_ERROR_ARGUMENT, "'model' is NULL");
	qmdt_fails(qmd_model_save(model, NULL), QMD_ERROR_ARGUMENT, "'path' is NULL");
	size_t size_after;
	unsigned char *after = qmdt_read_file(path, &size_after);
	ck_assert_uint_eq(size_after, size);
	ck_assert_mem_eq(after, before, size);
	free(before);
	free(after);
	qmdt_ok(qmd_model_save(model, path));
	qmd_model_free(model);
}
END_TEST

typedef struct saving {
	const qmd_model *model;
	const char *path, *whole; /* what is there before is whole too */
} saving;

static qmd_status save_work(void *argument) {
	const saving *work = argument;
	const qmd_status status = qmd_model_save(work->model, work->path);
	expect_equal_files(work->path, work->whole);
	return status;
}

static qmd_status load_work(void *path) {
	return load(path);
}

START_TEST(every_failing_allocation_is_survived) {
	char path[4096];
	snprintf(path, sizeof path, "%s", save_small_model("memory"));
	qmd_model *model = small_model();
	saving work = {model, path, save_small_model("memory-whole")};
	ck_assert_uint_gt(qmdt_fail_each_allocation(save_work, &work), 10);
	ck_assert_uint_gt(qmdt_fail_each_allocation(load_work, path), 30);
	qmd_model_free(model);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("model files");
	TCase *files = tcase_create("files");
	tcase_set_timeout(files, 300);
	tcase_add_test(files, models_are_loaded_as_they_were_saved);
	tcase_add_test(files, what_quantization_makes_is_saved);
	tcase_add_test(files, pixels_come_back_with_their_model);
	tcase_add_test(files, a_file_is_written_as_documented);
	tcase_add_test(files, every_damage_is_refused);
	tcase_add_test(files, other_files_are_refused);
	tcase_add_test(files, crafted_files_are_refused);
	tcase_add_test(files, sections_must_be_there_and_of_their_size);
	tcase_add_test(files, random_files_are_refused_or_mean_what_they_say);
	tcase_add_test(files, what_could_not_be_loaded_is_not_saved);
	tcase_add_test(files, every_failing_allocation_is_survived);
	suite_add_tcase(suite, files);
	return qmdt_run(suite);
}
