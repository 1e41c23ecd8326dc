/* Inputs and outputs of a node, and the table of operators. */
#include "onnx_import.h"

#include <string.h>

/* ---- Operators ---- */

#define WINDOW " auto_pad ceil_mode dilations kernel_shape pads storage_order strides "

static const qmdi_onnx_operator operators[] = {
	{"Add", 2, 2, "", NULL, qmdi_onnx_add},
	{"AveragePool", 1, 1, WINDOW " count_include_pad ", NULL, qmdi_onnx_pool},
	{"BatchNormalization", 5, 5, " epsilon is_test momentum spatial training_mode ", NULL,
	 qmdi_onnx_batch_normalization},
	{"Cast", 1, 1, " saturate to ", qmdi_onnx_fold_cast, NULL},
	{"Concat", 1, QMDI_ONNX_MAX_INPUTS_READ, " axis ", qmdi_onnx_fold_concat, NULL},
	{"Constant", 0, 0, " value value_float value_floats value_int value_ints ", qmdi_onnx_fold_constant, NULL},
	{"Conv", 2, 3, " auto_pad dilations group kernel_shape pads strides ", NULL, qmdi_onnx_conv},
	{"DequantizeLinear", 2, 3, " axis block_size output_dtype ", qmdi_onnx_fold_dequantize, qmdi_onnx_dequantize},
	{"Dropout", 1, 3, " ratio seed ", NULL, qmdi_onnx_dropout},
	{"Flatten", 1, 1, " axis ", NULL, qmdi_onnx_flatten},
	{"Gather", 2, 2, " axis ", qmdi_onnx_fold_gather, NULL},
	{"Gemm", 2, 3, " alpha beta broadcast transA transB ", NULL, qmdi_onnx_gemm},
	{"GlobalAveragePool", 1, 1, "", NULL, qmdi_onnx_global_average_pool},
	{"Identity", 1, 1, "", qmdi_onnx_fold_identity, qmdi_onnx_identity},
	{"MatMul", 2, 2, "", NULL, qmdi_onnx_matmul},
	{"MaxPool", 1, 1, WINDOW, NULL, qmdi_onnx_pool},
	{"Mul", 2, 2, "", NULL, qmdi_onnx_mul},
	{"Pad", 1, 4, " mode pads value ", NULL, qmdi_onnx_pad},
	{"QuantizeLinear", 2, 3, " axis block_size output_dtype precision saturate ", qmdi_onnx_fold_quantize,
	 qmdi_onnx_quantize},
	{"ReduceMean", 1, 2, " axes keepdims noop_with_empty_axes ", NULL, qmdi_onnx_reduce_mean},
	{"Relu", 1, 1, "", NULL, qmdi_onnx_relu},
	{"Reshape", 2, 2, " allowzero ", qmdi_onnx_fold_reshape, qmdi_onnx_reshape},
	{"Shape", 1, 1, " end start ", NULL, qmdi_onnx_shape_of},
	{"Slice", 3, 5, "", qmdi_onnx_fold_slice, NULL},
	{"Softmax", 1, 1, " axis ", NULL, qmdi_onnx_softmax},
	{"Squeeze", 1, 2, " axes ", qmdi_onnx_fold_squeeze, qmdi_onnx_squeeze},
	{"Transpose", 1, 1, " perm ", qmdi_onnx_fold_transpose, qmdi_onnx_transpose},
	{"Unsqueeze", 1, 2, " axes ", qmdi_onnx_fold_unsqueeze, qmdi_onnx_unsqueeze},
};

const qmdi_onnx_operator *qmdi_onnx_operator_find(const char *name) {
	for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
		if (strcmp(operators[i].name, name) == 0)
			return &operators[i];
	return NULL;
}

/* ---- Inputs ---- */

qmd_status qmdi_onnx_constant(const qmdi_onnx_call *call, size_t i, const qmdi_onnx_tensor **tensor) {
	*tensor = NULL;
	if (i >= call->n_inputs || !call->inputs[i])
		return QMD_OK;
	if (call->inputs[i]->kind != QMDI_ONNX_CONSTANT)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "input %zu ('%s') is computed from the image, expected a constant", i,
						 call->inputs[i]->name);
	*tensor = &call->inputs[i]->tensor;
	return QMD_OK;
}

qmd_status qmdi_onnx_reals(const qmdi_onnx_call *call, size_t i, qmdi_onnx_activation *activation) {
	const qmdi_onnx_value *value = call->inputs[i];
	if (value->kind != QMDI_ONNX_ACTIVATION)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "input %zu ('%s') is a constant, expected the output of a layer", i,
						 value->name);
	if (value->activation.is_integer)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "input %zu ('%s') is integers that no DequantizeLinear makes real", i,
						 value->name);
	*activation = value->activation;
	return QMD_OK;
}

static const char *form_name(qmdi_onnx_form form) {
	return form == QMDI_ONNX_FORM_FLAT ? "[N][n]" : form == QMDI_ONNX_FORM_NHWC ? "[N][h][w][c]" : "[N][c][h][w]";
}

qmd_status qmdi_onnx_reals_in(const qmdi_onnx_call *call, size_t i, qmdi_onnx_form form,
							  qmdi_onnx_activation *activation) {
	QMDI_TRY(qmdi_onnx_reals(call, i, activation));
	if (activation->form != form)
		return qmdi_fail(QMD_ERROR_SHAPE, "input %zu ('%s') is %s, expected %s", i, call->inputs[i]->name,
						 form_name(activation->form), form_name(form));
	return QMD_OK;
}

qmd_shape qmdi_onnx_shape(const qmdi_importer *im, const qmdi_onnx_activation *activation) {
	return im->model->layers[activation->layer].output;
}

int qmdi_onnx_is_reordered(const qmdi_onnx_activation *activation) {
	const qmd_shape image = activation->order;
	return activation->form == QMDI_ONNX_FORM_FLAT && image.c > 1 && (image.h > 1 || image.w > 1);
}

/* ---- Outputs ---- */

static int is_fit(const qmd_model *model, const char *name) {
	const size_t length = strnlen(name, QMDI_LAYER_NAME_SIZE);
	if (length == 0 || length == QMDI_LAYER_NAME_SIZE)
		return 0;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return 0;
	for (size_t i = 0; i < model->n_layers; i++)
		if (strcmp(model->layers[i].name, name) == 0)
			return 0;
	return 1;
}

qmd_status qmdi_onnx_add_layer(qmdi_importer *im, const qmdi_onnx_call *call, qmd_layer *layer, int32_t input,
							   qmdi_onnx_activation *activation) {
	const char *name = call->node->name;
	layer->inputs[0] = input;
	layer->name = name && is_fit(im->model, name) ? name : NULL;
	*activation = (qmdi_onnx_activation){.form = QMDI_ONNX_FORM_NCHW};
	QMDI_TRY(qmd_model_add(im->model, layer, &activation->layer));
	activation->order = (qmd_shape){1, 1, im->model->layers[activation->layer].output.c};
	return QMD_OK;
}

qmd_status qmdi_onnx_give_layer(const qmdi_onnx_call *call, qmdi_onnx_activation activation) {
	call->output->kind = QMDI_ONNX_ACTIVATION;
	call->output->activation = activation;
	return QMD_OK;
}

qmd_status qmdi_onnx_give_alias(const qmdi_onnx_call *call, size_t i, qmdi_onnx_activation activation) {
	call->output->is_shared = call->inputs[i]->is_shared || call->inputs[i]->n_readers > 1;
	return qmdi_onnx_give_layer(call, activation);
}

qmd_status qmdi_onnx_give_constant(const qmdi_onnx_call *call, qmdi_onnx_tensor tensor) {
	call->output->kind = QMDI_ONNX_CONSTANT;
	call->output->tensor = tensor;
	return QMD_OK;
}
