/* Shards of explanations. */
#include "fuzz.h"

static void load(const char *path) {
	qmd_explanation *shard;
	if (qmd_explanation_load(path, &shard) == QMD_OK)
		qmd_explanation_free(shard);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	return fuzz_container(data, size, load);
}
