/* maxpool, avgpool and global avgpool: windows without padding. */
#include "tensor_onednn.h"

#include <string.h>

typedef struct window {
	size_t in_w, out_h, out_w, c;
	size_t kernel_h, kernel_w, stride_h, stride_w;
	size_t in_size, out_size; /* elements of an image */
} window;

/* `largest` of a maxpool: for each element of the output, where in its input image it was found. */
typedef struct pool {
	window window;
	size_t batch;
	uint32_t *largest;
} pool;

static size_t size_of(qmd_shape shape) {
	return (size_t)shape.h * shape.w * shape.c;
}

qmd_status qmdi_onednn_pool_create(qmdi_tensor_device *device, const qmdi_pool_shape *shape, void **plan) {
	*plan = NULL;
	pool *p = qmdi_zeroed(1, sizeof *p);
	if (!p)
		return QMD_ERROR_MEMORY;
	p->batch = shape->batch;
	p->window = (window){.in_w = shape->input.w,
						 .out_h = shape->output.h,
						 .out_w = shape->output.w,
						 .c = shape->output.c,
						 .kernel_h = shape->kernel_h,
						 .kernel_w = shape->kernel_w,
						 .stride_h = shape->stride_h,
						 .stride_w = shape->stride_w,
						 .in_size = size_of(shape->input),
						 .out_size = size_of(shape->output)};
	if (shape->is_max && !(p->largest = qmdi_aligned(p->batch * p->window.out_size, sizeof *p->largest))) {
		qmdi_onednn_pool_destroy(device, p);
		return QMD_ERROR_MEMORY;
	}
	*plan = p;
	return QMD_OK;
}

void qmdi_onednn_pool_destroy(qmdi_tensor_device *device, void *plan) {
	(void)device;
	pool *p = plan;
	if (!p)
		return;
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

qmd_status qmdi_onednn_pool_forward(qmdi_tensor_device *device, void *plan, const float *input, float *output) {
	(void)device;
	const pool *p = plan;
	const window *w = &p->window;
	const size_t n_rows = p->batch * w->out_h;
#pragma omp parallel for schedule(static)
	for (size_t row = 0; row < n_rows; row++) {
		const float *in = input + row / w->out_h * w->in_size;
		for (size_t x = 0; x < w->out_w; x++) {
			const size_t offset = (row * w->out_w + x) * w->c;
			if (p->largest)
				max_pixel(w, row % w->out_h, x, in, output + offset, p->largest + offset);
			else
				average_pixel(w, row % w->out_h, x, in, output + offset);
		}
	}
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

qmd_status qmdi_onednn_pool_backward(qmdi_tensor_device *device, void *plan, const float *input, const float *output,
									 const float *d_output, float *d_input) {
	(void)device;
	(void)input;
	(void)output;
	const pool *p = plan;
	const window *w = &p->window;
	/* Windows may overlap, so an image is the unit that no two threads share. */
#pragma omp parallel for schedule(static)
	for (size_t image = 0; image < p->batch; image++) {
		const size_t first = image * w->out_size;
		const float *d_out = d_output + first;
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
