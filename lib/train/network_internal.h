/*
 * Inside of a network. Every layer of the model is a node, which asks the table of tensor operations (tensor/tensor.h)
 * for what its kind computes; nothing here knows which device it runs on. Activations are NHWC floats throughout.
 */
#ifndef QMD_LIB_NETWORK_INTERNAL_H
#define QMD_LIB_NETWORK_INTERNAL_H

#include "base/error.h"
#include "base/memory.h"
#include "train/network.h"

typedef struct qmdi_node qmdi_node;

/* What a kind of layer does. Functions may be NULL where there is nothing to do. */
typedef struct qmdi_node_kind {
	qmd_status (*create)(qmdi_network *network, qmdi_node *node);
	void (*destroy)(qmdi_network *network, qmdi_node *node);
	/* Sets node->output. */
	qmd_status (*forward)(qmdi_network *network, qmdi_node *node);
	/* From node->gradient: the gradients of the parameters if the network is made for them, and that of an input unless
	 * d_input is NULL. Once for each input, or once with NULL. */
	qmd_status (*backward)(qmdi_network *network, qmdi_node *node, float *d_input);
	int has_no_buffer; /* 1: the output is the input's memory */
} qmdi_node_kind;

/* Pointers to floats are tensors of the network's device. */
struct qmdi_node {
	const qmdi_node_kind *kind;
	qmdi_layer *layer; /* borrowed of the model */
	size_t index;
	qmdi_node *inputs[2];
	size_t n_inputs;
	size_t image_size;   /* elements of the output for one image */
	size_t n;            /* elements of the output: batch * image_size */
	const float *output; /* after fake-quant: `buffer`, `quantized` or the input's output */
	float *buffer;       /* what the layer computes */
	float *gradient;     /* d loss / d output; NULL where no gradient is wanted */
	int wants_gradient;
	int is_reached; /* in this backward pass a consumer has left a gradient */
	float *parameter_gradients[QMDI_MAX_PARAMETERS];
	void *state; /* of the kind */

	/* Fake-quant (network_quantize.c). */
	int owns_scale;             /* 1: the output is rounded here; 0: it passes on what is on a grid, or a relu rounds */
	int is_quantized;           /* the last forward pass rounded the output */
	int has_scale_gradient;     /* the last backward pass left that of the output's scale */
	qmdi_grid grid;             /* of the output in the last forward pass */
	float *quantized;           /* where backward needs `buffer` as it was; else rounded in place */
	const float *weight, *bias; /* what the last forward pass used: the layer's parameters, or the two below */
	float *quantized_weight, *quantized_bias;
	float *weight_scale_gradients; /* [units], LSQ */
	float *scale_gradient;         /* of the output's scale */
};

struct qmdi_network {
	qmdi_replica *replica; /* held */
	qmd_model *model;      /* the replica's */
	qmdi_tensor_device *device;
	const qmdi_tensor_ops *ops;
	qmdi_node *nodes; /* [model->n_layers] */
	size_t n_nodes;
	qmdi_node *logits;
	size_t n_classes;
	size_t batch_size;
	qmdi_backward backward;
	float *scratch; /* gradient of a further consumer, before it is added */

	/* The host's side. `images` and `logit_values` are the tensors themselves where these are the host's. */
	float *images;
	float *logit_values, *logit_gradients;
	float *values; /* of any layer, once one was asked for; not where tensors are the host's */

	/* The last forward pass. */
	int has_run;
	qmdi_pass pass;
	uint64_t seed, step;
};

/* Call an operation of the network's device. */
#define QMDI_OP(network, operation, ...) (network)->ops->operation((network)->device, __VA_ARGS__)

/* The kinds (network_nodes.c). NULL for a number that is none. */
const qmdi_node_kind *qmdi_node_kind_of(int32_t kind);

/* A layer's parameter on the network's device. */
float *qmdi_node_parameter(const qmdi_network *network, const qmdi_node *node, size_t parameter);

/* Before a linear layer computes: set node->weight and node->bias, fake-quantized in a quantized model. */
qmd_status qmdi_node_quantize_parameters(qmdi_network *network, qmdi_node *node);

/* After a node has computed: round its output if it is the one to do so. */
qmd_status qmdi_node_quantize_output(qmdi_network *network, qmdi_node *node);

/* Turn d loss / d rounded output into d loss / d buffer. */
qmd_status qmdi_node_unquantize_gradient(qmdi_network *network, qmdi_node *node);

/* Turn the gradient of the rounded weights into that of the weights, and leave that of their scales. */
qmd_status qmdi_node_unquantize_weight_gradient(qmdi_network *network, qmdi_node *node);

/* 1 if this node rounds its output, by the rule in model_internal.h. */
int qmdi_node_owns_scale(const qmd_model *model, size_t layer);

#endif
