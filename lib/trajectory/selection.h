/* The selection language (docs/trajectory.md): a text is compiled once and then asked about one atom at a time. */
#ifndef QMD_LIB_SELECTION_H
#define QMD_LIB_SELECTION_H

#include <qmd/trajectory.h>

#include "base/error.h"

typedef struct qmdi_selection qmdi_selection;

/* QMD_ERROR_FORMAT names the column and what was expected there. */
qmd_status qmdi_selection_compile(const char *text, qmdi_selection **selection);
void qmdi_selection_free(qmdi_selection *selection);

/* 1 if the atom, which stands at `index`, is selected. */
int qmdi_selection_matches(const qmdi_selection *selection, const qmd_atom *atom, size_t index);

/* The selected ones of n_atoms atoms, as qmd_topology_select() gives them. `what` names the caller. */
qmd_status qmdi_select(const char *what, const qmd_atom *atoms, size_t n_atoms, const char *text, size_t *n,
					   uint32_t *indices);

#endif
