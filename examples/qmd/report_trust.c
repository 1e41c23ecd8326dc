/* How far the scores of residues can be trusted. */
#include <math.h>
#include <stdlib.h>

#include "plot.h"
#include "report.h"
#include "report_html.h"
#include "study.h"

/* Margins as shares of the first, over the share of residues that is left out. */
static void draw_curve(const plot *p, const json_t *shares, const json_t *margins, const char *classes) {
	const size_t n = json_array_size(margins);
	double *xs = malloc((n + 1) * sizeof *xs), *ys = malloc((n + 1) * sizeof *ys);
	for (size_t i = 0; i < n && xs && ys; i++) {
		xs[i] = json_number_value(json_array_get(shares, i));
		ys[i] = json_number_value(json_array_get(margins, i)) / json_number_value(json_array_get(margins, 0));
	}
	if (xs && ys)
		plot_line(p, classes, xs, ys, n);
	free(xs);
	free(ys);
}

static double lowest_share(const json_t *margins, double low) {
	const double first = json_number_value(json_array_get(margins, 0));
	for (size_t i = 0; i < json_array_size(margins); i++)
		low = fmin(low, json_number_value(json_array_get(margins, i)) / first);
	return low;
}

static double highest_share(const json_t *margins, double high) {
	const double first = json_number_value(json_array_get(margins, 0));
	for (size_t i = 0; i < json_array_size(margins); i++)
		high = fmax(high, json_number_value(json_array_get(margins, i)) / first);
	return high;
}

static void plot_deletion(page *target, const json_t *fold, size_t number) {
	const json_t *deletion = json_object_get(json_object_get(fold, "trust"), "deletion");
	const json_t *margins = json_object_get(deletion, "margins"), *random = json_object_get(deletion, "random_margins");
	const double area = report_get(deletion, "area", NULL);
	if (isnan(area)) /* not kept, or no margin that could fall */
		return;
	const double low = lowest_share(margins, lowest_share(random, 0));
	const double high = highest_share(margins, highest_share(random, 1));
	plot p = {.out = target->out, .width = 320, .height = 250, .left = 56, .right = 12, .top = 32, .bottom = 42};
	p.x = (plot_axis){.label = "share of residues left out", .low = 0, .high = 1, .step = 0.25};
	p.y = plot_axis_fit("share of the margin", low, high, 5);
	char title[96];
	snprintf(title, sizeof title, "Fold %zu: area %.3f, by chance %.3f", number, area,
			 report_get(deletion, "random_area", NULL));
	plot_begin(&p, title, 0);
	plot_axes(&p);
	draw_curve(&p, json_object_get(deletion, "shares"), random, "chance");
	draw_curve(&p, json_object_get(deletion, "shares"), margins, "s0");
	plot_end(&p);
}

static void put_explanation(page *p, const json_t *trust) {
	const double seeds = report_get(trust, "n_seeds", NULL);
	page_paragraph(p,
				   "A score says what one network uses, not what is so. These figures say how much of it another "
				   "network, other numbers or another way of asking would confirm; the column 'by chance' is what an "
				   "order of residues that knows nothing would get.");
	if (seeds < 2)
		page_paragraph(p, "Networks that differ by nothing but the seed of their training were not compared: qmd study "
						  "--explain-seeds 3 does, in about three times the time.");
}

void report_put_trust(page *p, const study_report *r) {
	const json_t *trust = json_object_get(r->json, "trust");
	page_section(p, "How far to trust it");
	put_explanation(p, trust);
	table t;
	study_trust_table(r->json, &t);
	page_table(p, &t, NULL);
	page_subheading(p, "Deletion curves");
	page_paragraph(p, "The mean margin of held-out frames as residues are left out one after another: from the highest "
					  "rank to the lowest (solid), and in orders by chance (dotted, the mean of five). The sooner the "
					  "margin falls, the better the ranks say what the network looks at.");
	page_plots_begin(p, 0);
	size_t k;
	json_t *fold;
	json_array_foreach(json_object_get(r->json, "folds"), k, fold) plot_deletion(p, fold, k + 1);
	page_plots_end(p);
}
