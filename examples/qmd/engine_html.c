#include "engine_html.h"

#include <math.h>
#include <stdlib.h>

#include "graph.h"
#include "page.h"
#include "plot.h"

int step_times_create(step_times *times, size_t n_engines, size_t n) {
	*times = (step_times){.n_engines = n_engines};
	for (size_t e = 0; e < n_engines; e++) {
		times->ms[e] = calloc(n + 1, sizeof *times->ms[e]);
		if (!times->ms[e]) {
			step_times_release(times);
			return fail_memory();
		}
	}
	return PROGRAM_OK;
}

void step_times_release(step_times *times) {
	free(times->ms[0]);
	free(times->ms[1]);
	*times = (step_times){0};
}

/* The bars of a row stand side by side. */
static void draw_row(const plot *p, const step_times *times, size_t row) {
	const double width = 0.8 / (double)times->n_engines;
	for (size_t e = 0; e < times->n_engines; e++) {
		char class[8], text[64];
		const double ms = times->ms[e][row], from = (double)row + 0.6 + width * (double)e;
		snprintf(class, sizeof class, "f%zu", e);
		snprintf(text, sizeof text, "step %zu: %.4g ms", row + 1, ms);
		if (isfinite(ms))
			plot_bar(p, class, from, from + width, ms, 0, text);
	}
}

static void draw(page *target, const step_times *times) {
	double high = 0;
	for (size_t e = 0; e < times->n_engines; e++)
		for (size_t i = 0; i < times->n; i++)
			high = fmax(high, times->ms[e][i]);
	plot p = {.out = target->out, .width = 1080, .height = 320, .left = 70, .right = 10, .top = 36, .bottom = 46};
	p.y = plot_axis_fit("ms", 0, high, 5);
	p.x = (plot_axis){.label = "step, in the order of the table",
					  .low = 0.5,
					  .high = (double)times->n + 0.5,
					  .step = fmax(1, plot_nice_step((double)times->n + 1, 20))};
	plot_begin(&p, "Median time of each step", 0);
	plot_axes(&p);
	for (size_t i = 0; i < times->n; i++)
		draw_row(&p, times, i);
	plot_end(&p);
}

int engine_html_write(const char *path, const char *title, const char *subtitle, const engine_profile *profiles,
					  size_t n_profiles, const step_times *times, table *t, const char *caption) {
	page p;
	const int code = page_begin(&p, title, subtitle);
	if (code != PROGRAM_OK) {
		table_release(t);
		return code;
	}
	page_section(&p, "Where the time goes");
	page_legend(&p, times->engines, times->n_engines);
	page_plots_begin(&p, 1);
	draw(&p, times);
	page_plots_end(&p);
	page_section(&p, "Step by step");
	page_table(&p, t, caption);
	page_section(&p, "The graph");
	page_paragraph(&p, "A box is a step of the plan, the darker the longer it takes; an arrow is what it reads.");
	page_plots_begin(&p, 1);
	graph_draw(p.out, profiles, n_profiles);
	page_plots_end(&p);
	return page_write(&p, path);
}
