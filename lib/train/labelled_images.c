#include "labelled_images.h"

#include "base/hash.h"
#include "base/memory.h"

static qmd_status check_model(const qmd_model *model) {
	if (qmd_model_n_layers(model) < 2 || qmd_model_n_classes(model) < 2)
		return qmdi_fail(QMD_ERROR_SHAPE, "model: its last layer has %zu outputs, expected at least 2 classes",
						 qmd_model_n_layers(model) < 2 ? (size_t)0 : qmd_model_n_classes(model));
	return QMD_OK;
}

qmd_status qmdi_image_type_check(int32_t type) {
	if (type != QMD_S8 && type != QMD_U8)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "image_type is %d, expected QMD_S8 (%d) or QMD_U8 (%d)", type, QMD_S8,
						 QMD_U8);
	return QMD_OK;
}

static size_t image_size(const qmd_model *model) {
	const qmd_shape input = model->layers[0].output;
	return (size_t)input.h * input.w * input.c;
}

qmd_status qmdi_images_borrow(const qmd_model *model, const void *bytes, int32_t type, const uint32_t *labels, size_t n,
							  qmdi_images *images) {
	QMDI_TRY(check_model(model));
	QMDI_TRY(qmdi_image_type_check(type));
	if (n < 1 || n > UINT32_MAX)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "n_images is %zu, expected 1 to %u", n, UINT32_MAX);
	const size_t n_classes = qmd_model_n_classes(model);
	for (size_t i = 0; labels && i < n; i++)
		if (labels[i] >= n_classes)
			return qmdi_fail(QMD_ERROR_RANGE, "labels[%zu] is %u, expected less than the model's %zu classes", i,
							 labels[i], n_classes);
	*images = (qmdi_images){.bytes = bytes, .labels = labels, .n = n, .size = image_size(model), .type = type};
	return QMD_OK;
}

static qmd_status check_fit(const qmd_model *model, const qmd_dataset *dataset, const qmd_pixels *pixels) {
	QMDI_TRY(check_model(model));
	const qmd_shape input = model->layers[0].output;
	const size_t side = qmd_pixels_side(pixels), n_states = qmd_dataset_n_states(dataset);
	if (input.h != side || input.w != side || input.c != 3)
		return qmdi_fail(QMD_ERROR_SHAPE, "model: its input is %u x %u x %u, expected the pixels' %zu x %zu x 3",
						 input.h, input.w, input.c, side, side);
	if (qmd_model_n_classes(model) != n_states)
		return qmdi_fail(QMD_ERROR_SHAPE, "model: it has %zu classes, expected one for each of the %zu states",
						 qmd_model_n_classes(model), n_states);
	return QMD_OK;
}

static qmd_status read_labels(const qmd_dataset *dataset, const uint32_t *frames, size_t n, uint32_t *labels) {
	for (size_t i = 0; i < n; i++) {
		qmd_frame_origin origin;
		QMDI_TRY(qmd_dataset_frame_origin(dataset, frames[i], &origin));
		labels[i] = origin.state;
	}
	return QMD_OK;
}

qmd_status qmdi_images_render(const qmd_model *model, qmd_dataset *dataset, const qmd_split *split,
							  const qmd_pixels *pixels, qmdi_images *images) {
	QMDI_TRY(check_fit(model, dataset, pixels));
	size_t n;
	const uint32_t *frames = qmd_split_train(split, &n);
	if (n < 1)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "split: it has no training frames");
	*images = (qmdi_images){.n = n, .size = image_size(model), .type = (int32_t)qmd_pixels_type(pixels)};
	images->bytes = images->owned_bytes = qmdi_array(n, images->size);
	images->labels = images->owned_labels = qmdi_array(n, sizeof(uint32_t));
	qmd_status status = images->bytes && images->labels ? QMD_OK : QMD_ERROR_MEMORY;
	if (status == QMD_OK)
		status = read_labels(dataset, frames, n, images->owned_labels);
	if (status == QMD_OK)
		status = qmd_pixels_run_dataset(pixels, dataset, frames, n, images->owned_bytes);
	if (status != QMD_OK)
		qmdi_images_release(images);
	return status;
}

void qmdi_images_release(qmdi_images *images) {
	qmdi_release(images->owned_bytes);
	qmdi_release(images->owned_labels);
	*images = (qmdi_images){0};
}

void qmdi_bytes_to_real(const unsigned char *bytes, int32_t type, size_t n, float *out) {
	const float scale = qmdi_image_scale(type);
	if (type == QMD_U8)
		for (size_t i = 0; i < n; i++)
			out[i] = scale * (float)bytes[i];
	else
		for (size_t i = 0; i < n; i++)
			out[i] = scale * (float)((const signed char *)bytes)[i];
}

void qmdi_images_gather(const qmdi_images *images, const uint32_t *order, size_t n, float *out) {
	for (size_t i = 0; i < n; i++)
		qmdi_bytes_to_real(images->bytes + order[i] * images->size, images->type, images->size, out + i * images->size);
}

uint64_t qmdi_images_hash(const qmdi_images *images) {
	uint64_t hash = qmdi_hash(QMDI_HASH_START, &images->type, sizeof images->type);
	hash = qmdi_hash(hash, images->bytes, images->n * images->size);
	return images->labels ? qmdi_hash(hash, images->labels, images->n * sizeof *images->labels) : hash;
}
