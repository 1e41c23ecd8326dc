#include "commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "data.h"
#include "pipeline.h"
#include "report.h"

typedef struct quantize_job {
	const program_arguments *arguments;
	qmd_model *model, *quantized;
	qmd_engine *engine; /* NULL below 8 bits */
	qmd_dataset *dataset;
	split_plan plan;
	qmd_split *split;
	uint32_t *class_of_state;
} quantize_job;

static int make_engine(quantize_job *job) {
	const program_arguments *a = job->arguments;
	if (!a->output)
		return PROGRAM_OK;
	TRY_QMD(qmd_engine_compile(job->quantized, NULL, &job->engine));
	TRY_QMD(qmd_engine_save(job->engine, a->output));
	return PROGRAM_OK;
}

static int report_result(const quantize_job *job) {
	const program_arguments *a = job->arguments;
	classifier_quality before, after;
	TRY(pipeline_split_quality(a, job->model, NULL, job->dataset, job->split, job->class_of_state, &before));
	TRY(pipeline_split_quality(a, job->quantized, job->engine, job->dataset, job->split, job->class_of_state, &after));
	if (!a->json) {
		printf("accuracy      training  held-out\n");
		printf("FP32             %.3f     %.3f\n", before.train_accuracy, before.test_accuracy);
		printf("%-13s    %.3f     %.3f\n", job->engine ? "INT8 engine" : "fake-quant", after.train_accuracy,
			   after.test_accuracy);
		return PROGRAM_OK;
	}
	json_t *json =
		json_pack("{s:s?, s:s?, s:I, s:I, s:o, s:o}", "engine", a->output, "model", a->model_output, "weight_bits",
				  (json_int_t)a->weight_bits, "activation_bits", (json_int_t)a->activation_bits, "fp32",
				  report_quality(&before), job->engine ? "int8" : "fake_quant", report_quality(&after));
	const int code = report_print(json);
	json_decref(json);
	return code;
}

static int quantize(quantize_job *job) {
	const program_arguments *a = job->arguments;
	if (!a->output && !a->model_output)
		return fail_usage("where to write is missing: give -o ENGINE.qme, --save-model MODEL.qmd or both");
	if (a->output && (a->weight_bits != 8 || a->activation_bits != 8))
		return fail_usage("an engine has 8 bits: with fewer give --save-model MODEL.qmd and no -o");
	TRY(pipeline_check_device(a));
	TRY_QMD(qmd_model_load(a->operands[0], &job->model));
	TRY(data_open(a, 1, &job->dataset));
	TRY(pipeline_match_classes(job->dataset, job->model, &job->class_of_state));
	TRY(data_plan_split(a, job->dataset, &job->plan));
	TRY(data_split(&job->plan, job->dataset, a->fold, &job->split));
	progress_catch_interrupt();
	progress_bar bar = {0};
	TRY(pipeline_quantize(a, job->model, job->dataset, job->split, &bar, &job->quantized));
	if (a->model_output)
		TRY_QMD(qmd_model_save(job->quantized, a->model_output));
	TRY(make_engine(job));
	return report_result(job);
}

static int run(const program_arguments *arguments) {
	quantize_job job = {.arguments = arguments};
	const int code = quantize(&job);
	qmd_engine_free(job.engine);
	qmd_model_free(job.quantized);
	qmd_model_free(job.model);
	qmd_split_free(job.split);
	qmd_dataset_free(job.dataset);
	free(job.class_of_state);
	return code;
}

static const option_code options[] = {OPTION_STATE,      OPTION_OUTPUT,      OPTION_SAVE_MODEL,
									  OPTION_SELECT,     OPTION_MAP,         OPTION_STRIDE,
									  OPTION_SPLIT,      OPTION_FOLDS,       OPTION_FOLD,
									  OPTION_GAP,        OPTION_QAT_EPOCHS,  OPTION_QAT_LEARNING_RATE,
									  OPTION_BATCH_SIZE, OPTION_WEIGHT_BITS, OPTION_ACTIVATION_BITS,
									  OPTION_OBSERVER,   OPTION_NO_COLLAPSE, OPTION_SEED,
									  OPTION_DEVICE,     OPTION_THREADS,     OPTION_JSON,
									  OPTION_HELP,       OPTION_END};

const program_command command_quantize = {
	.name = "quantize",
	.summary = "Quantize a trained network, fine-tune it with fake-quant and compile it to an INT8 engine",
	.operands = "MODEL.qmd --state NAME=PDB,NC[,NC...] ... -o ENGINE.qme",
	.details =
		"\nGive the states, the split and the fold that the model was trained with. --device says what calibrates,\n"
		"fine-tunes and answers in floats; the accuracy of the INT8 engine is the CPU's, whose answers are the same\n"
		"bytes on a GPU.\n",
	.min_operands = 1,
	.max_operands = 1,
	.options = options,
	.run = run};
