/* The reference column: the device, what is not in a file of its own, and the table. */
#include "tensor_reference.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/float_environment.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/softmax.h"
#include "tensor_host.h"

/* ---- The device: the host; all there is to keep is the caller's floating-point environment ---- */

static qmd_status open_device(qmdi_tensor_device *device, int number, size_t n_threads) {
	(void)number, (void)n_threads;
	device->state = qmdi_zeroed(1, sizeof(qmdi_float_environment));
	return device->state ? QMD_OK : QMD_ERROR_MEMORY;
}

static void close_device(qmdi_tensor_device *device) {
	qmdi_release(device->state);
}

static qmd_status enter(qmdi_tensor_device *device) {
	qmdi_float_enter(device->state);
	return QMD_OK;
}

static void leave(qmdi_tensor_device *device) {
	qmdi_float_leave(device->state);
}

/* Every plan is one block. */
static void destroy_plan(qmdi_tensor_device *device, void *plan) {
	(void)device;
	qmdi_release(plan);
}

/* ---- Pooling: float32 throughout, in window order ---- */

static qmd_status pool_create(qmdi_tensor_device *device, const qmdi_pool_shape *shape, void **plan) {
	(void)device;
	*plan = qmdi_copy(shape, 1, sizeof *shape);
	return *plan ? QMD_OK : QMD_ERROR_MEMORY;
}

/* What is done with a window: a channel of an image, its places in the input given by window_element(). */
typedef struct pool_window {
	const qmdi_pool_shape *shape;
	size_t image, y, x, c;
} pool_window;

static size_t window_size(const qmdi_pool_shape *s) {
	return (size_t)s->kernel_h * s->kernel_w;
}

/* Offset of place number k of a window. */
static size_t window_element(const pool_window *window, size_t k) {
	const qmdi_pool_shape *s = window->shape;
	return qmdi_reference_element(s->input, window->image, window->y * s->stride_h + k / s->kernel_w,
								  window->x * s->stride_w + k % s->kernel_w, window->c);
}

/* Offset of the largest, the first of equals. A NaN is larger than nothing, and nothing is larger than it. */
static size_t largest_element(const pool_window *window, const float *x) {
	size_t largest = window_element(window, 0);
	for (size_t k = 1; k < window_size(window->shape); k++)
		if (x[window_element(window, k)] > x[largest])
			largest = window_element(window, k);
	return largest;
}

static float average(const pool_window *window, const float *x) {
	float sum = 0.0f;
	for (size_t k = 0; k < window_size(window->shape); k++)
		sum += x[window_element(window, k)];
	return sum / (float)window_size(window->shape);
}

/* The window of element `i` of the output. */
static pool_window window_of(const qmdi_pool_shape *s, size_t i) {
	const size_t pixel = i / s->output.c;
	return (pool_window){.shape = s,
						 .image = pixel / s->output.w / s->output.h,
						 .y = pixel / s->output.w % s->output.h,
						 .x = pixel % s->output.w,
						 .c = i % s->output.c};
}

static size_t size_of(size_t batch, qmd_shape shape) {
	return batch * shape.h * shape.w * shape.c;
}

static qmd_status pool_forward(qmdi_tensor_device *device, void *plan, const float *x, float *y) {
	(void)device;
	const qmdi_pool_shape *s = plan;
	for (size_t i = 0; i < size_of(s->batch, s->output); i++) {
		const pool_window window = window_of(s, i);
		y[i] = s->is_max ? x[largest_element(&window, x)] : average(&window, x);
	}
	return QMD_OK;
}

static qmd_status pool_backward(qmdi_tensor_device *device, void *plan, const float *x, const float *y,
								const float *d_y, float *d_x) {
	(void)device, (void)y;
	const qmdi_pool_shape *s = plan;
	for (size_t i = 0; i < size_of(s->batch, s->input); i++)
		d_x[i] = 0.0f;
	for (size_t i = 0; i < size_of(s->batch, s->output); i++) {
		const pool_window window = window_of(s, i);
		if (s->is_max)
			d_x[largest_element(&window, x)] += d_y[i];
		else
			for (size_t k = 0; k < window_size(s); k++)
				d_x[window_element(&window, k)] += d_y[i] / (float)window_size(s);
	}
	return QMD_OK;
}

/* ---- Element by element ---- */

static qmd_status copy(qmdi_tensor_device *device, size_t n, const float *x, float *y) {
	(void)device;
	memmove(y, x, n * sizeof *y);
	return QMD_OK;
}

static qmd_status add(qmdi_tensor_device *device, size_t n, const float *a, const float *b, float *y) {
	(void)device;
	for (size_t i = 0; i < n; i++)
		y[i] = a[i] + b[i];
	return QMD_OK;
}

static qmd_status multiply(qmdi_tensor_device *device, size_t n, const float *a, const float *b, float *y) {
	(void)device;
	for (size_t i = 0; i < n; i++)
		y[i] = a[i] * b[i];
	return QMD_OK;
}

static qmd_status relu(qmdi_tensor_device *device, size_t n, const float *x, float *y) {
	(void)device;
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] < 0.0f ? 0.0f : x[i];
	return QMD_OK;
}

static qmd_status relu_backward(qmdi_tensor_device *device, size_t n, const float *y, const float *d_y, float *d_x) {
	(void)device;
	for (size_t i = 0; i < n; i++)
		d_x[i] = y[i] > 0.0f ? d_y[i] : 0.0f;
	return QMD_OK;
}

static qmd_status dropout_mask(qmdi_tensor_device *device, size_t n, uint64_t seed, uint64_t stream, float rate,
							   float *mask) {
	(void)device;
	for (size_t i = 0; i < n; i++)
		mask[i] = qmdi_random_f32(seed, stream, i) < rate ? 0.0f : 1.0f / (1.0f - rate);
	return QMD_OK;
}

/* Softmax has one text for everybody (base/softmax_math.h). */
static qmd_status softmax(qmdi_tensor_device *device, size_t n_images, size_t n_classes, const float *logits,
						  float *probabilities) {
	(void)device;
	for (size_t image = 0; image < n_images; image++)
		qmdi_softmax(logits + image * n_classes, n_classes, probabilities + image * n_classes);
	return QMD_OK;
}

/* ---- Fake-quant ---- */

static qmd_status weight_scales(qmdi_tensor_device *device, size_t n_units, size_t n_per_unit, int32_t high,
								const float *w, float *scales) {
	(void)device;
	for (size_t unit = 0; unit < n_units; unit++) {
		float largest = 0.0f;
		for (size_t i = 0; i < n_per_unit; i++)
			if (fabsf(w[unit * n_per_unit + i]) > largest)
				largest = fabsf(w[unit * n_per_unit + i]);
		const float scale = largest / (float)high;
		scales[unit] = scale < FLT_MIN ? 1.0f : scale;
	}
	return QMD_OK;
}

static size_t grid_size(const qmdi_grid *grid) {
	return grid->n_groups * grid->n_units * grid->n_per_unit;
}

/* The scale of number i. */
static float scale_at(const qmdi_grid *grid, size_t i) {
	return grid->scales[i / grid->n_per_unit % grid->n_units];
}

/* NaN stays. The integer 0 has no sign: -0 + 0 is 0. */
static float rounded(const qmdi_grid *grid, float steps) {
	const float low = (float)grid->low, high = (float)grid->high;
	const float clamped = steps < low ? low : steps > high ? high : steps;
	return rintf(clamped) + 0.0f;
}

static qmd_status fake_quant(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x, float *y) {
	(void)device;
	for (size_t i = 0; i < grid_size(grid); i++) {
		const float scale = scale_at(grid, i);
		y[i] = scale * rounded(grid, x[i] / scale);
	}
	return QMD_OK;
}

static qmd_status fake_quant_backward(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x,
									  const float *d_y, float *d_x) {
	(void)device;
	for (size_t i = 0; i < grid_size(grid); i++) {
		const float steps = x[i] / scale_at(grid, i);
		const int is_outside = steps < (float)grid->low || steps > (float)grid->high;
		d_x[i] = is_outside ? 0.0f : d_y[i];
	}
	return QMD_OK;
}

/* d y / d scale: the bound that x is clamped to, or what rounding has added. */
static float scale_slope(const qmdi_grid *grid, float steps) {
	if (steps <= (float)grid->low)
		return (float)grid->low;
	if (steps >= (float)grid->high)
		return (float)grid->high;
	return rounded(grid, steps) - steps;
}

static qmd_status scale_gradients(qmdi_tensor_device *device, const qmdi_grid *grid, const float *x, const float *d_y,
								  float *gradients) {
	(void)device;
	const double divisor = sqrt((double)grid->n_per_unit * (double)grid->high);
	for (size_t unit = 0; unit < grid->n_units; unit++) {
		double of_all = 0.0;
		for (size_t group = 0; group < grid->n_groups; group++) {
			const size_t first = (group * grid->n_units + unit) * grid->n_per_unit;
			double of_group = 0.0;
			for (size_t i = first; i < first + grid->n_per_unit; i++)
				of_group += (double)d_y[i] * (double)scale_slope(grid, x[i] / grid->scales[unit]);
			of_all += (double)(float)(of_group / divisor);
		}
		gradients[unit] = (float)of_all;
	}
	return QMD_OK;
}

static qmd_status quantize_bias(qmdi_tensor_device *device, size_t n_units, const float *input_scale,
								const float *weight_scales, const float *bias, float *out) {
	(void)device;
	for (size_t unit = 0; unit < n_units; unit++) {
		const double step = (double)*input_scale * (double)weight_scales[unit];
		const double q = rint((double)bias[unit] / step);
		const double saturated = q < (double)INT32_MIN ? (double)INT32_MIN : q > (double)INT32_MAX ? INT32_MAX : q;
		const int32_t integer = isnan(q) ? 0 : (int32_t)saturated;
		out[unit] = (float)(step * (double)integer);
	}
	return QMD_OK;
}

/* ---- Optimizer ---- */

static float without_subnormal(float moment) {
	return fabsf(moment) < FLT_MIN ? 0.0f : moment;
}

static qmd_status update(qmdi_tensor_device *device, const qmdi_update *u) {
	(void)device;
	for (size_t i = 0; i < u->n; i++) {
		const float g = u->gradient[i];
		const float v = without_subnormal(u->beta2 * u->moment2[i] + (1.0f - u->beta2) * (g * g));
		u->moment2[i] = v;
		if (!u->moment1) {
			u->values[i] = u->keep * u->values[i] - u->rate * g / (sqrtf(v) + u->epsilon);
			continue;
		}
		const float m = without_subnormal(u->beta1 * u->moment1[i] + (1.0f - u->beta1) * g);
		u->moment1[i] = m;
		u->values[i] =
			u->keep * u->values[i] - u->rate * (m / u->correction1) / (sqrtf(v / u->correction2) + u->epsilon);
	}
	return QMD_OK;
}

const qmdi_tensor_ops qmdi_tensor_reference = {
	.name = "reference",
	.is_host = 1,
	.open = open_device,
	.close = close_device,
	.enter = enter,
	.leave = leave,
	.allocate = qmdi_host_tensor_allocate,
	.release = qmdi_host_tensor_release,
	.allocate_host = qmdi_host_tensor_allocate,
	.release_host = qmdi_host_tensor_release,
	.upload = qmdi_host_tensor_copy,
	.download = qmdi_host_tensor_copy,
	.wait = qmdi_host_tensor_wait,
	.available = qmdi_host_tensor_available,
	.linear_create = qmdi_reference_linear_create,
	.linear_destroy = destroy_plan,
	.linear_forward = qmdi_reference_linear_forward,
	.linear_backward_parameters = qmdi_reference_linear_backward_parameters,
	.linear_backward_input = qmdi_reference_linear_backward_input,
	.pool_create = pool_create,
	.pool_destroy = destroy_plan,
	.pool_forward = pool_forward,
	.pool_backward = pool_backward,
	.batchnorm_create = qmdi_reference_batchnorm_create,
	.batchnorm_destroy = destroy_plan,
	.batchnorm_training = qmdi_reference_batchnorm_training,
	.batchnorm_inference = qmdi_reference_batchnorm_inference,
	.batchnorm_backward = qmdi_reference_batchnorm_backward,
	.batchnorm_backward_inference = qmdi_reference_batchnorm_backward_inference,
	.copy = copy,
	.add = add,
	.multiply = multiply,
	.relu = relu,
	.relu_backward = relu_backward,
	.dropout_mask = dropout_mask,
	.softmax = softmax,
	.weight_scales = weight_scales,
	.fake_quant = fake_quant,
	.fake_quant_backward = fake_quant_backward,
	.scale_gradients = scale_gradients,
	.quantize_bias = quantize_bias,
	.update = update,
};
