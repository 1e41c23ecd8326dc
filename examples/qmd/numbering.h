/* Labels of residues from a table of the user's, such as the generic numbers of a family of receptors ("3.32"). */
#ifndef QMD_NUMBERING_H
#define QMD_NUMBERING_H

#include "residues.h"

/* A residue of the first state's topology, and what the table calls it. */
typedef struct numbered_residue {
	char chain[8];
	int32_t number;
	char insertion_code; /* 0: none */
	char label[RESIDUE_LABEL_SIZE];
	size_t line; /* of the table; 0: none names it */
} numbered_residue;

typedef struct numbering {
	numbered_residue *residues;
	size_t n_residues;
} numbering;

/*
 * Read a table of lines with the fields chain, residue number with insertion code, and label, parted by commas or,
 * where the line has one, tabs. Empty lines, lines that begin with '#' and a first line of headings are passed over; an
 * empty label is none. A line that is something else, a residue that the first state's topology does not have and one
 * that is there twice are failures that name file and line. Release it with numbering_release(), after a failure too.
 */
int numbering_load(const char *path, const qmd_dataset *dataset, numbering *table);
void numbering_release(numbering *table);

/* Label residues. Warns of how many the table leaves without a label. */
void numbering_apply(const numbering *table, const char *path, profile_residue *residues, size_t n);

#endif
