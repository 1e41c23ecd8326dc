/* Inference by cuDNN and cuBLAS: which steps the layers of a model become, and in which types. */
#include "cudnn_predictor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

static const qmdi_layer *layer_of(const qmdi_vendor_predictor *p, size_t layer) {
	return &p->model->layers[layer];
}

/* ---- Types ---- */

const char *qmdi_vendor_type_name(qmdi_cuda_number type) {
	return type == QMDI_CUDA_F32 ? "FP32" : type == QMDI_CUDA_F16 ? "FP16" : "INT8";
}

cudnnDataType_t qmdi_vendor_data_type(qmdi_cuda_number type) {
	return type == QMDI_CUDA_F32 ? CUDNN_DATA_FLOAT : type == QMDI_CUDA_F16 ? CUDNN_DATA_HALF : CUDNN_DATA_INT8;
}

static int is_float(qmdi_cuda_number type) {
	return type == QMDI_CUDA_F16 || type == QMDI_CUDA_F32;
}

size_t qmdi_vendor_n_elements(const qmdi_vendor_predictor *p, size_t layer) {
	const qmd_shape shape = layer_of(p, layer)->output;
	return p->batch_size * shape.h * shape.w * shape.c;
}

float qmdi_vendor_low(const qmdi_vendor_tensor *output, int has_relu) {
	return has_relu ? 0.0f : output->type == QMDI_CUDA_S8 ? -128.0f : -INFINITY;
}

qmd_status qmdi_vendor_make_output(qmdi_vendor_predictor *p, size_t layer, qmdi_cuda_number type,
								   qmdi_vendor_tensor *output) {
	const float scale = p->is_int8 ? layer_of(p, layer)->activation_scale : 0;
	*output = (qmdi_vendor_tensor){.type = scale > 0        ? QMDI_CUDA_S8
										   : is_float(type) ? type
															: QMDI_CUDA_F32,
								   .scale = scale > 0 ? scale : 1};
	return qmdi_vendor_allocate(p, qmdi_vendor_n_elements(p, layer) * qmdi_cuda_number_size(output->type),
								&output->data);
}

qmd_status qmdi_vendor_read(qmdi_vendor_predictor *p, size_t layer, int input, qmdi_cuda_number type, void **data) {
	const size_t source = (size_t)layer_of(p, layer)->definition.inputs[input];
	const qmdi_vendor_tensor *x = &p->outputs[source];
	*data = x->data;
	if (x->type == type)
		return QMD_OK;
	if (!is_float(type))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "its input is %s, cuDNN and cuBLAS multiply s8 by s8",
						 x->type == QMDI_CUDA_U8 ? "u8" : qmdi_vendor_type_name(x->type));
	const size_t n = qmdi_vendor_n_elements(p, source);
	QMDI_TRY(qmdi_vendor_allocate(p, n * qmdi_cuda_number_size(type), data));
	const qmdi_cuda_rescale convert = {.a = x->data,
									   .factor = x->scale,
									   .low = -INFINITY,
									   .y = *data,
									   .from = x->type,
									   .to = type,
									   .n = (uint32_t)n,
									   .n_units = 1};
	return qmdi_vendor_add_rescale(p, layer, &convert);
}

/* ---- Layers without weights ---- */

/* Whether a relu is all that reads a layer; it is `relu` then. Such a relu has the layer's scale. */
static int is_read_by_relu_alone(const qmdi_vendor_predictor *p, size_t layer, size_t *relu) {
	return layer != p->logits_layer && qmdi_model_consumers(p->model, layer, relu) == 1 &&
		   layer_of(p, *relu)->definition.kind == QMD_LAYER_RELU;
}

static qmd_status build_relu(qmdi_vendor_predictor *p, size_t layer) {
	const qmdi_vendor_tensor *x = &p->outputs[layer_of(p, layer)->definition.inputs[0]];
	qmdi_vendor_tensor *y = &p->outputs[layer];
	const size_t n = qmdi_vendor_n_elements(p, layer);
	*y = *x;
	if (x->type == QMDI_CUDA_U8)
		return QMD_OK;
	QMDI_TRY(qmdi_vendor_allocate(p, n * qmdi_cuda_number_size(x->type), &y->data));
	const qmdi_cuda_rescale relu = {
		.a = x->data, .factor = 1, .y = y->data, .from = x->type, .to = x->type, .n = (uint32_t)n, .n_units = 1};
	return qmdi_vendor_add_rescale(p, layer, &relu);
}

static qmd_status build_add(qmdi_vendor_predictor *p, size_t layer, qmdi_cuda_number type, int has_relu) {
	const int32_t *inputs = layer_of(p, layer)->definition.inputs;
	qmdi_vendor_tensor *y = &p->outputs[layer];
	void *a, *b;
	QMDI_TRY(qmdi_vendor_read(p, layer, 0, type, &a));
	QMDI_TRY(qmdi_vendor_read(p, layer, 1, type, &b));
	QMDI_TRY(qmdi_vendor_make_output(p, layer, type, y));
	const qmdi_cuda_rescale add = {
		.a = a,
		.b = b,
		.factor = (is_float(type) ? 1 : p->outputs[inputs[0]].scale) / y->scale,
		.b_factor = (is_float(type) ? 1 : p->outputs[inputs[1]].scale) / y->scale,
		.low = qmdi_vendor_low(y, has_relu),
		.y = y->data,
		.from = type,
		.to = y->type,
		.n = (uint32_t)qmdi_vendor_n_elements(p, layer),
		.n_units = 1,
	};
	return qmdi_vendor_add_rescale(p, layer, &add);
}

static qmd_status run_pool(const qmdi_vendor_predictor *p, const qmdi_vendor_step *step) {
	return qmdi_cudnn_pool_forward_of(p->device, step->pool, step->x, step->y);
}

static qmdi_pool_shape pool_shape(const qmdi_vendor_predictor *p, size_t index) {
	const qmdi_layer *layer = layer_of(p, index);
	const qmd_layer *d = &layer->definition;
	const int is_global = d->kind == QMD_LAYER_GLOBAL_AVGPOOL;
	return (qmdi_pool_shape){.name = layer->name,
							 .is_max = d->kind == QMD_LAYER_MAXPOOL,
							 .batch = p->batch_size,
							 .input = layer->input,
							 .output = layer->output,
							 .kernel_h = is_global ? layer->input.h : d->kernel_h,
							 .kernel_w = is_global ? layer->input.w : d->kernel_w,
							 .stride_h = is_global ? 1 : d->stride_h,
							 .stride_w = is_global ? 1 : d->stride_w};
}

/* The pool alone: y of the input's type. */
static qmd_status add_pool(qmdi_vendor_predictor *p, size_t layer, qmdi_cuda_number type, const void *x, void **y) {
	const qmdi_pool_shape shape = pool_shape(p, layer);
	qmdi_vendor_step *step;
	QMDI_TRY(qmdi_vendor_allocate(p, qmdi_vendor_n_elements(p, layer) * qmdi_cuda_number_size(type), y));
	QMDI_TRY(qmdi_vendor_add_step(p, layer, &step));
	step->run = run_pool;
	step->x = x;
	step->y = *y;
	return qmdi_cudnn_pool_create_of(p->device, &shape, qmdi_vendor_data_type(type), &step->pool);
}

/* A maximum has its input's scale; a mean of integers is taken in FP32 and rounded to its own. */
static qmd_status build_pool(qmdi_vendor_predictor *p, size_t layer, qmdi_cuda_number type) {
	const int is_max = layer_of(p, layer)->definition.kind == QMD_LAYER_MAXPOOL;
	qmdi_vendor_tensor *y = &p->outputs[layer];
	void *x, *pooled;
	if (p->is_int8 && !is_max && type != QMDI_CUDA_F32)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "a mean would be rounded twice");
	QMDI_TRY(qmdi_vendor_read(p, layer, 0, type, &x));
	QMDI_TRY(add_pool(p, layer, type, x, &pooled));
	*y = (qmdi_vendor_tensor){pooled, type, is_float(type) ? 1 : layer_of(p, layer)->activation_scale};
	if (!is_float(type) || !p->is_int8 || layer_of(p, layer)->activation_scale == 0)
		return QMD_OK;
	QMDI_TRY(qmdi_vendor_make_output(p, layer, type, y));
	const qmdi_cuda_rescale round = {.a = pooled,
									 .factor = 1 / y->scale,
									 .low = qmdi_vendor_low(y, 0),
									 .y = y->data,
									 .from = type,
									 .to = y->type,
									 .n = (uint32_t)qmdi_vendor_n_elements(p, layer),
									 .n_units = 1};
	return qmdi_vendor_add_rescale(p, layer, &round);
}

/* ---- Any layer ---- */

/* Bytes of images as real numbers; which type they are, the batch says. */
static qmd_status run_input(const qmdi_vendor_predictor *p, const qmdi_vendor_step *step) {
	qmdi_cuda_launch launch;
	const int32_t type = p->image_is_u8 ? QMD_U8 : QMD_S8;
	const qmdi_cuda_rescale convert = {.a = p->images,
									   .factor = qmdi_image_scale(type),
									   .low = -INFINITY,
									   .y = step->y,
									   .from = p->image_is_u8 ? QMDI_CUDA_U8 : QMDI_CUDA_S8,
									   .to = QMDI_CUDA_F16,
									   .n = (uint32_t)(p->batch_size * p->image_size),
									   .n_units = 1};
	if (qmdi_cuda_rescale_launch(&convert, &launch) != 0)
		return qmdi_fail(QMD_ERROR_RANGE, "a batch of more than 2^31 - 1 numbers");
	return qmdi_cuda_submit(p->cudnn->stream, &launch, 0);
}

static qmd_status build_input(qmdi_vendor_predictor *p, char *how) {
	const int32_t type = p->model->image_type;
	qmdi_vendor_step *step;
	if (p->is_int8) {
		p->outputs[0] =
			(qmdi_vendor_tensor){p->images, type == QMD_U8 ? QMDI_CUDA_U8 : QMDI_CUDA_S8, qmdi_image_scale(type)};
		snprintf(how, QMDI_COMPUTED_BY_SIZE, "bytes, as they come");
		return QMD_OK;
	}
	QMDI_TRY(qmdi_vendor_add_step(p, 0, &step));
	QMDI_TRY(qmdi_vendor_allocate(p, p->batch_size * p->image_size * 2, &step->y));
	step->run = run_input;
	p->outputs[0] = (qmdi_vendor_tensor){step->y, QMDI_CUDA_F16, 1};
	snprintf(how, QMDI_COMPUTED_BY_SIZE, "own kernel, bytes to FP16");
	return QMD_OK;
}

/* QMD_ERROR_UNSUPPORTED where this type is refused. */
static qmd_status build_in(qmdi_vendor_predictor *p, size_t layer, qmdi_cuda_number type, int has_relu, char *how) {
	switch (layer_of(p, layer)->definition.kind) {
	case QMD_LAYER_CONV2D:
	case QMD_LAYER_DENSE:
		return qmdi_vendor_build_linear(p, layer, type, has_relu, how);
	case QMD_LAYER_MAXPOOL:
	case QMD_LAYER_AVGPOOL:
	case QMD_LAYER_GLOBAL_AVGPOOL:
		snprintf(how, QMDI_COMPUTED_BY_SIZE, "cuDNN %s pooling", qmdi_vendor_type_name(type));
		return build_pool(p, layer, type);
	case QMD_LAYER_ADD:
		snprintf(how, QMDI_COMPUTED_BY_SIZE, "own kernel, %s add%s", qmdi_vendor_type_name(type),
				 has_relu ? "+ReLU" : "");
		return build_add(p, layer, type, has_relu);
	default:
		return qmdi_fail(QMD_ERROR_INTERNAL, "kind %d has no types", layer_of(p, layer)->definition.kind);
	}
}

/* Build, and run what was built once. */
static qmd_status try_in(qmdi_vendor_predictor *p, size_t layer, qmdi_cuda_number type, int has_relu, char *how) {
	const size_t n_steps = p->n_steps, n_memory = p->n_memory;
	qmd_status status = build_in(p, layer, type, has_relu, how);
	if (status == QMD_OK)
		status = qmdi_vendor_run_steps(p, n_steps, p->n_steps - n_steps);
	if (status == QMD_OK)
		status = qmdi_cuda_stream_wait(p->cudnn->stream);
	if (status != QMD_OK)
		qmdi_vendor_take_back(p, n_steps, n_memory);
	return status;
}

/* In the best type that is not refused; `how` tells of the refusals too. */
static qmd_status build_in_best(qmdi_vendor_predictor *p, size_t layer, int has_relu, char *how) {
	static const qmdi_cuda_number types[] = {QMDI_CUDA_S8, QMDI_CUDA_F16, QMDI_CUDA_F32};
	char refusals[QMDI_COMPUTED_BY_SIZE] = "", how_now[QMDI_COMPUTED_BY_SIZE];
	qmd_status status = QMD_ERROR_UNSUPPORTED;
	for (size_t i = p->is_int8 ? 0 : 1; i < 3 && status == QMD_ERROR_UNSUPPORTED; i++) {
		const size_t length = strlen(refusals);
		status = try_in(p, layer, types[i], has_relu, how_now);
		if (status == QMD_ERROR_UNSUPPORTED)
			snprintf(refusals + length, sizeof refusals - length, "; %s refused: %s", qmdi_vendor_type_name(types[i]),
					 qmd_last_error());
	}
	if (status == QMD_OK && snprintf(how, QMDI_COMPUTED_BY_SIZE, "%s%s", how_now, refusals) >= QMDI_COMPUTED_BY_SIZE)
		memcpy(how + QMDI_COMPUTED_BY_SIZE - 4, "...", 4);
	return status;
}

/* With the relu that alone reads it, if its kind can have one. */
static qmd_status build_with_relu(qmdi_vendor_predictor *p, size_t layer) {
	const int32_t kind = layer_of(p, layer)->definition.kind;
	const int may_have = kind == QMD_LAYER_CONV2D || kind == QMD_LAYER_DENSE || kind == QMD_LAYER_ADD;
	size_t relu = 0;
	const int has_relu = may_have && is_read_by_relu_alone(p, layer, &relu);
	QMDI_TRY(build_in_best(p, layer, has_relu, p->computed_by[layer]));
	if (has_relu) {
		p->outputs[relu] = p->outputs[layer];
		p->computed_with[relu] = layer;
		snprintf(p->computed_by[relu], QMDI_COMPUTED_BY_SIZE, "with '%s'", layer_of(p, layer)->name);
	}
	return QMD_OK;
}

static qmd_status build_layer(qmdi_vendor_predictor *p, size_t layer) {
	char *how = p->computed_by[layer];
	switch (layer_of(p, layer)->definition.kind) {
	case QMD_LAYER_INPUT:
		return build_input(p, how);
	case QMD_LAYER_DROPOUT:
	case QMD_LAYER_FLATTEN:
		snprintf(how, QMDI_COMPUTED_BY_SIZE, "nothing to do");
		p->outputs[layer] = p->outputs[layer_of(p, layer)->definition.inputs[0]];
		return QMD_OK;
	case QMD_LAYER_RELU:
		snprintf(how, QMDI_COMPUTED_BY_SIZE, "own kernel, ReLU");
		return build_relu(p, layer);
	case QMD_LAYER_BATCHNORM:
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "layer '%s': a batch normalization that was not folded into a layer before it",
						 layer_of(p, layer)->name);
	default:
		return build_with_relu(p, layer);
	}
}

/* Logits are FP32, whatever computed them. */
static qmd_status finish_logits(qmdi_vendor_predictor *p) {
	const qmdi_vendor_tensor *logits = &p->outputs[p->logits_layer];
	const size_t n = qmdi_vendor_n_elements(p, p->logits_layer);
	void *floats = logits->data;
	if (logits->type != QMDI_CUDA_F32) {
		QMDI_TRY(qmdi_vendor_allocate(p, n * sizeof(float), &floats));
		const qmdi_cuda_rescale convert = {.a = logits->data,
										   .factor = logits->scale,
										   .low = -INFINITY,
										   .y = floats,
										   .from = logits->type,
										   .to = QMDI_CUDA_F32,
										   .n = (uint32_t)n,
										   .n_units = 1};
		QMDI_TRY(qmdi_vendor_add_rescale(p, p->logits_layer, &convert));
	}
	p->logits = floats;
	return QMD_OK;
}

qmd_status qmdi_vendor_build(qmdi_vendor_predictor *p) {
	for (size_t i = 0; i <= p->logits_layer; i++) {
		if (qmdi_vendor_n_elements(p, i) > QMDI_MAX_ELEMENTS)
			return qmdi_fail(QMD_ERROR_RANGE, "layer '%s': a batch of %zu images has more than %u numbers",
							 layer_of(p, i)->name, p->batch_size, QMDI_MAX_ELEMENTS);
		if (p->computed_with[i] == i)
			QMDI_TRY(build_layer(p, i));
	}
	for (size_t i = p->logits_layer + 1; i < p->model->n_layers; i++)
		snprintf(p->computed_by[i], QMDI_COMPUTED_BY_SIZE, "the host, from the logits");
	return finish_logits(p);
}
