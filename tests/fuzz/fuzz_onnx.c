/*
 * ONNX files. What the reader takes for a model must be one that everything else takes too: it is written, and, where
 * it is quantized, compiled.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "onnx/onnx_internal.h"

/* Big networks only slow the search down. */
#define MAX_MACS 10000000

static void use(const qmd_model *model) {
	qmd_engine *engine = NULL;
	if (qmd_model_n_macs(model) > MAX_MACS)
		return;
	if (qmd_model_is_quantized(model) && qmd_engine_compile(model, NULL, &engine) == QMD_OK)
		qmd_engine_free(engine);
	/* Only what the format cannot hold may be refused on the way out. */
	const qmd_status status = qmd_onnx_export(model, NULL, "/dev/null");
	if (status != QMD_OK && status != QMD_ERROR_IO)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	qmd_model *model = NULL;
	const qmd_onnx_import_options options = {.struct_size = sizeof options, .clip_weights = (int32_t)(size & 1)};
	fuzz_limit_memory(size);
	const qmd_status status = qmdi_onnx_import_bytes(data, size, "fuzz", &options, &model);
	if (status != QMD_OK && model)
		abort();
	fuzz_lift_memory_limit();
	if (status == QMD_OK)
		use(model);
	qmd_model_free(model);
	return 0;
}
