/* What the files of this stage share: ONNX's numbers for types, and the limits of what is read. */
#ifndef QMD_LIB_ONNX_INTERNAL_H
#define QMD_LIB_ONNX_INTERNAL_H

#include <qmd/onnx.h>

#include "base/error.h"
#include "model/model_internal.h"
#include "onnx.pb-c.h"

#define QMDI_ONNX_FLOAT ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define QMDI_ONNX_U8 ONNX__TENSOR_PROTO__DATA_TYPE__UINT8
#define QMDI_ONNX_S8 ONNX__TENSOR_PROTO__DATA_TYPE__INT8
#define QMDI_ONNX_S32 ONNX__TENSOR_PROTO__DATA_TYPE__INT32
#define QMDI_ONNX_BOOL ONNX__TENSOR_PROTO__DATA_TYPE__BOOL
#define QMDI_ONNX_S64 ONNX__TENSOR_PROTO__DATA_TYPE__INT64

#define QMDI_ONNX_MAX_SIZE 0x7fffffff /* of a message, by protobuf's own limit */

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ONNX stores tensors little-endian, and they are copied as they are"
#endif

/* Read a model from bytes; `name` goes into messages. As qmd_onnx_import(). */
qmd_status qmdi_onnx_import_bytes(const void *data, size_t size, const char *name,
								  const qmd_onnx_import_options *options, qmd_model **model);

#endif
