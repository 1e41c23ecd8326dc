/* Plots as SVG, within a page or as a file of their own. Colours come from the two styles: series k has the classes
 * `s<k>` (lines) and `f<k>` (areas). */
#ifndef QMD_PLOT_H
#define QMD_PLOT_H

#include <stddef.h>
#include <stdio.h>

#define PLOT_N_COLORS 6

extern const char plot_style[], plot_dark_style[];

typedef struct plot_axis {
	const char *label;      /* NULL: none */
	double low, high, step; /* from tick to tick; 0: no ticks */
} plot_axis;

typedef struct plot {
	FILE *out;
	double width, height, left, right, top, bottom; /* the whole, and the margins around the data */
	plot_axis x, y;
} plot;

/* An axis from `low` to `high` or a little beyond, with about `n_ticks` round ticks. */
plot_axis plot_axis_fit(const char *label, double low, double high, double n_ticks);

/* 1, 2 or 5 times a power of ten, so that about `n` steps fill `span`. */
double plot_nice_step(double span, double n);

/* Where a value is drawn. */
double plot_x(const plot *p, double value);
double plot_y(const plot *p, double value);

/* Open the SVG with a title above the data; is_file: one that stands alone, on white. */
void plot_begin(const plot *p, const char *title, int is_file);

/* Grid, ticks and labels. An axis whose step is 0 has its label alone. */
void plot_axes(const plot *p);

/* A line of `n` points; NaN interrupts it. `classes`: of the style, "s0" or "s0 dash". */
void plot_line(const plot *p, const char *classes, const double *xs, const double *ys, size_t n);

/* A bar from 0 to `value`, with its standard error (0: none); `name` is seen by pointing at it. */
void plot_bar(const plot *p, const char *classes, double from, double to, double value, double standard_error,
			  const char *name);

void plot_end(const plot *p);

#endif
