/* Where a pixel lies, and the tasks of a kernel that makes one output row at a time. */
#ifndef QMD_KERNELS_VIEW_H
#define QMD_KERNELS_VIEW_H

#include "kernel.h"

/* First byte of a pixel of an image; rows above and pixels left of the inside are negative. */
static inline uint8_t *qmdi_pixel(const qmdi_view *view, size_t image, ptrdiff_t row, ptrdiff_t pixel,
								  size_t pixel_bytes) {
	return (uint8_t *)view->data + image * view->image_stride + row * (ptrdiff_t)view->row_stride +
		   pixel * (ptrdiff_t)pixel_bytes;
}

/* Bytes of one output pixel. */
static inline size_t qmdi_output_bytes(const qmdi_kernel_shape *shape) {
	return (size_t)shape->out_c * (shape->float_output ? sizeof(float) : 1);
}

static inline size_t qmdi_row_tasks(const qmdi_kernel_shape *shape, size_t n_images) {
	return n_images * shape->out_h;
}

#endif
