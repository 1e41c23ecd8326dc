/*
 * Running an engine on many images that differ from one image in a few pixels, computing only what those pixels can
 * reach. The logits are those of a whole run, byte for byte: what is not computed again would have come out the same.
 *
 *     image -> conv, pool, add ...      of the tensors of the whole image, the rectangles that changed are computed
 *                                       again, in place, and put back afterwards
 *     first dense layer                 its int32 sums, less what the changed inputs gave before, and more what they
 *                                       give now
 *     all after it                      whole: every number there has changed
 */
#ifndef QMD_LIB_ENGINE_RERUN_H
#define QMD_LIB_ENGINE_RERUN_H

#include <qmd/engine.h>

/* What there is to know of an engine, and dense weights in an order of their own; immutable, shared by threads. */
typedef struct qmdi_rerun_plan qmdi_rerun_plan;

/* The engine is held. QMD_ERROR_STATE if it has no output "logits". */
qmd_status qmdi_rerun_plan_create(const qmd_engine *engine, qmdi_rerun_plan **plan);
void qmdi_rerun_plan_free(qmdi_rerun_plan *plan);

#define QMDI_RERUN_BATCH 32

/* Memory of one thread; the plan must outlive it. */
typedef struct qmdi_rerun qmdi_rerun;
qmd_status qmdi_rerun_create(const qmdi_rerun_plan *plan, qmdi_rerun **rerun);
void qmdi_rerun_free(qmdi_rerun *rerun);

/* The image that others are compared with; its logits. In the default floating-point environment, as the next. */
void qmdi_rerun_set(qmdi_rerun *rerun, const void *image, float *logits);

/* An image that may differ from it in the pixels [first, end), counted in the order of the file. */
typedef struct qmdi_variant {
	const void *image;
	size_t first, end;
} qmdi_variant;

/* Up to QMDI_RERUN_BATCH of them; logits: [n][n_classes]. */
void qmdi_rerun_variants(qmdi_rerun *rerun, const qmdi_variant *variants, size_t n, float *logits);

/* Multiplications so far. */
uint64_t qmdi_rerun_macs(const qmdi_rerun *rerun);

#endif
