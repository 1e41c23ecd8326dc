#include "support.h"

#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/threads.h"

#define N_TASKS 1000
#define N_THREADS 8

typedef struct counts {
	atomic_uint runs[N_TASKS];
	atomic_uint workers[N_THREADS];
	atomic_uint n_wrong_rounding;
} counts;

static void count_task(void *argument, size_t task, size_t worker) {
	counts *job = argument;
	atomic_fetch_add(&job->runs[task], 1);
	atomic_fetch_add(&job->workers[worker], 1);
	if (fegetround() != FE_TONEAREST)
		atomic_fetch_add(&job->n_wrong_rounding, 1);
}

static void expect_each_task_once(qmdi_pool *pool, size_t n_tasks) {
	counts job;
	memset(&job, 0, sizeof job);
	qmdi_pool_run(pool, count_task, &job, n_tasks);
	for (size_t i = 0; i < N_TASKS; i++)
		ck_assert_uint_eq(atomic_load(&job.runs[i]), i < n_tasks ? 1 : 0);
	ck_assert_uint_eq(atomic_load(&job.n_wrong_rounding), 0);
}

START_TEST(every_task_runs_once) {
	const size_t sizes[] = {1, 2, N_THREADS};
	for (size_t i = 0; i < 3; i++) {
		qmdi_pool *pool;
		qmdt_ok(qmdi_pool_create(sizes[i], &pool));
		ck_assert_uint_eq(qmdi_pool_n_threads(pool), sizes[i]);
		for (size_t n = 0; n < 200; n++)
			expect_each_task_once(pool, n * 7 % N_TASKS);
		qmdi_pool_free(pool);
	}
	expect_each_task_once(NULL, 10);
	ck_assert_uint_eq(qmdi_pool_n_threads(NULL), 1);
	qmdi_pool_free(NULL);
}
END_TEST

/* Two tasks that wait for each other end only if two threads run them. */
static void meet_task(void *argument, size_t task, size_t worker) {
	(void)task;
	(void)worker;
	pthread_barrier_wait(argument);
}

static void expect_two_threads(qmdi_pool *pool) {
	pthread_barrier_t barrier;
	ck_assert_int_eq(pthread_barrier_init(&barrier, NULL, 2), 0);
	qmdi_pool_run(pool, meet_task, &barrier, 2);
	pthread_barrier_destroy(&barrier);
}

START_TEST(tasks_run_side_by_side) {
	qmdi_pool *pool;
	qmdt_ok(qmdi_pool_create(2, &pool));
	for (int i = 0; i < 20; i++)
		expect_two_threads(pool);
	qmdi_pool_free(pool);
}
END_TEST

START_TEST(workers_ignore_the_rounding_of_the_host) {
	fesetround(FE_UPWARD);
	qmdi_pool *pool;
	qmdt_ok(qmdi_pool_create(3, &pool));
	expect_each_task_once(pool, N_TASKS);
	ck_assert_int_eq(fegetround(), FE_UPWARD);
	qmdi_pool_free(pool);
	fesetround(FE_TONEAREST);
}
END_TEST

#if !defined(__SANITIZE_THREAD__) /* which allows no new threads in a forked process */
START_TEST(a_forked_process_starts_threads_of_its_own) {
	qmdi_pool *pool;
	qmdt_ok(qmdi_pool_create(2, &pool));
	expect_two_threads(pool);
	const pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		alarm(20);
		expect_two_threads(pool);
		expect_each_task_once(pool, N_TASKS);
		qmdi_pool_free(pool);
		_exit(0);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %d", status);
	expect_two_threads(pool);
	qmdi_pool_free(pool);
}
END_TEST
#endif

START_TEST(a_forked_process_may_free_an_unused_pool) {
	qmdi_pool *pool;
	qmdt_ok(qmdi_pool_create(4, &pool));
	const pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		alarm(20);
		qmdi_pool_free(pool);
		_exit(0);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %d", status);
	qmdi_pool_free(pool);
}
END_TEST

static atomic_uintptr_t signalled;

static void note_thread(int number) {
	(void)number;
	atomic_store(&signalled, (uintptr_t)pthread_self());
}

START_TEST(signals_go_to_the_threads_of_the_host) {
	qmdi_pool *pool;
	qmdt_ok(qmdi_pool_create(4, &pool));
	struct sigaction action = {.sa_handler = note_thread};
	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	sigset_t blocked, saved;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	/* While the host's only thread blocks it, nothing else may take it. */
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &blocked, &saved), 0);
	ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
	expect_each_task_once(pool, N_TASKS);
	ck_assert_uint_eq(atomic_load(&signalled), 0);
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &saved, NULL), 0);
	ck_assert_uint_eq(atomic_load(&signalled), (uintptr_t)pthread_self());
	qmdi_pool_free(pool);
}
END_TEST

START_TEST(processors_are_counted) {
	ck_assert_uint_ge(qmdi_n_processors(), 1);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("threads");
	TCase *pool = tcase_create("pool");
	tcase_set_timeout(pool, 60);
	tcase_add_test(pool, every_task_runs_once);
	tcase_add_test(pool, tasks_run_side_by_side);
	tcase_add_test(pool, workers_ignore_the_rounding_of_the_host);
#if !defined(__SANITIZE_THREAD__)
	tcase_add_test(pool, a_forked_process_starts_threads_of_its_own);
#endif
	tcase_add_test(pool, a_forked_process_may_free_an_unused_pool);
	tcase_add_test(pool, signals_go_to_the_threads_of_the_host);
	tcase_add_test(pool, processors_are_counted);
	suite_add_tcase(suite, pool);
	return qmdt_run(suite);
}
