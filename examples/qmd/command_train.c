#include "commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "data.h"
#include "pipeline.h"
#include "report.h"

typedef struct train_job {
	const program_arguments *arguments;
	qmd_dataset *dataset;
	split_plan plan;
	qmd_split *split;
	qmd_pixels *pixels;
	qmd_model *model;
	uint32_t *class_of_state;
} train_job;

static void print_result(const train_job *job, const classifier_quality *quality, size_t n_train, size_t n_test) {
	printf("%zu layers, %zu parameters, trained on %zu frames: accuracy %.3f\n", qmd_model_n_layers(job->model),
		   qmd_model_n_parameters(job->model), n_train, quality->train_accuracy);
	if (n_test > 0)
		printf("%zu held-out frames: accuracy %.3f\n", n_test, quality->test_accuracy);
	printf("Written to %s\n", job->arguments->output);
}

static int report_result(const train_job *job) {
	classifier_quality quality;
	size_t n_train = 0, n_test = 0;
	qmd_split_train(job->split, &n_train);
	qmd_split_test(job->split, &n_test);
	TRY(pipeline_split_quality(job->arguments, job->model, NULL, job->dataset, job->split, job->class_of_state,
							   &quality));
	if (!job->arguments->json) {
		print_result(job, &quality, n_train, n_test);
		return PROGRAM_OK;
	}
	json_t *json = json_pack("{s:s, s:I, s:I, s:o, s:I}", "model", job->arguments->output, "n_train",
							 (json_int_t)n_train, "n_test", (json_int_t)n_test, "fp32", report_quality(&quality),
							 "n_parameters", (json_int_t)qmd_model_n_parameters(job->model));
	const int code = report_print(json);
	json_decref(json);
	return code;
}

static int train(train_job *job) {
	const program_arguments *a = job->arguments;
	if (!a->output)
		return fail_usage("where to write the model is missing: give -o MODEL.qmd");
	TRY(pipeline_check_device(a));
	TRY(data_open(a, 2, &job->dataset));
	TRY(data_plan_split(a, job->dataset, &job->plan));
	TRY(data_split(&job->plan, job->dataset, a->fold, &job->split));
	if (!a->json)
		TRY(data_print(job->dataset));
	progress_catch_interrupt();
	progress_bar bar = {0};
	TRY(pipeline_fit_pixels(a, job->dataset, job->split, &job->pixels));
	TRY(pipeline_train(a, job->dataset, job->split, job->pixels, a->checkpoint, &bar, &job->model));
	TRY_QMD(qmd_model_save(job->model, a->output));
	TRY(pipeline_match_classes(job->dataset, job->model, &job->class_of_state));
	return report_result(job);
}

static int run(const program_arguments *arguments) {
	train_job job = {.arguments = arguments};
	const int code = train(&job);
	qmd_model_free(job.model);
	qmd_pixels_free(job.pixels);
	qmd_split_free(job.split);
	qmd_dataset_free(job.dataset);
	free(job.class_of_state);
	return code;
}

static const option_code options[] = {
	OPTION_STATE,       OPTION_OUTPUT,        OPTION_SELECT,     OPTION_MAP,        OPTION_STRIDE,
	OPTION_PIXELS,      OPTION_SUPERPOSE,     OPTION_RANGE,      OPTION_SIGMA,      OPTION_SPLIT,
	OPTION_FOLDS,       OPTION_FOLD,          OPTION_GAP,        OPTION_EPOCHS,     OPTION_PATIENCE,
	OPTION_TARGET_LOSS, OPTION_LEARNING_RATE, OPTION_BATCH_SIZE, OPTION_CHECKPOINT, OPTION_SEED,
	OPTION_DEVICE,      OPTION_THREADS,       OPTION_JSON,       OPTION_HELP,       OPTION_END};

const program_command command_train = {
	.name = "train",
	.summary = "Train an FP32 network on the frames of two or more states",
	.operands = "--state NAME=PDB,NC[,NC...] --state ... -o MODEL.qmd",
	.details = "\nAll frames train, unless --fold holds some out; their accuracy is then printed too.\n"
			   "--device says what trains and answers.\n",
	.options = options,
	.run = run};
