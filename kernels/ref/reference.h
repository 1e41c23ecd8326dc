/* What the reference kernels share: reading an input and rounding an output. */
#ifndef QMD_KERNELS_REFERENCE_H
#define QMD_KERNELS_REFERENCE_H

#include <math.h>

#include "../view.h"

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

#endif
