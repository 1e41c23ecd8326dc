/* A training that can go on: weights, state of the optimizer, how far it came, and of what it is. */
#ifndef QMD_LIB_CHECKPOINT_H
#define QMD_LIB_CHECKPOINT_H

#include "labelled_images.h"
#include "optimizer.h"

/* How far a training has come. */
typedef struct qmdi_train_state {
	uint64_t epoch, step; /* done */
	double best_loss;     /* lowest of all epochs */
	uint64_t n_worse;     /* epochs since then */
} qmdi_train_state;

/* What a training is of: graph of the model, images and labels, and the options that change its course (but not how
 * long it may take: a finished training may be prolonged). */
qmd_status qmdi_training_hash(const qmd_model *model, const qmdi_images *images, const qmd_train_options *options,
							  uint64_t *hash);

qmd_status qmdi_checkpoint_save(const char *path, const qmd_model *model, const qmdi_optimizer *optimizer,
								const qmdi_train_state *state, uint64_t hash);

/*
 * Read a checkpoint into model, optimizer and state. No file: they stay as they are. QMD_ERROR_STATE if it is of
 * another training; the errors of qmdi_container_load().
 */
qmd_status qmdi_checkpoint_load(const char *path, qmd_model *model, qmdi_optimizer *optimizer, qmdi_train_state *state,
								uint64_t hash);

#endif
