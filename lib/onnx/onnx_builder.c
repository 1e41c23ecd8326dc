#include "onnx_builder.h"

#include <stdio.h>
#include <string.h>

void qmdi_onnx_builder_begin(qmdi_onnx_builder *builder) {
	*builder = (qmdi_onnx_builder){.arena = {.limit = PTRDIFF_MAX}, .status = QMD_OK};
	onnx__graph_proto__init(&builder->graph);
	onnx__node_proto__init(&builder->dropped);
}

void qmdi_onnx_builder_release(qmdi_onnx_builder *builder) {
	qmdi_arena_release(&builder->arena);
}

static void *take(qmdi_onnx_builder *builder, size_t n, size_t size) {
	if (builder->status != QMD_OK)
		return NULL;
	void *taken = qmdi_arena_take(&builder->arena, n, size);
	if (!taken)
		builder->status = QMD_ERROR_MEMORY;
	return taken;
}

static char *text(qmdi_onnx_builder *builder, const char *source) {
	const size_t size = strlen(source) + 1;
	char *copy = take(builder, size, 1);
	if (copy)
		memcpy(copy, source, size);
	return copy;
}

char *qmdi_onnx_name(qmdi_onnx_builder *builder, const char *layer, const char *what) {
	const size_t size = strlen(layer) + strlen(what) + 2;
	char *name = take(builder, size, 1);
	if (name)
		snprintf(name, size, "%s/%s", layer, what);
	return name;
}

/* Append to an array of pointers; the array that it outgrows stays in the arena. */
static void append(qmdi_onnx_builder *builder, void ***array, size_t *n, size_t *capacity, void *element) {
	if (*n == *capacity) {
		const size_t grown = *capacity ? 2 * *capacity : 64;
		void **larger = take(builder, grown, sizeof *larger);
		if (!larger)
			return;
		if (*n > 0)
			memcpy(larger, *array, *n * sizeof *larger);
		*array = larger;
		*capacity = grown;
	}
	(*array)[(*n)++] = element;
}

static int64_t *copy_ints(qmdi_onnx_builder *builder, size_t n, const int64_t *values) {
	int64_t *copy = take(builder, n, sizeof *copy);
	if (copy && n > 0)
		memcpy(copy, values, n * sizeof *copy);
	return copy;
}

char *qmdi_onnx_initializer(qmdi_onnx_builder *builder, char *name, int32_t type, size_t n_dims, const int64_t *dims,
							const void *data, size_t size) {
	Onnx__TensorProto *tensor = take(builder, 1, sizeof *tensor);
	if (!tensor)
		return NULL;
	onnx__tensor_proto__init(tensor);
	tensor->name = name;
	tensor->has_data_type = 1;
	tensor->data_type = type;
	tensor->n_dims = n_dims;
	tensor->dims = copy_ints(builder, n_dims, dims);
	tensor->has_raw_data = 1;
	tensor->raw_data.len = size;
	tensor->raw_data.data = (uint8_t *)data;
	append(builder, (void ***)&builder->graph.initializer, &builder->graph.n_initializer,
		   &builder->initializer_capacity, tensor);
	return name;
}

Onnx__NodeProto *qmdi_onnx_node(qmdi_onnx_builder *builder, const char *op, const char *name,
								char *const inputs[QMDI_ONNX_MAX_INPUTS], char *output) {
	Onnx__NodeProto *node = take(builder, 1, sizeof *node);
	char **names = take(builder, QMDI_ONNX_MAX_INPUTS + 1, sizeof *names);
	char *op_type = text(builder, op), *node_name = text(builder, name);
	if (builder->status != QMD_OK)
		return &builder->dropped;
	onnx__node_proto__init(node);
	node->op_type = op_type;
	node->name = node_name;
	node->input = names;
	while (node->n_input < QMDI_ONNX_MAX_INPUTS && inputs[node->n_input]) {
		names[node->n_input] = inputs[node->n_input];
		node->n_input++;
	}
	node->output = names + QMDI_ONNX_MAX_INPUTS;
	node->output[0] = output;
	node->n_output = 1;
	append(builder, (void ***)&builder->graph.node, &builder->graph.n_node, &builder->node_capacity, node);
	return node;
}

static Onnx__AttributeProto *add_attribute(qmdi_onnx_builder *builder, Onnx__NodeProto *node, const char *name,
										   Onnx__AttributeProto__AttributeType type) {
	enum { ROOM = 8 }; /* no node that is written has more */
	if (node->n_attribute == 0)
		node->attribute = take(builder, ROOM, sizeof(void *));
	Onnx__AttributeProto *attribute = take(builder, 1, sizeof *attribute);
	char *copy = text(builder, name);
	if (builder->status != QMD_OK || node->n_attribute == ROOM)
		return NULL;
	onnx__attribute_proto__init(attribute);
	attribute->name = copy;
	attribute->has_type = 1;
	attribute->type = type;
	node->attribute[node->n_attribute++] = attribute;
	return attribute;
}

void qmdi_onnx_set_int(qmdi_onnx_builder *builder, Onnx__NodeProto *node, const char *name, int64_t value) {
	Onnx__AttributeProto *attribute = add_attribute(builder, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
	if (!attribute)
		return;
	attribute->has_i = 1;
	attribute->i = value;
}

void qmdi_onnx_set_float(qmdi_onnx_builder *builder, Onnx__NodeProto *node, const char *name, float value) {
	Onnx__AttributeProto *attribute = add_attribute(builder, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
	if (!attribute)
		return;
	attribute->has_f = 1;
	attribute->f = value;
}

void qmdi_onnx_set_ints(qmdi_onnx_builder *builder, Onnx__NodeProto *node, const char *name, size_t n,
						const int64_t *values) {
	Onnx__AttributeProto *attribute = add_attribute(builder, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
	int64_t *copy = copy_ints(builder, n, values);
	if (!attribute || !copy)
		return;
	attribute->n_ints = n;
	attribute->ints = copy;
}

Onnx__ValueInfoProto *qmdi_onnx_value_info(qmdi_onnx_builder *builder, const char *name, int32_t type, size_t n_dims,
										   const int64_t *dims) {
	Onnx__ValueInfoProto *info = take(builder, 1, sizeof *info);
	Onnx__TypeProto *type_proto = take(builder, 1, sizeof *type_proto);
	Onnx__TypeProto__Tensor *tensor = take(builder, 1, sizeof *tensor);
	Onnx__TensorShapeProto *shape = take(builder, 1, sizeof *shape);
	Onnx__TensorShapeProto__Dimension *dimensions = take(builder, n_dims, sizeof *dimensions);
	Onnx__TensorShapeProto__Dimension **pointers = take(builder, n_dims, sizeof(void *));
	char *batch = text(builder, "N"), *copy = text(builder, name);
	if (builder->status != QMD_OK)
		return NULL;
	onnx__value_info_proto__init(info);
	onnx__type_proto__init(type_proto);
	onnx__type_proto__tensor__init(tensor);
	onnx__tensor_shape_proto__init(shape);
	info->name = copy;
	info->type = type_proto;
	type_proto->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	type_proto->tensor_type = tensor;
	tensor->has_elem_type = 1;
	tensor->elem_type = type;
	tensor->shape = shape;
	shape->n_dim = n_dims;
	shape->dim = pointers;
	for (size_t i = 0; i < n_dims; i++) {
		onnx__tensor_shape_proto__dimension__init(&dimensions[i]);
		pointers[i] = &dimensions[i];
		dimensions[i].value_case = i == 0 ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
										  : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		if (i == 0)
			dimensions[i].dim_param = batch;
		else
			dimensions[i].dim_value = dims[i];
	}
	return info;
}
