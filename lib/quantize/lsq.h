/* Learned step sizes: scales that are trained beside the weights, for widths of QMDI_LSQ_BITS and below. */
#ifndef QMD_LIB_LSQ_H
#define QMD_LIB_LSQ_H

#include <qmd/quantize.h>

#include "train/network.h"

typedef struct qmdi_lsq qmdi_lsq;

/*
 * Train the scales of a quantized model's weights and activations, each where its width is QMDI_LSQ_BITS or below, from
 * those it has. The gradient is that of Esser et al. 2020; what Adam steps on is the logarithm of a scale, as Jain et
 * al. 2020 do, so that a scale stays above 0 and a step is a share of it. Of the training's options it reads Adam's.
 */
qmd_status qmdi_lsq_create(qmd_model *model, const size_t *owners, const qmd_train_options *options, qmdi_lsq **lsq);
void qmdi_lsq_free(qmdi_lsq *lsq);

/* After a backward pass: one step of all scales. */
qmd_status qmdi_lsq_step(qmdi_lsq *lsq, const qmdi_network *network);

#endif
