#include "device_training_fixture.h"

#include <math.h>
#include <stdio.h>

#include "model/model_internal.h"
#include "training_fixture.h"

#define MOST_STEPS 64
/* Of losses and scales: float32 sums in another order differ by 1e-6 or less in a step, and what was rounded otherwise
 * goes on to differ. */
#define TOLERANCE 1e-3

/* Losses, running means over an epoch, as progress tells them. */
typedef struct course {
	double losses[MOST_STEPS];
	size_t n, cancel_at;
} course;

static int note(void *user, const qmd_progress *progress) {
	course *c = user;
	if (isfinite(progress->loss) && c->n < MOST_STEPS)
		c->losses[c->n++] = progress->loss;
	return c->cancel_at && c->n == c->cancel_at;
}

static qmd_train_options training(const char *device, course *c) {
	qmd_train_options options;
	qmd_train_options_init(&options);
	options.device = device;
	options.learning_rate = 1e-3;
	options.epochs = 4;
	options.target_loss = 0;
	options.n_threads = 1;
	options.progress = note;
	options.user = c;
	return options;
}

static qmd_status train(qmd_model *model, const qmd_train_options *options) {
	return qmd_train_images(model, qmdt_patches, QMD_S8, qmdt_patch_labels, QMDT_N_PATCHES, options);
}

/* Dropout, batchnorm, maxpool: what the preset and the tiny model have. */
static qmd_model *model_of(int is_tiny) {
	return is_tiny ? qmdt_tiny_model() : qmdt_patch_model(1);
}

static void check_same_course(const course *a, const course *b) {
	ck_assert_uint_eq(a->n, b->n);
	ck_assert_uint_gt(a->n, 3);
	for (size_t i = 0; i < a->n; i++)
		ck_assert_double_eq_tol(a->losses[i], b->losses[i], TOLERANCE * a->losses[i]);
}

static void check_close_logits(const qmd_model *a, const qmd_model *b) {
	float logits_a[2 * QMDT_N_PATCHES], logits_b[2 * QMDT_N_PATCHES];
	qmdt_patch_logits(a, logits_a);
	qmdt_patch_logits(b, logits_b);
	for (size_t i = 0; i < 2 * QMDT_N_PATCHES; i++)
		ck_assert_float_eq_tol(logits_a[i], logits_b[i], (float)(10 * TOLERANCE));
}

void qmdt_check_training_on(const char *device) {
	qmdt_draw_patches(1);
	for (int is_tiny = 0; is_tiny < 2; is_tiny++) {
		qmd_model *here = model_of(is_tiny), *there = model_of(is_tiny);
		course courses[2] = {{.n = 0}, {.n = 0}};
		const qmd_train_options of_cpu = training("cpu", &courses[0]), of_device = training(device, &courses[1]);
		qmdt_ok(train(here, &of_cpu));
		qmdt_ok(train(there, &of_device));
		check_same_course(&courses[0], &courses[1]);
		check_close_logits(here, there);
		qmd_model_free(here);
		qmd_model_free(there);
	}
}

/* ---- Quantization ---- */

static qmd_model *quantize_at(const qmd_model *model, const char *device, uint32_t bits, double learning_rate,
							  course *c) {
	qmd_quantize_options options;
	qmd_quantize_options_init(&options);
	options.device = device;
	options.weight_bits = options.activation_bits = bits;
	options.observer = bits == 8 ? QMD_OBSERVER_EMA_MAX : QMD_OBSERVER_PERCENTILE;
	options.epochs = 2;
	options.learning_rate = learning_rate;
	options.n_threads = 1;
	options.progress = note;
	options.user = c;
	qmd_model *quantized;
	qmdt_ok(qmd_quantize_images(model, qmdt_patches, QMD_S8, qmdt_patch_labels, QMDT_N_PATCHES, &options, &quantized));
	return quantized;
}

static void check_close_scales(const qmd_model *a, const qmd_model *b) {
	for (size_t l = 0; l < qmd_model_n_layers(a); l++) {
		const double of_a = (double)a->layers[l].activation_scale, of_b = (double)b->layers[l].activation_scale;
		ck_assert_double_le(fabs(of_a - of_b), TOLERANCE * of_a);
		for (size_t u = 0; a->layers[l].weight_scales && u < a->layers[l].definition.units; u++)
			ck_assert_float_eq_tol(a->layers[l].weight_scales[u], b->layers[l].weight_scales[u],
								   (float)TOLERANCE * a->layers[l].weight_scales[u]);
	}
}

void qmdt_check_quantizing_on(const char *device) {
	qmdt_draw_patches(1);
	course courses[3] = {{.n = 0}, {.n = 0}, {.n = 0}};
	qmd_model *model = qmdt_patch_model(1);
	const qmd_train_options options = training("cpu", &courses[0]);
	qmdt_ok(train(model, &options));
	static const uint32_t widths[] = {8, 3};
	for (size_t i = 0; i < 2; i++) {
		const uint32_t bits = widths[i];
		courses[1].n = courses[2].n = 0;
		qmd_model *here = quantize_at(model, "cpu", bits, 1e-5, &courses[1]),
				  *there = quantize_at(model, device, bits, 1e-5, &courses[2]);
		check_same_course(&courses[1], &courses[2]);
		check_close_scales(here, there);
		qmd_model_free(here);
		qmd_model_free(there);
	}
	qmd_model_free(model);
}

void qmdt_check_room_for_biases_on(const char *device) {
	qmdt_draw_patches(1);
	course courses[2] = {{.n = 0}, {.n = 0}};
	qmd_model *model = qmdt_tiny_model();
	qmdi_layer *dense = &model->layers[model->n_layers - 1];
	for (size_t i = 0; i < dense->n_parameters[QMDI_WEIGHT]; i++)
		dense->parameters[QMDI_WEIGHT][i] *= 1e-20f;
	qmd_model *here = quantize_at(model, "cpu", 3, 1e-2, &courses[0]),
			  *there = quantize_at(model, device, 3, 1e-2, &courses[1]);
	check_same_course(&courses[0], &courses[1]);
	check_close_scales(here, there);
	qmd_model_free(here);
	qmd_model_free(there);
	qmd_model_free(model);
}

/* ---- Checkpoints ---- */

static const char *checkpoint_of(const char *what, const char *device) {
	char name[64];
	snprintf(name, sizeof name, "%s-on-%s.qmc", what, device);
	return qmdt_scratch(name);
}

void qmdt_check_resuming_on(const char *device) {
	qmdt_draw_patches(1);
	qmd_model *whole = qmdt_patch_model(1), *parts = qmdt_patch_model(1);
	course c = {.n = 0};
	qmd_train_options options = training(device, &c);
	qmdt_ok(train(whole, &options));
	options.checkpoint_path = checkpoint_of("resumed", device);
	c = (course){.cancel_at = 8}; /* in the third epoch */
	qmdt_fails(train(parts, &options), QMD_ERROR_CANCELLED, "");
	qmd_model_free(parts);
	parts = qmdt_patch_model(99); /* the checkpoint's weights are what counts */
	c = (course){.n = 0};
	qmdt_ok(train(parts, &options));
	ck_assert_uint_eq(c.n, 6); /* epochs 3 and 4 of 3 batches */
	qmdt_check_same_parameters(whole, parts);
	qmd_model_free(whole);
	qmd_model_free(parts);
}

void qmdt_check_checkpoint_between(const char *first, const char *second) {
	qmdt_draw_patches(1);
	qmd_model *whole = qmdt_tiny_model(), *parts = qmdt_tiny_model();
	course courses[2] = {{.n = 0}, {.n = 0}};
	qmd_train_options options = training(first, &courses[0]);
	qmdt_ok(train(whole, &options));
	options = training(first, &courses[1]);
	options.checkpoint_path = checkpoint_of("continued", second);
	options.epochs = 2;
	qmdt_ok(train(parts, &options));
	options.device = second;
	options.epochs = 4;
	qmdt_ok(train(parts, &options));
	check_same_course(&courses[0], &courses[1]);
	check_close_logits(whole, parts);
	qmd_model_free(whole);
	qmd_model_free(parts);
}
