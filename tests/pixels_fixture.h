/* Pixels made in memory. */
#ifndef QMD_TESTS_PIXELS_FIXTURE_H
#define QMD_TESTS_PIXELS_FIXTURE_H

#include "pixels/pixels_internal.h"

/* An octahedron is superposed on, of which every covariance is diagonal; so the rotation is exactly the unit matrix
 * where its corners did not move. Two more atoms follow. */
extern const float qmdt_octahedron[8][3];

/* Pixels of CA atoms of the glycines 10, 11, ... of chain A, of which the first n_superposed are superposed on; all
 * steps are `step`. */
qmd_pixels *qmdt_pixels_make(int32_t kind, size_t n_atoms, const float (*reference)[3], size_t n_superposed,
							 float step);

/* A frame of n_atoms in single precision, in angstrom. */
qmd_frame qmdt_frame_of(const void *xyz, size_t n_atoms);

#endif
