/* Running an engine: on another device (backend.h), or here with an arena for the tensors, a pool of threads, and
 * batches that go through the steps. */
#include "backend.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/float_environment.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/softmax.h"
#include "base/threads.h"
#include "pixels/pixels_internal.h"

#define MOST_THREADS 1024
#define MOST_BATCH 65536
#define MOST_REPEATS 100000
#define MESSAGE_SIZE 1024
/* Shares of a step's tasks that each thread gets on average: more even out threads of different speed. */
#define SHARES_PER_THREAD 4

/* What a thread of the pool needs to render frames: memory, and the first frame that failed. The thread's last error is
 * not the caller's, so its text is kept. */
typedef struct renderer {
	void *workspace;
	qmd_status status;
	size_t frame;
	char message[MESSAGE_SIZE];
} renderer;

struct qmd_context {
	qmd_engine *engine; /* held */
	size_t max_batch;
	void *on_device;         /* qmdi_cuda_backend's; NULL on the CPU, and all that follows is the CPU's */
	char note[MESSAGE_SIZE]; /* why the CPU, if another device was asked for */
	size_t n_threads;
	qmdi_pool *pool;          /* NULL for one thread, and where the host has its own */
	qmd_parallel_fn parallel; /* or NULL */
	void *parallel_user;
	unsigned char *arena;      /* aligned */
	qmdi_view *views;          /* n_steps + 1, one a tensor */
	qmdi_kernel_call *calls;   /* n_steps */
	renderer *renderers;       /* n_threads */
	unsigned char *workspaces; /* aligned */
};

/* ---- Making a context ---- */

void qmd_context_options_init_sized(qmd_context_options *options, size_t size) {
	const qmd_context_options defaults = {.struct_size = sizeof defaults,
										  .n_threads = 1,
										  .max_batch = 32,
										  .input_memory = QMD_MEMORY_HOST,
										  .output_memory = QMD_MEMORY_HOST,
										  .graph = 1};
	qmdi_struct_fill(options, size, &defaults, sizeof defaults);
}

static int is_cuda(const qmd_context_options *options) {
	return options->device && strncmp(options->device, "cuda", 4) == 0 &&
		   (options->device[4] == '\0' || options->device[4] == ':');
}

static qmd_status check_memory(const char *what, int32_t memory, int cuda) {
	if (memory != QMD_MEMORY_HOST && memory != QMD_MEMORY_DEVICE)
		return qmdi_fail(QMD_ERROR_ARGUMENT,
						 "qmd_context_create: %s_memory is %d, expected QMD_MEMORY_HOST (%d) or QMD_MEMORY_DEVICE (%d)",
						 what, memory, QMD_MEMORY_HOST, QMD_MEMORY_DEVICE);
	if (memory == QMD_MEMORY_DEVICE && !cuda)
		return qmdi_fail(QMD_ERROR_ARGUMENT,
						 "qmd_context_create: %s_memory is QMD_MEMORY_DEVICE, but the device is the CPU", what);
	return QMD_OK;
}

static qmd_status check_options(const qmd_context_options *options) {
	const int cuda = is_cuda(options);
	if (options->device && strcmp(options->device, "cpu") != 0 && !cuda)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_context_create: device is '%s', expected 'cpu', 'cuda' or 'cuda:N'",
						 options->device);
	if (cuda && !qmdi_cuda_backend)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "qmd_context_create: device '%s': this libqmd was built without CUDA (QMD_CUDA=ON)",
						 options->device);
	if (options->stream && !cuda)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_context_create: a stream, but the device is the CPU");
	QMDI_TRY(check_memory("input", options->input_memory, cuda));
	QMDI_TRY(check_memory("output", options->output_memory, cuda));
	if (options->n_threads > MOST_THREADS)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_context_create: n_threads is %u, expected at most %d",
						 options->n_threads, MOST_THREADS);
	if (options->max_batch == 0 || options->max_batch > MOST_BATCH)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_context_create: max_batch is %u, expected 1 to %d", options->max_batch,
						 MOST_BATCH);
	return QMD_OK;
}

static qmd_status make_arena(qmd_context *context) {
	const qmd_engine *engine = context->engine;
	const size_t n_tensors = engine->n_steps + 1;
	size_t size;
	qmdi_tensor_layout *layouts = qmdi_array(n_tensors, sizeof *layouts);
	context->views = qmdi_array(n_tensors, sizeof *context->views);
	if (!layouts || !context->views) {
		qmdi_release(layouts);
		return QMD_ERROR_MEMORY;
	}
	qmd_status status = qmdi_plan_memory(engine, context->max_batch, layouts, &size);
	if (status == QMD_OK) {
		context->arena = qmdi_aligned(size, 1);
		status = context->arena ? QMD_OK : QMD_ERROR_MEMORY;
	}
	if (status == QMD_OK)
		memset(context->arena, 0, size); /* the halos' zeros */
	for (size_t t = 0; status == QMD_OK && t < n_tensors; t++)
		context->views[t] =
			(qmdi_view){context->arena + layouts[t].offset, layouts[t].row_stride, layouts[t].image_stride};
	qmdi_release(layouts);
	return status;
}

static qmd_status make_calls(qmd_context *context) {
	const qmd_engine *engine = context->engine;
	context->calls = qmdi_zeroed(engine->n_steps, sizeof *context->calls);
	if (!context->calls)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < engine->n_steps; i++) {
		const qmdi_step *step = &engine->steps[i];
		context->calls[i] = (qmdi_kernel_call){
			.shape = &step->shape,
			.packed = step->packed,
			.inputs = {context->views[step->inputs[0]], context->views[step->inputs[1]]},
			.output = context->views[i + 1],
		};
	}
	return QMD_OK;
}

static qmd_status make_renderers(qmd_context *context) {
	if (!context->engine->pixels)
		return QMD_OK;
	const size_t size = (qmdi_pixels_workspace_size(context->engine->pixels) + 63) / 64 * 64;
	context->renderers = qmdi_zeroed(context->n_threads, sizeof *context->renderers);
	context->workspaces = qmdi_aligned(context->n_threads, size);
	if (!context->renderers || !context->workspaces)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < context->n_threads; i++)
		context->renderers[i].workspace = context->workspaces + i * size;
	return QMD_OK;
}

static qmd_status make_on_cpu(qmd_context *context) {
	if (context->n_threads > 1 && !context->parallel)
		QMDI_TRY(qmdi_pool_create(context->n_threads, &context->pool));
	QMDI_TRY(make_arena(context));
	QMDI_TRY(make_calls(context));
	return make_renderers(context);
}

/* An engine runs on one device as a whole. */
static qmd_status make(qmd_context *context, const qmd_context_options *options) {
	if (!is_cuda(options))
		return make_on_cpu(context);
	QMDI_TRY(qmdi_cuda_backend->create(context->engine, options, &context->on_device));
	if (context->on_device)
		return QMD_OK;
	if (options->input_memory == QMD_MEMORY_DEVICE || options->output_memory == QMD_MEMORY_DEVICE)
		return qmdi_fail_within(QMD_ERROR_UNSUPPORTED, "qmd_context_create: device '%s'", options->device);
	snprintf(context->note, sizeof context->note, "%s", qmd_last_error());
	qmdi_log(QMD_LOG_WARNING, "device '%s': %s: the whole engine runs on the CPU", options->device, context->note);
	return make_on_cpu(context);
}

qmd_status qmd_context_create(const qmd_engine *engine, const qmd_context_options *options, qmd_context **context) {
	QMDI_REQUIRE(context);
	*context = NULL;
	QMDI_REQUIRE(engine);
	qmd_context_options used;
	qmd_context_options_init(&used);
	QMDI_TRY(qmdi_options_copy(&used, sizeof used, sizeof used, options, "qmd_context_options"));
	QMDI_TRY(check_options(&used));
	qmd_context *created = qmdi_zeroed(1, sizeof *created);
	if (!created)
		return QMD_ERROR_MEMORY;
	created->engine = qmdi_engine_retain(engine);
	created->max_batch = used.max_batch;
	created->parallel = used.parallel;
	created->parallel_user = used.parallel_user;
	created->n_threads = used.n_threads > 0 ? used.n_threads : qmdi_n_processors();
	const qmd_status status = make(created, &used);
	if (status != QMD_OK) {
		qmd_context_free(created);
		return status;
	}
	*context = created;
	return QMD_OK;
}

void qmd_context_free(qmd_context *context) {
	if (!context)
		return;
	if (context->on_device)
		qmdi_cuda_backend->release(context->on_device);
	qmdi_pool_free(context->pool);
	qmdi_release_aligned(context->arena);
	qmdi_release_aligned(context->workspaces);
	qmdi_release(context->views);
	qmdi_release(context->calls);
	qmdi_release(context->renderers);
	qmd_engine_free(context->engine);
	qmdi_release(context);
}

/* ---- What it runs on ---- */

qmd_status qmd_context_device_info(const qmd_context *context, qmd_context_device *device) {
	QMDI_REQUIRE(context);
	QMDI_REQUIRE(device);
	qmd_context_device ours = {.struct_size = sizeof ours, .device = "cpu", .name = "", .note = context->note};
	if (context->on_device)
		qmdi_cuda_backend->describe(context->on_device, &ours);
	return qmdi_struct_give(device, &ours, sizeof ours, sizeof ours, "qmd_context_device");
}

const char *qmd_context_kernel(const qmd_context *context, size_t index) {
	if (!context || index >= context->engine->n_steps)
		return NULL;
	if (context->on_device)
		return qmdi_cuda_backend->kernel(context->on_device, index);
	return qmdi_step_kernel_name(&context->engine->steps[index]);
}

/* ---- Running tasks ---- */

/* Tasks for the threads of the host, and what it makes of them. */
typedef struct host_job {
	qmdi_task_fn task;
	void *job;
	size_t n_tasks, n_workers;
	atomic_size_t n_done;
	atomic_flag has_stray; /* set by whoever meets the first call beyond the tasks or the workers, and notes it */
	size_t stray_task, stray_worker;
} host_job;

/* On a thread of the host, which may have another floating-point environment. */
static void host_task(void *argument, size_t index, size_t worker) {
	host_job *host = argument;
	if (index >= host->n_tasks || worker >= host->n_workers) {
		if (!atomic_flag_test_and_set(&host->has_stray)) {
			host->stray_task = index;
			host->stray_worker = worker;
		}
		return;
	}
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	host->task(host->job, index, worker);
	qmdi_float_leave(&saved);
	atomic_fetch_add_explicit(&host->n_done, 1, memory_order_relaxed);
}

static qmd_status run_by_host(qmd_context *context, qmdi_task_fn task, void *job, size_t n_tasks) {
	host_job host = {.task = task, .job = job, .n_tasks = n_tasks, .n_workers = context->n_threads};
	atomic_flag_clear(&host.has_stray);
	context->parallel(context->parallel_user, host_task, &host, n_tasks);
	if (atomic_flag_test_and_set(&host.has_stray))
		return qmdi_fail(
			QMD_ERROR_ARGUMENT,
			"the host's parallel function ran task %zu as worker %zu, expected tasks below %zu and workers "
			"below n_threads, %zu",
			host.stray_task, host.stray_worker, n_tasks, host.n_workers);
	const size_t n_done = atomic_load(&host.n_done);
	if (n_done != n_tasks)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "the host's parallel function ran %zu tasks, expected each of %zu once",
						 n_done, n_tasks);
	return QMD_OK;
}

/* QMD_ERROR_ARGUMENT if the host's function does not do what it must. */
static qmd_status run_tasks(qmd_context *context, qmdi_task_fn task, void *job, size_t n_tasks) {
	if (context->parallel)
		return run_by_host(context, task, job, n_tasks);
	qmdi_pool_run(context->pool, task, job, n_tasks);
	return QMD_OK;
}

/* ---- Filling the image tensor ---- */

typedef struct fill_job {
	qmd_context *context;
	const qmdi_source *source;
	size_t first; /* frame or image that comes first in the batch */
} fill_job;

static void render_task(void *argument, size_t task, size_t worker) {
	const fill_job *job = argument;
	qmd_context *context = job->context;
	renderer *own = &context->renderers[worker];
	const qmdi_view *image = &context->views[0];
	const size_t frame = job->first + task;
	const qmd_status status =
		qmdi_pixels_render(context->engine->pixels, &job->source->frames[frame], own->workspace,
						   (unsigned char *)image->data + task * image->image_stride, image->row_stride);
	if (status != QMD_OK && (own->status == QMD_OK || frame < own->frame)) {
		own->status = status;
		own->frame = frame;
		snprintf(own->message, sizeof own->message, "%s", qmd_last_error());
	}
}

/* Of all frames that failed, the first is reported: the same one with any number of threads. */
static qmd_status render(qmd_context *context, fill_job *job, size_t n) {
	for (size_t i = 0; i < context->n_threads; i++)
		context->renderers[i].status = QMD_OK;
	QMDI_TRY(run_tasks(context, render_task, job, n));
	const renderer *failed = NULL;
	for (size_t i = 0; i < context->n_threads; i++) {
		const renderer *other = &context->renderers[i];
		if (other->status != QMD_OK && (!failed || other->frame < failed->frame))
			failed = other;
	}
	return failed ? qmdi_fail(failed->status, "frame %zu: %s", failed->frame, failed->message) : QMD_OK;
}

static void copy_task(void *argument, size_t task, size_t worker) {
	(void)worker;
	const fill_job *job = argument;
	const qmdi_tensor *tensor = &job->context->engine->tensors[0];
	const qmdi_view *image = &job->context->views[0];
	const size_t row = (size_t)tensor->w * tensor->c;
	const unsigned char *from = (const unsigned char *)job->source->images + (job->first + task) * tensor->h * row;
	unsigned char *to = (unsigned char *)image->data + task * image->image_stride;
	for (size_t y = 0; y < tensor->h; y++)
		memcpy(to + y * image->row_stride, from + y * row, row);
}

/* ---- Steps ---- */

typedef struct step_job {
	const qmdi_kernel *kernel;
	const qmdi_kernel_call *call;
	size_t n_tasks, n_shares;
} step_job;

static void step_task(void *argument, size_t share, size_t worker) {
	(void)worker;
	const step_job *job = argument;
	const size_t first = share * job->n_tasks / job->n_shares;
	const size_t end = (share + 1) * job->n_tasks / job->n_shares;
	job->kernel->run(job->call, first, end - first);
}

static void run_softmax(const qmdi_kernel_call *call) {
	const size_t n = (size_t)call->shape->out_h * call->shape->out_w * call->shape->out_c;
	const char *logits = call->inputs[0].data;
	char *probabilities = call->output.data;
	for (size_t i = 0; i < call->n_images; i++)
		qmdi_softmax((const float *)(logits + i * call->inputs[0].image_stride), n,
					 (float *)(probabilities + i * call->output.image_stride));
}

void qmdi_step_run(const qmdi_step *step, const qmdi_kernel_call *call) {
	if (step->op == QMDI_STEP_SOFTMAX)
		run_softmax(call);
	else
		step->kernel->run(call, 0, step->kernel->n_tasks(call->shape, call->n_images));
}

static qmd_status run_step(qmd_context *context, size_t index, size_t n_images) {
	const qmdi_step *step = &context->engine->steps[index];
	qmdi_kernel_call *call = &context->calls[index];
	call->n_images = n_images;
	if (context->n_threads == 1 || step->op == QMDI_STEP_SOFTMAX) {
		qmdi_step_run(step, call);
		return QMD_OK;
	}
	const size_t n_tasks = step->kernel->n_tasks(&step->shape, n_images);
	const size_t n_shares = context->n_threads * SHARES_PER_THREAD;
	step_job job = {step->kernel, call, n_tasks, n_tasks < n_shares ? n_tasks : n_shares};
	return run_tasks(context, step_task, &job, job.n_shares);
}

/* ---- Outputs ---- */

/* Check the outputs that are asked for; the last tensor that they need says how many steps must run. */
static qmd_status check_outputs(const qmd_engine *engine, const qmd_output *outputs, size_t n_outputs,
								size_t *n_steps) {
	*n_steps = 0;
	for (size_t i = 0; i < n_outputs; i++) {
		if (!outputs[i].name || !outputs[i].data)
			return qmdi_fail(QMD_ERROR_ARGUMENT, "output %zu: its %s is NULL", i, outputs[i].name ? "data" : "name");
		const qmdi_plan_output *output = qmdi_engine_output(engine, outputs[i].name);
		if (!output)
			return qmdi_fail(QMD_ERROR_ARGUMENT, "output '%s': the engine has none of that name (its first is '%s')",
							 outputs[i].name, engine->outputs[0].name);
		if (output->tensor > *n_steps)
			*n_steps = output->tensor;
	}
	return QMD_OK;
}

static void copy_outputs(const qmd_context *context, const qmd_output *outputs, size_t n_outputs, size_t first,
						 size_t n_images) {
	for (size_t i = 0; i < n_outputs; i++) {
		const uint32_t tensor = qmdi_engine_output(context->engine, outputs[i].name)->tensor;
		const size_t n = qmdi_tensor_elements(&context->engine->tensors[tensor]);
		memcpy(outputs[i].data + first * n, context->views[tensor].data, n_images * n * sizeof(float));
	}
}

/* ---- The run ---- */

static qmd_status run_batch(qmd_context *context, fill_job *job, size_t n_images, size_t n_steps) {
	QMDI_TRY(job->source->frames ? render(context, job, n_images) : run_tasks(context, copy_task, job, n_images));
	for (size_t i = 0; i < n_steps; i++)
		QMDI_TRY(run_step(context, i, n_images));
	return QMD_OK;
}

static qmd_status run(qmd_context *context, const qmdi_source *source, const qmd_output *outputs, size_t n_outputs) {
	const size_t n = source->n;
	size_t n_steps;
	if (!outputs && n_outputs > 0)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "%zu outputs, but argument 'outputs' is NULL", n_outputs);
	QMDI_TRY(check_outputs(context->engine, outputs, n_outputs, &n_steps));
	if (context->on_device)
		return qmdi_cuda_backend->run(context->on_device, source, outputs, n_outputs);
	qmd_status status = QMD_OK;
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	for (size_t first = 0; first < n && status == QMD_OK; first += context->max_batch) {
		const size_t n_images = n - first < context->max_batch ? n - first : context->max_batch;
		fill_job job = {context, source, first};
		status = run_batch(context, &job, n_images, n_steps);
		if (status == QMD_OK)
			copy_outputs(context, outputs, n_outputs, first, n_images);
	}
	qmdi_float_leave(&saved);
	return status;
}

static qmd_status check_frames(const qmd_context *context, const qmd_frame *frames) {
	QMDI_REQUIRE(context);
	QMDI_REQUIRE(frames);
	if (!context->engine->pixels)
		return qmdi_fail(QMD_ERROR_STATE, "the engine was compiled without pixels: it runs images, not frames");
	return QMD_OK;
}

qmd_status qmd_context_run_outputs(qmd_context *context, const qmd_frame *frames, size_t n_frames,
								   const qmd_output *outputs, size_t n_outputs) {
	QMDI_TRY(check_frames(context, frames));
	return run(context, &(qmdi_source){.frames = frames, .n = n_frames}, outputs, n_outputs);
}

qmd_status qmd_context_run(qmd_context *context, const qmd_frame *frames, size_t n_frames, float *probabilities) {
	QMDI_REQUIRE(probabilities);
	const qmd_output output = {"probabilities", probabilities};
	return qmd_context_run_outputs(context, frames, n_frames, &output, 1);
}

qmd_status qmd_context_run_images(qmd_context *context, const void *images, size_t n_images, const qmd_output *outputs,
								  size_t n_outputs) {
	QMDI_REQUIRE(context);
	QMDI_REQUIRE(images);
	return run(context, &(qmdi_source){.images = images, .n = n_images}, outputs, n_outputs);
}

qmd_status qmd_context_wait(qmd_context *context) {
	QMDI_REQUIRE(context);
	return context->on_device ? qmdi_cuda_backend->wait(context->on_device) : QMD_OK;
}

/* ---- Where the time goes ---- */

static int compare_times(const void *a, const void *b) {
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* times: [n_steps][repeats] */
static qmd_status time_steps(qmd_context *context, const qmdi_source *source, size_t repeats, double *times) {
	const size_t n_steps = context->engine->n_steps;
	fill_job job = {context, source, 0};
	QMDI_TRY(run_batch(context, &job, source->n, n_steps)); /* warms up */
	for (size_t repeat = 0; repeat < repeats; repeat++) {
		/* Later steps may have written where the image was. */
		QMDI_TRY(run_tasks(context, copy_task, &job, source->n));
		for (size_t i = 0; i < n_steps; i++) {
			const double start = qmdi_seconds_now();
			QMDI_TRY(run_step(context, i, source->n));
			times[i * repeats + repeat] = qmdi_seconds_now() - start;
		}
	}
	return QMD_OK;
}

static qmd_status check_repeats(const qmd_context *context, const char *function, const char *what, size_t n,
								uint32_t repeats) {
	if (n == 0 || n > context->max_batch)
		return qmdi_fail(QMD_ERROR_RANGE, "%s: n_%s is %zu, expected 1 to max_batch, %zu", function, what, n,
						 context->max_batch);
	if (repeats == 0 || repeats > MOST_REPEATS)
		return qmdi_fail(QMD_ERROR_RANGE, "%s: repeats is %u, expected 1 to %d", function, repeats, MOST_REPEATS);
	return QMD_OK;
}

qmd_status qmd_context_profile(qmd_context *context, const void *images, size_t n_images, uint32_t repeats,
							   double *seconds) {
	QMDI_REQUIRE(context);
	QMDI_REQUIRE(images);
	QMDI_REQUIRE(seconds);
	QMDI_TRY(check_repeats(context, __func__, "images", n_images, repeats));
	const size_t n_steps = context->engine->n_steps;
	double *times = qmdi_array(n_steps * repeats, sizeof *times);
	if (!times)
		return QMD_ERROR_MEMORY;
	const qmdi_source source = {.images = images, .n = n_images};
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	const qmd_status status = context->on_device
								  ? qmdi_cuda_backend->time_steps(context->on_device, &source, repeats, times)
								  : time_steps(context, &source, repeats, times);
	qmdi_float_leave(&saved);
	for (size_t i = 0; status == QMD_OK && i < n_steps; i++) {
		double *own = times + i * repeats;
		qsort(own, repeats, sizeof *own, compare_times);
		seconds[i] = 0.5 * (own[(repeats - 1) / 2] + own[repeats / 2]);
	}
	qmdi_release(times);
	return status;
}

/* On the CPU a run has no parts. */
static qmd_status time_run(qmd_context *context, const qmdi_source *source, size_t n_repeats, qmd_run_time *times) {
	float *probabilities = qmdi_array(source->n * qmd_engine_n_classes(context->engine), sizeof *probabilities);
	if (!probabilities)
		return QMD_ERROR_MEMORY;
	const qmd_output output = {"probabilities", probabilities};
	qmd_status status = QMD_OK;
	for (size_t i = 0; i < n_repeats && status == QMD_OK; i++) {
		const double start = qmdi_seconds_now();
		status = run(context, source, &output, 1);
		const double total = qmdi_seconds_now() - start;
		times[i] = (qmd_run_time){.compute = total, .total = total};
	}
	qmdi_release(probabilities);
	return status;
}

qmd_status qmd_context_time(qmd_context *context, const qmd_frame *frames, size_t n_frames, uint32_t n_repeats,
							qmd_run_time *times) {
	QMDI_TRY(check_frames(context, frames));
	QMDI_REQUIRE(times);
	QMDI_TRY(check_repeats(context, __func__, "frames", n_frames, n_repeats));
	const qmdi_source source = {.frames = frames, .n = n_frames};
	if (context->on_device)
		return qmdi_cuda_backend->time_run(context->on_device, &source, n_repeats, times);
	return time_run(context, &source, n_repeats, times);
}
