/*
 * The tensor operations that training is made of, forward and backward, as one table with a column for each device:
 *
 *   qmdi_tensor_onednn     the CPU: oneDNN for convolutions and dense layers, loops by OpenMP for the rest
 *   qmdi_tensor_cudnn      an NVIDIA GPU: cuDNN, cuBLAS, and kernels of our own for what these do not have
 *   qmdi_tensor_reference  scalar loops on one thread, which define what the others compute
 *
 * Tensors are float32, images NHWC, weights as a model has them ([units][kh][kw][c]; dense [units][inputs]). Where no
 * column rounds differently (maxima, relu, add, multiply, dropout masks, fake-quant, updates) all give the same bits;
 * sums may differ in their order, and so in rounding. A NaN ends in the loss, so that a training that diverges shows:
 * sums, products, relu and fake-quant pass it on; a maximum is NaN where all of its window is. What rounds to 0 is +0.
 *
 * Pointers of tensors belong to the device's memory, which is the host's where is_host. An operation may run later than
 * the call that asks for it, in order; download() waits for all before it, and tells of what failed.
 */
#ifndef QMD_LIB_TENSOR_H
#define QMD_LIB_TENSOR_H

#include <qmd/model.h>

/* An opened device. One thread at a time. */
typedef struct qmdi_tensor_device {
	const struct qmdi_tensor_ops *ops;
	void *state;
} qmdi_tensor_device;

/* conv2d, or dense with input.h * input.w * input.c inputs and output.c units. */
typedef struct qmdi_linear_shape {
	const char *name; /* of the layer, for errors; borrowed while the plan lives */
	int is_convolution;
	size_t batch;
	qmd_shape input, output;
	uint32_t kernel_h, kernel_w, stride_h, stride_w;
	uint32_t pad_top, pad_left, pad_bottom, pad_right;
} qmdi_linear_shape;

/* Windows without padding. */
typedef struct qmdi_pool_shape {
	const char *name;
	int is_max; /* 0: average */
	size_t batch;
	qmd_shape input, output;
	uint32_t kernel_h, kernel_w, stride_h, stride_w;
} qmdi_pool_shape;

typedef struct qmdi_batchnorm_shape {
	const char *name;
	size_t batch, n_pixels, n_channels; /* pixels of an image */
	float epsilon, momentum;
} qmdi_batchnorm_shape;

/* Of a linear plan: gradients that it will be asked for. */
enum { QMDI_GRADIENT_PARAMETERS = 1, QMDI_GRADIENT_INPUT = 2 };

/*
 * Numbers that share scales: [n_groups][n_units][n_per_unit], a scale for each unit. Weights are one group; an
 * activation is one unit, its images are the groups. A number x becomes scale * rint(clamp(x / scale, low, high)).
 */
typedef struct qmdi_grid {
	const float *scales; /* [n_units] */
	size_t n_groups, n_units, n_per_unit;
	int32_t low, high;
} qmdi_grid;

/* A step of Adam (Kingma and Ba 2015, algorithm 1) or RMSprop (Tieleman and Hinton 2012) on one array. Moments below
 * FLT_MIN become 0: they change no weight, and subnormal numbers are slow.
 *
 *   Adam     m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2
 *            w = keep w - rate (m / correction1) / (sqrt(v / correction2) + epsilon)
 *   RMSprop  v = beta2 v + (1 - beta2) g^2, w = keep w - rate g / (sqrt(v) + epsilon)
 */
typedef struct qmdi_update {
	size_t n;
	float *values;
	const float *gradient;
	float *moment1, *moment2; /* moment1 NULL: RMSprop */
	float rate, keep, beta1, beta2, epsilon, correction1, correction2;
} qmdi_update;

/* Every function but release and destroy fails with the last error set, naming the layer where there is one. Arrays of
 * one call must not overlap unless its line says that it works in place. */
typedef struct qmdi_tensor_ops {
	const char *name; /* of the kind of device, as users give it */
	int is_host; /* tensors lie in the host's memory: pointers may be followed, a model's arrays be used as they are */

	/* ---- The device ---- */

	/* `number` is what follows "cuda:", or -1: the thread's current one. */
	qmd_status (*open)(qmdi_tensor_device *device, int number, size_t n_threads);
	void (*close)(qmdi_tensor_device *device);
	/* Every call below but those of memory and of *_destroy stands between these two. They set what computing needs
	 * (threads, floating-point environment, current GPU) and give the caller's back. */
	qmd_status (*enter)(qmdi_tensor_device *device);
	void (*leave)(qmdi_tensor_device *device);

	/* ---- Memory; these may stand anywhere ---- */

	/* n floats, 0, aligned to 64 bytes. QMD_ERROR_MEMORY. release() accepts NULL. */
	qmd_status (*allocate)(qmdi_tensor_device *device, size_t n, float **tensor);
	void (*release)(qmdi_tensor_device *device, float *tensor);
	/* The same for the host's side of copies. */
	qmd_status (*allocate_host)(qmdi_tensor_device *device, size_t n, float **array);
	void (*release_host)(qmdi_tensor_device *device, float *array);
	/* `from` is borrowed until the next download() or wait(). */
	qmd_status (*upload)(qmdi_tensor_device *device, const float *from, size_t n, float *to);
	/* Waits. */
	qmd_status (*download)(qmdi_tensor_device *device, const float *from, size_t n, float *to);
	/* Waits as download() does, without one. */
	qmd_status (*wait)(qmdi_tensor_device *device);
	/* Bytes that could still be allocated; SIZE_MAX where nobody knows. */
	qmd_status (*available)(qmdi_tensor_device *device, size_t *bytes);

	/* ---- conv2d and dense: y = w * x + b ---- */

	qmd_status (*linear_create)(qmdi_tensor_device *device, const qmdi_linear_shape *shape, int gradients, void **plan);
	void (*linear_destroy)(qmdi_tensor_device *device, void *plan); /* NULL is allowed, here and below */
	qmd_status (*linear_forward)(qmdi_tensor_device *device, void *plan, const float *x, const float *w, const float *b,
								 float *y);
	qmd_status (*linear_backward_parameters)(qmdi_tensor_device *device, void *plan, const float *x, const float *d_y,
											 float *d_w, float *d_b);
	qmd_status (*linear_backward_input)(qmdi_tensor_device *device, void *plan, const float *w, const float *d_y,
										float *d_x);

	/* ---- Pooling. Average: the sum in window order, divided. Maxima have the same bits in all
	 * columns: the first of equals in window order, and that is where the gradient goes. ---- */

	qmd_status (*pool_create)(qmdi_tensor_device *device, const qmdi_pool_shape *shape, void **plan);
	void (*pool_destroy)(qmdi_tensor_device *device, void *plan);
	qmd_status (*pool_forward)(qmdi_tensor_device *device, void *plan, const float *x, float *y);
	/* Of the last forward pass, whose x and y these are. */
	qmd_status (*pool_backward)(qmdi_tensor_device *device, void *plan, const float *x, const float *y,
								const float *d_y, float *d_x);

	/* ---- Batch normalization (Ioffe and Szegedy 2015): y = (x - mean) / sqrt(variance + epsilon) * gamma + beta. In
	 * training by the batch's mean and variance, sum (x - mean)^2 / m, and the running ones become momentum * running +
	 * (1 - momentum) * batch's, with the unbiased variance, sum (x - mean)^2 / (m - 1), 0 for m = 1. ---- */

	qmd_status (*batchnorm_create)(qmdi_tensor_device *device, const qmdi_batchnorm_shape *shape, void **plan);
	void (*batchnorm_destroy)(qmdi_tensor_device *device, void *plan);
	qmd_status (*batchnorm_training)(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
									 const float *beta, float *running_mean, float *running_variance, float *y);
	qmd_status (*batchnorm_inference)(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
									  const float *beta, const float *mean, const float *variance, float *y);
	/* Through batchnorm_training(), whose x this is. d_x may be NULL. */
	qmd_status (*batchnorm_backward)(qmdi_tensor_device *device, void *plan, const float *x, const float *gamma,
									 const float *d_y, float *d_gamma, float *d_beta, float *d_x);
	/* Through batchnorm_inference(): d_x = gamma / sqrt(variance + epsilon) * d_y. */
	qmd_status (*batchnorm_backward_inference)(qmdi_tensor_device *device, void *plan, const float *gamma,
											   const float *variance, const float *d_y, float *d_x);

	/* ---- Element by element; all work in place ---- */

	qmd_status (*copy)(qmdi_tensor_device *device, size_t n, const float *x, float *y);
	qmd_status (*add)(qmdi_tensor_device *device, size_t n, const float *a, const float *b, float *y);
	qmd_status (*multiply)(qmdi_tensor_device *device, size_t n, const float *a, const float *b, float *y);
	qmd_status (*relu)(qmdi_tensor_device *device, size_t n, const float *x, float *y); /* x < 0 ? 0 : x */
	qmd_status (*relu_backward)(qmdi_tensor_device *device, size_t n, const float *y, const float *d_y, float *d_x);
	/* Element i is 0 where the upper 24 bits of word i of the stream (base/random.h), as a number in [0, 1), are below
	 * the rate, else 1 / (1 - rate). */
	qmd_status (*dropout_mask)(qmdi_tensor_device *device, size_t n, uint64_t seed, uint64_t stream, float rate,
							   float *mask);
	qmd_status (*softmax)(qmdi_tensor_device *device, size_t n_images, size_t n_classes, const float *logits,
						  float *probabilities);

	/* ---- Fake-quant, by the rules of docs/numerics.md; all work in place ---- */

	/* max|w| / high of each unit; 1 where that is below FLT_MIN. w: [n_units][n_per_unit] */
	qmd_status (*weight_scales)(qmdi_tensor_device *device, size_t n_units, size_t n_per_unit, int32_t high,
								const float *w, float *scales);
	qmd_status (*fake_quant)(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x, float *y);
	/* d_y where x / scale lies in [low, high], else 0. */
	qmd_status (*fake_quant_backward)(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x,
									  const float *d_y, float *d_x);
	/* LSQ (Esser et al. 2020, eq. 3), times 1 / sqrt(n_per_unit * high); of each group, as float, and summed over them.
	 * gradients: [n_units] */
	qmd_status (*scale_gradients)(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x, const float *d_y,
								  float *gradients);
	/* Bias in steps s = input_scale * weight_scale: s * rint(b / s) in FP64, the integer saturated to int32, NaN to 0.
	 * input_scale: one float of the device. */
	qmd_status (*quantize_bias)(qmdi_tensor_device *device, size_t n_units, const float *input_scale,
								const float *weight_scales, const float *bias, float *out);

	/* ---- Optimizer ---- */

	qmd_status (*update)(qmdi_tensor_device *device, const qmdi_update *update);
} qmdi_tensor_ops;

extern const qmdi_tensor_ops qmdi_tensor_onednn;
extern const qmdi_tensor_ops qmdi_tensor_reference;
extern const qmdi_tensor_ops *const qmdi_tensor_cudnn; /* NULL in a build without */

/*
 * Open a device by name: "cpu" or NULL, "reference", "cuda" or "cuda:N". QMD_ERROR_ARGUMENT for any other name;
 * QMD_ERROR_UNSUPPORTED where the build or the machine has no such device; QMD_ERROR_RANGE beyond the last GPU.
 * n_threads are the CPU's, 1 to QMDI_TENSOR_MAX_THREADS, checked by the caller.
 */
#define QMDI_TENSOR_MAX_THREADS 1024
qmd_status qmdi_tensor_open(const char *name, size_t n_threads, qmdi_tensor_device **device);
void qmdi_tensor_close(qmdi_tensor_device *device); /* NULL is allowed */

#endif
