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

/* What trained. A GPU is called what a context of the engine says of it; it has no name where none can be made. */
typedef struct training_device {
	char device[32], name[256];
} training_device;

static training_device find_device(const qmd_engine *engine, const char *asked) {
	training_device result = {0};
	snprintf(result.device, sizeof result.device, "%s", asked);
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.max_batch = 1;
	options.device = asked;
	qmd_context *context = NULL;
	qmd_context_device found = {.struct_size = sizeof found};
	if (strncmp(asked, "cuda", 4) == 0 && qmd_context_create(engine, &options, &context) == QMD_OK &&
		qmd_context_device_info(context, &found) == QMD_OK && strncmp(found.device, "cuda", 4) == 0) {
		snprintf(result.device, sizeof result.device, "%s", found.device);
		snprintf(result.name, sizeof result.name, "%s", found.name);
	}
	qmd_context_free(context);
	return result;
}

json_t *machine_describe(const qmd_engine *engine, const char *device) {
	struct utsname system;
	char processor[128], system_text[256] = "unknown";
	read_processor(processor, sizeof processor);
	if (uname(&system) == 0)
		snprintf(system_text, sizeof system_text, "%s %s %s", system.sysname, system.release, system.machine);
	const training_device trained = find_device(engine, device);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?, s:o}", "libqmd", qmd_version(), "compiler", COMPILER, "system",
					 system_text, "processor", processor, "device", trained.device, "device_name",
					 *trained.name ? trained.name : NULL, "kernels", list_kernels(engine));
}
