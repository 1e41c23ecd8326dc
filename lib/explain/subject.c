#include "explain/subject.h"

#include <qmd/train.h>

#include "base/memory.h"
#include "train/predictor.h"

struct qmdi_runner {
	qmd_context *context;     /* of an engine */
	qmd_predictor *predictor; /* of a model */
	qmd_type image_type;
};

static qmd_status check(const qmdi_subject *subject) {
	if (!subject->pixels)
		return qmdi_fail(QMD_ERROR_STATE, "qmd_explain: the %s has no pixels, so residues have none to leave out",
						 subject->name);
	if (subject->n_classes < 2)
		return qmdi_fail(QMD_ERROR_STATE, "qmd_explain: the %s has %zu outputs, a margin needs at least 2",
						 subject->name, subject->n_classes);
	return QMD_OK;
}

static size_t image_size(const qmd_pixels *pixels) {
	const size_t side = qmd_pixels_side(pixels);
	return side * side * 3;
}

static qmd_status count_macs(const qmd_engine *engine, uint64_t *n_macs) {
	*n_macs = 0;
	for (size_t i = 0; i < qmd_engine_n_layers(engine); i++) {
		qmd_engine_layer layer = {.struct_size = sizeof layer};
		QMDI_TRY(qmd_engine_layer_info(engine, i, &layer));
		*n_macs += layer.n_macs;
	}
	return QMD_OK;
}

qmd_status qmdi_subject_of_engine(const qmd_engine *engine, qmdi_subject *subject) {
	const qmd_pixels *pixels = qmd_engine_pixels(engine);
	*subject = (qmdi_subject){.name = "engine",
							  .engine = engine,
							  .pixels = pixels,
							  .n_classes = qmd_engine_n_classes(engine),
							  .image_size = image_size(pixels)};
	QMDI_TRY(count_macs(engine, &subject->n_macs));
	return check(subject);
}

qmd_status qmdi_subject_of_model(const qmd_model *model, qmdi_subject *subject) {
	const qmd_pixels *pixels = qmd_model_pixels(model);
	*subject = (qmdi_subject){.name = "model",
							  .model = model,
							  .pixels = pixels,
							  .n_classes = qmd_model_n_classes(model),
							  .image_size = image_size(pixels),
							  .n_macs = qmd_model_n_macs(model)};
	return check(subject);
}

const char *qmdi_subject_class_name(const qmdi_subject *subject, size_t index) {
	return subject->engine ? qmd_engine_class_name(subject->engine, index)
						   : qmd_model_class_name(subject->model, index);
}

static qmd_status set_up(const qmdi_subject *subject, qmdi_runner *runner) {
	runner->image_type = qmd_pixels_type(subject->pixels);
	if (subject->model) {
		qmd_predictor_options options;
		qmd_predictor_options_init(&options);
		options.batch_size = QMDI_RUNNER_BATCH;
		options.n_threads = 1;
		QMDI_TRY(qmd_predictor_create(subject->model, &options, &runner->predictor));
		if (subject->reads_bytes)
			qmdi_predictor_multiply_input(runner->predictor, 1 / qmd_pixels_scale(subject->pixels));
		return QMD_OK;
	}
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.max_batch = QMDI_RUNNER_BATCH;
	return qmd_context_create(subject->engine, &options, &runner->context);
}

qmd_status qmdi_runner_create(const qmdi_subject *subject, qmdi_runner **result) {
	qmdi_runner *runner = qmdi_zeroed(1, sizeof *runner);
	*result = NULL;
	if (!runner)
		return QMD_ERROR_MEMORY;
	const qmd_status status = set_up(subject, runner);
	if (status != QMD_OK) {
		qmdi_runner_free(runner);
		return status;
	}
	*result = runner;
	return QMD_OK;
}

void qmdi_runner_free(qmdi_runner *runner) {
	if (!runner)
		return;
	qmd_context_free(runner->context);
	qmd_predictor_free(runner->predictor);
	qmdi_release(runner);
}

qmd_status qmdi_runner_logits(qmdi_runner *runner, const void *images, size_t n, float *logits) {
	if (runner->predictor)
		return qmd_predictor_run_images(runner->predictor, images, runner->image_type, n, logits, NULL);
	const qmd_output output = {.name = "logits", .data = logits};
	return qmd_context_run_images(runner->context, images, n, &output, 1);
}
