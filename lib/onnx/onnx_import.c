/* Reading a file, and walking its graph. */
#include "onnx_import.h"

#include <string.h>

#include "base/file.h"
#include "base/float_environment.h"
#include "base/memory.h"

#define MIN_OPSET 6 /* the first whose operators take shapes from their inputs */

static const char *text(const char *given) {
	return given ? given : "";
}

/* ---- The input ---- */

/* Its extents; the first, the batch, is 0 where it is not fixed. */
static qmd_status read_extents(qmdi_importer *im, const Onnx__ValueInfoProto *input, int64_t dims[4], size_t *n_dims,
							   int32_t *type) {
	const Onnx__TypeProto *proto = input->type;
	if (!proto || proto->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !proto->tensor_type->shape)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: input '%s' is not a tensor that has a shape", im->name,
						 text(input->name));
	const Onnx__TensorShapeProto *shape = proto->tensor_type->shape;
	*type = proto->tensor_type->has_elem_type ? proto->tensor_type->elem_type : 0;
	*n_dims = shape->n_dim;
	if (*n_dims != 2 && *n_dims != 4)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: input '%s' has %zu extents, expected 4 (images) or 2 (vectors)",
						 im->name, text(input->name), *n_dims);
	for (size_t i = 0; i < *n_dims; i++) {
		const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i];
		dims[i] = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ? dim->dim_value : 0;
		if (i > 0 && dims[i] <= 0)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED,
							 "%s: input '%s': extent %zu is not fixed, only the first (the batch) need not be",
							 im->name, text(input->name), i);
		if (dims[i] > (int64_t)QMDI_MAX_ELEMENTS)
			return qmdi_fail(QMD_ERROR_RANGE, "%s: input '%s': extent %zu is %lld", im->name, text(input->name), i,
							 (long long)dims[i]);
	}
	return QMD_OK;
}

/* The first node that reads the value, other than those that keep its shape; NULL if there is none. */
static const Onnx__NodeProto *first_reader(const qmdi_importer *im, const char *value) {
	static const char *const keep[] = {"Identity", "QuantizeLinear", "DequantizeLinear"};
	for (size_t i = 0; i < im->graph->n_node; i++) {
		const Onnx__NodeProto *node = im->graph->node[i];
		if (node->n_input == 0 || node->n_output == 0 || strcmp(node->input[0], value) != 0)
			continue;
		int keeps = 0;
		for (size_t k = 0; k < sizeof keep / sizeof keep[0]; k++)
			keeps |= strcmp(text(node->op_type), keep[k]) == 0;
		if (!keeps)
			return node;
		value = node->output[0];
	}
	return NULL;
}

/* Which of the four extents are height and width? ONNX computes on [N][c][h][w]; what is [N][h][w][c] is transposed
 * first, or reshaped where c is 1. */
static qmdi_onnx_form form_of_input(const qmdi_importer *im, const char *name, const int64_t dims[4]) {
	const Onnx__NodeProto *node = first_reader(im, name);
	if (!node)
		return QMDI_ONNX_FORM_NCHW;
	const qmdi_onnx_call call = {.node = node};
	int64_t perm[4];
	int found;
	if (strcmp(text(node->op_type), "Transpose") == 0 && qmdi_onnx_get_ints(&call, "perm", 4, perm, &found) == QMD_OK &&
		found)
		return perm[1] == 3 && perm[2] == 1 && perm[3] == 2 ? QMDI_ONNX_FORM_NHWC : QMDI_ONNX_FORM_NCHW;
	if (strcmp(text(node->op_type), "Reshape") == 0 && node->n_input == 2 && dims[3] == 1) {
		const qmdi_onnx_value *shape = qmdi_onnx_value_find(im, node->input[1]);
		if (shape && shape->kind == QMDI_ONNX_CONSTANT && shape->tensor.type == QMDI_ONNX_S64 && shape->tensor.n == 4 &&
			qmdi_onnx_integer(&shape->tensor, 1) == 1 && qmdi_onnx_integer(&shape->tensor, 2) == dims[1])
			return QMDI_ONNX_FORM_NHWC;
	}
	return QMDI_ONNX_FORM_NCHW;
}

/* NULL and the error text unless there is exactly one that is not a constant. */
static const Onnx__ValueInfoProto *find_input(const qmdi_importer *im) {
	const Onnx__ValueInfoProto *input = NULL;
	for (size_t i = 0; i < im->graph->n_input; i++) {
		const char *name = text(im->graph->input[i]->name);
		if (qmdi_onnx_value_find(im, name)->kind == QMDI_ONNX_CONSTANT)
			continue;
		if (input) {
			qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: it has inputs '%s' and '%s', a model has one", im->name,
					  text(input->name), name);
			return NULL;
		}
		input = im->graph->input[i];
	}
	if (!input)
		qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: it has no input", im->name);
	return input;
}

static qmd_status create_model(qmdi_importer *im) {
	const Onnx__ValueInfoProto *input = find_input(im);
	if (!input)
		return QMD_ERROR_UNSUPPORTED;
	qmdi_onnx_value *value = qmdi_onnx_value_find(im, text(input->name));
	int64_t dims[4] = {0};
	size_t n_dims = 0;
	int32_t type = 0;
	QMDI_TRY(read_extents(im, input, dims, &n_dims, &type));
	if (type != QMDI_ONNX_FLOAT && type != QMDI_ONNX_U8 && type != QMDI_ONNX_S8)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: input '%s' is %s, expected float, uint8 or int8", im->name,
						 value->name, qmdi_onnx_type_name(type));
	im->batch = dims[0];
	const uint32_t a = (uint32_t)dims[1], b = n_dims == 4 ? (uint32_t)dims[2] : 1,
				   c = n_dims == 4 ? (uint32_t)dims[3] : 1;
	qmdi_onnx_activation activation = {
		.order = {1, 1, a}, .form = QMDI_ONNX_FORM_FLAT, .is_integer = type != QMDI_ONNX_FLOAT, .type = type};
	qmd_shape shape = {1, 1, a};
	if (n_dims == 4) {
		activation.form = form_of_input(im, value->name, dims);
		shape = activation.form == QMDI_ONNX_FORM_NHWC ? (qmd_shape){a, b, c} : (qmd_shape){b, c, a};
	}
	value->kind = QMDI_ONNX_ACTIVATION;
	value->activation = activation;
	QMDI_TRY(qmd_model_create(shape, &im->model));
	return QMD_OK;
}

/* ---- The nodes ---- */

static qmd_status check_outputs(const qmdi_importer *im, const qmdi_onnx_call *call) {
	for (size_t o = 1; o < call->node->n_output; o++)
		if (call->node->output[o][0] != '\0' && qmdi_onnx_value_find(im, call->node->output[o])->is_live)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its output %zu ('%s') is read, a layer has one output", o,
							 call->node->output[o]);
	return QMD_OK;
}

static qmd_status find_inputs(const qmdi_importer *im, qmdi_onnx_call *call, int *all_constant) {
	*all_constant = 1;
	for (size_t i = 0; i < call->n_inputs; i++) {
		const char *name = call->node->input[i];
		if (name[0] == '\0')
			continue;
		call->inputs[i] = qmdi_onnx_value_find(im, name);
		if (call->inputs[i]->kind == QMDI_ONNX_UNDEFINED)
			return qmdi_fail(QMD_ERROR_FORMAT, "it reads '%s', which no node before it computes", name);
		*all_constant &= call->inputs[i]->kind == QMDI_ONNX_CONSTANT;
	}
	return QMD_OK;
}

static qmd_status compute(qmdi_importer *im, const Onnx__NodeProto *node) {
	const char *domain = text(node->domain);
	const qmdi_onnx_operator *operator= qmdi_onnx_operator_find(text(node->op_type));
	if ((domain[0] != '\0' && strcmp(domain, "ai.onnx") != 0) || !operator)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "no layer of a model does what operator %s%s%s does", domain,
						 domain[0] != '\0' ? "." : "", text(node->op_type));
	qmdi_onnx_call call = {.node = node, .n_inputs = node->n_input};
	if (node->n_input < operator->min_inputs || node->n_input> operator->max_inputs)
		return qmdi_fail(QMD_ERROR_FORMAT, "it has %zu inputs, expected %zu to %zu",
						 node->n_input, operator->min_inputs, operator->max_inputs);
	int all_constant;
	QMDI_TRY(find_inputs(im, &call, &all_constant));
	for (size_t i = 0; i < operator->min_inputs; i++)
		if (!call.inputs[i])
			return qmdi_fail(QMD_ERROR_FORMAT, "its input %zu is left out", i);
	QMDI_TRY(qmdi_onnx_check_attributes(&call, operator));
	QMDI_TRY(check_outputs(im, &call));
	call.output = qmdi_onnx_value_find(im, node->output[0]); /* the one that is needed */
	const qmdi_onnx_compute run = all_constant ? operator->on_constants : operator->on_activations;
	if (!run)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its inputs are %s", all_constant ? "all constants" : "not constants");
	return run(im, &call);
}

static qmd_status compute_nodes(qmdi_importer *im) {
	for (size_t i = 0; i < im->graph->n_node; i++) {
		const Onnx__NodeProto *node = im->graph->node[i];
		if (!qmdi_onnx_is_needed(im, node))
			continue;
		const qmd_status status = compute(im, node);
		if (status != QMD_OK)
			return qmdi_fail_within(status, "%s: node %zu '%s' (%s)", im->name, i, text(node->name),
									text(node->op_type));
	}
	return QMD_OK;
}

/* ---- The outputs ---- */

/* The last layer must be one, and what else is an output must be the logits. */
static qmd_status check_graph_outputs(const qmdi_importer *im) {
	const int32_t last = (int32_t)im->model->n_layers - 1, logits = (int32_t)qmdi_model_logits(im->model);
	int has_last = 0;
	for (size_t i = 0; i < im->graph->n_output; i++) {
		const qmdi_onnx_value *value = qmdi_onnx_value_find(im, text(im->graph->output[i]->name));
		if (value->kind != QMDI_ONNX_ACTIVATION)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: output '%s' does not depend on the input", im->name,
							 value->name);
		const int32_t layer = value->activation.layer;
		if (layer != last && layer != logits)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: output '%s' is layer '%s', but the model goes on to '%s'",
							 im->name, value->name, im->model->layers[layer].name, im->model->layers[last].name);
		if (qmdi_onnx_is_reordered(&value->activation))
			return qmdi_fail(QMD_ERROR_UNSUPPORTED,
							 "%s: output '%s' is a flattened image, whose order is another in a model", im->name,
							 value->name);
		has_last |= layer == last;
	}
	if (!has_last || last == 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: its outputs are not those of a last layer", im->name);
	return QMD_OK;
}

/* ---- The whole ---- */

static int64_t opset_of(const Onnx__ModelProto *message) {
	for (size_t i = 0; i < message->n_opset_import; i++) {
		const char *domain = text(message->opset_import[i]->domain);
		if (domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0)
			return message->opset_import[i]->version;
	}
	return 0;
}

static qmd_status import(qmdi_importer *im, const void *data, size_t size) {
	const Onnx__ModelProto *message;
	QMDI_TRY(qmdi_onnx_unpack(&im->arena, data, size, im->name, &message));
	if (!message->graph || message->graph->n_node == 0 || message->graph->n_output == 0)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: not an ONNX model: it has no graph with nodes and outputs", im->name);
	im->graph = message->graph;
	im->opset = opset_of(message);
	if (im->opset < MIN_OPSET)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: its operators are of version %lld, expected at least %d", im->name,
						 (long long)im->opset, MIN_OPSET);
	if (im->graph->n_sparse_initializer > 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: it has sparse initializers", im->name);
	QMDI_TRY(qmdi_onnx_values_begin(im));
	QMDI_TRY(qmdi_onnx_values_trace(im));
	QMDI_TRY(create_model(im));
	QMDI_TRY(compute_nodes(im));
	QMDI_TRY(check_graph_outputs(im));
	if (!im->is_quantized)
		return QMD_OK;
	const qmd_status status = qmdi_onnx_finish_quantization(im);
	return status == QMD_OK ? QMD_OK : qmdi_fail_within(status, "%s", im->name);
}

void qmd_onnx_import_options_init_sized(qmd_onnx_import_options *options, size_t size) {
	const qmd_onnx_import_options defaults = {.struct_size = sizeof defaults};
	qmdi_struct_fill(options, size, &defaults, sizeof defaults);
}

qmd_status qmdi_onnx_import_bytes(const void *data, size_t size, const char *name,
								  const qmd_onnx_import_options *options, qmd_model **model) {
	qmdi_importer *im = qmdi_zeroed(1, sizeof *im);
	if (!im)
		return QMD_ERROR_MEMORY;
	im->name = name;
	im->arena.limit = qmdi_onnx_memory_limit(size);
	qmd_onnx_import_options_init(&im->options);
	qmd_status status =
		qmdi_options_copy(&im->options, sizeof im->options, sizeof im->options, options, "qmd_onnx_import_options");
	if (status == QMD_OK) {
		qmdi_float_environment host;
		qmdi_float_enter(&host);
		status = import(im, data, size);
		qmdi_float_leave(&host);
	}
	if (status != QMD_OK)
		qmd_model_free(im->model);
	else
		*model = im->model;
	qmdi_arena_release(&im->arena);
	qmdi_release(im);
	return status;
}

static qmd_status read_file(const char *path, unsigned char **data, size_t *size) {
	int descriptor;
	uint64_t file_size;
	QMDI_TRY(qmdi_file_open(path, &descriptor, &file_size));
	qmd_status status = QMD_OK;
	if (file_size > QMDI_ONNX_MAX_SIZE)
		status = qmdi_fail(QMD_ERROR_FORMAT, "%s: %llu bytes, an ONNX file has at most %d", path,
						   (unsigned long long)file_size, QMDI_ONNX_MAX_SIZE);
	*size = (size_t)file_size;
	*data = status == QMD_OK ? qmdi_allocate(*size) : NULL;
	if (status == QMD_OK)
		status = *data ? qmdi_file_read(descriptor, path, 0, *data, *size) : QMD_ERROR_MEMORY;
	qmdi_file_close(descriptor);
	return status;
}

qmd_status qmd_onnx_import(const char *path, const qmd_onnx_import_options *options, qmd_model **model) {
	QMDI_REQUIRE(path);
	QMDI_REQUIRE(model);
	*model = NULL;
	unsigned char *data = NULL;
	size_t size;
	qmd_status status = read_file(path, &data, &size);
	if (status == QMD_OK)
		status = qmdi_onnx_import_bytes(data, size, path, options, model);
	qmdi_release(data);
	return status;
}
