/* What a trained model is tied to: its pixels and the names of its classes. */
#include "model_layer.h"

#include "base/memory.h"
#include "pixels/pixels_internal.h"

void qmdi_release_texts(char **texts, size_t n) {
	for (size_t i = 0; texts && i < n; i++)
		qmdi_release(texts[i]);
	qmdi_release(texts);
}

void qmdi_model_release_class_names(qmd_model *model) {
	qmdi_release_texts(model->class_names, model->n_class_names);
	model->class_names = NULL;
	model->n_class_names = 0;
}

static qmd_status copy_texts(const char *const *texts, size_t n, char ***copy) {
	*copy = qmdi_zeroed(n, sizeof **copy);
	if (!*copy)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < n; i++) {
		if (!texts[i] || !*texts[i])
			return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_model_bind: the name of class %zu is %s", i,
							 texts[i] ? "empty" : "NULL");
		(*copy)[i] = qmdi_string(texts[i]);
		if (!(*copy)[i])
			return QMD_ERROR_MEMORY;
	}
	return QMD_OK;
}

static qmd_status check_fit(const qmd_model *model, const qmd_pixels *pixels) {
	const qmd_shape input = model->layers[0].output;
	const size_t side = qmd_pixels_side(pixels);
	if (input.h != side || input.w != side || input.c != QMDI_PIXEL_CHANNELS)
		return qmdi_fail(QMD_ERROR_SHAPE, "the model's input is %u x %u x %u, the pixels are %zu x %zu x %d", input.h,
						 input.w, input.c, side, side, QMDI_PIXEL_CHANNELS);
	if (model->image_type && model->image_type != (int32_t)qmd_pixels_type(pixels))
		return qmdi_fail(QMD_ERROR_SHAPE, "the model was quantized for %s pixels, these are %s",
						 model->image_type == QMD_U8 ? "u8" : "s8", model->image_type == QMD_U8 ? "s8" : "u8");
	return QMD_OK;
}

qmd_status qmd_model_bind(qmd_model *model, qmd_pixels *pixels, const char *const *class_names) {
	QMDI_REQUIRE(model);
	QMDI_REQUIRE(pixels);
	QMDI_TRY(check_fit(model, pixels));
	const size_t n = class_names ? qmd_model_n_classes(model) : 0;
	if (class_names && n == 0)
		return qmdi_fail(QMD_ERROR_SHAPE, "the output of layer '%s' is not flat: there are no classes to name",
						 model->layers[model->n_layers - 1].name);
	char **copy = NULL;
	if (n > 0) {
		const qmd_status status = copy_texts(class_names, n, &copy);
		if (status != QMD_OK) {
			qmdi_release_texts(copy, n);
			return status;
		}
	}
	qmd_pixels *held = qmdi_pixels_retain(pixels);
	qmd_pixels_free(model->pixels);
	qmdi_model_release_class_names(model);
	model->pixels = held;
	model->class_names = copy;
	model->n_class_names = n;
	return QMD_OK;
}

const char *qmd_model_class_name(const qmd_model *model, size_t index) {
	return model && index < model->n_class_names ? model->class_names[index] : NULL;
}

const qmd_pixels *qmd_model_pixels(const qmd_model *model) {
	return model ? model->pixels : NULL;
}
