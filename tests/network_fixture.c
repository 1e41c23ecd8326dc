#include "network_fixture.h"

#include <math.h>

#include "base/memory.h"
#include "base/random.h"
#include "tensor/fake_quant.h"

qmd_layer qmdt_layer(int32_t kind) {
	qmd_layer layer;
	qmd_layer_init(&layer, kind);
	return layer;
}

int32_t qmdt_add(qmd_model *model, qmd_layer layer) {
	int32_t id = 0;
	qmdt_ok(qmd_model_add(model, &layer, &id));
	return id;
}

int32_t qmdt_add_conv(qmd_model *model, int32_t input, uint32_t units, uint32_t kernel, uint32_t stride,
					  int32_t padding) {
	qmd_layer layer = qmdt_layer(QMD_LAYER_CONV2D);
	layer.inputs[0] = input;
	layer.units = units;
	layer.kernel_h = layer.kernel_w = kernel;
	layer.stride_h = layer.stride_w = stride;
	layer.padding = padding;
	return qmdt_add(model, layer);
}

int32_t qmdt_add_dense(qmd_model *model, uint32_t units) {
	qmd_layer layer = qmdt_layer(QMD_LAYER_DENSE);
	layer.units = units;
	return qmdt_add(model, layer);
}

int32_t qmdt_add_kind(qmd_model *model, int32_t kind) {
	return qmdt_add(model, qmdt_layer(kind));
}

int32_t qmdt_add_reading(qmd_model *model, int32_t kind, int32_t input) {
	qmd_layer layer = qmdt_layer(kind);
	layer.inputs[0] = input;
	layer.kernel_h = layer.kernel_w = layer.stride_h = layer.stride_w = 2;
	return qmdt_add(model, layer);
}

int32_t qmdt_add_sum(qmd_model *model, int32_t a, int32_t b) {
	qmd_layer layer = qmdt_layer(QMD_LAYER_ADD);
	layer.inputs[0] = a;
	layer.inputs[1] = b;
	return qmdt_add(model, layer);
}

int32_t qmdt_add_dropout(qmd_model *model, float rate) {
	qmd_layer layer = qmdt_layer(QMD_LAYER_DROPOUT);
	layer.rate = rate;
	return qmdt_add(model, layer);
}

const float *qmdt_output(qmdi_network *network, size_t layer) {
	const float *values;
	qmdt_ok(qmdi_network_output(network, layer, &values));
	return values;
}

/* Half the width of the range of a parameter: of weights such that outputs are about as large as inputs. */
static float half_width(const qmdi_layer *layer, size_t parameter) {
	const int is_batchnorm = layer->definition.kind == QMD_LAYER_BATCHNORM;
	if (is_batchnorm || parameter != QMDI_WEIGHT)
		return 0.5f;
	const float fan_in = (float)layer->n_parameters[QMDI_WEIGHT] / (float)layer->definition.units;
	return sqrtf(3.0f / fan_in);
}

void qmdt_draw_parameters(qmd_model *model, uint64_t seed) {
	for (size_t i = 0; i < model->n_layers; i++) {
		const qmdi_layer *layer = &model->layers[i];
		const int is_batchnorm = layer->definition.kind == QMD_LAYER_BATCHNORM;
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++) {
			const float center = is_batchnorm && (p == QMDI_GAMMA || p == QMDI_VARIANCE) ? 1.0f : 0.0f;
			for (size_t j = 0; j < layer->n_parameters[p]; j++)
				layer->parameters[p][j] =
					center + half_width(layer, p) * (2.0f * qmdi_random_f32(seed, 16 * i + p, j) - 1.0f);
		}
	}
}

void qmdt_draw_images(uint64_t seed, float *images, size_t n) {
	for (size_t i = 0; i < n; i++)
		images[i] = (float)((int)(255.0f * qmdi_random_f32(seed, 1u << 20, i)) - 127) / 127.0f;
}

/* ---- Quantization ---- */

static float largest_magnitude(const float *values, size_t n) {
	float largest = 0.0f;
	for (size_t i = 0; i < n; i++)
		largest = fmaxf(largest, fabsf(values[i]));
	return largest;
}

/* Scales are carried as model_internal.h says: forward through relu, pools and the like, back from a relu. */
static void carry_scales(qmd_model *model) {
	for (size_t i = 1; i < model->n_layers; i++) {
		qmdi_layer *layer = &model->layers[i];
		qmdi_layer *input = &model->layers[layer->definition.inputs[0]];
		const int32_t kind = layer->definition.kind;
		const int computes = input->definition.kind == QMD_LAYER_CONV2D || input->definition.kind == QMD_LAYER_DENSE ||
							 input->definition.kind == QMD_LAYER_ADD;
		if (kind == QMD_LAYER_RELU && computes &&
			qmdi_model_consumers(model, (size_t)layer->definition.inputs[0], NULL) == 1)
			input->activation_scale = layer->activation_scale;
		else if (kind == QMD_LAYER_RELU || kind == QMD_LAYER_MAXPOOL || kind == QMD_LAYER_FLATTEN ||
				 kind == QMD_LAYER_DROPOUT)
			layer->activation_scale = input->activation_scale;
	}
}

void qmdt_quantize(qmd_model *model, uint32_t weight_bits, uint32_t activation_bits, const float *images,
				   size_t n_images) {
	qmdi_network *network;
	qmdt_ok(qmdi_network_open(model, NULL, 1, n_images, QMDI_NO_BACKWARD, &network));
	const qmd_shape shape = model->layers[0].output;
	memcpy(qmdi_network_input(network), images, n_images * shape.h * shape.w * shape.c * sizeof *images);
	qmdt_ok(qmdi_network_forward(network, QMDI_INFERENCE, 0, 0));
	model->weight_bits = weight_bits;
	model->activation_bits = activation_bits;
	model->image_type = QMD_S8;
	model->layers[0].activation_scale = qmdi_image_scale(QMD_S8);
	const size_t logits = qmdi_model_logits(model);
	for (size_t i = 1; i <= logits; i++) {
		qmdi_layer *layer = &model->layers[i];
		const size_t n = n_images * layer->output.h * layer->output.w * layer->output.c;
		if (i < logits)
			layer->activation_scale =
				largest_magnitude(qmdt_output(network, i), n) / (float)qmdi_quantized_max(activation_bits);
		if (layer->definition.kind != QMD_LAYER_CONV2D && layer->definition.kind != QMD_LAYER_DENSE)
			continue;
		layer->weight_scales = qmdi_zeroed(layer->definition.units, sizeof(float));
		ck_assert_ptr_nonnull(layer->weight_scales);
		qmdi_weight_scales(layer->parameters[QMDI_WEIGHT], layer->definition.units,
						   layer->n_parameters[QMDI_WEIGHT] / layer->definition.units, qmdi_quantized_max(weight_bits),
						   layer->weight_scales);
	}
	carry_scales(model);
	qmdi_network_free(network);
}

/* ---- The residual net ---- */

qmd_model *qmdt_residual_net(int with_batchnorm) {
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){11, 9, 3}, &model));
	qmdt_add_conv(model, QMD_PREVIOUS, 6, 3, 2, QMD_PADDING_SAME); /* 6 x 5 */
	if (with_batchnorm)
		qmdt_add_kind(model, QMD_LAYER_BATCHNORM);
	const int32_t trunk = qmdt_add_kind(model, QMD_LAYER_RELU);
	qmd_layer padded = qmdt_layer(QMD_LAYER_CONV2D);
	padded.units = 6;
	padded.kernel_h = 3;
	padded.kernel_w = 2;
	padded.padding = QMD_PADDING_EXPLICIT;
	padded.pad_top = 2;
	padded.pad_right = 1;
	const int32_t branch = qmdt_add(model, padded);
	qmdt_add_sum(model, trunk, branch);
	qmdt_add_kind(model, QMD_LAYER_RELU);
	qmd_layer pool = qmdt_layer(QMD_LAYER_MAXPOOL);
	pool.kernel_h = pool.kernel_w = 2;
	pool.stride_h = pool.stride_w = 1;
	qmdt_add(model, pool); /* 5 x 4, windows overlap */
	qmdt_add_dropout(model, 0.25f);
	const int32_t fork = qmdt_add_conv(model, QMD_PREVIOUS, 5, 3, 1, QMD_PADDING_SAME);
	pool = qmdt_layer(QMD_LAYER_AVGPOOL);
	pool.kernel_h = pool.kernel_w = 3;
	pool.stride_h = pool.stride_w = 1;
	pool.inputs[0] = fork;
	qmdt_add(model, pool); /* 3 x 2 */
	const int32_t pooled = qmdt_add_kind(model, QMD_LAYER_GLOBAL_AVGPOOL);
	pool = qmdt_layer(QMD_LAYER_GLOBAL_AVGPOOL);
	pool.inputs[0] = fork;
	const int32_t whole = qmdt_add(model, pool);
	qmdt_add_sum(model, pooled, whole);
	qmdt_add_kind(model, QMD_LAYER_FLATTEN);
	qmdt_add_dense(model, 7);
	qmdt_add_kind(model, QMD_LAYER_RELU);
	qmdt_add_dropout(model, 0.5f);
	qmdt_add_dense(model, 3);
	qmdt_add_kind(model, QMD_LAYER_SOFTMAX);
	return model;
}
