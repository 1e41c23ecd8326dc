/* Scores of residues as a workbook (.xlsx), by libxlsxwriter. */
#ifndef QMD_WORKBOOK_H
#define QMD_WORKBOOK_H

#include "residues.h"

/* 1 if the program was built with libxlsxwriter. */
int workbook_is_built(void);

/* The sheets `residues` and `atoms`, with the columns of residues.csv and atoms.csv. The same scores give the same
 * bytes. Fails where the program was built without libxlsxwriter. */
int workbook_write(const char *path, const qmd_dataset *dataset, const profile_residue *residues, size_t n);

#endif
