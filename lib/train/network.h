/*
 * A model set up to compute: forward and backward passes of batches of a fixed size, on the device of its replica. It
 * reads the replica's parameters at every forward pass, so an optimizer that changes them in place is seen at once. In
 * a quantized model (weight_scales, activation_scale set) both passes go through fake-quant (fake_quant.h); a training
 * pass at more than QMDI_LSQ_BITS first sets weight_scales by max-abs. The scale of a layer's input, by which its bias
 * is rounded, is the activation_scale of that very layer, so a carried scale must be changed in all layers that carry
 * it.
 */
#ifndef QMD_LIB_NETWORK_H
#define QMD_LIB_NETWORK_H

#include "train/replica.h"

/* Widths of so many bits and below: scales are trained by LSQ. Above, weight scales are the weights' max-abs. */
#define QMDI_LSQ_BITS 4

typedef struct qmdi_network qmdi_network;

typedef enum qmdi_pass {
	QMDI_INFERENCE = 0, /* dropout passes on, batchnorm uses running statistics */
	QMDI_TRAINING = 1   /* dropout drops, batchnorm uses and updates statistics of the batch, filling images included */
} qmdi_pass;

/* Which gradients a network is made for. */
typedef enum qmdi_backward {
	QMDI_NO_BACKWARD = 0,
	QMDI_BACKWARD_PARAMETERS = 1, /* qmdi_network_backward() */
	QMDI_BACKWARD_INPUT = 2       /* qmdi_network_backward_input() */
} qmdi_backward;

/* The replica is held; its model's parameters, scales and bits may change between passes. QMD_ERROR_MEMORY says what
 * batch would fit, where the device can tell. */
qmd_status qmdi_network_create(qmdi_replica *replica, size_t batch_size, qmdi_backward backward,
							   qmdi_network **network);

/* The same on a replica of its own: of a model, on a device (qmdi_tensor_open()). */
qmd_status qmdi_network_open(qmd_model *model, const char *device, size_t n_threads, size_t batch_size,
							 qmdi_backward backward, qmdi_network **network);
void qmdi_network_free(qmdi_network *network);
size_t qmdi_network_batch_size(const qmdi_network *network);

/* Where the next batch's images go: [batch][h][w][c] floats of the host, already scaled to real numbers. */
float *qmdi_network_input(qmdi_network *network);

/* Dropout masks are a function of (seed, step, layer, element) alone. */
qmd_status qmdi_network_forward(qmdi_network *network, qmdi_pass pass, uint64_t seed, uint64_t step);

/* Output of a layer after the last forward pass, plain [batch][h][w][c], after fake-quant. In the host's memory;
 * borrowed until the next pass or call. */
qmd_status qmdi_network_output(qmdi_network *network, size_t layer, const float **values);

/* The logits, [batch][n_classes]; likewise, borrowed until the next pass. */
const float *qmdi_network_logits(qmdi_network *network);

/*
 * Mean cross-entropy of the first n images of the last forward pass (QMDI_TRAINING), and its gradients. Images after
 * the n-th are filling and have no part in it. `labels`: n classes. Once after a forward pass.
 */
qmd_status qmdi_network_backward(qmdi_network *network, const uint32_t *labels, size_t n, double *loss,
								 size_t *n_right);

/*
 * The gradient, by the images, of the sum of weights * logits of the last forward pass, which must have been
 * QMDI_INFERENCE: [batch][h][w][c] of the host, borrowed until the next pass or call. `weights`: [batch][n_classes].
 */
qmd_status qmdi_network_backward_input(qmdi_network *network, const float *weights, const float **gradient);

/* Gradient of a layer's parameter in the model's own order and number, a tensor of the device; NULL for one that is not
 * trained. */
const float *qmdi_network_gradient(const qmdi_network *network, size_t layer, size_t parameter);

/* LSQ (Esser et al. 2020), for widths of QMDI_LSQ_BITS and below: gradients of a layer's scales after a backward pass,
 * 0 where there are none. `weight`: [units] floats of the host, or NULL; `activation`: of the layer's activation_scale,
 * 0 where the layer does not round its output itself (in conv2d - relu it is the relu that rounds). */
qmd_status qmdi_network_scale_gradients(const qmdi_network *network, size_t layer, float *weight, float *activation);

#endif
