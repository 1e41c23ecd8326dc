/*
 * Inside of a network. Every layer of the model is a node; activations are NHWC floats throughout, which oneDNN's
 * convolutions read and write as fast as layouts of their own, so that only weights are ever reordered. oneDNN computes
 * convolutions and dense layers; the other layers are bound by memory and are plain loops here, in the order of
 * operations that docs/numerics.md lays down.
 */
#ifndef QMD_LIB_NETWORK_INTERNAL_H
#define QMD_LIB_NETWORK_INTERNAL_H

#include <dnnl.h>

#include "base/error.h"
#include "base/float_environment.h"
#include "base/memory.h"
#include "train/network.h"

typedef struct qmdi_node qmdi_node;

/* What a kind of layer does. Functions may be NULL where there is nothing to do. */
typedef struct qmdi_node_kind {
	qmd_status (*create)(qmdi_network *network, qmdi_node *node);
	void (*destroy)(qmdi_node *node);
	/* Sets node->output. */
	qmd_status (*forward)(qmdi_network *network, qmdi_node *node);
	/* From node->gradient: the gradients of the parameters, if they are wanted, then that of an input. */
	qmd_status (*backward_parameters)(qmdi_network *network, qmdi_node *node);
	qmd_status (*backward_input)(qmdi_network *network, qmdi_node *node, float *d_input);
	int has_no_buffer; /* 1: the output is the input's memory */
} qmdi_node_kind;

struct qmdi_node {
	const qmdi_node_kind *kind;
	qmdi_layer *layer; /* borrowed of the model */
	size_t index;
	qmdi_node *inputs[2];
	size_t n_inputs;
	size_t image_size; /* elements of the output for one image */
	size_t n;          /* elements of the output: batch * image_size */
	float *output;     /* after fake-quant: `buffer`, `quantized` or the input's output */
	float *buffer;     /* what the layer computes */
	float *gradient;   /* d loss / d output; NULL where no gradient is wanted */
	int wants_gradient;
	int is_reached; /* in this backward pass a consumer has left a gradient */
	float *parameter_gradients[QMDI_MAX_PARAMETERS];
	void *state; /* of the kind */

	/* Fake-quant (network_quantize.c). */
	int owns_scale;             /* 1: the output is rounded here; 0: it passes on what is on a grid, or a relu rounds */
	int32_t low, high;          /* of the output's integers in the last forward pass */
	int is_quantized;           /* the last forward pass rounded the output */
	float *quantized;           /* where backward needs `buffer` as it was; else rounded in place */
	const float *weight, *bias; /* what the last forward pass used: the layer's parameters, or the two below */
	float *quantized_weight, *quantized_bias;
	float *weight_scale_gradients; /* [units], LSQ */
	float activation_scale_gradient;
};

struct qmdi_network {
	qmd_model *model;
	qmdi_node *nodes; /* [model->n_layers] */
	size_t n_nodes;
	qmdi_node *logits;
	size_t n_classes;
	size_t batch_size, n_threads;
	qmdi_backward backward;
	float *scratch;    /* gradient of a further consumer, before it is added */
	float *image_sums; /* [batch], of a gradient that is summed over images */
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	dnnl_primitive_attr_t attributes;

	/* The last forward pass. */
	int has_run;
	qmdi_pass pass;
	uint64_t seed, step;

	/* The caller's, while a pass runs. */
	int caller_threads;
	qmdi_float_environment *environments; /* [n_threads] */
};

extern const qmdi_node_kind qmdi_linear_node; /* conv2d, dense */
extern const qmdi_node_kind qmdi_pool_node;   /* maxpool, avgpool, global avgpool */
extern const qmdi_node_kind qmdi_batchnorm_node;
extern const qmdi_node_kind qmdi_dropout_node;
extern const qmdi_node_kind qmdi_relu_node;
extern const qmdi_node_kind qmdi_add_node;
extern const qmdi_node_kind qmdi_flatten_node;
extern const qmdi_node_kind qmdi_softmax_node;

/* Fail if a oneDNN call did not succeed; the text names the layer. */
qmd_status qmdi_network_check(const qmdi_node *node, dnnl_status_t status, const char *call);

/* n floats of zeros, aligned for vectors; free with qmdi_release_aligned(). NULL without memory. */
float *qmdi_network_floats(size_t n);

/* Before a linear layer computes: set node->weight and node->bias, fake-quantized in a quantized model. */
qmd_status qmdi_node_quantize_parameters(qmdi_network *network, qmdi_node *node);

/* After a node has computed: round its output if it is the one to do so. */
qmd_status qmdi_node_quantize_output(qmdi_network *network, qmdi_node *node);

/* Turn d loss / d rounded output into d loss / d buffer. */
void qmdi_node_unquantize_gradient(const qmdi_network *network, qmdi_node *node);

/* Turn the gradient of the rounded weights into that of the weights, and leave that of their scales. */
qmd_status qmdi_node_unquantize_weight_gradient(const qmdi_network *network, qmdi_node *node);

/* 1 if this node rounds its output, by the rule in model_internal.h. */
int qmdi_node_owns_scale(const qmd_model *model, size_t layer);

#endif
