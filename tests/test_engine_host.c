/* Contexts that run on the threads of their host. */
#include "engine_fixture.h"

#include <dirent.h>
#include <fenv.h>
#include <pthread.h>

#include "pixels/pixels_internal.h"

#define N_THREADS 3
#define N_FRAMES 5
#define N_CLASSES 3

/* What a host may do wrong. */
typedef enum fault {
	NO_FAULT,
	WORKER_BEYOND,
	WORKER_FAR_BEYOND,
	TASK_BEYOND,
	TASK_LEFT_OUT,
	TASK_TWICE,
	N_FAULTS
} fault;

typedef struct host {
	fault fault;
	size_t faulty_call; /* of its function */
	size_t n_calls;
} host;

typedef struct host_thread {
	void (*task)(void *job, size_t index, size_t worker);
	void *job;
	size_t n_tasks, worker;
	fault fault; /* with its first task */
} host_thread;

static void run_first(const host_thread *thread) {
	const size_t n_tasks = thread->n_tasks;
	switch (thread->fault) {
	case WORKER_BEYOND:
		thread->task(thread->job, thread->worker, N_THREADS);
		break;
	case WORKER_FAR_BEYOND:
		thread->task(thread->job, thread->worker, SIZE_MAX);
		break;
	case TASK_BEYOND:
		thread->task(thread->job, n_tasks, thread->worker);
		break;
	case TASK_LEFT_OUT:
		break;
	case TASK_TWICE:
		thread->task(thread->job, thread->worker, thread->worker);
		thread->task(thread->job, thread->worker, thread->worker);
		break;
	default:
		thread->task(thread->job, thread->worker, thread->worker);
	}
}

/* Every N_THREADS-th task, on a thread that rounds up. */
static void *run_on_host(void *argument) {
	const host_thread *thread = argument;
	fesetround(FE_UPWARD);
	if (thread->worker < thread->n_tasks)
		run_first(thread);
	for (size_t i = thread->worker + N_THREADS; i < thread->n_tasks; i += N_THREADS)
		thread->task(thread->job, i, thread->worker);
	ck_assert_int_eq(fegetround(), FE_UPWARD);
	return NULL;
}

static void run_by_host(void *user, void (*task)(void *job, size_t index, size_t worker), void *job, size_t n_tasks) {
	host *h = user;
	const fault own = h->n_calls++ == h->faulty_call ? h->fault : NO_FAULT;
	pthread_t threads[N_THREADS];
	host_thread arguments[N_THREADS];
	for (size_t i = 0; i < N_THREADS; i++) {
		arguments[i] = (host_thread){task, job, n_tasks, i, own};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run_on_host, &arguments[i]), 0);
	}
	for (size_t i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

/* ---- An engine with frames and what they give ---- */

typedef struct fixture {
	qmd_model *model;
	qmd_engine *engine;
	qmd_context *context;
	host host;
	double *xyz[N_FRAMES];
	qmd_frame frames[N_FRAMES];
	unsigned char *images;
	float *expected;
} fixture;

static void open_fixture(fixture *f) {
	*f = (fixture){.model = qmdt_bound_network(QMD_S8)};
	qmdt_ok(qmd_engine_compile(f->model, NULL, &f->engine));
	const qmd_pixels *pixels = qmd_engine_pixels(f->engine);
	for (size_t i = 0; i < N_FRAMES; i++) {
		f->xyz[i] = qmdt_made_up_frame(pixels, i);
		qmd_frame_init(&f->frames[i]);
		f->frames[i].xyz = f->xyz[i];
		f->frames[i].type = QMD_F64;
		f->frames[i].n_atoms = pixels->n_atoms;
	}
	f->images = malloc(N_FRAMES * qmdt_image_size(f->model));
	ck_assert_ptr_nonnull(f->images);
	qmdt_ok(qmd_pixels_run(pixels, f->frames, N_FRAMES, f->images));
	f->expected = qmdt_reference_logits(f->model, f->images, N_FRAMES);
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.n_threads = N_THREADS;
	options.parallel = run_by_host;
	options.parallel_user = &f->host;
	qmdt_ok(qmd_context_create(f->engine, &options, &f->context));
}

static void close_fixture(fixture *f) {
	qmd_context_free(f->context);
	qmd_engine_free(f->engine);
	qmd_model_free(f->model);
	for (size_t i = 0; i < N_FRAMES; i++)
		free(f->xyz[i]);
	free(f->images);
	free(f->expected);
}

static qmd_status run(fixture *f, int as_frames, float *logits) {
	const qmd_output output = {"logits", logits};
	return as_frames ? qmd_context_run_outputs(f->context, f->frames, N_FRAMES, &output, 1)
					 : qmd_context_run_images(f->context, f->images, N_FRAMES, &output, 1);
}

static void expect_right(fixture *f, int as_frames) {
	float logits[N_FRAMES * N_CLASSES];
	f->host = (host){.fault = NO_FAULT};
	qmdt_ok(run(f, as_frames, logits));
	ck_assert(qmdt_same_floats(logits, f->expected, N_FRAMES * N_CLASSES));
}

/* ---- Tests ---- */

static size_t n_threads_of_process(void) {
	DIR *folder = opendir("/proc/self/task");
	ck_assert_ptr_nonnull(folder);
	size_t n = 0;
	while (readdir(folder))
		n++;
	closedir(folder);
	return n - 2; /* . and .. */
}

START_TEST(threads_of_the_host_give_the_same_bytes) {
	const size_t n_before = n_threads_of_process();
	fixture f;
	open_fixture(&f);
	expect_right(&f, 0);
	ck_assert_uint_gt(f.host.n_calls, 1);
	expect_right(&f, 1);
	ck_assert_uint_eq(n_threads_of_process(), n_before);
	close_fixture(&f);
}
END_TEST

/* In each of the calls of a run, the rendering of frames and each step, and in profiles. */
START_TEST(a_host_that_runs_other_tasks_is_told) {
	static const char *const told[N_FAULTS] = {NULL,
											   "as worker 3, expected tasks below",
											   "as worker 18446744073709551615, expected",
											   "expected tasks below",
											   "tasks, expected each of",
											   "tasks, expected each of"};
	const fault wrong = (fault)_i;
	fixture f;
	open_fixture(&f);
	for (int as_frames = 0; as_frames < 2; as_frames++) {
		expect_right(&f, as_frames);
		const size_t n_calls = f.host.n_calls;
		for (size_t call = 0; call < n_calls; call++) {
			float logits[N_FRAMES * N_CLASSES];
			f.host = (host){.fault = wrong, .faulty_call = call};
			qmdt_fails(run(&f, as_frames, logits), QMD_ERROR_ARGUMENT, told[wrong]);
			ck_assert_uint_eq(f.host.n_calls, call + 1);
			expect_right(&f, as_frames);
		}
	}
	double seconds[16];
	ck_assert_uint_le(qmd_engine_n_layers(f.engine), 16);
	f.host = (host){.fault = wrong, .faulty_call = 2};
	qmdt_fails(qmd_context_profile(f.context, f.images, N_FRAMES, 3, seconds), QMD_ERROR_ARGUMENT, told[wrong]);
	close_fixture(&f);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("engine host");
	TCase *threads = tcase_create("threads of the host");
	tcase_set_timeout(threads, 120);
	tcase_add_test(threads, threads_of_the_host_give_the_same_bytes);
	tcase_add_loop_test(threads, a_host_that_runs_other_tasks_is_told, NO_FAULT + 1, N_FAULTS);
	suite_add_tcase(suite, threads);
	return qmdt_run(suite);
}
