/*
 * Batch normalization (Ioffe and Szegedy 2015) over the images and pixels of each channel. A training pass normalizes
 * by the batch's mean and variance, sum (x - mean)^2 / m, and moves the running statistics towards the mean and the
 * unbiased variance, sum (x - mean)^2 / (m - 1), as their algorithm 2 does.
 *
 * Sums are taken in double for each image and then over the images, so they do not depend on the number of threads.
 */
#include "tensor_onednn.h"

#include <math.h>
#include <string.h>

typedef struct batchnorm {
	size_t batch, n_channels, n_pixels; /* pixels of an image */
	double epsilon, momentum;
	float *mean, *inverse_deviation; /* what the last forward pass used */
	double *image_sums;              /* [batch][2][channels] */
	double *sums;                    /* [2][channels] */
} batchnorm;

qmd_status qmdi_onednn_batchnorm_create(qmdi_tensor_device *device, const qmdi_batchnorm_shape *shape, void **plan) {
	*plan = NULL;
	batchnorm *b = qmdi_zeroed(1, sizeof *b);
	if (!b)
		return QMD_ERROR_MEMORY;
	b->batch = shape->batch;
	b->n_channels = shape->n_channels;
	b->n_pixels = shape->n_pixels;
	b->epsilon = (double)shape->epsilon;
	b->momentum = (double)shape->momentum;
	b->mean = qmdi_aligned(b->n_channels, sizeof *b->mean);
	b->inverse_deviation = qmdi_aligned(b->n_channels, sizeof *b->inverse_deviation);
	b->image_sums = qmdi_array(2 * b->batch * b->n_channels, sizeof *b->image_sums);
	b->sums = qmdi_array(2 * b->n_channels, sizeof *b->sums);
	if (!b->mean || !b->inverse_deviation || !b->image_sums || !b->sums) {
		qmdi_onednn_batchnorm_destroy(device, b);
		return QMD_ERROR_MEMORY;
	}
	*plan = b;
	return QMD_OK;
}

void qmdi_onednn_batchnorm_destroy(qmdi_tensor_device *device, void *plan) {
	(void)device;
	batchnorm *b = plan;
	if (!b)
		return;
	qmdi_release_aligned(b->mean);
	qmdi_release_aligned(b->inverse_deviation);
	qmdi_release(b->image_sums);
	qmdi_release(b->sums);
	qmdi_release(b);
}

/* ---- Forward ---- */

static void sum_images(batchnorm *b) {
	const size_t n = 2 * b->n_channels;
	memset(b->sums, 0, n * sizeof *b->sums);
	for (size_t image = 0; image < b->batch; image++)
		for (size_t i = 0; i < n; i++)
			b->sums[i] += b->image_sums[image * n + i];
}

/* sums[0][c] = sum of (x - shift[c])^power, power 1 or 2. */
static void sum_powers(batchnorm *b, const float *input, const float *shift, int power) {
#pragma omp parallel for schedule(static)
	for (size_t image = 0; image < b->batch; image++) {
		double *sums = b->image_sums + 2 * image * b->n_channels;
		memset(sums, 0, 2 * b->n_channels * sizeof *sums);
		for (size_t pixel = 0; pixel < b->n_pixels; pixel++) {
			const float *x = input + (image * b->n_pixels + pixel) * b->n_channels;
			for (size_t c = 0; c < b->n_channels; c++) {
				const double difference = (double)x[c] - (double)shift[c];
				sums[c] += power == 1 ? difference : difference * difference;
			}
		}
	}
	sum_images(b);
}

static void use_batch_statistics(batchnorm *b, const float *x, float *running_mean, float *running_variance) {
	const double m = (double)(b->batch * b->n_pixels), momentum = b->momentum;
	memset(b->mean, 0, b->n_channels * sizeof *b->mean);
	sum_powers(b, x, b->mean, 1);
	for (size_t c = 0; c < b->n_channels; c++)
		b->mean[c] = (float)(b->sums[c] / m);
	sum_powers(b, x, b->mean, 2);
	for (size_t c = 0; c < b->n_channels; c++) {
		const double squares = b->sums[c];
		const double unbiased = m > 1.0 ? squares / (m - 1.0) : 0.0;
		b->inverse_deviation[c] = (float)(1.0 / sqrt(squares / m + b->epsilon));
		running_mean[c] = (float)(momentum * (double)running_mean[c] + (1.0 - momentum) * (double)b->mean[c]);
		running_variance[c] = (float)(momentum * (double)running_variance[c] + (1.0 - momentum) * unbiased);
	}
}

static void use_deviation_of(batchnorm *b, const float *variance) {
	for (size_t c = 0; c < b->n_channels; c++)
		b->inverse_deviation[c] = (float)(1.0 / sqrt((double)variance[c] + b->epsilon));
}

static void normalize(const batchnorm *b, const float *input, const float *gamma, const float *beta, float *output) {
	const size_t n_pixels = b->batch * b->n_pixels;
#pragma omp parallel for schedule(static)
	for (size_t pixel = 0; pixel < n_pixels; pixel++) {
		const float *x = input + pixel * b->n_channels;
		float *out = output + pixel * b->n_channels;
		for (size_t c = 0; c < b->n_channels; c++)
			out[c] = (x[c] - b->mean[c]) * b->inverse_deviation[c] * gamma[c] + beta[c];
	}
}

qmd_status qmdi_onednn_batchnorm_training(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
										  const float *beta, float *running_mean, float *running_variance, float *y) {
	(void)device;
	use_batch_statistics(plan, x, running_mean, running_variance);
	normalize(plan, x, gamma, beta, y);
	return QMD_OK;
}

qmd_status qmdi_onednn_batchnorm_inference(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
										   const float *beta, const float *mean, const float *variance, float *y) {
	(void)device;
	batchnorm *b = plan;
	memcpy(b->mean, mean, b->n_channels * sizeof *mean);
	use_deviation_of(b, variance);
	normalize(b, x, gamma, beta, y);
	return QMD_OK;
}

/* ---- Backward ---- */

/* d_beta = sums[0] = sum d, d_gamma = sums[1] = sum d * normalized x. */
static void sum_gradients(batchnorm *b, const float *input, const float *d_output, float *d_gamma, float *d_beta) {
#pragma omp parallel for schedule(static)
	for (size_t image = 0; image < b->batch; image++) {
		double *sums = b->image_sums + 2 * image * b->n_channels;
		memset(sums, 0, 2 * b->n_channels * sizeof *sums);
		for (size_t pixel = 0; pixel < b->n_pixels; pixel++) {
			const size_t offset = (image * b->n_pixels + pixel) * b->n_channels;
			const float *x = input + offset, *d = d_output + offset;
			for (size_t c = 0; c < b->n_channels; c++) {
				sums[c] += (double)d[c];
				sums[b->n_channels + c] += (double)d[c] * (double)((x[c] - b->mean[c]) * b->inverse_deviation[c]);
			}
		}
	}
	sum_images(b);
	for (size_t c = 0; c < b->n_channels; c++) {
		d_beta[c] = (float)b->sums[c];
		d_gamma[c] = (float)b->sums[b->n_channels + c];
	}
}

/* d_x = gamma / deviation * (d - (d_beta + normalized x * d_gamma) / m). */
qmd_status qmdi_onednn_batchnorm_backward(qmdi_tensor_device *device, void *plan, const float *input,
										  const float *gamma, const float *d_output, float *d_gamma, float *d_beta,
										  float *d_input) {
	(void)device;
	batchnorm *b = plan;
	const size_t n_pixels = b->batch * b->n_pixels;
	const float m = (float)n_pixels;
	sum_gradients(b, input, d_output, d_gamma, d_beta);
	if (!d_input)
		return QMD_OK;
#pragma omp parallel for schedule(static)
	for (size_t pixel = 0; pixel < n_pixels; pixel++) {
		const size_t offset = pixel * b->n_channels;
		const float *x = input + offset, *d = d_output + offset;
		for (size_t c = 0; c < b->n_channels; c++) {
			const float normalized = (x[c] - b->mean[c]) * b->inverse_deviation[c];
			d_input[offset + c] =
				gamma[c] * b->inverse_deviation[c] * (d[c] - (d_beta[c] + normalized * d_gamma[c]) / m);
		}
	}
	return QMD_OK;
}

/* Running statistics do not depend on x. */
qmd_status qmdi_onednn_batchnorm_backward_inference(qmdi_tensor_device *device, void *plan, const float *gamma,
													const float *variance, const float *d_output, float *d_input) {
	(void)device;
	batchnorm *b = plan;
	const size_t n_pixels = b->batch * b->n_pixels;
	use_deviation_of(b, variance);
#pragma omp parallel for schedule(static)
	for (size_t pixel = 0; pixel < n_pixels; pixel++)
		for (size_t c = 0; c < b->n_channels; c++) {
			const size_t i = pixel * b->n_channels + c;
			d_input[i] = gamma[c] * b->inverse_deviation[c] * d_output[i];
		}
	return QMD_OK;
}
