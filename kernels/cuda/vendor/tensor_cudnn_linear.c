/*
 * The column of cuDNN: convolutions by cuDNN's graph API, dense layers by cuBLAS, biases by kernels of our own.
 *
 * cuBLAS has matrices by columns. One of ours by rows, [rows][columns], is to it the transposed one, so that a product
 * of ours is the product of the transposed factors in the opposite order.
 */
#include <limits.h>

#include "base/memory.h"
#include "cuda/train/train_kernels.h"
#include "tensor_cudnn.h"

typedef struct linear {
	qmdi_linear_shape shape;
	qmdi_cudnn_plan *plans[3];        /* of a convolution, by qmdi_cudnn_direction; NULL where not asked for */
	int batch, n_inputs, n_units;     /* of a dense layer */
	size_t n_rows;                    /* outputs of a unit: images, or pixels of all images */
	size_t workspace, bias_workspace; /* bytes */
} linear;

/* ---- Plans ---- */

static qmd_status plan_convolution(qmdi_cudnn_device *device, qmdi_cudnn_direction direction, linear *l) {
	const qmdi_cudnn_convolution convolution = {&l->shape, direction, CUDNN_DATA_FLOAT, 0, 0};
	QMDI_TRY(qmdi_cudnn_plan_create(&device->cudnn, &convolution, &l->plans[direction]));
	const size_t workspace = qmdi_cudnn_plan_workspace(l->plans[direction]);
	l->workspace = workspace > l->workspace ? workspace : l->workspace;
	return QMD_OK;
}

static qmd_status plan_dense(linear *l) {
	const qmdi_linear_shape *s = &l->shape;
	const size_t n_inputs = (size_t)s->input.h * s->input.w * s->input.c;
	if (s->batch > INT_MAX || n_inputs > INT_MAX || s->output.c > INT_MAX)
		return qmdi_fail(QMD_ERROR_RANGE, "layer '%s': %zu images of %zu inputs and %u units, cuBLAS counts to %d",
						 s->name, s->batch, n_inputs, s->output.c, INT_MAX);
	l->batch = (int)s->batch;
	l->n_inputs = (int)n_inputs;
	l->n_units = (int)s->output.c;
	return QMD_OK;
}

static qmd_status plan(qmdi_cudnn_device *device, int gradients, linear *l) {
	void *workspace;
	if (l->shape.is_convolution) {
		QMDI_TRY(plan_convolution(device, QMDI_CUDNN_FORWARD, l));
		if (gradients & QMDI_GRADIENT_INPUT)
			QMDI_TRY(plan_convolution(device, QMDI_CUDNN_BACKWARD_INPUT, l));
		if (gradients & QMDI_GRADIENT_PARAMETERS)
			QMDI_TRY(plan_convolution(device, QMDI_CUDNN_BACKWARD_WEIGHTS, l));
	} else {
		QMDI_TRY(plan_dense(l));
	}
	if (gradients & QMDI_GRADIENT_PARAMETERS)
		l->bias_workspace = qmdi_cuda_bias_gradient_scratch(l->n_rows, l->shape.output.c);
	const size_t most = l->workspace > l->bias_workspace ? l->workspace : l->bias_workspace;
	return qmdi_cudnn_of_layer(l->shape.name, qmdi_cudnn_workspace(device, most, &workspace));
}

qmd_status qmdi_cudnn_linear_create(qmdi_tensor_device *device, const qmdi_linear_shape *shape, int gradients,
									void **out) {
	linear *l = qmdi_zeroed(1, sizeof *l);
	if (!l)
		return QMD_ERROR_MEMORY;
	l->shape = *shape;
	l->n_rows = shape->batch * (shape->is_convolution ? (size_t)shape->output.h * shape->output.w : 1);
	const qmd_status status = plan(device->state, gradients, l);
	if (status == QMD_OK)
		*out = l;
	else
		qmdi_cudnn_linear_destroy(device, l);
	return status;
}

static void free_linear(void *made) {
	linear *l = made;
	for (size_t i = 0; i < 3; i++)
		qmdi_cudnn_plan_free(l->plans[i]);
	qmdi_release(l);
}

/* A plan may have the code of kernels that run. */
void qmdi_cudnn_linear_destroy(qmdi_tensor_device *device, void *made) {
	if (made)
		qmdi_cudnn_give_back(device->state, free_linear, made);
}

/* ---- Running ---- */

static qmd_status convolve(qmdi_cudnn_device *device, const linear *l, qmdi_cudnn_direction direction, const float *x,
						   const float *w, const float *y) {
	const qmdi_cudnn_tensors tensors = {.x = x, .w = w, .y = y};
	void *workspace;
	QMDI_TRY(qmdi_cudnn_workspace(device, l->workspace, &workspace));
	return qmdi_cudnn_plan_run(l->plans[direction], &tensors, workspace);
}

/* c = a b, each by columns: op(a) [m][k], op(b) [k][n], c [m][n]. */
static qmd_status multiply(qmdi_cudnn_device *device, cublasOperation_t a_op, cublasOperation_t b_op, const int mnk[3],
						   const float *a, const float *b, float *c) {
	const float one = 1, zero = 0;
	const int m = mnk[0], n = mnk[1], k = mnk[2];
	return QMDI_CUBLAS_CALL(device->cudnn.vendor, cublasSgemm_v2, device->cublas, a_op, b_op, m, n, k, &one, a,
							a_op == CUBLAS_OP_N ? m : k, b, b_op == CUBLAS_OP_N ? k : n, &zero, c, m);
}

/* y = x w^T */
static qmd_status forward(qmdi_cudnn_device *device, const linear *l, const float *x, const float *w, const float *b,
						  float *y) {
	const int mnk[3] = {l->n_units, l->batch, l->n_inputs};
	qmdi_cuda_launch launch;
	QMDI_TRY(l->shape.is_convolution ? convolve(device, l, QMDI_CUDNN_FORWARD, x, w, y)
									 : multiply(device, CUBLAS_OP_T, CUBLAS_OP_N, mnk, w, x, y));
	const int refused = qmdi_cuda_add_bias_launch(l->n_rows, l->shape.output.c, b, y, &launch);
	return qmdi_cudnn_submit(device, "bias", refused, &launch, 1);
}

/* d_w = d_y^T x */
static qmd_status backward_parameters(qmdi_cudnn_device *device, const linear *l, const float *x, const float *d_y,
									  float *d_w, float *d_b) {
	const int mnk[3] = {l->n_inputs, l->n_units, l->batch};
	qmdi_cuda_launch launches[2];
	void *scratch;
	QMDI_TRY(l->shape.is_convolution ? convolve(device, l, QMDI_CUDNN_BACKWARD_WEIGHTS, x, d_w, d_y)
									 : multiply(device, CUBLAS_OP_N, CUBLAS_OP_T, mnk, x, d_y, d_w));
	QMDI_TRY(qmdi_cudnn_workspace(device, l->bias_workspace, &scratch));
	const int refused = qmdi_cuda_bias_gradient_launch(l->n_rows, l->shape.output.c, d_y, scratch, d_b, launches);
	return qmdi_cudnn_submit(device, "gradient of a bias", refused, launches, 2);
}

/* d_x = d_y w */
static qmd_status backward_input(qmdi_cudnn_device *device, const linear *l, const float *w, const float *d_y,
								 float *d_x) {
	const int mnk[3] = {l->n_inputs, l->batch, l->n_units};
	return l->shape.is_convolution ? convolve(device, l, QMDI_CUDNN_BACKWARD_INPUT, d_x, w, d_y)
								   : multiply(device, CUBLAS_OP_N, CUBLAS_OP_N, mnk, w, d_y, d_x);
}

qmd_status qmdi_cudnn_linear_forward(qmdi_tensor_device *device, void *made, const float *x, const float *w,
									 const float *b, float *y) {
	const linear *l = made;
	return qmdi_cudnn_of_layer(l->shape.name, forward(device->state, l, x, w, b, y));
}

qmd_status qmdi_cudnn_linear_backward_parameters(qmdi_tensor_device *device, void *made, const float *x,
												 const float *d_y, float *d_w, float *d_b) {
	const linear *l = made;
	return qmdi_cudnn_of_layer(l->shape.name, backward_parameters(device->state, l, x, d_y, d_w, d_b));
}

qmd_status qmdi_cudnn_linear_backward_input(qmdi_tensor_device *device, void *made, const float *w, const float *d_y,
											float *d_x) {
	const linear *l = made;
	return qmdi_cudnn_of_layer(l->shape.name, backward_input(device->state, l, w, d_y, d_x));
}
