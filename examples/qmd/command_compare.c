#include "commands.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine_html.h"
#include "profile.h"
#include "progress.h"
#include "report.h"
#include "table.h"

/* Steps [begin, end) of one engine. */
typedef struct run_of_steps {
	size_t begin, end;
} run_of_steps;

/* ---- Aligning ---- */

/* The first step that computes a layer, or n_steps. A step's name lists its layers, joined by '+'. */
static size_t step_of_layer(const engine_profile *profile, const char *layer, size_t length) {
	for (size_t i = 0; i < profile->n_steps; i++) {
		const char *name = profile->steps[i].layer.name;
		for (;;) {
			const size_t n = strcspn(name, "+");
			if (n == length && strncmp(name, layer, n) == 0)
				return i;
			if (!name[n])
				break;
			name += n + 1;
		}
	}
	return profile->n_steps;
}

/* Widen `other` until it holds every layer of `own` that its engine has; 1 if it grew. */
static int widen(const engine_profile *profile, run_of_steps own, const engine_profile *other_profile,
				 run_of_steps *other) {
	int has_grown = 0;
	for (size_t i = own.begin; i < own.end; i++) {
		const char *name = profile->steps[i].layer.name;
		for (;;) {
			const size_t n = strcspn(name, "+");
			const size_t step = step_of_layer(other_profile, name, n);
			if (step < other_profile->n_steps && step >= other->end) {
				other->end = step + 1;
				has_grown = 1;
			}
			if (!name[n])
				break;
			name += n + 1;
		}
	}
	return has_grown;
}

/* The next steps of both engines that compute the same layers; those of one engine where the other has none of them. */
static void next_group(const engine_profile *profiles, run_of_steps groups[2]) {
	groups[0].begin = groups[0].end;
	groups[1].begin = groups[1].end;
	const int first = groups[0].end < profiles[0].n_steps ? 0 : 1;
	groups[first].end++;
	while (widen(&profiles[0], groups[0], &profiles[1], &groups[1]) ||
		   widen(&profiles[1], groups[1], &profiles[0], &groups[0]))
		;
}

/* ---- Saying ---- */

static double seconds_of(const engine_profile *profile, run_of_steps steps) {
	double sum = steps.begin < steps.end ? 0 : NAN;
	for (size_t i = steps.begin; i < steps.end; i++)
		sum += profile->steps[i].seconds;
	return sum;
}

/* Layers, or kernels, of all steps in a run. */
static const char *join(const engine_profile *profile, run_of_steps steps, int kernels, char *text, size_t size) {
	size_t length = 0;
	text[0] = 0;
	for (size_t i = steps.begin; i < steps.end && length < size; i++) {
		const qmd_engine_layer *layer = &profile->steps[i].layer;
		const int n = snprintf(text + length, size - length, "%s%s", i > steps.begin ? ", " : "",
							   kernels ? layer->kernel : layer->name);
		length += n > 0 ? (size_t)n : 0;
	}
	return text;
}

static void put_group(table *t, const engine_profile *profiles, const run_of_steps groups[2]) {
	char text[512];
	const int named = groups[0].begin < groups[0].end ? 0 : 1;
	const double a = seconds_of(&profiles[0], groups[0]), b = seconds_of(&profiles[1], groups[1]);
	table_cell(t, "%s", join(&profiles[named], groups[named], 0, text, sizeof text));
	table_number(t, 1e3 * a, 4);
	table_number(t, 1e3 * b, 4);
	table_number(t, a / b, 2);
	table_cell(t, "%s", join(&profiles[0], groups[0], 1, text, sizeof text));
	table_cell(t, "%s", join(&profiles[1], groups[1], 1, text, sizeof text));
}

static void put_sum(table *t, const char *name, double a, double b) {
	table_cell(t, "%s", name);
	table_number(t, 1e3 * a, 4);
	table_number(t, 1e3 * b, 4);
	table_number(t, a / b, 2);
	table_cell(t, "%s", "");
	table_cell(t, "%s", "");
}

static void fill_table(const engine_profile *profiles, table *t) {
	static const char *const headings[] = {"<layers", "A ms", "B ms", "A / B", "<kernels of A", "<kernels of B", NULL};
	run_of_steps groups[2] = {{0, 0}, {0, 0}};
	table_start(t, headings);
	put_sum(t, "(pixels)", profiles[0].pixels_seconds, profiles[1].pixels_seconds);
	while (groups[0].end < profiles[0].n_steps || groups[1].end < profiles[1].n_steps) {
		next_group(profiles, groups);
		put_group(t, profiles, groups);
	}
	put_sum(t, "(network)", profiles[0].network_seconds, profiles[1].network_seconds);
}

static void print_comparison(const engine_profile *profiles) {
	table t;
	fill_table(profiles, &t);
	printf("A: %s\nB: %s\n%u image%s at a time, %u thread%s\n\n", profiles[0].path, profiles[1].path, profiles[0].batch,
		   profiles[0].batch == 1 ? "" : "s", profiles[0].threads, profiles[0].threads == 1 ? "" : "s");
	table_print(&t, stdout);
}

static int write_page(const engine_profile *profiles, const char *path) {
	char title[512], subtitle[128], names[2][300];
	snprintf(title, sizeof title, "%s and %s", profiles[0].path, profiles[1].path);
	snprintf(subtitle, sizeof subtitle, "A and B took turns. Images at a time: %u. Threads: %u. libqmd %s.",
			 profiles[0].batch, profiles[0].threads, qmd_version());
	run_of_steps groups[2] = {{0, 0}, {0, 0}};
	step_times times;
	TRY(step_times_create(&times, 2, profiles[0].n_steps + profiles[1].n_steps));
	for (size_t e = 0; e < 2; e++) {
		snprintf(names[e], sizeof names[e], "%c: %s", "AB"[e], profiles[e].path);
		times.engines[e] = names[e];
	}
	while (groups[0].end < profiles[0].n_steps || groups[1].end < profiles[1].n_steps) {
		next_group(profiles, groups);
		times.ms[0][times.n] = 1e3 * seconds_of(&profiles[0], groups[0]);
		times.ms[1][times.n++] = 1e3 * seconds_of(&profiles[1], groups[1]);
	}
	table t;
	fill_table(profiles, &t);
	const int code = engine_html_write(path, title, subtitle, profiles, 2, &times, &t,
									   "Median ms of a batch, aligned by the layers of the networks");
	step_times_release(&times);
	return code;
}

static json_t *group_json(const engine_profile *profiles, const run_of_steps groups[2]) {
	const double a = seconds_of(&profiles[0], groups[0]), b = seconds_of(&profiles[1], groups[1]);
	return json_pack("{s:[I,I], s:[I,I], s:o, s:o, s:o}", "a_steps", (json_int_t)groups[0].begin,
					 (json_int_t)groups[0].end, "b_steps", (json_int_t)groups[1].begin, (json_int_t)groups[1].end,
					 "a_ms", report_number(1e3 * a), "b_ms", report_number(1e3 * b), "ratio", report_number(a / b));
}

static int print_json(const engine_profile *profiles) {
	run_of_steps groups[2] = {{0, 0}, {0, 0}};
	json_t *rows = json_array();
	int has_failed = 0;
	while (groups[0].end < profiles[0].n_steps || groups[1].end < profiles[1].n_steps) {
		next_group(profiles, groups);
		has_failed |= json_array_append_new(rows, group_json(profiles, groups)) != 0;
	}
	json_t *json =
		json_pack("{s:o, s:o, s:o, s:o}", "a", profile_json(&profiles[0], 0), "b", profile_json(&profiles[1], 0),
				  "groups", rows, "ratio", report_number(profiles[0].network_seconds / profiles[1].network_seconds));
	const int code = json && !has_failed ? report_print(json) : report_fail();
	json_decref(json);
	return code;
}

static int run(const program_arguments *arguments) {
	engine_profile profiles[2] = {{0}, {0}};
	progress_catch_interrupt();
	int code = profile_open(&profiles[0], arguments, arguments->operands[0]);
	if (code == PROGRAM_OK)
		code = profile_open(&profiles[1], arguments, arguments->operands[1]);
	if (code == PROGRAM_OK)
		code = profile_measure(profiles, 2, arguments->repeats);
	if (code == PROGRAM_OK && arguments->html_output)
		code = write_page(profiles, arguments->html_output);
	if (code == PROGRAM_OK && arguments->json)
		code = print_json(profiles);
	else if (code == PROGRAM_OK)
		print_comparison(profiles);
	profile_release(&profiles[0]);
	profile_release(&profiles[1]);
	return code;
}

static const option_code options[] = {OPTION_BATCH, OPTION_REPEATS, OPTION_THREADS, OPTION_HTML,
									  OPTION_JSON,  OPTION_HELP,    OPTION_END};

const program_command command_compare = {
	.name = "compare",
	.summary = "Time two engines side by side, aligned by the layers of their networks",
	.operands = "A.qme B.qme",
	.details =
		"\nA line is one or several steps that compute the same layers in both engines, however each fuses them; "
		"what only one\nof them has stands alone. The engines take turns, so that both see the same machine. One "
		"thread, unless\n--threads says otherwise.\n",
	.min_operands = 2,
	.max_operands = 2,
	.options = options,
	.run = run};
