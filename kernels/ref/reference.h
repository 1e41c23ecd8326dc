/* What the reference kernels share: reading an input, rounding an output, and where a pixel lies. */
#ifndef QMD_KERNELS_REFERENCE_H
#define QMD_KERNELS_REFERENCE_H

#include <math.h>

#include "kernel.h"

/* A number of a tensor of one byte an element. */
static inline int32_t qmdi_ref_number(const uint8_t *byte, qmdi_operand operand) {
	return operand == QMDI_U8 ? *byte : (int8_t)*byte;
}

/* Clamp to [low, 127], then round to nearest, ties to even (the default floating-point environment). */
static inline int8_t qmdi_ref_round(float value, int32_t low) {
	if (value < (float)low) {
		value = (float)low;
	}
	if (value > 127.0f) {
		value = 127.0f;
	}
	return (int8_t)lrintf(value);
}

/* A value, of the output's scale unless it is float, into channel `channel` of a pixel. */
static inline void qmdi_ref_write(const qmdi_kernel_shape *shape, uint8_t *pixel, size_t channel, float value) {
	if (shape->float_output) {
		((float *)pixel)[channel] = value;
	} else {
		((int8_t *)pixel)[channel] = qmdi_ref_round(value, shape->low);
	}
}

/* First byte of a row of an image inside the halo, or above and left of it for negative rows and pixels. */
static inline uint8_t *qmdi_ref_pixel(const qmdi_view *view, size_t image, ptrdiff_t row, ptrdiff_t pixel,
									  size_t pixel_bytes) {
	return (uint8_t *)view->data + image * view->image_stride + row * (ptrdiff_t)view->row_stride +
		   pixel * (ptrdiff_t)pixel_bytes;
}

/* Bytes of one output pixel. */
static inline size_t qmdi_ref_output_bytes(const qmdi_kernel_shape *shape) {
	return (size_t)shape->out_c * (shape->float_output ? sizeof(float) : 1);
}

/* Tasks of a kernel that makes one output row at a time. */
static inline size_t qmdi_ref_row_tasks(const qmdi_kernel_shape *shape, size_t n_images) {
	return n_images * shape->out_h;
}

#endif
