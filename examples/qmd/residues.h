/* Scores of residues, as the program lists them. */
#ifndef QMD_RESIDUES_H
#define QMD_RESIDUES_H

#include "program.h"

/* One residue, in the order of the molecule. */
typedef struct profile_residue {
	char chain[8], name[8];
	int32_t number;
	char insertion_code; /* 0: none */
	double score, standard_error;
	uint32_t rank; /* 1: the highest score */
} profile_residue;

profile_residue residues_from_score(const qmd_residue_score *score);

/* CSV with the columns chain,number,insertion_code,name,score,standard_error,rank. `path` NULL: to stdout. */
int residues_write_csv(const char *path, const profile_residue *residues, size_t n);

/* The ten highest, as a table on stdout, under a heading that says what a score is. */
#define RESIDUES_LEFT_OUT "fall of the logit margin without them"
void residues_print_top(const profile_residue *residues, size_t n, const char *what);

#endif
