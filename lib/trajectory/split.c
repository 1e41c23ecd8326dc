/* Splits: each frame of a data set is used for training, for the test or for nothing. */
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "dataset_internal.h"

#define ICNNMD_GROUPS 20

typedef enum role { UNUSED = 0, TRAIN = 1, TEST = 2 } role;

struct qmd_split {
	uint32_t *train, *test;
	size_t n_train, n_test;
};

/* ---- From roles to a split ---- */

static uint8_t *new_roles(const qmd_dataset *dataset) {
	uint8_t *roles = qmdi_array(dataset->n_frames, 1);
	if (roles)
		memset(roles, TRAIN, dataset->n_frames);
	return roles;
}

static size_t state_frames(const qmdi_state *state) {
	size_t n = 0;
	for (size_t i = 0; i < state->n_replicas; i++)
		n += state->replicas[i].n_frames;
	return n;
}

static size_t count_role(const uint8_t *roles, size_t n, role wanted) {
	size_t n_found = 0;
	for (size_t i = 0; i < n; i++)
		n_found += roles[i] == wanted;
	return n_found;
}

/* Every state keeps a training frame; a test frame exists unless none is wanted. */
static qmd_status check_roles(const qmd_dataset *dataset, const uint8_t *roles, int wants_test) {
	const uint8_t *of_state = roles;
	if (dataset->n_frames == 0)
		return qmdi_fail(QMD_ERROR_STATE, "the data set has no frames to split");
	for (size_t i = 0; i < dataset->n_states; i++) {
		const size_t n = state_frames(&dataset->states[i]);
		if (count_role(of_state, n, TRAIN) == 0)
			return qmdi_fail(QMD_ERROR_STATE, "the split leaves state '%s' no training frame of its %zu",
							 dataset->states[i].name, n);
		of_state += n;
	}
	if (wants_test && count_role(roles, dataset->n_frames, TEST) == 0)
		return qmdi_fail(QMD_ERROR_STATE, "the split holds out no frame of %zu for the test", dataset->n_frames);
	return QMD_OK;
}

static qmd_status collect(const uint8_t *roles, size_t n_frames, role wanted, uint32_t **frames, size_t *n) {
	*n = count_role(roles, n_frames, wanted);
	*frames = qmdi_array(*n, sizeof **frames);
	if (!*frames)
		return QMD_ERROR_MEMORY;
	size_t at = 0;
	for (size_t i = 0; i < n_frames; i++)
		if (roles[i] == wanted)
			(*frames)[at++] = (uint32_t)i;
	return QMD_OK;
}

static int has_state(const qmd_dataset *dataset, const char *name) {
	for (size_t i = 0; i < dataset->n_states; i++)
		if (strcmp(dataset->states[i].name, name) == 0)
			return 1;
	return 0;
}

/* A split is made when all states have been added: a line of the map file about any other may be misspelt. */
static void warn_of_unused_lines(const qmd_dataset *dataset) {
	const qmdi_atom_pair *first = NULL;
	size_t n = 0;
	for (size_t i = 0; i < dataset->map.n_pairs; i++) {
		const qmdi_atom_pair *pair = &dataset->map.pairs[i];
		if (has_state(dataset, pair->state))
			continue;
		if (!first)
			first = pair;
		n++;
	}
	if (first)
		qmdi_log(QMD_LOG_WARNING, "%s: line %zu: the data set has no state '%s'; %zu such lines are not used",
				 dataset->map.path, first->line, first->state, n);
}

/* Takes over `roles`. */
static qmd_status make_split(const qmd_dataset *dataset, uint8_t *roles, int wants_test, qmd_split **split) {
	qmd_status status = check_roles(dataset, roles, wants_test);
	qmd_split *made = NULL;
	warn_of_unused_lines(dataset);
	if (status == QMD_OK) {
		made = qmdi_zeroed(1, sizeof *made);
		status = made ? QMD_OK : QMD_ERROR_MEMORY;
	}
	if (status == QMD_OK)
		status = collect(roles, dataset->n_frames, TRAIN, &made->train, &made->n_train);
	if (status == QMD_OK)
		status = collect(roles, dataset->n_frames, TEST, &made->test, &made->n_test);
	qmdi_release(roles);
	if (status == QMD_OK)
		*split = made;
	else
		qmd_split_free(made);
	return status;
}

/* First frame of part `part` of n frames cut into n_parts contiguous parts; n and n_parts are below 2^32. */
static size_t part_begin(size_t n, size_t n_parts, size_t part) {
	return n * part / n_parts;
}

static qmd_status check_fold(const char *what, size_t n_folds, size_t fold) {
	if (n_folds < 2 || n_folds > UINT32_MAX)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "%s: n_folds is %zu, expected 2 to %u", what, n_folds, UINT32_MAX);
	if (fold >= n_folds)
		return qmdi_fail(QMD_ERROR_RANGE, "%s: fold is %zu, expected less than %zu", what, fold, n_folds);
	return QMD_OK;
}

/* ---- The rules ---- */

qmd_status qmd_split_by_replica(const qmd_dataset *dataset, size_t fold, qmd_split **split) {
	QMDI_REQUIRE(split);
	*split = NULL;
	QMDI_REQUIRE(dataset);
	uint8_t *roles = new_roles(dataset);
	if (!roles)
		return QMD_ERROR_MEMORY;
	size_t first = 0;
	for (size_t i = 0; i < dataset->n_states; i++) {
		const qmdi_state *state = &dataset->states[i];
		for (size_t replica = 0; replica < state->n_replicas; replica++) {
			const size_t n = state->replicas[replica].n_frames;
			if (replica == fold)
				memset(roles + first, TEST, n);
			first += n;
		}
	}
	return make_split(dataset, roles, 1, split);
}

/* Hold out frames [begin, end) of the n of a replica, and use none of the `gap` frames on either side. */
static void hold_out_block(uint8_t *roles, size_t n, size_t begin, size_t end, size_t gap) {
	if (begin == end)
		return;
	const size_t gap_before = gap < begin ? gap : begin, gap_after = gap < n - end ? gap : n - end;
	memset(roles + begin - gap_before, UNUSED, gap_before);
	memset(roles + begin, TEST, end - begin);
	memset(roles + end, UNUSED, gap_after);
}

qmd_status qmd_split_by_block(const qmd_dataset *dataset, size_t n_folds, size_t fold, size_t gap, qmd_split **split) {
	QMDI_REQUIRE(split);
	*split = NULL;
	QMDI_REQUIRE(dataset);
	QMDI_TRY(check_fold("qmd_split_by_block", n_folds, fold));
	uint8_t *roles = new_roles(dataset);
	if (!roles)
		return QMD_ERROR_MEMORY;
	uint8_t *of_replica = roles;
	for (size_t i = 0; i < dataset->n_states; i++) {
		const qmdi_state *state = &dataset->states[i];
		for (size_t replica = 0; replica < state->n_replicas; replica++) {
			const size_t n = state->replicas[replica].n_frames;
			hold_out_block(of_replica, n, part_begin(n, n_folds, fold), part_begin(n, n_folds, fold + 1), gap);
			of_replica += n;
		}
	}
	return make_split(dataset, roles, 1, split);
}

/* Deal the shuffled frames of each group to the folds in turn, going on where the group before left off: so the parts
 * are equal within one frame, in every group and in the state. */
static void hold_out_icnnmd(uint8_t *roles, uint32_t *order, size_t n, size_t n_folds, size_t fold, uint64_t seed,
							uint64_t first_stream) {
	size_t dealt = 0;
	for (size_t group = 0; group < ICNNMD_GROUPS; group++) {
		const size_t begin = part_begin(n, ICNNMD_GROUPS, group), end = part_begin(n, ICNNMD_GROUPS, group + 1);
		for (size_t i = 0; i < end - begin; i++)
			order[i] = (uint32_t)(begin + i);
		qmdi_random_shuffle(seed, first_stream + group, order, end - begin);
		for (size_t i = 0; i < end - begin; i++)
			if (dealt++ % n_folds == fold)
				roles[order[i]] = TEST;
	}
}

qmd_status qmd_split_icnnmd(const qmd_dataset *dataset, size_t n_folds, size_t fold, uint64_t seed, qmd_split **split) {
	QMDI_REQUIRE(split);
	*split = NULL;
	QMDI_REQUIRE(dataset);
	QMDI_TRY(check_fold("qmd_split_icnnmd", n_folds, fold));
	uint8_t *roles = new_roles(dataset);
	if (!roles)
		return QMD_ERROR_MEMORY;
	uint32_t *order = qmdi_array(dataset->n_frames, sizeof *order);
	if (!order) {
		qmdi_release(roles);
		return QMD_ERROR_MEMORY;
	}
	size_t first = 0;
	for (size_t i = 0; i < dataset->n_states; i++) {
		const size_t n = state_frames(&dataset->states[i]);
		hold_out_icnnmd(roles + first, order, n, n_folds, fold, seed, i * ICNNMD_GROUPS);
		first += n;
	}
	qmdi_release(order);
	qmdi_log(QMD_LOG_WARNING, "the icnnmd split leaks: neighbours in time of most test frames are training frames, so "
							  "its test accuracy does not measure generalization");
	return make_split(dataset, roles, 1, split);
}

qmd_status qmd_split_all(const qmd_dataset *dataset, qmd_split **split) {
	QMDI_REQUIRE(split);
	*split = NULL;
	QMDI_REQUIRE(dataset);
	uint8_t *roles = new_roles(dataset);
	if (!roles)
		return QMD_ERROR_MEMORY;
	return make_split(dataset, roles, 0, split);
}

void qmd_split_free(qmd_split *split) {
	if (!split)
		return;
	qmdi_release(split->train);
	qmdi_release(split->test);
	qmdi_release(split);
}

const uint32_t *qmd_split_train(const qmd_split *split, size_t *n) {
	if (n)
		*n = split ? split->n_train : 0;
	return split ? split->train : NULL;
}

const uint32_t *qmd_split_test(const qmd_split *split, size_t *n) {
	if (n)
		*n = split ? split->n_test : 0;
	return split ? split->test : NULL;
}
