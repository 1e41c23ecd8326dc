/*
 * Batch normalization of a device beside the reference's. How near float32 must come is worked out here from the
 * numbers, for statistics that are summed in any order, the variance as sum (x - mean)^2 or as sum x^2 - mean^2, and
 * for gamma and beta applied one after the other or folded into one factor and one summand.
 */
#include <math.h>

#include "tensor_bench_fixture.h"
#include "tensor_fixture.h"

static const qmdi_batchnorm_shape shapes[] = {
	{"batchnorm of one number", 1, 1, 3, 1e-3f, 0.9f}, {"batchnorm one channel", 1, 20, 1, 1e-3f, 0.9f},
	{"batchnorm one pixel", 5, 1, 8, 1e-3f, 0.5f},     {"batchnorm", 5, 12, 3, 1e-3f, 0.99f},
	{"batchnorm 17 channels", 3, 35, 17, 1e-2f, 0.0f}, {"batchnorm 64 channels", 2, 49, 64, 1e-5f, 0.9f},
};

/* A channel and how far off a device may be. */
typedef struct channel {
	double mean, variance, inverse; /* 1 / sqrt(variance + epsilon) */
	double mean_error, variance_error, inverse_error;
	double d_beta, d_gamma, d_beta_error, d_gamma_error;
} channel;

static const double u = QMDT_ROUNDING;

static double count(const qmdi_batchnorm_shape *s) {
	return (double)(s->batch * s->n_pixels);
}

static size_t size_of(const qmdi_batchnorm_shape *s) {
	return s->batch * s->n_pixels * s->n_channels;
}

static void set_inverse(channel *of, double epsilon) {
	const double sum = of->variance + epsilon;
	ck_assert_double_lt(of->variance_error, 0.5 * sum);
	of->inverse = 1.0 / sqrt(sum);
	of->inverse_error = 1.0 / sqrt(sum - of->variance_error) - of->inverse + 4.0 * u * of->inverse;
}

static channel batch_statistics(const qmdi_batchnorm_shape *s, const float *x, size_t c) {
	const double m = count(s);
	double sum = 0.0, magnitudes = 0.0, squares = 0.0, deviations = 0.0;
	for (size_t i = c; i < size_of(s); i += s->n_channels) {
		sum += (double)x[i];
		magnitudes += fabs((double)x[i]);
		squares += (double)x[i] * (double)x[i];
	}
	channel of = {.mean = sum / m, .mean_error = (m + 2.0) * u * magnitudes / m};
	for (size_t i = c; i < size_of(s); i += s->n_channels)
		deviations += ((double)x[i] - of.mean) * ((double)x[i] - of.mean);
	of.variance = deviations / m;
	/* sum x^2 and mean^2 are each as large as the mean of the squares, and a mean's error counts twice. */
	of.variance_error = 2.0 * (m + 4.0) * u * squares / m + 2.0 * of.mean_error * fabs(of.mean);
	set_inverse(&of, (double)s->epsilon);
	return of;
}

static double normalized(const channel *of, double x) {
	return (x - of->mean) * of->inverse;
}

static double normalized_error(const channel *of, double x) {
	return of->mean_error * of->inverse + (fabs(x - of->mean) + of->mean_error) * of->inverse_error +
		   4.0 * u * (fabs(x) + fabs(of->mean)) * of->inverse;
}

static double output_error(const channel *of, double x, double gamma, double beta) {
	return fabs(gamma) * normalized_error(of, x) + 4.0 * u * (fabs(gamma * normalized(of, x)) + fabs(beta));
}

static void sum_gradients(const qmdi_batchnorm_shape *s, const float *x, const float *d_y, size_t c, channel *of) {
	const double m = count(s);
	for (size_t i = c; i < size_of(s); i += s->n_channels) {
		const double d = (double)d_y[i], spread = (fabs((double)x[i]) + fabs(of->mean)) * of->inverse;
		of->d_beta += d;
		of->d_gamma += d * normalized(of, (double)x[i]);
		of->d_beta_error += (m + 1.0) * u * fabs(d);
		of->d_gamma_error += fabs(d) * ((m + 3.0) * u * spread + normalized_error(of, (double)x[i]));
	}
}

static double input_gradient_error(const channel *of, double m, double x, double gamma, double d) {
	const double n = normalized(of, x);
	const double terms = fabs(d) + (fabs(of->d_beta) + fabs(n * of->d_gamma)) / m;
	const double sums =
		(of->d_beta_error + fabs(n) * of->d_gamma_error + fabs(of->d_gamma) * normalized_error(of, x)) / m;
	return fabs(gamma) * (of->inverse * (8.0 * u * terms + sums) + of->inverse_error * terms);
}

/* ---- A case ---- */

typedef struct batchnorm_case {
	const qmdi_batchnorm_shape *shape;
	void *plans[QMDT_N_SIDES];
	channel channels[64];
	qmdt_bench_array *x, *gamma, *beta;
	float *bounds; /* as many as x has */
} batchnorm_case;

static void compare(qmdt_bench *bench, const batchnorm_case *of, qmdt_bench_array *array, const char *what) {
	qmdt_bench_compare_within(bench, array, qmdt_bench_put(bench, of->bounds, array->n), 1.0, what);
}

static void compare_output(qmdt_bench *bench, const batchnorm_case *of, qmdt_bench_array *y) {
	for (size_t c = 0; c < of->shape->n_channels; c++)
		for (size_t i = c; i < y->n; i += of->shape->n_channels)
			of->bounds[i] = (float)output_error(&of->channels[c], (double)of->x->host[i], (double)of->gamma->host[c],
												(double)of->beta->host[c]);
	compare(bench, of, y, "y");
}

static void compare_running(qmdt_bench *bench, const batchnorm_case *of, qmdt_bench_array *mean,
							qmdt_bench_array *variance) {
	const double m = count(of->shape), share = 1.0 - (double)of->shape->momentum;
	for (size_t c = 0; c < mean->n; c++)
		of->bounds[c] = (float)(share * of->channels[c].mean_error +
								5.0 * u * (fabs((double)mean->host[c]) + fabs(of->channels[c].mean)));
	compare(bench, of, mean, "running mean");
	const double unbiased = m > 1.0 ? m / (m - 1.0) : 0.0;
	for (size_t c = 0; c < variance->n; c++)
		of->bounds[c] = (float)(share * unbiased * of->channels[c].variance_error +
								6.0 * u * ((double)variance->host[c] + unbiased * of->channels[c].variance));
	compare(bench, of, variance, "running variance");
}

static void check_training(qmdt_bench *bench, batchnorm_case *of) {
	const qmdi_batchnorm_shape *s = of->shape;
	qmdt_bench_array *mean = qmdt_bench_draw(bench, s->n_channels, -1.0f, 1.0f);
	qmdt_bench_array *variance = qmdt_bench_draw(bench, s->n_channels, 0.5f, 1.5f),
					 *y = qmdt_bench_output(bench, size_of(s));
	ON_BOTH(bench, batchnorm_training(d, of->plans[side], AT(of->x), AT(of->gamma), AT(of->beta), AT(mean),
									  AT(variance), AT(y)));
	for (size_t c = 0; c < s->n_channels; c++)
		of->channels[c] = batch_statistics(s, of->x->host, c);
	compare_output(bench, of, y);
	compare_running(bench, of, mean, variance);
}

static void compare_gradients(qmdt_bench *bench, batchnorm_case *of, const float *d_y, qmdt_bench_array *d_gamma,
							  qmdt_bench_array *d_beta, qmdt_bench_array *d_x) {
	const qmdi_batchnorm_shape *s = of->shape;
	for (size_t c = 0; c < s->n_channels; c++) {
		sum_gradients(s, of->x->host, d_y, c, &of->channels[c]);
		of->bounds[c] = (float)of->channels[c].d_gamma_error;
	}
	compare(bench, of, d_gamma, "d_gamma");
	for (size_t c = 0; c < s->n_channels; c++)
		of->bounds[c] = (float)of->channels[c].d_beta_error;
	compare(bench, of, d_beta, "d_beta");
	for (size_t c = 0; c < s->n_channels; c++)
		for (size_t i = c; i < size_of(s); i += s->n_channels)
			of->bounds[i] = (float)input_gradient_error(&of->channels[c], count(s), (double)of->x->host[i],
														(double)of->gamma->host[c], (double)d_y[i]);
	compare(bench, of, d_x, "d_x");
}

/* A second time without d_x, to which the sums must be the same. */
static void check_backward(qmdt_bench *bench, batchnorm_case *of) {
	const size_t n_channels = of->shape->n_channels;
	qmdt_bench_array *d_y = qmdt_bench_draw(bench, size_of(of->shape), -1.0f, 1.0f),
					 *d_x = qmdt_bench_output(bench, size_of(of->shape));
	qmdt_bench_array *d_gamma = qmdt_bench_output(bench, n_channels), *d_beta = qmdt_bench_output(bench, n_channels);
	ON_BOTH(bench, batchnorm_backward(d, of->plans[side], AT(of->x), AT(of->gamma), AT(d_y), AT(d_gamma), AT(d_beta),
									  AT(d_x)));
	compare_gradients(bench, of, d_y->host, d_gamma, d_beta, d_x);
	qmdt_bench_array *again_gamma = qmdt_bench_output(bench, n_channels),
					 *again_beta = qmdt_bench_output(bench, n_channels);
	ON_SIDE(bench, QMDT_TESTED,
			batchnorm_backward(d, of->plans[side], AT(of->x), AT(of->gamma), AT(d_y), AT(again_gamma), AT(again_beta),
							   NULL));
	qmdt_bench_compare_repeated(bench, d_gamma, again_gamma, "d_gamma");
	qmdt_bench_compare_repeated(bench, d_beta, again_beta, "d_beta");
}

static void check_inference(qmdt_bench *bench, batchnorm_case *of) {
	const qmdi_batchnorm_shape *s = of->shape;
	qmdt_bench_array *mean = qmdt_bench_draw(bench, s->n_channels, -1.0f, 1.0f);
	qmdt_bench_array *variance = qmdt_bench_draw(bench, s->n_channels, 0.0f, 2.0f),
					 *y = qmdt_bench_output(bench, size_of(s));
	ON_BOTH(bench, batchnorm_inference(d, of->plans[side], AT(of->x), AT(of->gamma), AT(of->beta), AT(mean),
									   AT(variance), AT(y)));
	for (size_t c = 0; c < s->n_channels; c++) {
		of->channels[c] = (channel){.mean = (double)mean->host[c], .variance = (double)variance->host[c]};
		set_inverse(&of->channels[c], (double)s->epsilon);
	}
	compare_output(bench, of, y);
	qmdt_bench_array *d_y = qmdt_bench_draw(bench, size_of(s), -1.0f, 1.0f),
					 *d_x = qmdt_bench_output(bench, size_of(s));
	ON_BOTH(bench, batchnorm_backward_inference(d, of->plans[side], AT(of->gamma), AT(variance), AT(d_y), AT(d_x)));
	qmdt_bench_array *abs_gamma = qmdt_bench_magnitudes(bench, of->gamma), *abs_d_y = qmdt_bench_magnitudes(bench, d_y);
	qmdt_bench_array *bounds = qmdt_bench_output(bench, size_of(s));
	ON_SIDE(bench, QMDT_REFERENCE,
			batchnorm_backward_inference(d, of->plans[side], AT(abs_gamma), AT(variance), AT(abs_d_y), AT(bounds)));
	qmdt_bench_compare_within(bench, d_x, bounds, 8.0 * u, "d_x in inference");
}

/* Numbers in [-0.5, 1.5); those of the first channel are equal. */
static qmdt_bench_array *draw_input(qmdt_bench *bench, const qmdi_batchnorm_shape *s) {
	float *values = qmdt_bench_fetch(bench, qmdt_bench_draw(bench, size_of(s), -0.5f, 1.5f), QMDT_REFERENCE);
	for (size_t i = 0; s->n_channels > 1 && i < size_of(s); i += s->n_channels)
		values[i] = 0.3f;
	return qmdt_bench_take(bench, values, size_of(s));
}

void qmdt_check_batchnorm(qmdt_bench *bench) {
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		batchnorm_case of = {.shape = &shapes[i], .bounds = malloc(size_of(&shapes[i]) * sizeof(float))};
		ck_assert_ptr_nonnull(of.bounds);
		ck_assert_uint_le(of.shape->n_channels, sizeof of.channels / sizeof *of.channels);
		qmdt_bench_begin(bench, "%s", of.shape->name);
		of.x = draw_input(bench, of.shape);
		of.gamma = qmdt_bench_draw(bench, of.shape->n_channels, -1.5f, 1.5f);
		of.beta = qmdt_bench_draw(bench, of.shape->n_channels, -0.5f, 0.5f);
		ON_BOTH(bench, batchnorm_create(d, of.shape, &of.plans[side]));
		check_training(bench, &of);
		check_backward(bench, &of);
		check_inference(bench, &of);
		for (int side = 0; side < QMDT_N_SIDES; side++)
			bench->devices[side]->ops->batchnorm_destroy(bench->devices[side], of.plans[side]);
		qmdt_bench_end(bench);
		free(of.bounds);
	}
}
