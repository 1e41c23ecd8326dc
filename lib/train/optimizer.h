/* Adam and RMSprop on a list of tensors of one device. */
#ifndef QMD_LIB_OPTIMIZER_H
#define QMD_LIB_OPTIMIZER_H

#include <qmd/train.h>

#include "base/bytes.h"
#include "tensor/tensor.h"

typedef struct qmdi_optimizer qmdi_optimizer;

/* One tensor that is trained; borrowed. */
typedef struct qmdi_trained {
	float *values;
	size_t n;
	int decays; /* 1: weight_decay applies */
} qmdi_trained;

/* Of `options` it reads optimizer, learning_rate, beta1, beta2, epsilon and weight_decay, which must have been checked.
 * `arrays` is copied; the device must outlive the optimizer. */
qmd_status qmdi_optimizer_create(const qmd_train_options *options, const qmdi_trained *arrays, size_t n_arrays,
								 qmdi_tensor_device *device, qmdi_optimizer **optimizer);
void qmdi_optimizer_free(qmdi_optimizer *optimizer);

/* One step along one gradient an array, each a tensor as long as its array. Bit for bit the same on every device. */
qmd_status qmdi_optimizer_step(qmdi_optimizer *optimizer, const float *const *gradients);

/* The state: number of steps and moments. Reading checks the lengths; after an error only some have been read. */
qmd_status qmdi_optimizer_write(const qmdi_optimizer *optimizer, qmdi_writer *writer);
qmd_status qmdi_optimizer_read(qmdi_optimizer *optimizer, qmdi_reader *reader);

#endif
