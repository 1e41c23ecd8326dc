/*
 * A model set up for oneDNN: forward and backward passes of batches of a fixed size. It borrows the model and reads its
 * parameters at every forward pass, so an optimizer that changes them in place is seen at once. In a quantized model
 * (weight_scales, activation_scale set) both passes go through fake-quant (fake_quant.h).
 */
#ifndef QMD_LIB_NETWORK_H
#define QMD_LIB_NETWORK_H

#include "model/model_internal.h"

typedef struct qmdi_network qmdi_network;

typedef enum qmdi_pass {
	QMDI_INFERENCE = 0, /* dropout passes on, batchnorm uses running statistics */
	QMDI_TRAINING = 1   /* dropout drops, batchnorm uses and updates statistics of the batch */
} qmdi_pass;

/* `backward`: 1 also makes what qmdi_network_backward() needs. The model must outlive the network. n_threads at
 * least 1. */
qmd_status qmdi_network_create(qmd_model *model, size_t batch_size, size_t n_threads, int backward,
							   qmdi_network **network);
void qmdi_network_free(qmdi_network *network);
size_t qmdi_network_batch_size(const qmdi_network *network);

/* Where the next batch's images go: [batch][h][w][c] floats, already scaled to real numbers. */
float *qmdi_network_input(qmdi_network *network);

/* Dropout masks are a function of (seed, step, layer, element) alone. */
qmd_status qmdi_network_forward(qmdi_network *network, qmdi_pass pass, uint64_t seed, uint64_t step);

/* Output of a layer after the last forward pass, plain [batch][h][w][c]; borrowed until the next pass. After
 * fake-quant. */
const float *qmdi_network_output(qmdi_network *network, size_t layer);

/* The logits, [batch][n_classes]. */
const float *qmdi_network_logits(qmdi_network *network);

/*
 * Mean cross-entropy of the first n images of the last forward pass (QMDI_TRAINING), and its gradients. Images after
 * the n-th are filling and have no part in it. `labels`: n classes.
 */
qmd_status qmdi_network_backward(qmdi_network *network, const uint32_t *labels, size_t n, double *loss,
								 size_t *n_right);

/* Gradient of a layer's parameter in the model's own order and number; NULL for one that is not trained. */
const float *qmdi_network_gradient(const qmdi_network *network, size_t layer, size_t parameter);

/* LSQ (Esser et al. 2020), for widths of 4 bits and below: gradients of a layer's scales. `weight`: [units], or NULL;
 * `activation`: of the layer's activation_scale, 0 if it has none of its own. */
void qmdi_network_scale_gradients(const qmdi_network *network, size_t layer, const float **weight, float *activation);

#endif
