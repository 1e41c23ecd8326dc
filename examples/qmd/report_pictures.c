/* What the network sees, and over it what it looks at. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "picture.h"
#include "report_html.h"

#define N_OUTLINED 10
#define MOST_FADED 0.85
#define NO_RESIDUE SIZE_MAX

/* A picture with the scores of its frame. */
typedef struct explained_picture {
	const study_report *report;
	const double *scores; /* [n_residues] */
	double largest;       /* of their magnitudes */
} explained_picture;

static size_t residue_at(const study_report *r, size_t x, size_t y) {
	const size_t pixel = y * r->side + x;
	return x < r->side && y < r->side && pixel < r->n_atoms ? r->residue_of_atom[pixel] : NO_RESIDUE;
}

/* Pixels beyond the atoms fade as a residue that changes nothing. */
static void fade(FILE *out, const explained_picture *e, size_t residue) {
	const study_report *r = e->report;
	const double score = residue < r->n_residues ? fabs(e->scores[residue]) : 0;
	const double share = e->largest > 0 ? score / e->largest : 0;
	fprintf(out, "<path class=\"fade\" fill-opacity=\"%.3f\" d=\"", MOST_FADED * (1 - share));
	for (size_t y = 0; y < r->side; y++)
		for (size_t x = 0; x < r->side; x++)
			if (residue_at(r, x, y) == residue)
				fprintf(out, "M%zu %zuh1v1h-1z", x, y);
	fprintf(out, "\"/>\n");
}

/* The edges of its pixels beyond which there is another residue. */
static void outline(FILE *out, const explained_picture *e, size_t residue) {
	const study_report *r = e->report;
	char name[RESIDUE_NAME_SIZE], text[RESIDUE_NAME_SIZE + 32];
	residues_name(&r->residues[residue], "", name);
	snprintf(text, sizeof text, "%s: %.4g", name, e->scores[residue]);
	fprintf(out, "<path class=\"top\" d=\"");
	for (size_t i = 0; i < r->n_atoms; i++) {
		const size_t x = i % r->side, y = i / r->side;
		if (r->residue_of_atom[i] != residue)
			continue;
		if (y == 0 || residue_at(r, x, y - 1) != residue)
			fprintf(out, "M%zu %zuh1", x, y);
		if (residue_at(r, x, y + 1) != residue)
			fprintf(out, "M%zu %zuh1", x, y + 1);
		if (x == 0 || residue_at(r, x - 1, y) != residue)
			fprintf(out, "M%zu %zuv1", x, y);
		if (residue_at(r, x + 1, y) != residue)
			fprintf(out, "M%zu %zuv1", x + 1, y);
	}
	fprintf(out, "\"><title>");
	page_escape(out, text);
	fprintf(out, "</title></path>\n");
}

static int is_among_highest(const explained_picture *e, size_t residue) {
	size_t n_higher = 0;
	for (size_t r = 0; r < e->report->n_residues; r++)
		n_higher += e->scores[r] > e->scores[residue] || (e->scores[r] == e->scores[residue] && r < residue);
	return n_higher < N_OUTLINED && e->scores[residue] > 0;
}

static void draw_over(FILE *out, const void *user) {
	const explained_picture *e = user;
	fprintf(out, "<svg class=\"overlay\" viewBox=\"0 0 %zu %zu\" role=\"img\">\n", e->report->side, e->report->side);
	for (size_t r = 0; r < e->report->n_residues; r++)
		fade(out, e, r);
	fade(out, e, NO_RESIDUE);
	for (size_t r = 0; r < e->report->n_residues; r++)
		if (is_among_highest(e, r))
			outline(out, e, r);
	fprintf(out, "</svg>\n");
}

static void put_picture(page *p, const study_report *r, size_t i, page_draw_fn draw, const char *caption) {
	explained_picture e = {.report = r, .scores = r->picture_scores + i * r->n_residues};
	for (size_t j = 0; j < r->n_residues; j++)
		e.largest = fmax(e.largest, fabs(e.scores[j]));
	unsigned char *png = NULL;
	size_t size = 0;
	const unsigned char *image = r->pictures->images + i * r->pictures->image_size;
	if (picture_encode(image, 1, r->side, r->pictures->type, 1, 0, &png, &size) == PROGRAM_OK)
		page_png(p, png, size, caption, draw, &e);
	free(png);
}

static const char *name_of(const study_report *r, size_t picture) {
	const json_t *state = json_array_get(json_object_get(r->json, "states"), r->pictures->labels[picture]);
	const char *name = json_string_value(json_object_get(state, "name"));
	return name ? name : "";
}

void report_put_pictures(page *p, const study_report *r) {
	const char *kind = json_string_value(json_object_get(json_object_get(r->json, "arguments"), "pixels"));
	page_section(p, "What the network sees");
	page_paragraph(p,
				   "The first held-out frame of each state in fold 1. A pixel is an atom, in the order of the "
				   "molecule, row by row; %s.",
				   kind && strcmp(kind, "displacement") == 0
					   ? "red, green and blue are its displacement along x, y and z from the mean training structure, "
						 "and grey is none"
					   : "red, green and blue are its coordinates");
	page_plots_begin(p, 0);
	for (size_t i = 0; i < r->pictures->n; i++)
		put_picture(p, r, i, NULL, name_of(r, i));
	page_plots_end(p);
	page_subheading(p, "What it looks at there");
	page_paragraph(p, "The same frames. The less the margin of this one frame changes without a residue, the fainter "
					  "are its pixels; outlined are the residues, ten at most, without which it falls the furthest.");
	page_plots_begin(p, 0);
	for (size_t i = 0; i < r->pictures->n; i++) {
		char caption[128];
		snprintf(caption, sizeof caption, "%s, explained", name_of(r, i));
		put_picture(p, r, i, draw_over, caption);
	}
	page_plots_end(p);
}
