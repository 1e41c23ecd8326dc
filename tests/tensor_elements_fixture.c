/* What works element by element, fake-quant and steps of the optimizers: equal bits on a device and the reference, but
 * for gradients of scales, which are sums. */
#include <float.h>
#include <math.h>

#include "base/random.h"
#include "tensor_bench_fixture.h"
#include "tensor_fixture.h"

static const size_t lengths[] = {1, 2, 3, 4, 5, 63, 64, 65, 1027, 4096, 5001};
#define N_LENGTHS (sizeof lengths / sizeof *lengths)

/* Numbers of all sizes, and about every fourth of those that need care. */
static const float special[] = {0.0f,         -0.0f,   NAN,      INFINITY,        -INFINITY,  FLT_MAX,
								-FLT_MAX,     FLT_MIN, -FLT_MIN, 0x1p-149f,       -0x1p-149f, 0x1.8p-130f,
								FLT_TRUE_MIN, 1.0f,    -1.0f,    0x1.fffffep-127f};
#define N_SPECIAL (sizeof special / sizeof *special)

static qmdt_bench_array *draw_special(qmdt_bench *bench, size_t n) {
	float *values = qmdt_bench_fetch(bench, qmdt_bench_draw(bench, n, -1.0f, 1.0f), QMDT_REFERENCE);
	bench->seed++;
	for (size_t i = 0; i < n; i++) {
		const uint32_t word = qmdi_random_u32(bench->seed, 0, i);
		if (word % 4 == 0)
			values[i] = special[word / 4 % N_SPECIAL];
		else
			values[i] = ldexpf(values[i], (int)(word / 4 % 41) - 20);
	}
	return qmdt_bench_take(bench, values, n);
}

static qmdt_bench_array *put_again(qmdt_bench *bench, const qmdt_bench_array *array) {
	return qmdt_bench_put(bench, array->host, array->n);
}

/* ---- Element by element ---- */

static void check_two_inputs(qmdt_bench *bench, size_t n) {
	qmdt_bench_array *a = draw_special(bench, n), *b = draw_special(bench, n), *y = qmdt_bench_output(bench, n);
	ON_BOTH(bench, add(d, n, AT(a), AT(b), AT(y)));
	qmdt_bench_compare(bench, y, "add");
	ON_BOTH(bench, multiply(d, n, AT(a), AT(b), AT(y)));
	qmdt_bench_compare(bench, y, "multiply");
	ON_BOTH(bench, relu_backward(d, n, AT(a), AT(b), AT(y)));
	qmdt_bench_compare(bench, y, "relu_backward");
	qmdt_bench_array *sum = put_again(bench, a), *product = put_again(bench, b), *gradient = put_again(bench, b);
	ON_BOTH(bench, add(d, n, AT(sum), AT(b), AT(sum)));
	qmdt_bench_compare(bench, sum, "add in place of a");
	ON_BOTH(bench, add(d, n, AT(a), AT(sum), AT(sum)));
	qmdt_bench_compare(bench, sum, "add in place of b");
	ON_BOTH(bench, add(d, n, AT(sum), AT(sum), AT(sum)));
	qmdt_bench_compare(bench, sum, "add in place of both");
	ON_BOTH(bench, multiply(d, n, AT(a), AT(product), AT(product)));
	qmdt_bench_compare(bench, product, "multiply in place of b");
	ON_BOTH(bench, multiply(d, n, AT(product), AT(b), AT(product)));
	qmdt_bench_compare(bench, product, "multiply in place of a");
	ON_BOTH(bench, relu_backward(d, n, AT(a), AT(gradient), AT(gradient)));
	qmdt_bench_compare(bench, gradient, "relu_backward in place of d_y");
	qmdt_bench_array *output = put_again(bench, a);
	ON_BOTH(bench, relu_backward(d, n, AT(output), AT(b), AT(output)));
	qmdt_bench_compare(bench, output, "relu_backward in place of y");
}

static void check_one_input(qmdt_bench *bench, size_t n) {
	qmdt_bench_array *x = draw_special(bench, n), *y = qmdt_bench_output(bench, n), *same = put_again(bench, x);
	ON_BOTH(bench, copy(d, n, AT(x), AT(y)));
	qmdt_bench_compare(bench, y, "copy");
	ON_BOTH(bench, relu(d, n, AT(x), AT(y)));
	qmdt_bench_compare(bench, y, "relu");
	ON_BOTH(bench, copy(d, n, AT(same), AT(same)));
	qmdt_bench_compare(bench, same, "copy in place");
	ON_BOTH(bench, relu(d, n, AT(same), AT(same)));
	qmdt_bench_compare(bench, same, "relu in place");
}

/* The last rate is the number of an element, which is kept: it is not below it. */
static void check_dropout(qmdt_bench *bench, size_t n) {
	static const uint64_t seeds[] = {0, 7, UINT64_C(0x123456789abcdef0)};
	static const uint64_t streams[] = {0, UINT64_C(1) << 63 | 5, UINT64_MAX};
	for (size_t k = 0; k < 3; k++) {
		const float rates[] = {0.0f, 0.25f, 0.5f, 0.999f, qmdi_random_f32(seeds[k], streams[k], n / 2)};
		for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
			qmdt_bench_begin(bench, "dropout of %zu, rate %g", n, (double)rates[i]);
			qmdt_bench_array *mask = qmdt_bench_output(bench, n);
			ON_BOTH(bench, dropout_mask(d, n, seeds[k], streams[k], rates[i], AT(mask)));
			qmdt_bench_compare(bench, mask, "mask");
			qmdt_bench_end(bench);
		}
	}
}

static void check_softmax(qmdt_bench *bench, size_t n_images, size_t n_classes, float spread) {
	const size_t n = n_images * n_classes;
	qmdt_bench_begin(bench, "softmax of %zu x %zu within %g", n_images, n_classes, (double)spread);
	float *values = qmdt_bench_fetch(bench, qmdt_bench_draw(bench, n, -spread, spread), QMDT_REFERENCE);
	for (size_t i = n - n_classes; n_images > 2 && i < n; i++)
		values[i] = NAN;
	qmdt_bench_array *x = qmdt_bench_take(bench, values, n), *same = put_again(bench, x);
	qmdt_bench_array *y = qmdt_bench_output(bench, n);
	ON_BOTH(bench, softmax(d, n_images, n_classes, AT(x), AT(y)));
	qmdt_bench_compare(bench, y, "softmax");
	ON_BOTH(bench, softmax(d, n_images, n_classes, AT(same), AT(same)));
	qmdt_bench_compare(bench, same, "softmax in place");
	qmdt_bench_end(bench);
}

void qmdt_check_elements(qmdt_bench *bench) {
	for (size_t i = 0; i < N_LENGTHS; i++) {
		qmdt_bench_begin(bench, "%zu elements", lengths[i]);
		check_two_inputs(bench, lengths[i]);
		check_one_input(bench, lengths[i]);
		qmdt_bench_end(bench);
		check_dropout(bench, lengths[i]);
	}
	check_softmax(bench, 1, 1, 1.0f);
	check_softmax(bench, 1, 2, 0.0f);
	check_softmax(bench, 3, 3, 10.0f);
	check_softmax(bench, 7, 17, 200.0f);
	check_softmax(bench, 257, 5, 3.0f);
}

/* ---- Fake-quant ---- */

typedef struct grid_shape {
	size_t n_groups, n_units, n_per_unit;
	int32_t low, high;
} grid_shape;

/* The longest are sums that a GPU shares out among several blocks. */
static const grid_shape grid_shapes[] = {
	{1, 1, 1, -128, 127},   {1, 17, 27, -127, 127}, {1, 300, 1, -7, 7},       {1, 3, 4099, -127, 127},
	{5, 1, 63, 0, 127},     {3, 1, 4099, 0, 15},    {1, 1, 5000, -8, 7},      {2, 3, 5, -1, 1},
	{7, 1, 256, -128, 127}, {2, 1, 40001, -8, 7},   {1, 2, 17000, -127, 127}, {67, 2, 9, -2, 1},
};

static size_t size_of(const grid_shape *s) {
	return s->n_groups * s->n_units * s->n_per_unit;
}

/* On, beside and between the steps of the unit's grid, at its ends and beyond them. */
static float draw_near_grid(const grid_shape *s, float scale, uint32_t word) {
	const float low = (float)s->low, high = (float)s->high, q = low + (float)(word / 64 % 512) / 511.0f * (high - low);
	switch (word % 8) {
	case 0:
		return scale * rintf(q);
	case 1:
		return scale * (rintf(q) + 0.5f);
	case 2:
		return nextafterf(scale * (rintf(q) + 0.5f), word & 8 ? INFINITY : -INFINITY);
	case 3:
		return nextafterf(scale * (word & 8 ? low : high), word & 16 ? INFINITY : -INFINITY);
	case 4:
		return scale * (word & 8 ? low : high);
	case 5:
		return scale * 1.5f * q;
	default:
		return scale * q;
	}
}

/* Scales that are powers of two, on which ties are exact, and others. */
static qmdt_bench_array *draw_scales(qmdt_bench *bench, size_t n) {
	float *values = qmdt_bench_fetch(bench, qmdt_bench_draw(bench, n, 0.001f, 0.3f), QMDT_REFERENCE);
	for (size_t i = 0; i < n; i += 2)
		values[i] = ldexpf(1.0f, (int)(i % 7) - 4);
	return qmdt_bench_take(bench, values, n);
}

static qmdt_bench_array *draw_for_grid(qmdt_bench *bench, const grid_shape *s, const qmdt_bench_array *scales,
									   int is_special) {
	float *values = qmdt_bench_fetch(bench, draw_special(bench, size_of(s)), QMDT_REFERENCE);
	bench->seed++;
	for (size_t i = 0; i < size_of(s); i++) {
		const uint32_t word = qmdi_random_u32(bench->seed, 0, i);
		if (!is_special || word % 3)
			values[i] = draw_near_grid(s, scales->host[i / s->n_per_unit % s->n_units], word / 3);
	}
	return qmdt_bench_take(bench, values, size_of(s));
}

/* Of one device. */
static qmdi_grid grid_on(const grid_shape *s, const qmdt_bench_array *scales, int side) {
	return (qmdi_grid){.scales = scales->at[side],
					   .n_groups = s->n_groups,
					   .n_units = s->n_units,
					   .n_per_unit = s->n_per_unit,
					   .low = s->low,
					   .high = s->high};
}

static void check_grid(qmdt_bench *bench, const grid_shape *s, const qmdi_grid grids[2], qmdt_bench_array *x) {
	const size_t n = size_of(s);
	qmdt_bench_array *d_y = draw_special(bench, n), *y = qmdt_bench_output(bench, n),
					 *d_x = qmdt_bench_output(bench, n);
	qmdt_bench_array *same = put_again(bench, x), *gradient = put_again(bench, d_y);
	ON_BOTH(bench, fake_quant(d, &grids[side], AT(x), AT(y)));
	qmdt_bench_compare(bench, y, "fake_quant");
	ON_BOTH(bench, fake_quant(d, &grids[side], AT(same), AT(same)));
	qmdt_bench_compare(bench, same, "fake_quant in place");
	ON_BOTH(bench, fake_quant_backward(d, &grids[side], AT(x), AT(d_y), AT(d_x)));
	qmdt_bench_compare(bench, d_x, "fake_quant_backward");
	ON_BOTH(bench, fake_quant_backward(d, &grids[side], AT(x), AT(gradient), AT(gradient)));
	qmdt_bench_compare(bench, gradient, "fake_quant_backward in place");
}

/* |d y / d scale| of one number, as large as it may be: a bound of the range where that clamps, else half a step. */
static double largest_slope(const qmdi_grid *grid, float steps) {
	if (steps <= (float)grid->low)
		return fabs((double)grid->low);
	return steps >= (float)grid->high ? (double)grid->high : 0.5;
}

/* Sums are double. On either side a group's becomes a float, and then the sum over the groups: four roundings, beside
 * which those of double are nothing. */
#define SCALE_GRADIENT_FACTOR (5.0 * QMDT_ROUNDING)

static void bound_scale_gradients(const qmdi_grid *grid, const float *scales, const float *x, const float *d_y,
								  float *bounds) {
	const double divisor = sqrt((double)grid->n_per_unit * (double)grid->high);
	for (size_t unit = 0; unit < grid->n_units; unit++) {
		double magnitudes = 0.0;
		for (size_t i = 0; i < grid->n_groups * grid->n_units * grid->n_per_unit; i++)
			if (i / grid->n_per_unit % grid->n_units == unit)
				magnitudes += fabs((double)d_y[i]) * largest_slope(grid, x[i] / scales[unit]);
		bounds[unit] = (float)(magnitudes / divisor);
	}
}

static void check_scale_gradients(qmdt_bench *bench, const grid_shape *s, const qmdi_grid grids[2],
								  const qmdt_bench_array *scales, qmdt_bench_array *x) {
	qmdt_bench_array *d_y = qmdt_bench_draw(bench, size_of(s), -1.0f, 1.0f);
	qmdt_bench_array *gradients = qmdt_bench_output(bench, s->n_units), *again = qmdt_bench_output(bench, s->n_units);
	ON_BOTH(bench, scale_gradients(d, &grids[side], AT(x), AT(d_y), AT(gradients)));
	float *bounds = malloc(s->n_units * sizeof *bounds);
	ck_assert_ptr_nonnull(bounds);
	bound_scale_gradients(&grids[QMDT_REFERENCE], scales->host, x->host, d_y->host, bounds);
	qmdt_bench_compare_within(bench, gradients, qmdt_bench_put(bench, bounds, s->n_units), SCALE_GRADIENT_FACTOR,
							  "scale_gradients");
	free(bounds);
	ON_SIDE(bench, QMDT_TESTED, scale_gradients(d, &grids[side], AT(x), AT(d_y), AT(again)));
	qmdt_bench_compare_repeated(bench, gradients, again, "scale_gradients");
}

static void check_grid_shape(qmdt_bench *bench, const grid_shape *s) {
	qmdt_bench_begin(bench, "grid of %zu x %zu x %zu, %d to %d", s->n_groups, s->n_units, s->n_per_unit, s->low,
					 s->high);
	qmdt_bench_array *scales = draw_scales(bench, s->n_units);
	const qmdi_grid grids[] = {grid_on(s, scales, QMDT_TESTED), grid_on(s, scales, QMDT_REFERENCE)};
	qmdt_bench_array *near = draw_for_grid(bench, s, scales, 0), *with_special = draw_for_grid(bench, s, scales, 1);
	check_grid(bench, s, grids, near);
	check_grid(bench, s, grids, with_special);
	check_scale_gradients(bench, s, grids, scales, near);
	check_scale_gradients(bench, s, grids, scales, with_special);
	qmdt_bench_end(bench);
}

static void check_weight_scales(qmdt_bench *bench, size_t n_units, size_t n_per_unit, int32_t high) {
	const size_t n = n_units * n_per_unit;
	qmdt_bench_begin(bench, "weight scales of %zu x %zu to %d", n_units, n_per_unit, high);
	qmdt_bench_array *plain = qmdt_bench_draw(bench, n, -1.0f, 1.0f), *with_special = draw_special(bench, n);
	float *values = qmdt_bench_fetch(bench, plain, QMDT_REFERENCE);
	for (size_t i = 0; i < n; i++)
		values[i] *= ldexpf(1.0f, -126 * (int)(i / n_per_unit % 2)); /* every other unit is about FLT_MIN */
	for (size_t i = 0; i < n_per_unit; i++)
		values[i] = 0.0f;
	qmdt_bench_array *tiny = qmdt_bench_take(bench, values, n), *scales = qmdt_bench_output(bench, n_units);
	ON_BOTH(bench, weight_scales(d, n_units, n_per_unit, high, AT(plain), AT(scales)));
	qmdt_bench_compare(bench, scales, "scales");
	ON_BOTH(bench, weight_scales(d, n_units, n_per_unit, high, AT(tiny), AT(scales)));
	qmdt_bench_compare(bench, scales, "scales of tiny weights");
	ON_BOTH(bench, weight_scales(d, n_units, n_per_unit, high, AT(with_special), AT(scales)));
	qmdt_bench_compare(bench, scales, "scales of special weights");
	qmdt_bench_end(bench);
}

/* Biases on and between steps, and so large that their integers saturate. */
static void check_bias(qmdt_bench *bench, size_t n, float input_scale) {
	qmdt_bench_begin(bench, "bias of %zu, input's scale %g", n, (double)input_scale);
	qmdt_bench_array *scales = draw_scales(bench, n), *input = qmdt_bench_put(bench, &input_scale, 1);
	float *values = qmdt_bench_fetch(bench, draw_special(bench, n), QMDT_REFERENCE);
	for (size_t i = 0; i < n; i++) {
		const float step = input_scale * scales->host[i];
		const uint32_t word = qmdi_random_u32(bench->seed, 1, i);
		const float q = (float)(word / 4 % 4001) - 2000.0f;
		values[i] = word % 4 == 0   ? step * (q + 0.5f)
					: word % 4 == 1 ? step * q
					: word % 4 == 2 ? q * 0x1p21f
									: values[i];
	}
	qmdt_bench_array *bias = qmdt_bench_take(bench, values, n), *same = put_again(bench, bias);
	qmdt_bench_array *out = qmdt_bench_output(bench, n);
	ON_BOTH(bench, quantize_bias(d, n, AT(input), AT(scales), AT(bias), AT(out)));
	qmdt_bench_compare(bench, out, "bias");
	ON_BOTH(bench, quantize_bias(d, n, AT(input), AT(scales), AT(same), AT(same)));
	qmdt_bench_compare(bench, same, "bias in place");
	qmdt_bench_end(bench);
}

void qmdt_check_fake_quant(qmdt_bench *bench) {
	for (size_t i = 0; i < sizeof grid_shapes / sizeof *grid_shapes; i++)
		check_grid_shape(bench, &grid_shapes[i]);
	check_weight_scales(bench, 1, 1, 127);
	check_weight_scales(bench, 5, 27, 7);
	check_weight_scales(bench, 300, 3, 1);
	check_weight_scales(bench, 3, 4099, 127);
	check_weight_scales(bench, 2, 40001, 7);
	check_bias(bench, 1, 0x1p-3f);
	check_bias(bench, 33, 0x1p-7f);
	check_bias(bench, 1000, 0.0123f);
}

/* ---- Steps of the optimizers ---- */

/* Moments about as small as subnormal numbers, gradients of 0, and now and then a gradient that is no number. */
static qmdt_bench_array *draw_moment(qmdt_bench *bench, size_t n, float low) {
	float *values = qmdt_bench_fetch(bench, qmdt_bench_draw(bench, n, low, 1.0f), QMDT_REFERENCE);
	for (size_t i = 0; i < n; i++)
		values[i] = ldexpf(values[i], i % 3 == 0 ? -126 : i % 3 == 1 ? -20 : 0);
	return qmdt_bench_take(bench, values, n);
}

static qmdt_bench_array *draw_gradient(qmdt_bench *bench, size_t n) {
	float *values = qmdt_bench_fetch(bench, draw_special(bench, n), QMDT_REFERENCE);
	for (size_t i = 0; i < n; i += 2)
		values[i] = 0.0f;
	return qmdt_bench_take(bench, values, n);
}

static void check_update(qmdt_bench *bench, size_t n, int has_moment1, float keep) {
	qmdt_bench_begin(bench, "%s of %zu, keep %g", has_moment1 ? "Adam" : "RMSprop", n, (double)keep);
	qmdt_bench_array *values = qmdt_bench_draw(bench, n, -1.0f, 1.0f), *m = draw_moment(bench, n, -1.0f);
	qmdt_bench_array *v = draw_moment(bench, n, 0.0f),
					 *gradients[] = {draw_gradient(bench, n), qmdt_bench_draw(bench, n, -1.0f, 1.0f)};
	for (int step = 0; step < 4; step++) {
		qmdi_update updates[QMDT_N_SIDES];
		for (int side = 0; side < QMDT_N_SIDES; side++)
			updates[side] = (qmdi_update){.n = n,
										  .values = AT(values),
										  .gradient = AT(gradients[step % 2]),
										  .moment1 = has_moment1 ? AT(m) : NULL,
										  .moment2 = AT(v),
										  .rate = 1e-3f,
										  .keep = keep,
										  .beta1 = 0.9f,
										  .beta2 = 0.999f,
										  .epsilon = step < 2 ? 1e-7f : 1e-20f,
										  .correction1 = 0.1f * (float)(step + 1),
										  .correction2 = 0.001f * (float)(step + 1)};
		ON_BOTH(bench, update(d, &updates[side]));
		qmdt_bench_compare(bench, values, "values");
		qmdt_bench_compare(bench, v, "second moment");
		if (has_moment1)
			qmdt_bench_compare(bench, m, "first moment");
	}
	qmdt_bench_end(bench);
}

void qmdt_check_update(qmdt_bench *bench) {
	static const size_t sizes[] = {1, 7, 64, 4097, 70001};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int has_moment1 = 0; has_moment1 < 2; has_moment1++) {
			check_update(bench, sizes[i], has_moment1, 1.0f);
			check_update(bench, sizes[i], has_moment1, 0.999f);
		}
}
