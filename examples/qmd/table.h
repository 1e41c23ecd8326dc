/* Text tables with aligned columns. */
#ifndef QMD_TABLE_H
#define QMD_TABLE_H

#include <stdio.h>

#define TABLE_MAX_COLUMNS 16

typedef struct table {
	size_t n_columns, n_cells, capacity;
	char **cells;                   /* [row][column], the last row perhaps half full; row 0 holds the headings */
	int is_left[TABLE_MAX_COLUMNS]; /* a column is right-aligned unless it is said */
	int has_failed;                 /* memory ran out: table_print() says so */
} table;

/* Start a table with its headings; up to TABLE_MAX_COLUMNS, NULL after the last. A heading that begins with '<' makes
 * its column left-aligned. */
void table_start(table *t, const char *const *headings);

/* Add a cell: the next of the current row, or the first of a new row. */
__attribute__((format(printf, 2, 3))) void table_cell(table *t, const char *format, ...);

/* A number with so many decimals, or "-" where it is NaN. */
void table_number(table *t, double value, int decimals);

void table_release(table *t);

/* Print it and release its memory. */
void table_print(table *t, FILE *file);

#endif
