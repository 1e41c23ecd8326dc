/* Fake-quant in a network: of weights and biases before a layer uses them, of outputs after a layer has computed. */
#include "fake_quant.h"
#include "network_internal.h"

#define BLOCK 4096 /* elements that a thread takes at a time */

static size_t in_block(size_t n, size_t first) {
	return n - first < BLOCK ? n - first : BLOCK;
}

/* ---- Weights and biases ---- */

static size_t inputs_per_unit(const qmdi_layer *layer) {
	return layer->n_parameters[QMDI_WEIGHT] / layer->definition.units;
}

/* Scales by max-abs follow the weights while these are trained; scales of fewer bits are trained themselves. */
static int scales_follow_weights(const qmdi_network *network) {
	return network->pass == QMDI_TRAINING && network->model->weight_bits > QMDI_LSQ_BITS;
}

static void quantize_weights(const qmdi_network *network, qmdi_node *node) {
	const qmdi_layer *layer = node->layer;
	const size_t n = inputs_per_unit(layer);
	const int32_t high = qmdi_quantized_max(network->model->weight_bits);
	const int follow = scales_follow_weights(network);
#pragma omp parallel for schedule(static)
	for (size_t unit = 0; unit < layer->definition.units; unit++) {
		const float *weights = layer->parameters[QMDI_WEIGHT] + unit * n;
		if (follow)
			qmdi_weight_scales(weights, 1, n, high, &layer->weight_scales[unit]);
		qmdi_fake_quant(weights, n, layer->weight_scales[unit], -high, high, node->quantized_weight + unit * n);
	}
}

/* The bias in steps of the accumulator, where the input has a scale. */
static void quantize_bias(qmdi_node *node) {
	const qmdi_layer *layer = node->layer;
	const float input_scale = node->inputs[0]->layer->activation_scale;
	for (size_t unit = 0; unit < layer->definition.units; unit++) {
		const float bias = layer->parameters[QMDI_BIAS][unit], scale = layer->weight_scales[unit];
		const double step = (double)input_scale * (double)scale;
		node->quantized_bias[unit] =
			input_scale > 0.0f ? (float)(step * (double)qmdi_quantize_bias(bias, input_scale, scale)) : bias;
	}
}

static qmd_status allocate_quantized_parameters(qmdi_node *node) {
	if (!node->quantized_weight)
		node->quantized_weight = qmdi_network_floats(node->layer->n_parameters[QMDI_WEIGHT]);
	if (!node->quantized_bias)
		node->quantized_bias = qmdi_network_floats(node->layer->n_parameters[QMDI_BIAS]);
	return node->quantized_weight && node->quantized_bias ? QMD_OK : QMD_ERROR_MEMORY;
}

static qmd_status check_bits(const qmdi_node *node, const char *what, uint32_t bits) {
	if (bits < 2 || bits > 8)
		return qmdi_fail(QMD_ERROR_STATE, "layer '%s' has a scale of its %s, but the model's bits of %s are %u",
						 node->layer->name, what, what, bits);
	return QMD_OK;
}

qmd_status qmdi_node_quantize_parameters(qmdi_network *network, qmdi_node *node) {
	node->weight = node->layer->parameters[QMDI_WEIGHT];
	node->bias = node->layer->parameters[QMDI_BIAS];
	if (!node->layer->weight_scales)
		return QMD_OK;
	QMDI_TRY(check_bits(node, "weights", network->model->weight_bits));
	QMDI_TRY(allocate_quantized_parameters(node));
	quantize_weights(network, node);
	quantize_bias(node);
	node->weight = node->quantized_weight;
	node->bias = node->quantized_bias;
	return QMD_OK;
}

qmd_status qmdi_node_unquantize_weight_gradient(const qmdi_network *network, qmdi_node *node) {
	const qmdi_layer *layer = node->layer;
	/* With scales by max-abs no weight is beyond the range, and the gradient passes straight through. */
	if (!layer->weight_scales || network->model->weight_bits > QMDI_LSQ_BITS)
		return QMD_OK;
	if (!node->weight_scale_gradients && !(node->weight_scale_gradients = qmdi_network_floats(layer->definition.units)))
		return QMD_ERROR_MEMORY;
	const size_t n = inputs_per_unit(layer);
	const int32_t high = qmdi_quantized_max(network->model->weight_bits);
#pragma omp parallel for schedule(static)
	for (size_t unit = 0; unit < layer->definition.units; unit++) {
		const float *weights = layer->parameters[QMDI_WEIGHT] + unit * n;
		float *d = node->parameter_gradients[QMDI_WEIGHT] + unit * n;
		const float scale = layer->weight_scales[unit];
		node->weight_scale_gradients[unit] = qmdi_fake_quant_scale_gradient(weights, d, n, scale, -high, high, n);
		qmdi_fake_quant_backward(weights, d, n, scale, -high, high, d);
	}
	return QMD_OK;
}

/* ---- Outputs ---- */

static int has_one_consumer(const qmd_model *model, size_t layer, int32_t kind) {
	size_t consumer = 0;
	return qmdi_model_consumers(model, layer, &consumer) == 1 && model->layers[consumer].definition.kind == kind;
}

int qmdi_node_owns_scale(const qmd_model *model, size_t layer) {
	const qmd_layer *definition = &model->layers[layer].definition;
	switch (definition->kind) {
	case QMD_LAYER_CONV2D:
	case QMD_LAYER_DENSE:
	case QMD_LAYER_ADD:
		return !has_one_consumer(model, layer, QMD_LAYER_RELU);
	case QMD_LAYER_RELU: {
		const size_t input = (size_t)definition->inputs[0];
		const int32_t kind = model->layers[input].definition.kind;
		const int is_fused = kind == QMD_LAYER_CONV2D || kind == QMD_LAYER_DENSE || kind == QMD_LAYER_ADD;
		return is_fused && has_one_consumer(model, input, QMD_LAYER_RELU);
	}
	case QMD_LAYER_AVGPOOL:
	case QMD_LAYER_GLOBAL_AVGPOOL:
	case QMD_LAYER_BATCHNORM:
		return 1;
	default:
		return 0;
	}
}

qmd_status qmdi_node_quantize_output(qmdi_network *network, qmdi_node *node) {
	const float scale = node->layer->activation_scale;
	node->is_quantized = node->owns_scale && scale > 0.0f;
	if (!node->is_quantized)
		return QMD_OK;
	const uint32_t bits = network->model->activation_bits;
	QMDI_TRY(check_bits(node, "activations", bits));
	if (network->backward != QMDI_NO_BACKWARD && !node->quantized && !(node->quantized = qmdi_network_floats(node->n)))
		return QMD_ERROR_MEMORY;
	node->low = qmdi_quantized_min(bits, qmdi_model_is_nonnegative(network->model, node->index));
	node->high = qmdi_quantized_max(bits);
	node->output = node->quantized ? node->quantized : node->buffer;
#pragma omp parallel for schedule(static)
	for (size_t first = 0; first < node->n; first += BLOCK)
		qmdi_fake_quant(node->buffer + first, in_block(node->n, first), scale, node->low, node->high,
						node->output + first);
	return QMD_OK;
}

/* By images, and then over them: the sum does not depend on the number of threads. */
static float activation_scale_gradient(const qmdi_network *network, const qmdi_node *node) {
	const size_t n = node->image_size;
#pragma omp parallel for schedule(static)
	for (size_t image = 0; image < network->batch_size; image++)
		network->image_sums[image] =
			qmdi_fake_quant_scale_gradient(node->buffer + image * n, node->gradient + image * n, n,
										   node->layer->activation_scale, node->low, node->high, n);
	double sum = 0.0;
	for (size_t image = 0; image < network->batch_size; image++)
		sum += (double)network->image_sums[image];
	return (float)sum;
}

void qmdi_node_unquantize_gradient(const qmdi_network *network, qmdi_node *node) {
	node->activation_scale_gradient = 0.0f;
	if (!node->is_quantized)
		return;
	if (network->model->activation_bits <= QMDI_LSQ_BITS)
		node->activation_scale_gradient = activation_scale_gradient(network, node);
#pragma omp parallel for schedule(static)
	for (size_t first = 0; first < node->n; first += BLOCK)
		qmdi_fake_quant_backward(node->buffer + first, node->gradient + first, in_block(node->n, first),
								 node->layer->activation_scale, node->low, node->high, node->gradient + first);
}
