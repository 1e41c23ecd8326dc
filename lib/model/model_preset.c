/* Networks by name. */
#include <qmd/model.h>

#include <string.h>

#include "base/error.h"

/* A network is a row of layers; fields that a kind does not read are 0. */
typedef struct step {
	qmd_layer_kind kind;
	uint32_t units;  /* conv2d, dense; 0: the number of classes */
	uint32_t kernel; /* conv2d, maxpool */
	qmd_padding padding;
	float rate; /* dropout */
} step;

static const step icnnmd[] = {
	{.kind = QMD_LAYER_CONV2D, .units = 32, .kernel = 3, .padding = QMD_PADDING_SAME},
	{.kind = QMD_LAYER_CONV2D, .units = 32, .kernel = 3, .padding = QMD_PADDING_VALID},
	{.kind = QMD_LAYER_RELU},
	{.kind = QMD_LAYER_MAXPOOL, .kernel = 2},
	{.kind = QMD_LAYER_DROPOUT, .rate = 0.25f},
	{.kind = QMD_LAYER_CONV2D, .units = 64, .kernel = 3, .padding = QMD_PADDING_SAME},
	{.kind = QMD_LAYER_RELU},
	{.kind = QMD_LAYER_CONV2D, .units = 64, .kernel = 3, .padding = QMD_PADDING_VALID},
	{.kind = QMD_LAYER_RELU},
	{.kind = QMD_LAYER_MAXPOOL, .kernel = 2},
	{.kind = QMD_LAYER_DROPOUT, .rate = 0.25f},
	{.kind = QMD_LAYER_FLATTEN},
	{.kind = QMD_LAYER_DENSE, .units = 512},
	{.kind = QMD_LAYER_RELU},
	{.kind = QMD_LAYER_DROPOUT, .rate = 0.5f},
	{.kind = QMD_LAYER_DENSE, .units = 0},
	{.kind = QMD_LAYER_SOFTMAX},
};

static qmd_status add_step(qmd_model *model, const step *next, uint32_t n_classes) {
	qmd_layer layer;
	qmd_layer_init(&layer, (int32_t)next->kind);
	layer.units = next->units ? next->units : n_classes;
	layer.kernel_h = layer.kernel_w = next->kernel;
	layer.padding = (int32_t)next->padding;
	layer.rate = next->rate;
	return qmd_model_add(model, &layer, NULL);
}

static qmd_status add_steps(qmd_model *model, const step *steps, size_t n_steps, uint32_t n_classes) {
	for (size_t i = 0; i < n_steps; i++)
		QMDI_TRY(add_step(model, &steps[i], n_classes));
	return QMD_OK;
}

qmd_status qmd_model_create_preset(const char *name, qmd_shape input, uint32_t n_classes, uint64_t seed,
								   qmd_model **model) {
	QMDI_REQUIRE(name);
	QMDI_REQUIRE(model);
	*model = NULL;
	if (strcmp(name, "icnnmd") != 0)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "preset '%s' is unknown, expected 'icnnmd'", name);
	if (n_classes < 2)
		return qmdi_fail(QMD_ERROR_RANGE, "preset '%s': n_classes is %u, expected at least 2", name, n_classes);
	if (input.h < 10 || input.w < 10)
		return qmdi_fail(QMD_ERROR_SHAPE, "preset '%s': the input is %u x %u, expected at least 10 x 10", name, input.h,
						 input.w);
	qmd_model *created;
	QMDI_TRY(qmd_model_create(input, &created));
	qmd_status status = add_steps(created, icnnmd, sizeof icnnmd / sizeof *icnnmd, n_classes);
	if (status == QMD_OK)
		status = qmd_model_initialize(created, seed);
	if (status != QMD_OK) {
		qmd_model_free(created);
		return status;
	}
	*model = created;
	return QMD_OK;
}
