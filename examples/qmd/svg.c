#include "svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "page.h"
#include "plot.h"

#define N_NAMED 10
#define SEGMENT_ROOM 20 /* below the axis */
#define SEGMENT_HEIGHT 14
#define LETTER_WIDTH 6.5

static int have_segments(const profile_residue *residues, size_t n) {
	for (size_t i = 0; i < n; i++)
		if (residues[i].segment[0])
			return 1;
	return 0;
}

static plot fit_plot(FILE *out, const profile_residue *residues, size_t n) {
	double low = 0, high = 0;
	for (size_t i = 0; i < n; i++) {
		low = fmin(low, residues[i].score - residues[i].standard_error);
		high = fmax(high, residues[i].score + residues[i].standard_error);
	}
	plot p = {.out = out, .width = 1080, .height = 380, .left = 62, .right = 10, .top = 64, .bottom = 46};
	p.y = plot_axis_fit("fall of the logit margin", low, high, 5);
	p.y.low -= 0.02 * (p.y.high - low);
	p.x = (plot_axis){.label = "residue number", .low = 0, .high = (double)n};
	if (have_segments(residues, n))
		p.bottom += SEGMENT_ROOM;
	return p;
}

/* Numbers below the axis where a residue's number is a multiple of a round step; a line where a chain begins. */
static void draw_residues_axis(const plot *p, const profile_residue *residues, size_t n) {
	const double y = p->height - p->bottom;
	const int step = (int)fmax(1, plot_nice_step((double)n, 14));
	for (size_t i = 0; i < n; i++) {
		const double x = plot_x(p, (double)i + 0.5), left = plot_x(p, (double)i);
		if (i > 0 && strcmp(residues[i].chain, residues[i - 1].chain) != 0)
			fprintf(p->out,
					"<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" "
					"stroke-dasharray=\"3 3\"/>\n",
					left, p->top, left, y);
		if (residues[i].number % step || residues[i].insertion_code)
			continue;
		fprintf(p->out, "<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x, y, x, y + 4);
		fprintf(p->out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%d</text>\n", x, y + 18,
				residues[i].number);
	}
}

/* Residues from `first` up to `end`, in a row, of one segment; its name stands in it where there is room. */
static void draw_segment(const plot *p, const profile_residue *residues, size_t first, size_t end, size_t color) {
	const double left = plot_x(p, (double)first), width = plot_x(p, (double)end) - left;
	const double y = p->height - p->bottom + 23;
	const char *name = residues[first].segment;
	fprintf(p->out, "<rect class=\"segment f%zu\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"><title>",
			color % PLOT_N_COLORS, left, y, width, SEGMENT_HEIGHT);
	page_escape(p->out, name);
	fprintf(p->out, "</title></rect>\n");
	if (LETTER_WIDTH * (double)strlen(name) > width)
		return;
	fprintf(p->out, "<text class=\"in-segment\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", left + width / 2,
			y + 11);
	page_escape(p->out, name);
	fprintf(p->out, "</text>\n");
}

/* Which segment a name is, by the order in which they begin. */
static size_t color_of(const profile_residue *residues, size_t index) {
	size_t n_before = 0;
	for (size_t i = 0; strcmp(residues[i].segment, residues[index].segment) != 0; i++)
		n_before += residues[i].segment[0] && (i == 0 || strcmp(residues[i].segment, residues[i - 1].segment) != 0);
	return n_before;
}

static void draw_segments(const plot *p, const profile_residue *residues, size_t n) {
	for (size_t first = 0, end; first < n; first = end) {
		for (end = first + 1; end < n && strcmp(residues[end].segment, residues[first].segment) == 0;)
			end++;
		if (residues[first].segment[0])
			draw_segment(p, residues, first, end, color_of(residues, first));
	}
}

/* Names of neighbours make room for each other: `free_x` is where the last one ends. */
static void draw_name(const plot *p, const profile_residue *residue, size_t i, double *free_x) {
	const double x = fmax(plot_x(p, (double)i + 0.5) + 4, *free_x);
	const double y = plot_y(p, fmax(residue->score + residue->standard_error, 0)) - 5;
	char name[RESIDUE_NAME_SIZE];
	residues_name(residue, "", name);
	*free_x = x + 11;
	fprintf(p->out, "<text class=\"named\" transform=\"translate(%.1f %.1f) rotate(-90)\" font-size=\"10\">", x, y);
	page_escape(p->out, name);
	fprintf(p->out, "</text>\n");
}

void svg_draw_profile(FILE *out, const profile_residue *residues, size_t n, const char *title, int is_file) {
	const plot p = fit_plot(out, residues, n);
	plot_begin(&p, title, is_file);
	plot_axes(&p);
	draw_residues_axis(&p, residues, n);
	draw_segments(&p, residues, n);
	for (size_t i = 0; i < n; i++) {
		const profile_residue *residue = &residues[i];
		char name[RESIDUE_NAME_SIZE], text[128];
		residues_name(residue, "", name);
		snprintf(text, sizeof text, "%s: %.4g +- %.2g, rank %u", name, residue->score, residue->standard_error,
				 residue->rank);
		plot_bar(&p, residue->rank <= N_NAMED ? "named" : "bar", (double)i + 0.12, (double)i + 0.88, residue->score,
				 residue->standard_error, text);
	}
	double free_x = 0;
	for (size_t i = 0; i < n; i++)
		if (residues[i].rank <= N_NAMED)
			draw_name(&p, &residues[i], i, &free_x);
	plot_end(&p);
}

int svg_write_profile(const char *path, const profile_residue *residues, size_t n, const char *title) {
	files_text text;
	if (files_text_begin(&text) != PROGRAM_OK)
		return PROGRAM_FAILED;
	svg_draw_profile(text.stream, residues, n, title, 1);
	return files_text_end(&text, path, PROGRAM_OK);
}
