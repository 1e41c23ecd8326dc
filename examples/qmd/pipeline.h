/* The steps of the main job as the command line sets them; `qmd study` and the commands of single steps share them. */
#ifndef QMD_PIPELINE_H
#define QMD_PIPELINE_H

#include "arguments.h"
#include "baselines.h"
#include "progress.h"

/* Accuracies and the area under the ROC curve; NaN where there are no frames. */
typedef struct classifier_quality {
	double train_accuracy, test_accuracy, test_auc;
} classifier_quality;

/* What is wrong with --device where something is trained, before the data are read. */
int pipeline_check_device(const program_arguments *arguments);

int pipeline_fit_pixels(const program_arguments *arguments, qmd_dataset *dataset, const qmd_split *split,
						qmd_pixels **pixels);

/* A new "icnnmd" network for the images and the states. */
int pipeline_create_model(const program_arguments *arguments, const qmd_dataset *dataset, const qmd_pixels *pixels,
						  qmd_model **model);

/* The same, trained; `checkpoint` may be NULL. */
int pipeline_train(const program_arguments *arguments, qmd_dataset *dataset, const qmd_split *split, qmd_pixels *pixels,
				   const char *checkpoint, progress_bar *bar, qmd_model **model);

int pipeline_quantize(const program_arguments *arguments, const qmd_model *model, qmd_dataset *dataset,
					  const qmd_split *split, progress_bar *bar, qmd_model **quantized);

/* Scores [n][n_classes] (logits) of images by FP32 inference, or of a quantized model by fake-quant; `engine` as in
 * qmd_predictor_options. */
int pipeline_predict(const program_arguments *arguments, const qmd_model *model, const char *engine,
					 const pixel_set *set, double *scores);

/* Scores [n][n_classes] (logits) of frames from raw coordinates by an engine. */
int pipeline_run_engine(const qmd_engine *engine, uint32_t n_threads, qmd_dataset *dataset, const uint32_t *frames,
						size_t n, double *scores);

/* The quality of a classifier whose scores on the training and the test frames are these. */
int pipeline_quality(const double *train_scores, const uint32_t *train_labels, size_t n_train,
					 const double *test_scores, const uint32_t *test_labels, size_t n_test, size_t n_classes,
					 classifier_quality *result);

/* The quality on the frames of a split of a model by FP32 inference (a quantized one by fake-quant) or, where it is not
 * NULL, of the engine made of it from raw coordinates. */
int pipeline_split_quality(const program_arguments *arguments, const qmd_model *model, const qmd_engine *engine,
						   qmd_dataset *dataset, const qmd_split *split, const uint32_t *class_of_state,
						   classifier_quality *result);

/* Class of each state, by name, among the classes of a model; malloc'd. */
int pipeline_match_classes(const qmd_dataset *dataset, const qmd_model *model, uint32_t **class_of_state);

#endif
