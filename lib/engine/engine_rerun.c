/* Computing again what changed. */
#include <string.h>

#include "base/memory.h"
#include "engine/engine_rerun_internal.h"
#include "ref/reference.h"

#define MOST_RECTANGLES 2 /* of a tensor: a run of pixels that goes on in the next row is two */

/* Rows [top, bottom) and columns [left, right) of a tensor. */
typedef struct rectangle {
	uint32_t top, left, bottom, right;
} rectangle;

typedef struct rectangles {
	size_t n;
	rectangle at[MOST_RECTANGLES];
} rectangles;

/* What a joint needs. */
typedef struct joint_memory {
	float *whole;          /* [n_chunks][units]: what each chunk of the whole image adds */
	int32_t *whole_sums;   /* [units]: all of them, and the bias */
	unsigned char *inputs; /* [n_chunks][QMDI_RERUN_BATCH][QMDI_RERUN_CHUNK]: chunks that changed ... */
	uint32_t *variants;    /* [n_chunks][QMDI_RERUN_BATCH]: ... in which images ... */
	uint32_t *n_changed;   /* [n_chunks]: ... and in how many */
	float *changed;        /* [QMDI_RERUN_BATCH][units]: what a chunk adds in those */
	int32_t *sums;         /* [QMDI_RERUN_BATCH][units] */
} joint_memory;

struct qmdi_rerun {
	const qmdi_rerun_plan *plan;
	unsigned char *whole, *now, *batch; /* arenas: the whole image's; the variant's, where it differs for a while; the
										   head's */
	joint_memory *joints;               /* [n_steps] */
	rectangles *changes;                /* [n_steps + 1] */
	uint64_t n_macs;
};

static qmdi_view view_of(unsigned char *arena, const qmdi_tensor_layout *layout) {
	return (qmdi_view){arena + layout->offset, layout->row_stride, layout->image_stride};
}

static qmdi_view local_view(const qmdi_rerun *rerun, size_t tensor) {
	return view_of(rerun->now, &rerun->plan->single[tensor]);
}

static qmdi_view batch_view(const qmdi_rerun *rerun, size_t tensor) {
	return view_of(rerun->batch, &rerun->plan->batch[tensor]);
}

/* ---- Memory ---- */

static qmd_status create_joint(const qmdi_rerun_joint *joint, joint_memory *memory) {
	const size_t units = joint->shape.out_c, n = joint->n_chunks;
	memory->whole = qmdi_array(n * units, sizeof *memory->whole);
	memory->whole_sums = qmdi_array(units, sizeof *memory->whole_sums);
	memory->inputs = qmdi_zeroed(n * QMDI_RERUN_BATCH * QMDI_RERUN_CHUNK + QMDI_SLACK, 1);
	memory->variants = qmdi_array(n * QMDI_RERUN_BATCH, sizeof *memory->variants);
	memory->n_changed = qmdi_zeroed(n, sizeof *memory->n_changed);
	memory->changed = qmdi_array(QMDI_RERUN_BATCH * units, sizeof *memory->changed);
	memory->sums = qmdi_array(QMDI_RERUN_BATCH * units, sizeof *memory->sums);
	return memory->whole && memory->whole_sums && memory->inputs && memory->variants && memory->n_changed &&
				   memory->changed && memory->sums
			   ? QMD_OK
			   : QMD_ERROR_MEMORY;
}

static unsigned char *create_arena(size_t size) {
	unsigned char *arena = qmdi_aligned(size + 1, 1); /* the head's may be empty */
	if (arena)
		memset(arena, 0, size); /* the halos' zeros */
	return arena;
}

static qmd_status make(qmdi_rerun *rerun) {
	const qmdi_rerun_plan *plan = rerun->plan;
	rerun->whole = create_arena(plan->single_size);
	rerun->now = create_arena(plan->single_size);
	rerun->batch = create_arena(plan->batch_size);
	rerun->joints = qmdi_zeroed(plan->n_steps, sizeof *rerun->joints);
	rerun->changes = qmdi_zeroed(plan->n_steps + 1, sizeof *rerun->changes);
	if (!rerun->whole || !rerun->now || !rerun->batch || !rerun->joints || !rerun->changes)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < plan->n_steps; i++)
		if (plan->roles[i] == QMDI_RERUN_JOINT)
			QMDI_TRY(create_joint(&plan->joints[i], &rerun->joints[i]));
	return QMD_OK;
}

qmd_status qmdi_rerun_create(const qmdi_rerun_plan *plan, qmdi_rerun **result) {
	qmdi_rerun *rerun = qmdi_zeroed(1, sizeof *rerun);
	*result = NULL;
	if (!rerun)
		return QMD_ERROR_MEMORY;
	rerun->plan = plan;
	const qmd_status status = make(rerun);
	if (status != QMD_OK) {
		qmdi_rerun_free(rerun);
		return status;
	}
	*result = rerun;
	return QMD_OK;
}

void qmdi_rerun_free(qmdi_rerun *rerun) {
	if (!rerun)
		return;
	for (size_t i = 0; rerun->joints && i < rerun->plan->n_steps; i++) {
		joint_memory *memory = &rerun->joints[i];
		qmdi_release(memory->whole);
		qmdi_release(memory->whole_sums);
		qmdi_release(memory->inputs);
		qmdi_release(memory->variants);
		qmdi_release(memory->n_changed);
		qmdi_release(memory->changed);
		qmdi_release(memory->sums);
	}
	qmdi_release_aligned(rerun->whole);
	qmdi_release_aligned(rerun->now);
	qmdi_release_aligned(rerun->batch);
	qmdi_release(rerun->joints);
	qmdi_release(rerun->changes);
	qmdi_release(rerun);
}

/* ---- Rectangles ---- */

static uint32_t smaller(uint32_t a, uint32_t b) {
	return a < b ? a : b;
}

static uint32_t larger(uint32_t a, uint32_t b) {
	return a > b ? a : b;
}

static uint64_t area(rectangle r) {
	return (uint64_t)(r.bottom - r.top) * (r.right - r.left);
}

static rectangle around(rectangle a, rectangle b) {
	return (rectangle){smaller(a.top, b.top), smaller(a.left, b.left), larger(a.bottom, b.bottom),
					   larger(a.right, b.right)};
}

/* One rectangle around two where it is no larger than they are, or where there is no room for more. */
static void add_rectangle(rectangles *list, rectangle r) {
	if (r.top >= r.bottom || r.left >= r.right)
		return;
	for (size_t i = 0; i < list->n; i++) {
		const rectangle both = around(list->at[i], r);
		if (area(both) <= area(list->at[i]) + area(r) || list->n == MOST_RECTANGLES) {
			list->at[i] = both;
			return;
		}
	}
	list->at[list->n++] = r;
}

/* The positions of a window along one axis that read any of [*first, *end). A position after a pool stands for `pool`
 * of them. */
static void reach(uint32_t kernel, uint32_t stride, uint32_t pad, uint32_t pool, uint32_t n_out, uint32_t *first,
				  uint32_t *end) {
	const uint32_t low = *first + pad + 1 > kernel ? (*first + pad + 1 - kernel + stride - 1) / stride : 0;
	const uint32_t high = (*end - 1 + pad) / stride + 1;
	*first = low / pool;
	*end = smaller((high + pool - 1) / pool, n_out);
}

static rectangle reached(const qmdi_kernel_shape *shape, rectangle r) {
	reach(shape->kernel_h, shape->stride_h, shape->pad_top, shape->pool, shape->out_h, &r.top, &r.bottom);
	reach(shape->kernel_w, shape->stride_w, shape->pad_left, shape->pool, shape->out_w, &r.left, &r.right);
	return r;
}

/* What changes of a local step's output. */
static rectangles changes_of(const qmdi_rerun *rerun, const qmdi_step *step) {
	rectangles changes = {0};
	const int is_flat = qmdi_rerun_is_flat(rerun->plan->engine, step);
	for (size_t k = 0; k < qmdi_step_n_inputs(step); k++) {
		const rectangles *inputs = &rerun->changes[step->inputs[k]];
		for (size_t i = 0; i < inputs->n; i++)
			add_rectangle(&changes, is_flat ? (rectangle){0, 0, step->shape.out_h, step->shape.out_w}
											: reached(&step->shape, inputs->at[i]));
	}
	return changes;
}

/* ---- Local steps ---- */

/* The view of a tensor whose first pixel is another one. */
static qmdi_view shifted(qmdi_view view, size_t row, size_t pixel, size_t bytes) {
	view.data = (unsigned char *)view.data + row * view.row_stride + pixel * bytes;
	return view;
}

/* Kernels take no notice of the input's extents: a rectangle is an image of its own that has its neighbours around it.
 */
static void compute(qmdi_rerun *rerun, size_t index, rectangle r) {
	const qmd_engine *engine = rerun->plan->engine;
	const qmdi_step *step = &engine->steps[index];
	qmdi_kernel_shape shape = step->shape;
	shape.out_h = r.bottom - r.top;
	shape.out_w = r.right - r.left;
	qmdi_kernel_call call = {.shape = &shape, .packed = step->packed, .n_images = 1};
	for (size_t k = 0; k < qmdi_step_n_inputs(step); k++)
		call.inputs[k] = shifted(local_view(rerun, step->inputs[k]), (size_t)r.top * shape.pool * shape.stride_h,
								 (size_t)r.left * shape.pool * shape.stride_w, shape.in_c);
	call.output =
		shifted(local_view(rerun, index + 1), r.top, r.left, qmdi_tensor_pixel_size(&engine->tensors[index + 1]));
	qmdi_step_run(step, &call);
	rerun->n_macs += area(r) * shape.pool * shape.pool * qmdi_step_n_weights(step);
}

/* Copy a rectangle of a tensor from one view of it to another. */
static void copy(const qmdi_tensor *tensor, qmdi_view from, qmdi_view to, rectangle r) {
	const size_t bytes = qmdi_tensor_pixel_size(tensor);
	from = shifted(from, r.top, r.left, bytes);
	to = shifted(to, r.top, r.left, bytes);
	for (size_t y = 0; y < r.bottom - r.top; y++)
		memcpy((unsigned char *)to.data + y * to.row_stride, (unsigned char *)from.data + y * from.row_stride,
			   (r.right - r.left) * bytes);
}

static rectangle all_of(const qmdi_tensor *tensor) {
	return (rectangle){0, 0, tensor->h, tensor->w};
}

/* ---- Joints ---- */

/* A chunk's inputs in an arena, and how many there are. */
static const unsigned char *chunk_in(const qmdi_rerun *rerun, size_t index, unsigned char *arena, size_t chunk,
									 size_t *n) {
	const qmdi_rerun_joint *joint = &rerun->plan->joints[index];
	const size_t first = chunk * QMDI_RERUN_CHUNK, left = joint->n_inputs - first;
	*n = left < QMDI_RERUN_CHUNK ? left : QMDI_RERUN_CHUNK;
	return arena + rerun->plan->single[rerun->plan->engine->steps[index].inputs[0]].offset + first;
}

/* Put the chunk on its list for variant `variant`. */
static void put_chunk(qmdi_rerun *rerun, size_t index, size_t chunk, size_t variant) {
	joint_memory *memory = &rerun->joints[index];
	const size_t slot = chunk * QMDI_RERUN_BATCH + memory->n_changed[chunk]++;
	size_t n;
	const unsigned char *inputs = chunk_in(rerun, index, rerun->now, chunk, &n);
	memcpy(memory->inputs + slot * QMDI_RERUN_CHUNK, inputs, n);
	memory->variants[slot] = (uint32_t)variant;
}

/* The same if it has changed, and is not on it yet. */
static void put_if_changed(qmdi_rerun *rerun, size_t index, size_t chunk, size_t variant) {
	const joint_memory *memory = &rerun->joints[index];
	const size_t count = memory->n_changed[chunk];
	size_t n;
	if (count > 0 && memory->variants[chunk * QMDI_RERUN_BATCH + count - 1] == variant)
		return;
	const unsigned char *now = chunk_in(rerun, index, rerun->now, chunk, &n);
	if (memcmp(now, chunk_in(rerun, index, rerun->whole, chunk, &n), n) != 0)
		put_chunk(rerun, index, chunk, variant);
}

/* A joint's input lies in one piece: flat readers have no halo. */
static void collect(qmdi_rerun *rerun, size_t index, size_t variant) {
	const uint32_t input = rerun->plan->engine->steps[index].inputs[0];
	const qmdi_tensor *tensor = &rerun->plan->engine->tensors[input];
	const rectangles *changes = &rerun->changes[input];
	for (size_t i = 0; i < changes->n; i++)
		for (size_t y = changes->at[i].top; y < changes->at[i].bottom; y++) {
			const size_t first = (y * tensor->w + changes->at[i].left) * tensor->c;
			const size_t end = (y * tensor->w + changes->at[i].right) * tensor->c;
			for (size_t chunk = first / QMDI_RERUN_CHUNK; chunk * QMDI_RERUN_CHUNK < end; chunk++)
				put_if_changed(rerun, index, chunk, variant);
		}
}

/* What a chunk adds in the images on its list: [n][units], as floats that are whole numbers. */
static void run_chunk(qmdi_rerun *rerun, size_t index, size_t chunk, float *sums) {
	const qmdi_rerun_joint *joint = &rerun->plan->joints[index];
	joint_memory *memory = &rerun->joints[index];
	const size_t n = memory->n_changed[chunk];
	unsigned char *inputs = memory->inputs + chunk * QMDI_RERUN_BATCH * QMDI_RERUN_CHUNK;
	const qmdi_kernel_call call = {
		.shape = &joint->shape,
		.packed = joint->packed + chunk * joint->packed_size,
		.n_images = n,
		.inputs = {{inputs, QMDI_RERUN_CHUNK, QMDI_RERUN_CHUNK}},
		.output = {sums, joint->shape.out_c * sizeof *sums, joint->shape.out_c * sizeof *sums}};
	joint->kernel->run(&call, 0, joint->kernel->n_tasks(&joint->shape, n));
	rerun->n_macs += (uint64_t)n * QMDI_RERUN_CHUNK * joint->shape.out_c;
	memory->n_changed[chunk] = 0;
}

/* The sums of the whole image. */
static void start_joint(qmdi_rerun *rerun, size_t index) {
	const qmdi_rerun_joint *joint = &rerun->plan->joints[index];
	const joint_memory *memory = &rerun->joints[index];
	const size_t units = joint->shape.out_c;
	memcpy(memory->whole_sums, rerun->plan->engine->steps[index].bias, units * sizeof *memory->whole_sums);
	for (size_t chunk = 0; chunk < joint->n_chunks; chunk++) {
		float *added = memory->whole + chunk * units;
		put_chunk(rerun, index, chunk, 0);
		run_chunk(rerun, index, chunk, added);
		for (size_t u = 0; u < units; u++)
			memory->whole_sums[u] += (int32_t)added[u];
	}
}

static void replace(const float *now, const float *before, size_t n, int32_t *sums) {
	for (size_t u = 0; u < n; u++)
		sums[u] += (int32_t)now[u] - (int32_t)before[u];
}

static void finish_joint(const qmdi_rerun *rerun, size_t index, size_t n) {
	const qmdi_step *step = &rerun->plan->engine->steps[index];
	const float *multipliers = rerun->plan->joints[index].multipliers;
	const qmdi_view output = batch_view(rerun, index + 1);
	for (size_t v = 0; v < n; v++) {
		const int32_t *sums = rerun->joints[index].sums + v * step->units;
		unsigned char *out = (unsigned char *)output.data + v * output.image_stride;
		for (size_t u = 0; u < step->units; u++)
			qmdi_ref_write(&step->shape, out, u, (float)sums[u] * multipliers[u]);
	}
}

static void run_joint(qmdi_rerun *rerun, size_t index, size_t n) {
	const qmdi_rerun_joint *joint = &rerun->plan->joints[index];
	joint_memory *memory = &rerun->joints[index];
	const size_t units = joint->shape.out_c;
	for (size_t v = 0; v < n; v++)
		memcpy(memory->sums + v * units, memory->whole_sums, units * sizeof *memory->sums);
	for (size_t chunk = 0; chunk < joint->n_chunks; chunk++) {
		const size_t n_changed = memory->n_changed[chunk];
		if (n_changed == 0)
			continue;
		run_chunk(rerun, index, chunk, memory->changed);
		for (size_t i = 0; i < n_changed; i++)
			replace(memory->changed + i * units, memory->whole + chunk * units, units,
					memory->sums + memory->variants[chunk * QMDI_RERUN_BATCH + i] * units);
	}
	finish_joint(rerun, index, n);
}

/* ---- The head ---- */

static void run_head_step(qmdi_rerun *rerun, size_t index, size_t n) {
	const qmdi_step *step = &rerun->plan->engine->steps[index];
	qmdi_kernel_call call = {
		.shape = &step->shape, .packed = step->packed, .n_images = n, .output = batch_view(rerun, index + 1)};
	for (size_t k = 0; k < qmdi_step_n_inputs(step); k++)
		call.inputs[k] = batch_view(rerun, step->inputs[k]);
	qmdi_step_run(step, &call);
	rerun->n_macs += n * qmdi_step_n_macs(step);
}

static void run_batch(qmdi_rerun *rerun, size_t n, float *logits) {
	const qmdi_rerun_plan *plan = rerun->plan;
	for (size_t i = 0; i < plan->n_steps; i++) {
		if (plan->roles[i] == QMDI_RERUN_JOINT)
			run_joint(rerun, i, n);
		else if (plan->roles[i] == QMDI_RERUN_HEAD)
			run_head_step(rerun, i, n);
	}
	const qmdi_view out = batch_view(rerun, plan->n_steps);
	for (size_t v = 0; v < n; v++)
		memcpy(logits + v * plan->n_classes, (unsigned char *)out.data + v * out.image_stride,
			   plan->n_classes * sizeof *logits);
}

/* Local tensors that the head reads go to its arena. */
static void hand_over(const qmdi_rerun *rerun, size_t variant) {
	const qmdi_rerun_plan *plan = rerun->plan;
	for (size_t t = 0; t <= plan->n_steps; t++) {
		if (!plan->is_local[t] || !plan->is_batched[t])
			continue;
		const qmdi_tensor *tensor = &plan->engine->tensors[t];
		qmdi_view to = batch_view(rerun, t);
		to.data = (unsigned char *)to.data + variant * to.image_stride;
		copy(tensor, local_view(rerun, t), to, all_of(tensor));
	}
}

/* ---- Images ---- */

/* The image as the tensor of one image that lies in rows without gaps. */
static qmdi_view image_view(const qmdi_tensor *tensor, const void *image) {
	const size_t row = (size_t)tensor->w * tensor->c;
	return (qmdi_view){(void *)image, row, row * tensor->h}; /* only read */
}

void qmdi_rerun_set(qmdi_rerun *rerun, const void *image, float *logits) {
	const qmdi_rerun_plan *plan = rerun->plan;
	const qmdi_tensor *tensors = plan->engine->tensors;
	copy(&tensors[0], image_view(&tensors[0], image), local_view(rerun, 0), all_of(&tensors[0]));
	for (size_t i = 0; i < plan->n_steps; i++) {
		if (plan->roles[i] == QMDI_RERUN_LOCAL)
			compute(rerun, i, all_of(&tensors[i + 1]));
		else if (plan->roles[i] == QMDI_RERUN_JOINT)
			start_joint(rerun, i);
	}
	memcpy(rerun->whole, rerun->now, plan->single_size);
	hand_over(rerun, 0);
	run_batch(rerun, 1, logits);
}

/* The rectangles of pixels [first, end). */
static rectangles pixel_rectangles(const qmdi_tensor *image, size_t first, size_t end) {
	rectangles list = {0};
	if (first >= end)
		return list;
	const uint32_t w = image->w, top = (uint32_t)(first / w), bottom = (uint32_t)((end - 1) / w) + 1;
	const uint32_t left = (uint32_t)(first % w), right = (uint32_t)((end - 1) % w) + 1;
	if (bottom - top == 1) {
		add_rectangle(&list, (rectangle){top, left, bottom, right});
	} else if (bottom - top == 2) {
		add_rectangle(&list, (rectangle){top, left, top + 1, w});
		add_rectangle(&list, (rectangle){top + 1, 0, bottom, right});
	} else {
		add_rectangle(&list, (rectangle){top, 0, bottom, w});
	}
	return list;
}

/* Draw a variant over the whole image, compute what it changes, keep what later steps need, and take it back. */
static void run_local(qmdi_rerun *rerun, const qmdi_variant *variant, size_t number) {
	const qmdi_rerun_plan *plan = rerun->plan;
	const qmdi_tensor *tensors = plan->engine->tensors;
	rerun->changes[0] = pixel_rectangles(&tensors[0], variant->first, variant->end);
	for (size_t k = 0; k < rerun->changes[0].n; k++)
		copy(&tensors[0], image_view(&tensors[0], variant->image), local_view(rerun, 0), rerun->changes[0].at[k]);
	for (size_t i = 0; i < plan->n_steps; i++) {
		if (plan->roles[i] == QMDI_RERUN_JOINT)
			collect(rerun, i, number);
		if (plan->roles[i] != QMDI_RERUN_LOCAL)
			continue;
		rerun->changes[i + 1] = changes_of(rerun, &plan->engine->steps[i]);
		for (size_t k = 0; k < rerun->changes[i + 1].n; k++)
			compute(rerun, i, rerun->changes[i + 1].at[k]);
	}
	hand_over(rerun, number);
	for (size_t t = 0; t <= plan->n_steps; t++)
		for (size_t k = 0; plan->is_local[t] && k < rerun->changes[t].n; k++)
			copy(&tensors[t], view_of(rerun->whole, &plan->single[t]), local_view(rerun, t), rerun->changes[t].at[k]);
}

void qmdi_rerun_variants(qmdi_rerun *rerun, const qmdi_variant *variants, size_t n, float *logits) {
	for (size_t v = 0; v < n; v++)
		run_local(rerun, &variants[v], v);
	run_batch(rerun, n, logits);
}

uint64_t qmdi_rerun_macs(const qmdi_rerun *rerun) {
	return rerun->n_macs;
}
