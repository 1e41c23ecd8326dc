/*
 * What is explained: an engine in INT8, or a model in FP32. Methods ask it for logits of images and know no more of it.
 */
#ifndef QMD_LIB_SUBJECT_H
#define QMD_LIB_SUBJECT_H

#include <qmd/engine.h>

#include "base/error.h"

/* One of them; what it points to is borrowed. */
typedef struct qmdi_subject {
	const char *name; /* "engine", "model": for messages */
	const qmd_engine *engine;
	const qmd_model *model;
	const qmd_pixels *pixels;
	size_t n_classes, image_size;
	uint64_t n_macs; /* multiplications of one image */
	int reads_bytes; /* a model: the network is given pixels' numbers as they are, not times their scale */
} qmdi_subject;

/* QMD_ERROR_STATE without pixels, or for fewer than two classes, of which a margin would be the difference. */
qmd_status qmdi_subject_of_engine(const qmd_engine *engine, qmdi_subject *subject);
qmd_status qmdi_subject_of_model(const qmd_model *model, qmdi_subject *subject);

/* "" or NULL for a class without a name. */
const char *qmdi_subject_class_name(const qmdi_subject *subject, size_t index);

/* What one thread computes with: images go through it in batches of QMDI_RUNNER_BATCH, so that a call of so many or
 * fewer is one batch. */
#define QMDI_RUNNER_BATCH 32
typedef struct qmdi_runner qmdi_runner;

qmd_status qmdi_runner_create(const qmdi_subject *subject, qmdi_runner **runner);
void qmdi_runner_free(qmdi_runner *runner);

/* logits: [n][n_classes] */
qmd_status qmdi_runner_logits(qmdi_runner *runner, const void *images, size_t n, float *logits);

#endif
