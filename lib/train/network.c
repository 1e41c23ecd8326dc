/* Making a network and running its passes; which operations a layer asks for is in network_nodes.c. */
#include "network_internal.h"

#include <math.h>
#include <string.h>

/* ---- Creation ---- */

static int is_trained(const qmdi_layer *layer, size_t parameter) {
	return layer->n_parameters[parameter] > 0 && parameter < 2; /* weight, bias; gamma, beta */
}

/* What a node is, as far as its layer and the nodes before it say. */
static qmd_status define_node(qmdi_network *network, size_t index) {
	qmdi_node *node = &network->nodes[index];
	node->index = index;
	node->layer = &network->model->layers[index];
	node->kind = qmdi_node_kind_of(node->layer->definition.kind);
	if (!node->kind)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "layer '%s': kind %d cannot be computed", node->layer->name,
						 node->layer->definition.kind);
	node->owns_scale = qmdi_node_owns_scale(network->model, index);
	node->wants_gradient = network->backward == QMDI_BACKWARD_INPUT || is_trained(node->layer, 0);
	for (int i = 0; index > 0 && i < 2 && node->layer->definition.inputs[i] >= 0; i++) {
		node->inputs[node->n_inputs] = &network->nodes[node->layer->definition.inputs[i]];
		node->wants_gradient |= node->inputs[node->n_inputs++]->wants_gradient;
	}
	node->wants_gradient &= network->backward != QMDI_NO_BACKWARD;
	const qmd_shape shape = node->layer->output;
	node->image_size = (size_t)shape.h * shape.w * shape.c; /* a model's limits keep this below 2^31 */
	if (node->image_size > QMDI_MAX_ELEMENTS / network->batch_size)
		return qmdi_fail(QMD_ERROR_RANGE, "layer '%s': a batch of %zu images with %zu elements each has more than %u",
						 node->layer->name, network->batch_size, node->image_size, QMDI_MAX_ELEMENTS);
	node->n = network->batch_size * node->image_size;
	return QMD_OK;
}

static qmd_status allocate_node(qmdi_network *network, qmdi_node *node) {
	if (!node->kind->has_no_buffer)
		QMDI_TRY(QMDI_OP(network, allocate, node->n, &node->buffer));
	node->output = node->buffer;
	if (node->wants_gradient)
		QMDI_TRY(QMDI_OP(network, allocate, node->n, &node->gradient));
	if (network->backward != QMDI_BACKWARD_PARAMETERS)
		return QMD_OK;
	for (size_t i = 0; i < QMDI_MAX_PARAMETERS; i++)
		if (is_trained(node->layer, i))
			QMDI_TRY(QMDI_OP(network, allocate, node->layer->n_parameters[i], &node->parameter_gradients[i]));
	return QMD_OK;
}

/* What the host writes and reads at every pass. */
static qmd_status allocate_host_side(qmdi_network *network) {
	QMDI_TRY(QMDI_OP(network, allocate_host, network->logits->n, &network->logit_gradients));
	if (network->ops->is_host) {
		network->images = network->nodes[0].buffer;
		return QMD_OK;
	}
	QMDI_TRY(QMDI_OP(network, allocate_host, network->nodes[0].n, &network->images));
	return QMDI_OP(network, allocate_host, network->logits->n, &network->logit_values);
}

static qmd_status create_nodes(qmdi_network *network) {
	size_t largest = 0;
	for (size_t i = 0; i < network->n_nodes; i++) {
		QMDI_TRY(define_node(network, i));
		QMDI_TRY(allocate_node(network, &network->nodes[i]));
		if (network->nodes[i].wants_gradient && network->nodes[i].n > largest)
			largest = network->nodes[i].n;
	}
	if (largest > 0)
		QMDI_TRY(QMDI_OP(network, allocate, largest, &network->scratch));
	network->logits = &network->nodes[qmdi_model_logits(network->model)];
	network->n_classes = network->logits->image_size;
	QMDI_TRY(allocate_host_side(network));
	for (size_t i = 0; i < network->n_nodes; i++)
		if (network->nodes[i].kind->create)
			QMDI_TRY(network->nodes[i].kind->create(network, &network->nodes[i]));
	return QMD_OK;
}

static qmd_status create_within(qmdi_network *network) {
	network->nodes = qmdi_zeroed(network->n_nodes, sizeof *network->nodes);
	if (!network->nodes)
		return QMD_ERROR_MEMORY;
	QMDI_TRY(network->ops->enter(network->device)); /* the threads that are there then share the work */
	const qmd_status status = create_nodes(network);
	network->ops->leave(network->device);
	return status;
}

/* Bytes of the device for each image: outputs, their gradients, masks, rounded copies; cuDNN's own come on top. */
static size_t bytes_per_image(const qmd_model *model, qmdi_backward backward) {
	size_t n = 0;
	for (size_t l = 0; l < model->n_layers; l++) {
		const qmd_shape shape = model->layers[l].output;
		const size_t copies = (backward == QMDI_NO_BACKWARD ? 1u : 2u) + (model->layers[l].activation_scale > 0.0f) +
							  (model->layers[l].definition.kind == QMD_LAYER_DROPOUT);
		n += copies * shape.h * shape.w * shape.c;
	}
	return n * sizeof(float);
}

/* After QMD_ERROR_MEMORY, when everything has been given back. */
static qmd_status explain_memory(const qmdi_replica *replica, size_t batch_size, qmdi_backward backward) {
	qmdi_tensor_device *device = qmdi_replica_device(replica);
	const size_t per_image = bytes_per_image(qmdi_replica_model(replica), backward);
	size_t available = 0;
	if (device->ops->available(device, &available) != QMD_OK || available == SIZE_MAX || per_image == 0)
		return QMD_ERROR_MEMORY;
	return qmdi_fail_within(
		QMD_ERROR_MEMORY,
		"a batch of %zu images takes about %zu MB on device '%s' beside the weights, %zu MB are left, "
		"enough for at most %zu images",
		batch_size, batch_size * per_image >> 20, device->ops->name, available >> 20, available / per_image);
}

qmd_status qmdi_network_create(qmdi_replica *replica, size_t batch_size, qmdi_backward backward,
							   qmdi_network **network) {
	*network = NULL;
	if (batch_size < 1 || batch_size > QMDI_MAX_ELEMENTS)
		return qmdi_fail(QMD_ERROR_RANGE, "batch size is %zu, expected 1 to %u", batch_size, QMDI_MAX_ELEMENTS);
	qmdi_network *created = qmdi_zeroed(1, sizeof *created);
	if (!created)
		return QMD_ERROR_MEMORY;
	created->replica = qmdi_replica_hold(replica);
	created->model = qmdi_replica_model(replica);
	created->device = qmdi_replica_device(replica);
	created->ops = created->device->ops;
	created->n_nodes = created->model->n_layers;
	created->batch_size = batch_size;
	created->backward = backward;
	const qmd_status status = create_within(created);
	if (status != QMD_OK) {
		qmdi_network_free(created);
		return status == QMD_ERROR_MEMORY ? explain_memory(replica, batch_size, backward) : status;
	}
	*network = created;
	return QMD_OK;
}

qmd_status qmdi_network_open(qmd_model *model, const char *device, size_t n_threads, size_t batch_size,
							 qmdi_backward backward, qmdi_network **network) {
	*network = NULL;
	qmdi_replica *replica;
	QMDI_TRY(qmdi_replica_create(model, device, n_threads, &replica));
	const qmd_status status = qmdi_network_create(replica, batch_size, backward, network);
	qmdi_replica_release(replica);
	return status;
}

static void free_node(qmdi_network *network, qmdi_node *node) {
	if (node->state)
		node->kind->destroy(network, node);
	float *const tensors[] = {node->buffer,           node->gradient,       node->quantized,
							  node->quantized_weight, node->quantized_bias, node->weight_scale_gradients,
							  node->scale_gradient};
	for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
		QMDI_OP(network, release, tensors[i]);
	for (int i = 0; i < QMDI_MAX_PARAMETERS; i++)
		QMDI_OP(network, release, node->parameter_gradients[i]);
}

void qmdi_network_free(qmdi_network *network) {
	if (!network)
		return;
	if (!network->ops->is_host)
		QMDI_OP(network, release_host, network->images);
	for (size_t i = 0; network->nodes && i < network->n_nodes; i++)
		free_node(network, &network->nodes[i]);
	qmdi_release(network->nodes);
	QMDI_OP(network, release, network->scratch);
	QMDI_OP(network, release_host, network->logit_values);
	QMDI_OP(network, release_host, network->logit_gradients);
	QMDI_OP(network, release_host, network->values);
	qmdi_replica_release(network->replica);
	qmdi_release(network);
}

/* ---- Forward ---- */

static qmd_status forward_nodes(qmdi_network *network) {
	if (!network->ops->is_host)
		QMDI_TRY(QMDI_OP(network, upload, network->images, network->nodes[0].n, network->nodes[0].buffer));
	for (size_t i = 1; i < network->n_nodes; i++) {
		qmdi_node *node = &network->nodes[i];
		QMDI_TRY(node->kind->forward(network, node));
		QMDI_TRY(qmdi_node_quantize_output(network, node));
	}
	return QMD_OK;
}

static qmd_status download_logits(qmdi_network *network) {
	return network->ops->is_host
			   ? QMD_OK
			   : QMDI_OP(network, download, network->logits->output, network->logits->n, network->logit_values);
}

qmd_status qmdi_network_forward(qmdi_network *network, qmdi_pass pass, uint64_t seed, uint64_t step) {
	network->pass = pass;
	network->seed = seed;
	network->step = step;
	network->has_run = 0;
	QMDI_TRY(network->ops->enter(network->device));
	qmd_status status = forward_nodes(network);
	if (status == QMD_OK)
		status = download_logits(network);
	network->ops->leave(network->device);
	network->has_run = status == QMD_OK;
	return status;
}

/* ---- Backward ---- */

/* Cross-entropy of one image's logits, and its gradient times `weight`. */
static double cross_entropy(const float *logits, size_t n_classes, uint32_t label, double weight, float *gradient) {
	double largest = (double)logits[0];
	for (size_t c = 1; c < n_classes; c++)
		largest = (double)logits[c] > largest ? (double)logits[c] : largest;
	double sum = 0.0;
	for (size_t c = 0; c < n_classes; c++)
		sum += exp((double)logits[c] - largest);
	for (size_t c = 0; c < n_classes; c++) {
		const double probability = exp((double)logits[c] - largest) / sum;
		gradient[c] = (float)((probability - (c == label)) * weight);
	}
	return log(sum) - ((double)logits[label] - largest);
}

static size_t largest_of(const float *logits, size_t n_classes) {
	size_t largest = 0;
	for (size_t c = 1; c < n_classes; c++)
		if (logits[c] > logits[largest])
			largest = c;
	return largest;
}

/* The loss, and the gradient of the logits by it. */
static void start_from_loss(qmdi_network *network, const uint32_t *labels, size_t n, double *loss, size_t *n_right) {
	const size_t n_classes = network->n_classes;
	const float *values = qmdi_network_logits(network);
	double sum = 0.0;
	size_t right = 0;
	memset(network->logit_gradients, 0, network->logits->n * sizeof *network->logit_gradients);
	for (size_t i = 0; i < n; i++) {
		const float *logits = values + i * n_classes;
		sum += cross_entropy(logits, n_classes, labels[i], 1.0 / (double)n, network->logit_gradients + i * n_classes);
		right += largest_of(logits, n_classes) == labels[i];
	}
	*loss = sum / (double)n;
	*n_right = right;
}

/* An input that several layers read gets the sum of their gradients. */
static qmd_status backward_to(qmdi_network *network, qmdi_node *node, qmdi_node *input) {
	if (!input->is_reached) {
		input->is_reached = 1;
		return node->kind->backward(network, node, input->gradient);
	}
	QMDI_TRY(node->kind->backward(network, node, network->scratch));
	return QMDI_OP(network, add, input->n, input->gradient, network->scratch, input->gradient);
}

static qmd_status backward_node(qmdi_network *network, qmdi_node *node) {
	size_t n_wanting = 0;
	QMDI_TRY(qmdi_node_unquantize_gradient(network, node));
	for (size_t i = 0; i < node->n_inputs; i++)
		if (node->inputs[i]->wants_gradient) {
			n_wanting++;
			QMDI_TRY(backward_to(network, node, node->inputs[i]));
		}
	return n_wanting == 0 ? node->kind->backward(network, node, NULL) : QMD_OK;
}

/* From the logits, whose gradient the host has, back. */
static qmd_status backward_nodes(qmdi_network *network) {
	for (size_t i = 0; i < network->n_nodes; i++)
		network->nodes[i].is_reached = network->nodes[i].has_scale_gradient = 0;
	network->logits->is_reached = 1;
	QMDI_TRY(QMDI_OP(network, upload, network->logit_gradients, network->logits->n, network->logits->gradient));
	for (size_t i = network->logits->index; i > 0; i--)
		if (network->nodes[i].is_reached)
			QMDI_TRY(backward_node(network, &network->nodes[i]));
	return QMD_OK;
}

static qmd_status check_backward(const qmdi_network *network, const uint32_t *labels, size_t n) {
	if (network->backward != QMDI_BACKWARD_PARAMETERS || !network->logits->wants_gradient)
		return qmdi_fail(QMD_ERROR_STATE, "backward pass: the network was made without, or has nothing to train");
	if (!network->has_run || network->pass != QMDI_TRAINING)
		return qmdi_fail(QMD_ERROR_STATE, "backward pass: the last forward pass was none of training");
	if (n < 1 || n > network->batch_size)
		return qmdi_fail(QMD_ERROR_RANGE, "backward pass: %zu images, expected 1 to %zu", n, network->batch_size);
	for (size_t i = 0; i < n; i++)
		if (labels[i] >= network->n_classes)
			return qmdi_fail(QMD_ERROR_RANGE, "backward pass: label %zu is %u, expected less than %zu", i, labels[i],
							 network->n_classes);
	return QMD_OK;
}

qmd_status qmdi_network_backward(qmdi_network *network, const uint32_t *labels, size_t n, double *loss,
								 size_t *n_right) {
	QMDI_TRY(check_backward(network, labels, n));
	QMDI_TRY(network->ops->enter(network->device));
	start_from_loss(network, labels, n, loss, n_right);
	const qmd_status status = backward_nodes(network);
	network->ops->leave(network->device);
	return status;
}

/* A layer's numbers in the host's memory. */
static qmd_status bring(qmdi_network *network, const float *tensor, size_t n, const float **values) {
	*values = tensor;
	if (network->ops->is_host)
		return QMD_OK;
	size_t largest = 0;
	for (size_t i = 0; i < network->n_nodes; i++)
		largest = network->nodes[i].n > largest ? network->nodes[i].n : largest;
	if (!network->values)
		QMDI_TRY(QMDI_OP(network, allocate_host, largest, &network->values));
	*values = network->values;
	return QMDI_OP(network, download, tensor, n, network->values);
}

qmd_status qmdi_network_backward_input(qmdi_network *network, const float *weights, const float **gradient) {
	if (network->backward != QMDI_BACKWARD_INPUT)
		return qmdi_fail(QMD_ERROR_STATE, "backward pass: the network was not made for gradients of its input");
	if (!network->has_run || network->pass != QMDI_INFERENCE)
		return qmdi_fail(QMD_ERROR_STATE, "backward pass: the last forward pass was none of inference");
	memcpy(network->logit_gradients, weights, network->logits->n * sizeof *weights);
	QMDI_TRY(network->ops->enter(network->device));
	const qmd_status status = backward_nodes(network);
	network->ops->leave(network->device);
	QMDI_TRY(status);
	return bring(network, network->nodes[0].gradient, network->nodes[0].n, gradient);
}

/* ---- Asking ---- */

size_t qmdi_network_batch_size(const qmdi_network *network) {
	return network->batch_size;
}

float *qmdi_network_input(qmdi_network *network) {
	return network->images;
}

static qmd_status check_layer(const qmdi_network *network, size_t layer) {
	return layer < network->n_nodes
			   ? QMD_OK
			   : qmdi_fail(QMD_ERROR_RANGE, "layer %zu, but the network has %zu", layer, network->n_nodes);
}

qmd_status qmdi_network_output(qmdi_network *network, size_t layer, const float **values) {
	QMDI_TRY(check_layer(network, layer));
	return bring(network, network->nodes[layer].output, network->nodes[layer].n, values);
}

const float *qmdi_network_logits(qmdi_network *network) {
	return network->ops->is_host ? network->logits->output : network->logit_values;
}

const float *qmdi_network_gradient(const qmdi_network *network, size_t layer, size_t parameter) {
	if (layer >= network->n_nodes || parameter >= QMDI_MAX_PARAMETERS)
		return NULL;
	return network->nodes[layer].parameter_gradients[parameter];
}

qmd_status qmdi_network_scale_gradients(const qmdi_network *network, size_t layer, float *weight, float *activation) {
	QMDI_TRY(check_layer(network, layer));
	const qmdi_node *node = &network->nodes[layer];
	*activation = 0.0f;
	if (node->has_scale_gradient)
		QMDI_TRY(QMDI_OP(network, download, node->scale_gradient, 1, activation));
	if (!weight)
		return QMD_OK;
	const size_t n_units = node->layer->definition.units;
	memset(weight, 0, n_units * sizeof *weight);
	return node->weight_scale_gradients ? QMDI_OP(network, download, node->weight_scale_gradients, n_units, weight)
										: QMD_OK;
}
