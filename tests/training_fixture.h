/* What is trained on in the tests: made-up images of two classes, and a few frames of adenylate kinase. */
#ifndef QMD_TESTS_TRAINING_FIXTURE_H
#define QMD_TESTS_TRAINING_FIXTURE_H

#include "support.h"

#define QMDT_PATCH_SIDE 12
#define QMDT_PATCH_SIZE (QMDT_PATCH_SIDE * QMDT_PATCH_SIDE * 3)
#define QMDT_N_PATCHES 40

/* Noise, and in one corner or the other a patch that is brighter by 30; s8. The class is the corner. */
extern int8_t qmdt_patches[QMDT_N_PATCHES * QMDT_PATCH_SIZE];
extern uint32_t qmdt_patch_labels[QMDT_N_PATCHES];
void qmdt_draw_patches(uint64_t seed);

/* The preset, for these images. */
qmd_model *qmdt_patch_model(uint64_t seed);

/* Two convolutions that are one, a batchnorm behind them, relu and dense: as small as can be. */
qmd_model *qmdt_tiny_model(void);

/* Share of the images that a model has right, and its mean cross-entropy on them. */
double qmdt_patch_accuracy(const qmd_model *model);
double qmdt_patch_loss(const qmd_model *model);
void qmdt_patch_logits(const qmd_model *model, float logits[2 * QMDT_N_PATCHES]);

/* Every parameter of two models is the same, bit for bit. */
void qmdt_check_same_parameters(const qmd_model *a, const qmd_model *b);

/* Adenylate kinase, every tenth frame: 24 frames, of which the first replicas' 8 are held out. */
typedef struct qmdt_adk {
	qmd_dataset *dataset;
	qmd_split *split;
	qmd_pixels *pixels;
} qmdt_adk;

qmdt_adk qmdt_adk_open(void);
void qmdt_adk_close(qmdt_adk *adk);

#endif
