/* Which steps of an engine can be computed again in part. */
#include <string.h>

#include "base/memory.h"
#include "engine/engine_rerun_internal.h"

int qmdi_rerun_is_flat(const qmd_engine *engine, const qmdi_step *step) {
	for (size_t k = 0; k < qmdi_step_n_inputs(step); k++) {
		const qmdi_tensor *tensor = &engine->tensors[step->inputs[k]];
		if (tensor->h != step->in_h || tensor->w != step->in_w)
			return 1;
	}
	return 0;
}

static qmd_status find_logits(qmdi_rerun_plan *plan) {
	const qmd_engine *engine = plan->engine;
	const qmdi_plan_output *logits = qmdi_engine_output(engine, "logits");
	if (!logits)
		return qmdi_fail(QMD_ERROR_STATE, "the engine has no output 'logits' (its first is '%s')",
						 engine->outputs[0].name);
	plan->n_steps = logits->tensor;
	plan->n_classes = qmdi_tensor_elements(&engine->tensors[plan->n_steps]);
	return QMD_OK;
}

/* ---- Roles ---- */

static void assign_roles(qmdi_rerun_plan *plan) {
	plan->is_local[0] = 1;
	for (size_t i = 0; i < plan->n_steps; i++) {
		const qmdi_step *step = &plan->engine->steps[i];
		int is_local = 1;
		for (size_t k = 0; k < qmdi_step_n_inputs(step); k++)
			is_local &= plan->is_local[step->inputs[k]];
		if (is_local && step->op == QMDI_OP_DENSE)
			plan->roles[i] = QMDI_RERUN_JOINT;
		else
			plan->roles[i] = is_local && step->op != QMDI_STEP_SOFTMAX ? QMDI_RERUN_LOCAL : QMDI_RERUN_HEAD;
		plan->is_local[i + 1] = plan->roles[i] == QMDI_RERUN_LOCAL;
		plan->is_batched[i + 1] = !plan->is_local[i + 1];
	}
	for (size_t i = 0; i < plan->n_steps; i++)
		for (size_t k = 0; plan->roles[i] == QMDI_RERUN_HEAD && k < qmdi_step_n_inputs(&plan->engine->steps[i]); k++)
			plan->is_batched[plan->engine->steps[i].inputs[k]] = 1;
	plan->is_batched[plan->n_steps] = 1; /* the logits */
}

static void lay_out(qmdi_rerun_plan *plan) {
	for (size_t t = 0; t <= plan->n_steps; t++) {
		const qmdi_tensor *tensor = &plan->engine->tensors[t];
		if (plan->is_local[t]) {
			const size_t size = qmdi_tensor_lay_out(tensor, 1, &plan->single[t]);
			plan->single[t].offset += plan->single_size;
			plan->single_size += size;
		}
		if (plan->is_batched[t]) {
			const size_t size = qmdi_tensor_lay_out(tensor, QMDI_RERUN_BATCH, &plan->batch[t]);
			plan->batch[t].offset += plan->batch_size;
			plan->batch_size += size;
		}
	}
}

/* ---- Joints ---- */

/* The weights of a chunk's inputs: [units][QMDI_RERUN_CHUNK]. */
static void gather(const qmdi_step *step, const qmdi_rerun_joint *joint, size_t chunk, int8_t *weights) {
	const size_t first = chunk * QMDI_RERUN_CHUNK, left = joint->n_inputs - first;
	const size_t n = left < QMDI_RERUN_CHUNK ? left : QMDI_RERUN_CHUNK;
	for (size_t u = 0; u < step->units; u++)
		memcpy(weights + u * QMDI_RERUN_CHUNK, step->weights + u * joint->n_inputs + first, n);
}

static void pack(const qmdi_step *step, qmdi_rerun_joint *joint, int8_t *weights, int32_t *zeros, float *ones) {
	memset(zeros, 0, step->units * sizeof *zeros);
	for (size_t u = 0; u < step->units; u++)
		ones[u] = 1.0f;
	const qmdi_kernel_weights chunk = {.weights = weights, .bias = zeros, .multipliers = ones};
	for (size_t c = 0; c < joint->n_chunks; c++) {
		memset(weights, 0, (size_t)step->units * QMDI_RERUN_CHUNK);
		gather(step, joint, c, weights);
		joint->kernel->pack(&joint->shape, &chunk, joint->packed + c * joint->packed_size);
	}
}

static qmd_status create_joint(const qmd_engine *engine, const qmdi_step *step, qmdi_rerun_joint *joint) {
	joint->n_inputs = step->in_c;
	joint->n_chunks = (joint->n_inputs + QMDI_RERUN_CHUNK - 1) / QMDI_RERUN_CHUNK;
	joint->shape = step->shape;
	joint->shape.in_c = QMDI_RERUN_CHUNK;
	joint->shape.low = -128;
	joint->shape.float_output = 1;
	joint->shape.scale_out = 0;
	joint->kernel = qmdi_kernel_choose(&joint->shape, qmdi_allowed_isa());
	if (!joint->kernel)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "step '%s': no kernel computes a part of it", step->name);
	joint->packed_size = (joint->kernel->packed_size(&joint->shape) + 63) / 64 * 64;
	joint->packed = qmdi_aligned(joint->n_chunks, joint->packed_size);
	joint->multipliers = qmdi_step_multipliers(engine, step);
	int8_t *weights = qmdi_array(step->units, QMDI_RERUN_CHUNK);
	int32_t *zeros = qmdi_array(step->units, sizeof *zeros);
	float *ones = qmdi_array(step->units, sizeof *ones);
	const int is_made = joint->packed && joint->multipliers && weights && zeros && ones;
	if (is_made)
		pack(step, joint, weights, zeros, ones);
	qmdi_release(weights);
	qmdi_release(zeros);
	qmdi_release(ones);
	return is_made ? QMD_OK : QMD_ERROR_MEMORY;
}

/* ---- The plan ---- */

static qmd_status make(qmdi_rerun_plan *plan) {
	QMDI_TRY(find_logits(plan));
	plan->roles = qmdi_zeroed(plan->n_steps, sizeof *plan->roles);
	plan->joints = qmdi_zeroed(plan->n_steps, sizeof *plan->joints);
	plan->is_local = qmdi_zeroed(plan->n_steps + 1, 1);
	plan->is_batched = qmdi_zeroed(plan->n_steps + 1, 1);
	plan->single = qmdi_zeroed(plan->n_steps + 1, sizeof *plan->single);
	plan->batch = qmdi_zeroed(plan->n_steps + 1, sizeof *plan->batch);
	if (!plan->roles || !plan->joints || !plan->is_local || !plan->is_batched || !plan->single || !plan->batch)
		return QMD_ERROR_MEMORY;
	assign_roles(plan);
	lay_out(plan);
	for (size_t i = 0; i < plan->n_steps; i++)
		if (plan->roles[i] == QMDI_RERUN_JOINT)
			QMDI_TRY(create_joint(plan->engine, &plan->engine->steps[i], &plan->joints[i]));
	return QMD_OK;
}

qmd_status qmdi_rerun_plan_create(const qmd_engine *engine, qmdi_rerun_plan **result) {
	qmdi_rerun_plan *plan = qmdi_zeroed(1, sizeof *plan);
	*result = NULL;
	if (!plan)
		return QMD_ERROR_MEMORY;
	plan->engine = qmdi_engine_retain(engine);
	const qmd_status status = make(plan);
	if (status != QMD_OK) {
		qmdi_rerun_plan_free(plan);
		return status;
	}
	*result = plan;
	return QMD_OK;
}

void qmdi_rerun_plan_free(qmdi_rerun_plan *plan) {
	if (!plan)
		return;
	for (size_t i = 0; plan->joints && i < plan->n_steps; i++) {
		qmdi_release_aligned(plan->joints[i].packed);
		qmdi_release(plan->joints[i].multipliers);
	}
	qmdi_release(plan->roles);
	qmdi_release(plan->joints);
	qmdi_release(plan->is_local);
	qmdi_release(plan->is_batched);
	qmdi_release(plan->single);
	qmdi_release(plan->batch);
	qmd_engine_free(plan->engine);
	qmdi_release(plan);
}
