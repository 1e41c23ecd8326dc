/*
 * From a quantized model to an engine's plan. Layers are taken in order; each becomes a step, is absorbed by the step
 * before it (relu, a 2x2 maxpool) or vanishes (dropout, flatten).
 */
#include "engine_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/float_environment.h"
#include "base/memory.h"
#include "model/model_internal.h"
#include "pixels/pixels_internal.h"
#include "tensor/fake_quant.h"

#define MAX_WEIGHT 127
#define PASS_LINE_SIZE 256

typedef struct compiler {
	const qmd_model *model;
	qmd_engine *engine;
	int fuse;
	size_t logits;        /* the layer that computes them */
	uint32_t *tensors;    /* [n_layers]: the tensor that holds a layer's output */
	unsigned char *taken; /* [n_layers]: 1 if an earlier layer's step does it too */
	size_t *layers;       /* [n_steps]: the layer that a step began with */
	size_t n_dropouts, n_relus, n_maxpools;
} compiler;

static int32_t kind_of(const compiler *c, size_t layer) {
	return c->model->layers[layer].definition.kind;
}

/* ---- The plan: which layers become steps ---- */

static int is_alias(int32_t kind) {
	return kind == QMD_LAYER_DROPOUT || kind == QMD_LAYER_FLATTEN;
}

/* Layers that leave every number as it is. */
static int vanishes(const qmd_model *model, size_t layer) {
	const qmd_layer *definition = &model->layers[layer].definition;
	return is_alias(definition->kind) ||
		   (definition->kind == QMD_LAYER_RELU && qmdi_model_is_nonnegative(model, (size_t)definition->inputs[0]));
}

/* 0 for layers that are no step. A relu of its own is a 1x1 mean with its scale on both sides, which changes no number
 * but for the clamp. */
static int32_t op_of_kind(int32_t kind) {
	switch (kind) {
	case QMD_LAYER_CONV2D:
		return QMDI_OP_CONV2D;
	case QMD_LAYER_DENSE:
		return QMDI_OP_DENSE;
	case QMD_LAYER_MAXPOOL:
		return QMDI_OP_MAXPOOL;
	case QMD_LAYER_RELU:
	case QMD_LAYER_AVGPOOL:
	case QMD_LAYER_GLOBAL_AVGPOOL:
		return QMDI_OP_AVGPOOL;
	case QMD_LAYER_ADD:
		return QMDI_OP_ADD;
	case QMD_LAYER_SOFTMAX:
		return QMDI_STEP_SOFTMAX;
	default:
		return 0;
	}
}

static void set_window(qmdi_step *step, const qmdi_layer *layer) {
	const qmd_layer *definition = &layer->definition;
	const int32_t kind = definition->kind;
	if (kind == QMD_LAYER_GLOBAL_AVGPOOL) {
		step->kernel_h = layer->input.h;
		step->kernel_w = layer->input.w;
	} else if (kind == QMD_LAYER_CONV2D || kind == QMD_LAYER_MAXPOOL || kind == QMD_LAYER_AVGPOOL) {
		step->kernel_h = definition->kernel_h;
		step->kernel_w = definition->kernel_w;
		step->stride_h = definition->stride_h;
		step->stride_w = definition->stride_w;
	}
	if (step->op == QMDI_OP_CONV2D) {
		step->pad_top = definition->pad_top;
		step->pad_left = definition->pad_left;
		step->pad_bottom = definition->pad_bottom;
		step->pad_right = definition->pad_right;
	}
}

/* May `step` do layer `next` as well, which is the only one that reads it? */
static int can_take(const compiler *c, const qmdi_step *step, size_t next) {
	const qmdi_layer *layer = &c->model->layers[next];
	const qmd_layer *definition = &layer->definition;
	if (is_alias(definition->kind))
		return 1;
	if (!c->fuse || step->float_output)
		return 0;
	if (definition->kind == QMD_LAYER_RELU)
		return step->op != QMDI_OP_MAXPOOL && layer->activation_scale == step->output_scale;
	return definition->kind == QMD_LAYER_MAXPOOL && step->op == QMDI_OP_CONV2D && step->pool == 1 &&
		   definition->kernel_h == 2 && definition->kernel_w == 2 && definition->stride_h == 2 &&
		   definition->stride_w == 2;
}

static qmd_status append_name(qmdi_step *step, const char *name) {
	const size_t length = strlen(step->name), added = strlen(name);
	if (length + added + 2 > QMDI_STEP_NAME_SIZE)
		return QMD_OK; /* a long chain keeps the names of its first layers */
	char *longer = qmdi_resize(step->name, length + added + 2, 1);
	if (!longer)
		return QMD_ERROR_MEMORY;
	longer[length] = '+';
	memcpy(longer + length + 1, name, added + 1);
	step->name = longer;
	return QMD_OK;
}

static qmd_status take_followers(compiler *c, qmdi_step *step, size_t layer) {
	size_t next;
	while (qmdi_model_consumers(c->model, layer, &next) == 1 && can_take(c, step, next)) {
		const int32_t kind = kind_of(c, next);
		if (kind == QMD_LAYER_RELU) {
			step->low = 0;
			c->n_relus++;
		} else if (kind == QMD_LAYER_MAXPOOL) {
			step->pool = 2;
			c->n_maxpools++;
		}
		c->n_dropouts += kind == QMD_LAYER_DROPOUT;
		if (!is_alias(kind))
			QMDI_TRY(append_name(step, c->model->layers[next].name));
		c->taken[next] = 1;
		c->tensors[next] = c->tensors[layer];
		layer = next;
	}
	return QMD_OK;
}

static qmdi_step *new_step(compiler *c, int32_t op, const char *name, uint32_t input) {
	const size_t index = c->engine->n_steps++;
	qmdi_step *step = &c->engine->steps[index];
	*step = (qmdi_step){.op = op,
						.inputs = {input, 0},
						.kernel_h = 1,
						.kernel_w = 1,
						.stride_h = 1,
						.stride_w = 1,
						.pool = 1,
						.low = -128};
	step->name = qmdi_string(name);
	return step->name ? step : NULL;
}

static qmd_status add_step(compiler *c, size_t layer) {
	const qmdi_layer *source = &c->model->layers[layer];
	const int32_t *inputs = source->definition.inputs;
	const int32_t op = op_of_kind(source->definition.kind);
	if (op == 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "layer '%s': a batch normalization that was not folded into a layer before it", source->name);
	c->layers[c->engine->n_steps] = layer;
	qmdi_step *step = new_step(c, op, source->name, c->tensors[inputs[0]]);
	if (!step)
		return QMD_ERROR_MEMORY;
	c->tensors[layer] = (uint32_t)c->engine->n_steps;
	if (op == QMDI_OP_ADD)
		step->inputs[1] = c->tensors[inputs[1]];
	step->in_h = source->input.h;
	step->in_w = source->input.w;
	step->in_c = source->input.c;
	step->units = op == QMDI_OP_CONV2D || op == QMDI_OP_DENSE ? source->definition.units : 0;
	step->low = source->definition.kind == QMD_LAYER_RELU ? 0 : -128;
	set_window(step, source);
	step->float_output = layer == c->logits || op == QMDI_STEP_SOFTMAX;
	step->output_scale = step->float_output ? 0 : source->activation_scale;
	return take_followers(c, step, layer);
}

static qmd_status add_steps(compiler *c) {
	for (size_t i = 1; i < c->model->n_layers; i++) {
		if (c->taken[i])
			continue;
		if (vanishes(c->model, i)) {
			c->tensors[i] = c->tensors[c->model->layers[i].definition.inputs[0]];
			c->n_dropouts += kind_of(c, i) == QMD_LAYER_DROPOUT;
		} else {
			QMDI_TRY(add_step(c, i));
		}
	}
	return QMD_OK;
}

/* Probabilities are an output even of a model that ends in its logits. */
static qmd_status add_softmax(compiler *c) {
	const qmdi_layer *logits = &c->model->layers[c->logits];
	if (kind_of(c, c->model->n_layers - 1) == QMD_LAYER_SOFTMAX)
		return QMD_OK;
	qmdi_step *step = new_step(c, QMDI_STEP_SOFTMAX, "softmax", c->tensors[c->logits]);
	if (!step)
		return QMD_ERROR_MEMORY;
	step->in_h = logits->output.h;
	step->in_w = logits->output.w;
	step->in_c = logits->output.c;
	step->float_output = 1;
	return QMD_OK;
}

static int reads_padded(const qmdi_step *step, uint32_t tensor) {
	return step->op == QMDI_OP_CONV2D && step->inputs[0] == tensor &&
		   (step->pad_top || step->pad_left || step->pad_bottom || step->pad_right);
}

/* A dense layer reads its input as one vector. Where another step's padding puts a halo around that input, it is
 * computed as the convolution that covers it: the order of the weights is the same. */
static void read_halos_by_convolution(compiler *c, qmdi_step *dense, const qmdi_tensor *tensor) {
	for (size_t i = 0; i < c->engine->n_steps; i++) {
		if (!reads_padded(&c->engine->steps[i], dense->inputs[0]))
			continue;
		dense->op = QMDI_OP_CONV2D;
		dense->in_h = dense->kernel_h = tensor->h;
		dense->in_w = dense->kernel_w = tensor->w;
		dense->in_c = tensor->c;
		return;
	}
}

/* ---- Integers ---- */

static qmd_status quantize_weights(qmd_engine *engine, qmdi_step *step, const qmdi_layer *layer) {
	const size_t n = qmdi_step_n_weights(step), per_unit = n / step->units;
	const float input_scale = engine->tensors[step->inputs[0]].scale;
	if (n != layer->n_parameters[QMDI_WEIGHT] || step->units != layer->n_parameters[QMDI_BIAS])
		return qmdi_fail(QMD_ERROR_INTERNAL, "layer '%s': %zu weights, expected %zu", layer->name,
						 layer->n_parameters[QMDI_WEIGHT], n);
	step->weights = qmdi_array(n, sizeof *step->weights);
	step->bias = qmdi_array(step->units, sizeof *step->bias);
	step->weight_scales = qmdi_copy(layer->weight_scales, step->units, sizeof *step->weight_scales);
	if (!step->weights || !step->bias || !step->weight_scales)
		return QMD_ERROR_MEMORY;
	for (size_t u = 0; u < step->units; u++) {
		const float scale = step->weight_scales[u];
		for (size_t i = u * per_unit; i < (u + 1) * per_unit; i++)
			step->weights[i] =
				(int8_t)qmdi_quantize_f32(layer->parameters[QMDI_WEIGHT][i], scale, -MAX_WEIGHT, MAX_WEIGHT);
		step->bias[u] = qmdi_quantize_bias(layer->parameters[QMDI_BIAS][u], input_scale, scale);
	}
	return QMD_OK;
}

static int is_nonnegative(const qmdi_tensor *tensor) {
	return tensor->operand == QMDI_U8 || tensor->operand == QMDI_S7;
}

static qmd_status complete_step(compiler *c, size_t index) {
	qmd_engine *engine = c->engine;
	qmdi_step *step = &engine->steps[index];
	const qmdi_tensor *a = &engine->tensors[step->inputs[0]], *b = &engine->tensors[step->inputs[1]];
	if (step->op == QMDI_OP_DENSE)
		read_halos_by_convolution(c, step, a);
	if (step->op == QMDI_OP_MAXPOOL)
		step->output_scale = a->scale;
	/* What cannot be negative is said to be so: kernels are faster on it. */
	if (!step->float_output && (step->op == QMDI_OP_AVGPOOL || step->op == QMDI_OP_ADD) && is_nonnegative(a) &&
		(step->op != QMDI_OP_ADD || is_nonnegative(b)))
		step->low = 0;
	QMDI_TRY(qmdi_plan_complete_step(engine, index));
	if (step->units > 0)
		QMDI_TRY(quantize_weights(engine, step, &c->model->layers[c->layers[index]]));
	return qmdi_plan_check_weights(engine, index);
}

/* ---- What is not steps ---- */

static qmd_status set_outputs(compiler *c) {
	qmd_engine *engine = c->engine;
	engine->outputs = qmdi_zeroed(2, sizeof *engine->outputs);
	if (!engine->outputs)
		return QMD_ERROR_MEMORY;
	engine->n_outputs = 2;
	engine->outputs[0] = (qmdi_plan_output){"logits", c->tensors[c->logits]};
	engine->outputs[1] = (qmdi_plan_output){"probabilities", (uint32_t)engine->n_steps};
	return QMD_OK;
}

static qmd_status copy_bindings(const qmd_model *model, qmd_engine *engine) {
	if (model->pixels)
		engine->pixels = qmdi_pixels_retain(model->pixels);
	if (!model->class_names)
		return QMD_OK;
	engine->class_names = qmdi_zeroed(model->n_class_names, sizeof *engine->class_names);
	if (!engine->class_names)
		return QMD_ERROR_MEMORY;
	while (engine->n_class_names < model->n_class_names) {
		char *name = qmdi_string(model->class_names[engine->n_class_names]);
		if (!name)
			return QMD_ERROR_MEMORY;
		engine->class_names[engine->n_class_names++] = name;
	}
	return QMD_OK;
}

static void put_line(qmdi_writer *text, const char *line) {
	qmdi_put(text, line, strlen(line));
	qmdi_put(text, "\n", 1);
}

static size_t count_halos(const qmd_engine *engine) {
	size_t n = 0;
	for (size_t t = 0; t <= engine->n_steps; t++) {
		const qmdi_tensor *tensor = &engine->tensors[t];
		n += tensor->halo_top || tensor->halo_left || tensor->halo_bottom || tensor->halo_right;
	}
	return n;
}

static void put_passes(const compiler *c, size_t arena_size, qmdi_writer *text) {
	const qmd_engine *engine = c->engine;
	const char *earlier = c->model->passes ? c->model->passes : "";
	char line[PASS_LINE_SIZE];
	qmdi_put(text, earlier, strlen(earlier));
	if (earlier[0] != '\0' && earlier[strlen(earlier) - 1] != '\n')
		qmdi_put(text, "\n", 1);
	if (c->n_dropouts > 0) {
		snprintf(line, sizeof line, "dropout removal: %zu removed", c->n_dropouts);
		put_line(text, line);
	}
	snprintf(line, sizeof line, "fusion: %zu relu and %zu maxpool computed by the step before them", c->n_relus,
			 c->n_maxpools);
	put_line(text, c->fuse ? line : "fusion: switched off");
	snprintf(line, sizeof line, "layout: NHWC, %zu of %zu tensors with a halo of zeros for padded convolutions",
			 count_halos(engine), engine->n_steps + 1);
	put_line(text, line);
	snprintf(line, sizeof line, "memory plan: %zu bytes for one image, %zu without sharing", arena_size,
			 qmdi_plan_memory_unshared(engine, 1));
	put_line(text, line);
}

static qmd_status describe_passes(const compiler *c) {
	qmdi_tensor_layout *layouts = qmdi_array(c->engine->n_steps + 1, sizeof *layouts);
	if (!layouts)
		return QMD_ERROR_MEMORY;
	size_t arena_size;
	qmd_status status = qmdi_plan_memory(c->engine, 1, layouts, &arena_size);
	qmdi_release(layouts);
	QMDI_TRY(status);
	qmdi_writer text = {0};
	put_passes(c, arena_size, &text);
	qmdi_put(&text, "", 1);
	if (text.status == QMD_OK) {
		c->engine->passes = qmdi_string((const char *)text.data);
		text.status = c->engine->passes ? QMD_OK : QMD_ERROR_MEMORY;
	}
	status = text.status;
	qmdi_writer_release(&text);
	return status;
}

/* ---- The whole ---- */

static qmd_status check_model(const qmd_model *model) {
	if (!qmd_model_is_quantized(model))
		return qmdi_fail(QMD_ERROR_STATE, "qmd_engine_compile: the model is not quantized");
	if (model->weight_bits != 8 || model->activation_bits != 8)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "qmd_engine_compile: %u-bit weights and %u-bit activations, engines compute with 8 and 8",
						 model->weight_bits, model->activation_bits);
	for (size_t i = 0; i < model->n_layers; i++) {
		const qmdi_layer *layer = &model->layers[i];
		const int32_t kind = layer->definition.kind;
		if ((kind == QMD_LAYER_CONV2D || kind == QMD_LAYER_DENSE) && !layer->weight_scales)
			return qmdi_fail(QMD_ERROR_STATE, "layer '%s': its weights have no scales", layer->name);
	}
	return QMD_OK;
}

/* The layer that computes the logits; what follows it up to the softmax only passes them on. */
static qmd_status find_logits(compiler *c) {
	c->logits = qmdi_model_logits(c->model);
	while (is_alias(kind_of(c, c->logits)))
		c->logits = (size_t)c->model->layers[c->logits].definition.inputs[0];
	switch (kind_of(c, c->logits)) {
	case QMD_LAYER_CONV2D:
	case QMD_LAYER_DENSE:
	case QMD_LAYER_AVGPOOL:
	case QMD_LAYER_GLOBAL_AVGPOOL:
	case QMD_LAYER_ADD:
		return QMD_OK;
	default:
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "layer '%s' makes the logits: expected a conv2d, dense, avgpool or add layer",
						 c->model->layers[c->logits].name);
	}
}

static qmd_status compile(compiler *c) {
	const qmd_model *model = c->model;
	QMDI_TRY(find_logits(c));
	QMDI_TRY(qmdi_plan_reserve(c->engine, model->n_layers));
	c->engine->n_steps = 0;
	QMDI_TRY(qmdi_plan_set_image(c->engine, model->layers[0].output, model->image_type));
	c->tensors = qmdi_zeroed(model->n_layers, sizeof *c->tensors);
	c->taken = qmdi_zeroed(model->n_layers, sizeof *c->taken);
	c->layers = qmdi_zeroed(model->n_layers, sizeof *c->layers);
	if (!c->tensors || !c->taken || !c->layers)
		return QMD_ERROR_MEMORY;
	QMDI_TRY(add_steps(c));
	QMDI_TRY(add_softmax(c));
	for (size_t i = 0; i < c->engine->n_steps; i++)
		QMDI_TRY(complete_step(c, i));
	QMDI_TRY(set_outputs(c));
	QMDI_TRY(copy_bindings(model, c->engine));
	QMDI_TRY(qmdi_plan_finish(c->engine));
	QMDI_TRY(describe_passes(c));
	return qmdi_engine_pack(c->engine);
}

qmd_status qmd_engine_compile(const qmd_model *quantized, const qmd_engine_options *options, qmd_engine **engine) {
	QMDI_REQUIRE(engine);
	*engine = NULL;
	QMDI_REQUIRE(quantized);
	qmd_engine_options used;
	qmd_engine_options_init(&used);
	QMDI_TRY(qmdi_options_copy(&used, sizeof used, sizeof used, options, "qmd_engine_options"));
	QMDI_TRY(check_model(quantized));
	compiler c = {.model = quantized, .fuse = used.fuse != 0};
	QMDI_TRY(qmdi_engine_new(&c.engine));
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	const qmd_status status = compile(&c);
	qmdi_float_leave(&saved);
	qmdi_release(c.tensors);
	qmdi_release(c.taken);
	qmdi_release(c.layers);
	if (status != QMD_OK) {
		qmd_engine_free(c.engine);
		return status;
	}
	*engine = c.engine;
	return QMD_OK;
}
