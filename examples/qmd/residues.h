/* Scores of residues, as the program lists them. */
#ifndef QMD_RESIDUES_H
#define QMD_RESIDUES_H

#include "program.h"

#define RESIDUE_LABEL_SIZE 32
#define RESIDUES_N_TOP 20 /* of which one asks whether two explanations share them */

/* One residue, in the order of the molecule. */
typedef struct profile_residue {
	char chain[8], name[8];
	int32_t number;
	char insertion_code; /* 0: none */
	double score, standard_error;
	uint32_t rank;                    /* 1: the highest score */
	char segment[RESIDUE_LABEL_SIZE]; /* of the user's own, which the profile shows (segments.h); empty: none */
	char label[RESIDUE_LABEL_SIZE];   /* of the user's own numbering (numbering.h); empty: none */
} profile_residue;

profile_residue residues_from_score(const qmd_residue_score *score);

/* All residues of a data set, without scores: [qmd_dataset_n_residues()], the caller's to free(), after a failure too.
 */
int residues_list(const qmd_dataset *dataset, profile_residue **residues);

/* Is every score 0? Then no residue changes what the network says: it is constant, and ranks say nothing. */
int residues_are_all_zero(const qmd_explanation *explanation);

/* CSV with the columns chain,number,insertion_code,name,score,standard_error,rank,label. `path` NULL: to stdout. */
int residues_write_csv(const char *path, const profile_residue *residues, size_t n);

/* "ASP147" with a gap of "", with the insertion code and, where there is one, the label: "ASP147 (3.32)". */
#define RESIDUE_NAME_SIZE 64
void residues_name(const profile_residue *residue, const char *gap, char name[RESIDUE_NAME_SIZE]);

/* The ten highest, as a table on stdout, under a heading that says what a score is. */
#define RESIDUES_LEFT_OUT "fall of the logit margin without them"
void residues_print_top(const profile_residue *residues, size_t n, const char *what);

#endif
