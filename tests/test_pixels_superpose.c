/* Superposition on integers, against rotations that are known. */
#include "support.h"

#include <math.h>

#include "base/random.h"
#include "pixels/superpose.h"

#define MAX_ATOMS 1000

/* Atoms of a reference, and the same atoms in a frame. */
typedef struct points {
	size_t n;
	int32_t reference[3 * MAX_ATOMS], frame[3 * MAX_ATOMS]; /* planes of n */
	int32_t centred[3 * MAX_ATOMS];
	uint32_t indices[MAX_ATOMS];
	qmdi_anchors anchors;
} points;

static points p;

static void set_reference(size_t n, const int32_t (*xyz)[3]) {
	p.n = n;
	for (size_t i = 0; i < n; i++) {
		p.indices[i] = (uint32_t)i;
		for (size_t axis = 0; axis < 3; axis++)
			p.reference[axis * n + i] = xyz[i][axis];
	}
	for (size_t axis = 0; axis < 3; axis++) {
		int64_t sum = 0;
		for (size_t i = 0; i < n; i++)
			sum += p.reference[axis * n + i];
		const int64_t mean = sum / (int64_t)n;
		for (size_t i = 0; i < n; i++)
			p.centred[axis * n + i] = (int32_t)(p.reference[axis * n + i] - mean);
		p.anchors.sums[axis] = sum - mean * (int64_t)n;
	}
	p.anchors.indices = p.indices;
	p.anchors.n = n;
	p.anchors.grid = p.centred;
}

/* A cloud of 300 atoms, 60 x 40 x 20 angstrom. */
static void set_cloud(void) {
	static int32_t xyz[300][3];
	for (size_t i = 0; i < 300; i++)
		for (size_t axis = 0; axis < 3; axis++)
			xyz[i][axis] = (int32_t)(((double)qmdi_random_f32(7, axis, i) - 0.5) * (double)(60 - 20 * axis) * 8192.0);
	set_reference(300, xyz);
}

/* frame = turn reference + shift, rounded. */
static void set_frame(const double turn[3][3], const double shift[3]) {
	for (size_t i = 0; i < p.n; i++)
		for (size_t k = 0; k < 3; k++) {
			double x = shift[k];
			for (size_t j = 0; j < 3; j++)
				x += turn[k][j] * p.reference[j * p.n + i];
			p.frame[k * p.n + i] = (int32_t)rint(x);
		}
}

static qmdi_superposition superpose(void) {
	qmdi_superposition found;
	qmdi_superpose(&p.anchors, p.frame, p.n, &found);
	return found;
}

static void check_is_rotation(const double r[3][3]) {
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++) {
			const double dot = r[i][0] * r[j][0] + r[i][1] * r[j][1] + r[i][2] * r[j][2];
			ck_assert_double_eq_tol(dot, i == j ? 1.0 : 0.0, 1e-14);
		}
	const double determinant = r[0][0] * (r[1][1] * r[2][2] - r[1][2] * r[2][1]) -
							   r[0][1] * (r[1][0] * r[2][2] - r[1][2] * r[2][0]) +
							   r[0][2] * (r[1][0] * r[2][1] - r[1][1] * r[2][0]);
	ck_assert_double_eq_tol(determinant, 1.0, 1e-14);
}

/* What turned the reference into the frame is undone. */
static void check_undoes(const double turn[3][3], double tolerance) {
	const qmdi_superposition found = superpose();
	check_is_rotation(found.rotation);
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++)
			ck_assert_double_eq_tol(found.rotation[i][j], turn[j][i], tolerance);
}

START_TEST(quarter_turns_are_undone_to_the_last_bits) {
	/* Every rotation of a cube: permutations of the axes with signs, determinant 1; half turns have w = 0. */
	static const int permutations[6][4] = {{0, 1, 2, 1},  {1, 2, 0, 1},  {2, 0, 1, 1},
										   {0, 2, 1, -1}, {2, 1, 0, -1}, {1, 0, 2, -1}};
	set_cloud();
	int n = 0;
	for (int i = 0; i < 6; i++)
		for (int signs = 0; signs < 8; signs++) {
			const int s[3] = {signs & 1 ? -1 : 1, signs & 2 ? -1 : 1, signs & 4 ? -1 : 1};
			if (s[0] * s[1] * s[2] * permutations[i][3] != 1)
				continue;
			double turn[3][3] = {{0.0}};
			for (int k = 0; k < 3; k++)
				turn[k][permutations[i][k]] = s[k];
			set_frame((const double(*)[3])turn, (const double[3]){8192.0, -81920.0, 123.0});
			check_undoes((const double(*)[3])turn, 4e-15);
			n++;
		}
	ck_assert_int_eq(n, 24);
}
END_TEST

START_TEST(any_turn_is_undone_up_to_the_grid) {
	set_cloud();
	for (int step = 0; step < 60; step++) {
		/* Rodrigues: a turn by `angle` about a unit axis. */
		const double angle = step * 0.1, u[3] = {2.0 / 7.0, -3.0 / 7.0, 6.0 / 7.0};
		const double c = cos(angle), s = sin(angle);
		const double turn[3][3] = {
			{c + u[0] * u[0] * (1 - c), u[0] * u[1] * (1 - c) - u[2] * s, u[0] * u[2] * (1 - c) + u[1] * s},
			{u[1] * u[0] * (1 - c) + u[2] * s, c + u[1] * u[1] * (1 - c), u[1] * u[2] * (1 - c) - u[0] * s},
			{u[2] * u[0] * (1 - c) - u[1] * s, u[2] * u[1] * (1 - c) + u[0] * s, c + u[2] * u[2] * (1 - c)}};
		set_frame(turn, (const double[3]){-4000.0, 700000.0, 1.0});
		check_undoes(turn, 1e-6); /* half a step of 2^-13 angstrom at 20 angstrom, over the root of 300 atoms */
	}
}
END_TEST

START_TEST(centre_is_the_mean_of_the_superposed_atoms) {
	set_reference(3, (const int32_t[3][3]){{0, 0, 0}, {300, 0, 0}, {0, 601, 1}});
	set_frame((const double[3][3]){{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, (const double[3]){5.0, 0.0, -1.0});
	const qmdi_superposition found = superpose();
	ck_assert_double_eq(found.centre[0], 105.0);
	ck_assert_double_eq(found.centre[1], 601.0 / 3.0);
	ck_assert_double_eq(found.centre[2], -2.0 / 3.0);
}
END_TEST

START_TEST(mirror_image_gets_a_proper_rotation) {
	set_cloud();
	set_frame((const double[3][3]){{-1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, (const double[3]){0.0, 0.0, 0.0});
	check_is_rotation(superpose().rotation);
	/* The cloud is thinnest along z: the best that a rotation can do is to mirror that axis too. */
	const qmdi_superposition found = superpose();
	ck_assert_double_lt(found.rotation[0][0], -0.98);
	ck_assert_double_gt(found.rotation[1][1], 0.98);
	ck_assert_double_lt(found.rotation[2][2], -0.98);
}
END_TEST

START_TEST(points_in_a_plane_are_superposed) {
	static int32_t xyz[50][3];
	for (int i = 0; i < 50; i++) {
		xyz[i][0] = (i * 7919) % 100000;
		xyz[i][1] = (i * 104729) % 70000;
	}
	set_reference(50, (const int32_t(*)[3])xyz);
	const double turn[3][3] = {{0, 0, 1}, {1, 0, 0}, {0, 1, 0}};
	set_frame(turn, (const double[3]){3.0, 4.0, 5.0});
	check_undoes(turn, 4e-15);
}
END_TEST

START_TEST(points_on_a_line_or_in_one_point_do_no_harm) {
	static int32_t xyz[10][3];
	for (int i = 0; i < 10; i++)
		xyz[i][0] = 1000 * i, xyz[i][1] = 2000 * i, xyz[i][2] = -2000 * i;
	set_reference(10, (const int32_t(*)[3])xyz);
	const double turn[3][3] = {{0, 1, 0}, {0, 0, 1}, {1, 0, 0}};
	set_frame(turn, (const double[3]){0.0, 0.0, 0.0});
	const qmdi_superposition line = superpose();
	check_is_rotation(line.rotation);
	for (int k = 0; k < 3; k++) { /* the line itself comes back */
		const double direction[3] = {1.0, 2.0, -2.0};
		const double back = line.rotation[k][0] * 2.0 + line.rotation[k][1] * -2.0 + line.rotation[k][2] * 1.0;
		ck_assert_double_eq_tol(back, direction[k], 1e-12);
	}
	memset(p.frame, 0, sizeof p.frame);
	check_is_rotation(superpose().rotation);
	memset(xyz, 0, sizeof xyz);
	set_reference(10, (const int32_t(*)[3])xyz);
	check_is_rotation(superpose().rotation);
}
END_TEST

START_TEST(order_of_the_atoms_does_not_matter) {
	set_cloud();
	for (size_t i = 0; i < 3 * p.n; i++)
		p.frame[i] = p.reference[i] + (int32_t)(qmdi_random_u32(11, 0, i) % 40000);
	const qmdi_superposition first = superpose();
	static int32_t grid[3 * MAX_ATOMS];
	static uint32_t order[MAX_ATOMS];
	for (uint64_t seed = 0; seed < 20; seed++) {
		for (uint32_t i = 0; i < p.n; i++)
			order[i] = i;
		qmdi_random_shuffle(seed, 0, order, p.n);
		for (size_t i = 0; i < p.n; i++)
			for (size_t axis = 0; axis < 3; axis++)
				grid[axis * p.n + i] = p.centred[axis * p.n + order[i]];
		p.anchors.indices = order;
		p.anchors.grid = grid;
		const qmdi_superposition shuffled = superpose();
		ck_assert_mem_eq(&first, &shuffled, sizeof first);
	}
}
END_TEST

/* As many atoms as are allowed, as far apart as is allowed: the sanitizer watches the sums. */
START_TEST(largest_sums_do_not_overflow) {
	const size_t n = QMDI_MAX_SUPERPOSED;
	const int32_t far = 1 << 22;
	int32_t *grid = malloc(3 * n * sizeof *grid);
	uint32_t *indices = malloc(n * sizeof *indices);
	for (size_t i = 0; i < n; i++) {
		indices[i] = (uint32_t)i;
		for (size_t axis = 0; axis < 3; axis++)
			grid[axis * n + i] = i >> axis & 1 ? far : -far;
	}
	const qmdi_anchors anchors = {indices, n, grid, {0, 0, 0}};
	qmdi_superposition found;
	qmdi_superpose(&anchors, grid, n, &found);
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++)
			ck_assert_double_eq(found.rotation[i][j], i == j ? 1.0 : 0.0);
	free(grid);
	free(indices);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("pixels_superpose");
	TCase *known = tcase_create("known rotations");
	tcase_add_test(known, quarter_turns_are_undone_to_the_last_bits);
	tcase_add_test(known, any_turn_is_undone_up_to_the_grid);
	tcase_add_test(known, centre_is_the_mean_of_the_superposed_atoms);
	suite_add_tcase(suite, known);
	TCase *degenerate = tcase_create("degenerate");
	tcase_add_test(degenerate, mirror_image_gets_a_proper_rotation);
	tcase_add_test(degenerate, points_in_a_plane_are_superposed);
	tcase_add_test(degenerate, points_on_a_line_or_in_one_point_do_no_harm);
	suite_add_tcase(suite, degenerate);
	TCase *exact = tcase_create("exact sums");
	tcase_add_test(exact, order_of_the_atoms_does_not_matter);
	tcase_add_test(exact, largest_sums_do_not_overflow);
	suite_add_tcase(suite, exact);
	return qmdt_run(suite);
}
