/*
 * An ONNX graph in the making. The first failure sticks: after it everything added is dropped, so that a row of calls
 * is checked once, by `status`.
 */
#ifndef QMD_LIB_ONNX_BUILDER_H
#define QMD_LIB_ONNX_BUILDER_H

#include "arena.h"
#include "onnx.pb-c.h"

typedef struct qmdi_onnx_builder {
	qmdi_arena arena; /* holds all that the graph points to */
	Onnx__GraphProto graph;
	size_t node_capacity, initializer_capacity;
	qmd_status status;
	Onnx__NodeProto dropped; /* what a failed call gives back */
} qmdi_onnx_builder;

void qmdi_onnx_builder_begin(qmdi_onnx_builder *builder);
void qmdi_onnx_builder_release(qmdi_onnx_builder *builder);

/* "LAYER/WHAT": a name of a value. No two layers have one name and WHAT has no '/', so it is unique. */
char *qmdi_onnx_name(qmdi_onnx_builder *builder, const char *layer, const char *what);

/* An initializer; `data` is borrowed until the builder is released. Returns `name`. */
char *qmdi_onnx_initializer(qmdi_onnx_builder *builder, char *name, int32_t type, size_t n_dims, const int64_t *dims,
							const void *data, size_t size);

#define QMDI_ONNX_MAX_INPUTS 5

/* A node that computes `output` from inputs up to the first NULL. */
Onnx__NodeProto *qmdi_onnx_node(qmdi_onnx_builder *builder, const char *op, const char *name,
								char *const inputs[QMDI_ONNX_MAX_INPUTS], char *output);
void qmdi_onnx_set_int(qmdi_onnx_builder *builder, Onnx__NodeProto *node, const char *name, int64_t value);
void qmdi_onnx_set_float(qmdi_onnx_builder *builder, Onnx__NodeProto *node, const char *name, float value);
void qmdi_onnx_set_ints(qmdi_onnx_builder *builder, Onnx__NodeProto *node, const char *name, size_t n,
						const int64_t *values);

/* An input or output of the graph: a tensor of n_dims extents, the first of which is the batch, whatever `dims` says.
 */
Onnx__ValueInfoProto *qmdi_onnx_value_info(qmdi_onnx_builder *builder, const char *name, int32_t type, size_t n_dims,
										   const int64_t *dims);

#endif
