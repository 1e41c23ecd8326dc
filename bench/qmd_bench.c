/*
 * qmd_bench: how fast libqmd is on this machine, and how close to what its processor can do at most.
 *
 *     qmd_bench [--only kernels|networks] [--kernel PART] [--seconds S] [--threads N] [--json FILE]
 *
 * kernels: every row of the kernel table over the layers of the icnnmd network. networks: the whole network over sizes,
 * batches and threads (1 to N, default 2), beside oneDNN in FP32 and INT8 in the same process, and what a time-step
 * costs from raw coordinates. Each row takes about S seconds (default 1). Times are medians, of one thread in processor
 * time, of more by wall clock; the spread is half the distance of the quartiles.
 */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- What the parts share ---- */

static void die(const char *what) {
	fprintf(stderr, "qmd_bench: %s\n", what);
	exit(1);
}

void bench_check(qmd_status status) {
	if (status != QMD_OK)
		die(qmd_last_error());
}

void *bench_memory(void *memory) {
	if (!memory)
		die("out of memory");
	return memory;
}

unsigned char *bench_noise(size_t n) {
	unsigned char *noise = bench_memory(malloc(n));
	uint32_t state = 1;
	for (size_t i = 0; i < n; i++) {
		state = state * 1664525u + 1013904223u;
		noise[i] = (unsigned char)(state >> 24);
	}
	return noise;
}

void bench_row(bench *b, const char *format, ...) {
	if (!b->json)
		return;
	fputs(b->n_rows++ ? ",\n  {" : "\n  {", b->json);
	va_list values;
	va_start(values, format);
	vfprintf(b->json, format, values);
	va_end(values);
	fputc('}', b->json);
}

/* ---- The machine ---- */

/* Name of the processor, without what JSON would have to escape. */
static const char *cpu_name(char *name, size_t size) {
	char line[256];
	FILE *file = fopen("/proc/cpuinfo", "r");
	snprintf(name, size, "unknown");
	while (file && fgets(line, sizeof line, file)) {
		const char *colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) != 0 || !colon)
			continue;
		snprintf(name, size, "%s", colon + 2);
		name[strcspn(name, "\n\"\\")] = 0;
		break;
	}
	if (file)
		fclose(file);
	return name;
}

static void begin(bench *b, const char *json_path) {
	char name[200];
	double load = 0;
	cpu_name(name, sizeof name);
	if (getloadavg(&load, 1) != 1)
		load = -1;
	b->peak = qmd_peak_measure_best(&b->peak_kind);
	printf("libqmd %s on %s\npeak of one core: %.1f GMAC/s, %s; load before the start: %.2f\n", qmd_version(), name,
		   b->peak * 1e-9, b->peak > 0 ? qmd_peak_name(b->peak_kind) : "no instructions known", load);
	if (!json_path)
		return;
	b->json = fopen(json_path, "w");
	if (!b->json)
		die(strerror(errno));
	fprintf(b->json, "{\"version\": \"%s\", \"cpu\": \"%s\", \"peak_gmacs\": %.6g, \"load\": %.2f, \"rows\": [",
			qmd_version(), name, b->peak * 1e-9, load);
}

static void end(bench *b) {
	if (!b->json)
		return;
	fputs("\n]}\n", b->json);
	if (fclose(b->json) != 0)
		die("the JSON file cannot be written");
}

int main(int argc, char **argv) {
	static const struct option options[] = {
		{"only", required_argument, NULL, 'o'},    {"kernel", required_argument, NULL, 'k'},
		{"seconds", required_argument, NULL, 's'}, {"threads", required_argument, NULL, 't'},
		{"json", required_argument, NULL, 'j'},    {NULL, 0, NULL, 0}};
	bench b = {.seconds = 1, .n_threads = 2};
	const char *only = "", *json_path = NULL;
	for (int code; (code = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (code == 'o')
			only = optarg;
		else if (code == 'k')
			b.kernel = optarg;
		else if (code == 's')
			b.seconds = strtod(optarg, NULL);
		else if (code == 't')
			b.n_threads = (uint32_t)strtoul(optarg, NULL, 10);
		else if (code == 'j')
			json_path = optarg;
		else
			return 2;
	}
	if (optind < argc || !(b.seconds > 0) || b.n_threads == 0 ||
		(*only && strcmp(only, "kernels") != 0 && strcmp(only, "networks") != 0))
		die("usage: qmd_bench [--only kernels|networks] [--kernel PART] [--seconds S] [--threads N] [--json FILE]");
	begin(&b, json_path);
	if (strcmp(only, "networks") != 0)
		bench_kernels(&b);
	if (strcmp(only, "kernels") != 0)
		bench_networks(&b);
	end(&b);
	return 0;
}
