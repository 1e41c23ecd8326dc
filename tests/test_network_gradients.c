/* Gradients of every kind of layer against finite differences. */
#include "network_fixture.h"

#include <math.h>

#define BATCH 3
#define N_REAL 2 /* the third image is filling, except for batchnorm, where it has a part in the statistics */
#define STEP 0.01f
/*
 * The loss is a double computed from float32 logits of magnitude about 1 to 10, so it is wrong by about 1e-6, and
 * the difference quotient of fourth order by 1.5e-6 / STEP = 1.5e-4; its truncation, STEP^4 / 30 times the fifth
 * derivative, is smaller. Gradients are 0.01 to 1.
 */
#define TOLERANCE 3e-4
#define MOST_CHECKED 150 /* parameters of a layer; of more, evenly spaced ones */
/* No parameter moves a value by more than 2 * STEP times an input in [-1, 1], nor two values apart by more than twice
 * that: with such a margin no relu switches and no maxpool changes its choice. */
#define KINK_MARGIN (4.1f * STEP)

static const uint32_t labels[BATCH] = {1, 0, 2};

static double loss_of_logits(const float *logits, size_t n, size_t n_classes) {
	double loss = 0.0;
	for (size_t i = 0; i < n; i++) {
		double sum = 0.0;
		for (size_t c = 0; c < n_classes; c++)
			sum += exp((double)logits[i * n_classes + c]);
		loss += log(sum) - (double)logits[i * n_classes + labels[i]];
	}
	return loss / (double)n;
}

static double training_loss(qmdi_network *network, size_t n_classes) {
	qmdt_ok(qmdi_network_forward(network, QMDI_TRAINING, 5, 7));
	return loss_of_logits(qmdi_network_logits(network), N_REAL, n_classes);
}

static double moved_loss(qmdi_network *network, size_t n_classes, float *parameter, float by) {
	const float kept = *parameter;
	*parameter = kept + by;
	const double loss = training_loss(network, n_classes);
	*parameter = kept;
	return loss;
}

static double difference_quotient(qmdi_network *network, size_t n_classes, float *parameter) {
	const double near =
		moved_loss(network, n_classes, parameter, STEP) - moved_loss(network, n_classes, parameter, -STEP);
	const double far =
		moved_loss(network, n_classes, parameter, 2 * STEP) - moved_loss(network, n_classes, parameter, -2 * STEP);
	return (8.0 * near - far) / (12.0 * (double)STEP);
}

/* What the case is about stands between a 1x1 convolution, whose gradients need that of its input, and a dense layer.
 */
typedef struct gradient_case {
	const char *name;
	qmd_shape input;
	uint32_t channels; /* of the 1x1 convolution */
	void (*add)(qmd_model *model);
	int32_t kink; /* kind of the layer that has kinks, or 0 */
} gradient_case;

static void add_conv_same(qmd_model *model) {
	qmdt_add_conv(model, QMD_PREVIOUS, 4, 3, 1, QMD_PADDING_SAME);
}

static void add_conv_strided(qmd_model *model) {
	qmdt_add_conv(model, QMD_PREVIOUS, 3, 3, 2, QMD_PADDING_VALID);
}

static void add_conv_same_strided(qmd_model *model) {
	qmdt_add_conv(model, QMD_PREVIOUS, 3, 3, 2, QMD_PADDING_SAME);
}

static void add_conv_asymmetric(qmd_model *model) {
	qmd_layer layer = qmdt_layer(QMD_LAYER_CONV2D);
	layer.units = 3;
	layer.kernel_h = 3;
	layer.kernel_w = 4;
	layer.stride_h = 2;
	layer.stride_w = 3;
	layer.padding = QMD_PADDING_EXPLICIT;
	layer.pad_top = 2;
	layer.pad_right = 3;
	layer.pad_bottom = 1;
	qmdt_add(model, layer);
}

/* As many channels as fill vectors of AVX2 and AVX-512, and one more: oneDNN takes other paths. */
static void add_conv_wide(qmd_model *model) {
	qmdt_add_conv(model, QMD_PREVIOUS, 16, 3, 1, QMD_PADDING_SAME);
	qmdt_add_conv(model, QMD_PREVIOUS, 17, 3, 1, QMD_PADDING_VALID);
}

static void add_dense(qmd_model *model) {
	qmdt_add_kind(model, QMD_LAYER_FLATTEN);
	qmdt_add_dense(model, 9);
}

static void add_relu(qmd_model *model) {
	qmdt_add_kind(model, QMD_LAYER_RELU);
}

static void add_pool(qmd_model *model, int32_t kind, uint32_t kernel, uint32_t stride) {
	qmd_layer layer = qmdt_layer(kind);
	layer.kernel_h = layer.kernel_w = kernel;
	layer.stride_h = layer.stride_w = stride;
	qmdt_add(model, layer);
}

static void add_maxpool(qmd_model *model) {
	add_pool(model, QMD_LAYER_MAXPOOL, 2, 2);
}

static void add_maxpool_overlapping(qmd_model *model) {
	add_pool(model, QMD_LAYER_MAXPOOL, 2, 1);
}

static void add_avgpool(qmd_model *model) {
	add_pool(model, QMD_LAYER_AVGPOOL, 2, 2);
}

static void add_avgpool_overlapping(qmd_model *model) {
	add_pool(model, QMD_LAYER_AVGPOOL, 3, 1);
}

static void add_global_avgpool(qmd_model *model) {
	qmdt_add_kind(model, QMD_LAYER_GLOBAL_AVGPOOL);
}

static void add_batchnorm(qmd_model *model) {
	qmdt_add_kind(model, QMD_LAYER_BATCHNORM);
}

static void add_dropout(qmd_model *model) {
	qmdt_add_dropout(model, 0.4f);
}

static void add_diamond(qmd_model *model) {
	const int32_t top = (int32_t)qmd_model_n_layers(model) - 1;
	const int32_t left = qmdt_add_conv(model, top, 2, 3, 1, QMD_PADDING_SAME);
	const int32_t sum = qmdt_add_sum(model, top, left);
	const int32_t right = qmdt_add_conv(model, top, 2, 1, 1, QMD_PADDING_SAME);
	qmdt_add_sum(model, sum, right);
	qmdt_add_sum(model, (int32_t)qmd_model_n_layers(model) - 1, left);
}

/* A branch that does not lead to the logits has no gradient and takes none from the others. */
static void add_dead_branch(qmd_model *model) {
	const int32_t top = (int32_t)qmd_model_n_layers(model) - 1;
	qmdt_add_conv(model, top, 2, 3, 1, QMD_PADDING_SAME);
	qmdt_add_conv(model, top, 2, 3, 1, QMD_PADDING_SAME);
}

static const gradient_case gradient_cases[] = {
	{"conv same", {5, 4, 3}, 2, add_conv_same, 0},
	{"conv strided", {6, 7, 3}, 2, add_conv_strided, 0},
	{"conv same strided", {6, 5, 3}, 2, add_conv_same_strided, 0},
	{"conv asymmetric", {6, 7, 2}, 2, add_conv_asymmetric, 0},
	{"conv wide", {6, 6, 3}, 8, add_conv_wide, 0},
	{"dense", {3, 3, 2}, 2, add_dense, 0},
	{"relu", {3, 3, 3}, 2, add_relu, QMD_LAYER_RELU},
	{"maxpool", {5, 5, 3}, 2, add_maxpool, QMD_LAYER_MAXPOOL},
	{"maxpool overlapping", {3, 4, 3}, 2, add_maxpool_overlapping, QMD_LAYER_MAXPOOL},
	{"avgpool", {5, 4, 3}, 2, add_avgpool, 0},
	{"avgpool overlapping", {5, 4, 3}, 2, add_avgpool_overlapping, 0},
	{"global avgpool", {4, 3, 3}, 2, add_global_avgpool, 0},
	{"batchnorm", {3, 4, 3}, 3, add_batchnorm, 0},
	{"dropout", {4, 4, 3}, 2, add_dropout, 0},
	{"add", {4, 4, 2}, 2, add_diamond, 0},
	{"dead branch", {4, 4, 2}, 2, add_dead_branch, 0},
};

static qmd_model *build(const gradient_case *which) {
	qmd_model *model;
	qmdt_ok(qmd_model_create(which->input, &model));
	qmdt_add_conv(model, QMD_PREVIOUS, which->channels, 1, 1, QMD_PADDING_VALID);
	which->add(model);
	const size_t last = qmd_model_n_layers(model) - 1;
	if (model->layers[last].output.h * model->layers[last].output.w > 1)
		qmdt_add_kind(model, QMD_LAYER_FLATTEN);
	qmdt_add_dense(model, 3);
	qmdt_add_kind(model, QMD_LAYER_SOFTMAX);
	return model;
}

/* Smallest distance of the values of `x` from 0. */
static float relu_margin(const float *x, size_t n) {
	float margin = INFINITY;
	for (size_t i = 0; i < n; i++)
		margin = fminf(margin, fabsf(x[i]));
	return margin;
}

/* Smallest distance between the largest and any other value of a window. */
static float maxpool_margin(const qmdi_layer *layer, const float *x) {
	const size_t c = layer->input.c, w = layer->input.w, size = layer->input.h * w * c;
	float margin = INFINITY;
	for (size_t out = 0; out < BATCH * layer->output.h * layer->output.w * c; out++) {
		const size_t pixel = out / c;
		const size_t oy = pixel / layer->output.w % layer->output.h, ox = pixel % layer->output.w;
		float first = -INFINITY, second = -INFINITY;
		for (size_t i = 0; i < layer->definition.kernel_h; i++)
			for (size_t j = 0; j < layer->definition.kernel_w; j++) {
				const size_t y = oy * layer->definition.stride_h + i, column = ox * layer->definition.stride_w + j;
				const float value =
					x[pixel / (layer->output.h * layer->output.w) * size + (y * w + column) * c + out % c];
				second = fmaxf(second, fminf(first, value));
				first = fmaxf(first, value);
			}
		margin = fminf(margin, first - second);
	}
	return margin;
}

static float kink_margin(const gradient_case *which, const qmd_model *model, qmdi_network *network) {
	for (size_t i = 1; which->kink && i < model->n_layers; i++) {
		const qmdi_layer *layer = &model->layers[i];
		const float *x = qmdt_output(network, i - 1);
		const size_t n = (size_t)BATCH * layer->input.h * layer->input.w * layer->input.c;
		if (layer->definition.kind == which->kink)
			return which->kink == QMD_LAYER_RELU ? relu_margin(x, n) : maxpool_margin(layer, x);
	}
	return INFINITY;
}

/* Parameters and images by the first seed that keeps away from kinks. */
static void draw(const gradient_case *which, qmd_model *model, qmdi_network *network, qmdi_pass pass) {
	const size_t n = (size_t)BATCH * which->input.h * which->input.w * which->input.c;
	for (uint64_t seed = 1; seed < 20000; seed++) {
		qmdt_draw_parameters(model, seed);
		qmdt_draw_images(seed, qmdi_network_input(network), n);
		qmdt_ok(qmdi_network_forward(network, pass, 5, 7));
		if (kink_margin(which, model, network) > KINK_MARGIN)
			return;
	}
	ck_abort_msg("%s: no seed keeps away from kinks", which->name);
}

/* Largest gradient of a layer's parameter. */
static double check_parameter(const gradient_case *which, qmd_model *model, qmdi_network *network, size_t i, size_t p) {
	qmdi_layer *layer = &model->layers[i];
	const float *gradient = qmdi_network_gradient(network, i, p);
	ck_assert_msg((gradient != NULL) == (layer->n_parameters[p] > 0 && p < 2), "%s: gradient %zu of layer '%s'",
				  which->name, p, layer->name);
	if (!gradient)
		return 0.0;
	const size_t n = layer->n_parameters[p], stride = n > MOST_CHECKED ? n / MOST_CHECKED : 1;
	double largest = 0.0;
	for (size_t j = 0; j < n; j += stride) {
		const double expected = difference_quotient(network, 3, &layer->parameters[p][j]);
		ck_assert_msg(fabs((double)gradient[j] - expected) < TOLERANCE,
					  "%s: layer '%s', parameter %zu[%zu]: %g, not %g", which->name, layer->name, p, j,
					  (double)gradient[j], expected);
		largest = fmax(largest, fabs(expected));
	}
	return largest;
}

START_TEST(gradients_are_those_of_finite_differences) {
	const gradient_case *which = &gradient_cases[_i];
	qmd_model *model = build(which);
	qmdi_network *network;
	qmdt_ok(qmdi_network_open(model, NULL, 1, BATCH, QMDI_BACKWARD_PARAMETERS, &network));
	draw(which, model, network, QMDI_TRAINING);
	double loss;
	size_t n_right;
	qmdt_ok(qmdi_network_backward(network, labels, N_REAL, &loss, &n_right));
	ck_assert_double_eq_tol(loss, training_loss(network, 3), 1e-9);
	double largest = 0.0;
	for (size_t i = 0; i < model->n_layers; i++)
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++)
			largest = fmax(largest, check_parameter(which, model, network, i, p));
	ck_assert_double_gt(largest, 100 * TOLERANCE); /* something was there to be compared */
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

/* ---- Of the images ---- */

static const float logit_weights[BATCH * 3] = {1, -1, 0, 0.5f, 0.25f, -1, 0, 2, 0};

static double weighted_logits(qmdi_network *network) {
	qmdt_ok(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0));
	const float *logits = qmdi_network_logits(network);
	double sum = 0.0;
	for (size_t i = 0; i < BATCH * 3; i++)
		sum += (double)logit_weights[i] * (double)logits[i];
	return sum;
}

/* An image in inference goes through what is linear between kinks, so two points are enough. */
static double image_difference_quotient(qmdi_network *network, float *value) {
	const float kept = *value;
	*value = kept + 2 * STEP;
	const double above = weighted_logits(network);
	*value = kept - 2 * STEP;
	const double below = weighted_logits(network);
	*value = kept;
	return (above - below) / (4.0 * (double)STEP);
}

START_TEST(image_gradients_are_those_of_finite_differences) {
	const gradient_case *which = &gradient_cases[_i];
	const size_t n = (size_t)BATCH * which->input.h * which->input.w * which->input.c;
	qmd_model *model = build(which);
	qmdi_network *network;
	qmdt_ok(qmdi_network_open(model, NULL, 1, BATCH, QMDI_BACKWARD_INPUT, &network));
	draw(which, model, network, QMDI_INFERENCE);
	const float *borrowed;
	qmdt_ok(qmdi_network_backward_input(network, logit_weights, &borrowed));
	float gradient[1024];
	ck_assert_uint_le(n, sizeof gradient / sizeof gradient[0]);
	memcpy(gradient, borrowed, n * sizeof *gradient);
	double largest = 0.0;
	for (size_t i = 0; i < n; i++) {
		const double expected = image_difference_quotient(network, qmdi_network_input(network) + i);
		ck_assert_msg(fabs((double)gradient[i] - expected) < TOLERANCE, "%s: pixel %zu: %g, not %g", which->name, i,
					  (double)gradient[i], expected);
		largest = fmax(largest, fabs(expected));
	}
	ck_assert_double_gt(largest, 100 * TOLERANCE);
	qmdi_network_free(network);
	qmd_model_free(model);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("network_gradients");
	TCase *gradients = tcase_create("finite differences");
	tcase_set_timeout(gradients, 120);
	tcase_add_loop_test(gradients, gradients_are_those_of_finite_differences, 0,
						(int)(sizeof gradient_cases / sizeof *gradient_cases));
	tcase_add_loop_test(gradients, image_gradients_are_those_of_finite_differences, 0,
						(int)(sizeof gradient_cases / sizeof *gradient_cases));
	suite_add_tcase(suite, gradients);
	return qmdt_run(suite);
}
