#include "page.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "graph.h"
#include "plot.h"

static const char style[] =
	":root{--paper:#fff;--ink:#1c2024;--soft:#5d6670;--line:#dfe3e7}"
	"*{box-sizing:border-box}"
	"body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}"
	"main{max-width:1140px;margin:0 auto;padding:3rem 1.25rem 4rem}"
	"h1{font-size:clamp(1.6rem,4vw,2.2rem);line-height:1.2;font-weight:650;margin:0 0 .4rem;overflow-wrap:anywhere}"
	"h2{font-size:1.25rem;font-weight:650;margin:0 0 .6rem}"
	"h3{font-size:1rem;font-weight:600;margin:1.8rem 0 .4rem}"
	"section{margin-top:3.2rem;padding-top:1.4rem;border-top:1px solid var(--line)}"
	"p{max-width:46rem;margin:.5rem 0 1rem;overflow-wrap:anywhere}"
	".soft,figcaption,dt{color:var(--soft)}"
	".figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1.2rem 2rem;margin:2rem 0 0}"
	".figures dt{font-size:.85rem;line-height:1.35;margin:0}"
	".figures "
	"dd{font-size:1.9rem;font-weight:600;line-height:1.2;margin:0;white-space:nowrap;font-variant-numeric:tabular-nums}"
	".figures div{display:flex;flex-direction:column-reverse;justify-content:flex-end}"
	".scroll{overflow-x:auto;margin:1rem 0}"
	"table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}"
	"th,td{padding:.35rem .5rem;text-align:right;vertical-align:top;border-bottom:1px solid var(--line)}"
	"th{font-weight:600}thead th{vertical-align:bottom;border-bottom:1.5px solid var(--soft)}"
	"th:first-child,td:first-child{padding-left:0}"
	".l{text-align:left}td.l{white-space:nowrap}td.l:last-child{white-space:normal;min-width:15rem}tbody "
	"th{white-space:nowrap}"
	".legend{display:flex;flex-wrap:wrap;gap:.2rem 1.4rem;font-size:.9rem}"
	".legend svg{width:1.4em;height:.7em;margin-right:.45em}"
	".plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,310px),1fr));gap:1.4rem 1.6rem;"
	"margin:1rem 0}"
	".plots svg{width:100%;height:auto;display:block}"
	".wide svg{min-width:900px;width:100%;height:auto;display:block}"
	"figure{margin:0}figcaption{font-size:.9rem;margin-top:.5rem;max-width:46rem}"
	"figcaption+.scroll{margin-top:.5rem}"
	".picture{position:relative;border:1px solid var(--line)}"
	".picture img{width:100%;display:block;image-rendering:pixelated}"
	".overlay{position:absolute;inset:0;width:100%;height:100%}.overlay "
	".fade{fill:var(--paper);shape-rendering:crispEdges}"
	".overlay .top{fill:none;pointer-events:all;stroke:var(--ink);stroke-width:2;vector-effect:non-scaling-stroke;"
	"stroke-linecap:square}"
	"@media screen and (max-width:600px){tbody th{white-space:normal;min-width:2.5rem}}"
	"@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;--paper:#14171a;--ink:#e6e8ea;"
	"--soft:#98a2ac;--line:#2d3339}}"
	"@media print{@page{margin:16mm}body{font-size:10pt}main{max-width:none;padding:0}section{margin-top:1.6rem}"
	".scroll{overflow:visible}table{font-size:8pt}th,td{padding:.2rem .4rem}.wide svg{min-width:0}"
	".plot .error{stroke-width:.4}td.l{white-space:normal}"
	".figures{grid-template-columns:repeat(5,1fr);gap:1rem}.figures dd{font-size:1.3rem}"
	".plots figure,tr,svg,.figures{break-inside:avoid}h2,h3,p,figcaption,.legend{break-after:avoid}"
	"thead{display:table-header-group}"
	".plots{grid-template-columns:repeat(3,1fr)}}";

/* Length of the UTF-8 character that begins here, or 0. */
static size_t character_length(const unsigned char *c) {
	static const unsigned char smallest[5][2] = {{0, 0}, {0, 0}, {0, 0}, {0xe0, 0xa0}, {0xf0, 0x90}};
	const size_t length = *c < 0x80 ? 1 : *c >= 0xc2 && *c < 0xe0 ? 2 : *c >= 0xe0 && *c < 0xf0 ? 3 : 4;
	if ((*c >= 0x80 && *c < 0xc2) || *c > 0xf4)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	const int is_overlong = length > 2 && *c == smallest[length][0] && c[1] < smallest[length][1];
	const int is_surrogate = *c == 0xed && c[1] >= 0xa0, is_too_high = *c == 0xf4 && c[1] >= 0x90;
	return is_overlong || is_surrogate || is_too_high ? 0 : length;
}

static const char *entity(char c) {
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

void page_escape(FILE *out, const char *text) {
	while (*text) {
		const unsigned char first = (unsigned char)*text;
		const size_t length = character_length((const unsigned char *)text);
		if (length == 0 || first < 0x20 || first == 0x7f)
			fputs("\xef\xbf\xbd", out);
		else if (entity(*text))
			fputs(entity(*text), out);
		else
			fwrite(text, 1, length, out);
		text += length ? length : 1;
	}
}

/* <NAME>text</NAME>; `attributes` belongs to the program. */
static void put_element(page *p, const char *name, const char *attributes, const char *text) {
	fprintf(p->out, "<%s%s>", name, attributes);
	page_escape(p->out, text);
	fprintf(p->out, "</%s>\n", name);
}

int page_begin(page *p, const char *title, const char *subtitle) {
	*p = (page){0};
	p->out = open_memstream(&p->text, &p->size);
	if (!p->out)
		return fail_memory();
	fprintf(p->out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
					"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
					"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
					"'unsafe-inline'; img-src data:\">\n");
	put_element(p, "title", "", title);
	fprintf(p->out, "<style>%s%s%s@media screen and (prefers-color-scheme:dark){%s}</style>\n</head>\n<body>\n<main>\n",
			style, plot_style, graph_style, plot_dark_style);
	put_element(p, "h1", "", title);
	put_element(p, "p", " class=\"soft\"", subtitle);
	return PROGRAM_OK;
}

void page_section(page *p, const char *heading) {
	fprintf(p->out, "%s<section>\n", p->is_in_section ? "</section>\n" : "");
	put_element(p, "h2", "", heading);
	p->is_in_section = 1;
}

void page_subheading(page *p, const char *text) {
	put_element(p, "h3", "", text);
}

static void put_formatted(page *p, const char *name, const char *format, va_list values) {
	char *text = NULL;
	if (vasprintf(&text, format, values) < 0)
		text = NULL;
	put_element(p, name, "", text ? text : "(no memory for this text)");
	free(text);
}

void page_paragraph(page *p, const char *format, ...) {
	va_list values;
	va_start(values, format);
	put_formatted(p, "p", format, values);
	va_end(values);
}

void page_figures_begin(page *p) {
	fprintf(p->out, "<dl class=\"figures\">\n");
}

void page_figure(page *p, const char *meaning, const char *format, ...) {
	fprintf(p->out, "<div>");
	put_element(p, "dt", "", meaning);
	va_list values;
	va_start(values, format);
	put_formatted(p, "dd", format, values);
	va_end(values);
	fprintf(p->out, "</div>\n");
}

void page_figures_end(page *p) {
	fprintf(p->out, "</dl>\n");
}

void page_legend(page *p, const char *const *names, size_t n) {
	fprintf(p->out, "<p class=\"legend\">\n");
	for (size_t i = 0; i < n; i++) {
		fprintf(p->out,
				"<span><svg class=\"plot\" viewBox=\"0 0 28 14\" aria-hidden=\"true\"><rect class=\"f%zu\" "
				"width=\"28\" height=\"14\" rx=\"3\"/></svg>",
				i % PLOT_N_COLORS);
		page_escape(p->out, names[i]);
		fprintf(p->out, "</span>\n");
	}
	fprintf(p->out, "</p>\n");
}

static void put_row(page *p, const table *t, size_t row) {
	fprintf(p->out, "<tr>");
	for (size_t c = 0; c < t->n_columns && row * t->n_columns + c < t->n_cells; c++) {
		const char *name = row == 0 || c == 0 ? "th" : "td";
		const char *scope = row == 0 ? " scope=\"col\"" : c == 0 ? " scope=\"row\"" : "";
		fprintf(p->out, "<%s%s%s>", name, scope, t->is_left[c] ? " class=\"l\"" : "");
		page_escape(p->out, t->cells[row * t->n_columns + c]);
		fprintf(p->out, "</%s>", name);
	}
	fprintf(p->out, "</tr>\n");
}

void page_table(page *p, table *t, const char *caption) {
	if (t->has_failed) {
		page_paragraph(p, "(no memory for this table)");
		table_release(t);
		return;
	}
	/* A caption of the table itself would be cut where the table is scrolled. */
	fprintf(p->out, "<figure>\n");
	if (caption)
		put_element(p, "figcaption", "", caption);
	fprintf(p->out, "<div class=\"scroll\"><table>\n<thead>\n");
	put_row(p, t, 0);
	fprintf(p->out, "</thead>\n<tbody>\n");
	for (size_t row = 1; row * t->n_columns < t->n_cells; row++)
		put_row(p, t, row);
	fprintf(p->out, "</tbody>\n</table></div>\n</figure>\n");
	table_release(t);
}

void page_plots_begin(page *p, int is_wide) {
	fprintf(p->out, "<div class=\"%s\">\n", is_wide ? "scroll wide" : "plots");
}

void page_plots_end(page *p) {
	fprintf(p->out, "</div>\n");
}

static void put_base64(FILE *out, const unsigned char *data, size_t size) {
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < size; i += 3) {
		const size_t n = size - i < 3 ? size - i : 3;
		unsigned bits = (unsigned)data[i] << 16;
		bits |= n > 1 ? (unsigned)data[i + 1] << 8 : 0;
		bits |= n > 2 ? data[i + 2] : 0;
		fputc(digits[bits >> 18], out);
		fputc(digits[bits >> 12 & 63], out);
		fputc(n > 1 ? digits[bits >> 6 & 63] : '=', out);
		fputc(n > 2 ? digits[bits & 63] : '=', out);
	}
}

void page_png(page *p, const unsigned char *png, size_t size, const char *caption, page_draw_fn draw,
			  const void *user) {
	fprintf(p->out, "<figure><div class=\"picture\"><img alt=\"");
	page_escape(p->out, caption);
	fprintf(p->out, "\" src=\"data:image/png;base64,");
	put_base64(p->out, png, size);
	fprintf(p->out, "\">");
	if (draw)
		draw(p->out, user);
	fprintf(p->out, "</div>");
	put_element(p, "figcaption", "", caption);
	fprintf(p->out, "</figure>\n");
}

int page_write(page *p, const char *path) {
	fprintf(p->out, "%s</main>\n</body>\n</html>\n", p->is_in_section ? "</section>\n" : "");
	int code = fclose(p->out) == 0 ? PROGRAM_OK : fail_memory();
	p->out = NULL;
	if (code == PROGRAM_OK)
		code = files_write(path, p->text, p->size);
	page_release(p);
	return code;
}

void page_release(page *p) {
	if (p->out)
		fclose(p->out);
	free(p->text);
	*p = (page){0};
}
