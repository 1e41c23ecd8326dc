#include "engine_fixture.h"

#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/softmax.h"
#include "engine/engine_internal.h"

#define N_IMAGES 5
#define N_CLASSES 3

/* ---- Helpers ---- */

static void run_images(qmd_context *context, const unsigned char *images, size_t n, float *logits,
					   float *probabilities) {
	const qmd_output outputs[] = {{"logits", logits}, {"probabilities", probabilities}};
	qmdt_ok(qmd_context_run_images(context, images, n, outputs, probabilities ? 2 : 1));
}

static void expect_logits(const qmd_engine *engine, uint32_t n_threads, uint32_t max_batch, const unsigned char *images,
						  const float *expected, const char *what) {
	float logits[N_IMAGES * N_CLASSES];
	qmd_context *context = qmdt_new_context(engine, n_threads, max_batch);
	for (int again = 0; again < 2; again++) { /* halos are still zero the second time */
		memset(logits, 0xff, sizeof logits);
		run_images(context, images, N_IMAGES, logits, NULL);
		for (size_t i = 0; i < N_IMAGES * N_CLASSES; i++)
			ck_assert_msg(qmdt_same_floats(&logits[i], &expected[i], 1),
						  "%s: %u threads, batches of %u: logit %zu is %a, expected %a", what, n_threads, max_batch, i,
						  (double)logits[i], (double)expected[i]);
	}
	qmd_context_free(context);
}

/* ---- Results ---- */

static void expect_reference(size_t network, int fuse) {
	qmd_model *model = qmdt_network(network);
	unsigned char *images = qmdt_images(model, N_IMAGES, 1000);
	float *expected = qmdt_reference_logits(model, images, N_IMAGES);
	qmd_engine *engine = qmdt_compile(model, fuse);
	ck_assert_uint_eq(qmd_engine_n_classes(engine), N_CLASSES);
	expect_logits(engine, 1, 1, images, expected, qmdt_network_name(network));
	expect_logits(engine, 1, 3, images, expected, qmdt_network_name(network));
	expect_logits(engine, 3, 32, images, expected, qmdt_network_name(network));
	qmd_engine_free(engine);
	free(expected);
	free(images);
	qmd_model_free(model);
}

START_TEST(engines_equal_plain_integers) {
	for (qmdi_isa isa = QMDI_ISA_REF; isa <= QMDI_ISA_AVX512VNNI; isa++) {
		setenv("QMD_MAX_ISA", qmdi_isa_name(isa), 1);
		expect_reference((size_t)_i, 1);
	}
	unsetenv("QMD_MAX_ISA");
	expect_reference((size_t)_i, 0);
}
END_TEST

START_TEST(logits_differ_among_images) {
	qmd_model *model = qmdt_network((size_t)_i);
	unsigned char *images = qmdt_images(model, N_IMAGES, 1000);
	float *logits = qmdt_reference_logits(model, images, N_IMAGES);
	size_t n_different = 0;
	for (size_t i = 1; i < N_IMAGES; i++)
		n_different += !qmdt_same_floats(logits, logits + i * N_CLASSES, N_CLASSES);
	ck_assert_uint_eq(n_different, N_IMAGES - 1);
	free(logits);
	free(images);
	qmd_model_free(model);
}
END_TEST

static long double exact_softmax(const float *logits, size_t n, size_t index) {
	long double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += expl((long double)logits[i] - (long double)logits[index]);
	return 1 / sum;
}

START_TEST(softmax_is_right_to_the_last_bit_but_one) {
	const float cases[][4] = {{0, 0, 0, 0},
							  {1, 2, 3, 4},
							  {-1e30f, 0, 1, 1e-30f},
							  {80, -20, 0.5f, 79.5f},
							  {1e4f, 1e4f, 9990, 9900},
							  {-0.0f, 17.3f, 17.2f, -70}};
	for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
		float found[4];
		qmdi_softmax(cases[k], 4, found);
		for (size_t i = 0; i < 4; i++) {
			const long double expected = exact_softmax(cases[k], 4, i);
			ck_assert_msg(fabsl(expected - (long double)found[i]) <= expected * 0x1p-24L + 0x1p-150L,
						  "case %zu, class %zu: %a, expected %La", k, i, (double)found[i], expected);
		}
	}
	for (int i = 0; i < 2000; i++) {
		const float pair[2] = {0, -0.05f * (float)i};
		float found[2];
		qmdi_softmax(pair, 2, found);
		ck_assert(fabsl(exact_softmax(pair, 2, 1) - (long double)found[1]) <=
				  exact_softmax(pair, 2, 1) * 0x1p-24L + 0x1p-150L);
	}
}
END_TEST

START_TEST(probabilities_are_the_softmax_of_the_logits) {
	qmd_model *model = qmdt_network(0);
	unsigned char *images = qmdt_images(model, N_IMAGES, 3);
	qmd_engine *engine = qmdt_compile(model, 1);
	qmd_context *context = qmdt_new_context(engine, 1, 2);
	float logits[N_IMAGES * N_CLASSES], probabilities[N_IMAGES * N_CLASSES], alone[N_IMAGES * N_CLASSES];
	run_images(context, images, N_IMAGES, logits, probabilities);
	for (size_t i = 0; i < N_IMAGES; i++) {
		float expected[N_CLASSES];
		qmdi_softmax(logits + i * N_CLASSES, N_CLASSES, expected);
		ck_assert_mem_eq(expected, probabilities + i * N_CLASSES, sizeof expected);
	}
	const qmd_output output = {"probabilities", alone};
	qmdt_ok(qmd_context_run_images(context, images, N_IMAGES, &output, 1));
	ck_assert_mem_eq(alone, probabilities, sizeof alone);
	qmd_context_free(context);
	qmd_engine_free(engine);
	free(images);
	qmd_model_free(model);
}
END_TEST

/* ---- Contexts ---- */

START_TEST(contexts_check_their_options) {
	qmd_model *model = qmdt_network(0);
	qmd_engine *engine = qmdt_compile(model, 1);
	qmd_context *context = (qmd_context *)1;
	qmd_context_options options;
	qmd_context_options_init(&options);
	ck_assert_uint_eq(options.n_threads, 1);
	ck_assert_uint_eq(options.max_batch, 32);
	options.device = "cuda";
	qmdt_fails(qmd_context_create(engine, &options, &context), QMD_ERROR_UNSUPPORTED, "cuda");
	ck_assert_ptr_null(context);
	options.device = "tpu";
	qmdt_fails(qmd_context_create(engine, &options, &context), QMD_ERROR_ARGUMENT, "tpu");
	options.device = "cpu";
	options.stream = &options;
	qmdt_fails(qmd_context_create(engine, &options, &context), QMD_ERROR_ARGUMENT, "stream");
	options.stream = NULL;
	options.max_batch = 0;
	qmdt_fails(qmd_context_create(engine, &options, &context), QMD_ERROR_RANGE, "max_batch");
	options.max_batch = 1;
	options.n_threads = 1u << 30;
	qmdt_fails(qmd_context_create(engine, &options, &context), QMD_ERROR_RANGE, "n_threads");
	qmdt_fails(qmd_context_create(NULL, NULL, &context), QMD_ERROR_ARGUMENT, "engine");
	qmdt_fails(qmd_context_create(engine, NULL, NULL), QMD_ERROR_ARGUMENT, "context");
	options.n_threads = 0;
	qmdt_ok(qmd_context_create(engine, &options, &context));
	qmd_context_free(context);
	qmd_context_free(NULL);
	qmd_engine_free(engine);
	qmd_engine_free(NULL);
	qmd_model_free(model);
}
END_TEST

START_TEST(runs_check_their_arguments) {
	qmd_model *model = qmdt_network(0);
	qmd_engine *engine = qmdt_compile(model, 1);
	qmd_context *context = qmdt_new_context(engine, 1, 4);
	unsigned char *images = qmdt_images(model, 1, 1);
	float data[N_CLASSES] = {-1, -1, -1};
	qmd_frame frame;
	qmd_frame_init(&frame);
	qmd_output output = {"logits", data};
	qmdt_fails(qmd_context_run_images(NULL, images, 1, &output, 1), QMD_ERROR_ARGUMENT, "context");
	qmdt_fails(qmd_context_run_images(context, NULL, 1, &output, 1), QMD_ERROR_ARGUMENT, "images");
	qmdt_fails(qmd_context_run_images(context, images, 1, NULL, 1), QMD_ERROR_ARGUMENT, "outputs");
	output.data = NULL;
	qmdt_fails(qmd_context_run_images(context, images, 1, &output, 1), QMD_ERROR_ARGUMENT, "data");
	output = (qmd_output){"energy", data};
	qmdt_fails(qmd_context_run_images(context, images, 1, &output, 1), QMD_ERROR_ARGUMENT, "'energy'");
	qmdt_fails(qmd_context_run(context, &frame, 1, data), QMD_ERROR_STATE, "without pixels");
	qmdt_fails(qmd_context_run(context, &frame, 1, NULL), QMD_ERROR_ARGUMENT, "probabilities");
	output.name = "logits";
	qmdt_ok(qmd_context_run_images(context, images, 0, &output, 1));
	ck_assert_float_eq(data[0], -1);
	ck_assert_uint_eq(qmd_engine_n_atoms(engine), 0);
	ck_assert_ptr_null(qmd_engine_pixels(engine));
	ck_assert_str_eq(qmd_engine_class_name(engine, 2), "");
	ck_assert_ptr_null(qmd_engine_class_name(engine, 3));
	ck_assert_int_eq(qmd_engine_image_type(engine), QMD_S8);
	ck_assert_uint_eq(qmd_engine_image_shape(engine).h, 15);
	free(images);
	qmd_context_free(context);
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

START_TEST(a_profile_times_each_step) {
	qmd_model *model = qmdt_network(0);
	qmd_engine *engine = qmdt_compile(model, 1);
	unsigned char *images = qmdt_images(model, N_IMAGES, 1000);
	float *expected = qmdt_reference_logits(model, images, N_IMAGES);
	for (uint32_t n_threads = 1; n_threads <= 2; n_threads++) {
		qmd_context *context = qmdt_new_context(engine, n_threads, N_IMAGES);
		const size_t n_steps = qmd_engine_n_layers(engine);
		double seconds[16];
		ck_assert_uint_lt(n_steps, 16);
		memset(seconds, 0xff, sizeof seconds);
		qmdt_ok(qmd_context_profile(context, images, N_IMAGES, 20, seconds));
		for (size_t i = 0; i < n_steps; i++)
			ck_assert_msg(seconds[i] >= 0 && seconds[i] < 1, "step %zu: %g s", i, seconds[i]);
		ck_assert(isnan(seconds[n_steps]));
		ck_assert_double_gt(seconds[0], seconds[n_steps - 1]); /* a convolution against a softmax of 3 numbers */

		float logits[N_IMAGES * N_CLASSES];
		run_images(context, images, N_IMAGES, logits, NULL);
		ck_assert(qmdt_same_floats(logits, expected, N_IMAGES * N_CLASSES));
		qmd_context_free(context);
	}
	free(expected);
	free(images);
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

START_TEST(profiles_check_their_arguments) {
	qmd_model *model = qmdt_network(0);
	qmd_engine *engine = qmdt_compile(model, 1);
	qmd_context *context = qmdt_new_context(engine, 1, 4);
	unsigned char *images = qmdt_images(model, N_IMAGES, 1);
	double seconds[16];
	qmdt_fails(qmd_context_profile(NULL, images, 1, 1, seconds), QMD_ERROR_ARGUMENT, "context");
	qmdt_fails(qmd_context_profile(context, NULL, 1, 1, seconds), QMD_ERROR_ARGUMENT, "images");
	qmdt_fails(qmd_context_profile(context, images, 1, 1, NULL), QMD_ERROR_ARGUMENT, "seconds");
	qmdt_fails(qmd_context_profile(context, images, 0, 1, seconds), QMD_ERROR_RANGE, "n_images");
	qmdt_fails(qmd_context_profile(context, images, 5, 1, seconds), QMD_ERROR_RANGE, "n_images");
	qmdt_fails(qmd_context_profile(context, images, 1, 0, seconds), QMD_ERROR_RANGE, "repeats");
	qmdt_fails(qmd_context_profile(context, images, 1, 1u << 30, seconds), QMD_ERROR_RANGE, "repeats");
	free(images);
	qmd_context_free(context);
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

typedef struct shared_run {
	const qmd_engine *engine;
	const unsigned char *images;
	const float *expected;
	size_t n_wrong;
} shared_run;

static void *run_shared_engine(void *argument) {
	shared_run *job = argument;
	for (uint32_t i = 0; i < 10; i++) {
		float logits[N_IMAGES * N_CLASSES];
		qmd_context *context = qmdt_new_context(job->engine, 1 + i % 2, 1 + i % 5);
		run_images(context, job->images, N_IMAGES, logits, NULL);
		job->n_wrong += !qmdt_same_floats(logits, job->expected, N_IMAGES * N_CLASSES);
		qmd_context_free(context);
	}
	return NULL;
}

START_TEST(threads_share_an_engine) {
	enum { N_THREADS = 8 };
	qmd_model *model = qmdt_network(2);
	unsigned char *images = qmdt_images(model, N_IMAGES, 5);
	float *expected = qmdt_reference_logits(model, images, N_IMAGES);
	qmd_engine *engine = qmdt_compile(model, 1);
	pthread_t threads[N_THREADS];
	shared_run jobs[N_THREADS];
	for (size_t i = 0; i < N_THREADS; i++) {
		jobs[i] = (shared_run){engine, images, expected, 0};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run_shared_engine, &jobs[i]), 0);
	}
	for (size_t i = 0; i < N_THREADS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert_uint_eq(jobs[i].n_wrong, 0);
	}
	qmd_engine_free(engine);
	free(expected);
	free(images);
	qmd_model_free(model);
}
END_TEST

enum { N_MANY_THREADS = 32, N_MANY_IMAGES = 64 };

typedef struct many_runs {
	const qmd_engine *engine;
	const unsigned char *images;
	const float *expected; /* one thread's */
	size_t image_size, first, n, n_wrong;
} many_runs;

/* One image at a time, in another order than the other threads. */
static void *infer_many(void *argument) {
	many_runs *job = argument;
	float logits[N_CLASSES];
	qmd_context *context = qmdt_new_context(job->engine, 1, 1);
	for (size_t i = 0; i < job->n; i++) {
		const size_t image = (job->first + 7 * i) % N_MANY_IMAGES;
		run_images(context, job->images + image * job->image_size, 1, logits, NULL);
		job->n_wrong += !qmdt_same_floats(logits, job->expected + image * N_CLASSES, N_CLASSES);
	}
	qmd_context_free(context);
	return NULL;
}

/* QMD_TEST_INFERENCES: how many of all threads together. */
static size_t inferences_wanted(void) {
	const char *text = getenv("QMD_TEST_INFERENCES");
	return text ? (size_t)strtoul(text, NULL, 10) : 6400;
}

START_TEST(many_threads_infer_as_one_does) {
	qmd_model *model = qmdt_network(2);
	unsigned char *images = qmdt_images(model, N_MANY_IMAGES, 6);
	float expected[N_MANY_IMAGES * N_CLASSES], *reference = qmdt_reference_logits(model, images, N_MANY_IMAGES);
	qmd_engine *engine = qmdt_compile(model, 1);
	qmd_context *alone = qmdt_new_context(engine, 1, 1);
	run_images(alone, images, N_MANY_IMAGES, expected, NULL);
	qmd_context_free(alone);
	ck_assert_mem_eq(expected, reference, sizeof expected);
	pthread_t threads[N_MANY_THREADS];
	many_runs jobs[N_MANY_THREADS];
	for (size_t i = 0; i < N_MANY_THREADS; i++) {
		jobs[i] = (many_runs){engine, images, expected, qmdt_image_size(model), i, 0, 0};
		jobs[i].n = (inferences_wanted() + N_MANY_THREADS - 1) / N_MANY_THREADS;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, infer_many, &jobs[i]), 0);
	}
	for (size_t i = 0; i < N_MANY_THREADS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert_uint_eq(jobs[i].n_wrong, 0);
	}
	qmd_engine_free(engine);
	free(reference);
	free(images);
	qmd_model_free(model);
}
END_TEST

START_TEST(a_context_outlives_its_engine) {
	qmd_model *model = qmdt_network(0);
	unsigned char *images = qmdt_images(model, N_IMAGES, 5);
	float *expected = qmdt_reference_logits(model, images, N_IMAGES), logits[N_IMAGES * N_CLASSES];
	qmd_engine *engine = qmdt_compile(model, 1);
	qmd_context *first = qmdt_new_context(engine, 1, 2), *second = qmdt_new_context(engine, 2, 3);
	qmd_engine_free(engine);
	qmd_model_free(model);
	qmd_context_free(first);
	run_images(second, images, N_IMAGES, logits, NULL);
	ck_assert_mem_eq(logits, expected, sizeof logits);
	qmd_context_free(second);
	free(expected);
	free(images);
}
END_TEST

#if !defined(__SANITIZE_THREAD__) /* which allows no new threads in a forked process */
START_TEST(a_forked_process_goes_on) {
	qmd_model *model = qmdt_network(0);
	unsigned char *images = qmdt_images(model, N_IMAGES, 5);
	float *expected = qmdt_reference_logits(model, images, N_IMAGES), logits[N_IMAGES * N_CLASSES];
	qmd_engine *engine = qmdt_compile(model, 1);
	qmd_context *context = qmdt_new_context(engine, 2, 4);
	run_images(context, images, N_IMAGES, logits, NULL);
	const pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		alarm(20);
		memset(logits, 0, sizeof logits);
		run_images(context, images, N_IMAGES, logits, NULL);
		qmd_context_free(context);
		_exit(qmdt_same_floats(logits, expected, N_IMAGES * N_CLASSES) ? 0 : 3);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %d", status);
	run_images(context, images, N_IMAGES, logits, NULL);
	ck_assert_mem_eq(logits, expected, sizeof logits);
	qmd_context_free(context);
	qmd_engine_free(engine);
	free(expected);
	free(images);
	qmd_model_free(model);
}
END_TEST
#endif

#if defined(__x86_64__)
/* The host's: round up, flush to zero, denormals are zero. */
static unsigned set_odd_environment(void) {
	unsigned mxcsr;
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	const unsigned odd = mxcsr | 0x8040u;
	__asm__ volatile("ldmxcsr %0" : : "m"(odd));
	fesetround(FE_UPWARD);
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	return mxcsr;
}

START_TEST(the_environment_of_the_host_changes_nothing) {
	qmd_model *model = qmdt_network((size_t)_i);
	unsigned char *images = qmdt_images(model, N_IMAGES, 5);
	float expected[N_IMAGES * N_CLASSES], expected_probabilities[N_IMAGES * N_CLASSES];
	float logits[N_IMAGES * N_CLASSES], probabilities[N_IMAGES * N_CLASSES];
	qmd_engine *engine = qmdt_compile(model, 1);
	qmd_context *context = qmdt_new_context(engine, 1, 4);
	run_images(context, images, N_IMAGES, expected, expected_probabilities);
	qmd_context_free(context);
	qmd_engine_free(engine);

	fenv_t saved;
	fegetenv(&saved);
	const unsigned before = set_odd_environment();
	engine = qmdt_compile(model, 1);
	context = qmdt_new_context(engine, 3, 4);
	run_images(context, images, N_IMAGES, logits, probabilities);
	unsigned after;
	__asm__ volatile("stmxcsr %0" : "=m"(after));
	fesetenv(&saved);
	ck_assert_uint_eq(before, after);
	ck_assert_mem_eq(logits, expected, sizeof logits);
	ck_assert_mem_eq(probabilities, expected_probabilities, sizeof probabilities);
	qmd_context_free(context);
	qmd_engine_free(engine);
	free(images);
	qmd_model_free(model);
}
END_TEST
#endif

int main(void) {
	Suite *suite = suite_create("engine");
	TCase *results = tcase_create("results");
	tcase_set_timeout(results, 120);
	tcase_add_loop_test(results, engines_equal_plain_integers, 0, QMDT_N_NETWORKS);
	tcase_add_loop_test(results, logits_differ_among_images, 0, QMDT_N_NETWORKS);
	tcase_add_test(results, softmax_is_right_to_the_last_bit_but_one);
	tcase_add_test(results, probabilities_are_the_softmax_of_the_logits);
	suite_add_tcase(suite, results);

	TCase *contexts = tcase_create("contexts");
	tcase_set_timeout(contexts, 120);
	tcase_add_test(contexts, contexts_check_their_options);
	tcase_add_test(contexts, runs_check_their_arguments);
	tcase_add_test(contexts, a_profile_times_each_step);
	tcase_add_test(contexts, profiles_check_their_arguments);
	tcase_add_test(contexts, threads_share_an_engine);
	tcase_add_test(contexts, many_threads_infer_as_one_does);
	tcase_add_test(contexts, a_context_outlives_its_engine);
#if !defined(__SANITIZE_THREAD__)
	tcase_add_test(contexts, a_forked_process_goes_on);
#endif
#if defined(__x86_64__)
	tcase_add_loop_test(contexts, the_environment_of_the_host_changes_nothing, 0, QMDT_N_NETWORKS);
#endif
	suite_add_tcase(suite, contexts);
	return qmdt_run(suite);
}
