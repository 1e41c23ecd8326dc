#include "engine_fixture.h"

#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "base/random.h"
#include "pixels/pixels_internal.h"

#define N_CLASSES 3

/* ---- The networks ---- */

static int32_t add(qmd_model *model, const qmd_layer *layer) {
	int32_t id;
	qmdt_ok(qmd_model_add(model, layer, &id));
	return id;
}

static int32_t add_kind(qmd_model *model, int32_t kind, int32_t input) {
	qmd_layer layer;
	qmd_layer_init(&layer, kind);
	layer.inputs[0] = input;
	return add(model, &layer);
}

static int32_t add_conv(qmd_model *model, int32_t input, uint32_t units, uint32_t kernel, qmd_padding padding) {
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_CONV2D);
	layer.inputs[0] = input;
	layer.units = units;
	layer.kernel_h = layer.kernel_w = kernel;
	layer.padding = padding;
	return add(model, &layer);
}

static int32_t add_dense(qmd_model *model, int32_t input, uint32_t units) {
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_DENSE);
	layer.inputs[0] = input;
	layer.units = units;
	return add(model, &layer);
}

static int32_t add_pool(qmd_model *model, int32_t kind, int32_t input, uint32_t kernel, uint32_t stride) {
	qmd_layer layer;
	qmd_layer_init(&layer, kind);
	layer.inputs[0] = input;
	layer.kernel_h = layer.kernel_w = kernel;
	layer.stride_h = layer.stride_w = stride;
	return add(model, &layer);
}

static int32_t add_sum(qmd_model *model, int32_t a, int32_t b) {
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_ADD);
	layer.inputs[0] = a;
	layer.inputs[1] = b;
	return add(model, &layer);
}

/* The shape of the published network in small: every fusion, odd extents that pools cut. */
static void build_plain(qmd_model *model) {
	add_conv(model, 0, 8, 5, QMD_PADDING_SAME);
	add_kind(model, QMD_LAYER_RELU, QMD_PREVIOUS);
	add_pool(model, QMD_LAYER_MAXPOOL, QMD_PREVIOUS, 2, 2);
	add_kind(model, QMD_LAYER_DROPOUT, QMD_PREVIOUS);
	add_conv(model, QMD_PREVIOUS, 20, 3, QMD_PADDING_SAME);
	add_kind(model, QMD_LAYER_RELU, QMD_PREVIOUS);
	add_conv(model, QMD_PREVIOUS, 17, 3, QMD_PADDING_VALID);
	add_kind(model, QMD_LAYER_RELU, QMD_PREVIOUS);
	add_pool(model, QMD_LAYER_MAXPOOL, QMD_PREVIOUS, 2, 2);
	add_kind(model, QMD_LAYER_FLATTEN, QMD_PREVIOUS);
	add_dense(model, QMD_PREVIOUS, 33);
	add_kind(model, QMD_LAYER_RELU, QMD_PREVIOUS);
	add_dense(model, QMD_PREVIOUS, N_CLASSES);
	add_kind(model, QMD_LAYER_SOFTMAX, QMD_PREVIOUS);
}

/* Sums, a relu whose input is read twice, pools of other kinds. */
static void build_residual(qmd_model *model) {
	const int32_t stem = add_conv(model, 0, 16, 3, QMD_PADDING_SAME);
	const int32_t relu = add_kind(model, QMD_LAYER_RELU, stem);
	const int32_t branch = add_conv(model, relu, 16, 3, QMD_PADDING_SAME);
	const int32_t sum = add_sum(model, stem, branch);
	const int32_t sum_relu = add_kind(model, QMD_LAYER_RELU, sum);
	const int32_t pooled = add_pool(model, QMD_LAYER_AVGPOOL, sum_relu, 3, 2);
	const int32_t largest = add_pool(model, QMD_LAYER_MAXPOOL, sum_relu, 3, 2);
	const int32_t both = add_sum(model, pooled, largest);
	add_conv(model, both, 12, 1, QMD_PADDING_VALID);
	add_kind(model, QMD_LAYER_GLOBAL_AVGPOOL, QMD_PREVIOUS);
	add_dense(model, QMD_PREVIOUS, N_CLASSES);
	add_kind(model, QMD_LAYER_SOFTMAX, QMD_PREVIOUS);
}

/* A tensor that a padded convolution and, flat, a dense layer read; logits that are a sum. */
static void build_fork(qmd_model *model) {
	const int32_t relu = (add_conv(model, 0, 6, 3, QMD_PADDING_VALID), add_kind(model, QMD_LAYER_RELU, QMD_PREVIOUS));
	const int32_t flat = add_kind(model, QMD_LAYER_FLATTEN, relu);
	const int32_t left = add_dense(model, flat, N_CLASSES);
	const int32_t conv = add_conv(model, relu, 4, 3, QMD_PADDING_SAME);
	const int32_t conv_flat = add_kind(model, QMD_LAYER_FLATTEN, conv);
	const int32_t right = add_dense(model, conv_flat, N_CLASSES);
	add_sum(model, left, right);
	add_kind(model, QMD_LAYER_SOFTMAX, QMD_PREVIOUS);
}

/* Strides, lopsided padding, a maxpool before its relu; logits that are a mean, and no softmax. */
static void build_lopsided(qmd_model *model) {
	qmd_layer layer;
	qmd_layer_init(&layer, QMD_LAYER_CONV2D);
	layer.units = 9;
	layer.kernel_h = 3;
	layer.kernel_w = 4;
	layer.stride_h = 1;
	layer.stride_w = 2;
	layer.padding = QMD_PADDING_EXPLICIT;
	layer.pad_top = 2;
	layer.pad_left = 1;
	layer.pad_bottom = 0;
	layer.pad_right = 3;
	add(model, &layer);
	add_pool(model, QMD_LAYER_MAXPOOL, QMD_PREVIOUS, 2, 2);
	add_kind(model, QMD_LAYER_RELU, QMD_PREVIOUS);
	add_conv(model, QMD_PREVIOUS, N_CLASSES, 2, QMD_PADDING_VALID);
	add_kind(model, QMD_LAYER_GLOBAL_AVGPOOL, QMD_PREVIOUS);
}

/* Pools that read the image itself. */
static void build_pools_first(qmd_model *model) {
	const int32_t mean = add_pool(model, QMD_LAYER_AVGPOOL, 0, 2, 1);
	const int32_t largest = add_pool(model, QMD_LAYER_MAXPOOL, 0, 2, 1);
	const int32_t a = add_conv(model, mean, 5, 3, QMD_PADDING_SAME);
	const int32_t b = add_conv(model, largest, 5, 3, QMD_PADDING_SAME);
	add_sum(model, a, b);
	add_kind(model, QMD_LAYER_RELU, QMD_PREVIOUS);
	add_conv(model, QMD_PREVIOUS, 2, 3, QMD_PADDING_SAME);
	add_kind(model, QMD_LAYER_FLATTEN, QMD_PREVIOUS);
	add_dense(model, QMD_PREVIOUS, N_CLASSES);
	add_kind(model, QMD_LAYER_DROPOUT, QMD_PREVIOUS);
	add_kind(model, QMD_LAYER_SOFTMAX, QMD_PREVIOUS);
}

/* A relu on the image: nothing on u8, whose upper half it must leave alone. */
static void build_relu_first(qmd_model *model) {
	const int32_t relu = add_kind(model, QMD_LAYER_RELU, 0);
	const int32_t again = add_kind(model, QMD_LAYER_RELU, relu);
	const int32_t conv = add_conv(model, again, 5, 3, QMD_PADDING_SAME);
	const int32_t other = add_conv(model, relu, 5, 3, QMD_PADDING_SAME);
	add_sum(model, conv, other);
	add_kind(model, QMD_LAYER_FLATTEN, QMD_PREVIOUS);
	add_dense(model, QMD_PREVIOUS, N_CLASSES);
	add_kind(model, QMD_LAYER_SOFTMAX, QMD_PREVIOUS);
}

static const struct {
	const char *name;
	qmd_type image_type;
	uint32_t side;
	void (*build)(qmd_model *model);
} networks[QMDT_N_NETWORKS] = {
	{"plain on s8", QMD_S8, 15, build_plain},
	{"plain on u8", QMD_U8, 15, build_plain},
	{"residual on s8", QMD_S8, 9, build_residual},
	{"residual on u8", QMD_U8, 9, build_residual},
	{"fork", QMD_S8, 8, build_fork},
	{"lopsided", QMD_U8, 11, build_lopsided},
	{"pools first on s8", QMD_S8, 7, build_pools_first},
	{"relu first on u8", QMD_U8, 6, build_relu_first},
	{"relu first on s8", QMD_S8, 6, build_relu_first},
};

const char *qmdt_network_name(size_t network) {
	return networks[network].name;
}

qmd_model *qmdt_network(size_t network) {
	const uint32_t side = networks[network].side;
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){side, side, 3}, &model));
	networks[network].build(model);
	qmdt_ok(qmd_model_initialize(model, 11 + network));
	for (size_t i = 0; i < model->n_layers; i++)
		for (size_t k = 0; model->layers[i].n_parameters[QMDI_BIAS] > k; k++)
			model->layers[i].parameters[QMDI_BIAS][k] = 0.2f * (qmdi_random_f32(5, i, k) - 0.5f);
	unsigned char *image = qmdt_images(model, 1, 1);
	qmdt_quantize_by_hand(model, networks[network].image_type, image);
	free(image);
	return model;
}

/* ---- Images ---- */

size_t qmdt_image_size(const qmd_model *model) {
	const qmd_shape shape = model->layers[0].output;
	return (size_t)shape.h * shape.w * shape.c;
}

unsigned char *qmdt_images(const qmd_model *model, size_t n, uint64_t seed) {
	const size_t size = n * qmdt_image_size(model);
	unsigned char *images = calloc(size + 1, 1);
	ck_assert_ptr_nonnull(images);
	for (size_t i = 0; i < size; i++)
		images[i] = (unsigned char)(qmdi_random_u32(seed, 77, i) >> 24);
	return images;
}

/* ---- The reference ---- */

/* A layer's output: integers, and the real numbers that they were made from. */
typedef struct values {
	int32_t *q;
	float *real;
	float scale;
} values;

static size_t n_elements(qmd_shape shape) {
	return (size_t)shape.h * shape.w * shape.c;
}

static int32_t round_clamped(float x) {
	return (int32_t)rintf(x < -128.0f ? -128.0f : x > 127.0f ? 127.0f : x);
}

/* Sum of one window of a convolution or, with the window as large as the input, of a dense layer. */
static int64_t window_sum(const qmdi_layer *layer, const values *in, uint32_t unit, int64_t top, int64_t left) {
	const qmd_shape shape = layer->input;
	const int is_dense = layer->definition.kind == QMD_LAYER_DENSE;
	const uint32_t kh = is_dense ? shape.h : layer->definition.kernel_h;
	const uint32_t kw = is_dense ? shape.w : layer->definition.kernel_w;
	const float *weights = layer->parameters[QMDI_WEIGHT] + (size_t)unit * kh * kw * shape.c;
	int64_t sum = (int64_t)rint((double)layer->parameters[QMDI_BIAS][unit] /
								((double)in->scale * (double)layer->weight_scales[unit]));
	for (uint32_t i = 0; i < kh; i++)
		for (uint32_t j = 0; j < kw; j++)
			for (uint32_t c = 0; c < shape.c; c++) {
				const int64_t y = top + i, x = left + j;
				if (y < 0 || x < 0 || y >= shape.h || x >= shape.w)
					continue;
				const float w = weights[((size_t)i * kw + j) * shape.c + c] / layer->weight_scales[unit];
				const int64_t q = (int64_t)rintf(w < -127.0f ? -127.0f : w > 127.0f ? 127.0f : w);
				sum += q * in->q[((size_t)y * shape.w + (size_t)x) * shape.c + c];
			}
	return sum;
}

/* Real numbers of a conv2d or dense layer, and its integers where it has a scale. */
static void reference_linear(const qmdi_layer *layer, const values *in, values *out) {
	const qmd_layer *d = &layer->definition;
	const qmd_shape shape = layer->output;
	size_t i = 0;
	for (uint32_t y = 0; y < shape.h; y++)
		for (uint32_t x = 0; x < shape.w; x++)
			for (uint32_t u = 0; u < shape.c; u++, i++) {
				const int64_t sum = window_sum(layer, in, u, (int64_t)y * d->stride_h - d->pad_top,
											   (int64_t)x * d->stride_w - d->pad_left);
				const float product = in->scale * layer->weight_scales[u];
				out->real[i] = (float)sum * product;
				if (out->scale > 0)
					out->q[i] = round_clamped((float)sum * (product / out->scale));
			}
}

static void reference_pool(const qmdi_layer *layer, const values *in, values *out) {
	const qmd_layer *d = &layer->definition;
	const int is_global = d->kind == QMD_LAYER_GLOBAL_AVGPOOL;
	const uint32_t kh = is_global ? layer->input.h : d->kernel_h, kw = is_global ? layer->input.w : d->kernel_w;
	const uint32_t step_y = is_global ? 1 : d->stride_h, step_x = is_global ? 1 : d->stride_w;
	size_t i = 0;
	for (uint32_t y = 0; y < layer->output.h; y++)
		for (uint32_t x = 0; x < layer->output.w; x++)
			for (uint32_t c = 0; c < layer->output.c; c++, i++) {
				int32_t largest = INT32_MIN;
				float sum = 0;
				for (uint32_t k = 0; k < kh * kw; k++) {
					const size_t pixel = ((size_t)y * step_y + k / kw) * layer->input.w + (size_t)x * step_x + k % kw;
					const int32_t q = in->q[pixel * layer->input.c + c];
					largest = q > largest ? q : largest;
					sum += in->scale * (float)q;
				}
				out->real[i] = d->kind == QMD_LAYER_MAXPOOL ? in->scale * (float)largest : sum / (float)(kh * kw);
				out->q[i] = largest;
				if (d->kind != QMD_LAYER_MAXPOOL && out->scale > 0)
					out->q[i] = round_clamped(out->real[i] / out->scale);
			}
}

static void reference_sum(size_t n, const values *a, const values *b, values *out) {
	for (size_t i = 0; i < n; i++) {
		out->real[i] = (float)a->q[i] * a->scale + (float)b->q[i] * b->scale;
		if (out->scale > 0)
			out->q[i] =
				round_clamped((float)a->q[i] * (a->scale / out->scale) + (float)b->q[i] * (b->scale / out->scale));
	}
}

static void reference_pass_on(size_t n, const values *in, values *out, int is_relu) {
	for (size_t i = 0; i < n; i++) {
		out->q[i] = is_relu && in->q[i] < 0 ? 0 : in->q[i];
		out->real[i] = is_relu && in->real[i] < 0 ? 0 : in->real[i];
	}
}

/* A layer's arrays, which are there. */
static values *at(values *all, size_t layer) {
	if (!all[layer].q || !all[layer].real)
		abort();
	return &all[layer];
}

static void reference_layer(const qmd_model *model, size_t index, values *all) {
	const qmdi_layer *layer = &model->layers[index];
	const int32_t *inputs = layer->definition.inputs;
	const values *in = at(all, (size_t)inputs[0]);
	values *out = at(all, index);
	const size_t n = n_elements(layer->output);
	switch (layer->definition.kind) {
	case QMD_LAYER_CONV2D:
	case QMD_LAYER_DENSE:
		reference_linear(layer, in, out);
		break;
	case QMD_LAYER_MAXPOOL:
	case QMD_LAYER_AVGPOOL:
	case QMD_LAYER_GLOBAL_AVGPOOL:
		reference_pool(layer, in, out);
		break;
	case QMD_LAYER_ADD:
		reference_sum(n, in, at(all, (size_t)inputs[1]), out);
		break;
	default:
		reference_pass_on(n, in, out, layer->definition.kind == QMD_LAYER_RELU);
	}
}

static void *new_array(size_t n, size_t size) {
	void *array = calloc(n + 1, size);
	if (!array)
		abort();
	return array;
}

static values *new_values(const qmd_model *model, const unsigned char *image) {
	values *all = new_array(model->n_layers, sizeof *all);
	for (size_t i = 0; i < model->n_layers; i++) {
		const size_t n = n_elements(model->layers[i].output);
		all[i] =
			(values){calloc(n + 1, sizeof(int32_t)), calloc(n + 1, sizeof(float)), model->layers[i].activation_scale};
		ck_assert(all[i].q && all[i].real);
	}
	all[0].scale = qmdi_image_scale(model->image_type);
	for (size_t i = 0; i < qmdt_image_size(model); i++)
		at(all, 0)->q[i] = model->image_type == QMD_U8 ? image[i] : (int8_t)image[i];
	return all;
}

static void free_values(const qmd_model *model, values *all) {
	for (size_t i = 0; i < model->n_layers; i++) {
		free(all[i].q);
		free(all[i].real);
	}
	free(all);
}

/* Dropout and flatten pass logits on to the softmax. */
static size_t logits_layer(const qmd_model *model) {
	size_t layer = qmdi_model_logits(model);
	while (model->layers[layer].definition.kind == QMD_LAYER_DROPOUT)
		layer = (size_t)model->layers[layer].definition.inputs[0];
	return layer;
}

float *qmdt_reference_logits(const qmd_model *model, const unsigned char *images, size_t n) {
	const size_t last = logits_layer(model), n_logits = n_elements(model->layers[last].output);
	float *logits = malloc(n * n_logits * sizeof *logits);
	ck_assert_ptr_nonnull(logits);
	for (size_t i = 0; i < n; i++) {
		values *all = new_values(model, images + i * qmdt_image_size(model));
		all[last].scale = 0;
		for (size_t layer = 1; layer <= last; layer++)
			reference_layer(model, layer, all);
		memcpy(logits + i * n_logits, at(all, last)->real, n_logits * sizeof *logits);
		free_values(model, all);
	}
	return logits;
}

int qmdt_same_floats(const float *a, const float *b, size_t n) {
	const void *bits_a = a, *bits_b = b;
	return memcmp(bits_a, bits_b, n * sizeof *a) == 0;
}

/* ---- Scales ---- */

static void set_weight_scales(qmdi_layer *layer) {
	const size_t units = layer->definition.units;
	const size_t n = layer->n_parameters[QMDI_WEIGHT] / units;
	layer->weight_scales = qmdi_array(units, sizeof *layer->weight_scales);
	ck_assert_ptr_nonnull(layer->weight_scales);
	for (size_t u = 0; u < units; u++) {
		float largest = 0;
		for (size_t i = 0; i < n; i++)
			largest = fmaxf(largest, fabsf(layer->parameters[QMDI_WEIGHT][u * n + i]));
		layer->weight_scales[u] = largest > 0 ? largest / 127.0f : 1.0f;
	}
}

static int has_own_scale(int32_t kind) {
	return kind == QMD_LAYER_CONV2D || kind == QMD_LAYER_DENSE || kind == QMD_LAYER_ADD || kind == QMD_LAYER_AVGPOOL ||
		   kind == QMD_LAYER_GLOBAL_AVGPOOL;
}

/* Three quarters of the largest magnitude, so that some numbers saturate; of the positive ones where a relu follows. */
static float observed_scale(const qmd_model *model, size_t layer, const values *out) {
	size_t consumer = 0;
	const int is_rectified =
		qmdi_model_consumers(model, layer, &consumer) == 1 && model->layers[consumer].definition.kind == QMD_LAYER_RELU;
	float largest = 1e-3f;
	for (size_t i = 0; i < n_elements(model->layers[layer].output); i++)
		largest = fmaxf(largest, is_rectified ? out->real[i] : fabsf(out->real[i]));
	return 0.75f * largest / 127.0f;
}

void qmdt_quantize_by_hand(qmd_model *model, qmd_type image_type, const unsigned char *image) {
	model->weight_bits = model->activation_bits = 8;
	model->image_type = (int32_t)image_type;
	for (size_t i = 0; i < model->n_layers; i++)
		if (model->layers[i].definition.units > 0)
			set_weight_scales(&model->layers[i]);
	model->layers[0].activation_scale = qmdi_image_scale(model->image_type);
	values *all = new_values(model, image);
	const size_t last = logits_layer(model);
	for (size_t i = 1; i < last; i++) {
		qmdi_layer *layer = &model->layers[i];
		if (has_own_scale(layer->definition.kind)) {
			reference_layer(model, i, all);
			layer->activation_scale = observed_scale(model, i, at(all, i));
		} else {
			layer->activation_scale = model->layers[layer->definition.inputs[0]].activation_scale;
		}
		all[i].scale = layer->activation_scale;
		reference_layer(model, i, all);
	}
	free_values(model, all);
}

/* ---- Pixels ---- */

qmd_pixels *qmdt_made_up_pixels(int32_t kind, size_t n_atoms) {
	qmd_pixels *pixels;
	qmdt_ok(qmdi_pixels_allocate(kind, n_atoms, n_atoms, &pixels));
	for (size_t i = 0; i < n_atoms; i++) {
		qmd_atom *atom = &pixels->atoms[i];
		snprintf(atom->name, sizeof atom->name, "C%zu", i % 8);
		memcpy(atom->residue_name, i / 8 % 2 ? "GLY" : "ALA", 4);
		memcpy(atom->chain, i < n_atoms / 2 ? "A" : "B", 2);
		atom->residue = (uint32_t)(i / 8);
		atom->residue_number = (int32_t)(i / 8) + 1;
		pixels->superposed[i] = (uint32_t)i;
		for (size_t k = 0; k < 3; k++)
			pixels->reference[3 * i + k] = 20.0f * qmdi_random_f32(9, i, k);
		if (pixels->steps)
			pixels->steps[i] = 3.0f / 127.0f;
	}
	qmdt_ok(qmdi_pixels_prepare(pixels));
	return pixels;
}

double *qmdt_made_up_frame(const qmd_pixels *pixels, uint64_t seed) {
	double *xyz = malloc(3 * pixels->n_atoms * sizeof *xyz);
	ck_assert_ptr_nonnull(xyz);
	for (size_t i = 0; i < 3 * pixels->n_atoms; i++)
		xyz[i] = (double)pixels->reference[i] + 4.0 * ((double)qmdi_random_f32(seed, 13, i) - 0.5);
	return xyz;
}

qmd_model *qmdt_bound_network(qmd_type image_type) {
	static const char *const names[] = {"open", "closed", "apo"};
	qmd_model *model = qmdt_network(image_type == QMD_U8 ? 3 : 2);
	const size_t side = model->layers[0].output.h;
	qmd_pixels *pixels =
		qmdt_made_up_pixels(image_type == QMD_U8 ? QMD_PIXELS_ICNNMD : QMD_PIXELS_DISPLACEMENT, side * side - 4);
	qmdt_ok(qmd_model_bind(model, pixels, names));
	qmd_pixels_free(pixels);
	return model;
}

qmd_engine *qmdt_compile(const qmd_model *model, int fuse) {
	qmd_engine *engine;
	qmd_engine_options options;
	qmd_engine_options_init(&options);
	options.fuse = fuse;
	qmdt_ok(qmd_engine_compile(model, &options, &engine));
	return engine;
}

qmd_context *qmdt_new_context(const qmd_engine *engine, uint32_t n_threads, uint32_t max_batch) {
	qmd_context *context;
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.n_threads = n_threads;
	options.max_batch = max_batch;
	qmdt_ok(qmd_context_create(engine, &options, &context));
	return context;
}
