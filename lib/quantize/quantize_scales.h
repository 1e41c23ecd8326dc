/* Scales of weights and activations, and what bounds them. */
#ifndef QMD_LIB_QUANTIZE_SCALES_H
#define QMD_LIB_QUANTIZE_SCALES_H

#include "model/model_internal.h"

/* Within these every multiplier s_x * s_w / s_y is a normal number. */
#define QMDI_SCALE_MIN 0x1p-40
#define QMDI_SCALE_MAX 0x1p40

float qmdi_scale_clamp(double scale);

/* Give the weights of every conv2d and dense scales; they are 1 until the weights or a gradient set them. */
qmd_status qmdi_weight_scales_allocate(qmd_model *model);

/* Max-abs scales of all weights as they are now. */
void qmdi_weight_scales_from_weights(qmd_model *model);

/* Where Esser et al. 2020 start scales that are trained: 2 mean|w| / sqrt(largest integer). */
void qmdi_weight_scales_start(qmd_model *model);

/* Raise scales of weights where the bias in units of s_x * s_w would not leave room for sums in 32 bits. */
void qmdi_weight_scales_fit_biases(qmd_model *model);

#endif
