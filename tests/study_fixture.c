#include "study_fixture.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/random.h"
#include "dcd_fixture.h"
#include "netcdf_fixture.h"
#include "pdb_fixture.h"
#include "support.h"

#define N_EXPLANATIONS 6
#define N_ATOMS 12
#define N_FRAMES 3
#define N_REPLICAS 2
#define N_ALL (2 * N_REPLICAS * N_FRAMES)
#define SIDE 4
#define IMAGE_SIZE (SIDE * SIDE * 3)

#define ATOMS                                                                                                          \
	"A:1:ALA:N A:1:ALA:CA A:1:ALA:C A:1:ALA:O A:2:GLY:N A:2:GLY:CA A:2:GLY:C A:2:GLY:O A:3:SER:N A:3:SER:CA "          \
	"A:3:SER:C "                                                                                                       \
	"A:3:SER:O"

#define MAP "bent A 3 SER O -> A 3 SER O\n"

/* ---- What is read ---- */

/* A helix that trembles; in the second state its last residue stands aside. */
static void draw_frames(uint64_t stream, size_t state, double *xyz) {
	for (size_t f = 0; f < N_FRAMES; f++)
		for (size_t a = 0; a < N_ATOMS; a++) {
			double *x = xyz + 3 * (f * N_ATOMS + a);
			const double turn = 1.7 * (double)a;
			x[0] = 3.0 * cos(turn);
			x[1] = 3.0 * sin(turn) + (state == 1 && a >= 8 ? 2.5 : 0.0);
			x[2] = 1.5 * (double)a;
			for (size_t k = 0; k < 3; k++)
				x[k] += (double)qmdi_random_f32(7, stream, 3 * (f * N_ATOMS + a) + k) - 0.5;
		}
}

void qmdt_study_init(qmdt_study *study) {
	*study = (qmdt_study){.n_training_threads = 1, .n_engine_threads = 1};
	study->pdb = qmdt_write_pdb("study.pdb", ATOMS);
	for (size_t state = 0; state < 2; state++)
		for (size_t replica = 0; replica < N_REPLICAS; replica++) {
			double xyz[N_FRAMES * N_ATOMS * 3];
			char name[64];
			draw_frames(2 * state + replica, state, xyz);
			snprintf(name, sizeof name, "study-%zu-%zu.nc", state, replica);
			const qmdt_netcdf content = {.n_frames = N_FRAMES, .n_atoms = N_ATOMS, .xyz = xyz};
			study->trajectories[state][replica] = qmdt_write_netcdf(name, &content);
		}
	static const double cell[] = {30, 90, 40, 90, 90, 50};
	static const uint32_t free_atoms[] = {1, 3, 4};
	const qmdt_dcd dcd = {.n_frames = N_FRAMES,
						  .n_atoms = 4,
						  .cell = cell,
						  .step_interval = 1,
						  .time_step = 1,
						  .free_atoms = free_atoms,
						  .n_free = 3};
	study->others[0] = qmdt_write_dcd("study.dcd", &dcd);
	study->others[1] = QMDT_SOURCE_DIR "/tests/fuzz/corpus/xtc/water.xtc";
	study->others[2] = QMDT_SOURCE_DIR "/tests/fuzz/corpus/netcdf/cdf-2.nc"; /* in double precision */
	study->map = qmdt_scratch("study.map");
	qmdt_write_file(study->map, MAP, sizeof MAP - 1);
	study->checkpoint = qmdt_scratch("study.qmc");
	study->model = qmdt_scratch("study.qmm");
	study->quantized = qmdt_scratch("study-int8.qmm");
	study->engine = qmdt_scratch("study.qme");
	study->onnx = qmdt_scratch("study.onnx");
	study->quantized_onnx = qmdt_scratch("study-int8.onnx");
	study->shard = qmdt_scratch("study.qmx");
	study->image = qmdt_scratch("study.png");
}

/* ---- The steps ---- */

typedef struct handles {
	qmd_topology *topology, *own_topology;
	qmd_trajectory *trajectory, *others[3];
	qmd_dataset *data, *own_data;
	qmd_split *split, *by_block, *as_icnnmd, *of_all;
	qmd_pixels *pixels;
	qmd_model *model, *loaded, *imported, *preset, *quantized, *imported_quantized, *by_reference,
		*quantized_by_reference;
	qmd_predictor *predictor, *reference;
	qmd_engine *compiled, *engine;
	qmd_context *context;
	qmd_explanation *explanations[N_EXPLANATIONS];
} handles;

static void free_handles(handles *h) {
	for (size_t i = 0; i < N_EXPLANATIONS; i++)
		qmd_explanation_free(h->explanations[i]);
	qmd_context_free(h->context);
	qmd_engine_free(h->engine);
	qmd_engine_free(h->compiled);
	qmd_predictor_free(h->predictor);
	qmd_predictor_free(h->reference);
	qmd_model_free(h->quantized_by_reference);
	qmd_model_free(h->by_reference);
	qmd_model_free(h->imported_quantized);
	qmd_model_free(h->quantized);
	qmd_model_free(h->preset);
	qmd_model_free(h->imported);
	qmd_model_free(h->loaded);
	qmd_model_free(h->model);
	qmd_pixels_free(h->pixels);
	qmd_split_free(h->of_all);
	qmd_split_free(h->as_icnnmd);
	qmd_split_free(h->by_block);
	qmd_split_free(h->split);
	qmd_dataset_free(h->own_data);
	qmd_dataset_free(h->data);
	for (size_t i = 0; i < 3; i++)
		qmd_trajectory_free(h->others[i]);
	qmd_trajectory_free(h->trajectory);
	qmd_topology_free(h->own_topology);
	qmd_topology_free(h->topology);
}

#define STEP(call)                                                                                                     \
	do {                                                                                                               \
		const qmd_status step_status = (call);                                                                         \
		if (study->after_call)                                                                                         \
			study->after_call(study->user);                                                                            \
		if (step_status != QMD_OK)                                                                                     \
			return step_status;                                                                                        \
	} while (0)

static void add_result(qmdt_study *study, qmdt_study_result result, const void *data, size_t size) {
	study->results[result] = qmdi_hash(study->results[result], data, size);
}

static void add_file(qmdt_study *study, qmdt_study_result result, const char *path) {
	size_t size;
	unsigned char *data = qmdt_read_file(path, &size);
	add_result(study, result, data, size);
	free(data);
}

static qmd_status read_files(qmdt_study *study, handles *h) {
	float xyz[N_FRAMES * N_ATOMS * 3], of_file[N_ATOMS * 3];
	double box[9];
	int has_box;
	uint32_t indices[N_ATOMS];
	size_t n = N_ATOMS;
	STEP(qmd_topology_load(study->pdb, &h->topology));
	STEP(qmd_topology_coordinates(h->topology, of_file));
	STEP(qmd_topology_select(h->topology, "backbone and not (resid 2 or name O)", &n, indices));
	STEP(qmd_trajectory_open(study->trajectories[0], N_REPLICAS, N_ATOMS, &h->trajectory));
	STEP(qmd_trajectory_read(h->trajectory, 0, N_FRAMES, xyz));
	STEP(qmd_trajectory_box(h->trajectory, 0, box, &has_box));
	add_result(study, QMDT_STUDY_COORDINATES, of_file, sizeof of_file);
	add_result(study, QMDT_STUDY_COORDINATES, indices, n * sizeof *indices);
	add_result(study, QMDT_STUDY_COORDINATES, xyz, sizeof xyz);

	qmd_atom atoms[N_ATOMS];
	for (size_t i = 0; i < N_ATOMS; i++)
		STEP(qmd_topology_atom(h->topology, i, &atoms[i]));
	STEP(qmd_topology_create(atoms, N_ATOMS, &h->own_topology));
	STEP(qmd_dataset_create(NULL, &h->own_data));
	STEP(qmd_dataset_add_frames(h->own_data, "own", h->own_topology, xyz, N_FRAMES));

	qmd_dataset_options options;
	qmd_dataset_options_init(&options);
	options.map_path = study->map;
	STEP(qmd_dataset_create(&options, &h->data));
	STEP(qmd_dataset_add_state(h->data, "straight", study->pdb, study->trajectories[0], N_REPLICAS));
	STEP(qmd_dataset_add_state(h->data, "bent", study->pdb, study->trajectories[1], N_REPLICAS));
	STEP(qmd_split_by_replica(h->data, 1, &h->split));
	return QMD_OK;
}

static qmd_status read_other_formats(qmdt_study *study, handles *h) {
	float xyz[24 * 3];
	double time_ps, box[9];
	int has_box;
	for (size_t i = 0; i < 3; i++) {
		STEP(qmd_trajectory_open(&study->others[i], 1, 0, &h->others[i]));
		ck_assert_uint_le(qmd_trajectory_n_atoms(h->others[i]), 24);
		STEP(qmd_trajectory_read(h->others[i], 1, 1, xyz));
		STEP(qmd_trajectory_time_ps(h->others[i], 1, &time_ps));
		STEP(qmd_trajectory_box(h->others[i], 1, box, &has_box));
		ck_assert_int_eq(has_box, 1);
		add_result(study, QMDT_STUDY_COORDINATES, xyz, qmd_trajectory_n_atoms(h->others[i]) * 3 * sizeof *xyz);
		add_result(study, QMDT_STUDY_COORDINATES, &time_ps, sizeof time_ps);
		add_result(study, QMDT_STUDY_COORDINATES, box, sizeof box);
	}
	return QMD_OK;
}

/* What a study with its split by replicas does not ask of its data set. */
static qmd_status look_around(qmdt_study *study, handles *h) {
	uint32_t indices[N_ATOMS];
	qmd_frame_origin origin;
	qmd_atom atom;
	double box[9];
	int has_box;
	size_t n = N_ATOMS;
	STEP(qmd_split_by_block(h->data, 3, 1, 0, &h->by_block));
	STEP(qmd_split_icnnmd(h->data, 2, 1, 1, &h->as_icnnmd));
	STEP(qmd_split_all(h->data, &h->of_all));
	STEP(qmd_dataset_atom(h->data, N_ATOMS - 1, &atom));
	STEP(qmd_dataset_atom_indices(h->data, 1, indices));
	STEP(qmd_dataset_dropped(h->data, 1, &n, indices));
	STEP(qmd_dataset_frame_origin(h->data, N_ALL - 1, &origin));
	STEP(qmd_dataset_box(h->data, 0, box, &has_box));
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(origin.replica, N_REPLICAS - 1);
	add_result(study, QMDT_STUDY_COORDINATES, indices, sizeof indices);
	return QMD_OK;
}

static qmd_status draw_pixels(qmdt_study *study, handles *h) {
	uint32_t all[N_ALL];
	signed char images[N_ALL * IMAGE_SIZE];
	for (uint32_t i = 0; i < N_ALL; i++)
		all[i] = i;
	STEP(qmd_pixels_fit(h->data, h->split, NULL, &h->pixels));
	ck_assert_uint_eq(qmd_pixels_side(h->pixels), SIDE);
	STEP(qmd_pixels_run_dataset(h->pixels, h->data, all, N_ALL, images));
	STEP(qmd_pixels_write_png(h->pixels, images, study->image));
	add_result(study, QMDT_STUDY_IMAGES, images, sizeof images);
	add_file(study, QMDT_STUDY_PNG, study->image);
	return QMD_OK;
}

static qmd_status build_model(qmdt_study *study, handles *h) {
	static const int32_t kinds[] = {QMD_LAYER_CONV2D,  QMD_LAYER_BATCHNORM, QMD_LAYER_RELU,  QMD_LAYER_MAXPOOL,
									QMD_LAYER_DROPOUT, QMD_LAYER_FLATTEN,   QMD_LAYER_DENSE, QMD_LAYER_SOFTMAX};
	STEP(qmd_model_create((qmd_shape){SIDE, SIDE, 3}, &h->model));
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		qmd_layer layer;
		qmd_layer_init(&layer, kinds[i]);
		layer.units = kinds[i] == QMD_LAYER_CONV2D ? 3 : 2;
		layer.kernel_h = layer.kernel_w = 2;
		layer.rate = 0.25f;
		STEP(qmd_model_add(h->model, &layer, NULL));
	}
	STEP(qmd_model_initialize(h->model, 1));
	return QMD_OK;
}

static qmd_status create_predictor(const qmdt_study *study, const qmd_model *model, qmd_predictor **predictor) {
	qmd_predictor_options options;
	qmd_predictor_options_init(&options);
	options.batch_size = 1;
	options.n_threads = study->n_training_threads;
	return qmd_predictor_create(model, &options, predictor);
}

static qmd_status train(qmdt_study *study, handles *h) {
	float logits[IMAGE_SIZE];
	signed char image[IMAGE_SIZE];
	const uint32_t first = 0;
	qmd_train_options options;
	qmd_train_options_init(&options);
	options.epochs = 1;
	options.batch_size = 4;
	options.n_threads = study->n_training_threads;
	options.checkpoint_path = study->checkpoint;
	STEP(build_model(study, h));
	STEP(qmd_train(h->model, h->data, h->split, h->pixels, &options));
	add_file(study, QMDT_STUDY_CHECKPOINT, study->checkpoint);
	STEP(qmd_model_save(h->model, study->model));
	add_file(study, QMDT_STUDY_MODEL, study->model);
	STEP(qmd_model_load(study->model, &h->loaded));
	STEP(qmd_onnx_export(h->loaded, NULL, study->onnx));
	add_file(study, QMDT_STUDY_ONNX, study->onnx);
	STEP(qmd_onnx_import(study->onnx, NULL, &h->imported));
	STEP(create_predictor(study, h->imported, &h->predictor));
	STEP(qmd_pixels_run_dataset(h->pixels, h->data, &first, 1, image));
	STEP(qmd_predictor_run_images(h->predictor, image, QMD_S8, 1, logits, NULL));
	add_result(study, QMDT_STUDY_PREDICTIONS, logits, 2 * sizeof *logits);
	return QMD_OK;
}

/* A network by name, with weights of its own and class names of its own, that is trained on images and asked of frames.
 */
static qmd_status train_otherwise(qmdt_study *study, handles *h) {
	static const char *const names[] = {"first", "second"};
	static const uint32_t labels[] = {0, 1};
	float xyz[N_ATOMS * 3], probabilities[2], biases[2];
	signed char images[2 * IMAGE_SIZE];
	size_t n = 2;
	qmd_train_options options;
	qmd_predictor *predictor = NULL;
	qmd_layer dense;
	qmd_frame frame;
	qmd_train_options_init(&options);
	options.epochs = 1;
	options.n_threads = study->n_training_threads;
	qmd_frame_init(&frame);
	frame.xyz = xyz;
	frame.n_atoms = N_ATOMS;
	STEP(qmd_model_create_preset("icnnmd", (qmd_shape){10, 10, 3}, 2, 1, &h->preset));
	STEP(qmd_model_bind(h->model, h->pixels, names));
	qmd_layer_init(&dense, QMD_LAYER_DENSE);
	STEP(qmd_model_layer(h->model, 7, &dense, NULL));
	STEP(qmd_model_parameters(h->model, dense.name, "bias", &n, biases));
	STEP(qmd_model_set_parameters(h->model, dense.name, "bias", n, biases));
	STEP(qmd_dataset_read(h->data, 0, xyz));
	STEP(qmd_pixels_run(h->pixels, &frame, 1, images));
	STEP(qmd_dataset_read(h->data, N_ALL - 1, xyz));
	STEP(qmd_pixels_run(h->pixels, &frame, 1, images + IMAGE_SIZE));
	STEP(qmd_train_images(h->model, images, QMD_S8, labels, 2, &options));
	STEP(create_predictor(study, h->model, &predictor));
	const qmd_status status = qmd_predictor_run(predictor, &frame, 1, NULL, probabilities);
	qmd_predictor_free(predictor);
	STEP(status);
	add_result(study, QMDT_STUDY_PREDICTIONS, probabilities, sizeof probabilities);
	return QMD_OK;
}

/* The scalar reference trains, quantizes and predicts a copy of the model. */
static qmd_status train_on_reference(qmdt_study *study, handles *h) {
	static const uint32_t labels[] = {0, 1};
	float logits[4];
	signed char images[2 * IMAGE_SIZE];
	const uint32_t frames[] = {0, N_ALL - 1};
	qmd_train_options training;
	qmd_quantize_options quantizing;
	qmd_predictor_options predicting;
	qmd_train_options_init(&training);
	qmd_quantize_options_init(&quantizing);
	qmd_predictor_options_init(&predicting);
	training.device = quantizing.device = predicting.device = "reference";
	training.epochs = quantizing.epochs = 1;
	predicting.batch_size = 2;
	STEP(qmd_model_load(study->model, &h->by_reference));
	STEP(qmd_pixels_run_dataset(h->pixels, h->data, frames, 2, images));
	STEP(qmd_train_images(h->by_reference, images, QMD_S8, labels, 2, &training));
	STEP(qmd_quantize_images(h->by_reference, images, QMD_S8, labels, 2, &quantizing, &h->quantized_by_reference));
	STEP(qmd_predictor_create(h->quantized_by_reference, &predicting, &h->reference));
	STEP(qmd_predictor_run_images(h->reference, images, QMD_S8, 2, logits, NULL));
	add_result(study, QMDT_STUDY_PREDICTIONS, logits, sizeof logits);
	return QMD_OK;
}

static qmd_status quantize(qmdt_study *study, handles *h) {
	qmd_quantize_options options;
	qmd_quantize_options_init(&options);
	options.epochs = 1;
	options.batch_size = 4;
	options.n_threads = study->n_training_threads;
	STEP(qmd_quantize(h->loaded, h->data, h->split, &options, &h->quantized));
	STEP(qmd_model_save(h->quantized, study->quantized));
	STEP(qmd_onnx_export(h->quantized, NULL, study->quantized_onnx));
	STEP(qmd_onnx_import(study->quantized_onnx, NULL, &h->imported_quantized));
	add_file(study, QMDT_STUDY_ONNX, study->quantized_onnx);
	STEP(qmd_engine_compile(h->quantized, NULL, &h->compiled));
	STEP(qmd_engine_save(h->compiled, study->engine));
	STEP(qmd_engine_load(study->engine, &h->engine));
	add_file(study, QMDT_STUDY_QUANTIZED, study->quantized);
	add_file(study, QMDT_STUDY_ENGINE, study->engine);
	return QMD_OK;
}

static qmd_status run_engine(qmdt_study *study, handles *h) {
	float xyz[N_ATOMS * 3], logits[2], probabilities[2];
	uint32_t indices[N_ATOMS];
	qmd_atom atoms[N_ATOMS];
	qmd_context_options options;
	qmd_frame frame;
	const qmd_output outputs[] = {{"logits", logits}, {"probabilities", probabilities}};
	qmd_context_options_init(&options);
	options.n_threads = study->n_engine_threads;
	options.max_batch = 2;
	qmd_frame_init(&frame);
	for (size_t i = 0; i < N_ATOMS; i++)
		STEP(qmd_topology_atom(h->topology, i, &atoms[i]));
	STEP(qmd_engine_match(h->engine, atoms, N_ATOMS, indices));
	STEP(qmd_context_create(h->engine, &options, &h->context));
	frame.xyz = xyz;
	frame.n_atoms = N_ATOMS;
	frame.indices = indices;
	for (size_t i = 0; i < N_ALL; i++) {
		STEP(qmd_dataset_read(h->data, i, xyz));
		STEP(qmd_context_run_outputs(h->context, &frame, 1, outputs, 2));
		add_result(study, QMDT_STUDY_LOGITS, logits, sizeof logits);
		add_result(study, QMDT_STUDY_LOGITS, probabilities, sizeof probabilities);
	}
	signed char image[IMAGE_SIZE];
	double seconds[16];
	const uint32_t last = N_ALL - 1;
	ck_assert_uint_le(qmd_engine_n_layers(h->engine), 16);
	STEP(qmd_context_run(h->context, &frame, 1, probabilities));
	STEP(qmd_pixels_run_dataset(h->pixels, h->data, &last, 1, image));
	STEP(qmd_context_run_images(h->context, image, 1, outputs, 1));
	STEP(qmd_context_profile(h->context, image, 1, 1, seconds));
	add_result(study, QMDT_STUDY_LOGITS, logits, sizeof logits);
	return QMD_OK;
}

static void add_scores(qmdt_study *study, const qmd_explanation *explanation) {
	ck_assert_uint_eq(qmd_explanation_n_residues(explanation), 3);
	for (size_t i = 0; i < 3; i++) {
		qmd_residue_score score = {.struct_size = sizeof score};
		qmdt_ok(qmd_explanation_residue(explanation, i, &score));
		add_result(study, QMDT_STUDY_SCORES, &score.score, sizeof score.score);
		add_result(study, QMDT_STUDY_SCORES, &score.standard_error, sizeof score.standard_error);
	}
}

static qmd_status explain(qmdt_study *study, handles *h) {
	size_t n;
	const uint32_t *test = qmd_split_test(h->split, &n);
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.n_threads = study->n_engine_threads;
	STEP(qmd_explain(h->engine, h->data, test, n, &options, &h->explanations[0]));
	options.method = QMD_EXPLAIN_SHAP;
	options.n_samples = 16;
	STEP(qmd_explain(h->engine, h->data, test, 1, &options, &h->explanations[1]));
	options.method = QMD_EXPLAIN_LEAVE_ONE_OUT;
	options.n_threads = study->n_training_threads;
	STEP(qmd_explain_model(h->loaded, h->data, test, 1, &options, &h->explanations[2]));
	options.n_shards = 1;
	STEP(qmd_explain(h->engine, h->data, test, n, &options, &h->explanations[3]));
	STEP(qmd_explanation_save(h->explanations[3], "a study", study->shard));
	STEP(qmd_explanation_load(study->shard, &h->explanations[4]));
	const qmd_explanation *const shards[] = {h->explanations[4]};
	STEP(qmd_explanation_merge(shards, 1, &h->explanations[5]));
	for (size_t i = 0; i < N_EXPLANATIONS; i++)
		add_scores(study, h->explanations[i]);
	add_file(study, QMDT_STUDY_SCORES, study->shard);
	return QMD_OK;
}

qmd_status qmdt_study_run(qmdt_study *study) {
	static qmd_status (*const steps[])(qmdt_study *, handles *) = {
		read_files,      read_other_formats, look_around, draw_pixels, train,
		train_otherwise, train_on_reference, quantize,    run_engine,  explain};
	handles h = {0};
	qmd_status status = QMD_OK;
	unlink(study->checkpoint);
	for (size_t i = 0; i < QMDT_STUDY_N_RESULTS; i++)
		study->results[i] = QMDI_HASH_START;
	for (size_t i = 0; status == QMD_OK && i < sizeof steps / sizeof *steps; i++)
		status = steps[i](study, &h);
	free_handles(&h);
	return status;
}

void qmdt_study_check_same(const qmdt_study *a, const qmdt_study *b) {
	static const char *const names[] = {"coordinates", "images", "PNG",    "checkpoint", "model", "predictions",
										"ONNX",        "int8",   "engine", "logits",     "scores"};
	for (size_t i = 0; i < QMDT_STUDY_N_RESULTS; i++) {
		ck_assert_msg(a->results[i] == b->results[i], "%s: hash %016llx, expected %016llx", names[i],
					  (unsigned long long)a->results[i], (unsigned long long)b->results[i]);
		ck_assert_msg(a->results[i] != QMDI_HASH_START, "%s: nothing was hashed", names[i]);
	}
}
