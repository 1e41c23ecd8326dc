/* The CPU's column: steps of the optimizers. */
#include <float.h>
#include <math.h>

#include "tensor_onednn.h"

#define BLOCK 65536 /* elements that a thread takes at a time */

static float without_subnormal(float x) {
	return fabsf(x) < FLT_MIN ? 0.0f : x;
}

static void adam(const qmdi_update *u, size_t first, size_t n) {
	const float beta1 = u->beta1, beta2 = u->beta2, epsilon = u->epsilon, rate = u->rate, keep = u->keep;
	const float *restrict gradient = u->gradient + first;
	float *restrict m = u->moment1 + first;
	float *restrict v = u->moment2 + first;
	float *restrict w = u->values + first;
	for (size_t i = 0; i < n; i++) {
		const float g = gradient[i];
		m[i] = without_subnormal(beta1 * m[i] + (1.0f - beta1) * g);
		v[i] = without_subnormal(beta2 * v[i] + (1.0f - beta2) * (g * g));
		w[i] = keep * w[i] - rate * (m[i] / u->correction1) / (sqrtf(v[i] / u->correction2) + epsilon);
	}
}

static void rmsprop(const qmdi_update *u, size_t first, size_t n) {
	const float rho = u->beta2, epsilon = u->epsilon, rate = u->rate, keep = u->keep;
	const float *restrict gradient = u->gradient + first;
	float *restrict v = u->moment2 + first;
	float *restrict w = u->values + first;
	for (size_t i = 0; i < n; i++) {
		const float g = gradient[i];
		v[i] = without_subnormal(rho * v[i] + (1.0f - rho) * (g * g));
		w[i] = keep * w[i] - rate * g / (sqrtf(v[i]) + epsilon);
	}
}

qmd_status qmdi_onednn_update(qmdi_tensor_device *device, const qmdi_update *u) {
	(void)device;
#pragma omp parallel for schedule(static)
	for (size_t first = 0; first < u->n; first += BLOCK) {
		const size_t left = u->n - first;
		if (u->moment1)
			adam(u, first, left < BLOCK ? left : BLOCK);
		else
			rmsprop(u, first, left < BLOCK ? left : BLOCK);
	}
	return QMD_OK;
}
