/* Layers that compute element by element: relu, dropout, add, flatten; and softmax. */
#include "network_internal.h"

#include <string.h>

#include "base/random.h"
#include "base/softmax.h"

/* The gradient of what passes values on as they are. */
static qmd_status pass_on_backward(qmdi_network *network, qmdi_node *node, float *d_input) {
	(void)network;
	memcpy(d_input, node->gradient, node->n * sizeof *d_input);
	return QMD_OK;
}

/* ---- relu ---- */

/* NaN passes, so that a training that diverges shows in the loss. */
static qmd_status relu_forward(qmdi_network *network, qmdi_node *node) {
	(void)network;
	const float *in = node->inputs[0]->output;
	float *out = node->buffer;
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < node->n; i++)
		out[i] = in[i] < 0.0f ? 0.0f : in[i];
	node->output = out;
	return QMD_OK;
}

static qmd_status relu_backward(qmdi_network *network, qmdi_node *node, float *d_input) {
	(void)network;
	const float *out = node->buffer, *d_out = node->gradient;
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < node->n; i++) {
		const float d = d_out[i]; /* read in any case, so that nothing branches */
		d_input[i] = out[i] > 0.0f ? d : 0.0f;
	}
	return QMD_OK;
}

const qmdi_node_kind qmdi_relu_node = {.forward = relu_forward, .backward_input = relu_backward};

/* ---- dropout ---- */

/* One stream of random numbers for each step and layer; the top bit keeps them from those of other uses of a seed. */
#define DROPOUT_STREAM (UINT64_C(1) << 63)
#define LAYER_BITS 16
_Static_assert(QMDI_MAX_LAYERS <= 1 << LAYER_BITS, "a layer's number has a place of its own in a stream's");

/* The state is the mask of the last training pass: a factor for each element, 0 or 1 / (1 - rate). */
static qmd_status dropout_create(qmdi_network *network, qmdi_node *node) {
	(void)network;
	node->state = qmdi_network_floats(node->n);
	return node->state ? QMD_OK : QMD_ERROR_MEMORY;
}

static void dropout_destroy(qmdi_node *node) {
	qmdi_release_aligned(node->state);
}

/* An element is dropped where the upper 24 bits of its word, as a number in [0, 1), are below the rate. Words come four
 * to a counter. */
static void draw_mask(const qmdi_network *network, const qmdi_node *node) {
	const uint64_t stream = DROPOUT_STREAM | network->step << LAYER_BITS | node->index;
	const float rate = node->layer->definition.rate, factor = 1.0f / (1.0f - rate);
	const size_t n_fours = (node->n + 3) / 4;
	float *mask = node->state;
#pragma omp parallel for schedule(static)
	for (size_t four = 0; four < n_fours; four++) {
		uint32_t words[4];
		qmdi_random4(network->seed, stream, four, words);
		for (size_t i = 0; i < 4 && 4 * four + i < node->n; i++)
			mask[4 * four + i] = (float)(words[i] >> 8) * 0x1p-24f < rate ? 0.0f : factor;
	}
}

/* Forward and backward are the same. */
static void apply_mask(const qmdi_node *node, const float *in, float *out) {
	const float *mask = node->state;
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < node->n; i++)
		out[i] = in[i] * mask[i];
}

static qmd_status dropout_forward(qmdi_network *network, qmdi_node *node) {
	node->output = node->inputs[0]->output;
	if (network->pass == QMDI_TRAINING) {
		draw_mask(network, node);
		apply_mask(node, node->output, node->buffer);
		node->output = node->buffer;
	}
	return QMD_OK;
}

static qmd_status dropout_backward(qmdi_network *network, qmdi_node *node, float *d_input) {
	if (network->pass != QMDI_TRAINING)
		return pass_on_backward(network, node, d_input);
	apply_mask(node, node->gradient, d_input);
	return QMD_OK;
}

const qmdi_node_kind qmdi_dropout_node = {
	.create = dropout_create,
	.destroy = dropout_destroy,
	.forward = dropout_forward,
	.backward_input = dropout_backward,
};

/* ---- add ---- */

static qmd_status add_forward(qmdi_network *network, qmdi_node *node) {
	(void)network;
	const float *a = node->inputs[0]->output, *b = node->inputs[1]->output;
	float *out = node->buffer;
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < node->n; i++)
		out[i] = a[i] + b[i];
	node->output = out;
	return QMD_OK;
}

const qmdi_node_kind qmdi_add_node = {.forward = add_forward, .backward_input = pass_on_backward};

/* ---- flatten: NHWC floats of an image are a vector as they lie ---- */

static qmd_status flatten_forward(qmdi_network *network, qmdi_node *node) {
	(void)network;
	node->output = node->inputs[0]->output;
	return QMD_OK;
}

const qmdi_node_kind qmdi_flatten_node = {
	.forward = flatten_forward,
	.backward_input = pass_on_backward,
	.has_no_buffer = 1,
};

/* ---- softmax: probabilities. The way back begins at its input, the logits. ---- */

static qmd_status softmax_forward(qmdi_network *network, qmdi_node *node) {
	const size_t n = node->image_size;
	for (size_t image = 0; image < network->batch_size; image++)
		qmdi_softmax(node->inputs[0]->output + image * n, n, node->buffer + image * n);
	node->output = node->buffer;
	return QMD_OK;
}

const qmdi_node_kind qmdi_softmax_node = {.forward = softmax_forward};
