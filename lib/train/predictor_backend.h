/*
 * What computes a predictor's batches in the place of a network: the vendor's inference at less than FP32. A build with
 * cuDNN has one (kernels/cuda/vendor/cudnn_predictor.c).
 */
#ifndef QMD_LIB_PREDICTOR_BACKEND_H
#define QMD_LIB_PREDICTOR_BACKEND_H

#include "model/model_internal.h"
#include "tensor/tensor.h"

typedef struct qmdi_predictor_backend {
	/*
	 * `model` is the predictor's own: its batch normalizations are folded, then it is borrowed, as the device is, which
	 * is the GPU's column (qmdi_tensor_cudnn). is_int8: by the integers of a quantized model, else in FP16.
	 */
	qmd_status (*create)(qmd_model *model, qmdi_tensor_device *device, int is_int8, size_t batch_size, void **state);
	void (*free)(void *state); /* NULL is allowed */

	/* n images, at most a batch, [n][h][w][c] bytes of `type`; logits [n][n_classes]. Waits. */
	qmd_status (*run)(void *state, const unsigned char *images, int32_t type, size_t n, float *logits);

	/* Runs of the same images: times [n_repeats]; of every layer, times [n_layers][n_repeats] in seconds. */
	qmd_status (*time)(void *state, const unsigned char *images, int32_t type, size_t n, size_t n_repeats,
					   qmd_run_time *times);
	qmd_status (*time_layers)(void *state, const unsigned char *images, int32_t type, size_t n, size_t n_repeats,
							  double *times);

	/* What computes a layer of the model as it was left, for people to read; borrowed while the state lives. */
	const char *(*computed_by)(const void *state, size_t layer);
	/* The layer with which it is computed: itself, or one before it. */
	size_t (*computed_with)(const void *state, size_t layer);
} qmdi_predictor_backend;

extern const qmdi_predictor_backend *const qmdi_cudnn_predictor; /* NULL in a build without */

#endif
