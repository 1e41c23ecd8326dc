/* Values by name: a hash table that holds every name of the graph before the first node is computed. */
#include "onnx_import.h"

#include <string.h>

#include "base/hash.h"

static qmdi_onnx_value *place_of(const qmdi_importer *im, const char *name) {
	const uint64_t hash = qmdi_hash(QMDI_HASH_START, name, strlen(name));
	size_t i = (size_t)hash & (im->value_capacity - 1);
	while (im->values[i].name && strcmp(im->values[i].name, name) != 0)
		i = (i + 1) & (im->value_capacity - 1);
	return &im->values[i];
}

qmdi_onnx_value *qmdi_onnx_value_find(const qmdi_importer *im, const char *name) {
	qmdi_onnx_value *value = place_of(im, name);
	return value->name ? value : NULL;
}

/* Each value has one source: NULL and the error text for a second. */
static qmdi_onnx_value *add_name(qmdi_importer *im, const char *name) {
	qmdi_onnx_value *value = place_of(im, name);
	if (value->name) {
		qmdi_fail(QMD_ERROR_FORMAT, "%s: value '%s' is computed twice", im->name, name);
		return NULL;
	}
	value->name = name;
	return value;
}

/* protobuf-c leaves a text that the file does not have NULL, or points it to "". */
static const char *text(const char *given) {
	return given ? given : "";
}

static qmd_status add_initializers(qmdi_importer *im) {
	for (size_t i = 0; i < im->graph->n_initializer; i++) {
		const Onnx__TensorProto *message = im->graph->initializer[i];
		qmdi_onnx_value *value = add_name(im, text(message->name));
		if (!value)
			return QMD_ERROR_FORMAT;
		const qmd_status status = qmdi_onnx_tensor_read(&im->arena, message, &value->tensor);
		if (status != QMD_OK)
			return qmdi_fail_within(status, "%s: initializer '%s'", im->name, text(message->name));
		value->kind = QMDI_ONNX_CONSTANT;
	}
	return QMD_OK;
}

/* Old files list initializers among the inputs. */
static void add_inputs(qmdi_importer *im) {
	for (size_t i = 0; i < im->graph->n_input; i++)
		if (!qmdi_onnx_value_find(im, text(im->graph->input[i]->name)))
			add_name(im, text(im->graph->input[i]->name));
}

static qmd_status add_outputs_of_nodes(qmdi_importer *im) {
	for (size_t i = 0; i < im->graph->n_node; i++) {
		const Onnx__NodeProto *node = im->graph->node[i];
		for (size_t o = 0; o < node->n_output; o++)
			if (node->output[o][0] != '\0' && !add_name(im, node->output[o]))
				return QMD_ERROR_FORMAT;
	}
	return QMD_OK;
}

static qmd_status count_names(const qmdi_importer *im, size_t *n) {
	*n = im->graph->n_initializer + im->graph->n_input;
	for (size_t i = 0; i < im->graph->n_node; i++)
		*n += im->graph->node[i]->n_output;
	if (*n > QMDI_ONNX_MAX_VALUES)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: %zu values, at most %d are read", im->name, *n,
						 QMDI_ONNX_MAX_VALUES);
	return QMD_OK;
}

qmd_status qmdi_onnx_values_begin(qmdi_importer *im) {
	size_t n;
	QMDI_TRY(count_names(im, &n));
	im->value_capacity = 16;
	while (im->value_capacity < 2 * n)
		im->value_capacity *= 2;
	im->values = qmdi_arena_take(&im->arena, im->value_capacity, sizeof *im->values);
	if (!im->values)
		return QMD_ERROR_MEMORY;
	QMDI_TRY(add_initializers(im));
	add_inputs(im);
	return add_outputs_of_nodes(im);
}

static qmd_status trace(qmdi_importer *im, const char *name, const char *reader) {
	qmdi_onnx_value *value = qmdi_onnx_value_find(im, name);
	if (!value)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: %s reads value '%s', which nothing computes", im->name, reader, name);
	value->is_live = 1;
	value->n_readers++;
	return QMD_OK;
}

int qmdi_onnx_is_needed(const qmdi_importer *im, const Onnx__NodeProto *node) {
	for (size_t o = 0; o < node->n_output; o++)
		if (node->output[o][0] != '\0' && qmdi_onnx_value_find(im, node->output[o])->is_live)
			return 1;
	return 0;
}

static void mark_varying(qmdi_importer *im, const Onnx__NodeProto *node) {
	int varies[2] = {0, 0}; /* any input; the first */
	for (size_t k = 0; k < node->n_input; k++) {
		const qmdi_onnx_value *value = node->input[k][0] != '\0' ? qmdi_onnx_value_find(im, node->input[k]) : NULL;
		varies[0] |= value && value->is_varying;
		varies[1] |= k == 0 && value && value->is_varying;
	}
	for (size_t o = 0; o < node->n_output; o++)
		if (node->output[o][0] != '\0')
			qmdi_onnx_value_find(im, node->output[o])->is_varying = varies[0];
	const char *op = text(node->op_type);
	if (varies[1] && (strcmp(op, "QuantizeLinear") == 0 || strcmp(op, "DequantizeLinear") == 0))
		im->is_quantized = 1;
}

/* A node stands behind those that it reads: one pass from the end sees every reader first, one from the beginning every
 * source. */
qmd_status qmdi_onnx_values_trace(qmdi_importer *im) {
	for (size_t i = 0; i < im->graph->n_output; i++)
		QMDI_TRY(trace(im, text(im->graph->output[i]->name), "an output of the graph"));
	for (size_t i = im->graph->n_node; i-- > 0;) {
		const Onnx__NodeProto *node = im->graph->node[i];
		if (!qmdi_onnx_is_needed(im, node))
			continue;
		for (size_t k = 0; k < node->n_input; k++)
			if (node->input[k][0] != '\0')
				QMDI_TRY(trace(im, node->input[k], text(node->name)[0] ? node->name : text(node->op_type)));
	}
	for (size_t i = 0; i < im->graph->n_input; i++) {
		qmdi_onnx_value *value = qmdi_onnx_value_find(im, text(im->graph->input[i]->name));
		value->is_varying = value->kind != QMDI_ONNX_CONSTANT;
	}
	for (size_t i = 0; i < im->graph->n_node; i++)
		if (qmdi_onnx_is_needed(im, im->graph->node[i]))
			mark_varying(im, im->graph->node[i]);
	return QMD_OK;
}
