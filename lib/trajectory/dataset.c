#include "dataset_internal.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "selection.h"
#include "trajectory_internal.h"

#define LABEL_STREAM ((uint64_t)1 << 34) /* of random numbers */

/* ---- Making and freeing ---- */

void qmd_dataset_options_init_sized(qmd_dataset_options *options, size_t size) {
	const qmd_dataset_options defaults = {
		.struct_size = sizeof defaults, .selection = "protein and noh", .map_path = NULL, .stride = 1};
	qmdi_struct_fill(options, size, &defaults, sizeof defaults);
}

static qmd_status fill_dataset(qmd_dataset *dataset, const qmd_dataset_options *options) {
	qmdi_selection *selection;
	QMDI_TRY(qmdi_selection_compile(options->selection, &selection)); /* a typing error shows here, not later */
	qmdi_selection_free(selection);
	dataset->selection = qmdi_string(options->selection);
	dataset->stride = options->stride;
	if (!dataset->selection)
		return QMD_ERROR_MEMORY;
	return options->map_path ? qmdi_atom_map_load(options->map_path, &dataset->map) : QMD_OK;
}

qmd_status qmd_dataset_create(const qmd_dataset_options *options, qmd_dataset **dataset) {
	QMDI_REQUIRE(dataset);
	*dataset = NULL;
	qmd_dataset_options used;
	qmd_dataset_options_init(&used);
	QMDI_TRY(qmdi_options_copy(&used, sizeof used, sizeof used, options, "qmd_dataset_options"));
	if (!used.selection)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_dataset_create: options.selection is NULL");
	if (used.stride == 0)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_dataset_create: options.stride is 0, expected at least 1");
	qmd_dataset *made = qmdi_zeroed(1, sizeof *made);
	if (!made)
		return QMD_ERROR_MEMORY;
	const qmd_status status = fill_dataset(made, &used);
	if (status != QMD_OK) {
		qmd_dataset_free(made);
		return status;
	}
	*dataset = made;
	return QMD_OK;
}

static void release_replica(qmdi_replica *replica) {
	qmd_trajectory_free(replica->trajectory);
	qmdi_release(replica->xyz);
}

static void release_state(qmdi_state *state) {
	for (size_t i = 0; i < state->n_replicas; i++)
		release_replica(&state->replicas[i]);
	qmdi_release(state->replicas);
	qmdi_release(state->name);
	qmdi_release(state->selected);
	qmdi_release(state->shared);
	qmd_topology_free(state->topology);
}

void qmd_dataset_free(qmd_dataset *dataset) {
	if (!dataset)
		return;
	for (size_t i = 0; i < dataset->n_states; i++)
		release_state(&dataset->states[i]);
	qmdi_release(dataset->states);
	qmdi_atom_map_release(&dataset->map);
	qmdi_release(dataset->selection);
	qmdi_release(dataset->atoms);
	qmdi_release(dataset->shuffled);
	qmdi_release(dataset->frame);
	qmdi_release(dataset->before);
	qmdi_release(dataset);
}

/* ---- Adding ---- */

/* Frames and atoms are counted in 32 bits by splits. */
static qmd_status check_n_frames(const qmd_dataset *dataset, const char *name, size_t n_new) {
	if (dataset->shuffled)
		return qmdi_fail(QMD_ERROR_STATE, "state '%s': the labels are shuffled, so frames come too late", name);
	if (n_new > UINT32_MAX || dataset->n_frames > UINT32_MAX - n_new)
		return qmdi_fail(QMD_ERROR_RANGE, "state '%s': %zu frames are too many, expected at most %u in all", name,
						 n_new, UINT32_MAX);
	return QMD_OK;
}

static qmd_status open_replica(const qmd_dataset *dataset, const qmdi_state *state, const char *path,
							   qmdi_replica *replica) {
	QMDI_TRY(qmd_trajectory_open(&path, 1, state->topology->n_atoms, &replica->trajectory));
	const size_t n_frames = qmd_trajectory_n_frames(replica->trajectory);
	if (n_frames == 0)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: expected at least one frame, found none", path);
	replica->n_frames = (n_frames - 1) / dataset->stride + 1;
	return QMD_OK;
}

static qmd_status open_replicas(const qmd_dataset *dataset, qmdi_state *state, const char *const *paths, size_t n_paths,
								size_t *n_frames) {
	state->replicas = qmdi_zeroed(n_paths, sizeof *state->replicas);
	if (!state->replicas)
		return QMD_ERROR_MEMORY;
	*n_frames = 0;
	for (size_t i = 0; i < n_paths; i++) {
		state->n_replicas++;
		QMDI_TRY(open_replica(dataset, state, paths[i], &state->replicas[i]));
		*n_frames += state->replicas[i].n_frames;
		QMDI_TRY(check_n_frames(dataset, state->name, *n_frames));
	}
	return QMD_OK;
}

/* Keep of an array of atoms what `keep` says. */
static void compact(uint32_t *atoms, size_t n, const uint8_t *keep) {
	size_t n_kept = 0;
	for (size_t i = 0; i < n; i++)
		if (keep[i])
			atoms[n_kept++] = atoms[i];
}

/* Take a matched state in. Nothing here can fail. */
static void commit_state(qmd_dataset *dataset, const qmdi_state *state, const uint8_t *keep, size_t n_shared,
						 size_t n_frames) {
	for (size_t i = 0; i < dataset->n_states; i++)
		compact(dataset->states[i].shared, dataset->n_shared, keep);
	dataset->states[dataset->n_states++] = *state;
	dataset->n_shared = n_shared;
	dataset->next_frame = 0;
	dataset->n_frames += n_frames;
	const qmdi_state *first = &dataset->states[0];
	for (size_t i = 0; i < n_shared; i++)
		dataset->atoms[i] = first->topology->atoms[first->shared[i]];
	dataset->n_residues = qmdi_number_residues(dataset->atoms, n_shared);
}

/* Room in the data set for a state, so that taking it in cannot fail. */
static qmd_status reserve_state(qmd_dataset *dataset, const qmdi_state *state) {
	qmdi_state *states = qmdi_resize(dataset->states, dataset->n_states + 1, sizeof *states);
	if (!states)
		return QMD_ERROR_MEMORY;
	dataset->states = states;
	if (state->topology->n_atoms > dataset->frame_atoms) {
		float *frame = qmdi_resize(dataset->frame, state->topology->n_atoms, 3 * sizeof *frame);
		if (!frame)
			return QMD_ERROR_MEMORY;
		dataset->frame = frame;
		dataset->frame_atoms = state->topology->n_atoms;
	}
	if (dataset->n_states == 0) {
		qmd_atom *atoms = qmdi_resize(dataset->atoms, state->n_selected, sizeof *atoms);
		if (!atoms)
			return QMD_ERROR_MEMORY;
		dataset->atoms = atoms;
		float *before = qmdi_resize(dataset->before, state->n_selected, 3 * sizeof *before);
		if (!before)
			return QMD_ERROR_MEMORY;
		dataset->before = before;
	}
	return QMD_OK;
}

/* Match a state and take it in; on failure it is released and the data set is as before. */
static qmd_status add_state(qmd_dataset *dataset, qmdi_state *state, size_t n_frames) {
	uint8_t *keep = NULL;
	size_t n_shared = 0;
	qmd_status status = qmdi_dataset_match(dataset, state, &keep, &n_shared);
	if (status == QMD_OK)
		status = reserve_state(dataset, state);
	if (status == QMD_OK)
		commit_state(dataset, state, keep, n_shared, n_frames);
	else
		release_state(state);
	qmdi_release(keep);
	return status;
}

static qmdi_state *find_state(const qmd_dataset *dataset, const char *name) {
	for (size_t i = 0; i < dataset->n_states; i++)
		if (strcmp(dataset->states[i].name, name) == 0)
			return &dataset->states[i];
	return NULL;
}

static qmd_status fail_taken(const char *what, const char *name) {
	return qmdi_fail(QMD_ERROR_ARGUMENT, "%s: there is a state '%s' already", what, name);
}

qmd_status qmd_dataset_add_state(qmd_dataset *dataset, const char *name, const char *topology_path,
								 const char *const *trajectory_paths, size_t n_paths) {
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(name);
	QMDI_REQUIRE(topology_path);
	QMDI_REQUIRE(trajectory_paths);
	if (!*name || n_paths == 0)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_dataset_add_state: %s",
						 *name ? "n_paths is 0, expected at least 1" : "the name is empty");
	if (find_state(dataset, name))
		return fail_taken("qmd_dataset_add_state", name);
	qmdi_state state = {.name = qmdi_string(name)};
	size_t n_frames = 0;
	qmd_status status = state.name ? qmd_topology_load(topology_path, &state.topology) : QMD_ERROR_MEMORY;
	if (status == QMD_OK)
		status = open_replicas(dataset, &state, trajectory_paths, n_paths, &n_frames);
	if (status != QMD_OK) {
		release_state(&state);
		return status;
	}
	return add_state(dataset, &state, n_frames);
}

static qmd_status check_finite_frames(const float *xyz, size_t n_frames, size_t n_atoms) {
	for (size_t frame = 0; frame < n_frames; frame++)
		for (size_t i = 0; i < 3 * n_atoms; i++)
			if (!isfinite(xyz[frame * n_atoms * 3 + i]))
				return qmdi_fail(QMD_ERROR_RANGE,
								 "qmd_dataset_add_frames: frame %zu, atom %zu: coordinate %c is %g, expected a finite "
								 "number",
								 frame, i / 3, "xyz"[i % 3], (double)xyz[frame * n_atoms * 3 + i]);
	return QMD_OK;
}

static qmd_status copy_frames(const float *xyz, size_t n_frames, size_t n_atoms, qmdi_replica *replica) {
	*replica = (qmdi_replica){.n_frames = n_frames};
	if (n_frames > SIZE_MAX / sizeof(float) / 3 / n_atoms)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_dataset_add_frames: n_frames is %zu, more than memory can hold",
						 n_frames);
	QMDI_TRY(check_finite_frames(xyz, n_frames, n_atoms));
	replica->xyz = qmdi_copy(xyz, n_frames * n_atoms, 3 * sizeof *xyz);
	return replica->xyz ? QMD_OK : QMD_ERROR_MEMORY;
}

static qmd_status check_same_atoms(const qmdi_state *state, const qmd_topology *topology) {
	if (topology->n_atoms != state->topology->n_atoms)
		return qmdi_fail(QMD_ERROR_SHAPE, "qmd_dataset_add_frames: state '%s' has %zu atoms, the new replica %zu",
						 state->name, state->topology->n_atoms, topology->n_atoms);
	for (size_t i = 0; i < topology->n_atoms; i++) {
		const qmd_atom *expected = &state->topology->atoms[i], *found = &topology->atoms[i];
		char expected_text[QMDI_ATOM_TEXT_SIZE], found_text[QMDI_ATOM_TEXT_SIZE];
		if (qmdi_compare_identity(expected, found) != 0)
			return qmdi_fail(QMD_ERROR_MATCH,
							 "qmd_dataset_add_frames: state '%s': expected atom %zu to be %s, found %s", state->name, i,
							 qmdi_atom_text(expected, expected_text), qmdi_atom_text(found, found_text));
	}
	return QMD_OK;
}

static qmd_status add_replica(qmd_dataset *dataset, qmdi_state *state, const qmd_topology *topology, const float *xyz,
							  size_t n_frames) {
	if (!state->is_from_memory)
		return fail_taken("qmd_dataset_add_frames", state->name);
	QMDI_TRY(check_same_atoms(state, topology));
	qmdi_replica *replicas = qmdi_resize(state->replicas, state->n_replicas + 1, sizeof *replicas);
	if (!replicas)
		return QMD_ERROR_MEMORY;
	state->replicas = replicas;
	QMDI_TRY(copy_frames(xyz, n_frames, topology->n_atoms, &replicas[state->n_replicas]));
	state->n_replicas++;
	dataset->n_frames += n_frames;
	return QMD_OK;
}

static qmd_status add_memory_state(qmd_dataset *dataset, const char *name, const qmd_topology *topology,
								   const float *xyz, size_t n_frames) {
	qmdi_state state = {.name = qmdi_string(name), .is_from_memory = 1};
	state.replicas = qmdi_zeroed(1, sizeof *state.replicas);
	qmd_status status = state.name && state.replicas ? QMD_OK : QMD_ERROR_MEMORY;
	if (status == QMD_OK)
		status = qmd_topology_create(topology->atoms, topology->n_atoms, &state.topology);
	if (status == QMD_OK)
		status = copy_frames(xyz, n_frames, topology->n_atoms, &state.replicas[0]);
	if (status != QMD_OK) {
		release_state(&state);
		return status;
	}
	state.n_replicas = 1;
	return add_state(dataset, &state, n_frames);
}

qmd_status qmd_dataset_add_frames(qmd_dataset *dataset, const char *name, const qmd_topology *topology,
								  const float *xyz, size_t n_frames) {
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(name);
	QMDI_REQUIRE(topology);
	QMDI_REQUIRE(xyz);
	if (!*name || n_frames == 0)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_dataset_add_frames: %s",
						 *name ? "n_frames is 0, expected at least 1" : "the name is empty");
	QMDI_TRY(check_n_frames(dataset, name, n_frames));
	qmdi_state *state = find_state(dataset, name);
	return state ? add_replica(dataset, state, topology, xyz, n_frames)
				 : add_memory_state(dataset, name, topology, xyz, n_frames);
}

/* ---- Looking ---- */

static const qmdi_state *state_or_null(const qmd_dataset *dataset, size_t state) {
	return dataset && state < dataset->n_states ? &dataset->states[state] : NULL;
}

static qmd_status get_state(const qmd_dataset *dataset, const char *what, size_t index, const qmdi_state **state) {
	*state = state_or_null(dataset, index);
	if (!*state)
		return qmdi_fail(QMD_ERROR_RANGE, "%s: state is %zu, but there are %zu states", what, index, dataset->n_states);
	return QMD_OK;
}

size_t qmd_dataset_n_states(const qmd_dataset *dataset) {
	return dataset ? dataset->n_states : 0;
}

const char *qmd_dataset_state_name(const qmd_dataset *dataset, size_t state) {
	const qmdi_state *found = state_or_null(dataset, state);
	return found ? found->name : NULL;
}

size_t qmd_dataset_n_replicas(const qmd_dataset *dataset, size_t state) {
	const qmdi_state *found = state_or_null(dataset, state);
	return found ? found->n_replicas : 0;
}

size_t qmd_dataset_n_frames(const qmd_dataset *dataset) {
	return dataset ? dataset->n_frames : 0;
}

size_t qmd_dataset_n_atoms(const qmd_dataset *dataset) {
	return dataset ? dataset->n_shared : 0;
}

size_t qmd_dataset_n_residues(const qmd_dataset *dataset) {
	return dataset ? dataset->n_residues : 0;
}

const qmd_topology *qmd_dataset_topology(const qmd_dataset *dataset, size_t state) {
	const qmdi_state *found = state_or_null(dataset, state);
	return found ? found->topology : NULL;
}

qmd_status qmd_dataset_atom(const qmd_dataset *dataset, size_t index, qmd_atom *atom) {
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(atom);
	if (index >= dataset->n_shared)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_dataset_atom: index is %zu, but there are %zu shared atoms", index,
						 dataset->n_shared);
	*atom = dataset->atoms[index];
	return QMD_OK;
}

qmd_status qmd_dataset_atom_indices(const qmd_dataset *dataset, size_t state, uint32_t *indices) {
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(indices);
	const qmdi_state *found;
	QMDI_TRY(get_state(dataset, "qmd_dataset_atom_indices", state, &found));
	memcpy(indices, found->shared, dataset->n_shared * sizeof *indices);
	return QMD_OK;
}

qmd_status qmd_dataset_dropped(const qmd_dataset *dataset, size_t state, size_t *n, uint32_t *indices) {
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(n);
	const qmdi_state *found;
	QMDI_TRY(get_state(dataset, "qmd_dataset_dropped", state, &found));
	const size_t room = *n, n_dropped = found->n_selected - dataset->n_shared;
	*n = n_dropped;
	if (!indices)
		return QMD_OK;
	if (n_dropped > room)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_dataset_dropped: %zu atoms are dropped, but there is room for %zu",
						 n_dropped, room);
	uint8_t *is_shared = qmdi_zeroed(found->topology->n_atoms, sizeof *is_shared);
	if (!is_shared)
		return QMD_ERROR_MEMORY;
	for (size_t i = 0; i < dataset->n_shared; i++)
		is_shared[found->shared[i]] = 1;
	size_t at = 0;
	for (size_t i = 0; i < found->n_selected; i++)
		if (!is_shared[found->selected[i]])
			indices[at++] = found->selected[i];
	qmdi_release(is_shared);
	return QMD_OK;
}

qmd_status qmdi_dataset_select(const qmd_dataset *dataset, const char *selection, size_t *n, uint32_t *indices) {
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(selection);
	QMDI_REQUIRE(n);
	return qmdi_select("qmdi_dataset_select", dataset->atoms, dataset->n_shared, selection, n, indices);
}

/* ---- Shuffling ---- */

qmd_status qmd_dataset_shuffle_labels(qmd_dataset *dataset, uint64_t seed) {
	QMDI_REQUIRE(dataset);
	uint32_t *shuffled = qmdi_array(dataset->n_frames, sizeof *shuffled);
	if (!shuffled)
		return QMD_ERROR_MEMORY;
	for (size_t f = 0; f < dataset->n_frames; f++)
		shuffled[f] = (uint32_t)f;
	qmdi_random_shuffle(seed, LABEL_STREAM, shuffled, dataset->n_frames);
	qmdi_release(dataset->shuffled);
	dataset->shuffled = shuffled;
	dataset->next_frame = 0;
	return QMD_OK;
}

/* ---- Reading ---- */

/* Where a frame stands: `frame` counts within the replica, before the stride. */
typedef struct frame_location {
	uint32_t state, replica;
	size_t frame;
} frame_location;

static qmd_status locate(const qmd_dataset *dataset, const char *what, size_t frame, frame_location *location) {
	if (frame >= dataset->n_frames)
		return qmdi_fail(QMD_ERROR_RANGE, "%s: frame is %zu, but there are %zu frames", what, frame, dataset->n_frames);
	location->state = location->replica = 0;
	while (frame >= dataset->states[location->state].replicas[location->replica].n_frames) {
		frame -= dataset->states[location->state].replicas[location->replica].n_frames;
		if (++location->replica == dataset->states[location->state].n_replicas) {
			location->replica = 0;
			location->state++;
		}
	}
	location->frame = frame;
	return QMD_OK;
}

/* Where a frame's coordinates stand; `source` is the frame that they are of. */
static qmd_status locate_content(const qmd_dataset *dataset, const char *what, size_t frame, size_t *source,
								 frame_location *location) {
	QMDI_TRY(locate(dataset, what, frame, location));
	*source = dataset->shuffled ? dataset->shuffled[frame] : frame;
	return locate(dataset, what, *source, location);
}

qmd_status qmd_dataset_frame_origin(const qmd_dataset *dataset, size_t frame, qmd_frame_origin *origin) {
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(origin);
	frame_location at = {0};
	QMDI_TRY(locate(dataset, "qmd_dataset_frame_origin", frame, &at));
	const int is_from_memory = dataset->states[at.state].is_from_memory;
	*origin = (qmd_frame_origin){at.state, at.replica, is_from_memory ? at.frame : at.frame * dataset->stride};
	return QMD_OK;
}

/* What writers that died leave behind: no molecule has all its atoms in one place. */
static qmd_status check_extent(const qmd_dataset *dataset, const qmdi_replica *replica, size_t file_frame,
							   const float *xyz) {
	size_t i = 3;
	while (i < 3 * dataset->n_shared && xyz[i] == xyz[i - 3])
		i++;
	if (dataset->n_shared < 2 || i < 3 * dataset->n_shared)
		return QMD_OK;
	return qmdi_fail(QMD_ERROR_RANGE, "%s: frame %zu: all atoms are in one place, (%g, %g, %g)",
					 qmdi_trajectory_path(replica->trajectory, file_frame), file_frame, (double)xyz[0], (double)xyz[1],
					 (double)xyz[2]);
}

qmd_status qmd_dataset_read(qmd_dataset *dataset, size_t frame, float *xyz) {
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(xyz);
	frame_location at = {0};
	size_t source;
	QMDI_TRY(locate_content(dataset, "qmd_dataset_read", frame, &source, &at));
	const qmdi_state *state = &dataset->states[at.state];
	qmdi_replica *replica = &state->replicas[at.replica];
	const float *whole = dataset->frame;
	if (replica->trajectory)
		QMDI_TRY(qmd_trajectory_read(replica->trajectory, at.frame * dataset->stride, 1, dataset->frame));
	else
		whole = replica->xyz + at.frame * state->topology->n_atoms * 3;
	for (size_t i = 0; i < dataset->n_shared; i++)
		memcpy(&xyz[3 * i], &whole[3 * (size_t)state->shared[i]], 3 * sizeof *xyz);
	if (replica->trajectory)
		QMDI_TRY(check_extent(dataset, replica, at.frame * dataset->stride, xyz));
	if (replica->trajectory && !replica->has_jumped)
		qmdi_dataset_look_for_jump(dataset, state, replica, source, at.frame * dataset->stride, xyz);
	return QMD_OK;
}

qmd_status qmd_dataset_box(qmd_dataset *dataset, size_t frame, double box[9], int *has_box) {
	QMDI_REQUIRE(dataset);
	QMDI_REQUIRE(box);
	QMDI_REQUIRE(has_box);
	frame_location at = {0};
	size_t source;
	QMDI_TRY(locate_content(dataset, "qmd_dataset_box", frame, &source, &at));
	qmd_trajectory *trajectory = dataset->states[at.state].replicas[at.replica].trajectory;
	if (trajectory)
		return qmd_trajectory_box(trajectory, at.frame * dataset->stride, box, has_box);
	memset(box, 0, 9 * sizeof *box);
	*has_box = 0;
	return QMD_OK;
}
