/* The map file of a data set: which atom of a state is which atom of the first state (docs/trajectory.md). */
#ifndef QMD_LIB_ATOM_MAP_H
#define QMD_LIB_ATOM_MAP_H

#include <qmd/trajectory.h>

#include "base/error.h"

typedef struct qmdi_atom_pair {
	char *state;
	qmd_atom from, to; /* identities: the other members are 0 */
	size_t line;
} qmdi_atom_pair;

typedef struct qmdi_atom_map {
	char *path;
	qmdi_atom_pair *pairs;
	size_t n_pairs;
} qmdi_atom_map;

/* Read a map file. QMD_ERROR_FORMAT names the line. On failure there is nothing to release. */
qmd_status qmdi_atom_map_load(const char *path, qmdi_atom_map *map);

/* One that is all zeros is allowed. */
void qmdi_atom_map_release(qmdi_atom_map *map);

#endif
