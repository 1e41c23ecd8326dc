/* The CUDA back end on emulated devices: all of it but the silicon. It is held against the CPU's engine, in every bit.
 */
#include "adk_fixture.h"
#include "engine_fixture.h"

#include "cuda/host/host_device.h"
#include "cuda/cuda_internal.h"

#define N_SEEDS 5

static void set_machine(uint64_t seed) {
	qmdi_host_machine machine = QMDI_HOST_MACHINE;
	machine.seed = seed;
	qmdi_host_machine_set(&machine);
}

static qmd_context_options cuda_options(void) {
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.device = "cuda";
	options.max_batch = 3;
	return options;
}

static qmd_context *new_context(const qmd_engine *engine, const qmd_context_options *options) {
	qmd_context *context;
	qmdt_ok(qmd_context_create(engine, options, &context));
	return context;
}

static qmd_context_device device_of(const qmd_context *context) {
	qmd_context_device device = {.struct_size = sizeof device};
	qmdt_ok(qmd_context_device_info(context, &device));
	return device;
}

/* ---- A stream of the test's own ---- */

static qmdi_cuda_stream *test_stream;

static void open_stream(void) {
	set_machine(0);
	qmdi_host_set_current(0, NULL);
	qmdt_ok(qmdi_cuda_stream_create(&test_stream));
}

static void close_stream(void) {
	qmdi_cuda_stream_free(test_stream);
	ck_assert_uint_eq(qmdi_host_n_objects(), 0);
}

/* ---- Networks of every kind of layer ---- */

/* A network, images for it, and what the reference says of them. */
typedef struct network {
	qmd_model *model;
	qmd_engine *engine;
	unsigned char *images;
	float *logits;
} network;

static network new_network(size_t number, size_t n_images, uint64_t seed) {
	network net = {.model = qmdt_network(number)};
	qmdt_ok(qmd_engine_compile(net.model, NULL, &net.engine));
	net.images = qmdt_images(net.model, n_images, seed);
	net.logits = qmdt_reference_logits(net.model, net.images, n_images);
	return net;
}

static void free_network(network *net) {
	qmd_engine_free(net->engine);
	qmd_model_free(net->model);
	free(net->images);
	free(net->logits);
	ck_assert_uint_eq(qmdi_host_n_objects(), 0);
}

START_TEST(every_network_gives_the_same_logits) {
	set_machine(1);
	network net = new_network((size_t)_i, 5, 7);
	float logits[64];
	const qmd_context_options options = cuda_options();
	qmd_context *context = new_context(net.engine, &options);
	const qmd_output output = {"logits", logits};
	qmdt_ok(qmd_context_run_images(context, net.images, 5, &output, 1));
	ck_assert(qmdt_same_floats(logits, net.logits, 5 * qmd_engine_n_classes(net.engine)));
	ck_assert_str_eq(device_of(context).device, "cuda:0");
	ck_assert_str_eq(device_of(context).note, "");
	qmd_context_free(context);
	free_network(&net);
}
END_TEST

/* ---- Real frames ---- */

/* The image of the first frame of the last batch, as the device has it. */
static unsigned char *image_on_device(const qmdi_cuda_context *context) {
	const qmdi_tensor *tensor = &context->engine->tensors[0];
	const size_t row = (size_t)tensor->w * tensor->c;
	unsigned char *image = malloc(tensor->h * row);
	ck_assert_ptr_nonnull(image);
	ck_assert_uint_gt(tensor->halo_top, 0); /* so that its memory is not another tensor's */
	const qmdi_cuda_block block = {.to = image,
								   .from = context->views[0].data,
								   .bytes = row,
								   .n_rows = tensor->h,
								   .n_planes = 1,
								   .to_row = row,
								   .to_plane = tensor->h * row,
								   .from_row = context->views[0].row_stride,
								   .from_plane = context->views[0].image_stride};
	qmdt_ok(qmdi_cuda_copy_block(test_stream, &block));
	qmdt_ok(qmdi_cuda_stream_wait(test_stream));
	return image;
}

static void expect_same_image(const qmdi_cuda_context *context, const qmd_frame *frame) {
	unsigned char *image = image_on_device(context);
	const size_t size = qmdi_tensor_elements(&context->engine->tensors[0]);
	unsigned char *expected = malloc(size);
	ck_assert_ptr_nonnull(expected);
	qmdt_ok(qmd_pixels_run(qmd_engine_pixels(context->engine), frame, 1, expected));
	ck_assert_mem_eq(image, expected, size);
	free(expected);
	free(image);
}

/* Frames through both, batch by batch: the image, logits and probabilities. */
static void expect_same_answers(const qmdt_adk *adk, const qmd_frame *frames, size_t n, uint64_t seed, int graph) {
	float logits[16], probabilities[16], expected_logits[16], expected_probabilities[16];
	const qmd_output outputs[] = {{"probabilities", probabilities}, {"logits", logits}};
	const qmd_output expected[] = {{"logits", expected_logits}, {"probabilities", expected_probabilities}};
	qmd_context_options options = cuda_options();
	options.graph = graph;
	qmd_context *cpu = new_context(adk->engine, NULL);
	void *cuda;
	set_machine(seed);
	qmdt_ok(qmdi_cuda_backend->create(adk->engine, &options, &cuda));
	ck_assert_ptr_nonnull(cuda);
	ck_assert_uint_le(2 * n, 16);
	qmdt_ok(qmd_context_run_outputs(cpu, frames, n, expected, 2));
	qmdt_ok(qmdi_cuda_backend->run(cuda, &(qmdi_source){.frames = frames, .n = n}, outputs, 2));
	ck_assert_mem_eq(logits, expected_logits, 2 * n * sizeof *logits);
	ck_assert_mem_eq(probabilities, expected_probabilities, 2 * n * sizeof *probabilities);
	expect_same_image(cuda, &frames[(n - 1) / options.max_batch * options.max_batch]);
	qmdi_cuda_backend->release(cuda);
	qmd_context_free(cpu);
}

START_TEST(real_frames_give_the_same_answers) {
	qmdt_adk adk;
	open_stream();
	qmdt_adk_make(&adk, _i == 0 ? QMD_PIXELS_DISPLACEMENT : QMD_PIXELS_ICNNMD);
	const qmd_frame frames[] = {qmdt_adk_frame(&adk, 0), qmdt_adk_frame(&adk, adk.n_frames - 1),
								qmdt_adk_frame(&adk, 3), qmdt_adk_frame(&adk, 4)};
	for (uint64_t seed = 0; seed < N_SEEDS; seed++)
		expect_same_answers(&adk, &frames[seed % 4], 1, seed, seed % 2 == 0);
	expect_same_answers(&adk, frames, 4, 9, 1);
	qmdt_adk_free(&adk);
	close_stream();
}
END_TEST

/* One graph a step: what a frame at a time launches, from coordinates to probabilities. */
START_TEST(a_step_launches_at_most_six_kernels) {
	qmdt_adk adk;
	float probabilities[2];
	open_stream();
	qmdt_adk_make(&adk, QMD_PIXELS_DISPLACEMENT);
	const qmd_frame frame = qmdt_adk_frame(&adk, 0);
	const qmd_output output = {"probabilities", probabilities};
	const qmd_context_options options = cuda_options();
	void *made;
	qmdt_ok(qmdi_cuda_backend->create(adk.engine, &options, &made));
	qmdi_cuda_context *context = made;
	for (size_t step = 0; step < 3; step++) {
		set_machine(0);
		qmdt_ok(qmdi_cuda_backend->run(context, &(qmdi_source){.frames = &frame, .n = 1}, &output, 1));
		ck_assert_uint_eq(qmdi_host_n_launches(), qmdi_cuda_n_launches(context));
	}
	ck_assert_uint_le(qmdi_cuda_n_launches(context), 6);
	ck_assert_ptr_null(context->graphs[1]); /* all three steps went through the first */
	ck_assert_uint_eq(qmdi_cuda_graph_n_kernels(context->graphs[0]), qmdi_cuda_n_launches(context));
	qmdi_cuda_backend->release(context);
	qmdt_adk_free(&adk);
	close_stream();
}
END_TEST

/* More kinds of batches than a context keeps graphs for. */
START_TEST(graphs_are_made_anew_when_there_are_too_many) {
	enum { MOST = QMDI_CUDA_N_GRAPHS + 4 };
	set_machine(0);
	network net = new_network(0, MOST, 3);
	const size_t n_classes = qmd_engine_n_classes(net.engine);
	float logits[64 * MOST];
	qmd_context_options options = cuda_options();
	options.max_batch = MOST;
	qmd_context *context = new_context(net.engine, &options);
	const qmd_output output = {"logits", logits};
	for (size_t round = 0; round < 2; round++)
		for (size_t n = 1; n <= MOST; n++) {
			memset(logits, 0, sizeof logits);
			qmdt_ok(qmd_context_run_images(context, net.images, n, &output, 1));
			ck_assert(qmdt_same_floats(logits, net.logits, n * n_classes));
		}
	qmd_context_free(context);
	free_network(&net);
}
END_TEST

START_TEST(profiles_have_the_form_of_the_plan) {
	qmdt_adk adk;
	open_stream();
	qmdt_adk_make(&adk, QMD_PIXELS_ICNNMD);
	const qmd_frame frame = qmdt_adk_frame(&adk, 0);
	const qmd_context_options options = cuda_options();
	qmd_context *context = new_context(adk.engine, &options);
	const size_t n_layers = qmd_engine_n_layers(adk.engine);
	const qmd_shape shape = qmd_engine_image_shape(adk.engine);
	unsigned char *image = calloc((size_t)shape.h * shape.w, shape.c);
	double *seconds = calloc(n_layers, sizeof *seconds);
	qmd_run_time times[3];
	size_t n_launches = 1; /* the pixels */
	ck_assert_ptr_nonnull(image);
	ck_assert_ptr_nonnull(seconds);
	qmdt_ok(qmd_context_profile(context, image, 1, 2, seconds));
	for (size_t i = 0; i < n_layers; i++) {
		const int launches = qmd_context_kernel(context, i)[0] != '\0';
		ck_assert_int_eq(seconds[i] > 0, launches);
		n_launches += launches ? 1 : 0;
	}
	ck_assert_ptr_null(qmd_context_kernel(context, n_layers));
	ck_assert_uint_eq(n_launches, device_of(context).n_launches);
	qmdt_ok(qmd_context_time(context, &frame, 1, 3, times));
	for (size_t i = 0; i < 3; i++) {
		ck_assert(times[i].input > 0 && times[i].compute > 0 && times[i].output > 0);
		ck_assert(times[i].total > 0);
	}
	qmdt_fails(qmd_context_time(context, &frame, 4, 1, times), QMD_ERROR_RANGE, "max_batch");
	qmdt_fails(qmd_context_time(context, &frame, 1, 0, times), QMD_ERROR_RANGE, "repeats");
	qmd_context_free(context);
	free(image);
	free(seconds);
	qmdt_adk_free(&adk);
	close_stream();
}
END_TEST

int main(void) {
	Suite *suite = suite_create("cuda backend");
	TCase *runs = tcase_create("runs");
	tcase_set_timeout(runs, 120);
	tcase_add_loop_test(runs, every_network_gives_the_same_logits, 0, QMDT_N_NETWORKS);
	tcase_add_loop_test(runs, real_frames_give_the_same_answers, 0, 2);
	tcase_add_test(runs, a_step_launches_at_most_six_kernels);
	tcase_add_test(runs, graphs_are_made_anew_when_there_are_too_many);
	tcase_add_test(runs, profiles_have_the_form_of_the_plan);
	suite_add_tcase(suite, runs);
	return qmdt_run(suite);
}
