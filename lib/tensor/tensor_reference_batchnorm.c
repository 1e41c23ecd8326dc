/* The reference column: batch normalization, channel by channel. */
#include <math.h>

#include "base/memory.h"
#include "tensor_reference.h"

/* Of a channel in the last training pass. */
typedef struct statistics {
	double mean, deviation; /* sqrt(variance + epsilon) */
} statistics;

typedef struct batchnorm {
	qmdi_batchnorm_shape shape;
	statistics channels[]; /* [shape.n_channels] */
} batchnorm;

qmd_status qmdi_reference_batchnorm_create(qmdi_tensor_device *device, const qmdi_batchnorm_shape *shape, void **plan) {
	(void)device;
	batchnorm *b = *plan = qmdi_zeroed(1, sizeof *b + shape->n_channels * sizeof *b->channels);
	if (!b)
		return QMD_ERROR_MEMORY;
	b->shape = *shape;
	return QMD_OK;
}

/* Numbers of a channel; number k of channel c is at k * n_channels + c. */
static size_t count(const batchnorm *b) {
	return b->shape.batch * b->shape.n_pixels;
}

static double sum_of_powers(const batchnorm *b, const float *x, size_t c, double shift, int power) {
	double sum = 0.0;
	for (size_t k = 0; k < count(b); k++) {
		const double difference = (double)x[k * b->shape.n_channels + c] - shift;
		sum += power == 1 ? difference : difference * difference;
	}
	return sum;
}

static double deviation_of(const batchnorm *b, double variance) {
	return sqrt(variance + (double)b->shape.epsilon);
}

static void normalize(const batchnorm *b, size_t c, statistics s, const float *x, const float *gamma, const float *beta,
					  float *y) {
	for (size_t k = 0; k < count(b); k++) {
		const size_t i = k * b->shape.n_channels + c;
		y[i] = (float)(((double)x[i] - s.mean) / s.deviation * (double)gamma[c] + (double)beta[c]);
	}
}

static float moved(double momentum, float running, double batch) {
	return (float)(momentum * (double)running + (1.0 - momentum) * batch);
}

qmd_status qmdi_reference_batchnorm_training(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
											 const float *beta, float *running_mean, float *running_variance,
											 float *y) {
	(void)device;
	batchnorm *b = plan;
	const double m = (double)count(b), momentum = (double)b->shape.momentum;
	for (size_t c = 0; c < b->shape.n_channels; c++) {
		const double mean = sum_of_powers(b, x, c, 0.0, 1) / m;
		const double squares = sum_of_powers(b, x, c, mean, 2);
		b->channels[c] = (statistics){mean, deviation_of(b, squares / m)};
		normalize(b, c, b->channels[c], x, gamma, beta, y);
		running_mean[c] = moved(momentum, running_mean[c], mean);
		running_variance[c] = moved(momentum, running_variance[c], m > 1.0 ? squares / (m - 1.0) : 0.0);
	}
	return QMD_OK;
}

qmd_status qmdi_reference_batchnorm_inference(qmdi_tensor_device *device, void *plan, const float *x,
											  const float *gamma, const float *beta, const float *mean,
											  const float *variance, float *y) {
	(void)device;
	const batchnorm *b = plan;
	for (size_t c = 0; c < b->shape.n_channels; c++)
		normalize(b, c, (statistics){(double)mean[c], deviation_of(b, (double)variance[c])}, x, gamma, beta, y);
	return QMD_OK;
}

/* With n = (x - mean) / deviation: d_beta = sum d_y, d_gamma = sum d_y n, and
 * d_x = gamma / deviation * (d_y - (d_beta + n d_gamma) / m). */
qmd_status qmdi_reference_batchnorm_backward(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
											 const float *d_y, float *d_gamma, float *d_beta, float *d_x) {
	(void)device;
	const batchnorm *b = plan;
	const size_t n_channels = b->shape.n_channels;
	for (size_t c = 0; c < n_channels; c++) {
		const statistics s = b->channels[c];
		double sum = 0.0, product = 0.0;
		for (size_t i = c; i < count(b) * n_channels; i += n_channels) {
			sum += (double)d_y[i];
			product += (double)d_y[i] * (((double)x[i] - s.mean) / s.deviation);
		}
		d_beta[c] = (float)sum;
		d_gamma[c] = (float)product;
		for (size_t i = c; d_x && i < count(b) * n_channels; i += n_channels) {
			const double normalized = ((double)x[i] - s.mean) / s.deviation;
			const double through_statistics = (sum + normalized * product) / (double)count(b);
			d_x[i] = (float)((double)gamma[c] / s.deviation * ((double)d_y[i] - through_statistics));
		}
	}
	return QMD_OK;
}

qmd_status qmdi_reference_batchnorm_backward_inference(qmdi_tensor_device *device, void *plan, const float *gamma,
													   const float *variance, const float *d_y, float *d_x) {
	(void)device;
	const batchnorm *b = plan;
	const size_t n_channels = b->shape.n_channels;
	for (size_t i = 0; i < count(b) * n_channels; i++) {
		const size_t c = i % n_channels;
		d_x[i] = (float)((double)gamma[c] / deviation_of(b, (double)variance[c]) * (double)d_y[i]);
	}
	return QMD_OK;
}
