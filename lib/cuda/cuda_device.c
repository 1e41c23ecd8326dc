#include "cuda_device.h"

#include <stdio.h>

#include "base/error.h"

#define MESSAGE_SIZE 1024

qmd_status qmdi_cuda_find_usable_device(int number, qmdi_cuda_device *device) {
	QMDI_TRY(qmdi_cuda_find_device(number, device));
	if (device->capability < QMDI_CUDA_OLDEST)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s has compute capability %d.%d, kernels are for %d.%d and newer",
						 device->name, device->capability / 10, device->capability % 10, QMDI_CUDA_OLDEST / 10,
						 QMDI_CUDA_OLDEST % 10);
	return QMD_OK;
}

void qmdi_cuda_give_back(int device, qmdi_cuda_stream *stream, void (*give)(void *), void *what) {
	char message[MESSAGE_SIZE];
	qmdi_cuda_scope before;
	snprintf(message, sizeof message, "%s", qmd_last_error());
	const int entered = qmdi_cuda_enter(device, &before) == QMD_OK;
	if (entered)
		(void)qmdi_cuda_stream_wait(stream);
	give(what);
	if (entered)
		qmdi_cuda_leave(&before);
	(void)qmdi_fail(QMD_OK, "%s", message);
}
