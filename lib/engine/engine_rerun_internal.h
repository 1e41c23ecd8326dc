/* The plan of a rerun, which engine_rerun_plan.c makes and engine_rerun.c follows. */
#ifndef QMD_LIB_ENGINE_RERUN_INTERNAL_H
#define QMD_LIB_ENGINE_RERUN_INTERNAL_H

#include "engine/engine_internal.h"
#include "engine/engine_rerun.h"

/* Inputs of a joint are summed in chunks of so many, whose sums floats hold exactly: 64 * 255 * 127 < 2^24. */
#define QMDI_RERUN_CHUNK 64

typedef enum qmdi_rerun_role {
	QMDI_RERUN_LOCAL, /* computed again where its inputs changed, an image at a time */
	QMDI_RERUN_JOINT, /* a dense layer on what is local */
	QMDI_RERUN_HEAD   /* computed again whole, for a batch of images */
} qmdi_rerun_role;

/* A dense layer as a sum of n_chunks dense layers on QMDI_RERUN_CHUNK inputs each, zeros filling up the last. */
typedef struct qmdi_rerun_joint {
	size_t n_inputs, n_chunks;
	qmdi_kernel_shape shape; /* of a chunk; its outputs are the sums as floats */
	const qmdi_kernel *kernel;
	unsigned char *packed; /* [n_chunks][packed_size], aligned */
	size_t packed_size;
	float *multipliers; /* [units], of the layer */
} qmdi_rerun_joint;

struct qmdi_rerun_plan {
	qmd_engine *engine; /* held */
	size_t n_steps;     /* up to the logits */
	size_t n_classes;
	qmdi_rerun_role *roles;             /* [n_steps] */
	qmdi_rerun_joint *joints;           /* [n_steps], zeros but for joints */
	unsigned char *is_local;            /* [n_steps + 1], of tensors */
	unsigned char *is_batched;          /* [n_steps + 1]: kept for a batch of images; a local tensor is copied there */
	qmdi_tensor_layout *single, *batch; /* [n_steps + 1] */
	size_t single_size, batch_size;     /* of an arena */
};

/* 1 if a step reads a tensor as one vector that has more than one pixel. */
int qmdi_rerun_is_flat(const qmd_engine *engine, const qmdi_step *step);

#endif
