#include "superpose.h"

#include <float.h>

#include "base/vectorized.h"

#ifdef __FAST_MATH__
#error "docs/numerics.md: results must not depend on the compiler's choices; build without -ffast-math"
#endif
_Static_assert(FLT_EVAL_METHOD == 0, "FP64 operations must round to FP64 each");

QMDI_VECTORIZED
static void sum_products(const qmdi_anchors *anchors, const int32_t *frame, size_t plane, qmdi_anchor_sums *sums) {
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
	*sums = (qmdi_anchor_sums){{x_sum, y_sum, z_sum}, {{xx, xy, xz}, {yx, yy, yz}, {zx, zy, zz}}};
}

void qmdi_superpose(const qmdi_anchors *anchors, const int32_t *frame, size_t plane, qmdi_superposition *out) {
	qmdi_anchor_sums sums;
	sum_products(anchors, frame, plane, &sums);
	qmdi_superpose_sums(&sums, anchors->sums, anchors->n, out);
}
