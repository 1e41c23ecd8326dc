#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "plot.h"
#include "report.h"
#include "report_html.h"

#define MOST_POINTS 600 /* of a curve: longer trajectories are drawn by means of neighbours */

/* Held-out frames of a fold, or of one file: scores [n][n_classes]. */
typedef struct scored_frames {
	size_t n, n_classes;
	double *scores;
	uint32_t *labels;
} scored_frames;

static size_t n_states_of(const json_t *report) {
	return json_array_size(json_object_get(report, "states"));
}

static const char *state_name(const json_t *report, size_t state) {
	const char *name =
		json_string_value(json_object_get(json_array_get(json_object_get(report, "states"), state), "name"));
	return name ? name : "";
}

static size_t state_of(const json_t *report, const json_t *file) {
	const char *name = json_string_value(json_object_get(file, "state"));
	size_t s = 0;
	while (name && s < n_states_of(report) && strcmp(name, state_name(report, s)) != 0)
		s++;
	return s;
}

/* Add the frames of a file; what does not have the form of logits is not added. */
static int add_file(const json_t *report, const json_t *file, const char *key, scored_frames *frames) {
	const json_t *rows = json_object_get(file, key);
	const size_t n = json_array_size(rows), n_classes = n_states_of(report), state = state_of(report, file);
	if (n == 0 || state == n_classes)
		return 0;
	const size_t n_all = frames->n + n;
	double *scores = realloc(frames->scores, n_all * n_classes * sizeof *scores);
	frames->scores = scores ? scores : frames->scores;
	uint32_t *labels = realloc(frames->labels, n_all * sizeof *labels);
	frames->labels = labels ? labels : frames->labels;
	if (!scores || !labels)
		return 0;
	for (size_t i = 0; i < n; i++) {
		for (size_t c = 0; c < n_classes; c++) {
			const json_t *score = json_array_get(json_array_get(rows, i), c);
			if (!json_is_number(score))
				return 0;
			scores[(frames->n + i) * n_classes + c] = json_number_value(score);
		}
		labels[frames->n + i] = (uint32_t)state;
	}
	frames->n = n_all;
	frames->n_classes = n_classes;
	return 1;
}

static void release_frames(scored_frames *frames) {
	free(frames->scores);
	free(frames->labels);
	*frames = (scored_frames){0};
}

/* All held-out frames of a fold; 0 if any of them are not there. */
static int read_fold(const json_t *report, const json_t *fold, const char *key, scored_frames *frames) {
	*frames = (scored_frames){0};
	size_t i;
	json_t *file;
	json_array_foreach(json_object_get(fold, "held_out"), i, file) {
		if (!add_file(report, file, key, frames)) {
			release_frames(frames);
			return 0;
		}
	}
	return frames->n > 0;
}

int report_count_answers(const json_t *report, const char *key, int fold, size_t *counts) {
	size_t k;
	json_t *own;
	int are_all = 1;
	json_array_foreach(json_object_get(report, "folds"), k, own) {
		scored_frames frames;
		if (fold >= 0 && k != (size_t)fold)
			continue;
		if (read_fold(report, own, key, &frames))
			metrics_confusion(frames.scores, frames.labels, frames.n, frames.n_classes, counts);
		else
			are_all = 0;
		release_frames(&frames);
	}
	return are_all;
}

/* ---- ROC, and precision and recall ---- */

/* A curve of scored frames, a class against the rest. */
typedef struct curve_kind {
	size_t (*points)(const double *scores, const uint32_t *labels, size_t n, size_t n_classes, size_t positive,
					 double *xs, double *ys); /* metrics.h */
	const char *x_label, *y_label, *area;     /* what the area below is called */
	int is_symmetric;                         /* of two states each is the other's rest: one curve says all */
} curve_kind;

static const curve_kind roc = {metrics_roc, "false positive rate", "true positive rate", "AUC", 1};
static const curve_kind precision_recall = {metrics_precision_recall, "recall", "precision", "AP", 0};

static double area_below(const double *xs, const double *ys, size_t n) {
	double area = 0;
	for (size_t i = 1; i < n; i++)
		area += (xs[i] - xs[i - 1]) * (ys[i] + ys[i - 1]) / 2;
	return area;
}

/* Draw the curves of a fold's frames (`p` NULL: do not). Returns the mean of the areas below them, NaN where there are
 * none. */
static double draw_curves(const plot *p, const curve_kind *kind, const scored_frames *frames, const char *ending) {
	double *xs = malloc((2 * frames->n + 1) * sizeof *xs), *ys = malloc((2 * frames->n + 1) * sizeof *ys), area = 0;
	size_t n_curves = 0;
	for (size_t c = kind->is_symmetric && frames->n_classes == 2 ? 1 : 0; c < frames->n_classes && xs && ys; c++) {
		char classes[32];
		snprintf(classes, sizeof classes, "s%zu%s", c % PLOT_N_COLORS, ending);
		const size_t n = kind->points(frames->scores, frames->labels, frames->n, frames->n_classes, c, xs, ys);
		if (n == 0)
			continue;
		if (p)
			plot_line(p, classes, xs, ys, n);
		area += area_below(xs, ys, n);
		n_curves++;
	}
	free(xs);
	free(ys);
	return n_curves ? area / (double)n_curves : NAN;
}

static void plot_fold_curves(page *target, const json_t *report, size_t k, const curve_kind *kind) {
	const json_t *fold = json_array_get(json_object_get(report, "folds"), k);
	const plot p = {.out = target->out,
					.width = 320,
					.height = 310,
					.left = 52,
					.right = 12,
					.top = 32,
					.bottom = 42,
					.x = {.label = kind->x_label, .low = -0.03, .high = 1.03, .step = 0.25},
					.y = {.label = kind->y_label, .low = -0.03, .high = 1.03, .step = 0.25}};
	scored_frames fp32, int8;
	if (!read_fold(report, fold, "fp32_logits", &fp32) || !read_fold(report, fold, "int8_logits", &int8)) {
		release_frames(&fp32);
		return;
	}
	char title[96];
	snprintf(title, sizeof title, "Fold %zu: %s FP32 %.3f, INT8 %.3f", k + 1, kind->area,
			 draw_curves(NULL, kind, &fp32, ""), draw_curves(NULL, kind, &int8, ""));
	plot_begin(&p, title, 0);
	plot_axes(&p);
	if (kind->is_symmetric)
		plot_line(&p, "chance", (const double[]){0, 1}, (const double[]){0, 1}, 2);
	draw_curves(&p, kind, &int8, "");
	draw_curves(&p, kind, &fp32, " dash");
	plot_end(&p);
	release_frames(&fp32);
	release_frames(&int8);
}

static void plot_curves(page *target, const json_t *report, const curve_kind *kind) {
	page_plots_begin(target, 0);
	for (size_t k = 0; k < json_array_size(json_object_get(report, "folds")); k++)
		plot_fold_curves(target, report, k, kind);
	page_plots_end(target);
}

void report_plot_roc(page *target, const json_t *report) {
	plot_curves(target, report, &roc);
}

void report_plot_precision_recall(page *target, const json_t *report) {
	plot_curves(target, report, &precision_recall);
}

/* ---- Training ---- */

static const json_t *losses_of(const json_t *fold, const char *phase) {
	return json_object_get(json_object_get(json_object_get(fold, "training"), phase), "loss");
}

static double loss_at(const json_t *losses, size_t epoch) {
	const json_t *loss = json_array_get(losses, epoch);
	return json_is_number(loss) ? json_number_value(loss) : NAN;
}

static void draw_losses(const plot *p, const json_t *losses, size_t series) {
	const size_t n = json_array_size(losses);
	double *xs = malloc((n + 1) * sizeof *xs), *ys = malloc((n + 1) * sizeof *ys);
	char class[16];
	snprintf(class, sizeof class, "s%zu", series % PLOT_N_COLORS);
	for (size_t i = 0; i < n && xs && ys; i++) {
		xs[i] = (double)i + 1;
		ys[i] = loss_at(losses, i);
	}
	if (xs && ys)
		plot_line(p, class, xs, ys, n);
	free(xs);
	free(ys);
}

static void plot_phase(page *target, const json_t *folds, const char *phase, const char *title) {
	size_t n = 0, k;
	double high = 0;
	json_t *fold;
	json_array_foreach(folds, k, fold) {
		const json_t *losses = losses_of(fold, phase);
		n = json_array_size(losses) > n ? json_array_size(losses) : n;
		for (size_t i = 0; i < json_array_size(losses); i++)
			high = fmax(high, loss_at(losses, i));
	}
	if (n == 0)
		return;
	plot p = {.out = target->out, .width = 320, .height = 240, .left = 76, .right = 12, .top = 32, .bottom = 42};
	p.y = plot_axis_fit("mean training loss", 0, high, 5);
	p.x = plot_axis_fit("epoch", 1, fmax(2, (double)n), 6);
	p.x.high = fmax(2, (double)n);
	p.x.step = fmax(1, p.x.step);
	plot_begin(&p, title, 0);
	plot_axes(&p);
	json_array_foreach(folds, k, fold) draw_losses(&p, losses_of(fold, phase), k);
	plot_end(&p);
}

void report_plot_training(page *target, const json_t *report) {
	const json_t *folds = json_object_get(report, "folds");
	page_plots_begin(target, 0);
	plot_phase(target, folds, "train", "FP32 training");
	plot_phase(target, folds, "fine_tune", "Fine-tuning with fake-quant");
	page_plots_end(target);
}

/* ---- Probability along trajectories ---- */

static double probability(const double *row, size_t n_classes, size_t own) {
	double sum = 0;
	for (size_t c = 0; c < n_classes; c++)
		sum += exp(row[c] - row[own]);
	return 1 / sum;
}

static void draw_probability(const plot *p, const json_t *indices, const scored_frames *frames, size_t class,
							 const char *ending) {
	const size_t bin = (frames->n + MOST_POINTS - 1) / MOST_POINTS;
	double xs[MOST_POINTS], ys[MOST_POINTS];
	char classes[32];
	size_t n = 0;
	for (size_t first = 0; first < frames->n; first += bin, n++) {
		const size_t count = frames->n - first < bin ? frames->n - first : bin;
		xs[n] = ys[n] = 0;
		for (size_t i = first; i < first + count; i++) {
			xs[n] += json_number_value(json_array_get(indices, i)) / (double)count;
			ys[n] += probability(frames->scores + i * frames->n_classes, frames->n_classes, class) / (double)count;
		}
	}
	snprintf(classes, sizeof classes, "s%zu%s", class % PLOT_N_COLORS, ending);
	plot_line(p, classes, xs, ys, n);
}

static const char *last_part(const char *path) {
	const char *slash = path ? strrchr(path, '/') : NULL;
	return slash ? slash + 1 : path ? path : "";
}

static void plot_file(page *target, const json_t *report, size_t fold, const json_t *file) {
	const json_t *indices = json_object_get(file, "frames");
	scored_frames int8 = {0}, fp32 = {0};
	char title[96];
	const size_t n = json_array_size(indices);
	plot p = {.out = target->out, .width = 320, .height = 190, .left = 52, .right = 12, .top = 32, .bottom = 42};
	p.y = (plot_axis){.label = "probability", .low = -0.06, .high = 1.06, .step = 0.5};
	const double low = json_number_value(json_array_get(indices, 0));
	const double high = json_number_value(json_array_get(indices, n ? n - 1 : 0));
	p.x = plot_axis_fit("frame of the file", low, high, 5);
	p.x.high = fmax(low + 1, high);
	p.x.step = fmax(1, p.x.step);
	snprintf(title, sizeof title, "Fold %zu: %s", fold, last_part(json_string_value(json_object_get(file, "file"))));
	if (add_file(report, file, "int8_logits", &int8) && add_file(report, file, "fp32_logits", &fp32) && int8.n == n &&
		fp32.n == n) {
		plot_begin(&p, title, 0);
		plot_axes(&p);
		for (size_t c = 0; c < int8.n_classes; c++) {
			draw_probability(&p, indices, &fp32, c, " dash");
			draw_probability(&p, indices, &int8, c, "");
		}
		plot_end(&p);
	}
	release_frames(&int8);
	release_frames(&fp32);
}

void report_plot_trajectories(page *target, const json_t *report) {
	size_t k, i;
	json_t *fold, *file;
	for (size_t s = 0; s < n_states_of(report); s++) {
		char heading[192];
		snprintf(heading, sizeof heading, "Held-out simulations of %s", state_name(report, s));
		page_subheading(target, heading);
		page_plots_begin(target, 0);
		json_array_foreach(json_object_get(report, "folds"), k, fold)
			json_array_foreach(json_object_get(fold, "held_out"), i, file) if (state_of(report, file) == s)
				plot_file(target, report, k + 1, file);
		page_plots_end(target);
	}
}
