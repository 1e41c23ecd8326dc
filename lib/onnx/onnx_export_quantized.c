/* The part of the export that knows integers: the image, activations, weights and biases. */
#include "onnx_export.h"

#include <stdio.h>

#include "tensor/fake_quant.h"

static const qmdi_layer *layer_of(const qmdi_exporter *e, size_t layer) {
	return &e->model->layers[layer];
}

static int is_for_tensorrt(const qmdi_exporter *e) {
	return e->options.target == QMD_ONNX_TARGET_TENSORRT;
}

int qmdi_export_is_u8(const qmdi_exporter *e, size_t layer) {
	for (; layer > 0; layer = (size_t)layer_of(e, layer)->definition.inputs[0]) {
		const int32_t kind = layer_of(e, layer)->definition.kind;
		if (kind != QMD_LAYER_MAXPOOL && kind != QMD_LAYER_FLATTEN && kind != QMD_LAYER_DROPOUT)
			return 0;
	}
	return e->model->image_type == QMD_U8;
}

/* ---- Activations ---- */

/* Integers q in [-128, 127] or [0, 255], held as q + zero point in the type of all activations. */
typedef struct zero_point {
	int32_t type;
	const void *value;
} zero_point;

static zero_point zero_point_of(int32_t type, int is_u8) {
	static const int8_t s8_of_s8 = 0, s8_of_u8 = -128;
	static const uint8_t u8_of_u8 = 0, u8_of_s8 = 128;
	if (type == QMD_S8)
		return (zero_point){QMDI_ONNX_S8, is_u8 ? &s8_of_u8 : &s8_of_s8};
	return (zero_point){QMDI_ONNX_U8, is_u8 ? &u8_of_u8 : &u8_of_s8};
}

/* "PREFIX" and what follows, as one name under the owner's. */
static char *prefixed(qmdi_exporter *e, const char *owner, const char *prefix, const char *what) {
	char text[64];
	snprintf(text, sizeof text, "%s%s", prefix, what);
	return qmdi_onnx_name(&e->builder, owner, text);
}

typedef struct pair {
	char *scale, *zero;
} pair;

static pair add_pair(qmdi_exporter *e, const char *owner, const char *prefix, size_t source, zero_point zero) {
	const float *scale = &layer_of(e, source)->activation_scale;
	qmdi_onnx_builder *b = &e->builder;
	return (pair){
		qmdi_onnx_initializer(b, prefixed(e, owner, prefix, "scale"), QMDI_ONNX_FLOAT, 0, NULL, scale, sizeof *scale),
		qmdi_onnx_initializer(b, prefixed(e, owner, prefix, "zero_point"), zero.type, 0, NULL, zero.value, 1)};
}

static char *convert(qmdi_exporter *e, const char *op, char *input, pair by, char *output) {
	char *const inputs[QMDI_ONNX_MAX_INPUTS] = {input, by.scale, by.zero};
	qmdi_onnx_node(&e->builder, op, output ? output : "", inputs, output);
	return output;
}

/* TensorRT computes a relu with the layer before it: nothing may come between. */
static int is_fused_with_relu(const qmdi_exporter *e, size_t layer) {
	size_t next;
	const int32_t kind = layer_of(e, layer)->definition.kind;
	if (kind != QMD_LAYER_CONV2D && kind != QMD_LAYER_DENSE && kind != QMD_LAYER_ADD)
		return 0;
	return qmdi_model_consumers(e->model, layer, &next) == 1 && layer_of(e, next)->definition.kind == QMD_LAYER_RELU &&
		   layer_of(e, next)->activation_scale == layer_of(e, layer)->activation_scale;
}

static int stays_float(const qmdi_exporter *e, size_t layer) {
	if (layer >= e->logits || layer_of(e, layer)->activation_scale == 0)
		return 1;
	return is_for_tensorrt(e) && (qmdi_export_is_u8(e, layer) || is_fused_with_relu(e, layer));
}

char *qmdi_export_quantized(qmdi_exporter *e, const char *owner, const char *prefix, size_t source, char *value) {
	if (stays_float(e, source))
		return value;
	const zero_point zero = zero_point_of(e->options.activations_type, qmdi_export_is_u8(e, source));
	const pair by = add_pair(e, owner, prefix, source, zero);
	char *integers = convert(e, "QuantizeLinear", value, by, prefixed(e, owner, prefix, "quantized"));
	return convert(e, "DequantizeLinear", integers, by, prefixed(e, owner, prefix, "dequantized"));
}

/* ---- The image ---- */

static char *add_image_input(qmdi_exporter *e, int32_t type) {
	static const int64_t to_nchw[4] = {0, 3, 1, 2};
	qmdi_onnx_builder *b = &e->builder;
	const qmd_shape shape = layer_of(e, 0)->output;
	const int64_t nchw[4] = {0, shape.c, shape.h, shape.w}, nhwc[4] = {0, shape.h, shape.w, shape.c};
	static char image[] = "image";
	const int is_nhwc = e->options.layout == QMD_ONNX_NHWC;
	b->graph.input[b->graph.n_input++] = qmdi_onnx_value_info(b, image, type, 4, is_nhwc ? nhwc : nchw);
	if (!is_nhwc)
		return image;
	char *transposed = qmdi_onnx_name(b, layer_of(e, 0)->name, "transposed");
	char *const inputs[QMDI_ONNX_MAX_INPUTS] = {image};
	qmdi_onnx_set_ints(b, qmdi_onnx_node(b, "Transpose", "transpose", inputs, transposed), "perm", 4, to_nchw);
	return transposed;
}

char *qmdi_export_image(qmdi_exporter *e) {
	const int32_t type = e->model->image_type;
	const char *name = layer_of(e, 0)->name;
	if (!qmd_model_is_quantized(e->model))
		return add_image_input(e, QMDI_ONNX_FLOAT);
	if (is_for_tensorrt(e))
		return qmdi_export_quantized(e, name, "", 0, add_image_input(e, QMDI_ONNX_FLOAT));
	const zero_point zero = zero_point_of(type, type == QMD_U8);
	char *integers = add_image_input(e, zero.type);
	const pair by = add_pair(e, name, "image_", 0, zero);
	char *reals = convert(e, "DequantizeLinear", integers, by, qmdi_onnx_name(&e->builder, name, "image_dequantized"));
	return type == e->options.activations_type ? reals : qmdi_export_quantized(e, name, "", 0, reals);
}

/* ---- Weights and biases ---- */

char *qmdi_export_floats(qmdi_exporter *e, size_t layer, const char *what, const float *values, size_t n) {
	const int64_t dims[1] = {(int64_t)n};
	return qmdi_onnx_initializer(&e->builder, qmdi_onnx_name(&e->builder, layer_of(e, layer)->name, what),
								 QMDI_ONNX_FLOAT, 1, dims, values, n * sizeof *values);
}

static void *take(qmdi_exporter *e, size_t n, size_t size) {
	if (e->builder.status != QMD_OK)
		return NULL;
	void *taken = qmdi_arena_take(&e->builder.arena, n, size);
	if (!taken)
		e->builder.status = QMD_ERROR_MEMORY;
	return taken;
}

/* [units][h][w][c] to [units][c][h][w]. */
static float *weights_in_nchw(qmdi_exporter *e, const qmdi_layer *layer, qmd_shape spatial) {
	const size_t n = layer->n_parameters[QMDI_WEIGHT], area = (size_t)spatial.h * spatial.w;
	const float *source = layer->parameters[QMDI_WEIGHT];
	float *weights = take(e, n, sizeof *weights);
	if (!weights)
		return NULL;
	for (size_t u = 0; u < layer->definition.units; u++)
		for (size_t i = 0; i < area; i++)
			for (size_t c = 0; c < spatial.c; c++)
				weights[(u * spatial.c + c) * area + i] = source[(u * area + i) * spatial.c + c];
	return weights;
}

static int8_t *quantize_weights(qmdi_exporter *e, const qmdi_layer *layer, const float *weights) {
	const int32_t high = qmdi_quantized_max(e->model->weight_bits);
	const size_t n = layer->n_parameters[QMDI_WEIGHT], n_per_unit = n / layer->definition.units;
	int8_t *integers = take(e, n, 1);
	for (size_t i = 0; integers && i < n; i++)
		integers[i] = (int8_t)qmdi_quantize_f32(weights[i], layer->weight_scales[i / n_per_unit], -high, high);
	return integers;
}

/* Integers with one scale a unit, through DequantizeLinear. `scales` and `integers` are borrowed. */
static char *dequantized_by_unit(qmdi_exporter *e, const qmdi_layer *layer, const char *what, int32_t type,
								 size_t n_dims, const int64_t *dims, const void *integers, size_t size,
								 const float *scales) {
	const int64_t units[1] = {layer->definition.units};
	const size_t zeros_size = layer->definition.units * (type == QMDI_ONNX_S8 ? sizeof(int8_t) : sizeof(int32_t));
	const void *zeros = take(e, zeros_size, 1);
	qmdi_onnx_builder *b = &e->builder;
	const pair by = {
		qmdi_onnx_initializer(b, prefixed(e, layer->name, what, "_scale"), QMDI_ONNX_FLOAT, 1, units, scales,
							  layer->definition.units * sizeof *scales),
		qmdi_onnx_initializer(b, prefixed(e, layer->name, what, "_zero_point"), type, 1, units, zeros, zeros_size)};
	char *const inputs[QMDI_ONNX_MAX_INPUTS] = {
		qmdi_onnx_initializer(b, prefixed(e, layer->name, what, "_quantized"), type, n_dims, dims, integers, size),
		by.scale, by.zero};
	char *output = qmdi_onnx_name(b, layer->name, what);
	qmdi_onnx_set_int(b, qmdi_onnx_node(b, "DequantizeLinear", output ? output : "", inputs, output), "axis", 0);
	return output;
}

/* Bias as int32 in units of s_x * s_w, the product rounded to float32 where ONNX wants it written. */
static char *quantized_bias(qmdi_exporter *e, const qmdi_layer *layer, float input_scale) {
	const size_t n = layer->definition.units;
	int32_t *integers = take(e, n, sizeof *integers);
	float *scales = take(e, n, sizeof *scales);
	if (!integers || !scales)
		return NULL;
	for (size_t u = 0; u < n; u++) {
		integers[u] = qmdi_quantize_bias(layer->parameters[QMDI_BIAS][u], input_scale, layer->weight_scales[u]);
		scales[u] = input_scale * layer->weight_scales[u];
	}
	const int64_t dims[1] = {(int64_t)n};
	return dequantized_by_unit(e, layer, "bias", QMDI_ONNX_S32, 1, dims, integers, n * sizeof *integers, scales);
}

/* What the integers stand for: where the layer is left in float, it is still the same function. */
static void fake_quantize(const qmdi_layer *layer, const int8_t *integers, float *weights) {
	const size_t n = layer->n_parameters[QMDI_WEIGHT], n_per_unit = n / layer->definition.units;
	for (size_t i = 0; i < n; i++)
		weights[i] = layer->weight_scales[i / n_per_unit] * (float)integers[i];
}

void qmdi_export_parameters(qmdi_exporter *e, size_t index, qmd_shape spatial, char **weight, char **bias) {
	const qmdi_layer *layer = layer_of(e, index);
	const size_t input = (size_t)layer->definition.inputs[0], n = layer->n_parameters[QMDI_WEIGHT];
	const int is_conv2d = layer->definition.kind == QMD_LAYER_CONV2D;
	const int64_t units = layer->definition.units;
	const int64_t conv2d[4] = {units, spatial.c, spatial.h, spatial.w}, dense[2] = {units, (int64_t)n / units};
	const size_t n_dims = is_conv2d ? 4 : 2;
	const int64_t *dims = is_conv2d ? conv2d : dense;
	float *weights = weights_in_nchw(e, layer, spatial);
	int8_t *integers = weights && layer->weight_scales ? quantize_weights(e, layer, weights) : NULL;
	const int in_float = !layer->weight_scales || (is_for_tensorrt(e) && qmdi_export_is_u8(e, input));
	if (e->builder.status != QMD_OK)
		return;
	if (in_float && integers)
		fake_quantize(layer, integers, weights);
	if (in_float)
		*weight = qmdi_onnx_initializer(&e->builder, qmdi_onnx_name(&e->builder, layer->name, "weight"),
										QMDI_ONNX_FLOAT, n_dims, dims, weights, n * sizeof *weights);
	else
		*weight =
			dequantized_by_unit(e, layer, "weight", QMDI_ONNX_S8, n_dims, dims, integers, n, layer->weight_scales);
	if (in_float || is_for_tensorrt(e))
		*bias = qmdi_export_floats(e, index, "bias", layer->parameters[QMDI_BIAS], layer->definition.units);
	else
		*bias = quantized_bias(e, layer, layer_of(e, input)->activation_scale);
}
