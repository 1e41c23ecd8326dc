/* What is written of the scores of residues: tables, a figure, and the structure with its scores. */
#ifndef QMD_RESIDUE_FILES_H
#define QMD_RESIDUE_FILES_H

#include "residues.h"

/*
 * Into a folder: residues.csv; residues.svg under a title; residues.xlsx (workbook.h); atoms.csv, with the columns
 * index,chain,number,insertion_code,name,atom,score, each atom that the network sees by its 0-based index in the first
 * state's PDB file, with the score of its residue; residues.pdb, the first state's structure without water, with scores
 * as B-factors; and residues.pml (PyMOL), residues.vmd and residues.cxc (ChimeraX), which colour it.
 */
int residue_files_write(const char *folder, const qmd_dataset *dataset, const profile_residue *residues,
						size_t n_residues, const char *title);

#endif
