/* What is only for other stages to ask of a predictor. */
#ifndef QMD_LIB_PREDICTOR_H
#define QMD_LIB_PREDICTOR_H

#include <qmd/train.h>

/* From now on the network reads what it would, times a factor: another scale than it was trained on. */
void qmdi_predictor_multiply_input(qmd_predictor *predictor, float factor);

#endif
