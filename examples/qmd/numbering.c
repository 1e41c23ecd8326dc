#include "numbering.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "text_lines.h"

#define N_FIELDS 3

/* A line of the table while it is read. */
typedef struct table_line {
	text_line place;
	char *fields[N_FIELDS];
} table_line;

static int list_residues(const qmd_dataset *dataset, numbering *table) {
	const qmd_topology *topology = qmd_dataset_topology(dataset, 0);
	table->n_residues = qmd_topology_n_residues(topology);
	table->residues = calloc(table->n_residues + 1, sizeof *table->residues);
	if (!table->residues)
		return fail_memory();
	for (size_t i = 0; i < qmd_topology_n_atoms(topology); i++) {
		qmd_atom atom;
		TRY_QMD(qmd_topology_atom(topology, i, &atom));
		numbered_residue *residue = &table->residues[atom.residue];
		memcpy(residue->chain, atom.chain, sizeof residue->chain);
		residue->number = atom.residue_number;
		residue->insertion_code = atom.insertion_code;
	}
	return PROGRAM_OK;
}

static numbered_residue *find_residue(const numbering *table, const char *chain, int32_t number, char insertion_code) {
	for (size_t r = 0; r < table->n_residues; r++) {
		numbered_residue *residue = &table->residues[r];
		if (residue->number == number && residue->insertion_code == insertion_code &&
			strcmp(residue->chain, chain) == 0)
			return residue;
	}
	return NULL;
}

/* ---- One line ---- */

/* Without blanks and quotes around it. */
static char *trim(char *text) {
	text += strspn(text, " ");
	for (size_t length = strlen(text); length > 0 && text[length - 1] == ' ';)
		text[--length] = 0;
	const size_t length = strlen(text);
	if (length < 2 || text[0] != '"' || text[length - 1] != '"')
		return text;
	text[length - 1] = 0;
	return text + 1;
}

static int part_fields(table_line *line, char *text) {
	const char *separator = strchr(text, '\t') ? "\t" : ",";
	size_t n = 0;
	line->fields[0] = line->fields[1] = line->fields[2] = text;
	for (char *field; (field = strsep(&text, separator)) != NULL; n++)
		if (n < N_FIELDS)
			line->fields[n] = trim(field);
	return n == N_FIELDS ? PROGRAM_OK
						 : fail("%s: line %zu: %zu fields, expected 3: chain, residue number, label", line->place.path,
								line->place.number, n);
}

static int is_heading(const table_line *line) {
	return !strpbrk(line->fields[1], "0123456789");
}

/* 52, -3 or 52A */
static int read_number(const table_line *line, int32_t *number, char *insertion_code) {
	char *end;
	errno = 0;
	const long value = strtol(line->fields[1], &end, 10);
	*insertion_code = *end;
	if (end == line->fields[1] || errno || value < INT32_MIN || value > INT32_MAX ||
		(*end && (!isalpha((unsigned char)*end) || end[1])))
		return fail("%s: line %zu: '%s' is no residue number", line->place.path, line->place.number, line->fields[1]);
	*number = (int32_t)value;
	return PROGRAM_OK;
}

static int check_label(const table_line *line) {
	const char *label = line->fields[2];
	if (!report_is_text(label))
		return fail("%s: line %zu: the label is no UTF-8 text", line->place.path, line->place.number);
	if (strlen(label) >= RESIDUE_LABEL_SIZE)
		return fail("%s: line %zu: the label '%s' is longer than %d bytes", line->place.path, line->place.number, label,
					RESIDUE_LABEL_SIZE - 1);
	return PROGRAM_OK;
}

static int take_line(numbering *table, const table_line *line) {
	int32_t number = 0;
	char insertion_code = 0;
	TRY(read_number(line, &number, &insertion_code));
	TRY(check_label(line));
	numbered_residue *residue = find_residue(table, line->fields[0], number, insertion_code);
	if (!residue)
		return fail("%s: line %zu: there is no residue %s in chain '%s': the first state begins with residue %d of "
					"chain '%s'",
					line->place.path, line->place.number, line->fields[1], line->fields[0], table->residues[0].number,
					table->residues[0].chain);
	if (residue->line)
		return fail("%s: line %zu: residue %s of chain '%s' stands in line %zu already", line->place.path,
					line->place.number, line->fields[1], line->fields[0], residue->line);
	residue->line = line->place.number;
	memcpy(residue->label, line->fields[2], strlen(line->fields[2]) + 1);
	return PROGRAM_OK;
}

/* ---- The table ---- */

/* A table that is being read. */
typedef struct reading {
	numbering *table;
	int is_first;
} reading;

static int take_text(void *user, const text_line *place, char *text) {
	reading *r = user;
	table_line line = {.place = *place};
	TRY(part_fields(&line, text));
	const int is_passed_over = r->is_first && is_heading(&line);
	r->is_first = 0;
	return is_passed_over ? PROGRAM_OK : take_line(r->table, &line);
}

int numbering_load(const char *path, const qmd_dataset *dataset, numbering *table) {
	*table = (numbering){0};
	TRY(list_residues(dataset, table));
	reading r = {table, 1};
	return text_lines_read(path, take_text, &r);
}

void numbering_release(numbering *table) {
	free(table->residues);
	*table = (numbering){0};
}

void numbering_apply(const numbering *table, const char *path, profile_residue *residues, size_t n) {
	size_t n_missing = 0;
	for (size_t r = 0; r < n; r++) {
		const numbered_residue *named =
			find_residue(table, residues[r].chain, residues[r].number, residues[r].insertion_code);
		if (named)
			memcpy(residues[r].label, named->label, sizeof named->label);
		n_missing += residues[r].label[0] == 0;
	}
	if (n_missing)
		warn("%s: no label for %zu of %zu residues", path, n_missing, n);
}
