/* From a model to an ONNX graph, layer by layer; what is particular to integers is in onnx_export_quantized.c. */
#include "onnx_export.h"

#include <stdio.h>

#include "base/file.h"
#include "base/float_environment.h"
#include "base/memory.h"

#define IR_VERSION 8 /* the oldest that holds every opset that is written */
#define MIN_OPSET 13 /* the first with one scale a channel */
#define MAX_OPSET 17

static const qmdi_layer *layer_of(const qmdi_exporter *e, size_t layer) {
	return &e->model->layers[layer];
}

static size_t input_of(const qmdi_exporter *e, size_t layer) {
	return (size_t)layer_of(e, layer)->definition.inputs[0];
}

/* ---- Layouts ---- */

/*
 * ONNX flattens an image to c, h, w where the model flattens it to h, w, c. A dense takes that into the order of its
 * weights; the functions below say where that will do.
 */
static int only_dense_reads(const qmd_model *model, size_t layer) {
	for (size_t i = layer + 1; i < model->n_layers; i++) {
		const qmd_layer *reader = &model->layers[i].definition;
		if (reader->inputs[0] != (int32_t)layer && reader->inputs[1] != (int32_t)layer)
			continue;
		const int passes_on = reader->kind == QMD_LAYER_RELU || reader->kind == QMD_LAYER_DROPOUT;
		if (reader->kind != QMD_LAYER_DENSE && !(passes_on && only_dense_reads(model, i)))
			return 0;
	}
	return qmdi_model_logits(model) != layer;
}

/* 1 if the two orders differ, and those who read it cannot make up for that. */
static int must_transpose(const qmdi_exporter *e, size_t flatten) {
	const qmd_shape image = layer_of(e, flatten)->input;
	return image.c > 1 && (image.h > 1 || image.w > 1) && !only_dense_reads(e->model, flatten);
}

/* The image that a dense's input was flattened from and is still in the order of; 1 x 1 x n if it is none. */
static qmd_shape flattened_from(const qmdi_exporter *e, size_t dense) {
	size_t layer = input_of(e, dense);
	while (layer_of(e, layer)->definition.kind == QMD_LAYER_RELU ||
		   layer_of(e, layer)->definition.kind == QMD_LAYER_DROPOUT)
		layer = input_of(e, layer);
	if (layer_of(e, layer)->definition.kind == QMD_LAYER_FLATTEN && !must_transpose(e, layer))
		return layer_of(e, layer)->input;
	return layer_of(e, dense)->input;
}

/* Layer `layer`'s input number `i` as a value of that rank: vectors are [N][n] for some operators and [N][n][1][1] for
 * others. */
static char *operand(qmdi_exporter *e, size_t layer, int i, unsigned rank) {
	const size_t source = (size_t)layer_of(e, layer)->definition.inputs[i];
	const char *name = layer_of(e, layer)->name;
	const char *const prefix = i == 0 ? "reshaped_" : "reshaped_1_";
	qmdi_onnx_builder *b = &e->builder;
	if (e->ranks[source] == rank)
		return e->values[source];
	static const int64_t one_dim[1] = {4}, to_image[4] = {0, -1, 1, 1};
	char *reshaped = qmdi_onnx_name(b, name, i == 0 ? "reshaped" : "reshaped_1");
	char *inputs[QMDI_ONNX_MAX_INPUTS] = {e->values[source]};
	if (rank == 4)
		inputs[1] = qmdi_onnx_initializer(b, qmdi_onnx_name(b, name, i == 0 ? "shape" : "shape_1"), QMDI_ONNX_S64, 1,
										  one_dim, to_image, sizeof to_image);
	qmdi_onnx_node(b, rank == 4 ? "Reshape" : "Flatten", reshaped ? reshaped : "", inputs, reshaped);
	return qmdi_export_quantized(e, name, prefix, source, reshaped);
}

/* ---- Layers ---- */

static char *output_name(qmdi_exporter *e, size_t layer) {
	static char logits[] = "logits", probabilities[] = "probabilities";
	if (layer == qmdi_model_logits(e->model))
		return logits;
	if (layer_of(e, layer)->definition.kind == QMD_LAYER_SOFTMAX)
		return probabilities;
	return qmdi_onnx_name(&e->builder, layer_of(e, layer)->name, "output");
}

static Onnx__NodeProto *add_node(qmdi_exporter *e, size_t layer, const char *op,
								 char *const inputs[QMDI_ONNX_MAX_INPUTS]) {
	e->values[layer] = output_name(e, layer);
	return qmdi_onnx_node(&e->builder, op, layer_of(e, layer)->name, inputs, e->values[layer]);
}

static Onnx__NodeProto *add_unary(qmdi_exporter *e, size_t layer, const char *op, char *input) {
	char *const inputs[QMDI_ONNX_MAX_INPUTS] = {input};
	return add_node(e, layer, op, inputs);
}

static void set_window(qmdi_exporter *e, Onnx__NodeProto *node, const qmd_layer *d) {
	const int64_t kernel[2] = {d->kernel_h, d->kernel_w}, strides[2] = {d->stride_h, d->stride_w};
	qmdi_onnx_set_ints(&e->builder, node, "kernel_shape", 2, kernel);
	qmdi_onnx_set_ints(&e->builder, node, "strides", 2, strides);
}

static void export_conv2d(qmdi_exporter *e, size_t layer) {
	const qmd_layer *d = &layer_of(e, layer)->definition;
	const int64_t pads[4] = {d->pad_top, d->pad_left, d->pad_bottom, d->pad_right};
	char *inputs[QMDI_ONNX_MAX_INPUTS] = {operand(e, layer, 0, 4)};
	qmdi_export_parameters(e, layer, (qmd_shape){d->kernel_h, d->kernel_w, layer_of(e, layer)->input.c}, &inputs[1],
						   &inputs[2]);
	Onnx__NodeProto *node = add_node(e, layer, "Conv", inputs);
	set_window(e, node, d);
	qmdi_onnx_set_ints(&e->builder, node, "pads", 4, pads);
	e->ranks[layer] = 4;
}

static void export_dense(qmdi_exporter *e, size_t layer) {
	char *inputs[QMDI_ONNX_MAX_INPUTS] = {operand(e, layer, 0, 2)};
	qmdi_export_parameters(e, layer, flattened_from(e, layer), &inputs[1], &inputs[2]);
	qmdi_onnx_set_int(&e->builder, add_node(e, layer, "Gemm", inputs), "transB", 1);
	e->ranks[layer] = 2;
}

static void export_pool(qmdi_exporter *e, size_t layer) {
	const int is_max = layer_of(e, layer)->definition.kind == QMD_LAYER_MAXPOOL;
	Onnx__NodeProto *node = add_unary(e, layer, is_max ? "MaxPool" : "AveragePool", operand(e, layer, 0, 4));
	set_window(e, node, &layer_of(e, layer)->definition);
	e->ranks[layer] = 4;
}

static void export_global_avgpool(qmdi_exporter *e, size_t layer) {
	add_unary(e, layer, "GlobalAveragePool", operand(e, layer, 0, 4));
	e->ranks[layer] = 4;
}

static void export_batchnorm(qmdi_exporter *e, size_t layer) {
	const qmdi_layer *source = layer_of(e, layer);
	char *inputs[QMDI_ONNX_MAX_INPUTS] = {e->values[input_of(e, layer)]};
	for (size_t i = 0; i < QMDI_MAX_PARAMETERS; i++)
		inputs[i + 1] = qmdi_export_floats(e, layer, qmdi_parameter_name(source, i), source->parameters[i],
										   source->n_parameters[i]);
	Onnx__NodeProto *node = add_node(e, layer, "BatchNormalization", inputs);
	qmdi_onnx_set_float(&e->builder, node, "epsilon", source->definition.epsilon);
	qmdi_onnx_set_float(&e->builder, node, "momentum", source->definition.momentum);
}

/* A quantized model is for inference alone; only where the logits need their name does the node stay. */
static void export_dropout(qmdi_exporter *e, size_t layer) {
	qmdi_onnx_builder *b = &e->builder;
	if (qmd_model_is_quantized(e->model) && layer != qmdi_model_logits(e->model)) {
		e->values[layer] = e->values[input_of(e, layer)];
		return;
	}
	const float *rate = &layer_of(e, layer)->definition.rate;
	char *const inputs[QMDI_ONNX_MAX_INPUTS] = {
		e->values[input_of(e, layer)], qmdi_onnx_initializer(b, qmdi_onnx_name(b, layer_of(e, layer)->name, "rate"),
															 QMDI_ONNX_FLOAT, 0, NULL, rate, sizeof *rate)};
	add_node(e, layer, "Dropout", inputs);
}

static void export_add(qmdi_exporter *e, size_t layer) {
	const int32_t *sources = layer_of(e, layer)->definition.inputs;
	const unsigned char a = e->ranks[sources[0]], b = e->ranks[sources[1]];
	e->ranks[layer] = a < b ? a : b;
	char *const inputs[QMDI_ONNX_MAX_INPUTS] = {operand(e, layer, 0, e->ranks[layer]),
												operand(e, layer, 1, e->ranks[layer])};
	add_node(e, layer, "Add", inputs);
}

static void export_flatten(qmdi_exporter *e, size_t layer) {
	static const int64_t to_nhwc[4] = {0, 2, 3, 1};
	char *input = operand(e, layer, 0, 4);
	if (must_transpose(e, layer)) {
		char *transposed = qmdi_onnx_name(&e->builder, layer_of(e, layer)->name, "transposed");
		char *const inputs[QMDI_ONNX_MAX_INPUTS] = {input};
		Onnx__NodeProto *node =
			qmdi_onnx_node(&e->builder, "Transpose", transposed ? transposed : "", inputs, transposed);
		qmdi_onnx_set_ints(&e->builder, node, "perm", 4, to_nhwc);
		input = transposed;
	}
	add_unary(e, layer, "Flatten", input);
	e->ranks[layer] = 2;
}

static void export_layer(qmdi_exporter *e, size_t layer) {
	const size_t input = input_of(e, layer);
	e->ranks[layer] = e->ranks[input];
	switch (layer_of(e, layer)->definition.kind) {
	case QMD_LAYER_CONV2D:
		export_conv2d(e, layer);
		break;
	case QMD_LAYER_DENSE:
		export_dense(e, layer);
		break;
	case QMD_LAYER_MAXPOOL:
	case QMD_LAYER_AVGPOOL:
		export_pool(e, layer);
		break;
	case QMD_LAYER_GLOBAL_AVGPOOL:
		export_global_avgpool(e, layer);
		break;
	case QMD_LAYER_BATCHNORM:
		export_batchnorm(e, layer);
		break;
	case QMD_LAYER_DROPOUT:
		export_dropout(e, layer);
		break;
	case QMD_LAYER_ADD:
		export_add(e, layer);
		break;
	case QMD_LAYER_FLATTEN:
		export_flatten(e, layer);
		break;
	case QMD_LAYER_RELU:
		add_unary(e, layer, "Relu", e->values[input]);
		break;
	default: /* the softmax: model_graph.c lets no other kind in */
		qmdi_onnx_set_int(&e->builder, add_unary(e, layer, "Softmax", e->values[input]), "axis", 1);
	}
	if (e->values[layer] != e->values[input])
		e->values[layer] = qmdi_export_quantized(e, layer_of(e, layer)->name, "", layer, e->values[layer]);
}

/* ---- The whole ---- */

static void add_output(qmdi_exporter *e, size_t layer) {
	qmdi_onnx_builder *b = &e->builder;
	const qmd_shape shape = layer_of(e, layer)->output;
	const int64_t dims[4] = {0, shape.c, shape.h, shape.w};
	b->graph.output[b->graph.n_output++] =
		qmdi_onnx_value_info(b, output_name(e, layer), QMDI_ONNX_FLOAT, e->ranks[layer], dims);
}

static int is_alias(int32_t kind) {
	return kind == QMD_LAYER_DROPOUT || kind == QMD_LAYER_FLATTEN;
}

static void export_graph(qmdi_exporter *e) {
	const size_t logits = qmdi_model_logits(e->model), last = e->model->n_layers - 1;
	e->logits = logits;
	while (is_alias(layer_of(e, e->logits)->definition.kind))
		e->logits = input_of(e, e->logits);
	e->values[0] = qmdi_export_image(e);
	e->ranks[0] = 4;
	for (size_t i = 1; i < e->model->n_layers && e->builder.status == QMD_OK; i++)
		export_layer(e, i);
	add_output(e, logits);
	if (last != logits)
		add_output(e, last);
}

static qmd_status write_message(const Onnx__ModelProto *message, const char *path) {
	const size_t size = onnx__model_proto__get_packed_size(message);
	if (size > QMDI_ONNX_MAX_SIZE)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: the file would have %zu bytes, an ONNX file has at most %d", path,
						 size, QMDI_ONNX_MAX_SIZE);
	uint8_t *bytes = qmdi_allocate(size);
	if (!bytes)
		return QMD_ERROR_MEMORY;
	onnx__model_proto__pack(message, bytes);
	qmdi_new_file file;
	qmd_status status = qmdi_new_file_begin(path, &file);
	if (status == QMD_OK) {
		status = qmdi_new_file_write(&file, bytes, size);
		status = qmdi_new_file_finish(&file, status);
	}
	qmdi_release(bytes);
	return status;
}

static qmd_status write_graph(qmdi_exporter *e, const char *path) {
	static char graph_name[] = "model", producer[] = "libqmd", version[] = QMD_VERSION_STRING, domain[] = "";
	Onnx__OperatorSetIdProto opset;
	onnx__operator_set_id_proto__init(&opset);
	opset.domain = domain;
	opset.has_version = 1;
	opset.version = e->options.opset;
	Onnx__OperatorSetIdProto *opsets[1] = {&opset};
	Onnx__ModelProto message;
	onnx__model_proto__init(&message);
	message.has_ir_version = 1;
	message.ir_version = IR_VERSION;
	message.producer_name = producer;
	message.producer_version = version;
	message.n_opset_import = 1;
	message.opset_import = opsets;
	message.graph = &e->builder.graph;
	message.graph->name = graph_name;
	return write_message(&message, path);
}

static qmd_status check_options(const qmd_onnx_export_options *options) {
	if (options->target != QMD_ONNX_TARGET_DEFAULT && options->target != QMD_ONNX_TARGET_TENSORRT)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_onnx_export: target is %d, expected a qmd_onnx_target",
						 options->target);
	if (options->layout != QMD_ONNX_NCHW && options->layout != QMD_ONNX_NHWC)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_onnx_export: layout is %d, expected a qmd_onnx_layout",
						 options->layout);
	if (options->opset < MIN_OPSET || options->opset > MAX_OPSET)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_onnx_export: opset is %u, expected %d to %d", options->opset, MIN_OPSET,
						 MAX_OPSET);
	if (options->activations_type != QMD_S8 && options->activations_type != QMD_U8)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_onnx_export: activations_type is %d, expected QMD_S8 or QMD_U8",
						 options->activations_type);
	if (options->activations_type == QMD_U8 && options->target == QMD_ONNX_TARGET_TENSORRT)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_onnx_export: TensorRT takes no u8 activations");
	return QMD_OK;
}

static qmd_status check_model(const qmd_model *model) {
	if (model->n_layers < 2)
		return qmdi_fail(QMD_ERROR_STATE, "qmd_onnx_export: the model has no layers");
	if (model->activation_bits != 0 && model->activation_bits != 8)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "qmd_onnx_export: activations of %u bits, but QuantizeLinear clamps to 8 bits",
						 model->activation_bits);
	return QMD_OK;
}

void qmd_onnx_export_options_init_sized(qmd_onnx_export_options *options, size_t size) {
	const qmd_onnx_export_options defaults = {.struct_size = sizeof defaults,
											  .target = QMD_ONNX_TARGET_DEFAULT,
											  .layout = QMD_ONNX_NCHW,
											  .opset = MIN_OPSET,
											  .activations_type = QMD_S8};
	qmdi_struct_fill(options, size, &defaults, sizeof defaults);
}

/* Everything of `e` is to be released by the caller whatever is returned. */
static qmd_status export_model(qmdi_exporter *e, const char *path) {
	e->builder.graph.input = e->graph_inputs;
	e->builder.graph.output = e->graph_outputs;
	e->values = qmdi_zeroed(e->model->n_layers, sizeof *e->values);
	e->ranks = qmdi_zeroed(e->model->n_layers, sizeof *e->ranks);
	if (!e->values || !e->ranks)
		return QMD_ERROR_MEMORY;
	export_graph(e);
	QMDI_TRY(e->builder.status);
	return write_graph(e, path);
}

qmd_status qmd_onnx_export(const qmd_model *model, const qmd_onnx_export_options *options, const char *path) {
	QMDI_REQUIRE(model);
	QMDI_REQUIRE(path);
	qmdi_exporter e = {.model = model};
	qmd_onnx_export_options_init(&e.options);
	QMDI_TRY(qmdi_options_copy(&e.options, sizeof e.options, sizeof e.options, options, "qmd_onnx_export_options"));
	QMDI_TRY(check_options(&e.options));
	QMDI_TRY(check_model(model));
	qmdi_float_environment host;
	qmdi_float_enter(&host);
	qmdi_onnx_builder_begin(&e.builder);
	const qmd_status status = export_model(&e, path);
	qmdi_onnx_builder_release(&e.builder);
	qmdi_release(e.values);
	qmdi_release(e.ranks);
	qmdi_float_leave(&host);
	return status;
}
