/* Shards in files (docs/files.md). */
#include <limits.h>
#include <string.h>

#include "base/container.h"
#include "base/memory.h"
#include "explain/explain_internal.h"
#include "pixels/pixels_internal.h"

#define MAGIC "QMDSHARD"
#define MAJOR 1
#define MINOR 0
#define MOST_NOTE ((size_t)1 << 20)
#define FIT_SIZE 16
#define RUN "run"
#define RESIDUES "residues"
#define SCORES "scores"
#define NOTE "note"

/* ---- Saving ---- */

static void put_run(const qmd_explanation *e, qmdi_writer *writer) {
	qmdi_put_u64(writer, e->shard.subject);
	qmdi_put_u64(writer, e->shard.dataset);
	qmdi_put_u64(writer, e->shard.frames);
	qmdi_put_i32(writer, e->shard.method);
	qmdi_put_i32(writer, e->shard.as_published);
	qmdi_put_u32(writer, e->shard.n_samples);
	qmdi_put_u64(writer, e->shard.seed);
	qmdi_put_u32(writer, e->shard.n_shards);
	qmdi_put_u32(writer, e->shard.index);
	qmdi_put_u32(writer, e->shard.n_frames);
	qmdi_put_u32(writer, (uint32_t)e->n_frames);
	qmdi_put_u64(writer, e->work.n_macs);
	qmdi_put_u64(writer, e->work.n_macs_whole);
	qmdi_put_i32(writer, e->shard.background);
	qmdi_put_u64(writer, e->shard.segments);
}

static void put_residues(const qmd_explanation *e, qmdi_writer *writer) {
	qmdi_put_u32(writer, (uint32_t)e->n_residues);
	for (size_t r = 0; r < e->n_residues; r++) {
		qmdi_atom_put(&e->residues[r].residue, writer);
		qmdi_put_u32(writer, e->residues[r].n_atoms);
	}
}

static void put_scores(const qmd_explanation *e, qmdi_writer *writer) {
	for (size_t i = 0; i < e->n_frames * e->n_residues; i++)
		qmdi_put_f64(writer, e->frame_scores[i]);
	for (size_t i = 0; i < e->n_frames * e->n_residues; i++)
		qmdi_put_f64(writer, e->frame_errors[i]);
	for (size_t f = 0; f < e->n_frames; f++) {
		qmdi_put_u32(writer, e->fits[f].n_samples);
		qmdi_put_i32(writer, e->fits[f].is_settled);
		qmdi_put_f64(writer, e->fits[f].r2);
	}
}

qmd_status qmd_explanation_save(const qmd_explanation *explanation, const char *note, const char *path) {
	QMDI_REQUIRE(explanation);
	QMDI_REQUIRE(path);
	if (explanation->shard.n_shards == 0)
		return qmdi_fail(QMD_ERROR_STATE, "qmd_explanation_save: the explanation is no shard: none was asked for by "
										  "n_shards");
	if (note && strlen(note) >= MOST_NOTE)
		return qmdi_fail(QMD_ERROR_RANGE, "qmd_explanation_save: a note of %zu bytes, expected less than %zu",
						 strlen(note), MOST_NOTE);
	enum { N_SECTIONS = 4 };
	static const char *const names[N_SECTIONS] = {RUN, RESIDUES, SCORES, NOTE};
	qmdi_writer writers[N_SECTIONS] = {{0}};
	qmdi_section sections[N_SECTIONS];
	qmd_status status = QMD_OK;
	put_run(explanation, &writers[0]);
	put_residues(explanation, &writers[1]);
	put_scores(explanation, &writers[2]);
	qmdi_put_string(&writers[3], note);
	for (size_t i = 0; i < N_SECTIONS; i++) {
		sections[i] = (qmdi_section){names[i], writers[i].data, writers[i].size};
		status = status == QMD_OK ? writers[i].status : status;
	}
	if (status == QMD_OK)
		status = qmdi_container_save(path, MAGIC, MAJOR, MINOR, sections, N_SECTIONS);
	for (size_t i = 0; i < N_SECTIONS; i++)
		qmdi_writer_release(&writers[i]);
	return status;
}

/* ---- Loading ---- */

/* What the "run" section says. */
typedef struct shard_header {
	qmdi_shard shard;
	uint32_t n_frames; /* of the shard */
	qmd_explain_work work;
} shard_header;

static qmd_status get_header(const qmdi_container *container, shard_header *header) {
	qmdi_reader reader;
	QMDI_TRY(qmdi_container_section(container, RUN, &reader));
	qmdi_shard *shard = &header->shard;
	shard->subject = qmdi_get_u64(&reader);
	shard->dataset = qmdi_get_u64(&reader);
	shard->frames = qmdi_get_u64(&reader);
	shard->method = qmdi_get_i32(&reader);
	shard->as_published = qmdi_get_i32(&reader);
	shard->n_samples = qmdi_get_u32(&reader);
	shard->seed = qmdi_get_u64(&reader);
	shard->n_shards = qmdi_get_u32(&reader);
	shard->index = qmdi_get_u32(&reader);
	shard->n_frames = qmdi_get_u32(&reader);
	header->n_frames = qmdi_get_u32(&reader);
	header->work.n_macs = qmdi_get_u64(&reader);
	header->work.n_macs_whole = qmdi_get_u64(&reader);
	shard->background = qmdi_get_i32(&reader);
	shard->segments = qmdi_get_u64(&reader);
	QMDI_TRY(qmdi_reader_finish(&reader));
	if (shard->n_shards == 0 || shard->index >= shard->n_shards || shard->n_shards > shard->n_frames ||
		shard->n_shards > QMDI_MOST_SHARDS)
		return qmdi_reader_fail(&reader, QMD_ERROR_FORMAT, "shard %u of %u of %u frames", shard->index, shard->n_shards,
								shard->n_frames);
	const size_t n_expected = qmdi_shard_first(shard, shard->index + 1) - qmdi_shard_first(shard, shard->index);
	if (header->n_frames > n_expected || header->n_frames == 0)
		return qmdi_reader_fail(&reader, QMD_ERROR_FORMAT, "%u frames, expected 1 to %zu", header->n_frames,
								n_expected);
	return QMD_OK;
}

/* The number of residues, as far as the bytes that are left have room for them, and for their scores. */
static qmd_status get_n_residues(const qmdi_container *container, qmdi_reader *reader, uint32_t n_frames, uint32_t *n) {
	qmdi_reader scores;
	QMDI_TRY(qmdi_container_section(container, RESIDUES, reader));
	QMDI_TRY(qmdi_container_section(container, SCORES, &scores));
	*n = qmdi_get_u32(reader);
	const size_t left = (reader->size - reader->offset) / (QMDI_MIN_ATOM_SIZE + sizeof(uint32_t));
	if (reader->status == QMD_OK && (*n == 0 || *n > left))
		return qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "%u residues, expected 1 to %zu", *n, left);
	QMDI_TRY(reader->status);
	const uint64_t expected = (uint64_t)n_frames * (2 * sizeof(double) * (uint64_t)*n + FIT_SIZE);
	if (*n > UINT32_MAX / 32 || scores.size != expected)
		return qmdi_reader_fail(&scores, QMD_ERROR_FORMAT, "%zu bytes, expected %llu for %u frames and %u residues",
								scores.size, (unsigned long long)expected, n_frames, *n);
	return QMD_OK;
}

static qmd_status get_residues(qmdi_reader *reader, qmd_explanation *e) {
	for (size_t r = 0; r < e->n_residues; r++) {
		QMDI_TRY(qmdi_atom_get(reader, r, SIZE_MAX, &e->residues[r].residue));
		e->residues[r].n_atoms = qmdi_get_u32(reader);
	}
	return qmdi_reader_finish(reader);
}

static qmd_status get_scores(const qmdi_container *container, qmd_explanation *e) {
	qmdi_reader reader;
	QMDI_TRY(qmdi_container_section(container, SCORES, &reader));
	for (size_t i = 0; i < e->n_frames * e->n_residues; i++)
		e->frame_scores[i] = qmdi_get_f64(&reader);
	for (size_t i = 0; i < e->n_frames * e->n_residues; i++)
		e->frame_errors[i] = qmdi_get_f64(&reader);
	for (size_t f = 0; f < e->n_frames; f++) {
		e->fits[f].n_samples = qmdi_get_u32(&reader);
		e->fits[f].is_settled = qmdi_get_i32(&reader);
		e->fits[f].r2 = qmdi_get_f64(&reader);
	}
	return qmdi_reader_finish(&reader);
}

static qmd_status get_note(const qmdi_container *container, qmd_explanation *e) {
	qmdi_reader reader;
	QMDI_TRY(qmdi_container_section(container, NOTE, &reader));
	const size_t size = reader.size < MOST_NOTE ? reader.size + 1 : MOST_NOTE;
	e->note = qmdi_zeroed(size, 1);
	if (!e->note)
		return QMD_ERROR_MEMORY;
	qmdi_get_string(&reader, e->note, size);
	return qmdi_reader_finish(&reader);
}

static qmd_status get(const qmdi_container *container, const char *path, qmd_explanation **explanation) {
	shard_header header = {.n_frames = 0};
	qmdi_reader residues;
	uint32_t n_residues;
	QMDI_TRY(get_header(container, &header));
	QMDI_TRY(get_n_residues(container, &residues, header.n_frames, &n_residues));
	QMDI_TRY(qmdi_explanation_create(n_residues, header.n_frames, explanation));
	qmd_explanation *e = *explanation;
	e->shard = header.shard;
	e->work = header.work;
	e->path = qmdi_string(path);
	if (!e->path)
		return QMD_ERROR_MEMORY;
	QMDI_TRY(get_residues(&residues, e));
	QMDI_TRY(get_scores(container, e));
	QMDI_TRY(get_note(container, e));
	return qmdi_explanation_finish(e);
}

qmd_status qmd_explanation_load(const char *path, qmd_explanation **explanation) {
	QMDI_REQUIRE(path);
	QMDI_REQUIRE(explanation);
	*explanation = NULL;
	qmdi_container *container;
	QMDI_TRY(qmdi_container_load(path, MAGIC, MAJOR, &container));
	const qmd_status status = get(container, path, explanation);
	qmdi_container_free(container);
	if (status != QMD_OK) {
		qmd_explanation_free(*explanation);
		*explanation = NULL;
	}
	return status;
}

const char *qmd_explanation_note(const qmd_explanation *explanation) {
	return explanation && explanation->note ? explanation->note : "";
}
