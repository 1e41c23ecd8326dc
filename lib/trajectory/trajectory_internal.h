/* Trajectories as the trajectory stage sees them. */
#ifndef QMD_LIB_TRAJECTORY_INTERNAL_H
#define QMD_LIB_TRAJECTORY_INTERNAL_H

#include <qmd/trajectory.h>

/* The name of the file that holds a frame that exists; borrowed until the trajectory is freed. */
const char *qmdi_trajectory_path(const qmd_trajectory *trajectory, size_t frame);

#endif
