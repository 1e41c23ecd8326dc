/* Weights: drawing, reading and setting them. */
#include "model_layer.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/float_environment.h"
#include "base/random.h"

/* Streams of random numbers of one seed: "GLOR" and the layer's number. */
#define STREAM (UINT64_C(0x474c4f52) << 32)

const char *qmdi_parameter_name(const qmdi_layer *layer, size_t parameter) {
	static const char *const weighted[QMDI_MAX_PARAMETERS] = {[QMDI_WEIGHT] = "weight", [QMDI_BIAS] = "bias"};
	static const char *const batchnorm[QMDI_MAX_PARAMETERS] = {
		[QMDI_GAMMA] = "gamma", [QMDI_BETA] = "beta", [QMDI_MEAN] = "mean", [QMDI_VARIANCE] = "variance"};
	if (parameter >= QMDI_MAX_PARAMETERS || layer->n_parameters[parameter] == 0)
		return NULL;
	return layer->definition.kind == QMD_LAYER_BATCHNORM ? batchnorm[parameter] : weighted[parameter];
}

static void fill(float *values, size_t n, float value) {
	for (size_t i = 0; i < n; i++)
		values[i] = value;
}

void qmdi_layer_reset_parameters(qmdi_layer *layer) {
	for (int i = 0; i < QMDI_MAX_PARAMETERS; i++)
		fill(layer->parameters[i], layer->n_parameters[i], 0.0f);
	if (layer->definition.kind == QMD_LAYER_BATCHNORM) {
		fill(layer->parameters[QMDI_GAMMA], layer->n_parameters[QMDI_GAMMA], 1.0f);
		fill(layer->parameters[QMDI_VARIANCE], layer->n_parameters[QMDI_VARIANCE], 1.0f);
	}
}

/* Uniform in +-1 / sqrt(fan_in), a fan counting the kernel's pixels (Glorot and Bengio 2010, eq. 1). Their eq. 16,
 * which is wider for large dense layers, generalizes worse from few frames (docs/training.md). */
static void draw_uniform(qmdi_layer *layer, uint64_t seed, size_t number) {
	const size_t n = layer->n_parameters[QMDI_WEIGHT];
	const double fan_in = (double)n / layer->definition.units;
	const float limit = (float)(1.0 / sqrt(fan_in));
	for (size_t i = 0; i < n; i++)
		layer->parameters[QMDI_WEIGHT][i] = (2.0f * qmdi_random_f32(seed, STREAM + number, i) - 1.0f) * limit;
}

static qmd_status check_not_quantized(const qmd_model *model, const char *function) {
	if (qmd_model_is_quantized(model))
		return qmdi_fail(QMD_ERROR_STATE, "%s: the model is quantized, its scales belong to the weights it has",
						 function);
	return QMD_OK;
}

qmd_status qmd_model_initialize(qmd_model *model, uint64_t seed) {
	QMDI_REQUIRE(model);
	QMDI_TRY(check_not_quantized(model, __func__));
	qmdi_float_environment host;
	qmdi_float_enter(&host);
	for (size_t i = 0; i < model->n_layers; i++) {
		qmdi_layer *layer = &model->layers[i];
		qmdi_layer_reset_parameters(layer);
		if (layer->definition.units)
			draw_uniform(layer, seed, i);
	}
	qmdi_float_leave(&host);
	return QMD_OK;
}

size_t qmdi_layer_n_parameters(const qmdi_layer *layer) {
	size_t n = 0;
	for (int i = 0; i < QMDI_MAX_PARAMETERS; i++)
		n += layer->n_parameters[i];
	return n;
}

size_t qmd_model_n_parameters(const qmd_model *model) {
	size_t n = 0;
	for (size_t i = 0; i < qmd_model_n_layers(model); i++) /* the first two of each kind are trained, the others not */
		n += model->layers[i].n_parameters[0] + model->layers[i].n_parameters[1];
	return n;
}

/* The layer of that name, and which of its parameters `parameter` is; NULL and the error text if there is none. */
static qmdi_layer *find_parameter(const qmd_model *model, const char *layer, const char *parameter, size_t *index) {
	for (size_t i = 0; i < model->n_layers; i++) {
		if (strcmp(model->layers[i].name, layer) != 0)
			continue;
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++) {
			const char *name = qmdi_parameter_name(&model->layers[i], p);
			if (!name || strcmp(name, parameter) != 0)
				continue;
			*index = p;
			return &model->layers[i];
		}
		qmdi_fail(QMD_ERROR_ARGUMENT, "layer '%s' (%s) has no parameter '%s'", layer,
				  qmdi_layer_kind_name(model->layers[i].definition.kind), parameter);
		return NULL;
	}
	qmdi_fail(QMD_ERROR_ARGUMENT, "the model has no layer '%s'", layer);
	return NULL;
}

qmd_status qmd_model_parameters(const qmd_model *model, const char *layer, const char *parameter, size_t *n,
								float *values) {
	QMDI_REQUIRE(model);
	QMDI_REQUIRE(layer);
	QMDI_REQUIRE(parameter);
	QMDI_REQUIRE(n);
	size_t index;
	const qmdi_layer *found = find_parameter(model, layer, parameter, &index);
	if (!found)
		return QMD_ERROR_ARGUMENT;
	const size_t room = *n;
	*n = found->n_parameters[index];
	if (!values)
		return QMD_OK;
	if (room < *n)
		return qmdi_fail(QMD_ERROR_RANGE, "layer '%s': %s has %zu numbers, there is room for %zu", layer, parameter, *n,
						 room);
	memcpy(values, found->parameters[index], *n * sizeof *values);
	return QMD_OK;
}

qmd_status qmd_model_set_parameters(qmd_model *model, const char *layer, const char *parameter, size_t n,
									const float *values) {
	QMDI_REQUIRE(model);
	QMDI_REQUIRE(layer);
	QMDI_REQUIRE(parameter);
	QMDI_REQUIRE(values);
	QMDI_TRY(check_not_quantized(model, __func__));
	size_t index;
	const qmdi_layer *found = find_parameter(model, layer, parameter, &index);
	if (!found)
		return QMD_ERROR_ARGUMENT;
	if (n != found->n_parameters[index])
		return qmdi_fail(QMD_ERROR_SHAPE, "layer '%s': %s has %zu numbers, %zu were given", layer, parameter,
						 found->n_parameters[index], n);
	QMDI_TRY(qmdi_layer_check_parameter(found, index, values));
	memcpy(found->parameters[index], values, n * sizeof *values);
	return QMD_OK;
}

qmd_status qmdi_layer_check_parameter(const qmdi_layer *layer, size_t index, const float *values) {
	const int is_variance = layer->definition.kind == QMD_LAYER_BATCHNORM && index == QMDI_VARIANCE;
	for (size_t i = 0; i < layer->n_parameters[index]; i++)
		if (!isfinite(values[i]) || (is_variance && values[i] < 0))
			return qmdi_fail(QMD_ERROR_RANGE, "layer '%s': %s[%zu] is %g, expected a finite number%s", layer->name,
							 qmdi_parameter_name(layer, index), i, (double)values[i],
							 is_variance ? " that is not negative" : "");
	return QMD_OK;
}
