/* Fake-quant inside a network: grids, who rounds, scales that follow the weights, and the integers they stand for. */
#include "network_fixture.h"

#include <math.h>

#include "allocator_fixture.h"
#include "tensor/fake_quant.h"

#define BATCH 4
#define IMAGE_SIZE ((size_t)11 * 9 * 3)

static const uint32_t labels[BATCH] = {2, 0, 1, 2};

/* The residual net, quantized on the images that `seed` draws. */
static qmd_model *quantized_net(uint32_t weight_bits, uint32_t activation_bits) {
	float images[BATCH * 11 * 9 * 3];
	qmd_model *model = qmdt_residual_net(0);
	qmdt_draw_parameters(model, 1);
	qmdt_draw_images(1, images, BATCH * IMAGE_SIZE);
	qmdt_quantize(model, weight_bits, activation_bits, images, BATCH);
	return model;
}

static qmdi_network *create(qmd_model *model, int backward) {
	qmdi_network *network;
	qmdt_ok(qmdi_network_open(model, NULL, 1, BATCH, backward, &network));
	qmdt_draw_images(1, qmdi_network_input(network), BATCH * IMAGE_SIZE);
	return network;
}

static size_t output_size(const qmd_model *model, size_t layer) {
	const qmd_shape shape = model->layers[layer].output;
	return (size_t)BATCH * shape.h * shape.w * shape.c;
}

/* How many values are not scale * q with q in [low, high]. */
static size_t n_off_grid(const float *values, size_t n, float scale, int32_t low, int32_t high) {
	size_t off = 0;
	for (size_t i = 0; i < n; i++) {
		const float q = nearbyintf(values[i] / scale);
		off += values[i] != scale * q || q < (float)low || q > (float)high;
	}
	return off;
}

/* ---- Who rounds ---- */

START_TEST(every_output_is_on_its_grid) {
	static const uint32_t bits[] = {8, 5, 4, 2};
	const int32_t high = qmdi_quantized_max(bits[_i]);
	qmd_model *model = quantized_net(8, bits[_i]);
	qmdi_network *network = create(model, 0);
	qmdt_ok(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0));
	for (size_t i = 1; i < qmdi_model_logits(model); i++) {
		size_t consumer = 0;
		const qmdi_layer *layer = &model->layers[i];
		const int is_rounded_by_relu = qmdi_model_consumers(model, i, &consumer) == 1 &&
									   layer->definition.kind != QMD_LAYER_MAXPOOL &&
									   model->layers[consumer].definition.kind == QMD_LAYER_RELU;
		const int32_t low = qmdi_model_is_nonnegative(model, i) ? 0 : -high - 1;
		const size_t off =
			n_off_grid(qmdt_output(network, i), output_size(model, i), layer->activation_scale, low, high);
		ck_assert_msg((off == 0) != is_rounded_by_relu, "layer '%s': %zu values off its grid", layer->name, off);
	}
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

/* conv - relu and conv - add: the convolution has a range of its own, and rounds. */
START_TEST(convolution_with_two_consumers_rounds_itself) {
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){11, 9, 3}, &model));
	const int32_t conv = qmdt_add_conv(model, QMD_PREVIOUS, 4, 3, 1, QMD_PADDING_SAME);
	const int32_t relu = qmdt_add_kind(model, QMD_LAYER_RELU);
	qmdt_add_sum(model, conv, relu);
	qmdt_add_kind(model, QMD_LAYER_GLOBAL_AVGPOOL);
	qmdt_add_dense(model, 2);
	qmdt_draw_parameters(model, 1);
	float images[BATCH * 11 * 9 * 3];
	qmdt_draw_images(1, images, BATCH * IMAGE_SIZE);
	qmdt_quantize(model, 8, 8, images, BATCH);
	qmdi_network *network = create(model, 0);
	qmdt_ok(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0));
	const float *convolved = qmdt_output(network, 1), *positive = qmdt_output(network, 2);
	ck_assert_uint_eq(n_off_grid(convolved, output_size(model, 1), model->layers[1].activation_scale, -128, 127), 0);
	for (size_t i = 0; i < output_size(model, 2); i++)
		ck_assert_float_eq(positive[i], convolved[i] < 0.0f ? 0.0f : convolved[i]);
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

/* Weights 1.27 and 0.634 at a scale of 0.01: 127 and 63. The bias in steps of 0.01 / 127: 1270.508, so 1271. */
START_TEST(weights_and_bias_are_rounded_as_by_hand) {
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){1, 1, 2}, &model));
	qmdt_add_dense(model, 1);
	const float weight[] = {1.27f, 0.634f}, bias = 0.10004f, image[] = {1.0f, -64.0f / 127.0f};
	qmdt_ok(qmd_model_set_parameters(model, "dense_1", "weight", 2, weight));
	qmdt_ok(qmd_model_set_parameters(model, "dense_1", "bias", 1, &bias));
	qmdt_quantize(model, 8, 8, image, 1);
	qmdi_network *network;
	qmdt_ok(qmdi_network_open(model, NULL, 1, 1, QMDI_NO_BACKWARD, &network));
	memcpy(qmdi_network_input(network), image, sizeof image);
	qmdt_ok(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0));
	ck_assert_float_eq_tol(qmdi_network_logits(network)[0], (127 * 127 - 63 * 64 + 1271) * 0.01f / 127.0f, 1e-6f);
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

/* ---- The integers ---- */

/* Output q of the first convolution (3 x 3, step 2, 'same') and its relu, by docs/numerics.md. */
static int32_t integer_pixel(const qmdi_layer *layer, const float *image, size_t y, size_t x, size_t unit) {
	const qmd_layer *d = &layer->definition;
	const float input_scale = 1.0f / 127.0f, weight_scale = layer->weight_scales[unit];
	int32_t sum =
		(int32_t)rint((double)layer->parameters[QMDI_BIAS][unit] / ((double)input_scale * (double)weight_scale));
	for (size_t i = 0; i < 3; i++)
		for (size_t j = 0; j < 3; j++)
			for (size_t c = 0; c < 3; c++) {
				const size_t row = y * 2 + i - d->pad_top, column = x * 2 + j - d->pad_left; /* -1 is huge */
				if (row >= 11 || column >= 9)
					continue;
				const float weight = layer->parameters[QMDI_WEIGHT][((unit * 3 + i) * 3 + j) * 3 + c];
				const int32_t q_weight = (int32_t)rintf(weight / weight_scale);
				sum += q_weight * (int32_t)lrintf(image[(row * 9 + column) * 3 + c] * 127.0f);
			}
	const float multiplier = (input_scale * weight_scale) / layer->activation_scale;
	const float q = rintf((float)sum * multiplier);
	return q < 0.0f ? 0 : q > 127.0f ? 127 : (int32_t)q;
}

START_TEST(fake_quant_stands_for_the_integers) {
	qmd_model *model = quantized_net(8, 8);
	qmdi_network *network = create(model, 0);
	qmdt_ok(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0));
	const qmdi_layer *layer = &model->layers[1];
	const float *output = qmdt_output(network, 2);
	size_t n = 0, n_different = 0, n_large = 0;
	for (size_t image = 0; image < BATCH; image++)
		for (size_t y = 0; y < layer->output.h; y++)
			for (size_t x = 0; x < layer->output.w; x++)
				for (size_t unit = 0; unit < layer->output.c; unit++, n++) {
					const float *pixels = qmdi_network_input(network) + image * IMAGE_SIZE;
					const int32_t expected = integer_pixel(layer, pixels, y, x, unit);
					const int32_t found = (int32_t)lrintf(output[n] / layer->activation_scale);
					ck_assert_int_le(abs(found - expected), 1);
					n_different += found != expected;
					n_large += expected > 20;
				}
	ck_assert_uint_eq(n, output_size(model, 2));
	ck_assert_uint_gt(n_large, n / 10);
	/* A float sum is wrong by about 1e-6 of it, and so near a tie is less than one value in 10,000. */
	ck_assert_uint_le(n_different, n / 500);
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

/* ---- Training ---- */

START_TEST(weight_scales_follow_the_weights_above_4_bits) {
	static const uint32_t bits[] = {8, 5, 4};
	qmd_model *model = quantized_net(bits[_i], 8);
	qmdi_network *network = create(model, 1);
	qmdi_layer *layer = &model->layers[1];
	const float before = layer->weight_scales[0], high = (float)qmdi_quantized_max(bits[_i]);
	layer->parameters[QMDI_WEIGHT][5] = 2.0f;
	qmdt_ok(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0));
	ck_assert_float_eq(layer->weight_scales[0], before);
	qmdt_ok(qmdi_network_forward(network, QMDI_TRAINING, 0, 0));
	ck_assert_float_eq(layer->weight_scales[0], bits[_i] > 4 ? 2.0f / high : before);
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

static void train_pass(qmdi_network *network) {
	double loss;
	size_t n_right;
	qmdt_ok(qmdi_network_forward(network, QMDI_TRAINING, 1, 1));
	qmdt_ok(qmdi_network_backward(network, labels, BATCH, &loss, &n_right));
}

static size_t n_nonzero(const float *values, size_t n) {
	size_t nonzero = 0;
	for (size_t i = 0; i < n; i++)
		nonzero += values[i] != 0.0f;
	return nonzero;
}

/* Where an output is clamped the gradient ends: with all of them clamped nothing before learns. */
START_TEST(clamped_activations_pass_no_gradient) {
	qmd_model *model = quantized_net(8, 8);
	qmdi_network *network = create(model, 1);
	train_pass(network);
	const size_t n = model->layers[1].n_parameters[QMDI_WEIGHT];
	ck_assert_uint_gt(n_nonzero(qmdi_network_gradient(network, 1, QMDI_WEIGHT), n), n / 2);
	model->layers[1].activation_scale = model->layers[2].activation_scale = 1e-9f;
	train_pass(network);
	ck_assert_uint_eq(n_nonzero(qmdi_network_gradient(network, 1, QMDI_WEIGHT), n), 0);
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

/* The largest weight of a channel lies at the end of the range, and learns too. */
START_TEST(largest_weights_have_gradients) {
	qmd_model *model = quantized_net(8, 8);
	qmdi_network *network = create(model, 1);
	train_pass(network);
	const qmdi_layer *layer = &model->layers[1];
	const float *gradient = qmdi_network_gradient(network, 1, QMDI_WEIGHT);
	for (size_t unit = 0; unit < 6; unit++) {
		size_t largest = 27 * unit;
		for (size_t i = largest; i < 27 * (unit + 1); i++)
			if (fabsf(layer->parameters[QMDI_WEIGHT][i]) > fabsf(layer->parameters[QMDI_WEIGHT][largest]))
				largest = i;
		ck_assert_float_ne(gradient[largest], 0.0f);
	}
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

START_TEST(scales_have_gradients_at_4_bits_and_below) {
	static const uint32_t bits[] = {8, 4, 3};
	const int is_trained = bits[_i] <= 4;
	qmd_model *model = quantized_net(bits[_i], bits[_i]);
	qmdi_network *network = create(model, 1);
	train_pass(network);
	float weight[6], activation;
	qmdt_ok(qmdi_network_scale_gradients(network, 1, weight, &activation));
	ck_assert_float_eq(activation, 0.0f); /* its relu rounds */
	if (is_trained)
		ck_assert_uint_gt(n_nonzero(weight, 6), 3);
	else
		ck_assert_uint_eq(n_nonzero(weight, 6), 0);
	qmdt_ok(qmdi_network_scale_gradients(network, 2, NULL, &activation));
	ck_assert_int_eq(activation != 0.0f, is_trained);
	qmdt_fails(qmdi_network_scale_gradients(network, model->n_layers, NULL, &activation), QMD_ERROR_RANGE,
			   "the network has");
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

/* ---- Errors ---- */

START_TEST(scales_without_bits_are_refused) {
	qmd_model *model = quantized_net(8, 8);
	qmdi_network *network = create(model, 1);
	model->weight_bits = 0;
	qmdt_fails(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0), QMD_ERROR_STATE, "layer 'conv2d_1'");
	model->weight_bits = 8;
	model->activation_bits = 9;
	qmdt_fails(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0), QMD_ERROR_STATE, "layer 'relu_1'");
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

/* What fake-quant needs is made at the first pass. */
START_TEST(lack_of_memory_in_a_pass_is_an_error) {
	qmd_model *model = quantized_net(4, 4);
	qmd_status status;
	size_t nth = 1;
	do {
		qmdi_network *network = create(model, 1);
		double loss;
		size_t n_right;
		qmdt_allocator_install(nth++);
		status = qmdi_network_forward(network, QMDI_TRAINING, 0, 0);
		if (status == QMD_OK)
			status = qmdi_network_backward(network, labels, BATCH, &loss, &n_right);
		qmdt_allocator_remove();
		qmdi_network_free(network);
		ck_assert(status == QMD_OK || status == QMD_ERROR_MEMORY);
	} while (status != QMD_OK);
	ck_assert_uint_gt(nth, 10);
	qmd_model_free(model);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("network_quantized");
	TCase *rounding = tcase_create("rounding");
	tcase_add_loop_test(rounding, every_output_is_on_its_grid, 0, 4);
	tcase_add_test(rounding, convolution_with_two_consumers_rounds_itself);
	tcase_add_test(rounding, weights_and_bias_are_rounded_as_by_hand);
	tcase_add_test(rounding, fake_quant_stands_for_the_integers);
	suite_add_tcase(suite, rounding);
	TCase *training = tcase_create("training");
	tcase_add_loop_test(training, weight_scales_follow_the_weights_above_4_bits, 0, 3);
	tcase_add_test(training, clamped_activations_pass_no_gradient);
	tcase_add_test(training, largest_weights_have_gradients);
	tcase_add_loop_test(training, scales_have_gradients_at_4_bits_and_below, 0, 3);
	suite_add_tcase(suite, training);
	TCase *errors = tcase_create("errors");
	tcase_add_test(errors, scales_without_bits_are_refused);
	tcase_add_test(errors, lack_of_memory_in_a_pass_is_an_error);
	suite_add_tcase(suite, errors);
	return qmdt_run(suite);
}
