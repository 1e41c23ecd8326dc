/* How long a time-step takes. */
#ifndef QMD_TIMING_H
#define QMD_TIMING_H

#include "program.h"

/* Milliseconds of one frame. */
typedef struct step_time {
	double pixels_median, pixels_p99;
	double network_median, network_p99;
} step_time;

/*
 * Time a time-step: raw coordinates in memory to an image, and that image through the network; FP32 by a predictor and
 * INT8 by a context, each with batch 1 and one thread, taking turns frame by frame so that both see the same machine.
 */
int timing_measure(const qmd_model *model, const qmd_engine *engine, qmd_dataset *dataset, const uint32_t *frames,
				   size_t n_frames, step_time *fp32, step_time *int8);

#endif
