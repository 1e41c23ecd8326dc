/* Box vectors from lengths and angles. */
#ifndef QMD_LIB_UNIT_CELL_H
#define QMD_LIB_UNIT_CELL_H

#include "base/error.h"

/* Exact at 60, 90 and 120 degrees, where crystals and boxes are. */
double qmdi_cos_degrees(double angle);

/*
 * Box vectors a, b, c as rows, a along x, b in the xy plane, from their lengths and the cosines of alpha (b, c),
 * beta (a, c) and gamma (a, b). 0, and `box` is left alone, if they have no volume.
 */
int qmdi_unit_cell_box(const double lengths[3], const double cosines[3], double box[9]);

/* QMD_ERROR_RANGE that names file, frame and number if one of n numbers of a frame's cell is not finite. */
qmd_status qmdi_unit_cell_check(const char *path, size_t frame, const double *numbers, size_t n);

#endif
