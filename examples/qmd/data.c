#include "data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_FOLDS 5
#define FRAMES_AT_A_TIME 64
#define N_LISTED 8

int data_open(const program_arguments *arguments, size_t n_smallest, qmd_dataset **dataset) {
	if (arguments->n_states == 0)
		return fail_usage("a state is missing: give --state NAME=PDB,NC");
	if (arguments->n_states < n_smallest)
		return fail_usage("one state leaves nothing to tell apart: give --state NAME=PDB,NC for two or more");
	qmd_dataset_options options;
	qmd_dataset_options_init(&options);
	if (arguments->selection)
		options.selection = arguments->selection;
	options.map_path = arguments->map_path;
	options.stride = arguments->stride;
	TRY_QMD(qmd_dataset_create(&options, dataset));
	for (size_t s = 0; s < arguments->n_states; s++) {
		const state_argument *state = &arguments->states[s];
		TRY_QMD(
			qmd_dataset_add_state(*dataset, state->name, state->topology, state->trajectories, state->n_trajectories));
	}
	return PROGRAM_OK;
}

static int print_dropped(const qmd_dataset *dataset, size_t state) {
	size_t n = 0;
	TRY_QMD(qmd_dataset_dropped(dataset, state, &n, NULL));
	if (n == 0)
		return PROGRAM_OK;
	uint32_t *indices = malloc(n * sizeof *indices);
	if (!indices)
		return fail_memory();
	qmd_status status = qmd_dataset_dropped(dataset, state, &n, indices);
	if (status == QMD_OK)
		printf("  %s: %zu selected atoms are not in every state and are left out:",
			   qmd_dataset_state_name(dataset, state), n);
	for (size_t i = 0; i < n && i < N_LISTED && status == QMD_OK; i++) {
		qmd_atom atom;
		status = qmd_topology_atom(qmd_dataset_topology(dataset, state), indices[i], &atom);
		if (status == QMD_OK)
			printf(" %s%s%d:%s", atom.chain, atom.residue_name, atom.residue_number, atom.name);
	}
	if (status == QMD_OK)
		printf("%s\n", n > N_LISTED ? " ..." : "");
	free(indices);
	return status == QMD_OK ? PROGRAM_OK : fail_status(status);
}

int data_print(const qmd_dataset *dataset) {
	const size_t n_states = qmd_dataset_n_states(dataset);
	printf("%zu state%s, %zu frames, %zu atoms of %zu residues\n", n_states, n_states == 1 ? "" : "s",
		   qmd_dataset_n_frames(dataset), qmd_dataset_n_atoms(dataset), qmd_dataset_n_residues(dataset));
	for (size_t s = 0; s < n_states; s++)
		TRY(print_dropped(dataset, s));
	fflush(stdout);
	return PROGRAM_OK;
}

int data_plan_split(const program_arguments *arguments, const qmd_dataset *dataset, split_plan *plan) {
	size_t fewest = SIZE_MAX, most = 0;
	for (size_t s = 0; s < qmd_dataset_n_states(dataset); s++) {
		const size_t n = qmd_dataset_n_replicas(dataset, s);
		fewest = n < fewest ? n : fewest;
		most = n > most ? n : most;
	}
	*plan = (split_plan){
		.kind = arguments->split, .n_folds = arguments->n_folds, .gap = arguments->gap, .seed = arguments->seed};
	if (plan->kind == SPLIT_AUTO)
		plan->kind = fewest > 1 ? SPLIT_REPLICA : SPLIT_BLOCK;
	if (plan->n_folds == 0)
		plan->n_folds = plan->kind == SPLIT_REPLICA ? fewest : DEFAULT_FOLDS;
	if (plan->kind == SPLIT_REPLICA && plan->n_folds > most)
		return fail_usage("--folds %zu, but no state has more than %zu trajectories to hold out", plan->n_folds, most);
	if (plan->kind != SPLIT_REPLICA && plan->n_folds < 2)
		return fail_usage("--folds %zu, but --split %s needs 2 or more", plan->n_folds, split_name(plan->kind));
	if (arguments->fold > plan->n_folds)
		return fail_usage("--fold %zu, but there are %zu folds", arguments->fold, plan->n_folds);
	return PROGRAM_OK;
}

int data_split(const split_plan *plan, const qmd_dataset *dataset, size_t fold, qmd_split **split) {
	qmd_status status;
	if (fold == 0)
		status = qmd_split_all(dataset, split);
	else if (plan->kind == SPLIT_REPLICA)
		status = qmd_split_by_replica(dataset, fold - 1, split);
	else if (plan->kind == SPLIT_BLOCK)
		status = qmd_split_by_block(dataset, plan->n_folds, fold - 1, plan->gap, split);
	else
		status = qmd_split_icnnmd(dataset, plan->n_folds, fold - 1, plan->seed, split);
	TRY_QMD(status);
	return PROGRAM_OK;
}

const char **data_state_names(const qmd_dataset *dataset) {
	const size_t n = qmd_dataset_n_states(dataset);
	const char **names = calloc(n + 1, sizeof *names);
	for (size_t s = 0; names && s < n; s++)
		names[s] = qmd_dataset_state_name(dataset, s);
	return names;
}

void data_release_images(pixel_set *set) {
	free(set->images);
	free(set->labels);
	*set = (pixel_set){0};
}

int data_load_labels(const qmd_dataset *dataset, const uint32_t *class_of_state, const uint32_t *frames, size_t n,
					 uint32_t **labels) {
	*labels = calloc(n ? n : 1, sizeof **labels);
	if (!*labels)
		return fail_memory();
	for (size_t i = 0; i < n; i++) {
		qmd_frame_origin origin;
		TRY_QMD(qmd_dataset_frame_origin(dataset, frames[i], &origin));
		(*labels)[i] = class_of_state[origin.state];
	}
	return PROGRAM_OK;
}

int data_load_images(qmd_dataset *dataset, const qmd_pixels *pixels, const uint32_t *class_of_state,
					 const uint32_t *frames, size_t n, pixel_set *set) {
	const size_t side = qmd_pixels_side(pixels);
	*set = (pixel_set){.n = n, .image_size = side * side * 3, .type = qmd_pixels_type(pixels)};
	set->images = calloc(n ? n : 1, set->image_size);
	if (!set->images)
		return fail_memory();
	for (size_t first = 0; first < n; first += FRAMES_AT_A_TIME) {
		const size_t count = n - first < FRAMES_AT_A_TIME ? n - first : FRAMES_AT_A_TIME;
		TRY_QMD(qmd_pixels_run_dataset(pixels, dataset, frames + first, count, set->images + first * set->image_size));
	}
	return data_load_labels(dataset, class_of_state, frames, n, &set->labels);
}

uint32_t *data_spread(const uint32_t *frames, size_t n_frames, size_t n, size_t *n_chosen) {
	*n_chosen = n < n_frames ? n : n_frames;
	uint32_t *chosen = calloc(*n_chosen + 1, sizeof *chosen);
	for (size_t i = 0; chosen && i < *n_chosen; i++)
		chosen[i] = frames[i * n_frames / *n_chosen];
	return chosen;
}
