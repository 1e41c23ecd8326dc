#include "tensor_host.h"

#include <string.h>

#include "base/memory.h"

qmd_status qmdi_host_tensor_allocate(qmdi_tensor_device *device, size_t n, float **tensor) {
	(void)device;
	*tensor = qmdi_aligned(n, sizeof **tensor);
	if (!*tensor)
		return QMD_ERROR_MEMORY;
	memset(*tensor, 0, n * sizeof **tensor);
	return QMD_OK;
}

void qmdi_host_tensor_release(qmdi_tensor_device *device, float *tensor) {
	(void)device;
	qmdi_release_aligned(tensor);
}

qmd_status qmdi_host_tensor_copy(qmdi_tensor_device *device, const float *from, size_t n, float *to) {
	(void)device;
	memcpy(to, from, n * sizeof *to);
	return QMD_OK;
}

/* Everything is done when its call returns. */
qmd_status qmdi_host_tensor_wait(qmdi_tensor_device *device) {
	(void)device;
	return QMD_OK;
}

qmd_status qmdi_host_tensor_available(qmdi_tensor_device *device, size_t *bytes) {
	(void)device;
	*bytes = SIZE_MAX;
	return QMD_OK;
}
