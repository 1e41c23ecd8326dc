/* A host's frame to integer coordinates: gathered, in angstrom, whole, and on the grid. */
#ifndef QMD_LIB_PIXELS_FRAME_H
#define QMD_LIB_PIXELS_FRAME_H

#include "pixels/pixels_internal.h"

/*
 * grid: x, y and z of the pixels' atoms as three planes of n_atoms, relative to the first superposed atom, in units of
 * QMDI_PIXELS_FRACTION; at most 2^22 in magnitude. xyz: scratch of as many doubles.
 */
qmd_status qmdi_frame_to_grid(const qmd_pixels *pixels, const qmd_frame *frame, double *xyz, int32_t *grid);

/* What a device checks before it is given a frame: everything but the coordinates, which are not looked at; and the box
 * in angstrom, of a frame that has one. */
qmd_status qmdi_frame_check(const qmd_pixels *pixels, const qmd_frame *frame);
qmd_status qmdi_frame_box(const qmd_frame *frame, qmdi_box *box);

#endif
