/*
 * Passes of a network: forward values worked out by hand, loss, dropout, batch statistics, threads, errors.
 * test_network_gradients.c has the gradients, test_network_quantized.c fake-quant; tests/oracle/test_training_step.py
 * compares whole nets with NumPy.
 */
#include "network_fixture.h"

#include <fenv.h>
#include <math.h>
#include <omp.h>

#include "allocator_fixture.h"

static qmdi_network *create(qmd_model *model, size_t batch_size, size_t n_threads) {
	qmdi_network *network;
	qmdt_ok(qmdi_network_open(model, NULL, n_threads, batch_size, QMDI_BACKWARD_PARAMETERS, &network));
	return network;
}

/* ---- Forward, by hand ---- */

/* One image through one layer; expects n values. */
static void check_layer(qmd_shape input, const float *image, qmd_layer layer, const float *weight, size_t n,
						const float *expected) {
	qmd_model *model;
	qmdt_ok(qmd_model_create(input, &model));
	qmdt_add(model, layer);
	if (weight)
		memcpy(model->layers[1].parameters[QMDI_WEIGHT], weight,
			   model->layers[1].n_parameters[QMDI_WEIGHT] * sizeof *weight);
	if (weight)
		model->layers[1].parameters[QMDI_BIAS][0] = 0.5f;
	qmdi_network *network = create(model, 1, 1);
	memcpy(qmdi_network_input(network), image, (size_t)input.h * input.w * input.c * sizeof *image);
	qmdt_ok(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0));
	const qmd_shape output = model->layers[1].output;
	ck_assert_uint_eq((size_t)output.h * output.w * output.c, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_float_eq_tol(qmdt_output(network, 1)[i], expected[i], 1e-6f);
	qmdi_network_free(network);
	qmd_model_free(model);
}

START_TEST(convolution_pads_each_side_as_told) {
	const float image[] = {1, 2, 3, 4}, weight[] = {1, 10, 100, 1000};
	qmd_layer layer = qmdt_layer(QMD_LAYER_CONV2D);
	layer.units = 1;
	layer.kernel_h = layer.kernel_w = 2;
	layer.padding = QMD_PADDING_EXPLICIT;
	layer.pad_top = layer.pad_right = 1;
	/* . . .      windows from the top: 100*1 + 1000*2, 100*2;
	 * 1 2 .      1 + 20 + 300 + 4000, 2 + 400 */
	/* 3 4 . */
	const float expected[] = {2100.5f, 200.5f, 4321.5f, 402.5f};
	check_layer((qmd_shape){2, 2, 1}, image, layer, weight, 4, expected);
}
END_TEST

/* TensorFlow's: 4 pixels, kernel 3, stride 2 give 2 outputs and one padded pixel, at the end. */
START_TEST(same_padding_puts_the_odd_pixel_at_the_end) {
	const float image[] = {1, 2, 3, 4}, weight[] = {1, 10, 100};
	qmd_layer layer = qmdt_layer(QMD_LAYER_CONV2D);
	layer.units = 1;
	layer.kernel_h = 1;
	layer.kernel_w = 3;
	layer.stride_w = 2;
	layer.padding = QMD_PADDING_SAME;
	const float expected[] = {321.5f, 43.5f};
	check_layer((qmd_shape){1, 4, 1}, image, layer, weight, 2, expected);
}
END_TEST

START_TEST(weights_are_unit_row_column_channel) {
	const float image[] = {1, 2, 3, 4, 5, 6, 7, 8}, weight[] = {1, 0, 0, 0, 0, 100, 0, 0, 0, 0, 10, 0, 0, 0, 0, 1};
	qmd_layer layer = qmdt_layer(QMD_LAYER_CONV2D);
	layer.units = 2;
	layer.kernel_h = layer.kernel_w = 2;
	const float expected[] = {1 + 600 + 0.5f, 30 + 8};
	check_layer((qmd_shape){2, 2, 2}, image, layer, weight, 2, expected);
}
END_TEST

/* 3 x 5, two channels, the second ten times the first; windows of 2 x 2 drop the last row and column. */
static const float pool_image[] = {1,  10, 2,  20, 3,   30, 4,  40, 50, 500, 8,  80, 7,  70, 6,
								   60, 5,  50, 50, 500, 9,  90, 9,  90, 9,   90, 9,  90, 90, 900};

START_TEST(maxpool_drops_what_fills_no_window) {
	qmd_layer layer = qmdt_layer(QMD_LAYER_MAXPOOL);
	layer.kernel_h = layer.kernel_w = 2;
	const float expected[] = {8, 80, 6, 60};
	check_layer((qmd_shape){3, 5, 2}, pool_image, layer, NULL, 4, expected);
}
END_TEST

START_TEST(avgpool_is_the_mean_of_its_window) {
	qmd_layer layer = qmdt_layer(QMD_LAYER_AVGPOOL);
	layer.kernel_h = layer.kernel_w = 2;
	layer.stride_h = layer.stride_w = 1;
	const float expected[] = {4.5f,  45,    4.5f,  45,    4.5f,  45,    27.25f, 272.5f,
							  8.25f, 82.5f, 7.75f, 77.5f, 7.25f, 72.5f, 38.5f,  385};
	check_layer((qmd_shape){3, 5, 2}, pool_image, layer, NULL, 16, expected);
}
END_TEST

START_TEST(global_avgpool_is_the_mean_of_a_channel) {
	const float expected[] = {262.0f / 15.0f, 2620.0f / 15.0f};
	check_layer((qmd_shape){3, 5, 2}, pool_image, qmdt_layer(QMD_LAYER_GLOBAL_AVGPOOL), NULL, 2, expected);
}
END_TEST

/* ---- Loss ---- */

/* A net whose logits are the biases of its dense layer. */
static qmd_model *biases_only(const float *bias, uint32_t n) {
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){1, 1, 2}, &model));
	qmdt_add_dense(model, n);
	qmdt_add_kind(model, QMD_LAYER_SOFTMAX);
	qmdt_ok(qmd_model_set_parameters(model, "dense_1", "bias", n, bias));
	return model;
}

START_TEST(loss_and_its_gradient_are_those_worked_out_by_hand) {
	const float bias[] = {0.0f, logf(3.0f)}; /* probabilities 1/4, 3/4 */
	const uint32_t labels[] = {1, 0, 1, 1};
	qmd_model *model = biases_only(bias, 2);
	qmdi_network *network = create(model, 4, 1);
	double loss;
	size_t n_right;
	qmdt_ok(qmdi_network_forward(network, QMDI_TRAINING, 0, 0));
	ck_assert_float_eq_tol(qmdt_output(network, 2)[0], 0.25f, 1e-6f);
	ck_assert_float_eq_tol(qmdt_output(network, 2)[1], 0.75f, 1e-6f);
	qmdt_ok(qmdi_network_backward(network, labels, 3, &loss, &n_right));
	ck_assert_double_eq_tol(loss, (2.0 * log(4.0 / 3.0) + log(4.0)) / 3.0, 1e-7);
	ck_assert_uint_eq(n_right, 2);
	const float *gradient = qmdi_network_gradient(network, 1, QMDI_BIAS);
	ck_assert_float_eq_tol(gradient[0], (0.25f - 0.75f + 0.25f) / 3.0f, 1e-6f);
	ck_assert_float_eq_tol(gradient[1], (-0.25f + 0.75f - 0.25f) / 3.0f, 1e-6f);
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

START_TEST(loss_of_extreme_logits_is_finite) {
	const float bias[] = {1000.0f, -1000.0f, 999.0f};
	const uint32_t labels[] = {1};
	qmd_model *model = biases_only(bias, 3);
	qmdi_network *network = create(model, 1, 1);
	double loss;
	size_t n_right;
	qmdt_ok(qmdi_network_forward(network, QMDI_TRAINING, 0, 0));
	qmdt_ok(qmdi_network_backward(network, labels, 1, &loss, &n_right));
	ck_assert_double_eq_tol(loss, 2000.0 + log1p(exp(-1.0)), 1e-6);
	ck_assert_uint_eq(n_right, 0);
	ck_assert_float_eq_tol(qmdt_output(network, 2)[0], (float)(1.0 / (1.0 + exp(-1.0))), 1e-6f);
	ck_assert_float_eq(qmdt_output(network, 2)[1], 0.0f);
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

START_TEST(divergence_shows_in_the_loss) {
	qmd_model *model = qmdt_residual_net(0);
	qmdt_draw_parameters(model, 1);
	model->layers[1].parameters[QMDI_WEIGHT][0] = NAN;
	qmdi_network *network = create(model, 2, 1);
	const uint32_t labels[] = {0, 1};
	double loss;
	size_t n_right;
	qmdt_draw_images(1, qmdi_network_input(network), 2 * 11 * 9 * 3);
	qmdt_ok(qmdi_network_forward(network, QMDI_TRAINING, 0, 0));
	qmdt_ok(qmdi_network_backward(network, labels, 2, &loss, &n_right));
	ck_assert(isnan(loss));
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

/* ---- Whole passes of the residual net ---- */

#define BATCH 4
#define IMAGE_SIZE ((size_t)11 * 9 * 3)

static const uint32_t batch_labels[BATCH] = {2, 0, 1, 2};

/* The loss and all gradients of one training step. */
typedef struct step {
	double loss;
	float values[4096];
	size_t n;
} step;

static void run_step(qmd_model *model, qmdi_network *network, size_t n_real, step *result) {
	size_t n_right;
	qmdt_ok(qmdi_network_forward(network, QMDI_TRAINING, 3, 9));
	qmdt_ok(qmdi_network_backward(network, batch_labels, n_real, &result->loss, &n_right));
	result->n = 0;
	for (size_t i = 0; i < model->n_layers; i++)
		for (size_t p = 0; p < 2; p++) {
			const size_t n = model->layers[i].n_parameters[p];
			ck_assert_uint_le(result->n + n, sizeof result->values / sizeof *result->values);
			if (n)
				memcpy(result->values + result->n, qmdi_network_gradient(network, i, p), n * sizeof(float));
			result->n += n;
		}
}

static void check_equal(const step *a, const step *b) {
	ck_assert_double_eq(a->loss, b->loss);
	ck_assert_uint_eq(a->n, b->n);
	ck_assert_mem_eq(a->values, b->values, a->n * sizeof *a->values);
}

static void run_new_step(int with_batchnorm, size_t n_threads, step *result) {
	qmd_model *model = qmdt_residual_net(with_batchnorm);
	qmdt_draw_parameters(model, 1);
	qmdi_network *network = create(model, BATCH, n_threads);
	qmdt_draw_images(1, qmdi_network_input(network), BATCH * IMAGE_SIZE);
	run_step(model, network, BATCH, result);
	qmdi_network_free(network);
	qmd_model_free(model);
}

START_TEST(filling_images_have_no_part) {
	qmd_model *model = qmdt_residual_net(0);
	qmdt_draw_parameters(model, 1);
	qmdi_network *network = create(model, BATCH, 1);
	step first, second;
	qmdt_draw_images(1, qmdi_network_input(network), BATCH * IMAGE_SIZE);
	run_step(model, network, 3, &first);
	qmdt_draw_images(2, qmdi_network_input(network) + 3 * IMAGE_SIZE, IMAGE_SIZE);
	run_step(model, network, 3, &second);
	check_equal(&first, &second);
	run_step(model, network, 4, &second);
	ck_assert_double_ne(first.loss, second.loss);
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

START_TEST(same_threads_give_the_same_bits) {
	step first, second;
	run_new_step(1, (size_t)_i, &first);
	run_new_step(1, (size_t)_i, &second);
	check_equal(&first, &second);
}
END_TEST

/* oneDNN sums in another order when it divides the work in another way: sums of up to 120 products differ by some
 * units of 2^-24 of their size. */
START_TEST(number_of_threads_changes_rounding_alone) {
	step one, two;
	run_new_step(1, 1, &one);
	run_new_step(1, 2, &two);
	ck_assert_double_eq_tol(one.loss, two.loss, 2e-6);
	ck_assert_uint_gt(one.n, 500);
	for (size_t i = 0; i < one.n; i++)
		ck_assert_float_eq_tol(one.values[i], two.values[i], 2e-6f);
}
END_TEST

START_TEST(the_callers_environment_is_kept_and_has_no_effect) {
	qmd_model *model = qmdt_residual_net(1);
	qmdt_draw_parameters(model, 1);
	qmdi_network *network = create(model, BATCH, 2);
	qmdt_draw_images(1, qmdi_network_input(network), BATCH * IMAGE_SIZE);
	step expected, found;
	run_step(model, network, BATCH, &expected);
	const int n_threads = omp_get_max_threads();
	fesetround(FE_UPWARD);
	run_step(model, network, BATCH, &found);
	const int mode = fegetround();
	fesetround(FE_TONEAREST);
	ck_assert_int_eq(mode, FE_UPWARD);
	ck_assert_int_eq(omp_get_max_threads(), n_threads);
	/* The running statistics have moved, but a training pass does not read them. */
	check_equal(&expected, &found);
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

START_TEST(parameters_are_read_at_every_pass) {
	qmd_model *model = qmdt_residual_net(1);
	qmdt_draw_parameters(model, 1);
	qmdi_network *network = create(model, BATCH, 1);
	qmdt_draw_images(1, qmdi_network_input(network), BATCH * IMAGE_SIZE);
	step first, changed, again;
	run_step(model, network, BATCH, &first);
	qmdt_draw_parameters(model, 2);
	run_step(model, network, BATCH, &changed);
	qmdt_draw_parameters(model, 1);
	run_step(model, network, BATCH, &again);
	ck_assert_double_ne(first.loss, changed.loss);
	check_equal(&first, &again);
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

/* ---- Dropout ---- */

#define DROPOUT_SIZE 50000u

static qmd_model *dropout_net(float rate) {
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){1, 1, DROPOUT_SIZE}, &model));
	qmdt_add_dropout(model, rate);
	qmdt_add_dropout(model, rate);
	qmdt_add_dense(model, 2);
	return model;
}

/* Output of the first dropout layer for an input of ones. */
static const float *drop_ones(qmdi_network *network, qmdi_pass pass, uint64_t seed, uint64_t number) {
	float *input = qmdi_network_input(network);
	for (size_t i = 0; i < qmdi_network_batch_size(network) * DROPOUT_SIZE; i++)
		input[i] = 1.0f;
	qmdt_ok(qmdi_network_forward(network, pass, seed, number));
	return qmdt_output(network, 1);
}

static size_t n_differing(const float *a, const float *b, size_t n) {
	size_t differing = 0;
	for (size_t i = 0; i < n; i++)
		differing += a[i] != b[i];
	return differing;
}

START_TEST(dropout_drops_its_share_and_scales_the_rest) {
	qmd_model *model = dropout_net(0.3f);
	qmdi_network *network = create(model, 4, 2);
	const size_t n = (size_t)4 * DROPOUT_SIZE;
	const float *out = drop_ones(network, QMDI_TRAINING, 1, 2);
	size_t n_dropped = 0, n_pairs = 0;
	for (size_t i = 0; i < n; i++) {
		ck_assert(out[i] == 0.0f || out[i] == 1.0f / (1.0f - 0.3f));
		n_dropped += out[i] == 0.0f;
		n_pairs += i > 0 && out[i] == 0.0f && out[i - 1] == 0.0f;
	}
	/* Five standard deviations: sqrt(n p (1 - p)), and for neighbours that both fall, about sqrt(2 n p^2). */
	ck_assert_double_eq_tol((double)n_dropped, 0.3 * (double)n, 5.0 * sqrt(0.21 * (double)n));
	ck_assert_double_eq_tol((double)n_pairs, 0.09 * (double)n, 5.0 * sqrt(2.0 * 0.09 * (double)n));
	out = drop_ones(network, QMDI_INFERENCE, 1, 2);
	for (size_t i = 0; i < n; i++)
		ck_assert_float_eq(out[i], 1.0f);
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

START_TEST(dropout_masks_follow_from_seed_step_layer_and_element) {
	qmd_model *model = dropout_net(0.5f);
	qmdi_network *network = create(model, 2, 1), *other = create(model, 3, 2);
	const size_t n = (size_t)2 * DROPOUT_SIZE, about_half = n * 4 / 10;
	float *first = malloc(n * sizeof *first);
	memcpy(first, drop_ones(network, QMDI_TRAINING, 1, 2), n * sizeof *first);
	ck_assert_uint_gt(n_differing(first, qmdt_output(network, 2), n), n / 5); /* another layer: half of what is kept */
	ck_assert_uint_gt(n_differing(first, drop_ones(network, QMDI_TRAINING, 1, 3), n), about_half);
	ck_assert_uint_gt(n_differing(first, drop_ones(network, QMDI_TRAINING, 2, 2), n), about_half);
	ck_assert_uint_gt(n_differing(first, first + n / 2, n / 2), about_half / 2); /* another image */
	ck_assert_uint_eq(n_differing(first, drop_ones(network, QMDI_TRAINING, 1, 2), n), 0);
	ck_assert_uint_eq(n_differing(first, drop_ones(other, QMDI_TRAINING, 1, 2), n), 0);
	free(first);
	qmdi_network_free(network);
	qmdi_network_free(other);
	qmd_model_free(model);
}
END_TEST

/* ---- Batch normalization ---- */

START_TEST(batchnorm_uses_the_batch_in_training_and_the_running_statistics_after) {
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){1, 2, 1}, &model));
	qmd_layer layer = qmdt_layer(QMD_LAYER_BATCHNORM);
	layer.epsilon = 1.0f;
	layer.momentum = 0.75f;
	qmdt_add(model, layer);
	const float gamma = 2.0f, beta = 0.5f, mean = 4.0f, variance = 8.0f;
	qmdt_ok(qmd_model_set_parameters(model, "batchnorm_1", "gamma", 1, &gamma));
	qmdt_ok(qmd_model_set_parameters(model, "batchnorm_1", "beta", 1, &beta));
	qmdt_ok(qmd_model_set_parameters(model, "batchnorm_1", "mean", 1, &mean));
	qmdt_ok(qmd_model_set_parameters(model, "batchnorm_1", "variance", 1, &variance));
	qmdi_network *network = create(model, 2, 1);
	const float x[] = {1, 3, 5, 7}; /* mean 4; squares 9 + 1 + 1 + 9 = 20: variance 5, unbiased 20 / 3 */
	memcpy(qmdi_network_input(network), x, sizeof x);

	qmdt_ok(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0));
	for (int i = 0; i < 4; i++)
		ck_assert_float_eq_tol(qmdt_output(network, 1)[i], (x[i] - 4.0f) / 3.0f * 2.0f + 0.5f, 1e-6f);
	qmdt_ok(qmdi_network_forward(network, QMDI_TRAINING, 0, 0));
	for (int i = 0; i < 4; i++)
		ck_assert_float_eq_tol(qmdt_output(network, 1)[i], (x[i] - 4.0f) / sqrtf(6.0f) * 2.0f + 0.5f, 1e-6f);
	ck_assert_float_eq_tol(model->layers[1].parameters[QMDI_MEAN][0], 4.0f, 1e-6f);
	ck_assert_float_eq_tol(model->layers[1].parameters[QMDI_VARIANCE][0], 0.75f * 8.0f + 0.25f * 20.0f / 3.0f, 1e-6f);
	for (int i = 0; i < 4; i++)
		qmdi_network_input(network)[i] = x[i] + 8.0f;
	qmdt_ok(qmdi_network_forward(network, QMDI_TRAINING, 0, 0));
	ck_assert_float_eq_tol(model->layers[1].parameters[QMDI_MEAN][0], 0.75f * 4.0f + 0.25f * 12.0f, 1e-6f);
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

/* ---- Errors ---- */

START_TEST(wrong_sizes_are_refused) {
	qmd_model *model = qmdt_residual_net(1);
	qmdi_network *network;
	qmdt_fails(qmdi_network_open(model, NULL, 1, 0, QMDI_NO_BACKWARD, &network), QMD_ERROR_RANGE, "batch size is 0");
	qmdt_fails(qmdi_network_open(model, NULL, 0, 1, QMDI_NO_BACKWARD, &network), QMD_ERROR_RANGE, "threads is 0");
	qmdt_fails(qmdi_network_open(model, NULL, 1025, 1, QMDI_NO_BACKWARD, &network), QMD_ERROR_RANGE, "threads is 1025");
	qmdt_fails(qmdi_network_open(model, NULL, 1, 1u << 30, QMDI_NO_BACKWARD, &network), QMD_ERROR_RANGE,
			   "layer 'input'");
	ck_assert_ptr_null(network);
	qmdi_network_free(NULL);
	qmd_model_free(model);
}
END_TEST

START_TEST(backward_demands_a_training_pass_and_labels) {
	qmd_model *model = qmdt_residual_net(0);
	uint32_t labels[2] = {0, 3};
	double loss;
	size_t n_right;
	qmdi_network *network;
	qmdt_ok(qmdi_network_open(model, NULL, 1, 2, QMDI_NO_BACKWARD, &network));
	qmdt_ok(qmdi_network_forward(network, QMDI_TRAINING, 0, 0));
	qmdt_fails(qmdi_network_backward(network, labels, 1, &loss, &n_right), QMD_ERROR_STATE, "made without");
	qmdi_network_free(network);

	network = create(model, 2, 1);
	qmdt_fails(qmdi_network_backward(network, labels, 1, &loss, &n_right), QMD_ERROR_STATE, "none of training");
	qmdt_ok(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0));
	qmdt_fails(qmdi_network_backward(network, labels, 1, &loss, &n_right), QMD_ERROR_STATE, "none of training");
	qmdt_ok(qmdi_network_forward(network, QMDI_TRAINING, 0, 0));
	qmdt_fails(qmdi_network_backward(network, labels, 0, &loss, &n_right), QMD_ERROR_RANGE, "0 images");
	qmdt_fails(qmdi_network_backward(network, labels, 3, &loss, &n_right), QMD_ERROR_RANGE, "3 images");
	qmdt_fails(qmdi_network_backward(network, labels, 2, &loss, &n_right), QMD_ERROR_RANGE, "label 1 is 3");
	qmdt_ok(qmdi_network_backward(network, labels, 1, &loss, &n_right));
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

START_TEST(gradients_of_images_demand_inference) {
	qmd_model *model = qmdt_residual_net(1);
	const float weights[2 * 3] = {1, -1};
	const uint32_t label = 0;
	const float *gradient;
	double loss;
	size_t n_right;
	qmdi_network *network = create(model, 2, 1);
	qmdt_ok(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0));
	qmdt_fails(qmdi_network_backward_input(network, weights, &gradient), QMD_ERROR_STATE, "not made for gradients");
	qmdi_network_free(network);

	qmdt_ok(qmdi_network_open(model, NULL, 1, 2, QMDI_BACKWARD_INPUT, &network));
	qmdt_fails(qmdi_network_backward_input(network, weights, &gradient), QMD_ERROR_STATE, "none of inference");
	qmdt_ok(qmdi_network_forward(network, QMDI_TRAINING, 0, 0));
	qmdt_fails(qmdi_network_backward_input(network, weights, &gradient), QMD_ERROR_STATE, "none of inference");
	qmdt_fails(qmdi_network_backward(network, &label, 1, &loss, &n_right), QMD_ERROR_STATE, "made without");
	ck_assert_ptr_null(qmdi_network_gradient(network, 1, QMDI_WEIGHT));
	qmdt_ok(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0));
	qmdt_ok(qmdi_network_backward_input(network, weights, &gradient));
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

START_TEST(what_is_not_there_is_null) {
	qmd_model *model = qmdt_residual_net(0);
	qmdi_network *network = create(model, 1, 1);
	const float *values;
	qmdt_fails(qmdi_network_output(network, model->n_layers, &values), QMD_ERROR_RANGE, "the network has");
	ck_assert_ptr_null(qmdi_network_gradient(network, model->n_layers, 0));
	ck_assert_ptr_null(qmdi_network_gradient(network, 1, QMDI_MAX_PARAMETERS));
	ck_assert_ptr_null(qmdi_network_gradient(network, 2, QMDI_WEIGHT));
	ck_assert_ptr_nonnull(qmdi_network_gradient(network, 1, QMDI_WEIGHT));
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

/* Every allocation of creation fails once. */
START_TEST(lack_of_memory_is_an_error) {
	qmd_model *model = qmdt_residual_net(1);
	qmdi_network *network;
	size_t nth = 1;
	for (;; nth++) {
		qmdt_allocator_install(nth);
		const qmd_status status = qmdi_network_open(model, NULL, 1, 2, QMDI_BACKWARD_PARAMETERS, &network);
		if (status == QMD_OK)
			qmdi_network_free(network);
		ck_assert_uint_eq(qmdt_allocator_remove(), 0);
		if (status == QMD_OK)
			break;
		ck_assert_int_eq(status, QMD_ERROR_MEMORY);
		ck_assert_ptr_null(network);
	}
	ck_assert_uint_gt(nth, 50);
	qmd_model_free(model);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name) {
	TCase *tests = tcase_create(name);
	tcase_set_timeout(tests, 120);
	suite_add_tcase(suite, tests);
	return tests;
}

int main(void) {
	Suite *suite = suite_create("network");
	TCase *forward = add_case(suite, "forward");
	tcase_add_test(forward, convolution_pads_each_side_as_told);
	tcase_add_test(forward, same_padding_puts_the_odd_pixel_at_the_end);
	tcase_add_test(forward, weights_are_unit_row_column_channel);
	tcase_add_test(forward, maxpool_drops_what_fills_no_window);
	tcase_add_test(forward, avgpool_is_the_mean_of_its_window);
	tcase_add_test(forward, global_avgpool_is_the_mean_of_a_channel);
	tcase_add_test(forward, batchnorm_uses_the_batch_in_training_and_the_running_statistics_after);
	TCase *loss = add_case(suite, "loss");
	tcase_add_test(loss, loss_and_its_gradient_are_those_worked_out_by_hand);
	tcase_add_test(loss, loss_of_extreme_logits_is_finite);
	tcase_add_test(loss, divergence_shows_in_the_loss);
	TCase *passes = add_case(suite, "passes");
	tcase_add_test(passes, filling_images_have_no_part);
	tcase_add_loop_test(passes, same_threads_give_the_same_bits, 1, 3);
	tcase_add_test(passes, number_of_threads_changes_rounding_alone);
	tcase_add_test(passes, the_callers_environment_is_kept_and_has_no_effect);
	tcase_add_test(passes, parameters_are_read_at_every_pass);
	TCase *dropout = add_case(suite, "dropout");
	tcase_add_test(dropout, dropout_drops_its_share_and_scales_the_rest);
	tcase_add_test(dropout, dropout_masks_follow_from_seed_step_layer_and_element);
	TCase *errors = add_case(suite, "errors");
	tcase_add_test(errors, wrong_sizes_are_refused);
	tcase_add_test(errors, backward_demands_a_training_pass_and_labels);
	tcase_add_test(errors, gradients_of_images_demand_inference);
	tcase_add_test(errors, what_is_not_there_is_null);
	tcase_add_test(errors, lack_of_memory_is_an_error);
	return qmdt_run(suite);
}
