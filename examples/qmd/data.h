/* The data set of the command line, and its splits. */
#ifndef QMD_DATA_H
#define QMD_DATA_H

#include "arguments.h"
#include "baselines.h"

/* How a data set is cut into folds. */
typedef struct split_plan {
	split_kind kind;
	size_t n_folds, gap;
	uint64_t seed;
} split_plan;

/* Open the states of the command line; at least `n_smallest` of them must be given. */
int data_open(const program_arguments *arguments, size_t n_smallest, qmd_dataset **dataset);

/* "2 states, 240 frames, 1656 atoms of 214 residues", and what was dropped, to stdout. */
int data_print(const qmd_dataset *dataset);

/* Choose split and number of folds where the command line leaves them open, and check them. */
int data_plan_split(const program_arguments *arguments, const qmd_dataset *dataset, split_plan *plan);

/* Fold `fold` (1-based), or all frames for training where it is 0. */
int data_split(const split_plan *plan, const qmd_dataset *dataset, size_t fold, qmd_split **split);

/* The names of the states, borrowed from the data set, in malloc'd memory; NULL if there is none. */
const char **data_state_names(const qmd_dataset *dataset);

/* The labels of frames, class_of_state[state]; malloc'd. */
int data_load_labels(const qmd_dataset *dataset, const uint32_t *class_of_state, const uint32_t *frames, size_t n,
					 uint32_t **labels);

/* Images of frames of a data set, and their labels. Release with data_release_images(). */
int data_load_images(qmd_dataset *dataset, const qmd_pixels *pixels, const uint32_t *class_of_state,
					 const uint32_t *frames, size_t n, pixel_set *set);
void data_release_images(pixel_set *set);

/* `n` of the frames, evenly spread, or all of them if they are fewer; malloc'd, NULL if memory runs out. */
uint32_t *data_spread(const uint32_t *frames, size_t n_frames, size_t n, size_t *n_chosen);

#endif
