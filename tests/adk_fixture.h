/* The published network on the bundled adenylate kinase: real frames, real shapes, weights that were never trained. */
#ifndef QMD_TESTS_ADK_FIXTURE_H
#define QMD_TESTS_ADK_FIXTURE_H

#include "support.h"

typedef struct qmdt_adk {
	qmd_dataset *dataset;
	qmd_engine *engine;
	size_t n_frames, n_atoms;
	float *xyz; /* n_frames * n_atoms * 3, in angstrom */
} qmdt_adk;

/* kind: a qmd_pixels_kind. */
void qmdt_adk_make(qmdt_adk *adk, int32_t kind);
void qmdt_adk_free(qmdt_adk *adk);

/* A frame of the data set, as it was read. */
qmd_frame qmdt_adk_frame(const qmdt_adk *adk, size_t index);

#endif
