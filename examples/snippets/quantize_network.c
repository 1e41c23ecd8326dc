/*
 * From an FP32 network to an INT8 engine in a file.
 *
 *     $ quantize_network examples/data
 *     quantized: yes
 *     from images: yes
 *     engine: 2 classes, 3 steps
 */
#include "snippets.h"

#include <stdio.h>
#include <stdlib.h>

/* [quantize] */
static qmd_model *quantize(const qmd_model *model, qmd_dataset *dataset, const qmd_split *split) {
	qmd_quantize_options options;
	qmd_quantize_options_init(&options);
	options.epochs = 1; /* of fine-tuning with fake-quant; 0: calibration alone */
	qmd_model *quantized;
	check(qmd_quantize(model, dataset, split, &options, &quantized)); /* the training frames alone */
	printf("quantized: %s\n", qmd_model_is_quantized(quantized) ? "yes" : "no");
	return quantized; /* a model of its own; `model` is as before */
}
/* [quantize] */

/* [quantize images] */
static void quantize_on_images(const qmd_model *model, qmd_dataset *dataset, const qmd_split *split) {
	const qmd_pixels *pixels = qmd_model_pixels(model);
	size_t n;
	const uint32_t *frames = qmd_split_train(split, &n);
	int8_t *images = allocate(n, qmd_pixels_side(pixels) * qmd_pixels_side(pixels) * 3);
	uint32_t *labels = allocate(n, sizeof *labels);
	check(qmd_pixels_run_dataset(pixels, dataset, frames, n, images));
	for (size_t i = 0; i < n; i++) {
		qmd_frame_origin origin;
		check(qmd_dataset_frame_origin(dataset, frames[i], &origin));
		labels[i] = origin.state;
	}
	qmd_model *quantized;
	check(qmd_quantize_images(model, images, QMD_S8, labels, n, NULL, &quantized));
	printf("from images: %s\n", qmd_model_is_quantized(quantized) ? "yes" : "no");
	qmd_model_free(quantized);
	free(labels);
	free(images);
}
/* [quantize images] */

/* [compile] */
static void compile(const qmd_model *quantized) {
	qmd_engine_options options;
	qmd_engine_options_init(&options);
	options.fuse = 1; /* the default */
	qmd_engine *engine;
	check(qmd_engine_compile(quantized, &options, &engine));
	check(qmd_engine_save(engine, "states.qme")); /* the same bytes on every machine */
	printf("engine: %zu classes, %zu steps\n", qmd_engine_n_classes(engine), qmd_engine_n_layers(engine));
	qmd_engine_free(engine);
}
/* [compile] */

int main(int argc, char **argv) {
	if (argc != 2)
		return 2;
	example e = open_example(argv[1]);
	qmd_model *model = train_briefly(e.dataset, e.split, e.pixels);
	qmd_model *quantized = quantize(model, e.dataset, e.split);
	quantize_on_images(model, e.dataset, e.split);
	compile(quantized);
	qmd_model_free(quantized);
	qmd_model_free(model);
	close_example(&e);
	return 0;
}
