/* What the steps of a plan mean: shapes, ranges and scales, derived in order and checked as they are. */
#include "engine_internal.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "model/model_internal.h"
#include "pixels/pixels_internal.h"

/* What kernels take for an activation; and room to multiply by what a sum of integers can reach and stay finite. */
#define SMALLEST_SCALE 0x1p-60f
#define LARGEST_SCALE 0x1p60f
#define LARGEST_MULTIPLIER 0x1p96f

#define STEP_FAIL(status, engine, index, ...)                                                                          \
	(qmdi_fail((status), __VA_ARGS__),                                                                                 \
	 qmdi_fail_within((status), "step %zu ('%s')", (index), (engine)->steps[index].name))

static int is_scale(float scale) {
	return scale >= SMALLEST_SCALE && scale <= LARGEST_SCALE;
}

static int is_multiplier(float multiplier) {
	return isnormal(multiplier) && multiplier > 0 && multiplier <= LARGEST_MULTIPLIER;
}

/* 0 if an extent is 0 or the product is more than a tensor may hold. */
static size_t bounded_product(uint64_t h, uint64_t w, uint64_t c) {
	const uint64_t most = QMDI_MAX_TENSOR_ELEMENTS;
	if (h > most || w > most || c > most || h * w > most || h * w * c > most)
		return 0;
	return (size_t)(h * w * c);
}

size_t qmdi_tensor_elements(const qmdi_tensor *tensor) {
	return (size_t)tensor->h * tensor->w * tensor->c;
}

size_t qmdi_tensor_pixel_size(const qmdi_tensor *tensor) {
	return (size_t)tensor->c * (tensor->operand == 0 ? sizeof(float) : 1);
}

qmd_status qmdi_plan_reserve(qmd_engine *engine, size_t n_steps) {
	if (n_steps > QMDI_MAX_STEPS)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "plan: %zu steps, expected at most %d", n_steps, QMDI_MAX_STEPS);
	engine->steps = qmdi_zeroed(n_steps, sizeof *engine->steps);
	engine->tensors = qmdi_zeroed(n_steps + 1, sizeof *engine->tensors);
	if (!engine->steps || !engine->tensors)
		return QMD_ERROR_MEMORY;
	engine->n_steps = n_steps;
	return QMD_OK;
}

qmd_status qmdi_plan_set_image(qmd_engine *engine, qmd_shape shape, int32_t image_type) {
	if (image_type != QMD_S8 && image_type != QMD_U8)
		return qmdi_fail(QMD_ERROR_RANGE, "plan: image type is %d, expected %d (s8) or %d (u8)", image_type, QMD_S8,
						 QMD_U8);
	if (bounded_product(shape.h, shape.w, shape.c) == 0)
		return qmdi_fail(QMD_ERROR_RANGE, "plan: images of %u x %u x %u, expected 1 to %llu elements", shape.h, shape.w,
						 shape.c, (unsigned long long)QMDI_MAX_TENSOR_ELEMENTS);
	engine->tensors[0] = (qmdi_tensor){.h = shape.h,
									   .w = shape.w,
									   .c = shape.c,
									   .operand = image_type == QMD_U8 ? QMDI_U8 : QMDI_S8,
									   .scale = qmdi_image_scale(image_type)};
	return QMD_OK;
}

/* ---- One step ---- */

static int is_window_op(int32_t op) {
	return op == QMDI_OP_CONV2D || op == QMDI_OP_MAXPOOL || op == QMDI_OP_AVGPOOL;
}

static int has_weights(const qmdi_step *step) {
	return step->op == QMDI_OP_CONV2D || step->op == QMDI_OP_DENSE;
}

/* What an op does not use has one value, so that two files of one plan are equal. */
static qmd_status check_fields(const qmd_engine *engine, size_t index) {
	const qmdi_step *step = &engine->steps[index];
	if (step->op < QMDI_OP_CONV2D || step->op > QMDI_STEP_SOFTMAX)
		return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "op is %d, expected %d to %d", step->op, QMDI_OP_CONV2D,
						 QMDI_STEP_SOFTMAX);
	if (has_weights(step) ? step->units == 0 || step->units > QMDI_MAX_TENSOR_ELEMENTS : step->units != 0)
		return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "%u units", step->units);
	const uint32_t window[] = {step->kernel_h, step->kernel_w, step->stride_h, step->stride_w};
	for (size_t i = 0; i < 4; i++)
		if (window[i] == 0 || window[i] > QMDI_MAX_TENSOR_ELEMENTS || (!is_window_op(step->op) && window[i] != 1))
			return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "kernel or stride is %u", window[i]);
	const uint32_t pads[] = {step->pad_top, step->pad_bottom, step->pad_left, step->pad_right};
	for (size_t i = 0; i < 4; i++)
		if (pads[i] != 0 && (step->op != QMDI_OP_CONV2D || pads[i] >= window[i / 2]))
			return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "a padding of %u, expected less than the kernel", pads[i]);
	if (step->pool != 1 && (step->pool != 2 || step->op != QMDI_OP_CONV2D || step->float_output))
		return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "a fused pool of %u", step->pool);
	return QMD_OK;
}

static qmd_status check_output(const qmd_engine *engine, size_t index) {
	const qmdi_step *step = &engine->steps[index];
	const int has_clamp = !step->float_output && step->op != QMDI_OP_MAXPOOL && step->op != QMDI_STEP_SOFTMAX;
	if (step->float_output != 0 && (step->float_output != 1 || step->op == QMDI_OP_MAXPOOL))
		return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "float output is %d", step->float_output);
	if (step->op == QMDI_STEP_SOFTMAX && !step->float_output)
		return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "a softmax without float output");
	if (step->low != -128 && (step->low != 0 || !has_clamp))
		return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "lower clamp is %d, expected 0 or -128", step->low);
	if (step->float_output ? step->output_scale != 0 : !is_scale(step->output_scale))
		return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "output scale is %g, expected %s", (double)step->output_scale,
						 step->float_output ? "0" : "2^-60 to 2^60");
	if (step->op == QMDI_OP_MAXPOOL && step->output_scale != engine->tensors[step->inputs[0]].scale)
		return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "output scale is %g, expected its input's, %g",
						 (double)step->output_scale, (double)engine->tensors[step->inputs[0]].scale);
	return QMD_OK;
}

static qmd_status check_inputs(const qmd_engine *engine, size_t index) {
	const qmdi_step *step = &engine->steps[index];
	if (qmdi_step_n_inputs(step) < 2 && step->inputs[1] != 0)
		return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "a second input");
	for (size_t i = 0; i < qmdi_step_n_inputs(step); i++) {
		if (step->inputs[i] > index)
			return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "reads tensor %u, expected at most %zu", step->inputs[i],
							 index);
		const qmdi_tensor *tensor = &engine->tensors[step->inputs[i]];
		if ((tensor->operand == 0) != (step->op == QMDI_STEP_SOFTMAX))
			return STEP_FAIL(QMD_ERROR_UNSUPPORTED, engine, index, "tensor %u holds %s, which this op does not read",
							 step->inputs[i], tensor->operand == 0 ? "floats" : "integers");
		const int same = step->in_h == tensor->h && step->in_w == tensor->w && step->in_c == tensor->c;
		const int flat = step->in_h == 1 && step->in_w == 1 && step->in_c == qmdi_tensor_elements(tensor);
		if (!same && !flat)
			return STEP_FAIL(QMD_ERROR_SHAPE, engine, index, "reads %u x %u x %u, but tensor %u is %u x %u x %u",
							 step->in_h, step->in_w, step->in_c, step->inputs[i], tensor->h, tensor->w, tensor->c);
	}
	if (step->op == QMDI_OP_DENSE && (step->in_h != 1 || step->in_w != 1))
		return STEP_FAIL(QMD_ERROR_SHAPE, engine, index, "reads %u x %u x %u, expected a flat vector", step->in_h,
						 step->in_w, step->in_c);
	return QMD_OK;
}

/* The narrowest range that holds both; 0 if no byte does. */
static qmdi_operand joint_operand(qmdi_operand a, qmdi_operand b) {
	if (a == b || b == QMDI_S7)
		return a;
	return a == QMDI_S7 ? b : (qmdi_operand)0;
}

/* Positions of a window along one axis; 0 if it does not fit. */
static uint32_t n_positions(uint32_t in, uint32_t pad_before, uint32_t pad_after, uint32_t kernel, uint32_t stride) {
	const uint32_t padded = in + pad_before + pad_after; /* each at most QMDI_MAX_TENSOR_ELEMENTS */
	return padded < kernel ? 0 : (padded - kernel) / stride + 1;
}

static qmd_status derive_shape(qmd_engine *engine, size_t index) {
	qmdi_step *step = &engine->steps[index];
	const qmdi_tensor *a = &engine->tensors[step->inputs[0]], *b = &engine->tensors[step->inputs[1]];
	qmdi_kernel_shape *shape = &step->shape;
	*shape = (qmdi_kernel_shape){
		.op = (qmdi_op)step->op,
		.operand = step->op == QMDI_OP_ADD ? joint_operand(a->operand, b->operand) : a->operand,
		.in_h = step->in_h,
		.in_w = step->in_w,
		.in_c = step->in_c,
		.out_c = has_weights(step) ? step->units : step->in_c,
		.kernel_h = step->kernel_h,
		.kernel_w = step->kernel_w,
		.stride_h = step->stride_h,
		.stride_w = step->stride_w,
		.pad_top = step->pad_top,
		.pad_left = step->pad_left,
		.pad_bottom = step->pad_bottom,
		.pad_right = step->pad_right,
		.pool = step->pool,
		.low = step->low,
		.float_output = step->float_output,
		.scale_a = a->scale,
		.scale_b = step->op == QMDI_OP_ADD ? b->scale : 0,
		.scale_out = step->output_scale,
	};
	if (step->op != QMDI_STEP_SOFTMAX && shape->operand == 0)
		return STEP_FAIL(QMD_ERROR_UNSUPPORTED, engine, index, "adds u8 and s8");
	shape->out_h = n_positions(step->in_h, step->pad_top, step->pad_bottom, step->kernel_h, step->stride_h);
	shape->out_w = n_positions(step->in_w, step->pad_left, step->pad_right, step->kernel_w, step->stride_w);
	shape->out_h /= step->pool;
	shape->out_w /= step->pool;
	if (shape->out_h == 0 || shape->out_w == 0)
		return STEP_FAIL(QMD_ERROR_SHAPE, engine, index, "a window of %u x %u does not fit into %u x %u",
						 step->kernel_h, step->kernel_w, step->in_h, step->in_w);
	if (bounded_product(shape->out_h, shape->out_w, shape->out_c) == 0)
		return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "writes %u x %u x %u elements, expected at most %llu",
						 shape->out_h, shape->out_w, shape->out_c, (unsigned long long)QMDI_MAX_TENSOR_ELEMENTS);
	return QMD_OK;
}

static qmd_status check_add_ratios(const qmd_engine *engine, size_t index) {
	const qmdi_kernel_shape *shape = &engine->steps[index].shape;
	if (shape->op == QMDI_OP_ADD && !shape->float_output &&
		(!is_multiplier(shape->scale_a / shape->scale_out) || !is_multiplier(shape->scale_b / shape->scale_out)))
		return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "scales %g and %g against %g of the sum are too far apart",
						 (double)shape->scale_a, (double)shape->scale_b, (double)shape->scale_out);
	return QMD_OK;
}

static uint32_t larger(uint32_t a, uint32_t b) {
	return a > b ? a : b;
}

static qmd_status widen_halo(qmd_engine *engine, size_t index) {
	const qmdi_step *step = &engine->steps[index];
	qmdi_tensor *tensor = &engine->tensors[step->inputs[0]];
	tensor->halo_top = larger(tensor->halo_top, step->pad_top);
	tensor->halo_left = larger(tensor->halo_left, step->pad_left);
	tensor->halo_bottom = larger(tensor->halo_bottom, step->pad_bottom);
	tensor->halo_right = larger(tensor->halo_right, step->pad_right);
	if (bounded_product((uint64_t)tensor->h + tensor->halo_top + tensor->halo_bottom,
						(uint64_t)tensor->w + tensor->halo_left + tensor->halo_right, tensor->c) == 0)
		return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "pads its input to more than %llu elements",
						 (unsigned long long)QMDI_MAX_TENSOR_ELEMENTS);
	return QMD_OK;
}

static void derive_tensor(qmd_engine *engine, size_t index) {
	const qmdi_step *step = &engine->steps[index];
	qmdi_operand operand = step->low == 0 ? QMDI_S7 : QMDI_S8;
	if (step->op == QMDI_OP_MAXPOOL)
		operand = step->shape.operand;
	if (step->float_output)
		operand = (qmdi_operand)0;
	engine->tensors[index + 1] = (qmdi_tensor){.h = step->shape.out_h,
											   .w = step->shape.out_w,
											   .c = step->shape.out_c,
											   .operand = operand,
											   .scale = step->output_scale};
}

qmd_status qmdi_plan_complete_step(qmd_engine *engine, size_t index) {
	QMDI_TRY(check_fields(engine, index));
	QMDI_TRY(check_inputs(engine, index));
	QMDI_TRY(check_output(engine, index));
	QMDI_TRY(derive_shape(engine, index));
	QMDI_TRY(check_add_ratios(engine, index));
	QMDI_TRY(widen_halo(engine, index));
	derive_tensor(engine, index);
	const qmdi_step *step = &engine->steps[index];
	if (has_weights(step) && (uint64_t)step->kernel_h * step->kernel_w > QMDI_MAX_WEIGHTS / step->units / step->in_c)
		return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "more than %llu weights",
						 (unsigned long long)QMDI_MAX_WEIGHTS);
	return QMD_OK;
}

/* ---- Weights ---- */

size_t qmdi_step_n_inputs(const qmdi_step *step) {
	return step->op == QMDI_OP_ADD ? 2 : 1;
}

size_t qmdi_step_n_weights(const qmdi_step *step) {
	return has_weights(step) ? (size_t)step->units * step->kernel_h * step->kernel_w * step->in_c : 0;
}

/* A fused pool drops an odd last row and column, which are then not computed. */
uint64_t qmdi_step_n_macs(const qmdi_step *step) {
	const qmdi_kernel_shape *shape = &step->shape;
	const uint64_t rows = (uint64_t)shape->out_h * shape->pool, columns = (uint64_t)shape->out_w * shape->pool;
	return rows * columns * qmdi_step_n_weights(step);
}

float qmdi_step_multiplier(const qmd_engine *engine, const qmdi_step *step, size_t channel) {
	const float product = engine->tensors[step->inputs[0]].scale * step->weight_scales[channel];
	return step->float_output ? product : product / step->output_scale;
}

static int64_t largest_magnitude(qmdi_operand operand) {
	return operand == QMDI_U8 ? 255 : operand == QMDI_S8 ? 128 : 127;
}

qmd_status qmdi_plan_check_weights(const qmd_engine *engine, size_t index) {
	const qmdi_step *step = &engine->steps[index];
	const size_t n_weights = qmdi_step_n_weights(step);
	for (size_t i = 0; i < n_weights; i++)
		if (step->weights[i] == -128)
			return STEP_FAIL(QMD_ERROR_RANGE, engine, index, "weight %zu is -128, expected -127 to 127", i);
	for (size_t c = 0; n_weights > 0 && c < step->units; c++) {
		const int64_t k = (int64_t)(n_weights / step->units);
		const int64_t bias = step->bias[c] < 0 ? -(int64_t)step->bias[c] : step->bias[c];
		const int64_t reach = k * largest_magnitude(step->shape.operand) * 127 + bias;
		if (reach > INT32_MAX)
			return STEP_FAIL(
				QMD_ERROR_RANGE, engine, index,
				"channel %zu sums %lld products onto a bias of %d: the sum could reach %lld, expected less "
				"than 2^31",
				c, (long long)k, step->bias[c], (long long)reach);
		if (!is_multiplier(step->weight_scales[c]) || !is_multiplier(qmdi_step_multiplier(engine, step, c)))
			return STEP_FAIL(QMD_ERROR_RANGE, engine, index,
							 "channel %zu has a weight scale of %g and a multiplier of %g, expected normal numbers", c,
							 (double)step->weight_scales[c], (double)qmdi_step_multiplier(engine, step, c));
	}
	return QMD_OK;
}

/* ---- The whole ---- */

static qmd_status check_flat_readers(const qmd_engine *engine) {
	for (size_t i = 0; i < engine->n_steps; i++) {
		const qmdi_step *step = &engine->steps[i];
		for (size_t k = 0; k < qmdi_step_n_inputs(step); k++) {
			const qmdi_tensor *tensor = &engine->tensors[step->inputs[k]];
			const int same = step->in_h == tensor->h && step->in_w == tensor->w && step->in_c == tensor->c;
			const int halo = tensor->halo_top || tensor->halo_left || tensor->halo_bottom || tensor->halo_right;
			if (!same && halo)
				return STEP_FAIL(QMD_ERROR_UNSUPPORTED, engine, i,
								 "reads tensor %u flat, but a convolution that reads it too pads it", step->inputs[k]);
		}
	}
	return QMD_OK;
}

static qmd_status check_outputs(const qmd_engine *engine) {
	if (engine->n_outputs == 0)
		return qmdi_fail(QMD_ERROR_RANGE, "plan: no outputs");
	for (size_t i = 0; i < engine->n_outputs; i++) {
		const qmdi_plan_output *output = &engine->outputs[i];
		if (output->tensor > engine->n_steps || engine->tensors[output->tensor].operand != 0)
			return qmdi_fail(QMD_ERROR_RANGE, "plan: output '%s' is tensor %u, expected one that holds floats",
							 output->name, output->tensor);
		if (qmdi_tensor_elements(&engine->tensors[output->tensor]) !=
			qmdi_tensor_elements(&engine->tensors[engine->outputs[0].tensor]))
			return qmdi_fail(QMD_ERROR_SHAPE, "plan: output '%s' has another number of elements than '%s'",
							 output->name, engine->outputs[0].name);
		for (size_t k = 0; k < i; k++)
			if (strcmp(output->name, engine->outputs[k].name) == 0)
				return qmdi_fail(QMD_ERROR_RANGE, "plan: two outputs '%s'", output->name);
	}
	return QMD_OK;
}

qmd_status qmdi_plan_finish(const qmd_engine *engine) {
	QMDI_TRY(check_flat_readers(engine));
	QMDI_TRY(check_outputs(engine));
	const size_t n_classes = qmd_engine_n_classes(engine);
	if (engine->n_class_names != 0 && engine->n_class_names != n_classes)
		return qmdi_fail(QMD_ERROR_SHAPE, "plan: %zu class names for %zu classes", engine->n_class_names, n_classes);
	const qmdi_tensor *image = &engine->tensors[0];
	const qmd_pixels *pixels = engine->pixels;
	if (pixels && (image->h != pixels->side || image->w != pixels->side || image->c != QMDI_PIXEL_CHANNELS))
		return qmdi_fail(QMD_ERROR_SHAPE, "plan: images are %u x %u x %u, but the pixels make %zu x %zu x %d", image->h,
						 image->w, image->c, pixels->side, pixels->side, QMDI_PIXEL_CHANNELS);
	if (pixels && qmd_pixels_type(pixels) != qmd_engine_image_type(engine))
		return qmdi_fail(QMD_ERROR_SHAPE, "plan: images and pixels differ in type");
	return QMD_OK;
}
