/* ONNX's messages out of bytes that may be hostile. */
#ifndef QMD_LIB_ONNX_READ_H
#define QMD_LIB_ONNX_READ_H

#include "arena.h"
#include "onnx_internal.h"

#define QMDI_ONNX_MAX_DIMS 8

/* Memory that reading a file of that size may take: far more than any model needs, far less than a file can ask for. */
static inline size_t qmdi_onnx_memory_limit(size_t size) {
	return ((size_t)64 << 20) + 32 * size;
}

/* Unpack a model into the arena. */
qmd_status qmdi_onnx_unpack(qmdi_arena *arena, const void *data, size_t size, const char *name,
							const Onnx__ModelProto **model);

/*
 * A constant. Behind DequantizeLinear it is its integers and what they stand for, scale * (q - zero), with one scale or
 * one for each index of an axis.
 */
typedef struct qmdi_onnx_tensor {
	int32_t type; /* QMDI_ONNX_FLOAT, _U8, _S8, _S32, _S64 or _BOOL */
	size_t n_dims, dims[QMDI_ONNX_MAX_DIMS], n;
	const void *data;
	const float *scales; /* n_scales, or NULL: not dequantized */
	size_t n_scales, axis;
	int32_t zero;
} qmdi_onnx_tensor;

/* Check a tensor of the file. Its data are borrowed from the message, or put into the arena. */
qmd_status qmdi_onnx_tensor_read(qmdi_arena *arena, const Onnx__TensorProto *message, qmdi_onnx_tensor *tensor);

/* Number of bytes of an element; 0 for other types. */
size_t qmdi_onnx_type_size(int32_t type);

/* "float", "uint8", ...; "type 99" is "another type". Static text. */
const char *qmdi_onnx_type_name(int32_t type);

/* Element i as an integer, the zero point not subtracted; of integer tensors only. */
int64_t qmdi_onnx_integer(const qmdi_onnx_tensor *tensor, size_t i);

/* Which scale belongs to element i. */
size_t qmdi_onnx_scale_index(const qmdi_onnx_tensor *tensor, size_t i);

/* 1 if its elements are real numbers: floats, or integers behind DequantizeLinear. */
int qmdi_onnx_is_real(const qmdi_onnx_tensor *tensor);

/* Element i of a tensor of real numbers. */
float qmdi_onnx_real(const qmdi_onnx_tensor *tensor, size_t i);

#endif
