#include "commands.h"

#include <stdio.h>

#include "kind.h"
#include "report.h"

static int load(const char *path, qmd_model **model) {
	file_kind kind;
	TRY(kind_of_file(path, &kind));
	if (kind == KIND_ENGINE)
		return fail("%s: is an engine, which is for libqmd alone; give the quantized model (qmd quantize --save-model)",
					path);
	TRY_QMD(qmd_model_load(path, model));
	return PROGRAM_OK;
}

static int report_result(const program_arguments *a, const qmd_model *model) {
	const int quantized = qmd_model_is_quantized(model);
	if (!a->json) {
		printf("%s: %zu layers in %s, for %s, opset %u\n", a->output, qmd_model_n_layers(model) - 1,
			   quantized ? "INT8 (QuantizeLinear and DequantizeLinear)" : "FP32", onnx_target_name(a->onnx_target),
			   a->opset);
		return PROGRAM_OK;
	}
	json_t *json = json_pack("{s:s, s:b, s:I, s:s, s:s, s:I}", "file", a->output, "quantized", quantized, "layers",
							 (json_int_t)qmd_model_n_layers(model) - 1, "target", onnx_target_name(a->onnx_target),
							 "layout", onnx_layout_name(a->onnx_layout), "opset", (json_int_t)a->opset);
	const int code = report_print(json);
	json_decref(json);
	return code;
}

static int export_model(const program_arguments *a, const qmd_model *model) {
	qmd_onnx_export_options options;
	qmd_onnx_export_options_init(&options);
	options.target = a->onnx_target;
	options.layout = a->onnx_layout;
	options.opset = a->opset;
	options.activations_type = a->activations_type;
	TRY_QMD(qmd_onnx_export(model, &options, a->output));
	return report_result(a, model);
}

static int run(const program_arguments *arguments) {
	qmd_model *model = NULL;
	if (!arguments->output)
		return fail_usage("where to write is missing: give -o FILE.onnx");
	TRY(load(arguments->operands[0], &model));
	const int code = export_model(arguments, model);
	qmd_model_free(model);
	return code;
}

static const option_code options[] = {OPTION_OUTPUT,      OPTION_TARGET, OPTION_LAYOUT, OPTION_OPSET,
									  OPTION_ACTIVATIONS, OPTION_JSON,   OPTION_HELP,   OPTION_END};

const program_command command_export = {
	.name = "export",
	.summary = "Write a model as an ONNX file for other runtimes",
	.operands = "MODEL.qmd -o FILE.onnx",
	.details =
		"\nA quantized model (qmd quantize --save-model) is written with its integers: ONNX Runtime then computes "
		"what the engine\ncomputes. A model in FP32 is written as it is.\n",
	.min_operands = 1,
	.max_operands = 1,
	.options = options,
	.run = run};
