#include "calibrate.h"

#include <float.h>
#include <math.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "observer.h"
#include "quantize_scales.h"
#include "train/network.h"

/* Stream of random numbers for the order of the images; apart from the trainer's. */
#define ORDER_STREAM ((uint64_t)1 << 33)

typedef struct calibration {
	qmd_model *model;
	const qmdi_images *images;
	const qmd_quantize_options *options;
	const size_t *owners;
	qmdi_network *network;
	qmdi_observer *observers; /* [n_layers]; used where a layer owns a scale */
	uint32_t *order;
	size_t batch_size, n_batches, n_done, n_total;
} calibration;

typedef enum phase { RANGES, HISTOGRAMS } phase;

static int is_owner(const calibration *c, size_t layer) {
	return layer > 0 && c->owners[layer] == layer;
}

/* The first n images of the batch that was run last. */
static qmd_status observe(calibration *c, phase what, size_t n) {
	for (size_t l = 0; l < c->model->n_layers; l++) {
		if (!is_owner(c, l))
			continue;
		const qmd_shape shape = c->model->layers[l].output;
		const size_t n_values = n * shape.h * shape.w * shape.c;
		const float *x;
		QMDI_TRY(qmdi_network_output(c->network, l, &x));
		if (what == HISTOGRAMS)
			qmdi_observe_histogram(&c->observers[l], x, n_values);
		else if (qmdi_observe_range(&c->observers[l], x, n_values) != QMD_OK)
			return qmdi_fail_within(QMD_ERROR_RANGE, "calibration: layer '%s'", c->model->layers[l].name);
	}
	return QMD_OK;
}

/* All images once. The last batch is filled up with what the one before it left there, and that is not observed. */
static qmd_status observe_all(calibration *c, phase what) {
	for (size_t first = 0; first < c->images->n; first += c->batch_size) {
		const size_t left = c->images->n - first, n = left < c->batch_size ? left : c->batch_size;
		qmdi_images_gather(c->images, c->order + first, n, qmdi_network_input(c->network));
		QMDI_TRY(qmdi_network_forward(c->network, QMDI_INFERENCE, 0, 0));
		QMDI_TRY(observe(c, what, n));
		QMDI_TRY(qmdi_progress(c->options->progress, c->options->user, "calibrate", ++c->n_done, c->n_total, NAN, NAN));
	}
	return QMD_OK;
}

static qmd_status set_up(calibration *c) {
	const size_t n = c->images->n;
	c->batch_size = c->options->batch_size < n ? c->options->batch_size : n;
	c->n_batches = (n + c->batch_size - 1) / c->batch_size;
	c->n_total = c->n_batches * (c->options->observer == QMD_OBSERVER_PERCENTILE ? 2 : 1);
	c->observers = qmdi_zeroed(c->model->n_layers, sizeof *c->observers);
	c->order = qmdi_array(n, sizeof *c->order);
	if (!c->observers || !c->order)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < n; i++)
		c->order[i] = (uint32_t)i;
	qmdi_random_shuffle(c->options->seed, ORDER_STREAM, c->order, n);
	return qmdi_network_open(c->model, c->options->device, c->options->n_threads, c->batch_size, QMDI_NO_BACKWARD,
							 &c->network);
}

static void tear_down(calibration *c) {
	for (size_t l = 0; c->observers && l < c->model->n_layers; l++)
		qmdi_observer_release(&c->observers[l]);
	qmdi_release(c->observers);
	qmdi_release(c->order);
	qmdi_network_free(c->network);
}

static qmd_status run(calibration *c) {
	QMDI_TRY(observe_all(c, RANGES));
	if (c->options->observer != QMD_OBSERVER_PERCENTILE)
		return QMD_OK;
	for (size_t l = 0; l < c->model->n_layers; l++)
		if (is_owner(c, l))
			QMDI_TRY(qmdi_observer_begin_histogram(&c->observers[l]));
	return observe_all(c, HISTOGRAMS);
}

/* A scale that is going to be trained starts where Esser et al. 2020 start it; else it spans the observed range. */
static double scale_of(const calibration *c, const qmdi_observer *observer) {
	const double high = qmdi_quantized_max(c->options->activation_bits);
	if (c->options->epochs > 0 && c->options->activation_bits <= QMDI_LSQ_BITS)
		return 2 * qmdi_observer_mean(observer) / sqrt(high);
	if (c->options->observer == QMD_OBSERVER_PERCENTILE)
		return qmdi_observer_percentile(observer, c->options->percentile) / high;
	return qmdi_observer_ema(observer) / high;
}

static void set_scales(calibration *c) {
	for (size_t l = 0; l < c->model->n_layers; l++) {
		const size_t owner = c->owners[l];
		float *scale = &c->model->layers[l].activation_scale;
		if (owner == QMDI_NO_OWNER)
			*scale = 0.0f;
		else if (owner == 0)
			*scale = qmdi_image_scale(c->images->type);
		else {
			const double wanted = scale_of(c, &c->observers[owner]);
			*scale = wanted > 0 ? qmdi_scale_clamp(wanted) : 1.0f;
		}
	}
}

qmd_status qmdi_calibrate(qmd_model *model, const qmdi_images *images, const qmd_quantize_options *options,
						  const size_t *owners) {
	calibration c = {.model = model, .images = images, .options = options, .owners = owners};
	qmd_status status = set_up(&c);
	if (status == QMD_OK)
		status = run(&c);
	if (status == QMD_OK)
		set_scales(&c);
	tear_down(&c);
	return status;
}
