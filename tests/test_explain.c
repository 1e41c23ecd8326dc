/* Residue scores of a linear network, whose margins a double-precision dot product knows. */
#include "support.h"

#include <fenv.h>
#include <math.h>
#include <stdio.h>

#define N_RESIDUES 9
#define ATOMS_A_RESIDUE 4
#define N_ATOMS (N_RESIDUES * ATOMS_A_RESIDUE)
#define SIDE 6
#define N_PIXELS (SIDE * SIDE * 3)
#define N_CLASSES 3
#define FRAMES_A_STATE 7
#define N_FRAMES (N_CLASSES * FRAMES_A_STATE)
#define WEIGHT_STEP 0x1p-10 /* weights are whole multiples of it, up to 127: quantizing them loses nothing */

static const char *const names[N_CLASSES] = {"apo", "agonist", "antagonist"};

typedef struct linear_fixture {
	qmd_topology *topology;
	qmd_dataset *dataset;
	qmd_split *split;
	qmd_pixels *pixels;
	qmd_model *model;
	qmd_engine *engine;
	int weights[N_CLASSES][N_PIXELS];
	uint32_t frames[N_FRAMES];
} linear_fixture;

static unsigned next_random(unsigned *state) {
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static qmd_topology *make_topology(int first_residue) {
	static const char *const atom_names[ATOMS_A_RESIDUE] = {"N", "CA", "C", "O"};
	static const char elements[ATOMS_A_RESIDUE] = {'N', 'C', 'C', 'O'};
	qmd_atom atoms[N_ATOMS];
	memset(atoms, 0, sizeof atoms);
	for (int i = 0; i < N_ATOMS; i++) {
		snprintf(atoms[i].name, sizeof atoms[i].name, "%s", atom_names[i % ATOMS_A_RESIDUE]);
		memcpy(atoms[i].residue_name, "GLY", sizeof "GLY");
		memcpy(atoms[i].chain, "A", sizeof "A");
		atoms[i].element[0] = elements[i % ATOMS_A_RESIDUE];
		atoms[i].residue_number = first_residue + i / ATOMS_A_RESIDUE;
	}
	qmd_topology *topology;
	qmdt_ok(qmd_topology_create(atoms, N_ATOMS, &topology));
	return topology;
}

/* A wobbling cloud of atoms; in state s residue 2s + 1 is moved. */
static void fill_frames(int state, float xyz[FRAMES_A_STATE][N_ATOMS][3]) {
	unsigned shape = 1, wobble = 77u + (unsigned)state;
	float base[N_ATOMS][3];
	for (int i = 0; i < N_ATOMS; i++)
		for (int k = 0; k < 3; k++)
			base[i][k] = (float)(next_random(&shape) % 2000) / 100.0f;
	for (int f = 0; f < FRAMES_A_STATE; f++)
		for (int i = 0; i < N_ATOMS; i++)
			for (int k = 0; k < 3; k++) {
				const float moved = i / ATOMS_A_RESIDUE == 2 * state + 1 && k == 0 ? 2.5f : 0.0f;
				xyz[f][i][k] = base[i][k] + moved + (float)(next_random(&wobble) % 100) / 100.0f;
			}
}

static void add_state(qmd_dataset *dataset, const qmd_topology *topology, int state, const char *name) {
	float xyz[FRAMES_A_STATE][N_ATOMS][3];
	fill_frames(state, xyz);
	qmdt_ok(qmd_dataset_add_frames(dataset, name, topology, &xyz[0][0][0], FRAMES_A_STATE));
}

static qmd_model *make_model(linear_fixture *fixture) {
	const qmd_shape input = {SIDE, SIDE, 3};
	qmd_model *model;
	qmd_layer layer;
	qmdt_ok(qmd_model_create(input, &model));
	qmd_layer_init(&layer, QMD_LAYER_FLATTEN);
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	qmd_layer_init(&layer, QMD_LAYER_DENSE);
	layer.name = "dense";
	layer.units = N_CLASSES;
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	qmd_layer_init(&layer, QMD_LAYER_SOFTMAX);
	qmdt_ok(qmd_model_add(model, &layer, NULL));

	unsigned random = 5;
	float values[N_CLASSES * N_PIXELS];
	for (int c = 0; c < N_CLASSES; c++)
		for (int p = 0; p < N_PIXELS; p++) {
			fixture->weights[c][p] = p == 0 ? 127 : (int)(next_random(&random) % 255) - 127;
			values[c * N_PIXELS + p] = (float)(fixture->weights[c][p] * WEIGHT_STEP);
		}
	const float biases[N_CLASSES] = {0};
	qmdt_ok(qmd_model_set_parameters(model, "dense", "weight", N_CLASSES * N_PIXELS, values));
	qmdt_ok(qmd_model_set_parameters(model, "dense", "bias", N_CLASSES, biases));
	qmdt_ok(qmd_model_bind(model, fixture->pixels, names));
	return model;
}

static qmd_engine *make_engine(const linear_fixture *fixture) {
	qmd_model *quantized;
	qmd_quantize_options options;
	qmd_quantize_options_init(&options);
	options.epochs = 0;
	options.n_threads = 1;
	qmdt_ok(qmd_quantize(fixture->model, fixture->dataset, fixture->split, &options, &quantized));
	qmd_engine *engine;
	qmdt_ok(qmd_engine_compile(quantized, NULL, &engine));
	qmd_model_free(quantized);
	return engine;
}

static void setup(linear_fixture *fixture, int32_t kind) {
	memset(fixture, 0, sizeof *fixture);
	fixture->topology = make_topology(101);
	qmdt_ok(qmd_dataset_create(NULL, &fixture->dataset));
	for (int s = 0; s < N_CLASSES; s++)
		add_state(fixture->dataset, fixture->topology, s, names[s]);
	qmdt_ok(qmd_split_all(fixture->dataset, &fixture->split));
	qmd_pixels_options options;
	qmd_pixels_options_init(&options);
	options.kind = kind;
	qmdt_ok(qmd_pixels_fit(fixture->dataset, fixture->split, &options, &fixture->pixels));
	fixture->model = make_model(fixture);
	fixture->engine = make_engine(fixture);
	for (uint32_t f = 0; f < N_FRAMES; f++)
		fixture->frames[f] = f;
}

static void teardown(linear_fixture *fixture) {
	qmd_engine_free(fixture->engine);
	qmd_model_free(fixture->model);
	qmd_pixels_free(fixture->pixels);
	qmd_split_free(fixture->split);
	qmd_dataset_free(fixture->dataset);
	qmd_topology_free(fixture->topology);
}

/* The margin of class `own` for an image, in real numbers. */
static double true_margin(const linear_fixture *fixture, const int *image, double pixel_scale, int own) {
	double logits[N_CLASSES], other = -INFINITY;
	for (int c = 0; c < N_CLASSES; c++) {
		double sum = 0;
		for (int p = 0; p < N_PIXELS; p++)
			sum += (double)fixture->weights[c][p] * image[p];
		logits[c] = sum * pixel_scale * WEIGHT_STEP;
		if (c != own && logits[c] > other)
			other = logits[c];
	}
	return logits[own] - other;
}

static void read_pixels(const linear_fixture *fixture, const unsigned char *bytes, int *image) {
	const int is_signed = qmd_pixels_type(fixture->pixels) == QMD_S8;
	for (int p = 0; p < N_PIXELS; p++)
		image[p] = is_signed ? (int)(signed char)bytes[p] : (int)bytes[p];
}

/* Mean and standard error, over all frames, of the fall of the margin without residue r. */
static void true_score(const linear_fixture *fixture, int residue, double *mean, double *standard_error) {
	const double scale = qmd_pixels_type(fixture->pixels) == QMD_S8 ? 1.0 / 127 : 1.0 / 255;
	unsigned char bytes[N_FRAMES][N_PIXELS], background_bytes[N_PIXELS];
	int image[N_PIXELS], background[N_PIXELS];
	double falls[N_FRAMES], sum = 0, squares = 0;
	qmdt_ok(qmd_pixels_run_dataset(fixture->pixels, fixture->dataset, fixture->frames, N_FRAMES, bytes));
	qmdt_ok(qmd_pixels_background(fixture->pixels, background_bytes));
	read_pixels(fixture, background_bytes, background);
	for (int f = 0; f < N_FRAMES; f++) {
		read_pixels(fixture, bytes[f], image);
		const double whole = true_margin(fixture, image, scale, f / FRAMES_A_STATE);
		for (int p = residue * ATOMS_A_RESIDUE * 3; p < (residue + 1) * ATOMS_A_RESIDUE * 3; p++)
			image[p] = background[p];
		falls[f] = whole - true_margin(fixture, image, scale, f / FRAMES_A_STATE);
		sum += falls[f];
	}
	*mean = sum / N_FRAMES;
	for (int f = 0; f < N_FRAMES; f++)
		squares += (falls[f] - *mean) * (falls[f] - *mean);
	*standard_error = sqrt(squares / (N_FRAMES - 1) / N_FRAMES);
}

static void read_scores(const qmd_explanation *explanation, qmd_residue_score *scores) {
	ck_assert_uint_eq(qmd_explanation_n_residues(explanation), N_RESIDUES);
	for (size_t r = 0; r < N_RESIDUES; r++) {
		scores[r].struct_size = sizeof scores[r];
		qmdt_ok(qmd_explanation_residue(explanation, r, &scores[r]));
	}
}

static void check_scores(const linear_fixture *fixture, const qmd_explanation *explanation) {
	qmd_residue_score scores[N_RESIDUES];
	read_scores(explanation, scores);
	double largest = 0;
	for (int r = 0; r < N_RESIDUES; r++) {
		double mean, standard_error;
		true_score(fixture, r, &mean, &standard_error);
		ck_assert_double_eq_tol(scores[r].score, mean, 1e-5);
		ck_assert_double_eq_tol(scores[r].standard_error, standard_error, 1e-5);
		ck_assert_int_eq(scores[r].residue.residue_number, 101 + r);
		ck_assert_str_eq(scores[r].residue.residue_name, "GLY");
		ck_assert_str_eq(scores[r].residue.chain, "A");
		ck_assert_str_eq(scores[r].residue.name, "N");
		ck_assert_uint_eq(scores[r].n_atoms, ATOMS_A_RESIDUE);
		unsigned rank = 1;
		for (int other = 0; other < N_RESIDUES; other++)
			rank += scores[other].score > scores[r].score;
		ck_assert_uint_eq(scores[r].rank, rank);
		largest = fmax(largest, fabs(mean));
	}
	ck_assert_double_gt(largest, 1e-3); /* the scores say something */
}

static void check_scores_of(int32_t kind) {
	linear_fixture fixture;
	setup(&fixture, kind);
	qmd_explanation *explanation;
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, N_FRAMES, NULL, &explanation));
	check_scores(&fixture, explanation);
	qmd_explanation_free(explanation);
	qmdt_ok(qmd_explain_model(fixture.model, fixture.dataset, fixture.frames, N_FRAMES, NULL, &explanation));
	check_scores(&fixture, explanation);
	qmd_explanation_free(explanation);
	teardown(&fixture);
}

START_TEST(scores_are_the_fall_of_the_margin) {
	check_scores_of(QMD_PIXELS_DISPLACEMENT);
}
END_TEST

START_TEST(background_of_icnnmd_pixels_is_their_mean_image) {
	check_scores_of(QMD_PIXELS_ICNNMD);
}
END_TEST

START_TEST(frame_scores_are_those_of_each_frame_alone) {
	linear_fixture fixture;
	setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *all, *one;
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, N_FRAMES, NULL, &all));
	ck_assert_uint_eq(qmd_explanation_n_frames(all), N_FRAMES);
	const double *frame_scores = qmd_explanation_frame_scores(all);
	for (size_t f = 0; f < N_FRAMES; f++) {
		qmd_residue_score scores[N_RESIDUES];
		qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames + f, 1, NULL, &one));
		read_scores(one, scores);
		for (size_t r = 0; r < N_RESIDUES; r++)
			ck_assert(frame_scores[f * N_RESIDUES + r] == scores[r].score);
		qmd_explanation_free(one);
	}
	qmd_explanation_free(all);
	ck_assert_uint_eq(qmd_explanation_n_frames(NULL), 0);
	ck_assert_ptr_null(qmd_explanation_frame_scores(NULL));
	teardown(&fixture);
}
END_TEST

START_TEST(models_need_pixels_and_class_names) {
	linear_fixture fixture;
	setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *explanation;
	qmd_model *model;
	qmdt_fails(qmd_explain_model(NULL, fixture.dataset, fixture.frames, 1, NULL, &explanation), QMD_ERROR_ARGUMENT,
			   "model");
	qmdt_ok(qmd_model_create((qmd_shape){SIDE, SIDE, 3}, &model));
	qmdt_fails(qmd_explain_model(model, fixture.dataset, fixture.frames, 1, NULL, &explanation), QMD_ERROR_STATE,
			   "the model has no pixels");
	qmd_model_free(model);
	qmdt_ok(qmd_model_bind(fixture.model, fixture.pixels, NULL));
	qmdt_fails(qmd_explain_model(fixture.model, fixture.dataset, fixture.frames, 1, NULL, &explanation),
			   QMD_ERROR_ARGUMENT, "state 'apo' is none of the model's 3 classes");
	teardown(&fixture);
}
END_TEST

/* ---- SHAP ---- */

#define N_SUBSETS (1u << N_RESIDUES)

/* margins[S] of one frame with the residues whose bits are in S. */
static void margins_of_subsets(const linear_fixture *fixture, uint32_t frame, double margins[N_SUBSETS]) {
	unsigned char bytes[N_PIXELS], background_bytes[N_PIXELS];
	int whole[N_PIXELS], background[N_PIXELS], image[N_PIXELS];
	qmdt_ok(qmd_pixels_run_dataset(fixture->pixels, fixture->dataset, &frame, 1, bytes));
	qmdt_ok(qmd_pixels_background(fixture->pixels, background_bytes));
	read_pixels(fixture, bytes, whole);
	read_pixels(fixture, background_bytes, background);
	for (unsigned subset = 0; subset < N_SUBSETS; subset++) {
		for (int p = 0; p < N_PIXELS; p++)
			image[p] = subset >> p / (3 * ATOMS_A_RESIDUE) & 1 ? whole[p] : background[p];
		margins[subset] = true_margin(fixture, image, 1.0 / 127, (int)frame / FRAMES_A_STATE);
	}
}

/* Shapley's own formula: the mean over all orders of what a residue adds to those before it. */
static double shapley_value(const double margins[N_SUBSETS], int residue) {
	double factorials[N_RESIDUES + 1] = {1}, sum = 0;
	for (int i = 1; i <= N_RESIDUES; i++)
		factorials[i] = factorials[i - 1] * i;
	for (unsigned subset = 0; subset < N_SUBSETS; subset++) {
		if (subset >> residue & 1)
			continue;
		const int size = __builtin_popcount(subset);
		const double orders = factorials[size] * factorials[N_RESIDUES - 1 - size];
		sum += orders / factorials[N_RESIDUES] * (margins[subset | 1u << residue] - margins[subset]);
	}
	return sum;
}

static void explain_by_shap(const linear_fixture *fixture, uint32_t n_threads, uint64_t seed,
							qmd_residue_score scores[N_RESIDUES]) {
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.method = QMD_EXPLAIN_SHAP;
	options.n_samples = 4000;
	options.n_threads = n_threads;
	options.seed = seed;
	qmd_explanation *explanation;
	qmdt_ok(qmd_explain(fixture->engine, fixture->dataset, fixture->frames, N_FRAMES, &options, &explanation));
	read_scores(explanation, scores);
	qmd_explanation_free(explanation);
}

START_TEST(shap_finds_shapley_values) {
	linear_fixture fixture;
	setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_residue_score scores[N_RESIDUES];
	explain_by_shap(&fixture, 1, 1, scores);
	static double margins[N_SUBSETS];
	double values[N_RESIDUES] = {0}, total = 0, sum = 0, largest = 0;
	for (uint32_t f = 0; f < N_FRAMES; f++) {
		margins_of_subsets(&fixture, f, margins);
		total += (margins[N_SUBSETS - 1] - margins[0]) / N_FRAMES;
		for (int r = 0; r < N_RESIDUES; r++)
			values[r] += shapley_value(margins, r) / N_FRAMES;
	}
	for (int r = 0; r < N_RESIDUES; r++) {
		sum += scores[r].score;
		largest = fmax(largest, fabs(values[r]));
	}
	ck_assert_double_eq_tol(sum, total, 1e-5);
	for (int r = 0; r < N_RESIDUES; r++)
		ck_assert_double_eq_tol(scores[r].score, values[r], 0.01 * largest);
	teardown(&fixture);
}
END_TEST

START_TEST(shap_depends_on_its_seed_alone) {
	linear_fixture fixture;
	setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_residue_score one[N_RESIDUES], many[N_RESIDUES], other[N_RESIDUES];
	explain_by_shap(&fixture, 1, 1, one);
	explain_by_shap(&fixture, 3, 1, many);
	explain_by_shap(&fixture, 1, 2, other);
	int n_differ = 0;
	for (int r = 0; r < N_RESIDUES; r++) {
		ck_assert(one[r].score == many[r].score);
		ck_assert(one[r].standard_error == many[r].standard_error);
		n_differ += one[r].score != other[r].score;
	}
	ck_assert_int_gt(n_differ, 0);
	teardown(&fixture);
}
END_TEST

START_TEST(threads_and_rounding_mode_change_nothing) {
	linear_fixture fixture;
	setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_residue_score one[N_RESIDUES], many[N_RESIDUES];
	qmd_explanation *explanation;
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, N_FRAMES, NULL, &explanation));
	read_scores(explanation, one);
	qmd_explanation_free(explanation);

	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.n_threads = 3;
	ck_assert_int_eq(fesetround(FE_UPWARD), 0);
	const qmd_status status =
		qmd_explain(fixture.engine, fixture.dataset, fixture.frames, N_FRAMES, &options, &explanation);
	const int rounding = fegetround();
	fesetround(FE_TONEAREST);
	qmdt_ok(status);
	ck_assert_int_eq(rounding, FE_UPWARD);
	read_scores(explanation, many);
	qmd_explanation_free(explanation);
	for (int r = 0; r < N_RESIDUES; r++) {
		ck_assert(one[r].score == many[r].score);
		ck_assert(one[r].standard_error == many[r].standard_error);
		ck_assert_uint_eq(one[r].rank, many[r].rank);
	}
	teardown(&fixture);
}
END_TEST

START_TEST(one_frame_has_no_standard_error) {
	linear_fixture fixture;
	setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *explanation;
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames + 3, 1, NULL, &explanation));
	qmd_residue_score scores[N_RESIDUES];
	read_scores(explanation, scores);
	for (int r = 0; r < N_RESIDUES; r++)
		ck_assert(scores[r].standard_error == 0.0);
	qmd_explanation_free(explanation);
	teardown(&fixture);
}
END_TEST

/* Explain frames 0 .. FRAMES_A_STATE of state 2, from a data set that names its states otherwise. */
static void explain_antagonist(const linear_fixture *fixture, const uint32_t *frames, qmd_dataset *dataset,
							   qmd_residue_score *scores) {
	qmd_explanation *explanation;
	qmdt_ok(qmd_explain(fixture->engine, dataset, frames, FRAMES_A_STATE, NULL, &explanation));
	read_scores(explanation, scores);
	qmd_explanation_free(explanation);
}

START_TEST(states_are_found_by_name) {
	linear_fixture fixture;
	setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_dataset *reversed;
	qmdt_ok(qmd_dataset_create(NULL, &reversed));
	for (int s = N_CLASSES - 1; s >= 0; s--)
		add_state(reversed, fixture.topology, s, names[s]);
	qmd_residue_score in_order[N_RESIDUES], in_reverse[N_RESIDUES];
	explain_antagonist(&fixture, fixture.frames + 2 * FRAMES_A_STATE, fixture.dataset, in_order);
	explain_antagonist(&fixture, fixture.frames, reversed, in_reverse);
	for (int r = 0; r < N_RESIDUES; r++)
		ck_assert(in_order[r].score == in_reverse[r].score);
	qmd_dataset_free(reversed);
	teardown(&fixture);
}
END_TEST

static int cancel_at_half(void *user, const qmd_progress *progress) {
	int *calls = user;
	++*calls;
	return 2 * progress->done >= progress->total;
}

START_TEST(progress_can_cancel) {
	linear_fixture fixture;
	setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	int calls = 0;
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.progress = cancel_at_half;
	options.user = &calls;
	qmd_explanation *explanation;
	ck_assert_int_eq(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, N_FRAMES, &options, &explanation),
					 QMD_ERROR_CANCELLED);
	ck_assert_ptr_null(explanation);
	ck_assert_int_gt(calls, 1);
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, NULL, &explanation));
	qmd_explanation_free(explanation);
	teardown(&fixture);
}
END_TEST

START_TEST(other_atoms_and_other_states_are_refused) {
	linear_fixture fixture;
	setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *explanation;
	qmd_dataset *dataset;

	qmd_topology *renumbered = make_topology(201);
	qmdt_ok(qmd_dataset_create(NULL, &dataset));
	add_state(dataset, renumbered, 0, "apo");
	qmdt_fails(qmd_explain(fixture.engine, dataset, fixture.frames, 1, NULL, &explanation), QMD_ERROR_MATCH, "GLY201");
	qmd_dataset_free(dataset);
	qmd_topology_free(renumbered);

	qmd_dataset_options options;
	qmd_dataset_options_init(&options);
	options.selection = "name CA";
	qmdt_ok(qmd_dataset_create(&options, &dataset));
	add_state(dataset, fixture.topology, 0, "apo");
	qmdt_fails(qmd_explain(fixture.engine, dataset, fixture.frames, 1, NULL, &explanation), QMD_ERROR_MATCH, "9 atoms");
	qmd_dataset_free(dataset);

	qmdt_ok(qmd_dataset_create(NULL, &dataset));
	add_state(dataset, fixture.topology, 0, "holo");
	qmdt_fails(qmd_explain(fixture.engine, dataset, fixture.frames, 1, NULL, &explanation), QMD_ERROR_ARGUMENT, "holo");
	qmd_dataset_free(dataset);
	teardown(&fixture);
}
END_TEST

START_TEST(wrong_arguments_are_refused) {
	linear_fixture fixture;
	setup(&fixture, QMD_PIXELS_DISPLACEMENT);
	qmd_explanation *explanation;
	qmdt_fails(qmd_explain(NULL, fixture.dataset, fixture.frames, 1, NULL, &explanation), QMD_ERROR_ARGUMENT, "engine");
	qmdt_fails(qmd_explain(fixture.engine, NULL, fixture.frames, 1, NULL, &explanation), QMD_ERROR_ARGUMENT, "dataset");
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, NULL, 1, NULL, &explanation), QMD_ERROR_ARGUMENT, "frames");
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 0, NULL, &explanation), QMD_ERROR_ARGUMENT,
			   "n_frames is 0");
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, NULL, NULL), QMD_ERROR_ARGUMENT,
			   "explanation");
	const uint32_t beyond = N_FRAMES;
	ck_assert_int_eq(qmd_explain(fixture.engine, fixture.dataset, &beyond, 1, NULL, &explanation), QMD_ERROR_RANGE);
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.method = 3;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "method is 3");
	options.method = QMD_EXPLAIN_SHAP;
	options.n_samples = 4 * N_RESIDUES - 1;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "n_samples is 35");
	options.n_samples = UINT32_MAX;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "n_samples is 4294967295");
	options.struct_size = 3;
	qmdt_fails(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, &options, &explanation),
			   QMD_ERROR_ARGUMENT, "struct_size is 3");

	qmd_residue_score score = {.struct_size = sizeof score};
	qmdt_ok(qmd_explain(fixture.engine, fixture.dataset, fixture.frames, 1, NULL, &explanation));
	qmdt_fails(qmd_explanation_residue(explanation, N_RESIDUES, &score), QMD_ERROR_RANGE, "9 residues");
	qmdt_fails(qmd_explanation_residue(NULL, 0, &score), QMD_ERROR_ARGUMENT, "explanation");
	qmdt_fails(qmd_explanation_residue(explanation, 0, NULL), QMD_ERROR_ARGUMENT, "score");
	score.struct_size = 0;
	qmdt_fails(qmd_explanation_residue(explanation, 0, &score), QMD_ERROR_ARGUMENT, "struct_size is 0");
	qmd_explanation_free(explanation);
	qmd_explanation_free(NULL);
	ck_assert_uint_eq(qmd_explanation_n_residues(NULL), 0);
	teardown(&fixture);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("explain");
	TCase *scores = tcase_create("scores");
	tcase_add_test(scores, scores_are_the_fall_of_the_margin);
	tcase_add_test(scores, background_of_icnnmd_pixels_is_their_mean_image);
	tcase_add_test(scores, frame_scores_are_those_of_each_frame_alone);
	tcase_add_test(scores, shap_finds_shapley_values);
	tcase_add_test(scores, shap_depends_on_its_seed_alone);
	tcase_add_test(scores, threads_and_rounding_mode_change_nothing);
	tcase_add_test(scores, one_frame_has_no_standard_error);
	tcase_add_test(scores, states_are_found_by_name);
	tcase_add_test(scores, progress_can_cancel);
	suite_add_tcase(suite, scores);
	TCase *errors = tcase_create("errors");
	tcase_add_test(errors, other_atoms_and_other_states_are_refused);
	tcase_add_test(errors, models_need_pixels_and_class_names);
	tcase_add_test(errors, wrong_arguments_are_refused);
	suite_add_tcase(suite, errors);
	return qmdt_run(suite);
}
