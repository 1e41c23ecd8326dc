/*
 * A model on its way in. The nodes of the graph are taken in order. Each value is a constant or stands for the output
 * of a layer of the model; most operators add a layer, those on constants compute, those on shapes only say how a
 * layer's output is laid out from there on.
 */
#ifndef QMD_LIB_ONNX_IMPORT_H
#define QMD_LIB_ONNX_IMPORT_H

#include "onnx_read.h"

#define QMDI_ONNX_MAX_VALUES 65536
#define QMDI_ONNX_MAX_INPUTS_READ 16

/* An element of a computed shape that stands for the number of images, which is not known; of an int32, INT32_MIN. */
#define QMDI_ONNX_BATCH INT64_MIN

/* How ONNX lays out what the model has as h, w, c. */
typedef enum qmdi_onnx_form {
	QMDI_ONNX_FORM_NCHW = 1,
	QMDI_ONNX_FORM_NHWC = 2,
	QMDI_ONNX_FORM_FLAT = 3 /* [N][n] */
} qmdi_onnx_form;

/* A layer's output. */
typedef struct qmdi_onnx_activation {
	int32_t layer;
	qmdi_onnx_form form;
	qmd_shape
		order;      /* of a flat one: the image whose elements it has in the order c, h, w; 1 x 1 x n: in the model's */
	int is_integer; /* between QuantizeLinear and DequantizeLinear, or the bytes of the input */
	int32_t type;   /* of the integers: QMDI_ONNX_S8 or QMDI_ONNX_U8 */
	int32_t range;  /* once quantized: QMD_S8 for [-128, 127], QMD_U8 for [0, 255]; else 0 */
	float scale;    /* once quantized; else 0 */
} qmdi_onnx_activation;

typedef enum qmdi_onnx_value_kind {
	QMDI_ONNX_UNDEFINED = 0, /* not computed yet */
	QMDI_ONNX_CONSTANT = 1,
	QMDI_ONNX_ACTIVATION = 2
} qmdi_onnx_value_kind;

typedef struct qmdi_onnx_value {
	const char *name; /* NULL: an empty place of the table */
	qmdi_onnx_value_kind kind;
	size_t n_readers; /* nodes, and outputs of the graph */
	int is_live;      /* an output of the graph needs it */
	int is_varying;   /* it depends on the input of the graph */
	int is_shared;    /* the layer's output has another reader under another name */
	qmdi_onnx_tensor tensor;
	qmdi_onnx_activation activation;
} qmdi_onnx_value;

typedef struct qmdi_importer {
	const char *name; /* of the file */
	qmd_onnx_import_options options;
	qmdi_arena arena;
	const Onnx__GraphProto *graph;
	int64_t opset;
	qmdi_onnx_value *values; /* a hash table */
	size_t value_capacity;
	int64_t batch;    /* that the input says, or 0 */
	int is_quantized; /* it has QuantizeLinear or DequantizeLinear of more than constants */
	qmd_model *model;
	float scales[QMDI_MAX_LAYERS];   /* of each layer's output, as the nodes say; 0: they say nothing */
	int32_t ranges[QMDI_MAX_LAYERS]; /* QMD_S8 or QMD_U8 */
	size_t n_clipped;                /* weights of -128 that became -127 */
} qmdi_importer;

/* ---- onnx_values.c: values by name ---- */

/* Room for all names, and the constants that the file has as initializers. */
qmd_status qmdi_onnx_values_begin(qmdi_importer *importer);

/* The value of that name, or NULL. */
qmdi_onnx_value *qmdi_onnx_value_find(const qmdi_importer *importer, const char *name);

/* Mark what the outputs need and what depends on the input, count who reads what, and set is_quantized. */
qmd_status qmdi_onnx_values_trace(qmdi_importer *importer);

/* 1 if an output of the graph needs the node. */
int qmdi_onnx_is_needed(const qmdi_importer *importer, const Onnx__NodeProto *node);

/* ---- A node that is computed ---- */

typedef struct qmdi_onnx_call {
	const Onnx__NodeProto *node;
	size_t n_inputs;
	const qmdi_onnx_value *inputs[QMDI_ONNX_MAX_INPUTS_READ]; /* NULL: left out */
	qmdi_onnx_value *output;
} qmdi_onnx_call;

typedef qmd_status (*qmdi_onnx_compute)(qmdi_importer *importer, const qmdi_onnx_call *call);

typedef struct qmdi_onnx_operator {
	const char *name;
	size_t min_inputs, max_inputs;
	const char *attributes;           /* that are understood, each with a space before and behind */
	qmdi_onnx_compute on_constants;   /* where every input is a constant; or NULL */
	qmdi_onnx_compute on_activations; /* where one is not; or NULL */
} qmdi_onnx_operator;

/* NULL if it is not known. */
const qmdi_onnx_operator *qmdi_onnx_operator_find(const char *name);

/* ---- onnx_attributes.c: what a node says beside its inputs ---- */

/* An attribute that is not there leaves what is given in `value`. */
qmd_status qmdi_onnx_get_int(const qmdi_onnx_call *call, const char *name, int64_t *value);
qmd_status qmdi_onnx_get_float(const qmdi_onnx_call *call, const char *name, float *value);
/* At most size - 1 bytes. */
qmd_status qmdi_onnx_get_string(const qmdi_onnx_call *call, const char *name, char *text, size_t size);

/* Exactly n integers; *found is 0 and `values` untouched if it is not there. */
qmd_status qmdi_onnx_get_ints(const qmdi_onnx_call *call, const char *name, size_t n, int64_t *values, int *found);
const Onnx__AttributeProto *qmdi_onnx_attribute(const qmdi_onnx_call *call, const char *name);

/* QMD_ERROR_UNSUPPORTED unless the attribute is not there or has this value. */
qmd_status qmdi_onnx_demand_int(const qmdi_onnx_call *call, const char *name, int64_t value);

/* Every attribute of the node must be one that the operator understands. */
qmd_status qmdi_onnx_check_attributes(const qmdi_onnx_call *call, const qmdi_onnx_operator *operator);

/* Axes: an attribute or, in newer opsets, input 1. Negative ones count from n_dims. *n is 0 if there are none. */
qmd_status qmdi_onnx_get_axes(const qmdi_onnx_call *call, size_t n_dims, size_t axes[QMDI_ONNX_MAX_DIMS], size_t *n);

/* ---- Inputs and outputs of a node ---- */

/* Input i, which must be a constant; NULL in *tensor if it is left out. */
qmd_status qmdi_onnx_constant(const qmdi_onnx_call *call, size_t i, const qmdi_onnx_tensor **tensor);

/* Input i, which must be a layer's output, as real numbers. */
qmd_status qmdi_onnx_reals(const qmdi_onnx_call *call, size_t i, qmdi_onnx_activation *activation);

/* As qmdi_onnx_reals(), in that form. */
qmd_status qmdi_onnx_reals_in(const qmdi_onnx_call *call, size_t i, qmdi_onnx_form form,
							  qmdi_onnx_activation *activation);

qmd_shape qmdi_onnx_shape(const qmdi_importer *importer, const qmdi_onnx_activation *activation);

/* 1 if a flat value has its elements in another order than the model. */
int qmdi_onnx_is_reordered(const qmdi_onnx_activation *activation);

/* Add a layer that reads `input`, named after the node where its name is fit. */
qmd_status qmdi_onnx_add_layer(qmdi_importer *importer, const qmdi_onnx_call *call, qmd_layer *layer, int32_t input,
							   qmdi_onnx_activation *activation);

/* The node's output is a new layer's; another name of what input i is; a constant. */
qmd_status qmdi_onnx_give_layer(const qmdi_onnx_call *call, qmdi_onnx_activation activation);
qmd_status qmdi_onnx_give_alias(const qmdi_onnx_call *call, size_t i, qmdi_onnx_activation activation);
qmd_status qmdi_onnx_give_constant(const qmdi_onnx_call *call, qmdi_onnx_tensor tensor);

/* ---- onnx_weights.c ---- */

/* Where weight (unit u, channel c, row y, column x) stands in a constant: at u * unit_stride + ((c * h + y) * w + x) *
 * stride. */
typedef struct qmdi_onnx_weight_order {
	qmd_shape spatial;
	size_t unit_stride, stride;
	size_t unit_axis; /* of the constant */
} qmdi_onnx_weight_order;

/* Weights, and their scales, of a conv2d or dense. */
qmd_status qmdi_onnx_take_weights(qmdi_importer *importer, int32_t layer, const qmdi_onnx_tensor *tensor,
								  qmdi_onnx_weight_order order);

/* Bias of a conv2d or dense, beta of a batchnorm: one number, or one a unit, all but one extent of the tensor being 1.
 * `input_scale` is that of the layer's input, or 0. */
qmd_status qmdi_onnx_take_bias(qmdi_importer *importer, int32_t layer, const qmdi_onnx_tensor *tensor,
							   float input_scale);

/* One parameter of a batchnorm, whose channels stand in `order` if that is an image. */
qmd_status qmdi_onnx_take_channels(qmdi_importer *importer, int32_t layer, size_t parameter,
								   const qmdi_onnx_tensor *tensor, qmd_shape order);

/* ---- Operators, by what they do ---- */

/* onnx_layers.c */
qmd_status qmdi_onnx_conv(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_gemm(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_matmul(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_add(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_mul(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_relu(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_pool(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_global_average_pool(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_reduce_mean(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_batch_normalization(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_softmax(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_dropout(qmdi_importer *importer, const qmdi_onnx_call *call);

/* onnx_shapes.c */
qmd_status qmdi_onnx_identity(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_pad(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_flatten(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_reshape(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_transpose(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_squeeze(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_unsqueeze(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_shape_of(qmdi_importer *importer, const qmdi_onnx_call *call);

/* onnx_constants.c */
qmd_status qmdi_onnx_fold_constant(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_fold_identity(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_fold_transpose(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_fold_reshape(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_fold_squeeze(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_fold_unsqueeze(qmdi_importer *importer, const qmdi_onnx_call *call);

/* onnx_extents.c */
qmd_status qmdi_onnx_fold_gather(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_fold_concat(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_fold_slice(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_fold_cast(qmdi_importer *importer, const qmdi_onnx_call *call);

/* onnx_quantization.c */
qmd_status qmdi_onnx_quantize(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_dequantize(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_fold_quantize(qmdi_importer *importer, const qmdi_onnx_call *call);
qmd_status qmdi_onnx_fold_dequantize(qmdi_importer *importer, const qmdi_onnx_call *call);

/* All nodes are done: spread the scales over the layers, check them, and mark the model as quantized. */
qmd_status qmdi_onnx_finish_quantization(qmdi_importer *importer);

#endif
