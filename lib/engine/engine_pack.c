/* What this machine makes of a plan: a kernel for each step, and weights in that kernel's order. */
#include "engine_internal.h"

#include <stdio.h>

#include "base/memory.h"

float *qmdi_step_multipliers(const qmd_engine *engine, const qmdi_step *step) {
	float *multipliers = qmdi_array(step->units, sizeof *multipliers);
	for (size_t c = 0; multipliers && c < step->units; c++)
		multipliers[c] = qmdi_step_multiplier(engine, step, c);
	return multipliers;
}

static qmd_status pack_weights(const qmd_engine *engine, qmdi_step *step) {
	step->packed_size = step->kernel->packed_size(&step->shape);
	if (step->packed_size == 0)
		return QMD_OK;
	float *multipliers = qmdi_step_multipliers(engine, step);
	if (!multipliers)
		return QMD_ERROR_MEMORY;
	step->packed = qmdi_aligned(step->packed_size, 1);
	if (step->packed) {
		const qmdi_kernel_weights weights = {.weights = step->weights, .bias = step->bias, .multipliers = multipliers};
		step->kernel->pack(&step->shape, &weights, step->packed);
	}
	qmdi_release(multipliers);
	return step->packed ? QMD_OK : QMD_ERROR_MEMORY;
}

/* The table has the best rows first: what stands before the chosen one and fits may not run here. */
static void say_why(qmdi_step *step, qmdi_isa isa) {
	size_t n_rows, n_better = 0, n_candidates = 0;
	const qmdi_kernel *const *rows = qmdi_kernels(&n_rows);
	for (size_t i = 0; i < n_rows; i++) {
		if (!qmdi_kernel_supports(rows[i], &step->shape))
			continue;
		const int may_run = rows[i]->isa <= isa && qmdi_kernel_runs_here(rows[i]);
		n_candidates += may_run ? 1 : 0;
		n_better += !may_run && n_candidates == 0 ? 1 : 0;
	}
	const int length = snprintf(step->why, sizeof step->why, "best of %zu that fit and run here (%s, %s)", n_candidates,
								qmdi_isa_name(isa), isa < qmdi_machine_isa() ? "by QMD_MAX_ISA" : "this machine");
	if (n_better > 0)
		snprintf(step->why + length, sizeof step->why - (size_t)length, "; %zu better do not", n_better);
}

qmd_status qmdi_engine_pack(qmd_engine *engine) {
	const qmdi_isa isa = qmdi_allowed_isa();
	for (size_t i = 0; i < engine->n_steps; i++) {
		qmdi_step *step = &engine->steps[i];
		if (step->op == QMDI_STEP_SOFTMAX) {
			snprintf(step->why, sizeof step->why, "the only one: in floats, the same everywhere");
			continue;
		}
		step->kernel = qmdi_kernel_choose(&step->shape, isa);
		if (!step->kernel)
			return qmdi_fail(QMD_ERROR_UNSUPPORTED, "step %zu ('%s'): no kernel computes it", i, step->name);
		say_why(step, isa);
		QMDI_TRY(pack_weights(engine, step));
	}
	return QMD_OK;
}
