/*
 * The icnnmd network in INT8 by oneDNN: u8 where a ReLU or the image makes it so and s8 elsewhere, s8 weights with a
 * scale for each output channel, ReLU fused. oneDNN chooses all layouts but that of the images, which are NHWC; weights
 * are reordered beforehand.
 */
#include "onednn_int8.h"

#include <dnnl.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

/* A convolution, or a dense layer where kernel is 0. */
typedef struct layer {
	dnnl_dim_t units, kernel, pad;
	int has_relu, has_pool;
} layer;

static const layer first_two[] = {{32, 3, 1, 0, 0}, {32, 3, 0, 1, 1}};
static const layer first_collapsed[] = {{32, 5, 1, 1, 1}};
static const layer others[] = {{64, 3, 1, 1, 0}, {64, 3, 0, 1, 1}, {512, 0, 0, 1, 0}, {2, 0, 0, 0, 0}};

#define N_OF(array) (sizeof(array) / sizeof *(array))
#define MAX_STEPS (N_OF(first_two) + N_OF(others) + 2)
#define MAX_ARGUMENTS 4

typedef struct step {
	dnnl_primitive_t primitive;
	dnnl_exec_arg_t arguments[MAX_ARGUMENTS]; /* source, output, weights, bias */
	int n_arguments;
} step;

struct onednn_int8 {
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	dnnl_memory_t images;
	dnnl_memory_t flat; /* the last pool's output as vectors */
	step steps[MAX_STEPS];
	size_t n_steps;
	int n_threads;
};

static void check_call(dnnl_status_t status, const char *call) {
	if (status == dnnl_success)
		return;
	fprintf(stderr, "qmd_bench: oneDNN INT8: %s returned %d\n", call, (int)status);
	exit(1);
}

#define CHECK(call) check_call(call, #call)

/* ---- Weights: -64 to 63, so that pairs of products fit into the 16 bits that processors without VNNI have ---- */

static int8_t weight_of(unsigned char noise) {
	return (int8_t)(noise / 2 - 64);
}

static float bias_of(dnnl_dim_t unit) {
	return (float)(100 * unit);
}

/* Such that outputs fill 8 bits. */
static float scale_of(dnnl_dim_t unit, dnnl_dim_t n_products) {
	return 0.01f * (1 + (float)(unit % 8) / 8) / sqrtf((float)n_products);
}

/* ---- Memory ---- */

static const dnnl_memory_desc_t *layout_of(dnnl_memory_t memory) {
	const dnnl_memory_desc_t *layout;
	CHECK(dnnl_memory_get_memory_desc(memory, &layout));
	return layout;
}

static void *data_of(dnnl_memory_t memory) {
	void *data;
	CHECK(dnnl_memory_get_data_handle(memory, &data));
	return data;
}

static dnnl_memory_t make_memory(const onednn_int8 *net, const dnnl_memory_desc_t *layout) {
	dnnl_memory_t memory;
	CHECK(dnnl_memory_create(&memory, layout, net->engine, DNNL_MEMORY_ALLOCATE));
	return memory;
}

/* A copy in another layout. */
static dnnl_memory_t reordered(const onednn_int8 *net, dnnl_memory_t memory, const dnnl_memory_desc_t *layout) {
	dnnl_memory_t copy = make_memory(net, layout);
	dnnl_primitive_desc_t descriptor;
	dnnl_primitive_t reorder;
	CHECK(dnnl_reorder_primitive_desc_create(&descriptor, layout_of(memory), net->engine, layout, net->engine, NULL));
	CHECK(dnnl_primitive_create(&reorder, descriptor));
	const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, memory}, {DNNL_ARG_TO, copy}};
	CHECK(dnnl_primitive_execute(reorder, net->stream, N_OF(arguments), arguments));
	CHECK(dnnl_stream_wait(net->stream));
	dnnl_primitive_destroy(reorder);
	dnnl_primitive_desc_destroy(descriptor);
	return copy;
}

static dnnl_dim_t product(const dnnl_dim_t *factors, int n) {
	dnnl_dim_t result = 1;
	for (int i = 0; i < n; i++)
		result *= factors[i];
	return result;
}

static dnnl_memory_t make_weights(const onednn_int8 *net, int n_dims, const dnnl_dims_t dims,
								  const dnnl_memory_desc_t *layout) {
	const size_t n = (size_t)product(dims, n_dims);
	dnnl_memory_desc_t plain;
	CHECK(dnnl_memory_desc_init_by_tag(&plain, n_dims, dims, dnnl_s8, n_dims == 4 ? dnnl_oihw : dnnl_oi));
	dnnl_memory_t memory = make_memory(net, &plain);
	unsigned char *noise = bench_noise(n);
	int8_t *weights = data_of(memory);
	for (size_t i = 0; i < n; i++)
		weights[i] = weight_of(noise[i]);
	free(noise);
	dnnl_memory_t result = reordered(net, memory, layout);
	dnnl_memory_destroy(memory);
	return result;
}

static dnnl_memory_t make_bias(const onednn_int8 *net, dnnl_dim_t n_units, const dnnl_memory_desc_t *layout) {
	dnnl_memory_t memory = make_memory(net, layout);
	float *bias = data_of(memory);
	for (dnnl_dim_t unit = 0; unit < n_units; unit++)
		bias[unit] = bias_of(unit);
	return memory;
}

/* ---- Steps: each returns its output ---- */

static dnnl_memory_t add_step(onednn_int8 *net, const_dnnl_primitive_desc_t descriptor, dnnl_memory_t source,
							  dnnl_memory_t weights, dnnl_memory_t bias) {
	step *s = &net->steps[net->n_steps++];
	dnnl_memory_t output = make_memory(net, dnnl_primitive_desc_query_md(descriptor, dnnl_query_dst_md, 0));
	CHECK(dnnl_primitive_create(&s->primitive, descriptor));
	s->arguments[0] = (dnnl_exec_arg_t){DNNL_ARG_SRC, source};
	s->arguments[1] = (dnnl_exec_arg_t){DNNL_ARG_DST, output};
	s->arguments[2] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, weights};
	s->arguments[3] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, bias};
	s->n_arguments = weights ? 4 : 2;
	return output;
}

static dnnl_primitive_attr_t make_attributes(const layer *l, dnnl_dim_t n_products) {
	dnnl_primitive_attr_t attributes;
	float *scales = bench_memory(calloc((size_t)l->units, sizeof *scales));
	for (dnnl_dim_t unit = 0; unit < l->units; unit++)
		scales[unit] = scale_of(unit, n_products);
	CHECK(dnnl_primitive_attr_create(&attributes));
	CHECK(dnnl_primitive_attr_set_output_scales(attributes, l->units, 1 << 1, scales));
	free(scales);
	if (l->has_relu) {
		dnnl_post_ops_t relu;
		CHECK(dnnl_post_ops_create(&relu));
		CHECK(dnnl_post_ops_append_eltwise(relu, 1, dnnl_eltwise_relu, 0, 0));
		CHECK(dnnl_primitive_attr_set_post_ops(attributes, relu));
		dnnl_post_ops_destroy(relu);
	}
	return attributes;
}

static dnnl_memory_t add_linear(onednn_int8 *net, const layer *l, dnnl_memory_t source) {
	const dnnl_memory_desc_t *input = layout_of(source);
	const dnnl_dim_t kernel = l->kernel, growth = 2 * l->pad + 1 - kernel;
	const dnnl_dims_t dims = {l->units, input->dims[1], kernel, kernel};
	const dnnl_dims_t output_dims = {input->dims[0], l->units, input->dims[2] + growth, input->dims[3] + growth};
	const dnnl_dims_t strides = {1, 1}, padding = {l->pad, l->pad}, bias_dims = {l->units};
	const dnnl_data_type_t type = l->units == 2 ? dnnl_f32 : l->has_relu ? dnnl_u8 : dnnl_s8; /* logits are floats */
	dnnl_memory_desc_t weights, bias, output;
	CHECK(dnnl_memory_desc_init_by_tag(&weights, input->ndims, dims, dnnl_s8, dnnl_format_tag_any));
	CHECK(dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, dnnl_f32, dnnl_a));
	CHECK(dnnl_memory_desc_init_by_tag(&output, input->ndims, output_dims, type, dnnl_format_tag_any));
	dnnl_convolution_desc_t convolution;
	dnnl_inner_product_desc_t dense;
	if (kernel)
		CHECK(dnnl_convolution_forward_desc_init(&convolution, dnnl_forward_inference, dnnl_convolution_direct, input,
												 &weights, &bias, &output, strides, padding, padding));
	else
		CHECK(dnnl_inner_product_forward_desc_init(&dense, dnnl_forward_inference, input, &weights, &bias, &output));
	dnnl_primitive_attr_t attributes = make_attributes(l, product(dims + 1, input->ndims - 1));
	dnnl_primitive_desc_t descriptor;
	CHECK(dnnl_primitive_desc_create(&descriptor, kernel ? (const void *)&convolution : (const void *)&dense,
									 attributes, net->engine, NULL));
	const dnnl_memory_desc_t *wanted = dnnl_primitive_desc_query_md(descriptor, dnnl_query_weights_md, 0);
	dnnl_memory_t result = add_step(net, descriptor, source, make_weights(net, input->ndims, dims, wanted),
									make_bias(net, l->units, &bias));
	dnnl_primitive_desc_destroy(descriptor);
	dnnl_primitive_attr_destroy(attributes);
	return result;
}

static dnnl_memory_t add_pool(onednn_int8 *net, dnnl_memory_t source) {
	const dnnl_memory_desc_t *input = layout_of(source);
	const dnnl_dims_t dims = {input->dims[0], input->dims[1], input->dims[2] / 2, input->dims[3] / 2};
	const dnnl_dims_t two = {2, 2}, none = {0, 0};
	dnnl_memory_desc_t output;
	dnnl_pooling_desc_t pooling;
	dnnl_primitive_desc_t descriptor;
	CHECK(dnnl_memory_desc_init_by_tag(&output, 4, dims, input->data_type, dnnl_format_tag_any));
	CHECK(dnnl_pooling_forward_desc_init(&pooling, dnnl_forward_inference, dnnl_pooling_max, input, &output, two, two,
										 none, none));
	CHECK(dnnl_primitive_desc_create(&descriptor, &pooling, NULL, net->engine, NULL));
	dnnl_memory_t result = add_step(net, descriptor, source, NULL, NULL);
	dnnl_primitive_desc_destroy(descriptor);
	return result;
}

/* The same data as one vector an image: oneDNN's kernel for dense layers on these is the faster one. In what order they
 * come does not matter to noise. */
static dnnl_memory_t flatten(onednn_int8 *net, dnnl_memory_t source) {
	const dnnl_memory_desc_t *input = layout_of(source);
	const dnnl_dims_t dims = {input->dims[0], product(input->dims + 1, 3)};
	dnnl_memory_desc_t layout;
	CHECK(dnnl_memory_desc_init_by_tag(&layout, 2, dims, input->data_type, dnnl_ab));
	CHECK(dnnl_memory_create(&net->flat, &layout, net->engine, data_of(source)));
	return net->flat;
}

static dnnl_memory_t add_layers(onednn_int8 *net, const layer *layers, size_t n, dnnl_memory_t source) {
	for (size_t i = 0; i < n; i++) {
		if (!layers[i].kernel && !net->flat)
			source = flatten(net, source);
		source = add_linear(net, &layers[i], source);
		if (layers[i].has_pool)
			source = add_pool(net, source);
	}
	return source;
}

/* ---- The whole ---- */

onednn_int8 *onednn_int8_create(uint32_t side, uint32_t batch, uint32_t n_threads, int is_collapsed,
								unsigned char *images) {
	onednn_int8 *net = bench_memory(calloc(1, sizeof *net));
	const dnnl_dims_t dims = {batch, 3, side, side};
	dnnl_memory_desc_t layout;
	net->n_threads = (int)n_threads;
	omp_set_num_threads(net->n_threads);
	CHECK(dnnl_engine_create(&net->engine, dnnl_cpu, 0));
	CHECK(dnnl_stream_create(&net->stream, net->engine, dnnl_stream_default_flags));
	CHECK(dnnl_memory_desc_init_by_tag(&layout, 4, dims, dnnl_u8, dnnl_nhwc));
	CHECK(dnnl_memory_create(&net->images, &layout, net->engine, images));
	dnnl_memory_t first = is_collapsed ? add_layers(net, first_collapsed, N_OF(first_collapsed), net->images)
									   : add_layers(net, first_two, N_OF(first_two), net->images);
	add_layers(net, others, N_OF(others), first);
	return net;
}

void onednn_int8_run(void *user) {
	const onednn_int8 *net = user;
	omp_set_num_threads(net->n_threads);
	for (size_t i = 0; i < net->n_steps; i++)
		CHECK(dnnl_primitive_execute(net->steps[i].primitive, net->stream, net->steps[i].n_arguments,
									 net->steps[i].arguments));
	CHECK(dnnl_stream_wait(net->stream));
}

void onednn_int8_free(onednn_int8 *net) {
	for (size_t i = 0; i < net->n_steps; i++) {
		for (int k = 1; k < net->steps[i].n_arguments; k++) /* the source is not the step's own */
			dnnl_memory_destroy(net->steps[i].arguments[k].memory);
		dnnl_primitive_destroy(net->steps[i].primitive);
	}
	dnnl_memory_destroy(net->flat);
	dnnl_memory_destroy(net->images);
	dnnl_stream_destroy(net->stream);
	dnnl_engine_destroy(net->engine);
	free(net);
}

/* ---- The check ---- */

/* What the first convolution should give at a pixel. */
static long reference_at(const unsigned char *image, const unsigned char *noise, dnnl_dim_t side, dnnl_dim_t y,
						 dnnl_dim_t x, dnnl_dim_t unit) {
	long sum = lrintf(bias_of(unit));
	for (dnnl_dim_t i = 0; i < 27; i++) { /* channel, row, column */
		const dnnl_dim_t row = y + i / 3 % 3 - 1, column = x + i % 3 - 1;
		if (row >= 0 && row < side && column >= 0 && column < side)
			sum += image[(row * side + column) * 3 + i / 9] * weight_of(noise[unit * 27 + i]);
	}
	const long value = lrintf((float)sum * scale_of(unit, 27));
	return value < -128 ? -128 : value > 127 ? 127 : value;
}

size_t onednn_int8_mismatches(const onednn_int8 *net, size_t *n, int *largest) {
	dnnl_memory_t output = net->steps[0].arguments[1].memory;
	const dnnl_memory_desc_t *layout = layout_of(output);
	const dnnl_dim_t n_units = layout->dims[1], side = layout->dims[2];
	dnnl_memory_desc_t plain;
	CHECK(dnnl_memory_desc_init_by_tag(&plain, 4, layout->dims, dnnl_s8, dnnl_nhwc));
	dnnl_memory_t copy = reordered(net, output, &plain);
	const int8_t *values = data_of(copy);
	unsigned char *noise = bench_noise((size_t)n_units * 27);
	size_t n_mismatches = 0;
	*n = (size_t)(side * side * n_units);
	*largest = 0;
	for (dnnl_dim_t i = 0; i < (dnnl_dim_t)*n; i++) {
		const dnnl_dim_t pixel = i / n_units;
		const long right = reference_at(data_of(net->images), noise, side, pixel / side, pixel % side, i % n_units);
		const int difference = abs((int)right - values[i]);
		n_mismatches += difference > 0;
		*largest = difference > *largest ? difference : *largest;
	}
	free(noise);
	dnnl_memory_destroy(copy);
	return n_mismatches;
}
