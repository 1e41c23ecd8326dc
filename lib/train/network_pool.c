/* maxpool, avgpool and global avgpool: windows without padding. */
#include "network_internal.h"

#include <string.h>

typedef struct window {
	size_t in_w, out_h, out_w, c;
	size_t kernel_h, kernel_w, stride_h, stride_w;
	size_t in_size, out_size; /* elements of an image */
} window;

/* `largest` of a maxpool: for each element of the output, where in its input image it was found. */
typedef struct pool {
	window window;
	uint32_t *largest;
} pool;

static qmd_status create(qmdi_network *network, qmdi_node *node) {
	(void)network;
	pool *p = node->state = qmdi_zeroed(1, sizeof *p);
	if (!p)
		return QMD_ERROR_MEMORY;
	const qmdi_layer *layer = node->layer;
	const qmd_layer *definition = &layer->definition;
	const int is_global = definition->kind == QMD_LAYER_GLOBAL_AVGPOOL;
	p->window = (window){.in_w = layer->input.w,
						 .out_h = layer->output.h,
						 .out_w = layer->output.w,
						 .c = layer->output.c,
						 .kernel_h = is_global ? layer->input.h : definition->kernel_h,
						 .kernel_w = is_global ? layer->input.w : definition->kernel_w,
						 .stride_h = is_global ? 1 : definition->stride_h,
						 .stride_w = is_global ? 1 : definition->stride_w,
						 .in_size = node->inputs[0]->image_size,
						 .out_size = node->image_size};
	if (definition->kind == QMD_LAYER_MAXPOOL && !(p->largest = qmdi_aligned(node->n, sizeof *p->largest)))
		return QMD_ERROR_MEMORY;
	return QMD_OK;
}

static void destroy(qmdi_node *node) {
	pool *p = node->state;
	qmdi_release_aligned(p->largest);
	qmdi_release(p);
}

/* Offset in an input image of channel 0 of place (i, j) in the window of output pixel (y, x). */
static inline size_t place(const window *w, size_t y, size_t x, size_t i, size_t j) {
	return ((y * w->stride_h + i) * w->in_w + x * w->stride_w + j) * w->c;
}

static void max_pixel(const window *w, size_t y, size_t x, const float *restrict in, float *restrict out,
					  uint32_t *restrict largest) {
	const size_t first = place(w, y, x, 0, 0);
	for (size_t c = 0; c < w->c; c++) {
		out[c] = in[first + c];
		largest[c] = (uint32_t)(first + c);
	}
	for (size_t i = 0; i < w->kernel_h; i++)
		for (size_t j = 0; j < w->kernel_w; j++) {
			const size_t offset = place(w, y, x, i, j);
			for (size_t c = 0; c < w->c; c++) {
				const float value = in[offset + c], before = out[c];
				const uint32_t is_larger = value > before;
				/* A choice by arithmetic: compilers make a branch, not vectors, of a conditional here. */
				largest[c] += is_larger * ((uint32_t)(offset + c) - largest[c]);
				out[c] = value > before ? value : before;
			}
		}
}

/* The sum is float32 in window order, then divided: what the engine computes on the dequantized integers. */
static void average_pixel(const window *w, size_t y, size_t x, const float *restrict in, float *restrict out) {
	const float n = (float)(w->kernel_h * w->kernel_w);
	memset(out, 0, w->c * sizeof *out);
	for (size_t i = 0; i < w->kernel_h; i++)
		for (size_t j = 0; j < w->kernel_w; j++) {
			const float *values = in + place(w, y, x, i, j);
			for (size_t c = 0; c < w->c; c++)
				out[c] += values[c];
		}
	for (size_t c = 0; c < w->c; c++)
		out[c] /= n;
}

static qmd_status forward(qmdi_network *network, qmdi_node *node) {
	const pool *p = node->state;
	const window *w = &p->window;
	const size_t n_rows = network->batch_size * w->out_h;
	const float *input = node->inputs[0]->output;
#pragma omp parallel for schedule(static)
	for (size_t row = 0; row < n_rows; row++) {
		const float *in = input + row / w->out_h * w->in_size;
		for (size_t x = 0; x < w->out_w; x++) {
			const size_t offset = (row * w->out_w + x) * w->c;
			if (p->largest)
				max_pixel(w, row % w->out_h, x, in, node->buffer + offset, p->largest + offset);
			else
				average_pixel(w, row % w->out_h, x, in, node->buffer + offset);
		}
	}
	node->output = node->buffer;
	return QMD_OK;
}

static void average_image_backward(const window *w, const float *d_out, float *d_in) {
	const float n = (float)(w->kernel_h * w->kernel_w);
	for (size_t y = 0; y < w->out_h; y++)
		for (size_t x = 0; x < w->out_w; x++)
			for (size_t i = 0; i < w->kernel_h; i++)
				for (size_t j = 0; j < w->kernel_w; j++) {
					float *sum = d_in + place(w, y, x, i, j);
					const float *d = d_out + (y * w->out_w + x) * w->c;
					for (size_t c = 0; c < w->c; c++)
						sum[c] += d[c] / n;
				}
}

static qmd_status backward_input(qmdi_network *network, qmdi_node *node, float *d_input) {
	const pool *p = node->state;
	const window *w = &p->window;
	/* Windows may overlap, so an image is the unit that no two threads share. */
#pragma omp parallel for schedule(static)
	for (size_t image = 0; image < network->batch_size; image++) {
		const size_t first = image * w->out_size;
		const float *d_out = node->gradient + first;
		float *d_in = d_input + image * w->in_size;
		memset(d_in, 0, w->in_size * sizeof *d_in);
		if (!p->largest)
			average_image_backward(w, d_out, d_in);
		else
			for (size_t i = 0; i < w->out_size; i++)
				d_in[p->largest[first + i]] += d_out[i];
	}
	return QMD_OK;
}

const qmdi_node_kind qmdi_pool_node = {
	.create = create,
	.destroy = destroy,
	.forward = forward,
	.backward_input = backward_input,
};
