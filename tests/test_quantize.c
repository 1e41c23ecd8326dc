#include <math.h>

#include "allocator_fixture.h"
#include "model/model_internal.h"
#include "network_fixture.h"
#include "quantize/observer.h"
#include "training_fixture.h"

/* ---- Observers ---- */

START_TEST(averages_batch_maxima) {
	qmdi_observer observer = {0};
	const float batches[3][2] = {{1.0f, -4.0f}, {2.0f, 0.0f}, {-3.0f, 1.0f}};
	for (int i = 0; i < 3; i++)
		qmdt_ok(qmdi_observe_range(&observer, batches[i], 2));
	/* Weights 0.81, 0.9 and 1 of the maxima 4, 2 and 3. */
	ck_assert_double_eq_tol(qmdi_observer_ema(&observer), (0.81 * 4 + 0.9 * 2 + 3) / 2.71, 1e-12);
	ck_assert_double_eq((double)observer.largest, 4.0);
	ck_assert_double_eq(qmdi_observer_mean(&observer), 11.0 / 6);
	const float wrong[] = {1.0f, NAN};
	qmdt_fails(qmdi_observe_range(&observer, wrong, 2), QMD_ERROR_RANGE, "activation 1 is nan");
}
END_TEST

START_TEST(finds_percentiles) {
	enum { N = 10000 };
	static float x[N];
	for (int i = 0; i < N; i++)
		x[i] = (float)((i * 7919) % N + 1) * (i % 2 ? -0.01f : 0.01f); /* magnitudes 0.01 to 100, shuffled */
	qmdi_observer observer = {0};
	qmdt_ok(qmdi_observe_range(&observer, x, N));
	qmdt_ok(qmdi_observer_begin_histogram(&observer));
	qmdi_observe_histogram(&observer, x, N);
	const double bin = 2 * 100.0 / QMDI_OBSERVER_BINS;
	ck_assert_double_eq_tol(qmdi_observer_percentile(&observer, 50), 50.0, bin);
	ck_assert_double_eq_tol(qmdi_observer_percentile(&observer, 99.9), 99.9, bin);
	ck_assert_double_eq_tol(qmdi_observer_percentile(&observer, 100), 100.0, 1e-5);
	qmdi_observer_release(&observer);
}
END_TEST

/* ---- Quantizing ---- */

#define images qmdt_patches
#define labels qmdt_patch_labels
#define N_IMAGES QMDT_N_PATCHES

static qmd_model *trained_model(void) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_patch_model(1);
	qmd_train_options options;
	qmd_train_options_init(&options);
	options.epochs = 8;
	options.learning_rate = 1e-3;
	options.n_threads = 1; /* small layers: threads would mostly wait */
	qmdt_ok(qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, &options));
	return model;
}

static qmd_quantize_options bits(uint32_t weight, uint32_t activation) {
	qmd_quantize_options options;
	qmd_quantize_options_init(&options);
	options.weight_bits = weight;
	options.activation_bits = activation;
	options.n_threads = 1; /* small layers: threads would mostly wait */
	return options;
}

static qmd_model *quantize(const qmd_model *model, const qmd_quantize_options *options) {
	qmd_model *quantized;
	qmdt_ok(qmd_quantize_images(model, images, QMD_S8, labels, N_IMAGES, options, &quantized));
	ck_assert_int_eq(qmd_model_is_quantized(quantized), 1);
	return quantized;
}

static double scale_of(const qmd_model *model, const char *name) {
	for (size_t l = 0; l < model->n_layers; l++)
		if (strcmp(model->layers[l].name, name) == 0)
			return (double)model->layers[l].activation_scale;
	ck_abort_msg("no layer %s", name);
	return 0;
}

static void check_scales(const qmd_model *model) {
	for (size_t l = 0; l < model->n_layers; l++) {
		const qmdi_layer *layer = &model->layers[l];
		ck_assert(layer->activation_scale == 0.0f || isnormal(layer->activation_scale));
		ck_assert_double_ge((double)layer->activation_scale, 0.0);
		if (layer->definition.kind != QMD_LAYER_CONV2D && layer->definition.kind != QMD_LAYER_DENSE) {
			ck_assert_ptr_null(layer->weight_scales);
			continue;
		}
		for (size_t u = 0; u < layer->definition.units; u++)
			ck_assert(isnormal(layer->weight_scales[u]) && layer->weight_scales[u] > 0);
	}
}

START_TEST(sets_scales_by_the_contract) {
	qmd_model *model = trained_model();
	const qmd_quantize_options options = bits(8, 8);
	qmd_model *q = quantize(model, &options);
	check_scales(q);
	ck_assert_uint_eq(q->weight_bits, 8);
	ck_assert_uint_eq(q->activation_bits, 8);
	ck_assert_int_eq(q->image_type, QMD_S8);
	ck_assert_double_eq(scale_of(q, "input"), (double)(1.0f / 127.0f));
	/* Conv and relu share; pool, dropout and flatten carry. */
	ck_assert_double_eq(scale_of(q, "conv2d_1+conv2d_2"), scale_of(q, "relu_1"));
	ck_assert_double_eq(scale_of(q, "maxpool_1"), scale_of(q, "relu_1"));
	ck_assert_double_eq(scale_of(q, "dropout_1"), scale_of(q, "relu_1"));
	ck_assert_double_eq(scale_of(q, "conv2d_3"), scale_of(q, "relu_2"));
	ck_assert_double_ne(scale_of(q, "relu_2"), scale_of(q, "relu_1"));
	ck_assert_double_eq(scale_of(q, "flatten_1"), scale_of(q, "relu_3"));
	ck_assert_double_eq(scale_of(q, "dense_1"), scale_of(q, "relu_4"));
	ck_assert_double_eq(scale_of(q, "dense_2"), 0.0);
	ck_assert_double_eq(scale_of(q, "softmax_1"), 0.0);
	ck_assert_ptr_nonnull(strstr(q->passes, "linear collapse: conv2d_1"));
	qmd_model_free(q);
	qmd_model_free(model);
}
END_TEST

START_TEST(eight_bits_lose_nothing) {
	qmd_model *model = trained_model(), *before;
	qmdt_ok(qmdi_model_copy(model, &before));
	float fp32[2 * N_IMAGES], int8[2 * N_IMAGES];
	qmdt_patch_logits(model, fp32);
	for (int32_t observer = QMD_OBSERVER_EMA_MAX; observer <= QMD_OBSERVER_PERCENTILE; observer++)
		for (int32_t collapse = 0; collapse < 2; collapse++) {
			qmd_quantize_options options = bits(8, 8);
			options.observer = observer;
			options.linear_collapse = collapse;
			options.epochs = 0;
			qmd_model *q = quantize(model, &options);
			ck_assert_uint_eq(q->n_layers, model->n_layers - (size_t)collapse);
			qmdt_patch_logits(q, int8);
			for (size_t i = 0; i < 2 * N_IMAGES; i++)
				ck_assert_double_eq_tol((double)int8[i], (double)fp32[i], 0.15);
			qmd_model_free(q);
		}
	/* The model itself is not changed, by fine-tuning neither. */
	const qmd_quantize_options tuned = bits(8, 8);
	qmd_model_free(quantize(model, &tuned));
	ck_assert_int_eq(qmd_model_is_quantized(model), 0);
	qmdt_check_same_parameters(model, before);
	qmd_model_free(before);
	qmd_model_free(model);
}
END_TEST

/* Input - conv 1x1 that doubles - relu - flatten - dense: what calibration must find can be read off the images. */
static qmd_model *doubling_model(void) {
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){QMDT_PATCH_SIDE, QMDT_PATCH_SIDE, 3}, &model));
	qmdt_add_conv(model, QMD_PREVIOUS, 3, 1, 1, QMD_PADDING_VALID);
	qmdt_add_reading(model, QMD_LAYER_RELU, QMD_PREVIOUS);
	qmdt_add_reading(model, QMD_LAYER_FLATTEN, QMD_PREVIOUS);
	qmdt_add_dense(model, 2);
	const float weights[9] = {2, 0, 0, 0, 2, 0, 0, 0, 2};
	qmdt_ok(qmd_model_set_parameters(model, "conv2d_1", "weight", 9, weights));
	return model;
}

START_TEST(ranges_are_those_of_the_images) {
	qmdt_draw_patches(1);
	qmd_model *model = doubling_model();
	int largest = 0;
	for (size_t i = 0; i < sizeof images; i++)
		largest = images[i] > largest ? images[i] : largest;
	qmd_quantize_options options = bits(8, 4);
	options.epochs = 0;
	options.batch_size = N_IMAGES;
	qmd_model *q = quantize(model, &options);
	ck_assert_double_eq_tol(scale_of(q, "relu_1"), 2.0 * largest / 127 / 7, 1e-6);
	ck_assert_double_eq_tol((double)q->layers[1].weight_scales[1], 2.0 / 127, 1e-8);
	ck_assert_double_eq((double)q->layers[4].weight_scales[0], 1.0); /* all zero */
	qmd_model_free(q);
	qmd_model_free(model);
}
END_TEST

START_TEST(gives_silent_layers_scales_of_1_and_large_biases_room) {
	qmdt_draw_patches(1);
	qmd_model *model = doubling_model();
	const float weights[9] = {1e-30f, 0, 0, 0, 1e-3f, 0, 0, 0, 2};
	const float biases[3] = {-1000.0f, -1000.0f, -1000.0f};
	qmdt_ok(qmd_model_set_parameters(model, "conv2d_1", "weight", 9, weights));
	qmdt_ok(qmd_model_set_parameters(model, "conv2d_1", "bias", 3, biases));
	qmd_quantize_options options = bits(8, 8);
	options.epochs = 0;
	qmd_model *q = quantize(model, &options);
	check_scales(q);
	ck_assert_double_eq(scale_of(q, "relu_1"), 1.0);
	for (int u = 0; u < 3; u++)
		ck_assert_double_le(1000.0 / ((double)q->layers[1].weight_scales[u] / 127.0), 0x1.00001p30);
	qmd_model_free(q);
	qmd_model_free(model);
}
END_TEST

/* Scales are trained before the biases are, in the last step too. */
START_TEST(the_last_step_leaves_biases_room) {
	qmdt_draw_patches(1);
	memset(labels, 0, sizeof labels);
	qmd_model *model = doubling_model();
	qmdi_layer *dense = &model->layers[4];
	for (size_t i = 0; i < dense->n_parameters[QMDI_WEIGHT]; i++)
		dense->parameters[QMDI_WEIGHT][i] = 1e-30f;
	qmd_quantize_options options = bits(4, 4);
	options.batch_size = N_IMAGES;
	options.epochs = 1;
	options.learning_rate = 1e-2;
	qmd_model *q = quantize(model, &options);
	for (int u = 0; u < 2; u++) {
		const double bias = fabs((double)q->layers[4].parameters[QMDI_BIAS][u]);
		ck_assert_double_gt(bias, 5e-3);
		ck_assert_double_le(bias / (scale_of(q, "relu_1") * (double)q->layers[4].weight_scales[u]), 0x1.00001p30);
	}
	qmd_model_free(q);
	qmd_model_free(model);
}
END_TEST

/* Fine-tuning gives back most of what few bits lose. */
static void check_gain(const qmd_model *model, uint32_t weight_bits, uint32_t activation_bits) {
	qmd_quantize_options options = bits(weight_bits, activation_bits);
	options.epochs = 0;
	qmd_model *calibrated = quantize(model, &options);
	options.epochs = 10;
	options.learning_rate = 3e-4;
	qmd_model *tuned = quantize(model, &options);
	check_scales(tuned);
	const double fp32 = qmdt_patch_loss(model), without = qmdt_patch_loss(calibrated), with = qmdt_patch_loss(tuned);
	ck_assert_msg(with < fp32 + 0.5 * (without - fp32), "%u/%u bits: FP32 %g, calibrated %g, tuned %g", weight_bits,
				  activation_bits, fp32, without, with);
	qmd_model_free(calibrated);
	qmd_model_free(tuned);
}

START_TEST(fine_tuning_wins_back_what_few_bits_lose) {
	qmd_model *model = trained_model();
	check_gain(model, 5, 5);
	check_gain(model, 4, 4);
	check_gain(model, 2, 8);
	check_gain(model, 8, 2);
	check_gain(model, 2, 2);
	qmd_model_free(model);
}
END_TEST

START_TEST(learned_scales_move_and_are_shared) {
	qmd_model *model = trained_model();
	qmd_quantize_options options = bits(3, 3);
	options.epochs = 0;
	qmd_model *calibrated = quantize(model, &options);
	options.epochs = 3;
	qmd_model *tuned = quantize(model, &options);
	ck_assert_double_ne(scale_of(tuned, "relu_1"), scale_of(calibrated, "relu_1"));
	ck_assert_double_eq(scale_of(tuned, "relu_1"), scale_of(tuned, "conv2d_1+conv2d_2"));
	ck_assert_double_eq(scale_of(tuned, "relu_1"), scale_of(tuned, "dropout_1"));
	ck_assert_double_eq(scale_of(tuned, "input"), scale_of(calibrated, "input"));
	ck_assert_double_eq(scale_of(tuned, "dense_2"), 0.0);
	ck_assert_float_ne(tuned->layers[1].weight_scales[0], calibrated->layers[1].weight_scales[0]);
	qmd_model_free(tuned);
	qmd_model_free(calibrated);
	qmd_model_free(model);
}
END_TEST

/* ---- Refusals ---- */

static int cancel(void *user, const qmd_progress *progress) {
	return strcmp(progress->phase, user) == 0;
}

static qmd_status try_quantize(const qmd_model *model, const qmd_quantize_options *options) {
	qmd_model *quantized = NULL;
	const qmd_status status = qmd_quantize_images(model, images, QMD_S8, labels, N_IMAGES, options, &quantized);
	ck_assert_ptr_null(quantized);
	return status;
}

#define refuses(field, value, part)                                                                                    \
	do {                                                                                                               \
		qmd_quantize_options wrong = bits(8, 8);                                                                       \
		wrong.field = value;                                                                                           \
		qmdt_fails(try_quantize(model, &wrong), QMD_ERROR_ARGUMENT, part);                                             \
	} while (0)

START_TEST(refuses_wrong_arguments) {
	qmd_model *model = trained_model();
	refuses(struct_size, 0, "struct_size");
	refuses(weight_bits, 1, "weight_bits is 1");
	refuses(activation_bits, 9, "activation_bits is 9");
	refuses(observer, 0, "observer is 0");
	refuses(percentile, 49.0, "percentile is 49");
	refuses(percentile, (double)NAN, "percentile is nan");
	refuses(linear_collapse, 2, "linear_collapse is 2");
	refuses(learning_rate, (double)INFINITY, "learning_rate is inf");
	refuses(batch_size, 0, "batch_size is 0");
	refuses(n_threads, 5000, "n_threads is 5000");
	const qmd_quantize_options options = bits(8, 8);
	qmdt_fails(try_quantize(NULL, &options), QMD_ERROR_ARGUMENT, "model");
	qmd_model *q = quantize(model, &options);
	qmdt_fails(try_quantize(q, &options), QMD_ERROR_STATE, "already quantized");
	qmdt_fails(qmd_train_images(q, images, QMD_S8, labels, N_IMAGES, NULL), QMD_ERROR_STATE, "quantized");
	qmd_model_free(q);
	qmd_quantize_options cancelled = options;
	cancelled.progress = cancel;
	cancelled.user = "calibrate";
	qmdt_fails(try_quantize(model, &cancelled), QMD_ERROR_CANCELLED, "");
	cancelled.user = "fine-tune";
	qmdt_fails(try_quantize(model, &cancelled), QMD_ERROR_CANCELLED, "");
	qmd_model_free(model);
}
END_TEST

static void check_unsupported(qmd_model *model, const char *part) {
	const qmd_quantize_options options = bits(8, 8);
	qmdt_fails(try_quantize(model, &options), QMD_ERROR_UNSUPPORTED, part);
	qmd_model_free(model);
}

START_TEST(refuses_by_name_what_cannot_be_quantized) {
	qmdt_draw_patches(1);
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){QMDT_PATCH_SIDE, QMDT_PATCH_SIDE, 3}, &model));
	qmdt_add_reading(model, QMD_LAYER_BATCHNORM, QMD_PREVIOUS);
	qmdt_add_reading(model, QMD_LAYER_FLATTEN, QMD_PREVIOUS);
	qmdt_add_dense(model, 2);
	check_unsupported(model, "layer 'batchnorm_1'");

	model = doubling_model();
	qmdt_add_reading(model, QMD_LAYER_RELU, QMD_PREVIOUS);
	check_unsupported(model, "layer 'relu_2' gives the logits");
}
END_TEST

START_TEST(finds_the_scales_of_branches) {
	qmdt_draw_patches(1);
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){QMDT_PATCH_SIDE, QMDT_PATCH_SIDE, 3}, &model));
	const int32_t a = qmdt_add_conv(model, QMD_PREVIOUS, 8, 3, 1, QMD_PADDING_SAME);
	const int32_t b = qmdt_add_reading(model, QMD_LAYER_RELU, a);
	const int32_t c = qmdt_add_conv(model, QMD_PREVIOUS, 8, 3, 1, QMD_PADDING_SAME);
	const int32_t sum = qmdt_add_sum(model, c, b);
	qmdt_add_reading(model, QMD_LAYER_RELU, sum);
	qmdt_add_reading(model, QMD_LAYER_AVGPOOL, QMD_PREVIOUS);
	qmdt_add_conv(model, QMD_PREVIOUS, 2, 1, 1, QMD_PADDING_VALID);
	qmdt_add_reading(model, QMD_LAYER_GLOBAL_AVGPOOL, QMD_PREVIOUS);
	qmdt_add_reading(model, QMD_LAYER_FLATTEN, QMD_PREVIOUS);
	qmdt_add_reading(model, QMD_LAYER_SOFTMAX, QMD_PREVIOUS);
	qmdt_ok(qmd_model_initialize(model, 3));
	const qmd_quantize_options options = bits(8, 8);
	qmd_model *q = quantize(model, &options);
	check_scales(q);
	ck_assert_double_eq(scale_of(q, "conv2d_1"), scale_of(q, "relu_1"));
	ck_assert_double_ne(scale_of(q, "conv2d_2"), scale_of(q, "add_1")); /* its reader is the add */
	ck_assert_double_eq(scale_of(q, "add_1"), scale_of(q, "relu_2"));
	ck_assert_double_gt(scale_of(q, "avgpool_1"), 0.0);
	ck_assert_double_gt(scale_of(q, "conv2d_3"), 0.0);
	ck_assert_double_eq(scale_of(q, "global_avgpool_1"), 0.0); /* the logits, and what passes them on */
	ck_assert_double_eq(scale_of(q, "flatten_1"), 0.0);
	float fp32[2 * N_IMAGES], int8[2 * N_IMAGES];
	qmdt_patch_logits(model, fp32);
	qmdt_patch_logits(q, int8);
	for (size_t i = 0; i < 2 * N_IMAGES; i++)
		ck_assert_double_eq_tol((double)int8[i], (double)fp32[i], 0.1);
	qmd_model_free(q);
	qmd_model_free(model);
}
END_TEST

static qmd_status quantize_work(void *path) {
	qmd_quantize_options options = bits(4, 4);
	options.observer = QMD_OBSERVER_PERCENTILE;
	options.epochs = 1;
	qmd_model *model = NULL, *quantized = NULL;
	qmd_status status = qmd_model_load(path, &model);
	if (status == QMD_OK)
		status = qmd_quantize_images(model, images, QMD_S8, labels, 17, &options, &quantized);
	qmd_model_free(quantized);
	qmd_model_free(model);
	return status;
}

START_TEST(every_allocation_may_fail) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_tiny_model();
	char *path = strdup(qmdt_scratch("tiny.qmd"));
	qmdt_ok(qmd_model_save(model, path));
	qmd_model_free(model);
	ck_assert_uint_gt(qmdt_fail_each_allocation(quantize_work, path), 60);
	free(path);
}
END_TEST

/* ---- Data sets ---- */

START_TEST(quantizes_on_the_training_frames_of_a_data_set) {
	qmdt_adk adk = qmdt_adk_open();
	const uint32_t side = (uint32_t)qmd_pixels_side(adk.pixels);
	qmd_model *model, *q = NULL;
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){side, side, 3}, 2, 1, &model));
	qmd_quantize_options options = bits(8, 8);
	options.epochs = 1;
	qmdt_fails(qmd_quantize(model, adk.dataset, adk.split, &options, &q), QMD_ERROR_STATE, "not bound");
	qmdt_ok(qmd_model_bind(model, adk.pixels, NULL));
	qmdt_ok(qmd_quantize(model, adk.dataset, adk.split, &options, &q));
	check_scales(q);
	ck_assert_ptr_eq(qmd_model_pixels(q), adk.pixels);
	qmd_model_free(q);

	/* The held-out frames have no part in it: the same images from memory give the same model. */
	size_t n;
	const uint32_t *frames = qmd_split_train(adk.split, &n);
	uint8_t *rendered = malloc(n * side * side * 3);
	uint32_t states[16];
	ck_assert_uint_eq(n, 16);
	for (size_t i = 0; i < n; i++)
		states[i] = i < n / 2 ? 0 : 1;
	qmdt_ok(qmd_pixels_run_dataset(adk.pixels, adk.dataset, frames, n, rendered));
	qmd_model *from_data_set, *from_images;
	qmdt_ok(qmd_quantize(model, adk.dataset, adk.split, &options, &from_data_set));
	qmdt_ok(qmd_quantize_images(model, rendered, QMD_S8, states, n, &options, &from_images));
	qmdt_check_same_parameters(from_data_set, from_images);
	ck_assert_double_eq(scale_of(from_data_set, "relu_1"), scale_of(from_images, "relu_1"));
	qmd_model_free(from_data_set);
	qmd_model_free(from_images);
	qmd_model_free(model);
	free(rendered);
	qmdt_adk_close(&adk);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("quantize");
	TCase *scales = tcase_create("scales");
	tcase_set_timeout(scales, 0);
	tcase_add_test(scales, averages_batch_maxima);
	tcase_add_test(scales, finds_percentiles);
	tcase_add_test(scales, sets_scales_by_the_contract);
	tcase_add_test(scales, eight_bits_lose_nothing);
	tcase_add_test(scales, ranges_are_those_of_the_images);
	tcase_add_test(scales, gives_silent_layers_scales_of_1_and_large_biases_room);
	tcase_add_test(scales, the_last_step_leaves_biases_room);
	tcase_add_test(scales, fine_tuning_wins_back_what_few_bits_lose);
	tcase_add_test(scales, learned_scales_move_and_are_shared);
	tcase_add_test(scales, refuses_wrong_arguments);
	tcase_add_test(scales, refuses_by_name_what_cannot_be_quantized);
	tcase_add_test(scales, finds_the_scales_of_branches);
	tcase_add_test(scales, every_allocation_may_fail);
	tcase_add_test(scales, quantizes_on_the_training_frames_of_a_data_set);
	suite_add_tcase(suite, scales);
	return qmdt_run(suite);
}
