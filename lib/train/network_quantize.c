/* Fake-quant in a network: of weights and biases before a layer uses them, of outputs after a layer has computed. */
#include "network_internal.h"

/* ---- Weights and biases ---- */

static size_t inputs_per_unit(const qmdi_layer *layer) {
	return layer->n_parameters[QMDI_WEIGHT] / layer->definition.units;
}

static qmdi_grid weight_grid(const qmdi_network *network, const qmdi_node *node) {
	const int32_t high = qmdi_quantized_max(network->model->weight_bits);
	return (qmdi_grid){.scales = qmdi_replica_weight_scales(network->replica, node->index),
					   .n_groups = 1,
					   .n_units = node->layer->definition.units,
					   .n_per_unit = inputs_per_unit(node->layer),
					   .low = -high,
					   .high = high};
}

/* Scales by max-abs follow the weights while these are trained; scales of fewer bits are trained themselves. */
static int scales_follow_weights(const qmdi_network *network) {
	return network->pass == QMDI_TRAINING && network->model->weight_bits > QMDI_LSQ_BITS;
}

static qmd_status quantize_weights(qmdi_network *network, qmdi_node *node) {
	const float *weight = qmdi_node_parameter(network, node, QMDI_WEIGHT);
	const qmdi_grid grid = weight_grid(network, node);
	if (scales_follow_weights(network))
		QMDI_TRY(QMDI_OP(network, weight_scales, grid.n_units, grid.n_per_unit, grid.high, weight,
						 qmdi_replica_weight_scales(network->replica, node->index)));
	QMDI_TRY(QMDI_OP(network, fake_quant, &grid, weight, node->quantized_weight));
	node->weight = node->quantized_weight;
	return QMD_OK;
}

/* The bias in steps of the accumulator, where the input has a scale. */
static qmd_status quantize_bias(qmdi_network *network, qmdi_node *node) {
	const qmdi_node *input = node->inputs[0];
	if (!(input->layer->activation_scale > 0.0f))
		return QMD_OK;
	QMDI_TRY(QMDI_OP(network, quantize_bias, node->layer->definition.units,
					 qmdi_replica_activation_scale(network->replica, input->index),
					 qmdi_replica_weight_scales(network->replica, node->index), node->bias, node->quantized_bias));
	node->bias = node->quantized_bias;
	return QMD_OK;
}

/* Tensors that only a quantized model needs are made in its first pass. */
static qmd_status make(qmdi_network *network, size_t n, float **tensor) {
	return *tensor ? QMD_OK : QMDI_OP(network, allocate, n, tensor);
}

static qmd_status check_bits(const qmdi_node *node, const char *what, uint32_t bits) {
	if (bits < 2 || bits > 8)
		return qmdi_fail(QMD_ERROR_STATE, "layer '%s' has a scale of its %s, but the model's bits of %s are %u",
						 node->layer->name, what, what, bits);
	return QMD_OK;
}

qmd_status qmdi_node_quantize_parameters(qmdi_network *network, qmdi_node *node) {
	node->weight = qmdi_node_parameter(network, node, QMDI_WEIGHT);
	node->bias = qmdi_node_parameter(network, node, QMDI_BIAS);
	if (!node->layer->weight_scales)
		return QMD_OK;
	QMDI_TRY(check_bits(node, "weights", network->model->weight_bits));
	QMDI_TRY(make(network, node->layer->n_parameters[QMDI_WEIGHT], &node->quantized_weight));
	QMDI_TRY(make(network, node->layer->n_parameters[QMDI_BIAS], &node->quantized_bias));
	QMDI_TRY(quantize_weights(network, node));
	return quantize_bias(network, node);
}

qmd_status qmdi_node_unquantize_weight_gradient(qmdi_network *network, qmdi_node *node) {
	/* With scales by max-abs no weight is beyond the range, and the gradient passes straight through. */
	if (!node->layer->weight_scales || network->model->weight_bits > QMDI_LSQ_BITS)
		return QMD_OK;
	const float *weight = qmdi_node_parameter(network, node, QMDI_WEIGHT);
	float *d = node->parameter_gradients[QMDI_WEIGHT];
	const qmdi_grid grid = weight_grid(network, node);
	QMDI_TRY(make(network, grid.n_units, &node->weight_scale_gradients));
	QMDI_TRY(QMDI_OP(network, scale_gradients, &grid, weight, d, node->weight_scale_gradients));
	return QMDI_OP(network, fake_quant_backward, &grid, weight, d, d);
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

static qmdi_grid output_grid(const qmdi_network *network, const qmdi_node *node) {
	const uint32_t bits = network->model->activation_bits;
	return (qmdi_grid){.scales = qmdi_replica_activation_scale(network->replica, node->index),
					   .n_groups = network->batch_size,
					   .n_units = 1,
					   .n_per_unit = node->image_size,
					   .low = qmdi_quantized_min(bits, qmdi_model_is_nonnegative(network->model, node->index)),
					   .high = qmdi_quantized_max(bits)};
}

qmd_status qmdi_node_quantize_output(qmdi_network *network, qmdi_node *node) {
	node->is_quantized = node->owns_scale && node->layer->activation_scale > 0.0f;
	if (!node->is_quantized)
		return QMD_OK;
	QMDI_TRY(check_bits(node, "activations", network->model->activation_bits));
	if (network->backward != QMDI_NO_BACKWARD)
		QMDI_TRY(make(network, node->n, &node->quantized));
	float *output = node->quantized ? node->quantized : node->buffer;
	node->grid = output_grid(network, node);
	node->output = output;
	return QMDI_OP(network, fake_quant, &node->grid, node->buffer, output);
}

qmd_status qmdi_node_unquantize_gradient(qmdi_network *network, qmdi_node *node) {
	node->has_scale_gradient = node->is_quantized && network->model->activation_bits <= QMDI_LSQ_BITS;
	if (!node->is_quantized)
		return QMD_OK;
	if (node->has_scale_gradient) {
		QMDI_TRY(make(network, 1, &node->scale_gradient));
		QMDI_TRY(QMDI_OP(network, scale_gradients, &node->grid, node->buffer, node->gradient, node->scale_gradient));
	}
	return QMDI_OP(network, fake_quant_backward, &node->grid, node->buffer, node->gradient, node->gradient);
}
