#include "quantize_scales.h"

#include <math.h>

#include "base/memory.h"
#include "tensor/fake_quant.h"

/* Half of what an int32 holds goes to the bias at most. */
#define BIAS_MAX 0x1p30

float qmdi_scale_clamp(double scale) {
	if (scale < QMDI_SCALE_MIN)
		return (float)QMDI_SCALE_MIN;
	return scale > QMDI_SCALE_MAX ? (float)QMDI_SCALE_MAX : (float)scale;
}

static int has_weights(const qmdi_layer *layer) {
	return layer->definition.kind == QMD_LAYER_CONV2D || layer->definition.kind == QMD_LAYER_DENSE;
}

qmd_status qmdi_weight_scales_allocate(qmd_model *model) {
	for (size_t l = 0; l < model->n_layers; l++) {
		qmdi_layer *layer = &model->layers[l];
		if (!has_weights(layer))
			continue;
		layer->weight_scales = qmdi_array(layer->definition.units, sizeof *layer->weight_scales);
		if (!layer->weight_scales)
			return QMD_ERROR_MEMORY;
		for (size_t u = 0; u < layer->definition.units; u++)
			layer->weight_scales[u] = 1.0f;
	}
	return QMD_OK;
}

void qmdi_weight_scales_from_weights(qmd_model *model) {
	const int32_t high = qmdi_quantized_max(model->weight_bits);
	for (size_t l = 0; l < model->n_layers; l++) {
		qmdi_layer *layer = &model->layers[l];
		if (has_weights(layer))
			qmdi_weight_scales(layer->parameters[QMDI_WEIGHT], layer->definition.units,
							   layer->n_parameters[QMDI_WEIGHT] / layer->definition.units, high, layer->weight_scales);
	}
	qmdi_weight_scales_fit_biases(model);
}

void qmdi_weight_scales_start(qmd_model *model) {
	const double high = qmdi_quantized_max(model->weight_bits);
	for (size_t l = 0; l < model->n_layers; l++) {
		qmdi_layer *layer = &model->layers[l];
		if (!has_weights(layer))
			continue;
		const size_t n = layer->n_parameters[QMDI_WEIGHT] / layer->definition.units;
		for (size_t u = 0; u < layer->definition.units; u++) {
			double sum = 0;
			for (size_t i = 0; i < n; i++)
				sum += (double)fabsf(layer->parameters[QMDI_WEIGHT][u * n + i]);
			layer->weight_scales[u] = sum > 0 ? qmdi_scale_clamp(2 * sum / (double)n / sqrt(high)) : 1.0f;
		}
	}
	qmdi_weight_scales_fit_biases(model);
}

void qmdi_weight_scales_fit_biases(qmd_model *model) {
	for (size_t l = 0; l < model->n_layers; l++) {
		qmdi_layer *layer = &model->layers[l];
		if (!has_weights(layer))
			continue;
		const double input_scale = model->layers[layer->definition.inputs[0]].activation_scale;
		for (size_t u = 0; u < layer->definition.units; u++) {
			const double least = fabs((double)layer->parameters[QMDI_BIAS][u]) / (input_scale * BIAS_MAX);
			const double scale = layer->weight_scales[u];
			layer->weight_scales[u] = qmdi_scale_clamp(scale < least ? least : scale);
		}
	}
}
