#include "graph.h"

#include <math.h>
#include <string.h>

#include "page.h"

#define WIDTH 1080.0
#define GAP 26.0    /* between boxes */
#define GUTTER 60.0 /* right of the boxes, for edges that pass some */
#define LINE 16.0
#define PADDING 8.0
#define CHARACTER 7.2 /* a wide guess at one of a name's */

const char graph_style[] = ".graph .edge{fill:none;stroke:#79828b;stroke-width:1.4}.graph .head{fill:#79828b}"
						   ".graph .box{stroke:#79828b}.graph .name{font-weight:600}.graph .why{font-size:11px}";

/* One engine's column. */
typedef struct column {
	const engine_profile *profile;
	double left, width; /* of the boxes */
	double longest;     /* seconds of the slowest step */
} column;

/* ---- Lines of a name ---- */

/* Bytes of a name that stand in one line: as many layers as fit, or as much of one layer as does. */
static size_t line_length(const char *name, double width) {
	const size_t room = (size_t)((width - 2 * PADDING) / CHARACTER), length = strlen(name);
	if (length <= room)
		return length;
	for (size_t i = room; i > 0; i--)
		if (name[i - 1] == '+')
			return i;
	size_t end = room;
	while (end > 1 && ((unsigned char)name[end] & 0xc0) == 0x80) /* never within a character */
		end--;
	return end;
}

static size_t n_lines(const char *name, double width) {
	size_t n = 0;
	for (; *name; n++)
		name += line_length(name, width);
	return n;
}

static double box_height(const column *c, size_t step) {
	return 2 * PADDING + LINE * ((double)n_lines(c->profile->steps[step].layer.name, c->width) + 3);
}

/* The image, step -1, is a box of one line. */
static double height_of(const column *c, ptrdiff_t step) {
	return step < 0 ? 2 * PADDING + LINE : box_height(c, (size_t)step);
}

static double top_of(const column *c, ptrdiff_t step) {
	double top = LINE + GAP / 2; /* below the heading */
	for (ptrdiff_t i = -1; i < step; i++)
		top += height_of(c, i) + GAP;
	return top;
}

/* ---- Drawing ---- */

static void put_name(FILE *out, const char *name, const column *c, double y) {
	fprintf(out, "<text class=\"name\" x=\"%.1f\" y=\"%.1f\">", c->left + PADDING, y);
	for (size_t i = 0; *name; i++) {
		char line[256];
		const size_t length = line_length(name, c->width);
		snprintf(line, sizeof line, "%.*s", (int)length, name);
		fprintf(out, "<tspan x=\"%.1f\" dy=\"%.1f\">", c->left + PADDING, i > 0 ? LINE : 0);
		page_escape(out, line);
		fprintf(out, "</tspan>");
		name += length;
	}
	fprintf(out, "</text>\n");
}

static void put_box(FILE *out, const column *c, double y, double height, double opacity) {
	fprintf(out,
			"<rect class=\"f0 box\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"4\" "
			"fill-opacity=\"%.3f\"/>\n",
			c->left, y, c->width, height, opacity);
}

static void draw_step(FILE *out, const column *c, size_t index) {
	const step_profile *step = &c->profile->steps[index];
	const qmd_engine_layer *layer = &step->layer;
	const double y = top_of(c, (ptrdiff_t)index), height = box_height(c, index), x = c->left + PADDING;
	char shape[64];
	put_box(out, c, y, height, 0.04 + 0.46 * step->seconds / c->longest);
	put_name(out, layer->name, c, y + PADDING + 12);
	const double last = y + height - PADDING - 4;
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\">%zu: %s to %s; %.4f ms, %.1f %% of the network</text>\n", x,
			last - 2 * LINE, index + 1, layer->op, profile_shape_text(layer->output, shape, sizeof shape),
			1e3 * step->seconds, 1e2 * step->seconds / c->profile->network_seconds);
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\">%s</text>\n", x, last - LINE, layer->kernel);
	fprintf(out, "<text class=\"why\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", x, last, layer->why);
}

static void put_head(FILE *out, double x, double y) {
	fprintf(out, "<path class=\"head\" d=\"M%.1f %.1fl-4 -7h8z\"/>\n", x, y);
}

/* From one box to the next straight down; past others in the gutter on the right. */
static void draw_edge(FILE *out, const column *c, ptrdiff_t from, ptrdiff_t to, double to_shift) {
	const double bottom = top_of(c, from) + height_of(c, from), top = top_of(c, to), middle = c->left + c->width / 2;
	if (to == from + 1) {
		fprintf(out, "<path class=\"edge\" d=\"M%.1f %.1fV%.1f\"/>\n", middle + to_shift, bottom, top - 6);
		put_head(out, middle + to_shift, top);
		return;
	}
	const double right = c->left + c->width, x = right - 3 * GAP - to_shift;
	const double lane = right + 12 + fmod(9.0 * (double)(from + 1), GUTTER - 24);
	fprintf(out, "<path class=\"edge\" d=\"M%.1f %.1fv%.1fH%.1fV%.1fH%.1fV%.1f\"/>\n", right - GAP, bottom, GAP / 2 - 6,
			lane, top - GAP / 2 + 2, x, top - 6);
	put_head(out, x, top);
}

static void draw_column(FILE *out, const column *c, const char *heading) {
	const engine_profile *profile = c->profile;
	char shape[64];
	fprintf(out, "<text class=\"title\" x=\"%.1f\" y=\"13\">%s</text>\n", c->left, heading);
	put_box(out, c, top_of(c, -1), height_of(c, -1), 0);
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\">image, %s</text>\n", c->left + PADDING, top_of(c, -1) + PADDING + 12,
			profile_shape_text(qmd_engine_image_shape(profile->engine), shape, sizeof shape));
	for (size_t i = 0; i < profile->n_steps; i++) {
		draw_step(out, c, i);
		for (size_t k = 0; k < 2; k++)
			if (profile->steps[i].layer.inputs[k] >= -1)
				draw_edge(out, c, profile->steps[i].layer.inputs[k], (ptrdiff_t)i, GAP * (double)k);
	}
}

void graph_draw(FILE *out, const engine_profile *profiles, size_t n_profiles) {
	column columns[2];
	double height = 0;
	for (size_t e = 0; e < n_profiles; e++) {
		const double room = WIDTH / (double)n_profiles;
		column *c = &columns[e];
		*c = (column){.profile = &profiles[e], .left = 1 + room * (double)e, .width = room - GUTTER, .longest = 1e-12};
		for (size_t i = 0; i < profiles[e].n_steps; i++)
			c->longest = fmax(c->longest, profiles[e].steps[i].seconds);
		height = fmax(height, top_of(c, (ptrdiff_t)profiles[e].n_steps));
	}
	fprintf(out,
			"<svg class=\"plot graph\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" role=\"img\">\n"
			"<title>The plan: its steps, and what they read</title>\n",
			WIDTH, height);
	for (size_t e = 0; e < n_profiles; e++)
		draw_column(out, &columns[e], n_profiles == 1 ? "" : e == 0 ? "A" : "B");
	fprintf(out, "</svg>\n");
}
