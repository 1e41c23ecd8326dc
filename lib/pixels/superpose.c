#include "superpose.h"

#include <float.h>
#include <math.h>

#include "base/vectorized.h"

#ifdef __FAST_MATH__
#error "docs/numerics.md: results must not depend on the compiler's choices; build without -ffast-math"
#endif
_Static_assert(FLT_EVAL_METHOD == 0, "FP64 operations must round to FP64 each");

/* Cyclic Jacobi converges quadratically: a 4x4 matrix needs 4 to 6 sweeps. */
#define MAX_SWEEPS 16

QMDI_VECTORIZED
static void sum_products(const qmdi_anchors *anchors, const int32_t *frame, size_t plane, int64_t sums[3],
						 int64_t products[3][3]) {
	const size_t n = anchors->n;
	int64_t x_sum = 0, y_sum = 0, z_sum = 0;
	int64_t xx = 0, xy = 0, xz = 0, yx = 0, yy = 0, yz = 0, zx = 0, zy = 0, zz = 0;
	for (size_t i = 0; i < n; i++) {
		const int32_t *atom = frame + anchors->indices[i];
		const int64_t x = atom[0], y = atom[plane], z = atom[2 * plane];
		const int64_t u = anchors->grid[i], v = anchors->grid[n + i], w = anchors->grid[2 * n + i];
		x_sum += x, y_sum += y, z_sum += z;
		xx += x * u, xy += x * v, xz += x * w;
		yx += y * u, yy += y * v, yz += y * w;
		zx += z * u, zy += z * v, zz += z * w;
	}
	sums[0] = x_sum, sums[1] = y_sum, sums[2] = z_sum;
	products[0][0] = xx, products[0][1] = xy, products[0][2] = xz;
	products[1][0] = yx, products[1][1] = yy, products[1][2] = yz;
	products[2][0] = zx, products[2][1] = zy, products[2][2] = zz;
}

/* Horn, J. Opt. Soc. Am. A 4, 629 (1987): the quaternion sought is the eigenvector of this matrix's largest eigenvalue.
 */
static void horn_matrix(const double s[3][3], double m[4][4]) {
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
static void jacobi_rotate(double m[4][4], double v[4][4], int p, int q) {
	const double theta = (m[q][q] - m[p][p]) / (2.0 * m[p][q]);
	const double root = fabs(theta) + sqrt(theta * theta + 1.0);
	const double t = (theta < 0.0 ? -1.0 : 1.0) / root;
	const double c = 1.0 / sqrt(t * t + 1.0);
	const double s = t * c;
	const double shift = t * m[p][q];
	m[p][p] -= shift;
	m[q][q] += shift;
	m[p][q] = m[q][p] = 0.0;
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

/* Eigenvector of the largest eigenvalue; the first of equal ones. */
static void largest_eigenvector(double m[4][4], double vector[4]) {
	double v[4][4] = {{1.0, 0.0, 0.0, 0.0}, {0.0, 1.0, 0.0, 0.0}, {0.0, 0.0, 1.0, 0.0}, {0.0, 0.0, 0.0, 1.0}};
	int n_rotations = 1;
	for (int sweep = 0; sweep < MAX_SWEEPS && n_rotations; sweep++) {
		n_rotations = 0;
		for (int p = 0; p < 3; p++) {
			for (int q = p + 1; q < 4; q++) {
				if (fabs(m[p][q]) <= 0x1p-60 * (fabs(m[p][p]) + fabs(m[q][q])))
					continue;
				jacobi_rotate(m, v, p, q);
				n_rotations++;
			}
		}
	}
	int largest = 0;
	for (int i = 1; i < 4; i++)
		if (m[i][i] > m[largest][largest])
			largest = i;
	for (int i = 0; i < 4; i++)
		vector[i] = v[i][largest];
}

static void quaternion_to_matrix(const double quaternion[4], double r[3][3]) {
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

void qmdi_superpose(const qmdi_anchors *anchors, const int32_t *frame, size_t plane, qmdi_superposition *out) {
	int64_t sums[3], products[3][3];
	sum_products(anchors, frame, plane, sums, products);
	const double n = (double)anchors->n;
	double covariance[3][3], m[4][4], quaternion[4];
	for (int i = 0; i < 3; i++) {
		out->centre[i] = (double)sums[i] / n;
		for (int j = 0; j < 3; j++)
			covariance[i][j] = (double)products[i][j] - (double)sums[i] * (double)anchors->sums[j] / n;
	}
	horn_matrix(covariance, m);
	largest_eigenvector(m, quaternion);
	quaternion_to_matrix(quaternion, out->rotation);
}
