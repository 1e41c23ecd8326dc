/*
 * One self-contained HTML page: no script, nothing loaded, light and dark, for screens of any width and for paper. All
 * text is escaped here, so that it may come from any file.
 */
#ifndef QMD_PAGE_H
#define QMD_PAGE_H

#include <stdio.h>

#include "program.h"
#include "table.h"

typedef struct page {
	FILE *out; /* where plots are drawn to */
	char *text;
	size_t size;
	int is_in_section;
} page;

/* Text for HTML and SVG: markup is escaped, control characters and what is no UTF-8 become U+FFFD. */
void page_escape(FILE *out, const char *text);

/* Start a page with its title and a line below it; page_write() or page_release() ends it. */
int page_begin(page *p, const char *title, const char *subtitle);

/* A section; it lasts to the next one. */
void page_section(page *p, const char *heading);

void page_subheading(page *p, const char *text);
__attribute__((format(printf, 2, 3))) void page_paragraph(page *p, const char *format, ...);

/* Large figures with what they mean, in a row: page_figure() as often as needed between the two. */
void page_figures_begin(page *p);
__attribute__((format(printf, 3, 4))) void page_figure(page *p, const char *meaning, const char *format, ...);
void page_figures_end(page *p);

/* What the colours of series 0 to n - 1 stand for. */
void page_legend(page *p, const char *const *names, size_t n);

/* A table, which is released, with a caption above it (NULL: none). The first column holds the rows' headings. */
void page_table(page *p, table *t, const char *caption);

/* Plots side by side, as many as fit; or a single one that is scrolled sideways where the screen is narrow. */
void page_plots_begin(page *p, int is_wide);
void page_plots_end(page *p);

/* Draw an SVG of the class "overlay". */
typedef void (*page_draw_fn)(FILE *out, const void *user);

/* An image of whole pixels, enlarged without smoothing, in a row of plots; `draw` (NULL: nothing) draws over it. */
void page_png(page *p, const unsigned char *png, size_t size, const char *caption, page_draw_fn draw, const void *user);

/* End the page and write it. Releases it. */
int page_write(page *p, const char *path);

void page_release(page *p);

#endif
