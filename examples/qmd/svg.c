#include "svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

#define WIDTH 1080.0
#define HEIGHT 380.0
#define LEFT 70.0
#define RIGHT 20.0
#define TOP 64.0
#define BOTTOM 58.0
#define N_NAMED 10

static const char *const bar_color = "#9db4c9";
static const char *const named_color = "#c2452d";
static const char *const ink = "#333333";
static const char *const grid_color = "#e4e4e4";

typedef struct profile_axes {
	double low, high, step; /* of scores: the axis, and from tick to tick */
	double residue_width;
	size_t n;
} profile_axes;

static double place_x(const profile_axes *axes, double residue) {
	return LEFT + residue * axes->residue_width;
}

static double place_y(const profile_axes *axes, double score) {
	return TOP + (axes->high - score) / (axes->high - axes->low) * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 or 5 times a power of ten, so that about `n` steps fill `span`. */
static double nice_step(double span, double n) {
	const double rough = span / n, power = pow(10, floor(log10(rough))), mantissa = rough / power;
	if (mantissa < 1.5)
		return power;
	if (mantissa < 3.5)
		return 2 * power;
	return mantissa < 7.5 ? 5 * power : 10 * power;
}

static profile_axes fit_axes(const profile_residue *residues, size_t n) {
	double low = 0, high = 0;
	for (size_t i = 0; i < n; i++) {
		low = fmin(low, residues[i].score - residues[i].standard_error);
		high = fmax(high, residues[i].score + residues[i].standard_error);
	}
	if (!(high - low > 1e-30))
		high = low + 1;
	const double step = nice_step(high - low, 5);
	return (profile_axes){.low = low - 0.02 * (high - low),
						  .high = ceil(high / step) * step,
						  .step = step,
						  .residue_width = (WIDTH - LEFT - RIGHT) / (double)n,
						  .n = n};
}

/* Names come from files of other people. */
static void put_escaped(FILE *svg, const char *text) {
	for (; *text; text++)
		switch (*text) {
		case '&':
			fputs("&amp;", svg);
			break;
		case '<':
			fputs("&lt;", svg);
			break;
		case '>':
			fputs("&gt;", svg);
			break;
		default:
			fputc(*text, svg);
		}
}

static void draw_scores_axis(FILE *svg, const profile_axes *axes) {
	for (long tick = (long)ceil(axes->low / axes->step); (double)tick * axes->step <= axes->high * (1 + 1e-9); tick++) {
		const double score = (double)tick * axes->step, y = place_y(axes, score);
		fprintf(svg, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='%s'/>\n", LEFT, y, WIDTH - RIGHT, y,
				tick == 0 ? ink : grid_color);
		fprintf(svg, "<text x='%.1f' y='%.1f' text-anchor='end'>%.4g</text>\n", LEFT - 8, y + 4, score);
	}
	fprintf(svg,
			"<text transform='translate(18 %.1f) rotate(-90)' text-anchor='middle'>fall of the logit margin</text>\n",
			(TOP + HEIGHT - BOTTOM) / 2);
}

/* Numbers below the axis where a residue's number is a multiple of a round step; a line where a chain begins. */
static void draw_residues_axis(FILE *svg, const profile_axes *axes, const profile_residue *residues) {
	const double y = HEIGHT - BOTTOM;
	const int step = (int)fmax(1, nice_step((double)axes->n, 14));
	for (size_t i = 0; i < axes->n; i++) {
		const double x = place_x(axes, (double)i + 0.5);
		const int is_new_chain = i > 0 && strcmp(residues[i].chain, residues[i - 1].chain) != 0;
		if (is_new_chain)
			fprintf(svg, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='%s' stroke-dasharray='3 3'/>\n",
					place_x(axes, (double)i), TOP, place_x(axes, (double)i), y, ink);
		if (residues[i].number % step || residues[i].insertion_code)
			continue;
		fprintf(svg, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='%s'/>\n", x, y, x, y + 5, ink);
		fprintf(svg, "<text x='%.1f' y='%.1f' text-anchor='middle'>%d</text>\n", x, y + 19, residues[i].number);
	}
	fprintf(svg, "<text x='%.1f' y='%.1f' text-anchor='middle'>residue number</text>\n", (LEFT + WIDTH - RIGHT) / 2,
			HEIGHT - 14);
}

static void draw_bar(FILE *svg, const profile_axes *axes, const profile_residue *residue, size_t i) {
	const double gap = 0.12 * axes->residue_width, middle = place_x(axes, (double)i + 0.5);
	const double from = place_y(axes, fmax(residue->score, 0)), to = place_y(axes, fmin(residue->score, 0));
	const int is_named = residue->rank <= N_NAMED;
	fprintf(svg, "<rect x='%.2f' y='%.2f' width='%.2f' height='%.2f' fill='%s'><title>", place_x(axes, (double)i) + gap,
			from, axes->residue_width - 2 * gap, to - from, is_named ? named_color : bar_color);
	put_escaped(svg, residue->name);
	fprintf(svg, " %d: %.4g +- %.2g, rank %u</title></rect>\n", residue->number, residue->score,
			residue->standard_error, residue->rank);
	fprintf(svg, "<line x1='%.2f' y1='%.2f' x2='%.2f' y2='%.2f' stroke='%s' stroke-width='0.8'/>\n", middle,
			place_y(axes, residue->score - residue->standard_error), middle,
			place_y(axes, residue->score + residue->standard_error), ink);
}

/* Names of neighbours make room for each other: `free_x` is where the last one ends. */
static void draw_name(FILE *svg, const profile_axes *axes, const profile_residue *residue, size_t i, double *free_x) {
	const double x = fmax(place_x(axes, (double)i + 0.5) + 3, *free_x);
	const double y = place_y(axes, fmax(residue->score + residue->standard_error, 0)) - 5;
	*free_x = x + 11;
	fprintf(svg, "<text transform='translate(%.1f %.1f) rotate(-70)' font-size='10' fill='%s'>", x, y, named_color);
	put_escaped(svg, residue->name);
	fprintf(svg, "%d", residue->number);
	if (residue->insertion_code) {
		const char code[2] = {residue->insertion_code, 0};
		put_escaped(svg, code);
	}
	fprintf(svg, "</text>\n");
}

static void draw(FILE *svg, const profile_residue *residues, size_t n, const char *title) {
	const profile_axes axes = fit_axes(residues, n);
	fprintf(svg,
			"<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' height='%.0f' viewBox='0 0 %.0f %.0f' "
			"font-family='sans-serif' font-size='12' fill='%s'>\n<rect width='100%%' height='100%%' fill='white'/>\n",
			WIDTH, HEIGHT, WIDTH, HEIGHT, ink);
	fprintf(svg, "<text x='%.1f' y='22' font-size='14'>", LEFT);
	put_escaped(svg, title);
	fprintf(svg, "</text>\n");
	draw_scores_axis(svg, &axes);
	draw_residues_axis(svg, &axes, residues);
	for (size_t i = 0; i < n; i++)
		draw_bar(svg, &axes, &residues[i], i);
	double free_x = 0;
	for (size_t i = 0; i < n; i++)
		if (residues[i].rank <= N_NAMED)
			draw_name(svg, &axes, &residues[i], i, &free_x);
	fprintf(svg, "</svg>\n");
}

int svg_write_profile(const char *path, const profile_residue *residues, size_t n, const char *title) {
	char *text = NULL;
	size_t size = 0;
	FILE *svg = open_memstream(&text, &size);
	if (!svg)
		return fail_memory();
	draw(svg, residues, n, title);
	int code = fclose(svg) == 0 ? PROGRAM_OK : fail_memory();
	if (code == PROGRAM_OK)
		code = files_write(path, text, size);
	free(text);
	return code;
}
