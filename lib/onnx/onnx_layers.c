/* Operators that become layers. */
#include "onnx_import.h"

#include <string.h>

#include "model/model_layer.h"

/* What a layer gives that keeps shape and integers of its input. */
static qmdi_onnx_activation like(qmdi_onnx_activation added, const qmdi_onnx_activation *input) {
	qmdi_onnx_activation output = *input;
	output.layer = added.layer;
	return output;
}

static qmd_status to_extent(const char *name, int64_t value, uint32_t *extent) {
	if (value < 1 || value > (int64_t)QMDI_MAX_ELEMENTS)
		return qmdi_fail(QMD_ERROR_RANGE, "attribute '%s' has %lld, expected 1 to %u", name, (long long)value,
						 QMDI_MAX_ELEMENTS);
	*extent = (uint32_t)value;
	return QMD_OK;
}

/* ---- Windows of convolutions and pools ---- */

typedef struct window {
	uint32_t kernel[2], stride[2];
	uint32_t before[2], after[2]; /* padding */
} window;

static qmd_status get_extents(const qmdi_onnx_call *call, const char *name, uint32_t extents[2], int *found) {
	int64_t values[2];
	QMDI_TRY(qmdi_onnx_get_ints(call, name, 2, values, found));
	for (int i = 0; *found && i < 2; i++)
		QMDI_TRY(to_extent(name, values[i], &extents[i]));
	return QMD_OK;
}

static qmd_status check_dilations(const qmdi_onnx_call *call) {
	uint32_t dilations[2] = {1, 1};
	int found;
	QMDI_TRY(get_extents(call, "dilations", dilations, &found));
	if (dilations[0] != 1 || dilations[1] != 1)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its window is dilated by %u x %u", dilations[0], dilations[1]);
	return QMD_OK;
}

static qmd_status get_explicit_pads(const qmdi_onnx_call *call, window *w) {
	int64_t pads[4];
	int found;
	QMDI_TRY(qmdi_onnx_get_ints(call, "pads", 4, pads, &found));
	for (int i = 0; found && i < 4; i++)
		if (pads[i] < 0 || pads[i] > (int64_t)QMDI_MAX_ELEMENTS)
			return qmdi_fail(QMD_ERROR_RANGE, "attribute 'pads' has %lld", (long long)pads[i]);
	for (int i = 0; found && i < 2; i++) {
		w->before[i] = (uint32_t)pads[i];
		w->after[i] = (uint32_t)pads[i + 2];
	}
	return QMD_OK;
}

/* As much as makes the output ceil(input / stride); an odd pixel goes to the end (upper) or to the beginning (lower).
 */
static void pad_same(window *w, const uint32_t in[2], int is_lower) {
	for (int i = 0; i < 2; i++) {
		const uint64_t out = ((uint64_t)in[i] + w->stride[i] - 1) / w->stride[i];
		const uint64_t covered = (out - 1) * w->stride[i] + w->kernel[i];
		const uint32_t total = covered > in[i] ? (uint32_t)(covered - in[i]) : 0;
		w->before[i] = is_lower ? total - total / 2 : total / 2;
		w->after[i] = total - w->before[i];
	}
}

/* `kernel` and `stride` are set before. */
static qmd_status get_padding(const qmdi_onnx_call *call, qmd_shape in, window *w) {
	char mode[16] = "NOTSET";
	const uint32_t extents[2] = {in.h, in.w};
	QMDI_TRY(qmdi_onnx_get_string(call, "auto_pad", mode, sizeof mode));
	if (strcmp(mode, "NOTSET") == 0)
		return get_explicit_pads(call, w);
	if (strcmp(mode, "SAME_UPPER") == 0 || strcmp(mode, "SAME_LOWER") == 0)
		pad_same(w, extents, strcmp(mode, "SAME_LOWER") == 0);
	else if (strcmp(mode, "VALID") != 0)
		return qmdi_fail(QMD_ERROR_FORMAT, "attribute 'auto_pad' is '%s'", mode);
	return QMD_OK;
}

static void set_window(qmd_layer *layer, const window *w) {
	layer->kernel_h = w->kernel[0];
	layer->kernel_w = w->kernel[1];
	layer->stride_h = w->stride[0];
	layer->stride_w = w->stride[1];
}

/* ---- Convolutions ---- */

static void set_padding(qmd_layer *layer, const window *w) {
	layer->pad_top = w->before[0];
	layer->pad_left = w->before[1];
	layer->pad_bottom = w->after[0];
	layer->pad_right = w->after[1];
	const int is_padded = w->before[0] || w->before[1] || w->after[0] || w->after[1];
	layer->padding = is_padded ? QMD_PADDING_EXPLICIT : QMD_PADDING_VALID;
}

static qmd_status check_conv_weight(const qmdi_onnx_tensor *weight, qmd_shape in) {
	if (weight->n_dims != 4)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its weight has %zu extents, expected 4 (convolutions of images)",
						 weight->n_dims);
	if (weight->dims[1] != in.c || weight->n == 0)
		return qmdi_fail(QMD_ERROR_SHAPE, "its weight is %zu x %zu x %zu x %zu, its input has %u channels",
						 weight->dims[0], weight->dims[1], weight->dims[2], weight->dims[3], in.c);
	return QMD_OK;
}

static qmd_status conv_window(const qmdi_onnx_call *call, const qmdi_onnx_tensor *weight, qmd_shape in, window *w) {
	uint32_t kernel[2];
	int found;
	*w = (window){.kernel = {(uint32_t)weight->dims[2], (uint32_t)weight->dims[3]}, .stride = {1, 1}};
	QMDI_TRY(get_extents(call, "kernel_shape", kernel, &found));
	if (found && (kernel[0] != w->kernel[0] || kernel[1] != w->kernel[1]))
		return qmdi_fail(QMD_ERROR_SHAPE, "attribute 'kernel_shape' is %u x %u, its weight is %u x %u", kernel[0],
						 kernel[1], w->kernel[0], w->kernel[1]);
	QMDI_TRY(get_extents(call, "strides", w->stride, &found));
	QMDI_TRY(check_dilations(call));
	return get_padding(call, in, w);
}

qmd_status qmdi_onnx_conv(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input = {0}, output = {0};
	const qmdi_onnx_tensor *weight, *bias;
	window w;
	QMDI_TRY(qmdi_onnx_demand_int(call, "group", 1));
	QMDI_TRY(qmdi_onnx_reals_in(call, 0, QMDI_ONNX_FORM_NCHW, &input));
	QMDI_TRY(qmdi_onnx_constant(call, 1, &weight));
	QMDI_TRY(qmdi_onnx_constant(call, 2, &bias));
	const qmd_shape in = qmdi_onnx_shape(im, &input);
	QMDI_TRY(check_conv_weight(weight, in));
	QMDI_TRY(conv_window(call, weight, in, &w));
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_CONV2D);
	layer.units = (uint32_t)weight->dims[0];
	set_window(&layer, &w);
	set_padding(&layer, &w);
	QMDI_TRY(qmdi_onnx_add_layer(im, call, &layer, input.layer, &output));
	const qmdi_onnx_weight_order order = {{w.kernel[0], w.kernel[1], in.c}, weight->n / weight->dims[0], 1, 0};
	QMDI_TRY(qmdi_onnx_take_weights(im, output.layer, weight, order));
	if (bias)
		QMDI_TRY(qmdi_onnx_take_bias(im, output.layer, bias, input.scale));
	return qmdi_onnx_give_layer(call, output);
}

/* ---- Dense layers ---- */

/* Add a dense; its weight is [units][n] or, where it is not transposed, [n][units]. */
static qmd_status add_dense(qmdi_importer *im, const qmdi_onnx_call *call, int is_transposed,
							qmdi_onnx_activation *input, qmdi_onnx_activation *output) {
	const qmdi_onnx_tensor *weight;
	QMDI_TRY(qmdi_onnx_reals_in(call, 0, QMDI_ONNX_FORM_FLAT, input));
	QMDI_TRY(qmdi_onnx_constant(call, 1, &weight));
	const qmd_shape in = qmdi_onnx_shape(im, input);
	const size_t n_in = (size_t)in.h * in.w * in.c;
	if (weight->n_dims != 2 || weight->n == 0 || weight->dims[is_transposed ? 1 : 0] != n_in)
		return qmdi_fail(QMD_ERROR_SHAPE, "its weight has %zu extents, %zu x %zu, its input has %zu elements",
						 weight->n_dims, weight->n_dims > 0 ? weight->dims[0] : 0,
						 weight->n_dims > 1 ? weight->dims[1] : 0, n_in);
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_DENSE);
	layer.units = (uint32_t)weight->dims[is_transposed ? 0 : 1];
	QMDI_TRY(qmdi_onnx_add_layer(im, call, &layer, input->layer, output));
	output->form = QMDI_ONNX_FORM_FLAT;
	const qmdi_onnx_weight_order order = {input->order, is_transposed ? n_in : 1, is_transposed ? 1 : layer.units,
										  is_transposed ? 0 : 1};
	return qmdi_onnx_take_weights(im, output->layer, weight, order);
}

static qmd_status demand_one(const qmdi_onnx_call *call, const char *name) {
	float value = 1.0f;
	QMDI_TRY(qmdi_onnx_get_float(call, name, &value));
	if (value != 1.0f)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "attribute '%s' is %g, expected 1", name, (double)value);
	return QMD_OK;
}

qmd_status qmdi_onnx_gemm(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input = {0}, output = {0};
	const qmdi_onnx_tensor *bias;
	int64_t is_transposed = 0;
	QMDI_TRY(demand_one(call, "alpha"));
	QMDI_TRY(demand_one(call, "beta"));
	QMDI_TRY(qmdi_onnx_demand_int(call, "transA", 0));
	QMDI_TRY(qmdi_onnx_get_int(call, "transB", &is_transposed));
	QMDI_TRY(qmdi_onnx_constant(call, 2, &bias));
	QMDI_TRY(add_dense(im, call, is_transposed != 0, &input, &output));
	if (bias)
		QMDI_TRY(qmdi_onnx_take_bias(im, output.layer, bias, input.scale));
	return qmdi_onnx_give_layer(call, output);
}

qmd_status qmdi_onnx_matmul(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input = {0}, output = {0};
	QMDI_TRY(add_dense(im, call, 0, &input, &output));
	return qmdi_onnx_give_layer(call, output);
}

/* ---- Sums ---- */

/* The constant must be one number, or vary along the channels alone. */
static qmd_status check_channel_extents(const qmdi_onnx_tensor *tensor, qmdi_onnx_form form) {
	const size_t from_end = form == QMDI_ONNX_FORM_NCHW ? 3 : 1;
	for (size_t i = 0; i < tensor->n_dims; i++)
		if (tensor->dims[i] != 1 && i + from_end != tensor->n_dims)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its constant varies along extent %zu, not along the channels", i);
	return QMD_OK;
}

/* A constant that is added to a convolution, a dense or a scaling (qmdi_onnx_mul()) without a bias is its bias. */
static qmd_status add_bias(qmdi_importer *im, const qmdi_onnx_call *call, size_t activation, size_t constant) {
	const qmdi_onnx_value *value = call->inputs[activation];
	qmdi_onnx_activation input = {0};
	QMDI_TRY(qmdi_onnx_reals(call, activation, &input));
	const qmdi_layer *layer = &im->model->layers[input.layer];
	int is_bare = (layer->definition.units > 0 || layer->definition.kind == QMD_LAYER_BATCHNORM) && input.scale == 0 &&
				  value->n_readers == 1 && !value->is_shared && !qmdi_onnx_is_reordered(&input);
	for (size_t u = 0; is_bare && u < layer->n_parameters[QMDI_BIAS]; u++)
		is_bare = layer->parameters[QMDI_BIAS][u] == 0;
	if (!is_bare)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "it adds a constant, but not as the bias of a convolution or dense that nothing else reads");
	QMDI_TRY(check_channel_extents(&call->inputs[constant]->tensor, input.form));
	QMDI_TRY(
		qmdi_onnx_take_bias(im, input.layer, &call->inputs[constant]->tensor, im->scales[layer->definition.inputs[0]]));
	return qmdi_onnx_give_layer(call, input);
}

qmd_status qmdi_onnx_add(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation a = {0}, b = {0}, output = {0};
	if (call->inputs[1]->kind == QMDI_ONNX_CONSTANT)
		return add_bias(im, call, 0, 1);
	if (call->inputs[0]->kind == QMDI_ONNX_CONSTANT)
		return add_bias(im, call, 1, 0);
	QMDI_TRY(qmdi_onnx_reals(call, 0, &a));
	QMDI_TRY(qmdi_onnx_reals_in(call, 1, a.form, &b));
	if (memcmp(&a.order, &b.order, sizeof a.order) != 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its inputs were flattened from images of other shapes");
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_ADD);
	layer.inputs[1] = b.layer;
	QMDI_TRY(qmdi_onnx_add_layer(im, call, &layer, a.layer, &output));
	output.form = a.form;
	output.order = a.order;
	return qmdi_onnx_give_layer(call, output);
}

/* A factor for each channel, which is what is left of a batch normalization that others folded halfway: a batchnorm of
 * mean 0 and variance 1. */
qmd_status qmdi_onnx_mul(qmdi_importer *im, const qmdi_onnx_call *call) {
	const size_t constant = call->inputs[1]->kind == QMDI_ONNX_CONSTANT ? 1 : 0;
	const qmdi_onnx_tensor *factors = &call->inputs[constant]->tensor;
	qmdi_onnx_activation input = {0}, output = {0};
	QMDI_TRY(qmdi_onnx_reals(call, 1 - constant, &input));
	if (call->inputs[constant]->kind != QMDI_ONNX_CONSTANT || im->is_quantized || qmdi_onnx_is_reordered(&input))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it is not a constant factor for each channel of a model in FP32");
	QMDI_TRY(check_channel_extents(factors, input.form));
	const size_t n = qmdi_onnx_shape(im, &input).c;
	if ((factors->n != 1 && factors->n != n) || !qmdi_onnx_is_real(factors))
		return qmdi_fail(QMD_ERROR_SHAPE, "its constant is %zu numbers of type %s, for %zu channels", factors->n,
						 qmdi_onnx_type_name(factors->type), n);
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_BATCHNORM);
	layer.epsilon = 1e-30f; /* nothing beside a variance of 1 */
	QMDI_TRY(qmdi_onnx_add_layer(im, call, &layer, input.layer, &output));
	float *gamma = im->model->layers[output.layer].parameters[QMDI_GAMMA];
	for (size_t c = 0; c < n; c++)
		gamma[c] = qmdi_onnx_real(factors, factors->n == 1 ? 0 : c);
	QMDI_TRY(qmdi_layer_check_parameter(&im->model->layers[output.layer], QMDI_GAMMA, gamma));
	return qmdi_onnx_give_layer(call, like(output, &input));
}

/* ---- Layers without parameters ---- */

qmd_status qmdi_onnx_relu(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input = {0}, output = {0};
	QMDI_TRY(qmdi_onnx_reals(call, 0, &input));
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_RELU);
	QMDI_TRY(qmdi_onnx_add_layer(im, call, &layer, input.layer, &output));
	return qmdi_onnx_give_layer(call, like(output, &input));
}

static qmd_status check_pool(const qmdi_onnx_call *call, qmd_shape in, const window *w) {
	int64_t rounds_up = 0;
	QMDI_TRY(check_dilations(call));
	QMDI_TRY(qmdi_onnx_get_int(call, "ceil_mode", &rounds_up));
	if (w->before[0] || w->before[1] || w->after[0] || w->after[1])
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it pads by %u, %u, %u, %u: pools of a model do not pad", w->before[0],
						 w->before[1], w->after[0], w->after[1]);
	const uint32_t extents[2] = {in.h, in.w};
	for (int i = 0; rounds_up && i < 2; i++)
		if (extents[i] < w->kernel[i] || (extents[i] - w->kernel[i]) % w->stride[i] != 0)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED,
							 "attribute 'ceil_mode' is 1: a model drops what does not fill a window");
	return QMD_OK;
}

qmd_status qmdi_onnx_pool(qmdi_importer *im, const qmdi_onnx_call *call) {
	const int is_max = strcmp(call->node->op_type, "MaxPool") == 0;
	qmdi_onnx_activation input = {0}, output = {0};
	window w = {.stride = {1, 1}};
	int found;
	QMDI_TRY(qmdi_onnx_reals_in(call, 0, QMDI_ONNX_FORM_NCHW, &input));
	const qmd_shape in = qmdi_onnx_shape(im, &input);
	QMDI_TRY(get_extents(call, "kernel_shape", w.kernel, &found));
	if (!found)
		return qmdi_fail(QMD_ERROR_FORMAT, "attribute 'kernel_shape' is missing");
	QMDI_TRY(get_extents(call, "strides", w.stride, &found));
	QMDI_TRY(get_padding(call, in, &w));
	QMDI_TRY(check_pool(call, in, &w));
	qmd_layer layer;
	qmd_layer_init(&layer, is_max ? QMD_LAYER_MAXPOOL : QMD_LAYER_AVGPOOL);
	set_window(&layer, &w);
	QMDI_TRY(qmdi_onnx_add_layer(im, call, &layer, input.layer, &output));
	return qmdi_onnx_give_layer(call, is_max ? like(output, &input) : output);
}

qmd_status qmdi_onnx_global_average_pool(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input = {0}, output = {0};
	QMDI_TRY(qmdi_onnx_reals_in(call, 0, QMDI_ONNX_FORM_NCHW, &input));
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_GLOBAL_AVGPOOL);
	QMDI_TRY(qmdi_onnx_add_layer(im, call, &layer, input.layer, &output));
	return qmdi_onnx_give_layer(call, output);
}

qmd_status qmdi_onnx_reduce_mean(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input = {0}, output = {0};
	size_t axes[QMDI_ONNX_MAX_DIMS], n;
	int64_t keeps = 1;
	QMDI_TRY(qmdi_onnx_reals(call, 0, &input));
	QMDI_TRY(qmdi_onnx_get_axes(call, input.form == QMDI_ONNX_FORM_FLAT ? 2 : 4, axes, &n));
	QMDI_TRY(qmdi_onnx_get_int(call, "keepdims", &keeps));
	const size_t h = input.form == QMDI_ONNX_FORM_NCHW ? 2 : 1;
	if (input.form == QMDI_ONNX_FORM_FLAT || n != 2 || axes[0] + axes[1] != 2 * h + 1 || (axes[0] != h && axes[1] != h))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it is not a mean over height and width");
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_GLOBAL_AVGPOOL);
	QMDI_TRY(qmdi_onnx_add_layer(im, call, &layer, input.layer, &output));
	output.form = keeps ? input.form : QMDI_ONNX_FORM_FLAT;
	return qmdi_onnx_give_layer(call, output);
}

qmd_status qmdi_onnx_batch_normalization(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input = {0}, output = {0};
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_BATCHNORM);
	layer.epsilon = 1e-5f; /* ONNX's defaults */
	layer.momentum = 0.9f;
	QMDI_TRY(qmdi_onnx_reals(call, 0, &input));
	if (input.form == QMDI_ONNX_FORM_NHWC)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its input is [N][h][w][c], expected [N][c][h][w] or [N][n]");
	if (im->is_quantized)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "in a quantized model: fold it into the layer before it first");
	QMDI_TRY(qmdi_onnx_demand_int(call, "training_mode", 0));
	QMDI_TRY(qmdi_onnx_demand_int(call, "is_test", 1));
	QMDI_TRY(qmdi_onnx_demand_int(call, "spatial", 1));
	QMDI_TRY(qmdi_onnx_get_float(call, "epsilon", &layer.epsilon));
	QMDI_TRY(qmdi_onnx_get_float(call, "momentum", &layer.momentum));
	QMDI_TRY(qmdi_onnx_add_layer(im, call, &layer, input.layer, &output));
	output = like(output, &input);
	const qmd_shape own = {1, 1, qmdi_onnx_shape(im, &output).c};
	for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++) {
		const qmdi_onnx_tensor *tensor;
		QMDI_TRY(qmdi_onnx_constant(call, p + 1, &tensor));
		QMDI_TRY(
			qmdi_onnx_take_channels(im, output.layer, p, tensor, qmdi_onnx_is_reordered(&input) ? input.order : own));
	}
	return qmdi_onnx_give_layer(call, output);
}

qmd_status qmdi_onnx_softmax(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input = {0}, output = {0};
	int64_t axis = im->opset < 13 ? 1 : -1;
	QMDI_TRY(qmdi_onnx_reals(call, 0, &input));
	QMDI_TRY(qmdi_onnx_get_int(call, "axis", &axis));
	const int64_t n_dims = input.form == QMDI_ONNX_FORM_FLAT ? 2 : 4;
	const int64_t classes = input.form == QMDI_ONNX_FORM_NHWC ? 3 : 1;
	if (axis != classes && axis != classes - n_dims)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "attribute 'axis' is %lld, the classes are axis %lld", (long long)axis,
						 (long long)classes);
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_SOFTMAX);
	QMDI_TRY(qmdi_onnx_add_layer(im, call, &layer, input.layer, &output));
	return qmdi_onnx_give_layer(call, like(output, &input));
}

/* The share that is dropped: an attribute or, in newer opsets, input 1. */
static qmd_status get_rate(const qmdi_onnx_call *call, float *rate) {
	const qmdi_onnx_tensor *ratio, *is_training;
	*rate = 0.5f;
	QMDI_TRY(qmdi_onnx_get_float(call, "ratio", rate));
	QMDI_TRY(qmdi_onnx_constant(call, 1, &ratio));
	QMDI_TRY(qmdi_onnx_constant(call, 2, &is_training));
	if (is_training &&
		(is_training->n != 1 || qmdi_onnx_is_real(is_training) || qmdi_onnx_integer(is_training, 0) != 0))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "it drops in inference too: input 2 ('training_mode') is not false");
	if (!ratio)
		return QMD_OK;
	if (ratio->n != 1 || !qmdi_onnx_is_real(ratio))
		return qmdi_fail(QMD_ERROR_FORMAT, "input 1 ('ratio') is not a number");
	*rate = qmdi_onnx_real(ratio, 0);
	return QMD_OK;
}

qmd_status qmdi_onnx_dropout(qmdi_importer *im, const qmdi_onnx_call *call) {
	qmdi_onnx_activation input = {0}, output = {0};
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_DROPOUT);
	QMDI_TRY(qmdi_onnx_reals(call, 0, &input));
	QMDI_TRY(get_rate(call, &layer.rate));
	if (im->is_quantized) /* for inference alone */
		return qmdi_onnx_give_alias(call, 0, input);
	QMDI_TRY(qmdi_onnx_add_layer(im, call, &layer, input.layer, &output));
	return qmdi_onnx_give_layer(call, like(output, &input));
}
