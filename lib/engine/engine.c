/* The handle of an engine, and what can be asked of it. */
#include "engine_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "pixels/pixels_internal.h"

qmd_status qmdi_engine_new(qmd_engine **engine) {
	*engine = qmdi_zeroed(1, sizeof **engine);
	if (!*engine)
		return QMD_ERROR_MEMORY;
	atomic_init(&(*engine)->n_holds, 1);
	return QMD_OK;
}

qmd_engine *qmdi_engine_retain(const qmd_engine *engine) {
	qmd_engine *held = (qmd_engine *)engine; /* the count is the one thing that changes */
	atomic_fetch_add(&held->n_holds, 1);
	return held;
}

static void release_step(qmdi_step *step) {
	qmdi_release(step->name);
	qmdi_release(step->weights);
	qmdi_release(step->bias);
	qmdi_release(step->weight_scales);
	qmdi_release_aligned(step->packed);
}

void qmd_engine_free(qmd_engine *engine) {
	if (!engine || atomic_fetch_sub(&engine->n_holds, 1) != 1)
		return;
	for (size_t i = 0; i < engine->n_steps; i++)
		release_step(&engine->steps[i]);
	for (size_t i = 0; i < engine->n_class_names; i++)
		qmdi_release(engine->class_names[i]);
	qmdi_release(engine->class_names);
	qmdi_release(engine->steps);
	qmdi_release(engine->tensors);
	qmdi_release(engine->outputs);
	qmdi_release(engine->passes);
	qmd_pixels_free(engine->pixels);
	qmdi_release(engine);
}

/* ---- Questions ---- */

void qmd_engine_options_init_sized(qmd_engine_options *options, size_t size) {
	const qmd_engine_options defaults = {.struct_size = sizeof defaults, .fuse = 1};
	qmdi_struct_fill(options, size, &defaults, sizeof defaults);
}

size_t qmd_engine_n_classes(const qmd_engine *engine) {
	return engine ? qmdi_tensor_elements(&engine->tensors[engine->outputs[0].tensor]) : 0;
}

const char *qmd_engine_class_name(const qmd_engine *engine, size_t index) {
	if (!engine || index >= qmd_engine_n_classes(engine))
		return NULL;
	return index < engine->n_class_names ? engine->class_names[index] : "";
}

const qmd_pixels *qmd_engine_pixels(const qmd_engine *engine) {
	return engine ? engine->pixels : NULL;
}

size_t qmd_engine_n_atoms(const qmd_engine *engine) {
	return engine && engine->pixels ? engine->pixels->n_atoms : 0;
}

qmd_status qmd_engine_atom(const qmd_engine *engine, size_t index, qmd_atom *atom) {
	QMDI_REQUIRE(engine);
	QMDI_REQUIRE(atom);
	if (index >= qmd_engine_n_atoms(engine))
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_engine_atom: atom %zu of %zu", index, qmd_engine_n_atoms(engine));
	*atom = engine->pixels->atoms[index];
	return QMD_OK;
}

size_t qmd_engine_n_layers(const qmd_engine *engine) {
	return engine ? engine->n_steps : 0;
}

const char *qmd_engine_passes(const qmd_engine *engine) {
	return engine ? engine->passes : NULL;
}

qmd_shape qmd_engine_image_shape(const qmd_engine *engine) {
	if (!engine)
		return (qmd_shape){0, 0, 0};
	return (qmd_shape){engine->tensors[0].h, engine->tensors[0].w, engine->tensors[0].c};
}

qmd_type qmd_engine_image_type(const qmd_engine *engine) {
	if (!engine)
		return (qmd_type)0;
	return engine->tensors[0].operand == QMDI_U8 ? QMD_U8 : QMD_S8;
}

static const char *op_name(int32_t op) {
	static const char *const names[] = {"conv2d", "dense", "maxpool", "avgpool", "add", "softmax"};
	return names[op - QMDI_OP_CONV2D];
}

const qmdi_plan_output *qmdi_engine_output(const qmd_engine *engine, const char *name) {
	for (size_t i = 0; i < engine->n_outputs; i++)
		if (strcmp(engine->outputs[i].name, name) == 0)
			return &engine->outputs[i];
	return NULL;
}

const char *qmdi_step_kernel_name(const qmdi_step *step) {
	return step->kernel ? step->kernel->name : "softmax_f32";
}

qmd_status qmd_engine_layer_info(const qmd_engine *engine, size_t index, qmd_engine_layer *layer) {
	QMDI_REQUIRE(engine);
	QMDI_REQUIRE(layer);
	if (index >= engine->n_steps)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_engine_layer_info: layer %zu of %zu", index, engine->n_steps);
	const qmdi_step *step = &engine->steps[index];
	const qmdi_tensor *output = &engine->tensors[index + 1];
	const qmd_engine_layer ours = {
		.struct_size = sizeof ours,
		.name = step->name,
		.op = op_name(step->op),
		.kernel = qmdi_step_kernel_name(step),
		.input = {step->in_h, step->in_w, step->in_c},
		.output = {output->h, output->w, output->c},
		.n_macs = qmdi_step_n_macs(step),
		.weight_bytes = step->packed_size,
		.output_scale = output->scale,
		/* Tensor 0 is the image, step i writes tensor i + 1. */
		.inputs = {(int32_t)step->inputs[0] - 1, qmdi_step_n_inputs(step) > 1 ? (int32_t)step->inputs[1] - 1 : -2},
		.why = step->why,
	};
	return qmdi_struct_give(layer, &ours, sizeof ours, sizeof ours, "qmd_engine_layer");
}

/* ---- Finding the engine's atoms in the host's list ---- */

typedef struct wanted_atom {
	qmd_atom atom;
	size_t index; /* in the engine */
} wanted_atom;

static int compare_atoms(const qmd_atom *a, const qmd_atom *b) {
	if (a->residue_number != b->residue_number)
		return a->residue_number < b->residue_number ? -1 : 1;
	if (a->insertion_code != b->insertion_code)
		return a->insertion_code < b->insertion_code ? -1 : 1;
	/* A host's texts may lack their end. */
	int order = strncmp(a->name, b->name, sizeof a->name);
	if (order == 0)
		order = strncmp(a->residue_name, b->residue_name, sizeof a->residue_name);
	return order != 0 ? order : strncmp(a->chain, b->chain, sizeof a->chain);
}

static int compare_wanted(const void *a, const void *b) {
	return compare_atoms(&((const wanted_atom *)a)->atom, &((const wanted_atom *)b)->atom);
}

static qmd_status match_fail(const qmd_atom *atom, const char *what) {
	return qmdi_fail(QMD_ERROR_MATCH, "qmd_engine_match: atom %.8s of %.8s %d%.1s, chain '%.8s', %s in the host's list",
					 atom->name, atom->residue_name, atom->residue_number, &atom->insertion_code, atom->chain, what);
}

/* First of the sorted atoms that is not before `atom`. */
static size_t lower_bound(const wanted_atom *wanted, size_t n, const qmd_atom *atom) {
	size_t first = 0;
	while (n > 0) {
		const size_t half = n / 2;
		const int before = compare_atoms(&wanted[first + half].atom, atom) < 0;
		first = before ? first + half + 1 : first;
		n = before ? n - half - 1 : half;
	}
	return first;
}

static qmd_status match_sorted(const wanted_atom *wanted, size_t n_wanted, const qmd_atom *atoms, size_t n_atoms,
							   int with_chains, uint32_t *indices) {
	for (size_t i = 0; i < n_wanted; i++)
		indices[i] = UINT32_MAX;
	for (size_t i = 0; i < n_atoms; i++) {
		qmd_atom atom = atoms[i];
		if (!with_chains)
			atom.chain[0] = '\0';
		for (size_t k = lower_bound(wanted, n_wanted, &atom);
			 k < n_wanted && compare_atoms(&wanted[k].atom, &atom) == 0; k++) {
			if (indices[wanted[k].index] != UINT32_MAX)
				return match_fail(&atom, "is found twice");
			indices[wanted[k].index] = (uint32_t)i;
		}
	}
	for (size_t i = 0; i < n_wanted; i++) {
		if (indices[wanted[i].index] == UINT32_MAX)
			return match_fail(&wanted[i].atom, "is missing");
		if (i > 0 && compare_wanted(&wanted[i - 1], &wanted[i]) == 0)
			return match_fail(&wanted[i].atom, "stands for two atoms of the engine");
	}
	return QMD_OK;
}

qmd_status qmd_engine_match(const qmd_engine *engine, const qmd_atom *atoms, size_t n_atoms, uint32_t *indices) {
	QMDI_REQUIRE(engine);
	QMDI_REQUIRE(atoms);
	QMDI_REQUIRE(indices);
	if (!engine->pixels)
		return qmdi_fail(QMD_ERROR_STATE, "qmd_engine_match: the engine was compiled without pixels");
	if (n_atoms >= UINT32_MAX)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_engine_match: %zu atoms, expected less than 2^32 - 1", n_atoms);
	int with_chains = 0;
	for (size_t i = 0; i < n_atoms && !with_chains; i++)
		with_chains = atoms[i].chain[0] != '\0';
	const size_t n_wanted = engine->pixels->n_atoms;
	wanted_atom *wanted = qmdi_array(n_wanted, sizeof *wanted);
	if (!wanted)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < n_wanted; i++) {
		wanted[i] = (wanted_atom){engine->pixels->atoms[i], i};
		if (!with_chains)
			wanted[i].atom.chain[0] = '\0';
	}
	qsort(wanted, n_wanted, sizeof *wanted, compare_wanted);
	const qmd_status status = match_sorted(wanted, n_wanted, atoms, n_atoms, with_chains, indices);
	qmdi_release(wanted);
	return status;
}
