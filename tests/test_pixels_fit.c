/* Pixels fitted on data sets, and the frames of data sets to images. */
#include "support.h"

#include <math.h>
#include <stdio.h>

#include "allocator_fixture.h"
#include "base/hash.h"
#include "netcdf_fixture.h"
#include "pixels/pixels_internal.h"

/* ---- A molecule in memory: an octahedron of CA atoms that stays, and two side-chain atoms that move ---- */

#define N_ATOMS 8
static const float still[N_ATOMS][3] = {{8, 0, 0}, {-8, 0, 0}, {0, 8, 0}, {0, -8, 0},
										{0, 0, 8}, {0, 0, -8}, {1, 2, 3}, {16, -8, 4}};

static qmd_topology *make_topology(void) {
	qmd_atom atoms[N_ATOMS] = {{.name = ""}};
	for (size_t i = 0; i < N_ATOMS; i++) {
		snprintf(atoms[i].name, sizeof atoms[i].name, "%s", i < 6 ? "CA" : "CB");
		snprintf(atoms[i].residue_name, sizeof atoms[i].residue_name, "ALA");
		snprintf(atoms[i].element, sizeof atoms[i].element, "C");
		snprintf(atoms[i].chain, sizeof atoms[i].chain, "A");
		atoms[i].residue_number = (int32_t)i + 1;
	}
	qmd_topology *topology;
	qmdt_ok(qmd_topology_create(atoms, N_ATOMS, &topology));
	return topology;
}

/* The molecule with atom 6 moved by (x, y, z), then turned a number of quarter turns about z, then shifted. */
static void make_frame(float x, float y, float z, int quarters, float shift, float (*xyz)[3]) {
	memcpy(xyz, still, sizeof still);
	xyz[6][0] += x, xyz[6][1] += y, xyz[6][2] += z;
	for (size_t i = 0; i < N_ATOMS; i++) {
		for (int turn = 0; turn < quarters; turn++) {
			const float old = xyz[i][0];
			xyz[i][0] = -xyz[i][1];
			xyz[i][1] = old;
		}
		for (size_t axis = 0; axis < 3; axis++)
			xyz[i][axis] += shift;
	}
}

/*
 * State "a": replica 0 has atom 6 at +1 and -3 along x, replica 1 at (40, 0, 0). State "b": replica 0 has it at +2
 * along x, replica 1 at (0, 50, 0). Each frame is turned and shifted in its own way.
 */
static qmd_dataset *make_dataset(void) {
	qmd_dataset_options options;
	qmd_dataset_options_init(&options);
	options.selection = "all";
	qmd_dataset *dataset;
	qmdt_ok(qmd_dataset_create(&options, &dataset));
	qmd_topology *topology = make_topology();
	float frames[2][N_ATOMS][3];
	make_frame(1, 0, 0, 0, 10, frames[0]);
	make_frame(-3, 0, 0, 1, -20, frames[1]);
	qmdt_ok(qmd_dataset_add_frames(dataset, "a", topology, &frames[0][0][0], 2));
	make_frame(40, 0, 0, 2, 0, frames[0]);
	qmdt_ok(qmd_dataset_add_frames(dataset, "a", topology, &frames[0][0][0], 1));
	make_frame(2, 0, 0, 3, 30, frames[0]);
	qmdt_ok(qmd_dataset_add_frames(dataset, "b", topology, &frames[0][0][0], 1));
	make_frame(0, 50, 0, 1, 0, frames[0]);
	qmdt_ok(qmd_dataset_add_frames(dataset, "b", topology, &frames[0][0][0], 1));
	qmd_topology_free(topology);
	return dataset;
}

/* ---- Displacement ---- */

START_TEST(reference_is_the_mean_of_the_training_frames_alone) {
	qmd_dataset *dataset = make_dataset();
	qmd_split *split;
	qmd_pixels *pixels;
	qmdt_ok(qmd_split_by_replica(dataset, 1, &split));
	qmdt_ok(qmd_pixels_fit(dataset, split, NULL, &pixels));
	ck_assert_int_eq(qmd_pixels_kind_of(pixels), QMD_PIXELS_DISPLACEMENT);
	ck_assert_uint_eq(qmd_pixels_n_superposed(pixels), 6); /* of backbone N CA C O only CA is there */
	float reference[N_ATOMS][3];
	qmdt_ok(qmd_pixels_reference(pixels, &reference[0][0]));
	/* (1 - 3 + 2) / 3 = 0, and the octahedron has its centre in the origin. */
	for (size_t i = 0; i < 3 * N_ATOMS; i++)
		ck_assert_float_eq_tol(reference[i / 3][i % 3], still[i / 3][i % 3], 1e-4f);

	/* A step is 5/127 angstrom: +1, -3, +40 and +50 angstrom are 25.4, -76.2 and beyond the range. */
	const uint32_t indices[5] = {0, 1, 2, 3, 4};
	const int8_t expected[5][3] = {{25, 0, 0}, {-76, 0, 0}, {127, 0, 0}, {51, 0, 0}, {0, 127, 0}};
	int8_t images[5][9][3];
	qmdt_ok(qmd_pixels_run_dataset(pixels, dataset, indices, 5, images));
	for (size_t frame = 0; frame < 5; frame++)
		for (size_t i = 0; i < 27; i++)
			ck_assert_int_eq(images[frame][i / 3][i % 3], i / 3 == 6 ? expected[frame][i % 3] : 0);
	qmd_pixels_free(pixels);
	qmd_split_free(split);
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(range_may_be_in_sigma) {
	qmd_dataset *dataset = make_dataset();
	qmd_split *split;
	qmd_pixels *pixels;
	qmd_pixels_options options;
	qmd_pixels_options_init(&options);
	options.range = 4.0;
	options.range_in_sigma = 1;
	qmdt_ok(qmd_split_by_replica(dataset, 1, &split));
	qmdt_ok(qmd_pixels_fit(dataset, split, &options, &pixels));
	/* 1, -3 and 2 along one of three axes: variance (1 + 9 + 4) / 9. The others stand still: 0.01 angstrom. */
	ck_assert_float_eq_tol(pixels->steps[6], (float)(4.0 * sqrt(14.0 / 9.0) / 127.0), 1e-6f);
	ck_assert_float_eq_tol(pixels->steps[0], (float)(4.0 * 0.01 / 127.0), 1e-8f);
	ck_assert_float_eq_tol(pixels->steps[7], (float)(4.0 * 0.01 / 127.0), 1e-8f);
	qmd_pixels_free(pixels);
	qmd_split_free(split);
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(superposition_is_on_what_is_selected) {
	qmd_dataset *dataset = make_dataset();
	qmd_split *split;
	qmd_pixels *pixels;
	qmd_pixels_options options;
	qmd_pixels_options_init(&options);
	qmdt_ok(qmd_split_all(dataset, &split));
	options.superpose = "index 2 to 5 7";
	qmdt_ok(qmd_pixels_fit(dataset, split, &options, &pixels));
	ck_assert_uint_eq(qmd_pixels_n_superposed(pixels), 5);
	const uint32_t expected[5] = {2, 3, 4, 5, 7};
	ck_assert_mem_eq(pixels->superposed, expected, sizeof expected);
	qmd_pixels_free(pixels);
	options.superpose = "name CB";
	qmdt_fails(qmd_pixels_fit(dataset, split, &options, &pixels), QMD_ERROR_MATCH, "'name CB' selects 2 of 8 atoms");
	options.superpose = "name (";
	qmdt_fails(qmd_pixels_fit(dataset, split, &options, &pixels), QMD_ERROR_FORMAT, "");
	qmd_split_free(split);
	qmd_dataset_free(dataset);
}
END_TEST

/* ---- The adenylate kinase of the examples ---- */

static qmd_dataset *load_adk(void) {
	qmd_dataset *dataset;
	qmdt_ok(qmd_dataset_create(NULL, &dataset));
	const char *open[2] = {qmdt_bundled("adk-open-1.nc"), qmdt_bundled("adk-open-2.nc")};
	const char *closed[2] = {qmdt_bundled("adk-closed-1.nc"), qmdt_bundled("adk-closed-2.nc")};
	qmdt_ok(qmd_dataset_add_state(dataset, "open", qmdt_bundled("adk-open.pdb"), open, 2));
	qmdt_ok(qmd_dataset_add_state(dataset, "closed", qmdt_bundled("adk-closed.pdb"), closed, 2));
	return dataset;
}

START_TEST(fitted_mean_is_its_own_mean) {
	qmd_dataset *dataset = load_adk();
	qmd_split *split;
	qmd_pixels *pixels;
	qmd_pixels_options options;
	qmd_pixels_options_init(&options);
	options.n_iterations = 10;
	options.range = 40.0;
	qmdt_ok(qmd_split_by_replica(dataset, 1, &split));
	qmdt_ok(qmd_pixels_fit(dataset, split, &options, &pixels));
	const size_t n = qmd_pixels_n_atoms(pixels), size = qmd_pixels_side(pixels) * qmd_pixels_side(pixels) * 3;
	ck_assert_uint_eq(n, 1656);
	ck_assert_uint_eq(size, 41 * 41 * 3);
	ck_assert_uint_eq(qmd_pixels_n_superposed(pixels), 4 * 214);
	/* Displacements from a mean have no mean: none is near 40 angstrom, so that a pixel's sum over 80 frames is off by
	 * the rounding of each alone, 80 halves at the very most. */
	size_t n_train;
	const uint32_t *train = qmd_split_train(split, &n_train);
	ck_assert_uint_eq(n_train, 80);
	int8_t *images = malloc(n_train * size);
	qmdt_ok(qmd_pixels_run_dataset(pixels, dataset, train, n_train, images));
	double squares = 0.0;
	for (size_t i = 0; i < size; i++) {
		int sum = 0;
		for (size_t frame = 0; frame < n_train; frame++)
			sum += images[frame * size + i];
		ck_assert_int_le(abs(sum), 30);
		squares += sum * sum;
	}
	ck_assert_double_le(sqrt(squares / (double)size), 3.5); /* 80 roundings: sqrt(80 / 12) = 2.6 */
	free(images);
	qmd_pixels_free(pixels);
	qmd_split_free(split);
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(frames_of_a_data_set_are_the_frames_of_a_host) {
	qmd_dataset *dataset = load_adk();
	qmd_split *split;
	qmdt_ok(qmd_split_by_replica(dataset, 0, &split));
	for (int32_t kind = QMD_PIXELS_DISPLACEMENT; kind <= QMD_PIXELS_ICNNMD; kind++) {
		qmd_pixels *pixels;
		qmd_pixels_options options;
		qmd_pixels_options_init(&options);
		options.kind = kind;
		qmdt_ok(qmd_pixels_fit(dataset, split, &options, &pixels));
		const size_t n = qmd_pixels_n_atoms(pixels), size = qmd_pixels_side(pixels) * qmd_pixels_side(pixels) * 3;
		const uint32_t indices[3] = {159, 0, 77};
		unsigned char *images = malloc(6 * size);
		float *xyz = malloc(3 * n * 3 * sizeof *xyz);
		qmd_frame frames[3];
		qmdt_ok(qmd_pixels_run_dataset(pixels, dataset, indices, 3, images));
		for (size_t i = 0; i < 3; i++) {
			qmdt_ok(qmd_dataset_read(dataset, indices[i], xyz + i * n * 3));
			qmd_frame_init(&frames[i]);
			frames[i].xyz = xyz + i * n * 3;
			frames[i].n_atoms = n;
		}
		qmdt_ok(qmd_pixels_run(pixels, frames, 3, images + 3 * size));
		ck_assert_mem_eq(images, images + 3 * size, 3 * size);
		free(xyz);
		free(images);
		qmd_pixels_free(pixels);
	}
	qmd_split_free(split);
	qmd_dataset_free(dataset);
}
END_TEST

/* The images of all frames of adenylate kinase, hashed together with the reference. */
static uint64_t hash_of_adk(int32_t kind, int32_t range_in_sigma) {
	qmd_dataset *dataset = load_adk();
	qmd_split *split;
	qmd_pixels *pixels;
	qmd_pixels_options options;
	qmd_pixels_options_init(&options);
	options.kind = kind;
	options.range_in_sigma = range_in_sigma;
	qmdt_ok(qmd_split_by_replica(dataset, 1, &split));
	qmdt_ok(qmd_pixels_fit(dataset, split, &options, &pixels));
	const size_t n = qmd_dataset_n_frames(dataset), size = qmd_pixels_side(pixels) * qmd_pixels_side(pixels) * 3;
	uint32_t *indices = malloc(n * sizeof *indices);
	unsigned char *images = malloc(n * size);
	for (uint32_t i = 0; i < n; i++)
		indices[i] = i;
	qmdt_ok(qmd_pixels_run_dataset(pixels, dataset, indices, n, images));
	uint64_t hash = qmdi_hash(QMDI_HASH_START, images, n * size);
	hash = qmdi_hash(hash, pixels->reference, 3 * qmd_pixels_n_atoms(pixels) * sizeof *pixels->reference);
	free(indices);
	free(images);
	qmd_pixels_free(pixels);
	qmd_split_free(split);
	qmd_dataset_free(dataset);
	return hash;
}

/* What every machine and every compiler must give. It changes only with the contract of docs/numerics.md. */
START_TEST(bytes_are_the_same_on_every_machine) {
	ck_assert_uint_eq(hash_of_adk(QMD_PIXELS_DISPLACEMENT, 0), 0x12a5d32611eddabcu);
	ck_assert_uint_eq(hash_of_adk(QMD_PIXELS_DISPLACEMENT, 1), 0x8c46d520523f6f09u);
	ck_assert_uint_eq(hash_of_adk(QMD_PIXELS_ICNNMD, 0), 0x9b46ebe122a3c7ccu);
}
END_TEST

/* ---- Wrapped trajectories ---- */

#define N_WRAPPED 4

/* The first frames of adenylate kinase as a state; in a box of 48 angstrom if `length` is that, else whole. Coordinates
 * are multiples of 2^-10 angstrom, so that moving them by a box is exact in single precision. */
static qmd_dataset *load_wrapped(const char *name, double length) {
	const char *source = qmdt_bundled("adk-open-1.nc"), *topology = qmdt_bundled("adk-open.pdb");
	qmd_trajectory *trajectory;
	qmdt_ok(qmd_trajectory_open(&source, 1, 0, &trajectory));
	const size_t n_atoms = qmd_trajectory_n_atoms(trajectory), n = N_WRAPPED * n_atoms * 3;
	float *xyz = malloc(n * sizeof *xyz);
	double *wrapped = malloc(n * sizeof *wrapped), lengths[N_WRAPPED * 3], angles[N_WRAPPED * 3];
	qmdt_ok(qmd_trajectory_read(trajectory, 0, N_WRAPPED, xyz));
	for (size_t i = 0; i < n; i++) {
		wrapped[i] = rint((double)xyz[i] * 1024.0) / 1024.0;
		if (length > 0.0)
			wrapped[i] -= length * floor(wrapped[i] / length);
	}
	for (size_t i = 0; i < (size_t)N_WRAPPED * 3; i++)
		lengths[i] = length, angles[i] = 90.0;
	const qmdt_netcdf content = {.n_frames = N_WRAPPED,
								 .n_atoms = n_atoms,
								 .xyz = wrapped,
								 .lengths = length > 0.0 ? lengths : NULL,
								 .angles = length > 0.0 ? angles : NULL};
	const char *path = qmdt_write_netcdf(name, &content);
	qmd_dataset *dataset;
	qmdt_ok(qmd_dataset_create(NULL, &dataset));
	qmdt_ok(qmd_dataset_add_state(dataset, "open", topology, &path, 1));
	free(wrapped);
	free(xyz);
	qmd_trajectory_free(trajectory);
	return dataset;
}

START_TEST(wrapped_trajectories_give_the_same_pixels_as_whole_ones) {
	static const uint32_t indices[N_WRAPPED] = {0, 1, 2, 3};
	qmd_dataset *datasets[2] = {load_wrapped("whole.nc", 0.0), load_wrapped("wrapped.nc", 48.0)};
	double box[9];
	int has_box;
	qmdt_ok(qmd_dataset_box(datasets[1], 0, box, &has_box));
	ck_assert_int_eq(has_box, 1);
	for (int32_t kind = QMD_PIXELS_DISPLACEMENT; kind <= QMD_PIXELS_ICNNMD; kind++) {
		float reference[2][1656 * 3];
		unsigned char images[2][N_WRAPPED * 41 * 41 * 3];
		qmd_pixels_options options;
		qmd_pixels_options_init(&options);
		options.kind = kind;
		for (size_t i = 0; i < 2; i++) {
			qmd_split *split;
			qmd_pixels *pixels;
			qmdt_ok(qmd_split_all(datasets[i], &split));
			qmdt_ok(qmd_pixels_fit(datasets[i], split, &options, &pixels));
			ck_assert_uint_eq(qmd_pixels_n_atoms(pixels), 1656);
			qmdt_ok(qmd_pixels_reference(pixels, reference[i]));
			qmdt_ok(qmd_pixels_run_dataset(pixels, datasets[i], indices, N_WRAPPED, images[i]));
			qmd_pixels_free(pixels);
			qmd_split_free(split);
		}
		ck_assert_mem_eq(reference[0], reference[1], sizeof reference[0]);
		ck_assert_mem_eq(images[0], images[1], sizeof images[0]);
	}
	qmd_dataset_free(datasets[0]);
	qmd_dataset_free(datasets[1]);
}
END_TEST

/* ---- ICNNMD ---- */

static qmd_dataset *load_mor(void) {
	static const char *const states[2] = {"apo", "bu72"};
	qmd_dataset *dataset;
	qmdt_ok(qmd_dataset_create(NULL, &dataset));
	for (size_t state = 0; state < 2; state++) {
		char name[64];
		const char *paths[3], *topology;
		for (int i = 0; i < 3; i++) {
			snprintf(name, sizeof name, "mor/mor-%s-%d.nc", states[state], i + 1);
			paths[i] = qmdt_data(name);
		}
		snprintf(name, sizeof name, "mor/mor-%s.pdb", states[state]);
		topology = qmdt_data(name);
		qmdt_ok(qmd_dataset_add_state(dataset, states[state], topology, paths, 3));
	}
	return dataset;
}

START_TEST(icnnmd_pixels_are_those_of_icnnmd) {
	const char *oracle_path = qmdt_data("mor/icnnmd-pixels.npy");
	if (!oracle_path)
		return;
	const size_t size = 49 * 49 * 3, n_frames = 60;
	size_t oracle_size;
	unsigned char *oracle = qmdt_read_file(oracle_path, &oracle_size);
	ck_assert_uint_eq(oracle_size, 128 + n_frames * size);
	ck_assert_mem_eq(oracle, "\x93NUMPY\x01\x00", 8);

	qmd_dataset *dataset = load_mor();
	qmd_split *split;
	qmd_pixels *pixels;
	qmd_pixels_options options;
	qmd_pixels_options_init(&options);
	options.kind = QMD_PIXELS_ICNNMD;
	options.superpose = "all"; /* ICNNMD superposes on every atom that it reads */
	qmdt_ok(qmd_split_all(dataset, &split));
	qmdt_ok(qmd_pixels_fit(dataset, split, &options, &pixels));
	ck_assert_uint_eq(qmd_pixels_side(pixels), 49);
	uint32_t indices[60];
	for (uint32_t i = 0; i < 60; i++)
		indices[i] = i;
	unsigned char *images = malloc(n_frames * size), background[49 * 49 * 3];
	qmdt_ok(qmd_pixels_run_dataset(pixels, dataset, indices, n_frames, images));
	size_t n_different = 0;
	for (size_t i = 0; i < n_frames * size; i++) {
		const int difference = images[i] - oracle[128 + i];
		ck_assert_int_le(abs(difference), 1);
		n_different += difference != 0;
	}
	fprintf(stderr, "icnnmd: %zu of %zu values differ by one\n", n_different, n_frames * size);
	ck_assert_double_lt((double)n_different / (double)(n_frames * size), 1e-3);

	/* The background is the mean of these images. */
	qmdt_ok(qmd_pixels_background(pixels, background));
	for (size_t i = 0; i < size; i++) {
		double mean = 0.0;
		for (size_t frame = 0; frame < n_frames; frame++)
			mean += images[frame * size + i] / (double)n_frames;
		ck_assert_double_le(fabs(background[i] - mean), 0.5 + 1e-9);
	}
	free(images);
	free(oracle);
	qmd_pixels_free(pixels);
	qmd_split_free(split);
	qmd_dataset_free(dataset);
}
END_TEST

/* ---- Errors ---- */

START_TEST(wrong_options_are_refused) {
	qmd_dataset *dataset = make_dataset();
	qmd_split *split;
	qmd_pixels *pixels;
	qmd_pixels_options good, options;
	qmd_pixels_options_init(&good);
	qmdt_ok(qmd_split_all(dataset, &split));
	qmdt_fails(qmd_pixels_fit(NULL, split, &good, &pixels), QMD_ERROR_ARGUMENT, "dataset");
	qmdt_fails(qmd_pixels_fit(dataset, NULL, &good, &pixels), QMD_ERROR_ARGUMENT, "split");
	qmdt_fails(qmd_pixels_fit(dataset, split, &good, NULL), QMD_ERROR_ARGUMENT, "pixels");
	options = good, options.struct_size = 0;
	qmdt_fails(qmd_pixels_fit(dataset, split, &options, &pixels), QMD_ERROR_ARGUMENT, "struct_size is 0");
	options = good, options.kind = 3;
	qmdt_fails(qmd_pixels_fit(dataset, split, &options, &pixels), QMD_ERROR_ARGUMENT, "kind is 3");
	options = good, options.range_in_sigma = 2;
	qmdt_fails(qmd_pixels_fit(dataset, split, &options, &pixels), QMD_ERROR_ARGUMENT, "range_in_sigma is 2");
	options = good, options.n_iterations = 0;
	qmdt_fails(qmd_pixels_fit(dataset, split, &options, &pixels), QMD_ERROR_ARGUMENT, "n_iterations is 0");
	static const double ranges[] = {0.0, -1.0, 1e-6, 1e7, NAN, INFINITY};
	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
		options = good, options.range = ranges[i];
		qmdt_fails(qmd_pixels_fit(dataset, split, &options, &pixels), QMD_ERROR_ARGUMENT, "range is");
	}
	qmd_split_free(split);
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(bad_frames_are_named) {
	qmd_dataset *dataset = make_dataset();
	qmd_topology *topology = make_topology();
	qmd_split *split;
	qmd_pixels *pixels;
	float frame[N_ATOMS][3];
	qmd_pixels_options options;
	qmd_pixels_options_init(&options);
	memcpy(frame, still, sizeof frame);
	frame[7][2] = 600.0f;
	qmdt_ok(qmd_dataset_add_frames(dataset, "b", topology, &frame[0][0], 1));
	qmdt_ok(qmd_split_all(dataset, &split));
	for (options.kind = QMD_PIXELS_DISPLACEMENT; options.kind <= QMD_PIXELS_ICNNMD; options.kind++)
		qmdt_fails(qmd_pixels_fit(dataset, split, &options, &pixels), QMD_ERROR_RANGE,
				   "frame 5 of the data set: frame: atom 7 (A ALA 8 CB) is 600 angstrom along z from atom 0");
	qmd_split_free(split);

	/* A split of a larger data set than this one. */
	qmd_dataset *smaller = make_dataset();
	qmdt_ok(qmd_split_by_replica(dataset, 0, &split));
	qmdt_fails(qmd_pixels_fit(smaller, split, NULL, &pixels), QMD_ERROR_RANGE, "frame");
	qmd_split_free(split);
	qmd_dataset_free(smaller);
	qmd_topology_free(topology);
	qmd_dataset_free(dataset);
}
END_TEST

START_TEST(other_data_sets_are_refused) {
	qmd_dataset *dataset = make_dataset(), *adk = load_adk(), *carbons;
	qmd_topology *topology;
	qmd_split *split;
	qmd_pixels *pixels;
	unsigned char image[27];
	const uint32_t index = 0, beyond = 5;
	qmdt_ok(qmd_split_all(dataset, &split));
	qmdt_ok(qmd_pixels_fit(dataset, split, NULL, &pixels));
	qmdt_fails(qmd_pixels_run_dataset(pixels, adk, &index, 1, image), QMD_ERROR_SHAPE, "has 1656 atoms, expected the");
	qmdt_fails(qmd_pixels_run_dataset(pixels, dataset, &beyond, 1, image), QMD_ERROR_RANGE, "frame 5 of the data set");
	qmdt_fails(qmd_pixels_run_dataset(NULL, dataset, &index, 1, image), QMD_ERROR_ARGUMENT, "pixels");
	qmdt_fails(qmd_pixels_run_dataset(pixels, NULL, &index, 1, image), QMD_ERROR_ARGUMENT, "dataset");
	qmdt_fails(qmd_pixels_run_dataset(pixels, dataset, NULL, 1, image), QMD_ERROR_ARGUMENT, "indices");
	qmdt_fails(qmd_pixels_run_dataset(pixels, dataset, &index, 1, NULL), QMD_ERROR_ARGUMENT, "images");
	qmdt_ok(qmd_pixels_run_dataset(pixels, dataset, NULL, 0, NULL));

	/* Equally many atoms, in another order. */
	qmd_atom atoms[N_ATOMS];
	for (size_t i = 0; i < N_ATOMS; i++)
		qmdt_ok(qmd_pixels_atom(pixels, N_ATOMS - 1 - i, &atoms[i]));
	qmdt_ok(qmd_topology_create(atoms, N_ATOMS, &topology));
	qmdt_ok(qmd_dataset_create(NULL, &carbons));
	qmdt_ok(qmd_dataset_add_frames(carbons, "a", topology, &still[0][0], 1));
	qmdt_fails(qmd_pixels_run_dataset(pixels, carbons, &index, 1, image), QMD_ERROR_MATCH,
			   "atom 0 of the data set is ALA 8 CB, expected the pixels' ALA 1 CA");
	qmd_topology_free(topology);
	qmd_dataset_free(carbons);
	qmd_pixels_free(pixels);
	qmd_split_free(split);
	qmd_dataset_free(adk);
	qmd_dataset_free(dataset);
}
END_TEST

/* One call that needs memory, again and again, each time with one allocation more: it fails in one clear way, leaks
 * nothing, and succeeds in the end. */
static size_t count_allocations(qmd_dataset *dataset, const qmd_split *split, int32_t kind) {
	qmd_pixels_options options;
	qmd_pixels_options_init(&options);
	options.kind = kind;
	for (size_t nth = 1;; nth++) {
		const uint32_t index = 0;
		unsigned char image[27];
		qmd_pixels *pixels = NULL;
		qmdt_allocator_install(nth);
		qmd_status status = qmd_pixels_fit(dataset, split, &options, &pixels);
		if (status == QMD_OK)
			status = qmd_pixels_run_dataset(pixels, dataset, &index, 1, image);
		if (status == QMD_OK)
			status = qmd_pixels_write_png(pixels, image, qmdt_scratch("small.png"));
		qmd_pixels_free(pixels);
		ck_assert_uint_eq(qmdt_allocator_remove(), 0);
		if (status == QMD_OK)
			return nth - 1;
		ck_assert_int_eq(status, QMD_ERROR_MEMORY);
		ck_assert_ptr_nonnull(strstr(qmd_last_error(), "out of memory"));
	}
}

START_TEST(every_failed_allocation_is_survived) {
	qmd_dataset *dataset = make_dataset();
	qmd_split *split;
	qmdt_ok(qmd_split_all(dataset, &split));
	for (int32_t kind = QMD_PIXELS_DISPLACEMENT; kind <= QMD_PIXELS_ICNNMD; kind++)
		ck_assert_uint_ge(count_allocations(dataset, split, kind), 10);
	qmd_split_free(split);
	qmd_dataset_free(dataset);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("pixels_fit");
	TCase *displacement = tcase_create("displacement");
	tcase_add_test(displacement, reference_is_the_mean_of_the_training_frames_alone);
	tcase_add_test(displacement, range_may_be_in_sigma);
	tcase_add_test(displacement, superposition_is_on_what_is_selected);
	tcase_add_test(displacement, fitted_mean_is_its_own_mean);
	suite_add_tcase(suite, displacement);
	TCase *frames = tcase_create("frames of a data set");
	tcase_add_test(frames, frames_of_a_data_set_are_the_frames_of_a_host);
	tcase_add_test(frames, bytes_are_the_same_on_every_machine);
	tcase_add_test(frames, wrapped_trajectories_give_the_same_pixels_as_whole_ones);
	tcase_add_test(frames, icnnmd_pixels_are_those_of_icnnmd);
	suite_add_tcase(suite, frames);
	TCase *errors = tcase_create("errors");
	tcase_add_test(errors, wrong_options_are_refused);
	tcase_add_test(errors, bad_frames_are_named);
	tcase_add_test(errors, other_data_sets_are_refused);
	tcase_add_test(errors, every_failed_allocation_is_survived);
	suite_add_tcase(suite, errors);
	return qmdt_run(suite);
}
