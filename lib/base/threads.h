/* A pool of threads that share the tasks of one job. */
#ifndef QMD_LIB_THREADS_H
#define QMD_LIB_THREADS_H

#include "error.h"

typedef struct qmdi_pool qmdi_pool;

/* Task `task` of a job, run by worker `worker` (0 is the caller's thread). Must not fail: it leaves its status in
 * `job`. */
typedef void (*qmdi_task_fn)(void *job, size_t task, size_t worker);

/* A pool of n_threads workers, the calling thread being one of them; n_threads = 1 starts no thread. */
qmd_status qmdi_pool_create(size_t n_threads, qmdi_pool **pool);
void qmdi_pool_free(qmdi_pool *pool);
size_t qmdi_pool_n_threads(const qmdi_pool *pool);

/* Run tasks 0 .. n_tasks-1 and wait. Allocates nothing. Threads are started anew in a process that was forked. Every
 * worker computes in the default floating-point environment. pool may be NULL: the caller's thread does it all. */
void qmdi_pool_run(qmdi_pool *pool, qmdi_task_fn task, void *job, size_t n_tasks);

/* Processors that this process may use, at least 1. */
size_t qmdi_n_processors(void);

#endif
