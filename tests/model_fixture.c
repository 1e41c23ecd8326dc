#include "model_fixture.h"

#include <stdio.h>

#include "base/memory.h"
#include "pixels/pixels_internal.h"

qmd_model *qmdt_model(uint32_t h, uint32_t w, uint32_t c) {
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){h, w, c}, &model));
	return model;
}

int32_t qmdt_add_pool(qmd_model *model, int32_t kind, uint32_t kernel) {
	qmd_layer layer = qmdt_layer(kind);
	layer.kernel_h = layer.kernel_w = kernel;
	return qmdt_add(model, layer);
}

qmd_model *qmdt_model_of_every_kind(void) {
	qmd_model *model = qmdt_model(9, 9, 3);
	qmdt_add_conv(model, QMD_PREVIOUS, 4, 3, 1, QMD_PADDING_SAME);
	qmdt_add_kind(model, QMD_LAYER_BATCHNORM);
	const int32_t trunk = qmdt_add_kind(model, QMD_LAYER_RELU);
	const int32_t branch = qmdt_add_conv(model, QMD_PREVIOUS, 4, 1, 1, QMD_PADDING_VALID);
	qmdt_add_sum(model, trunk, branch);
	qmdt_add_pool(model, QMD_LAYER_MAXPOOL, 2);
	qmdt_add_pool(model, QMD_LAYER_AVGPOOL, 2);
	qmdt_add_kind(model, QMD_LAYER_DROPOUT);
	qmdt_add_kind(model, QMD_LAYER_FLATTEN);
	qmdt_add_dense(model, 2);
	qmdt_add_kind(model, QMD_LAYER_SOFTMAX);
	qmdt_ok(qmd_model_initialize(model, 1));
	return model;
}

void qmdt_set_scales(qmd_model *model) {
	model->weight_bits = model->activation_bits = 8;
	model->image_type = QMD_S8;
	model->passes = qmdi_string("nothing was folded\nnothing was collapsed\n");
	for (size_t i = 0; i < model->n_layers; i++) {
		qmdi_layer *layer = &model->layers[i];
		layer->activation_scale = i < qmdi_model_logits(model) ? 0.0078125f : 0.0f;
		if (layer->definition.units)
			layer->weight_scales = qmdi_array(layer->definition.units, sizeof(float));
		for (uint32_t unit = 0; unit < layer->definition.units; unit++)
			layer->weight_scales[unit] = 0.001f * (float)(unit + 1);
	}
}

qmd_pixels *qmdt_pixels(size_t side, qmd_pixels_kind kind) {
	const size_t n_atoms = side * side;
	qmd_pixels *pixels = qmdi_zeroed(1, sizeof *pixels);
	atomic_init(&pixels->n_holds, 1);
	pixels->kind = (int32_t)kind;
	pixels->side = side;
	pixels->n_atoms = pixels->n_superposed = n_atoms;
	pixels->atoms = qmdi_zeroed(n_atoms, sizeof *pixels->atoms);
	pixels->superposed = qmdi_array(n_atoms, sizeof *pixels->superposed);
	pixels->reference = qmdi_zeroed(3 * n_atoms, sizeof *pixels->reference);
	for (size_t i = 0; i < n_atoms; i++) {
		snprintf(pixels->atoms[i].name, sizeof pixels->atoms[i].name, "CA");
		snprintf(pixels->atoms[i].residue_name, sizeof pixels->atoms[i].residue_name, "GLY");
		pixels->atoms[i].residue_number = (int32_t)i + 1;
		pixels->atoms[i].residue = (uint32_t)i;
		pixels->superposed[i] = (uint32_t)i;
		pixels->reference[3 * i] = 3.8f * (float)i;
	}
	if (kind == QMD_PIXELS_ICNNMD) {
		pixels->background = qmdi_zeroed(3 * n_atoms, 1);
		return pixels;
	}
	pixels->steps = qmdi_array(n_atoms, sizeof *pixels->steps);
	for (size_t i = 0; i < n_atoms; i++)
		pixels->steps[i] = 5.0f / 127.0f;
	return pixels;
}
