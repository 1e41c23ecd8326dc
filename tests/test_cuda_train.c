/*
 * The whole trainer, and fine-tuning with fake-quant, on an emulated GPU with an emulated cuDNN: beside the CPU, again
 * to the same bits, from one device to the other, and when calls fail and memory is short.
 */
#include <math.h>
#include <stdio.h>

#include "cuda_machine_fixture.h"
#include "device_training_fixture.h"
#include "model/model_internal.h"
#include "network_fixture.h"
#include "training_fixture.h"

/* ---- What is trained ---- */

/* Batches of 4, 4 and 2 of a network that has every kind of layer, dropout too. */
enum { N_IMAGES = 10, BATCH = 4, EPOCHS = 2, N_BATCHES = 3 * EPOCHS, IMAGE_SIZE = 11 * 9 * 3, N_CLASSES = 3 };

static int8_t images[N_IMAGES * IMAGE_SIZE];
static uint32_t labels[N_IMAGES];

static void setup(void) {
	qmdt_set_machine(&qmdt_small_gpus, 0);
	for (size_t i = 0; i < N_IMAGES; i++) {
		labels[i] = (uint32_t)(i % N_CLASSES);
		for (size_t k = 0; k < IMAGE_SIZE; k++)
			images[i * IMAGE_SIZE + k] = (int8_t)((i * 37 + k * 11 + i * k % 23) % 201 - 100);
	}
}

static void teardown(void) {
	qmdt_set_machine(&qmdt_small_gpus, 0);
	ck_assert_uint_eq(qmdi_host_n_objects(), 0);
	ck_assert_int_eq(qmdi_host_current_device(), 0);
}

/* Losses of the epoch so far after each batch; stops at one of them. */
typedef struct watch {
	double losses[2 * N_BATCHES];
	size_t n, cancel_at;
} watch;

static int look(void *user, const qmd_progress *progress) {
	watch *w = user;
	ck_assert_uint_lt(w->n, 2 * N_BATCHES);
	w->losses[w->n++] = progress->loss;
	return w->n == w->cancel_at;
}

static qmd_train_options options_on(const char *device, watch *w) {
	qmd_train_options options;
	qmd_train_options_init(&options);
	options.epochs = EPOCHS;
	options.batch_size = BATCH;
	options.target_loss = 0;
	options.learning_rate = 1e-3;
	options.weight_decay = 0.01;
	options.n_threads = 1;
	options.device = device;
	options.progress = look;
	options.user = w;
	return options;
}

static qmd_status train(qmd_model *model, const qmd_train_options *options) {
	return qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, options);
}

static qmd_model *new_model(void) {
	qmd_model *model = qmdt_residual_net(1);
	qmdt_ok(qmd_model_initialize(model, 7));
	return model;
}

static qmd_model *trained_on(const char *device, watch *w) {
	qmd_model *model = new_model();
	*w = (watch){.n = 0};
	const qmd_train_options options = options_on(device, w);
	qmdt_ok(train(model, &options));
	return model;
}

/* ---- Beside the CPU ---- */

static void check_near(const watch *found, const watch *expected, double tolerance) {
	ck_assert_uint_eq(found->n, expected->n);
	for (size_t i = 0; i < found->n; i++)
		ck_assert_double_le(fabs(found->losses[i] - expected->losses[i]), tolerance);
}

/* Float32 sums in another order move these losses by less than 1e-7; another mask or order of the images by more than
 * a hundredth. */
START_TEST(losses_are_those_of_the_cpu) {
	watch cpu, reference, gpu, other;
	qmd_model_free(trained_on("cpu", &cpu));
	qmd_model_free(trained_on("reference", &reference));
	qmd_model_free(trained_on("cuda:1", &gpu));
	ck_assert_uint_gt(qmdi_host_n_launches(), 100);
	check_near(&gpu, &cpu, 1e-6);
	check_near(&gpu, &reference, 1e-6);
	qmd_model *model = new_model();
	other.n = other.cancel_at = 0;
	qmd_train_options options = options_on("cuda", &other);
	options.seed = 2;
	qmdt_ok(train(model, &options));
	ck_assert_double_gt(fabs(other.losses[0] - cpu.losses[0]), 0.01);
	qmd_model_free(model);
}
END_TEST

static void predict_on(const char *device, const qmd_model *model, float logits[N_IMAGES * N_CLASSES]) {
	qmd_predictor_options options;
	qmd_predictor *predictor;
	qmd_predictor_options_init(&options);
	options.batch_size = BATCH;
	options.n_threads = 1;
	options.device = device;
	qmdt_ok(qmd_predictor_create(model, &options, &predictor));
	qmdt_ok(qmd_predictor_run_images(predictor, images, QMD_S8, N_IMAGES, logits, NULL));
	qmd_predictor_free(predictor);
}

static void check_same_logits(const qmd_model *a, const qmd_model *b, double tolerance) {
	float found[N_IMAGES * N_CLASSES], expected[N_IMAGES * N_CLASSES];
	predict_on("cuda", a, found);
	predict_on("cpu", b, expected);
	for (size_t i = 0; i < N_IMAGES * N_CLASSES; i++)
		ck_assert_double_eq_tol((double)found[i], (double)expected[i], tolerance);
}

/* What was trained there predicts here. Adam's first steps are as large for a gradient that is hardly there. */
START_TEST(predictions_are_those_of_the_cpu) {
	watch w;
	qmd_model *cpu = trained_on("cpu", &w), *gpu = trained_on("cuda", &w);
	check_same_logits(cpu, cpu, 1e-6);
	check_same_logits(gpu, cpu, 1e-3);
	qmd_model_free(cpu);
	qmd_model_free(gpu);
}
END_TEST

/* ---- Again ---- */

/* Blocks and warps in another order, engines of which some are not deterministic offered first, another capability. */
START_TEST(training_again_gives_the_same_bits) {
	watch first, again;
	qmd_model *a = trained_on("cuda", &first);
	qmdi_host_machine machine = qmdt_small_gpus;
	machine.seed = 5;
	machine.capability = 75;
	qmdt_set_machine(&machine, 0);
	qmd_model *b = trained_on("cuda", &again);
	check_near(&again, &first, 0);
	qmdt_check_same_parameters(a, b);
	qmd_model_free(a);
	qmd_model_free(b);
}
END_TEST

/* ---- Checkpoints ---- */

/* Train an epoch on one device, and go on from its checkpoint on another. */
static qmd_model *trained_in_parts(const char *device, const char *other_device, watch *w) {
	qmd_model *model = new_model();
	*w = (watch){.n = 0};
	qmd_train_options options = options_on(device, w);
	options.checkpoint_path = qmdt_scratch("cuda-parts.qmc");
	remove(options.checkpoint_path);
	w->cancel_at = N_BATCHES / 2 + 1; /* in the second epoch, from whose beginning it goes on */
	qmdt_fails(train(model, &options), QMD_ERROR_CANCELLED, "");
	w->cancel_at = 0;
	w->n = N_BATCHES / 2;
	qmd_model_free(model);
	model = new_model();
	options.device = other_device;
	qmdt_ok(train(model, &options));
	return model;
}

START_TEST(resumes_to_the_same_bits) {
	watch whole, parts;
	qmd_model *a = trained_on("cuda", &whole), *b = trained_in_parts("cuda", "cuda:1", &parts);
	check_near(&parts, &whole, 0);
	qmdt_check_same_parameters(a, b);
	qmd_model_free(a);
	qmd_model_free(b);
}
END_TEST

START_TEST(checkpoints_go_from_one_device_to_the_other) {
	static const char *const ways[][2] = {{"cpu", "cuda"}, {"cuda", "cpu"}, {"cuda", "reference"}};
	watch whole, parts;
	qmd_model_free(trained_on("cpu", &whole));
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		qmd_model_free(trained_in_parts(ways[i][0], ways[i][1], &parts));
		check_near(&parts, &whole, 1e-6);
	}
}
END_TEST

/* ---- Quantization ---- */

static qmd_model *quantized_on(const char *device, const qmd_model *model, uint32_t epochs, watch *w) {
	qmd_quantize_options options;
	qmd_model *quantized;
	qmd_quantize_options_init(&options);
	*w = (watch){.n = 0};
	options.epochs = epochs;
	options.batch_size = BATCH;
	options.learning_rate = 1e-4;
	options.n_threads = 1;
	options.device = device;
	options.progress = look;
	options.user = w;
	qmdt_ok(qmd_quantize_images(model, images, QMD_S8, labels, N_IMAGES, &options, &quantized));
	return quantized;
}

static void check_near_scales(const qmd_model *a, const qmd_model *b, double tolerance) {
	ck_assert_uint_eq(a->n_layers, b->n_layers);
	for (size_t l = 0; l < a->n_layers; l++) {
		const double found = (double)a->layers[l].activation_scale, expected = (double)b->layers[l].activation_scale;
		ck_assert_double_le(fabs(found - expected), tolerance * expected);
	}
}

/* Rounding to a grid makes a jump of what was a last bit, but rarely. */
START_TEST(fine_tuning_is_that_of_the_cpu) {
	watch w, cpu, gpu;
	qmd_model *model = trained_on("cpu", &w);
	qmd_model *a = quantized_on("cpu", model, 0, &cpu), *b = quantized_on("cuda", model, 0, &gpu);
	check_near_scales(b, a, 1e-6);
	qmd_model_free(a);
	qmd_model_free(b);
	a = quantized_on("cpu", model, EPOCHS, &cpu);
	b = quantized_on("cuda", model, EPOCHS, &gpu);
	for (size_t i = 0; i < cpu.n; i++)
		if (!isnan(cpu.losses[i]))
			ck_assert_double_eq_tol(gpu.losses[i], cpu.losses[i], 1e-3);
	check_near_scales(b, a, 1e-3);
	check_same_logits(b, a, 0.05);
	qmd_model *again = quantized_on("cuda:1", model, EPOCHS, &gpu);
	qmdt_check_same_parameters(again, b);
	check_near_scales(again, b, 0);
	qmd_model_free(model);
	qmd_model_free(a);
	qmd_model_free(b);
	qmd_model_free(again);
}
END_TEST

START_TEST(trained_scales_are_those_of_the_cpu) {
	qmdt_check_room_for_biases_on("cuda");
}
END_TEST

/* Of 3 bits too, whose scales are trained. On a grid maxima have equals beside them. */
START_TEST(fine_tuning_of_scales_is_that_of_the_cpu) {
	qmdt_check_quantizing_on("cuda");
}
END_TEST

/* ---- What goes wrong ---- */

static void fails_to_train(const qmd_train_options *options, qmd_status status, const char *part) {
	qmd_model *model = new_model(), *before = new_model();
	qmdt_fails(train(model, options), status, part);
	qmdt_check_same_parameters(model, before);
	ck_assert_uint_eq(qmdi_host_n_objects(), 0);
	qmd_model_free(model);
	qmd_model_free(before);
}

START_TEST(a_training_that_diverges_leaves_the_weights) {
	watch w = {.n = 0};
	qmd_train_options options = options_on("cuda", &w);
	options.learning_rate = 1e20;
	options.weight_decay = 0;
	fails_to_train(&options, QMD_ERROR_RANGE, "the loss is");
}
END_TEST

START_TEST(a_batch_that_does_not_fit_says_which_would) {
	watch w = {.n = 0};
	qmd_train_options options = options_on("cuda", &w);
	qmdi_host_machine machine = qmdt_small_gpus;
	options.batch_size = N_IMAGES;
	machine.memory = (4 << 20) + 100000; /* cuBLAS has 4 MB of it */
	qmdt_set_machine(&machine, 0);
	fails_to_train(&options, QMD_ERROR_MEMORY, "a batch of 10 images takes about");
	machine.memory = 1000;
	qmdt_set_machine(&machine, 0);
	fails_to_train(&options, QMD_ERROR_MEMORY, "bytes left");
}
END_TEST

START_TEST(a_machine_that_cannot_train_says_why) {
	watch w = {.n = 0};
	const qmd_train_options options = options_on("cuda", &w), none = options_on("cuda:2", &w);
	const qmdi_host_vendor missing = {.is_missing = 1};
	const qmdi_host_vendor random = {.engines = {{.is_nondeterministic = 1}}, .n_engines = 1};
	fails_to_train(&none, QMD_ERROR_RANGE, "there are 2");
	qmdi_host_vendor_set(&missing);
	fails_to_train(&options, QMD_ERROR_UNSUPPORTED, "libcudnn");
	qmdi_host_vendor_set(&random);
	fails_to_train(&options, QMD_ERROR_UNSUPPORTED, "layer 'conv2d_1'");
}
END_TEST

/* Calls of the runtime, of cuDNN and of cuBLAS, of which one in 35 fails: an error, or nothing that shows. Where it
 * only costs an engine that was offered, there is another. */
START_TEST(calls_that_fail_leave_the_weights_and_nothing_else) {
	watch w;
	qmdi_host_machine machine = qmdt_small_gpus;
	qmd_model *trained = trained_on("cuda", &w);
	const uint64_t n_calls = qmdi_host_n_calls();
	ck_assert_uint_gt(n_calls, 1000);
	size_t n_failed = 0;
	for (uint64_t i = 1 + 17 * (uint64_t)_i; i <= n_calls; i += i + 300 < n_calls ? 35 : 5) {
		qmd_model *model = new_model(), *before = new_model();
		w = (watch){.n = 0};
		const qmd_train_options options = options_on("cuda", &w);
		machine.failing_call = i;
		qmdt_set_machine(&machine, 0);
		const qmd_status status = train(model, &options);
		n_failed += status != QMD_OK;
		ck_assert_msg(status == QMD_OK || status == QMD_ERROR_INTERNAL || status == QMD_ERROR_UNSUPPORTED,
					  "call %zu: %s", (size_t)i, qmd_last_error());
		qmdt_check_same_parameters(model, status == QMD_OK ? trained : before);
		ck_assert_msg(qmdi_host_n_objects() == 0, "call %zu: %zu objects are left", (size_t)i, qmdi_host_n_objects());
		ck_assert_int_eq(qmdi_host_current_device(), 0);
		qmd_model_free(model);
		qmd_model_free(before);
	}
	ck_assert_uint_gt(n_failed, n_calls / 35 / 4);
	qmd_model_free(trained);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("cuda train");
	TCase *trainer = tcase_create("trainer");
	tcase_set_timeout(trainer, 120);
	tcase_add_checked_fixture(trainer, setup, teardown);
	tcase_add_test(trainer, losses_are_those_of_the_cpu);
	tcase_add_test(trainer, predictions_are_those_of_the_cpu);
	tcase_add_test(trainer, training_again_gives_the_same_bits);
	tcase_add_test(trainer, resumes_to_the_same_bits);
	tcase_add_test(trainer, checkpoints_go_from_one_device_to_the_other);
	tcase_add_test(trainer, fine_tuning_is_that_of_the_cpu);
	tcase_add_test(trainer, trained_scales_are_those_of_the_cpu);
	tcase_add_test(trainer, fine_tuning_of_scales_is_that_of_the_cpu);
	tcase_add_test(trainer, a_training_that_diverges_leaves_the_weights);
	tcase_add_test(trainer, a_batch_that_does_not_fit_says_which_would);
	tcase_add_test(trainer, a_machine_that_cannot_train_says_why);
	tcase_add_loop_test(trainer, calls_that_fail_leave_the_weights_and_nothing_else, 0, 2);
	suite_add_tcase(suite, trainer);
	return qmdt_run(suite);
}
