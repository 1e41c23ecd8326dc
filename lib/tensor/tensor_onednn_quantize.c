/* The CPU's column: fake-quant. */
#include "fake_quant.h"
#include "tensor_math.h"
#include "tensor_onednn.h"

#define BLOCK 4096 /* elements that a thread takes at a time */

qmd_status qmdi_onednn_weight_scales(qmdi_tensor_device *device, size_t n_units, size_t n_per_unit, int32_t high,
									 const float *w, float *scales) {
	(void)device;
#pragma omp parallel for schedule(static)
	for (size_t unit = 0; unit < n_units; unit++)
		qmdi_weight_scales(w + unit * n_per_unit, 1, n_per_unit, high, &scales[unit]);
	return QMD_OK;
}

/* ---- A grid in blocks that have one scale each ---- */

typedef struct block {
	size_t first, n; /* elements */
	float scale;
} block;

static size_t blocks_per_unit(const qmdi_grid *grid) {
	return (grid->n_per_unit + BLOCK - 1) / BLOCK;
}

static size_t n_blocks(const qmdi_grid *grid) {
	return grid->n_groups * grid->n_units * blocks_per_unit(grid);
}

static block find_block(const qmdi_grid *grid, size_t index) {
	const size_t unit = index / blocks_per_unit(grid); /* of all groups */
	const size_t offset = index % blocks_per_unit(grid) * BLOCK;
	const size_t left = grid->n_per_unit - offset;
	return (block){.first = unit * grid->n_per_unit + offset,
				   .n = left < BLOCK ? left : BLOCK,
				   .scale = grid->scales[unit % grid->n_units]};
}

qmd_status qmdi_onednn_fake_quant(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x, float *y) {
	(void)device;
	const size_t n = n_blocks(grid);
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n; i++) {
		const block b = find_block(grid, i);
		qmdi_fake_quant(x + b.first, b.n, b.scale, grid->low, grid->high, y + b.first);
	}
	return QMD_OK;
}

qmd_status qmdi_onednn_fake_quant_backward(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x,
										   const float *d_y, float *d_x) {
	(void)device;
	const size_t n = n_blocks(grid);
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n; i++) {
		const block b = find_block(grid, i);
		qmdi_fake_quant_backward(x + b.first, d_y + b.first, b.n, b.scale, grid->low, grid->high, d_x + b.first);
	}
	return QMD_OK;
}

/* ---- Gradients of scales ---- */

/* One for each group and unit: their sums do not depend on the number of threads. */
static void gradients_of_groups(const qmdi_grid *grid, const float *x, const float *d_y, float *gradients) {
	const size_t n = grid->n_per_unit;
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < grid->n_groups * grid->n_units; i++)
		gradients[i] = qmdi_fake_quant_scale_gradient(x + i * n, d_y + i * n, n, grid->scales[i % grid->n_units],
													  grid->low, grid->high, n);
}

qmd_status qmdi_onednn_scale_gradients(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x,
									   const float *d_y, float *gradients) {
	(void)device;
	if (grid->n_groups == 1) {
		gradients_of_groups(grid, x, d_y, gradients);
		return QMD_OK;
	}
	float *of_groups = qmdi_array(grid->n_groups * grid->n_units, sizeof *of_groups);
	if (!of_groups)
		return QMD_ERROR_MEMORY;
	gradients_of_groups(grid, x, d_y, of_groups);
	for (size_t unit = 0; unit < grid->n_units; unit++) {
		double sum = 0.0;
		for (size_t group = 0; group < grid->n_groups; group++)
			sum += (double)of_groups[group * grid->n_units + unit];
		gradients[unit] = (float)sum;
	}
	qmdi_release(of_groups);
	return QMD_OK;
}

/* ---- Biases ---- */

qmd_status qmdi_onednn_quantize_bias(qmdi_tensor_device *device, size_t n_units, const float *input_scale,
									 const float *weight_scales, const float *bias, float *out) {
	(void)device;
	for (size_t unit = 0; unit < n_units; unit++)
		out[unit] = qmdi_quantized_bias(bias[unit], *input_scale, weight_scales[unit]);
	return QMD_OK;
}
