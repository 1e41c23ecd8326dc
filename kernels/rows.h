/* The rows of the table, each defined at the end of the file that bears its name. */
#ifndef QMD_KERNELS_ROWS_H
#define QMD_KERNELS_ROWS_H

#include "view.h"

extern const qmdi_kernel qmdi_conv_x8s8_avx512vnni;
extern const qmdi_kernel qmdi_conv_x8s8_avxvnni;
extern const qmdi_kernel qmdi_conv_x8s8_ymm_avx512vnni;
extern const qmdi_kernel qmdi_conv_x8s8_avx512bw;
extern const qmdi_kernel qmdi_conv_x8s8_avx2;
extern const qmdi_kernel qmdi_conv_x8s8_ref;
extern const qmdi_kernel qmdi_dense_x8s8_avx512vnni;
extern const qmdi_kernel qmdi_dense_x8s8_avxvnni;
extern const qmdi_kernel qmdi_dense_x8s8_ymm_avx512vnni;
extern const qmdi_kernel qmdi_dense_x8s8_avx512bw;
extern const qmdi_kernel qmdi_dense_x8s8_avx2;
extern const qmdi_kernel qmdi_dense_x8s8_ref;
extern const qmdi_kernel qmdi_maxpool_x8_avx2;
extern const qmdi_kernel qmdi_maxpool_x8_ref;
extern const qmdi_kernel qmdi_avgpool_x8_avx2;
extern const qmdi_kernel qmdi_avgpool_x8_ref;
extern const qmdi_kernel qmdi_add_x8_avx2;
extern const qmdi_kernel qmdi_add_x8_ref;

/* For rows that take any shape, and for rows without weights. */
int qmdi_any_shape(const qmdi_kernel_shape *shape);
size_t qmdi_nothing_packed(const qmdi_kernel_shape *shape);
void qmdi_pack_nothing(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, void *packed);

/* What all rows have in common. */
#define QMDI_ROW_FIELDS(row, op_, isa_, features_)                                                                     \
	.name = #row, .op = (op_), .device = "cpu", .isa = (isa_), .features = (features_),                                \
	.operands = QMDI_U8 | QMDI_S8 | QMDI_S7, .supports = qmdi_any_shape

/* The row of a kernel with weights, whose file has the functions of these names. */
#define QMDI_WEIGHTED_ROW(row, op_, isa_, features_)                                                                   \
	const qmdi_kernel qmdi_##row = {                                                                                   \
		QMDI_ROW_FIELDS(row, op_, isa_, features_),                                                                    \
		.granularity = QMDI_PER_CHANNEL,                                                                               \
		.packed_size = packed_size,                                                                                    \
		.pack = pack,                                                                                                  \
		.n_tasks = n_tasks,                                                                                            \
		.run = run,                                                                                                    \
	}

/* The row of a kernel without weights, whose tasks are output rows and whose file has a run(). */
#define QMDI_WEIGHTLESS_ROW(row, op_, isa_, features_)                                                                 \
	const qmdi_kernel qmdi_##row = {                                                                                   \
		QMDI_ROW_FIELDS(row, op_, isa_, features_),                                                                    \
		.granularity = QMDI_PER_TENSOR,                                                                                \
		.packed_size = qmdi_nothing_packed,                                                                            \
		.pack = qmdi_pack_nothing,                                                                                     \
		.n_tasks = qmdi_row_tasks,                                                                                     \
		.run = run,                                                                                                    \
	}

#endif
