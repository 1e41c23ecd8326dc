#include "base/float_environment.h"
#include "base/memory.h"
#include "trainer.h"

#define FIRST_SIZE sizeof(qmd_train_options) /* of the oldest version */

void qmd_train_options_init_sized(qmd_train_options *options, size_t size) {
	const qmd_train_options defaults = {.struct_size = sizeof defaults,
										.optimizer = QMD_OPTIMIZER_ADAM,
										.learning_rate = 3e-4,
										.beta1 = 0.9,
										.beta2 = 0.999,
										.epsilon = 1e-7,
										.batch_size = 16,
										.epochs = 30,
										.target_loss = 0.05,
										.seed = 1,
										.checkpoint_interval = 1};
	qmdi_struct_fill(options, size, &defaults, sizeof defaults);
}

static qmd_status prepare(const qmd_model *model, const qmd_train_options *given, qmd_train_options *options) {
	qmd_train_options_init(options);
	QMDI_TRY(qmdi_options_copy(options, sizeof *options, FIRST_SIZE, given, "qmd_train_options"));
	QMDI_TRY(qmdi_train_options_check(options, "qmd_train_options"));
	if (qmd_model_is_quantized(model))
		return qmdi_fail(QMD_ERROR_STATE, "qmd_train: the model is quantized; train it before qmd_quantize()");
	return QMD_OK;
}

static qmd_status train(qmd_model *model, const qmdi_images *images, const qmd_train_options *options) {
	qmdi_float_environment host;
	qmdi_float_enter(&host);
	const qmd_status status = qmdi_train_loop(model, images, options, "train", NULL, NULL);
	qmdi_float_leave(&host);
	return status;
}

qmd_status qmd_train_images(qmd_model *model, const void *images, qmd_type image_type, const uint32_t *labels,
							size_t n_images, const qmd_train_options *options) {
	QMDI_REQUIRE(model);
	QMDI_REQUIRE(images);
	QMDI_REQUIRE(labels);
	qmd_train_options checked;
	qmdi_images borrowed;
	QMDI_TRY(prepare(model, options, &checked));
	QMDI_TRY(qmdi_images_borrow(model, images, (int32_t)image_type, labels, n_images, &borrowed));
	return train(model, &borrowed, &checked);
}

/* The names of the states become those of the classes. */
static qmd_status bind(qmd_model *model, qmd_dataset *dataset, qmd_pixels *pixels) {
	const size_t n = qmd_dataset_n_states(dataset);
	const char **names = qmdi_array(n, sizeof *names);
	if (!names)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < n; i++)
		names[i] = qmd_dataset_state_name(dataset, i);
	const qmd_status status = qmd_model_bind(model, pixels, names);
	qmdi_release(names);
	return status;
}

qmd_status qmd_train(qmd_model *model, qmd_dataset *dataset, const qmd_split *split, qmd_pixels *pixels,
					 const qmd_train_options *options) {
	QMDI_REQUIRE(model);
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(split);
	QMDI_REQUIRE(pixels);
	qmd_train_options checked;
	qmdi_images images;
	QMDI_TRY(prepare(model, options, &checked));
	QMDI_TRY(qmdi_images_render(model, dataset, split, pixels, &images));
	qmd_status status = train(model, &images, &checked);
	qmdi_images_release(&images);
	if (status == QMD_OK)
		status = bind(model, dataset, pixels);
	return status;
}
