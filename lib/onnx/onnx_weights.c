/* From constants of the file to parameters of layers. */
#include "onnx_import.h"

#include "base/memory.h"
#include "model/model_layer.h"

/* ---- Weights ---- */

static qmd_status check_real(const qmdi_onnx_tensor *tensor, const char *what) {
	if (!qmdi_onnx_is_real(tensor))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its %s is %s, expected float", what,
						 qmdi_onnx_type_name(tensor->type));
	return QMD_OK;
}

static qmd_status check_quantized_weights(const qmdi_onnx_tensor *tensor, size_t units, size_t unit_axis) {
	if (!tensor->scales)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "its weight is not behind DequantizeLinear: a model is quantized as a whole or not at all");
	if (tensor->type == QMDI_ONNX_S32)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its weight is int32 behind DequantizeLinear, expected int8");
	if (tensor->n_scales != 1 && (tensor->n_scales != units || tensor->axis != unit_axis))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "its weight has %zu scales along axis %zu, expected 1, or %zu along %zu", tensor->n_scales,
						 tensor->axis, units, unit_axis);
	return QMD_OK;
}

static qmd_status set_weight_scales(qmdi_layer *layer, const qmdi_onnx_tensor *tensor) {
	layer->weight_scales = qmdi_array(layer->definition.units, sizeof *layer->weight_scales);
	if (!layer->weight_scales)
		return QMD_ERROR_MEMORY;
	for (size_t u = 0; u < layer->definition.units; u++)
		layer->weight_scales[u] = tensor->scales[tensor->n_scales == 1 ? 0 : u];
	return QMD_OK;
}

/* -128 has no counterpart of the same magnitude, and would make products that kernels do not expect. */
static qmd_status take_weight(qmdi_importer *im, const qmdi_onnx_tensor *tensor, size_t from, float *weight) {
	*weight = qmdi_onnx_real(tensor, from);
	if (!im->is_quantized || qmdi_onnx_integer(tensor, from) - tensor->zero != -128)
		return QMD_OK;
	if (!im->options.clip_weights)
		return qmdi_fail(
			QMD_ERROR_RANGE,
			"element %zu of its weight is -128, expected -127 to 127 (quantize to a symmetric range, or ask "
			"for it to be clipped)",
			from);
	*weight = tensor->scales[qmdi_onnx_scale_index(tensor, from)] * -127.0f;
	im->n_clipped++;
	return QMD_OK;
}

qmd_status qmdi_onnx_take_weights(qmdi_importer *im, int32_t index, const qmdi_onnx_tensor *tensor,
								  qmdi_onnx_weight_order order) {
	qmdi_layer *layer = &im->model->layers[index];
	float *weights = layer->parameters[QMDI_WEIGHT];
	const qmd_shape s = order.spatial;
	const size_t units = layer->definition.units;
	QMDI_TRY(check_real(tensor, "weight"));
	if (im->is_quantized) {
		QMDI_TRY(check_quantized_weights(tensor, units, order.unit_axis));
		QMDI_TRY(set_weight_scales(layer, tensor));
	}
	for (size_t u = 0; u < units; u++)
		for (size_t y = 0; y < s.h; y++)
			for (size_t x = 0; x < s.w; x++)
				for (size_t c = 0; c < s.c; c++)
					QMDI_TRY(take_weight(im, tensor, u * order.unit_stride + ((c * s.h + y) * s.w + x) * order.stride,
										 &weights[((u * s.h + y) * s.w + x) * s.c + c]));
	return qmdi_layer_check_parameter(layer, QMDI_WEIGHT, weights);
}

/* ---- Biases ---- */

/*
 * An integer bias counts units of s_x * s_w. ONNX has that product rounded to float32; the engine divides by the exact
 * one (docs/numerics.md), so that is what the integer is multiplied by: dividing gives the integer back.
 */
static float real_bias(const qmdi_layer *layer, const qmdi_onnx_tensor *tensor, size_t u, size_t i, float input_scale) {
	if (!tensor->scales || !layer->weight_scales)
		return qmdi_onnx_real(tensor, i);
	const float weight_scale = layer->weight_scales[u];
	const double exact = (double)input_scale * (double)weight_scale;
	if (tensor->scales[qmdi_onnx_scale_index(tensor, i)] != input_scale * weight_scale)
		return qmdi_onnx_real(tensor, i);
	return (float)((double)(qmdi_onnx_integer(tensor, i) - tensor->zero) * exact);
}

qmd_status qmdi_onnx_take_bias(qmdi_importer *im, int32_t index, const qmdi_onnx_tensor *tensor, float input_scale) {
	qmdi_layer *layer = &im->model->layers[index];
	float *bias = layer->parameters[QMDI_BIAS];
	const size_t units = layer->n_parameters[QMDI_BIAS];
	QMDI_TRY(check_real(tensor, "bias"));
	if (tensor->n != 1 && tensor->n != units)
		return qmdi_fail(QMD_ERROR_SHAPE, "its bias has %zu elements, expected %zu", tensor->n, units);
	for (size_t u = 0; u < units; u++)
		bias[u] = real_bias(layer, tensor, u, tensor->n == 1 ? 0 : u, input_scale);
	return qmdi_layer_check_parameter(layer, QMDI_BIAS, bias);
}

/* ---- Batch normalization ---- */

qmd_status qmdi_onnx_take_channels(qmdi_importer *im, int32_t index, size_t parameter, const qmdi_onnx_tensor *tensor,
								   qmd_shape order) {
	qmdi_layer *layer = &im->model->layers[index];
	float *values = layer->parameters[parameter];
	QMDI_TRY(check_real(tensor, qmdi_parameter_name(layer, parameter)));
	if (tensor->n_dims != 1 || tensor->n != layer->n_parameters[parameter])
		return qmdi_fail(QMD_ERROR_SHAPE, "its %s has %zu elements, expected %zu",
						 qmdi_parameter_name(layer, parameter), tensor->n, layer->n_parameters[parameter]);
	for (size_t y = 0; y < order.h; y++)
		for (size_t x = 0; x < order.w; x++)
			for (size_t c = 0; c < order.c; c++)
				values[(y * order.w + x) * order.c + c] = qmdi_onnx_real(tensor, (c * order.h + y) * order.w + x);
	return qmdi_layer_check_parameter(layer, parameter, values);
}
