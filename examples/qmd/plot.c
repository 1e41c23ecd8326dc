#include "plot.h"

#include <math.h>

#include "page.h"

/* Series by the colours of Okabe and Ito, which differ for colour-blind readers too; lighter ones on dark paper. */
const char plot_style[] =
	".plot{font:12px system-ui,sans-serif}.plot text{fill:#1c2024}.plot .tick{fill:#5d6670;font-size:11px}"
	".plot .title{font-size:13px;font-weight:600}"
	".plot .grid{stroke:#e6e9ec}.plot .axis{stroke:#79828b}.plot .error{stroke:#3a4148;stroke-width:.8}"
	".plot polyline{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}"
	".plot polyline.dash{stroke-width:1.3;stroke-dasharray:5 4}"
	".plot polyline.chance{stroke:#9aa3ab;stroke-width:1;stroke-dasharray:2 4}"
	".plot .in-segment{fill:#fff;font-size:10px}.plot .bar{fill:#a9bccd}.plot .named{fill:#c2452d}"
	".s0{stroke:#0072b2}.s1{stroke:#d55e00}.s2{stroke:#009e73}.s3{stroke:#b8578f}.s4{stroke:#c48a00}.s5{stroke:#3d9bd0}"
	".f0{fill:#0072b2}.f1{fill:#d55e00}.f2{fill:#009e73}.f3{fill:#b8578f}.f4{fill:#c48a00}.f5{fill:#3d9bd0}";

const char plot_dark_style[] =
	".plot text{fill:#e6e8ea}.plot .in-segment{fill:#14171a}.plot .tick{fill:#98a2ac}.plot .grid{stroke:#262c31}.plot "
	".axis{stroke:#6a737c}"
	".plot .error{stroke:#c9cfd5}.plot .bar{fill:#4d6478}.plot rect.named,.plot text.named{fill:#f08a72}"
	".plot polyline.chance{stroke:#5d6670}"
	".s0{stroke:#56b4e9}.s1{stroke:#ff9a4d}.s2{stroke:#3fc79d}.s3{stroke:#e08fbd}.s4{stroke:#f0c14b}.s5{stroke:#9fd2f2}"
	".f0{fill:#56b4e9}.f1{fill:#ff9a4d}.f2{fill:#3fc79d}.f3{fill:#e08fbd}.f4{fill:#f0c14b}.f5{fill:#9fd2f2}";

double plot_nice_step(double span, double n) {
	const double rough = span / n, power = pow(10, floor(log10(rough))), mantissa = rough / power;
	if (mantissa < 1.5)
		return power;
	if (mantissa < 3.5)
		return 2 * power;
	return mantissa < 7.5 ? 5 * power : 10 * power;
}

plot_axis plot_axis_fit(const char *label, double low, double high, double n_ticks) {
	if (!(high - low > 1e-30))
		high = low + 1;
	const double step = plot_nice_step(high - low, n_ticks);
	return (plot_axis){.label = label, .low = low, .high = ceil(high / step * (1 - 1e-9)) * step, .step = step};
}

double plot_x(const plot *p, double value) {
	return p->left + (value - p->x.low) / (p->x.high - p->x.low) * (p->width - p->left - p->right);
}

double plot_y(const plot *p, double value) {
	return p->top + (p->y.high - value) / (p->y.high - p->y.low) * (p->height - p->top - p->bottom);
}

void plot_begin(const plot *p, const char *title, int is_file) {
	fprintf(p->out, "<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\"", p->width,
			p->height);
	if (is_file)
		fprintf(p->out,
				" width=\"%.0f\" height=\"%.0f\"><style>%s</style><rect width=\"100%%\" height=\"100%%\" "
				"fill=\"white\"/>\n",
				p->width, p->height, plot_style);
	else
		fprintf(p->out, " role=\"img\">\n");
	fprintf(p->out, "<text class=\"title\" x=\"%.1f\" y=\"18\">", is_file ? p->left : 0);
	page_escape(p->out, title);
	fprintf(p->out, "</text>\n");
}

static void put_line(const plot *p, const char *class, double x1, double y1, double x2, double y2) {
	fprintf(p->out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2, y2);
}

/* Ticks of an axis: multiples of its step, from the first one that is not below it. */
static double tick_at(const plot_axis *axis, int index) {
	return (ceil(axis->low / axis->step - 1e-9) + index) * axis->step;
}

static int is_on_axis(const plot_axis *axis, double value) {
	return axis->step > 0 && value <= axis->high + 1e-9 * (axis->high - axis->low);
}

void plot_axes(const plot *p) {
	const double right = p->width - p->right, bottom = p->height - p->bottom;
	for (int i = 0; is_on_axis(&p->y, tick_at(&p->y, i)); i++) {
		const double value = tick_at(&p->y, i), y = plot_y(p, value);
		put_line(p, fabs(value) < 1e-9 * p->y.step ? "axis" : "grid", p->left, y, right, y);
		fprintf(p->out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n", p->left - 7,
				y + 4, value);
	}
	for (int i = 0; is_on_axis(&p->x, tick_at(&p->x, i)); i++) {
		const double value = tick_at(&p->x, i), x = plot_x(p, value);
		put_line(p, "axis", x, bottom, x, bottom + 4);
		fprintf(p->out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.6g</text>\n", x,
				bottom + 18, value);
	}
	if (p->y.low >= 0)
		put_line(p, "axis", p->left, bottom, right, bottom);
	if (p->x.label)
		fprintf(p->out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
				(p->left + right) / 2, p->height - 6, p->x.label);
	if (p->y.label)
		fprintf(p->out,
				"<text class=\"tick\" transform=\"translate(12 %.1f) rotate(-90)\" text-anchor=\"middle\">%s"
				"</text>\n",
				(p->top + bottom) / 2, p->y.label);
}

void plot_line(const plot *p, const char *classes, const double *xs, const double *ys, size_t n) {
	int is_open = 0;
	for (size_t i = 0; i < n; i++) {
		const int is_point = isfinite(xs[i]) && isfinite(ys[i]);
		if (is_point && !is_open)
			fprintf(p->out, "<polyline class=\"%s\" points=\"", classes);
		if (is_point)
			fprintf(p->out, "%s%.2f,%.2f", is_open ? " " : "", plot_x(p, xs[i]), plot_y(p, ys[i]));
		else if (is_open)
			fprintf(p->out, "\"/>\n");
		is_open = is_point;
	}
	if (is_open)
		fprintf(p->out, "\"/>\n");
}

void plot_bar(const plot *p, const char *classes, double from, double to, double value, double standard_error,
			  const char *name) {
	const double top = plot_y(p, fmax(value, 0)), bottom = plot_y(p, fmin(value, 0));
	const double left = plot_x(p, from), right = plot_x(p, to), middle = (left + right) / 2;
	fprintf(p->out, "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"><title>", classes, left,
			top, right - left, bottom - top);
	page_escape(p->out, name);
	fprintf(p->out, "</title></rect>\n");
	if (standard_error > 0)
		put_line(p, "error", middle, plot_y(p, value - standard_error), middle, plot_y(p, value + standard_error));
}

void plot_end(const plot *p) {
	fprintf(p->out, "</svg>\n");
}
