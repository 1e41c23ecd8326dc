#include "base/error.h"
#include "calibrate.h"

/* Layers that compute new numbers; the others pass on those of their input, or clamp or choose among them. */
static int computes(int32_t kind) {
	return kind == QMD_LAYER_CONV2D || kind == QMD_LAYER_DENSE || kind == QMD_LAYER_ADD || kind == QMD_LAYER_AVGPOOL ||
		   kind == QMD_LAYER_GLOBAL_AVGPOOL;
}

/* Where a relu is fused into the layer before it, its output, not that layer's, decides the range. */
static int is_fused(const qmd_model *model, size_t input) {
	const int32_t kind = model->layers[input].definition.kind;
	return (kind == QMD_LAYER_CONV2D || kind == QMD_LAYER_DENSE || kind == QMD_LAYER_ADD) &&
		   qmdi_model_consumers(model, input, NULL) == 1;
}

static qmd_status set_owner(const qmd_model *model, size_t l, size_t *owners) {
	const qmd_layer *definition = &model->layers[l].definition;
	const size_t input = (size_t)definition->inputs[0];
	if (computes(definition->kind)) {
		owners[l] = l;
		return QMD_OK;
	}
	switch (definition->kind) {
	case QMD_LAYER_RELU:
		owners[l] = is_fused(model, input) ? l : owners[input];
		if (is_fused(model, input))
			owners[input] = l;
		return QMD_OK;
	case QMD_LAYER_MAXPOOL:
	case QMD_LAYER_FLATTEN:
	case QMD_LAYER_DROPOUT:
		owners[l] = owners[input];
		return QMD_OK;
	case QMD_LAYER_SOFTMAX:
		owners[l] = QMDI_NO_OWNER;
		return QMD_OK;
	case QMD_LAYER_BATCHNORM:
		return qmdi_fail(
			QMD_ERROR_UNSUPPORTED,
			"layer '%s': a batchnorm that does not follow a conv2d or dense of its own cannot be quantized",
			definition->name);
	default:
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "layer '%s' cannot be quantized", definition->name);
	}
}

/* From the logits back to the layer that computes them, all stay float. */
static qmd_status release_logits(const qmd_model *model, size_t *owners) {
	for (size_t l = qmdi_model_logits(model);; l = (size_t)model->layers[l].definition.inputs[0]) {
		const qmdi_layer *layer = &model->layers[l];
		owners[l] = QMDI_NO_OWNER;
		if (qmdi_model_consumers(model, l, NULL) > 1)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED, "layer '%s': the logits, which stay float, are read twice",
							 layer->name);
		if (computes(layer->definition.kind))
			return QMD_OK;
		if (layer->definition.kind != QMD_LAYER_FLATTEN && layer->definition.kind != QMD_LAYER_DROPOUT)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED,
							 "layer '%s' gives the logits: expected a conv2d, dense, add or average pooling there",
							 layer->name);
	}
}

qmd_status qmdi_scale_owners(const qmd_model *model, size_t *owners) {
	owners[0] = 0;
	for (size_t l = 1; l < model->n_layers; l++)
		QMDI_TRY(set_owner(model, l, owners));
	return release_logits(model, owners);
}
