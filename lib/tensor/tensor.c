/* Opening a device by its name. */
#include "tensor.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

#define MOST_DEVICES 1024

/* The N of "cuda:N". 0 if it is no number. */
static int read_number(const char *text, int *number) {
	char *end = NULL;
	const long n = strtol(text, &end, 10);
	if (end == text || *end || n < 0 || n >= MOST_DEVICES || *text < '0' || *text > '9')
		return 0;
	*number = (int)n;
	return 1;
}

/* *ops is NULL where the build has no such column. */
static qmd_status find(const char *name, const qmdi_tensor_ops **ops, int *number) {
	*number = -1;
	if (strcmp(name, "cpu") == 0)
		*ops = &qmdi_tensor_onednn;
	else if (strcmp(name, "reference") == 0)
		*ops = &qmdi_tensor_reference;
	else if (strcmp(name, "cuda") == 0 || (strncmp(name, "cuda:", 5) == 0 && read_number(name + 5, number)))
		*ops = qmdi_tensor_cudnn;
	else
		return qmdi_fail(QMD_ERROR_ARGUMENT, "device is '%s', expected cpu, cuda, cuda:N or reference", name);
	return QMD_OK;
}

qmd_status qmdi_tensor_open(const char *name, size_t n_threads, qmdi_tensor_device **device) {
	*device = NULL;
	const qmdi_tensor_ops *ops = NULL;
	int number = 0;
	QMDI_TRY(find(name ? name : "cpu", &ops, &number));
	if (!ops)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED,
						 "device '%s': this libqmd was built without training on a GPU (CUDA and cuDNN)", name);
	qmdi_tensor_device *opened = qmdi_zeroed(1, sizeof *opened);
	if (!opened)
		return QMD_ERROR_MEMORY;
	opened->ops = ops;
	const qmd_status status = ops->open(opened, number, n_threads);
	if (status != QMD_OK) {
		qmdi_tensor_close(opened);
		return status;
	}
	*device = opened;
	return QMD_OK;
}

void qmdi_tensor_close(qmdi_tensor_device *device) {
	if (!device)
		return;
	if (device->state)
		device->ops->close(device);
	qmdi_release(device);
}
