/*
 * An engine on a CUDA device, in plain C on kernels/cuda/runtime.h.
 *
 * A plan is what an engine becomes on a device: a kernel for each step, and weights and tables in the device's memory.
 * The contexts of an engine on one device share it. A context owns a stream, one allocation on the device and one of
 * page-locked memory, and graphs: one for each kind of batch that it has met.
 *
 *     host:    frames | coordinates  --copy-->  frames | coordinates
 *     device:                                   frames | indices, where coordinates are the host's device memory
 *              render_pixels -> image -> step -> ... -> failures | logits | probabilities  --copy-->  the same, in the
 * host
 */
#ifndef QMD_LIB_CUDA_INTERNAL_H
#define QMD_LIB_CUDA_INTERNAL_H

#include "cuda/cuda_kernel.h"
#include "cuda/render_pixels.h"
#include "cuda/runtime.h"
#include "engine/backend.h"

#define QMDI_CUDA_ALIGNMENT 256

static inline size_t qmdi_cuda_round_up(size_t size) {
	return (size + QMDI_CUDA_ALIGNMENT - 1) / QMDI_CUDA_ALIGNMENT * QMDI_CUDA_ALIGNMENT;
}

/* ---- cuda_plan.c ---- */

typedef struct qmdi_cuda_step {
	const qmdi_cuda_kernel *kernel; /* NULL for softmax */
	size_t weights;                 /* offset in the plan's memory */
	size_t softmax;                 /* the step, a softmax, that its launch does too; 0: none */
	int done;                       /* by the launch of an earlier step */
} qmdi_cuda_step;

typedef struct qmdi_cuda_plan {
	struct qmdi_cuda_plan *next; /* of all plans of the process */
	size_t n_holds;
	const qmd_engine *engine;
	qmdi_cuda_device device;
	qmdi_cuda_step *steps;
	unsigned char *memory; /* of the device: packed weights, tables of the pixels */
	size_t memory_size;
	qmdi_cuda_pixels pixels;
} qmdi_cuda_plan;

/* The plan of an engine on a device, which is current; held once more. QMD_OK with *plan NULL where a step has no
 * kernel; the last error says which. `stream` carries the copies. */
qmd_status qmdi_cuda_plan_hold(const qmd_engine *engine, const qmdi_cuda_device *device, qmdi_cuda_stream *stream,
							   qmdi_cuda_plan **plan);
void qmdi_cuda_plan_release(qmdi_cuda_plan *plan);

/* ---- cuda_context.c ---- */

/* A kind of batch. What differs in nothing else goes through one graph. */
typedef struct qmdi_cuda_batch {
	size_t n;                                     /* images */
	size_t n_input_bytes;                         /* copied to the device after the frames; */
	int copies_in, renders, computes, copies_out; /* which parts it has */
} qmdi_cuda_batch;

#define QMDI_CUDA_N_GRAPHS 16

typedef struct qmdi_cuda_context {
	const qmd_engine *engine;
	qmdi_cuda_plan *plan;
	size_t max_batch;
	int device_input, device_output, uses_graphs;
	qmdi_cuda_stream *own, *stream; /* graphs are captured in `own`; `stream` is the host's, or own */
	qmdi_cuda_event *idle;          /* all that was given to the stream before */

	unsigned char *memory; /* of the device */
	size_t memory_size;
	qmdi_view *views; /* one a tensor */
	void **scratch;   /* one a step */
	int32_t *render_scratch;

	/* The same layout on both sides: n frames end where their coordinates, indices or images begin. */
	unsigned char *input, *staged_input;
	size_t frames_size;
	size_t n_staged; /* device input: frames that are on the device as they are staged, with their indices */
	int busy;        /* something that was given to the stream may read or write what is staged */

	/* And: a failure a frame, then the outputs one after the other. */
	unsigned char *results, *staged_results;
	size_t *output_offsets; /* one an output, from `results` */
	size_t results_size;

	qmdi_cuda_batch batches[QMDI_CUDA_N_GRAPHS];
	qmdi_cuda_graph *graphs[QMDI_CUDA_N_GRAPHS]; /* NULL: none yet */
	size_t next_graph;

	char name[24]; /* "cuda:0" */
} qmdi_cuda_context;

qmd_status qmdi_cuda_context_create(const qmd_engine *engine, const qmd_context_options *options, void **context);
void qmdi_cuda_context_release(void *context);

/* ---- cuda_submit.c: work for the stream ---- */

/* One step of the plan, unless an earlier one has done it. dependent: it follows a launch, not a copy or an event. */
qmd_status qmdi_cuda_submit_step(const qmdi_cuda_context *context, qmdi_cuda_stream *stream, size_t step,
								 size_t n_images, int dependent);

/* A batch, through its graph if the context uses graphs. */
qmd_status qmdi_cuda_submit_batch(qmdi_cuda_context *context, const qmdi_cuda_batch *batch);

/* Kernels that a batch of frames launches, or of images where the engine has no pixels. */
size_t qmdi_cuda_n_launches(const qmdi_cuda_context *context);

/* ---- cuda_input.c: what a batch reads ---- */

/* Frames first .. first + batch->n - 1 of a source into the staged input; says what the batch must copy in. */
qmd_status qmdi_cuda_stage_frames(qmdi_cuda_context *context, const qmdi_source *source, size_t first,
								  qmdi_cuda_batch *batch);

/* Images to the first tensor. */
qmd_status qmdi_cuda_copy_images(qmdi_cuda_context *context, const qmdi_source *source, size_t first, size_t n);

/* QMD_ERROR_ARGUMENT unless a pointer is of the context's device; `what` is for the message. */
qmd_status qmdi_cuda_check_pointer(const qmdi_cuda_context *context, const void *pointer, const char *what);

/* Look for failures among those of the first n_frames frames of a batch, which have been copied out. If there are, take
 * them off the device, and say what the first one is. source: what was run, or NULL if it may be gone. */
qmd_status qmdi_cuda_check_failures(qmdi_cuda_context *context, const qmdi_source *source, size_t n_frames);

/* ---- cuda_run.c ---- */

qmd_status qmdi_cuda_run(void *context, const qmdi_source *source, const qmd_output *outputs, size_t n_outputs);
qmd_status qmdi_cuda_wait(void *context);
qmd_status qmdi_cuda_time_steps(void *context, const qmdi_source *source, size_t n_repeats, double *times);
qmd_status qmdi_cuda_time_run(void *context, const qmdi_source *source, size_t n_repeats, qmd_run_time *times);

#endif
