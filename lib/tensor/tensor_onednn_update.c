/* The CPU's column: steps of the optimizers. */
#include "tensor_math.h"
#include "tensor_onednn.h"

#define BLOCK 65536 /* elements that a thread takes at a time */

/* The update is copied, so that no array that is written could be a part of it. */
static void adam(const qmdi_update *update, size_t first, size_t n) {
	const qmdi_update u = *update;
	const float *restrict gradient = u.gradient + first;
	float *restrict m = u.moment1 + first;
	float *restrict v = u.moment2 + first;
	float *restrict w = u.values + first;
	for (size_t i = 0; i < n; i++)
		qmdi_adam(&u, gradient[i], &m[i], &v[i], &w[i]);
}

static void rmsprop(const qmdi_update *update, size_t first, size_t n) {
	const qmdi_update u = *update;
	const float *restrict gradient = u.gradient + first;
	float *restrict v = u.moment2 + first;
	float *restrict w = u.values + first;
	for (size_t i = 0; i < n; i++)
		qmdi_rmsprop(&u, gradient[i], &v[i], &w[i]);
}

qmd_status qmdi_onednn_update(qmdi_tensor_device *device, const qmdi_update *u) {
	(void)device;
	/* Most arrays of a model are biases, on which no thread would be worth waking. */
#pragma omp parallel for schedule(static) if (u->n > BLOCK)
	for (size_t first = 0; first < u->n; first += BLOCK) {
		const size_t left = u->n - first;
		if (u->moment1)
			adam(u, first, left < BLOCK ? left : BLOCK);
		else
			rmsprop(u, first, left < BLOCK ? left : BLOCK);
	}
	return QMD_OK;
}
