#include <string.h>

#include "base/clock.h"
#include "base/float_environment.h"
#include "base/memory.h"
#include "base/softmax.h"
#include "predictor.h"
#include "predictor_backend.h"
#include "trainer.h"

#define FIRST_SIZE sizeof(qmd_predictor_options) /* of the oldest version */
#define MAX_REPEATS 100000

struct qmd_predictor {
	qmd_model *model;
	qmdi_network *network; /* of "fp32"; the other engines have the next three */
	const qmdi_predictor_backend *backend;
	qmdi_tensor_device *device;
	void *state;
	size_t batch_size, n_classes, image_size;
	unsigned char *images; /* [batch_size][image_size], of frames */
	float *logits;         /* [batch_size][n_classes], of a backend */
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

/* ---- Creation ---- */

/* The vendor's inference, on the GPU that the device names. */
static qmd_status open_backend(qmd_predictor *predictor, const qmd_predictor_options *options, int is_int8) {
	const char *name = options->device ? options->device : "cuda";
	const int is_quantized = qmd_model_is_quantized(predictor->model);
	if (is_int8 != is_quantized)
		return qmdi_fail(QMD_ERROR_STATE, "engine '%s' takes a model that is %s", options->engine,
						 is_int8 ? "quantized" : "not quantized");
	if (is_int8 && (predictor->model->weight_bits != 8 || predictor->model->activation_bits != 8))
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "engine '%s' takes 8-bit weights and activations, not %u and %u",
						 options->engine, predictor->model->weight_bits, predictor->model->activation_bits);
	if (!qmdi_cudnn_predictor)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "engine '%s': this libqmd was built without CUDA and cuDNN",
						 options->engine);
	if (strncmp(name, "cuda", 4) != 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "engine '%s' computes on a GPU, the device is '%s'", options->engine,
						 name);
	QMDI_TRY(qmdi_tensor_open(name, options->n_threads, &predictor->device));
	predictor->backend = qmdi_cudnn_predictor;
	return predictor->backend->create(predictor->model, predictor->device, is_int8, predictor->batch_size,
									  &predictor->state);
}

static qmd_status open_engine(qmd_predictor *predictor, const qmd_predictor_options *options) {
	const char *engine = options->engine ? options->engine : "fp32";
	if (strcmp(engine, "fp32") == 0)
		return qmdi_network_open(predictor->model, options->device, options->n_threads, predictor->batch_size,
								 QMDI_NO_BACKWARD, &predictor->network);
	if (strcmp(engine, "cudnn-fp16") == 0)
		return open_backend(predictor, options, 0);
	if (strcmp(engine, "cudnn-int8") == 0)
		return open_backend(predictor, options, 1);
	return qmdi_fail(QMD_ERROR_ARGUMENT, "engine is '%s', expected fp32, cudnn-fp16 or cudnn-int8", engine);
}

static qmd_status set_up(qmd_predictor *predictor, const qmd_model *model, const qmd_predictor_options *options) {
	QMDI_TRY(qmdi_model_copy(model, &predictor->model));
	const qmd_shape input = model->layers[0].output;
	predictor->n_classes = qmd_model_n_classes(model);
	predictor->image_size = (size_t)input.h * input.w * input.c;
	if (qmd_model_n_layers(model) < 2 || predictor->n_classes < 1)
		return qmdi_fail(QMD_ERROR_SHAPE, "qmd_predictor_create: the model has no layer beside its input");
	predictor->images = qmdi_array(predictor->batch_size, predictor->image_size);
	predictor->logits = qmdi_array(predictor->batch_size, predictor->n_classes * sizeof *predictor->logits);
	if (!predictor->images || !predictor->logits)
		return QMD_ERROR_MEMORY;
	return open_engine(predictor, options);
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
	if (predictor->backend)
		predictor->backend->free(predictor->state);
	qmdi_tensor_close(predictor->device);
	qmd_model_free(predictor->model);
	qmdi_release(predictor->images);
	qmdi_release(predictor->logits);
	qmdi_release(predictor);
}

void qmdi_predictor_multiply_input(qmd_predictor *predictor, float factor) {
	predictor->factor = factor;
}

/* ---- Running ---- */

/* What the batch leaves over is filled up with zeros. */
static qmd_status run_network(const qmd_predictor *predictor, const unsigned char *images, int32_t type, size_t n,
							  const float **logits) {
	float *input = qmdi_network_input(predictor->network);
	qmdi_bytes_to_real(images, type, n * predictor->image_size, input);
	for (size_t i = 0; predictor->factor != 1 && i < n * predictor->image_size; i++)
		input[i] *= predictor->factor;
	memset(input + n * predictor->image_size, 0, (predictor->batch_size - n) * predictor->image_size * sizeof *input);
	QMDI_TRY(qmdi_network_forward(predictor->network, QMDI_INFERENCE, 0, 0));
	*logits = qmdi_network_logits(predictor->network);
	return QMD_OK;
}

/* At most one batch. */
static qmd_status run_batch(qmd_predictor *predictor, const unsigned char *images, int32_t type, size_t n,
							const results *out, size_t first) {
	const float *logits = predictor->logits;
	QMDI_TRY(predictor->backend ? predictor->backend->run(predictor->state, images, type, n, predictor->logits)
								: run_network(predictor, images, type, n, &logits));
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

/* ---- Asking ---- */

size_t qmd_predictor_n_layers(const qmd_predictor *predictor) {
	return predictor ? predictor->model->n_layers : 0;
}

qmd_status qmd_predictor_layer_info(const qmd_predictor *predictor, size_t index, qmd_predictor_layer *layer) {
	QMDI_REQUIRE(predictor);
	QMDI_REQUIRE(layer);
	if (index >= predictor->model->n_layers)
		return qmdi_fail(QMD_ERROR_RANGE, "layer %zu, but the model has %zu", index, predictor->model->n_layers);
	qmd_predictor_layer info = {.struct_size = sizeof info,
								.name = predictor->model->layers[index].name,
								.computed_by = "FP32",
								.computed_with = (uint32_t)index};
	if (predictor->backend) {
		info.computed_by = predictor->backend->computed_by(predictor->state, index);
		info.computed_with = (uint32_t)predictor->backend->computed_with(predictor->state, index);
	}
	return qmdi_struct_give(layer, &info, sizeof info, sizeof info, "qmd_predictor_layer");
}

/* ---- How long it takes ---- */

static qmd_status check_timing(const qmd_predictor *predictor, const void *images, qmd_type image_type, size_t n,
							   uint32_t n_repeats, const void *times) {
	QMDI_REQUIRE(predictor);
	QMDI_REQUIRE(images);
	QMDI_REQUIRE(times);
	if (n < 1 || n > predictor->batch_size)
		return qmdi_fail(QMD_ERROR_RANGE, "%zu images, expected 1 to %zu, the batch", n, predictor->batch_size);
	if (n_repeats < 1 || n_repeats > MAX_REPEATS)
		return qmdi_fail(QMD_ERROR_RANGE, "n_repeats is %u, expected 1 to %d", n_repeats, MAX_REPEATS);
	return check_type(predictor->model, (int32_t)image_type);
}

static qmd_status time_network(qmd_predictor *predictor, const void *images, int32_t type, size_t n, size_t n_repeats,
							   qmd_run_time *times) {
	const float *logits;
	for (size_t i = 0; i < n_repeats; i++) {
		const double start = qmdi_seconds_now();
		QMDI_TRY(run_network(predictor, images, type, n, &logits));
		const double total = qmdi_seconds_now() - start;
		times[i] = (qmd_run_time){.compute = total, .total = total};
	}
	return QMD_OK;
}

qmd_status qmd_predictor_time(qmd_predictor *predictor, const void *images, qmd_type image_type, size_t n,
							  uint32_t n_repeats, qmd_run_time *times) {
	QMDI_TRY(check_timing(predictor, images, image_type, n, n_repeats, times));
	qmdi_float_environment host;
	qmdi_float_enter(&host);
	const qmd_status status =
		predictor->backend
			? predictor->backend->time(predictor->state, images, (int32_t)image_type, n, n_repeats, times)
			: time_network(predictor, images, (int32_t)image_type, n, n_repeats, times);
	qmdi_float_leave(&host);
	return status;
}

qmd_status qmd_predictor_time_layers(qmd_predictor *predictor, const void *images, qmd_type image_type, size_t n,
									 uint32_t n_repeats, double *times) {
	QMDI_TRY(check_timing(predictor, images, image_type, n, n_repeats, times));
	if (!predictor->backend)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "layers are timed with the engines cudnn-fp16 and cudnn-int8 alone");
	return predictor->backend->time_layers(predictor->state, images, (int32_t)image_type, n, n_repeats, times);
}
