/* Data sets as the trajectory stage and the stages after it see them. */
#ifndef QMD_LIB_DATASET_INTERNAL_H
#define QMD_LIB_DATASET_INTERNAL_H

#include "atom_map.h"
#include "topology_internal.h"

/* Frames of one trajectory file, or from memory. */
typedef struct qmdi_replica {
	qmd_trajectory *trajectory; /* NULL: from memory */
	float *xyz;                 /* from memory: n_frames * n_atoms * 3 */
	size_t n_frames;            /* after the stride */
	int has_jumped;             /* and the log has said so */
} qmdi_replica;

typedef struct qmdi_state {
	char *name;
	qmd_topology *topology;
	int is_from_memory;
	uint32_t *selected; /* n_selected atoms of the topology, ascending */
	size_t n_selected;
	uint32_t *shared; /* n_shared atoms of the topology, in the order of the first state */
	qmdi_replica *replicas;
	size_t n_replicas;
} qmdi_state;

struct qmd_dataset {
	char *selection;
	size_t stride;
	qmdi_atom_map map;
	qmdi_state *states;
	size_t n_states;
	size_t n_shared;
	qmd_atom *atoms; /* n_shared, as the first state names them; `residue` counts the shared residues */
	size_t n_residues;
	size_t n_frames;
	uint32_t *shuffled; /* [n_frames]: whose coordinates a frame has; NULL: its own */
	float *frame;       /* room for all atoms of any one state */
	size_t frame_atoms;
	float *before;     /* shared atoms of the frame that was read last, to find jumps */
	size_t next_frame; /* the number of the one after it; 0: none was read */
};

/*
 * Match a state that is not yet among the data set's with those that are: sets its `selected` and `shared`, the latter
 * with room for as many as the data set shares now, and `keep[i]` to 1 for each of the data set's shared atoms that the
 * state has too. Leaves the data set as it is.
 */
qmd_status qmdi_dataset_match(const qmd_dataset *dataset, qmdi_state *state, uint8_t **keep, size_t *n_shared);

/* Choose among the shared atoms by a selection, as qmd_topology_select(): indices as of qmd_dataset_atom(). */
qmd_status qmdi_dataset_select(const qmd_dataset *dataset, const char *selection, size_t *n, uint32_t *indices);

/*
 * Compare a frame of a file with the one before it, if that is what was read last, and warn once for each file of an
 * atom that moves along an axis by more than half the box: the molecule is not whole. `frame` counts in the data set,
 * `file_frame` in the file.
 */
void qmdi_dataset_look_for_jump(qmd_dataset *dataset, const qmdi_state *state, qmdi_replica *replica, size_t frame,
								size_t file_frame, const float *xyz);

#endif
