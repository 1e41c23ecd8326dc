/* Inference by cuDNN and cuBLAS: memory, steps, runs and times. */
#include "cudnn_predictor.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "quantize/passes.h"

/* ---- Memory and steps ---- */

qmd_status qmdi_vendor_allocate(qmdi_vendor_predictor *p, size_t size, void **memory) {
	if (p->n_memory == p->memory_capacity) {
		const size_t capacity = 2 * p->memory_capacity + 16;
		void **longer = qmdi_resize(p->memory, capacity, sizeof(void *));
		if (!longer)
			return QMD_ERROR_MEMORY;
		p->memory = longer;
		p->memory_capacity = capacity;
	}
	QMDI_TRY(qmdi_cuda_allocate(size, memory));
	p->memory[p->n_memory++] = *memory;
	return QMD_OK;
}

qmd_status qmdi_vendor_upload(qmdi_vendor_predictor *p, const void *array, size_t size, void **memory) {
	QMDI_TRY(qmdi_vendor_allocate(p, size, memory));
	QMDI_TRY(qmdi_cuda_copy(p->cudnn->stream, *memory, array, size));
	const qmd_status status = qmdi_cuda_stream_wait(p->cudnn->stream);
	if (status != QMD_OK)
		(void)qmdi_cuda_stream_wait(p->cudnn->stream); /* the array goes, so the copy must not be left */
	return status;
}

qmd_status qmdi_vendor_add_step(qmdi_vendor_predictor *p, size_t layer, qmdi_vendor_step **step) {
	if (p->n_steps == p->step_capacity) {
		const size_t capacity = 2 * p->step_capacity + 16;
		qmdi_vendor_step *longer = qmdi_resize(p->steps, capacity, sizeof *longer);
		if (!longer)
			return QMD_ERROR_MEMORY;
		p->steps = longer;
		p->step_capacity = capacity;
	}
	*step = &p->steps[p->n_steps++];
	**step = (qmdi_vendor_step){.layer = layer};
	return QMD_OK;
}

static qmd_status run_launch(const qmdi_vendor_predictor *p, const qmdi_vendor_step *step) {
	return qmdi_cuda_submit(p->cudnn->stream, &step->launch, 0);
}

qmd_status qmdi_vendor_add_rescale(qmdi_vendor_predictor *p, size_t layer, const qmdi_cuda_rescale *rescale) {
	qmdi_vendor_step *step;
	QMDI_TRY(qmdi_vendor_add_step(p, layer, &step));
	step->run = run_launch;
	if (qmdi_cuda_rescale_launch(rescale, &step->launch) != 0)
		return qmdi_fail(QMD_ERROR_RANGE, "layer '%s': a batch of more than 2^31 - 1 numbers",
						 p->model->layers[layer].name);
	return QMD_OK;
}

qmd_status qmdi_vendor_run_steps(const qmdi_vendor_predictor *p, size_t first, size_t n) {
	for (size_t i = first; i < first + n; i++)
		QMDI_TRY(qmdi_cudnn_of_layer(p->model->layers[p->steps[i].layer].name, p->steps[i].run(p, &p->steps[i])));
	return QMD_OK;
}

void qmdi_vendor_take_back(qmdi_vendor_predictor *p, size_t n_steps, size_t n_memory) {
	(void)qmdi_cuda_stream_wait(p->cudnn->stream);
	while (p->n_steps > n_steps) {
		const qmdi_vendor_step *step = &p->steps[--p->n_steps];
		qmdi_cudnn_plan_free(step->plan);
		qmdi_cudnn_pool_destroy(p->device, step->pool);
	}
	while (p->n_memory > n_memory)
		qmdi_cuda_release(p->memory[--p->n_memory]);
}

/* ---- Creation ---- */

static void give_all_back(qmdi_vendor_predictor *p) {
	qmdi_vendor_take_back(p, 0, 0);
	for (size_t i = 0; i < 2; i++)
		qmdi_cuda_graph_free(p->graphs[i]);
	qmdi_cuda_release_pinned(p->staged_images);
	qmdi_cuda_release_pinned(p->staged_logits);
}

static void free_predictor(void *state) {
	qmdi_vendor_predictor *p = state;
	if (!p)
		return;
	const int entered = p->device->ops->enter(p->device) == QMD_OK;
	give_all_back(p);
	if (entered)
		p->device->ops->leave(p->device);
	qmdi_release(p->memory);
	qmdi_release(p->steps);
	qmdi_release(p->outputs);
	qmdi_release(p->computed_by);
	qmdi_release(p->computed_with);
	qmdi_release(p);
}

/* Tensor cores are what FP16 and INT8 are for; of FP32 the layers that nothing else computes. */
static qmd_status build(qmdi_vendor_predictor *p) {
	const size_t n_images = p->batch_size * p->image_size;
	QMDI_TRY(QMDI_CUBLAS_CALL(p->cudnn->cudnn.vendor, cublasSetMathMode, p->cudnn->cublas, CUBLAS_DEFAULT_MATH));
	QMDI_TRY(qmdi_vendor_allocate(p, n_images, &p->images));
	QMDI_TRY(qmdi_cuda_fill(p->cudnn->stream, p->images, 0, n_images));
	QMDI_TRY(qmdi_cuda_allocate_pinned(n_images, (void **)&p->staged_images));
	QMDI_TRY(qmdi_cuda_allocate_pinned(p->batch_size * p->n_classes * sizeof(float), (void **)&p->staged_logits));
	return qmdi_vendor_build(p);
}

static qmd_status enter_and_build(qmdi_vendor_predictor *p) {
	const size_t n = p->model->n_layers;
	p->outputs = qmdi_zeroed(n, sizeof *p->outputs);
	p->computed_by = qmdi_zeroed(n, sizeof *p->computed_by);
	p->computed_with = qmdi_array(n, sizeof *p->computed_with);
	if (!p->outputs || !p->computed_by || !p->computed_with)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < n; i++)
		p->computed_with[i] = i;
	QMDI_TRY(p->device->ops->enter(p->device));
	const qmd_status status = build(p);
	p->device->ops->leave(p->device);
	return status;
}

static qmd_status create_predictor(qmd_model *model, qmdi_tensor_device *device, int is_int8, size_t batch_size,
								   void **state) {
	if (!is_int8)
		QMDI_TRY(qmdi_fold_batchnorms(model));
	qmdi_vendor_predictor *p = qmdi_zeroed(1, sizeof *p);
	if (!p)
		return QMD_ERROR_MEMORY;
	const qmd_shape image = model->layers[0].output;
	p->model = model;
	p->device = device;
	p->cudnn = device->state;
	p->is_int8 = is_int8;
	p->batch_size = batch_size;
	p->image_size = (size_t)image.h * image.w * image.c;
	p->n_classes = qmd_model_n_classes(model);
	p->logits_layer = qmdi_model_logits(model);
	const qmd_status status = enter_and_build(p);
	if (status == QMD_OK)
		*state = p;
	else
		free_predictor(p);
	return status;
}

static const char *computed_by(const void *state, size_t layer) {
	return ((const qmdi_vendor_predictor *)state)->computed_by[layer];
}

static size_t computed_with(const void *state, size_t layer) {
	return ((const qmdi_vendor_predictor *)state)->computed_with[layer];
}

/* ---- Running ---- */

/* What cannot be captured runs launch by launch. */
static void capture(qmdi_vendor_predictor *p, qmdi_cuda_graph **graph) {
	qmdi_cuda_graph *captured = NULL;
	p->capture_failed = 1;
	if (qmdi_cuda_capture_begin(p->cudnn->stream) != QMD_OK)
		return;
	const qmd_status status = qmdi_vendor_run_steps(p, 0, p->n_steps);
	if (qmdi_cuda_capture_end(p->cudnn->stream, &captured) != QMD_OK)
		return;
	if (status != QMD_OK) {
		qmdi_cuda_graph_free(captured);
		return;
	}
	p->capture_failed = 0;
	*graph = captured;
}

static qmd_status compute(qmdi_vendor_predictor *p) {
	qmdi_cuda_graph **graph = &p->graphs[p->image_is_u8];
	if (!*graph && !p->capture_failed)
		capture(p, graph);
	return *graph ? qmdi_cuda_graph_launch(*graph, p->cudnn->stream) : qmdi_vendor_run_steps(p, 0, p->n_steps);
}

/* Rows of the batch that are not filled compute what nobody reads. */
static qmd_status copy_in(qmdi_vendor_predictor *p, size_t n) {
	return qmdi_cuda_copy(p->cudnn->stream, p->images, p->staged_images, n * p->image_size);
}

static qmd_status copy_out(qmdi_vendor_predictor *p, size_t n) {
	return qmdi_cuda_copy(p->cudnn->stream, p->staged_logits, p->logits, n * p->n_classes * sizeof(float));
}

static void stage(qmdi_vendor_predictor *p, const unsigned char *images, int32_t type, size_t n) {
	memcpy(p->staged_images, images, n * p->image_size);
	p->image_is_u8 = type == QMD_U8;
}

static qmd_status run_all(qmdi_vendor_predictor *p, const unsigned char *images, int32_t type, size_t n,
						  float *logits) {
	stage(p, images, type, n);
	QMDI_TRY(copy_in(p, n));
	QMDI_TRY(compute(p));
	QMDI_TRY(copy_out(p, n));
	QMDI_TRY(qmdi_cuda_stream_wait(p->cudnn->stream));
	memcpy(logits, p->staged_logits, n * p->n_classes * sizeof *logits);
	return QMD_OK;
}

#define ON_DEVICE(p, call)                                                                                             \
	do {                                                                                                               \
		QMDI_TRY((p)->device->ops->enter((p)->device));                                                                \
		const qmd_status on_device_status = (call);                                                                    \
		(p)->device->ops->leave((p)->device);                                                                          \
		return on_device_status;                                                                                       \
	} while (0)

static qmd_status run(void *state, const unsigned char *images, int32_t type, size_t n, float *logits) {
	qmdi_vendor_predictor *p = state;
	ON_DEVICE(p, run_all(p, images, type, n, logits));
}

/* ---- How long it takes ---- */

enum { BEGUN, COPIED_IN, COMPUTED, COPIED_OUT, N_PARTS };

/* Moments of the device's. */
static void free_marks(qmdi_cuda_event **marks, size_t n) {
	for (size_t i = 0; marks && i < n; i++)
		qmdi_cuda_event_free(marks[i]);
	qmdi_release(marks);
}

static qmd_status create_marks(size_t n, qmdi_cuda_event ***out) {
	qmd_status status = QMD_OK;
	qmdi_cuda_event **marks = qmdi_zeroed(n, sizeof(void *));
	if (!marks)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < n && status == QMD_OK; i++)
		status = qmdi_cuda_event_create(&marks[i]);
	if (status == QMD_OK)
		*out = marks;
	else
		free_marks(marks, n);
	return status;
}

static qmd_status run_in_parts(qmdi_vendor_predictor *p, size_t n, qmdi_cuda_event **marks) {
	qmdi_cuda_stream *stream = p->cudnn->stream;
	QMDI_TRY(qmdi_cuda_event_record(marks[BEGUN], stream));
	QMDI_TRY(copy_in(p, n));
	QMDI_TRY(qmdi_cuda_event_record(marks[COPIED_IN], stream));
	QMDI_TRY(compute(p));
	QMDI_TRY(qmdi_cuda_event_record(marks[COMPUTED], stream));
	QMDI_TRY(copy_out(p, n));
	QMDI_TRY(qmdi_cuda_event_record(marks[COPIED_OUT], stream));
	return qmdi_cuda_stream_wait(stream);
}

static qmd_status time_once(qmdi_vendor_predictor *p, const unsigned char *images, int32_t type, size_t n,
							qmdi_cuda_event **marks, float *logits, qmd_run_time *time) {
	const double start = qmdi_seconds_now();
	QMDI_TRY(run_all(p, images, type, n, logits));
	time->total = qmdi_seconds_now() - start;
	QMDI_TRY(run_in_parts(p, n, marks));
	QMDI_TRY(qmdi_cuda_event_seconds(marks[BEGUN], marks[COPIED_IN], &time->input));
	QMDI_TRY(qmdi_cuda_event_seconds(marks[COPIED_IN], marks[COMPUTED], &time->compute));
	return qmdi_cuda_event_seconds(marks[COMPUTED], marks[COPIED_OUT], &time->output);
}

static qmd_status time_all(qmdi_vendor_predictor *p, const unsigned char *images, int32_t type, size_t n,
						   size_t n_repeats, qmd_run_time *times) {
	qmdi_cuda_event **marks;
	QMDI_TRY(create_marks(N_PARTS, &marks));
	float *logits = qmdi_array(n, p->n_classes * sizeof *logits);
	qmd_status status = logits ? QMD_OK : QMD_ERROR_MEMORY;
	for (size_t i = 0; i < n_repeats && status == QMD_OK; i++)
		status = time_once(p, images, type, n, marks, logits, &times[i]);
	qmdi_release(logits);
	free_marks(marks, N_PARTS);
	return status;
}

static qmd_status time_runs(void *state, const unsigned char *images, int32_t type, size_t n, size_t n_repeats,
							qmd_run_time *times) {
	qmdi_vendor_predictor *p = state;
	ON_DEVICE(p, time_all(p, images, type, n, n_repeats, times));
}

/* Launch by launch, a mark after each step. */
static qmd_status run_steps_apart(const qmdi_vendor_predictor *p, qmdi_cuda_event **marks) {
	QMDI_TRY(qmdi_cuda_event_record(marks[0], p->cudnn->stream));
	for (size_t i = 0; i < p->n_steps; i++) {
		QMDI_TRY(qmdi_vendor_run_steps(p, i, 1));
		QMDI_TRY(qmdi_cuda_event_record(marks[i + 1], p->cudnn->stream));
	}
	return qmdi_cuda_stream_wait(p->cudnn->stream);
}

static qmd_status time_steps(const qmdi_vendor_predictor *p, size_t n_repeats, qmdi_cuda_event **marks, double *times) {
	memset(times, 0, p->model->n_layers * n_repeats * sizeof *times);
	QMDI_TRY(run_steps_apart(p, marks)); /* warms up */
	for (size_t repeat = 0; repeat < n_repeats; repeat++) {
		QMDI_TRY(run_steps_apart(p, marks));
		for (size_t i = 0; i < p->n_steps; i++) {
			double seconds = 0;
			QMDI_TRY(qmdi_cuda_event_seconds(marks[i], marks[i + 1], &seconds));
			times[p->steps[i].layer * n_repeats + repeat] += seconds;
		}
	}
	return QMD_OK;
}

static qmd_status time_each_layer(qmdi_vendor_predictor *p, const unsigned char *images, int32_t type, size_t n,
								  size_t n_repeats, double *times) {
	qmdi_cuda_event **marks;
	stage(p, images, type, n);
	QMDI_TRY(copy_in(p, n));
	QMDI_TRY(create_marks(p->n_steps + 1, &marks));
	const qmd_status status = time_steps(p, n_repeats, marks, times);
	free_marks(marks, p->n_steps + 1);
	return status;
}

static qmd_status time_layers(void *state, const unsigned char *images, int32_t type, size_t n, size_t n_repeats,
							  double *times) {
	qmdi_vendor_predictor *p = state;
	ON_DEVICE(p, time_each_layer(p, images, type, n, n_repeats, times));
}

static const qmdi_predictor_backend backend = {.create = create_predictor,
											   .free = free_predictor,
											   .run = run,
											   .time = time_runs,
											   .time_layers = time_layers,
											   .computed_by = computed_by,
											   .computed_with = computed_with};

const qmdi_predictor_backend *const qmdi_cudnn_predictor = &backend;
