#include "cuda_device.h"

#include "base/error.h"

qmd_status qmdi_cuda_find_usable_device(int number, qmdi_cuda_device *device) {
	QMDI_TRY(qmdi_cuda_find_device(number, device));
	if (device->capability < QMDI_CUDA_OLDEST)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s has compute capability %d.%d, kernels are for %d.%d and newer",
						 device->name, device->capability / 10, device->capability % 10, QMDI_CUDA_OLDEST / 10,
						 QMDI_CUDA_OLDEST % 10);
	return QMD_OK;
}
