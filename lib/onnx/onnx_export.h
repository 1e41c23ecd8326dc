/* A model on its way out. */
#ifndef QMD_LIB_ONNX_EXPORT_H
#define QMD_LIB_ONNX_EXPORT_H

#include "onnx_builder.h"
#include "onnx_internal.h"

typedef struct qmdi_exporter {
	const qmd_model *model;
	qmd_onnx_export_options options;
	qmdi_onnx_builder builder;
	Onnx__ValueInfoProto *graph_inputs[1], *graph_outputs[2];
	size_t logits;        /* the layer that computes them; what follows passes them on or is the softmax: all floats */
	char **values;        /* [n_layers]: the float value that stands for a layer's output */
	unsigned char *ranks; /* [n_layers]: 4, or 2 once it is flat */
} qmdi_exporter;

/* 1 if a layer's tensor holds the bytes of a u8 image: it, and what picks among them. */
int qmdi_export_is_u8(const qmdi_exporter *exporter, size_t layer);

/* The image as a float value of [N][c][h][w]. */
char *qmdi_export_image(qmdi_exporter *exporter);

/*
 * `value` through QuantizeLinear and DequantizeLinear by the scale of layer `source`. The names begin with `owner` and
 * `prefix`. `value` itself where that tensor stays float.
 */
char *qmdi_export_quantized(qmdi_exporter *exporter, const char *owner, const char *prefix, size_t source, char *value);

/* The float values of the weight and the bias of a conv2d or dense. `spatial` is the image that the inputs of a dense
 * were flattened from, or the kernel of a conv2d: its weights are put into the order c, h, w. */
void qmdi_export_parameters(qmdi_exporter *exporter, size_t layer, qmd_shape spatial, char **weight, char **bias);

/* A float initializer of one extent, named after the layer; `values` are borrowed. */
char *qmdi_export_floats(qmdi_exporter *exporter, size_t layer, const char *what, const float *values, size_t n);

#endif
