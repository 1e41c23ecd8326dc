/* The rows of the table, each defined at the end of the file that bears its name. */
#ifndef QMD_KERNELS_ROWS_H
#define QMD_KERNELS_ROWS_H

#include "kernel.h"

extern const qmdi_kernel qmdi_conv_x8s8_avx512vnni;
extern const qmdi_kernel qmdi_conv_x8s8_avxvnni;
extern const qmdi_kernel qmdi_conv_x8s8_ymm_avx512vnni;
extern const qmdi_kernel qmdi_conv_x8s8_avx2;
extern const qmdi_kernel qmdi_conv_x8s8_ref;
extern const qmdi_kernel qmdi_dense_x8s8_avx512vnni;
extern const qmdi_kernel qmdi_dense_x8s8_avxvnni;
extern const qmdi_kernel qmdi_dense_x8s8_ymm_avx512vnni;
extern const qmdi_kernel qmdi_dense_x8s8_avx2;
extern const qmdi_kernel qmdi_dense_x8s8_ref;
extern const qmdi_kernel qmdi_maxpool_x8_ref;
extern const qmdi_kernel qmdi_avgpool_x8_ref;
extern const qmdi_kernel qmdi_add_x8_ref;

/* For rows that take any shape, and for rows without weights. */
int qmdi_any_shape(const qmdi_kernel_shape *shape);
size_t qmdi_nothing_packed(const qmdi_kernel_shape *shape);
void qmdi_pack_nothing(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights, void *packed);

#endif
