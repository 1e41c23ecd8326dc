/* Models as predictors compute them, for timing: by the vendor's libraries, or in FP32. */
#ifndef QMD_PREDICTORS_H
#define QMD_PREDICTORS_H

#include "arguments.h"

typedef struct timed_model {
	const program_arguments *arguments;
	qmd_model *model;
	qmd_predictor *predictor;
	unsigned char *images; /* [batch], all 0: the time does not depend on what they show */
	uint32_t batch;
} timed_model;

/* Load a model, which must be bound to pixels, and make the images of the largest batch. Release after a failure too.
 */
int timed_model_load(const program_arguments *arguments, uint32_t largest_batch, timed_model *timed);
void timed_model_release(timed_model *timed);

/* A predictor for a batch, in the place of the one before. */
int timed_model_open(timed_model *timed, uint32_t batch);

/* Whole runs of the batch; with a GPU's engines their parts too. times: [n] */
int timed_model_time(timed_model *timed, uint32_t n, qmd_run_time *times);
int timed_model_has_parts(const timed_model *timed);

/* `qmd profile MODEL --engine`: layer by layer, as a table or JSON. */
int timed_model_profile(const program_arguments *arguments);

#endif
