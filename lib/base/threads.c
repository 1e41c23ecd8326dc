#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "float_environment.h"
#include "memory.h"

/* How often a thread lets others run before it sleeps: the next job of a network's pass comes within microseconds. */
#define YIELDS 100

typedef struct worker {
	struct qmdi_pool *pool;
	size_t index;
	pthread_t thread;
} worker;

/*
 * A job is open from its start until the caller finds no task left. Workers enter and leave an open job under the
 * mutex; the caller waits for those inside only, never for one that is still asleep.
 */
struct qmdi_pool {
	size_t n_threads;
	size_t n_started; /* threads of this process, without the caller's */
	pid_t process;    /* a fork copies the pool, but not its threads */
	worker *workers;  /* n_threads - 1 */

	pthread_mutex_t mutex;
	pthread_cond_t opened, left;
	atomic_uint n_jobs; /* counts jobs, so that a worker enters each once */
	int open, stopping;
	atomic_size_t n_inside;

	qmdi_task_fn task;
	void *job;
	size_t n_tasks;
	atomic_size_t next_task;
};

static void do_tasks(qmdi_pool *pool, size_t index) {
	for (;;) {
		const size_t task = atomic_fetch_add_explicit(&pool->next_task, 1, memory_order_relaxed);
		if (task >= pool->n_tasks)
			return;
		pool->task(pool->job, task, index);
	}
}

static void *work(void *argument) {
	const worker *self = argument;
	qmdi_pool *pool = self->pool;
	unsigned seen = 0;
	fesetenv(FE_DFL_ENV);
	for (;;) {
		for (int i = 0; i < YIELDS && atomic_load(&pool->n_jobs) == seen; i++)
			sched_yield();
		pthread_mutex_lock(&pool->mutex);
		while (atomic_load(&pool->n_jobs) == seen && !pool->stopping)
			pthread_cond_wait(&pool->opened, &pool->mutex);
		if (pool->stopping)
			break;
		seen = atomic_load(&pool->n_jobs);
		if (pool->open) {
			atomic_fetch_add(&pool->n_inside, 1);
			pthread_mutex_unlock(&pool->mutex);
			do_tasks(pool, self->index);
			pthread_mutex_lock(&pool->mutex);
			if (atomic_fetch_sub(&pool->n_inside, 1) == 1)
				pthread_cond_signal(&pool->left);
		}
		pthread_mutex_unlock(&pool->mutex);
	}
	pthread_mutex_unlock(&pool->mutex);
	return NULL;
}

/* Start what can be started; a pool with fewer threads computes the same. The host's signals are the host's threads'.
 */
static void start_threads(qmdi_pool *pool) {
	sigset_t all, saved;
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->opened, NULL);
	pthread_cond_init(&pool->left, NULL);
	atomic_store(&pool->n_jobs, 0);
	atomic_store(&pool->n_inside, 0);
	pool->open = 0;
	pool->process = getpid();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	for (pool->n_started = 0; pool->n_started < pool->n_threads - 1; pool->n_started++) {
		worker *next = &pool->workers[pool->n_started];
		next->pool = pool;
		next->index = pool->n_started + 1;
		if (pthread_create(&next->thread, NULL, work, next) != 0)
			break;
	}
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

qmd_status qmdi_pool_create(size_t n_threads, qmdi_pool **pool) {
	*pool = NULL;
	qmdi_pool *created = qmdi_zeroed(1, sizeof *created);
	if (!created)
		return QMD_ERROR_MEMORY;
	created->n_threads = n_threads;
	created->workers = qmdi_zeroed(n_threads, sizeof *created->workers);
	if (!created->workers) {
		qmdi_release(created);
		return QMD_ERROR_MEMORY;
	}
	start_threads(created);
	*pool = created;
	return QMD_OK;
}

void qmdi_pool_free(qmdi_pool *pool) {
	if (!pool)
		return;
	if (pool->process == getpid()) {
		pthread_mutex_lock(&pool->mutex);
		pool->stopping = 1;
		pthread_cond_broadcast(&pool->opened);
		pthread_mutex_unlock(&pool->mutex);
		for (size_t i = 0; i < pool->n_started; i++)
			pthread_join(pool->workers[i].thread, NULL);
		pthread_cond_destroy(&pool->left);
		pthread_cond_destroy(&pool->opened);
		pthread_mutex_destroy(&pool->mutex);
	}
	qmdi_release(pool->workers);
	qmdi_release(pool);
}

size_t qmdi_pool_n_threads(const qmdi_pool *pool) {
	return pool ? pool->n_threads : 1;
}

static void run_shared(qmdi_pool *pool, qmdi_task_fn task, void *job, size_t n_tasks) {
	pthread_mutex_lock(&pool->mutex);
	pool->task = task;
	pool->job = job;
	pool->n_tasks = n_tasks;
	atomic_store(&pool->next_task, 0);
	pool->open = 1;
	atomic_fetch_add(&pool->n_jobs, 1);
	pthread_cond_broadcast(&pool->opened);
	pthread_mutex_unlock(&pool->mutex);

	do_tasks(pool, 0);

	pthread_mutex_lock(&pool->mutex);
	pool->open = 0;
	pthread_mutex_unlock(&pool->mutex);
	for (int i = 0; i < YIELDS && atomic_load(&pool->n_inside) > 0; i++)
		sched_yield();
	pthread_mutex_lock(&pool->mutex);
	while (atomic_load(&pool->n_inside) > 0)
		pthread_cond_wait(&pool->left, &pool->mutex);
	pthread_mutex_unlock(&pool->mutex);
}

void qmdi_pool_run(qmdi_pool *pool, qmdi_task_fn task, void *job, size_t n_tasks) {
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	if (pool && pool->n_threads > 1 && pool->process != getpid())
		start_threads(pool);
	if (pool && pool->n_started > 0 && n_tasks > 1)
		run_shared(pool, task, job, n_tasks);
	else
		for (size_t i = 0; i < n_tasks; i++)
			task(job, i, 0);
	qmdi_float_leave(&saved);
}

size_t qmdi_n_processors(void) {
	cpu_set_t allowed;
	if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 0)
		return (size_t)CPU_COUNT(&allowed);
	const long online = sysconf(_SC_NPROCESSORS_ONLN);
	return online > 0 ? (size_t)online : 1;
}
