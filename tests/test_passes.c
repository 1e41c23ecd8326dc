/* Passes from model to model: what they compute stays the same, and what they must not touch stays. */
#include <math.h>

#include "network_fixture.h"
#include "quantize/passes.h"

#define MAX_VALUES 20000

/* ---- Models of whole numbers, whose sums are exact in any order ---- */

static unsigned next_number(unsigned *state) {
	*state = *state * 1664525u + 1013904223u;
	return *state >> 16;
}

static float small_integer(unsigned *state) {
	return (float)(next_number(state) % 7) - 3.0f;
}

static void fill_parameters(qmd_model *model, unsigned seed) {
	for (size_t l = 0; l < model->n_layers; l++)
		for (int p = 0; p < 2; p++)
			for (size_t i = 0; i < model->layers[l].n_parameters[p]; i++)
				model->layers[l].parameters[p][i] = small_integer(&seed);
}

/* A convolution behind the last layer; its padding, where it is explicit, differs on all sides. */
static int32_t add_conv(qmd_model *model, uint32_t units, uint32_t kernel, uint32_t stride, int32_t padding) {
	if (padding != QMD_PADDING_EXPLICIT)
		return qmdt_add_conv(model, QMD_PREVIOUS, units, kernel, stride, padding);
	qmd_layer layer = qmdt_layer(QMD_LAYER_CONV2D);
	layer.units = units;
	layer.kernel_h = layer.kernel_w = kernel;
	layer.stride_h = layer.stride_w = stride;
	layer.padding = padding;
	layer.pad_top = 1, layer.pad_left = 2, layer.pad_bottom = 0, layer.pad_right = 1;
	return qmdt_add(model, layer);
}

/* ---- What convolutions and batchnorms compute, straight from their definitions ---- */

static double pixel(const double *image, qmd_shape shape, long y, long x, size_t c) {
	if (y < 0 || x < 0 || y >= (long)shape.h || x >= (long)shape.w)
		return 0;
	return image[((size_t)y * shape.w + (size_t)x) * shape.c + c];
}

static void convolve(const qmdi_layer *layer, const double *in, double *out) {
	const qmd_layer *d = &layer->definition;
	const float *w = layer->parameters[QMDI_WEIGHT];
	for (size_t y = 0; y < layer->output.h; y++)
		for (size_t x = 0; x < layer->output.w; x++)
			for (size_t o = 0; o < d->units; o++) {
				double sum = layer->parameters[QMDI_BIAS][o];
				for (size_t i = 0; i < d->kernel_h; i++)
					for (size_t j = 0; j < d->kernel_w; j++)
						for (size_t c = 0; c < layer->input.c; c++)
							sum += (double)w[((o * d->kernel_h + i) * d->kernel_w + j) * layer->input.c + c] *
								   pixel(in, layer->input, (long)(y * d->stride_h + i) - (long)d->pad_top,
										 (long)(x * d->stride_w + j) - (long)d->pad_left, c);
				out[(y * layer->output.w + x) * d->units + o] = sum;
			}
}

static void normalize(const qmdi_layer *layer, const double *in, double *out) {
	float *const *p = layer->parameters;
	const size_t n_pixels = (size_t)layer->output.h * layer->output.w, n_channels = layer->output.c;
	for (size_t i = 0; i < n_pixels; i++)
		for (size_t c = 0; c < n_channels; c++)
			out[i * n_channels + c] = p[QMDI_GAMMA][c] * (in[i * n_channels + c] - p[QMDI_MEAN][c]) /
										  sqrt((double)p[QMDI_VARIANCE][c] + (double)layer->definition.epsilon) +
									  p[QMDI_BETA][c];
}

/* The output of a chain of such layers; returns the number of its values. */
static size_t run_chain(const qmd_model *model, const double *image, double *out) {
	static double in[MAX_VALUES];
	size_t n = (size_t)model->layers[0].output.h * model->layers[0].output.w * model->layers[0].output.c;
	memcpy(out, image, n * sizeof *out);
	for (size_t l = 1; l < model->n_layers; l++) {
		const qmdi_layer *layer = &model->layers[l];
		memcpy(in, out, n * sizeof *in);
		n = (size_t)layer->output.h * layer->output.w * layer->output.c;
		ck_assert_uint_le(n, MAX_VALUES);
		if (layer->definition.kind == QMD_LAYER_BATCHNORM)
			normalize(layer, in, out);
		else
			convolve(layer, in, out);
	}
	return n;
}

static void fill_image(double *image, size_t n, unsigned seed) {
	for (size_t i = 0; i < n; i++)
		image[i] = (double)(next_number(&seed) % 255) - 127.0;
}

/* ---- Linear collapse ---- */

/* Two convolutions become one, and every output stays the same number. */
static void check_collapse(const uint32_t kernel[2], const uint32_t stride[2], int32_t padding) {
	static double image[MAX_VALUES], two[MAX_VALUES], one[MAX_VALUES];
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){13, 12, 3}, &model));
	add_conv(model, 9, kernel[0], stride[0], padding);
	add_conv(model, 5, kernel[1], stride[1], QMD_PADDING_VALID);
	fill_parameters(model, 7);
	fill_image(image, 13 * 12 * 3, 3);
	const uint64_t n_macs = qmd_model_n_macs(model);
	const size_t n = run_chain(model, image, two);

	qmdt_ok(qmdi_collapse_convolutions(model));
	ck_assert_uint_eq(model->n_layers, 2);
	ck_assert_uint_lt(qmd_model_n_macs(model), n_macs);
	ck_assert_uint_eq(model->layers[1].definition.kernel_h, stride[0] * (kernel[1] - 1) + kernel[0]);
	ck_assert_str_eq(model->layers[1].name, "conv2d_1+conv2d_2");
	ck_assert_uint_eq(run_chain(model, image, one), n);
	for (size_t i = 0; i < n; i++)
		ck_assert_double_eq(one[i], two[i]);
	qmd_model_free(model);
}

START_TEST(collapses_convolutions_exactly) {
	check_collapse((uint32_t[]){3, 3}, (uint32_t[]){1, 1}, QMD_PADDING_SAME);
	check_collapse((uint32_t[]){3, 3}, (uint32_t[]){1, 1}, QMD_PADDING_VALID);
	check_collapse((uint32_t[]){3, 1}, (uint32_t[]){2, 1}, QMD_PADDING_EXPLICIT);
	check_collapse((uint32_t[]){3, 2}, (uint32_t[]){1, 2}, QMD_PADDING_EXPLICIT);
	check_collapse((uint32_t[]){3, 2}, (uint32_t[]){2, 2}, QMD_PADDING_SAME);
}
END_TEST

START_TEST(collapses_the_first_two_of_the_preset) {
	qmd_model *model;
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){68, 68, 3}, 2, 1, &model));
	const size_t n_layers = model->n_layers;
	/* 3x3x3x32 on 68x68, 3x3x32x32 on 66x66, 3x3x32x64 on 33x33, 3x3x64x64 on 31x31, dense. */
	const uint64_t rest = 33 * 33 * 9 * 32 * 64 + 31 * 31 * 9 * 64 * 64 + 15 * 15 * 64 * 512 + 512 * 2;
	ck_assert_uint_eq(qmd_model_n_macs(model), 68 * 68 * 27 * 32 + 66 * 66 * 9 * 32 * 32 + rest); /* 107.0 million */
	qmdt_ok(qmdi_collapse_convolutions(model));
	ck_assert_uint_eq(model->n_layers, n_layers - 1);
	ck_assert_uint_eq(qmd_model_n_macs(model), 66 * 66 * 75 * 32 + rest); /* 73.3 million */
	ck_assert_ptr_nonnull(strstr(model->passes, "conv2d_1 (3x3) and conv2d_2 (3x3) become one 5x5"));
	/* The graph behind it stands as it stood. */
	ck_assert_int_eq(model->layers[2].definition.kind, QMD_LAYER_RELU);
	for (size_t l = 1; l < model->n_layers; l++)
		ck_assert_int_eq(model->layers[l].definition.inputs[0], (int32_t)l - 1);
	qmd_model_free(model);
}
END_TEST

START_TEST(collapses_three_in_a_row) {
	static double image[MAX_VALUES], three[MAX_VALUES], one[MAX_VALUES];
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){12, 12, 1}, &model));
	add_conv(model, 8, 3, 1, QMD_PADDING_SAME);
	add_conv(model, 8, 2, 1, QMD_PADDING_VALID);
	add_conv(model, 2, 2, 1, QMD_PADDING_VALID);
	fill_parameters(model, 5);
	fill_image(image, 12 * 12, 4);
	const size_t n = run_chain(model, image, three);
	qmdt_ok(qmdi_collapse_convolutions(model));
	ck_assert_uint_eq(model->n_layers, 2);
	ck_assert_uint_eq(run_chain(model, image, one), n);
	for (size_t i = 0; i < n; i++)
		ck_assert_double_eq(one[i], three[i]);
	qmd_model_free(model);
}
END_TEST

static void check_refused(qmd_model *model, const char *why) {
	const size_t n_layers = model->n_layers;
	qmdt_ok(qmdi_collapse_convolutions(model));
	ck_assert_uint_eq(model->n_layers, n_layers);
	ck_assert_msg(strstr(model->passes, why) != NULL, "'%s' is not in '%s'", why, model->passes);
	qmd_model_free(model);
}

START_TEST(keeps_convolutions_that_are_no_one) {
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){12, 12, 3}, &model));
	add_conv(model, 16, 3, 1, QMD_PADDING_SAME);
	add_conv(model, 4, 3, 1, QMD_PADDING_SAME);
	check_refused(model, "conv2d_2 pads");

	qmdt_ok(qmd_model_create((qmd_shape){12, 12, 16}, &model)); /* 16 -> 2 -> 16 channels: one would cost more */
	add_conv(model, 2, 1, 1, QMD_PADDING_VALID);
	add_conv(model, 16, 3, 1, QMD_PADDING_VALID);
	check_refused(model, "MMAC, as one");

	qmdt_ok(qmd_model_create((qmd_shape){12, 12, 3}, &model));
	const int32_t first = add_conv(model, 16, 3, 1, QMD_PADDING_SAME);
	const int32_t second = add_conv(model, 16, 1, 1, QMD_PADDING_VALID);
	qmdt_add_sum(model, first, second);
	check_refused(model, "others read conv2d_1 too");

	qmdt_ok(qmd_model_create((qmd_shape){12, 12, 3}, &model));
	add_conv(model, 16, 3, 1, QMD_PADDING_SAME);
	qmdt_add_reading(model, QMD_LAYER_RELU, QMD_PREVIOUS);
	add_conv(model, 16, 3, 1, QMD_PADDING_VALID);
	check_refused(model, "nothing to collapse");
}
END_TEST

/* ---- Batch-norm folding ---- */

static void fill_batchnorm(qmd_model *model, const char *name) {
	const float gamma[] = {0.5f, -1.5f, 2.0f, 1.0f}, beta[] = {0.1f, -0.2f, 0.3f, 0.0f};
	const float mean[] = {3.0f, -2.0f, 1.0f, 0.5f}, variance[] = {4.0f, 0.25f, 9.0f, 0.0f};
	qmdt_ok(qmd_model_set_parameters(model, name, "gamma", 4, gamma));
	qmdt_ok(qmd_model_set_parameters(model, name, "beta", 4, beta));
	qmdt_ok(qmd_model_set_parameters(model, name, "mean", 4, mean));
	qmdt_ok(qmd_model_set_parameters(model, name, "variance", 4, variance));
}

START_TEST(folds_batchnorms) {
	static double image[MAX_VALUES], before[MAX_VALUES], after[MAX_VALUES];
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){8, 8, 3}, &model));
	add_conv(model, 4, 3, 1, QMD_PADDING_SAME);
	qmdt_add_reading(model, QMD_LAYER_BATCHNORM, QMD_PREVIOUS);
	add_conv(model, 4, 3, 2, QMD_PADDING_VALID);
	fill_parameters(model, 11);
	qmdt_add_reading(model, QMD_LAYER_BATCHNORM, QMD_PREVIOUS);
	fill_batchnorm(model, "batchnorm_1");
	fill_batchnorm(model, "batchnorm_2");
	fill_image(image, 8 * 8 * 3, 6);
	const size_t n = run_chain(model, image, before);
	qmdt_ok(qmdi_fold_batchnorms(model));
	ck_assert_uint_eq(model->n_layers, 3);
	ck_assert_uint_eq(run_chain(model, image, after), n);
	for (size_t i = 0; i < n; i++)
		ck_assert_double_eq_tol(after[i], before[i], 1e-5 * (1.0 + fabs(before[i])));
	ck_assert_ptr_nonnull(strstr(model->passes, "batchnorm_2 into conv2d_2"));
	qmd_model_free(model);
}
END_TEST

START_TEST(keeps_batchnorms_that_others_read_around) {
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){8, 8, 3}, &model));
	const int32_t conv = add_conv(model, 4, 3, 1, QMD_PADDING_SAME);
	const int32_t norm = qmdt_add_reading(model, QMD_LAYER_BATCHNORM, conv);
	qmdt_add_sum(model, conv, norm);
	qmdt_ok(qmdi_fold_batchnorms(model));
	ck_assert_uint_eq(model->n_layers, 4);
	ck_assert_str_eq(model->passes, "batch-norm folding: nothing to fold\n");
	qmd_model_free(model);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("passes");
	TCase *passes = tcase_create("passes");
	tcase_add_test(passes, collapses_convolutions_exactly);
	tcase_add_test(passes, collapses_the_first_two_of_the_preset);
	tcase_add_test(passes, collapses_three_in_a_row);
	tcase_add_test(passes, keeps_convolutions_that_are_no_one);
	tcase_add_test(passes, folds_batchnorms);
	tcase_add_test(passes, keeps_batchnorms_that_others_read_around);
	suite_add_tcase(suite, passes);
	return qmdt_run(suite);
}
