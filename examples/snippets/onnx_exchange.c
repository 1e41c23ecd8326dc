/*
 * A model as an ONNX file: out to other runtimes, and in from other frameworks.
 *
 *     $ onnx_exchange examples/data
 *     5858 parameters went out, 5858 came back
 */
#include "snippets.h"

#include <stdio.h>

/* [export] */
static void write_onnx(const qmd_model *model) {
	qmd_onnx_export_options options;
	qmd_onnx_export_options_init(&options);
	options.layout = QMD_ONNX_NHWC; /* take images as libqmd makes them */
	check(qmd_onnx_export(model, &options, "states.onnx"));
}
/* [export] */

/* [import] */
static qmd_model *read_onnx(void) {
	qmd_onnx_import_options options;
	qmd_onnx_import_options_init(&options);
	options.clip_weights = 1; /* a quantized weight of -128 becomes -127 */
	qmd_model *model;
	check(qmd_onnx_import("states.onnx", &options, &model));
	return model; /* qmd_model_bind() ties it to pixels */
}
/* [import] */

int main(int argc, char **argv) {
	if (argc != 2)
		return 2;
	example e = open_example(argv[1]);
	qmd_model *model = train_briefly(e.dataset, e.split, e.pixels);
	write_onnx(model);
	qmd_model *imported = read_onnx();
	printf("%zu parameters went out, %zu came back\n", qmd_model_n_parameters(model), qmd_model_n_parameters(imported));
	qmd_model_free(imported);
	qmd_model_free(model);
	close_example(&e);
	return 0;
}
