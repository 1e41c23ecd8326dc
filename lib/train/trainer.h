/* The training loop of FP32 training and of QAT. */
#ifndef QMD_LIB_TRAINER_H
#define QMD_LIB_TRAINER_H

#include <qmd/train.h>

#include "labelled_images.h"
#include "network.h"

/* Called after each backward pass, before the optimizer's step. The model's biases are the device's then; its scales,
 * which may change, go to the device after it. */
typedef qmd_status (*qmdi_gradients_fn)(void *user, const qmdi_network *network);

/* Check options, and fill in n_threads. */
qmd_status qmdi_train_options_check(qmd_train_options *options, const char *what);

/* 0 becomes the number of processors of the process. */
qmd_status qmdi_threads_check(uint32_t *n_threads, const char *what);

/*
 * Train a model in place; options have been checked. After QMD_ERROR_CANCELLED it has the weights it had reached, after
 * any other error those it came with. `on_gradients` may be NULL.
 */
qmd_status qmdi_train_loop(qmd_model *model, const qmdi_images *images, const qmd_train_options *options,
						   const char *phase, qmdi_gradients_fn on_gradients, void *user);

#endif
