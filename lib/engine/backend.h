/*
 * What context.c asks of a back end that is not the CPU. The library proper includes no CUDA header and links none: a
 * build with CUDA brings lib/cuda, one without brings backend_none.c, and the tests bring lib/cuda on an emulated
 * device.
 */
#ifndef QMD_LIB_BACKEND_H
#define QMD_LIB_BACKEND_H

#include "engine_internal.h"

/* Frames or images, one of them NULL; n of them. */
typedef struct qmdi_source {
	const qmd_frame *frames;
	const void *images;
	size_t n;
} qmdi_source;

/* Options have been checked as far as the CPU can, sources and outputs too. All fail with the last error set. */
typedef struct qmdi_backend {
	/* QMD_OK with *context NULL where a layer of the engine has no kernel on the device; the last error then says
	 * which. The engine outlives the context. */
	qmd_status (*create)(const qmd_engine *engine, const qmd_context_options *options, void **context);
	void (*release)(void *context);
	qmd_status (*run)(void *context, const qmdi_source *source, const qmd_output *outputs, size_t n_outputs);
	qmd_status (*wait)(void *context);
	/* times: [n_steps][n_repeats], of images */
	qmd_status (*time_steps)(void *context, const qmdi_source *source, size_t n_repeats, double *times);
	qmd_status (*time_run)(void *context, const qmdi_source *source, size_t n_repeats, qmd_run_time *times);
	void (*describe)(const void *context, qmd_context_device *device);
	const char *(*kernel)(const void *context, size_t step);
} qmdi_backend;

/* NULL in a build without CUDA. */
extern const qmdi_backend *const qmdi_cuda_backend;

#endif
