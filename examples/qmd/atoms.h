/* Lists of atoms. */
#ifndef QMD_ATOMS_H
#define QMD_ATOMS_H

#include "program.h"

/* All atoms of a PDB file, malloc'd. */
int atoms_load(const char *path, qmd_atom **atoms, size_t *n);

/* Fail unless the data set's atoms are just those that the pixels show, in the same order. */
int atoms_check_pixels(const qmd_pixels *pixels, const qmd_dataset *dataset);

/* Where a data set's atoms stand in the first state's topology; free() it. */
int atoms_find(const qmd_dataset *dataset, uint32_t **indices);

#endif
