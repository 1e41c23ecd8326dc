/* The kinds of layers: which operations each asks its device for. */
#include "network_internal.h"

float *qmdi_node_parameter(const qmdi_network *network, const qmdi_node *node, size_t parameter) {
	return qmdi_replica_parameter(network->replica, node->index, parameter);
}

/* ---- conv2d, dense: the state is a linear plan ---- */

static qmd_status linear_create(qmdi_network *network, qmdi_node *node) {
	const qmdi_layer *layer = node->layer;
	const qmd_layer *d = &layer->definition;
	const qmdi_linear_shape shape = {.name = layer->name,
									 .is_convolution = d->kind == QMD_LAYER_CONV2D,
									 .batch = network->batch_size,
									 .input = node->inputs[0]->layer->output,
									 .output = layer->output,
									 .kernel_h = d->kernel_h,
									 .kernel_w = d->kernel_w,
									 .stride_h = d->stride_h,
									 .stride_w = d->stride_w,
									 .pad_top = d->pad_top,
									 .pad_left = d->pad_left,
									 .pad_bottom = d->pad_bottom,
									 .pad_right = d->pad_right};
	int gradients = 0;
	if (network->backward == QMDI_BACKWARD_PARAMETERS)
		gradients |= QMDI_GRADIENT_PARAMETERS;
	if (node->inputs[0]->wants_gradient)
		gradients |= QMDI_GRADIENT_INPUT;
	return QMDI_OP(network, linear_create, &shape, gradients, &node->state);
}

static void linear_destroy(qmdi_network *network, qmdi_node *node) {
	QMDI_OP(network, linear_destroy, node->state);
}

static qmd_status linear_forward(qmdi_network *network, qmdi_node *node) {
	QMDI_TRY(qmdi_node_quantize_parameters(network, node));
	node->output = node->buffer;
	return QMDI_OP(network, linear_forward, node->state, node->inputs[0]->output, node->weight, node->bias,
				   node->buffer);
}

static qmd_status linear_backward(qmdi_network *network, qmdi_node *node, float *d_input) {
	if (network->backward == QMDI_BACKWARD_PARAMETERS) {
		QMDI_TRY(QMDI_OP(network, linear_backward_parameters, node->state, node->inputs[0]->output, node->gradient,
						 node->parameter_gradients[QMDI_WEIGHT], node->parameter_gradients[QMDI_BIAS]));
		QMDI_TRY(qmdi_node_unquantize_weight_gradient(network, node));
	}
	if (!d_input)
		return QMD_OK;
	return QMDI_OP(network, linear_backward_input, node->state, node->weight, node->gradient, d_input);
}

static const qmdi_node_kind linear_node = {
	.create = linear_create, .destroy = linear_destroy, .forward = linear_forward, .backward = linear_backward};

/* ---- maxpool, avgpool, global avgpool: the state is a pool plan ---- */

static qmd_status pool_create(qmdi_network *network, qmdi_node *node) {
	const qmdi_layer *layer = node->layer;
	const qmd_layer *d = &layer->definition;
	const int is_global = d->kind == QMD_LAYER_GLOBAL_AVGPOOL;
	const qmdi_pool_shape shape = {.name = layer->name,
								   .is_max = d->kind == QMD_LAYER_MAXPOOL,
								   .batch = network->batch_size,
								   .input = layer->input,
								   .output = layer->output,
								   .kernel_h = is_global ? layer->input.h : d->kernel_h,
								   .kernel_w = is_global ? layer->input.w : d->kernel_w,
								   .stride_h = is_global ? 1 : d->stride_h,
								   .stride_w = is_global ? 1 : d->stride_w};
	return QMDI_OP(network, pool_create, &shape, &node->state);
}

static void pool_destroy(qmdi_network *network, qmdi_node *node) {
	QMDI_OP(network, pool_destroy, node->state);
}

static qmd_status pool_forward(qmdi_network *network, qmdi_node *node) {
	node->output = node->buffer;
	return QMDI_OP(network, pool_forward, node->state, node->inputs[0]->output, node->buffer);
}

static qmd_status pool_backward(qmdi_network *network, qmdi_node *node, float *d_input) {
	if (!d_input)
		return QMD_OK;
	return QMDI_OP(network, pool_backward, node->state, node->inputs[0]->output, node->buffer, node->gradient, d_input);
}

static const qmdi_node_kind pool_node = {
	.create = pool_create, .destroy = pool_destroy, .forward = pool_forward, .backward = pool_backward};

/* ---- batchnorm: the state is a batchnorm plan ---- */

static qmd_status batchnorm_create(qmdi_network *network, qmdi_node *node) {
	const qmd_layer *d = &node->layer->definition;
	const size_t n_channels = node->layer->output.c;
	const qmdi_batchnorm_shape shape = {.name = node->layer->name,
										.batch = network->batch_size,
										.n_pixels = node->image_size / n_channels,
										.n_channels = n_channels,
										.epsilon = d->epsilon,
										.momentum = d->momentum};
	return QMDI_OP(network, batchnorm_create, &shape, &node->state);
}

static void batchnorm_destroy(qmdi_network *network, qmdi_node *node) {
	QMDI_OP(network, batchnorm_destroy, node->state);
}

static qmd_status batchnorm_forward(qmdi_network *network, qmdi_node *node) {
	const float *x = node->inputs[0]->output;
	const float *gamma = qmdi_node_parameter(network, node, QMDI_GAMMA);
	const float *beta = qmdi_node_parameter(network, node, QMDI_BETA);
	float *mean = qmdi_node_parameter(network, node, QMDI_MEAN);
	float *variance = qmdi_node_parameter(network, node, QMDI_VARIANCE);
	node->output = node->buffer;
	return network->pass == QMDI_TRAINING
			   ? QMDI_OP(network, batchnorm_training, node->state, x, gamma, beta, mean, variance, node->buffer)
			   : QMDI_OP(network, batchnorm_inference, node->state, x, gamma, beta, mean, variance, node->buffer);
}

static qmd_status batchnorm_backward(qmdi_network *network, qmdi_node *node, float *d_input) {
	const float *gamma = qmdi_node_parameter(network, node, QMDI_GAMMA);
	if (network->pass == QMDI_TRAINING)
		return QMDI_OP(network, batchnorm_backward, node->state, node->inputs[0]->output, gamma, node->gradient,
					   node->parameter_gradients[QMDI_GAMMA], node->parameter_gradients[QMDI_BETA], d_input);
	return QMDI_OP(network, batchnorm_backward_inference, node->state, gamma,
				   qmdi_node_parameter(network, node, QMDI_VARIANCE), node->gradient, d_input);
}

static const qmdi_node_kind batchnorm_node = {.create = batchnorm_create,
											  .destroy = batchnorm_destroy,
											  .forward = batchnorm_forward,
											  .backward = batchnorm_backward};

/* ---- relu ---- */

static qmd_status relu_forward(qmdi_network *network, qmdi_node *node) {
	node->output = node->buffer;
	return QMDI_OP(network, relu, node->n, node->inputs[0]->output, node->buffer);
}

static qmd_status relu_backward(qmdi_network *network, qmdi_node *node, float *d_input) {
	if (!d_input)
		return QMD_OK;
	return QMDI_OP(network, relu_backward, node->n, node->buffer, node->gradient, d_input);
}

static const qmdi_node_kind relu_node = {.forward = relu_forward, .backward = relu_backward};

/* ---- What passes values on as they are: flatten (NHWC floats of an image are a vector as they lie), add ---- */

static qmd_status pass_on_backward(qmdi_network *network, qmdi_node *node, float *d_input) {
	return d_input ? QMDI_OP(network, copy, node->n, node->gradient, d_input) : QMD_OK;
}

static qmd_status flatten_forward(qmdi_network *network, qmdi_node *node) {
	(void)network;
	node->output = node->inputs[0]->output;
	return QMD_OK;
}

static const qmdi_node_kind flatten_node = {
	.forward = flatten_forward, .backward = pass_on_backward, .has_no_buffer = 1};

static qmd_status add_forward(qmdi_network *network, qmdi_node *node) {
	node->output = node->buffer;
	return QMDI_OP(network, add, node->n, node->inputs[0]->output, node->inputs[1]->output, node->buffer);
}

static const qmdi_node_kind add_node = {.forward = add_forward, .backward = pass_on_backward};

/* ---- dropout: the state is the mask of the last training pass ---- */

/* One stream of random numbers for each step and layer; the top bit keeps them from those of other uses of a seed. */
#define DROPOUT_STREAM (UINT64_C(1) << 63)
#define LAYER_BITS 16
_Static_assert(QMDI_MAX_LAYERS <= 1 << LAYER_BITS, "a layer's number has a place of its own in a stream's");

static qmd_status dropout_create(qmdi_network *network, qmdi_node *node) {
	float *mask = NULL;
	const qmd_status status = QMDI_OP(network, allocate, node->n, &mask);
	node->state = mask;
	return status;
}

static void dropout_destroy(qmdi_network *network, qmdi_node *node) {
	QMDI_OP(network, release, node->state);
}

static qmd_status dropout_forward(qmdi_network *network, qmdi_node *node) {
	node->output = node->inputs[0]->output;
	if (network->pass != QMDI_TRAINING)
		return QMD_OK;
	const uint64_t stream = DROPOUT_STREAM | network->step << LAYER_BITS | node->index;
	QMDI_TRY(QMDI_OP(network, dropout_mask, node->n, network->seed, stream, node->layer->definition.rate, node->state));
	QMDI_TRY(QMDI_OP(network, multiply, node->n, node->output, node->state, node->buffer));
	node->output = node->buffer;
	return QMD_OK;
}

static qmd_status dropout_backward(qmdi_network *network, qmdi_node *node, float *d_input) {
	if (network->pass != QMDI_TRAINING)
		return pass_on_backward(network, node, d_input);
	return d_input ? QMDI_OP(network, multiply, node->n, node->gradient, node->state, d_input) : QMD_OK;
}

static const qmdi_node_kind dropout_node = {
	.create = dropout_create, .destroy = dropout_destroy, .forward = dropout_forward, .backward = dropout_backward};

/* ---- softmax: probabilities. The way back begins at its input, the logits. ---- */

static qmd_status softmax_forward(qmdi_network *network, qmdi_node *node) {
	node->output = node->buffer;
	return QMDI_OP(network, softmax, network->batch_size, node->image_size, node->inputs[0]->output, node->buffer);
}

static const qmdi_node_kind softmax_node = {.forward = softmax_forward};

/* ---- All of them ---- */

static const qmdi_node_kind input_node = {.create = NULL};

const qmdi_node_kind *qmdi_node_kind_of(int32_t kind) {
	switch (kind) {
	case QMD_LAYER_INPUT:
		return &input_node;
	case QMD_LAYER_CONV2D:
	case QMD_LAYER_DENSE:
		return &linear_node;
	case QMD_LAYER_RELU:
		return &relu_node;
	case QMD_LAYER_MAXPOOL:
	case QMD_LAYER_AVGPOOL:
	case QMD_LAYER_GLOBAL_AVGPOOL:
		return &pool_node;
	case QMD_LAYER_BATCHNORM:
		return &batchnorm_node;
	case QMD_LAYER_DROPOUT:
		return &dropout_node;
	case QMD_LAYER_ADD:
		return &add_node;
	case QMD_LAYER_FLATTEN:
		return &flatten_node;
	case QMD_LAYER_SOFTMAX:
		return &softmax_node;
	default:
		return NULL;
	}
}
