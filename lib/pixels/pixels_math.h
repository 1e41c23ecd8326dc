/*
 * What a frame's pixels are computed from, number by number, for the CPU (C) and for CUDA kernels (C++): one text,
 * hence one result. FP64 from + - * / and sqrt in the order written here (docs/numerics.md).
 */
#ifndef QMD_LIB_PIXELS_MATH_H
#define QMD_LIB_PIXELS_MATH_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/shared_math.h"

/* Coordinates are rounded to this fraction of an angstrom before anything is computed from them. */
#define QMDI_PIXELS_FRACTION 0x1p-13
#define QMDI_MAX_DISTANCE 512.0
#define QMDI_MAX_GRID 0x400000 /* 512 angstrom */

/* Halves are rounded to even. |x| < 2^51. rint() is a call on the oldest x86-64 and keeps loops from being vectorized.
 */
QMDI_SHARED_MATH double qmdi_round_even(double x) {
	return (x + 0x1.8p52) - 0x1.8p52;
}

/* ---- Whole molecules ---- */

/* Box vectors a, b and c in angstrom, a along x and b in the xy plane. */
typedef struct qmdi_box {
	double a_x, b_x, b_y, c_x, c_y, c_z;
} qmdi_box;

/* The integer nearest to |x| < 2^51, and its low 32 bits in *low: anything for what does not fit there. */
QMDI_SHARED_MATH double qmdi_round_to_integer(double x, uint32_t *low) {
	const double shifted = x + 0x1.8p52;
	uint64_t bits;
	memcpy(&bits, &shifted, sizeof bits);
	*low = (uint32_t)bits;
	return shifted - 0x1.8p52;
}

/* Boxes that an atom must be moved by along a, b and c to be near the one before it, which lies so far from it. */
QMDI_SHARED_MATH void qmdi_count_images(qmdi_box box, double x, double y, double z, uint32_t *a, uint32_t *b,
										uint32_t *c) {
	const double per_a = 1.0 / box.a_x, per_b = 1.0 / box.b_y, per_c = 1.0 / box.c_z;
	const double along_c = qmdi_round_to_integer(z * per_c, c);
	const double along_b = qmdi_round_to_integer((y - along_c * box.c_y) * per_b, b);
	qmdi_round_to_integer((x - along_c * box.c_x - along_b * box.b_x) * per_a, a);
}

QMDI_SHARED_MATH void qmdi_move_by_images(qmdi_box box, int32_t a, int32_t b, int32_t c, double *x, double *y,
										  double *z) {
	const double n_a = a, n_b = b, n_c = c;
	*x = ((*x + n_a * box.a_x) + n_b * box.b_x) + n_c * box.c_x;
	*y = (*y + n_b * box.b_y) + n_c * box.c_y;
	*z += n_c * box.c_z;
}

/* ---- The grid ---- */

/*
 * A distance in angstrom to the grid; a number beyond QMDI_MAX_GRID for what is too large or not finite. In plain
 * integers, so that loops are vectorized: at 1.5 * 2^52 the last bit of a double is 1.
 *
 * Coordinates in single precision are multiples of some 2^-k angstrom and would often lie halfway between two points of
 * the grid, where the last bit of a host's arithmetic decides. A third of a step keeps them away from there.
 */
QMDI_SHARED_MATH int64_t qmdi_to_grid(double distance) {
	const double shifted = (distance * (1.0 / QMDI_PIXELS_FRACTION) + 1.0 / 3.0) + 0x1.8p52;
	uint64_t bits;
	memcpy(&bits, &shifted, sizeof bits);
	return (int64_t)(bits - 0x4338000000000000u);
}

/* Negative if a point is not on the grid. */
QMDI_SHARED_MATH int64_t qmdi_off_grid(int64_t point) {
	const uint64_t max = QMDI_MAX_GRID;
	return (int64_t)(((uint64_t)point + max) | (max - (uint64_t)point));
}

/* ---- Superposition ---- */

/* Sums over the superposed atoms, p those of a frame and r the reference's: exact, in any order. */
typedef struct qmdi_anchor_sums {
	int64_t p[3];
	int64_t products[3][3]; /* of p[i] and r[j] */
} qmdi_anchor_sums;

/* A rotation about the centre of the superposed atoms: x -> rotation (x - centre). */
typedef struct qmdi_superposition {
	double rotation[3][3];
	double centre[3]; /* of the frame's superposed atoms, in units of the grid */
} qmdi_superposition;

/* Horn, J. Opt. Soc. Am. A 4, 629 (1987): the quaternion sought is the eigenvector of this matrix's largest eigenvalue.
 */
QMDI_SHARED_MATH void qmdi_horn_matrix(const double s[3][3], double m[4][4]) {
	m[0][0] = s[0][0] + s[1][1] + s[2][2];
	m[1][1] = s[0][0] - s[1][1] - s[2][2];
	m[2][2] = s[1][1] - s[0][0] - s[2][2];
	m[3][3] = s[2][2] - s[0][0] - s[1][1];
	m[0][1] = m[1][0] = s[1][2] - s[2][1];
	m[0][2] = m[2][0] = s[2][0] - s[0][2];
	m[0][3] = m[3][0] = s[0][1] - s[1][0];
	m[1][2] = m[2][1] = s[0][1] + s[1][0];
	m[1][3] = m[3][1] = s[2][0] + s[0][2];
	m[2][3] = m[3][2] = s[1][2] + s[2][1];
}

/* One Jacobi rotation that makes m[p][q] zero; the columns of v turn along. */
QMDI_SHARED_MATH void qmdi_jacobi_rotate(double m[4][4], double v[4][4], int p, int q) {
	const double theta = (m[q][q] - m[p][p]) / (2.0 * m[p][q]);
	const double root = fabs(theta) + sqrt(theta * theta + 1.0);
	const double t = (theta < 0.0 ? -1.0 : 1.0) / root;
	const double c = 1.0 / sqrt(t * t + 1.0);
	const double s = t * c;
	const double shift = t * m[p][q];
	m[p][p] -= shift;
	m[q][q] += shift;
	m[p][q] = m[q][p] = 0.0;
	QMDI_UNROLLED
	for (int k = 0; k < 4; k++) {
		const double v_p = v[k][p], v_q = v[k][q];
		v[k][p] = c * v_p - s * v_q;
		v[k][q] = s * v_p + c * v_q;
		if (k == p || k == q)
			continue;
		const double m_p = m[k][p], m_q = m[k][q];
		m[k][p] = m[p][k] = c * m_p - s * m_q;
		m[k][q] = m[q][k] = s * m_p + c * m_q;
	}
}

/* Cyclic Jacobi converges quadratically: a 4x4 matrix needs 4 to 6 sweeps. */
#define QMDI_MAX_SWEEPS 16

/* Eigenvector of the largest eigenvalue; the first of equal ones. */
QMDI_SHARED_MATH void qmdi_largest_eigenvector(double m[4][4], double vector[4]) {
	double v[4][4] = {{1.0, 0.0, 0.0, 0.0}, {0.0, 1.0, 0.0, 0.0}, {0.0, 0.0, 1.0, 0.0}, {0.0, 0.0, 0.0, 1.0}};
	int n_rotations = 1;
	for (int sweep = 0; sweep < QMDI_MAX_SWEEPS && n_rotations; sweep++) {
		n_rotations = 0;
		QMDI_UNROLLED
		for (int p = 0; p < 3; p++) {
			QMDI_UNROLLED
			for (int q = p + 1; q < 4; q++) {
				if (fabs(m[p][q]) <= 0x1p-60 * (fabs(m[p][p]) + fabs(m[q][q])))
					continue;
				qmdi_jacobi_rotate(m, v, p, q);
				n_rotations++;
			}
		}
	}
	double largest = m[0][0];
	for (int k = 0; k < 4; k++)
		vector[k] = v[k][0];
	QMDI_UNROLLED
	for (int i = 1; i < 4; i++) {
		if (!(m[i][i] > largest))
			continue;
		largest = m[i][i];
		for (int k = 0; k < 4; k++)
			vector[k] = v[k][i];
	}
}

QMDI_SHARED_MATH void qmdi_quaternion_to_matrix(const double quaternion[4], double r[3][3]) {
	const double w = quaternion[0], x = quaternion[1], y = quaternion[2], z = quaternion[3];
	const double ww = w * w, xx = x * x, yy = y * y, zz = z * z;
	const double norm = ((ww + xx) + yy) + zz;
	r[0][0] = (((ww + xx) - yy) - zz) / norm;
	r[1][1] = (((ww - xx) + yy) - zz) / norm;
	r[2][2] = (((ww - xx) - yy) + zz) / norm;
	r[0][1] = 2.0 * (x * y - w * z) / norm;
	r[1][0] = 2.0 * (x * y + w * z) / norm;
	r[0][2] = 2.0 * (x * z + w * y) / norm;
	r[2][0] = 2.0 * (x * z - w * y) / norm;
	r[1][2] = 2.0 * (y * z - w * x) / norm;
	r[2][1] = 2.0 * (y * z + w * x) / norm;
}

/* n superposed atoms; anchor_sums: of the reference's r. */
QMDI_SHARED_MATH void qmdi_superpose_sums(const qmdi_anchor_sums *sums, const int64_t anchor_sums[3], size_t n_atoms,
										  qmdi_superposition *out) {
	const double n = (double)n_atoms;
	double covariance[3][3], m[4][4], quaternion[4];
	for (int i = 0; i < 3; i++) {
		out->centre[i] = (double)sums->p[i] / n;
		for (int j = 0; j < 3; j++)
			covariance[i][j] = (double)sums->products[i][j] - (double)sums->p[i] * (double)anchor_sums[j] / n;
	}
	qmdi_horn_matrix(covariance, m);
	qmdi_largest_eigenvector(m, quaternion);
	qmdi_quaternion_to_matrix(quaternion, out->rotation);
}

/*
 * Where an atom of the grid went, in angstrom, is along axis k
 *
 *     ((turn[k][0] * x + turn[k][1] * y) + turn[k][2] * z) + shift[k]
 */
typedef struct qmdi_placement {
	double turn[3][3], shift[3];
} qmdi_placement;

/* reference_centre: of the reference's superposed atoms, in angstrom. */
QMDI_SHARED_MATH void qmdi_place(const qmdi_superposition *superposition, const double reference_centre[3],
								 qmdi_placement *placement) {
	const double *centre = superposition->centre;
	for (int k = 0; k < 3; k++) {
		double *turn = placement->turn[k];
		for (int j = 0; j < 3; j++)
			turn[j] = superposition->rotation[k][j] * QMDI_PIXELS_FRACTION;
		placement->shift[k] = reference_centre[k] - ((turn[0] * centre[0] + turn[1] * centre[1]) + turn[2] * centre[2]);
	}
}

/* ---- Colours ---- */

QMDI_SHARED_MATH double qmdi_turned(double t_x, double t_y, double t_z, int32_t x, int32_t y, int32_t z) {
	return (t_x * x + t_y * y) + t_z * z;
}

/* Rounding before clamping is the same as after it, and integers are clamped without branches. */
QMDI_SHARED_MATH int32_t qmdi_displacement(double at, float reference, float step) {
	const int32_t value = (int32_t)qmdi_round_even((at - (double)reference) / (double)step);
	const int32_t high = value < 127 ? value : 127;
	return high > -127 ? high : -127;
}

/* rgb = M xyz: rows of the matrix of ICNNMD times the rotation. */
QMDI_SHARED_MATH void qmdi_icnnmd_mix(const qmdi_placement *placement, double mix[3][3]) {
	const double matrix[3][3] = {
		{2.0413690, -0.5649464, -0.3446944}, {-0.9692660, 1.8760108, 0.0415560}, {0.0134474, -0.1183897, 1.0154096}};
	for (int k = 0; k < 3; k++)
		for (int j = 0; j < 3; j++)
			mix[k][j] = (matrix[k][0] * placement->turn[0][j] + matrix[k][1] * placement->turn[1][j]) +
						matrix[k][2] * placement->turn[2][j];
}

/* low, high: of the frame's values in this channel. */
QMDI_SHARED_MATH double qmdi_icnnmd_width(double low, double high) {
	return high > low ? high - low : 1.0;
}

QMDI_SHARED_MATH int32_t qmdi_icnnmd_colour(double value, double low, double width) {
	return (int32_t)((value - low) / width * 255.0);
}

#endif
