/* A training so small that a checkpoint of it is read at once. */
#ifndef QMD_TESTS_FUZZ_TRAINING_H
#define QMD_TESTS_FUZZ_TRAINING_H

#include "train/checkpoint.h"

#define FUZZ_TRAINING_HASH UINT64_C(0x0123456789abcdef)

typedef struct fuzz_training {
	qmd_model *model; /* conv2d, batchnorm and dense on one pixel of one channel */
	qmdi_tensor_device *device;
	qmdi_optimizer *optimizer;
	qmdi_train_state state;
} fuzz_training;

/* Of a qmd_optimizer. Ends the process if there is no memory. */
fuzz_training fuzz_training_create(qmd_optimizer kind);
void fuzz_training_free(fuzz_training *training);

/* Save its checkpoint; load one into it. */
qmd_status fuzz_training_save(const fuzz_training *training, const char *path);
qmd_status fuzz_training_load(fuzz_training *training, const char *path);

/* One step along a gradient of ones. */
void fuzz_training_step(fuzz_training *training);

#endif
