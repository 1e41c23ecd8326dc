/* Quantization parameters that a model may have: of one that is saved, so that it can be loaded, and of one that a file
 * gave. */
#include "model_layer.h"

#include <math.h>

#include "base/error.h"

static qmd_status check_scale(const qmdi_layer *layer, const char *what, float scale) {
	if (!(scale > 0 && isnormal(scale)))
		return qmdi_fail(QMD_ERROR_RANGE, "layer '%s': %s is %g, expected a finite normal number above 0", layer->name,
						 what, (double)scale);
	return QMD_OK;
}

static qmd_status check_weight_scales(const qmdi_layer *layer) {
	if (layer->definition.units == 0)
		return QMD_OK;
	if (!layer->weight_scales)
		return qmdi_fail(QMD_ERROR_STATE, "layer '%s': it has no weight scales", layer->name);
	for (uint32_t i = 0; i < layer->definition.units; i++)
		QMDI_TRY(check_scale(layer, "a weight scale", layer->weight_scales[i]));
	return QMD_OK;
}

static int passes_scale_on(int32_t kind) {
	return kind == QMD_LAYER_RELU || kind == QMD_LAYER_MAXPOOL || kind == QMD_LAYER_FLATTEN ||
		   kind == QMD_LAYER_DROPOUT;
}

static qmd_status check_activation_scale(const qmd_model *model, size_t index) {
	const qmdi_layer *layer = &model->layers[index];
	const float scale = layer->activation_scale;
	if (index >= qmdi_model_logits(model)) {
		if (scale != 0)
			return qmdi_fail(QMD_ERROR_RANGE, "layer '%s': its activation scale is %g, expected 0 from the logits on",
							 layer->name, (double)scale);
		return QMD_OK;
	}
	QMDI_TRY(check_scale(layer, "its activation scale", scale));
	if (passes_scale_on(layer->definition.kind)) {
		const qmdi_layer *input = &model->layers[layer->definition.inputs[0]];
		if (scale != input->activation_scale)
			return qmdi_fail(QMD_ERROR_RANGE, "layer '%s': its activation scale is %g, expected that of '%s', %g",
							 layer->name, (double)scale, input->name, (double)input->activation_scale);
	}
	return QMD_OK;
}

static qmd_status check_bits(const char *what, uint32_t bits) {
	if (bits < 2 || bits > 8)
		return qmdi_fail(QMD_ERROR_RANGE, "%s are %u bits wide, expected 2 to 8", what, bits);
	return QMD_OK;
}

qmd_status qmdi_model_check_quantization(const qmd_model *model) {
	QMDI_TRY(check_bits("weights", model->weight_bits));
	QMDI_TRY(check_bits("activations", model->activation_bits));
	if (model->image_type != QMD_S8 && model->image_type != QMD_U8)
		return qmdi_fail(QMD_ERROR_RANGE, "the image type is %d, expected %d (s8) or %d (u8)", model->image_type,
						 QMD_S8, QMD_U8);
	for (size_t i = 0; i < model->n_layers; i++) {
		QMDI_TRY(check_weight_scales(&model->layers[i]));
		QMDI_TRY(check_activation_scale(model, i));
	}
	return QMD_OK;
}
