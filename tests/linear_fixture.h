/* A linear network on a cloud of atoms: margins that a dot product in double precision knows. */
#ifndef QMD_TESTS_LINEAR_FIXTURE_H
#define QMD_TESTS_LINEAR_FIXTURE_H

#include <qmd.h>

#define LINEAR_N_RESIDUES 9
#define LINEAR_ATOMS_A_RESIDUE 4
#define LINEAR_N_ATOMS (LINEAR_N_RESIDUES * LINEAR_ATOMS_A_RESIDUE)
#define LINEAR_SIDE 6
#define LINEAR_N_PIXELS (LINEAR_SIDE * LINEAR_SIDE * 3)
#define LINEAR_N_CLASSES 3
#define LINEAR_FRAMES_A_STATE 7
#define LINEAR_N_FRAMES (LINEAR_N_CLASSES * LINEAR_FRAMES_A_STATE)
#define LINEAR_WEIGHT_STEP 0x1p-10 /* weights are whole multiples of it, up to 127: quantizing them loses nothing */

extern const char *const qmdt_linear_names[LINEAR_N_CLASSES];

typedef struct qmdt_linear {
	qmd_topology *topology;
	qmd_dataset *dataset;
	qmd_split *split;
	qmd_pixels *pixels;
	qmd_model *model;
	qmd_engine *engine;
	int weights[LINEAR_N_CLASSES][LINEAR_N_PIXELS];
	uint32_t frames[LINEAR_N_FRAMES];
} qmdt_linear;

void qmdt_linear_setup(qmdt_linear *fixture, int32_t pixels_kind);
void qmdt_linear_teardown(qmdt_linear *fixture);

/* The model, quantized without fine-tuning: what the engine was compiled from. Free with qmd_model_free(). */
qmd_model *qmdt_linear_quantized(const qmdt_linear *fixture);

/* The molecule, its residues numbered from `first_residue` on (101 in the fixture); and the frames of a state. */
qmd_topology *qmdt_linear_topology(int first_residue);
void qmdt_linear_add_state(qmd_dataset *dataset, const qmd_topology *topology, int state, const char *name);

/* The bytes of an image as numbers. */
void qmdt_linear_read_pixels(const qmdt_linear *fixture, const unsigned char *bytes, int *image);

/* The margin of class `own` for an image, in real numbers. */
double qmdt_linear_margin(const qmdt_linear *fixture, const int *image, double pixel_scale, int own);

/* scores: [LINEAR_N_RESIDUES] */
void qmdt_linear_read_scores(const qmd_explanation *explanation, qmd_residue_score *scores);

/* Scores of all frames by a method that samples. */
void qmdt_linear_sample(const qmdt_linear *fixture, int32_t method, uint32_t n_samples, uint32_t n_threads,
						uint64_t seed, qmd_residue_score *scores);

#endif
