#include "workbook.h"

#ifndef QMD_HAVE_XLSXWRITER

int workbook_is_built(void) {
	return 0;
}

int workbook_write(const char *path, const qmd_dataset *dataset, const profile_residue *residues, size_t n) {
	(void)dataset;
	(void)residues;
	(void)n;
	return fail("%s: this program was built without libxlsxwriter: write a .csv file", path);
}

#else

#include <stdlib.h>
#include <xlsxwriter.h>

#include "atoms.h"
#include "files.h"
#include "report.h"

#define CREATED 315532800 /* 1980-01-01, as early as a ZIP file can be: bytes must not depend on the day */
#define NUMBER_WIDTH 12.0

/* A sheet while it is written. */
typedef struct sheet {
	lxw_worksheet *worksheet;
	lxw_format *heading, *score;
	lxw_row_t row;
	lxw_col_t column;
	int has_failed; /* a text is no UTF-8, or memory ran out */
} sheet;

int workbook_is_built(void) {
	return 1;
}

static void put_text(sheet *s, const char *text) {
	s->has_failed |=
		!report_is_text(text) || worksheet_write_string(s->worksheet, s->row, s->column++, text, NULL) != LXW_NO_ERROR;
}

static void put_code(sheet *s, char insertion_code) {
	put_text(s, (const char[]){insertion_code, 0});
}

static void put_number(sheet *s, double value, lxw_format *format) {
	s->has_failed |= worksheet_write_number(s->worksheet, s->row, s->column++, value, format) != LXW_NO_ERROR;
}

static void next_row(sheet *s) {
	s->row++;
	s->column = 0;
}

/* Headings that stay in sight, by which lines can be sorted and filtered. */
static void begin_sheet(sheet *s, const char *const *headings, size_t n, size_t n_rows) {
	const lxw_col_t last = (lxw_col_t)(n - 1);
	worksheet_freeze_panes(s->worksheet, 1, 0);
	worksheet_autofilter(s->worksheet, 0, 0, (lxw_row_t)n_rows, last);
	worksheet_set_column(s->worksheet, 0, last, NUMBER_WIDTH, NULL);
	for (size_t i = 0; i < n; i++)
		s->has_failed |= worksheet_write_string(s->worksheet, 0, (lxw_col_t)i, headings[i], s->heading) != LXW_NO_ERROR;
	next_row(s);
}

/* Blue is negative, white 0, red positive, as on the structure. */
static void colour_scores(const sheet *s, lxw_col_t column, size_t n_rows) {
	lxw_conditional_format scale = {.type = LXW_CONDITIONAL_3_COLOR_SCALE,
									.min_color = 0x6f8fd6,
									.mid_color = LXW_COLOR_WHITE,
									.max_color = 0xd66f6f,
									.mid_rule_type = LXW_CONDITIONAL_RULE_TYPE_NUMBER,
									.mid_value = 0};
	worksheet_conditional_format_range(s->worksheet, 1, column, (lxw_row_t)n_rows, column, &scale);
}

static int put_residues(sheet *s, const profile_residue *residues, size_t n) {
	static const char *const headings[] = {"chain", "number",         "insertion_code", "name",
										   "score", "standard_error", "rank",           "label"};
	begin_sheet(s, headings, sizeof headings / sizeof *headings, n);
	for (size_t r = 0; r < n; r++, next_row(s)) {
		put_text(s, residues[r].chain);
		put_number(s, residues[r].number, NULL);
		put_code(s, residues[r].insertion_code);
		put_text(s, residues[r].name);
		put_number(s, residues[r].score, s->score);
		put_number(s, residues[r].standard_error, s->score);
		put_number(s, residues[r].rank, NULL);
		put_text(s, residues[r].label);
	}
	colour_scores(s, 4, n);
	return PROGRAM_OK;
}

static int put_atoms(sheet *s, const qmd_dataset *dataset, const profile_residue *residues) {
	static const char *const headings[] = {"index", "chain", "number", "insertion_code", "name", "atom", "score"};
	const size_t n = qmd_dataset_n_atoms(dataset);
	uint32_t *indices = NULL;
	TRY(atoms_find(dataset, &indices));
	begin_sheet(s, headings, sizeof headings / sizeof *headings, n);
	qmd_status status = QMD_OK;
	for (size_t i = 0; i < n && status == QMD_OK; i++, next_row(s)) {
		qmd_atom atom;
		status = qmd_dataset_atom(dataset, i, &atom);
		if (status != QMD_OK)
			break;
		put_number(s, indices[i], NULL);
		put_text(s, atom.chain);
		put_number(s, atom.residue_number, NULL);
		put_code(s, atom.insertion_code);
		put_text(s, atom.residue_name);
		put_text(s, atom.name);
		put_number(s, residues[atom.residue].score, s->score);
	}
	colour_scores(s, 6, n);
	free(indices);
	return status == QMD_OK ? PROGRAM_OK : fail_status(status);
}

static int fill(lxw_workbook *workbook, const qmd_dataset *dataset, const profile_residue *residues, size_t n) {
	lxw_doc_properties properties = {.title = "Scores of residues", .comments = "libqmd", .created = CREATED};
	sheet s = {.heading = workbook_add_format(workbook), .score = workbook_add_format(workbook)};
	if (!s.heading || !s.score)
		return fail_memory();
	workbook_set_properties(workbook, &properties);
	format_set_bold(s.heading);
	format_set_num_format(s.score, "0.0000");
	for (int is_atoms = 0; is_atoms < 2; is_atoms++) {
		s.row = 0;
		s.worksheet = workbook_add_worksheet(workbook, is_atoms ? "atoms" : "residues");
		if (!s.worksheet)
			return fail_memory();
		TRY(is_atoms ? put_atoms(&s, dataset, residues) : put_residues(&s, residues, n));
	}
	return s.has_failed ? fail("a workbook cannot be made: a name is not valid UTF-8, or memory has run out")
						: PROGRAM_OK;
}

static int write_file(const char *temporary, const char *path, const qmd_dataset *dataset,
					  const profile_residue *residues, size_t n) {
	lxw_workbook *workbook = workbook_new(temporary);
	if (!workbook)
		return fail_memory();
	const int code = fill(workbook, dataset, residues, n);
	const lxw_error error = workbook_close(workbook); /* writes the file, and releases */
	return code == PROGRAM_OK && error != LXW_NO_ERROR ? fail("%s: cannot be written: %s", path, lxw_strerror(error))
													   : code;
}

int workbook_write(const char *path, const qmd_dataset *dataset, const profile_residue *residues, size_t n) {
	char *temporary = NULL;
	int code = files_begin(path, &temporary);
	if (code == PROGRAM_OK && temporary)
		code = files_commit(temporary, path, write_file(temporary, path, dataset, residues, n));
	free(temporary);
	return code;
}

#endif
