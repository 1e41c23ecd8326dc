/* The table of kernels, and the choice among them. */
#include "kernel.h"
#include "rows.h"

/* For each op the best first, the reference last. */
static const qmdi_kernel *const rows[] = {
	&qmdi_conv_x8s8_avx512vnni,  &qmdi_conv_x8s8_avxvnni,  &qmdi_conv_x8s8_ymm_avx512vnni,
	&qmdi_conv_x8s8_avx512bw,    &qmdi_conv_x8s8_avx2,     &qmdi_conv_x8s8_ref,
	&qmdi_dense_x8s8_avx512vnni, &qmdi_dense_x8s8_avxvnni, &qmdi_dense_x8s8_ymm_avx512vnni,
	&qmdi_dense_x8s8_avx512bw,   &qmdi_dense_x8s8_avx2,    &qmdi_dense_x8s8_ref,
	&qmdi_maxpool_x8_avx2,       &qmdi_maxpool_x8_ref,     &qmdi_avgpool_x8_avx2,
	&qmdi_avgpool_x8_ref,        &qmdi_add_x8_avx2,        &qmdi_add_x8_ref,
};

#define N_ROWS (sizeof rows / sizeof rows[0])

int qmdi_any_shape(const qmdi_kernel_shape *shape) {
	(void)shape;
	return 1;
}

size_t qmdi_nothing_packed(const qmdi_kernel_shape *shape) {
	(void)shape;
	return 0;
}

void qmdi_pack_nothing(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, void *packed) {
	(void)shape;
	(void)weights;
	(void)packed;
}

/* Windows that fit into an extent, padding included; what does not fill one is dropped. */
static uint64_t n_windows(uint64_t extent, uint32_t window, uint32_t stride) {
	return window == 0 || stride == 0 || window > extent ? 0 : (extent - window) / stride + 1;
}

static int is_scale(float scale) {
	return scale >= 0x1p-60f && scale <= 0x1p60f;
}

static int is_sound_conv2d(const qmdi_kernel_shape *shape) {
	const uint64_t h = (uint64_t)shape->in_h + shape->pad_top + shape->pad_bottom;
	const uint64_t w = (uint64_t)shape->in_w + shape->pad_left + shape->pad_right;
	return (shape->pool == 1 || (shape->pool == 2 && !shape->float_output)) &&
		   shape->out_h == n_windows(h, shape->kernel_h, shape->stride_h) / shape->pool &&
		   shape->out_w == n_windows(w, shape->kernel_w, shape->stride_w) / shape->pool;
}

static int is_sound_pool(const qmdi_kernel_shape *shape) {
	return shape->pad_top == 0 && shape->pad_left == 0 && shape->pad_bottom == 0 && shape->pad_right == 0 &&
		   shape->out_c == shape->in_c && shape->out_h == n_windows(shape->in_h, shape->kernel_h, shape->stride_h) &&
		   shape->out_w == n_windows(shape->in_w, shape->kernel_w, shape->stride_w);
}

int qmdi_kernel_shape_is_sound(const qmdi_kernel_shape *shape) {
	if (shape->in_h == 0 || shape->in_w == 0 || shape->in_c == 0 || shape->out_h == 0 || shape->out_w == 0 ||
		shape->out_c == 0 || (shape->low != 0 && shape->low != -128)) {
		return 0;
	}
	switch (shape->op) {
	case QMDI_OP_CONV2D:
		return is_sound_conv2d(shape);
	case QMDI_OP_DENSE:
		return shape->in_h == 1 && shape->in_w == 1 && shape->out_h == 1 && shape->out_w == 1 && shape->pool == 1;
	case QMDI_OP_MAXPOOL:
		return is_sound_pool(shape) && !shape->float_output;
	case QMDI_OP_AVGPOOL:
		return is_sound_pool(shape) && is_scale(shape->scale_a) && (shape->float_output || is_scale(shape->scale_out));
	case QMDI_OP_ADD:
		return shape->in_h == shape->out_h && shape->in_w == shape->out_w && shape->in_c == shape->out_c &&
			   is_scale(shape->scale_a) && is_scale(shape->scale_b) &&
			   (shape->float_output || is_scale(shape->scale_out));
	default:
		return 0;
	}
}

const qmdi_kernel *const *qmdi_kernels(size_t *n) {
	*n = N_ROWS;
	return rows;
}

int qmdi_kernel_runs_here(const qmdi_kernel *kernel) {
	return (kernel->features & ~qmdi_machine_features()) == 0;
}

int qmdi_kernel_supports(const qmdi_kernel *kernel, const qmdi_kernel_shape *shape) {
	return kernel->op == shape->op && (kernel->operands & (uint32_t)shape->operand) != 0 &&
		   qmdi_kernel_shape_is_sound(shape) && kernel->supports(shape);
}

const qmdi_kernel *qmdi_kernel_choose(const qmdi_kernel_shape *shape, qmdi_isa isa) {
	for (size_t i = 0; i < N_ROWS; ++i) {
		if (rows[i]->isa <= isa && qmdi_kernel_runs_here(rows[i]) && qmdi_kernel_supports(rows[i], shape)) {
			return rows[i];
		}
	}
	return NULL;
}
