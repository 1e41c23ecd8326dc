#include "commands.h"

#include <math.h>
#include <stdio.h>

#include "engine_html.h"
#include "peak.h"
#include "predictors.h"
#include "profile.h"
#include "progress.h"
#include "report.h"
#include "table.h"

static void put_row(table *t, const char *number, const char *layers, const char *kernel, double seconds,
					double total) {
	table_cell(t, "%s", number);
	table_cell(t, "%s", layers);
	table_cell(t, "%s", kernel);
	table_number(t, 1e3 * seconds, 4);
	table_number(t, 1e2 * seconds / total, 1);
}

static void put_work(table *t, double seconds, double n_macs, double n_bytes, double peak) {
	const double rate = n_macs > 0 && seconds > 0 ? n_macs / seconds : NAN;
	table_number(t, n_macs * 1e-6, 3);
	table_number(t, rate * 1e-9, 1);
	table_number(t, peak > 0 ? 1e2 * rate / peak : NAN, 1);
	table_number(t, n_bytes * 1e-3, 1);
	table_number(t, seconds > 0 ? n_bytes / seconds * 1e-9 : NAN, 1);
}

static void put_step(table *t, size_t index, const step_profile *step, double total, double peak) {
	char number[32], shape[64];
	snprintf(number, sizeof number, "%zu", index + 1);
	put_row(t, number, step->layer.name, step->layer.kernel, step->seconds, total);
	table_cell(t, "%s", profile_shape_text(step->layer.output, shape, sizeof shape));
	put_work(t, step->seconds, step->n_macs, step->n_bytes, peak);
}

/* What a frame costs: pixels and network. */
static void fill_table(const engine_profile *profile, double peak, table *t) {
	static const char *const headings[] = {"step", "<layers", "<kernel",   "ms", "%",    "output",
										   "MMAC", "GMAC/s",  "% of peak", "kB", "GB/s", NULL};
	const double pixels = profile->pixels_seconds;
	const double total = profile->network_seconds + (isnan(pixels) ? 0 : pixels);
	double n_macs = 0, n_bytes = 0;
	table_start(t, headings);
	if (!isnan(pixels)) {
		put_row(t, "", "(pixels)", "", pixels, total);
		table_cell(t, "%zux%zux3", qmd_pixels_side(qmd_engine_pixels(profile->engine)),
				   qmd_pixels_side(qmd_engine_pixels(profile->engine)));
		put_work(t, NAN, NAN, NAN, NAN);
	}
	for (size_t i = 0; i < profile->n_steps; i++) {
		put_step(t, i, &profile->steps[i], total, peak * profile->threads);
		n_macs += profile->steps[i].n_macs;
		n_bytes += profile->steps[i].n_bytes;
	}
	put_row(t, "", "(network)", "", profile->network_seconds, total);
	table_cell(t, "%s", "");
	put_work(t, profile->network_seconds, n_macs, n_bytes, peak * profile->threads);
}

static void print_reasons(const engine_profile *profile) {
	static const char *const headings[] = {"step", "<kernel", "<why this one", NULL};
	table t;
	table_start(&t, headings);
	for (size_t i = 0; i < profile->n_steps; i++) {
		table_cell(&t, "%zu", i + 1);
		table_cell(&t, "%s", profile->steps[i].layer.kernel);
		table_cell(&t, "%s", profile->steps[i].layer.why);
	}
	printf("\n");
	table_print(&t, stdout);
}

static void print_profile(const engine_profile *profile, qmd_peak_kind kind, double peak) {
	table t;
	fill_table(profile, peak, &t);
	printf("%s: %u image%s at a time, ", profile->path, profile->batch, profile->batch == 1 ? "" : "s");
	if (profile_is_on_gpu(profile))
		printf("%s, %s\n", profile->device.device, profile->device.name);
	else
		printf("%u thread%s\n", profile->threads, profile->threads == 1 ? "" : "s");
	if (peak > 0)
		printf("peak of one core: %.1f GMAC/s, %s\n", peak * 1e-9, qmd_peak_name(kind));
	printf("\n");
	table_print(&t, stdout);
	if (!profile_is_on_gpu(profile))
		print_reasons(profile);
}

static int write_page(const engine_profile *profile, qmd_peak_kind kind, double peak, const char *path) {
	char subtitle[256];
	snprintf(subtitle, sizeof subtitle,
			 "Images at a time: %u. Threads: %u. Peak of one core: %.1f GMAC/s, %s. libqmd %s.", profile->batch,
			 profile->threads, peak * 1e-9, peak > 0 ? qmd_peak_name(kind) : "not known", qmd_version());
	step_times times;
	TRY(step_times_create(&times, 1, profile->n_steps));
	times.engines[0] = profile->path;
	times.n = profile->n_steps;
	for (size_t i = 0; i < profile->n_steps; i++)
		times.ms[0][i] = 1e3 * profile->steps[i].seconds;
	table t;
	fill_table(profile, peak, &t);
	const int code = engine_html_write(path, profile->path, subtitle, profile, 1, &times, &t,
									   "Median ms of a batch; bytes are those of weights, inputs and outputs");
	step_times_release(&times);
	return code;
}

static int print_json(const engine_profile *profile, qmd_peak_kind kind, double peak) {
	json_t *json = profile_json(profile, peak);
	if (json)
		json_object_set_new(json, "peak",
							json_pack("{s:s, s:o}", "instructions", peak > 0 ? qmd_peak_name(kind) : "none",
									  "gmacs_per_second", report_number(peak > 0 ? 1e-9 * peak : NAN)));
	const int code = json ? report_print(json) : report_fail();
	json_decref(json);
	return code;
}

static int run_engine(const program_arguments *arguments) {
	engine_profile profile = {0};
	qmd_peak_kind kind = QMD_PEAK_AVX2;
	progress_catch_interrupt();
	int code = profile_open(&profile, arguments, arguments->operands[0]);
	const double peak = code == PROGRAM_OK && !profile_is_on_gpu(&profile) ? qmd_peak_measure_best(&kind) : 0;
	if (code == PROGRAM_OK)
		code = profile_measure(&profile, 1, arguments->repeats);
	if (code == PROGRAM_OK && arguments->html_output)
		code = write_page(&profile, kind, peak, arguments->html_output);
	if (code == PROGRAM_OK && arguments->json)
		code = print_json(&profile, kind, peak);
	else if (code == PROGRAM_OK)
		print_profile(&profile, kind, peak);
	profile_release(&profile);
	return code;
}

static int run(const program_arguments *arguments) {
	if (!arguments->engine)
		return run_engine(arguments);
	if (arguments->html_output)
		return fail("--html and --engine do not go together: the page is of an engine's plan");
	return timed_model_profile(arguments);
}

static const option_code options[] = {OPTION_BATCH, OPTION_REPEATS, OPTION_DEVICE, OPTION_ENGINE, OPTION_THREADS,
									  OPTION_HTML,  OPTION_JSON,    OPTION_HELP,   OPTION_END};

const program_command command_profile = {
	.name = "profile",
	.summary = "Time an engine step by step on this machine",
	.operands = "ENGINE.qme [--device cuda] | MODEL.qmd --engine cudnn-fp16",
	.details =
		"\nOf each step the median time, its share, multiplications, bytes of weights, inputs and outputs, and how "
		"close it comes to\nthe peak: what the best multiply-add instructions of this machine do in registers "
		"alone. One thread, unless\n--threads says otherwise. Pixels are those of one frame after another, on "
		"one thread. On a GPU the steps are timed by its\nclock, kernel by kernel, without pixels and peak; 'qmd "
		"bench' times what they cost together.\n\nWith --engine it is a model, as cuDNN and cuBLAS compute it: "
		"which of them does what to each layer, what they refused,\nand how long it takes.\n",
	.min_operands = 1,
	.max_operands = 1,
	.options = options,
	.run = run};
