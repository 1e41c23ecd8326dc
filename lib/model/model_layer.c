/* What each kind of layer demands of its fields and its input, and the shapes that follow. */
#include "model_layer.h"

#include <math.h>

#include "base/error.h"

#define FAIL(layer, status, format, ...) qmdi_fail(status, "layer '%s': " format, (layer)->name, __VA_ARGS__)

static const char *const kind_names[] = {
	[QMD_LAYER_INPUT] = "input",
	[QMD_LAYER_CONV2D] = "conv2d",
	[QMD_LAYER_DENSE] = "dense",
	[QMD_LAYER_RELU] = "relu",
	[QMD_LAYER_MAXPOOL] = "maxpool",
	[QMD_LAYER_AVGPOOL] = "avgpool",
	[QMD_LAYER_GLOBAL_AVGPOOL] = "global_avgpool",
	[QMD_LAYER_BATCHNORM] = "batchnorm",
	[QMD_LAYER_DROPOUT] = "dropout",
	[QMD_LAYER_ADD] = "add",
	[QMD_LAYER_FLATTEN] = "flatten",
	[QMD_LAYER_SOFTMAX] = "softmax",
};

const char *qmdi_layer_kind_name(int32_t kind) {
	const int32_t n = (int32_t)(sizeof kind_names / sizeof *kind_names);
	return kind > 0 && kind < n ? kind_names[kind] : NULL;
}

void qmd_layer_init_sized(qmd_layer *layer, size_t size, int32_t kind) {
	qmd_layer defaults = {.struct_size = sizeof defaults, .kind = kind, .inputs = {QMD_PREVIOUS, QMD_PREVIOUS}};
	if (kind == QMD_LAYER_CONV2D) {
		defaults.stride_h = defaults.stride_w = 1;
		defaults.padding = QMD_PADDING_VALID;
	} else if (kind == QMD_LAYER_BATCHNORM) {
		defaults.epsilon = 1e-3f;
		defaults.momentum = 0.99f;
	}
	qmdi_struct_fill(layer, size, &defaults, sizeof defaults);
}

static qmd_status at_least_1(const qmdi_layer *layer, const char *field, uint32_t value) {
	if (value == 0)
		return FAIL(layer, QMD_ERROR_RANGE, "%s is 0, expected at least 1", field);
	return QMD_OK;
}

/* n = the product of four extents. */
static qmd_status count(const qmdi_layer *layer, const char *what, const uint32_t extents[4], size_t *n) {
	uint64_t product = 1;
	for (int i = 0; i < 4; i++) {
		product *= extents[i]; /* both below 2^32 */
		if (product > QMDI_MAX_ELEMENTS)
			return FAIL(layer, QMD_ERROR_RANGE, "%s of %u x %u x %u x %u has more than %u elements", what, extents[0],
						extents[1], extents[2], extents[3], QMDI_MAX_ELEMENTS);
	}
	*n = (size_t)product;
	return QMD_OK;
}

/* Padding of one direction: `before` and `after` an extent of `in`. */
static void pad_same(uint32_t in, uint32_t kernel, uint32_t stride, uint32_t *before, uint32_t *after) {
	const uint64_t out = ((uint64_t)in + stride - 1) / stride;
	const uint64_t covered = (out - 1) * stride + kernel;
	const uint32_t total = covered > in ? (uint32_t)(covered - in) : 0;
	*before = total / 2;
	*after = total - total / 2;
}

static qmd_status pad_explicit(const qmdi_layer *layer, const char *field, uint32_t pad, uint32_t kernel) {
	if (pad >= kernel)
		return FAIL(layer, QMD_ERROR_RANGE, "%s is %u, expected less than the kernel's extent %u", field, pad, kernel);
	return QMD_OK;
}

static qmd_status define_padding(const qmd_layer *given, qmdi_layer *layer) {
	qmd_layer *used = &layer->definition;
	used->padding = given->padding;
	switch (given->padding) {
	case QMD_PADDING_VALID:
		return QMD_OK;
	case QMD_PADDING_SAME:
		pad_same(layer->input.h, used->kernel_h, used->stride_h, &used->pad_top, &used->pad_bottom);
		pad_same(layer->input.w, used->kernel_w, used->stride_w, &used->pad_left, &used->pad_right);
		return QMD_OK;
	case QMD_PADDING_EXPLICIT:
		QMDI_TRY(pad_explicit(layer, "pad_top", given->pad_top, used->kernel_h));
		QMDI_TRY(pad_explicit(layer, "pad_bottom", given->pad_bottom, used->kernel_h));
		QMDI_TRY(pad_explicit(layer, "pad_left", given->pad_left, used->kernel_w));
		QMDI_TRY(pad_explicit(layer, "pad_right", given->pad_right, used->kernel_w));
		used->pad_top = given->pad_top;
		used->pad_bottom = given->pad_bottom;
		used->pad_left = given->pad_left;
		used->pad_right = given->pad_right;
		return QMD_OK;
	default:
		return FAIL(layer, QMD_ERROR_ARGUMENT, "padding is %d, which is no qmd_padding", given->padding);
	}
}

/* The output's height and width from kernel, stride and padding. */
static qmd_status slide_window(qmdi_layer *layer) {
	const qmd_layer *used = &layer->definition;
	const uint64_t padded_h = (uint64_t)layer->input.h + used->pad_top + used->pad_bottom;
	const uint64_t padded_w = (uint64_t)layer->input.w + used->pad_left + used->pad_right;
	if (used->kernel_h > padded_h || used->kernel_w > padded_w)
		return FAIL(layer, QMD_ERROR_SHAPE, "a kernel of %u x %u does not fit into %llu x %llu (padding included)",
					used->kernel_h, used->kernel_w, (unsigned long long)padded_h, (unsigned long long)padded_w);
	layer->output.h = (uint32_t)((padded_h - used->kernel_h) / used->stride_h + 1);
	layer->output.w = (uint32_t)((padded_w - used->kernel_w) / used->stride_w + 1);
	return QMD_OK;
}

static qmd_status define_kernel(const qmd_layer *given, qmdi_layer *layer) {
	QMDI_TRY(at_least_1(layer, "kernel_h", given->kernel_h));
	QMDI_TRY(at_least_1(layer, "kernel_w", given->kernel_w));
	layer->definition.kernel_h = given->kernel_h;
	layer->definition.kernel_w = given->kernel_w;
	return QMD_OK;
}

static qmd_status define_units(const qmd_layer *given, qmdi_layer *layer) {
	QMDI_TRY(at_least_1(layer, "units", given->units));
	layer->definition.units = given->units;
	layer->output.c = given->units;
	layer->n_parameters[QMDI_BIAS] = given->units;
	return QMD_OK;
}

static qmd_status define_conv2d(const qmd_layer *given, qmdi_layer *layer) {
	QMDI_TRY(define_units(given, layer));
	QMDI_TRY(define_kernel(given, layer));
	QMDI_TRY(at_least_1(layer, "stride_h", given->stride_h));
	QMDI_TRY(at_least_1(layer, "stride_w", given->stride_w));
	layer->definition.stride_h = given->stride_h;
	layer->definition.stride_w = given->stride_w;
	QMDI_TRY(define_padding(given, layer));
	QMDI_TRY(slide_window(layer));
	const uint32_t weight[4] = {given->units, given->kernel_h, given->kernel_w, layer->input.c};
	return count(layer, "a weight", weight, &layer->n_parameters[QMDI_WEIGHT]);
}

static qmd_status demand_flat(const qmdi_layer *layer) {
	if (layer->input.h != 1 || layer->input.w != 1)
		return FAIL(layer, QMD_ERROR_SHAPE, "its input is %u x %u x %u, expected 1 x 1 x n (add a flatten layer)",
					layer->input.h, layer->input.w, layer->input.c);
	return QMD_OK;
}

static qmd_status define_dense(const qmd_layer *given, qmdi_layer *layer) {
	QMDI_TRY(demand_flat(layer));
	QMDI_TRY(define_units(given, layer));
	const uint32_t weight[4] = {given->units, layer->input.c, 1, 1};
	return count(layer, "a weight", weight, &layer->n_parameters[QMDI_WEIGHT]);
}

static qmd_status define_pool(const qmd_layer *given, qmdi_layer *layer) {
	QMDI_TRY(define_kernel(given, layer));
	layer->definition.stride_h = given->stride_h ? given->stride_h : given->kernel_h;
	layer->definition.stride_w = given->stride_w ? given->stride_w : given->kernel_w;
	return slide_window(layer);
}

static void define_batchnorm_parameters(qmdi_layer *layer) {
	for (int i = 0; i < QMDI_MAX_PARAMETERS; i++)
		layer->n_parameters[i] = layer->input.c;
}

static qmd_status define_batchnorm(const qmd_layer *given, qmdi_layer *layer) {
	if (!(given->epsilon > 0 && isfinite(given->epsilon)))
		return FAIL(layer, QMD_ERROR_RANGE, "epsilon is %g, expected a finite number above 0", (double)given->epsilon);
	if (!(given->momentum >= 0 && given->momentum <= 1))
		return FAIL(layer, QMD_ERROR_RANGE, "momentum is %g, expected 0 to 1", (double)given->momentum);
	layer->definition.epsilon = given->epsilon;
	layer->definition.momentum = given->momentum;
	define_batchnorm_parameters(layer);
	return QMD_OK;
}

static qmd_status define_dropout(const qmd_layer *given, qmdi_layer *layer) {
	if (!(given->rate >= 0 && given->rate < 1))
		return FAIL(layer, QMD_ERROR_RANGE, "rate is %g, expected 0 <= rate < 1", (double)given->rate);
	layer->definition.rate = given->rate;
	return QMD_OK;
}

static qmd_status define_by_kind(const qmd_layer *given, qmdi_layer *layer) {
	switch (given->kind) {
	case QMD_LAYER_CONV2D:
		return define_conv2d(given, layer);
	case QMD_LAYER_DENSE:
		return define_dense(given, layer);
	case QMD_LAYER_MAXPOOL:
	case QMD_LAYER_AVGPOOL:
		return define_pool(given, layer);
	case QMD_LAYER_GLOBAL_AVGPOOL:
		layer->output.h = layer->output.w = 1;
		return QMD_OK;
	case QMD_LAYER_BATCHNORM:
		return define_batchnorm(given, layer);
	case QMD_LAYER_DROPOUT:
		return define_dropout(given, layer);
	case QMD_LAYER_FLATTEN:
		layer->output = (qmd_shape){1, 1, layer->input.h * layer->input.w * layer->input.c};
		return QMD_OK;
	case QMD_LAYER_SOFTMAX:
		return demand_flat(layer);
	default: /* relu; add, whose second input qmdi_layer_define()'s caller has compared */
		return QMD_OK;
	}
}

uint64_t qmdi_layer_n_macs(const qmdi_layer *layer) {
	if (layer->definition.kind != QMD_LAYER_CONV2D && layer->definition.kind != QMD_LAYER_DENSE)
		return 0;
	return (uint64_t)layer->output.h * layer->output.w * layer->n_parameters[QMDI_WEIGHT];
}

qmd_status qmdi_layer_define(const qmd_layer *given, qmdi_layer *layer) {
	layer->output = layer->input;
	QMDI_TRY(define_by_kind(given, layer));
	const uint32_t output[4] = {layer->output.h, layer->output.w, layer->output.c, 1};
	size_t n;
	QMDI_TRY(count(layer, "an output", output, &n));
	if (qmdi_layer_n_macs(layer) > QMDI_MAX_LAYER_MACS)
		return FAIL(layer, QMD_ERROR_RANGE, "it needs %llu multiplications an image, more than 2^52",
					(unsigned long long)qmdi_layer_n_macs(layer));
	return QMD_OK;
}
