#include "segments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "table.h"
#include "text_lines.h"

#define NO_SEGMENT UINT32_MAX
#define BLANKS " \t"
#define REST "(rest)"

static int list_residues(const qmd_dataset *dataset, segment_list *list) {
	list->n_residues = qmd_dataset_n_residues(dataset);
	list->of_residue = calloc(list->n_residues + 1, sizeof *list->of_residue);
	if (!list->of_residue)
		return fail_memory();
	for (size_t r = 0; r < list->n_residues; r++)
		list->of_residue[r] = NO_SEGMENT;
	return residues_list(dataset, &list->residues);
}

static int add_segment(segment_list *list, const char *name, size_t line) {
	segment *segments = realloc(list->segments, (list->n + 1) * sizeof *segments);
	if (!segments)
		return fail_memory();
	list->segments = segments;
	segments[list->n] = (segment){.name = strdup(name), .line = line};
	if (!segments[list->n].name)
		return fail_memory();
	list->n++;
	return PROGRAM_OK;
}

/* ---- Ranges ---- */

static int fail_range(const text_line *line, const char *text) {
	return fail("%s: line %zu: '%s' is no range of residues: expected FIRST-LAST or a number", line->path, line->number,
				text);
}

static int read_number(const char *text, char **end, long *number) {
	errno = 0;
	*number = strtol(text, end, 10);
	return *end != text && !errno && *number >= INT32_MIN && *number <= INT32_MAX;
}

/* 30-67, -5--1 or 52 */
static int read_range(const text_line *line, const char *text, long *first, long *last) {
	char *end = NULL;
	if (!read_number(text, &end, first))
		return fail_range(line, text);
	*last = *first;
	if (*end == '-' && !read_number(end + 1, &end, last))
		return fail_range(line, text);
	if (*end || *last < *first)
		return fail_range(line, text);
	return PROGRAM_OK;
}

/* The ends of a range must be there; between them numbers may be missing. */
static int check_ends(const segment_list *list, const text_line *line, const char *chain, long first, long last) {
	const profile_residue *lowest = NULL, *highest = NULL;
	int has_first = 0, has_last = 0;
	for (size_t r = 0; r < list->n_residues; r++) {
		const profile_residue *residue = &list->residues[r];
		if (strcmp(residue->chain, chain) != 0)
			continue;
		has_first |= residue->number == first;
		has_last |= residue->number == last;
		lowest = !lowest || residue->number < lowest->number ? residue : lowest;
		highest = !highest || residue->number > highest->number ? residue : highest;
	}
	if (!lowest)
		return fail("%s: line %zu: there is no chain '%s': the first residue is in chain '%s'", line->path,
					line->number, chain, list->residues[0].chain);
	if (!has_first || !has_last)
		return fail("%s: line %zu: chain '%s' has no residue %ld: its residues are %d to %d", line->path, line->number,
					chain, has_first ? last : first, lowest->number, highest->number);
	return PROGRAM_OK;
}

static int take_range(segment_list *list, const text_line *line, const char *chain, const char *text) {
	const uint32_t own = (uint32_t)list->n - 1;
	long first = 0, last = 0;
	TRY(read_range(line, text, &first, &last));
	TRY(check_ends(list, line, chain, first, last));
	for (size_t r = 0; r < list->n_residues; r++) {
		const profile_residue *residue = &list->residues[r];
		if (strcmp(residue->chain, chain) != 0 || residue->number < first || residue->number > last)
			continue;
		if (list->of_residue[r] != NO_SEGMENT)
			return fail("%s: line %zu: residue %d of chain '%s' is in segment '%s' of line %zu already", line->path,
						line->number, residue->number, chain, list->segments[list->of_residue[r]].name,
						list->segments[list->of_residue[r]].line);
		list->of_residue[r] = own;
		list->segments[own].n_residues++;
	}
	return PROGRAM_OK;
}

/* ---- Lines ---- */

/* CHAIN:RANGE,RANGE... */
static int take_ranges(segment_list *list, const text_line *line, char *text) {
	char *colon = strchr(text, ':');
	if (!colon)
		return fail("%s: line %zu: '%s' is not CHAIN:FIRST-LAST", line->path, line->number, text);
	*colon = 0;
	char *rest = colon + 1;
	for (char *range; (range = strsep(&rest, ",")) != NULL;)
		TRY(take_range(list, line, text, range));
	return PROGRAM_OK;
}

static int take_line(void *user, const text_line *line, char *text) {
	segment_list *list = user;
	char *rest = NULL, *name = strtok_r(text, BLANKS, &rest), *ranges = name ? strtok_r(NULL, BLANKS, &rest) : NULL;
	if (!name)
		return PROGRAM_OK; /* blanks alone */
	if (!report_is_text(name))
		return fail("%s: line %zu: the name is no UTF-8 text", line->path, line->number);
	for (size_t s = 0; s < list->n; s++)
		if (strcmp(list->segments[s].name, name) == 0)
			return fail("%s: line %zu: segment '%s' stands in line %zu already", line->path, line->number, name,
						list->segments[s].line);
	if (!ranges)
		return fail("%s: line %zu: segment '%s' has no residues: expected NAME CHAIN:FIRST-LAST", line->path,
					line->number, name);
	TRY(add_segment(list, name, line->number));
	for (; ranges; ranges = strtok_r(NULL, BLANKS, &rest))
		TRY(take_ranges(list, line, ranges));
	return PROGRAM_OK;
}

static int add_rest(segment_list *list) {
	size_t n_rest = 0;
	for (size_t r = 0; r < list->n_residues; r++)
		n_rest += list->of_residue[r] == NO_SEGMENT;
	if (n_rest == 0)
		return PROGRAM_OK;
	TRY(add_segment(list, REST, 0));
	list->segments[list->n - 1].n_residues = n_rest;
	for (size_t r = 0; r < list->n_residues; r++)
		if (list->of_residue[r] == NO_SEGMENT)
			list->of_residue[r] = (uint32_t)list->n - 1;
	return PROGRAM_OK;
}

int segments_load(const char *path, const qmd_dataset *dataset, segment_list *list) {
	*list = (segment_list){0};
	TRY(list_residues(dataset, list));
	TRY(text_lines_read(path, take_line, list));
	if (list->n == 0)
		return fail("%s: names no segment: expected lines NAME CHAIN:FIRST-LAST", path);
	return add_rest(list);
}

void segments_release(segment_list *list) {
	for (size_t s = 0; s < list->n; s++)
		free(list->segments[s].name);
	free(list->segments);
	free(list->of_residue);
	free(list->residues);
	*list = (segment_list){0};
}

/* ---- Scores ---- */

int segments_set_scores(segment_list *list, const qmd_explanation *explanation) {
	for (size_t s = 0; s < list->n; s++) {
		qmd_residue_score score = {.struct_size = sizeof score};
		TRY_QMD(qmd_explanation_residue(explanation, s, &score));
		segment *own = &list->segments[s];
		own->n_atoms = score.n_atoms;
		own->score = score.score;
		own->standard_error = score.standard_error;
		own->rank = score.rank;
	}
	return PROGRAM_OK;
}

void segments_apply(const segment_list *list, profile_residue *residues) {
	for (size_t r = 0; r < list->n_residues; r++) {
		const segment *own = &list->segments[list->of_residue[r]];
		if (own->line) /* not the rest */
			snprintf(residues[r].segment, sizeof residues[r].segment, "%s", own->name);
	}
}

profile_residue *segments_residues(const segment_list *list) {
	profile_residue *residues = calloc(list->n_residues + 1, sizeof *residues);
	if (!residues) {
		fail_memory();
		return NULL;
	}
	for (size_t r = 0; r < list->n_residues; r++) {
		const segment *own = &list->segments[list->of_residue[r]];
		residues[r] = list->residues[r];
		residues[r].score = own->score;
		residues[r].standard_error = own->standard_error;
		residues[r].rank = own->rank;
	}
	segments_apply(list, residues);
	return residues;
}

int segments_write_csv(const char *path, const segment_list *list) {
	files_text text;
	if (files_text_begin(&text) != PROGRAM_OK)
		return PROGRAM_FAILED;
	FILE *csv = text.stream;
	fprintf(csv, "segment,residues,atoms,score,standard_error,rank\n");
	for (size_t s = 0; s < list->n; s++) {
		const segment *own = &list->segments[s];
		files_csv_field(csv, own->name);
		fprintf(csv, ",%zu,%zu,%.9g,%.9g,%u\n", own->n_residues, own->n_atoms, own->score, own->standard_error,
				own->rank);
	}
	return files_text_end(&text, path, PROGRAM_OK);
}

void segments_print(const segment_list *list, const char *what) {
	static const char *const headings[] = {"rank", "<segment", "residues", "score", "standard error", NULL};
	table t;
	table_start(&t, headings);
	for (uint32_t rank = 1; rank <= list->n; rank++)
		for (size_t s = 0; s < list->n; s++) {
			const segment *own = &list->segments[s];
			if (own->rank != rank)
				continue;
			table_cell(&t, "%u", rank);
			table_cell(&t, "%s", own->name);
			table_cell(&t, "%zu", own->n_residues);
			table_number(&t, own->score, 4);
			table_number(&t, own->standard_error, 4);
		}
	printf("\nSegments: %s, mean over frames\n", what);
	table_print(&t, stdout);
}

json_t *segments_json(const segment_list *list) {
	json_t *all = json_array();
	for (size_t s = 0; s < list->n; s++) {
		const segment *own = &list->segments[s];
		json_array_append_new(all, json_pack("{s:s, s:I, s:I, s:o, s:o, s:I}", "segment", own->name, "residues",
											 (json_int_t)own->n_residues, "atoms", (json_int_t)own->n_atoms, "score",
											 report_number(own->score), "standard_error",
											 report_number(own->standard_error), "rank", (json_int_t)own->rank));
	}
	return all;
}
