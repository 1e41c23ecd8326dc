/* QuantizeLinear and DequantizeLinear, of activations and of constants. */
#include "onnx_import.h"

#include <math.h>

#include "model/model_layer.h"
#include "quantize/passes.h"

/* What one node says. */
typedef struct quantization {
	const float *scales;
	float scale; /* the first of them, of an activation the only one */
	size_t n_scales, axis;
	int32_t type, zero; /* of the integers */
} quantization;

/* ---- What a node says ---- */

static qmd_status get_scales(const qmdi_onnx_call *call, quantization *q) {
	const qmdi_onnx_tensor *tensor;
	QMDI_TRY(qmdi_onnx_constant(call, 1, &tensor));
	if (tensor->type != QMDI_ONNX_FLOAT || tensor->n_dims > 1 || tensor->n == 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its scale is %zu numbers of type %s in %zu extents", tensor->n,
						 qmdi_onnx_type_name(tensor->type), tensor->n_dims);
	q->scales = tensor->data;
	q->n_scales = tensor->n;
	q->scale = q->scales[0];
	for (size_t i = 0; i < q->n_scales; i++)
		if (!(q->scales[i] > 0 && isnormal(q->scales[i])))
			return qmdi_fail(QMD_ERROR_RANGE, "its scale %zu is %g, expected a finite normal number above 0", i,
							 (double)q->scales[i]);
	return QMD_OK;
}

/* `type` is that of the integers where there is no zero point to say it. */
static qmd_status get_zero(const qmdi_onnx_call *call, int32_t type, quantization *q) {
	const qmdi_onnx_tensor *tensor;
	QMDI_TRY(qmdi_onnx_constant(call, 2, &tensor));
	q->type = tensor ? tensor->type : type;
	q->zero = 0;
	if (!tensor)
		return QMD_OK;
	if ((q->type != QMDI_ONNX_S8 && q->type != QMDI_ONNX_U8 && q->type != QMDI_ONNX_S32) || tensor->n != q->n_scales)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "its zero point is %zu numbers of type %s, expected %zu of int8 or uint8", tensor->n,
						 qmdi_onnx_type_name(q->type), q->n_scales);
	q->zero = (int32_t)qmdi_onnx_integer(tensor, 0);
	for (size_t i = 1; i < tensor->n; i++)
		if (qmdi_onnx_integer(tensor, i) != q->zero)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its zero points are not equal: %d and %lld", q->zero,
							 (long long)qmdi_onnx_integer(tensor, i));
	return QMD_OK;
}

static qmd_status get_axis(const qmdi_onnx_call *call, size_t n_dims, quantization *q) {
	int64_t axis = 1;
	QMDI_TRY(qmdi_onnx_get_int(call, "axis", &axis));
	QMDI_TRY(qmdi_onnx_demand_int(call, "block_size", 0));
	if (q->n_scales == 1) {
		q->axis = 0;
		return QMD_OK;
	}
	axis += axis < 0 ? (int64_t)n_dims : 0;
	if (axis < 0 || axis >= (int64_t)n_dims)
		return qmdi_fail(QMD_ERROR_FORMAT, "attribute 'axis' is %lld, of %zu extents", (long long)axis, n_dims);
	q->axis = (size_t)axis;
	return QMD_OK;
}

/*
 * Which integers q - zero are: QMD_S8 for [-128, 127], QMD_U8 for [0, 255]. The library knows no others: any other zero
 * point would need sums of weights beside every product.
 */
static qmd_status range_of(const quantization *q, int32_t *range) {
	if ((q->type == QMDI_ONNX_S8 && q->zero == 0) || (q->type == QMDI_ONNX_U8 && q->zero == 128))
		*range = QMD_S8;
	else if ((q->type == QMDI_ONNX_U8 && q->zero == 0) || (q->type == QMDI_ONNX_S8 && q->zero == -128))
		*range = QMD_U8;
	else
		return qmdi_fail(
			QMD_ERROR_UNSUPPORTED,
			"its zero point is %d of %s: expected symmetric quantization (int8 around 0 or uint8 around 128, "
			"for an image uint8 from 0 or int8 from -128)",
			q->zero, qmdi_onnx_type_name(q->type));
	return QMD_OK;
}

/* ---- Constants ---- */

static qmd_status check_constant_scales(const qmdi_onnx_tensor *tensor, const quantization *q) {
	if (q->n_scales != 1 && (q->axis >= tensor->n_dims || tensor->dims[q->axis] != q->n_scales))
		return qmdi_fail(QMD_ERROR_SHAPE, "it has %zu scales for axis %zu of a tensor of %zu extents", q->n_scales,
						 q->axis, tensor->n_dims);
	return QMD_OK;
}

qmd_status qmdi_onnx_fold_dequantize(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_tensor tensor = call->inputs[0]->tensor;
	quantization q = {0};
	int32_t range = 0;
	(void)im;
	QMDI_TRY(get_scales(call, &q));
	QMDI_TRY(get_zero(call, tensor.type, &q));
	QMDI_TRY(get_axis(call, tensor.n_dims, &q));
	QMDI_TRY(check_constant_scales(&tensor, &q));
	if (tensor.scales || q.type != tensor.type)
		return qmdi_fail(QMD_ERROR_FORMAT, "its input is %s, its zero point %s",
						 tensor.scales ? "real" : qmdi_onnx_type_name(tensor.type), qmdi_onnx_type_name(q.type));
	if (tensor.type == QMDI_ONNX_S32 && q.zero != 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its zero point is %d, expected 0 of an int32", q.zero);
	if (tensor.type != QMDI_ONNX_S32)
		QMDI_TRY(range_of(&q, &range));
	tensor.scales = q.scales;
	tensor.n_scales = q.n_scales;
	tensor.axis = q.axis;
	tensor.zero = q.zero;
	return qmdi_onnx_give_constant(call, tensor);
}

static uint8_t quantized(float x, float scale, const quantization *q) {
	const float low = q->type == QMDI_ONNX_S8 ? -128.0f : 0.0f;
	const float rounded = rintf(x / scale) + (float)q->zero;
	const float clamped = rounded < low ? low : rounded > low + 255.0f ? low + 255.0f : rounded;
	return (uint8_t)((int32_t)clamped & 0xff);
}

qmd_status qmdi_onnx_fold_quantize(qmdi_importer *im, const qmdi_onnx_call *call) {
	const qmdi_onnx_tensor *input = &call->inputs[0]->tensor;
	quantization q = {0};
	QMDI_TRY(get_scales(call, &q));
	QMDI_TRY(get_zero(call, QMDI_ONNX_U8, &q));
	QMDI_TRY(get_axis(call, input->n_dims, &q));
	QMDI_TRY(check_constant_scales(input, &q));
	if (input->type != QMDI_ONNX_FLOAT || (q.type != QMDI_ONNX_S8 && q.type != QMDI_ONNX_U8))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it makes %s of %s", qmdi_onnx_type_name(q.type),
						 qmdi_onnx_type_name(input->type));
	qmdi_onnx_tensor output = *input;
	uint8_t *integers = qmdi_arena_take(&im->arena, input->n, 1);
	if (!integers)
		return QMD_ERROR_MEMORY;
	qmdi_onnx_tensor by = *input;
	by.n_scales = q.n_scales;
	by.axis = q.axis;
	for (size_t i = 0; i < input->n; i++) {
		const float x = ((const float *)input->data)[i];
		if (!isfinite(x))
			return qmdi_fail(QMD_ERROR_RANGE, "element %zu of its input is %g, expected a finite number", i, (double)x);
		integers[i] = quantized(x, q.scales[qmdi_onnx_scale_index(&by, i)], &q);
	}
	output.type = q.type;
	output.data = integers;
	return qmdi_onnx_give_constant(call, output);
}

/* ---- Activations ---- */

/* One layer's output is quantized in one way. */
static qmd_status record(qmdi_importer *im, int32_t layer, float scale, int32_t range) {
	if (im->scales[layer] != 0 && (im->scales[layer] != scale || im->ranges[layer] != range))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "layer '%s' was quantized by scale %.9g already, now by %.9g or to other integers",
						 im->model->layers[layer].name, (double)im->scales[layer], (double)scale);
	im->scales[layer] = scale;
	im->ranges[layer] = range;
	return QMD_OK;
}

static qmd_status get_for_activation(const qmdi_onnx_call *call, int32_t type, quantization *q, int32_t *range) {
	QMDI_TRY(get_scales(call, q));
	QMDI_TRY(get_zero(call, type, q));
	QMDI_TRY(qmdi_onnx_demand_int(call, "block_size", 0));
	if (q->n_scales != 1)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it has %zu scales for an activation, expected 1", q->n_scales);
	return range_of(q, range);
}

qmd_status qmdi_onnx_quantize(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input = {0};
	quantization q = {0};
	int64_t type = QMDI_ONNX_U8;
	QMDI_TRY(qmdi_onnx_reals(call, 0, &input));
	QMDI_TRY(qmdi_onnx_get_int(call, "output_dtype", &type));
	QMDI_TRY(get_for_activation(call, type == 0 ? QMDI_ONNX_U8 : (int32_t)type, &q, &input.range));
	input.scale = q.scale;
	input.is_integer = 1;
	input.type = q.type;
	QMDI_TRY(record(im, input.layer, input.scale, input.range));
	return qmdi_onnx_give_alias(call, 0, input);
}

qmd_status qmdi_onnx_dequantize(qmdi_importer *im, const qmdi_onnx_call *call) {
	if (call->inputs[0]->kind != QMDI_ONNX_ACTIVATION)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its scale or zero point is computed from the image");
	qmdi_onnx_activation input = call->inputs[0]->activation;
	quantization q = {0};
	int32_t range = 0;
	if (!input.is_integer)
		return qmdi_fail(QMD_ERROR_FORMAT, "its input is real numbers already");
	QMDI_TRY(get_for_activation(call, input.type, &q, &range));
	if (q.type != input.type)
		return qmdi_fail(QMD_ERROR_FORMAT, "its input is %s, its zero point %s", qmdi_onnx_type_name(input.type),
						 qmdi_onnx_type_name(q.type));
	if (input.scale != 0 && (q.scale != input.scale || range != input.range))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "its scale is %.9g, QuantizeLinear's was %.9g, or the zero points differ", (double)q.scale,
						 (double)input.scale);
	input.scale = q.scale;
	input.range = range;
	input.is_integer = 0;
	QMDI_TRY(record(im, input.layer, input.scale, input.range));
	return qmdi_onnx_give_alias(call, 0, input);
}

/* ---- All layers ---- */

static int passes_scale_on(int32_t kind) {
	return kind == QMD_LAYER_RELU || kind == QMD_LAYER_MAXPOOL || kind == QMD_LAYER_FLATTEN;
}

/* The image's numbers are its bytes by the library's own scale. */
static qmd_status set_image(qmdi_importer *im) {
	const float scale = im->scales[0];
	if (scale == 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "its image is not quantized: no QuantizeLinear or DequantizeLinear reads "
						 "the input");
	im->model->image_type = im->ranges[0];
	const float expected = qmdi_image_scale(im->ranges[0]);
	if (fabsf(scale - expected) > 1e-6f * expected)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its image has a scale of %.9g, expected 1/%d, %.9g", (double)scale,
						 im->ranges[0] == QMD_U8 ? 255 : 127, (double)expected);
	im->scales[0] = expected;
	return QMD_OK;
}

/* Where a layer's output is not quantized itself but that of the only one that reads it is, which only clamps or picks:
 * its scale will do for both. */
static void take_scale_of_reader(qmdi_importer *im, size_t layer) {
	size_t reader;
	if (im->scales[layer] != 0 || qmdi_model_consumers(im->model, layer, &reader) != 1 ||
		!passes_scale_on(im->model->layers[reader].definition.kind))
		return;
	im->scales[layer] = im->scales[reader];
	im->ranges[layer] = im->ranges[reader];
}

static void take_scale_of_input(qmdi_importer *im, size_t layer) {
	const qmd_layer *definition = &im->model->layers[layer].definition;
	if (im->scales[layer] != 0 || !passes_scale_on(definition->kind))
		return;
	im->scales[layer] = im->scales[definition->inputs[0]];
	im->ranges[layer] = im->ranges[definition->inputs[0]];
}

static qmd_status check_range(const qmdi_importer *im, size_t layer) {
	const qmdi_layer *checked = &im->model->layers[layer];
	const int32_t kind = checked->definition.kind;
	const int picks = kind == QMD_LAYER_MAXPOOL || kind == QMD_LAYER_FLATTEN;
	const int32_t expected = picks ? im->ranges[checked->definition.inputs[0]] : QMD_S8;
	if (im->scales[layer] == 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "layer '%s': its output is not quantized, that of others is",
						 checked->name);
	if (im->ranges[layer] != expected)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "layer '%s': its output is quantized to [%s], expected [%s]",
						 checked->name, im->ranges[layer] == QMD_U8 ? "0, 255" : "-128, 127",
						 expected == QMD_U8 ? "0, 255" : "-128, 127");
	return QMD_OK;
}

qmd_status qmdi_onnx_finish_quantization(qmdi_importer *im) {
	qmd_model *model = im->model;
	const size_t logits = qmdi_model_logits(model);
	QMDI_TRY(set_image(im));
	for (size_t i = logits; i-- > 1;)
		take_scale_of_reader(im, i);
	for (size_t i = 1; i < logits; i++) {
		take_scale_of_input(im, i);
		QMDI_TRY(check_range(im, i));
	}
	for (size_t i = 0; i < logits; i++)
		model->layers[i].activation_scale = im->scales[i];
	if (im->scales[logits] != 0)
		QMDI_TRY(qmdi_note_pass(model, "onnx import: the logits stay float, their QuantizeLinear is dropped"));
	if (im->n_clipped > 0)
		QMDI_TRY(qmdi_note_pass(model, "onnx import: %zu weights of -128 became -127", im->n_clipped));
	model->weight_bits = model->activation_bits = 8;
	return qmdi_model_check_quantization(model);
}
