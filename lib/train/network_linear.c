/*
 * conv2d and dense, by oneDNN: forward, and the gradients of input, weights and bias. Activations and weights as the
 * model has them are plain (NHWC; [units][kh][kw][c]); for convolutions oneDNN says in which layout it wants the
 * weights, and they are reordered, which costs little: they are small. The weights of a dense layer are large and used
 * once a pass, so they are taken as they are.
 */
#include "network_internal.h"

typedef struct linear {
	dnnl_primitive_desc_t forward_descriptor, backward_data_descriptor, backward_weights_descriptor;
	dnnl_primitive_t forward, backward_data, backward_weights;
	dnnl_memory_t input, output, d_input, d_output, bias, d_bias;
	dnnl_memory_t weight, d_weight;
	/* Where a primitive wants weights in another layout: that memory, and the reorder from or to the plain one. */
	dnnl_memory_t forward_weight, backward_weight, computed_d_weight;
	dnnl_primitive_t to_forward, to_backward, from_gradient;
} linear;

/* Descriptors of a layer's tensors and of the operation. */
typedef struct descriptors {
	dnnl_memory_desc_t input, output, weight, any_weight, bias;
	dnnl_dims_t strides, pad_before, pad_after;
	int is_convolution;
} descriptors;

/* Return from the calling function if a oneDNN call fails, naming the layer. */
#define TRY_DNNL(call) QMDI_TRY(qmdi_network_check(node, call, #call))

static qmd_status describe_convolution(const qmdi_node *node, dnnl_dim_t batch, descriptors *d) {
	const qmdi_layer *layer = node->layer;
	const qmd_layer *definition = &layer->definition;
	const dnnl_dims_t input = {batch, layer->input.c, layer->input.h, layer->input.w};
	const dnnl_dims_t output = {batch, layer->output.c, layer->output.h, layer->output.w};
	const dnnl_dims_t weight = {definition->units, layer->input.c, definition->kernel_h, definition->kernel_w};
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->input, 4, input, dnnl_f32, dnnl_nhwc));
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->output, 4, output, dnnl_f32, dnnl_nhwc));
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->weight, 4, weight, dnnl_f32, dnnl_ohwi));
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->any_weight, 4, weight, dnnl_f32, dnnl_format_tag_any));
	d->strides[0] = definition->stride_h;
	d->strides[1] = definition->stride_w;
	d->pad_before[0] = definition->pad_top;
	d->pad_before[1] = definition->pad_left;
	d->pad_after[0] = definition->pad_bottom;
	d->pad_after[1] = definition->pad_right;
	return QMD_OK;
}

static qmd_status describe_dense(const qmdi_node *node, dnnl_dim_t batch, descriptors *d) {
	const dnnl_dim_t units = node->layer->definition.units, n_inputs = (dnnl_dim_t)node->inputs[0]->image_size;
	const dnnl_dims_t input = {batch, n_inputs}, output = {batch, units}, weight = {units, n_inputs};
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->input, 2, input, dnnl_f32, dnnl_ab));
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->output, 2, output, dnnl_f32, dnnl_ab));
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->weight, 2, weight, dnnl_f32, dnnl_ab));
	d->any_weight = d->weight;
	return QMD_OK;
}

static qmd_status describe(const qmdi_network *network, const qmdi_node *node, descriptors *d) {
	const dnnl_dims_t bias = {node->layer->definition.units};
	d->is_convolution = node->layer->definition.kind == QMD_LAYER_CONV2D;
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->bias, 1, bias, dnnl_f32, dnnl_a));
	return d->is_convolution ? describe_convolution(node, (dnnl_dim_t)network->batch_size, d)
							 : describe_dense(node, (dnnl_dim_t)network->batch_size, d);
}

/* ---- Creation ---- */

static qmd_status create_primitive(qmdi_network *network, qmdi_node *node, const_dnnl_op_desc_t operation,
								   dnnl_primitive_desc_t *descriptor, dnnl_primitive_t *primitive) {
	const linear *l = node->state;
	TRY_DNNL(
		dnnl_primitive_desc_create(descriptor, operation, network->attributes, network->engine, l->forward_descriptor));
	TRY_DNNL(dnnl_primitive_create(primitive, *descriptor));
	return QMD_OK;
}

static qmd_status create_forward(qmdi_network *network, qmdi_node *node, const descriptors *d) {
	linear *l = node->state;
	const dnnl_prop_kind_t pass =
		network->backward != QMDI_NO_BACKWARD ? dnnl_forward_training : dnnl_forward_inference;
	dnnl_convolution_desc_t convolution;
	dnnl_inner_product_desc_t dense;
	if (d->is_convolution)
		TRY_DNNL(dnnl_convolution_forward_desc_init(&convolution, pass, dnnl_convolution_direct, &d->input,
													&d->any_weight, &d->bias, &d->output, d->strides, d->pad_before,
													d->pad_after));
	else
		TRY_DNNL(dnnl_inner_product_forward_desc_init(&dense, pass, &d->input, &d->any_weight, &d->bias, &d->output));
	const_dnnl_op_desc_t operation = d->is_convolution ? (const void *)&convolution : (const void *)&dense;
	return create_primitive(network, node, operation, &l->forward_descriptor, &l->forward);
}

static qmd_status create_backward_data(qmdi_network *network, qmdi_node *node, const descriptors *d) {
	linear *l = node->state;
	dnnl_convolution_desc_t convolution;
	dnnl_inner_product_desc_t dense;
	if (d->is_convolution)
		TRY_DNNL(dnnl_convolution_backward_data_desc_init(&convolution, dnnl_convolution_direct, &d->input,
														  &d->any_weight, &d->output, d->strides, d->pad_before,
														  d->pad_after));
	else
		TRY_DNNL(dnnl_inner_product_backward_data_desc_init(&dense, &d->input, &d->any_weight, &d->output));
	const_dnnl_op_desc_t operation = d->is_convolution ? (const void *)&convolution : (const void *)&dense;
	return create_primitive(network, node, operation, &l->backward_data_descriptor, &l->backward_data);
}

static qmd_status create_backward_weights(qmdi_network *network, qmdi_node *node, const descriptors *d) {
	linear *l = node->state;
	dnnl_convolution_desc_t convolution;
	dnnl_inner_product_desc_t dense;
	if (d->is_convolution)
		TRY_DNNL(dnnl_convolution_backward_weights_desc_init(&convolution, dnnl_convolution_direct, &d->input,
															 &d->any_weight, &d->bias, &d->output, d->strides,
															 d->pad_before, d->pad_after));
	else
		TRY_DNNL(
			dnnl_inner_product_backward_weights_desc_init(&dense, &d->input, &d->any_weight, &d->bias, &d->output));
	const_dnnl_op_desc_t operation = d->is_convolution ? (const void *)&convolution : (const void *)&dense;
	return create_primitive(network, node, operation, &l->backward_weights_descriptor, &l->backward_weights);
}

/* A memory object over floats that each pass hands in. */
static qmd_status create_view(qmdi_network *network, qmdi_node *node, const dnnl_memory_desc_t *descriptor,
							  dnnl_memory_t *memory) {
	TRY_DNNL(dnnl_memory_create(memory, descriptor, network->engine, DNNL_MEMORY_NONE));
	return QMD_OK;
}

static qmd_status create_reorder(qmdi_network *network, qmdi_node *node, const dnnl_memory_desc_t *from,
								 const dnnl_memory_desc_t *to, dnnl_primitive_t *reorder) {
	dnnl_primitive_desc_t descriptor;
	TRY_DNNL(dnnl_reorder_primitive_desc_create(&descriptor, from, network->engine, to, network->engine, NULL));
	const dnnl_status_t status = dnnl_primitive_create(reorder, descriptor);
	dnnl_primitive_desc_destroy(descriptor);
	return qmdi_network_check(node, status, "dnnl_primitive_create");
}

/* Memory for weights as a primitive wants them, and the reorder from or to plain ones; NULLs where they are plain. */
static qmd_status create_weights(qmdi_network *network, qmdi_node *node, const dnnl_memory_desc_t *plain,
								 const dnnl_memory_desc_t *wanted, int from_plain, dnnl_memory_t *memory,
								 dnnl_primitive_t *reorder) {
	if (dnnl_memory_desc_equal(plain, wanted))
		return QMD_OK;
	TRY_DNNL(dnnl_memory_create(memory, wanted, network->engine, DNNL_MEMORY_ALLOCATE));
	return from_plain ? create_reorder(network, node, plain, wanted, reorder)
					  : create_reorder(network, node, wanted, plain, reorder);
}

static qmd_status create_for_parameters(qmdi_network *network, qmdi_node *node, const descriptors *d) {
	linear *l = node->state;
	QMDI_TRY(create_view(network, node, &d->weight, &l->d_weight));
	QMDI_TRY(create_view(network, node, &d->bias, &l->d_bias));
	QMDI_TRY(create_backward_weights(network, node, d));
	const dnnl_memory_desc_t *wanted =
		dnnl_primitive_desc_query_md(l->backward_weights_descriptor, dnnl_query_diff_weights_md, 0);
	return create_weights(network, node, &d->weight, wanted, 0, &l->computed_d_weight, &l->from_gradient);
}

static qmd_status create_for_input(qmdi_network *network, qmdi_node *node, const descriptors *d) {
	linear *l = node->state;
	QMDI_TRY(create_view(network, node, &d->input, &l->d_input));
	QMDI_TRY(create_backward_data(network, node, d));
	const dnnl_memory_desc_t *wanted =
		dnnl_primitive_desc_query_md(l->backward_data_descriptor, dnnl_query_weights_md, 0);
	return create_weights(network, node, &d->weight, wanted, 1, &l->backward_weight, &l->to_backward);
}

static qmd_status create_for_backward(qmdi_network *network, qmdi_node *node, const descriptors *d) {
	linear *l = node->state;
	QMDI_TRY(create_view(network, node, &d->output, &l->d_output));
	if (network->backward == QMDI_BACKWARD_PARAMETERS)
		QMDI_TRY(create_for_parameters(network, node, d));
	return node->inputs[0]->wants_gradient ? create_for_input(network, node, d) : QMD_OK;
}

static qmd_status create(qmdi_network *network, qmdi_node *node) {
	linear *l = node->state = qmdi_zeroed(1, sizeof *l);
	if (!l)
		return QMD_ERROR_MEMORY;
	descriptors d = {.is_convolution = 0};
	QMDI_TRY(describe(network, node, &d));
	QMDI_TRY(create_view(network, node, &d.input, &l->input));
	QMDI_TRY(create_view(network, node, &d.output, &l->output));
	QMDI_TRY(create_view(network, node, &d.weight, &l->weight));
	QMDI_TRY(create_view(network, node, &d.bias, &l->bias));
	QMDI_TRY(create_forward(network, node, &d));
	const dnnl_memory_desc_t *wanted = dnnl_primitive_desc_query_md(l->forward_descriptor, dnnl_query_weights_md, 0);
	QMDI_TRY(create_weights(network, node, &d.weight, wanted, 1, &l->forward_weight, &l->to_forward));
	return network->backward != QMDI_NO_BACKWARD ? create_for_backward(network, node, &d) : QMD_OK;
}

static void destroy_memory(dnnl_memory_t memory) {
	if (memory)
		dnnl_memory_destroy(memory);
}

static void destroy_primitive(dnnl_primitive_t primitive, dnnl_primitive_desc_t descriptor) {
	if (primitive)
		dnnl_primitive_destroy(primitive);
	if (descriptor)
		dnnl_primitive_desc_destroy(descriptor);
}

static void destroy(qmdi_node *node) {
	linear *l = node->state;
	destroy_primitive(l->backward_data, l->backward_data_descriptor);
	destroy_primitive(l->backward_weights, l->backward_weights_descriptor);
	destroy_primitive(l->forward, l->forward_descriptor);
	destroy_primitive(l->to_forward, NULL);
	destroy_primitive(l->to_backward, NULL);
	destroy_primitive(l->from_gradient, NULL);
	destroy_memory(l->input);
	destroy_memory(l->output);
	destroy_memory(l->weight);
	destroy_memory(l->bias);
	destroy_memory(l->d_input);
	destroy_memory(l->d_output);
	destroy_memory(l->d_weight);
	destroy_memory(l->d_bias);
	destroy_memory(l->forward_weight);
	destroy_memory(l->backward_weight);
	destroy_memory(l->computed_d_weight);
	qmdi_release(l);
}

/* ---- Passes ---- */

static qmd_status execute(qmdi_network *network, qmdi_node *node, dnnl_primitive_t primitive, int n,
						  const dnnl_exec_arg_t *arguments) {
	TRY_DNNL(dnnl_primitive_execute(primitive, network->stream, n, arguments));
	TRY_DNNL(dnnl_stream_wait(network->stream));
	return QMD_OK;
}

static qmd_status reorder(qmdi_network *network, qmdi_node *node, dnnl_primitive_t primitive, dnnl_memory_t from,
						  dnnl_memory_t to) {
	const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
	return execute(network, node, primitive, 2, arguments);
}

/* oneDNN's handles are not const; what is handed in as `memory` of an input is only read. */
static qmd_status point(const qmdi_node *node, dnnl_memory_t memory, const float *values) {
	TRY_DNNL(dnnl_memory_set_data_handle(memory, (float *)values));
	return QMD_OK;
}

static qmd_status forward(qmdi_network *network, qmdi_node *node) {
	linear *l = node->state;
	QMDI_TRY(qmdi_node_quantize_parameters(network, node));
	QMDI_TRY(point(node, l->input, node->inputs[0]->output));
	QMDI_TRY(point(node, l->weight, node->weight));
	QMDI_TRY(point(node, l->bias, node->bias));
	QMDI_TRY(point(node, l->output, node->buffer));
	if (l->to_forward)
		QMDI_TRY(reorder(network, node, l->to_forward, l->weight, l->forward_weight));
	node->output = node->buffer;
	const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, l->input},
										 {DNNL_ARG_WEIGHTS, l->to_forward ? l->forward_weight : l->weight},
										 {DNNL_ARG_BIAS, l->bias},
										 {DNNL_ARG_DST, l->output}};
	return execute(network, node, l->forward, 4, arguments);
}

static qmd_status backward_parameters(qmdi_network *network, qmdi_node *node) {
	linear *l = node->state;
	QMDI_TRY(point(node, l->d_output, node->gradient));
	QMDI_TRY(point(node, l->d_weight, node->parameter_gradients[QMDI_WEIGHT]));
	QMDI_TRY(point(node, l->d_bias, node->parameter_gradients[QMDI_BIAS]));
	const dnnl_memory_t computed = l->from_gradient ? l->computed_d_weight : l->d_weight;
	const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, l->input},
										 {DNNL_ARG_DIFF_DST, l->d_output},
										 {DNNL_ARG_DIFF_WEIGHTS, computed},
										 {DNNL_ARG_DIFF_BIAS, l->d_bias}};
	QMDI_TRY(execute(network, node, l->backward_weights, 4, arguments));
	if (l->from_gradient)
		QMDI_TRY(reorder(network, node, l->from_gradient, computed, l->d_weight));
	return qmdi_node_unquantize_weight_gradient(network, node);
}

/* After forward(), which has pointed the weights. */
static qmd_status backward_input(qmdi_network *network, qmdi_node *node, float *d_input) {
	linear *l = node->state;
	QMDI_TRY(point(node, l->d_output, node->gradient));
	QMDI_TRY(point(node, l->d_input, d_input));
	if (l->to_backward)
		QMDI_TRY(reorder(network, node, l->to_backward, l->weight, l->backward_weight));
	const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_DIFF_DST, l->d_output},
										 {DNNL_ARG_WEIGHTS, l->to_backward ? l->backward_weight : l->weight},
										 {DNNL_ARG_DIFF_SRC, l->d_input}};
	return execute(network, node, l->backward_data, 3, arguments);
}

const qmdi_node_kind qmdi_linear_node = {
	.create = create,
	.destroy = destroy,
	.forward = forward,
	.backward_parameters = backward_parameters,
	.backward_input = backward_input,
};
