/* What tells the shards of one run from those of others: hashes of all that the scores follow from. */
#include "base/hash.h"
#include "base/memory.h"
#include "engine/engine_internal.h"
#include "explain/explain_internal.h"
#include "model/model_internal.h"
#include "pixels/pixels_internal.h"
#include "trajectory/dataset_internal.h"

static qmd_status hash_subject(const qmdi_subject *subject, uint64_t *hash) {
	return subject->engine ? qmdi_engine_hash(subject->engine, hash) : qmdi_model_hash(subject->model, hash);
}

/* Atoms, names of states, where each frame stands, and how labels are shuffled if they are; not the coordinates, which
 * would all have to be read. */
static qmd_status put_dataset(const qmd_dataset *dataset, qmdi_writer *writer) {
	for (size_t i = 0; i < qmd_dataset_n_atoms(dataset); i++) {
		qmd_atom atom;
		QMDI_TRY(qmd_dataset_atom(dataset, i, &atom));
		qmdi_atom_put(&atom, writer);
	}
	for (size_t s = 0; s < qmd_dataset_n_states(dataset); s++)
		qmdi_put_string(writer, qmd_dataset_state_name(dataset, s));
	for (size_t f = 0; f < qmd_dataset_n_frames(dataset); f++) {
		qmd_frame_origin origin;
		QMDI_TRY(qmd_dataset_frame_origin(dataset, f, &origin));
		qmdi_put_u32(writer, origin.state);
		qmdi_put_u32(writer, origin.replica);
		qmdi_put_u64(writer, origin.frame);
		if (dataset->shuffled)
			qmdi_put_u32(writer, dataset->shuffled[f]);
	}
	return writer->status;
}

static qmd_status hash_dataset(const qmd_dataset *dataset, uint64_t *hash) {
	qmdi_writer writer = {0};
	const qmd_status status = put_dataset(dataset, &writer);
	if (status == QMD_OK)
		*hash = qmdi_hash(QMDI_HASH_START, writer.data, writer.size);
	qmdi_writer_release(&writer);
	return status;
}

qmd_status qmdi_shard_describe(const qmdi_subject *subject, const qmd_dataset *dataset, const uint32_t *frames,
							   size_t n_frames, const qmd_explain_options *options, qmdi_shard *shard) {
	if (options->n_shards > QMDI_MOST_SHARDS)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: n_shards is %u, expected at most %u", options->n_shards,
						 QMDI_MOST_SHARDS);
	if (n_frames > UINT32_MAX || options->n_shards > n_frames)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: n_shards is %u, but there are %zu frames to share out",
						 options->n_shards, n_frames);
	if (options->shard >= options->n_shards)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_explain: shard is %u, expected less than n_shards, which is %u",
						 options->shard, options->n_shards);
	*shard = (qmdi_shard){.method = options->method,
						  .as_published = options->as_published,
						  .background = options->background,
						  .n_samples = options->n_samples,
						  .seed = options->seed,
						  .n_shards = options->n_shards,
						  .index = options->shard,
						  .n_frames = (uint32_t)n_frames};
	if (options->segment_of_residue)
		shard->segments =
			qmdi_hash(QMDI_HASH_START, options->segment_of_residue, qmd_dataset_n_residues(dataset) * sizeof(uint32_t));
	shard->frames = qmdi_hash(QMDI_HASH_START, frames, n_frames * sizeof *frames);
	QMDI_TRY(hash_dataset(dataset, &shard->dataset));
	return hash_subject(subject, &shard->subject);
}

size_t qmdi_shard_first(const qmdi_shard *shard, uint32_t index) {
	return (size_t)((uint64_t)shard->n_frames * index / shard->n_shards);
}
