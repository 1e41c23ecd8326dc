#include <qmd/quantize.h>

#include <math.h>

#include "base/float_environment.h"
#include "base/memory.h"
#include "calibrate.h"
#include "lsq.h"
#include "passes.h"
#include "quantize_scales.h"
#include "train/trainer.h"

#define FIRST_SIZE sizeof(qmd_quantize_options) /* of the oldest version */

void qmd_quantize_options_init_sized(qmd_quantize_options *options, size_t size) {
	const qmd_quantize_options defaults = {.struct_size = sizeof defaults,
										   .weight_bits = 8,
										   .activation_bits = 8,
										   .observer = QMD_OBSERVER_EMA_MAX,
										   .percentile = 99.99,
										   .linear_collapse = 1,
										   .epochs = 5,
										   .learning_rate = 1e-5,
										   .batch_size = 16,
										   .seed = 1};
	qmdi_struct_fill(options, size, &defaults, sizeof defaults);
}

static qmd_status check_bits(const char *name, uint32_t bits) {
	if (bits < 2 || bits > 8)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_quantize_options: %s is %u, expected 2 to 8", name, bits);
	return QMD_OK;
}

static qmd_status check_options(qmd_quantize_options *o) {
	QMDI_TRY(check_bits("weight_bits", o->weight_bits));
	QMDI_TRY(check_bits("activation_bits", o->activation_bits));
	if (o->observer != QMD_OBSERVER_EMA_MAX && o->observer != QMD_OBSERVER_PERCENTILE)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_quantize_options: observer is %d, expected a qmd_observer",
						 o->observer);
	if (!(o->percentile >= 50 && o->percentile <= 100))
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_quantize_options: percentile is %g, expected 50 to 100",
						 o->percentile);
	if (o->linear_collapse != 0 && o->linear_collapse != 1)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_quantize_options: linear_collapse is %d, expected 0 or 1",
						 o->linear_collapse);
	if (!(o->learning_rate > 0 && isfinite(o->learning_rate)))
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_quantize_options: learning_rate is %g, expected a number above 0",
						 o->learning_rate);
	if (o->batch_size < 1)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_quantize_options: batch_size is 0, expected at least 1");
	return qmdi_threads_check(&o->n_threads, "qmd_quantize_options");
}

/* ---- Fine-tuning ---- */

static qmd_status step_scales(void *lsq, const qmdi_network *network) {
	return qmdi_lsq_step(lsq, network);
}

static qmd_status fine_tune(qmd_model *model, const qmdi_images *images, const qmd_quantize_options *options,
							const size_t *owners) {
	qmd_train_options training;
	qmd_train_options_init(&training);
	training.learning_rate = options->learning_rate;
	training.epochs = options->epochs;
	training.target_loss = 0; /* a trained model begins below it */
	training.batch_size = options->batch_size;
	training.seed = options->seed;
	training.n_threads = options->n_threads;
	training.device = options->device;
	training.progress = options->progress;
	training.user = options->user;
	qmdi_lsq *lsq = NULL;
	if (model->weight_bits <= QMDI_LSQ_BITS || model->activation_bits <= QMDI_LSQ_BITS)
		QMDI_TRY(qmdi_lsq_create(model, owners, &training, &lsq));
	const qmd_status status = qmdi_train_loop(model, images, &training, "fine-tune", lsq ? step_scales : NULL, lsq);
	qmdi_lsq_free(lsq);
	if (status != QMD_OK)
		return status;
	/* Above that the scales of weights follow the weights; ranges of activations stay as calibrated. Trained scales are
	 * those before the last step, which has moved the biases. */
	if (model->weight_bits > QMDI_LSQ_BITS)
		qmdi_weight_scales_from_weights(model);
	else
		qmdi_weight_scales_fit_biases(model);
	return QMD_OK;
}

/* ---- Quantizing ---- */

/* The passes, calibration, fine-tuning. */
static qmd_status quantize_in_place(qmd_model *model, const qmdi_images *images, const qmd_quantize_options *options,
									size_t *owners) {
	QMDI_TRY(qmdi_calibrate(model, images, options, owners));
	model->weight_bits = options->weight_bits;
	model->activation_bits = options->activation_bits;
	model->image_type = images->type;
	QMDI_TRY(qmdi_weight_scales_allocate(model));
	if (options->epochs > 0 && model->weight_bits <= QMDI_LSQ_BITS)
		qmdi_weight_scales_start(model);
	else
		qmdi_weight_scales_from_weights(model);
	return options->epochs > 0 ? fine_tune(model, images, options, owners) : QMD_OK;
}

static qmd_status run_passes(qmd_model *model, const qmd_quantize_options *options) {
	QMDI_TRY(qmdi_fold_batchnorms(model));
	if (options->linear_collapse)
		return qmdi_collapse_convolutions(model);
	return qmdi_note_pass(model, "linear collapse: switched off");
}

static qmd_status quantize(const qmd_model *model, const qmdi_images *images, const qmd_quantize_options *options,
						   qmd_model **quantized) {
	qmd_model *copy;
	QMDI_TRY(qmdi_model_copy(model, &copy));
	qmd_status status = run_passes(copy, options);
	size_t *owners = qmdi_array(copy->n_layers, sizeof *owners);
	if (status == QMD_OK && !owners)
		status = QMD_ERROR_MEMORY;
	if (status == QMD_OK)
		status = qmdi_scale_owners(copy, owners);
	if (status == QMD_OK)
		status = quantize_in_place(copy, images, options, owners);
	qmdi_release(owners);
	if (status != QMD_OK) {
		qmd_model_free(copy);
		return status;
	}
	*quantized = copy;
	return QMD_OK;
}

static qmd_status prepare(const qmd_model *model, const qmd_quantize_options *given, qmd_quantize_options *options) {
	qmd_quantize_options_init(options);
	QMDI_TRY(qmdi_options_copy(options, sizeof *options, FIRST_SIZE, given, "qmd_quantize_options"));
	QMDI_TRY(check_options(options));
	if (qmd_model_is_quantized(model))
		return qmdi_fail(QMD_ERROR_STATE, "qmd_quantize: the model is already quantized");
	return QMD_OK;
}

static qmd_status quantize_in_environment(const qmd_model *model, const qmdi_images *images,
										  const qmd_quantize_options *options, qmd_model **quantized) {
	qmdi_float_environment host;
	qmdi_float_enter(&host);
	const qmd_status status = quantize(model, images, options, quantized);
	qmdi_float_leave(&host);
	return status;
}

qmd_status qmd_quantize_images(const qmd_model *model, const void *images, qmd_type image_type, const uint32_t *labels,
							   size_t n_images, const qmd_quantize_options *options, qmd_model **quantized) {
	QMDI_REQUIRE(model);
	QMDI_REQUIRE(images);
	QMDI_REQUIRE(labels);
	QMDI_REQUIRE(quantized);
	*quantized = NULL;
	qmd_quantize_options checked;
	qmdi_images borrowed;
	QMDI_TRY(prepare(model, options, &checked));
	QMDI_TRY(qmdi_images_borrow(model, images, (int32_t)image_type, labels, n_images, &borrowed));
	return quantize_in_environment(model, &borrowed, &checked, quantized);
}

qmd_status qmd_quantize(const qmd_model *model, qmd_dataset *dataset, const qmd_split *split,
						const qmd_quantize_options *options, qmd_model **quantized) {
	QMDI_REQUIRE(model);
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(split);
	QMDI_REQUIRE(quantized);
	*quantized = NULL;
	qmd_quantize_options checked;
	QMDI_TRY(prepare(model, options, &checked));
	if (!model->pixels)
		return qmdi_fail(QMD_ERROR_STATE,
						 "qmd_quantize: the model is not bound to pixels (qmd_train() or qmd_model_bind())");
	qmdi_images images;
	QMDI_TRY(qmdi_images_render(model, dataset, split, model->pixels, &images));
	const qmd_status status = quantize_in_environment(model, &images, &checked, quantized);
	qmdi_images_release(&images);
	return status;
}
