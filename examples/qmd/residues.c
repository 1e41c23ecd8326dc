#include "residues.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "table.h"

#define N_TOP 10

profile_residue residues_from_score(const qmd_residue_score *score) {
	profile_residue residue = {.number = score->residue.residue_number,
							   .insertion_code = score->residue.insertion_code,
							   .score = score->score,
							   .standard_error = score->standard_error,
							   .rank = score->rank};
	memcpy(residue.chain, score->residue.chain, sizeof residue.chain);
	memcpy(residue.name, score->residue.residue_name, sizeof residue.name);
	return residue;
}

int residues_list(const qmd_dataset *dataset, profile_residue **residues) {
	*residues = calloc(qmd_dataset_n_residues(dataset) + 1, sizeof **residues);
	if (!*residues)
		return fail_memory();
	for (size_t i = 0; i < qmd_dataset_n_atoms(dataset); i++) {
		qmd_atom atom;
		TRY_QMD(qmd_dataset_atom(dataset, i, &atom));
		profile_residue *residue = &(*residues)[atom.residue];
		memcpy(residue->chain, atom.chain, sizeof residue->chain);
		memcpy(residue->name, atom.residue_name, sizeof residue->name);
		residue->number = atom.residue_number;
		residue->insertion_code = atom.insertion_code;
	}
	return PROGRAM_OK;
}

int residues_are_all_zero(const qmd_explanation *explanation) {
	for (size_t r = 0; r < qmd_explanation_n_residues(explanation); r++) {
		qmd_residue_score score = {.struct_size = sizeof score};
		if (qmd_explanation_residue(explanation, r, &score) != QMD_OK || score.score != 0)
			return 0;
	}
	return 1;
}

static void put_residue(FILE *csv, const profile_residue *residue) {
	const char insertion_code[2] = {residue->insertion_code, 0};
	files_csv_field(csv, residue->chain);
	fprintf(csv, ",%d,", residue->number);
	files_csv_field(csv, insertion_code);
	fputc(',', csv);
	files_csv_field(csv, residue->name);
	fprintf(csv, ",%.9g,%.9g,%u,", residue->score, residue->standard_error, residue->rank);
	files_csv_field(csv, residue->label);
	fputc('\n', csv);
}

int residues_write_csv(const char *path, const profile_residue *residues, size_t n) {
	files_text text;
	if (files_text_begin(&text) != PROGRAM_OK)
		return PROGRAM_FAILED;
	fprintf(text.stream, "chain,number,insertion_code,name,score,standard_error,rank,label\n");
	for (size_t r = 0; r < n; r++)
		put_residue(text.stream, &residues[r]);
	return files_text_end(&text, path, PROGRAM_OK);
}

void residues_name(const profile_residue *residue, const char *gap, char name[RESIDUE_NAME_SIZE]) {
	const char insertion_code[2] = {residue->insertion_code, 0};
	const char *label = residue->label;
	snprintf(name, RESIDUE_NAME_SIZE, "%s%s%d%s%s%s%s", residue->name, gap, residue->number, insertion_code,
			 *label ? " (" : "", label, *label ? ")" : "");
}

void residues_print_top(const profile_residue *residues, size_t n, const char *what) {
	static const char *const headings[] = {"rank", "<chain", "<residue", "score", "standard error", NULL};
	table t;
	table_start(&t, headings);
	for (uint32_t rank = 1; rank <= N_TOP; rank++)
		for (size_t r = 0; r < n; r++) {
			if (residues[r].rank != rank)
				continue;
			char name[RESIDUE_NAME_SIZE];
			residues_name(&residues[r], " ", name);
			table_cell(&t, "%u", rank);
			table_cell(&t, "%s", residues[r].chain);
			table_cell(&t, "%s", name);
			table_number(&t, residues[r].score, 4);
			table_number(&t, residues[r].standard_error, 4);
		}
	printf("\nTop residues: %s, mean over frames\n", what);
	table_print(&t, stdout);
}
