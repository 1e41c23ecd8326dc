#include "pixels_frame.h"

#include <math.h>

#include "base/vectorized.h"
#include "superpose.h"

/* A box outside of these is a mistake, and would make numbers that are no longer exact. */
#define MIN_BOX 1.0
#define MAX_BOX 1e6

qmd_status qmdi_frame_check(const qmd_pixels *pixels, const qmd_frame *frame) {
	qmd_frame unused;
	QMDI_TRY(qmdi_options_copy(&unused, sizeof unused, sizeof unused, frame, "qmd_frame"));
	if (!frame->xyz)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "frame: xyz is NULL");
	if (frame->type != QMD_F32 && frame->type != QMD_F64)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "frame: type is %d, expected QMD_F32 (%d) or QMD_F64 (%d)", frame->type,
						 QMD_F32, QMD_F64);
	if (frame->unit != QMD_ANGSTROM && frame->unit != QMD_NM)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "frame: unit is %d, expected QMD_ANGSTROM (%d) or QMD_NM (%d)",
						 frame->unit, QMD_ANGSTROM, QMD_NM);
	if (frame->stride < 3)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "frame: stride is %zu, expected at least 3", frame->stride);
	if (!frame->indices && frame->n_atoms != pixels->n_atoms)
		return qmdi_fail(QMD_ERROR_SHAPE, "frame: n_atoms is %zu and indices is NULL, expected the pixels' %zu atoms",
						 frame->n_atoms, pixels->n_atoms);
	for (size_t i = 0; frame->indices && i < pixels->n_atoms; i++)
		if (frame->indices[i] >= frame->n_atoms)
			return qmdi_fail(QMD_ERROR_RANGE, "frame: indices[%zu] is %u, expected less than n_atoms, %zu", i,
							 frame->indices[i], frame->n_atoms);
	return QMD_OK;
}

/* Coordinates of the pixels' atoms, in angstrom, as three planes. */
QMDI_VECTORIZED
static void gather(const qmd_frame *frame, size_t n, double *xyz) {
	const double unit = frame->unit == QMD_NM ? 10.0 : 1.0;
	double *x = xyz, *y = xyz + n, *z = xyz + 2 * n;
	if (frame->type == QMD_F64) {
		for (size_t i = 0; i < n; i++) {
			const double *atom = (const double *)frame->xyz + (frame->indices ? frame->indices[i] : i) * frame->stride;
			x[i] = atom[0] * unit, y[i] = atom[1] * unit, z[i] = atom[2] * unit;
		}
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const float *atom = (const float *)frame->xyz + (frame->indices ? frame->indices[i] : i) * frame->stride;
		x[i] = (double)atom[0] * unit, y[i] = (double)atom[1] * unit, z[i] = (double)atom[2] * unit;
	}
}

qmd_status qmdi_frame_box(const qmd_frame *frame, qmdi_box *box) {
	const double unit = frame->unit == QMD_NM ? 10.0 : 1.0;
	double vectors[3][3];
	for (int i = 0; i < 3; i++) {
		for (int j = 0; j < 3; j++) {
			const double x = vectors[i][j] = frame->box[3 * i + j] * unit;
			const int good = j < i ? fabs(x) <= MAX_BOX : j == i ? x >= MIN_BOX && x <= MAX_BOX : x == 0.0;
			if (!good)
				return qmdi_fail(
					QMD_ERROR_RANGE,
					"frame: box vector %c has %c = %g angstrom, expected a along x, b in the xy plane, and "
					"a.x, b.y and c.z from %g to %g angstrom",
					"abc"[i], "xyz"[j], x, MIN_BOX, MAX_BOX);
		}
	}
	*box = (qmdi_box){.a_x = vectors[0][0],
					  .b_x = vectors[1][0],
					  .b_y = vectors[1][1],
					  .c_x = vectors[2][0],
					  .c_y = vectors[2][1],
					  .c_z = vectors[2][2]};
	return QMD_OK;
}

/*
 * Each atom goes to the image nearest to the atom before it. Counting images and adding them to the given coordinates
 * at the end leaves an atom that needs none as it is, and lets no rounding errors grow along the chain. Atoms 2^31
 * boxes apart are counted wrong and stay too far apart.
 *
 * images: scratch, three planes of n. Loops that depend on nothing but their own atom are vectorized, hence three.
 */
QMDI_VECTORIZED
static void make_whole(const qmdi_box *given, size_t n, double *xyz, uint32_t *images) {
	const qmdi_box box = *given;
	double *restrict x = xyz, *restrict y = xyz + n, *restrict z = xyz + 2 * n;
	uint32_t *restrict a = images, *restrict b = images + n, *restrict c = images + 2 * n;
	a[0] = b[0] = c[0] = 0;
	for (size_t i = 1; i < n; i++)
		qmdi_count_images(box, x[i - 1] - x[i], y[i - 1] - y[i], z[i - 1] - z[i], &a[i], &b[i], &c[i]);
	for (size_t i = 1; i < n; i++)
		a[i] += a[i - 1], b[i] += b[i - 1], c[i] += c[i - 1];
	for (size_t i = 1; i < n; i++)
		qmdi_move_by_images(box, (int32_t)a[i], (int32_t)b[i], (int32_t)c[i], &x[i], &y[i], &z[i]);
}

/* Negative if a coordinate is not finite or too far from `origin`. */
QMDI_VECTORIZED
static int64_t plane_to_grid(const double *x, size_t n, double origin, int32_t *restrict grid) {
	int64_t off_grid = 0;
	for (size_t i = 0; i < n; i++) {
		const int64_t point = qmdi_to_grid(x[i] - origin);
		off_grid |= qmdi_off_grid(point);
		grid[i] = (int32_t)point;
	}
	return off_grid;
}

/* Name the first atom that is not finite, else the first that is too far. */
static qmd_status fail_at_atom(const qmd_pixels *pixels, const qmd_frame *frame, const qmdi_box *box, double *xyz,
							   int32_t *grid) {
	const size_t n = pixels->n_atoms, first = pixels->superposed[0];
	gather(frame, n, xyz);
	for (size_t i = 0; i < 3 * n; i++) {
		const qmd_atom *atom = &pixels->atoms[i / 3];
		const double x = xyz[i % 3 * n + i / 3];
		if (!isfinite(x))
			return qmdi_fail(QMD_ERROR_RANGE, "frame: atom %zu (%s %s %d %s): %c is %g, expected a finite number",
							 i / 3, atom->chain, atom->residue_name, atom->residue_number, atom->name, "xyz"[i % 3], x);
	}
	if (frame->box)
		make_whole(box, n, xyz, (uint32_t *)grid);
	for (size_t i = 0; i < 3 * n; i++) {
		const qmd_atom *atom = &pixels->atoms[i / 3];
		const double *plane = xyz + i % 3 * n;
		const double distance = plane[i / 3] - plane[first];
		if (qmdi_off_grid(qmdi_to_grid(distance)) < 0)
			return qmdi_fail(
				QMD_ERROR_RANGE,
				"frame: atom %zu (%s %s %d %s) is %g angstrom along %c from atom %zu, the first superposed "
				"one, expected at most %g",
				i / 3, atom->chain, atom->residue_name, atom->residue_number, atom->name, distance, "xyz"[i % 3], first,
				QMDI_MAX_DISTANCE);
	}
	return qmdi_fail(QMD_ERROR_INTERNAL, "frame: no atom is too far");
}

qmd_status qmdi_frame_to_grid(const qmd_pixels *pixels, const qmd_frame *frame, double *xyz, int32_t *grid) {
	const size_t n = pixels->n_atoms, first = pixels->superposed[0];
	qmdi_box box = {0};
	QMDI_TRY(qmdi_frame_check(pixels, frame));
	if (frame->box)
		QMDI_TRY(qmdi_frame_box(frame, &box));
	gather(frame, n, xyz);
	if (frame->box)
		make_whole(&box, n, xyz, (uint32_t *)grid);
	int64_t off_grid = 0;
	for (size_t axis = 0; axis < 3; axis++)
		off_grid |= plane_to_grid(xyz + axis * n, n, xyz[axis * n + first], grid + axis * n);
	return off_grid < 0 ? fail_at_atom(pixels, frame, &box, xyz, grid) : QMD_OK;
}
