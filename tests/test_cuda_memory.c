/* Where arrays lie, and who owns what: coordinates and outputs of the host and of the device, streams, shared weights.
 * On emulated devices, held against the CPU's engine. */
#include "engine_fixture.h"

#include <pthread.h>

#include "cuda/cuda_internal.h"
#include "cuda/host/host_device.h"
#include "pixels/pixels_internal.h"

#define N_FRAMES 5
#define N_CLASSES 3
#define N_HOST_ATOMS 400

static void set_machine(uint64_t seed) {
	qmdi_host_machine machine = QMDI_HOST_MACHINE;
	machine.seed = seed;
	qmdi_host_machine_set(&machine);
}

/* ---- A host with more atoms than the engine looks at, and in another order ---- */

typedef struct host {
	qmd_model *model;
	qmd_engine *engine;
	qmdi_cuda_stream *stream;
	size_t n_atoms; /* of the engine */
	uint32_t indices[N_HOST_ATOMS];
	double box[9];
	double xyz[N_FRAMES][N_HOST_ATOMS * 4];  /* nm, wrapped into the box, four numbers an atom */
	float plain[N_FRAMES][N_HOST_ATOMS * 3]; /* angstrom, whole, in the engine's order */
	float expected[N_FRAMES * N_CLASSES];
} host;

/* Into the box: along c, then b, then a. */
static void wrap(const double *box, double *x) {
	for (size_t k = 3; k-- > 0;)
		while (x[k] < 0 || x[k] >= box[4 * k]) {
			const double sign = x[k] < 0 ? 1 : -1;
			for (size_t i = 0; i < 3; i++)
				x[i] += sign * box[3 * k + i];
		}
}

static void place_atoms(host *h, size_t frame) {
	double *made = qmdt_made_up_frame(qmd_engine_pixels(h->engine), frame);
	for (size_t i = 0; i < h->n_atoms; i++) {
		double *x = h->xyz[frame] + 4 * (size_t)h->indices[i];
		for (size_t k = 0; k < 3; k++) {
			h->plain[frame][3 * i + k] = (float)made[3 * i + k];
			x[k] = 0.1 * (double)h->plain[frame][3 * i + k];
		}
		wrap(h->box, x);
	}
	free(made);
}

static host *new_host(qmd_type image_type) {
	host *h = calloc(1, sizeof *h);
	ck_assert_ptr_nonnull(h);
	set_machine(0);
	qmdi_host_set_current(0, NULL);
	qmdt_ok(qmdi_cuda_stream_create(&h->stream));
	h->model = qmdt_bound_network(image_type);
	qmdt_ok(qmd_engine_compile(h->model, NULL, &h->engine));
	h->n_atoms = qmd_engine_n_atoms(h->engine);
	ck_assert_uint_le(3 * h->n_atoms, 3 * N_HOST_ATOMS - 3);
	const double box[9] = {7, 0, 0, 2.25, 6.5, 0, -2.25, 2, 6};
	memcpy(h->box, box, sizeof box);
	for (size_t i = 0; i < h->n_atoms; i++)
		h->indices[i] = (uint32_t)((i * 7 + 3) % N_HOST_ATOMS);
	qmd_context *cpu;
	qmdt_ok(qmd_context_create(h->engine, NULL, &cpu));
	for (size_t i = 0; i < N_FRAMES; i++) {
		place_atoms(h, i);
		qmd_frame frame;
		qmd_frame_init(&frame);
		frame.xyz = h->plain[i];
		frame.n_atoms = h->n_atoms;
		qmdt_ok(qmd_context_run(cpu, &frame, 1, h->expected + i * N_CLASSES));
	}
	qmd_context_free(cpu);
	return h;
}

static void free_host(host *h) {
	qmd_engine_free(h->engine);
	qmd_model_free(h->model);
	qmdi_cuda_stream_free(h->stream);
	free(h);
	ck_assert_uint_eq(qmdi_host_n_objects(), 0);
}

static qmd_frame frame_of(const host *h, const void *xyz) {
	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.xyz = xyz;
	frame.type = QMD_F64;
	frame.unit = QMD_NM;
	frame.stride = 4;
	frame.n_atoms = N_HOST_ATOMS;
	frame.indices = h->indices;
	frame.box = h->box;
	return frame;
}

static qmd_frame plain_frame(const host *h, const void *xyz) {
	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.xyz = xyz;
	frame.n_atoms = h->n_atoms;
	return frame;
}

static qmd_context_options cuda_options(void) {
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.device = "cuda";
	options.max_batch = 2;
	return options;
}

static void copy(const host *h, void *to, const void *from, size_t size) {
	qmdt_ok(qmdi_cuda_copy(h->stream, to, from, size));
	qmdt_ok(qmdi_cuda_stream_wait(h->stream));
}

static void *to_device(const host *h, const void *data, size_t size) {
	void *pointer;
	qmdt_ok(qmdi_cuda_allocate(size, &pointer));
	if (data)
		copy(h, pointer, data, size);
	return pointer;
}

/* ---- Frames ---- */

START_TEST(frames_of_the_host_may_be_of_any_kind) {
	host *h = new_host(_i == 0 ? QMD_S8 : QMD_U8);
	const qmd_context_options options = cuda_options();
	qmd_context *context;
	qmd_frame frames[N_FRAMES];
	float probabilities[N_FRAMES * N_CLASSES];
	for (size_t i = 0; i < N_FRAMES; i++)
		frames[i] = i % 2 == 0 ? frame_of(h, h->xyz[i]) : plain_frame(h, h->plain[i]);
	qmdt_ok(qmd_context_create(h->engine, &options, &context));
	for (uint64_t seed = 1; seed <= 5; seed++) {
		set_machine(seed);
		memset(probabilities, 0, sizeof probabilities);
		qmdt_ok(qmd_context_run(context, frames, N_FRAMES, probabilities));
		ck_assert_mem_eq(probabilities, h->expected, sizeof probabilities);
	}
	qmdt_ok(qmd_context_wait(context));
	qmd_context_free(context);
	free_host(h);
}
END_TEST

/* An MD loop on the device: the frame stays where it is, what it holds changes. Nothing is waited for but at the end.
 */
START_TEST(coordinates_and_outputs_stay_on_the_device) {
	host *h = new_host(_i == 0 ? QMD_S8 : QMD_U8);
	float probabilities[N_FRAMES * N_CLASSES];
	void *xyz = to_device(h, NULL, sizeof h->xyz[0]);
	float *out = to_device(h, NULL, sizeof probabilities);
	qmd_context_options options = cuda_options();
	options.input_memory = options.output_memory = QMD_MEMORY_DEVICE;
	options.stream = h->stream;
	qmd_context *context;
	qmdt_ok(qmd_context_create(h->engine, &options, &context));
	const qmd_frame frame = frame_of(h, xyz);
	for (size_t i = 0; i < N_FRAMES; i++) {
		qmdt_ok(qmdi_cuda_copy(h->stream, xyz, h->xyz[i], sizeof h->xyz[i])); /* the simulation's step */
		qmdt_ok(qmd_context_run(context, &frame, 1, out + i * N_CLASSES));
	}
	qmdt_ok(qmd_context_wait(context));
	copy(h, probabilities, out, sizeof probabilities);
	ck_assert_mem_eq(probabilities, h->expected, sizeof probabilities);
	qmd_context_free(context);
	qmdi_cuda_release(xyz);
	qmdi_cuda_release(out);
	free_host(h);
}
END_TEST

/* Batches of the device whose frames, indices and boxes change between two runs. */
START_TEST(what_changes_between_runs_is_seen) {
	host *h = new_host(QMD_S8);
	float probabilities[N_FRAMES * N_CLASSES];
	uint32_t other_indices[N_HOST_ATOMS];
	double other_xyz[N_HOST_ATOMS * 4];
	void *wrapped = to_device(h, h->xyz, sizeof h->xyz), *plain = to_device(h, h->plain, sizeof h->plain);
	for (size_t i = 0; i < h->n_atoms; i++) {
		other_indices[i] = (uint32_t)((i * 11 + 5) % N_HOST_ATOMS);
		memcpy(other_xyz + 4 * (size_t)other_indices[i], h->xyz[2] + 4 * (size_t)h->indices[i], 4 * sizeof(double));
	}
	void *other = to_device(h, other_xyz, sizeof other_xyz);
	qmd_context_options options = cuda_options();
	options.input_memory = QMD_MEMORY_DEVICE;
	qmd_context *context;
	qmdt_ok(qmd_context_create(h->engine, &options, &context));
	qmd_frame frames[N_FRAMES];
	for (size_t i = 0; i < N_FRAMES; i++)
		frames[i] = frame_of(h, (char *)wrapped + i * sizeof h->xyz[0]);
	frames[1] = plain_frame(h, (char *)plain + sizeof h->plain[0]);
	for (size_t round = 0; round < 3; round++) {
		if (round == 1) {
			frames[2].xyz = other;
			frames[2].indices = other_indices;
		}
		memset(probabilities, 0, sizeof probabilities);
		qmdt_ok(qmd_context_run(context, frames, N_FRAMES, probabilities));
		ck_assert_mem_eq(probabilities, h->expected, sizeof probabilities);
		qmdt_ok(qmd_context_run(context, &frames[2], 1, probabilities)); /* another size of batch */
		ck_assert_mem_eq(probabilities, h->expected + 2 * N_CLASSES, N_CLASSES * sizeof(float));
	}
	memcpy(other_indices, h->indices, sizeof h->indices); /* the same array, other indices */
	frames[2].xyz = (char *)wrapped + 2 * sizeof h->xyz[0];
	qmdt_ok(qmd_context_run(context, frames, N_FRAMES, probabilities));
	ck_assert_mem_eq(probabilities, h->expected, sizeof probabilities);
	qmd_context_free(context);
	qmdi_cuda_release(wrapped);
	qmdi_cuda_release(plain);
	qmdi_cuda_release(other);
	free_host(h);
}
END_TEST

/* With output on the device the host may overwrite its coordinates as soon as a run has returned. */
START_TEST(coordinates_of_the_host_may_change_after_a_run) {
	host *h = new_host(QMD_U8);
	float probabilities[N_FRAMES * N_CLASSES];
	double xyz[N_HOST_ATOMS * 4];
	float *out = to_device(h, NULL, sizeof probabilities);
	qmd_context_options options = cuda_options();
	options.output_memory = QMD_MEMORY_DEVICE;
	qmd_context *context;
	qmdt_ok(qmd_context_create(h->engine, &options, &context));
	const qmd_frame frame = frame_of(h, xyz);
	for (size_t i = 0; i < N_FRAMES; i++) {
		memcpy(xyz, h->xyz[i], sizeof xyz);
		qmdt_ok(qmd_context_run(context, &frame, 1, out + i * N_CLASSES));
		memset(xyz, 0xff, sizeof xyz);
	}
	qmdt_ok(qmd_context_wait(context));
	copy(h, probabilities, out, sizeof probabilities);
	ck_assert_mem_eq(probabilities, h->expected, sizeof probabilities);
	qmd_context_free(context);
	qmdi_cuda_release(out);
	free_host(h);
}
END_TEST

START_TEST(images_come_from_either_side) {
	host *h = new_host(QMD_U8);
	const size_t size = qmdt_image_size(h->model);
	unsigned char *images = qmdt_images(h->model, N_FRAMES, 5);
	float *expected = qmdt_reference_logits(h->model, images, N_FRAMES), logits[N_FRAMES * N_CLASSES];
	void *on_device = to_device(h, images, N_FRAMES * size);
	const qmd_output output = {"logits", logits};
	for (int32_t memory = QMD_MEMORY_HOST; memory <= QMD_MEMORY_DEVICE; memory++) {
		qmd_context_options options = cuda_options();
		options.input_memory = memory;
		qmd_context *context;
		qmdt_ok(qmd_context_create(h->engine, &options, &context));
		qmdt_ok(qmd_context_run_images(context, memory == QMD_MEMORY_HOST ? images : on_device, N_FRAMES, &output, 1));
		ck_assert_mem_eq(logits, expected, sizeof logits);
		qmd_context_free(context);
	}
	qmdi_cuda_release(on_device);
	free(images);
	free(expected);
	free_host(h);
}
END_TEST

/* ---- Contexts of one engine ---- */

START_TEST(contexts_share_weights_on_each_device) {
	host *h = new_host(QMD_S8);
	qmd_context_options options = cuda_options();
	qmd_context *contexts[4];
	size_t n_objects[5];
	float probabilities[N_CLASSES];
	const qmd_frame frame = frame_of(h, h->xyz[1]);
	n_objects[0] = qmdi_host_n_objects();
	for (size_t i = 0; i < 4; i++) {
		options.device = i < 3 ? "cuda:0" : "cuda:1";
		qmdt_ok(qmd_context_create(h->engine, &options, &contexts[i]));
		n_objects[i + 1] = qmdi_host_n_objects();
	}
	/* The first on a device brings the weights too: one allocation more. */
	ck_assert_uint_eq(n_objects[2] - n_objects[1], n_objects[3] - n_objects[2]);
	ck_assert_uint_eq(n_objects[1] - n_objects[0], n_objects[2] - n_objects[1] + 1);
	ck_assert_uint_eq(n_objects[4] - n_objects[3], n_objects[1] - n_objects[0]);
	qmd_context_free(contexts[0]); /* the weights stay */
	for (size_t i = 1; i < 4; i++) {
		qmdt_ok(qmd_context_run(contexts[i], &frame, 1, probabilities));
		ck_assert_mem_eq(probabilities, h->expected + N_CLASSES, sizeof probabilities);
	}
	for (size_t i = 1; i < 4; i++)
		qmd_context_free(contexts[i]);
	free_host(h);
}
END_TEST

typedef struct worker {
	const host *h;
	size_t frame, n_wrong;
} worker;

static void *run_alone(void *argument) {
	worker *w = argument;
	const qmd_context_options options = cuda_options();
	const qmd_frame frame = frame_of(w->h, w->h->xyz[w->frame]);
	float probabilities[N_CLASSES];
	for (size_t round = 0; round < 3; round++) {
		qmd_context *context;
		if (qmd_context_create(w->h->engine, &options, &context) != QMD_OK) {
			w->n_wrong++;
			continue;
		}
		for (size_t i = 0; i < 3; i++)
			if (qmd_context_run(context, &frame, 1, probabilities) != QMD_OK ||
				!qmdt_same_floats(probabilities, w->h->expected + w->frame * N_CLASSES, N_CLASSES))
				w->n_wrong++;
		qmd_context_free(context);
	}
	return NULL;
}

START_TEST(threads_have_contexts_of_their_own) {
	host *h = new_host(QMD_U8);
	worker workers[4];
	pthread_t threads[4];
	for (size_t i = 0; i < 4; i++) {
		workers[i] = (worker){h, i, 0};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run_alone, &workers[i]), 0);
	}
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_uint_eq(workers[i].n_wrong, 0);
	}
	free_host(h);
}
END_TEST

/* ---- What the host had current ---- */

START_TEST(the_current_device_and_context_stay_as_they_were) {
	host *h = new_host(QMD_S8);
	int context_of_the_host;
	qmd_context_options options = cuda_options();
	options.device = "cuda:1";
	qmd_context *context;
	float probabilities[N_CLASSES];
	double seconds[64];
	qmd_run_time times[1];
	const qmd_frame frame = frame_of(h, h->xyz[0]);
	qmd_frame bad = frame;
	unsigned char *image = qmdt_images(h->model, 1, 1);
	bad.n_atoms = 1;
	for (int i = 0; i < 2; i++) {
		void *current = i == 0 ? NULL : &context_of_the_host;
		qmdi_host_set_current(0, current);
#define STAYS                                                                                                          \
	ck_assert_int_eq(qmdi_host_current_device(), 0);                                                                   \
	ck_assert_ptr_eq(qmdi_host_current_context(), current)
		qmdt_ok(qmd_context_create(h->engine, &options, &context));
		STAYS;
		qmdt_ok(qmd_context_run(context, &frame, 1, probabilities));
		STAYS;
		qmdt_fails(qmd_context_run(context, &bad, 1, probabilities), QMD_ERROR_RANGE, "indices");
		STAYS;
		qmdt_ok(qmd_context_wait(context));
		STAYS;
		qmdt_ok(qmd_context_profile(context, image, 1, 1, seconds));
		STAYS;
		qmdt_ok(qmd_context_time(context, &frame, 1, 1, times));
		STAYS;
		qmd_context_free(context);
		STAYS;
	}
	options.device = "cuda"; /* the current one */
	qmdi_host_set_current(1, NULL);
	qmdt_ok(qmd_context_create(h->engine, &options, &context));
	qmd_context_device device = {.struct_size = sizeof device};
	qmdt_ok(qmd_context_device_info(context, &device));
	ck_assert_str_eq(device.device, "cuda:1");
	qmd_context_free(context);
	qmdi_host_set_current(0, NULL);
	free(image);
	free_host(h);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("cuda memory");
	TCase *memory = tcase_create("memory");
	tcase_set_timeout(memory, 120);
	tcase_add_loop_test(memory, frames_of_the_host_may_be_of_any_kind, 0, 2);
	tcase_add_loop_test(memory, coordinates_and_outputs_stay_on_the_device, 0, 2);
	tcase_add_test(memory, what_changes_between_runs_is_seen);
	tcase_add_test(memory, coordinates_of_the_host_may_change_after_a_run);
	tcase_add_test(memory, images_come_from_either_side);
	tcase_add_test(memory, contexts_share_weights_on_each_device);
	tcase_add_test(memory, threads_have_contexts_of_their_own);
	tcase_add_test(memory, the_current_device_and_context_stay_as_they_were);
	suite_add_tcase(suite, memory);
	return qmdt_run(suite);
}
