/* Frames to images, on pixels made in memory. */
#include "support.h"

#include <fenv.h>
#include <math.h>
#include <png.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include "base/random.h"
#include "pixels_fixture.h"

#define CHAIN_ATOMS 300
#define CHAIN_SIDE 18

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
	return qmdt_pixels_make(kind, CHAIN_ATOMS, (const float(*)[3])chain_reference, CHAIN_ATOMS / 2, 5.0f / 127.0f);
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
	qmd_pixels *pixels = qmdt_pixels_make(QMD_PIXELS_DISPLACEMENT, 8, qmdt_octahedron, 6, 0.5f);
	for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
		for (size_t axis = 0; axis < 3; axis++) {
			float xyz[8][3];
			int8_t image[3][3][3], expected[3][3][3] = {{{0}}};
			memcpy(xyz, qmdt_octahedron, sizeof xyz);
			xyz[6][axis] += moves[i][0];
			expected[2][0][axis] = (int8_t)moves[i][1];
			const qmd_frame frame = qmdt_frame_of(xyz, 8);
			qmdt_ok(qmd_pixels_run(pixels, &frame, 1, image));
			ck_assert_mem_eq(image, expected, sizeof image);
		}
	qmd_pixels_free(pixels);
}
END_TEST

START_TEST(displacement_is_seen_after_superposition) {
	/* A quarter turn about z (x -> y, y -> -x) and a shift; atom 7 has moved by (+2, 0, -1) before that. */
	qmd_pixels *pixels = qmdt_pixels_make(QMD_PIXELS_DISPLACEMENT, 8, qmdt_octahedron, 6, 0.25f);
	float xyz[8][3];
	int8_t image[3][3][3], expected[3][3][3] = {{{0}}};
	for (size_t i = 0; i < 8; i++) {
		const float x = qmdt_octahedron[i][0] + (i == 7 ? 2.0f : 0.0f),
					z = qmdt_octahedron[i][2] - (i == 7 ? 1.0f : 0.0f);
		xyz[i][0] = -qmdt_octahedron[i][1] + 100.0f;
		xyz[i][1] = x - 50.0f;
		xyz[i][2] = z + 25.0f;
	}
	expected[2][1][0] = 8;
	expected[2][1][2] = -4;
	const qmd_frame frame = qmdt_frame_of(xyz, 8);
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
	qmd_pixels *pixels = qmdt_pixels_make(QMD_PIXELS_ICNNMD, 6, qmdt_octahedron, 6, 0.0f);
	const qmd_frame frame = qmdt_frame_of(qmdt_octahedron, 6);
	qmdt_ok(qmd_pixels_run(pixels, &frame, 1, image));
	ck_assert_mem_eq(image, expected, sizeof image);
	qmd_pixels_free(pixels);
}
END_TEST

START_TEST(icnnmd_colours_of_a_single_place_are_zero) {
	static const float places[3][3] = {{5, 6, 7}, {5, 6, 7}, {5, 6, 7}};
	static const uint8_t nothing[2][2][3];
	uint8_t image[2][2][3];
	qmd_pixels *pixels = qmdt_pixels_make(QMD_PIXELS_ICNNMD, 3, places, 3, 0.0f);
	const qmd_frame frame = qmdt_frame_of(places, 3);
	qmdt_ok(qmd_pixels_run(pixels, &frame, 1, image));
	ck_assert_mem_eq(image, nothing, sizeof image);
	qmd_pixels_free(pixels);
}
END_TEST

START_TEST(pixels_describe_themselves) {
	qmd_pixels *pixels = qmdt_pixels_make(QMD_PIXELS_DISPLACEMENT, 8, qmdt_octahedron, 6, 0.5f);
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
	ck_assert_mem_eq(reference, qmdt_octahedron, sizeof reference);
	unsigned char background[27], nothing[27] = {0};
	memset(background, 1, sizeof background);
	qmdt_ok(qmd_pixels_background(pixels, background));
	ck_assert_mem_eq(background, nothing, sizeof background);
	qmd_pixels_free(pixels);
	pixels = qmdt_pixels_make(QMD_PIXELS_ICNNMD, 1, qmdt_octahedron, 1, 0.0f);
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
		qmd_frame frame = qmdt_frame_of(chain, CHAIN_ATOMS);
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
		frame = qmdt_frame_of(host, 2 * CHAIN_ATOMS);
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
		frame = qmdt_frame_of(strided, CHAIN_ATOMS);
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
		qmd_frame frame = qmdt_frame_of(chain, CHAIN_ATOMS);
		const chain_image expected = run_chain(pixels, &frame);
		for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
			frame = qmdt_frame_of(chain, CHAIN_ATOMS);
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
			frame = qmdt_frame_of(wrapped, CHAIN_ATOMS);
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
	qmd_frame frame = qmdt_frame_of(chain, CHAIN_ATOMS);
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
	frame = qmdt_frame_of(wrapped, CHAIN_ATOMS);
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
		qmd_frame frame = qmdt_frame_of(chain, CHAIN_ATOMS);
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
	const qmd_frame frame = qmdt_frame_of(chain, CHAIN_ATOMS);
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
	qmd_pixels *pixels = qmdt_pixels_make(QMD_PIXELS_DISPLACEMENT, 8, qmdt_octahedron, 6, 0.5f);
	unsigned char image[27];
	const uint32_t indices[8] = {0, 1, 2, 3, 4, 5, 6, 8};
	const qmd_frame good = qmdt_frame_of(qmdt_octahedron, 8);
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
		qmd_pixels *pixels = qmdt_pixels_make(kind, 8, qmdt_octahedron, 6, 0.5f);
		float xyz[8][3];
		unsigned char image[27];
		memcpy(xyz, qmdt_octahedron, sizeof xyz);
		const qmd_frame frame = qmdt_frame_of(xyz, 8);
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
	qmd_pixels *pixels = qmdt_pixels_make(QMD_PIXELS_DISPLACEMENT, 8, qmdt_octahedron, 6, 0.5f);
	float xyz[8][3];
	unsigned char image[27];
	double box[9] = {50, 0, 0, 0, 50, 0, 0, 0, 50};
	memcpy(xyz, qmdt_octahedron, sizeof xyz);
	qmd_frame frame = qmdt_frame_of(xyz, 8);
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
	pixels = qmdt_pixels_make(QMD_PIXELS_DISPLACEMENT, 8, qmdt_octahedron, 6, 0.5f);
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
		qmd_pixels *pixels = qmdt_pixels_make(kind, 4, qmdt_octahedron, 4, 0.5f);
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
	return qmdt_run(suite);
}
