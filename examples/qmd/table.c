#include "table.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void add(table *t, char *text) {
	if (t->n_cells == t->capacity) {
		const size_t capacity = t->capacity ? 2 * t->capacity : 64;
		char **cells = realloc(t->cells, capacity * sizeof *cells);
		if (!cells) {
			t->has_failed = 1;
			free(text);
			return;
		}
		t->cells = cells;
		t->capacity = capacity;
	}
	if (!text)
		t->has_failed = 1;
	t->cells[t->n_cells++] = text;
}

void table_start(table *t, const char *const *headings) {
	*t = (table){0};
	while (t->n_columns < TABLE_MAX_COLUMNS && headings[t->n_columns]) {
		const char *heading = headings[t->n_columns];
		t->is_left[t->n_columns++] = *heading == '<';
		add(t, strdup(heading + (*heading == '<')));
	}
}

void table_cell(table *t, const char *format, ...) {
	char *text = NULL;
	va_list values;
	va_start(values, format);
	if (vasprintf(&text, format, values) < 0)
		text = NULL;
	va_end(values);
	add(t, text);
}

void table_number(table *t, double value, int decimals) {
	if (isnan(value))
		table_cell(t, "-");
	else
		table_cell(t, "%.*f", decimals, value);
}

static void print_row(const table *t, size_t row, const size_t *widths, FILE *file) {
	char line[1024];
	size_t length = 0;
	for (size_t c = 0; c < t->n_columns && row * t->n_columns + c < t->n_cells; c++) {
		const char *cell = t->cells[row * t->n_columns + c];
		const int written = snprintf(line + length, sizeof line - length, t->is_left[c] ? "%s%-*s" : "%s%*s",
									 c ? "  " : "", (int)widths[c], cell);
		if (written < 0 || (size_t)written >= sizeof line - length)
			break;
		length += (size_t)written;
	}
	while (length > 0 && line[length - 1] == ' ')
		length--;
	fprintf(file, "%.*s\n", (int)length, line);
}

void table_release(table *t) {
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (table){0};
}

void table_print(table *t, FILE *file) {
	size_t widths[TABLE_MAX_COLUMNS] = {0}, total = 0;
	for (size_t i = 0; i < t->n_cells && !t->has_failed; i++) {
		const size_t width = strlen(t->cells[i]);
		if (width > widths[i % t->n_columns])
			widths[i % t->n_columns] = width;
	}
	for (size_t c = 0; c < t->n_columns; c++)
		total += widths[c] + (c ? 2 : 0);
	if (t->has_failed)
		fprintf(file, "(no memory for this table)\n");
	for (size_t row = 0; !t->has_failed && row * t->n_columns < t->n_cells; row++) {
		print_row(t, row, widths, file);
		for (size_t i = 0; row == 0 && i < total; i++)
			fputc('-', file);
		if (row == 0)
			fputc('\n', file);
	}
	table_release(t);
}
