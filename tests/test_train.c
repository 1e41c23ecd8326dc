#include <fenv.h>
#include <math.h>
#include <stdio.h>

#include "model/model_internal.h"
#include "allocator_fixture.h"
#include "base/random.h"
#include "train/optimizer.h"
#include "training_fixture.h"

#define images qmdt_patches
#define labels qmdt_patch_labels
#define N_IMAGES QMDT_N_PATCHES

static qmd_train_options quick_options(void) {
	qmd_train_options options;
	qmd_train_options_init(&options);
	options.epochs = 6;
	options.target_loss = 0;
	options.learning_rate = 1e-3;
	options.n_threads = 1; /* small layers: threads would mostly wait */
	return options;
}

static void train(qmd_model *model, const qmd_train_options *options) {
	qmdt_ok(qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, options));
}

/* ---- Optimizers ---- */

/* Against the published formulas in double: three steps of two arrays of which one decays. */
static void check_optimizer(int32_t kind, double beta1, double beta2) {
	enum { N = 100001, N_STEPS = 3 };
	static float w[2][N], gradient[N];
	static double expected[2][N], m[2][N], v[2][N];
	memset(m, 0, sizeof m);
	memset(v, 0, sizeof v);
	for (int a = 0; a < 2; a++)
		for (int i = 0; i < N; i++)
			expected[a][i] = w[a][i] = qmdi_random_f32(5, (uint64_t)a, (uint64_t)i) - 0.5f;
	qmd_train_options options;
	qmd_train_options_init(&options);
	options.optimizer = kind;
	options.learning_rate = 1e-2;
	options.beta1 = beta1;
	options.beta2 = beta2;
	options.weight_decay = 0.1;
	const qmdi_trained arrays[] = {{w[0], N, 1}, {w[1], N, 0}};
	qmdi_tensor_device *device;
	qmdi_optimizer *optimizer;
	qmdt_ok(qmdi_tensor_open("cpu", 2, &device));
	qmdt_ok(qmdi_optimizer_create(&options, arrays, 2, device, &optimizer));
	for (int t = 1; t <= N_STEPS; t++) {
		for (int i = 0; i < N; i++)
			gradient[i] = qmdi_random_f32(6, (uint64_t)t, (uint64_t)i) - 0.5f;
		const float *gradients[] = {gradient, gradient};
		qmdt_ok(qmdi_optimizer_step(optimizer, gradients));
		for (int a = 0; a < 2; a++)
			for (int i = 0; i < N; i++) {
				const double g = (double)gradient[i];
				v[a][i] = beta2 * v[a][i] + (1 - beta2) * g * g;
				m[a][i] = beta1 * m[a][i] + (1 - beta1) * g;
				const double step = kind == QMD_OPTIMIZER_ADAM
										? m[a][i] / (1 - pow(beta1, t)) / (sqrt(v[a][i] / (1 - pow(beta2, t))) + 1e-7)
										: g / (sqrt(v[a][i]) + 1e-7);
				expected[a][i] = (a == 0 ? 1 - 1e-2 * 0.1 : 1) * expected[a][i] - 1e-2 * step;
			}
	}
	for (int a = 0; a < 2; a++)
		for (int i = 0; i < N; i++)
			ck_assert_double_eq_tol((double)w[a][i], expected[a][i], 1e-6);
	qmdi_optimizer_free(optimizer);
	qmdi_tensor_close(device);
}

START_TEST(optimizers_follow_their_formulas) {
	check_optimizer(QMD_OPTIMIZER_ADAM, 0.9, 0.999);
	check_optimizer(QMD_OPTIMIZER_RMSPROP, 0.0, 0.9);
}
END_TEST

/* ---- Training ---- */

typedef struct watch {
	size_t n_calls, last_done, last_total, cancel_at;
	double first_loss, last_loss, last_accuracy;
} watch;

static int look(void *user, const qmd_progress *progress) {
	watch *w = user;
	ck_assert_str_eq(progress->phase, "train");
	ck_assert_uint_eq(progress->done, w->n_calls + 1);
	if (w->n_calls++ == 0)
		w->first_loss = progress->loss;
	w->last_done = progress->done;
	w->last_total = progress->total;
	w->last_loss = progress->loss;
	w->last_accuracy = progress->accuracy;
	return w->n_calls == w->cancel_at;
}

START_TEST(learns_and_generalizes) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_patch_model(1);
	qmd_train_options options = quick_options();
	watch w = {0};
	options.epochs = 12;
	options.progress = look;
	options.user = &w;
	train(model, &options);
	ck_assert_uint_eq(w.n_calls, 12 * 3); /* 40 images: batches of 16, 16 and 8 */
	ck_assert_uint_eq(w.last_total, 12 * 3);
	ck_assert_double_lt(w.last_loss, 0.3 * w.first_loss);
	ck_assert_double_ge(w.last_accuracy, 0.9);
	qmdt_draw_patches(2);
	ck_assert_double_eq(qmdt_patch_accuracy(model), 1.0);
	qmd_model_free(model);
}
END_TEST

START_TEST(rmsprop_learns) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_patch_model(1);
	qmd_train_options options = quick_options();
	options.optimizer = QMD_OPTIMIZER_RMSPROP;
	options.beta2 = 0.9;
	options.learning_rate = 3e-4;
	options.epochs = 12;
	train(model, &options);
	ck_assert_double_eq(qmdt_patch_accuracy(model), 1.0);
	qmd_model_free(model);
}
END_TEST

START_TEST(is_a_function_of_seed_and_images) {
	qmdt_draw_patches(1);
	qmd_model *a = qmdt_patch_model(1), *b = qmdt_patch_model(1), *c = qmdt_patch_model(1);
	qmd_train_options options = quick_options();
	options.epochs = 2;
	train(a, &options);
	/* A host's rounding mode changes nothing. */
	ck_assert_int_eq(fesetround(FE_UPWARD), 0);
	train(b, &options);
	ck_assert_int_eq(fegetround(), FE_UPWARD);
	ck_assert_int_eq(fesetround(FE_TONEAREST), 0);
	qmdt_check_same_parameters(a, b);
	options.seed = 2;
	train(c, &options);
	ck_assert_mem_ne(a->layers[1].parameters[0], c->layers[1].parameters[0], 16);
	qmd_model_free(a);
	qmd_model_free(b);
	qmd_model_free(c);
}
END_TEST

START_TEST(a_batch_is_never_larger_than_the_data) {
	qmdt_draw_patches(1);
	qmd_model *a = qmdt_patch_model(1), *b = qmdt_patch_model(1);
	qmd_train_options options = quick_options();
	options.epochs = 1;
	options.batch_size = N_IMAGES;
	train(a, &options);
	options.batch_size = 10 * N_IMAGES;
	train(b, &options);
	qmdt_check_same_parameters(a, b);
	qmd_model_free(a);
	qmd_model_free(b);
}
END_TEST

START_TEST(stops_early_on_the_training_loss) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_patch_model(1);
	qmd_train_options options = quick_options();
	watch w = {0};
	options.learning_rate = 1e-30; /* nothing is learned: by dropout the loss of an epoch is what it is by chance */
	options.epochs = 200;
	options.patience = 2;
	options.progress = look;
	options.user = &w;
	train(model, &options);
	ck_assert_uint_lt(w.last_done, 60 * 3);
	ck_assert_uint_eq(w.last_total, 200 * 3);
	qmd_model_free(model);
}
END_TEST

START_TEST(stops_when_the_training_loss_is_low) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_patch_model(1);
	qmd_train_options options = quick_options();
	watch w = {0};
	options.epochs = 200;
	options.target_loss = 0.05;
	options.progress = look;
	options.user = &w;
	options.checkpoint_path = qmdt_scratch("target.qmc");
	train(model, &options);
	ck_assert_uint_lt(w.last_done, 60 * 3);
	ck_assert_uint_eq(w.last_done % 3, 0); /* at the end of an epoch */
	ck_assert_double_lt(w.last_loss, 0.05);
	train(model, &options); /* it is over, and stays over */
	ck_assert_uint_eq(w.n_calls, w.last_done);
	qmd_model_free(model);
}
END_TEST

START_TEST(can_be_cancelled) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_patch_model(1), *before = qmdt_patch_model(1);
	qmd_train_options options = quick_options();
	watch w = {.cancel_at = 4};
	options.progress = look;
	options.user = &w;
	qmdt_fails(qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, &options), QMD_ERROR_CANCELLED, "");
	ck_assert_uint_eq(w.n_calls, 4);
	ck_assert_mem_ne(model->layers[1].parameters[0], before->layers[1].parameters[0], 16);
	options.progress = NULL;
	train(model, &options);
	qmd_model_free(model);
	qmd_model_free(before);
}
END_TEST

START_TEST(a_diverging_training_is_an_error_and_leaves_the_weights) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_patch_model(1), *before = qmdt_patch_model(1);
	qmd_train_options options = quick_options();
	options.learning_rate = 1e30;
	qmdt_fails(qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, &options), QMD_ERROR_RANGE, "learning rate");
	qmdt_check_same_parameters(model, before);
	qmd_model_free(model);
	qmd_model_free(before);
}
END_TEST

/* ---- Checkpoints ---- */

START_TEST(resumes_bit_for_bit) {
	qmdt_draw_patches(1);
	qmd_model *whole = qmdt_patch_model(1), *parts = qmdt_patch_model(1);
	qmd_train_options options = quick_options();
	options.weight_decay = 0.01;
	train(whole, &options);

	/* Interrupted in the fifth epoch; checkpoints after the second and the fourth. */
	watch w = {.cancel_at = 14};
	options.checkpoint_path = qmdt_scratch("resume.qmc");
	options.checkpoint_interval = 2;
	options.progress = look;
	options.user = &w;
	qmdt_fails(qmd_train_images(parts, images, QMD_S8, labels, N_IMAGES, &options), QMD_ERROR_CANCELLED, "");
	qmd_model_free(parts);

	parts = qmdt_patch_model(99); /* the checkpoint's weights are what counts */
	w = (watch){.n_calls = 12};
	train(parts, &options);
	ck_assert_uint_eq(w.last_done, 18);
	qmdt_check_same_parameters(whole, parts);

	/* What is finished is not trained again, and may be prolonged. */
	w = (watch){.n_calls = 18};
	train(parts, &options);
	ck_assert_uint_eq(w.n_calls, 18);
	qmdt_check_same_parameters(whole, parts);
	options.epochs = 7;
	train(parts, &options);
	ck_assert_uint_eq(w.n_calls, 21);
	qmd_model_free(whole);
	qmd_model_free(parts);
}
END_TEST

START_TEST(refuses_a_checkpoint_of_another_training) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_patch_model(1), *untouched = qmdt_patch_model(1);
	qmd_train_options options = quick_options();
	options.epochs = 1;
	options.checkpoint_path = qmdt_scratch("another.qmc");
	train(model, &options);
	qmd_model_free(model);
	model = qmdt_patch_model(1);

	qmd_train_options other = options;
	other.seed = 2;
	qmdt_fails(qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, &other), QMD_ERROR_STATE, "another training");
	other = options;
	other.learning_rate = 2e-3;
	qmdt_fails(qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, &other), QMD_ERROR_STATE, "another training");
	images[0]++;
	qmdt_fails(qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, &options), QMD_ERROR_STATE,
			   "another training");
	images[0]--;
	qmdt_check_same_parameters(model, untouched);
	qmd_model *larger;
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){QMDT_PATCH_SIDE, QMDT_PATCH_SIDE, 3}, 3, 1, &larger));
	qmdt_fails(qmd_train_images(larger, images, QMD_S8, labels, N_IMAGES, &options), QMD_ERROR_STATE,
			   "another training");
	qmd_model_free(larger);
	qmd_model_free(model);
	qmd_model_free(untouched);
}
END_TEST

START_TEST(refuses_a_damaged_checkpoint) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_patch_model(1), *untouched = qmdt_patch_model(1);
	qmd_train_options options = quick_options();
	options.epochs = 1;
	options.checkpoint_path = qmdt_scratch("damaged.qmc");
	train(model, &options);
	qmd_model_free(model);
	model = qmdt_patch_model(1);
	size_t size;
	unsigned char *bytes = qmdt_read_file(options.checkpoint_path, &size);
	bytes[size / 2] ^= 1;
	qmdt_write_file(options.checkpoint_path, bytes, size);
	qmdt_fails(qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, &options), QMD_ERROR_CORRUPT, "damaged.qmc");
	bytes[size / 2] ^= 1;
	qmdt_write_file(options.checkpoint_path, bytes, size - 100);
	ck_assert_int_ne(qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, &options), QMD_OK);
	qmdt_check_same_parameters(model, untouched);
	options.checkpoint_path = qmdt_scratch("no-such-folder/a.qmc");
	qmdt_fails(qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, &options), QMD_ERROR_IO, "no-such-folder");
	free(bytes);
	qmd_model_free(model);
	qmd_model_free(untouched);
}
END_TEST

/* ---- Arguments ---- */

#define refuses(field, value, part)                                                                                    \
	do {                                                                                                               \
		qmd_train_options wrong = quick_options();                                                                     \
		wrong.field = value;                                                                                           \
		qmdt_fails(qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, &wrong), QMD_ERROR_ARGUMENT, part);       \
	} while (0)

START_TEST(refuses_wrong_options) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_patch_model(1);
	refuses(struct_size, 3, "struct_size");
	refuses(optimizer, 3, "optimizer is 3");
	refuses(learning_rate, 0.0, "learning_rate is 0");
	refuses(learning_rate, (double)NAN, "learning_rate is nan");
	refuses(learning_rate, (double)INFINITY, "learning_rate is inf");
	refuses(beta1, 1.0, "beta1 is 1");
	refuses(beta2, -0.5, "beta2 is -0.5");
	refuses(epsilon, 0.0, "epsilon is 0");
	refuses(weight_decay, -1.0, "weight_decay is -1");
	refuses(weight_decay, 1e9, "weight_decay is 1e+09");
	refuses(target_loss, -0.1, "target_loss is -0.1");
	refuses(target_loss, (double)NAN, "target_loss is nan");
	refuses(batch_size, 0, "batch_size is 0");
	refuses(epochs, 0, "epochs 0");
	refuses(checkpoint_interval, 0, "checkpoint_interval 0");
	refuses(n_threads, 100000, "n_threads is 100000");
	qmd_model_free(model);
}
END_TEST

START_TEST(refuses_wrong_images_and_models) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_patch_model(1);
	const qmd_train_options options = quick_options();
	qmdt_fails(qmd_train_images(NULL, images, QMD_S8, labels, N_IMAGES, &options), QMD_ERROR_ARGUMENT, "model");
	qmdt_fails(qmd_train_images(model, NULL, QMD_S8, labels, N_IMAGES, &options), QMD_ERROR_ARGUMENT, "images");
	qmdt_fails(qmd_train_images(model, images, QMD_S8, NULL, N_IMAGES, &options), QMD_ERROR_ARGUMENT, "labels");
	qmdt_fails(qmd_train_images(model, images, QMD_F32, labels, N_IMAGES, &options), QMD_ERROR_ARGUMENT, "image_type");
	qmdt_fails(qmd_train_images(model, images, QMD_S8, labels, 0, &options), QMD_ERROR_ARGUMENT, "n_images is 0");
	labels[7] = 2;
	qmdt_fails(qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, &options), QMD_ERROR_RANGE, "labels[7] is 2");
	qmd_model_free(model);

	qmdt_ok(qmd_model_create((qmd_shape){QMDT_PATCH_SIDE, QMDT_PATCH_SIDE, 3}, &model));
	qmdt_fails(qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, &options), QMD_ERROR_SHAPE, "at least 2");
	qmd_model_free(model);
}
END_TEST

/* ---- Predictor ---- */

START_TEST(predicts_the_same_in_batches_of_any_size) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_patch_model(1);
	const uint32_t sizes[] = {1, 7, N_IMAGES, 64};
	float logits[4][N_IMAGES * 2], probabilities[N_IMAGES * 2];
	for (int s = 0; s < 4; s++) {
		qmd_predictor *predictor;
		qmdt_ok(qmdt_predictor_create(model, sizes[s], &predictor));
		qmdt_ok(qmd_predictor_run_images(predictor, images, QMD_S8, N_IMAGES, logits[s], probabilities));
		qmdt_ok(qmd_predictor_run_images(predictor, images, QMD_S8, 0, NULL, NULL));
		qmd_predictor_free(predictor);
		for (int i = 0; i < N_IMAGES; i++) {
			const double p = 1 / (1 + exp((double)logits[s][2 * i + 1] - (double)logits[s][2 * i]));
			ck_assert_double_eq_tol((double)probabilities[2 * i], p, 1e-6);
			ck_assert_double_eq_tol((double)probabilities[2 * i + 1], 1 - p, 1e-6);
			ck_assert_double_eq_tol((double)logits[s][2 * i], (double)logits[0][2 * i], 1e-5);
		}
	}
	qmd_model_free(model);
}
END_TEST

START_TEST(a_step_of_u8_is_one_255th) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_patch_model(1);
	/* 255 / 255 = 127 / 127: a white image is white in both. */
	static uint8_t white_u8[QMDT_PATCH_SIZE];
	static int8_t white_s8[QMDT_PATCH_SIZE];
	memset(white_u8, 255, sizeof white_u8);
	memset(white_s8, 127, sizeof white_s8);
	float u8[2], s8[2];
	qmd_predictor *predictor;
	qmdt_ok(qmdt_predictor_create(model, 1, &predictor));
	qmdt_ok(qmd_predictor_run_images(predictor, white_u8, QMD_U8, 1, u8, NULL));
	qmdt_ok(qmd_predictor_run_images(predictor, white_s8, QMD_S8, 1, s8, NULL));
	ck_assert_double_eq_tol((double)u8[0], (double)s8[0], 1e-6);
	ck_assert_double_eq_tol((double)u8[1], (double)s8[1], 1e-6);
	qmdt_fails(qmd_predictor_run(predictor, NULL, 1, u8, NULL), QMD_ERROR_STATE, "not bound");
	qmdt_fails(qmd_predictor_run_images(predictor, white_s8, QMD_F64, 1, s8, NULL), QMD_ERROR_ARGUMENT, "image_type");
	qmdt_fails(qmd_predictor_run_images(predictor, NULL, QMD_S8, 1, s8, NULL), QMD_ERROR_ARGUMENT, "images");
	qmd_predictor_free(predictor);
	qmdt_fails(qmdt_predictor_create(model, 0, &predictor), QMD_ERROR_ARGUMENT, "batch_size is 0");
	qmdt_fails(qmdt_predictor_create(NULL, 1, &predictor), QMD_ERROR_ARGUMENT, "model");
	qmd_model_free(model);
}
END_TEST

/* ---- Memory ---- */

static qmd_status use_predictor(const qmd_model *model) {
	qmd_predictor *predictor;
	const qmd_status created = qmdt_predictor_create(model, 16, &predictor);
	if (created != QMD_OK)
		return created;
	float logits[2];
	const qmd_status status = qmd_predictor_run_images(predictor, images, QMD_S8, 1, logits, NULL);
	qmd_predictor_free(predictor);
	return status;
}

/* A training, its checkpoint written, and read again; a prediction. */
static const char *tiny_path;

static qmd_status train_work(void *path) {
	qmd_train_options options = quick_options();
	options.epochs = 1;
	options.checkpoint_path = path;
	remove(path);
	qmd_model *model = NULL;
	qmd_status status = qmd_model_load(tiny_path, &model);
	for (int round = 0; round < 2 && status == QMD_OK; round++)
		status = qmd_train_images(model, images, QMD_S8, labels, 17, &options);
	if (status == QMD_OK)
		status = use_predictor(model);
	qmd_model_free(model);
	return status;
}

START_TEST(every_allocation_may_fail) {
	qmdt_draw_patches(1);
	qmd_model *model = qmdt_tiny_model();
	tiny_path = qmdt_scratch("tiny.qmd");
	qmdt_ok(qmd_model_save(model, tiny_path));
	qmd_model_free(model);
	char *path = strdup(qmdt_scratch("memory.qmc"));
	ck_assert_uint_gt(qmdt_fail_each_allocation(train_work, path), 60);
	free(path);
}
END_TEST

/* ---- Data sets ---- */

START_TEST(trains_on_the_training_frames_of_a_data_set) {
	qmdt_adk adk = qmdt_adk_open();
	const uint32_t side = (uint32_t)qmd_pixels_side(adk.pixels);
	qmd_model *model;
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){side, side, 3}, 2, 1, &model));
	qmd_train_options options = quick_options();
	qmdt_ok(qmd_train(model, adk.dataset, adk.split, adk.pixels, &options));
	ck_assert_ptr_eq(qmd_model_pixels(model), adk.pixels);
	ck_assert_str_eq(qmd_model_class_name(model, 0), "open");
	ck_assert_str_eq(qmd_model_class_name(model, 1), "closed");

	/* The held-out frames, as coordinates and as images. */
	size_t n;
	const uint32_t *test = qmd_split_test(adk.split, &n);
	ck_assert_uint_eq(n, 8);
	const size_t n_atoms = qmd_dataset_n_atoms(adk.dataset);
	float *xyz = malloc(n_atoms * 3 * n * sizeof *xyz), of_frames[16], of_images[16], logits[16];
	int8_t *rendered = malloc(n * side * side * 3);
	qmd_frame frames[8];
	for (size_t i = 0; i < n; i++) {
		qmd_frame_init(&frames[i]);
		frames[i].xyz = xyz + i * n_atoms * 3;
		frames[i].n_atoms = n_atoms;
		qmdt_ok(qmd_dataset_read(adk.dataset, test[i], xyz + i * n_atoms * 3));
	}
	qmdt_ok(qmd_pixels_run_dataset(adk.pixels, adk.dataset, test, n, rendered));
	qmd_predictor *predictor;
	qmdt_ok(qmdt_predictor_create(model, 3, &predictor));
	qmdt_ok(qmd_predictor_run(predictor, frames, n, logits, of_frames));
	qmdt_ok(qmd_predictor_run_images(predictor, rendered, QMD_S8, n, NULL, of_images));
	ck_assert_mem_eq(of_frames, of_images, sizeof of_frames);
	for (size_t i = 0; i < n; i++) {
		qmd_frame_origin origin;
		qmdt_ok(qmd_dataset_frame_origin(adk.dataset, test[i], &origin));
		ck_assert_double_gt((double)of_frames[2 * i + origin.state], 0.5);
	}
	qmdt_fails(qmd_predictor_run_images(predictor, rendered, QMD_U8, n, NULL, of_images), QMD_ERROR_ARGUMENT,
			   "made for QMD_S8");
	frames[5].n_atoms--;
	qmdt_fails(qmd_predictor_run(predictor, frames, n, logits, NULL), QMD_ERROR_SHAPE, "");
	qmd_predictor_free(predictor);
	qmd_model_free(model);
	free(xyz);
	free(rendered);
	qmdt_adk_close(&adk);
}
END_TEST

START_TEST(refuses_models_that_do_not_fit_the_data_set) {
	qmdt_adk adk = qmdt_adk_open();
	const uint32_t side = (uint32_t)qmd_pixels_side(adk.pixels);
	qmd_model *small = qmdt_patch_model(1), *three;
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){side, side, 3}, 3, 1, &three));
	qmdt_fails(qmd_train(small, adk.dataset, adk.split, adk.pixels, NULL), QMD_ERROR_SHAPE, "12 x 12 x 3");
	qmdt_fails(qmd_train(three, adk.dataset, adk.split, adk.pixels, NULL), QMD_ERROR_SHAPE, "2 states");
	ck_assert_ptr_null(qmd_model_pixels(three));
	qmdt_fails(qmd_train(three, NULL, adk.split, adk.pixels, NULL), QMD_ERROR_ARGUMENT, "dataset");
	qmdt_fails(qmd_train(three, adk.dataset, NULL, adk.pixels, NULL), QMD_ERROR_ARGUMENT, "split");
	qmdt_fails(qmd_train(three, adk.dataset, adk.split, NULL, NULL), QMD_ERROR_ARGUMENT, "pixels");
	qmd_model_free(small);
	qmd_model_free(three);
	qmdt_adk_close(&adk);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("train");
	TCase *train_case = tcase_create("train");
	tcase_set_timeout(train_case, 0);
	tcase_add_test(train_case, optimizers_follow_their_formulas);
	tcase_add_test(train_case, learns_and_generalizes);
	tcase_add_test(train_case, rmsprop_learns);
	tcase_add_test(train_case, is_a_function_of_seed_and_images);
	tcase_add_test(train_case, a_batch_is_never_larger_than_the_data);
	tcase_add_test(train_case, stops_early_on_the_training_loss);
	tcase_add_test(train_case, stops_when_the_training_loss_is_low);
	tcase_add_test(train_case, can_be_cancelled);
	tcase_add_test(train_case, a_diverging_training_is_an_error_and_leaves_the_weights);
	tcase_add_test(train_case, resumes_bit_for_bit);
	tcase_add_test(train_case, refuses_a_checkpoint_of_another_training);
	tcase_add_test(train_case, refuses_a_damaged_checkpoint);
	tcase_add_test(train_case, refuses_wrong_options);
	tcase_add_test(train_case, refuses_wrong_images_and_models);
	tcase_add_test(train_case, predicts_the_same_in_batches_of_any_size);
	tcase_add_test(train_case, a_step_of_u8_is_one_255th);
	tcase_add_test(train_case, every_allocation_may_fail);
	tcase_add_test(train_case, trains_on_the_training_frames_of_a_data_set);
	tcase_add_test(train_case, refuses_models_that_do_not_fit_the_data_set);
	suite_add_tcase(suite, train_case);
	return qmdt_run(suite);
}
