/* An engine's kernels, weights and tables on a device. */
#include "cuda_internal.h"

#include <pthread.h>
#include <string.h>

#include "base/memory.h"
#include "pixels/pixels_internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static qmdi_cuda_plan *plans; /* all of the process, under the lock */

/* ---- Kernels ---- */

/* The power of two that a step's inputs are aligned to. */
static size_t input_alignment(const qmdi_step *step, const qmdi_tensor_layout *layouts) {
	const size_t n_inputs = qmdi_step_n_inputs(step);
	size_t bits = QMDI_CUDA_ALIGNMENT;
	for (size_t i = 0; i < n_inputs; i++) {
		const qmdi_tensor_layout *layout = &layouts[step->inputs[i]];
		bits |= layout->offset | layout->row_stride | layout->image_stride;
	}
	return bits & (~bits + 1);
}

/* The softmax of all that a step writes, which its launch can do as well; 0 if there is none. */
static size_t find_softmax(const qmd_engine *engine, size_t index, const qmdi_cuda_kernel *kernel) {
	const qmdi_step *step = &engine->steps[index];
	if (!step->float_output || !kernel->fuses_softmax(&step->shape))
		return 0;
	for (size_t i = index + 1; i < engine->n_steps; i++)
		if (engine->steps[i].op == QMDI_STEP_SOFTMAX && engine->steps[i].inputs[0] == index + 1)
			return i;
	return 0;
}

/* QMD_ERROR_UNSUPPORTED if a step has no kernel. */
static qmd_status choose_kernels(qmdi_cuda_plan *plan, const qmdi_tensor_layout *layouts) {
	const qmd_engine *engine = plan->engine;
	for (size_t i = 0; i < engine->n_steps; i++) {
		qmdi_cuda_step *own = &plan->steps[i];
		if (engine->steps[i].op == QMDI_STEP_SOFTMAX)
			continue;
		own->kernel = qmdi_cuda_kernel_choose(&engine->steps[i].shape, plan->device.capability,
											  input_alignment(&engine->steps[i], layouts));
		if (!own->kernel)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED, "step %zu ('%s'): no CUDA kernel computes it on sm_%d", i,
							 engine->steps[i].name, plan->device.capability);
		own->softmax = find_softmax(engine, i, own->kernel);
		if (own->softmax > 0)
			plan->steps[own->softmax].done = 1;
	}
	return QMD_OK;
}

/* ---- Memory ---- */

/* Bytes at the end of what the plan's memory will hold; where they begin. */
static size_t reserve(qmdi_cuda_plan *plan, size_t size) {
	const size_t offset = plan->memory_size;
	plan->memory_size += qmdi_cuda_round_up(size);
	return offset;
}

typedef struct pixel_tables {
	size_t superposed, anchors, reference, steps; /* offsets */
} pixel_tables;

static void reserve_all(qmdi_cuda_plan *plan, pixel_tables *tables) {
	const qmd_pixels *pixels = plan->engine->pixels;
	reserve(plan, 1); /* there is memory, whatever the engine is made of */
	for (size_t i = 0; i < plan->engine->n_steps; i++)
		if (plan->steps[i].kernel)
			plan->steps[i].weights = reserve(plan, plan->steps[i].kernel->packed_size(&plan->engine->steps[i].shape));
	if (!pixels)
		return;
	tables->superposed = reserve(plan, pixels->n_superposed * sizeof *pixels->superposed);
	tables->anchors = reserve(plan, 3 * pixels->n_superposed * sizeof *pixels->grid);
	tables->reference = reserve(plan, 3 * pixels->n_atoms * sizeof *pixels->planes);
	tables->steps = reserve(plan, pixels->steps ? pixels->n_atoms * sizeof *pixels->steps : 0);
}

static qmd_status pack_steps(const qmdi_cuda_plan *plan, unsigned char *packed) {
	for (size_t i = 0; i < plan->engine->n_steps; i++) {
		const qmdi_step *step = &plan->engine->steps[i];
		if (qmdi_step_n_weights(step) == 0)
			continue;
		float *multipliers = qmdi_step_multipliers(plan->engine, step);
		if (!multipliers)
			return QMD_ERROR_MEMORY;
		const qmdi_kernel_weights weights = {.weights = step->weights, .bias = step->bias, .multipliers = multipliers};
		plan->steps[i].kernel->pack(&step->shape, &weights, packed + plan->steps[i].weights);
		qmdi_release(multipliers);
	}
	return QMD_OK;
}

static void pack_pixels(qmdi_cuda_plan *plan, const pixel_tables *tables, unsigned char *packed) {
	const qmd_pixels *pixels = plan->engine->pixels;
	if (!pixels)
		return;
	memcpy(packed + tables->superposed, pixels->superposed, pixels->n_superposed * sizeof *pixels->superposed);
	memcpy(packed + tables->anchors, pixels->grid, 3 * pixels->n_superposed * sizeof *pixels->grid);
	memcpy(packed + tables->reference, pixels->planes, 3 * pixels->n_atoms * sizeof *pixels->planes);
	if (pixels->steps)
		memcpy(packed + tables->steps, pixels->steps, pixels->n_atoms * sizeof *pixels->steps);
	plan->pixels = (qmdi_cuda_pixels){
		.kind = pixels->kind,
		.n_atoms = (uint32_t)pixels->n_atoms,
		.side = (uint32_t)pixels->side,
		.n_superposed = (uint32_t)pixels->n_superposed,
		.first = pixels->superposed[0],
		.superposed = (const uint32_t *)(plan->memory + tables->superposed),
		.anchors = (const int32_t *)(plan->memory + tables->anchors),
		.reference = (const float *)(plan->memory + tables->reference),
		.steps = (const float *)(plan->memory + tables->steps),
	};
	memcpy(plan->pixels.anchor_sums, pixels->anchors.sums, sizeof plan->pixels.anchor_sums);
	memcpy(plan->pixels.centre, pixels->centre, sizeof plan->pixels.centre);
}

static qmd_status upload(qmdi_cuda_plan *plan, qmdi_cuda_stream *stream) {
	pixel_tables tables = {0};
	reserve_all(plan, &tables);
	QMDI_TRY(qmdi_cuda_allocate(plan->memory_size, (void **)&plan->memory));
	unsigned char *packed = qmdi_aligned(plan->memory_size, 1);
	if (!packed)
		return QMD_ERROR_MEMORY;
	memset(packed, 0, plan->memory_size);
	qmd_status status = pack_steps(plan, packed);
	pack_pixels(plan, &tables, packed);
	if (status == QMD_OK)
		status = qmdi_cuda_copy(stream, plan->memory, packed, plan->memory_size);
	if (status == QMD_OK)
		status = qmdi_cuda_stream_wait(stream);
	if (status != QMD_OK)
		(void)qmdi_cuda_stream_wait(stream); /* what is about to be freed may still be read */
	qmdi_release_aligned(packed);
	return status;
}

/* ---- Plans ---- */

static void free_plan(qmdi_cuda_plan *plan) {
	qmdi_cuda_release(plan->memory);
	qmdi_release(plan->steps);
	qmdi_release(plan);
}

static qmd_status make_plan(qmdi_cuda_plan *plan, qmdi_cuda_stream *stream, int *lacks_kernel) {
	size_t unused;
	plan->steps = qmdi_zeroed(plan->engine->n_steps, sizeof *plan->steps);
	qmdi_tensor_layout *layouts = qmdi_array(plan->engine->n_steps + 1, sizeof *layouts);
	qmd_status status = plan->steps && layouts ? QMD_OK : QMD_ERROR_MEMORY;
	if (status == QMD_OK)
		status = qmdi_plan_memory(plan->engine, 1, layouts, &unused);
	if (status == QMD_OK) {
		status = choose_kernels(plan, layouts);
		*lacks_kernel = status == QMD_ERROR_UNSUPPORTED;
	}
	qmdi_release(layouts);
	return status == QMD_OK ? upload(plan, stream) : status;
}

static qmd_status new_plan(const qmd_engine *engine, const qmdi_cuda_device *device, qmdi_cuda_stream *stream,
						   qmdi_cuda_plan **out) {
	int lacks_kernel = 0;
	qmdi_cuda_plan *plan = qmdi_zeroed(1, sizeof *plan);
	if (!plan)
		return QMD_ERROR_MEMORY;
	plan->engine = engine;
	plan->device = *device;
	const qmd_status status = make_plan(plan, stream, &lacks_kernel);
	if (status != QMD_OK) {
		free_plan(plan);
		return lacks_kernel ? QMD_OK : status;
	}
	plan->next = plans;
	plans = plan;
	*out = plan;
	return QMD_OK;
}

qmd_status qmdi_cuda_plan_hold(const qmd_engine *engine, const qmdi_cuda_device *device, qmdi_cuda_stream *stream,
							   qmdi_cuda_plan **out) {
	qmd_status status = QMD_OK;
	pthread_mutex_lock(&lock);
	*out = plans;
	while (*out && ((*out)->engine != engine || (*out)->device.number != device->number))
		*out = (*out)->next;
	if (!*out)
		status = new_plan(engine, device, stream, out);
	if (*out)
		(*out)->n_holds++;
	pthread_mutex_unlock(&lock);
	return status;
}

void qmdi_cuda_plan_release(qmdi_cuda_plan *plan) {
	if (!plan)
		return;
	pthread_mutex_lock(&lock);
	if (--plan->n_holds == 0) {
		qmdi_cuda_plan **link = &plans;
		while (*link != plan)
			link = &(*link)->next;
		*link = plan->next;
		free_plan(plan);
	}
	pthread_mutex_unlock(&lock);
}
