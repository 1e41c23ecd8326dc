#include "pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "data.h"
#include "metrics.h"

#define FRAMES_AT_A_TIME 32
#define EPOCHS_A_CHECKPOINT 5

/* A predictor opens the device as training does. */
int pipeline_check_device(const program_arguments *arguments) {
	qmd_predictor_options options;
	qmd_predictor_options_init(&options);
	options.batch_size = 1;
	options.n_threads = 1;
	options.device = arguments->device;
	qmd_layer dense;
	qmd_layer_init(&dense, QMD_LAYER_DENSE);
	dense.units = 1;
	qmd_model *smallest = NULL;
	qmd_predictor *predictor = NULL;
	qmd_status status = qmd_model_create((qmd_shape){1, 1, 1}, &smallest);
	if (status == QMD_OK)
		status = qmd_model_add(smallest, &dense, NULL);
	if (status == QMD_OK)
		status = qmd_predictor_create(smallest, &options, &predictor);
	qmd_predictor_free(predictor);
	qmd_model_free(smallest);
	TRY_QMD(status);
	return PROGRAM_OK;
}

int pipeline_fit_pixels(const program_arguments *arguments, qmd_dataset *dataset, const qmd_split *split,
						qmd_pixels **pixels) {
	qmd_pixels_options options;
	qmd_pixels_options_init(&options);
	options.kind = arguments->pixels_kind;
	options.superpose = arguments->superpose;
	options.range = arguments->range;
	options.range_in_sigma = arguments->range_in_sigma;
	TRY_QMD(qmd_pixels_fit(dataset, split, &options, pixels));
	return PROGRAM_OK;
}

int pipeline_create_model(const program_arguments *arguments, const qmd_dataset *dataset, const qmd_pixels *pixels,
						  qmd_model **model) {
	const uint32_t side = (uint32_t)qmd_pixels_side(pixels);
	const qmd_shape input = {side, side, 3};
	const uint32_t n_classes = (uint32_t)qmd_dataset_n_states(dataset);
	TRY_QMD(qmd_model_create_preset("icnnmd", input, n_classes, arguments->seed, model));
	return PROGRAM_OK;
}

int pipeline_train(const program_arguments *arguments, qmd_dataset *dataset, const qmd_split *split, qmd_pixels *pixels,
				   const char *checkpoint, progress_bar *bar, qmd_model **model) {
	TRY(pipeline_create_model(arguments, dataset, pixels, model));
	qmd_train_options options;
	qmd_train_options_init(&options);
	options.learning_rate = arguments->learning_rate;
	options.batch_size = arguments->batch_size;
	options.epochs = arguments->epochs;
	options.patience = arguments->patience;
	options.target_loss = arguments->target_loss;
	options.seed = arguments->seed;
	options.n_threads = arguments->threads;
	options.device = arguments->device;
	options.checkpoint_path = checkpoint;
	options.checkpoint_interval = EPOCHS_A_CHECKPOINT;
	options.progress = progress_report;
	options.user = bar;
	const qmd_status status = qmd_train(*model, dataset, split, pixels, &options);
	progress_clear();
	TRY_QMD(status);
	return PROGRAM_OK;
}

int pipeline_quantize(const program_arguments *arguments, const qmd_model *model, qmd_dataset *dataset,
					  const qmd_split *split, progress_bar *bar, qmd_model **quantized) {
	qmd_quantize_options options;
	qmd_quantize_options_init(&options);
	options.weight_bits = arguments->weight_bits;
	options.activation_bits = arguments->activation_bits;
	options.observer = arguments->observer;
	options.linear_collapse = arguments->linear_collapse;
	options.epochs = arguments->qat_epochs;
	options.learning_rate = arguments->qat_learning_rate;
	options.batch_size = arguments->batch_size;
	options.seed = arguments->seed;
	options.n_threads = arguments->threads;
	options.device = arguments->device;
	options.progress = progress_report;
	options.user = bar;
	const qmd_status status = qmd_quantize(model, dataset, split, &options, quantized);
	progress_clear();
	TRY_QMD(status);
	return PROGRAM_OK;
}

int pipeline_predict(const program_arguments *arguments, const qmd_model *model, const char *engine,
					 const pixel_set *set, double *scores) {
	if (set->n == 0)
		return PROGRAM_OK;
	const size_t n_classes = qmd_model_n_classes(model);
	float *logits = malloc(set->n * n_classes * sizeof *logits);
	if (!logits)
		return fail_memory();
	qmd_predictor_options options;
	qmd_predictor_options_init(&options);
	options.n_threads = arguments->threads;
	options.device = arguments->device;
	options.engine = engine;
	qmd_predictor *predictor = NULL;
	qmd_status status = qmd_predictor_create(model, &options, &predictor);
	if (status == QMD_OK)
		status = qmd_predictor_run_images(predictor, set->images, set->type, set->n, logits, NULL);
	for (size_t i = 0; i < set->n * n_classes && status == QMD_OK; i++)
		scores[i] = logits[i];
	qmd_predictor_free(predictor);
	free(logits);
	TRY_QMD(status);
	return PROGRAM_OK;
}

/* A batch of raw frames of a data set. */
typedef struct raw_batch {
	float *xyz;
	double (*boxes)[9];
	qmd_frame *frames;
	float *logits;
} raw_batch;

static void release_batch(raw_batch *batch) {
	free(batch->xyz);
	free(batch->boxes);
	free(batch->frames);
	free(batch->logits);
}

static int read_batch(raw_batch *batch, qmd_dataset *dataset, const uint32_t *frames, size_t n) {
	const size_t n_atoms = qmd_dataset_n_atoms(dataset);
	for (size_t i = 0; i < n; i++) {
		float *xyz = batch->xyz + i * n_atoms * 3;
		int has_box = 0;
		TRY_QMD(qmd_dataset_read(dataset, frames[i], xyz));
		TRY_QMD(qmd_dataset_box(dataset, frames[i], batch->boxes[i], &has_box));
		qmd_frame_init(&batch->frames[i]);
		batch->frames[i].xyz = xyz;
		batch->frames[i].n_atoms = n_atoms;
		batch->frames[i].box = has_box ? batch->boxes[i] : NULL;
	}
	return PROGRAM_OK;
}

static int run_batches(qmd_context *context, raw_batch *batch, qmd_dataset *dataset, const uint32_t *frames, size_t n,
					   size_t n_classes, double *scores) {
	for (size_t first = 0; first < n; first += FRAMES_AT_A_TIME) {
		const size_t count = n - first < FRAMES_AT_A_TIME ? n - first : FRAMES_AT_A_TIME;
		TRY(read_batch(batch, dataset, frames + first, count));
		const qmd_output output = {.name = "logits", .data = batch->logits};
		TRY_QMD(qmd_context_run_outputs(context, batch->frames, count, &output, 1));
		for (size_t i = 0; i < count * n_classes; i++)
			scores[first * n_classes + i] = batch->logits[i];
	}
	return PROGRAM_OK;
}

int pipeline_run_engine(const qmd_engine *engine, uint32_t n_threads, qmd_dataset *dataset, const uint32_t *frames,
						size_t n, double *scores) {
	const size_t n_classes = qmd_engine_n_classes(engine);
	raw_batch batch = {.xyz = malloc(FRAMES_AT_A_TIME * qmd_dataset_n_atoms(dataset) * 3 * sizeof(float)),
					   .boxes = malloc(FRAMES_AT_A_TIME * sizeof *batch.boxes),
					   .frames = malloc(FRAMES_AT_A_TIME * sizeof *batch.frames),
					   .logits = malloc(FRAMES_AT_A_TIME * n_classes * sizeof(float))};
	qmd_context *context = NULL;
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.max_batch = FRAMES_AT_A_TIME;
	options.n_threads = n_threads;
	int code;
	if (!batch.xyz || !batch.boxes || !batch.frames || !batch.logits) {
		code = fail_memory();
	} else {
		const qmd_status status = qmd_context_create(engine, &options, &context);
		code = status == QMD_OK ? run_batches(context, &batch, dataset, frames, n, n_classes, scores)
								: fail_status(status);
	}
	qmd_context_free(context);
	release_batch(&batch);
	return code;
}

int pipeline_quality(const double *train_scores, const uint32_t *train_labels, size_t n_train,
					 const double *test_scores, const uint32_t *test_labels, size_t n_test, size_t n_classes,
					 classifier_quality *result) {
	result->train_accuracy = metrics_accuracy(train_scores, train_labels, n_train, n_classes);
	result->test_accuracy = metrics_accuracy(test_scores, test_labels, n_test, n_classes);
	result->test_auc = metrics_auc(test_scores, test_labels, n_test, n_classes);
	return result->test_auc < 0 ? fail_memory() : PROGRAM_OK;
}

/* One side of a split: its scores and its labels. */
typedef struct scored_side {
	double *scores;
	uint32_t *labels;
	size_t n;
} scored_side;

static int score_images(const program_arguments *arguments, const qmd_model *model, qmd_dataset *dataset,
						const uint32_t *class_of_state, const uint32_t *frames, scored_side *side) {
	pixel_set images = {0};
	int code = data_load_images(dataset, qmd_model_pixels(model), class_of_state, frames, side->n, &images);
	if (code == PROGRAM_OK)
		code = pipeline_predict(arguments, model, NULL, &images, side->scores);
	data_release_images(&images);
	return code;
}

static int score_side(const program_arguments *arguments, const qmd_model *model, const qmd_engine *engine,
					  qmd_dataset *dataset, const uint32_t *class_of_state, const uint32_t *frames, scored_side *side) {
	side->scores = malloc((side->n + 1) * qmd_model_n_classes(model) * sizeof *side->scores);
	if (!side->scores)
		return fail_memory();
	TRY(data_load_labels(dataset, class_of_state, frames, side->n, &side->labels));
	if (engine)
		return pipeline_run_engine(engine, arguments->threads, dataset, frames, side->n, side->scores);
	return score_images(arguments, model, dataset, class_of_state, frames, side);
}

int pipeline_split_quality(const program_arguments *arguments, const qmd_model *model, const qmd_engine *engine,
						   qmd_dataset *dataset, const qmd_split *split, const uint32_t *class_of_state,
						   classifier_quality *result) {
	scored_side train = {0}, test = {0};
	const uint32_t *train_frames = qmd_split_train(split, &train.n), *test_frames = qmd_split_test(split, &test.n);
	int code = score_side(arguments, model, engine, dataset, class_of_state, train_frames, &train);
	if (code == PROGRAM_OK)
		code = score_side(arguments, model, engine, dataset, class_of_state, test_frames, &test);
	if (code == PROGRAM_OK)
		code = pipeline_quality(train.scores, train.labels, train.n, test.scores, test.labels, test.n,
								qmd_model_n_classes(model), result);
	free(train.scores);
	free(train.labels);
	free(test.scores);
	free(test.labels);
	return code;
}

int pipeline_match_classes(const qmd_dataset *dataset, const qmd_model *model, uint32_t **class_of_state) {
	const size_t n_states = qmd_dataset_n_states(dataset), n_classes = qmd_model_n_classes(model);
	uint32_t *classes = calloc(n_states + 1, sizeof *classes);
	if (!classes)
		return fail_memory();
	*class_of_state = classes;
	for (size_t s = 0; s < n_states; s++) {
		const char *state = qmd_dataset_state_name(dataset, s);
		size_t c = 0;
		while (c < n_classes && !(qmd_model_class_name(model, c) && strcmp(state, qmd_model_class_name(model, c)) == 0))
			c++;
		if (c == n_classes)
			return fail("state '%s' is none of the model's %zu classes", state, n_classes);
		classes[s] = (uint32_t)c;
	}
	return PROGRAM_OK;
}
