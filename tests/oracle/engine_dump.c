/*
 * Write quantized networks, images and the engine's logits for an oracle in Python (tests/oracle/test_engine.py).
 *
 *     engine_dump FOLDER    writes FOLDER/<network>.json
 */
#include "engine_fixture.h"

#include <stdio.h>

#define N_IMAGES 20

static void write_floats(FILE *file, const char *name, const float *values, size_t n) {
	fprintf(file, ",\n  \"%s\": [", name);
	for (size_t i = 0; i < n; i++)
		fprintf(file, "%s%.9g", i > 0 ? "," : "", (double)values[i]);
	fprintf(file, "]");
}

static void write_layer(FILE *file, const qmdi_layer *layer, int is_last) {
	const qmd_layer *d = &layer->definition;
	fprintf(file, "  {\"name\": \"%s\", \"kind\": %d, \"input\": %d, \"units\": %u, \"kernel\": [%u, %u]", layer->name,
			d->kind, d->inputs[0], d->units, d->kernel_h, d->kernel_w);
	fprintf(file, ", \"stride\": [%u, %u], \"pads\": [%u, %u, %u, %u], \"input_shape\": [%u, %u, %u]", d->stride_h,
			d->stride_w, d->pad_top, d->pad_left, d->pad_bottom, d->pad_right, layer->input.h, layer->input.w,
			layer->input.c);
	fprintf(file, ", \"activation_scale\": %.9g", (double)layer->activation_scale);
	if (d->units > 0) {
		write_floats(file, "weights", layer->parameters[QMDI_WEIGHT], layer->n_parameters[QMDI_WEIGHT]);
		write_floats(file, "bias", layer->parameters[QMDI_BIAS], d->units);
		write_floats(file, "weight_scales", layer->weight_scales, d->units);
	}
	fprintf(file, "}%s\n", is_last ? "" : ",");
}

static void dump(const char *folder, const char *name, const qmd_model *model) {
	char path[4096];
	qmd_engine *engine;
	qmd_context *context;
	qmdt_ok(qmd_engine_compile(model, NULL, &engine));
	qmdt_ok(qmd_context_create(engine, NULL, &context));
	const size_t n_logits = qmd_engine_n_classes(engine), image_size = qmdt_image_size(model);
	unsigned char *images = qmdt_images(model, N_IMAGES, 4711);
	float *logits = calloc(N_IMAGES * n_logits + 1, sizeof *logits);
	ck_assert_ptr_nonnull(logits);
	const qmd_output output = {"logits", logits};
	qmdt_ok(qmd_context_run_images(context, images, N_IMAGES, &output, 1));

	snprintf(path, sizeof path, "%s/%s.json", folder, name);
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fprintf(file, "{\"image_type\": \"%s\", \"shape\": [%u, %u, %u],\n\"layers\": [\n",
			model->image_type == QMD_U8 ? "u8" : "s8", model->layers[0].output.h, model->layers[0].output.w,
			model->layers[0].output.c);
	for (size_t i = 0; i < model->n_layers; i++)
		write_layer(file, &model->layers[i], i + 1 == model->n_layers);
	fprintf(file, "],\n\"images\": [");
	for (size_t i = 0; i < N_IMAGES * image_size; i++)
		fprintf(file, "%s%u", i > 0 ? "," : "", images[i]);
	fprintf(file, "]");
	write_floats(file, "logits", logits, N_IMAGES * n_logits);
	fprintf(file, "}\n");
	ck_assert_int_eq(fclose(file), 0);
	free(logits);
	free(images);
	qmd_context_free(context);
	qmd_engine_free(engine);
}

/* The published network as the library itself quantizes it. */
static qmd_model *quantized_preset(uint32_t side, qmd_type image_type) {
	qmd_model *model, *quantized;
	qmd_quantize_options options;
	const uint32_t labels[N_IMAGES] = {0};
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){side, side, 3}, 2, 3, &model));
	unsigned char *images = qmdt_images(model, N_IMAGES, 1);
	qmd_quantize_options_init(&options);
	options.epochs = 0;
	qmdt_ok(qmd_quantize_images(model, images, image_type, labels, N_IMAGES, &options, &quantized));
	free(images);
	qmd_model_free(model);
	return quantized;
}

static const char *output_folder;

/* Check's assertions want to be inside of a test. */
START_TEST(write_everything) {
	const struct {
		const char *name;
		qmd_model *model;
	} networks[] = {{"plain-s8", qmdt_network(0)},
					{"plain-u8", qmdt_network(1)},
					{"icnnmd-s8", quantized_preset(21, QMD_S8)},
					{"icnnmd-u8", quantized_preset(18, QMD_U8)}};
	for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
		dump(output_folder, networks[i].name, networks[i].model);
		qmd_model_free(networks[i].model);
	}
}
END_TEST

int main(int argc, char **argv) {
	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	output_folder = argv[1];
	Suite *suite = suite_create("engine dump");
	TCase *writing = tcase_create("write");
	tcase_set_timeout(writing, 120);
	tcase_add_test(writing, write_everything);
	suite_add_tcase(suite, writing);
	return qmdt_run(suite);
}
