/* Making a network and running its passes; what the layers do is in network_<kind>.c. */
#include "network_internal.h"

#include <limits.h>
#include <math.h>
#include <omp.h>
#include <string.h>
#include <unistd.h>

float *qmdi_network_floats(size_t n) {
	float *values = qmdi_aligned(n, sizeof *values);
	if (values)
		memset(values, 0, n * sizeof *values);
	return values;
}

qmd_status qmdi_network_check(const qmdi_node *node, dnnl_status_t status, const char *call) {
	if (status == dnnl_success)
		return QMD_OK;
	const qmd_status found = status == dnnl_out_of_memory   ? QMD_ERROR_MEMORY
							 : status == dnnl_unimplemented ? QMD_ERROR_UNSUPPORTED
															: QMD_ERROR_INTERNAL;
	return qmdi_fail(found, "layer '%s': oneDNN's %s returned %d", node->layer->name, call, (int)status);
}

/* ---- The caller's threads and floating-point environment ---- */

/* A forked process has none of the threads that GNU OpenMP waits for. */
static qmd_status check_process(const qmdi_network *network) {
	static _Thread_local pid_t process; /* where this thread first had others beside it; 0: nowhere */
	if (network->n_threads == 1)
		return QMD_OK;
	if (process == 0)
		process = getpid();
	return process == getpid()
			   ? QMD_OK
			   : qmdi_fail(QMD_ERROR_STATE,
						   "%zu threads in a process that was forked after OpenMP had started its own, which would "
						   "wait for ever: set n_threads to 1, or fork before",
						   network->n_threads);
}

static qmd_status enter(qmdi_network *network) {
	QMDI_TRY(check_process(network));
	qmdi_float_enter(&network->environments[0]);
	network->caller_threads = omp_get_max_threads();
	omp_set_num_threads((int)network->n_threads);
	/* Threads that a host started may run in another environment. */
#pragma omp parallel
	{
		const int thread = omp_get_thread_num();
		if (thread > 0 && (size_t)thread < network->n_threads)
			qmdi_float_enter(&network->environments[thread]);
	}
	return QMD_OK;
}

static void leave(qmdi_network *network) {
#pragma omp parallel
	{
		const int thread = omp_get_thread_num();
		if (thread > 0 && (size_t)thread < network->n_threads)
			qmdi_float_leave(&network->environments[thread]);
	}
	omp_set_num_threads(network->caller_threads);
	qmdi_float_leave(&network->environments[0]);
}

/* ---- Creation ---- */

static const qmdi_node_kind input_node = {.create = NULL};

static const qmdi_node_kind *kind_of(int32_t kind) {
	switch (kind) {
	case QMD_LAYER_INPUT:
		return &input_node;
	case QMD_LAYER_CONV2D:
	case QMD_LAYER_DENSE:
		return &qmdi_linear_node;
	case QMD_LAYER_RELU:
		return &qmdi_relu_node;
	case QMD_LAYER_MAXPOOL:
	case QMD_LAYER_AVGPOOL:
	case QMD_LAYER_GLOBAL_AVGPOOL:
		return &qmdi_pool_node;
	case QMD_LAYER_BATCHNORM:
		return &qmdi_batchnorm_node;
	case QMD_LAYER_DROPOUT:
		return &qmdi_dropout_node;
	case QMD_LAYER_ADD:
		return &qmdi_add_node;
	case QMD_LAYER_FLATTEN:
		return &qmdi_flatten_node;
	case QMD_LAYER_SOFTMAX:
		return &qmdi_softmax_node;
	default:
		return NULL;
	}
}

static int is_trained(const qmdi_layer *layer, size_t parameter) {
	return layer->n_parameters[parameter] > 0 && parameter < 2; /* weight, bias; gamma, beta */
}

/* What a node is, as far as its layer and the nodes before it say. */
static qmd_status define_node(qmdi_network *network, size_t index) {
	qmdi_node *node = &network->nodes[index];
	node->index = index;
	node->layer = &network->model->layers[index];
	node->kind = kind_of(node->layer->definition.kind);
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
	if (!node->kind->has_no_buffer && !(node->buffer = qmdi_network_floats(node->n)))
		return QMD_ERROR_MEMORY;
	node->output = node->buffer;
	if (node->wants_gradient && !(node->gradient = qmdi_network_floats(node->n)))
		return QMD_ERROR_MEMORY;
	if (network->backward != QMDI_BACKWARD_PARAMETERS)
		return QMD_OK;
	for (size_t i = 0; i < QMDI_MAX_PARAMETERS; i++)
		if (is_trained(node->layer, i) &&
			!(node->parameter_gradients[i] = qmdi_network_floats(node->layer->n_parameters[i])))
			return QMD_ERROR_MEMORY;
	return QMD_OK;
}

static qmd_status create_oneDNN(qmdi_network *network) {
	const qmdi_node *input = &network->nodes[0];
	QMDI_TRY(qmdi_network_check(input, dnnl_engine_create(&network->engine, dnnl_cpu, 0), "dnnl_engine_create"));
	QMDI_TRY(qmdi_network_check(input, dnnl_stream_create(&network->stream, network->engine, dnnl_stream_default_flags),
								"dnnl_stream_create"));
	QMDI_TRY(qmdi_network_check(input, dnnl_primitive_attr_create(&network->attributes), "dnnl_primitive_attr_create"));
	/* An environment variable could ask for bfloat16 instead. */
	return qmdi_network_check(input, dnnl_primitive_attr_set_fpmath_mode(network->attributes, dnnl_fpmath_mode_strict),
							  "dnnl_primitive_attr_set_fpmath_mode");
}

static qmd_status create_nodes(qmdi_network *network) {
	size_t largest = 0;
	for (size_t i = 0; i < network->n_nodes; i++) {
		QMDI_TRY(define_node(network, i));
		QMDI_TRY(allocate_node(network, &network->nodes[i]));
		if (network->nodes[i].wants_gradient && network->nodes[i].n > largest)
			largest = network->nodes[i].n;
	}
	if (largest > 0 && (!(network->scratch = qmdi_network_floats(largest)) ||
						!(network->image_sums = qmdi_network_floats(network->batch_size))))
		return QMD_ERROR_MEMORY;
	network->logits = &network->nodes[qmdi_model_logits(network->model)];
	network->n_classes = network->logits->image_size;
	QMDI_TRY(create_oneDNN(network));
	for (size_t i = 0; i < network->n_nodes; i++)
		if (network->nodes[i].kind->create)
			QMDI_TRY(network->nodes[i].kind->create(network, &network->nodes[i]));
	return QMD_OK;
}

static qmd_status create_within(qmdi_network *network) {
	network->environments = qmdi_array(network->n_threads, sizeof *network->environments);
	if (!network->environments)
		return QMD_ERROR_MEMORY;
	QMDI_TRY(enter(network)); /* oneDNN divides the work when a primitive is made */
	const qmd_status status = create_nodes(network);
	leave(network);
	return status;
}

qmd_status qmdi_network_create(qmd_model *model, size_t batch_size, size_t n_threads, qmdi_backward backward,
							   qmdi_network **network) {
	*network = NULL;
	if (batch_size < 1 || batch_size > QMDI_MAX_ELEMENTS)
		return qmdi_fail(QMD_ERROR_RANGE, "batch size is %zu, expected 1 to %u", batch_size, QMDI_MAX_ELEMENTS);
	if (n_threads < 1 || n_threads > QMDI_NETWORK_MAX_THREADS)
		return qmdi_fail(QMD_ERROR_RANGE, "number of threads is %zu, expected 1 to %d", n_threads,
						 QMDI_NETWORK_MAX_THREADS);
	qmdi_network *created = qmdi_zeroed(1, sizeof *created);
	if (!created)
		return QMD_ERROR_MEMORY;
	created->model = model;
	created->n_nodes = model->n_layers;
	created->batch_size = batch_size;
	created->n_threads = n_threads;
	created->backward = backward;
	created->nodes = qmdi_zeroed(model->n_layers, sizeof *created->nodes);
	const qmd_status status = created->nodes ? create_within(created) : QMD_ERROR_MEMORY;
	if (status != QMD_OK) {
		qmdi_network_free(created);
		return status;
	}
	*network = created;
	return QMD_OK;
}

static void free_node(qmdi_node *node) {
	if (node->state)
		node->kind->destroy(node);
	qmdi_release_aligned(node->buffer);
	qmdi_release_aligned(node->gradient);
	qmdi_release_aligned(node->quantized);
	qmdi_release_aligned(node->quantized_weight);
	qmdi_release_aligned(node->quantized_bias);
	qmdi_release_aligned(node->weight_scale_gradients);
	for (int i = 0; i < QMDI_MAX_PARAMETERS; i++)
		qmdi_release_aligned(node->parameter_gradients[i]);
}

void qmdi_network_free(qmdi_network *network) {
	if (!network)
		return;
	for (size_t i = 0; network->nodes && i < network->n_nodes; i++)
		free_node(&network->nodes[i]);
	qmdi_release(network->nodes);
	qmdi_release_aligned(network->scratch);
	qmdi_release_aligned(network->image_sums);
	qmdi_release(network->environments);
	if (network->attributes)
		dnnl_primitive_attr_destroy(network->attributes);
	if (network->stream)
		dnnl_stream_destroy(network->stream);
	if (network->engine)
		dnnl_engine_destroy(network->engine);
	qmdi_release(network);
}

/* ---- Forward ---- */

static qmd_status forward_nodes(qmdi_network *network) {
	for (size_t i = 1; i < network->n_nodes; i++) {
		qmdi_node *node = &network->nodes[i];
		QMDI_TRY(node->kind->forward(network, node));
		QMDI_TRY(qmdi_node_quantize_output(network, node));
	}
	return QMD_OK;
}

qmd_status qmdi_network_forward(qmdi_network *network, qmdi_pass pass, uint64_t seed, uint64_t step) {
	network->pass = pass;
	network->seed = seed;
	network->step = step;
	network->has_run = 0;
	QMDI_TRY(enter(network));
	const qmd_status status = forward_nodes(network);
	leave(network);
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

/* The loss and the gradient of the logits. */
static void start_from_loss(qmdi_network *network, const uint32_t *labels, size_t n, double *loss, size_t *n_right) {
	qmdi_node *node = network->logits;
	const size_t n_classes = network->n_classes;
	double sum = 0.0;
	size_t right = 0;
	memset(node->gradient, 0, node->n * sizeof *node->gradient);
	for (size_t i = 0; i < n; i++) {
		const float *logits = node->output + i * n_classes;
		sum += cross_entropy(logits, n_classes, labels[i], 1.0 / (double)n, node->gradient + i * n_classes);
		right += largest_of(logits, n_classes) == labels[i];
	}
	*loss = sum / (double)n;
	*n_right = right;
}

static void add_to(const float *source, size_t n, float *sum) {
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n; i++)
		sum[i] += source[i];
}

/* An input that several layers read gets the sum of their gradients. */
static qmd_status backward_input(qmdi_network *network, qmdi_node *node, qmdi_node *input) {
	if (!input->is_reached) {
		input->is_reached = 1;
		return node->kind->backward_input(network, node, input->gradient);
	}
	QMDI_TRY(node->kind->backward_input(network, node, network->scratch));
	add_to(network->scratch, input->n, input->gradient);
	return QMD_OK;
}

/* The way back begins at the logits, whose gradient is there. */
static qmd_status backward_nodes(qmdi_network *network) {
	for (size_t i = 0; i < network->n_nodes; i++)
		network->nodes[i].is_reached = 0;
	network->logits->is_reached = 1;
	for (size_t i = network->logits->index; i > 0; i--) {
		qmdi_node *node = &network->nodes[i];
		if (!node->is_reached)
			continue;
		qmdi_node_unquantize_gradient(network, node);
		if (network->backward == QMDI_BACKWARD_PARAMETERS && node->kind->backward_parameters)
			QMDI_TRY(node->kind->backward_parameters(network, node));
		for (size_t j = 0; j < node->n_inputs; j++)
			if (node->inputs[j]->wants_gradient)
				QMDI_TRY(backward_input(network, node, node->inputs[j]));
	}
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
	QMDI_TRY(enter(network));
	start_from_loss(network, labels, n, loss, n_right);
	const qmd_status status = backward_nodes(network);
	leave(network);
	return status;
}

qmd_status qmdi_network_backward_input(qmdi_network *network, const float *weights, const float **gradient) {
	if (network->backward != QMDI_BACKWARD_INPUT)
		return qmdi_fail(QMD_ERROR_STATE, "backward pass: the network was not made for gradients of its input");
	if (!network->has_run || network->pass != QMDI_INFERENCE)
		return qmdi_fail(QMD_ERROR_STATE, "backward pass: the last forward pass was none of inference");
	QMDI_TRY(enter(network));
	memcpy(network->logits->gradient, weights, network->logits->n * sizeof *weights);
	const qmd_status status = backward_nodes(network);
	leave(network);
	*gradient = network->nodes[0].gradient;
	return status;
}

/* ---- Asking ---- */

size_t qmdi_network_batch_size(const qmdi_network *network) {
	return network->batch_size;
}

float *qmdi_network_input(qmdi_network *network) {
	return network->nodes[0].buffer;
}

const float *qmdi_network_output(qmdi_network *network, size_t layer) {
	return layer < network->n_nodes ? network->nodes[layer].output : NULL;
}

const float *qmdi_network_logits(qmdi_network *network) {
	return network->logits->output;
}

const float *qmdi_network_gradient(const qmdi_network *network, size_t layer, size_t parameter) {
	if (layer >= network->n_nodes || parameter >= QMDI_MAX_PARAMETERS)
		return NULL;
	return network->nodes[layer].parameter_gradients[parameter];
}

void qmdi_network_scale_gradients(const qmdi_network *network, size_t layer, const float **weight, float *activation) {
	const qmdi_node *node = layer < network->n_nodes ? &network->nodes[layer] : NULL;
	*weight = node ? node->weight_scale_gradients : NULL;
	*activation = node ? node->activation_scale_gradient : 0.0f;
}
