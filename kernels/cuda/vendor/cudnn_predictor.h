/*
 * Inside of inference by cuDNN and cuBLAS at less than FP32: a model becomes a list of steps, each one call of a
 * library or one launch of a kernel of our own, on buffers of a batch that never change. So the list runs as one CUDA
 * graph.
 *
 * Every layer is tried in the types that its engine would have it in, the best first: INT8, FP16, FP32. A type is
 * refused where a library has no plan or will not run, which each step is made to do once when it is made.
 */
#ifndef QMD_KERNELS_CUDA_CUDNN_PREDICTOR_H
#define QMD_KERNELS_CUDA_CUDNN_PREDICTOR_H

#include "cuda/train/rescale.h"
#include "train/predictor_backend.h"

#include "tensor_cudnn.h"

#define QMDI_COMPUTED_BY_SIZE 768

/* A batch between two layers, NHWC: real = scale * number; scale 1 for FP16 and FP32. */
typedef struct qmdi_vendor_tensor {
	void *data;
	qmdi_cuda_number type;
	float scale;
} qmdi_vendor_tensor;

/* c = w x^T with matrices by columns: c [n][m], w [m][k], x [n][k]. Of S8 the sums are int32, of F16 and F32 float. */
typedef struct qmdi_vendor_product {
	int64_t m, n, k;
	qmdi_cuda_number type;
	const void *w, *x;
	void *c;
} qmdi_vendor_product;

typedef struct qmdi_vendor_predictor qmdi_vendor_predictor;

typedef struct qmdi_vendor_step {
	size_t layer;
	qmd_status (*run)(const qmdi_vendor_predictor *predictor, const struct qmdi_vendor_step *step);
	/* What it runs; the others are 0. */
	qmdi_cuda_launch launch;
	qmdi_cudnn_plan *plan; /* owned */
	qmdi_cudnn_tensors tensors;
	void *pool; /* owned */
	const void *x;
	void *y;
	qmdi_vendor_product product;
} qmdi_vendor_step;

struct qmdi_vendor_predictor {
	qmd_model *model;           /* borrowed */
	qmdi_tensor_device *device; /* borrowed */
	qmdi_cudnn_device *cudnn;   /* its state */
	int is_int8;
	size_t batch_size, image_size, n_classes, logits_layer;

	qmdi_vendor_tensor *outputs; /* [n_layers] */
	char (*computed_by)[QMDI_COMPUTED_BY_SIZE];
	size_t *computed_with; /* [n_layers]: the layer whose steps compute it too; itself where it has steps of its own */

	qmdi_vendor_step *steps;
	size_t n_steps, step_capacity;
	void **memory; /* of the device, owned: weights and outputs */
	size_t n_memory, memory_capacity;

	void *images;        /* of the device, bytes */
	const float *logits; /* of the device */
	unsigned char *staged_images;
	float *staged_logits;
	int image_is_u8;            /* of the batch that runs */
	qmdi_cuda_graph *graphs[2]; /* of s8 and of u8 images; NULL until it runs, or where capture failed */
	int capture_failed;
};

/* Bytes of the device, with anything in them, the predictor's. */
qmd_status qmdi_vendor_allocate(qmdi_vendor_predictor *predictor, size_t size, void **memory);

/* A copy of an array of the host in the device's memory, the predictor's. */
qmd_status qmdi_vendor_upload(qmdi_vendor_predictor *predictor, const void *array, size_t size, void **memory);

/* A step with nothing in it but its layer. It, like all others, moves when a further one is added. */
qmd_status qmdi_vendor_add_step(qmdi_vendor_predictor *predictor, size_t layer, qmdi_vendor_step **step);
qmd_status qmdi_vendor_add_rescale(qmdi_vendor_predictor *predictor, size_t layer, const qmdi_cuda_rescale *rescale);

/* Run steps in the stream. The error names the layer. */
qmd_status qmdi_vendor_run_steps(const qmdi_vendor_predictor *predictor, size_t first, size_t n);

/* Take back all steps and memory from these on, once the stream is done with them. */
void qmdi_vendor_take_back(qmdi_vendor_predictor *predictor, size_t n_steps, size_t n_memory);

/* cudnn_predictor_layers.c: all steps, from the bytes of `images` to `logits`. */
qmd_status qmdi_vendor_build(qmdi_vendor_predictor *predictor);

/* cudnn_predictor_linear.c: conv2d or dense, computed in a type, its output left in outputs[layer] and a text about it
 * in `how`, of QMDI_COMPUTED_BY_SIZE bytes. QMD_ERROR_UNSUPPORTED where that type is refused. */
qmd_status qmdi_vendor_build_linear(qmdi_vendor_predictor *predictor, size_t layer, qmdi_cuda_number type, int has_relu,
									char *how);

/* An input of a layer in a type: as it is, or by a step that converts it. QMD_ERROR_UNSUPPORTED for what is no S8 as
 * S8. */
qmd_status qmdi_vendor_read(qmdi_vendor_predictor *predictor, size_t layer, int input, qmdi_cuda_number type,
							void **data);

/* The type that a layer's output has, of one that was computed in `type`, its scale and its memory: S8 where it is
 * quantized, else F16 or F32 as it was computed. */
qmd_status qmdi_vendor_make_output(qmdi_vendor_predictor *predictor, size_t layer, qmdi_cuda_number type,
								   qmdi_vendor_tensor *output);

/* The least number of an output: that of ReLU, of its type, or none. */
float qmdi_vendor_low(const qmdi_vendor_tensor *output, int has_relu);

size_t qmdi_vendor_n_elements(const qmdi_vendor_predictor *predictor, size_t layer); /* of a batch of its output */
const char *qmdi_vendor_type_name(qmdi_cuda_number type);
cudnnDataType_t qmdi_vendor_data_type(qmdi_cuda_number type);

#endif
