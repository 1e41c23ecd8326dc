/* Engine files, and contexts of what loads. */
#include "fuzz.h"

static void load(const char *path) {
	qmd_engine *engine;
	qmd_context *context;
	if (qmd_engine_load(path, &engine) != QMD_OK)
		return;
	fuzz_lift_memory_limit();
	if (qmd_context_create(engine, NULL, &context) == QMD_OK)
		qmd_context_free(context);
	qmd_engine_free(engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	return fuzz_container(data, size, load);
}
