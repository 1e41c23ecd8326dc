#include "commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "kind.h"
#include "report.h"

typedef struct import_job {
	const program_arguments *arguments;
	qmd_model *model, *bound_model; /* --model, one of the two */
	qmd_engine *bound_engine, *engine;
} import_job;

/* What --model names: its class names, in malloc'd memory, of as many classes as the imported model has. */
static int get_class_names(const import_job *job, const char ***names) {
	const size_t n = qmd_model_n_classes(job->model);
	const size_t n_theirs =
		job->bound_engine ? qmd_engine_n_classes(job->bound_engine) : qmd_model_n_classes(job->bound_model);
	if (n != n_theirs)
		return fail("%s has %zu classes, %s has %zu", job->arguments->operands[0], n, job->arguments->model, n_theirs);
	*names = calloc(n + 1, sizeof **names);
	if (!*names)
		return fail_memory();
	for (size_t i = 0; i < n; i++) {
		const char *name =
			job->bound_engine ? qmd_engine_class_name(job->bound_engine, i) : qmd_model_class_name(job->bound_model, i);
		if (!name || !*name)
			return fail("%s: class %zu has no name", job->arguments->model, i);
		(*names)[i] = name;
	}
	return PROGRAM_OK;
}

static int bind_as(const import_job *job) {
	const qmd_pixels *pixels =
		job->bound_engine ? qmd_engine_pixels(job->bound_engine) : qmd_model_pixels(job->bound_model);
	if (!pixels)
		return fail("%s: has no pixels", job->arguments->model);
	const char **names = NULL;
	int code = get_class_names(job, &names);
	if (code == PROGRAM_OK) {
		/* Binding holds them once more, which is no change that others see. */
		const qmd_status status = qmd_model_bind(job->model, (qmd_pixels *)pixels, names);
		code = status == QMD_OK ? PROGRAM_OK : fail_status(status);
	}
	free(names);
	return code;
}

static int bind(import_job *job) {
	const char *path = job->arguments->model;
	file_kind kind;
	if (!path)
		return PROGRAM_OK;
	TRY(kind_of_file(path, &kind));
	if (kind == KIND_ENGINE)
		TRY_QMD(qmd_engine_load(path, &job->bound_engine));
	else
		TRY_QMD(qmd_model_load(path, &job->bound_model));
	return bind_as(job);
}

static int report_result(const import_job *job) {
	const program_arguments *a = job->arguments;
	const int quantized = qmd_model_is_quantized(job->model);
	if (!a->json) {
		printf("%s: %zu layers in %s, %zu parameters, %.1f MMAC an image, %s\n", a->output,
			   qmd_model_n_layers(job->model) - 1, quantized ? "INT8" : "FP32", qmd_model_n_parameters(job->model),
			   1e-6 * (double)qmd_model_n_macs(job->model),
			   a->model ? "tied to the pixels of --model" : "not tied to pixels (--model)");
		return PROGRAM_OK;
	}
	json_t *json = json_pack("{s:s, s:s?, s:b, s:I, s:I, s:I, s:b}", "model", a->output, "engine", a->engine_output,
							 "quantized", quantized, "layers", (json_int_t)qmd_model_n_layers(job->model) - 1,
							 "parameters", (json_int_t)qmd_model_n_parameters(job->model), "macs",
							 (json_int_t)qmd_model_n_macs(job->model), "has_pixels", a->model != NULL);
	const int code = report_print(json);
	json_decref(json);
	return code;
}

static int import(import_job *job) {
	const program_arguments *a = job->arguments;
	qmd_onnx_import_options options;
	qmd_onnx_import_options_init(&options);
	options.clip_weights = a->clip_weights;
	if (!a->output)
		return fail_usage("where to write is missing: give -o MODEL.qmd");
	TRY_QMD(qmd_onnx_import(a->operands[0], &options, &job->model));
	TRY(bind(job));
	if (a->engine_output && !qmd_model_is_quantized(job->model))
		return fail("%s: is in FP32; an engine is made of it by 'qmd quantize'", a->operands[0]);
	TRY_QMD(qmd_model_save(job->model, a->output));
	if (a->engine_output) {
		TRY_QMD(qmd_engine_compile(job->model, NULL, &job->engine));
		TRY_QMD(qmd_engine_save(job->engine, a->engine_output));
	}
	return report_result(job);
}

static int run(const program_arguments *arguments) {
	import_job job = {.arguments = arguments};
	const int code = import(&job);
	qmd_engine_free(job.engine);
	qmd_engine_free(job.bound_engine);
	qmd_model_free(job.bound_model);
	qmd_model_free(job.model);
	return code;
}

static const option_code options[] = {OPTION_OUTPUT, OPTION_SAVE_ENGINE, OPTION_MODEL, OPTION_CLIP_WEIGHTS,
									  OPTION_JSON,   OPTION_HELP,        OPTION_END};

const program_command command_import = {
	.name = "import",
	.summary = "Read an ONNX file of another framework as a model",
	.operands = "FILE.onnx -o MODEL.qmd",
	.details =
		"\nWith --model the network is tied to the pixels that it was trained on (qmd pixels --model) and to the "
		"names of the\nclasses, in that file's order: qmd quantize then makes an engine of it.\n",
	.min_operands = 1,
	.max_operands = 1,
	.options = options,
	.run = run};
