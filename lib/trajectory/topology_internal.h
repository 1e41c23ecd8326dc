/* Topologies as the trajectory stage sees them. */
#ifndef QMD_LIB_TOPOLOGY_INTERNAL_H
#define QMD_LIB_TOPOLOGY_INTERNAL_H

#include <qmd/trajectory.h>

#include "base/error.h"

/* Atoms are counted in uint32_t. */
#define QMDI_MAX_ATOMS ((size_t)UINT32_MAX)

struct qmd_topology {
	qmd_atom *atoms;
	size_t n_atoms, n_residues;
	float *xyz; /* n_atoms * 3, in angstrom; NULL if made from memory */
};

/* New topology that takes over `atoms` and `xyz` (released on failure too). Counts
 * residues. */
qmd_status qmdi_topology_take(qmd_atom *atoms, size_t n_atoms, float *xyz, qmd_topology **topology);

/* Number the residues of a list of atoms in `residue`, and return how many there are. */
size_t qmdi_number_residues(qmd_atom *atoms, size_t n_atoms);

/* Order of identities: chain, residue number, insertion code, residue name, atom name. 0: the same identity. */
int qmdi_compare_identity(const qmd_atom *a, const qmd_atom *b);

/* An atom for messages: "chain A residue 65B MET atom CA". */
#define QMDI_ATOM_TEXT_SIZE 80
const char *qmdi_atom_text(const qmd_atom *atom, char text[QMDI_ATOM_TEXT_SIZE]);

#endif
