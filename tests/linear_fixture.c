#include "linear_fixture.h"

#include <math.h>
#include <stdio.h>

#include "support.h"

const char *const qmdt_linear_names[LINEAR_N_CLASSES] = {"apo", "agonist", "antagonist"};

static unsigned next_random(unsigned *state) {
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

qmd_topology *qmdt_linear_topology(int first_residue) {
	static const char *const atom_names[LINEAR_ATOMS_A_RESIDUE] = {"N", "CA", "C", "O"};
	static const char elements[LINEAR_ATOMS_A_RESIDUE] = {'N', 'C', 'C', 'O'};
	qmd_atom atoms[LINEAR_N_ATOMS];
	memset(atoms, 0, sizeof atoms);
	for (int i = 0; i < LINEAR_N_ATOMS; i++) {
		snprintf(atoms[i].name, sizeof atoms[i].name, "%s", atom_names[i % LINEAR_ATOMS_A_RESIDUE]);
		memcpy(atoms[i].residue_name, "GLY", sizeof "GLY");
		memcpy(atoms[i].chain, "A", sizeof "A");
		atoms[i].element[0] = elements[i % LINEAR_ATOMS_A_RESIDUE];
		atoms[i].residue_number = first_residue + i / LINEAR_ATOMS_A_RESIDUE;
	}
	qmd_topology *topology;
	qmdt_ok(qmd_topology_create(atoms, LINEAR_N_ATOMS, &topology));
	return topology;
}

/* A wobbling cloud of atoms; in state s residue 2s + 1 is moved. */
static void fill_frames(int state, float xyz[LINEAR_FRAMES_A_STATE][LINEAR_N_ATOMS][3]) {
	unsigned shape = 1, wobble = 77u + (unsigned)state;
	float base[LINEAR_N_ATOMS][3];
	for (int i = 0; i < LINEAR_N_ATOMS; i++)
		for (int k = 0; k < 3; k++)
			base[i][k] = (float)(next_random(&shape) % 2000) / 100.0f;
	for (int f = 0; f < LINEAR_FRAMES_A_STATE; f++)
		for (int i = 0; i < LINEAR_N_ATOMS; i++)
			for (int k = 0; k < 3; k++) {
				const float moved = i / LINEAR_ATOMS_A_RESIDUE == 2 * state + 1 && k == 0 ? 2.5f : 0.0f;
				xyz[f][i][k] = base[i][k] + moved + (float)(next_random(&wobble) % 100) / 100.0f;
			}
}

void qmdt_linear_add_state(qmd_dataset *dataset, const qmd_topology *topology, int state, const char *name) {
	float xyz[LINEAR_FRAMES_A_STATE][LINEAR_N_ATOMS][3];
	fill_frames(state, xyz);
	qmdt_ok(qmd_dataset_add_frames(dataset, name, topology, &xyz[0][0][0], LINEAR_FRAMES_A_STATE));
}

static qmd_model *make_model(qmdt_linear *fixture) {
	const qmd_shape input = {LINEAR_SIDE, LINEAR_SIDE, 3};
	qmd_model *model;
	qmd_layer layer;
	qmdt_ok(qmd_model_create(input, &model));
	qmd_layer_init(&layer, QMD_LAYER_FLATTEN);
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	qmd_layer_init(&layer, QMD_LAYER_DENSE);
	layer.name = "dense";
	layer.units = LINEAR_N_CLASSES;
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	qmd_layer_init(&layer, QMD_LAYER_SOFTMAX);
	qmdt_ok(qmd_model_add(model, &layer, NULL));

	unsigned random = 5;
	float values[LINEAR_N_CLASSES * LINEAR_N_PIXELS];
	for (int c = 0; c < LINEAR_N_CLASSES; c++)
		for (int p = 0; p < LINEAR_N_PIXELS; p++) {
			fixture->weights[c][p] = p == 0 ? 127 : (int)(next_random(&random) % 255) - 127;
			values[c * LINEAR_N_PIXELS + p] = (float)(fixture->weights[c][p] * LINEAR_WEIGHT_STEP);
		}
	const float biases[LINEAR_N_CLASSES] = {0};
	qmdt_ok(qmd_model_set_parameters(model, "dense", "weight", LINEAR_N_CLASSES * LINEAR_N_PIXELS, values));
	qmdt_ok(qmd_model_set_parameters(model, "dense", "bias", LINEAR_N_CLASSES, biases));
	qmdt_ok(qmd_model_bind(model, fixture->pixels, qmdt_linear_names));
	return model;
}

qmd_model *qmdt_linear_quantized(const qmdt_linear *fixture) {
	qmd_model *quantized;
	qmd_quantize_options options;
	qmd_quantize_options_init(&options);
	options.epochs = 0;
	options.n_threads = 1;
	qmdt_ok(qmd_quantize(fixture->model, fixture->dataset, fixture->split, &options, &quantized));
	return quantized;
}

static qmd_engine *make_engine(const qmdt_linear *fixture) {
	qmd_model *quantized = qmdt_linear_quantized(fixture);
	qmd_engine *engine;
	qmdt_ok(qmd_engine_compile(quantized, NULL, &engine));
	qmd_model_free(quantized);
	return engine;
}

void qmdt_linear_setup(qmdt_linear *fixture, int32_t kind) {
	memset(fixture, 0, sizeof *fixture);
	fixture->topology = qmdt_linear_topology(101);
	qmdt_ok(qmd_dataset_create(NULL, &fixture->dataset));
	for (int s = 0; s < LINEAR_N_CLASSES; s++)
		qmdt_linear_add_state(fixture->dataset, fixture->topology, s, qmdt_linear_names[s]);
	qmdt_ok(qmd_split_all(fixture->dataset, &fixture->split));
	qmd_pixels_options options;
	qmd_pixels_options_init(&options);
	options.kind = kind;
	qmdt_ok(qmd_pixels_fit(fixture->dataset, fixture->split, &options, &fixture->pixels));
	fixture->model = make_model(fixture);
	fixture->engine = make_engine(fixture);
	for (uint32_t f = 0; f < LINEAR_N_FRAMES; f++)
		fixture->frames[f] = f;
}

void qmdt_linear_teardown(qmdt_linear *fixture) {
	qmd_engine_free(fixture->engine);
	qmd_model_free(fixture->model);
	qmd_pixels_free(fixture->pixels);
	qmd_split_free(fixture->split);
	qmd_dataset_free(fixture->dataset);
	qmd_topology_free(fixture->topology);
}

double qmdt_linear_margin(const qmdt_linear *fixture, const int *image, double pixel_scale, int own) {
	double logits[LINEAR_N_CLASSES], other = -INFINITY;
	for (int c = 0; c < LINEAR_N_CLASSES; c++) {
		double sum = 0;
		for (int p = 0; p < LINEAR_N_PIXELS; p++)
			sum += (double)fixture->weights[c][p] * image[p];
		logits[c] = sum * pixel_scale * LINEAR_WEIGHT_STEP;
		if (c != own && logits[c] > other)
			other = logits[c];
	}
	return logits[own] - other;
}

void qmdt_linear_read_pixels(const qmdt_linear *fixture, const unsigned char *bytes, int *image) {
	const int is_signed = qmd_pixels_type(fixture->pixels) == QMD_S8;
	for (int p = 0; p < LINEAR_N_PIXELS; p++)
		image[p] = is_signed ? (int)(signed char)bytes[p] : (int)bytes[p];
}

void qmdt_linear_read_scores(const qmd_explanation *explanation, qmd_residue_score *scores) {
	ck_assert_uint_eq(qmd_explanation_n_residues(explanation), LINEAR_N_RESIDUES);
	for (size_t r = 0; r < LINEAR_N_RESIDUES; r++) {
		scores[r].struct_size = sizeof scores[r];
		qmdt_ok(qmd_explanation_residue(explanation, r, &scores[r]));
	}
}

void qmdt_linear_sample(const qmdt_linear *fixture, int32_t method, uint32_t n_samples, uint32_t n_threads,
						uint64_t seed, qmd_residue_score *scores) {
	qmd_explain_options options;
	qmd_explain_options_init(&options);
	options.method = method;
	options.n_samples = n_samples;
	options.n_threads = n_threads;
	options.seed = seed;
	qmd_explanation *explanation;
	qmdt_ok(qmd_explain(fixture->engine, fixture->dataset, fixture->frames, LINEAR_N_FRAMES, &options, &explanation));
	qmdt_linear_read_scores(explanation, scores);
	qmd_explanation_free(explanation);
}
