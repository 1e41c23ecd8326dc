#include "passes.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "model/model_layer.h"

#define LINE_SIZE 512

qmd_status qmdi_note_pass(qmd_model *model, const char *format, ...) {
	char line[LINE_SIZE];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	const size_t before = model->passes ? strlen(model->passes) : 0, length = strlen(line);
	char *passes = qmdi_resize(model->passes, before + length + 2, 1);
	if (!passes)
		return QMD_ERROR_MEMORY;
	snprintf(passes + before, length + 2, "%s\n", line);
	model->passes = passes;
	return QMD_OK;
}

/* Take a layer out of the graph; who read it reads `instead`, a layer before it. */
static void remove_layer(qmd_model *model, size_t index, size_t instead) {
	qmdi_layer *layers = model->layers;
	qmdi_layer_release(&layers[index]);
	model->n_layers--;
	memmove(layers + index, layers + index + 1, (model->n_layers - index) * sizeof *layers);
	for (size_t l = index; l < model->n_layers; l++)
		for (int i = 0; i < 2; i++) {
			int32_t *input = &layers[l].definition.inputs[i];
			if (*input == (int32_t)index)
				*input = (int32_t)instead;
			else if (*input > (int32_t)index)
				--*input;
		}
}

static int has_weights(const qmdi_layer *layer) {
	return layer->definition.kind == QMD_LAYER_CONV2D || layer->definition.kind == QMD_LAYER_DENSE;
}

/* w' = w * gamma / sqrt(variance + epsilon), b' = (b - mean) * gamma / sqrt(variance + epsilon) + beta. */
static void fold(const qmdi_layer *norm, qmdi_layer *layer) {
	float *const *n = norm->parameters;
	const size_t n_per_unit = layer->n_parameters[QMDI_WEIGHT] / layer->definition.units;
	for (size_t u = 0; u < layer->definition.units; u++) {
		const double factor = n[QMDI_GAMMA][u] / sqrt((double)n[QMDI_VARIANCE][u] + (double)norm->definition.epsilon);
		float *weight = layer->parameters[QMDI_WEIGHT] + u * n_per_unit;
		for (size_t i = 0; i < n_per_unit; i++)
			weight[i] = (float)(factor * weight[i]);
		float *bias = &layer->parameters[QMDI_BIAS][u];
		*bias = (float)(((double)*bias - n[QMDI_MEAN][u]) * factor + n[QMDI_BETA][u]);
	}
}

qmd_status qmdi_fold_batchnorms(qmd_model *model) {
	size_t n_folded = 0;
	for (size_t l = 1; l < model->n_layers;) {
		const qmd_layer *definition = &model->layers[l].definition;
		const size_t input = (size_t)definition->inputs[0];
		if (definition->kind != QMD_LAYER_BATCHNORM || !has_weights(&model->layers[input]) ||
			qmdi_model_consumers(model, input, NULL) != 1) {
			l++;
			continue;
		}
		QMDI_TRY(qmdi_note_pass(model, "batch-norm folding: %s into %s", definition->name, model->layers[input].name));
		fold(&model->layers[l], &model->layers[input]);
		remove_layer(model, l, input);
		n_folded++;
	}
	return n_folded ? QMD_OK : qmdi_note_pass(model, "batch-norm folding: nothing to fold");
}

/* ---- Linear collapse ---- */

/* The definition of what two convolutions become. */
static qmd_layer composed(const qmd_layer *first, const qmd_layer *second) {
	qmd_layer one = *second;
	one.inputs[0] = first->inputs[0];
	one.kernel_h = first->stride_h * (second->kernel_h - 1) + first->kernel_h;
	one.kernel_w = first->stride_w * (second->kernel_w - 1) + first->kernel_w;
	one.stride_h = first->stride_h * second->stride_h;
	one.stride_w = first->stride_w * second->stride_w;
	one.padding = QMD_PADDING_EXPLICIT;
	one.pad_top = first->pad_top;
	one.pad_left = first->pad_left;
	one.pad_bottom = first->pad_bottom;
	one.pad_right = first->pad_right;
	return one;
}

/*
 * weight[o][s1 * u + v][c] = sum over m of second[o][u][m] * first[m][v][c], in FP64, u and v being positions in the
 * second and the first kernel and m the channels between.
 */
static void compose_filter(const qmdi_layer *first, const qmdi_layer *second, const qmd_layer *one, size_t o,
						   double *weight) {
	const qmd_layer *d1 = &first->definition, *d2 = &second->definition;
	const size_t n_between = d1->units, n_channels = first->input.c;
	const float *w2 = second->parameters[QMDI_WEIGHT] + o * d2->kernel_h * d2->kernel_w * n_between;
	for (size_t u_h = 0; u_h < d2->kernel_h; u_h++)
		for (size_t u_w = 0; u_w < d2->kernel_w; u_w++)
			for (size_t m = 0; m < n_between; m++) {
				const double factor = w2[(u_h * d2->kernel_w + u_w) * n_between + m];
				const float *w1 = first->parameters[QMDI_WEIGHT] + m * d1->kernel_h * d1->kernel_w * n_channels;
				for (size_t v_h = 0; v_h < d1->kernel_h; v_h++) {
					const size_t row = d1->stride_h * u_h + v_h, column = d1->stride_w * u_w;
					double *out = weight + (row * one->kernel_w + column) * n_channels;
					for (size_t i = 0; i < d1->kernel_w * n_channels; i++)
						out[i] += factor * w1[v_h * d1->kernel_w * n_channels + i];
				}
			}
}

static float composed_bias(const qmdi_layer *first, const qmdi_layer *second, size_t o) {
	const size_t n_between = first->definition.units;
	const size_t n_positions = (size_t)second->definition.kernel_h * second->definition.kernel_w;
	const float *w2 = second->parameters[QMDI_WEIGHT] + o * n_positions * n_between;
	double bias = second->parameters[QMDI_BIAS][o];
	for (size_t i = 0; i < n_positions * n_between; i++)
		bias += (double)w2[i] * first->parameters[QMDI_BIAS][i % n_between];
	return (float)bias;
}

/* New weights and biases of the composition. */
static qmd_status compose(const qmdi_layer *first, const qmdi_layer *second, const qmd_layer *one, float **weights,
						  float **biases) {
	const size_t n_units = one->units, n_per_unit = (size_t)one->kernel_h * one->kernel_w * first->input.c;
	double *filter = qmdi_array(n_per_unit, sizeof *filter);
	*weights = qmdi_array(n_units, n_per_unit * sizeof **weights);
	*biases = qmdi_array(n_units, sizeof **biases);
	if (!filter || !*weights || !*biases) {
		qmdi_release(filter);
		qmdi_release(*weights);
		qmdi_release(*biases);
		return QMD_ERROR_MEMORY;
	}
	for (size_t o = 0; o < n_units; o++) {
		memset(filter, 0, n_per_unit * sizeof *filter);
		compose_filter(first, second, one, o, filter);
		for (size_t i = 0; i < n_per_unit; i++)
			(*weights)[o * n_per_unit + i] = (float)filter[i];
		(*biases)[o] = composed_bias(first, second, o);
	}
	qmdi_release(filter);
	return QMD_OK;
}

/* "conv2d_1+conv2d_2", or the second's name where that would be too long or is taken. */
static qmd_status join_names(const qmd_model *model, const qmdi_layer *first, qmdi_layer *second) {
	char name[2 * QMDI_LAYER_NAME_SIZE];
	snprintf(name, sizeof name, "%s+%s", first->name, second->name);
	if (strlen(name) >= QMDI_LAYER_NAME_SIZE)
		return QMD_OK;
	for (size_t l = 0; l < model->n_layers; l++)
		if (strcmp(model->layers[l].name, name) == 0)
			return QMD_OK;
	char *joined = qmdi_string(name);
	if (!joined)
		return QMD_ERROR_MEMORY;
	qmdi_release(second->name);
	second->name = joined;
	second->definition.name = joined;
	return QMD_OK;
}

static uint64_t composed_macs(const qmdi_layer *first, const qmdi_layer *second, const qmd_layer *one) {
	return (uint64_t)second->output.h * second->output.w * one->units * one->kernel_h * one->kernel_w * first->input.c;
}

/* Put the composition in the place of the second, and take the first out. */
static qmd_status replace(qmd_model *model, size_t first_index, size_t second_index) {
	qmdi_layer *first = &model->layers[first_index], *second = &model->layers[second_index];
	const qmd_layer one = composed(&first->definition, &second->definition);
	float *weights, *biases;
	QMDI_TRY(compose(first, second, &one, &weights, &biases));
	qmdi_release(second->parameters[QMDI_WEIGHT]);
	qmdi_release(second->parameters[QMDI_BIAS]);
	second->parameters[QMDI_WEIGHT] = weights;
	second->parameters[QMDI_BIAS] = biases;
	second->n_parameters[QMDI_WEIGHT] = (size_t)one.units * one.kernel_h * one.kernel_w * first->input.c;
	second->input = first->input;
	second->definition = one;
	QMDI_TRY(join_names(model, first, second));
	remove_layer(model, first_index, (size_t)one.inputs[0]);
	return QMD_OK;
}

static int has_padding(const qmd_layer *d) {
	return d->pad_top || d->pad_left || d->pad_bottom || d->pad_right;
}

/* Collapse the layer into the convolution before it, if that can be. */
static qmd_status try_collapse(qmd_model *model, size_t index, int *done) {
	*done = 0;
	const qmdi_layer *second = &model->layers[index];
	if (second->definition.kind != QMD_LAYER_CONV2D)
		return QMD_OK;
	const size_t input = (size_t)second->definition.inputs[0];
	const qmdi_layer *first = &model->layers[input];
	if (first->definition.kind != QMD_LAYER_CONV2D)
		return QMD_OK;
	if (qmdi_model_consumers(model, input, NULL) != 1)
		return qmdi_note_pass(model, "linear collapse: %s and %s stay two: others read %s too", first->name,
							  second->name, first->name);
	if (has_padding(&second->definition))
		return qmdi_note_pass(model,
							  "linear collapse: %s and %s stay two: %s pads, which is not the same at the border",
							  first->name, second->name, second->name);
	const qmd_layer one = composed(&first->definition, &second->definition);
	const uint64_t before = qmdi_layer_n_macs(first) + qmdi_layer_n_macs(second);
	const uint64_t after = composed_macs(first, second, &one);
	if (after >= before)
		return qmdi_note_pass(model, "linear collapse: %s and %s stay two: %.1f MMAC, as one %.1f", first->name,
							  second->name, 1e-6 * (double)before, 1e-6 * (double)after);
	*done = 1;
	QMDI_TRY(qmdi_note_pass(model, "linear collapse: %s (%ux%u) and %s (%ux%u) become one %ux%u: %.1f to %.1f MMAC",
							first->name, first->definition.kernel_h, first->definition.kernel_w, second->name,
							second->definition.kernel_h, second->definition.kernel_w, one.kernel_h, one.kernel_w,
							1e-6 * (double)before, 1e-6 * (double)after));
	return replace(model, input, index);
}

qmd_status qmdi_collapse_convolutions(qmd_model *model) {
	const size_t n_layers = model->n_layers;
	for (size_t l = 1; l < model->n_layers;) {
		int done;
		QMDI_TRY(try_collapse(model, l, &done));
		/* What it became has moved down by one, and may be collapsed again from where it stands now. */
		if (!done)
			l++;
		else
			l--;
	}
	return n_layers != model->n_layers ? QMD_OK : qmdi_note_pass(model, "linear collapse: nothing to collapse");
}
