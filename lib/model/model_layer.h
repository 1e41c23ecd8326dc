/* The rules of one layer, apart from the graph it stands in. */
#ifndef QMD_LIB_MODEL_LAYER_H
#define QMD_LIB_MODEL_LAYER_H

#include "model_internal.h"

/*
 * Check the fields that a kind reads, and set `output`, `n_parameters` and the rest of `definition`. Set before:
 * `name`, `input` and the definition's kind, name and inputs; everything else is 0.
 */
qmd_status qmdi_layer_define(const qmd_layer *given, qmdi_layer *layer);

/* Multiplications of one image; 0 but for conv2d and dense. */
uint64_t qmdi_layer_n_macs(const qmdi_layer *layer);

/* Numbers in all parameters of a layer, trained or not. */
size_t qmdi_layer_n_parameters(const qmdi_layer *layer);

/* Parameters as they are before they are drawn: a batchnorm that changes nothing, else zeros. */
void qmdi_layer_reset_parameters(qmdi_layer *layer);

/* QMD_ERROR_RANGE unless all of one parameter are finite, and variances not negative. */
qmd_status qmdi_layer_check_parameter(const qmdi_layer *layer, size_t index, const float *values);

/* What must hold of a quantized model that is saved or was loaded: widths, image type and every scale. */
qmd_status qmdi_model_check_quantization(const qmd_model *model);

/* Free n texts and their array; NULL is allowed, for a text too. */
void qmdi_release_texts(char **texts, size_t n);

/* Free what a layer owns, but not the layer. */
void qmdi_layer_release(qmdi_layer *layer);

/* Forget the names of the classes. */
void qmdi_model_release_class_names(qmd_model *model);

#endif
