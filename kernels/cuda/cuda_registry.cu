/* The table of CUDA kernels, and the choice among them. Compiled with the kernels, so that it is there where they are.
 */
#include "cuda_rows.h"

/* For each op the best first, the one for any shape last. */
static const qmdi_cuda_kernel *const rows[] = {
	&qmdi_cuda_conv_x8s8_imma,       &qmdi_cuda_conv_few_x8s8_imma, &qmdi_cuda_conv_x8s8_dp4a,
	&qmdi_cuda_dense_head_x8s8_dp4a, &qmdi_cuda_dense_x8s8_imma,    &qmdi_cuda_dense_x8s8_dp4a,
	&qmdi_cuda_maxpool_x8_simt,      &qmdi_cuda_avgpool_x8_simt,    &qmdi_cuda_add_x8_simt,
};

#define N_ROWS (sizeof rows / sizeof rows[0])

int qmdi_cuda_any_shape(const qmdi_kernel_shape *) {
	return 1;
}

size_t qmdi_cuda_no_scratch(const qmdi_kernel_shape *, size_t, uint32_t) {
	return 0;
}

int qmdi_cuda_no_softmax(const qmdi_kernel_shape *) {
	return 0;
}

const qmdi_cuda_kernel *const *qmdi_cuda_kernels(size_t *n) {
	*n = N_ROWS;
	return rows;
}

int qmdi_cuda_kernel_supports(const qmdi_cuda_kernel *kernel, const qmdi_kernel_shape *shape, int arch) {
	return kernel->op == shape->op && (kernel->operands & static_cast<uint32_t>(shape->operand)) != 0 &&
		   kernel->arch_min <= arch && arch <= kernel->arch_max && qmdi_kernel_shape_is_sound(shape) &&
		   kernel->supports(shape);
}

const qmdi_cuda_kernel *qmdi_cuda_kernel_choose(const qmdi_kernel_shape *shape, int arch, size_t alignment) {
	for (const qmdi_cuda_kernel *row : rows) {
		if (row->alignment <= alignment && qmdi_cuda_kernel_supports(row, shape, arch)) {
			return row;
		}
	}
	return nullptr;
}
