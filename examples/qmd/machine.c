#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#ifdef __clang__
#define COMPILER __VERSION__ /* begins with its name */
#else
#define COMPILER "GCC " __VERSION__
#endif

/* Of Linux's list of processors the first; "unknown" elsewhere. */
static void read_processor(char *name, size_t size) {
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[256];
	snprintf(name, size, "unknown");
	while (file && fgets(line, sizeof line, file)) {
		const char *colon = strchr(line, ':');
		if (strncmp(line, "model name", strlen("model name")) != 0 || !colon)
			continue;
		snprintf(name, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
		break;
	}
	if (file)
		fclose(file);
}

static int is_listed(const json_t *list, const char *text) {
	size_t i;
	json_t *item;
	json_array_foreach((json_t *)list, i, item) if (strcmp(json_string_value(item), text) == 0) return 1;
	return 0;
}

/* Each once, in the order of the plan. */
static json_t *list_kernels(const qmd_engine *engine) {
	json_t *kernels = json_array();
	for (size_t i = 0; i < qmd_engine_n_layers(engine); i++) {
		qmd_engine_layer layer = {.struct_size = sizeof layer};
		if (qmd_engine_layer_info(engine, i, &layer) == QMD_OK && !is_listed(kernels, layer.kernel))
			json_array_append_new(kernels, json_string(layer.kernel));
	}
	return kernels;
}

json_t *machine_describe(const qmd_engine *engine) {
	struct utsname system;
	char processor[128], system_text[256] = "unknown";
	read_processor(processor, sizeof processor);
	if (uname(&system) == 0)
		snprintf(system_text, sizeof system_text, "%s %s %s", system.sysname, system.release, system.machine);
	return json_pack("{s:s, s:s, s:s, s:s, s:o}", "libqmd", qmd_version(), "compiler", COMPILER, "system", system_text,
					 "processor", processor, "kernels", list_kernels(engine));
}
