#include "training_fixture.h"

#include <math.h>
#include <stdio.h>

#include "base/random.h"
#include "model/model_internal.h"
#include "network_fixture.h"

#define SIDE QMDT_PATCH_SIDE

int8_t qmdt_patches[QMDT_N_PATCHES * QMDT_PATCH_SIZE];
uint32_t qmdt_patch_labels[QMDT_N_PATCHES];

void qmdt_draw_patches(uint64_t seed) {
	for (size_t i = 0; i < QMDT_N_PATCHES; i++) {
		qmdt_patch_labels[i] = i % 2;
		for (size_t j = 0; j < QMDT_PATCH_SIZE; j++) {
			const size_t y = j / 3 / SIDE, x = j / 3 % SIDE;
			const int is_bright = i % 2 ? y >= SIDE - 4 && x >= SIDE - 4 : y < 4 && x < 4;
			const int noise = (int)(qmdi_random_u32(seed, i, j) % 61) - 30;
			qmdt_patches[i * QMDT_PATCH_SIZE + j] = (int8_t)(noise + (is_bright ? 30 : 0));
		}
	}
}

qmd_model *qmdt_patch_model(uint64_t seed) {
	qmd_model *model;
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){SIDE, SIDE, 3}, 2, seed, &model));
	return model;
}

qmd_model *qmdt_tiny_model(void) {
	qmd_model *model;
	qmdt_ok(qmd_model_create((qmd_shape){SIDE, SIDE, 3}, &model));
	qmdt_add_conv(model, QMD_PREVIOUS, 8, 3, 1, QMD_PADDING_SAME);
	qmdt_add_conv(model, QMD_PREVIOUS, 2, 3, 2, QMD_PADDING_VALID);
	qmdt_add_kind(model, QMD_LAYER_BATCHNORM);
	qmdt_add_kind(model, QMD_LAYER_RELU);
	qmdt_add_kind(model, QMD_LAYER_FLATTEN);
	qmdt_add_dense(model, 2);
	qmdt_ok(qmd_model_initialize(model, 1));
	return model;
}

void qmdt_patch_logits(const qmd_model *model, float logits[2 * QMDT_N_PATCHES]) {
	qmd_predictor *predictor;
	qmdt_ok(qmdt_predictor_create(model, 16, &predictor));
	qmdt_ok(qmd_predictor_run_images(predictor, qmdt_patches, QMD_S8, QMDT_N_PATCHES, logits, NULL));
	qmd_predictor_free(predictor);
}

/* How far the right class is ahead of the other. */
static double margin(const float *logits, size_t i) {
	const size_t right = qmdt_patch_labels[i];
	return (double)logits[2 * i + right] - (double)logits[2 * i + 1 - right];
}

double qmdt_patch_accuracy(const qmd_model *model) {
	float logits[2 * QMDT_N_PATCHES];
	qmdt_patch_logits(model, logits);
	int n_right = 0;
	for (size_t i = 0; i < QMDT_N_PATCHES; i++)
		n_right += margin(logits, i) > 0;
	return (double)n_right / QMDT_N_PATCHES;
}

double qmdt_patch_loss(const qmd_model *model) {
	float logits[2 * QMDT_N_PATCHES];
	qmdt_patch_logits(model, logits);
	double sum = 0;
	for (size_t i = 0; i < QMDT_N_PATCHES; i++)
		sum += log1p(exp(-margin(logits, i)));
	return sum / QMDT_N_PATCHES;
}

void qmdt_check_same_parameters(const qmd_model *a, const qmd_model *b) {
	ck_assert_uint_eq(a->n_layers, b->n_layers);
	for (size_t l = 0; l < a->n_layers; l++)
		for (int p = 0; p < QMDI_MAX_PARAMETERS; p++)
			if (a->layers[l].n_parameters[p])
				ck_assert_mem_eq(a->layers[l].parameters[p], b->layers[l].parameters[p],
								 a->layers[l].n_parameters[p] * sizeof(float));
}

static void add_state(qmd_dataset *dataset, const char *name) {
	char files[4][64];
	const char *paths[3];
	snprintf(files[3], sizeof files[3], "adk-%s.pdb", name);
	for (int i = 0; i < 3; i++) {
		snprintf(files[i], sizeof files[i], "adk-%s-%d.nc", name, i + 1);
		paths[i] = qmdt_bundled(files[i]);
	}
	qmdt_ok(qmd_dataset_add_state(dataset, name, qmdt_bundled(files[3]), paths, 3));
}

qmdt_adk qmdt_adk_open(void) {
	qmdt_adk adk;
	qmd_dataset_options options;
	qmd_dataset_options_init(&options);
	options.stride = 10;
	qmdt_ok(qmd_dataset_create(&options, &adk.dataset));
	add_state(adk.dataset, "open");
	add_state(adk.dataset, "closed");
	qmdt_ok(qmd_split_by_replica(adk.dataset, 0, &adk.split));
	qmdt_ok(qmd_pixels_fit(adk.dataset, adk.split, NULL, &adk.pixels));
	return adk;
}

void qmdt_adk_close(qmdt_adk *adk) {
	qmd_pixels_free(adk->pixels);
	qmd_split_free(adk->split);
	qmd_dataset_free(adk->dataset);
}
