/* What this machine makes of a plan: a kernel for each step, and weights in that kernel's order. */
#include "engine_internal.h"

#include "base/memory.h"

static qmd_status pack_weights(const qmd_engine *engine, qmdi_step *step) {
	const size_t n_channels = qmdi_step_n_weights(step) > 0 ? step->units : 0;
	step->packed_size = step->kernel->packed_size(&step->shape);
	if (step->packed_size == 0)
		return QMD_OK;
	float *multipliers = qmdi_array(n_channels, sizeof *multipliers);
	if (!multipliers)
		return QMD_ERROR_MEMORY;
	for (size_t c = 0; c < n_channels; c++)
		multipliers[c] = qmdi_step_multiplier(engine, step, c);
	step->packed = qmdi_aligned(step->packed_size, 1);
	if (step->packed) {
		const qmdi_kernel_weights weights = {.weights = step->weights, .bias = step->bias, .multipliers = multipliers};
		step->kernel->pack(&step->shape, &weights, step->packed);
	}
	qmdi_release(multipliers);
	return step->packed ? QMD_OK : QMD_ERROR_MEMORY;
}

qmd_status qmdi_engine_pack(qmd_engine *engine) {
	const qmdi_isa isa = qmdi_allowed_isa();
	for (size_t i = 0; i < engine->n_steps; i++) {
		qmdi_step *step = &engine->steps[i];
		if (step->op == QMDI_STEP_SOFTMAX)
			continue;
		step->kernel = qmdi_kernel_choose(&step->shape, isa);
		if (!step->kernel)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED, "step %zu ('%s'): no kernel computes it", i, step->name);
		QMDI_TRY(pack_weights(engine, step));
	}
	return QMD_OK;
}
