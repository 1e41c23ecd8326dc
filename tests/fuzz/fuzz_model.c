/* Model files. */
#include "fuzz.h"

static void load(const char *path) {
	qmd_model *model;
	if (qmd_model_load(path, &model) == QMD_OK)
		qmd_model_free(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	return fuzz_container(data, size, load);
}
