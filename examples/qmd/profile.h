/* Engines, timed step by step. */
#ifndef QMD_PROFILE_H
#define QMD_PROFILE_H

#include <jansson.h>

#include "arguments.h"

typedef struct step_profile {
	qmd_engine_layer layer; /* its texts live as long as the engine */
	double seconds;         /* of a batch; NaN until it was measured; 0 where the step before does it too */
	double n_macs;          /* of a batch */
	double n_bytes;         /* of packed weights once, of inputs and outputs a batch */
} step_profile;

typedef struct engine_profile {
	const char *path; /* borrowed */
	uint32_t batch, threads;
	qmd_context_device device; /* its texts live as long as the context */
	qmd_engine *engine;
	qmd_context *context;
	unsigned char *images;
	size_t n_steps;
	step_profile *steps;
	double pixels_seconds;  /* of a batch, one thread of the CPU; NaN on a GPU, and where the engine has no pixels */
	double network_seconds; /* the sum of the steps */
} engine_profile;

/* Load an engine for --batch, --threads and --device. Starting from {0}, release after a failure as well. */
int profile_open(engine_profile *profile, const program_arguments *arguments, const char *path);
void profile_release(engine_profile *profile);

int profile_is_on_gpu(const engine_profile *profile);

/* Time profiles of different engines in turns, so that all see the same machine: medians over `repeats` batches. */
int profile_measure(engine_profile *profiles, size_t n_profiles, uint32_t repeats);

/* {"file", "device", "batch", "threads", "pixels_ms", "network_ms", "steps": [...]}; NULL where there is no memory */
json_t *profile_json(const engine_profile *profile, double peak);

/* A shape as "49x49x32", a flat one as "512". */
const char *profile_shape_text(qmd_shape shape, char *text, size_t size);

#endif
