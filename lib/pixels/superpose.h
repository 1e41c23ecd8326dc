/*
 * Superposition of a frame on a reference, the same in every bit on every machine.
 *
 * Coordinates come as integers in units of 2^-13 angstrom, so that their sums are exact and do not depend on the order
 * of summation. From these sums on everything is FP64 in one written order of + - * / sqrt.
 */
#ifndef QMD_LIB_SUPERPOSE_H
#define QMD_LIB_SUPERPOSE_H

#include "pixels/pixels_math.h"

/*
 * A frame's coordinates reach 2^22 (512 angstrom), and those of the reference deviate from their mean by 2^22 on
 * average at most: 2^18 products sum to less than 2^62 + 2^40 in any order.
 */
#define QMDI_MAX_SUPERPOSED ((size_t)1 << 18)

/* The atoms of a reference that frames are superposed on. */
typedef struct qmdi_anchors {
	const uint32_t *indices; /* where they stand in a frame */
	size_t n;                /* 1 to QMDI_MAX_SUPERPOSED */
	const int32_t *grid;     /* x, y and z as three planes of n, less their mean rounded to an integer */
	int64_t sums[3];         /* of the planes: what that rounding left, at most n / 2 */
} qmdi_anchors;

/*
 * The proper rotation that brings the frame nearest to the reference by least squares. frame: x, y and z of its atoms
 * as three planes, `plane` elements apart. Where several rotations are equally good (atoms on a line or in one point),
 * one of them. Never fails. The default floating-point environment is in force.
 */
void qmdi_superpose(const qmdi_anchors *anchors, const int32_t *frame, size_t plane, qmdi_superposition *out);

#endif
