/* Shards of one run, put together. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "explain/explain_internal.h"

#define NAME_SIZE 512

/* The file that a shard came from or, before it was saved, its place in the caller's list. */
static const char *name_of(const qmd_explanation *shard, size_t i, char name[NAME_SIZE]) {
	if (shard->path)
		snprintf(name, NAME_SIZE, "%s", shard->path);
	else
		snprintf(name, NAME_SIZE, "shards[%zu]", i);
	return name;
}

static int has_same_residues(const qmd_explanation *a, const qmd_explanation *b) {
	if (a->n_residues != b->n_residues)
		return 0;
	for (size_t r = 0; r < a->n_residues; r++) {
		const qmd_residue_score *left = &a->residues[r], *right = &b->residues[r];
		if (left->n_atoms != right->n_atoms || left->residue.residue_number != right->residue.residue_number ||
			strcmp(left->residue.residue_name, right->residue.residue_name) != 0 ||
			strcmp(left->residue.chain, right->residue.chain) != 0)
			return 0;
	}
	return 1;
}

/* In what a shard is not of the same run as another; NULL if it is. */
static const char *find_difference(const qmd_explanation *a, const qmd_explanation *b) {
	const qmdi_shard *left = &a->shard, *right = &b->shard;
	if (left->subject != right->subject)
		return "engine or model";
	if (left->dataset != right->dataset || !has_same_residues(a, b))
		return "data set";
	if (left->n_shards != right->n_shards)
		return "number of shards";
	if (left->n_frames != right->n_frames || left->frames != right->frames)
		return "list of frames";
	if (left->method != right->method || left->as_published != right->as_published)
		return "method";
	if (left->background != right->background || left->segments != right->segments)
		return "background or segments";
	if (left->n_samples != right->n_samples || left->seed != right->seed)
		return "samples or seed";
	return strcmp(qmd_explanation_note(a), qmd_explanation_note(b)) != 0 ? "note" : NULL;
}

static qmd_status check_shard(const qmd_explanation *const *shards, size_t i) {
	char name[NAME_SIZE], first[NAME_SIZE];
	if (!shards[i])
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explanation_merge: shards[%zu] is NULL", i);
	const qmdi_shard *shard = &shards[i]->shard;
	if (shard->n_shards == 0)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "%s: the explanation is no shard", name_of(shards[i], i, name));
	const char *difference = find_difference(shards[i], shards[0]);
	if (difference)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "%s: its %s is not that of %s", name_of(shards[i], i, name), difference,
						 name_of(shards[0], 0, first));
	const size_t n_frames = qmdi_shard_first(shard, shard->index + 1) - qmdi_shard_first(shard, shard->index);
	if (shards[i]->n_frames < n_frames)
		return qmdi_fail(QMD_ERROR_STATE, "%s: it was interrupted after %zu of its %zu frames",
						 name_of(shards[i], i, name), shards[i]->n_frames, n_frames);
	return QMD_OK;
}

/* order[index]: the shard of that index. */
static qmd_status sort(const qmd_explanation *const *shards, size_t n, const qmd_explanation **order) {
	const uint32_t n_shards = shards[0]->shard.n_shards;
	char name[NAME_SIZE], other[NAME_SIZE];
	for (size_t i = 0; i < n; i++) {
		const uint32_t index = shards[i]->shard.index;
		if (order[index])
			return qmdi_fail(QMD_ERROR_ARGUMENT, "%s: it is shard %u of %u (from 0), as is %s",
							 name_of(shards[i], i, name), index, n_shards, name_of(order[index], i, other));
		order[index] = shards[i];
	}
	for (uint32_t index = 0; index < n_shards; index++)
		if (!order[index])
			return qmdi_fail(QMD_ERROR_ARGUMENT, "%s: of its run's %u shards, number %u (from 0) is missing",
							 name_of(shards[0], 0, name), n_shards, index);
	return QMD_OK;
}

static qmd_status gather(const qmd_explanation *const *order, qmd_explanation *merged) {
	const size_t n_residues = merged->n_residues;
	size_t done = 0;
	merged->note = qmdi_string(qmd_explanation_note(order[0]));
	if (!merged->note)
		return QMD_ERROR_MEMORY;
	for (size_t r = 0; r < n_residues; r++)
		merged->residues[r] = order[0]->residues[r];
	for (uint32_t i = 0; i < order[0]->shard.n_shards; i++) {
		const qmd_explanation *shard = order[i];
		const size_t size = shard->n_frames * n_residues * sizeof(double);
		memcpy(merged->frame_scores + done * n_residues, shard->frame_scores, size);
		memcpy(merged->frame_errors + done * n_residues, shard->frame_errors, size);
		memcpy(merged->fits + done, shard->fits, shard->n_frames * sizeof *shard->fits);
		merged->work.n_macs += shard->work.n_macs;
		merged->work.n_macs_whole += shard->work.n_macs_whole;
		done += shard->n_frames;
	}
	return qmdi_explanation_finish(merged);
}

static qmd_status merge(const qmd_explanation *const *shards, size_t n, const qmd_explanation **order,
						qmd_explanation **merged) {
	QMDI_TRY(sort(shards, n, order));
	QMDI_TRY(qmdi_explanation_create(shards[0]->n_residues, shards[0]->shard.n_frames, merged));
	return gather(order, *merged);
}

qmd_status qmd_explanation_merge(const qmd_explanation *const *shards, size_t n, qmd_explanation **explanation) {
	QMDI_REQUIRE(shards);
	QMDI_REQUIRE(explanation);
	*explanation = NULL;
	if (n == 0)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explanation_merge: no shards are given (n is 0)");
	for (size_t i = 0; i < n; i++)
		QMDI_TRY(check_shard(shards, i));
	const qmd_explanation **order = qmdi_zeroed(shards[0]->shard.n_shards, sizeof(qmd_explanation *));
	if (!order)
		return QMD_ERROR_MEMORY;
	const qmd_status status = merge(shards, n, order, explanation);
	qmdi_release(order);
	if (status != QMD_OK) {
		qmd_explanation_free(*explanation);
		*explanation = NULL;
	}
	return status;
}
