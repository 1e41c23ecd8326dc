/*
 * Inference by cuDNN and cuBLAS: conv2d and dense. Convolutions with all that follows them as one graph of cuDNN's, or
 * where cuDNN has no plan for that, alone, with a kernel of our own behind them. Dense layers by cuBLAS and that
 * kernel.
 *
 * In INT8 the numbers are those of libqmd's engine (docs/numerics.md): weights in [-127, 127], bias int32, multipliers
 * (input scale * weight scale) / output scale in FP32; only cuDNN's rounding to INT8 is its own. In FP16 and FP32 a
 * quantized model's weights and biases are what its integers stand for.
 */
#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "cudnn_predictor.h"
#include "tensor/fake_quant.h"

#define MAX_WEIGHT 127
#define ENGINE_TEXT_SIZE 64

/* cuBLAS multiplies INT8 where units and inputs are multiples of this: units are filled up, inputs are not. */
#define UNITS_OF_INT8 4

/* What a linear layer brings to the device. */
typedef struct linear {
	const qmdi_layer *layer;
	size_t index, n_weights, n_units;
	size_t n_stored;       /* units of a product of INT8, with those that fill up; else n_units */
	float input_scale;     /* of a quantized model */
	qmdi_cuda_number type; /* that it is computed in */
	qmdi_cuda_number sums; /* of the convolution alone, or the product */
	qmdi_vendor_tensor output;
	int has_relu;
	void *x, *weights, *bias, *multipliers; /* bias of S8: int32; multipliers of S8 alone */
} linear;

/* ---- Parameters ---- */

static int is_quantized(const linear *l) {
	return l->layer->weight_scales != NULL && l->input_scale > 0;
}

static int32_t quantized_weight(const linear *l, size_t i) {
	return qmdi_quantize_f32(l->layer->parameters[QMDI_WEIGHT][i],
							 l->layer->weight_scales[i / (l->n_weights / l->n_units)], -MAX_WEIGHT, MAX_WEIGHT);
}

static int32_t quantized_bias(const linear *l, size_t unit) {
	return qmdi_quantize_bias(l->layer->parameters[QMDI_BIAS][unit], l->input_scale, l->layer->weight_scales[unit]);
}

static qmd_status bring_integer_weights(qmdi_vendor_predictor *p, linear *l) {
	const size_t size = l->n_weights / l->n_units * l->n_stored;
	int8_t *weights = qmdi_zeroed(size, sizeof *weights);
	if (!weights)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < l->n_weights; i++)
		weights[i] = (int8_t)quantized_weight(l, i);
	const qmd_status status = qmdi_vendor_upload(p, weights, size, &l->weights);
	qmdi_release(weights);
	return status;
}

static qmd_status bring_integers(qmdi_vendor_predictor *p, linear *l) {
	int32_t *bias = qmdi_array(l->n_units, sizeof *bias);
	float *multipliers = qmdi_array(l->n_units, sizeof *multipliers);
	qmd_status status = bias && multipliers ? bring_integer_weights(p, l) : QMD_ERROR_MEMORY;
	for (size_t u = 0; status == QMD_OK && u < l->n_units; u++) {
		const float product = l->input_scale * l->layer->weight_scales[u];
		bias[u] = quantized_bias(l, u);
		multipliers[u] = l->output.type == QMDI_CUDA_S8 ? product / l->output.scale : product;
	}
	if (status == QMD_OK)
		status = qmdi_vendor_upload(p, bias, l->n_units * sizeof *bias, &l->bias);
	if (status == QMD_OK)
		status = qmdi_vendor_upload(p, multipliers, l->n_units * sizeof *multipliers, &l->multipliers);
	qmdi_release(bias);
	qmdi_release(multipliers);
	return status;
}

/* n floats of the device in a type, once and for all. */
static qmd_status convert_now(qmdi_vendor_predictor *p, const void *floats, size_t n, qmdi_cuda_number type,
							  void **converted) {
	qmdi_cuda_launch launch;
	QMDI_TRY(qmdi_vendor_allocate(p, n * qmdi_cuda_number_size(type), converted));
	const qmdi_cuda_rescale convert = {.a = floats,
									   .factor = 1,
									   .low = -INFINITY,
									   .y = *converted,
									   .from = QMDI_CUDA_F32,
									   .to = type,
									   .n = (uint32_t)n,
									   .n_units = 1};
	if (qmdi_cuda_rescale_launch(&convert, &launch) != 0)
		return qmdi_fail(QMD_ERROR_RANGE, "more than 2^31 - 1 weights");
	QMDI_TRY(qmdi_cuda_submit(p->cudnn->stream, &launch, 0));
	return qmdi_cuda_stream_wait(p->cudnn->stream);
}

static float real_weight(const linear *l, size_t i) {
	return is_quantized(l) ? l->layer->weight_scales[i / (l->n_weights / l->n_units)] * (float)quantized_weight(l, i)
						   : l->layer->parameters[QMDI_WEIGHT][i];
}

static float real_bias(const linear *l, size_t unit) {
	return is_quantized(l) ? l->input_scale * l->layer->weight_scales[unit] * (float)quantized_bias(l, unit)
						   : l->layer->parameters[QMDI_BIAS][unit];
}

/* An array of floats as the layer's type; FP32 is left on the device too. */
static qmd_status bring_floats(qmdi_vendor_predictor *p, const linear *l, size_t n,
							   float (*value)(const linear *l, size_t i), qmdi_cuda_number type, void **out) {
	float *values = qmdi_array(n, sizeof *values);
	if (!values)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < n; i++)
		values[i] = value(l, i);
	const qmd_status status = qmdi_vendor_upload(p, values, n * sizeof *values, out);
	qmdi_release(values);
	QMDI_TRY(status);
	return type == QMDI_CUDA_F32 ? QMD_OK : convert_now(p, *out, n, type, out);
}

static qmd_status bring_parameters(qmdi_vendor_predictor *p, linear *l) {
	if (l->type == QMDI_CUDA_S8)
		return bring_integers(p, l);
	QMDI_TRY(bring_floats(p, l, l->n_weights, real_weight, l->type, &l->weights));
	return bring_floats(p, l, l->n_units, real_bias, QMDI_CUDA_F32, &l->bias);
}

/* ---- Steps ---- */

/* From the sums to the output: bias, multipliers, ReLU, rounding. */
static qmd_status add_ending(qmdi_vendor_predictor *p, const linear *l, const void *sums) {
	const qmdi_cuda_rescale ending = {
		.a = sums,
		.bias = l->bias,
		.factors = l->multipliers,
		.factor = 1 / l->output.scale,
		.low = qmdi_vendor_low(&l->output, l->has_relu),
		.y = l->output.data,
		.from = l->sums,
		.to = l->output.type,
		.n = (uint32_t)qmdi_vendor_n_elements(p, l->index),
		.n_units = (uint32_t)l->n_units,
		.a_units = (uint32_t)l->n_stored,
	};
	return qmdi_vendor_add_rescale(p, l->index, &ending);
}

static qmd_status run_plan(const qmdi_vendor_predictor *p, const qmdi_vendor_step *step) {
	void *workspace;
	QMDI_TRY(qmdi_cudnn_workspace(p->cudnn, qmdi_cudnn_plan_workspace(step->plan), &workspace));
	return qmdi_cudnn_plan_run(step->plan, &step->tensors, workspace);
}

static qmd_status add_convolution(qmdi_vendor_predictor *p, const linear *l, int has_bias, int has_relu,
								  const qmdi_cudnn_tensors *tensors) {
	const qmd_layer *d = &l->layer->definition;
	const qmdi_linear_shape shape = {.name = l->layer->name,
									 .is_convolution = 1,
									 .batch = p->batch_size,
									 .input = l->layer->input,
									 .output = l->layer->output,
									 .kernel_h = d->kernel_h,
									 .kernel_w = d->kernel_w,
									 .stride_h = d->stride_h,
									 .stride_w = d->stride_w,
									 .pad_top = d->pad_top,
									 .pad_left = d->pad_left,
									 .pad_bottom = d->pad_bottom,
									 .pad_right = d->pad_right};
	const qmdi_cudnn_convolution convolution = {.shape = &shape,
												.direction = QMDI_CUDNN_FORWARD,
												.data_type = qmdi_vendor_data_type(l->type),
												.has_bias = has_bias,
												.has_relu = has_relu};
	qmdi_vendor_step *step;
	QMDI_TRY(qmdi_vendor_add_step(p, l->index, &step));
	step->run = run_plan;
	step->tensors = *tensors;
	return qmdi_cudnn_plan_create(&p->cudnn->cudnn, &convolution, &step->plan);
}

static float integer_bias(const linear *l, size_t unit) {
	return (float)quantized_bias(l, unit);
}

/* With all that follows. */
static qmd_status add_fused(qmdi_vendor_predictor *p, const linear *l) {
	const int is_integer = l->type == QMDI_CUDA_S8;
	void *bias;
	QMDI_TRY(bring_floats(p, l, l->n_units, is_integer ? integer_bias : real_bias, is_integer ? QMDI_CUDA_F32 : l->type,
						  &bias));
	const qmdi_cudnn_tensors tensors = {
		.x = l->x, .w = l->weights, .b = bias, .y = l->output.data, .s = l->multipliers};
	return add_convolution(p, l, 1, l->has_relu, &tensors);
}

/* Where the sums go, before the ending. */
static qmd_status allocate_sums(qmdi_vendor_predictor *p, linear *l, qmdi_cuda_number of_floats, void **sums) {
	l->sums = l->type == QMDI_CUDA_S8 ? QMDI_CUDA_S32 : of_floats;
	const size_t n_rows = qmdi_vendor_n_elements(p, l->index) / l->n_units;
	return qmdi_vendor_allocate(p, n_rows * l->n_stored * qmdi_cuda_number_size(l->sums), sums);
}

static qmd_status add_alone(qmdi_vendor_predictor *p, linear *l) {
	void *sums;
	QMDI_TRY(allocate_sums(p, l, l->type, &sums));
	const qmdi_cudnn_tensors tensors = {.x = l->x, .w = l->weights, .y = sums};
	QMDI_TRY(add_convolution(p, l, 0, 0, &tensors));
	return add_ending(p, l, sums);
}

/* What follows the sums, for people to read. */
static const char *ending_of(const linear *l) {
	if (l->output.type == QMDI_CUDA_S8 || l->type == QMDI_CUDA_S8)
		return l->has_relu ? "bias+scale+ReLU" : "bias+scale";
	return l->has_relu ? "bias+ReLU" : "bias";
}

/* The engine behind a step's plan: its tensor cores are what its time depends on most. Returns whether it has them. */
static int tell_engine(const qmdi_vendor_step *step, char text[ENGINE_TEXT_SIZE]) {
	uint32_t notes;
	const int64_t engine = qmdi_cudnn_plan_engine(step->plan, &notes);
	const int has_tensor_cores = (notes & 1U << CUDNN_NUMERICAL_NOTE_TENSOR_CORE) != 0;
	snprintf(text, ENGINE_TEXT_SIZE, " (engine %lld, %s tensor cores)", (long long)engine,
			 has_tensor_cores ? "with" : "without");
	return has_tensor_cores;
}

/* INT8 without tensor cores, as cuDNN's engine for any shape is, would be no opponent. */
static qmd_status build_alone(qmdi_vendor_predictor *p, linear *l, const char *refusal, char *how) {
	const size_t first = p->n_steps;
	char engine[ENGINE_TEXT_SIZE];
	QMDI_TRY(add_alone(p, l));
	if (!tell_engine(&p->steps[first], engine) && l->type == QMDI_CUDA_S8)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "cuDNN has nothing better than a convolution alone%s%s%s", engine,
						 *refusal ? "; as one graph refused: " : "", refusal);
	snprintf(how, QMDI_COMPUTED_BY_SIZE, "cuDNN %s conv, own kernel for %s%s%s%s", qmdi_vendor_type_name(l->type),
			 ending_of(l), engine, *refusal ? "; as one graph refused: " : "", refusal);
	return QMD_OK;
}

/* As one graph if cuDNN has one, which writes the type that it reads. */
static qmd_status build_convolution(qmdi_vendor_predictor *p, linear *l, char *how) {
	const size_t n_steps = p->n_steps, n_memory = p->n_memory;
	char engine[ENGINE_TEXT_SIZE], refusal[QMDI_COMPUTED_BY_SIZE] = "";
	if (l->output.type != l->type)
		return build_alone(p, l, refusal, how);
	const qmd_status status = add_fused(p, l);
	if (status == QMD_ERROR_UNSUPPORTED) {
		snprintf(refusal, sizeof refusal, "%s", qmd_last_error());
		qmdi_vendor_take_back(p, n_steps, n_memory);
		return build_alone(p, l, refusal, how);
	}
	QMDI_TRY(status);
	(void)tell_engine(&p->steps[n_steps], engine);
	snprintf(how, QMDI_COMPUTED_BY_SIZE, "cuDNN %s conv+%s%s", qmdi_vendor_type_name(l->type), ending_of(l), engine);
	return QMD_OK;
}

/* ---- Dense layers ---- */

/* cuBLAS's names. */
static cudaDataType_t data_type_of(qmdi_cuda_number type) {
	return type == QMDI_CUDA_S8 ? CUDA_R_8I : type == QMDI_CUDA_F16 ? CUDA_R_16F : CUDA_R_32F;
}

/* One of ours by rows, [rows][columns], is to cuBLAS the transposed one. */
static qmd_status run_product(const qmdi_vendor_predictor *p, const qmdi_vendor_step *step) {
	static const int32_t integer_one = 1, integer_zero = 0;
	static const float float_one = 1, float_zero = 0;
	const qmdi_vendor_product *g = &step->product;
	const int is_integer = g->type == QMDI_CUDA_S8;
	const cudaDataType_t type = data_type_of(g->type);
	return QMDI_CUBLAS_CALL(p->cudnn->cudnn.vendor, cublasGemmEx_64, p->cudnn->cublas, CUBLAS_OP_T, CUBLAS_OP_N, g->m,
							g->n, g->k, is_integer ? (const void *)&integer_one : &float_one, g->w, type, g->k, g->x,
							type, g->k, is_integer ? (const void *)&integer_zero : &float_zero, g->c,
							is_integer ? CUDA_R_32I : CUDA_R_32F, g->m,
							is_integer ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

static qmd_status build_dense(qmdi_vendor_predictor *p, linear *l, char *how) {
	qmdi_vendor_step *step;
	void *sums;
	snprintf(how, QMDI_COMPUTED_BY_SIZE, "cuBLAS %s product, own kernel for %s", qmdi_vendor_type_name(l->type),
			 ending_of(l));
	QMDI_TRY(allocate_sums(p, l, QMDI_CUDA_F32, &sums));
	QMDI_TRY(qmdi_vendor_add_step(p, l->index, &step));
	step->run = run_product;
	step->product = (qmdi_vendor_product){.m = (int64_t)l->n_stored,
										  .n = (int64_t)p->batch_size,
										  .k = (int64_t)(l->n_weights / l->n_units),
										  .type = l->type,
										  .w = l->weights,
										  .x = l->x,
										  .c = sums};
	return add_ending(p, l, sums);
}

/* ---- Either ---- */

qmd_status qmdi_vendor_build_linear(qmdi_vendor_predictor *p, size_t index, qmdi_cuda_number type, int has_relu,
									char *how) {
	const qmdi_layer *layer = &p->model->layers[index];
	const int is_convolution = layer->definition.kind == QMD_LAYER_CONV2D;
	const int gives_logits = !is_convolution && index == p->logits_layer;
	linear l = {.layer = layer,
				.index = index,
				.n_weights = layer->n_parameters[QMDI_WEIGHT],
				.n_units = layer->definition.units,
				.n_stored = layer->definition.units,
				.input_scale = p->model->layers[layer->definition.inputs[0]].activation_scale,
				.type = type,
				.has_relu = has_relu};
	if (!is_convolution && type == QMDI_CUDA_S8)
		l.n_stored = (l.n_units + UNITS_OF_INT8 - 1) / UNITS_OF_INT8 * UNITS_OF_INT8;
	QMDI_TRY(qmdi_vendor_read(p, index, 0, type, &l.x));
	QMDI_TRY(qmdi_vendor_make_output(p, index, gives_logits ? QMDI_CUDA_F32 : type, &l.output));
	p->outputs[index] = l.output;
	QMDI_TRY(bring_parameters(p, &l));
	return is_convolution ? build_convolution(p, &l, how) : build_dense(p, &l, how);
}
