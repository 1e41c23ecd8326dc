/* Matching the atoms of a new state with those that the states before it share. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dataset_internal.h"
#include "selection.h"

/* An atom by the identity it is matched on: its own, or the one that the map file gives it. */
typedef struct identity {
	qmd_atom atom;
	uint32_t index;         /* in the state's topology */
	size_t line;            /* of the map file; 0: its own */
	const qmd_atom *target; /* what that line makes of it */
} identity;

static int compare_identities(const void *a, const void *b) {
	return qmdi_compare_identity(&((const identity *)a)->atom, &((const identity *)b)->atom);
}

static identity *find_identity(const identity *identities, size_t n, const qmd_atom *atom) {
	const identity key = {.atom = *atom};
	return bsearch(&key, identities, n, sizeof key, compare_identities);
}

static qmd_status select_atoms(const qmd_dataset *dataset, qmdi_state *state) {
	const qmd_topology *topology = state->topology;
	state->n_selected = topology->n_atoms;
	state->selected = qmdi_array(topology->n_atoms, sizeof *state->selected);
	if (!state->selected)
		return QMD_ERROR_MEMORY;
	QMDI_TRY(qmdi_select("qmd_dataset", topology->atoms, topology->n_atoms, dataset->selection, &state->n_selected,
						 state->selected));
	if (state->n_selected == 0)
		return qmdi_fail(QMD_ERROR_MATCH, "state '%s': the selection '%s' matches none of %zu atoms", state->name,
						 dataset->selection, topology->n_atoms);
	return QMD_OK;
}

static qmd_status check_unique(const qmd_dataset *dataset, const qmdi_state *state, const identity *identities) {
	char text[QMDI_ATOM_TEXT_SIZE];
	for (size_t i = 1; i < state->n_selected; i++) {
		const identity *a = &identities[i - 1], *b = &identities[i];
		if (compare_identities(a, b) != 0)
			continue;
		const uint32_t low = a->index < b->index ? a->index : b->index;
		const uint32_t high = a->index < b->index ? b->index : a->index;
		const size_t line = a->line > b->line ? a->line : b->line;
		if (line > 0)
			return qmdi_fail(QMD_ERROR_MATCH, "%s: line %zu: state '%s': atoms %u and %u would both be %s",
							 dataset->map.path, line, state->name, low, high, qmdi_atom_text(&a->atom, text));
		return qmdi_fail(QMD_ERROR_MATCH, "state '%s': atoms %u and %u are both %s", state->name, low, high,
						 qmdi_atom_text(&a->atom, text));
	}
	return QMD_OK;
}

/* The selected atoms of a state by their own identities, sorted. */
static void list_identities(const qmdi_state *state, identity *identities) {
	for (size_t i = 0; i < state->n_selected; i++)
		identities[i] = (identity){.atom = state->topology->atoms[state->selected[i]], .index = state->selected[i]};
	qsort(identities, state->n_selected, sizeof *identities, compare_identities);
}

/* Note in a sorted list what a line of the map file says; both its ends are checked. */
static qmd_status resolve_pair(const qmd_dataset *dataset, const qmdi_state *state, const qmdi_atom_pair *pair,
							   identity *identities, const identity *first_identities) {
	char text[QMDI_ATOM_TEXT_SIZE];
	const qmdi_state *first = &dataset->states[0];
	identity *found = find_identity(identities, state->n_selected, &pair->from);
	if (!found)
		return qmdi_fail(QMD_ERROR_MATCH, "%s: line %zu: state '%s' has no selected atom %s", dataset->map.path,
						 pair->line, state->name, qmdi_atom_text(&pair->from, text));
	if (found->line)
		return qmdi_fail(QMD_ERROR_MATCH, "%s: lines %zu and %zu are about one atom, %s", dataset->map.path,
						 found->line, pair->line, qmdi_atom_text(&pair->from, text));
	if (!find_identity(first_identities, first->n_selected, &pair->to))
		return qmdi_fail(QMD_ERROR_MATCH, "%s: line %zu: the first state, '%s', has no selected atom %s",
						 dataset->map.path, pair->line, first->name, qmdi_atom_text(&pair->to, text));
	found->line = pair->line;
	found->target = &pair->to;
	return QMD_OK;
}

/* Give the atoms of a sorted list the identities that the map file says. */
static qmd_status apply_map(const qmd_dataset *dataset, const qmdi_state *state, identity *identities) {
	const qmdi_atom_map *map = &dataset->map;
	const qmdi_state *first = &dataset->states[0];
	identity *first_identities = qmdi_array(first->n_selected, sizeof *first_identities);
	if (!first_identities)
		return QMD_ERROR_MEMORY;
	list_identities(first, first_identities);
	qmd_status status = QMD_OK;
	for (size_t i = 0; status == QMD_OK && i < map->n_pairs; i++)
		if (strcmp(map->pairs[i].state, state->name) == 0)
			status = resolve_pair(dataset, state, &map->pairs[i], identities, first_identities);
	/* Only now: the list must stay sorted while it is looked up in. */
	for (size_t i = 0; status == QMD_OK && i < state->n_selected; i++)
		if (identities[i].target)
			identities[i].atom = *identities[i].target;
	qmdi_release(first_identities);
	return status;
}

static qmd_status refuse_mapped_first_state(const qmd_dataset *dataset, const qmdi_state *state) {
	for (size_t i = 0; i < dataset->map.n_pairs; i++)
		if (strcmp(dataset->map.pairs[i].state, state->name) == 0)
			return qmdi_fail(QMD_ERROR_MATCH, "%s: line %zu: '%s' is the first state, which others are mapped to",
							 dataset->map.path, dataset->map.pairs[i].line, state->name);
	return QMD_OK;
}

/* The identities that the selected atoms are matched on, sorted and unique. */
static qmd_status make_identities(const qmd_dataset *dataset, const qmdi_state *state, identity *identities) {
	list_identities(state, identities);
	QMDI_TRY(check_unique(dataset, state, identities));
	if (dataset->n_states == 0)
		return refuse_mapped_first_state(dataset, state);
	if (dataset->map.n_pairs == 0)
		return QMD_OK;
	QMDI_TRY(apply_map(dataset, state, identities));
	qsort(identities, state->n_selected, sizeof *identities, compare_identities);
	return check_unique(dataset, state, identities);
}

static size_t smallest_selection(const qmd_dataset *dataset, const qmdi_state *state) {
	size_t smallest = state->n_selected;
	for (size_t i = 0; i < dataset->n_states; i++)
		if (dataset->states[i].n_selected < smallest)
			smallest = dataset->states[i].n_selected;
	return smallest;
}

/* Look up what the states before share; the first missing atom explains a failure. */
static qmd_status match_shared(const qmd_dataset *dataset, qmdi_state *state, const identity *identities, uint8_t *keep,
							   size_t *n_shared) {
	const qmd_atom *missing = NULL;
	size_t n = 0;
	for (size_t i = 0; i < dataset->n_shared; i++) {
		const identity *found = find_identity(identities, state->n_selected, &dataset->atoms[i]);
		keep[i] = found != NULL;
		if (found)
			state->shared[n++] = found->index;
		else if (!missing)
			missing = &dataset->atoms[i];
	}
	const size_t smallest = smallest_selection(dataset, state);
	if (n < smallest - smallest / 2) {
		char text[QMDI_ATOM_TEXT_SIZE] = "";
		return qmdi_fail(QMD_ERROR_MATCH,
						 "state '%s' shares %zu atoms with the states before it, expected at least half of the %zu of "
						 "the smaller one; it has no %s, for example",
						 state->name, n, smallest, missing ? qmdi_atom_text(missing, text) : "atom");
	}
	*n_shared = n;
	return QMD_OK;
}

qmd_status qmdi_dataset_match(const qmd_dataset *dataset, qmdi_state *state, uint8_t **keep, size_t *n_shared) {
	*keep = NULL;
	QMDI_TRY(select_atoms(dataset, state));
	const int is_first = dataset->n_states == 0;
	const size_t room = is_first ? state->n_selected : dataset->n_shared;
	identity *identities = qmdi_array(state->n_selected, sizeof *identities);
	*keep = qmdi_zeroed(room, sizeof **keep);
	state->shared = qmdi_array(room, sizeof *state->shared);
	qmd_status status = identities && *keep && state->shared ? QMD_OK : QMD_ERROR_MEMORY;
	if (status == QMD_OK)
		status = make_identities(dataset, state, identities);
	if (status == QMD_OK && is_first) {
		memcpy(state->shared, state->selected, state->n_selected * sizeof *state->shared);
		*n_shared = state->n_selected;
	} else if (status == QMD_OK) {
		status = match_shared(dataset, state, identities, *keep, n_shared);
	}
	qmdi_release(identities);
	return status;
}
