/* The CPU's column: element by element, and softmax. */
#include <string.h>

#include "base/random.h"
#include "base/softmax.h"
#include "tensor_math.h"
#include "tensor_onednn.h"

qmd_status qmdi_onednn_copy(qmdi_tensor_device *device, size_t n, const float *x, float *y) {
	(void)device;
	memmove(y, x, n * sizeof *y);
	return QMD_OK;
}

qmd_status qmdi_onednn_add(qmdi_tensor_device *device, size_t n, const float *a, const float *b, float *y) {
	(void)device;
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n; i++)
		y[i] = a[i] + b[i];
	return QMD_OK;
}

qmd_status qmdi_onednn_multiply(qmdi_tensor_device *device, size_t n, const float *a, const float *b, float *y) {
	(void)device;
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n; i++)
		y[i] = a[i] * b[i];
	return QMD_OK;
}

qmd_status qmdi_onednn_relu(qmdi_tensor_device *device, size_t n, const float *x, float *y) {
	(void)device;
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] < 0.0f ? 0.0f : x[i];
	return QMD_OK;
}

qmd_status qmdi_onednn_relu_backward(qmdi_tensor_device *device, size_t n, const float *y, const float *d_y,
									 float *d_x) {
	(void)device;
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n; i++) {
		const float d = d_y[i]; /* read in any case, so that nothing branches */
		d_x[i] = y[i] > 0.0f ? d : 0.0f;
	}
	return QMD_OK;
}

/* Words come four to a counter. */
qmd_status qmdi_onednn_dropout_mask(qmdi_tensor_device *device, size_t n, uint64_t seed, uint64_t stream, float rate,
									float *mask) {
	(void)device;
	const float factor = 1.0f / (1.0f - rate);
	const size_t n_fours = (n + 3) / 4;
#pragma omp parallel for schedule(static)
	for (size_t four = 0; four < n_fours; four++) {
		uint32_t words[4];
		qmdi_random4(seed, stream, four, words);
		for (size_t i = 0; i < 4 && 4 * four + i < n; i++)
			mask[4 * four + i] = qmdi_dropout_factor(words[i], rate, factor);
	}
	return QMD_OK;
}

qmd_status qmdi_onednn_softmax(qmdi_tensor_device *device, size_t n_images, size_t n_classes, const float *logits,
							   float *probabilities) {
	(void)device;
	for (size_t image = 0; image < n_images; image++)
		qmdi_softmax(logits + image * n_classes, n_classes, probabilities + image * n_classes);
	return QMD_OK;
}
