/*
 * conv2d and dense, by oneDNN: forward, and the gradients of input, weights and bias. Activations and weights as the
 * model has them are plain (NHWC; [units][kh][kw][c]); for convolutions oneDNN says in which layout it wants the
 * weights, and they are reordered, which costs little: they are small. The weights of a dense layer are large and used
 * once a pass, so they are taken as they are.
 */
#include "tensor_onednn.h"

typedef struct linear {
	qmdi_onednn *device;
	const char *name; /* of the layer */
	int gradients;    /* that it was made for */
	dnnl_primitive_desc_t forward_descriptor, backward_data_descriptor, backward_weights_descriptor;
	dnnl_primitive_t forward, backward_data, backward_weights;
	dnnl_memory_t input, output, d_input, d_output, bias, d_bias;
	dnnl_memory_t weight, d_weight;
	/* Where a primitive wants weights in another layout: that memory, and the reorder from or to the plain one. */
	dnnl_memory_t forward_weight, backward_weight, computed_d_weight;
	dnnl_primitive_t to_forward, to_backward, from_gradient;
} linear;

/* Descriptors of a layer's tensors and of the operation. */
typedef struct descriptors {
	dnnl_memory_desc_t input, output, weight, any_weight, bias;
	dnnl_dims_t strides, pad_before, pad_after;
	int is_convolution;
} descriptors;

/* Return from the calling function if a oneDNN call fails, naming the layer. */
#define TRY_DNNL(call) QMDI_TRY(qmdi_onednn_check(l->name, call, #call))

static qmd_status describe_convolution(const linear *l, const qmdi_linear_shape *shape, descriptors *d) {
	const dnnl_dim_t batch = (dnnl_dim_t)shape->batch;
	const dnnl_dims_t input = {batch, shape->input.c, shape->input.h, shape->input.w};
	const dnnl_dims_t output = {batch, shape->output.c, shape->output.h, shape->output.w};
	const dnnl_dims_t weight = {shape->output.c, shape->input.c, shape->kernel_h, shape->kernel_w};
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->input, 4, input, dnnl_f32, dnnl_nhwc));
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->output, 4, output, dnnl_f32, dnnl_nhwc));
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->weight, 4, weight, dnnl_f32, dnnl_ohwi));
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->any_weight, 4, weight, dnnl_f32, dnnl_format_tag_any));
	d->strides[0] = shape->stride_h;
	d->strides[1] = shape->stride_w;
	d->pad_before[0] = shape->pad_top;
	d->pad_before[1] = shape->pad_left;
	d->pad_after[0] = shape->pad_bottom;
	d->pad_after[1] = shape->pad_right;
	return QMD_OK;
}

static qmd_status describe_dense(const linear *l, const qmdi_linear_shape *shape, descriptors *d) {
	const dnnl_dim_t batch = (dnnl_dim_t)shape->batch, units = shape->output.c;
	const dnnl_dim_t n_inputs = (dnnl_dim_t)shape->input.h * shape->input.w * shape->input.c;
	const dnnl_dims_t input = {batch, n_inputs}, output = {batch, units}, weight = {units, n_inputs};
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->input, 2, input, dnnl_f32, dnnl_ab));
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->output, 2, output, dnnl_f32, dnnl_ab));
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->weight, 2, weight, dnnl_f32, dnnl_ab));
	d->any_weight = d->weight;
	return QMD_OK;
}

static qmd_status describe(const linear *l, const qmdi_linear_shape *shape, descriptors *d) {
	const dnnl_dims_t bias = {shape->output.c};
	d->is_convolution = shape->is_convolution;
	TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->bias, 1, bias, dnnl_f32, dnnl_a));
	return d->is_convolution ? describe_convolution(l, shape, d) : describe_dense(l, shape, d);
}

/* ---- Creation ---- */

static qmd_status create_primitive(linear *l, const_dnnl_op_desc_t operation, dnnl_primitive_desc_t *descriptor,
								   dnnl_primitive_t *primitive) {
	const qmdi_onednn *device = l->device;
	TRY_DNNL(
		dnnl_primitive_desc_create(descriptor, operation, device->attributes, device->engine, l->forward_descriptor));
	TRY_DNNL(dnnl_primitive_create(primitive, *descriptor));
	return QMD_OK;
}

static qmd_status create_forward(linear *l, const descriptors *d) {
	const dnnl_prop_kind_t pass = l->gradients ? dnnl_forward_training : dnnl_forward_inference;
	dnnl_convolution_desc_t convolution;
	dnnl_inner_product_desc_t dense;
	if (d->is_convolution)
		TRY_DNNL(dnnl_convolution_forward_desc_init(&convolution, pass, dnnl_convolution_direct, &d->input,
													&d->any_weight, &d->bias, &d->output, d->strides, d->pad_before,
													d->pad_after));
	else
		TRY_DNNL(dnnl_inner_product_forward_desc_init(&dense, pass, &d->input, &d->any_weight, &d->bias, &d->output));
	const_dnnl_op_desc_t operation = d->is_convolution ? (const void *)&convolution : (const void *)&dense;
	return create_primitive(l, operation, &l->forward_descriptor, &l->forward);
}

static qmd_status create_backward_data(linear *l, const descriptors *d) {
	dnnl_convolution_desc_t convolution;
	dnnl_inner_product_desc_t dense;
	if (d->is_convolution)
		TRY_DNNL(dnnl_convolution_backward_data_desc_init(&convolution, dnnl_convolution_direct, &d->input,
														  &d->any_weight, &d->output, d->strides, d->pad_before,
														  d->pad_after));
	else
		TRY_DNNL(dnnl_inner_product_backward_data_desc_init(&dense, &d->input, &d->any_weight, &d->output));
	const_dnnl_op_desc_t operation = d->is_convolution ? (const void *)&convolution : (const void *)&dense;
	return create_primitive(l, operation, &l->backward_data_descriptor, &l->backward_data);
}

static qmd_status create_backward_weights(linear *l, const descriptors *d) {
	dnnl_convolution_desc_t convolution;
	dnnl_inner_product_desc_t dense;
	if (d->is_convolution)
		TRY_DNNL(dnnl_convolution_backward_weights_desc_init(&convolution, dnnl_convolution_direct, &d->input,
															 &d->any_weight, &d->bias, &d->output, d->strides,
															 d->pad_before, d->pad_after));
	else
		TRY_DNNL(
			dnnl_inner_product_backward_weights_desc_init(&dense, &d->input, &d->any_weight, &d->bias, &d->output));
	const_dnnl_op_desc_t operation = d->is_convolution ? (const void *)&convolution : (const void *)&dense;
	return create_primitive(l, operation, &l->backward_weights_descriptor, &l->backward_weights);
}

/* A memory object over floats that each pass hands in. */
static qmd_status create_view(linear *l, const dnnl_memory_desc_t *descriptor, dnnl_memory_t *memory) {
	TRY_DNNL(dnnl_memory_create(memory, descriptor, l->device->engine, DNNL_MEMORY_NONE));
	return QMD_OK;
}

static qmd_status create_reorder(linear *l, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
								 dnnl_primitive_t *reorder) {
	dnnl_primitive_desc_t descriptor;
	TRY_DNNL(dnnl_reorder_primitive_desc_create(&descriptor, from, l->device->engine, to, l->device->engine, NULL));
	const dnnl_status_t status = dnnl_primitive_create(reorder, descriptor);
	dnnl_primitive_desc_destroy(descriptor);
	return qmdi_onednn_check(l->name, status, "dnnl_primitive_create");
}

/* Memory for weights as a primitive wants them, and the reorder from or to plain ones; NULLs where they are plain. */
static qmd_status create_weights(linear *l, const dnnl_memory_desc_t *plain, const dnnl_memory_desc_t *wanted,
								 int from_plain, dnnl_memory_t *memory, dnnl_primitive_t *reorder) {
	if (dnnl_memory_desc_equal(plain, wanted))
		return QMD_OK;
	TRY_DNNL(dnnl_memory_create(memory, wanted, l->device->engine, DNNL_MEMORY_ALLOCATE));
	return from_plain ? create_reorder(l, plain, wanted, reorder) : create_reorder(l, wanted, plain, reorder);
}

static qmd_status create_for_parameters(linear *l, const descriptors *d) {
	QMDI_TRY(create_view(l, &d->weight, &l->d_weight));
	QMDI_TRY(create_view(l, &d->bias, &l->d_bias));
	QMDI_TRY(create_backward_weights(l, d));
	const dnnl_memory_desc_t *wanted =
		dnnl_primitive_desc_query_md(l->backward_weights_descriptor, dnnl_query_diff_weights_md, 0);
	return create_weights(l, &d->weight, wanted, 0, &l->computed_d_weight, &l->from_gradient);
}

static qmd_status create_for_input(linear *l, const descriptors *d) {
	QMDI_TRY(create_view(l, &d->input, &l->d_input));
	QMDI_TRY(create_backward_data(l, d));
	const dnnl_memory_desc_t *wanted =
		dnnl_primitive_desc_query_md(l->backward_data_descriptor, dnnl_query_weights_md, 0);
	return create_weights(l, &d->weight, wanted, 1, &l->backward_weight, &l->to_backward);
}

static qmd_status create_for_backward(linear *l, const descriptors *d) {
	QMDI_TRY(create_view(l, &d->output, &l->d_output));
	if (l->gradients & QMDI_GRADIENT_PARAMETERS)
		QMDI_TRY(create_for_parameters(l, d));
	return l->gradients & QMDI_GRADIENT_INPUT ? create_for_input(l, d) : QMD_OK;
}

static qmd_status create(linear *l, const qmdi_linear_shape *shape) {
	descriptors d = {.is_convolution = 0};
	QMDI_TRY(describe(l, shape, &d));
	QMDI_TRY(create_view(l, &d.input, &l->input));
	QMDI_TRY(create_view(l, &d.output, &l->output));
	QMDI_TRY(create_view(l, &d.weight, &l->weight));
	QMDI_TRY(create_view(l, &d.bias, &l->bias));
	QMDI_TRY(create_forward(l, &d));
	const dnnl_memory_desc_t *wanted = dnnl_primitive_desc_query_md(l->forward_descriptor, dnnl_query_weights_md, 0);
	QMDI_TRY(create_weights(l, &d.weight, wanted, 1, &l->forward_weight, &l->to_forward));
	return l->gradients ? create_for_backward(l, &d) : QMD_OK;
}

qmd_status qmdi_onednn_linear_create(qmdi_tensor_device *device, const qmdi_linear_shape *shape, int gradients,
									 void **plan) {
	*plan = NULL;
	linear *l = qmdi_zeroed(1, sizeof *l);
	if (!l)
		return QMD_ERROR_MEMORY;
	l->device = device->state;
	l->name = shape->name;
	l->gradients = gradients;
	const qmd_status status = create(l, shape);
	if (status != QMD_OK) {
		qmdi_onednn_linear_destroy(device, l);
		return status;
	}
	*plan = l;
	return QMD_OK;
}

static void destroy_memory(dnnl_memory_t memory) {
	if (memory)
		dnnl_memory_destroy(memory);
}

static void destroy_primitive(dnnl_primitive_t primitive, dnnl_primitive_desc_t descriptor) {
	if (primitive)
		dnnl_primitive_destroy(primitive);
	if (descriptor)
		dnnl_primitive_desc_destroy(descriptor);
}

void qmdi_onednn_linear_destroy(qmdi_tensor_device *device, void *plan) {
	(void)device;
	linear *l = plan;
	if (!l)
		return;
	destroy_primitive(l->backward_data, l->backward_data_descriptor);
	destroy_primitive(l->backward_weights, l->backward_weights_descriptor);
	destroy_primitive(l->forward, l->forward_descriptor);
	destroy_primitive(l->to_forward, NULL);
	destroy_primitive(l->to_backward, NULL);
	destroy_primitive(l->from_gradient, NULL);
	destroy_memory(l->input);
	destroy_memory(l->output);
	destroy_memory(l->weight);
	destroy_memory(l->bias);
	destroy_memory(l->d_input);
	destroy_memory(l->d_output);
	destroy_memory(l->d_weight);
	destroy_memory(l->d_bias);
	destroy_memory(l->forward_weight);
	destroy_memory(l->backward_weight);
	destroy_memory(l->computed_d_weight);
	qmdi_release(l);
}

/* ---- Passes ---- */

static qmd_status execute(linear *l, dnnl_primitive_t primitive, int n, const dnnl_exec_arg_t *arguments) {
	TRY_DNNL(dnnl_primitive_execute(primitive, l->device->stream, n, arguments));
	TRY_DNNL(dnnl_stream_wait(l->device->stream));
	return QMD_OK;
}

static qmd_status reorder(linear *l, dnnl_primitive_t primitive, dnnl_memory_t from, dnnl_memory_t to) {
	const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
	return execute(l, primitive, 2, arguments);
}

/* oneDNN's handles are not const; what is handed in as `memory` of an input is only read. */
static qmd_status point(const linear *l, dnnl_memory_t memory, const float *values) {
	TRY_DNNL(dnnl_memory_set_data_handle(memory, (float *)values));
	return QMD_OK;
}

qmd_status qmdi_onednn_linear_forward(qmdi_tensor_device *device, void *plan, const float *x, const float *w,
									  const float *b, float *y) {
	(void)device;
	linear *l = plan;
	QMDI_TRY(point(l, l->input, x));
	QMDI_TRY(point(l, l->weight, w));
	QMDI_TRY(point(l, l->bias, b));
	QMDI_TRY(point(l, l->output, y));
	if (l->to_forward)
		QMDI_TRY(reorder(l, l->to_forward, l->weight, l->forward_weight));
	const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, l->input},
										 {DNNL_ARG_WEIGHTS, l->to_forward ? l->forward_weight : l->weight},
										 {DNNL_ARG_BIAS, l->bias},
										 {DNNL_ARG_DST, l->output}};
	return execute(l, l->forward, 4, arguments);
}

qmd_status qmdi_onednn_linear_backward_parameters(qmdi_tensor_device *device, void *plan, const float *x,
												  const float *d_y, float *d_w, float *d_b) {
	(void)device;
	linear *l = plan;
	QMDI_TRY(point(l, l->input, x));
	QMDI_TRY(point(l, l->d_output, d_y));
	QMDI_TRY(point(l, l->d_weight, d_w));
	QMDI_TRY(point(l, l->d_bias, d_b));
	const dnnl_memory_t computed = l->from_gradient ? l->computed_d_weight : l->d_weight;
	const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, l->input},
										 {DNNL_ARG_DIFF_DST, l->d_output},
										 {DNNL_ARG_DIFF_WEIGHTS, computed},
										 {DNNL_ARG_DIFF_BIAS, l->d_bias}};
	QMDI_TRY(execute(l, l->backward_weights, 4, arguments));
	return l->from_gradient ? reorder(l, l->from_gradient, computed, l->d_weight) : QMD_OK;
}

qmd_status qmdi_onednn_linear_backward_input(qmdi_tensor_device *device, void *plan, const float *w, const float *d_y,
											 float *d_x) {
	(void)device;
	linear *l = plan;
	QMDI_TRY(point(l, l->weight, w));
	QMDI_TRY(point(l, l->d_output, d_y));
	QMDI_TRY(point(l, l->d_input, d_x));
	if (l->to_backward)
		QMDI_TRY(reorder(l, l->to_backward, l->weight, l->backward_weight));
	const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_DIFF_DST, l->d_output},
										 {DNNL_ARG_WEIGHTS, l->to_backward ? l->backward_weight : l->weight},
										 {DNNL_ARG_DIFF_SRC, l->d_input}};
	return execute(l, l->backward_data, 3, arguments);
}
