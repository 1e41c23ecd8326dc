#include "lsq.h"

#include <math.h>

#include "base/memory.h"
#include "calibrate.h"
#include "quantize_scales.h"
#include "train/optimizer.h"

/* A step of Adam is about learning_rate long: on a logarithm that is a share of the scale, which may be larger than the
 * share of a weight. */
#define RATE_FACTOR 10.0

struct qmdi_lsq {
	qmd_model *model;
	const size_t *owners;
	size_t n;          /* scales in all: first those of weights, layer by layer, then one a layer of activations */
	size_t n_weight;   /* scales of weights */
	float *logarithms; /* [n] */
	float *gradients;  /* [n]; 0 where a layer owns no activation scale */
	qmdi_tensor_device *device; /* the host: scales are few */
	qmdi_optimizer *optimizer;
};

static int trains_weights(const qmd_model *model) {
	return model->weight_bits <= QMDI_LSQ_BITS;
}

static int trains_activations(const qmd_model *model) {
	return model->activation_bits <= QMDI_LSQ_BITS;
}

static int owns_scale(const qmdi_lsq *lsq, size_t layer) {
	return layer > 0 && lsq->owners[layer] == layer;
}

static size_t n_weight_scales(const qmd_model *model, size_t layer) {
	return trains_weights(model) && model->layers[layer].weight_scales ? model->layers[layer].definition.units : 0;
}

static void take_logarithms(qmdi_lsq *lsq) {
	float *next = lsq->logarithms;
	for (size_t l = 0; l < lsq->model->n_layers; l++)
		for (size_t u = 0; u < n_weight_scales(lsq->model, l); u++)
			*next++ = logf(lsq->model->layers[l].weight_scales[u]);
	for (size_t l = 0; l < lsq->model->n_layers; l++)
		*next++ = owns_scale(lsq, l) ? logf(lsq->model->layers[l].activation_scale) : 0.0f;
}

static qmd_status make(qmdi_lsq *lsq, const qmd_train_options *options) {
	for (size_t l = 0; l < lsq->model->n_layers; l++)
		lsq->n_weight += n_weight_scales(lsq->model, l);
	lsq->n = lsq->n_weight + lsq->model->n_layers;
	lsq->logarithms = qmdi_array(lsq->n, sizeof *lsq->logarithms);
	lsq->gradients = qmdi_zeroed(lsq->n, sizeof *lsq->gradients);
	if (!lsq->logarithms || !lsq->gradients)
		return QMD_ERROR_MEMORY;
	take_logarithms(lsq);
	qmd_train_options adam = *options;
	adam.learning_rate *= RATE_FACTOR;
	adam.weight_decay = 0;
	adam.epsilon = 1e-20; /* these gradients are small; Adam's steps do not depend on their size */
	const qmdi_trained scales = {.values = lsq->logarithms, .n = lsq->n};
	QMDI_TRY(qmdi_tensor_open("cpu", 1, &lsq->device));
	return qmdi_optimizer_create(&adam, &scales, 1, lsq->device, &lsq->optimizer);
}

qmd_status qmdi_lsq_create(qmd_model *model, const size_t *owners, const qmd_train_options *options,
						   qmdi_lsq **result) {
	qmdi_lsq *lsq = qmdi_zeroed(1, sizeof *lsq);
	if (!lsq)
		return QMD_ERROR_MEMORY;
	lsq->model = model;
	lsq->owners = owners;
	const qmd_status status = make(lsq, options);
	if (status != QMD_OK) {
		qmdi_lsq_free(lsq);
		return status;
	}
	*result = lsq;
	return QMD_OK;
}

void qmdi_lsq_free(qmdi_lsq *lsq) {
	if (!lsq)
		return;
	qmdi_optimizer_free(lsq->optimizer);
	qmdi_tensor_close(lsq->device);
	qmdi_release(lsq->logarithms);
	qmdi_release(lsq->gradients);
	qmdi_release(lsq);
}

/* d loss / d log(scale) = scale * d loss / d scale. Whichever layer of those that share a scale has a gradient, it goes
 * to the owner. */
static qmd_status take_gradients(qmdi_lsq *lsq, const qmdi_network *network) {
	const qmd_model *model = lsq->model;
	float *weight_gradients = lsq->gradients, *activation_gradients = lsq->gradients + lsq->n_weight;
	for (size_t l = 0; l < model->n_layers; l++)
		activation_gradients[l] = 0.0f;
	for (size_t l = 0; l < model->n_layers; l++) {
		const size_t n = n_weight_scales(model, l);
		float activation;
		QMDI_TRY(qmdi_network_scale_gradients(network, l, n > 0 ? weight_gradients : NULL, &activation));
		for (size_t u = 0; u < n; u++)
			*weight_gradients++ *= model->layers[l].weight_scales[u];
		if (trains_activations(model) && lsq->owners[l] != QMDI_NO_OWNER && lsq->owners[l] > 0)
			activation_gradients[lsq->owners[l]] += model->layers[l].activation_scale * activation;
	}
	return QMD_OK;
}

static void set_scales(const qmdi_lsq *lsq) {
	qmd_model *model = lsq->model;
	const float *weight = lsq->logarithms, *activation = lsq->logarithms + lsq->n_weight;
	for (size_t l = 0; l < model->n_layers; l++) {
		for (size_t u = 0; u < n_weight_scales(model, l); u++)
			model->layers[l].weight_scales[u] = qmdi_scale_clamp(exp((double)*weight++));
		if (trains_activations(model) && lsq->owners[l] != QMDI_NO_OWNER && lsq->owners[l] > 0)
			model->layers[l].activation_scale = qmdi_scale_clamp(exp((double)activation[lsq->owners[l]]));
	}
}

qmd_status qmdi_lsq_step(qmdi_lsq *lsq, const qmdi_network *network) {
	QMDI_TRY(take_gradients(lsq, network));
	const float *gradients = lsq->gradients;
	QMDI_TRY(qmdi_optimizer_step(lsq->optimizer, &gradients));
	set_scales(lsq);
	qmdi_weight_scales_fit_biases(lsq->model);
	return QMD_OK;
}
