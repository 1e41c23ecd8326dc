/*
 * The two ways of ONNX for an oracle in Python (tests/oracle/test_onnx.py).
 *
 *     onnx_dump export FOLDER               networks as FOLDER/<network>*.onnx, and FOLDER/<network>.json, .images and
 *                                           .logits (float32) with what the engine or the predictor makes of images
 *     onnx_dump run FILE.onnx IMAGES TYPE N OUTPUT   import, compute N images of type S8 or U8, write the logits; or of
 *                                           type F32 (the FP32 model on any numbers), write the last layer's output
 */
#include "engine_fixture.h"
#include "network_fixture.h"

#include <stdio.h>

#include "base/memory.h"
#include "model/model_layer.h"

#define N_IMAGES 16
#define PATH_SIZE 4096

static void write_array(const char *folder, const char *name, const char *suffix, const void *data, size_t size) {
	char path[PATH_SIZE];
	snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
	qmdt_write_file(path, data, size);
}

/* ---- Logits ---- */

static float *engine_logits(const qmd_model *model, const void *images, size_t n, size_t *n_classes) {
	qmd_engine *engine;
	qmd_context *context;
	qmdt_ok(qmd_engine_compile(model, NULL, &engine));
	qmdt_ok(qmd_context_create(engine, NULL, &context));
	*n_classes = qmd_engine_n_classes(engine);
	float *logits = calloc(n * *n_classes + 1, sizeof *logits);
	ck_assert_ptr_nonnull(logits);
	const qmd_output output = {"logits", logits};
	qmdt_ok(qmd_context_run_images(context, images, n, &output, 1));
	qmd_context_free(context);
	qmd_engine_free(engine);
	return logits;
}

static float *predictor_logits(const qmd_model *model, const void *images, qmd_type type, size_t n, size_t *n_classes) {
	qmd_predictor *predictor;
	*n_classes = qmd_model_n_classes(model);
	float *logits = calloc(n * *n_classes + 1, sizeof *logits);
	ck_assert_ptr_nonnull(logits);
	qmdt_ok(qmdt_predictor_create(model, 4, &predictor));
	qmdt_ok(qmd_predictor_run_images(predictor, images, type, n, logits, NULL));
	qmd_predictor_free(predictor);
	return logits;
}

/* ---- Integers of the layers between ---- */

/*
 * The model cut off behind a layer, with a 1x1 convolution whose weights are the identity and whose scales are 1: the
 * engine's logits are then the layer's integers times its scale.
 */
static qmd_model *reading_out(const qmd_model *model, size_t layer) {
	qmd_model *cut;
	qmdt_ok(qmdi_model_copy(model, &cut));
	while (cut->n_layers > layer + 1)
		qmdi_layer_release(&cut->layers[--cut->n_layers]);
	cut->weight_bits = 0; /* a layer cannot be added to a quantized model */
	const uint32_t c = cut->layers[layer].output.c;
	qmd_layer identity = qmdt_layer(QMD_LAYER_CONV2D);
	identity.units = c;
	identity.kernel_h = identity.kernel_w = 1;
	qmdi_layer *added = &cut->layers[qmdt_add(cut, identity)];
	added->weight_scales = qmdi_array(c, sizeof(float));
	ck_assert_ptr_nonnull(added->weight_scales);
	for (size_t i = 0; i < c; i++) {
		added->parameters[QMDI_WEIGHT][i * c + i] = 1.0f;
		added->weight_scales[i] = 1.0f;
	}
	cut->weight_bits = 8;
	return cut;
}

static int passes_integers_on(int32_t kind) {
	return kind == QMD_LAYER_FLATTEN || kind == QMD_LAYER_DROPOUT;
}

static void dump_integers(const char *folder, const char *name, const qmd_model *model, const void *images,
						  FILE *json) {
	size_t logits = qmdi_model_logits(model);
	while (passes_integers_on(model->layers[logits].definition.kind))
		logits = (size_t)model->layers[logits].definition.inputs[0];
	const char *separator = "";
	for (size_t i = 1; i < logits; i++) {
		const qmdi_layer *layer = &model->layers[i];
		char suffix[64];
		size_t n;
		if (passes_integers_on(layer->definition.kind))
			continue;
		qmd_model *cut = reading_out(model, i);
		float *values = engine_logits(cut, images, N_IMAGES, &n);
		snprintf(suffix, sizeof suffix, ".layer-%zu", i);
		write_array(folder, name, suffix, values, N_IMAGES * n * sizeof *values);
		fprintf(json, "%s\n  {\"name\": \"%s\", \"file\": \"%s%s\", \"scale\": %.9g, \"shape\": [%u, %u, %u]}",
				separator, layer->name, name, suffix, (double)layer->activation_scale, layer->output.h, layer->output.w,
				layer->output.c);
		separator = ",";
		free(values);
		qmd_model_free(cut);
	}
}

/* ---- Exporting ---- */

static void export_as(const qmd_model *model, const char *folder, const char *name, const char *suffix, int32_t target,
					  int32_t layout, int32_t activations_type) {
	char path[PATH_SIZE];
	qmd_onnx_export_options options;
	qmd_onnx_export_options_init(&options);
	options.target = target;
	options.layout = layout;
	options.activations_type = activations_type;
	snprintf(path, sizeof path, "%s/%s%s.onnx", folder, name, suffix);
	qmdt_ok(qmd_onnx_export(model, &options, path));
}

static void dump(const char *folder, const char *name, const qmd_model *model, qmd_type image_type) {
	const int quantized = qmd_model_is_quantized(model);
	const qmd_shape shape = model->layers[0].output;
	size_t n_kinds[16] = {0}, n_classes;
	unsigned char *images = qmdt_images(model, N_IMAGES, 4711);
	char path[PATH_SIZE];
	snprintf(path, sizeof path, "%s/%s.json", folder, name);
	FILE *json = fopen(path, "w");
	ck_assert_ptr_nonnull(json);
	for (size_t i = 0; i < model->n_layers; i++)
		n_kinds[model->layers[i].definition.kind]++;
	fprintf(json, "{\"name\": \"%s\", \"quantized\": %d, \"image_type\": \"%s\", \"shape\": [%u, %u, %u],\n", name,
			quantized, image_type == QMD_U8 ? "u8" : "s8", shape.h, shape.w, shape.c);
	fprintf(json, "\"n_conv2d\": %zu, \"n_dense\": %zu, \"n_images\": %d, \"layers\": [", n_kinds[QMD_LAYER_CONV2D],
			n_kinds[QMD_LAYER_DENSE], N_IMAGES);
	if (quantized)
		dump_integers(folder, name, model, images, json);
	fprintf(json, "]}\n");
	ck_assert_int_eq(fclose(json), 0);

	float *logits = quantized ? engine_logits(model, images, N_IMAGES, &n_classes)
							  : predictor_logits(model, images, image_type, N_IMAGES, &n_classes);
	write_array(folder, name, ".images", images, N_IMAGES * qmdt_image_size(model));
	write_array(folder, name, ".logits", logits, N_IMAGES * n_classes * sizeof *logits);
	export_as(model, folder, name, "", QMD_ONNX_TARGET_DEFAULT, QMD_ONNX_NCHW, QMD_S8);
	export_as(model, folder, name, "-nhwc", QMD_ONNX_TARGET_DEFAULT, QMD_ONNX_NHWC, QMD_S8);
	export_as(model, folder, name, "-u8s8", QMD_ONNX_TARGET_DEFAULT, QMD_ONNX_NCHW, QMD_U8);
	export_as(model, folder, name, "-tensorrt", QMD_ONNX_TARGET_TENSORRT, QMD_ONNX_NCHW, QMD_S8);
	free(logits);
	free(images);
}

/* The published network as the library itself trains and quantizes it. */
static void dump_preset(const char *folder, uint32_t side, qmd_type image_type) {
	qmd_model *model, *quantized;
	qmd_quantize_options options;
	const uint32_t labels[N_IMAGES] = {0};
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){side, side, 3}, 2, 3, &model));
	unsigned char *images = qmdt_images(model, N_IMAGES, 1);
	qmd_quantize_options_init(&options);
	options.epochs = 0;
	qmdt_ok(qmd_quantize_images(model, images, image_type, labels, N_IMAGES, &options, &quantized));
	dump(folder, image_type == QMD_U8 ? "icnnmd-u8" : "icnnmd-s8", quantized, image_type);
	if (image_type == QMD_U8)
		dump(folder, "icnnmd-fp32", model, image_type);
	free(images);
	qmd_model_free(model);
	qmd_model_free(quantized);
}

static void dump_everything(const char *folder) {
	static const char *const names[QMDT_N_NETWORKS] = {"plain-s8", "plain-u8", "residual-s8",   "residual-u8",
													   "fork",     "lopsided", "pools-first-s8"};
	static const qmd_type types[QMDT_N_NETWORKS] = {QMD_S8, QMD_U8, QMD_S8, QMD_U8, QMD_S8, QMD_U8, QMD_S8};
	for (size_t i = 0; i < QMDT_N_NETWORKS; i++) {
		qmd_model *model = qmdt_network(i);
		dump(folder, names[i], model, types[i]);
		qmd_model_free(model);
	}
	dump_preset(folder, 21, QMD_S8);
	dump_preset(folder, 18, QMD_U8);
	qmd_model *model = qmdt_residual_net(1);
	qmdt_draw_parameters(model, 5);
	dump(folder, "every-kind-fp32", model, QMD_S8);
	qmd_model_free(model);
}

/* ---- Importing ---- */

static char **arguments;

static float *network_output(qmd_model *model, const void *images, size_t n, size_t *n_output) {
	const qmd_shape output = model->layers[model->n_layers - 1].output;
	qmdi_network *network;
	qmdt_ok(qmdi_network_open(model, NULL, 1, n, QMDI_NO_BACKWARD, &network));
	memcpy(qmdi_network_input(network), images, n * qmdt_image_size(model) * sizeof(float));
	qmdt_ok(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0));
	*n_output = (size_t)output.h * output.w * output.c;
	float *copy = calloc(n * *n_output + 1, sizeof *copy);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, qmdt_output(network, model->n_layers - 1), n * *n_output * sizeof *copy);
	qmdi_network_free(network);
	return copy;
}

static float *compute(qmd_model *model, const void *images, qmd_type type, size_t n, size_t *n_output) {
	if (type == QMD_F32)
		return network_output(model, images, n, n_output);
	return qmd_model_is_quantized(model) ? engine_logits(model, images, n, n_output)
										 : predictor_logits(model, images, type, n, n_output);
}

static void run_file(const char *file, const char *images_file, qmd_type type, size_t n, const char *logits_file) {
	qmd_model *model;
	size_t size, n_output;
	const qmd_status status = qmd_onnx_import(file, NULL, &model);
	if (status != QMD_OK) {
		fprintf(stderr, "%s: %s\n", qmd_status_name(status), qmd_last_error());
		exit(3);
	}
	unsigned char *images = qmdt_read_file(images_file, &size);
	ck_assert_uint_eq(size, n * qmdt_image_size(model) * (type == QMD_F32 ? sizeof(float) : 1));
	float *logits = compute(model, images, type, n, &n_output);
	qmdt_write_file(logits_file, logits, n * n_output * sizeof *logits);
	free(logits);
	free(images);
	qmd_model_free(model);
}

static qmd_type type_of(const char *name) {
	return strcmp(name, "F32") == 0 ? QMD_F32 : strcmp(name, "U8") == 0 ? QMD_U8 : QMD_S8;
}

/* Check's assertions want to be inside of a test. */
START_TEST(work) {
	if (strcmp(arguments[1], "export") == 0)
		dump_everything(arguments[2]);
	else
		run_file(arguments[2], arguments[3], type_of(arguments[4]), strtoul(arguments[5], NULL, 10), arguments[6]);
}
END_TEST

int main(int argc, char **argv) {
	if (!(argc == 3 && strcmp(argv[1], "export") == 0) && !(argc == 7 && strcmp(argv[1], "run") == 0)) {
		fprintf(stderr, "usage: %s export FOLDER | run FILE.onnx IMAGES S8|U8|F32 N OUTPUT\n", argv[0]);
		return 2;
	}
	arguments = argv;
	Suite *suite = suite_create("onnx dump");
	TCase *all = tcase_create("work");
	tcase_set_timeout(all, 120);
	tcase_add_test(all, work);
	suite_add_tcase(suite, all);
	return qmdt_run(suite);
}
