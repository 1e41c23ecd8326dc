#include "unit_cell.h"

#include <math.h>
#include <string.h>

double qmdi_cos_degrees(double angle) {
	if (angle == 90)
		return 0;
	if (angle == 60)
		return 0.5;
	if (angle == 120)
		return -0.5;
	return cos(angle * (M_PI / 180));
}

int qmdi_unit_cell_box(const double lengths[3], const double cosines[3], double box[9]) {
	const double sin_gamma = sqrt(1 - cosines[2] * cosines[2]);
	const double c_y = (cosines[0] - cosines[1] * cosines[2]) / sin_gamma;
	const double c_z_squared = 1 - cosines[1] * cosines[1] - c_y * c_y;
	if (!(lengths[0] > 0 && lengths[1] > 0 && lengths[2] > 0 && sin_gamma > 0 && c_z_squared > 0))
		return 0;
	const double made[9] = {lengths[0],
							0,
							0,
							lengths[1] * cosines[2],
							lengths[1] * sin_gamma,
							0,
							lengths[2] * cosines[1],
							lengths[2] * c_y,
							lengths[2] * sqrt(c_z_squared)};
	memcpy(box, made, sizeof made);
	return 1;
}

qmd_status qmdi_unit_cell_check(const char *path, size_t frame, const double *numbers, size_t n) {
	for (size_t i = 0; i < n; i++)
		if (!isfinite(numbers[i]))
			return qmdi_fail(QMD_ERROR_RANGE, "%s: frame %zu: number %zu of the cell is %g, expected a finite number",
							 path, frame, i, numbers[i]);
	return QMD_OK;
}
