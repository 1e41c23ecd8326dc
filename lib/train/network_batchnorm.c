/*
 * Batch normalization (Ioffe and Szegedy 2015) over the images and pixels of each channel. A training pass normalizes
 * by the batch's mean and variance, sum (x - mean)^2 / m, and moves the running statistics towards the mean and the
 * unbiased variance, sum (x - mean)^2 / (m - 1), as their algorithm 2 does.
 *
 * Sums are taken in double for each image and then over the images, so they do not depend on the number of threads.
 */
#include "network_internal.h"

#include <math.h>
#include <string.h>

typedef struct batchnorm {
	size_t n_channels, n_pixels;     /* of an image */
	float *mean, *inverse_deviation; /* what the last forward pass used */
	double *image_sums;              /* [batch][2][channels] */
	double *sums;                    /* [2][channels] */
} batchnorm;

static qmd_status create(qmdi_network *network, qmdi_node *node) {
	batchnorm *b = node->state = qmdi_zeroed(1, sizeof *b);
	if (!b)
		return QMD_ERROR_MEMORY;
	b->n_channels = node->layer->output.c;
	b->n_pixels = node->image_size / b->n_channels;
	b->mean = qmdi_network_floats(b->n_channels);
	b->inverse_deviation = qmdi_network_floats(b->n_channels);
	b->image_sums = qmdi_zeroed(2 * network->batch_size * b->n_channels, sizeof *b->image_sums);
	b->sums = qmdi_zeroed(2 * b->n_channels, sizeof *b->sums);
	return b->mean && b->inverse_deviation && b->image_sums && b->sums ? QMD_OK : QMD_ERROR_MEMORY;
}

static void destroy(qmdi_node *node) {
	batchnorm *b = node->state;
	qmdi_release_aligned(b->mean);
	qmdi_release_aligned(b->inverse_deviation);
	qmdi_release(b->image_sums);
	qmdi_release(b->sums);
	qmdi_release(b);
}

static void sum_images(const qmdi_network *network, batchnorm *b) {
	const size_t n = 2 * b->n_channels;
	memset(b->sums, 0, n * sizeof *b->sums);
	for (size_t image = 0; image < network->batch_size; image++)
		for (size_t i = 0; i < n; i++)
			b->sums[i] += b->image_sums[image * n + i];
}

/* sums[0][c] = sum of (x - shift[c])^power, power 1 or 2. */
static void sum_powers(const qmdi_network *network, const qmdi_node *node, const float *shift, int power) {
	batchnorm *b = node->state;
	const float *input = node->inputs[0]->output;
#pragma omp parallel for schedule(static)
	for (size_t image = 0; image < network->batch_size; image++) {
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
	sum_images(network, b);
}

static void use_batch_statistics(const qmdi_network *network, const qmdi_node *node) {
	batchnorm *b = node->state;
	const qmdi_layer *layer = node->layer;
	float *running_mean = layer->parameters[QMDI_MEAN], *running_variance = layer->parameters[QMDI_VARIANCE];
	const double m = (double)(network->batch_size * b->n_pixels);
	const double momentum = (double)layer->definition.momentum, epsilon = (double)layer->definition.epsilon;
	memset(b->mean, 0, b->n_channels * sizeof *b->mean);
	sum_powers(network, node, b->mean, 1);
	for (size_t c = 0; c < b->n_channels; c++)
		b->mean[c] = (float)(b->sums[c] / m);
	sum_powers(network, node, b->mean, 2);
	for (size_t c = 0; c < b->n_channels; c++) {
		const double squares = b->sums[c];
		const double unbiased = m > 1.0 ? squares / (m - 1.0) : 0.0;
		b->inverse_deviation[c] = (float)(1.0 / sqrt(squares / m + epsilon));
		running_mean[c] = (float)(momentum * (double)running_mean[c] + (1.0 - momentum) * (double)b->mean[c]);
		running_variance[c] = (float)(momentum * (double)running_variance[c] + (1.0 - momentum) * unbiased);
	}
}

static void use_running_statistics(const qmdi_node *node) {
	batchnorm *b = node->state;
	const qmdi_layer *layer = node->layer;
	const double epsilon = (double)layer->definition.epsilon;
	for (size_t c = 0; c < b->n_channels; c++) {
		b->mean[c] = layer->parameters[QMDI_MEAN][c];
		b->inverse_deviation[c] = (float)(1.0 / sqrt((double)layer->parameters[QMDI_VARIANCE][c] + epsilon));
	}
}

static qmd_status forward(qmdi_network *network, qmdi_node *node) {
	const batchnorm *b = node->state;
	if (network->pass == QMDI_TRAINING)
		use_batch_statistics(network, node);
	else
		use_running_statistics(node);
	const float *gamma = node->layer->parameters[QMDI_GAMMA], *beta = node->layer->parameters[QMDI_BETA];
	const size_t n_pixels = network->batch_size * b->n_pixels;
#pragma omp parallel for schedule(static)
	for (size_t pixel = 0; pixel < n_pixels; pixel++) {
		const float *x = node->inputs[0]->output + pixel * b->n_channels;
		float *out = node->buffer + pixel * b->n_channels;
		for (size_t c = 0; c < b->n_channels; c++)
			out[c] = (x[c] - b->mean[c]) * b->inverse_deviation[c] * gamma[c] + beta[c];
	}
	node->output = node->buffer;
	return QMD_OK;
}

/* d_beta = sums[0] = sum d, d_gamma = sums[1] = sum d * normalized x. */
static qmd_status backward_parameters(qmdi_network *network, qmdi_node *node) {
	batchnorm *b = node->state;
#pragma omp parallel for schedule(static)
	for (size_t image = 0; image < network->batch_size; image++) {
		double *sums = b->image_sums + 2 * image * b->n_channels;
		memset(sums, 0, 2 * b->n_channels * sizeof *sums);
		for (size_t pixel = 0; pixel < b->n_pixels; pixel++) {
			const size_t offset = (image * b->n_pixels + pixel) * b->n_channels;
			const float *x = node->inputs[0]->output + offset, *d = node->gradient + offset;
			for (size_t c = 0; c < b->n_channels; c++) {
				sums[c] += (double)d[c];
				sums[b->n_channels + c] += (double)d[c] * (double)((x[c] - b->mean[c]) * b->inverse_deviation[c]);
			}
		}
	}
	sum_images(network, b);
	for (size_t c = 0; c < b->n_channels; c++) {
		node->parameter_gradients[QMDI_BETA][c] = (float)b->sums[c];
		node->parameter_gradients[QMDI_GAMMA][c] = (float)b->sums[b->n_channels + c];
	}
	return QMD_OK;
}

/* Running statistics do not depend on x: d_x = gamma / deviation * d. */
static void backward_through_running(const qmdi_network *network, const qmdi_node *node, float *d_input) {
	const batchnorm *b = node->state;
	const float *gamma = node->layer->parameters[QMDI_GAMMA];
	const size_t n_pixels = network->batch_size * b->n_pixels;
#pragma omp parallel for schedule(static)
	for (size_t pixel = 0; pixel < n_pixels; pixel++)
		for (size_t c = 0; c < b->n_channels; c++) {
			const size_t i = pixel * b->n_channels + c;
			d_input[i] = gamma[c] * b->inverse_deviation[c] * node->gradient[i];
		}
}

/* d_x = gamma / deviation * (d - (d_beta + normalized x * d_gamma) / m). */
static void backward_through_batch(const qmdi_network *network, const qmdi_node *node, float *d_input) {
	const batchnorm *b = node->state;
	const float *gamma = node->layer->parameters[QMDI_GAMMA];
	const float *d_gamma = node->parameter_gradients[QMDI_GAMMA], *d_beta = node->parameter_gradients[QMDI_BETA];
	const size_t n_pixels = network->batch_size * b->n_pixels;
	const float m = (float)n_pixels;
#pragma omp parallel for schedule(static)
	for (size_t pixel = 0; pixel < n_pixels; pixel++) {
		const size_t offset = pixel * b->n_channels;
		const float *x = node->inputs[0]->output + offset, *d = node->gradient + offset;
		for (size_t c = 0; c < b->n_channels; c++) {
			const float normalized = (x[c] - b->mean[c]) * b->inverse_deviation[c];
			d_input[offset + c] =
				gamma[c] * b->inverse_deviation[c] * (d[c] - (d_beta[c] + normalized * d_gamma[c]) / m);
		}
	}
}

static qmd_status backward_input(qmdi_network *network, qmdi_node *node, float *d_input) {
	if (network->pass == QMDI_TRAINING)
		backward_through_batch(network, node, d_input);
	else
		backward_through_running(network, node, d_input);
	return QMD_OK;
}

const qmdi_node_kind qmdi_batchnorm_node = {
	.create = create,
	.destroy = destroy,
	.forward = forward,
	.backward_parameters = backward_parameters,
	.backward_input = backward_input,
};
