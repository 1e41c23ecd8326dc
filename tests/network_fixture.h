/* Small graphs to compute, with parameters and images drawn by seed. */
#ifndef QMD_TESTS_NETWORK_FIXTURE_H
#define QMD_TESTS_NETWORK_FIXTURE_H

#include "support.h"
#include "train/network.h"

/* Add a layer; fields beyond its kind's defaults in `layer`, which qmdt_layer() starts. Returns its number. */
qmd_layer qmdt_layer(int32_t kind);
int32_t qmdt_add(qmd_model *model, qmd_layer layer);

/* The commonest layers; `input` may be QMD_PREVIOUS. */
int32_t qmdt_add_conv(qmd_model *model, int32_t input, uint32_t units, uint32_t kernel, uint32_t stride,
					  int32_t padding);
int32_t qmdt_add_dense(qmd_model *model, uint32_t units);
int32_t qmdt_add_kind(qmd_model *model, int32_t kind);
/* A layer that reads `input`; a pool's window is 2 x 2. */
int32_t qmdt_add_reading(qmd_model *model, int32_t kind, int32_t input);
int32_t qmdt_add_sum(qmd_model *model, int32_t a, int32_t b);
int32_t qmdt_add_dropout(qmd_model *model, float rate);

/* A layer's output after the last forward pass. */
const float *qmdt_output(qmdi_network *network, size_t layer);

/* Weights uniform in +-sqrt(3 / fan-in), so that activations stay about as large as the images; biases, beta and mean
 * in +-0.5; gamma and variance in 0.5 to 1.5. */
void qmdt_draw_parameters(qmd_model *model, uint64_t seed);

/* n numbers of the grid of s8 images, -1 to 1 in steps of 1/127. */
void qmdt_draw_images(uint64_t seed, float *images, size_t n);

/* Scales as qmd_quantize() would leave them: of each output as large as that of a float pass over the images that
 * `network_input` draws. */
void qmdt_quantize(qmd_model *model, uint32_t weight_bits, uint32_t activation_bits, const float *images,
				   size_t n_images);

/* A residual net that has every kind of layer, on images of 11 x 9 x 3, with 3 classes. `with_batchnorm` 0 leaves that
 * one out, as a quantized net does. */
qmd_model *qmdt_residual_net(int with_batchnorm);

#endif
