/*
 * An engine is a plan, the same on every machine, and what this machine makes of it: a kernel for each step and weights
 * packed for that kernel.
 *
 * The plan is a list of steps. Tensor 0 is the image, step i writes tensor i + 1. A step says only what cannot be
 * derived (engine_plan.c derives the rest, and checks it), so that a file cannot contradict itself.
 */
#ifndef QMD_LIB_ENGINE_INTERNAL_H
#define QMD_LIB_ENGINE_INTERNAL_H

#include <qmd/engine.h>

#include <stdatomic.h>

#include "base/bytes.h"
#include "kernel.h"

/* The one op that is no kernel: it runs in floats, on the logits. */
#define QMDI_STEP_SOFTMAX 6

#define QMDI_MAX_STEPS 1024
#define QMDI_MAX_TENSOR_ELEMENTS ((uint64_t)1 << 26) /* of one image, halo included */
#define QMDI_MAX_WEIGHTS ((uint64_t)1 << 31)         /* of one step */
#define QMDI_STEP_NAME_SIZE 1024
#define QMDI_OUTPUT_NAME_SIZE 32
#define QMDI_CLASS_NAME_SIZE 256
#define QMDI_WHY_SIZE 128

typedef struct qmdi_tensor {
	uint32_t h, w, c;
	qmdi_operand operand; /* 0: its elements are floats */
	float scale;          /* real = scale * q; 0: floats */
	/* Widest padding of the convolutions that read it. */
	uint32_t halo_top, halo_left, halo_bottom, halo_right;
} qmdi_tensor;

typedef struct qmdi_step {
	/* Said. */
	char *name;
	int32_t op;                                        /* a qmdi_op, or QMDI_STEP_SOFTMAX */
	uint32_t inputs[2];                                /* tensors; the second for add */
	uint32_t in_h, in_w, in_c;                         /* the input's shape, or 1, 1, n where the step reads it flat */
	uint32_t units;                                    /* conv2d, dense: output channels */
	uint32_t kernel_h, kernel_w;                       /* conv2d and pools */
	uint32_t stride_h, stride_w;                       /* conv2d and pools */
	uint32_t pad_top, pad_left, pad_bottom, pad_right; /* conv2d */
	uint32_t pool;                                     /* conv2d: 1, or 2 for a fused 2x2 maxpool */
	int32_t low;                                       /* clamp: 0 or -128; of maxpool: -128 */
	int32_t float_output;
	float output_scale;   /* 0 for floats; of maxpool the input's */
	int8_t *weights;      /* conv2d, dense: [units][kernel_h][kernel_w][in_c], [units][in_c] */
	int32_t *bias;        /* [units] */
	float *weight_scales; /* [units] */

	/* Derived. */
	qmdi_kernel_shape shape;

	/* This machine's. */
	const qmdi_kernel *kernel; /* NULL for softmax */
	char why[QMDI_WHY_SIZE];   /* how it was chosen */
	void *packed;              /* shared by all contexts; NULL where the kernel needs none */
	size_t packed_size;
} qmdi_step;

typedef struct qmdi_plan_output {
	char name[QMDI_OUTPUT_NAME_SIZE];
	uint32_t tensor; /* of floats; all outputs have equally many elements */
} qmdi_plan_output;

struct qmd_engine {
	atomic_size_t n_holds;
	qmd_pixels *pixels; /* held, or NULL */
	char **class_names; /* n_class_names texts, or NULL */
	size_t n_class_names;
	char *passes;
	qmdi_step *steps;
	size_t n_steps;
	qmdi_tensor *tensors; /* n_steps + 1 */
	qmdi_plan_output *outputs;
	size_t n_outputs;
};

/* ---- engine.c: the handle ---- */

/* An engine with one hold and nothing in it. */
qmd_status qmdi_engine_new(qmd_engine **engine);
qmd_engine *qmdi_engine_retain(const qmd_engine *engine);

/* NULL if there is none of that name. */
const qmdi_plan_output *qmdi_engine_output(const qmd_engine *engine, const char *name);

/* Of the kernel that this machine's CPU runs. */
const char *qmdi_step_kernel_name(const qmdi_step *step);

/* ---- engine_file.c ---- */

/* A hash of all that a file would hold. */
qmd_status qmdi_engine_hash(const qmd_engine *engine, uint64_t *hash);

/* ---- engine_plan.c: what the steps mean ---- */

/* Room for n_steps steps, all zero, and their tensors. */
qmd_status qmdi_plan_reserve(qmd_engine *engine, size_t n_steps);
qmd_status qmdi_plan_set_image(qmd_engine *engine, qmd_shape shape, int32_t image_type);

/*
 * Check step `index` against the tensors before it and derive its shape and its tensor. Weights and bias are looked at
 * by qmdi_plan_check_weights(), which needs this first. QMD_ERROR_RANGE, QMD_ERROR_SHAPE or QMD_ERROR_UNSUPPORTED; the
 * message names the step.
 */
qmd_status qmdi_plan_complete_step(qmd_engine *engine, size_t index);

/* Inputs that a step has: 1 or 2. */
size_t qmdi_step_n_inputs(const qmdi_step *step);

/* Numbers of weights a step has; 0 for steps without. */
size_t qmdi_step_n_weights(const qmdi_step *step);

/* Multiplications that a step does for one image. */
uint64_t qmdi_step_n_macs(const qmdi_step *step);

/* Weights without -128, multipliers finite and normal, and QMD_ERROR_RANGE if the accumulator could overflow. */
qmd_status qmdi_plan_check_weights(const qmd_engine *engine, size_t index);

/* What needs all steps: halos against flat readers, outputs, pixels, class names. */
qmd_status qmdi_plan_finish(const qmd_engine *engine);

/* m[c] of docs/numerics.md, or the scale of the logits. */
float qmdi_step_multiplier(const qmd_engine *engine, const qmdi_step *step, size_t channel);

size_t qmdi_tensor_elements(const qmdi_tensor *tensor);
size_t qmdi_tensor_pixel_size(const qmdi_tensor *tensor); /* bytes of all its channels */

/* ---- engine_pack.c: this machine ---- */

/* The multipliers of a step's channels; qmdi_release() them. */
float *qmdi_step_multipliers(const qmd_engine *engine, const qmdi_step *step);

/* Choose a kernel for each step and pack its weights. */
qmd_status qmdi_engine_pack(qmd_engine *engine);

/* ---- context.c ---- */

/* One step by the calling thread alone. */
void qmdi_step_run(const qmdi_step *step, const qmdi_kernel_call *call);

/* ---- engine_memory.c: where tensors stand in a context's arena ---- */

typedef struct qmdi_tensor_layout {
	size_t offset; /* of the inside of the first image, from the start of the arena */
	size_t row_stride, image_stride;
	int has_halo;
} qmdi_tensor_layout;

/* Strides of a tensor of n_images, its offset within its slot, and the slot's size. */
size_t qmdi_tensor_lay_out(const qmdi_tensor *tensor, size_t n_images, qmdi_tensor_layout *layout);

/* layouts: n_steps + 1. The arena must be zeroed once: what has a halo shares its bytes with nothing, so that the halo
 * stays zero; what has none shares with those that live at other times. */
qmd_status qmdi_plan_memory(const qmd_engine *engine, size_t n_images, qmdi_tensor_layout *layouts, size_t *size);

/* Bytes that the arena would have if nothing shared. */
size_t qmdi_plan_memory_unshared(const qmd_engine *engine, size_t n_images);

#endif
