/* Adam and RMSprop on a list of arrays. */
#ifndef QMD_LIB_OPTIMIZER_H
#define QMD_LIB_OPTIMIZER_H

#include <qmd/train.h>

#include "base/bytes.h"
#include "base/threads.h"

typedef struct qmdi_optimizer qmdi_optimizer;

/* One array that is trained; borrowed. */
typedef struct qmdi_trained {
	float *values;
	size_t n;
	int decays; /* 1: weight_decay applies */
} qmdi_trained;

/* Of `options` it reads optimizer, learning_rate, beta1, beta2, epsilon and weight_decay, which must have been checked.
 * `arrays` is copied; `pool` may be NULL and must outlive the optimizer. */
qmd_status qmdi_optimizer_create(const qmd_train_options *options, const qmdi_trained *arrays, size_t n_arrays,
								 qmdi_pool *pool, qmdi_optimizer **optimizer);
void qmdi_optimizer_free(qmdi_optimizer *optimizer);

/* One step along one gradient an array, each as long as its array. Bit for bit the same for any number of threads. */
void qmdi_optimizer_step(qmdi_optimizer *optimizer, const float *const *gradients);

/* The state: number of steps and moments. Reading checks the lengths. */
void qmdi_optimizer_write(const qmdi_optimizer *optimizer, qmdi_writer *writer);
qmd_status qmdi_optimizer_read(qmdi_optimizer *optimizer, qmdi_reader *reader);

#endif
