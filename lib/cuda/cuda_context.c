/* A context on a CUDA device: what it owns, and the back end's table. */
#include "cuda_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cuda/cuda_device.h"
#include "pixels/pixels_internal.h"

/* ---- Which device ---- */

/* "cuda": -1, the current one; "cuda:N". */
static qmd_status read_number(const char *device, int *number) {
	*number = -1;
	if (device[4] == '\0')
		return QMD_OK;
	char *end;
	const long value = strtol(device + 5, &end, 10);
	if (device[5] < '0' || device[5] > '9' || *end != '\0' || value > 1023)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_context_create: device is '%s', expected 'cuda' or 'cuda:N'", device);
	*number = (int)value;
	return QMD_OK;
}

static qmd_status find_device(const char *name, qmdi_cuda_device *device) {
	int number;
	QMDI_TRY(read_number(name, &number));
	const qmd_status status = qmdi_cuda_find_usable_device(number, device);
	return status == QMD_OK ? QMD_OK : qmdi_fail_within(status, "qmd_context_create: device '%s'", name);
}

/* ---- Memory ---- */

/* Offsets into the allocation on the device. */
typedef struct memory_layout {
	size_t arena, arena_size, render_scratch, input, results;
	size_t *scratch; /* one a step */
} memory_layout;

static size_t image_bytes(const qmdi_cuda_context *context) {
	return qmdi_tensor_elements(&context->engine->tensors[0]);
}

/* What is staged after the frames: coordinates in double precision at most, or indices; or images. */
static size_t input_bytes(const qmdi_cuda_context *context) {
	const qmd_pixels *pixels = context->engine->pixels;
	const size_t atom = context->device_input ? sizeof(uint32_t) : 3 * sizeof(double);
	const size_t frames = pixels ? context->max_batch * pixels->n_atoms * atom : 0;
	const size_t images = context->device_input ? 0 : context->max_batch * image_bytes(context);
	return frames > images ? frames : images;
}

static void lay_out_results(qmdi_cuda_context *context) {
	const qmd_engine *engine = context->engine;
	context->results_size = qmdi_cuda_round_up(context->max_batch * sizeof(uint64_t));
	for (size_t i = 0; i < engine->n_outputs; i++) {
		context->output_offsets[i] = context->results_size;
		const size_t n = qmdi_tensor_elements(&engine->tensors[engine->outputs[i].tensor]);
		context->results_size += qmdi_cuda_round_up(context->max_batch * n * sizeof(float));
	}
}

static size_t reserve(qmdi_cuda_context *context, size_t size) {
	const size_t offset = context->memory_size;
	context->memory_size += qmdi_cuda_round_up(size);
	return offset;
}

static void lay_out_memory(qmdi_cuda_context *context, memory_layout *layout) {
	const qmd_engine *engine = context->engine;
	const qmdi_cuda_plan *plan = context->plan;
	const uint32_t n_multiprocessors = plan->device.n_multiprocessors;
	layout->arena = reserve(context, layout->arena_size);
	for (size_t i = 0; i < engine->n_steps; i++) {
		const qmdi_cuda_kernel *kernel = plan->steps[i].kernel;
		layout->scratch[i] = reserve(
			context, kernel ? kernel->scratch_size(&engine->steps[i].shape, context->max_batch, n_multiprocessors) : 0);
	}
	if (engine->pixels)
		layout->render_scratch =
			reserve(context, qmdi_cuda_render_scratch(&plan->pixels, (uint32_t)context->max_batch, n_multiprocessors));
	context->frames_size = qmdi_cuda_round_up(context->max_batch * sizeof(qmdi_cuda_frame));
	layout->input = reserve(context, context->frames_size + input_bytes(context));
	lay_out_results(context);
	layout->results = reserve(context, context->results_size);
}

static void point_into_memory(qmdi_cuda_context *context, const memory_layout *layout,
							  const qmdi_tensor_layout *tensors) {
	const qmd_engine *engine = context->engine;
	unsigned char *memory = context->memory;
	for (size_t t = 0; t <= engine->n_steps; t++)
		context->views[t] =
			(qmdi_view){memory + layout->arena + tensors[t].offset, tensors[t].row_stride, tensors[t].image_stride};
	for (size_t i = 0; i < engine->n_steps; i++)
		context->scratch[i] = memory + layout->scratch[i];
	context->render_scratch = (int32_t *)(memory + layout->render_scratch);
	context->input = memory + layout->input;
	context->results = memory + layout->results;
	for (size_t i = 0; i < engine->n_outputs; i++)
		context->views[engine->outputs[i].tensor].data = context->results + context->output_offsets[i];
}

/* Halos and scratch memory are zero at first, and no frame has failed yet. */
static qmd_status clear_memory(qmdi_cuda_context *context) {
	QMDI_TRY(qmdi_cuda_fill(context->stream, context->memory, 0, context->memory_size));
	QMDI_TRY(qmdi_cuda_fill(context->stream, context->results, 0xff, context->max_batch * sizeof(uint64_t)));
	return qmdi_cuda_stream_wait(context->stream);
}

static qmd_status allocate_memory(qmdi_cuda_context *context, memory_layout *layout, qmdi_tensor_layout *tensors) {
	QMDI_TRY(qmdi_plan_memory(context->engine, context->max_batch, tensors, &layout->arena_size));
	lay_out_memory(context, layout);
	QMDI_TRY(qmdi_cuda_allocate(context->memory_size, (void **)&context->memory));
	point_into_memory(context, layout, tensors);
	QMDI_TRY(qmdi_cuda_allocate_pinned(context->frames_size + input_bytes(context), (void **)&context->staged_input));
	QMDI_TRY(qmdi_cuda_allocate_pinned(context->results_size, (void **)&context->staged_results));
	return clear_memory(context);
}

static qmd_status make_memory(qmdi_cuda_context *context) {
	const qmd_engine *engine = context->engine;
	memory_layout layout = {0};
	qmdi_tensor_layout *tensors = qmdi_array(engine->n_steps + 1, sizeof *tensors);
	layout.scratch = qmdi_zeroed(engine->n_steps, sizeof *layout.scratch);
	context->views = qmdi_zeroed(engine->n_steps + 1, sizeof *context->views);
	context->scratch = qmdi_zeroed(engine->n_steps, sizeof *context->scratch);
	context->output_offsets = qmdi_zeroed(engine->n_outputs, sizeof *context->output_offsets);
	qmd_status status = QMD_ERROR_MEMORY;
	if (tensors && layout.scratch && context->views && context->scratch && context->output_offsets)
		status = allocate_memory(context, &layout, tensors);
	qmdi_release(tensors);
	qmdi_release(layout.scratch);
	return status;
}

/* ---- The context ---- */

/* QMD_OK without a plan where a step has no kernel. */
static qmd_status make(qmdi_cuda_context *context, const qmdi_cuda_device *device, qmdi_cuda_stream *stream) {
	if (stream)
		QMDI_TRY(qmdi_cuda_stream_check(stream));
	QMDI_TRY(qmdi_cuda_stream_create(&context->own));
	context->stream = stream ? stream : context->own;
	QMDI_TRY(qmdi_cuda_event_create(&context->idle));
	QMDI_TRY(qmdi_cuda_plan_hold(context->engine, device, context->own, &context->plan));
	return context->plan ? make_memory(context) : QMD_OK;
}

static void release_held(void *held) {
	qmdi_cuda_context *context = held;
	for (size_t i = 0; i < QMDI_CUDA_N_GRAPHS; i++)
		qmdi_cuda_graph_free(context->graphs[i]);
	qmdi_cuda_event_free(context->idle);
	qmdi_cuda_stream_free(context->own);
	qmdi_cuda_release(context->memory);
	qmdi_cuda_release_pinned(context->staged_input);
	qmdi_cuda_release_pinned(context->staged_results);
	qmdi_cuda_plan_release(context->plan);
	qmdi_release(context->views);
	qmdi_release(context->scratch);
	qmdi_release(context->output_offsets);
	qmdi_release(context);
}

void qmdi_cuda_context_release(void *argument) {
	qmdi_cuda_context *context = argument;
	qmdi_cuda_give_back(context->plan->device.number, context->stream, release_held, context);
}

qmd_status qmdi_cuda_context_create(const qmd_engine *engine, const qmd_context_options *options, void **out) {
	qmdi_cuda_device device;
	qmdi_cuda_scope before;
	*out = NULL;
	QMDI_TRY(find_device(options->device, &device));
	qmdi_cuda_context *context = qmdi_zeroed(1, sizeof *context);
	if (!context)
		return QMD_ERROR_MEMORY;
	context->engine = engine;
	context->max_batch = options->max_batch;
	context->device_input = options->input_memory == QMD_MEMORY_DEVICE;
	context->device_output = options->output_memory == QMD_MEMORY_DEVICE;
	context->uses_graphs = options->graph != 0;
	snprintf(context->name, sizeof context->name, "cuda:%d", device.number);
	qmd_status status = qmdi_cuda_enter(device.number, &before);
	if (status == QMD_OK) {
		status = make(context, &device, options->stream);
		if (status == QMD_OK && context->plan)
			*out = context;
		else
			release_held(context);
		qmdi_cuda_leave(&before);
	} else {
		qmdi_release(context);
	}
	return status == QMD_OK ? QMD_OK : qmdi_fail_within(status, "qmd_context_create: device '%s'", options->device);
}

/* ---- What it runs on ---- */

static void describe(const void *argument, qmd_context_device *device) {
	const qmdi_cuda_context *context = argument;
	device->n_launches = (uint32_t)qmdi_cuda_n_launches(context);
	device->device = context->name;
	device->name = context->plan->device.name;
	device->weight_bytes = context->plan->memory_size;
	device->memory_bytes = context->memory_size;
}

static const char *kernel_name(const void *argument, size_t index) {
	const qmdi_cuda_context *context = argument;
	const qmdi_cuda_step *step = &context->plan->steps[index];
	if (step->done)
		return "";
	return step->kernel ? step->kernel->name : "softmax_f32";
}

static const qmdi_backend backend = {
	.create = qmdi_cuda_context_create,
	.release = qmdi_cuda_context_release,
	.run = qmdi_cuda_run,
	.wait = qmdi_cuda_wait,
	.time_steps = qmdi_cuda_time_steps,
	.time_run = qmdi_cuda_time_run,
	.describe = describe,
	.kernel = kernel_name,
};

const qmdi_backend *const qmdi_cuda_backend = &backend;
