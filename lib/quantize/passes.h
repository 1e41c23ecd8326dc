/* Passes from model to model that change no result in exact arithmetic. */
#ifndef QMD_LIB_PASSES_H
#define QMD_LIB_PASSES_H

#include "model/model_internal.h"

/* Each works on `model` in place, whatever the model, and adds to model->passes a line about what it did. After an
 * error the model can only be freed. */

/* A batchnorm (running statistics) that is the only reader of a conv2d or dense goes into its weights. */
qmd_status qmdi_fold_batchnorms(qmd_model *model);

/*
 * A conv2d and the conv2d that is its only reader become one. With kernels k1, k2 and strides s1, s2 that one has the
 * kernel s1 * (k2 - 1) + k1, the stride s1 * s2 and the padding of the first. Exact if the second has no padding: what
 * it would pad with is 0, which is not what the first gives beyond the border. Done where the multiplications fall.
 */
qmd_status qmdi_collapse_convolutions(qmd_model *model);

/* Add a line to model->passes. */
__attribute__((format(printf, 2, 3))) qmd_status qmdi_note_pass(qmd_model *model, const char *format, ...);

#endif
