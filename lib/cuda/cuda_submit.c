/* A batch as work for a stream, and as a graph. */
#include "cuda_internal.h"

#include <stdio.h>

#include "cuda/softmax_f32.h"

#define MESSAGE_SIZE 1024

/* ---- Launches ---- */

/* dependent: what is ahead in the stream is a launch too, not a copy. Before sm_90 kernels cannot wait for it. */
static qmd_status submit(const qmdi_cuda_context *context, qmdi_cuda_stream *stream, const qmdi_cuda_launch *launch,
						 int dependent) {
	return qmdi_cuda_submit(stream, launch, dependent && context->plan->device.capability >= 90);
}

static qmd_status submit_render(const qmdi_cuda_context *context, qmdi_cuda_stream *stream, size_t n_frames) {
	const qmdi_cuda_plan *plan = context->plan;
	const qmdi_view *image = &context->views[0];
	const uint32_t n = (uint32_t)n_frames;
	const qmdi_cuda_render render = {
		.pixels = plan->pixels,
		.frames = (const qmdi_cuda_frame *)(context->input + context->frames_size) - n,
		.n_frames = n,
		.n_shares = qmdi_cuda_render_shares(&plan->pixels, n, plan->device.n_multiprocessors),
		.scratch = context->render_scratch,
		.failures = (uint64_t *)context->results,
		.image = image->data,
		.row_stride = image->row_stride,
		.image_stride = image->image_stride,
	};
	qmdi_cuda_launch launch;
	qmdi_cuda_render_launch(&render, &launch);
	return submit(context, stream, &launch, 0);
}

static qmd_status submit_softmax(const qmdi_cuda_context *context, qmdi_cuda_stream *stream, size_t index,
								 size_t n_images, int dependent) {
	const qmdi_view *logits = &context->views[context->engine->steps[index].inputs[0]];
	const qmdi_view *probabilities = &context->views[index + 1];
	const qmdi_cuda_softmax softmax = {
		.logits = logits->data,
		.probabilities = probabilities->data,
		.logits_stride = logits->image_stride,
		.probabilities_stride = probabilities->image_stride,
		.n_images = (uint32_t)n_images,
		.n_classes = (uint32_t)qmdi_tensor_elements(&context->engine->tensors[index + 1]),
	};
	qmdi_cuda_launch launch;
	qmdi_cuda_softmax_launch(&softmax, &launch);
	return submit(context, stream, &launch, dependent);
}

qmd_status qmdi_cuda_submit_step(const qmdi_cuda_context *context, qmdi_cuda_stream *stream, size_t index,
								 size_t n_images, int dependent) {
	const qmdi_step *step = &context->engine->steps[index];
	const qmdi_cuda_step *own = &context->plan->steps[index];
	if (own->done)
		return QMD_OK;
	if (!own->kernel)
		return submit_softmax(context, stream, index, n_images, dependent);
	const qmdi_cuda_call call = {
		.call = {.shape = &step->shape,
				 .packed = context->plan->memory + own->weights,
				 .n_images = n_images,
				 .inputs = {context->views[step->inputs[0]], context->views[step->inputs[1]]},
				 .output = context->views[index + 1]},
		.scratch = context->scratch[index],
		.probabilities = own->softmax > 0 ? context->views[own->softmax + 1].data : NULL,
		.n_multiprocessors = context->plan->device.n_multiprocessors,
	};
	qmdi_cuda_launch launch;
	if (own->kernel->launch(&call, &launch) != 0)
		return qmdi_fail(QMD_ERROR_RANGE, "step %zu ('%s'): %zu images are too many for one launch of %s", index,
						 step->name, n_images, own->kernel->name);
	return submit(context, stream, &launch, dependent);
}

/* ---- Batches ---- */

static qmd_status submit_parts(const qmdi_cuda_context *context, qmdi_cuda_stream *stream,
							   const qmdi_cuda_batch *batch) {
	if (batch->copies_in) {
		const size_t start = context->frames_size - batch->n * sizeof(qmdi_cuda_frame);
		QMDI_TRY(qmdi_cuda_copy(stream, context->input + start, context->staged_input + start,
								context->frames_size - start + batch->n_input_bytes));
	}
	if (batch->renders)
		QMDI_TRY(submit_render(context, stream, batch->n));
	for (size_t i = 0; batch->computes && i < context->engine->n_steps; i++)
		QMDI_TRY(qmdi_cuda_submit_step(context, stream, i, batch->n, i > 0 || batch->renders));
	if (batch->copies_out)
		QMDI_TRY(qmdi_cuda_copy(stream, context->staged_results, context->results, context->results_size));
	return QMD_OK;
}

/* ---- Graphs ---- */

static int is_same(const qmdi_cuda_batch *a, const qmdi_cuda_batch *b) {
	return a->n == b->n && a->n_input_bytes == b->n_input_bytes && a->copies_in == b->copies_in &&
		   a->renders == b->renders && a->computes == b->computes && a->copies_out == b->copies_out;
}

/* Why a capture failed is what its first failing call says. */
static qmd_status give_up_capture(qmdi_cuda_context *context, qmd_status status) {
	char message[MESSAGE_SIZE];
	qmdi_cuda_graph *graph = NULL;
	snprintf(message, sizeof message, "%s", qmd_last_error());
	if (qmdi_cuda_capture_end(context->own, &graph) == QMD_OK)
		qmdi_cuda_graph_free(graph);
	return qmdi_fail(status, "%s", message);
}

static qmd_status capture(qmdi_cuda_context *context, const qmdi_cuda_batch *batch, qmdi_cuda_graph **graph) {
	QMDI_TRY(qmdi_cuda_capture_begin(context->own));
	const qmd_status status = submit_parts(context, context->own, batch);
	return status == QMD_OK ? qmdi_cuda_capture_end(context->own, graph) : give_up_capture(context, status);
}

/* The graph of a batch; if there is none it is made, in the place of the oldest one. */
static qmd_status find_graph(qmdi_cuda_context *context, const qmdi_cuda_batch *batch, qmdi_cuda_graph **graph) {
	for (size_t i = 0; i < QMDI_CUDA_N_GRAPHS; i++) {
		*graph = context->graphs[i];
		if (*graph && is_same(&context->batches[i], batch))
			return QMD_OK;
	}
	const size_t place = context->next_graph;
	if (context->graphs[place])
		QMDI_TRY(qmdi_cuda_stream_wait(context->stream));
	qmdi_cuda_graph_free(context->graphs[place]);
	context->graphs[place] = NULL;
	QMDI_TRY(capture(context, batch, graph));
	context->graphs[place] = *graph;
	context->batches[place] = *batch;
	context->next_graph = (place + 1) % QMDI_CUDA_N_GRAPHS;
	return QMD_OK;
}

qmd_status qmdi_cuda_submit_batch(qmdi_cuda_context *context, const qmdi_cuda_batch *batch) {
	const int is_empty = !batch->copies_in && !batch->renders && !batch->computes && !batch->copies_out;
	if (is_empty || !context->uses_graphs)
		return submit_parts(context, context->stream, batch);
	qmdi_cuda_graph *graph;
	QMDI_TRY(find_graph(context, batch, &graph));
	return qmdi_cuda_graph_launch(graph, context->stream);
}

size_t qmdi_cuda_n_launches(const qmdi_cuda_context *context) {
	size_t n = context->engine->pixels ? 1 : 0;
	for (size_t i = 0; i < context->engine->n_steps; i++)
		n += !context->plan->steps[i].done;
	return n;
}
