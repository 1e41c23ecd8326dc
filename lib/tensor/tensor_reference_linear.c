/* The reference column: conv2d; a dense layer is one whose kernel is as large as its input. */
#include "base/memory.h"
#include "tensor_reference.h"

qmd_status qmdi_reference_linear_create(qmdi_tensor_device *device, const qmdi_linear_shape *shape, int gradients,
										void **plan) {
	(void)device, (void)gradients;
	qmdi_linear_shape s = *shape;
	if (!s.is_convolution) {
		s.output = (qmd_shape){1, 1, shape->output.c};
		s.kernel_h = s.input.h;
		s.kernel_w = s.input.w;
		s.stride_h = s.stride_w = 1;
		s.pad_top = s.pad_left = s.pad_bottom = s.pad_right = 0;
	}
	*plan = qmdi_copy(&s, 1, sizeof s);
	return *plan ? QMD_OK : QMD_ERROR_MEMORY;
}

static size_t weight_element(const qmdi_linear_shape *s, size_t unit, size_t i, size_t j, size_t c) {
	return ((unit * s->kernel_h + i) * s->kernel_w + j) * s->input.c + c;
}

/* The row, or column, of the input at place `i` of window `y`: 1 and where it is, or 0 if that is padding. */
static int find_input(size_t y, size_t i, size_t stride, size_t pad, size_t n, size_t *found) {
	*found = y * stride + i - pad;
	return y * stride + i >= pad && *found < n;
}

/* The window in which row, or column, `x` of the input is at place `i`, of the n windows that there are. */
static int find_window(size_t x, size_t i, size_t stride, size_t pad, size_t n, size_t *found) {
	*found = (x + pad - i) / stride;
	return x + pad >= i && (x + pad - i) % stride == 0 && *found < n;
}

static double window_product(const qmdi_linear_shape *s, const float *x, const float *w, size_t image, size_t oy,
							 size_t ox, size_t unit) {
	double sum = 0.0;
	for (size_t i = 0; i < s->kernel_h; i++)
		for (size_t j = 0; j < s->kernel_w; j++) {
			size_t row, column;
			if (!find_input(oy, i, s->stride_h, s->pad_top, s->input.h, &row) ||
				!find_input(ox, j, s->stride_w, s->pad_left, s->input.w, &column))
				continue;
			for (size_t c = 0; c < s->input.c; c++)
				sum += (double)w[weight_element(s, unit, i, j, c)] *
					   (double)x[qmdi_reference_element(s->input, image, row, column, c)];
		}
	return sum;
}

qmd_status qmdi_reference_linear_forward(qmdi_tensor_device *device, void *plan, const float *x, const float *w,
										 const float *b, float *y) {
	(void)device;
	const qmdi_linear_shape *s = plan;
	for (size_t image = 0; image < s->batch; image++)
		for (size_t oy = 0; oy < s->output.h; oy++)
			for (size_t ox = 0; ox < s->output.w; ox++)
				for (size_t unit = 0; unit < s->output.c; unit++)
					y[qmdi_reference_element(s->output, image, oy, ox, unit)] =
						(float)(window_product(s, x, w, image, oy, ox, unit) + (double)b[unit]);
	return QMD_OK;
}

/* Over all images and windows: d_y of the unit times what lies at place (i, j) of the window. */
static double weight_gradient(const qmdi_linear_shape *s, const float *x, const float *d_y, size_t unit, size_t i,
							  size_t j, size_t c) {
	double sum = 0.0;
	for (size_t image = 0; image < s->batch; image++)
		for (size_t oy = 0; oy < s->output.h; oy++)
			for (size_t ox = 0; ox < s->output.w; ox++) {
				size_t row, column;
				if (find_input(oy, i, s->stride_h, s->pad_top, s->input.h, &row) &&
					find_input(ox, j, s->stride_w, s->pad_left, s->input.w, &column))
					sum += (double)d_y[qmdi_reference_element(s->output, image, oy, ox, unit)] *
						   (double)x[qmdi_reference_element(s->input, image, row, column, c)];
			}
	return sum;
}

qmd_status qmdi_reference_linear_backward_parameters(qmdi_tensor_device *device, void *plan, const float *x,
													 const float *d_y, float *d_w, float *d_b) {
	(void)device;
	const qmdi_linear_shape *s = plan;
	const size_t n_outputs = s->batch * s->output.h * s->output.w;
	for (size_t unit = 0; unit < s->output.c; unit++) {
		for (size_t i = 0; i < s->kernel_h; i++)
			for (size_t j = 0; j < s->kernel_w; j++)
				for (size_t c = 0; c < s->input.c; c++)
					d_w[weight_element(s, unit, i, j, c)] = (float)weight_gradient(s, x, d_y, unit, i, j, c);
		double sum = 0.0;
		for (size_t pixel = 0; pixel < n_outputs; pixel++)
			sum += (double)d_y[pixel * s->output.c + unit];
		d_b[unit] = (float)sum;
	}
	return QMD_OK;
}

/* Over all places in windows that an element of the input has: the weight there times d_y. */
static double input_gradient(const qmdi_linear_shape *s, const float *w, const float *d_y, size_t image, size_t y,
							 size_t x, size_t c) {
	double sum = 0.0;
	for (size_t i = 0; i < s->kernel_h; i++)
		for (size_t j = 0; j < s->kernel_w; j++) {
			size_t oy, ox;
			if (!find_window(y, i, s->stride_h, s->pad_top, s->output.h, &oy) ||
				!find_window(x, j, s->stride_w, s->pad_left, s->output.w, &ox))
				continue;
			for (size_t unit = 0; unit < s->output.c; unit++)
				sum += (double)w[weight_element(s, unit, i, j, c)] *
					   (double)d_y[qmdi_reference_element(s->output, image, oy, ox, unit)];
		}
	return sum;
}

qmd_status qmdi_reference_linear_backward_input(qmdi_tensor_device *device, void *plan, const float *w,
												const float *d_y, float *d_x) {
	(void)device;
	const qmdi_linear_shape *s = plan;
	for (size_t image = 0; image < s->batch; image++)
		for (size_t y = 0; y < s->input.h; y++)
			for (size_t x = 0; x < s->input.w; x++)
				for (size_t c = 0; c < s->input.c; c++)
					d_x[qmdi_reference_element(s->input, image, y, x, c)] =
						(float)input_gradient(s, w, d_y, image, y, x, c);
	return QMD_OK;
}
