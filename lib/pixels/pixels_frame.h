/* A host's frame to integer coordinates: gathered, in angstrom, whole, and on the grid. */
#ifndef QMD_LIB_PIXELS_FRAME_H
#define QMD_LIB_PIXELS_FRAME_H

#include <string.h>

#include "pixels/pixels_internal.h"

/*
 * grid: x, y and z of the pixels' atoms as three planes of n_atoms, relative to the first superposed atom, in units of
 * QMDI_PIXELS_FRACTION; at most 2^22 in magnitude. xyz: scratch of as many doubles.
 */
qmd_status qmdi_frame_to_grid(const qmd_pixels *pixels, const qmd_frame *frame, double *xyz, int32_t *grid);

#define QMDI_MAX_DISTANCE 512.0
#define QMDI_MAX_GRID 0x400000 /* 512 angstrom */

/*
 * A distance in angstrom to the grid; a number beyond QMDI_MAX_GRID for what is too large or not finite. In plain
 * integers, so that loops are vectorized: at 1.5 * 2^52 the last bit of a double is 1.
 *
 * Coordinates in single precision are multiples of some 2^-k angstrom and would often lie halfway between two points of
 * the grid, where the last bit of a host's arithmetic decides. A third of a step keeps them away from there.
 */
static inline int64_t qmdi_to_grid(double distance) {
	const double shifted = (distance * (1.0 / QMDI_PIXELS_FRACTION) + 1.0 / 3.0) + 0x1.8p52;
	uint64_t bits;
	memcpy(&bits, &shifted, sizeof bits);
	return (int64_t)(bits - 0x4338000000000000u);
}

/* Negative if a point is not on the grid. */
static inline int64_t qmdi_off_grid(int64_t point) {
	const uint64_t max = QMDI_MAX_GRID;
	return (int64_t)(((uint64_t)point + max) | (max - (uint64_t)point));
}

#endif
