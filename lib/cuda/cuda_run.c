/* Runs: batches in order, their outputs, and how long they take. */
#include "cuda_internal.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

/* ---- Outputs ---- */

/* All outputs have equally many elements. */
static size_t output_bytes(const qmdi_cuda_context *context, size_t n_images) {
	return n_images * qmd_engine_n_classes(context->engine) * sizeof(float);
}

static qmd_status check_outputs(const qmdi_cuda_context *context, const qmd_output *outputs, size_t n_outputs) {
	for (size_t i = 0; i < n_outputs && context->device_output; i++)
		QMDI_TRY(qmdi_cuda_check_pointer(context, outputs[i].data, outputs[i].name));
	return QMD_OK;
}

/* The outputs of a batch whose first image is number `first` of the run; to the host they have been copied out. */
static qmd_status give_outputs(qmdi_cuda_context *context, const qmd_output *outputs, size_t n_outputs, size_t first,
							   size_t n_images) {
	const size_t size = output_bytes(context, n_images);
	for (size_t i = 0; i < n_outputs; i++) {
		const size_t offset =
			context->output_offsets[qmdi_engine_output(context->engine, outputs[i].name) - context->engine->outputs];
		char *to = (char *)outputs[i].data + output_bytes(context, first);
		if (context->device_output)
			QMDI_TRY(qmdi_cuda_copy(context->stream, to, context->results + offset, size));
		else
			memcpy(to, context->staged_results + offset, size);
	}
	return QMD_OK;
}

/* ---- Running ---- */

/* What a batch has to read, and which parts it has. */
static qmd_status prepare_batch(qmdi_cuda_context *context, const qmdi_source *source, size_t first, size_t n,
								qmdi_cuda_batch *batch) {
	*batch = (qmdi_cuda_batch){
		.n = n, .renders = source->frames != NULL, .computes = 1, .copies_out = !context->device_output};
	return source->frames ? qmdi_cuda_stage_frames(context, source, first, batch)
						  : qmdi_cuda_copy_images(context, source, first, n);
}

static qmd_status run_batch(qmdi_cuda_context *context, const qmdi_source *source, size_t first, size_t n,
							const qmd_output *outputs, size_t n_outputs) {
	qmdi_cuda_batch batch;
	QMDI_TRY(prepare_batch(context, source, first, n, &batch));
	const size_t n_staged = source->frames && context->device_input ? n : 0;
	context->busy = 1;
	context->n_staged = 0;
	QMDI_TRY(qmdi_cuda_submit_batch(context, &batch));
	context->n_staged = n_staged;
	if (context->device_output) {
		QMDI_TRY(give_outputs(context, outputs, n_outputs, first, n));
		return qmdi_cuda_event_record(context->idle, context->stream);
	}
	QMDI_TRY(qmdi_cuda_stream_wait(context->stream));
	context->busy = 0;
	if (source->frames)
		QMDI_TRY(qmdi_cuda_check_failures(context, source, n));
	return give_outputs(context, outputs, n_outputs, first, n);
}

static qmd_status run(qmdi_cuda_context *context, const qmdi_source *source, const qmd_output *outputs,
					  size_t n_outputs) {
	QMDI_TRY(check_outputs(context, outputs, n_outputs));
	for (size_t first = 0; first < source->n; first += context->max_batch) {
		const size_t left = source->n - first;
		QMDI_TRY(run_batch(context, source, first, left < context->max_batch ? left : context->max_batch, outputs,
						   n_outputs));
	}
	return QMD_OK;
}

/* Call a function with the context's device current. */
#define ON_DEVICE(context, call) QMDI_CUDA_ON_DEVICE((context)->plan->device.number, call)

qmd_status qmdi_cuda_run(void *argument, const qmdi_source *source, const qmd_output *outputs, size_t n_outputs) {
	qmdi_cuda_context *context = argument;
	ON_DEVICE(context, run(context, source, outputs, n_outputs));
}

static qmd_status wait_for_all(qmdi_cuda_context *context) {
	const size_t n = context->engine->pixels ? context->max_batch : 0;
	if (n > 0)
		QMDI_TRY(qmdi_cuda_copy(context->stream, context->staged_results, context->results, n * sizeof(uint64_t)));
	QMDI_TRY(qmdi_cuda_stream_wait(context->stream));
	context->busy = 0;
	return qmdi_cuda_check_failures(context, NULL, n);
}

qmd_status qmdi_cuda_wait(void *argument) {
	qmdi_cuda_context *context = argument;
	ON_DEVICE(context, wait_for_all(context));
}

/* ---- How long it takes ---- */

/* A moment of the device's. */
typedef struct mark {
	qmdi_cuda_event *event;
} mark;

static void free_marks(mark *marks, size_t n) {
	for (size_t i = 0; marks && i < n; i++)
		qmdi_cuda_event_free(marks[i].event);
	qmdi_release(marks);
}

static qmd_status create_marks(size_t n, mark **out) {
	qmd_status status = QMD_OK;
	mark *marks = qmdi_zeroed(n, sizeof *marks);
	if (!marks)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < n && status == QMD_OK; i++)
		status = qmdi_cuda_event_create(&marks[i].event);
	if (status == QMD_OK)
		*out = marks;
	else
		free_marks(marks, n);
	return status;
}

static qmd_status set_mark(const qmdi_cuda_context *context, mark *moment) {
	return qmdi_cuda_event_record(moment->event, context->stream);
}

static qmd_status seconds_between(const mark *from, const mark *to, double *seconds) {
	return qmdi_cuda_event_seconds(from->event, to->event, seconds);
}

/* Every step once, a mark after each. */
static qmd_status time_steps_once(qmdi_cuda_context *context, const qmdi_source *source, mark *marks) {
	const size_t n_steps = context->engine->n_steps;
	QMDI_TRY(qmdi_cuda_copy_images(context, source, 0, source->n)); /* later steps write where the image was */
	QMDI_TRY(set_mark(context, &marks[0]));
	for (size_t i = 0; i < n_steps; i++) {
		QMDI_TRY(qmdi_cuda_submit_step(context, context->stream, i, source->n, 0));
		QMDI_TRY(set_mark(context, &marks[i + 1]));
	}
	return qmdi_cuda_stream_wait(context->stream);
}

static qmd_status time_steps(qmdi_cuda_context *context, const qmdi_source *source, size_t n_repeats, mark *marks,
							 double *times) {
	QMDI_TRY(time_steps_once(context, source, marks)); /* warms up */
	for (size_t repeat = 0; repeat < n_repeats; repeat++) {
		QMDI_TRY(time_steps_once(context, source, marks));
		for (size_t i = 0; i < context->engine->n_steps; i++) {
			double *time = &times[i * n_repeats + repeat];
			*time = 0;
			if (!context->plan->steps[i].done)
				QMDI_TRY(seconds_between(&marks[i], &marks[i + 1], time));
		}
	}
	return QMD_OK;
}

static qmd_status make_marks_and_time_steps(qmdi_cuda_context *context, const qmdi_source *source, size_t n_repeats,
											double *times) {
	mark *marks;
	QMDI_TRY(create_marks(context->engine->n_steps + 1, &marks));
	const qmd_status status = time_steps(context, source, n_repeats, marks, times);
	free_marks(marks, context->engine->n_steps + 1);
	return status;
}

qmd_status qmdi_cuda_time_steps(void *argument, const qmdi_source *source, size_t n_repeats, double *times) {
	qmdi_cuda_context *context = argument;
	ON_DEVICE(context, make_marks_and_time_steps(context, source, n_repeats, times));
}

enum { BEGUN, COPIED_IN, COMPUTED, COPIED_OUT, N_PARTS };

/* Copy in, compute, copy out, with a mark between them; what is computed goes through a graph as in a run. */
static qmd_status time_parts(qmdi_cuda_context *context, const qmdi_source *source, mark *marks) {
	qmdi_cuda_batch all;
	context->n_staged = 0; /* as if the frames were others than before */
	QMDI_TRY(prepare_batch(context, source, 0, source->n, &all));
	const qmdi_cuda_batch parts[] = {
		{.n = all.n, .n_input_bytes = all.n_input_bytes, .copies_in = all.copies_in},
		{.n = all.n, .renders = 1, .computes = 1},
		{.n = all.n, .copies_out = all.copies_out},
	};
	QMDI_TRY(set_mark(context, &marks[BEGUN]));
	for (size_t i = 0; i < 3; i++) {
		QMDI_TRY(qmdi_cuda_submit_batch(context, &parts[i]));
		QMDI_TRY(set_mark(context, &marks[i + 1]));
	}
	QMDI_TRY(qmdi_cuda_stream_wait(context->stream));
	return QMD_OK;
}

static qmd_status time_run_once(qmdi_cuda_context *context, const qmdi_source *source, const qmd_output *output,
								mark *marks, qmd_run_time *time) {
	const double start = qmdi_seconds_now();
	QMDI_TRY(run(context, source, output, context->device_output ? 0 : 1));
	if (context->device_output)
		QMDI_TRY(wait_for_all(context));
	time->total = qmdi_seconds_now() - start;
	QMDI_TRY(time_parts(context, source, marks));
	QMDI_TRY(seconds_between(&marks[BEGUN], &marks[COPIED_IN], &time->input));
	QMDI_TRY(seconds_between(&marks[COPIED_IN], &marks[COMPUTED], &time->compute));
	return seconds_between(&marks[COMPUTED], &marks[COPIED_OUT], &time->output);
}

static qmd_status time_run(qmdi_cuda_context *context, const qmdi_source *source, size_t n_repeats,
						   qmd_run_time *times) {
	mark *marks;
	qmd_status status = create_marks(N_PARTS, &marks);
	QMDI_TRY(status);
	float *probabilities = qmdi_allocate(output_bytes(context, source->n));
	const qmd_output output = {"probabilities", probabilities};
	status = probabilities ? QMD_OK : QMD_ERROR_MEMORY;
	for (size_t i = 0; i < n_repeats && status == QMD_OK; i++)
		status = time_run_once(context, source, &output, marks, &times[i]);
	qmdi_release(probabilities);
	free_marks(marks, N_PARTS);
	return status;
}

qmd_status qmdi_cuda_time_run(void *argument, const qmdi_source *source, size_t n_repeats, qmd_run_time *times) {
	qmdi_cuda_context *context = argument;
	ON_DEVICE(context, time_run(context, source, n_repeats, times));
}
