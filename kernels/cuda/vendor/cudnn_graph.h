/*
 * Convolutions by cuDNN's graph API: a plan is made once, from the first of the engine configurations that cuDNN's
 * heuristics propose which keeps our promises, and runs as often as wanted. NHWC, weights [units][kh][kw][c], any
 * padding; sums in FP32, of INT8 in INT32.
 *
 *   QMDI_CUDNN_FORWARD           y = w * x, with a bias y = w * x + b, with ReLU the greater of that and 0. Of INT8 the
 *                                sums as INT32, with a bias y = (w * x + b) * s in FP32, rounded as cuDNN does to INT8
 *   QMDI_CUDNN_BACKWARD_INPUT    x = the gradient of the input, of w and of y, the gradient of the output
 *   QMDI_CUDNN_BACKWARD_WEIGHTS  w = the gradient of the weights, of x and y
 *
 * The promises: every run gives the same bits, and FP32 is FP32 throughout, not TF32, by sums of the products
 * themselves, not by Winograd's or Fourier's transforms (on the CPU the same is asked of oneDNN). Which plan is made
 * depends on the shape, the device and cuDNN's version, on nothing else.
 */
#ifndef QMD_KERNELS_CUDA_CUDNN_GRAPH_H
#define QMD_KERNELS_CUDA_CUDNN_GRAPH_H

#include "tensor/tensor.h"

#include "vendor.h"

/* cuDNN for a device: by a handle, or by the properties of one that need not be there, for plans that are made and
 * looked at but not run (cuDNN 9.8). */
typedef struct qmdi_cudnn {
	const qmdi_vendor *vendor;
	cudnnHandle_t handle;                /* NULL: properties */
	cudnnBackendDescriptor_t properties; /* CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR */
} qmdi_cudnn;

typedef enum qmdi_cudnn_direction {
	QMDI_CUDNN_FORWARD,
	QMDI_CUDNN_BACKWARD_INPUT,
	QMDI_CUDNN_BACKWARD_WEIGHTS
} qmdi_cudnn_direction;

typedef struct qmdi_cudnn_convolution {
	const qmdi_linear_shape *shape;
	qmdi_cudnn_direction direction;
	/* Of x, w, b and y: CUDNN_DATA_FLOAT or CUDNN_DATA_HALF. CUDNN_DATA_INT8, forward only: of x and w, and with a bias
	 * of y; b and s are FP32, y without a bias is INT32. */
	cudnnDataType_t data_type;
	int has_bias, has_relu; /* after forward */
} qmdi_cudnn_convolution;

typedef struct qmdi_cudnn_plan qmdi_cudnn_plan;

/* `cudnn` is borrowed while the plan lives. QMD_ERROR_UNSUPPORTED if cuDNN has no plan: the error names the layer, the
 * shape, and what cuDNN said. */
qmd_status qmdi_cudnn_plan_create(const qmdi_cudnn *cudnn, const qmdi_cudnn_convolution *convolution,
								  qmdi_cudnn_plan **plan);
void qmdi_cudnn_plan_free(qmdi_cudnn_plan *plan); /* NULL is allowed */

/* Bytes of the device that a run needs, aligned to 256. */
size_t qmdi_cudnn_plan_workspace(const qmdi_cudnn_plan *plan);

/* The engine that was chosen, by its number, and what it takes liberties with: bits 1 << cudnnBackendNumericalNote_t.
 */
int64_t qmdi_cudnn_plan_engine(const qmdi_cudnn_plan *plan, uint32_t *notes);

/* Of the device, aligned to 16 bytes. Which of them is written the direction says; b [units] is read where has_bias, s
 * [units] where INT8 has one. */
typedef struct qmdi_cudnn_tensors {
	const void *x, *w, *b, *y, *s;
} qmdi_cudnn_tensors;

/* In the stream of the handle. */
qmd_status qmdi_cudnn_plan_run(const qmdi_cudnn_plan *plan, const qmdi_cudnn_tensors *tensors, void *workspace);

/* Call a function of cuDNN's; its error has cuDNN's own words. */
#define QMDI_CUDNN_CALL(vendor, function, ...) qmdi_cudnn_check(vendor, (vendor)->function(__VA_ARGS__), #function)
qmd_status qmdi_cudnn_check(const qmdi_vendor *vendor, cudnnStatus_t status, const char *call);

#endif
