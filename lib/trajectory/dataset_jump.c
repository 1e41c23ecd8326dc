#include "dataset_internal.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "trajectory_internal.h"

/* Half of a box smaller than any; below it the box need not be looked at. */
#define SMALL_JUMP 5.0f

/* The largest move of an atom along each axis, and which atom it is. */
static void find_moves(const float *before, const float *xyz, size_t n_atoms, float moves[3], size_t atoms[3]) {
	memset(moves, 0, 3 * sizeof *moves);
	memset(atoms, 0, 3 * sizeof *atoms);
	for (size_t i = 0; i < n_atoms; i++) {
		for (size_t axis = 0; axis < 3; axis++) {
			const float move = fabsf(xyz[3 * i + axis] - before[3 * i + axis]);
			if (move > moves[axis]) {
				moves[axis] = move;
				atoms[axis] = i;
			}
		}
	}
}

/* A frame whose box cannot be read has none here: reading it by itself tells why. */
static void compare(const qmd_dataset *dataset, const qmdi_state *state, qmdi_replica *replica, size_t file_frame,
					const float *xyz) {
	float moves[3];
	size_t atoms[3];
	double box[9];
	int has_box = 0;
	find_moves(dataset->before, xyz, dataset->n_shared, moves, atoms);
	if (fmaxf(fmaxf(moves[0], moves[1]), moves[2]) < SMALL_JUMP ||
		qmd_trajectory_box(replica->trajectory, file_frame, box, &has_box) != QMD_OK || !has_box)
		return;
	for (size_t axis = 0; axis < 3 && !replica->has_jumped; axis++) {
		if ((double)moves[axis] <= box[4 * axis] / 2)
			continue;
		char text[QMDI_ATOM_TEXT_SIZE];
		replica->has_jumped = 1;
		qmdi_log(QMD_LOG_WARNING,
				 "%s: frame %zu: %s moves by %.1f angstrom along %c, more than half the box: molecules are not whole",
				 qmdi_trajectory_path(replica->trajectory, file_frame), file_frame,
				 qmdi_atom_text(&state->topology->atoms[state->shared[atoms[axis]]], text), (double)moves[axis],
				 "xyz"[axis]);
	}
}

void qmdi_dataset_look_for_jump(qmd_dataset *dataset, const qmdi_state *state, qmdi_replica *replica, size_t frame,
								size_t file_frame, const float *xyz) {
	if (file_frame > 0 && frame == dataset->next_frame)
		compare(dataset, state, replica, file_frame, xyz);
	memcpy(dataset->before, xyz, dataset->n_shared * 3 * sizeof *xyz);
	dataset->next_frame = frame + 1;
}
