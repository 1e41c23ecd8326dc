/*
 * Known answers: trajectories in which a few residues stand elsewhere in one state than in the other, and all else is
 * noise. The whole chain, from coordinates to scores on held-out frames, must find just those residues; and where the
 * labels are shuffled, nothing beyond chance.
 */
#include "support.h"

#include <math.h>
#include <stdio.h>

#include "base/random.h"

#define N_RESIDUES 49
#define ATOMS_A_RESIDUE 4
#define N_ATOMS (N_RESIDUES * ATOMS_A_RESIDUE)
#define SIDE 14 /* of the images: as many pixels as atoms */
#define BORDER 2
#define N_PLANTED 4
#define N_STATES 2
#define N_REPLICAS 3
#define FRAMES_A_REPLICA 32
#define N_HELD_OUT (N_STATES * FRAMES_A_REPLICA)
#define N_SEEDS 20
#define MOVED_ANGSTROM 3.0
#define MOVED_SHARE 0.6f    /* of the frames, for each planted residue by itself */
#define WANDER_ANGSTROM 0.4 /* standard deviation of a residue as a whole, along each axis */
#define NOISE_ANGSTROM 0.3  /* of each atom, beside it */

/* Streams of random numbers, beside one for each frame. */
enum { STREAM_SHAPE = 1000, STREAM_PLANTED, STREAM_DIRECTION, STREAM_MOVED = 2000 };

typedef struct molecule {
	uint64_t seed;
	double shape[N_ATOMS][3];
	uint32_t planted[N_PLANTED];
	double moved[N_PLANTED][3];
} molecule;

/* Box and Muller 1958. */
static double draw_normal(uint64_t seed, uint64_t stream, uint64_t index) {
	const double u = 1.0 - (double)qmdi_random_f32(seed, stream, 2 * index);
	const double angle = 6.283185307179586 * (double)qmdi_random_f32(seed, stream, 2 * index + 1);
	return sqrt(-2.0 * log(u)) * cos(angle);
}

/* Convolutions without padding see the outermost pixels less often than others, and a network that can do without a
 * residue there does: signal is planted where all pixels are seen alike. */
static int is_inside(uint32_t residue) {
	for (uint32_t i = residue * ATOMS_A_RESIDUE; i < (residue + 1) * ATOMS_A_RESIDUE; i++) {
		const uint32_t x = i % SIDE, y = i / SIDE;
		if (x < BORDER || y < BORDER || x >= SIDE - BORDER || y >= SIDE - BORDER)
			return 0;
	}
	return 1;
}

static void draw_molecule(molecule *m, uint64_t seed) {
	m->seed = seed;
	for (size_t i = 0; i < N_ATOMS; i++)
		for (size_t k = 0; k < 3; k++)
			m->shape[i][k] = 30.0 * (double)qmdi_random_f32(seed, STREAM_SHAPE, 3 * i + k);
	uint32_t residues[N_RESIDUES];
	size_t n = 0;
	for (uint32_t r = 0; r < N_RESIDUES; r++)
		if (is_inside(r))
			residues[n++] = r;
	qmdi_random_shuffle(seed, STREAM_PLANTED, residues, n);
	for (size_t p = 0; p < N_PLANTED; p++) {
		double length = 0;
		m->planted[p] = residues[p];
		for (size_t k = 0; k < 3; k++) {
			m->moved[p][k] = draw_normal(seed, STREAM_DIRECTION, 3 * p + k);
			length += m->moved[p][k] * m->moved[p][k];
		}
		for (size_t k = 0; k < 3; k++)
			m->moved[p][k] *= MOVED_ANGSTROM / sqrt(length);
	}
}

static int is_planted(const molecule *m, uint32_t residue) {
	for (size_t p = 0; p < N_PLANTED; p++)
		if (m->planted[p] == residue)
			return 1;
	return 0;
}

/* Turn by the unit quaternion (w, x, y, z). */
static void turn(const double q[4], const double from[3], float to[3]) {
	const double w = q[0], x = q[1], y = q[2], z = q[3];
	const double rows[3][3] = {{1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)},
							   {2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)},
							   {2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)}};
	for (size_t k = 0; k < 3; k++)
		to[k] = (float)(rows[k][0] * from[0] + rows[k][1] * from[1] + rows[k][2] * from[2]);
}

/* Each planted residue moves in some frames, apart from the others: none of them alone tells the states apart. */
static void move_planted(const molecule *m, uint64_t frame, uint32_t residue, double offset[3]) {
	for (size_t p = 0; p < N_PLANTED; p++) {
		if (m->planted[p] != residue || qmdi_random_f32(m->seed, STREAM_MOVED + frame, p) >= MOVED_SHARE)
			continue;
		for (size_t k = 0; k < 3; k++)
			offset[k] += m->moved[p][k];
	}
}

/* One frame, turned at random: the planted residues are moved or not, all residues wander, all atoms tremble. */
static void draw_frame(const molecule *m, uint64_t frame, int is_moved, float xyz[N_ATOMS][3]) {
	double quaternion[4], length = 0;
	uint64_t next = 0;
	for (size_t k = 0; k < 4; k++) {
		quaternion[k] = draw_normal(m->seed, frame, next++);
		length += quaternion[k] * quaternion[k];
	}
	for (size_t k = 0; k < 4; k++)
		quaternion[k] /= sqrt(length);
	for (uint32_t r = 0; r < N_RESIDUES; r++) {
		double offset[3];
		for (size_t k = 0; k < 3; k++)
			offset[k] = WANDER_ANGSTROM * draw_normal(m->seed, frame, next++);
		if (is_moved)
			move_planted(m, frame, r, offset);
		for (size_t i = r * ATOMS_A_RESIDUE; i < (r + 1) * ATOMS_A_RESIDUE; i++) {
			double position[3];
			for (size_t k = 0; k < 3; k++)
				position[k] = m->shape[i][k] + offset[k] + NOISE_ANGSTROM * draw_normal(m->seed, frame, next++);
			turn(quaternion, position, xyz[i]);
		}
	}
}

static qmd_topology *make_topology(void) {
	static const char *const atom_names[ATOMS_A_RESIDUE] = {"N", "CA", "C", "O"};
	qmd_atom atoms[N_ATOMS];
	memset(atoms, 0, sizeof atoms);
	for (int i = 0; i < N_ATOMS; i++) {
		snprintf(atoms[i].name, sizeof atoms[i].name, "%s", atom_names[i % ATOMS_A_RESIDUE]);
		memcpy(atoms[i].residue_name, "ALA", sizeof "ALA");
		memcpy(atoms[i].chain, "A", sizeof "A");
		atoms[i].residue_number = 1 + i / ATOMS_A_RESIDUE;
	}
	qmd_topology *topology;
	qmdt_ok(qmd_topology_create(atoms, N_ATOMS, &topology));
	return topology;
}

/* Three replicas of two states. With shuffled labels what moves is still there, but says nothing of the state. */
static qmd_dataset *make_dataset(const molecule *m, int is_shuffled) {
	static const char *const names[N_STATES] = {"still", "moved"};
	static float xyz[N_STATES][FRAMES_A_REPLICA][N_ATOMS][3];
	qmd_topology *topology = make_topology();
	qmd_dataset *dataset;
	qmdt_ok(qmd_dataset_create(NULL, &dataset));
	for (uint64_t replica = 0; replica < N_REPLICAS; replica++) {
		for (uint32_t f = 0; f < N_HELD_OUT; f++)
			draw_frame(m, replica * N_HELD_OUT + f, f >= FRAMES_A_REPLICA,
					   xyz[f / FRAMES_A_REPLICA][f % FRAMES_A_REPLICA]);
		for (size_t s = 0; s < N_STATES; s++)
			qmdt_ok(qmd_dataset_add_frames(dataset, names[s], topology, &xyz[s][0][0][0], FRAMES_A_REPLICA));
	}
	qmd_topology_free(topology);
	if (is_shuffled)
		qmdt_ok(qmd_dataset_shuffle_labels(dataset, m->seed));
	return dataset;
}

static qmd_engine *make_engine(qmd_dataset *dataset, const qmd_split *split, uint64_t seed) {
	qmd_pixels *pixels;
	qmdt_ok(qmd_pixels_fit(dataset, split, NULL, &pixels));
	const uint32_t side = (uint32_t)qmd_pixels_side(pixels);
	qmd_model *model, *quantized;
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){side, side, 3}, N_STATES, seed, &model));
	qmd_train_options train;
	qmd_train_options_init(&train);
	train.learning_rate = 1e-3;
	train.epochs = 12;
	train.seed = seed;
	train.n_threads = 1;
	qmdt_ok(qmd_train(model, dataset, split, pixels, &train));
	qmd_quantize_options quantize;
	qmd_quantize_options_init(&quantize);
	quantize.epochs = 0;
	quantize.n_threads = 1;
	qmdt_ok(qmd_quantize(model, dataset, split, &quantize, &quantized));
	qmd_engine *engine;
	qmdt_ok(qmd_engine_compile(quantized, NULL, &engine));
	qmd_model_free(quantized);
	qmd_model_free(model);
	qmd_pixels_free(pixels);
	return engine;
}

/* Train on two replicas, explain on the third. */
static void score_residues(const molecule *m, int is_shuffled, qmd_residue_score scores[N_RESIDUES]) {
	qmd_dataset *dataset = make_dataset(m, is_shuffled);
	qmd_split *split;
	qmdt_ok(qmd_split_by_replica(dataset, 0, &split));
	qmd_engine *engine = make_engine(dataset, split, m->seed);
	size_t n = 0;
	const uint32_t *held_out = qmd_split_test(split, &n);
	ck_assert_uint_eq(n, N_HELD_OUT);
	qmd_explanation *explanation;
	qmdt_ok(qmd_explain(engine, dataset, held_out, n, NULL, &explanation));
	ck_assert_uint_eq(qmd_explanation_n_residues(explanation), N_RESIDUES);
	for (size_t r = 0; r < N_RESIDUES; r++) {
		scores[r].struct_size = sizeof scores[r];
		qmdt_ok(qmd_explanation_residue(explanation, r, &scores[r]));
	}
	qmd_explanation_free(explanation);
	qmd_engine_free(engine);
	qmd_split_free(split);
	qmd_dataset_free(dataset);
}

START_TEST(planted_residues_rank_first) {
	molecule m;
	for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
		draw_molecule(&m, seed);
		qmd_residue_score scores[N_RESIDUES];
		score_residues(&m, 0, scores);
		for (uint32_t r = 0; r < N_RESIDUES; r++) {
			ck_assert_msg((scores[r].rank <= N_PLANTED) == is_planted(&m, r),
						  "seed %u: residue %u, which is %s, has rank %u with score %g +- %g", (unsigned)seed, r,
						  is_planted(&m, r) ? "planted" : "noise", scores[r].rank, scores[r].score,
						  scores[r].standard_error);
			if (is_planted(&m, r))
				ck_assert_double_gt(scores[r].score, 2 * scores[r].standard_error);
		}
	}
}
END_TEST

/*
 * What is tested: the standard errors. Held-out frames are drawn independently, and their labels say nothing, so every
 * score has the mean 0, and beyond 3 standard errors lie 0.39 percent of them (Student's t with 63 degrees of freedom):
 * 3.8 of 980 expected. More than 12 would happen less than twice in ten thousand times if the scores were independent
 * of each other, which within one network they nearly are. It says nothing of ranks, of which some are always first,
 * nor of frames that are correlated, as those of a simulation are.
 */
START_TEST(shuffled_labels_find_nothing) {
	molecule m;
	int n_beyond = 0;
	for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
		draw_molecule(&m, seed);
		qmd_residue_score scores[N_RESIDUES];
		score_residues(&m, 1, scores);
		for (uint32_t r = 0; r < N_RESIDUES; r++)
			n_beyond += fabs(scores[r].score) > 3 * scores[r].standard_error;
	}
	ck_assert_msg(n_beyond <= 12, "%d of %d scores are beyond 3 standard errors", n_beyond, N_SEEDS * N_RESIDUES);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("explain_planted");
	TCase *planted = tcase_create("planted");
	tcase_set_timeout(planted, 300);
	tcase_add_test(planted, planted_residues_rank_first);
	tcase_add_test(planted, shuffled_labels_find_nothing);
	suite_add_tcase(suite, planted);
	return qmdt_run(suite);
}
