/* Frames to images, on pixels made in memory. */
#include "support.h"

#include <fenv.h>
#include <math.h>
#include <png.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include "base/random.h"
#include "pixels/pixels_internal.h"

#define CHAIN_ATOMS 300
#define CHAIN_SIDE 18

/* ---- Pixels made in memory ---- */

static qmd_pixels *make_pixels(int32_t kind, size_t n_atoms, const float (*reference)[3], size_t n_superposed,
							   float step) {
	qmd_pixels *pixels;
	qmdt_ok(qmdi_pixels_allocate(kind, n_atoms, n_superposed, &pixels));
	for (size_t i = 0; i < n_atoms; i++) {
		pixels->atoms[i] = (qmd_atom){.name = "CA",
									  .residue_name = "GLY",
									  .chain = "A",
									  .element = "C",
									  .residue_number = (int32_t)i + 10,
									  .residue = (uint32_t)i};
		if (pixels->steps)
			pixels->steps[i] = step;
	}
	for (size_t i = 0; i < n_superposed; i++)
		pixels->superposed[i] = (uint32_t)i;
	memcpy(pixels->reference, reference, n_atoms * sizeof *reference);
	qmdt_ok(qmdi_pixels_prepare(pixels));
	return pixels;
}

/* An octahedron is superposed on, of which every covariance is diagonal; so the rotation is exactly the unit matrix
 * where its corners did not move. Two more atoms follow. */
static const float octahedron[8][3] = {{8, 0, 0}, {-8, 0, 0}, {0, 8, 0}, {0, -8, 0},
									   {0, 0, 8}, {0, 0, -8}, {1, 2, 3}, {16, -8, 4}};

static qmd_frame frame_of(const void *xyz, size_t n_atoms) {
	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.xyz = xyz;
	frame.n_atoms = n_atoms;
	return frame;
}

/* A chain of atoms 1 to 5 angstrom apart that winds through 60 angstrom, in single precision. */
static float chain[CHAIN_ATOMS][3], chain_reference[CHAIN_ATOMS][3];

static void make_chain(void) {
	double at[3] = {20.0, 30.0, 40.0};
	for (size_t i = 0; i < CHAIN_ATOMS; i++)
		for (size_t axis = 0; axis < 3; axis++) {
			const double move = 5.0 * ((double)qmdi_random_f32(3, axis, i) - 0.5);
			at[axis] += fabs(at[axis] - 30.0) > 30.0 ? (at[axis] > 30.0 ? -fabs(move) : fabs(move)) : move;
			chain[i][axis] = (float)at[axis];
			chain_reference[i][axis] = (float)(at[axis] + 4.0 * ((double)qmdi_random_f32(4, axis, i) - 0.5));
		}
}

static qmd_pixels *make_chain_pixels(int32_t kind) {
	make_chain();
	return make_pixels(kind, CHAIN_ATOMS, (const float(*)[3])chain_reference, CHAIN_ATOMS / 2, 5.0f / 127.0f);
}

typedef struct chain_image {
	unsigned char bytes[CHAIN_SIDE * CHAIN_SIDE * 3];
} chain_image;

static chain_image run_chain(const qmd_pixels *pixels, const qmd_frame *frame) {
	chain_image image;
	qmdt_ok(qmd_pixels_run(pixels, frame, 1, image.bytes));
	return image;
}

/* ---- What a pixel is ---- */

START_TEST(displacement_is_rounded_in_steps) {
	/* By hand: a step is 0.5 angstrom, so 0.25 is half a step. */
	static const float moves[][2] = {{0.0f, 0},     {0.25f, 0},    {0.26f, 1},    {0.75f, 2},     {-0.25f, 0},
									 {-0.75f, -2},  {1.25f, 2},    {-1.74f, -3},  {-1.75f, -4},   {63.5f, 127},
									 {63.25f, 126}, {63.75f, 127}, {200.0f, 127}, {-63.5f, -127}, {-200.0f, -127}};
	qmd_pixels *pixels = make_pixels(QMD_PIXELS_DISPLACEMENT, 8, octahedron, 6, 0.5f);
	for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
		for (size_t axis = 0; axis < 3; axis++) {
			float xyz[8][3];
			int8_t image[3][3][3], expected[3][3][3] = {{{0}}};
			memcpy(xyz, octahedron, sizeof xyz);
			xyz[6][axis] += moves[i][0];
			expected[2][0][axis] = (int8_t)moves[i][1];
			const qmd_frame frame = frame_of(xyz, 8);
			qmdt_ok(qmd_pixels_run(pixels, &frame, 1, image));
			ck_assert_mem_eq(image, expected, sizeof image);
		}
	qmd_pixels_free(pixels);
}
END_TEST

START_TEST(displacement_is_seen_after_superposition) {
	/* A quarter turn about z (x -> y, y -> -x) and a shift; atom 7 has moved by (+2, 0, -1) before that. */
	qmd_pixels *pixels = make_pixels(QMD_PIXELS_DISPLACEMENT, 8, octahedron, 6, 0.25f);
	float xyz[8][3];
	int8_t image[3][3][3], expected[3][3][3] = {{{0}}};
	for (size_t i = 0; i < 8; i++) {
		const float x = octahedron[i][0] + (i == 7 ? 2.0f : 0.0f), z = octahedron[i][2] - (i == 7 ? 1.0f : 0.0f);
		xyz[i][0] = -octahedron[i][1] + 100.0f;
		xyz[i][1] = x - 50.0f;
		xyz[i][2] = z + 25.0f;
	}
	expected[2][1][0] = 8;
	expected[2][1][2] = -4;
	const qmd_frame frame = frame_of(xyz, 8);
	qmdt_ok(qmd_pixels_run(pixels, &frame, 1, image));
	ck_assert_mem_eq(image, expected, sizeof image);
	qmd_pixels_free(pixels);
}
END_TEST

START_TEST(icnnmd_colours_are_truncated_between_lowest_and_highest) {
	/* By hand: the corners give + and - each column of M, of which the first row is largest at x (2.0413690): the
	 * second corner has red 0, the third (2.0413690 - 0.5649464) / (2 * 2.0413690) * 255 = 92.21, and so on. */
	static const uint8_t expected[3][3][3] = {
		{{255, 61, 129}, {0, 193, 125}, {92, 255, 112}}, {{162, 0, 142}, {105, 130, 255}, {149, 124, 0}}, {{0}}};
	uint8_t image[3][3][3];
	qmd_pixels *pixels = make_pixels(QMD_PIXELS_ICNNMD, 6, octahedron, 6, 0.0f);
	const qmd_frame frame = frame_of(octahedron, 6);
	qmdt_ok(qmd_pixels_run(pixels, &frame, 1, image));
	ck_assert_mem_eq(image, expected, sizeof image);
	qmd_pixels_free(pixels);
}
END_TEST

START_TEST(icnnmd_colours_of_a_single_place_are_zero) {
	static const float places[3][3] = {{5, 6, 7}, {5, 6, 7}, {5, 6, 7}};
	static const uint8_t nothing[2][2][3];
	uint8_t image[2][2][3];
	qmd_pixels *pixels = make_pixels(QMD_PIXELS_ICNNMD, 3, places, 3, 0.0f);
	const qmd_frame frame = frame_of(places, 3);
	qmdt_ok(qmd_pixels_run(pixels, &frame, 1, image));
	ck_assert_mem_eq(image, nothing, sizeof image);
	qmd_pixels_free(pixels);
}
END_TEST

START_TEST(pixels_describe_themselves) {
	qmd_pixels *pixels = make_pixels(QMD_PIXELS_DISPLACEMENT, 8, octahedron, 6, 0.5f);
	ck_assert_int_eq(qmd_pixels_kind_of(pixels), QMD_PIXELS_DISPLACEMENT);
	ck_assert_int_eq(qmd_pixels_type(pixels), QMD_S8);
	ck_assert_float_eq(qmd_pixels_scale(pixels), 1.0f / 127.0f);
	ck_assert_uint_eq(qmd_pixels_side(pixels), 3);
	ck_assert_uint_eq(qmd_pixels_n_atoms(pixels), 8);
	ck_assert_uint_eq(qmd_pixels_n_superposed(pixels), 6);
	qmd_atom atom;
	qmdt_ok(qmd_pixels_atom(pixels, 7, &atom));
	ck_assert_int_eq(atom.residue_number, 17);
	qmdt_fails(qmd_pixels_atom(pixels, 8, &atom), QMD_ERROR_RANGE, "index is 8, expected less than 8");
	float reference[8][3];
	qmdt_ok(qmd_pixels_reference(pixels, &reference[0][0]));
	ck_assert_mem_eq(reference, octahedron, sizeof reference);
	unsigned char background[27], nothing[27] = {0};
	memset(background, 1, sizeof background);
	qmdt_ok(qmd_pixels_background(pixels, background));
	ck_assert_mem_eq(background, nothing, sizeof background);
	qmd_pixels_free(pixels);
	pixels = make_pixels(QMD_PIXELS_ICNNMD, 1, octahedron, 1, 0.0f);
	ck_assert_int_eq(qmd_pixels_type(pixels), QMD_U8);
	ck_assert_float_eq(qmd_pixels_scale(pixels), 1.0f / 255.0f);
	ck_assert_uint_eq(qmd_pixels_side(pixels), 1);
	qmd_pixels *held = qmdi_pixels_retain(pixels);
	qmd_pixels_free(pixels);
	ck_assert_uint_eq(qmd_pixels_n_atoms(held), 1);
	qmd_pixels_free(held);
	qmd_pixels_free(NULL);
	ck_assert_int_eq(qmd_pixels_kind_of(NULL), 0);
}
END_TEST

/* ---- A host's frame ---- */

START_TEST(hosts_layouts_give_the_same_bytes) {
	for (int32_t kind = QMD_PIXELS_DISPLACEMENT; kind <= QMD_PIXELS_ICNNMD; kind++) {
		qmd_pixels *pixels = make_chain_pixels(kind);
		qmd_frame frame = frame_of(chain, CHAIN_ATOMS);
		const chain_image expected = run_chain(pixels, &frame);

		/* Double precision, nm, four numbers an atom, other atoms between, in the reverse order. */
		static double host[2 * CHAIN_ATOMS][4];
		static uint32_t indices[CHAIN_ATOMS];
		for (uint32_t i = 0; i < CHAIN_ATOMS; i++) {
			indices[i] = 2 * (CHAIN_ATOMS - 1 - i) + 1;
			for (size_t axis = 0; axis < 3; axis++)
				host[indices[i]][axis] = (double)chain[i][axis] / 10.0;
			host[indices[i]][3] = host[indices[i] - 1][0] = NAN;
		}
		frame = frame_of(host, 2 * CHAIN_ATOMS);
		frame.type = QMD_F64;
		frame.unit = QMD_NM;
		frame.stride = 4;
		frame.indices = indices;
		const chain_image same = run_chain(pixels, &frame);
		ck_assert_mem_eq(&same, &expected, sizeof expected);

		/* Single precision with a stride. */
		static float strided[CHAIN_ATOMS][5];
		for (size_t i = 0; i < CHAIN_ATOMS; i++)
			memcpy(strided[i], chain[i], sizeof chain[i]);
		frame = frame_of(strided, CHAIN_ATOMS);
		frame.stride = 5;
		const chain_image again = run_chain(pixels, &frame);
		ck_assert_mem_eq(&again, &expected, sizeof expected);
		qmd_pixels_free(pixels);
	}
}
END_TEST

/* Into the box, as a host does it: by multiples of c, then b, then a. */
static void wrap(const double box[9], double x[3]) {
	for (int vector = 2; vector >= 0; vector--) {
		const double n = floor(x[vector] / box[4 * vector]);
		for (int axis = 0; axis < 3; axis++)
			x[axis] -= n * box[3 * vector + axis];
	}
}

START_TEST(wrapped_frames_give_the_same_bytes_as_whole_ones) {
	static const double boxes[][9] = {{31.7, 0, 0, 0, 27.3, 0, 0, 0, 29.9},
									  {33.0, 0, 0, 11.1, 30.3, 0, -10.7, 13.3, 28.7},
									  {50.1, 0, 0, -16.7, 45.5, 0, 16.7, 22.7, 40.4}};
	for (int32_t kind = QMD_PIXELS_DISPLACEMENT; kind <= QMD_PIXELS_ICNNMD; kind++) {
		qmd_pixels *pixels = make_chain_pixels(kind);
		qmd_frame frame = frame_of(chain, CHAIN_ATOMS);
		const chain_image expected = run_chain(pixels, &frame);
		for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
			frame = frame_of(chain, CHAIN_ATOMS);
			frame.box = boxes[i];
			const chain_image whole = run_chain(pixels, &frame);
			ck_assert_mem_eq(&whole, &expected, sizeof expected);

			static double wrapped[CHAIN_ATOMS][3];
			double box_nm[9];
			for (size_t atom = 0; atom < CHAIN_ATOMS; atom++) {
				for (size_t axis = 0; axis < 3; axis++)
					wrapped[atom][axis] = (double)chain[atom][axis];
				wrap(boxes[i], wrapped[atom]);
				for (size_t axis = 0; axis < 3; axis++)
					wrapped[atom][axis] /= 10.0;
			}
			for (size_t j = 0; j < 9; j++)
				box_nm[j] = boxes[i][j] / 10.0;
			frame = frame_of(wrapped, CHAIN_ATOMS);
			frame.type = QMD_F64;
			frame.unit = QMD_NM;
			frame.box = box_nm;
			const chain_image made_whole = run_chain(pixels, &frame);
			ck_assert_mem_eq(&made_whole, &expected, sizeof expected);
			frame.box = NULL;
			const chain_image torn = run_chain(pixels, &frame);
			ck_assert_mem_ne(&torn, &expected, sizeof expected);
		}
		qmd_pixels_free(pixels);
	}
}
END_TEST

/* What single precision loses on the way cannot be given back: 2^-18 angstrom at 32 to 64 angstrom, twice. */
START_TEST(frames_wrapped_in_single_precision_differ_by_ones_at_most) {
	static const double box[9] = {53.1, 0, 0, 0, 51.7, 0, 0, 0, 49.9};
	qmd_pixels *pixels = make_chain_pixels(QMD_PIXELS_DISPLACEMENT);
	qmd_frame frame = frame_of(chain, CHAIN_ATOMS);
	const chain_image expected = run_chain(pixels, &frame);
	static float wrapped[CHAIN_ATOMS][3];
	int n_moved = 0, n_different = 0;
	for (size_t atom = 0; atom < CHAIN_ATOMS; atom++) {
		double x[3] = {(double)chain[atom][0] - 40.0, (double)chain[atom][1] - 40.0, (double)chain[atom][2] - 40.0};
		wrap(box, x);
		for (size_t axis = 0; axis < 3; axis++) {
			wrapped[atom][axis] = (float)x[axis];
			n_moved += fabs((double)wrapped[atom][axis] - x[axis]) > 0.0;
		}
	}
	ck_assert_int_gt(n_moved, 100); /* rounded, that is */
	frame = frame_of(wrapped, CHAIN_ATOMS);
	frame.box = box;
	const chain_image whole = run_chain(pixels, &frame);
	for (size_t i = 0; i < sizeof whole.bytes; i++) {
		const int difference = (int8_t)whole.bytes[i] - (int8_t)expected.bytes[i];
		ck_assert_int_le(abs(difference), 1);
		n_different += difference != 0;
	}
	ck_assert_int_le(n_different, 3);
	qmd_pixels_free(pixels);
}
END_TEST

START_TEST(hosts_float_environment_does_not_matter_and_is_given_back) {
	for (int32_t kind = QMD_PIXELS_DISPLACEMENT; kind <= QMD_PIXELS_ICNNMD; kind++) {
		qmd_pixels *pixels = make_chain_pixels(kind);
		const double box[9] = {31.7, 0, 0, 3, 27.3, 0, 1, 2, 29.9};
		qmd_frame frame = frame_of(chain, CHAIN_ATOMS);
		frame.box = box;
		const chain_image expected = run_chain(pixels, &frame);
		fenv_t host;
		fegetenv(&host);
		fesetround(FE_UPWARD);
#ifdef __SSE__
		_mm_setcsr(_mm_getcsr() | 0x8040); /* FTZ and DAZ */
		const unsigned int control = _mm_getcsr();
#endif
		const chain_image upward = run_chain(pixels, &frame);
		const int rounding = fegetround();
#ifdef __SSE__
		const unsigned int control_after = _mm_getcsr();
#endif
		fesetenv(&host);
		ck_assert_mem_eq(&upward, &expected, sizeof expected);
		ck_assert_int_eq(rounding, FE_UPWARD);
#ifdef __SSE__
		ck_assert_uint_eq(control_after & ~0x3fu, control & ~0x3fu);
#endif
		qmd_pixels_free(pixels);
	}
}
END_TEST

START_TEST(rows_may_lie_apart_and_nothing_beside_them_is_written) {
	qmd_pixels *pixels = make_chain_pixels(QMD_PIXELS_DISPLACEMENT);
	const qmd_frame frame = frame_of(chain, CHAIN_ATOMS);
	const chain_image expected = run_chain(pixels, &frame);
	const size_t row = 3 * CHAIN_SIDE, stride = row + 7;
	unsigned char image[CHAIN_SIDE * (3 * CHAIN_SIDE + 7)];
	double *workspace = malloc(qmdi_pixels_workspace_size(pixels)); /* the sanitizer watches its end */
	memset(image, 0xa5, sizeof image);
	qmdt_ok(qmdi_pixels_render(pixels, &frame, workspace, image, stride));
	for (size_t y = 0; y < CHAIN_SIDE; y++) {
		ck_assert_mem_eq(image + y * stride, expected.bytes + y * row, row);
		for (size_t x = row; x < stride; x++)
			ck_assert_uint_eq(image[y * stride + x], 0xa5);
	}
	/* 300 atoms on 18 x 18 pixels: the last 24 show nothing. */
	for (size_t i = 3 * CHAIN_ATOMS; i < sizeof expected.bytes; i++)
		ck_assert_uint_eq(expected.bytes[i], 0);
	free(workspace);
	qmd_pixels_free(pixels);
}
END_TEST

/* ---- Errors ---- */

START_TEST(wrong_frames_are_refused) {
	qmd_pixels *pixels = make_pixels(QMD_PIXELS_DISPLACEMENT, 8, octahedron, 6, 0.5f);
	unsigned char image[27];
	const uint32_t indices[8] = {0, 1, 2, 3, 4, 5, 6, 8};
	const qmd_frame good = frame_of(octahedron, 8);
	qmd_frame frame = good;
	qmdt_fails(qmd_pixels_run(NULL, &frame, 1, image), QMD_ERROR_ARGUMENT, "pixels");
	qmdt_fails(qmd_pixels_run(pixels, NULL, 1, image), QMD_ERROR_ARGUMENT, "frames");
	qmdt_fails(qmd_pixels_run(pixels, &frame, 1, NULL), QMD_ERROR_ARGUMENT, "images");
	qmdt_ok(qmd_pixels_run(pixels, NULL, 0, NULL));
	frame.struct_size = 3;
	qmdt_fails(qmd_pixels_run(pixels, &frame, 1, image), QMD_ERROR_ARGUMENT, "struct_size is 3");
	frame = good, frame.xyz = NULL;
	qmdt_fails(qmd_pixels_run(pixels, &frame, 1, image), QMD_ERROR_ARGUMENT, "xyz is NULL");
	frame = good, frame.type = QMD_S8;
	qmdt_fails(qmd_pixels_run(pixels, &frame, 1, image), QMD_ERROR_ARGUMENT, "type is 3");
	frame = good, frame.unit = 0;
	qmdt_fails(qmd_pixels_run(pixels, &frame, 1, image), QMD_ERROR_ARGUMENT, "unit is 0");
	frame = good, frame.stride = 2;
	qmdt_fails(qmd_pixels_run(pixels, &frame, 1, image), QMD_ERROR_ARGUMENT, "stride is 2");
	frame = good, frame.n_atoms = 7;
	qmdt_fails(qmd_pixels_run(pixels, &frame, 1, image), QMD_ERROR_SHAPE, "n_atoms is 7");
	frame = good, frame.indices = indices;
	qmdt_fails(qmd_pixels_run(pixels, &frame, 1, image), QMD_ERROR_RANGE, "indices[7] is 8");
	const qmd_frame two[2] = {good, frame};
	unsigned char images[2][27];
	qmdt_fails(qmd_pixels_run(pixels, two, 2, images), QMD_ERROR_RANGE, "frame 1 of 2: frame: indices[7]");
	qmd_pixels_free(pixels);
}
END_TEST

START_TEST(bad_coordinates_are_named) {
	static const struct {
		float value;
		const char *text;
	} bad[] = {{NAN, "atom 7 (A GLY 17 CA): y is nan, expected a finite number"},
			   {INFINITY, "atom 7 (A GLY 17 CA): y is inf"},
			   {-INFINITY, "atom 7 (A GLY 17 CA): y is -inf"},
			   {512.5f, "atom 7 (A GLY 17 CA) is 512.5 angstrom along y from atom 0"},
			   {-513.0f, "atom 7 (A GLY 17 CA) is -513 angstrom along y"},
			   {3e38f, "atom 7 (A GLY 17 CA) is 3e+38 angstrom along y"}};
	for (int32_t kind = QMD_PIXELS_DISPLACEMENT; kind <= QMD_PIXELS_ICNNMD; kind++) {
		qmd_pixels *pixels = make_pixels(kind, 8, octahedron, 6, 0.5f);
		float xyz[8][3];
		unsigned char image[27];
		memcpy(xyz, octahedron, sizeof xyz);
		const qmd_frame frame = frame_of(xyz, 8);
		for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
			xyz[7][1] = bad[i].value;
			qmdt_fails(qmd_pixels_run(pixels, &frame, 1, image), QMD_ERROR_RANGE, bad[i].text);
		}
		xyz[7][1] = 512.0f;
		qmdt_ok(qmd_pixels_run(pixels, &frame, 1, image));
		xyz[7][1] = -512.0f;
		qmdt_ok(qmd_pixels_run(pixels, &frame, 1, image));
		xyz[0][2] = NAN; /* the very atom that distances are measured from */
		qmdt_fails(qmd_pixels_run(pixels, &frame, 1, image), QMD_ERROR_RANGE, "atom 0 (A GLY 10 CA): z is nan");
		qmd_pixels_free(pixels);
	}
}
END_TEST

START_TEST(bad_coordinates_in_a_box_are_named) {
	qmd_pixels *pixels = make_pixels(QMD_PIXELS_DISPLACEMENT, 8, octahedron, 6, 0.5f);
	float xyz[8][3];
	unsigned char image[27];
	double box[9] = {50, 0, 0, 0, 50, 0, 0, 0, 50};
	memcpy(xyz, octahedron, sizeof xyz);
	qmd_frame frame = frame_of(xyz, 8);
	frame.box = box;
	xyz[3][2] = NAN; /* would spread along the chain */
	qmdt_fails(qmd_pixels_run(pixels, &frame, 1, image), QMD_ERROR_RANGE, "atom 3 (A GLY 13 CA): z is nan");
	xyz[3][2] = 3e38f;
	qmdt_fails(qmd_pixels_run(pixels, &frame, 1, image), QMD_ERROR_RANGE, "along z");
	xyz[3][2] = 0.0f;
	qmdt_ok(qmd_pixels_run(pixels, &frame, 1, image));
	static const struct {
		size_t element;
		double value;
		const char *text;
	} bad[] = {{0, 0.0, "box vector a has x = 0 angstrom"}, {4, -50.0, "box vector b has y = -50"},
			   {8, NAN, "box vector c has z = nan"},        {8, INFINITY, "box vector c has z = inf"},
			   {1, 1.0, "box vector a has y = 1"},          {5, 0.5, "box vector b has z = 0.5"},
			   {3, NAN, "box vector b has x = nan"},        {7, -1e9, "box vector c has y = -1e+09"}};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		const double good = box[bad[i].element];
		box[bad[i].element] = bad[i].value;
		qmdt_fails(qmd_pixels_run(pixels, &frame, 1, image), QMD_ERROR_RANGE, bad[i].text);
		box[bad[i].element] = good;
	}
	qmd_pixels_free(pixels);
}
END_TEST

START_TEST(impossible_pixels_are_refused) {
	qmd_pixels *pixels;
	qmdt_fails(qmdi_pixels_allocate(QMD_PIXELS_ICNNMD, 0, 0, &pixels), QMD_ERROR_RANGE, "0 atoms");
	qmdt_fails(qmdi_pixels_allocate(QMD_PIXELS_ICNNMD, SIZE_MAX, 3, &pixels), QMD_ERROR_RANGE,
			   "expected 1 to 16777216");
	qmdt_fails(qmdi_pixels_allocate(QMD_PIXELS_ICNNMD, 5, 6, &pixels), QMD_ERROR_RANGE, "6 superposed");
	qmdt_fails(qmdi_pixels_allocate(QMD_PIXELS_ICNNMD, 300000, 262145, &pixels), QMD_ERROR_RANGE, "1 to 262144");
	pixels = make_pixels(QMD_PIXELS_DISPLACEMENT, 8, octahedron, 6, 0.5f);
	pixels->reference[22] = 600.0f;
	qmdt_fails(qmdi_pixels_prepare(pixels), QMD_ERROR_RANGE, "reference of atom 7 has y = 600");
	pixels->reference[22] = NAN;
	qmdt_fails(qmdi_pixels_prepare(pixels), QMD_ERROR_RANGE, "reference of atom 7 has y = nan");
	qmd_pixels_free(pixels);
}
END_TEST

/* ---- PNG ---- */

START_TEST(png_shows_the_bytes) {
	for (int32_t kind = QMD_PIXELS_DISPLACEMENT; kind <= QMD_PIXELS_ICNNMD; kind++) {
		qmd_pixels *pixels = make_pixels(kind, 4, octahedron, 4, 0.5f);
		const unsigned char image[12] = {0, 1, 2, 127, 128, 255, 254, 129, 130, 131, 64, 32};
		const unsigned char shifted[12] = {128, 129, 130, 255, 0, 127, 126, 1, 2, 3, 192, 160};
		const char *path = qmdt_scratch("image.png");
		qmdt_ok(qmd_pixels_write_png(pixels, image, path));
		png_image read = {.version = PNG_IMAGE_VERSION};
		unsigned char bytes[12];
		ck_assert(png_image_begin_read_from_file(&read, path));
		ck_assert_uint_eq(read.width, 2);
		ck_assert_uint_eq(read.height, 2);
		ck_assert_uint_eq(read.format, PNG_FORMAT_RGB);
		ck_assert(png_image_finish_read(&read, NULL, bytes, 0, NULL));
		ck_assert_mem_eq(bytes, kind == QMD_PIXELS_DISPLACEMENT ? shifted : image, 12);
		qmdt_fails(qmd_pixels_write_png(pixels, image, qmdt_scratch("no/folder.png")), QMD_ERROR_IO, "no/folder.png");
		qmdt_fails(qmd_pixels_write_png(pixels, NULL, path), QMD_ERROR_ARGUMENT, "image");
		qmdt_fails(qmd_pixels_write_png(pixels, image, NULL), QMD_ERROR_ARGUMENT, "path");
		qmd_pixels_free(pixels);
	}
}
END_TEST

/* ---- The section of a file ---- */

static qmd_pixels *make_small(int32_t kind) {
	qmd_pixels *pixels = make_pixels(kind, 8, octahedron, 6, 0.5f);
	memcpy(pixels->atoms[3].chain, "BC", 3);
	pixels->atoms[3].residue_number = -7;
	pixels->atoms[3].insertion_code = 'X';
	pixels->atoms[3].hetero = 1;
	if (pixels->steps)
		pixels->steps[2] = 0.125f;
	else
		memset(pixels->background, 77, 24);
	return pixels;
}

static qmdi_reader reader_of(const void *data, size_t size) {
	return (qmdi_reader){.data = data, .size = size, .base = 1000, .name = "file: pixels"};
}

START_TEST(saved_pixels_come_back) {
	for (int32_t kind = QMD_PIXELS_DISPLACEMENT; kind <= QMD_PIXELS_ICNNMD; kind++) {
		qmd_pixels *pixels = make_small(kind), *loaded;
		qmdi_writer writer = {0}, again = {0};
		qmdi_pixels_put(pixels, &writer);
		qmdt_ok(writer.status);
		qmdi_reader reader = reader_of(writer.data, writer.size);
		qmdt_ok(qmdi_pixels_get(&reader, &loaded));
		qmdt_ok(qmdi_reader_finish(&reader));
		ck_assert_int_eq(qmd_pixels_kind_of(loaded), kind);
		ck_assert_uint_eq(qmd_pixels_n_superposed(loaded), 6);
		for (size_t i = 0; i < 8; i++) {
			qmd_atom before, after;
			qmdt_ok(qmd_pixels_atom(pixels, i, &before));
			qmdt_ok(qmd_pixels_atom(loaded, i, &after));
			ck_assert_mem_eq(&before, &after, sizeof before);
		}
		unsigned char before[27], after[27];
		qmdt_ok(qmd_pixels_background(pixels, before));
		qmdt_ok(qmd_pixels_background(loaded, after));
		ck_assert_mem_eq(before, after, 27);
		float moved[8][3];
		for (size_t i = 0; i < 24; i++)
			moved[i / 3][i % 3] = octahedron[i / 3][i % 3] + (float)(i % 7);
		const qmd_frame frame = frame_of(moved, 8);
		qmdt_ok(qmd_pixels_run(pixels, &frame, 1, before));
		qmdt_ok(qmd_pixels_run(loaded, &frame, 1, after));
		ck_assert_mem_eq(before, after, 27);
		qmdi_pixels_put(loaded, &again);
		ck_assert_uint_eq(again.size, writer.size);
		ck_assert_mem_eq(again.data, writer.data, writer.size);
		qmdi_writer_release(&writer);
		qmdi_writer_release(&again);
		qmd_pixels_free(pixels);
		qmd_pixels_free(loaded);
	}
}
END_TEST

/* Change pixels into what must not be read back. */
typedef void (*damage_fn)(qmd_pixels *pixels);

static void damage_kind(qmd_pixels *pixels) {
	pixels->kind = 3;
}
static void damage_order(qmd_pixels *pixels) {
	pixels->superposed[4] = 3;
}
static void damage_index(qmd_pixels *pixels) {
	pixels->superposed[5] = 8;
}
static void damage_hetero(qmd_pixels *pixels) {
	pixels->atoms[5].hetero = 2;
}
static void damage_residue(qmd_pixels *pixels) {
	pixels->atoms[5].residue = 8;
}
static void damage_name(qmd_pixels *pixels) {
	pixels->atoms[5].name[1] = '\033';
}
static void damage_insertion_code(qmd_pixels *pixels) {
	pixels->atoms[5].insertion_code = '\n';
}
static void damage_reference(qmd_pixels *pixels) {
	pixels->reference[20] = NAN;
}
static void damage_distance(qmd_pixels *pixels) {
	pixels->reference[20] = 1e30f;
}
static void damage_step_zero(qmd_pixels *pixels) {
	pixels->steps[7] = 0.0f;
}
static void damage_step_negative(qmd_pixels *pixels) {
	pixels->steps[7] = -1.0f;
}
static void damage_step_nan(qmd_pixels *pixels) {
	pixels->steps[7] = NAN;
}
static void damage_step_infinite(qmd_pixels *pixels) {
	pixels->steps[7] = INFINITY;
}
static void damage_padding(qmd_pixels *pixels) {
	pixels->background[24] = 1;
}

START_TEST(damaged_sections_are_refused) {
	static const struct {
		damage_fn damage;
		const char *text;
		int32_t kind;
		qmd_status status;
	} cases[] = {
		{damage_kind, "file: pixels: offset 1012: pixels of kind 3", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT},
		{damage_order, "superposed atom 4 is 3, expected ascending", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT},
		{damage_index, "superposed atom 5 is 8, expected ascending numbers below 8", QMD_PIXELS_ICNNMD,
		 QMD_ERROR_FORMAT},
		{damage_hetero, "atom 5: hetero is 2", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT},
		{damage_residue, "atom 5: residue is 8", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT},
		{damage_name, "atom 5: its names hold other than printable", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT},
		{damage_insertion_code, "atom 5: its names hold other than printable", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT},
		{damage_reference, "file: pixels: pixels: the reference of atom 6 has z = nan", QMD_PIXELS_ICNNMD,
		 QMD_ERROR_RANGE},
		{damage_distance, "the reference of atom 6 has z = 1e+30", QMD_PIXELS_ICNNMD, QMD_ERROR_RANGE},
		{damage_step_zero, "step 7 is 0", QMD_PIXELS_DISPLACEMENT, QMD_ERROR_FORMAT},
		{damage_step_negative, "step 7 is -1", QMD_PIXELS_DISPLACEMENT, QMD_ERROR_FORMAT},
		{damage_step_nan, "step 7 is nan", QMD_PIXELS_DISPLACEMENT, QMD_ERROR_FORMAT},
		{damage_step_infinite, "step 7 is inf", QMD_PIXELS_DISPLACEMENT, QMD_ERROR_FORMAT},
		{damage_padding, "background pixel 8 shows no atom and is 1", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		qmd_pixels *pixels = make_small(cases[i].kind), *loaded = NULL;
		cases[i].damage(pixels);
		qmdi_writer writer = {0};
		qmdi_pixels_put(pixels, &writer);
		qmdi_reader reader = reader_of(writer.data, writer.size);
		qmdt_fails(qmdi_pixels_get(&reader, &loaded), cases[i].status, cases[i].text);
		ck_assert_int_eq(reader.status, cases[i].status);
		ck_assert_ptr_null(loaded);
		qmdi_writer_release(&writer);
		qmd_pixels_free(pixels);
	}
}
END_TEST

START_TEST(counts_are_checked_before_memory_is_taken) {
	static const uint32_t counts[][2] = {{0, 0}, {8, 0}, {8, 9}, {UINT32_MAX, 1}, {UINT32_MAX, UINT32_MAX}};
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		unsigned char bytes[1000] = {0};
		qmdi_writer writer = {0};
		qmdi_put_u32(&writer, QMD_PIXELS_ICNNMD);
		qmdi_put_u32(&writer, counts[i][0]);
		qmdi_put_u32(&writer, counts[i][1]);
		qmdi_put(&writer, bytes, sizeof bytes);
		qmdi_reader reader = reader_of(writer.data, writer.size);
		qmd_pixels *loaded;
		qmdt_fails(qmdi_pixels_get(&reader, &loaded), QMD_ERROR_FORMAT, "do not fit into 1000 bytes");
		qmdi_writer_release(&writer);
	}
}
END_TEST

/* Whatever is read from a damaged section must still be safe to use. */
START_TEST(no_truncation_and_no_flipped_bit_does_harm) {
	for (int32_t kind = QMD_PIXELS_DISPLACEMENT; kind <= QMD_PIXELS_ICNNMD; kind++) {
		qmd_pixels *pixels = make_small(kind), *loaded;
		qmdi_writer writer = {0};
		qmdi_pixels_put(pixels, &writer);
		for (size_t size = 0; size < writer.size; size++) {
			unsigned char *copy = malloc(size + 1); /* the sanitizer watches its end */
			memcpy(copy, writer.data, size);
			qmdi_reader reader = reader_of(copy, size);
			ck_assert_int_eq(qmdi_pixels_get(&reader, &loaded), QMD_ERROR_FORMAT);
			free(copy);
		}
		for (size_t bit = 0; bit < 8 * writer.size; bit++) {
			writer.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
			qmdi_reader reader = reader_of(writer.data, writer.size);
			if (qmdi_pixels_get(&reader, &loaded) == QMD_OK) {
				unsigned char *image = malloc(qmd_pixels_side(loaded) * qmd_pixels_side(loaded) * 3);
				const qmd_frame frame = frame_of(octahedron, qmd_pixels_n_atoms(loaded));
				if (qmd_pixels_n_atoms(loaded) == 8)
					qmdt_ok(qmd_pixels_run(loaded, &frame, 1, image));
				free(image);
				qmd_pixels_free(loaded);
			}
			writer.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
		}
		qmdi_writer_release(&writer);
		qmd_pixels_free(pixels);
	}
}
END_TEST

int main(void) {
	Suite *suite = suite_create("pixels");
	TCase *meaning = tcase_create("what a pixel is");
	tcase_add_test(meaning, displacement_is_rounded_in_steps);
	tcase_add_test(meaning, displacement_is_seen_after_superposition);
	tcase_add_test(meaning, icnnmd_colours_are_truncated_between_lowest_and_highest);
	tcase_add_test(meaning, icnnmd_colours_of_a_single_place_are_zero);
	tcase_add_test(meaning, pixels_describe_themselves);
	suite_add_tcase(suite, meaning);
	TCase *host = tcase_create("a host's frame");
	tcase_add_test(host, hosts_layouts_give_the_same_bytes);
	tcase_add_test(host, wrapped_frames_give_the_same_bytes_as_whole_ones);
	tcase_add_test(host, frames_wrapped_in_single_precision_differ_by_ones_at_most);
	tcase_add_test(host, hosts_float_environment_does_not_matter_and_is_given_back);
	tcase_add_test(host, rows_may_lie_apart_and_nothing_beside_them_is_written);
	suite_add_tcase(suite, host);
	TCase *errors = tcase_create("errors");
	tcase_add_test(errors, wrong_frames_are_refused);
	tcase_add_test(errors, bad_coordinates_are_named);
	tcase_add_test(errors, bad_coordinates_in_a_box_are_named);
	tcase_add_test(errors, impossible_pixels_are_refused);
	suite_add_tcase(suite, errors);
	TCase *png = tcase_create("png");
	tcase_add_test(png, png_shows_the_bytes);
	suite_add_tcase(suite, png);
	TCase *section = tcase_create("the section of a file");
	tcase_add_test(section, saved_pixels_come_back);
	tcase_add_test(section, damaged_sections_are_refused);
	tcase_add_test(section, counts_are_checked_before_memory_is_taken);
	tcase_add_test(section, no_truncation_and_no_flipped_bit_does_harm);
	suite_add_tcase(suite, section);
	return qmdt_run(suite);
}
