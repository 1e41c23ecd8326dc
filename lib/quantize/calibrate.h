/* Ranges of activations, observed on images. */
#ifndef QMD_LIB_CALIBRATE_H
#define QMD_LIB_CALIBRATE_H

#include <qmd/quantize.h>

#include "train/labelled_images.h"

/* No layer: its output stays float. */
#define QMDI_NO_OWNER SIZE_MAX

/*
 * Layers whose outputs share one scale, by the rules of model_internal.h: owners[l] is the layer whose output gives
 * the scale of layer l; 0, the input, has that of the images. QMDI_NO_OWNER for the logits and the softmax.
 * QMD_ERROR_UNSUPPORTED, naming the layer, for one that cannot be quantized.
 */
qmd_status qmdi_scale_owners(const qmd_model *model, size_t *owners);

/* Set activation_scale of every layer of a model that is still float. Of the options, which have been checked, it reads
 * observer, percentile, activation_bits, batch_size, seed, n_threads, device and progress. */
qmd_status qmdi_calibrate(qmd_model *model, const qmdi_images *images, const qmd_quantize_options *options,
						  const size_t *owners);

#endif
