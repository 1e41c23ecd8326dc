#include <string.h>

#include "base/float_environment.h"
#include "base/memory.h"
#include "base/softmax.h"
#include "predictor.h"
#include "trainer.h"

#define FIRST_SIZE sizeof(qmd_predictor_options) /* of the oldest version */

struct qmd_predictor {
	qmd_model *model;
	qmdi_network *network;
	size_t batch_size, n_classes, image_size;
	unsigned char *images; /* [batch_size][image_size], of frames */
	float factor;          /* of what the network reads */
};

/* Where the results go; either may be NULL. */
typedef struct results {
	float *logits, *probabilities;
} results;

void qmd_predictor_options_init_sized(qmd_predictor_options *options, size_t size) {
	const qmd_predictor_options defaults = {.struct_size = sizeof defaults, .batch_size = 32};
	qmdi_struct_fill(options, size, &defaults, sizeof defaults);
}

static qmd_status set_up(qmd_predictor *predictor, const qmd_model *model, const qmd_predictor_options *options) {
	QMDI_TRY(qmdi_model_copy(model, &predictor->model));
	const qmd_shape input = model->layers[0].output;
	predictor->n_classes = qmd_model_n_classes(model);
	predictor->image_size = (size_t)input.h * input.w * input.c;
	if (qmd_model_n_layers(model) < 2 || predictor->n_classes < 1)
		return qmdi_fail(QMD_ERROR_SHAPE, "qmd_predictor_create: the model has no layer beside its input");
	predictor->images = qmdi_array(predictor->batch_size, predictor->image_size);
	if (!predictor->images)
		return QMD_ERROR_MEMORY;
	return qmdi_network_open(predictor->model, options->device, options->n_threads, predictor->batch_size,
							 QMDI_NO_BACKWARD, &predictor->network);
}

static qmd_status prepare(const qmd_predictor_options *given, qmd_predictor_options *options) {
	qmd_predictor_options_init(options);
	QMDI_TRY(qmdi_options_copy(options, sizeof *options, FIRST_SIZE, given, "qmd_predictor_options"));
	if (options->batch_size < 1)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_predictor_options: batch_size is 0, expected at least 1");
	return qmdi_threads_check(&options->n_threads, "qmd_predictor_options");
}

qmd_status qmd_predictor_create(const qmd_model *model, const qmd_predictor_options *options, qmd_predictor **result) {
	QMDI_REQUIRE(model);
	QMDI_REQUIRE(result);
	*result = NULL;
	qmd_predictor_options checked;
	QMDI_TRY(prepare(options, &checked));
	qmd_predictor *predictor = qmdi_zeroed(1, sizeof *predictor);
	if (!predictor)
		return QMD_ERROR_MEMORY;
	predictor->batch_size = checked.batch_size;
	predictor->factor = 1;
	const qmd_status status = set_up(predictor, model, &checked);
	if (status != QMD_OK) {
		qmd_predictor_free(predictor);
		return status;
	}
	*result = predictor;
	return QMD_OK;
}

void qmd_predictor_free(qmd_predictor *predictor) {
	if (!predictor)
		return;
	qmdi_network_free(predictor->network);
	qmd_model_free(predictor->model);
	qmdi_release(predictor->images);
	qmdi_release(predictor);
}

void qmdi_predictor_multiply_input(qmd_predictor *predictor, float factor) {
	predictor->factor = factor;
}

/* At most one batch; what it leaves over is filled up with zeros. */
static qmd_status run_batch(qmd_predictor *predictor, const unsigned char *images, int32_t type, size_t n,
							const results *out, size_t first) {
	float *input = qmdi_network_input(predictor->network);
	qmdi_bytes_to_real(images, type, n * predictor->image_size, input);
	for (size_t i = 0; predictor->factor != 1 && i < n * predictor->image_size; i++)
		input[i] *= predictor->factor;
	memset(input + n * predictor->image_size, 0, (predictor->batch_size - n) * predictor->image_size * sizeof *input);
	QMDI_TRY(qmdi_network_forward(predictor->network, QMDI_INFERENCE, 0, 0));
	const float *logits = qmdi_network_logits(predictor->network);
	const size_t n_classes = predictor->n_classes;
	if (out->logits)
		memcpy(out->logits + first * n_classes, logits, n * n_classes * sizeof *logits);
	for (size_t i = 0; out->probabilities && i < n; i++)
		qmdi_softmax(logits + i * n_classes, n_classes, out->probabilities + (first + i) * n_classes);
	return QMD_OK;
}

static size_t next_batch(const qmd_predictor *predictor, size_t done, size_t n) {
	return n - done < predictor->batch_size ? n - done : predictor->batch_size;
}

static qmd_status run_images(qmd_predictor *predictor, const unsigned char *images, int32_t type, size_t n,
							 const results *out) {
	for (size_t done = 0; done < n; done += predictor->batch_size)
		QMDI_TRY(run_batch(predictor, images + done * predictor->image_size, type, next_batch(predictor, done, n), out,
						   done));
	return QMD_OK;
}

static qmd_status check_type(const qmd_model *model, int32_t type) {
	QMDI_TRY(qmdi_image_type_check(type));
	int32_t expected = type;
	if (model->image_type)
		expected = model->image_type;
	else if (model->pixels)
		expected = (int32_t)qmd_pixels_type(model->pixels);
	if (type != expected)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "image_type is %s, but the model was made for %s images",
						 type == QMD_S8 ? "QMD_S8" : "QMD_U8", expected == QMD_S8 ? "QMD_S8" : "QMD_U8");
	return QMD_OK;
}

qmd_status qmd_predictor_run_images(qmd_predictor *predictor, const void *images, qmd_type image_type, size_t n,
									float *logits, float *probabilities) {
	QMDI_REQUIRE(predictor);
	if (n == 0)
		return QMD_OK;
	QMDI_REQUIRE(images);
	QMDI_TRY(check_type(predictor->model, (int32_t)image_type));
	const results out = {logits, probabilities};
	qmdi_float_environment host;
	qmdi_float_enter(&host);
	const qmd_status status = run_images(predictor, images, (int32_t)image_type, n, &out);
	qmdi_float_leave(&host);
	return status;
}

static qmd_status run_frames(qmd_predictor *predictor, const qmd_frame *frames, size_t n, const results *out) {
	const qmd_pixels *pixels = predictor->model->pixels;
	for (size_t done = 0; done < n; done += predictor->batch_size) {
		const size_t now = next_batch(predictor, done, n);
		QMDI_TRY(qmd_pixels_run(pixels, frames + done, now, predictor->images));
		QMDI_TRY(run_batch(predictor, predictor->images, (int32_t)qmd_pixels_type(pixels), now, out, done));
	}
	return QMD_OK;
}

qmd_status qmd_predictor_run(qmd_predictor *predictor, const qmd_frame *frames, size_t n, float *logits,
							 float *probabilities) {
	QMDI_REQUIRE(predictor);
	if (!predictor->model->pixels)
		return qmdi_fail(QMD_ERROR_STATE, "qmd_predictor_run: the model is not bound to pixels (qmd_model_bind())");
	if (n == 0)
		return QMD_OK;
	QMDI_REQUIRE(frames);
	const results out = {logits, probabilities};
	qmdi_float_environment host;
	qmdi_float_enter(&host);
	const qmd_status status = run_frames(predictor, frames, n, &out);
	qmdi_float_leave(&host);
	return status;
}
