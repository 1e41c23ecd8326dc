#include "fuzz_training.h"

#include <stdlib.h>

#include "model/model_internal.h"

/* Of the model below: its arrays, and the numbers of its largest. */
#define N_TRAINED 6
#define MOST_VALUES 4

static void require(qmd_status status) {
	if (status != QMD_OK)
		abort();
}

static qmd_model *make_model(void) {
	static const int32_t kinds[] = {QMD_LAYER_CONV2D, QMD_LAYER_BATCHNORM, QMD_LAYER_FLATTEN, QMD_LAYER_DENSE};
	qmd_model *model;
	require(qmd_model_create((qmd_shape){1, 1, 1}, &model));
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		qmd_layer layer;
		qmd_layer_init(&layer, kinds[i]);
		layer.units = 2;
		layer.kernel_h = layer.kernel_w = 1;
		require(qmd_model_add(model, &layer, NULL));
	}
	require(qmd_model_initialize(model, 1));
	return model;
}

fuzz_training fuzz_training_create(qmd_optimizer kind) {
	fuzz_training training = {.model = make_model()};
	qmdi_trained arrays[N_TRAINED];
	size_t n = 0;
	for (size_t l = 0; l < training.model->n_layers; l++)
		for (size_t p = 0; p < QMDI_MEAN; p++) {
			const qmdi_layer *layer = &training.model->layers[l];
			if (layer->n_parameters[p] > 0)
				arrays[n++] = (qmdi_trained){layer->parameters[p], layer->n_parameters[p], 0};
		}
	require(qmdi_tensor_open("cpu", 1, &training.device));
	qmd_train_options options;
	qmd_train_options_init(&options);
	options.optimizer = kind;
	require(qmdi_optimizer_create(&options, arrays, n, training.device, &training.optimizer));
	return training;
}

void fuzz_training_free(fuzz_training *training) {
	qmdi_optimizer_free(training->optimizer);
	qmdi_tensor_close(training->device);
	qmd_model_free(training->model);
}

qmd_status fuzz_training_save(const fuzz_training *training, const char *path) {
	return qmdi_checkpoint_save(path, training->model, training->optimizer, &training->state, FUZZ_TRAINING_HASH);
}

qmd_status fuzz_training_load(fuzz_training *training, const char *path) {
	return qmdi_checkpoint_load(path, training->model, training->optimizer, &training->state, FUZZ_TRAINING_HASH);
}

void fuzz_training_step(fuzz_training *training) {
	static const float ones[MOST_VALUES] = {1, 1, 1, 1};
	const float *gradients[N_TRAINED];
	for (size_t i = 0; i < N_TRAINED; i++)
		gradients[i] = ones;
	require(qmdi_optimizer_step(training->optimizer, gradients));
}
