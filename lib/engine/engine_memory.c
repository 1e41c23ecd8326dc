/* Where tensors stand in a context's arena: first fit by lifetime. */
#include "engine_internal.h"

#include "base/memory.h"

typedef struct slot {
	size_t start, size;
	size_t birth, death; /* first and last step at which the bytes are the tensor's */
} slot;

static size_t round_up(size_t size) {
	return (size + 63) / 64 * 64;
}

size_t qmdi_tensor_lay_out(const qmdi_tensor *tensor, size_t n_images, qmdi_tensor_layout *layout) {
	const size_t pixel = qmdi_tensor_pixel_size(tensor);
	const size_t rows = (size_t)tensor->h + tensor->halo_top + tensor->halo_bottom;
	layout->row_stride = ((size_t)tensor->w + tensor->halo_left + tensor->halo_right) * pixel;
	layout->image_stride = rows * layout->row_stride;
	layout->offset = tensor->halo_top * layout->row_stride + tensor->halo_left * pixel;
	layout->has_halo = tensor->halo_top || tensor->halo_left || tensor->halo_bottom || tensor->halo_right;
	return round_up(n_images * layout->image_stride + QMDI_SLACK);
}

/* Tensor t is written by step t - 1; the image by the caller, before step 0. Outputs are read after the last step. */
static void find_lifetimes(const qmd_engine *engine, const qmdi_tensor_layout *layouts, slot *slots) {
	for (size_t t = 0; t <= engine->n_steps; t++) {
		slots[t].birth = slots[t].death = t > 0 ? t - 1 : 0;
		if (layouts[t].has_halo) {
			slots[t].birth = 0;
			slots[t].death = engine->n_steps;
		}
	}
	for (size_t i = 0; i < engine->n_steps; i++)
		for (size_t k = 0; k < qmdi_step_n_inputs(&engine->steps[i]); k++) {
			slot *read = &slots[engine->steps[i].inputs[k]];
			if (read->death < i)
				read->death = i;
		}
	for (size_t i = 0; i < engine->n_outputs; i++)
		slots[engine->outputs[i].tensor].death = engine->n_steps;
}

/* `placed`: the tensors that have their place, by ascending start. */
static size_t first_fit(const slot *slots, const size_t *placed, size_t n_placed, const slot *wanted) {
	size_t start = 0;
	for (size_t i = 0; i < n_placed; i++) {
		const slot *other = &slots[placed[i]];
		const int together = other->birth <= wanted->death && wanted->birth <= other->death;
		if (together && other->start < start + wanted->size && start < other->start + other->size)
			start = other->start + other->size;
	}
	return start;
}

qmd_status qmdi_plan_memory(const qmd_engine *engine, size_t n_images, qmdi_tensor_layout *layouts, size_t *size) {
	const size_t n_tensors = engine->n_steps + 1;
	slot *slots = qmdi_zeroed(n_tensors, sizeof *slots);
	size_t *placed = qmdi_array(n_tensors, sizeof *placed);
	if (!slots || !placed) {
		qmdi_release(slots);
		qmdi_release(placed);
		return QMD_ERROR_MEMORY;
	}
	*size = 0;
	for (size_t t = 0; t < n_tensors; t++)
		slots[t].size = qmdi_tensor_lay_out(&engine->tensors[t], n_images, &layouts[t]);
	find_lifetimes(engine, layouts, slots);
	for (size_t t = 0; t < n_tensors; t++) {
		slots[t].start = first_fit(slots, placed, t, &slots[t]);
		layouts[t].offset += slots[t].start;
		if (slots[t].start + slots[t].size > *size)
			*size = slots[t].start + slots[t].size;
		size_t position = t;
		for (; position > 0 && slots[placed[position - 1]].start > slots[t].start; position--)
			placed[position] = placed[position - 1];
		placed[position] = t;
	}
	qmdi_release(slots);
	qmdi_release(placed);
	return QMD_OK;
}

size_t qmdi_plan_memory_unshared(const qmd_engine *engine, size_t n_images) {
	size_t size = 0;
	qmdi_tensor_layout unused;
	for (size_t t = 0; t <= engine->n_steps; t++)
		size += qmdi_tensor_lay_out(&engine->tensors[t], n_images, &unused);
	return size;
}
