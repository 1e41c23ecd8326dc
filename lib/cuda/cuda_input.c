/* What a batch reads: frames with their coordinates or, where these are on the device, their indices; or images. */
#include "cuda_internal.h"

#include <string.h>

#include "base/float_environment.h"
#include "base/memory.h"
#include "pixels/pixels_frame.h"
#include "pixels/pixels_internal.h"

qmd_status qmdi_cuda_check_pointer(const qmdi_cuda_context *context, const void *pointer, const char *what) {
	int device;
	QMDI_TRY(qmdi_cuda_device_of(pointer, &device));
	if (device < 0)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "%s is memory of the host, but QMD_MEMORY_DEVICE was said", what);
	if (device != context->plan->device.number)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "%s is memory of device %d, but the context runs on %s", what, device,
						 context->name);
	return QMD_OK;
}

/* What is staged is about to be written: earlier copies of it must be done. */
static qmd_status wait_for_staging(qmdi_cuda_context *context) {
	if (context->busy)
		QMDI_TRY(qmdi_cuda_event_wait(context->idle));
	context->busy = 0;
	return QMD_OK;
}

/* ---- What failed ---- */

/* The words of the CPU for the first of n frames that it cannot render; QMD_OK if it can render all. */
static qmd_status explain(const qmdi_cuda_context *context, const qmdi_source *source, size_t first, size_t n) {
	const qmd_pixels *pixels = context->engine->pixels;
	const size_t row = pixels->side * QMDI_PIXEL_CHANNELS;
	void *workspace = qmdi_aligned(qmdi_pixels_workspace_size(pixels), 1);
	void *image = qmdi_array(pixels->side, row);
	qmd_status status = workspace && image ? QMD_OK : QMD_ERROR_MEMORY;
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	for (size_t i = first; i < first + n && status == QMD_OK; i++) {
		status = qmdi_pixels_render(pixels, &source->frames[i], workspace, image, row);
		if (status != QMD_OK)
			qmdi_fail_within(status, "frame %zu", i);
	}
	qmdi_float_leave(&saved);
	qmdi_release_aligned(workspace);
	qmdi_release(image);
	return status;
}

static qmd_status fail_at_atom(const qmdi_cuda_context *context, size_t frame, size_t index) {
	const qmd_atom *atom = &context->engine->pixels->atoms[index];
	return qmdi_fail(QMD_ERROR_RANGE,
					 "frame %zu: atom %zu (%s %s %d %s) is not finite, or more than %g angstrom from atom %u, the "
					 "first superposed one",
					 frame, index, atom->chain, atom->residue_name, atom->residue_number, atom->name, QMDI_MAX_DISTANCE,
					 context->plan->pixels.first);
}

qmd_status qmdi_cuda_check_failures(qmdi_cuda_context *context, const qmdi_source *source, size_t n_frames) {
	const uint64_t *failures = (const uint64_t *)context->staged_results;
	uint64_t first = QMDI_CUDA_NO_FAILURE;
	for (size_t i = 0; i < n_frames; i++)
		first = failures[i] < first ? failures[i] : first;
	if (first == QMDI_CUDA_NO_FAILURE)
		return QMD_OK;
	QMDI_TRY(qmdi_cuda_fill(context->stream, context->results, 0xff, context->max_batch * sizeof *failures));
	QMDI_TRY(qmdi_cuda_stream_wait(context->stream));
	const size_t frame = (size_t)(first >> 32), atom = (size_t)(first & UINT32_MAX);
	if (source && !context->device_input)
		QMDI_TRY(explain(context, source, frame, 1));
	return fail_at_atom(context, frame, atom);
}

/* ---- Frames ---- */

static qmd_status describe_frame(const qmd_pixels *pixels, const qmd_frame *frame, size_t number,
								 qmdi_cuda_frame *described) {
	memset(described, 0, sizeof *described); /* compared byte by byte */
	QMDI_TRY(qmdi_frame_check(pixels, frame));
	if (frame->box)
		QMDI_TRY(qmdi_frame_box(frame, &described->box));
	described->xyz = frame->xyz;
	described->stride = frame->stride;
	described->unit = frame->unit == QMD_NM ? 10.0 : 1.0;
	described->is_double = frame->type == QMD_F64;
	described->has_box = frame->box != NULL;
	described->number = (uint32_t)number;
	return QMD_OK;
}

/* n frames as they are staged. */
static qmdi_cuda_frame *staged_frames(const qmdi_cuda_context *context, size_t n) {
	return (qmdi_cuda_frame *)(context->staged_input + context->frames_size) - n;
}

/* The coordinates of the pixels' atoms, of their own type and unit, x y z side by side. */
static void gather(const qmd_frame *frame, size_t n_atoms, void *coordinates) {
	const size_t size = frame->type == QMD_F64 ? sizeof(double) : sizeof(float);
	const unsigned char *xyz = frame->xyz;
	unsigned char *to = coordinates;
	if (!frame->indices && frame->stride == 3) {
		memcpy(to, xyz, 3 * n_atoms * size);
	} else if (size == sizeof(double)) {
		for (size_t i = 0; i < n_atoms; i++)
			memcpy(to + 24 * i, xyz + (frame->indices ? frame->indices[i] : i) * frame->stride * 8, 24);
	} else {
		for (size_t i = 0; i < n_atoms; i++)
			memcpy(to + 12 * i, xyz + (frame->indices ? frame->indices[i] : i) * frame->stride * 4, 12);
	}
}

/* Coordinates of the host: of each frame those that the pixels look at. */
static qmd_status stage_coordinates(qmdi_cuda_context *context, const qmdi_source *source, size_t first,
									qmdi_cuda_batch *batch) {
	const qmd_pixels *pixels = context->engine->pixels;
	qmdi_cuda_frame *frames = staged_frames(context, batch->n);
	size_t size = 3 * sizeof(float) * pixels->n_atoms;
	QMDI_TRY(wait_for_staging(context));
	for (size_t i = 0; i < batch->n; i++) {
		const qmd_status status = describe_frame(pixels, &source->frames[first + i], first + i, &frames[i]);
		if (status != QMD_OK) {
			QMDI_TRY(explain(context, source, first, i + 1)); /* an earlier frame may fail by its coordinates */
			return status;
		}
		if (frames[i].is_double)
			size = 3 * sizeof(double) * pixels->n_atoms;
	}
	for (size_t i = 0; i < batch->n; i++) {
		const size_t offset = context->frames_size + i * size;
		gather(&source->frames[first + i], pixels->n_atoms, context->staged_input + offset);
		frames[i].xyz = context->input + offset;
		frames[i].stride = 3;
	}
	batch->copies_in = 1;
	batch->n_input_bytes = batch->n * size;
	return QMD_OK;
}

/* Make staged bytes those of `wanted`; *changed unless they are. */
static qmd_status restage(qmdi_cuda_context *context, void *staged, const void *wanted, size_t size, int *changed) {
	if (context->n_staged > 0 && memcmp(staged, wanted, size) == 0)
		return QMD_OK;
	QMDI_TRY(wait_for_staging(context));
	memcpy(staged, wanted, size);
	*changed = 1;
	return QMD_OK;
}

/* One frame whose coordinates are on the device. Frames that have their indices in common share them there. */
static qmd_status stage_device_frame(qmdi_cuda_context *context, const qmdi_source *source, size_t number,
									 qmdi_cuda_frame *staged, size_t *n_lists, int *changed) {
	const qmd_pixels *pixels = context->engine->pixels;
	const size_t list_bytes = pixels->n_atoms * sizeof(uint32_t);
	const qmd_frame *frame = &source->frames[number];
	qmdi_cuda_frame described;
	QMDI_TRY(describe_frame(pixels, frame, number, &described));
	if (frame->indices) {
		const int is_new = *n_lists == 0 || frame->indices != frame[-1].indices;
		*n_lists += is_new ? 1 : 0;
		const size_t offset = context->frames_size + (*n_lists - 1) * list_bytes;
		if (is_new)
			QMDI_TRY(restage(context, context->staged_input + offset, frame->indices, list_bytes, changed));
		described.indices = (const uint32_t *)(context->input + offset);
	}
	if (context->n_staged == 0 || described.xyz != staged->xyz)
		QMDI_TRY(qmdi_cuda_check_pointer(context, frame->xyz, "xyz"));
	return restage(context, staged, &described, sizeof described, changed);
}

/* Coordinates on the device stay there; what tells where they are is copied if it is not the same as before. */
static qmd_status stage_device_frames(qmdi_cuda_context *context, const qmdi_source *source, size_t first,
									  qmdi_cuda_batch *batch) {
	size_t n_lists = 0;
	int changed = context->n_staged != batch->n;
	if (changed)
		context->n_staged = 0;
	for (size_t i = 0; i < batch->n; i++) {
		qmdi_cuda_frame *staged = staged_frames(context, batch->n) + i;
		const qmd_status status = stage_device_frame(context, source, first + i, staged, &n_lists, &changed);
		if (status != QMD_OK) {
			context->n_staged = 0;
			return qmdi_fail_within(status, "frame %zu", first + i);
		}
	}
	batch->copies_in = changed;
	batch->n_input_bytes = n_lists * context->engine->pixels->n_atoms * sizeof(uint32_t);
	return QMD_OK;
}

qmd_status qmdi_cuda_stage_frames(qmdi_cuda_context *context, const qmdi_source *source, size_t first,
								  qmdi_cuda_batch *batch) {
	return context->device_input ? stage_device_frames(context, source, first, batch)
								 : stage_coordinates(context, source, first, batch);
}

/* ---- Images ---- */

qmd_status qmdi_cuda_copy_images(qmdi_cuda_context *context, const qmdi_source *source, size_t first, size_t n) {
	const qmdi_tensor *tensor = &context->engine->tensors[0];
	const qmdi_view *view = &context->views[0];
	const size_t row = (size_t)tensor->w * tensor->c, size = tensor->h * row;
	const unsigned char *images = (const unsigned char *)source->images + first * size;
	if (context->device_input) {
		QMDI_TRY(qmdi_cuda_check_pointer(context, source->images, "argument 'images'"));
	} else {
		QMDI_TRY(wait_for_staging(context));
		memcpy(context->staged_input + context->frames_size, images, n * size);
		images = context->staged_input + context->frames_size;
	}
	const qmdi_cuda_block block = {
		.to = view->data,
		.from = images,
		.bytes = row,
		.n_rows = tensor->h,
		.n_planes = n,
		.to_row = view->row_stride,
		.to_plane = view->image_stride,
		.from_row = row,
		.from_plane = size,
	};
	return qmdi_cuda_copy_block(context->stream, &block);
}
