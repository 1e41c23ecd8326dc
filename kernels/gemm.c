#include "gemm.h"

#include <string.h>

static size_t smaller(size_t a, size_t b) {
	return a < b ? a : b;
}

static size_t divide_up(size_t a, size_t b) {
	return (a + b - 1) / b;
}

static size_t n_segments(const qmdi_kernel_shape *shape) {
	return shape->op == QMDI_OP_CONV2D ? shape->kernel_h : 1;
}

static size_t segment_bytes(const qmdi_kernel_shape *shape) {
	return shape->op == QMDI_OP_CONV2D ? (size_t)shape->kernel_w * shape->in_c : shape->in_c;
}

static size_t n_dwords(const qmdi_kernel_shape *shape) {
	return divide_up(segment_bytes(shape), 4);
}

/* Bytes of the stream for one block of channels. */
static size_t block_size(const qmdi_gemm *gemm, const qmdi_kernel_shape *shape) {
	return gemm->nr * (sizeof(int32_t) + 4 * n_segments(shape) * n_dwords(shape) + sizeof(float));
}

size_t qmdi_gemm_packed_size(const qmdi_gemm *gemm, const qmdi_kernel_shape *shape) {
	return divide_up(shape->out_c, gemm->nr) * block_size(gemm, shape);
}

/* One channel into its lane of a block. */
static void pack_channel(const qmdi_gemm *gemm, const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights,
						 size_t channel, uint8_t *block) {
	const size_t lane = channel % gemm->nr, bytes = segment_bytes(shape), dwords = n_dwords(shape);
	const int8_t *source = weights->weights + channel * n_segments(shape) * bytes;
	int8_t *target = (int8_t *)block + sizeof(int32_t) * gemm->nr;
	int64_t sum = 0;
	for (size_t segment = 0; segment < n_segments(shape); ++segment) {
		for (size_t k = 0; k < bytes; ++k) {
			const size_t dword = segment * dwords + k / 4;
			const int8_t weight = source[segment * bytes + k];
			target[(dword * gemm->nr + lane) * 4 + k % 4] = weight;
			sum += weight;
		}
	}
	const int64_t move = shape->operand == gemm->moved ? gemm->move : 0;
	((uint32_t *)block)[lane] =
		(uint32_t)(weights->bias[channel] - move * sum); /* modulo 2^32, as kernels accumulate */
	float *multipliers = (float *)(target + 4 * gemm->nr * n_segments(shape) * dwords);
	multipliers[lane] = weights->multipliers[channel];
}

void qmdi_gemm_pack(const qmdi_gemm *gemm, const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights,
					void *packed) {
	memset(packed, 0, qmdi_gemm_packed_size(gemm, shape));
	for (size_t channel = 0; channel < shape->out_c; ++channel) {
		pack_channel(gemm, shape, weights, channel, (uint8_t *)packed + channel / gemm->nr * block_size(gemm, shape));
	}
}

/* Point a tile at a block of channels whose first window gives the pixel at `output`. */
static void set_block(const qmdi_gemm *gemm, const qmdi_kernel_call *call, size_t block, uint8_t *output,
					  qmdi_tile *tile) {
	const size_t first = block * gemm->nr;
	tile->stream = (const uint8_t *)call->packed + block * block_size(gemm, call->shape);
	tile->n_channels = smaller(gemm->nr, call->shape->out_c - first);
	tile->output = output + first * (call->shape->float_output ? sizeof(float) : 1);
}

/*
 * A row of n pixels, in tiles of equal width as far as it goes: 33 pixels by a micro-kernel of up to 14 windows are
 * 11 + 11 + 11 rather than 14 + 14 + 5. `tile` is at the first.
 */
static void run_row(const qmdi_gemm *gemm, qmdi_tile tile, size_t n, size_t pool_step) {
	const size_t pool = tile.shape->pool == 2 ? 2 : 1;
	const size_t n_tiles = divide_up(n, gemm->mr / (pool * pool));
	for (size_t i = 0; i < n_tiles; ++i) {
		const size_t width = n / n_tiles + (i < n % n_tiles ? 1 : 0);
		tile.inputs[1] = tile.inputs[0] + (pool == 2 ? pool_step : (width + 1) / 2 * tile.input_step);
		gemm->tile(&tile, width * pool * pool);
		tile.inputs[0] += width * pool * tile.input_step;
		tile.output += width * tile.output_step;
	}
}

static void run_conv(const qmdi_gemm *gemm, const qmdi_kernel_call *call, size_t first_task, size_t n_tasks) {
	const qmdi_kernel_shape *shape = call->shape;
	const qmdi_view *input = &call->inputs[0], *output = &call->output;
	const size_t row_step = shape->stride_h * input->row_stride;
	qmdi_tile tile = {.shape = shape, .n_segments = n_segments(shape), .n_dwords = n_dwords(shape)};
	tile.segment_step = input->row_stride;
	tile.input_step = (size_t)shape->stride_w * shape->in_c;
	tile.output_step = (size_t)shape->out_c * (shape->float_output ? sizeof(float) : 1);
	const uint8_t *corner =
		(const uint8_t *)input->data - shape->pad_top * input->row_stride - (size_t)shape->pad_left * shape->in_c;
	for (size_t task = first_task; task < first_task + n_tasks; ++task) {
		const size_t image = task / shape->out_h, y = task % shape->out_h;
		tile.inputs[0] = corner + image * input->image_stride + y * shape->pool * row_step;
		uint8_t *row = (uint8_t *)output->data + image * output->image_stride + y * output->row_stride;
		for (size_t block = 0; block * gemm->nr < shape->out_c; ++block) {
			set_block(gemm, call, block, row, &tile);
			run_row(gemm, tile, shape->out_w, row_step);
		}
	}
}

static void run_dense(const qmdi_gemm *gemm, const qmdi_kernel_call *call, size_t first_task, size_t n_tasks) {
	qmdi_tile tile = {.shape = call->shape, .n_segments = 1, .n_dwords = n_dwords(call->shape)};
	tile.inputs[0] = call->inputs[0].data;
	tile.input_step = call->inputs[0].image_stride;
	tile.output_step = call->output.image_stride;
	for (size_t block = first_task; block < first_task + n_tasks; ++block) {
		set_block(gemm, call, block, call->output.data, &tile);
		run_row(gemm, tile, call->n_images, 0);
	}
}

size_t qmdi_gemm_n_tasks(const qmdi_gemm *gemm, const qmdi_kernel_shape *shape, size_t n_images) {
	return shape->op == QMDI_OP_CONV2D ? n_images * shape->out_h : divide_up(shape->out_c, gemm->nr);
}

void qmdi_gemm_run(const qmdi_gemm *gemm, const qmdi_kernel_call *call, size_t first_task, size_t n_tasks) {
	if (call->shape->op == QMDI_OP_CONV2D) {
		run_conv(gemm, call, first_task, n_tasks);
	} else {
		run_dense(gemm, call, first_task, n_tasks);
	}
}
