/*
 * FP32 training and prediction, on the frames of a data set and on images from memory.
 *
 *     $ train_network examples/data
 *     train: stopped at a loss of 0.0...
 *     20 held-out frames, 20 right
 *     frame 0: open ..., closed ...
 *     softmax_1 by FP32, a run in ... ms
 *     on two images from memory: trained
 */
#include "snippets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* [train] */
static int watch(void *user, const qmd_progress *progress) {
	*(qmd_progress *)user = *progress;
	return 0; /* 1 would stop the training, and the model keeps what it has learnt */
}

static qmd_model *train(qmd_dataset *dataset, const qmd_split *split, qmd_pixels *pixels) {
	const uint32_t side = (uint32_t)qmd_pixels_side(pixels);
	qmd_progress last;
	qmd_model *model;
	qmd_train_options options;
	check(qmd_model_create_preset("icnnmd", (qmd_shape){side, side, 3}, 2, 1, &model));
	qmd_train_options_init(&options);
	options.learning_rate = 1e-3;
	options.progress = watch;
	options.user = &last;
	check(qmd_train(model, dataset, split, pixels, &options)); /* which binds it to the pixels and the states' names */
	printf("%s: stopped at a loss of %.4f\n", last.phase, last.loss);
	return model;
}
/* [train] */

/* [predict images] */
static void test(const qmd_model *model, qmd_dataset *dataset, const qmd_split *split) {
	const qmd_pixels *pixels = qmd_model_pixels(model);
	const size_t size = qmd_pixels_side(pixels) * qmd_pixels_side(pixels) * 3;
	size_t n, n_right = 0;
	const uint32_t *frames = qmd_split_test(split, &n);
	int8_t *images = allocate(n, size);
	float *probabilities = allocate(n, 2 * sizeof *probabilities);
	check(qmd_pixels_run_dataset(pixels, dataset, frames, n, images));

	qmd_predictor *predictor;
	check(qmd_predictor_create(model, NULL, &predictor)); /* 32 images at a time, on all processors */
	check(qmd_predictor_run_images(predictor, images, qmd_pixels_type(pixels), n, NULL, probabilities));
	qmd_predictor_free(predictor);

	for (size_t i = 0; i < n; i++) {
		qmd_frame_origin origin;
		check(qmd_dataset_frame_origin(dataset, frames[i], &origin));
		n_right += (probabilities[2 * i + 1] > probabilities[2 * i]) == (origin.state == 1);
	}
	printf("%zu held-out frames, %zu right\n", n, n_right);
	free(probabilities);
	free(images);
}
/* [predict images] */

/* [predict frames] */
static void predict_frame(const qmd_model *model, qmd_dataset *dataset) {
	float *xyz = allocate(qmd_dataset_n_atoms(dataset), 3 * sizeof *xyz), probabilities[2];
	check(qmd_dataset_read(dataset, 0, xyz));
	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.xyz = xyz;
	frame.n_atoms = qmd_dataset_n_atoms(dataset);

	qmd_predictor_options options;
	qmd_predictor_options_init(&options);
	options.batch_size = 1;
	options.n_threads = 1;
	qmd_predictor *predictor;
	check(qmd_predictor_create(model, &options, &predictor));
	check(qmd_predictor_run(predictor, &frame, 1, NULL, probabilities));
	qmd_predictor_free(predictor);
	printf("frame 0: %s %.2f, %s %.2f\n", qmd_model_class_name(model, 0), (double)probabilities[0],
		   qmd_model_class_name(model, 1), (double)probabilities[1]);
	free(xyz);
}
/* [predict frames] */

/* [time] */
static void time_runs(const qmd_model *model, const char *engine) {
	const qmd_pixels *pixels = qmd_model_pixels(model);
	qmd_predictor_options options;
	qmd_predictor *predictor;
	qmd_run_time times[10];
	unsigned char *image = allocate(qmd_pixels_side(pixels) * qmd_pixels_side(pixels), 3);
	qmd_predictor_options_init(&options);
	options.engine = engine; /* "fp32"; with a GPU also "cudnn-fp16", and "cudnn-int8" of a quantized model */
	options.batch_size = 1;
	options.n_threads = 1;
	check(qmd_predictor_create(model, &options, &predictor));
	const size_t n_layers = qmd_predictor_n_layers(predictor);
	qmd_predictor_layer last = {.struct_size = sizeof last};
	check(qmd_predictor_layer_info(predictor, n_layers - 1, &last));
	check(qmd_predictor_time(predictor, image, qmd_pixels_type(pixels), 1, 10, times));
	printf("%s by %s, a run in %.3f ms\n", last.name, last.computed_by, 1e3 * times[9].total);

	double *of_layers = allocate(n_layers, 10 * sizeof *of_layers);
	if (strcmp(engine, "fp32") != 0)
		check(qmd_predictor_time_layers(predictor, image, qmd_pixels_type(pixels), 1, 10, of_layers));
	free(of_layers);
	free(image);
	qmd_predictor_free(predictor);
}
/* [time] */

/* [train images] */
static void train_on_images(void) {
	static int8_t images[2][12 * 12 * 3]; /* NHWC: one all 0, one all 1 */
	static const uint32_t labels[2] = {0, 1};
	memset(images[1], 127, sizeof images[1]);
	qmd_model *model;
	qmd_train_options options;
	check(qmd_model_create_preset("icnnmd", (qmd_shape){12, 12, 3}, 2, 1, &model));
	qmd_train_options_init(&options);
	options.epochs = 2;
	check(qmd_train_images(model, images, QMD_S8, labels, 2, &options));
	printf("on two images from memory: trained\n");
	qmd_model_free(model);
}
/* [train images] */

int main(int argc, char **argv) {
	if (argc != 2)
		return 2;
	example e = open_example(argv[1]);
	qmd_model *model = train(e.dataset, e.split, e.pixels);
	test(model, e.dataset, e.split);
	predict_frame(model, e.dataset);
	time_runs(model, "fp32");
	train_on_images();
	qmd_model_free(model);
	close_example(&e);
	return 0;
}
