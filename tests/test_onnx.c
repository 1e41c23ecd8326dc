/* ONNX files out and in: what the oracles in Python (tests/oracle/test_onnx*.py) do not see. */
#include "engine_fixture.h"
#include "model_fixture.h"

#include <math.h>
#include <stdio.h>

#include "allocator_fixture.h"
#include "onnx/onnx_internal.h"
#include "tensor/fake_quant.h"

/* ---- Exporting ---- */

static void export_as(const qmd_model *model, const qmd_onnx_export_options *options, const char *name, size_t *size,
					  unsigned char **bytes) {
	const char *path = qmdt_scratch(name);
	qmdt_ok(qmd_onnx_export(model, options, path));
	*bytes = qmdt_read_file(path, size);
}

START_TEST(the_same_model_gives_the_same_bytes) {
	qmd_model *model = qmdt_network(0), *copy;
	qmdt_ok(qmdi_model_copy(model, &copy));
	unsigned char *a, *b;
	size_t n_a, n_b;
	export_as(model, NULL, "a.onnx", &n_a, &a);
	export_as(copy, NULL, "b.onnx", &n_b, &b);
	ck_assert_uint_eq(n_a, n_b);
	ck_assert_mem_eq(a, b, n_a);
	free(a);
	free(b);
	qmd_model_free(copy);
	qmd_model_free(model);
}
END_TEST

START_TEST(options_are_checked) {
	qmd_model *model = qmdt_network(0);
	const char *path = qmdt_scratch("options.onnx");
	qmd_onnx_export_options options;
	qmd_onnx_export_options_init(&options);
	options.target = 3;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_ARGUMENT, "target is 3");
	qmd_onnx_export_options_init(&options);
	options.layout = 0;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_ARGUMENT, "layout is 0");
	qmd_onnx_export_options_init(&options);
	options.opset = 12;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_RANGE, "opset is 12, expected 13 to 17");
	options.opset = 18;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_RANGE, "opset is 18");
	qmd_onnx_export_options_init(&options);
	options.activations_type = QMD_F32;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_ARGUMENT, "activations_type is 1");
	options.activations_type = QMD_U8;
	options.target = QMD_ONNX_TARGET_TENSORRT;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_ARGUMENT, "TensorRT");
	options.struct_size = 3;
	qmdt_fails(qmd_onnx_export(model, &options, path), QMD_ERROR_ARGUMENT, "struct_size");
	qmdt_fails(qmd_onnx_export(NULL, NULL, path), QMD_ERROR_ARGUMENT, "model");
	qmdt_fails(qmd_onnx_export(model, NULL, NULL), QMD_ERROR_ARGUMENT, "path");
	qmdt_fails(qmd_onnx_export(model, NULL, qmdt_scratch("no/such/folder.onnx")), QMD_ERROR_IO, "no/such/folder.onnx");
	qmd_model_free(model);
}
END_TEST

START_TEST(models_that_onnx_cannot_express_are_refused) {
	qmd_model *model;
	const char *path = qmdt_scratch("refused.onnx");
	qmdt_ok(qmd_model_create((qmd_shape){4, 4, 3}, &model));
	qmdt_fails(qmd_onnx_export(model, NULL, path), QMD_ERROR_STATE, "no layers");
	qmd_model_free(model);
	model = qmdt_network(0);
	model->activation_bits = 4;
	qmdt_fails(qmd_onnx_export(model, NULL, path), QMD_ERROR_UNSUPPORTED, "4 bits");
	qmd_model_free(model);
}
END_TEST

static qmd_status export_once(void *argument) {
	return qmd_onnx_export(argument, NULL, qmdt_scratch("memory.onnx"));
}

START_TEST(each_allocation_may_fail) {
	for (size_t network = 0; network < 3; network++) {
		qmd_model *model = qmdt_network(network);
		ck_assert_uint_gt(qmdt_fail_each_allocation(export_once, model), 20);
		qmd_model_free(model);
	}
}
END_TEST

/* ---- Importing ---- */

/* A file in memory that tests change. */
typedef struct onnx_file {
	unsigned char *bytes;
	size_t size;
	Onnx__ModelProto *message;
} onnx_file;

static onnx_file exported(size_t network) {
	onnx_file file;
	qmd_model *model = qmdt_network(network);
	export_as(model, NULL, "exported.onnx", &file.size, &file.bytes);
	file.message = onnx__model_proto__unpack(NULL, file.size, file.bytes);
	ck_assert_ptr_nonnull(file.message);
	qmd_model_free(model);
	return file;
}

static void release(onnx_file *file) {
	onnx__model_proto__free_unpacked(file->message, NULL);
	free(file->bytes);
}

/* The message's bytes as they are now. */
static void repack(onnx_file *file) {
	free(file->bytes);
	file->size = onnx__model_proto__get_packed_size(file->message);
	file->bytes = malloc(file->size);
	ck_assert_ptr_nonnull(file->bytes);
	onnx__model_proto__pack(file->message, file->bytes);
}

static Onnx__TensorProto *initializer(const onnx_file *file, const char *name) {
	for (size_t i = 0; i < file->message->graph->n_initializer; i++)
		if (strcmp(file->message->graph->initializer[i]->name, name) == 0)
			return file->message->graph->initializer[i];
	ck_abort_msg("no initializer %s", name);
	return NULL;
}

static qmd_status import(const onnx_file *file, const qmd_onnx_import_options *options, qmd_model **model) {
	*model = NULL;
	return qmdi_onnx_import_bytes(file->bytes, file->size, "memory", options, model);
}

static void assert_refused(const onnx_file *file, qmd_status status, const char *text) {
	qmd_model *model;
	qmdt_fails(import(file, NULL, &model), status, text);
	ck_assert_ptr_null(model);
}

START_TEST(names_and_kinds_come_back) {
	for (size_t network = 0; network < QMDT_N_NETWORKS; network++) {
		qmd_model *model = qmdt_network(network), *back, *loaded;
		const char *path = qmdt_scratch("back.onnx"), *saved = qmdt_scratch("back.qmd");
		qmdt_ok(qmd_onnx_export(model, NULL, path));
		qmdt_ok(qmd_onnx_import(path, NULL, &back));
		ck_assert_int_eq(back->image_type, model->image_type);
		ck_assert_uint_eq(qmd_model_n_macs(back), qmd_model_n_macs(model));
		ck_assert_uint_eq(qmd_model_n_parameters(back), qmd_model_n_parameters(model));
		for (size_t i = 1, j = 1; i < model->n_layers; i++) {
			const qmdi_layer *layer = &model->layers[i];
			if (layer->definition.kind == QMD_LAYER_DROPOUT) /* a quantized model is for inference */
				continue;
			ck_assert_str_eq(back->layers[j].name, layer->name);
			ck_assert_int_eq(back->layers[j].definition.kind, layer->definition.kind);
			j++;
		}
		qmdt_ok(qmd_model_save(back, saved));
		qmdt_ok(qmd_model_load(saved, &loaded));
		qmd_model_free(loaded);
		qmd_model_free(back);
		qmd_model_free(model);
	}
}
END_TEST

START_TEST(biases_of_any_size_come_back) {
	qmd_model *model = qmdt_network(0), *back;
	const qmdi_layer *layer = &model->layers[1];
	const double unit = (double)model->layers[0].activation_scale * (double)layer->weight_scales[0];
	const char *path = qmdt_scratch("biases.onnx");
	for (size_t u = 0; u < layer->definition.units; u++) /* up to 2^30 units, with all bits of a float */
		layer->parameters[QMDI_BIAS][u] = (float)(unit * (double)((1u << 30) / 3u >> (4 * u)) * (u % 2 ? -1 : 1));
	qmdt_ok(qmd_onnx_export(model, NULL, path));
	qmdt_ok(qmd_onnx_import(path, NULL, &back));
	for (size_t u = 0; u < layer->definition.units; u++) {
		const float found = back->layers[1].parameters[QMDI_BIAS][u], scale = layer->weight_scales[u];
		ck_assert_int_eq(qmdi_quantize_bias(found, model->layers[0].activation_scale, scale),
						 qmdi_quantize_bias(layer->parameters[QMDI_BIAS][u], model->layers[0].activation_scale, scale));
	}
	qmd_model_free(back);
	qmd_model_free(model);
}
END_TEST

START_TEST(unfit_names_are_replaced) {
	onnx_file file = exported(0);
	static char long_name[100], control[] = "a\nb", taken[] = "input";
	memset(long_name, 'x', sizeof long_name - 1);
	char *const unfit[] = {long_name, control, taken};
	size_t n = 0;
	char *own[3];
	Onnx__NodeProto *changed[3];
	for (size_t i = 0; i < file.message->graph->n_node && n < 3; i++)
		if (strcmp(file.message->graph->node[i]->op_type, "Conv") == 0) {
			changed[n] = file.message->graph->node[i];
			own[n] = changed[n]->name;
			changed[n]->name = unfit[n];
			n++;
		}
	ck_assert_uint_eq(n, 3);
	repack(&file);
	qmd_model *model;
	qmdt_ok(import(&file, NULL, &model));
	ck_assert_str_eq(model->layers[1].name, "conv2d_1");
	qmd_model_free(model);
	for (size_t i = 0; i < n; i++)
		changed[i]->name = own[i];
	release(&file);
}
END_TEST

START_TEST(quantization_that_the_library_has_not_is_refused) {
	static const float zero = 0, nan_ = NAN, infinite = INFINITY, negative = -1, tiny = 1e-40f, other = 0.25f;
	static const int8_t three = 3, least = -128;
	const struct {
		const char *initializer;
		const void *value;
		size_t size;
		qmd_status status;
		const char *text;
	} cases[] = {
		{"conv2d_1/scale", &zero, 4, QMD_ERROR_RANGE, "(QuantizeLinear): its scale 0 is 0, expected"},
		{"conv2d_1/scale", &nan_, 4, QMD_ERROR_RANGE, "its scale 0 is nan"},
		{"conv2d_1/scale", &infinite, 4, QMD_ERROR_RANGE, "its scale 0 is inf"},
		{"conv2d_1/scale", &negative, 4, QMD_ERROR_RANGE, "its scale 0 is -1"},
		{"conv2d_1/scale", &tiny, 4, QMD_ERROR_RANGE, "expected a finite normal number"},
		{"conv2d_1/weight_scale", &zero, 4, QMD_ERROR_RANGE, "(DequantizeLinear): its scale 0 is 0"},
		{"conv2d_1/zero_point", &three, 1, QMD_ERROR_UNSUPPORTED, "its zero point is 3 of int8: expected symmetric"},
		{"conv2d_1/weight_zero_point", &three, 1, QMD_ERROR_UNSUPPORTED, "zero points are not equal: 3 and 0"},
		{"conv2d_1/weight_quantized", &least, 1, QMD_ERROR_RANGE, "(Conv): element 0 of its weight is -128"},
		{"relu_1/scale", &other, 4, QMD_ERROR_RANGE, "layer 'relu_1': its activation scale is 0.25, expected that of"},
		{"input/image_scale", &other, 4, QMD_ERROR_UNSUPPORTED, "its image has a scale of 0.25, expected 1/127"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		onnx_file file = exported(0);
		memcpy(initializer(&file, cases[i].initializer)->raw_data.data, cases[i].value, cases[i].size);
		repack(&file);
		assert_refused(&file, cases[i].status, cases[i].text);
		release(&file);
	}
}
END_TEST

START_TEST(a_weight_of_minus_128_is_clipped_if_asked_for) {
	onnx_file file = exported(0);
	qmd_onnx_import_options options;
	qmd_onnx_import_options_init(&options);
	options.clip_weights = 1;
	int8_t *weights = (int8_t *)initializer(&file, "conv2d_1/weight_quantized")->raw_data.data;
	weights[0] = weights[7] = -128;
	repack(&file);
	qmd_model *model;
	qmdt_ok(import(&file, &options, &model));
	const qmdi_layer *layer = &model->layers[1];
	ck_assert_float_eq(layer->parameters[QMDI_WEIGHT][0], -127.0f * layer->weight_scales[0]);
	ck_assert_ptr_nonnull(strstr(model->passes, "2 weights of -128 became -127"));
	qmd_engine *engine;
	qmdt_ok(qmd_engine_compile(model, NULL, &engine));
	ck_assert_ptr_nonnull(strstr(qmd_engine_passes(engine), "2 weights of -128 became -127"));
	qmd_engine_free(engine);
	qmd_model_free(model);
	release(&file);
}
END_TEST

START_TEST(what_is_half_quantized_is_refused) {
	onnx_file file = exported(0);
	Onnx__GraphProto *graph = file.message->graph;
	/* The relu reads the convolution itself, and its own pair goes: nothing says how the relu is quantized. */
	for (size_t i = 0; i < graph->n_node; i++)
		for (size_t k = 0; k < graph->node[i]->n_input; k++)
			if (strcmp(graph->node[i]->input[k], "dense_1/dequantized") == 0)
				memcpy(graph->node[i]->input[k], "dense_1/output", sizeof "dense_1/output");
			else if (strcmp(graph->node[i]->input[k], "relu_4/dequantized") == 0)
				memcpy(graph->node[i]->input[k], "relu_4/output", sizeof "relu_4/output");
	repack(&file);
	assert_refused(&file, QMD_ERROR_UNSUPPORTED, "'dense_1': its output is not quantized, that of others is");
	release(&file);
}
END_TEST

/* ---- Hostile bytes ---- */

/* Whatever comes of it, it is a sound model or an error with a text. */
static size_t import_anything(const unsigned char *bytes, size_t size) {
	qmd_model *model = NULL;
	const qmd_status status = qmdi_onnx_import_bytes(bytes, size, "memory", NULL, &model);
	if (status == QMD_OK) {
		ck_assert_ptr_nonnull(model);
		qmd_model_free(model);
		return 1;
	}
	ck_assert_ptr_null(model);
	ck_assert_str_ne(qmd_last_error(), "");
	return 0;
}

START_TEST(no_truncation_is_taken_for_a_model) {
	onnx_file file = exported(4);
	for (size_t size = 0; size < file.size; size++) {
		unsigned char *cut = malloc(size + 1); /* of its own, so that AddressSanitizer sees a read past its end */
		ck_assert_ptr_nonnull(cut);
		memcpy(cut, file.bytes, size);
		size_t taken = import_anything(cut, size);
		/* Behind the graph stands the version of the operators alone, without which it is refused too. */
		ck_assert_uint_eq(taken, 0);
		free(cut);
	}
	release(&file);
}
END_TEST

START_TEST(any_changed_byte_is_survived) {
	static const unsigned char masks[] = {0x01, 0x80, 0xff};
	onnx_file file = exported(4);
	size_t n_refused = 0;
	for (size_t i = 0; i < file.size; i++)
		for (size_t m = 0; m < sizeof masks; m++) {
			file.bytes[i] ^= masks[m];
			n_refused += !import_anything(file.bytes, file.size);
			file.bytes[i] ^= masks[m];
		}
	ck_assert_uint_gt(n_refused, file.size);
	release(&file);
}
END_TEST

/* The bytes of a message that holds `size` bytes as field `number`. Returns the number of bytes written before them. */
static size_t put_header(unsigned char *bytes, unsigned number, size_t size) {
	size_t n = 0;
	bytes[n++] = (unsigned char)(number << 3 | 2);
	for (; size > 0x7f; size >>= 7)
		bytes[n++] = (unsigned char)(size | 0x80);
	bytes[n++] = (unsigned char)size;
	return n;
}

START_TEST(messages_nested_without_end_are_refused) {
	enum { DEPTH = 20000, ROOM = 8 * DEPTH };
	unsigned char *bytes = malloc(ROOM);
	ck_assert_ptr_nonnull(bytes);
	size_t start = ROOM;
	/* ModelProto.graph, then GraphProto.node, NodeProto.attribute, AttributeProto.g over and over, from the inside. */
	static const unsigned cycle[] = {1, 6, 5};
	for (size_t i = 0; i < DEPTH; i++) {
		unsigned char header[8];
		const size_t n = put_header(header, i + 1 < DEPTH ? cycle[i % 3] : 7, ROOM - start);
		start -= n;
		memcpy(bytes + start, header, n);
	}
	qmd_model *model = NULL;
	qmdt_fails(qmdi_onnx_import_bytes(bytes + start, ROOM - start, "memory", NULL, &model), QMD_ERROR_FORMAT,
			   "nested deeper");
	free(bytes);
}
END_TEST

START_TEST(memory_is_bounded_by_the_size_of_the_file) {
	enum { N = 1 << 20 };
	unsigned char *bytes = malloc(2 * N + 8);
	ck_assert_ptr_nonnull(bytes);
	const size_t header = put_header(bytes, 7, 2 * (size_t)N);
	for (size_t i = 0; i < N; i++) {
		bytes[header + 2 * i] = 1 << 3 | 2; /* an empty node */
		bytes[header + 2 * i + 1] = 0;
	}
	qmd_model *model = NULL;
	qmdt_fails(qmdi_onnx_import_bytes(bytes, header + 2 * (size_t)N, "memory", NULL, &model), QMD_ERROR_MEMORY,
			   "beyond the limit");
	free(bytes);
}
END_TEST

START_TEST(files_are_checked) {
	qmd_model *model = (qmd_model *)1;
	const char *path = qmdt_scratch("empty.onnx");
	qmd_onnx_import_options options = {.struct_size = 2};
	qmdt_fails(qmd_onnx_import(qmdt_scratch("none.onnx"), NULL, &model), QMD_ERROR_IO, "none.onnx");
	ck_assert_ptr_null(model);
	qmdt_fails(qmd_onnx_import(qmdt_scratch("."), NULL, &model), QMD_ERROR_IO, "not a regular file");
	qmdt_write_file(path, "", 0);
	qmdt_fails(qmd_onnx_import(path, NULL, &model), QMD_ERROR_FORMAT, "no graph with nodes");
	qmdt_write_file(path, "PK\003\004 this is a zip file", 24);
	qmdt_fails(qmd_onnx_import(path, NULL, &model), QMD_ERROR_FORMAT, "empty.onnx: offset");
	qmdt_fails(qmd_onnx_import(path, &options, &model), QMD_ERROR_ARGUMENT, "struct_size");
	qmdt_fails(qmd_onnx_import(NULL, NULL, &model), QMD_ERROR_ARGUMENT, "path");
	qmdt_fails(qmd_onnx_import(path, NULL, NULL), QMD_ERROR_ARGUMENT, "model");
}
END_TEST

/* Files of other exporters, which need what none of the library's own does. */
static onnx_file foreign(const char *name) {
	onnx_file file = {0};
	char path[4096];
	snprintf(path, sizeof path, "%s/tests/oracle/onnx_files/%s.onnx", QMDT_SOURCE_DIR, name);
	file.bytes = qmdt_read_file(path, &file.size);
	return file;
}

static qmd_status import_once(void *argument) {
	qmd_model *model;
	const qmd_status status = import(argument, NULL, &model);
	qmd_model_free(model);
	return status;
}

START_TEST(each_allocation_of_an_import_may_fail) {
	onnx_file file = exported(4);
	ck_assert_uint_gt(qmdt_fail_each_allocation(import_once, &file), 100);
	release(&file);
	static const char *const names[] = {"tensorflow-gray",          "tensorflow-icnnmd", "tensorflow-residual",
										"torch-batchnorm",          "torch-reshape",     "torch-residual",
										"torch-residual-not-folded"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		file = foreign(names[i]);
		ck_assert_uint_gt(qmdt_fail_each_allocation(import_once, &file), 10);
		free(file.bytes);
	}
}
END_TEST

int main(void) {
	Suite *suite = suite_create("onnx");
	TCase *exporting = tcase_create("export");
	tcase_add_test(exporting, the_same_model_gives_the_same_bytes);
	tcase_add_test(exporting, options_are_checked);
	tcase_add_test(exporting, models_that_onnx_cannot_express_are_refused);
	tcase_add_test(exporting, each_allocation_may_fail);
	suite_add_tcase(suite, exporting);
	TCase *importing = tcase_create("import");
	tcase_add_test(importing, names_and_kinds_come_back);
	tcase_add_test(importing, biases_of_any_size_come_back);
	tcase_add_test(importing, unfit_names_are_replaced);
	tcase_add_test(importing, quantization_that_the_library_has_not_is_refused);
	tcase_add_test(importing, a_weight_of_minus_128_is_clipped_if_asked_for);
	tcase_add_test(importing, what_is_half_quantized_is_refused);
	tcase_add_test(importing, files_are_checked);
	suite_add_tcase(suite, importing);
	TCase *hostile = tcase_create("hostile");
	tcase_set_timeout(hostile, 120);
	tcase_add_test(hostile, no_truncation_is_taken_for_a_model);
	tcase_add_test(hostile, any_changed_byte_is_survived);
	tcase_add_test(hostile, messages_nested_without_end_are_refused);
	tcase_add_test(hostile, memory_is_bounded_by_the_size_of_the_file);
	tcase_add_test(hostile, each_allocation_of_an_import_may_fail);
	suite_add_tcase(suite, hostile);
	return qmdt_run(suite);
}
