/* Segments of residues from a file of the user's: domains, helices, ranges; and their scores. */
#ifndef QMD_SEGMENTS_H
#define QMD_SEGMENTS_H

#include "report.h"
#include "residues.h"

typedef struct segment {
	char *name;
	size_t line; /* of the file; 0: the rest */
	size_t n_residues, n_atoms;
	double score, standard_error;
	uint32_t rank; /* 1: the highest score */
} segment;

typedef struct segment_list {
	segment *segments;
	size_t n;
	uint32_t *of_residue;      /* [n_residues] */
	profile_residue *residues; /* [n_residues], without scores */
	size_t n_residues;
} segment_list;

/*
 * Read a file of lines "NAME CHAIN:FIRST-LAST[,FIRST-LAST...] ...", where a number alone is a range too and a chain
 * without a name is just ":"; empty lines and those that begin with '#' are passed over. Residues in no segment become
 * a last one, "(rest)". A line that is something else, a chain or a first or last residue that is not there, a residue
 * that is in a segment already, a name that is there twice, and a file without segments are failures that name file and
 * line. Release it with segments_release(), after a failure too.
 */
int segments_load(const char *path, const qmd_dataset *dataset, segment_list *list);
void segments_release(segment_list *list);

/* Take scores from an explanation of these segments. */
int segments_set_scores(segment_list *list, const qmd_explanation *explanation);

/* Each residue with the score of its segment, in malloc'd memory; NULL after a message. */
profile_residue *segments_residues(const segment_list *list);

/* Name the segments of residues, which are those of the data set, in order. */
void segments_apply(const segment_list *list, profile_residue *residues);

/* CSV with the columns segment,residues,atoms,score,standard_error,rank. `path` NULL: to stdout. */
int segments_write_csv(const char *path, const segment_list *list);
void segments_print(const segment_list *list, const char *what);
json_t *segments_json(const segment_list *list);

#endif
