/* Convolutions, dense layers, pools and batch normalization of a device beside the reference's. */
#include <math.h>
#include <stdio.h>

#include "base/random.h"
#include "tensor_bench_fixture.h"
#include "tensor_fixture.h"

static size_t size_of(size_t batch, qmd_shape shape) {
	return batch * shape.h * shape.w * shape.c;
}

/* ---- conv2d and dense ---- */

/* Of a convolution the output's height and width are set by what follows from the rest. */
static const qmdi_linear_shape linear_shapes[] = {
	{"conv of one number", 1, 1, {1, 1, 1}, {0, 0, 1}, 1, 1, 1, 1, 0, 0, 0, 0},
	{"conv same", 1, 3, {5, 4, 3}, {0, 0, 4}, 3, 3, 1, 1, 1, 1, 1, 1},
	{"conv strided", 1, 2, {6, 7, 3}, {0, 0, 5}, 3, 3, 2, 2, 0, 0, 0, 0},
	{"conv asymmetric", 1, 3, {6, 7, 2}, {0, 0, 3}, 3, 4, 2, 3, 2, 0, 1, 3},
	{"conv kernel beyond the image", 1, 2, {2, 3, 4}, {0, 0, 6}, 5, 5, 1, 1, 2, 2, 2, 2},
	{"conv kernel of one row", 1, 5, {3, 9, 5}, {0, 0, 6}, 1, 7, 1, 1, 0, 3, 0, 3},
	{"conv kernel as large as the image", 1, 3, {4, 3, 8}, {0, 0, 7}, 4, 3, 1, 1, 0, 0, 0, 0},
	{"conv 1x1 strided", 1, 3, {7, 5, 8}, {0, 0, 16}, 1, 1, 2, 2, 0, 0, 0, 0},
	{"conv pixels that no window has", 1, 2, {8, 7, 3}, {0, 0, 9}, 2, 2, 3, 3, 0, 0, 0, 0},
	{"conv one channel", 1, 7, {9, 9, 1}, {0, 0, 1}, 3, 3, 1, 1, 1, 1, 1, 1},
	{"conv 16 to 17", 1, 2, {6, 6, 16}, {0, 0, 17}, 3, 3, 1, 1, 1, 1, 1, 1},
	{"conv 17 to 8", 1, 1, {5, 6, 17}, {0, 0, 8}, 3, 3, 2, 1, 1, 0, 0, 1},
	{"conv 5x5 of pixels", 1, 5, {11, 9, 3}, {0, 0, 32}, 5, 5, 1, 1, 1, 1, 1, 1},
	{"conv 32 to 64", 1, 2, {7, 7, 32}, {0, 0, 64}, 3, 3, 1, 1, 1, 1, 1, 1},
	{"conv of many pixels", 1, 9, {12, 11, 3}, {0, 0, 37}, 1, 1, 1, 1, 0, 0, 0, 0},
	{"dense of one number", 0, 1, {1, 1, 1}, {1, 1, 1}, 0, 0, 0, 0, 0, 0, 0, 0},
	{"dense one unit", 0, 5, {1, 1, 100}, {1, 1, 1}, 0, 0, 0, 0, 0, 0, 0, 0},
	{"dense of an image", 0, 3, {3, 6, 3}, {1, 1, 9}, 0, 0, 0, 0, 0, 0, 0, 0},
	{"dense wide", 0, 7, {1, 1, 700}, {1, 1, 33}, 0, 0, 0, 0, 0, 0, 0, 0},
	{"dense of one image", 0, 1, {1, 1, 64}, {1, 1, 512}, 0, 0, 0, 0, 0, 0, 0, 0},
};

int qmdt_linear_shape(size_t i, qmdi_linear_shape *s) {
	if (i >= sizeof linear_shapes / sizeof *linear_shapes)
		return 0;
	*s = linear_shapes[i];
	if (s->is_convolution) {
		s->output.h = (s->input.h + s->pad_top + s->pad_bottom - s->kernel_h) / s->stride_h + 1;
		s->output.w = (s->input.w + s->pad_left + s->pad_right - s->kernel_w) / s->stride_w + 1;
	}
	return 1;
}

static size_t products_of_output(const qmdi_linear_shape *s) {
	return s->is_convolution ? (size_t)s->kernel_h * s->kernel_w * s->input.c : size_of(1, s->input);
}

static size_t products_of_weight(const qmdi_linear_shape *s) {
	return s->batch * s->output.h * s->output.w;
}

static size_t products_of_input(const qmdi_linear_shape *s) {
	return s->is_convolution ? (size_t)s->kernel_h * s->kernel_w * s->output.c : s->output.c;
}

/*
 * A sum of n products and a bias, in whatever order, is wrong by at most (n + 1) roundings of the sum of the terms'
 * magnitudes; the reference's by one, and so is that sum.
 */
static double sum_factor(size_t n_products) {
	return (double)(n_products + 3) * QMDT_ROUNDING;
}

static void check_linear_forward(qmdt_bench *bench, void *const plans[2], const qmdi_linear_shape *s,
								 qmdt_bench_array *x, qmdt_bench_array *w, qmdt_bench_array *b) {
	qmdt_bench_array *y = qmdt_bench_output(bench, size_of(s->batch, s->output)),
					 *bounds = qmdt_bench_output(bench, y->n);
	ON_BOTH(bench, linear_forward(d, plans[side], AT(x), AT(w), AT(b), AT(y)));
	qmdt_bench_array *abs_x = qmdt_bench_magnitudes(bench, x), *abs_w = qmdt_bench_magnitudes(bench, w),
					 *abs_b = qmdt_bench_magnitudes(bench, b);
	ON_SIDE(bench, QMDT_REFERENCE, linear_forward(d, plans[side], AT(abs_x), AT(abs_w), AT(abs_b), AT(bounds)));
	qmdt_bench_compare_within(bench, y, bounds, sum_factor(products_of_output(s)), "y");
}

static void check_linear_parameters(qmdt_bench *bench, void *const plans[2], const qmdi_linear_shape *s,
									qmdt_bench_array *x, qmdt_bench_array *d_y) {
	const size_t n_weights = products_of_output(s) * s->output.c, n_units = s->output.c;
	qmdt_bench_array *d_w = qmdt_bench_output(bench, n_weights), *d_b = qmdt_bench_output(bench, n_units);
	qmdt_bench_array *bounds_w = qmdt_bench_output(bench, n_weights), *bounds_b = qmdt_bench_output(bench, n_units);
	ON_BOTH(bench, linear_backward_parameters(d, plans[side], AT(x), AT(d_y), AT(d_w), AT(d_b)));
	qmdt_bench_array *abs_x = qmdt_bench_magnitudes(bench, x), *abs_d_y = qmdt_bench_magnitudes(bench, d_y);
	ON_SIDE(bench, QMDT_REFERENCE,
			linear_backward_parameters(d, plans[side], AT(abs_x), AT(abs_d_y), AT(bounds_w), AT(bounds_b)));
	qmdt_bench_compare_within(bench, d_w, bounds_w, sum_factor(products_of_weight(s)), "d_w");
	qmdt_bench_compare_within(bench, d_b, bounds_b, sum_factor(products_of_weight(s)), "d_b");
	qmdt_bench_array *again_w = qmdt_bench_output(bench, n_weights), *again_b = qmdt_bench_output(bench, n_units);
	ON_SIDE(bench, QMDT_TESTED, linear_backward_parameters(d, plans[side], AT(x), AT(d_y), AT(again_w), AT(again_b)));
	qmdt_bench_compare_repeated(bench, d_w, again_w, "d_w");
	qmdt_bench_compare_repeated(bench, d_b, again_b, "d_b");
}

static void check_linear_input(qmdt_bench *bench, void *const plans[2], const qmdi_linear_shape *s, qmdt_bench_array *w,
							   qmdt_bench_array *d_y) {
	const size_t n = size_of(s->batch, s->input);
	qmdt_bench_array *d_x = qmdt_bench_output(bench, n), *again = qmdt_bench_output(bench, n),
					 *bounds = qmdt_bench_output(bench, n);
	ON_BOTH(bench, linear_backward_input(d, plans[side], AT(w), AT(d_y), AT(d_x)));
	qmdt_bench_array *abs_w = qmdt_bench_magnitudes(bench, w), *abs_d_y = qmdt_bench_magnitudes(bench, d_y);
	ON_SIDE(bench, QMDT_REFERENCE, linear_backward_input(d, plans[side], AT(abs_w), AT(abs_d_y), AT(bounds)));
	qmdt_bench_compare_within(bench, d_x, bounds, sum_factor(products_of_input(s)), "d_x");
	ON_SIDE(bench, QMDT_TESTED, linear_backward_input(d, plans[side], AT(w), AT(d_y), AT(again)));
	qmdt_bench_compare_repeated(bench, d_x, again, "d_x");
}

/* Backward on other numbers than forward was called with: a plan keeps none. */
static void check_linear_shape(qmdt_bench *bench, const qmdi_linear_shape *s, int gradients) {
	void *plans[QMDT_N_SIDES] = {NULL, NULL};
	const size_t n_inputs = size_of(s->batch, s->input), n_weights = products_of_output(s) * s->output.c;
	qmdt_bench_begin(bench, "%s, gradients %d", s->name, gradients);
	ON_BOTH(bench, linear_create(d, s, gradients, &plans[side]));
	qmdt_bench_array *w = qmdt_bench_draw(bench, n_weights, -1.0f, 1.0f),
					 *b = qmdt_bench_draw(bench, s->output.c, -1.0f, 1.0f);
	check_linear_forward(bench, plans, s, qmdt_bench_draw(bench, n_inputs, -1.0f, 1.0f), w, b);
	qmdt_bench_array *x = qmdt_bench_draw(bench, n_inputs, -1.0f, 1.0f);
	qmdt_bench_array *d_y = qmdt_bench_draw(bench, size_of(s->batch, s->output), -1.0f, 1.0f);
	if (gradients & QMDI_GRADIENT_PARAMETERS)
		check_linear_parameters(bench, plans, s, x, d_y);
	if (gradients & QMDI_GRADIENT_INPUT)
		check_linear_input(bench, plans, s, qmdt_bench_draw(bench, n_weights, -1.0f, 1.0f), d_y);
	for (int side = 0; side < QMDT_N_SIDES; side++)
		bench->devices[side]->ops->linear_destroy(bench->devices[side], plans[side]);
	qmdt_bench_end(bench);
}

/* An image of NaN: its outputs are, those of the others are not, and every gradient of a weight is. */
static void check_linear_nan(qmdt_bench *bench, const qmdi_linear_shape *s) {
	void *plans[QMDT_N_SIDES] = {NULL, NULL};
	qmdt_bench_begin(bench, "%s, NaN", s->name);
	ON_BOTH(bench, linear_create(d, s, QMDI_GRADIENT_PARAMETERS, &plans[side]));
	qmdt_bench_array *drawn = qmdt_bench_draw(bench, size_of(s->batch, s->input), -1.0f, 1.0f);
	float *values = qmdt_bench_fetch(bench, drawn, QMDT_REFERENCE);
	for (size_t i = 0; i < size_of(1, s->input); i++)
		values[i] = NAN;
	qmdt_bench_array *x = qmdt_bench_take(bench, values, drawn->n);
	qmdt_bench_array *w = qmdt_bench_draw(bench, products_of_output(s) * s->output.c, -1.0f, 1.0f);
	check_linear_forward(bench, plans, s, x, w, qmdt_bench_draw(bench, s->output.c, -1.0f, 1.0f));
	check_linear_parameters(bench, plans, s, x, qmdt_bench_draw(bench, size_of(s->batch, s->output), -1.0f, 1.0f));
	for (int side = 0; side < QMDT_N_SIDES; side++)
		bench->devices[side]->ops->linear_destroy(bench->devices[side], plans[side]);
	qmdt_bench_end(bench);
}

void qmdt_check_linear(qmdt_bench *bench) {
	qmdi_linear_shape s;
	for (size_t i = 0; qmdt_linear_shape(i, &s); i++) {
		for (int gradients = 0; gradients <= (QMDI_GRADIENT_PARAMETERS | QMDI_GRADIENT_INPUT); gradients++)
			check_linear_shape(bench, &s, gradients);
		check_linear_nan(bench, &s);
	}
}

/* ---- Pools ---- */

/* Each as a maximum and as an average; the output's height and width follow. */
static const qmdi_pool_shape pool_shapes[] = {
	{"pool 2x2", 0, 3, {4, 4, 3}, {0, 0, 0}, 2, 2, 2, 2},
	{"pool overlapping", 0, 2, {5, 4, 17}, {0, 0, 0}, 2, 2, 1, 1},
	{"pool 3x3 overlapping, remainder", 0, 1, {8, 6, 8}, {0, 0, 0}, 3, 3, 2, 2},
	{"pool with gaps", 0, 3, {9, 8, 5}, {0, 0, 0}, 2, 2, 3, 3},
	{"pool 3x1", 0, 5, {7, 5, 1}, {0, 0, 0}, 3, 1, 1, 2},
	{"pool global", 0, 3, {6, 5, 17}, {0, 0, 0}, 6, 5, 1, 1},
	{"pool of one number", 0, 1, {1, 1, 1}, {0, 0, 0}, 1, 1, 1, 1},
	{"pool 1x1", 0, 1, {3, 4, 4}, {0, 0, 0}, 1, 1, 1, 1},
	{"pool 2x2, remainder", 0, 5, {11, 9, 32}, {0, 0, 0}, 2, 2, 2, 2},
};

static qmdi_pool_shape pool_shape(size_t i, int is_max) {
	qmdi_pool_shape s = pool_shapes[i];
	s.is_max = is_max;
	s.output =
		(qmd_shape){(s.input.h - s.kernel_h) / s.stride_h + 1, (s.input.w - s.kernel_w) / s.stride_w + 1, s.input.c};
	return s;
}

/* Windows that an element of the input can be in. */
static size_t most_windows(const qmdi_pool_shape *s) {
	return (size_t)((s->kernel_h + s->stride_h - 1) / s->stride_h) * ((s->kernel_w + s->stride_w - 1) / s->stride_w);
}

/* An average takes one rounding for each place and one more on either side; a maximum none. */
static void compare_pool_forward(qmdt_bench *bench, void *const plans[2], const qmdi_pool_shape *s, qmdt_bench_array *x,
								 qmdt_bench_array *y) {
	if (s->is_max) {
		qmdt_bench_compare(bench, y, "y");
		return;
	}
	qmdt_bench_array *abs_x = qmdt_bench_magnitudes(bench, x), *bounds = qmdt_bench_output(bench, y->n);
	ON_SIDE(bench, QMDT_REFERENCE, pool_forward(d, plans[side], AT(abs_x), AT(bounds)));
	qmdt_bench_compare_within(bench, y, bounds, 2.0 * (double)(s->kernel_h * s->kernel_w + 1) * QMDT_ROUNDING, "y");
}

/* A gradient is a sum of one number for each window; those of an average are quotients, or products with 1 / n. */
static void check_pool_backward(qmdt_bench *bench, void *const plans[2], const qmdi_pool_shape *s, qmdt_bench_array *x,
								qmdt_bench_array *y) {
	qmdt_bench_array *d_y = qmdt_bench_draw(bench, y->n, -1.0f, 1.0f), *abs_d_y = qmdt_bench_magnitudes(bench, d_y);
	qmdt_bench_array *d_x = qmdt_bench_output(bench, x->n), *again = qmdt_bench_output(bench, x->n),
					 *bounds = qmdt_bench_output(bench, x->n);
	ON_BOTH(bench, pool_backward(d, plans[side], AT(x), AT(y), AT(d_y), AT(d_x)));
	ON_SIDE(bench, QMDT_REFERENCE, pool_backward(d, plans[side], AT(x), AT(y), AT(abs_d_y), AT(bounds)));
	const size_t n_roundings = s->is_max ? most_windows(s) - 1 : most_windows(s) + 1;
	qmdt_bench_compare_within(bench, d_x, bounds, 2.0 * (double)n_roundings * QMDT_ROUNDING, "d_x");
	ON_SIDE(bench, QMDT_TESTED, pool_backward(d, plans[side], AT(x), AT(y), AT(d_y), AT(again)));
	qmdt_bench_compare_repeated(bench, d_x, again, "d_x");
}

static void check_pool(qmdt_bench *bench, const qmdi_pool_shape *s, qmdt_bench_array *x, int with_backward) {
	void *plans[QMDT_N_SIDES] = {NULL, NULL};
	qmdt_bench_array *y = qmdt_bench_output(bench, size_of(s->batch, s->output));
	ON_BOTH(bench, pool_create(d, s, &plans[side]));
	ON_BOTH(bench, pool_forward(d, plans[side], AT(x), AT(y)));
	compare_pool_forward(bench, plans, s, x, y);
	if (with_backward)
		check_pool_backward(bench, plans, s, x, y);
	for (int side = 0; side < QMDT_N_SIDES; side++)
		bench->devices[side]->ops->pool_destroy(bench->devices[side], plans[side]);
}

/* Numbers of which no two are equal. */
static qmdt_bench_array *draw_distinct(qmdt_bench *bench, size_t n) {
	uint32_t *order = malloc(n * sizeof *order);
	float *values = malloc(n * sizeof *values);
	ck_assert(order && values);
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	qmdi_random_shuffle(++bench->seed, 0, order, n);
	for (size_t i = 0; i < n; i++)
		values[i] = (float)order[i] / 64.0f - 0.5f;
	free(order);
	return qmdt_bench_take(bench, values, n);
}

/* One channel of the first image is NaN. */
static qmdt_bench_array *draw_with_nan(qmdt_bench *bench, const qmdi_pool_shape *s) {
	float *values = qmdt_bench_fetch(bench, draw_distinct(bench, size_of(s->batch, s->input)), QMDT_REFERENCE);
	for (size_t i = s->input.c - 1; i < size_of(1, s->input); i += s->input.c)
		values[i] = NAN;
	return qmdt_bench_take(bench, values, size_of(s->batch, s->input));
}

/* Few different numbers, both zeros among them. */
static void check_max_ties(qmdt_bench *bench) {
	static const float few[] = {-1.0f, -0.0f, 0.0f, 1.0f};
	for (size_t i = 0; i < sizeof pool_shapes / sizeof *pool_shapes; i++) {
		const qmdi_pool_shape s = pool_shape(i, 1);
		qmdt_bench_begin(bench, "%s, max, ties", s.name);
		qmdt_bench_array *drawn = qmdt_bench_draw(bench, size_of(s.batch, s.input), 0.0f, 4.0f);
		float *values = qmdt_bench_fetch(bench, drawn, QMDT_REFERENCE);
		for (size_t k = 0; k < drawn->n; k++)
			values[k] = few[(size_t)values[k]];
		check_pool(bench, &s, qmdt_bench_take(bench, values, drawn->n), 1);
		qmdt_bench_end(bench);
	}
}

void qmdt_check_pools(qmdt_bench *bench) {
	for (size_t i = 0; i < sizeof pool_shapes / sizeof *pool_shapes; i++)
		for (int is_max = 0; is_max < 2; is_max++) {
			const qmdi_pool_shape s = pool_shape(i, is_max);
			qmdt_bench_begin(bench, "%s, %s", s.name, is_max ? "max" : "average");
			check_pool(bench, &s, draw_distinct(bench, size_of(s.batch, s.input)), 1);
			qmdt_bench_end(bench);
			qmdt_bench_begin(bench, "%s, %s, NaN", s.name, is_max ? "max" : "average");
			check_pool(bench, &s, draw_with_nan(bench, &s), 0);
			qmdt_bench_end(bench);
		}
	check_max_ties(bench);
}
