/* A model that has every kind of layer, scales, and pixels to bind it to; layers are added by network_fixture.h. */
#ifndef QMD_TESTS_MODEL_FIXTURE_H
#define QMD_TESTS_MODEL_FIXTURE_H

#include "network_fixture.h"

qmd_model *qmdt_model(uint32_t h, uint32_t w, uint32_t c);

int32_t qmdt_add_pool(qmd_model *model, int32_t kind, uint32_t kernel);

/* 9 x 9 x 3 to 2 classes through every kind of layer but global_avgpool, with a branch; weights drawn by seed 1. */
qmd_model *qmdt_model_of_every_kind(void);

/* Sound scales that stand for nothing, so that the model counts as quantized. */
void qmdt_set_scales(qmd_model *model);

/* Pixels of side * side atoms in a row along x. */
qmd_pixels *qmdt_pixels(size_t side, qmd_pixels_kind kind);

#endif
