/* The graph of layers: making it, adding to it, copying it, asking it. */
#include "model_layer.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "pixels/pixels_internal.h"

static qmd_status check_input_shape(qmd_shape input) {
	const uint64_t n_pixels = (uint64_t)input.h * input.w;
	if (input.h == 0 || input.w == 0 || input.c == 0 || n_pixels > QMDI_MAX_ELEMENTS / input.c)
		return qmdi_fail(QMD_ERROR_RANGE, "input of %u x %u x %u: expected at least 1 each and at most %u elements",
						 input.h, input.w, input.c, QMDI_MAX_ELEMENTS);
	return QMD_OK;
}

void qmdi_layer_release(qmdi_layer *layer) {
	qmdi_release(layer->name);
	for (int i = 0; i < QMDI_MAX_PARAMETERS; i++)
		qmdi_release(layer->parameters[i]);
	qmdi_release(layer->weight_scales);
}

static qmd_status reserve_layer(qmd_model *model) {
	if (model->n_layers < model->capacity)
		return QMD_OK;
	const size_t capacity = model->capacity ? 2 * model->capacity : 32;
	qmdi_layer *layers = qmdi_resize(model->layers, capacity, sizeof *layers);
	if (!layers)
		return QMD_ERROR_MEMORY;
	model->layers = layers;
	model->capacity = capacity;
	return QMD_OK;
}

static qmd_status append_input(qmd_model *model, qmd_shape shape) {
	QMDI_TRY(reserve_layer(model));
	qmdi_layer layer = {.input = shape, .output = shape, .name = qmdi_string("input")};
	if (!layer.name)
		return QMD_ERROR_MEMORY;
	qmd_layer_init(&layer.definition, QMD_LAYER_INPUT);
	layer.definition.name = layer.name;
	model->layers[model->n_layers++] = layer;
	return QMD_OK;
}

qmd_status qmd_model_create(qmd_shape input, qmd_model **model) {
	QMDI_REQUIRE(model);
	*model = NULL;
	QMDI_TRY(check_input_shape(input));
	qmd_model *created = qmdi_zeroed(1, sizeof *created);
	if (!created)
		return QMD_ERROR_MEMORY;
	const qmd_status status = append_input(created, input);
	if (status != QMD_OK) {
		qmd_model_free(created);
		return status;
	}
	*model = created;
	return QMD_OK;
}

void qmd_model_free(qmd_model *model) {
	if (!model)
		return;
	for (size_t i = 0; i < model->n_layers; i++)
		qmdi_layer_release(&model->layers[i]);
	qmdi_release(model->layers);
	qmdi_model_release_class_names(model);
	qmd_pixels_free(model->pixels);
	qmdi_release(model->passes);
	qmdi_release(model);
}

/* ---- Adding a layer ---- */

static const qmdi_layer *find_layer(const qmd_model *model, const char *name) {
	for (size_t i = 0; i < model->n_layers; i++)
		if (strcmp(model->layers[i].name, name) == 0)
			return &model->layers[i];
	return NULL;
}

/* "conv2d_1", or the next number that is free. */
static void make_name(const qmd_model *model, int32_t kind, char name[QMDI_LAYER_NAME_SIZE]) {
	unsigned number = 1;
	for (size_t i = 0; i < model->n_layers; i++)
		number += model->layers[i].definition.kind == kind;
	do
		snprintf(name, QMDI_LAYER_NAME_SIZE, "%s_%u", qmdi_layer_kind_name(kind), number++);
	while (find_layer(model, name));
}

static qmd_status take_name(const qmd_model *model, const char *given, char name[QMDI_LAYER_NAME_SIZE]) {
	const size_t length = strnlen(given, QMDI_LAYER_NAME_SIZE);
	if (length == 0 || length == QMDI_LAYER_NAME_SIZE)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "layer '%.63s%s': a name has 1 to %d bytes", given, length ? "..." : "",
						 QMDI_LAYER_NAME_SIZE - 1);
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)given[i] < 0x20 || given[i] == 0x7f)
			return qmdi_fail(QMD_ERROR_ARGUMENT, "layer '%s': byte %zu of its name is a control character", given, i);
	if (find_layer(model, given))
		return qmdi_fail(QMD_ERROR_ARGUMENT, "layer '%s': the name is taken", given);
	memcpy(name, given, length + 1);
	return QMD_OK;
}

static qmd_status check_changeable(const qmd_model *model) {
	const char *last = model->layers[model->n_layers - 1].name;
	if (model->layers[model->n_layers - 1].definition.kind == QMD_LAYER_SOFTMAX)
		return qmdi_fail(QMD_ERROR_STATE, "a layer cannot be added after softmax '%s'", last);
	if (model->weight_bits)
		return qmdi_fail(QMD_ERROR_STATE, "a layer cannot be added after '%s': the model is quantized", last);
	if (model->pixels)
		return qmdi_fail(QMD_ERROR_STATE, "a layer cannot be added after '%s': the model is bound to pixels", last);
	if (model->n_layers == QMDI_MAX_LAYERS)
		return qmdi_fail(QMD_ERROR_RANGE, "a layer cannot be added after '%s': a model has at most %d layers", last,
						 QMDI_MAX_LAYERS);
	return QMD_OK;
}

static qmd_status resolve_input(const qmd_model *model, const char *name, int32_t given, int32_t *input) {
	const int32_t n = (int32_t)model->n_layers;
	*input = given == QMD_PREVIOUS ? n - 1 : given;
	if (*input < 0 || *input >= n)
		return qmdi_fail(QMD_ERROR_RANGE, "layer '%s': input %d is not one of the layers 0 to %d", name, given, n - 1);
	return QMD_OK;
}

static qmd_status resolve_inputs(const qmd_model *model, const qmd_layer *given, qmdi_layer *layer) {
	int32_t *inputs = layer->definition.inputs;
	QMDI_TRY(resolve_input(model, layer->name, given->inputs[0], &inputs[0]));
	layer->input = model->layers[inputs[0]].output;
	inputs[1] = QMD_PREVIOUS;
	if (given->kind == QMD_LAYER_SOFTMAX && inputs[0] != (int32_t)model->n_layers - 1)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "layer '%s': its input is layer %d, expected the last, %zu", layer->name,
						 inputs[0], model->n_layers - 1);
	if (given->kind != QMD_LAYER_ADD)
		return QMD_OK;
	QMDI_TRY(resolve_input(model, layer->name, given->inputs[1], &inputs[1]));
	if (inputs[0] == inputs[1])
		return qmdi_fail(QMD_ERROR_ARGUMENT, "layer '%s': both inputs are layer %d", layer->name, inputs[0]);
	const qmd_shape a = layer->input, b = model->layers[inputs[1]].output;
	if (a.h != b.h || a.w != b.w || a.c != b.c)
		return qmdi_fail(QMD_ERROR_SHAPE,
						 "layer '%s': its inputs are %u x %u x %u and %u x %u x %u, expected one shape", layer->name,
						 a.h, a.w, a.c, b.h, b.w, b.c);
	return QMD_OK;
}

/* `layer` keeps what was allocated when it fails. */
static qmd_status allocate_parameters(qmdi_layer *layer) {
	for (int i = 0; i < QMDI_MAX_PARAMETERS; i++) {
		if (layer->n_parameters[i] == 0)
			continue;
		layer->parameters[i] = qmdi_zeroed(layer->n_parameters[i], sizeof(float));
		if (!layer->parameters[i])
			return QMD_ERROR_MEMORY;
	}
	qmdi_layer_reset_parameters(layer);
	return QMD_OK;
}

static qmd_status append(qmd_model *model, qmdi_layer *layer) {
	QMDI_TRY(reserve_layer(model));
	QMDI_TRY(allocate_parameters(layer));
	layer->name = qmdi_string(layer->name);
	if (!layer->name)
		return QMD_ERROR_MEMORY;
	layer->definition.name = layer->name;
	model->layers[model->n_layers++] = *layer;
	return QMD_OK;
}

static qmd_status check_n_parameters(const qmdi_layer *layer, size_t most) {
	const size_t n = qmdi_layer_n_parameters(layer);
	if (n > most)
		return qmdi_fail(QMD_ERROR_FORMAT, "layer '%s' has %zu parameters, but only %zu are left in the file",
						 layer->name, n, most);
	return QMD_OK;
}

qmd_status qmdi_model_add_within(qmd_model *model, const qmd_layer *given, size_t most_parameters, int32_t *id) {
	QMDI_TRY(check_changeable(model));
	if (given->kind == QMD_LAYER_INPUT || !qmdi_layer_kind_name(given->kind))
		return qmdi_fail(QMD_ERROR_ARGUMENT, "layer '%s': kind %d cannot be added", given->name ? given->name : "",
						 given->kind);
	char name[QMDI_LAYER_NAME_SIZE];
	if (given->name)
		QMDI_TRY(take_name(model, given->name, name));
	else
		make_name(model, given->kind, name);

	qmdi_layer layer = {.definition = {.struct_size = sizeof layer.definition, .kind = given->kind}, .name = name};
	QMDI_TRY(resolve_inputs(model, given, &layer));
	QMDI_TRY(qmdi_layer_define(given, &layer));
	QMDI_TRY(check_n_parameters(&layer, most_parameters));
	const qmd_status status = append(model, &layer);
	if (status != QMD_OK) {
		for (int i = 0; i < QMDI_MAX_PARAMETERS; i++)
			qmdi_release(layer.parameters[i]);
		return status;
	}
	if (id)
		*id = (int32_t)model->n_layers - 1;
	return QMD_OK;
}

qmd_status qmd_model_add(qmd_model *model, const qmd_layer *layer, int32_t *id) {
	QMDI_REQUIRE(model);
	QMDI_REQUIRE(layer);
	qmd_layer given;
	qmd_layer_init(&given, layer->kind);
	QMDI_TRY(qmdi_options_copy(&given, sizeof given, sizeof given, layer, "qmd_layer"));
	return qmdi_model_add_within(model, &given, SIZE_MAX, id);
}

/* ---- Copying ---- */

static qmd_status copy_floats(const float *source, size_t n, float **copy) {
	*copy = source ? qmdi_copy(source, n, sizeof *source) : NULL;
	return source && !*copy ? QMD_ERROR_MEMORY : QMD_OK;
}

/* `copy` is zeroed, and may be released whatever is returned. */
static qmd_status copy_layer(const qmdi_layer *layer, qmdi_layer *copy) {
	*copy = *layer;
	memset(copy->parameters, 0, sizeof copy->parameters);
	copy->weight_scales = NULL;
	copy->name = qmdi_string(layer->name);
	if (!copy->name)
		return QMD_ERROR_MEMORY;
	copy->definition.name = copy->name;
	for (int i = 0; i < QMDI_MAX_PARAMETERS; i++)
		QMDI_TRY(copy_floats(layer->parameters[i], layer->n_parameters[i], &copy->parameters[i]));
	return copy_floats(layer->weight_scales, layer->definition.units, &copy->weight_scales);
}

static qmd_status copy_into(const qmd_model *model, qmd_model *copy) {
	copy->layers = qmdi_zeroed(model->n_layers, sizeof *copy->layers);
	if (!copy->layers)
		return QMD_ERROR_MEMORY;
	copy->capacity = model->n_layers;
	while (copy->n_layers < model->n_layers) {
		const size_t i = copy->n_layers++; /* counted first, so that a failed one is released too */
		QMDI_TRY(copy_layer(&model->layers[i], &copy->layers[i]));
	}
	copy->weight_bits = model->weight_bits;
	copy->activation_bits = model->activation_bits;
	copy->image_type = model->image_type;
	copy->passes = qmdi_string(model->passes);
	if (model->passes && !copy->passes)
		return QMD_ERROR_MEMORY;
	if (model->pixels)
		QMDI_TRY(qmd_model_bind(copy, model->pixels, (const char *const *)model->class_names));
	return QMD_OK;
}

qmd_status qmdi_model_copy(const qmd_model *model, qmd_model **copy) {
	*copy = NULL;
	qmd_model *created = qmdi_zeroed(1, sizeof *created);
	if (!created)
		return QMD_ERROR_MEMORY;
	const qmd_status status = copy_into(model, created);
	if (status != QMD_OK) {
		qmd_model_free(created);
		return status;
	}
	*copy = created;
	return QMD_OK;
}

/* ---- Asking ---- */

size_t qmd_model_n_layers(const qmd_model *model) {
	return model ? model->n_layers : 0;
}

qmd_status qmd_model_layer(const qmd_model *model, size_t id, qmd_layer *layer, qmd_shape *output) {
	QMDI_REQUIRE(model);
	if (id >= model->n_layers)
		return qmdi_fail(QMD_ERROR_RANGE, "layer %zu: the model has layers 0 to %zu", id, model->n_layers - 1);
	if (layer)
		QMDI_TRY(qmdi_struct_give(layer, &model->layers[id].definition, sizeof *layer, sizeof *layer, "qmd_layer"));
	if (output)
		*output = model->layers[id].output;
	return QMD_OK;
}

uint64_t qmd_model_n_macs(const qmd_model *model) {
	uint64_t n = 0;
	for (size_t i = 0; i < qmd_model_n_layers(model); i++)
		n += qmdi_layer_n_macs(&model->layers[i]);
	return n;
}

size_t qmd_model_n_classes(const qmd_model *model) {
	if (!model || model->n_layers < 2)
		return 0;
	const qmd_shape output = model->layers[model->n_layers - 1].output;
	return output.h == 1 && output.w == 1 ? output.c : 0;
}

int qmd_model_is_quantized(const qmd_model *model) {
	return model && model->weight_bits != 0;
}

static int reads(const qmdi_layer *layer, size_t input) {
	const int32_t *inputs = layer->definition.inputs;
	return inputs[0] == (int32_t)input || inputs[1] == (int32_t)input;
}

size_t qmdi_model_consumers(const qmd_model *model, size_t layer, size_t *consumer) {
	size_t n = 0;
	for (size_t i = layer + 1; i < model->n_layers; i++) {
		if (!reads(&model->layers[i], layer))
			continue;
		n++;
		if (consumer)
			*consumer = i;
	}
	return n;
}

size_t qmdi_model_logits(const qmd_model *model) {
	const qmd_layer *last = &model->layers[model->n_layers - 1].definition;
	return last->kind == QMD_LAYER_SOFTMAX ? (size_t)last->inputs[0] : model->n_layers - 1;
}

/* Forward over the layers: a recursion from the end would visit what branches share again and again. */
int qmdi_model_is_nonnegative(const qmd_model *model, size_t layer) {
	unsigned char nonnegative[QMDI_MAX_LAYERS];
	for (size_t i = 0; i <= layer; i++) {
		const qmd_layer *definition = &model->layers[i].definition;
		switch (definition->kind) {
		case QMD_LAYER_INPUT:
			nonnegative[i] = model->image_type == QMD_U8;
			break;
		case QMD_LAYER_RELU:
		case QMD_LAYER_SOFTMAX:
			nonnegative[i] = 1;
			break;
		case QMD_LAYER_CONV2D:
		case QMD_LAYER_DENSE:
		case QMD_LAYER_BATCHNORM:
			nonnegative[i] = 0;
			break;
		case QMD_LAYER_ADD:
			nonnegative[i] = nonnegative[definition->inputs[0]] && nonnegative[definition->inputs[1]];
			break;
		default: /* pools, dropout and flatten pass it on */
			nonnegative[i] = nonnegative[definition->inputs[0]];
		}
	}
	return nonnegative[layer];
}
