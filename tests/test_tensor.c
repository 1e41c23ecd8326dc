/*
 * The columns of the table of tensor operations. The reference against values worked out by hand, and its ways back
 * against differences of its ways forward; the others against the reference.
 */
#include <float.h>
#include <math.h>

#include "allocator_fixture.h"
#include "base/random.h"
#include "tensor_fixture.h"

static qmdi_tensor_device reference;
static const qmdi_tensor_ops *const ops = &qmdi_tensor_reference;

static void setup(void) {
	reference = (qmdi_tensor_device){ops, NULL};
	qmdt_ok(ops->open(&reference, 0, 1));
	qmdt_ok(ops->enter(&reference));
}

static void teardown(void) {
	ops->leave(&reference);
	ops->close(&reference);
}

static void check_values(const float *found, const float *expected, size_t n) {
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(found[i] == expected[i] || (isnan(found[i]) && isnan(expected[i])), "[%zu] is %.9g, not %.9g", i,
					  (double)found[i], (double)expected[i]);
}

/* ---- conv2d and dense by hand ---- */

static void check_forward(const qmdi_linear_shape *shape, const float *x, const float *w, const float *b,
						  const float *expected, size_t n) {
	float y[16];
	void *plan;
	ck_assert_uint_le(n, sizeof y / sizeof *y);
	qmdt_ok(ops->linear_create(&reference, shape, 0, &plan));
	qmdt_ok(ops->linear_forward(&reference, plan, x, w, b, y));
	check_values(y, expected, n);
	ops->linear_destroy(&reference, plan);
}

static const float one_to_nine[] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, digits[] = {1, 10, 100, 1000};

START_TEST(convolution_slides_over_the_image) {
	const qmdi_linear_shape shape = {"", 1, 1, {3, 3, 1}, {2, 2, 1}, 2, 2, 1, 1, 0, 0, 0, 0};
	check_forward(&shape, one_to_nine, digits, (float[]){0.5f}, (float[]){5421.5f, 6532.5f, 8754.5f, 9865.5f}, 4);
}
END_TEST

/* Above is one row of zeros, left of it two columns, right of it one; windows go by two columns. */
START_TEST(convolution_pads_each_side_by_its_own) {
	const qmdi_linear_shape shape = {"", 1, 1, {2, 2, 1}, {2, 2, 1}, 2, 2, 1, 2, 1, 2, 0, 1};
	check_forward(&shape, one_to_nine, digits, (float[]){0.0f}, (float[]){0.0f, 2100.0f, 0.0f, 4321.0f}, 4);
}
END_TEST

START_TEST(convolution_has_units_and_channels_in_their_order) {
	const qmdi_linear_shape shape = {"", 1, 2, {1, 1, 2}, {1, 1, 2}, 1, 1, 1, 1, 0, 0, 0, 0};
	const float x[] = {5, 7, 1, 2};
	check_forward(&shape, x, digits, (float[]){0.0f, 0.25f}, (float[]){75.0f, 7500.25f, 21.0f, 2100.25f}, 4);
}
END_TEST

START_TEST(dense_layer_reads_an_image_as_it_lies) {
	const qmdi_linear_shape shape = {"", 0, 1, {2, 1, 2}, {1, 1, 2}, 0, 0, 0, 0, 0, 0, 0, 0};
	const float w[] = {1, 10, 100, 1000, 1, 1, 1, 1};
	check_forward(&shape, one_to_nine, w, (float[]){0.0f, -1.0f}, (float[]){4321.0f, 9.0f}, 2);
}
END_TEST

/* ---- Ways back against differences of the ways forward ---- */

#define MOST 512

/* Whole numbers from -4 to 4. */
static void draw_whole(uint64_t seed, float *values, size_t n) {
	ck_assert_uint_le(n, MOST);
	for (size_t i = 0; i < n; i++)
		values[i] = (float)(qmdi_random_u32(seed, 0, i) % 9) - 4.0f;
}

static double weighted_sum(const float *y, const float *weights, size_t n) {
	double sum = 0.0;
	for (size_t i = 0; i < n; i++)
		sum += (double)y[i] * (double)weights[i];
	return sum;
}

/* The quotient is exact for what is linear between kinks, on numbers whose sums are exact. */
static double difference(double (*loss)(const void *), const void *context, float *value, float step) {
	const float kept = *value;
	*value = kept + step;
	const double above = loss(context);
	*value = kept - step;
	const double below = loss(context);
	*value = kept;
	return (above - below) / (2.0 * (double)step);
}

/* Of fourth order. */
static double difference4(double (*loss)(const void *), const void *context, float *value, float step) {
	return (4.0 * difference(loss, context, value, step) - difference(loss, context, value, 2.0f * step)) / 3.0;
}

typedef struct linear_case {
	qmdi_linear_shape shape;
	void *plan;
	size_t n_x, n_w, n_b, n_y;
	float x[MOST], w[MOST], b[MOST], d_y[MOST];
} linear_case;

static double linear_loss(const void *context) {
	const linear_case *of = context;
	float y[MOST];
	qmdt_ok(ops->linear_forward(&reference, of->plan, of->x, of->w, of->b, y));
	return weighted_sum(y, of->d_y, of->n_y);
}

static const qmdi_linear_shape shapes[] = {
	{"same", 1, 2, {4, 5, 2}, {4, 5, 3}, 3, 3, 1, 1, 1, 1, 1, 1},
	{"strided, padded unevenly", 1, 3, {6, 7, 2}, {4, 3, 3}, 3, 4, 2, 3, 2, 0, 1, 3},
	{"kernel beyond the image", 1, 2, {2, 3, 2}, {2, 3, 2}, 5, 5, 1, 1, 2, 2, 2, 2},
	{"pixels that no window has", 1, 2, {8, 7, 2}, {3, 2, 2}, 2, 2, 3, 3, 0, 0, 0, 0},
	{"dense", 0, 3, {2, 3, 4}, {1, 1, 5}, 0, 0, 0, 0, 0, 0, 0, 0},
};

static void make_linear_case(linear_case *of, const qmdi_linear_shape *s) {
	const size_t n_inputs = (size_t)s->input.h * s->input.w * s->input.c;
	const size_t n_outputs = (size_t)s->output.h * s->output.w * s->output.c;
	const size_t per_unit = s->is_convolution ? (size_t)s->kernel_h * s->kernel_w * s->input.c : n_inputs;
	*of = (linear_case){.shape = *s,
						.n_x = s->batch * n_inputs,
						.n_w = per_unit * s->output.c,
						.n_b = s->output.c,
						.n_y = s->batch * n_outputs};
	draw_whole(1, of->x, of->n_x);
	draw_whole(2, of->w, of->n_w);
	draw_whole(3, of->b, of->n_b);
	draw_whole(4, of->d_y, of->n_y);
}

static void check_differences(double (*loss)(const void *), const void *context, float *values, size_t n,
							  const float *gradient, const char *what) {
	for (size_t i = 0; i < n; i++) {
		const double expected = difference(loss, context, &values[i], 1.0f);
		if ((double)gradient[i] != expected)
			ck_abort_msg("%s[%zu]: %g, not %g", what, i, (double)gradient[i], expected);
	}
}

START_TEST(gradients_of_linear_layers_are_differences) {
	static linear_case of;
	float d_x[MOST], d_w[MOST], d_b[MOST];
	make_linear_case(&of, &shapes[_i]);
	qmdt_ok(ops->linear_create(&reference, &of.shape, QMDI_GRADIENT_PARAMETERS | QMDI_GRADIENT_INPUT, &of.plan));
	qmdt_ok(ops->linear_backward_parameters(&reference, of.plan, of.x, of.d_y, d_w, d_b));
	qmdt_ok(ops->linear_backward_input(&reference, of.plan, of.w, of.d_y, d_x));
	check_differences(linear_loss, &of, of.x, of.n_x, d_x, "d_x");
	check_differences(linear_loss, &of, of.w, of.n_w, d_w, "d_w");
	check_differences(linear_loss, &of, of.b, of.n_b, d_b, "d_b");
	ops->linear_destroy(&reference, of.plan);
}
END_TEST

/* ---- Pools ---- */

typedef struct pool_case {
	qmdi_pool_shape shape;
	void *plan;
	size_t n_x, n_y;
	float x[MOST], y[MOST], d_y[MOST];
} pool_case;

static double pool_loss(const void *context) {
	const pool_case *of = context;
	float y[MOST];
	qmdt_ok(ops->pool_forward(&reference, of->plan, of->x, y));
	return weighted_sum(y, of->d_y, of->n_y);
}

/* Windows of 4, so that averages are exact. */
static const qmdi_pool_shape pools[] = {
	{"max", 1, 2, {5, 4, 3}, {2, 2, 3}, 2, 2, 2, 2},
	{"average", 0, 2, {5, 4, 3}, {2, 2, 3}, 2, 2, 2, 2},
	{"max, overlapping", 1, 2, {4, 5, 2}, {3, 4, 2}, 2, 2, 1, 1},
	{"average, overlapping", 0, 2, {4, 5, 2}, {3, 4, 2}, 2, 2, 1, 1},
	{"max, gaps", 1, 1, {8, 5, 3}, {3, 2, 3}, 2, 2, 3, 3},
	{"average of rows", 0, 1, {4, 5, 3}, {4, 2, 3}, 1, 4, 1, 1},
};

START_TEST(gradients_of_pools_are_differences) {
	static pool_case of;
	float d_x[MOST];
	uint32_t order[MOST];
	const qmdi_pool_shape *s = &pools[_i];
	of = (pool_case){.shape = *s,
					 .n_x = s->batch * s->input.h * s->input.w * s->input.c,
					 .n_y = s->batch * s->output.h * s->output.w * s->output.c};
	for (size_t i = 0; i < of.n_x; i++)
		order[i] = (uint32_t)i;
	qmdi_random_shuffle(5, 0, order, of.n_x);
	for (size_t i = 0; i < of.n_x; i++)
		of.x[i] = 4.0f * (float)order[i]; /* a step of 1 changes no choice */
	draw_whole(6, of.d_y, of.n_y);
	qmdt_ok(ops->pool_create(&reference, s, &of.plan));
	qmdt_ok(ops->pool_forward(&reference, of.plan, of.x, of.y));
	qmdt_ok(ops->pool_backward(&reference, of.plan, of.x, of.y, of.d_y, d_x));
	check_differences(pool_loss, &of, of.x, of.n_x, d_x, "d_x");
	ops->pool_destroy(&reference, of.plan);
}
END_TEST

static void check_pool(const qmdi_pool_shape *s, const float *x, const float *expected_y, size_t n_y, const float *d_y,
					   const float *expected_d_x, size_t n_x) {
	float y[16], d_x[16];
	void *plan;
	qmdt_ok(ops->pool_create(&reference, s, &plan));
	qmdt_ok(ops->pool_forward(&reference, plan, x, y));
	check_values(y, expected_y, n_y);
	qmdt_ok(ops->pool_backward(&reference, plan, x, y, d_y, d_x));
	check_values(d_x, expected_d_x, n_x);
	ops->pool_destroy(&reference, plan);
}

START_TEST(pools_of_known_windows) {
	const qmdi_pool_shape max = {"", 1, 1, {3, 3, 1}, {2, 2, 1}, 2, 2, 1, 1};
	qmdi_pool_shape average = max;
	average.is_max = 0;
	const float d_y[] = {1, 10, 100, 1000};
	/* In the middle all four windows meet; of equals the first has the gradient. */
	check_pool(&max, (float[]){5, 7, 7, 5, 6, 5, 8, 8, 9}, (float[]){7, 7, 8, 9}, 4, d_y,
			   (float[]){0, 11, 0, 0, 0, 0, 100, 0, 1000}, 9);
	check_pool(&average, one_to_nine, (float[]){3, 4, 6, 7}, 4, d_y,
			   (float[]){0.25f, 2.75f, 2.5f, 25.25f, 277.75f, 252.5f, 25, 275, 250}, 9);
	check_pool(&max, (float[]){NAN, NAN, NAN, NAN, NAN, NAN, 1, 2, 3}, (float[]){NAN, NAN, NAN, NAN}, 4, d_y,
			   (float[]){1, 10, 0, 100, 1000, 0, 0, 0, 0}, 9);
}
END_TEST

/* ---- Batch normalization ---- */

/* Two images of one pixel: mean 2, variance 1, unbiased 2. */
START_TEST(batchnorm_of_two_numbers) {
	const qmdi_batchnorm_shape shape = {"", 2, 1, 1, 0.0f, 0.75f};
	const float x[] = {1, 3}, gamma = 2.0f, beta = 0.5f, four = 4.0f;
	float running_mean = 4.0f, running_variance = 1.0f, y[2];
	void *plan;
	qmdt_ok(ops->batchnorm_create(&reference, &shape, &plan));
	qmdt_ok(ops->batchnorm_training(&reference, plan, x, &gamma, &beta, &running_mean, &running_variance, y));
	check_values(y, (float[]){-1.5f, 2.5f}, 2);
	ck_assert_float_eq(running_mean, 3.5f);
	ck_assert_float_eq(running_variance, 1.25f);
	/* 2 / sqrt(4) * (x + 1) + 0.5 */
	qmdt_ok(ops->batchnorm_inference(&reference, plan, x, &gamma, &beta, &(float){-1.0f}, &four, y));
	check_values(y, (float[]){2.5f, 4.5f}, 2);
	ops->batchnorm_destroy(&reference, plan);
}
END_TEST

START_TEST(batchnorm_of_one_number_has_no_unbiased_variance) {
	const qmdi_batchnorm_shape shape = {"", 1, 1, 2, 0.25f, 0.5f};
	const float x[] = {1, -6}, gamma[] = {1, 1}, beta[] = {3, -2};
	float running_mean[] = {0, 0}, running_variance[] = {2, 4}, y[2];
	void *plan;
	qmdt_ok(ops->batchnorm_create(&reference, &shape, &plan));
	qmdt_ok(ops->batchnorm_training(&reference, plan, x, gamma, beta, running_mean, running_variance, y));
	check_values(y, beta, 2);
	check_values(running_mean, (float[]){0.5f, -3.0f}, 2);
	check_values(running_variance, (float[]){1.0f, 2.0f}, 2);
	ops->batchnorm_destroy(&reference, plan);
}
END_TEST

typedef struct batchnorm_case {
	void *plan;
	int is_training;
	size_t n, n_channels;
	float x[MOST], d_y[MOST], gamma[4], beta[4], mean[4], variance[4];
} batchnorm_case;

static double batchnorm_loss(const void *context) {
	const batchnorm_case *of = context;
	float y[MOST], mean[4] = {0}, variance[4] = {0};
	if (of->is_training)
		qmdt_ok(ops->batchnorm_training(&reference, of->plan, of->x, of->gamma, of->beta, mean, variance, y));
	else
		qmdt_ok(ops->batchnorm_inference(&reference, of->plan, of->x, of->gamma, of->beta, of->mean, of->variance, y));
	return weighted_sum(y, of->d_y, of->n);
}

/* Outputs are floats of up to 2.5, 24 of a channel, times up to 4: a loss is wrong by 1e-6 or so, and a difference
 * quotient by 1.5 of that over the step; of the step, 1/16, the fourth power over 30 is less. Gradients are about 1. */
#define BATCHNORM_STEP 0x1p-4f
#define BATCHNORM_TOLERANCE 2e-4

static void check_near_differences(batchnorm_case *of, float *values, size_t n, const float *gradient,
								   const char *what) {
	for (size_t i = 0; i < n; i++) {
		const double expected = difference4(batchnorm_loss, of, &values[i], BATCHNORM_STEP);
		ck_assert_msg(fabs((double)gradient[i] - expected) < BATCHNORM_TOLERANCE, "%s[%zu]: %g, not %g", what, i,
					  (double)gradient[i], expected);
	}
}

static void make_batchnorm_case(batchnorm_case *of, int is_training) {
	const qmdi_batchnorm_shape shape = {"", 3, 8, 4, 0.01f, 0.9f};
	*of = (batchnorm_case){.is_training = is_training, .n = 96, .n_channels = 4};
	draw_whole(7, of->d_y, of->n);
	for (size_t i = 0; i < of->n; i++)
		of->x[i] = 4.0f * qmdi_random_f32(8, 0, i) - 1.0f;
	for (size_t c = 0; c < of->n_channels; c++) {
		of->gamma[c] = 0.5f + 0.25f * (float)c;
		of->beta[c] = (float)c;
		of->mean[c] = 0.5f * (float)c;
		of->variance[c] = 0.5f + (float)c;
	}
	qmdt_ok(ops->batchnorm_create(&reference, &shape, &of->plan));
}

START_TEST(gradients_of_batchnorm_are_differences) {
	static batchnorm_case of;
	float d_x[MOST], d_gamma[4], d_beta[4];
	make_batchnorm_case(&of, 1);
	batchnorm_loss(&of);
	qmdt_ok(ops->batchnorm_backward(&reference, of.plan, of.x, of.gamma, of.d_y, d_gamma, d_beta, d_x));
	check_near_differences(&of, of.x, of.n, d_x, "d_x");
	check_near_differences(&of, of.gamma, of.n_channels, d_gamma, "d_gamma");
	check_near_differences(&of, of.beta, of.n_channels, d_beta, "d_beta");
	ops->batchnorm_destroy(&reference, of.plan);
}
END_TEST

START_TEST(gradient_of_batchnorm_in_inference_is_a_difference) {
	static batchnorm_case of;
	float d_x[MOST];
	make_batchnorm_case(&of, 0);
	qmdt_ok(ops->batchnorm_backward_inference(&reference, of.plan, of.gamma, of.variance, of.d_y, d_x));
	check_near_differences(&of, of.x, of.n, d_x, "d_x");
	ops->batchnorm_destroy(&reference, of.plan);
}
END_TEST

/* ---- Element by element ---- */

START_TEST(elements_of_known_numbers) {
	const float a[] = {1.5f, -2.0f, -0.0f, NAN, INFINITY}, b[] = {0.25f, 3.0f, -0.0f, 1.0f, -INFINITY};
	float y[5];
	qmdt_ok(ops->add(&reference, 5, a, b, y));
	check_values(y, (float[]){1.75f, 1.0f, -0.0f, NAN, NAN}, 5);
	qmdt_ok(ops->multiply(&reference, 5, a, b, y));
	check_values(y, (float[]){0.375f, -6.0f, 0.0f, NAN, -INFINITY}, 5);
	qmdt_ok(ops->relu(&reference, 5, a, y));
	check_values(y, (float[]){1.5f, 0.0f, 0.0f, NAN, INFINITY}, 5);
	ck_assert(signbit(y[2])); /* -0 is not below 0 */
	qmdt_ok(ops->relu_backward(&reference, 5, y, b, y));
	check_values(y, (float[]){0.25f, 0.0f, 0.0f, 0.0f, -INFINITY}, 5);
	qmdt_ok(ops->copy(&reference, 5, a, y));
	check_values(y, a, 5);
}
END_TEST

/* A quarter of 2^24 is a whole number: an element is dropped where the upper 24 bits of its word are below it. */
START_TEST(dropout_drops_by_the_words_of_its_stream) {
	float mask[1001];
	size_t n_dropped = 0;
	qmdt_ok(ops->dropout_mask(&reference, 1001, 3, UINT64_C(1) << 63 | 9, 0.25f, mask));
	for (size_t i = 0; i < 1001; i++) {
		const int is_dropped = qmdi_random_u32(3, UINT64_C(1) << 63 | 9, i) >> 8 < 1u << 22;
		ck_assert_float_eq(mask[i], is_dropped ? 0.0f : 1.0f / 0.75f);
		n_dropped += mask[i] == 0.0f;
	}
	ck_assert_uint_gt(n_dropped, 200);
	ck_assert_uint_lt(n_dropped, 300);
}
END_TEST

START_TEST(softmax_is_that_of_exp) {
	const float logits[] = {1.0f, 2.0f, -3.0f, 50.0f, 0.0f, 49.0f};
	float probabilities[6];
	qmdt_ok(ops->softmax(&reference, 2, 3, logits, probabilities));
	for (size_t image = 0; image < 2; image++) {
		double sum = 0.0;
		for (size_t c = 0; c < 3; c++)
			sum += exp((double)logits[3 * image + c]);
		for (size_t c = 0; c < 3; c++) {
			const double expected = exp((double)logits[3 * image + c]) / sum;
			ck_assert_double_eq_tol((double)probabilities[3 * image + c], expected, 1e-7 * expected);
		}
	}
}
END_TEST

/* ---- Fake-quant ---- */

/* Two groups of two units of three; steps of 1/2 and 2. */
START_TEST(grid_of_known_numbers) {
	const float scales[] = {0.5f, 2.0f};
	const qmdi_grid grid = {scales, 2, 2, 3, -8, 7};
	const float x[] = {0.25f, 0.75f, -0.2f, 1.0f, 3.0f, -5.0f, 3.5f, 3.75f, -4.25f, 14.0f, NAN, -16.0f};
	const float d_y[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	float y[12], d_x[12];
	qmdt_ok(ops->fake_quant(&reference, &grid, x, y));
	check_values(y, (float[]){0, 1, 0, 0, 4, -4, 3.5f, 3.5f, -4, 14, NAN, -16}, 12);
	ck_assert(!signbit(y[2]));
	qmdt_ok(ops->fake_quant_backward(&reference, &grid, x, d_y, d_x));
	check_values(d_x, (float[]){1, 2, 3, 4, 5, 6, 7, 0, 0, 10, 11, 12}, 12);
}
END_TEST

/* Unit 0: (-0.25, 0.5) and (7, -8) by d_y, unit 1: (0, -0.5) and (7, 0.25); each over sqrt(2 * 7). */
START_TEST(scale_gradients_of_known_numbers) {
	const float scales[] = {0.5f, 2.0f};
	const qmdi_grid grid = {scales, 2, 2, 2, -8, 7};
	const float x[] = {0.125f, 0.75f, 4.0f, 5.0f, 3.5f, -4.0f, 100.0f, 3.5f};
	const float d_y[] = {1, 2, 3, 4, 5, 6, 7, 8};
	float gradients[2];
	qmdt_ok(ops->scale_gradients(&reference, &grid, x, d_y, gradients));
	ck_assert_double_eq_tol((double)gradients[0], (-0.25 + 1.0 + 35.0 - 48.0) / sqrt(14.0), 1e-6);
	ck_assert_double_eq_tol((double)gradients[1], (0.0 - 2.0 + 49.0 + 2.0) / sqrt(14.0), 1e-5);
}
END_TEST

START_TEST(scales_of_known_weights) {
	const float w[] = {0.5f, -3.5f, 1.0f, 0, -0.0f, 0, FLT_MIN, 0, -FLT_MIN, -14.0f, NAN, 7.0f};
	float scales[4];
	qmdt_ok(ops->weight_scales(&reference, 4, 3, 7, w, scales));
	check_values(scales, (float[]){0.5f, 1.0f, 1.0f, 2.0f}, 4);
}
END_TEST

START_TEST(biases_of_known_steps) {
	const float input_scale = 0.25f, scales[] = {0.5f, 0.5f, 0.5f, 2.0f, 2.0f, 1.0f};
	const float bias[] = {0.1875f, -0.3f, NAN, 1e30f, -1e30f, 0.25f};
	float out[6];
	qmdt_ok(ops->quantize_bias(&reference, 6, &input_scale, scales, bias, out));
	/* 1.5 steps of 1/8 are 2, -2.4 are -2; the largest integers are 2^31 - 1, which rounds up in float32, and -2^31. */
	check_values(out, (float[]){0.25f, -0.25f, 0.0f, 0x1p30f, -0x1p30f, 0.25f}, 6);
}
END_TEST

/* ---- Steps of the optimizers ---- */

/* Powers of two: no operation rounds. m = 1/2 * 4 + 1/2 * 2 = 3, v = 3/4 * 16 + 1/4 * 4 = 13; with corrections 3/4 and
 * 13/16 the step is 1/8 * 4 / (4 + 4) = 1/16. */
START_TEST(step_of_adam) {
	float value = 2.0f, m = 4.0f, v = 16.0f;
	const float g = 2.0f;
	const qmdi_update update = {1, &value, &g, &m, &v, 0.125f, 0.5f, 0.5f, 0.75f, 4.0f, 0.75f, 0.8125f};
	qmdt_ok(ops->update(&reference, &update));
	ck_assert_float_eq(m, 3.0f);
	ck_assert_float_eq(v, 13.0f);
	ck_assert_float_eq(value, 0.9375f);
}
END_TEST

/* v = 3/4 * 20 + 1/4 * 4 = 16, step 1/8 * 2 / (4 + 4) = 1/32. */
START_TEST(step_of_rmsprop) {
	float value = 2.0f, v = 20.0f;
	const float g = 2.0f;
	const qmdi_update update = {1, &value, &g, NULL, &v, 0.125f, 0.5f, 0.0f, 0.75f, 4.0f, 0.0f, 0.0f};
	qmdt_ok(ops->update(&reference, &update));
	ck_assert_float_eq(v, 16.0f);
	ck_assert_float_eq(value, 0.96875f);
}
END_TEST

START_TEST(moments_do_not_become_subnormal) {
	float values[] = {1.0f, 1.0f}, m[] = {-FLT_MIN, 2.0f * FLT_MIN}, v[] = {2.0f * FLT_MIN, FLT_MIN};
	const float g[] = {0.0f, 0.0f};
	const qmdi_update update = {2, values, g, m, v, 0.0f, 1.0f, 0.75f, 0.75f, 1.0f, 1.0f, 1.0f};
	qmdt_ok(ops->update(&reference, &update));
	check_values(m, (float[]){0.0f, 1.5f * FLT_MIN}, 2);
	check_values(v, (float[]){1.5f * FLT_MIN, 0.0f}, 2);
}
END_TEST

/* ---- Columns by their names, beside the reference, and without memory ---- */

static const char *const columns[] = {"reference", "cpu"};
#define N_COLUMNS ((int)(sizeof columns / sizeof *columns))

static void check_name(const char *name, const qmdi_tensor_ops *expected) {
	qmdi_tensor_device *device;
	qmdt_ok(qmdi_tensor_open(name, 1, &device));
	ck_assert_ptr_eq(device->ops, expected);
	qmdi_tensor_close(device);
}

START_TEST(devices_have_names) {
	static const char *const no_names[] = {
		"", "gpu", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda: 1", "cuda:1x", "cudax"};
	qmdi_tensor_device *device;
	check_name("cpu", &qmdi_tensor_onednn);
	check_name(NULL, &qmdi_tensor_onednn);
	check_name("reference", &qmdi_tensor_reference);
	for (size_t i = 0; i < sizeof no_names / sizeof *no_names; i++) {
		qmdt_fails(qmdi_tensor_open(no_names[i], 1, &device), QMD_ERROR_ARGUMENT, no_names[i]);
		ck_assert_ptr_null(device);
	}
	if (!qmdi_tensor_cudnn) {
		qmdt_fails(qmdi_tensor_open("cuda", 1, &device), QMD_ERROR_UNSUPPORTED, "'cuda'");
		qmdt_fails(qmdi_tensor_open("cuda:3", 1, &device), QMD_ERROR_UNSUPPORTED, "'cuda:3'");
	}
	qmdi_tensor_close(NULL);
}
END_TEST

START_TEST(column_equals_the_reference) {
	for (size_t n_threads = 1; n_threads <= 3; n_threads += 2) {
		qmdi_tensor_device *device;
		qmdt_ok(qmdi_tensor_open(columns[_i], n_threads, &device));
		qmdt_check_device(device, QMDT_ALL);
		qmdi_tensor_close(device);
	}
}
END_TEST

static qmd_status make_plans(qmdi_tensor_device *device) {
	const qmdi_pool_shape max = {"pool", 1, 2, {4, 4, 3}, {2, 2, 3}, 2, 2, 2, 2};
	const qmdi_batchnorm_shape batchnorm = {"batchnorm", 2, 9, 3, 0.1f, 0.9f};
	void *linear = NULL, *pool = NULL, *normalization = NULL;
	qmd_status status = device->ops->linear_create(device, &shapes[0], QMDI_GRADIENT_INPUT, &linear);
	if (status == QMD_OK)
		status = device->ops->pool_create(device, &max, &pool);
	if (status == QMD_OK)
		status = device->ops->batchnorm_create(device, &batchnorm, &normalization);
	device->ops->batchnorm_destroy(device, normalization);
	device->ops->pool_destroy(device, pool);
	device->ops->linear_destroy(device, linear);
	return status;
}

static qmd_status compute(qmdi_tensor_device *device) {
	const float scale = 0.5f, x[] = {1, 2, 3, 4}, d_y[] = {1, 1, 1, 1};
	const qmdi_grid grid = {&scale, 2, 1, 2, -8, 7};
	float gradient;
	qmd_status status = device->ops->enter(device);
	if (status != QMD_OK)
		return status;
	status = make_plans(device);
	if (status == QMD_OK)
		status = device->ops->scale_gradients(device, &grid, x, d_y, &gradient);
	device->ops->leave(device);
	return status;
}

static qmd_status use_column(void *name) {
	qmdi_tensor_device *device;
	float *tensor = NULL, *host = NULL;
	const qmd_status opened = qmdi_tensor_open(name, 2, &device);
	if (opened != QMD_OK)
		return opened;
	qmd_status status = device->ops->allocate(device, 100, &tensor);
	if (status == QMD_OK)
		status = device->ops->allocate_host(device, 100, &host);
	if (status == QMD_OK)
		status = compute(device);
	device->ops->release_host(device, host);
	device->ops->release(device, tensor);
	qmdi_tensor_close(device);
	return status;
}

/* The device and its state, two arrays, three plans: each fails in turn, with all after it and alone. */
START_TEST(column_survives_failed_allocations) {
	ck_assert_uint_gt(qmdt_fail_each_allocation(use_column, (void *)columns[_i]), 7);
	ck_assert_uint_ge(qmdt_fail_single_allocations(use_column, (void *)columns[_i], 1), 7);
}
END_TEST

static void add_layers(TCase *cases) {
	tcase_add_test(cases, convolution_slides_over_the_image);
	tcase_add_test(cases, convolution_pads_each_side_by_its_own);
	tcase_add_test(cases, convolution_has_units_and_channels_in_their_order);
	tcase_add_test(cases, dense_layer_reads_an_image_as_it_lies);
	tcase_add_loop_test(cases, gradients_of_linear_layers_are_differences, 0, (int)(sizeof shapes / sizeof *shapes));
	tcase_add_loop_test(cases, gradients_of_pools_are_differences, 0, (int)(sizeof pools / sizeof *pools));
	tcase_add_test(cases, pools_of_known_windows);
	tcase_add_test(cases, batchnorm_of_two_numbers);
	tcase_add_test(cases, batchnorm_of_one_number_has_no_unbiased_variance);
	tcase_add_test(cases, gradients_of_batchnorm_are_differences);
	tcase_add_test(cases, gradient_of_batchnorm_in_inference_is_a_difference);
}

static void add_elements(TCase *cases) {
	tcase_add_test(cases, elements_of_known_numbers);
	tcase_add_test(cases, dropout_drops_by_the_words_of_its_stream);
	tcase_add_test(cases, softmax_is_that_of_exp);
	tcase_add_test(cases, grid_of_known_numbers);
	tcase_add_test(cases, scale_gradients_of_known_numbers);
	tcase_add_test(cases, scales_of_known_weights);
	tcase_add_test(cases, biases_of_known_steps);
	tcase_add_test(cases, step_of_adam);
	tcase_add_test(cases, step_of_rmsprop);
	tcase_add_test(cases, moments_do_not_become_subnormal);
}

int main(void) {
	Suite *suite = suite_create("tensor");
	TCase *by_hand = tcase_create("reference"), *beside = tcase_create("columns");
	tcase_add_checked_fixture(by_hand, setup, teardown);
	add_layers(by_hand);
	add_elements(by_hand);
	tcase_set_timeout(beside, 120);
	tcase_add_test(beside, devices_have_names);
	tcase_add_loop_test(beside, column_equals_the_reference, 0, N_COLUMNS);
	tcase_add_loop_test(beside, column_survives_failed_allocations, 0, N_COLUMNS);
	suite_add_tcase(suite, by_hand);
	suite_add_tcase(suite, beside);
	return qmdt_run(suite);
}
