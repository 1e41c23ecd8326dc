/* Checks of training on a device: against the CPU, and against itself. */
#ifndef QMD_TESTS_DEVICE_TRAINING_FIXTURE_H
#define QMD_TESTS_DEVICE_TRAINING_FIXTURE_H

#include "support.h"

/* FP32: the same batches and dropout masks as on the CPU, so that the loss goes the same way, up to rounding. */
void qmdt_check_training_on(const char *device);

/* Calibration and fine-tuning at 8 bits, and by LSQ at 3: likewise, and the scales are about the same. */
void qmdt_check_quantizing_on(const char *device);

/* The same at 3 bits for units whose weights are next to nothing: what bounds their scales are the biases as
 * fine-tuning moves them. */
void qmdt_check_room_for_biases_on(const char *device);

/* A training that is interrupted goes on to the bits of one that is not. */
void qmdt_check_resuming_on(const char *device);

/* A checkpoint of one device goes on on another, about where the one would have come. */
void qmdt_check_checkpoint_between(const char *first, const char *second);

#endif
