/*
 * Inference by cuDNN and cuBLAS on emulated devices and libraries: FP16 beside FP32, INT8 beside libqmd's own engine,
 * what is refused, and what goes wrong. What the emulation cannot know: which layers the real libraries refuse, how
 * they round to INT8, and time.
 */
#include <math.h>
#include <stdio.h>

#include "allocator_fixture.h"
#include "base/error.h"
#include "cuda_machine_fixture.h"
#include "engine_fixture.h"
#include "model_fixture.h"

#define N_IMAGES 5
#define BATCH 3
#define MAX_CLASSES 16

static void setup(void) {
	qmdt_set_machine(&qmdt_small_gpus, 0);
}

static void teardown(void) {
	qmdt_set_machine(&qmdt_small_gpus, 0);
	ck_assert_uint_eq(qmdi_host_n_objects(), 0);
}

static qmd_predictor_options options_of(const char *engine) {
	qmd_predictor_options options;
	qmd_predictor_options_init(&options);
	options.engine = engine;
	options.batch_size = BATCH;
	options.n_threads = 1;
	return options;
}

static qmd_predictor *new_predictor(const qmd_model *model, const char *engine) {
	const qmd_predictor_options options = options_of(engine);
	qmd_predictor *predictor;
	qmdt_ok(qmd_predictor_create(model, &options, &predictor));
	return predictor;
}

static void run_engine(const qmd_model *model, const char *engine, qmd_type type, const unsigned char *images,
					   float *logits) {
	qmd_predictor *predictor = new_predictor(model, engine);
	qmdt_ok(qmd_predictor_run_images(predictor, images, type, N_IMAGES, logits, NULL));
	qmd_predictor_free(predictor);
}

/* Texts of all layers, a line each. */
static void describe(const qmd_predictor *predictor, char *text, size_t size) {
	text[0] = '\0';
	for (size_t i = 0; i < qmd_predictor_n_layers(predictor); i++) {
		qmd_predictor_layer layer = {.struct_size = sizeof layer};
		const size_t length = strlen(text);
		qmdt_ok(qmd_predictor_layer_info(predictor, i, &layer));
		ck_assert_int_gt((int)strlen(layer.computed_by), 0);
		ck_assert_int_eq(layer.computed_with != i, strncmp(layer.computed_by, "with '", 6) == 0);
		snprintf(text + length, size - length, "%s: %s\n", layer.name, layer.computed_by);
	}
}

static void must_say(const qmd_predictor *predictor, const char *part) {
	char text[16384];
	describe(predictor, text, sizeof text);
	ck_assert_msg(strstr(text, part) != NULL, "'%s' is not in '%s'", part, text);
}

/* ---- FP16 ---- */

/* Logits within some roundings to 11 bits of the largest. */
static void must_be_close(const char *what, const float *got, const float *expected, size_t n) {
	float largest = 0;
	for (size_t i = 0; i < n; i++)
		largest = fmaxf(largest, fabsf(expected[i]));
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(fabsf(got[i] - expected[i]) <= 16 * 0x1p-11f * largest, "%s: logit %zu is %g, in FP32 %g", what,
					  i, (double)got[i], (double)expected[i]);
}

static qmd_model *float_model(int i) {
	if (i == 0)
		return qmdt_model_of_every_kind();
	qmd_model *model = qmdt_residual_net(1);
	qmdt_draw_parameters(model, 7);
	return model;
}

static int differ(const float *a, const float *b, size_t n) {
	return memcmp(a, b, n * sizeof *a) != 0;
}

/* Both types of images by one predictor, which are two graphs. */
static void check_fp16(const qmd_model *model, const char *what) {
	const size_t n = N_IMAGES * qmd_model_n_classes(model);
	unsigned char *images = qmdt_images(model, N_IMAGES, 3);
	float expected[N_IMAGES * MAX_CLASSES], got[N_IMAGES * MAX_CLASSES];
	qmd_predictor *predictor = new_predictor(model, "cudnn-fp16");
	static const qmd_type types[] = {QMD_S8, QMD_U8, QMD_S8};
	for (size_t t = 0; t < 3; t++) {
		run_engine(model, "fp32", types[t], images, expected);
		qmdt_ok(qmd_predictor_run_images(predictor, images, types[t], N_IMAGES, got, NULL));
		must_be_close(what, got, expected, n);
		ck_assert_msg(differ(got, expected, n), "%s was not rounded to FP16", what);
	}
	qmd_predictor_free(predictor);
	free(images);
}

START_TEST(fp16_is_fp32_but_for_its_rounding) {
	qmd_model *model = float_model(_i);
	static const int refusals[] = {0, QMDI_HOST_FUSED_FP16};
	for (size_t r = 0; r < 2; r++) {
		qmdt_set_machine(&qmdt_small_gpus, refusals[r]);
		check_fp16(model, r == 0 ? "fused" : "not fused");
	}
	qmd_model_free(model);
}
END_TEST

START_TEST(what_fp16_is_refused_is_computed_in_fp32_and_said) {
	qmd_model *model = float_model(1);
	float expected[N_IMAGES * MAX_CLASSES], got[N_IMAGES * MAX_CLASSES];
	unsigned char *images = qmdt_images(model, N_IMAGES, 3);
	qmdt_set_machine(&qmdt_small_gpus, QMDI_HOST_FP16);
	qmd_predictor *predictor = new_predictor(model, "cudnn-fp16");
	must_say(predictor, "cuDNN FP32 conv+bias+ReLU (engine 4, without tensor cores)");
	must_say(predictor, "FP16 refused: layer '");
	must_say(predictor, "this graph is refused, as was asked for");
	must_say(predictor, "FP16 refused: layer 'dense_1': cuBLAS: cublasGemmEx_64: the functionality requested");
	run_engine(model, "fp32", QMD_S8, images, expected);
	qmdt_ok(qmd_predictor_run_images(predictor, images, QMD_S8, N_IMAGES, got, NULL));
	must_be_close("FP32", got, expected, N_IMAGES * qmd_model_n_classes(model));
	qmd_predictor_free(predictor);
	free(images);
	qmd_model_free(model);
}
END_TEST

/* ---- INT8 ---- */

static void run_own_engine(const qmd_model *model, const unsigned char *images, float *logits) {
	qmd_engine *engine = qmdt_compile(model, 1);
	qmd_context *context = qmdt_new_context(engine, 1, N_IMAGES);
	const qmd_output output = {"logits", logits};
	qmdt_ok(qmd_context_run_images(context, images, N_IMAGES, &output, 1));
	qmd_context_free(context);
	qmd_engine_free(engine);
}

static size_t class_of(const float *logits, size_t n_classes) {
	size_t largest = 0;
	for (size_t c = 1; c < n_classes; c++)
		largest = logits[c] > logits[largest] ? c : largest;
	return largest;
}

/* The span of an engine's logits in steps of 8 bits is what one rounding that differs may change; of FP16 a few. */
static void check_int8(size_t network, int refuses, float n_steps) {
	qmd_model *model = qmdt_network(network);
	const size_t n_classes = qmd_model_n_classes(model);
	unsigned char *images = qmdt_images(model, N_IMAGES, 5);
	float expected[N_IMAGES * MAX_CLASSES], got[N_IMAGES * MAX_CLASSES], largest = 0;
	qmdt_set_machine(&qmdt_small_gpus, refuses);
	run_own_engine(model, images, expected);
	run_engine(model, "cudnn-int8", (qmd_type)model->image_type, images, got);
	for (size_t i = 0; i < N_IMAGES * n_classes; i++)
		largest = fmaxf(largest, fabsf(expected[i]));
	for (size_t i = 0; i < N_IMAGES * n_classes; i++)
		ck_assert_msg(fabsf(got[i] - expected[i]) <= n_steps * largest / 127, "%s, refused %d: logit %zu is %g, not %g",
					  qmdt_network_name(network), refuses, i, (double)got[i], (double)expected[i]);
	for (size_t i = 0; i < N_IMAGES; i++)
		ck_assert_uint_eq(class_of(got + i * n_classes, n_classes), class_of(expected + i * n_classes, n_classes));
	free(images);
	qmd_model_free(model);
}

START_TEST(int8_is_the_engine_but_for_rounding) {
	check_int8((size_t)_i, 0, 1);
	check_int8((size_t)_i, QMDI_HOST_FUSED_INT8, 1);
	check_int8((size_t)_i, QMDI_HOST_INT8, 2);
	check_int8((size_t)_i, QMDI_HOST_INT8 | QMDI_HOST_FP16, 1);
}
END_TEST

/* Each way of refusing leaves another computation, which is named. */
START_TEST(int8_says_what_computes_each_layer) {
	static const struct {
		int refuses;
		const char *parts[2];
	} cases[] = {
		{0, {"cuDNN INT8 conv+bias+scale+ReLU", "cuBLAS INT8 product, own kernel for bias+scale"}},
		{QMDI_HOST_FUSED_INT8,
		 {"cuDNN INT8 conv, own kernel for bias+scale+ReLU (engine 0, with tensor cores); as one graph refused:",
		  "with '"}},
		{QMDI_HOST_INT8,
		 {"cuDNN FP16 conv, own kernel for bias+scale+ReLU (engine 0, with tensor cores); INT8 refused:",
		  "cuBLAS FP16 product"}},
	};
	qmd_model *model = qmdt_network(0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		qmdt_set_machine(&qmdt_small_gpus, cases[i].refuses);
		qmd_predictor *predictor = new_predictor(model, "cudnn-int8");
		must_say(predictor, cases[i].parts[0]);
		must_say(predictor, cases[i].parts[1]);
		qmd_predictor_free(predictor);
	}
	qmd_model_free(model);
}
END_TEST

START_TEST(int8_alone_without_tensor_cores_gives_way_to_fp16) {
	const qmdi_host_vendor plain = {.engines = {{.workspace = 64}}, .n_engines = 1, .refuses = QMDI_HOST_FUSED_INT8};
	qmd_model *model = qmdt_network(0);
	qmdi_host_vendor_set(&plain);
	qmd_predictor *predictor = new_predictor(model, "cudnn-int8");
	must_say(predictor,
			 "cuDNN FP16 conv, own kernel for bias+scale+ReLU (engine 0, without tensor cores); INT8 refused: "
			 "cuDNN has nothing better than a convolution alone (engine 0, without tensor cores); as one "
			 "graph refused: layer '");
	qmd_predictor_free(predictor);
	qmd_model_free(model);
}
END_TEST

START_TEST(u8_images_are_read_in_fp16) {
	qmd_model *model = qmdt_network(3);
	ck_assert_int_eq(model->image_type, QMD_U8);
	qmd_predictor *predictor = new_predictor(model, "cudnn-int8");
	must_say(predictor, "INT8 refused: its input is u8");
	qmd_predictor_free(predictor);
	qmd_model_free(model);
}
END_TEST

/* ---- Times ---- */

START_TEST(times_are_of_every_part_and_layer) {
	qmd_model *model = qmdt_network(2);
	unsigned char *images = qmdt_images(model, BATCH, 5);
	qmd_predictor *predictor = new_predictor(model, "cudnn-int8");
	const size_t n_layers = qmd_predictor_n_layers(predictor);
	qmd_run_time times[3];
	double *of_layers = calloc(n_layers * 2, sizeof *of_layers);
	qmdt_ok(qmd_predictor_time(predictor, images, QMD_S8, BATCH, 3, times));
	for (size_t i = 0; i < 3; i++)
		ck_assert(times[i].input > 0 && times[i].compute > 0 && times[i].output > 0 && times[i].total > 0);
	qmdt_ok(qmd_predictor_time_layers(predictor, images, QMD_S8, BATCH, 2, of_layers));
	for (size_t i = 0; i < n_layers; i++) {
		qmd_predictor_layer layer = {.struct_size = sizeof layer};
		qmdt_ok(qmd_predictor_layer_info(predictor, i, &layer));
		const int computes = strncmp(layer.computed_by, "cu", 2) == 0 || strncmp(layer.computed_by, "own", 3) == 0;
		ck_assert_msg((of_layers[2 * i + 1] > 0) == computes, "%s, %s: %g s", layer.name, layer.computed_by,
					  of_layers[2 * i + 1]);
	}
	qmdt_fails(qmd_predictor_time(predictor, images, QMD_S8, BATCH + 1, 3, times), QMD_ERROR_RANGE, "4 images");
	qmdt_fails(qmd_predictor_time(predictor, images, QMD_S8, BATCH, 0, times), QMD_ERROR_RANGE, "n_repeats is 0");
	qmdt_fails(qmd_predictor_time(predictor, images, QMD_U8, BATCH, 3, times), QMD_ERROR_ARGUMENT, "QMD_S8");
	qmdt_fails(qmd_predictor_time(predictor, NULL, QMD_S8, BATCH, 3, times), QMD_ERROR_ARGUMENT, "images");
	qmd_predictor_free(predictor);
	free(of_layers);
	free(images);
	qmd_model_free(model);
}
END_TEST

START_TEST(fp32_has_times_too) {
	qmd_model *model = qmdt_network(2);
	unsigned char *images = qmdt_images(model, BATCH, 5);
	qmd_predictor *predictor = new_predictor(model, "fp32");
	qmd_run_time time;
	double of_layers[QMDI_MAX_LAYERS];
	qmdt_ok(qmd_predictor_time(predictor, images, QMD_S8, BATCH, 1, &time));
	ck_assert(time.total > 0 && time.compute == time.total && time.input == 0 && time.output == 0);
	must_say(predictor, "FP32");
	qmdt_fails(qmd_predictor_time_layers(predictor, images, QMD_S8, BATCH, 1, of_layers), QMD_ERROR_UNSUPPORTED,
			   "cudnn-int8");
	qmd_predictor_free(predictor);
	free(images);
	qmd_model_free(model);
}
END_TEST

/* ---- What goes wrong ---- */

static void fails_to_create(const qmd_model *model, const qmd_predictor_options *options, qmd_status status,
							const char *part) {
	qmd_predictor *predictor = (qmd_predictor *)1;
	qmdt_fails(qmd_predictor_create(model, options, &predictor), status, part);
	ck_assert_ptr_null(predictor);
	ck_assert_uint_eq(qmdi_host_n_objects(), 0);
}

START_TEST(what_does_not_serve_is_named) {
	qmd_model *quantized = qmdt_network(2), *plain = float_model(1);
	qmd_predictor_options options = options_of("cudnn-fp17");
	fails_to_create(plain, &options, QMD_ERROR_ARGUMENT, "cudnn-fp17");
	options.engine = "cudnn-int8";
	fails_to_create(plain, &options, QMD_ERROR_STATE, "quantized");
	options.engine = "cudnn-fp16";
	fails_to_create(quantized, &options, QMD_ERROR_STATE, "not quantized");
	options.device = "cpu";
	fails_to_create(plain, &options, QMD_ERROR_UNSUPPORTED, "the device is 'cpu'");
	options.device = "cuda:2";
	fails_to_create(plain, &options, QMD_ERROR_RANGE, "there are 2");
	options.device = "cuda:1";
	qmdi_host_machine machine = qmdt_small_gpus;
	machine.has_driver = 0;
	qmdt_set_machine(&machine, 0);
	fails_to_create(plain, &options, QMD_ERROR_UNSUPPORTED, "driver");
	qmdt_set_machine(&qmdt_small_gpus, 0);
	const qmdi_host_vendor missing = {.is_missing = 1};
	qmdi_host_vendor_set(&missing);
	fails_to_create(plain, &options, QMD_ERROR_UNSUPPORTED, "libcudnn");
	quantized->weight_bits = 4;
	options.engine = "cudnn-int8";
	fails_to_create(quantized, &options, QMD_ERROR_UNSUPPORTED, "8-bit");
	qmd_model_free(quantized);
	qmd_model_free(plain);
}
END_TEST

/* A residual net's first sum has two readers that are no layers with weights. */
START_TEST(a_batchnorm_that_cannot_be_folded_is_refused) {
	const qmd_predictor_options options = options_of("cudnn-fp16");
	qmd_model *model = qmdt_model(5, 5, 3);
	qmdt_add_kind(model, QMD_LAYER_BATCHNORM);
	qmdt_add_kind(model, QMD_LAYER_FLATTEN);
	qmdt_add_dense(model, 2);
	qmdt_draw_parameters(model, 1);
	fails_to_create(model, &options, QMD_ERROR_UNSUPPORTED, "not folded");
	qmd_model_free(model);
}
END_TEST

START_TEST(a_batch_that_does_not_fit_says_so) {
	qmd_model *model = float_model(1);
	qmd_predictor_options options = options_of("cudnn-fp16");
	qmdi_host_machine machine = qmdt_small_gpus;
	machine.memory = (size_t)12 << 20; /* of which cuBLAS has most */
	options.batch_size = 8192;
	qmdt_set_machine(&machine, 0);
	fails_to_create(model, &options, QMD_ERROR_MEMORY, "bytes left");
	qmd_model_free(model);
}
END_TEST

static qmd_status create_run_and_free(void *argument) {
	const qmd_model *model = argument;
	const qmd_predictor_options options = options_of(qmd_model_is_quantized(model) ? "cudnn-int8" : "cudnn-fp16");
	static unsigned char images[BATCH * 32 * 32 * 3];
	float logits[BATCH * MAX_CLASSES];
	qmd_run_time time;
	qmd_predictor *predictor;
	QMDI_TRY(qmd_predictor_create(model, &options, &predictor));
	qmd_status status = qmd_predictor_run_images(predictor, images, QMD_S8, BATCH, logits, NULL);
	if (status == QMD_OK)
		status = qmd_predictor_time(predictor, images, QMD_S8, BATCH, 1, &time);
	qmd_predictor_free(predictor);
	return status;
}

/* A type may be refused where its first try fails, a graph not be captured; all else must tell. */
START_TEST(every_call_may_fail_and_nothing_is_left) {
	qmd_model *model = _i == 0 ? qmdt_network(2) : float_model(1);
	ck_assert_uint_gt(qmdt_fail_each_device_call(create_run_and_free, model), 100);
	qmd_model_free(model);
}
END_TEST

START_TEST(every_allocation_of_the_host_may_fail) {
	qmd_model *model = qmdt_network(2);
	ck_assert_uint_gt(qmdt_fail_each_allocation(create_run_and_free, model), 20);
	qmd_model_free(model);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("cuda_predictor");
	TCase *numbers = tcase_create("numbers"), *errors = tcase_create("errors");
	tcase_set_timeout(numbers, 0);
	tcase_set_timeout(errors, 0);
	tcase_add_checked_fixture(numbers, setup, teardown);
	tcase_add_checked_fixture(errors, setup, teardown);
	tcase_add_loop_test(numbers, fp16_is_fp32_but_for_its_rounding, 0, 2);
	tcase_add_test(numbers, what_fp16_is_refused_is_computed_in_fp32_and_said);
	tcase_add_loop_test(numbers, int8_is_the_engine_but_for_rounding, 0, QMDT_N_NETWORKS);
	tcase_add_test(numbers, int8_says_what_computes_each_layer);
	tcase_add_test(numbers, int8_alone_without_tensor_cores_gives_way_to_fp16);
	tcase_add_test(numbers, u8_images_are_read_in_fp16);
	tcase_add_test(numbers, times_are_of_every_part_and_layer);
	tcase_add_test(numbers, fp32_has_times_too);
	tcase_add_test(errors, what_does_not_serve_is_named);
	tcase_add_test(errors, a_batchnorm_that_cannot_be_folded_is_refused);
	tcase_add_test(errors, a_batch_that_does_not_fit_says_so);
	tcase_add_loop_test(errors, every_call_may_fail_and_nothing_is_left, 0, 2);
	tcase_add_test(errors, every_allocation_of_the_host_may_fail);
	suite_add_tcase(suite, numbers);
	suite_add_tcase(suite, errors);
	return qmdt_run(suite);
}
