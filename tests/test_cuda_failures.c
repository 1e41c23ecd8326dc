/* What a CUDA device can refuse, and what a host can get wrong: clear errors, nothing lost, contexts that can be freed.
 * On emulated devices. */
#include "engine_fixture.h"

#include <math.h>
#include <stdio.h>

#include "cuda/cuda_internal.h"
#include "cuda/host/host_device.h"

#define N_FRAMES 3
#define N_CLASSES 3

static void set_machine(const qmdi_host_machine *machine) {
	qmdi_host_machine_set(machine);
	qmdi_host_set_current(0, NULL);
}

static const qmdi_host_machine sound = QMDI_HOST_MACHINE;

typedef struct fixture {
	qmd_model *model;
	qmd_engine *engine;
	size_t n_atoms;
	double *xyz[N_FRAMES];
	qmd_frame frames[N_FRAMES];
	float expected[N_FRAMES * N_CLASSES];
} fixture;

static fixture new_fixture(void) {
	fixture f = {.model = qmdt_bound_network(QMD_S8)};
	set_machine(&sound);
	qmdt_ok(qmd_engine_compile(f.model, NULL, &f.engine));
	f.n_atoms = qmd_engine_n_atoms(f.engine);
	for (size_t i = 0; i < N_FRAMES; i++) {
		f.xyz[i] = qmdt_made_up_frame(qmd_engine_pixels(f.engine), i);
		qmd_frame_init(&f.frames[i]);
		f.frames[i].xyz = f.xyz[i];
		f.frames[i].type = QMD_F64;
		f.frames[i].n_atoms = f.n_atoms;
	}
	qmd_context *cpu;
	qmdt_ok(qmd_context_create(f.engine, NULL, &cpu));
	qmdt_ok(qmd_context_run(cpu, f.frames, N_FRAMES, f.expected));
	qmd_context_free(cpu);
	return f;
}

static void free_fixture(fixture *f) {
	for (size_t i = 0; i < N_FRAMES; i++)
		free(f->xyz[i]);
	qmd_engine_free(f->engine);
	qmd_model_free(f->model);
	set_machine(&sound);
	ck_assert_uint_eq(qmdi_host_n_objects(), 0);
}

/* The frames' coordinates to the device; returns the memory that they are in then. */
static char *move_to_device(fixture *f, qmdi_cuda_stream *stream) {
	const size_t size = 3 * f->n_atoms * sizeof(double);
	char *xyz;
	qmdt_ok(qmdi_cuda_allocate(N_FRAMES * size, (void **)&xyz));
	for (size_t i = 0; i < N_FRAMES; i++) {
		qmdt_ok(qmdi_cuda_copy(stream, xyz + i * size, f->xyz[i], size));
		f->frames[i].xyz = xyz + i * size;
	}
	qmdt_ok(qmdi_cuda_stream_wait(stream));
	return xyz;
}

static qmd_context_options cuda_options(void) {
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.device = "cuda";
	options.max_batch = 2;
	return options;
}

static void fails_to_create(const fixture *f, const qmd_context_options *options, qmd_status status, const char *part) {
	qmd_context *context = (qmd_context *)1;
	qmdt_fails(qmd_context_create(f->engine, options, &context), status, part);
	ck_assert_ptr_null(context);
}

/* ---- Devices ---- */

START_TEST(a_machine_without_a_device_says_what_is_missing) {
	fixture f = new_fixture();
	const qmd_context_options options = cuda_options();
	qmdi_host_machine machine = sound;
	machine.has_driver = 0;
	set_machine(&machine);
	fails_to_create(&f, &options, QMD_ERROR_UNSUPPORTED, "driver");
	machine.has_driver = 1;
	machine.n_devices = 0;
	set_machine(&machine);
	fails_to_create(&f, &options, QMD_ERROR_UNSUPPORTED, "no device");
	machine.n_devices = 1;
	machine.capability = 61;
	set_machine(&machine);
	fails_to_create(&f, &options, QMD_ERROR_UNSUPPORTED, "compute capability 6.1");
	free_fixture(&f);
}
END_TEST

START_TEST(devices_are_named_as_the_header_says) {
	fixture f = new_fixture();
	qmd_context_options options = cuda_options();
	static const char *const wrong[] = {"cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cuda: 1", "cuda:99999999999"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		options.device = wrong[i];
		fails_to_create(&f, &options, QMD_ERROR_ARGUMENT, wrong[i]);
	}
	options.device = "cuda0";
	fails_to_create(&f, &options, QMD_ERROR_ARGUMENT, "cuda0");
	options.device = "cuda:2";
	fails_to_create(&f, &options, QMD_ERROR_RANGE, "there are 2");
	free_fixture(&f);
}
END_TEST

START_TEST(a_device_without_memory_says_so) {
	fixture f = new_fixture();
	qmd_context_options options = cuda_options();
	qmdi_host_machine machine = sound;
	machine.memory = 1000;
	set_machine(&machine);
	fails_to_create(&f, &options, QMD_ERROR_MEMORY, "bytes left");
	machine.memory = 8 << 20; /* enough for the weights */
	set_machine(&machine);
	options.max_batch = 65536;
	fails_to_create(&f, &options, QMD_ERROR_MEMORY, "bytes left");
	free_fixture(&f);
}
END_TEST

/* ---- Streams and memory that do not fit ---- */

START_TEST(a_wrong_stream_is_refused) {
	fixture f = new_fixture();
	qmd_context_options options = cuda_options();
	qmdi_cuda_stream *stream;
	int no_stream = 0;
	qmdi_host_set_current(1, NULL);
	qmdt_ok(qmdi_cuda_stream_create(&stream));
	qmdi_host_set_current(0, NULL);
	options.stream = stream;
	options.device = "cuda:0";
	fails_to_create(&f, &options, QMD_ERROR_ARGUMENT, "of device 1");
	options.stream = &no_stream;
	fails_to_create(&f, &options, QMD_ERROR_ARGUMENT, "stream");
	options.device = "cpu";
	options.stream = stream;
	fails_to_create(&f, &options, QMD_ERROR_ARGUMENT, "stream");
	qmdi_cuda_stream_free(stream);
	free_fixture(&f);
}
END_TEST

START_TEST(memory_must_be_what_was_said) {
	fixture f = new_fixture();
	qmd_context_options options = cuda_options();
	qmd_context *context;
	float probabilities[N_CLASSES];
	float *elsewhere;
	void *xyz;
	qmdi_host_set_current(1, NULL);
	qmdt_ok(qmdi_cuda_allocate(sizeof probabilities, (void **)&elsewhere));
	qmdi_host_set_current(0, NULL);
	qmdt_ok(qmdi_cuda_allocate(3 * f.n_atoms * sizeof(double), &xyz));
	const qmd_output on_host = {"logits", probabilities}, on_other_device = {"logits", elsewhere};
	options.input_memory = options.output_memory = QMD_MEMORY_DEVICE;
	qmdt_ok(qmd_context_create(f.engine, &options, &context));
	qmd_frame frame = f.frames[0];
	qmdt_fails(qmd_context_run_outputs(context, &frame, 1, NULL, 0), QMD_ERROR_ARGUMENT, "xyz is memory of the host");
	frame.xyz = xyz;
	qmdt_fails(qmd_context_run_outputs(context, &frame, 1, &on_host, 1), QMD_ERROR_ARGUMENT, "logits is memory");
	qmdt_fails(qmd_context_run_outputs(context, &frame, 1, &on_other_device, 1), QMD_ERROR_ARGUMENT, "of device 1");
	qmdt_fails(qmd_context_run_images(context, probabilities, 1, NULL, 0), QMD_ERROR_ARGUMENT, "'images'");
	qmd_context_free(context);
	options.input_memory = 3;
	fails_to_create(&f, &options, QMD_ERROR_ARGUMENT, "input_memory is 3");
	options.input_memory = QMD_MEMORY_DEVICE;
	options.device = "cpu";
	fails_to_create(&f, &options, QMD_ERROR_ARGUMENT, "input_memory is QMD_MEMORY_DEVICE");
	qmdi_cuda_release(xyz);
	qmdi_cuda_release(elsewhere);
	free_fixture(&f);
}
END_TEST

/* ---- An engine with a layer that has no kernel ---- */

START_TEST(an_engine_without_a_kernel_runs_on_the_cpu_as_a_whole) {
	fixture f = new_fixture();
	qmd_context_options options = cuda_options();
	qmd_context *context;
	float probabilities[N_FRAMES * N_CLASSES];
	qmd_context_device device = {.struct_size = sizeof device};
	qmdi_kernel_shape *shape = &f.engine->steps[1].shape;
	const int32_t low = shape->low;
	shape->low = 1; /* no kernel clamps to that */
	qmdt_ok(qmd_context_create(f.engine, &options, &context));
	shape->low = low;
	qmdt_ok(qmd_context_device_info(context, &device));
	ck_assert_str_eq(device.device, "cpu");
	ck_assert_ptr_nonnull(strstr(device.note, "step 1"));
	ck_assert_ptr_nonnull(strstr(device.note, "no CUDA kernel"));
	ck_assert_uint_eq(device.n_launches, 0);
	qmdt_ok(qmd_context_run(context, f.frames, N_FRAMES, probabilities));
	ck_assert_mem_eq(probabilities, f.expected, sizeof probabilities);
	qmdt_ok(qmd_context_wait(context));
	qmd_context_free(context);
	options.output_memory = QMD_MEMORY_DEVICE; /* which the CPU cannot write */
	shape->low = 1;
	fails_to_create(&f, &options, QMD_ERROR_UNSUPPORTED, "no CUDA kernel");
	shape->low = low;
	free_fixture(&f);
}
END_TEST

/* ---- Frames that cannot be rendered ---- */

/* The CPU's words, frame by frame. */
START_TEST(bad_frames_fail_as_on_the_cpu) {
	fixture f = new_fixture();
	const qmd_context_options options = cuda_options();
	qmd_context *cpu, *cuda;
	float probabilities[N_FRAMES * N_CLASSES];
	char message[1024];
	qmdt_ok(qmd_context_create(f.engine, NULL, &cpu));
	qmdt_ok(qmd_context_create(f.engine, &options, &cuda));
	const double box[9] = {60, 0, 0, 0, 60, 0, 0, 0, 60}, bad_box[9] = {60, 1, 0, 0, 60, 0, 0, 0, 60};
	for (size_t i = 0; i < 6; i++) {
		qmd_frame frames[N_FRAMES] = {f.frames[0], f.frames[1], f.frames[2]};
		double x = f.xyz[i % 3][7];
		if (i < 3)
			f.xyz[i][7] = i == 0 ? NAN : i == 1 ? 1e9 : -INFINITY;
		if (i == 3)
			frames[2].box = bad_box;
		if (i == 4)
			frames[1].n_atoms--;
		if (i == 5)
			f.xyz[2][7] = 1e300, frames[2].box = box;
		qmd_status expected = qmd_context_run(cpu, frames, N_FRAMES, probabilities);
		ck_assert_int_ne(expected, QMD_OK);
		snprintf(message, sizeof message, "%s", qmd_last_error());
		qmdt_fails(qmd_context_run(cuda, frames, N_FRAMES, probabilities), expected, "frame ");
		ck_assert_str_eq(qmd_last_error(), message);
		f.xyz[i % 3][7] = x;
		qmdt_ok(qmd_context_run(cuda, f.frames, N_FRAMES, probabilities)); /* as if nothing had been */
		ck_assert_mem_eq(probabilities, f.expected, sizeof probabilities);
	}
	/* Frame 0 fails by its coordinates, which the device finds, frame 1 by its box, which the host finds before. */
	f.xyz[0][7] = NAN;
	qmd_frame frames[2] = {f.frames[0], f.frames[1]};
	frames[1].box = bad_box;
	qmdt_fails(qmd_context_run(cuda, frames, 2, probabilities), QMD_ERROR_RANGE, "frame 0: frame: atom 2");
	qmd_context_free(cpu);
	qmd_context_free(cuda);
	free_fixture(&f);
}
END_TEST

START_TEST(bad_frames_on_the_device_are_told_by_wait) {
	fixture f = new_fixture();
	qmd_context_options options = cuda_options();
	qmd_context *context;
	float probabilities[N_FRAMES * N_CLASSES];
	qmdi_cuda_stream *stream;
	float *out;
	qmdt_ok(qmdi_cuda_stream_create(&stream));
	qmdt_ok(qmdi_cuda_allocate(sizeof probabilities, (void **)&out));
	f.xyz[1][3 * 5 + 2] = 1e5;
	char *xyz = move_to_device(&f, stream);
	options.input_memory = options.output_memory = QMD_MEMORY_DEVICE;
	options.stream = stream;
	qmdt_ok(qmd_context_create(f.engine, &options, &context));
	qmdt_ok(qmd_context_run(context, f.frames, N_FRAMES, out));
	qmdt_fails(qmd_context_wait(context), QMD_ERROR_RANGE, "frame 1: atom 5 ");
	qmdt_ok(qmd_context_wait(context)); /* it has been told */
	qmdt_ok(qmd_context_run(context, &f.frames[2], 1, out));
	qmdt_ok(qmd_context_wait(context));
	qmdt_ok(qmdi_cuda_copy(stream, probabilities, out, N_CLASSES * sizeof(float)));
	qmdt_ok(qmdi_cuda_stream_wait(stream));
	ck_assert_mem_eq(probabilities, f.expected + 2 * N_CLASSES, N_CLASSES * sizeof(float));
	qmd_context_free(context);
	qmdi_cuda_release(out);
	qmdi_cuda_release(xyz);
	qmdi_cuda_stream_free(stream);
	free_fixture(&f);
}
END_TEST

/* ---- Every call of the runtime fails once ---- */

/* All that a context does. */
static qmd_status use_context(const fixture *f, qmd_context *context) {
	float probabilities[N_FRAMES * N_CLASSES];
	double seconds[64];
	qmd_run_time times[1];
	unsigned char *image = qmdt_images(f->model, 1, 1);
	qmd_status status = qmd_context_run(context, f->frames, N_FRAMES, probabilities);
	if (status == QMD_OK)
		ck_assert_mem_eq(probabilities, f->expected, sizeof probabilities);
	if (status == QMD_OK)
		status = qmd_context_profile(context, image, 1, 1, seconds);
	if (status == QMD_OK)
		status = qmd_context_time(context, f->frames, 1, 1, times);
	if (status == QMD_OK)
		status = qmd_context_wait(context);
	free(image);
	return status;
}

static void use_all(const fixture *f, int graph) {
	qmd_context_options options = cuda_options();
	options.graph = graph;
	qmd_context *context;
	if (qmd_context_create(f->engine, &options, &context) != QMD_OK) {
		ck_assert_ptr_null(context);
		return;
	}
	if (use_context(f, context) != QMD_OK) {
		float probabilities[N_CLASSES];
		ck_assert_ptr_nonnull(strstr(qmd_last_error(), "CUDA"));
		qmdt_ok(qmd_context_run(context, f->frames, 1, probabilities)); /* the failure has passed */
		ck_assert_mem_eq(probabilities, f->expected, sizeof probabilities);
	}
	qmd_context_free(context);
}

START_TEST(every_call_that_fails_is_survived) {
	fixture f = new_fixture();
	uint64_t n_calls = 1, n = 0;
	for (; n < n_calls; n++) { /* the first round fails nowhere and counts */
		qmdi_host_machine machine = sound;
		machine.failing_call = n;
		set_machine(&machine);
		use_all(&f, _i);
		ck_assert_int_eq(qmdi_host_current_device(), 0);
		ck_assert_uint_eq(qmdi_host_n_objects(), 0);
		n_calls = n == 0 ? qmdi_host_n_calls() + 1 : n_calls;
	}
	ck_assert_uint_gt(n, 50);
	free_fixture(&f);
}
END_TEST

/* A run on the device fails after its frames were staged: the next one must not take them for copied. */
START_TEST(frames_are_copied_again_after_a_failure) {
	fixture f = new_fixture();
	qmd_context_options options = cuda_options();
	qmd_context *context;
	float probabilities[2 * N_CLASSES];
	qmdi_cuda_stream *stream;
	qmd_status status = QMD_ERROR_INTERNAL;
	qmdt_ok(qmdi_cuda_stream_create(&stream));
	char *xyz = move_to_device(&f, stream);
	options.input_memory = QMD_MEMORY_DEVICE;
	options.graph = _i;
	qmdt_ok(qmd_context_create(f.engine, &options, &context));
	for (uint64_t n = 1; status != QMD_OK; n++) {
		set_machine(&sound);
		qmdt_ok(qmd_context_run(context, f.frames, 2, probabilities));
		qmdi_host_machine machine = sound;
		machine.failing_call = n;
		set_machine(&machine);
		status = qmd_context_run(context, f.frames + 1, 2, probabilities);
		set_machine(&sound);
		qmdt_ok(qmd_context_run(context, f.frames + 1, 2, probabilities));
		ck_assert_mem_eq(probabilities, f.expected + N_CLASSES, sizeof probabilities);
	}
	qmd_context_free(context);
	qmdi_cuda_release(xyz);
	qmdi_cuda_stream_free(stream);
	free_fixture(&f);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("cuda failures");
	TCase *failures = tcase_create("failures");
	tcase_set_timeout(failures, 300);
	tcase_add_test(failures, a_machine_without_a_device_says_what_is_missing);
	tcase_add_test(failures, devices_are_named_as_the_header_says);
	tcase_add_test(failures, a_device_without_memory_says_so);
	tcase_add_test(failures, a_wrong_stream_is_refused);
	tcase_add_test(failures, memory_must_be_what_was_said);
	tcase_add_test(failures, an_engine_without_a_kernel_runs_on_the_cpu_as_a_whole);
	tcase_add_test(failures, bad_frames_fail_as_on_the_cpu);
	tcase_add_test(failures, bad_frames_on_the_device_are_told_by_wait);
	tcase_add_loop_test(failures, frames_are_copied_again_after_a_failure, 0, 2);
	tcase_add_loop_test(failures, every_call_that_fails_is_survived, 0, 2);
	suite_add_tcase(suite, failures);
	return qmdt_run(suite);
}
