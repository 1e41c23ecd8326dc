/*
 * DCD files of CHARMM, NAMD, LAMMPS, OpenMM and X-PLOR: Fortran records, each between two markers that hold its size,
 * of 32 or 64 bits, in the byte order of the machine that wrote them (CHARMM documentation, dynamc and io; NAMD 2.14
 * user's guide, DCD). The records:
 *
 *     header   "CORD", i32 [20]: [0] frames (often 0 or wrong), [1] first step, [2] steps between frames, [8] fixed
 * atoms, [9] time step (f32; X-PLOR: f64 in [9] and [10]), [10] a cell in each frame, [11] four dimensions, [19]
 * version of CHARMM, 0 in files of X-PLOR titles   i32 n, n times 80 characters atoms    i32 free     i32 [atoms -
 * fixed], the atoms that move, from 1 on; only if some are fixed a frame: cell f64 [6] if the header says so; x f32
 * [n]; y; z. n is all atoms in the first frame, the free ones later
 *
 * The cell is A, gamma, B, beta, alpha, C: angles as cosines or in degrees. CHARMM's symmetric box matrix, which has
 * the same place, is told by angles that are none.
 */
#include "trajectory_file.h"

#include <byteswap.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "unit_cell.h"

#define HEADER_SIZE 84
#define N_CONTROL 20
#define CELL_SIZE 48
#define TITLE_SIZE 80

/* CHARMM's unit of time (its constant TIMFAC). */
#define PS_PER_AKMA 4.88882129e-2

typedef struct dcd_file {
	int descriptor;
	uint64_t size;
	int is_big_endian;
	size_t marker_size; /* 4 or 8 */
	int has_cell;
	int has_time;
	double first_ps, step_ps;
	uint64_t first_offset, first_size, next_size; /* of frames; the first may be larger */
	uint32_t *free_atoms;                         /* those that move; NULL: all do */
	size_t n_free;
	float *first_xyz;     /* where the others stay; NULL if all move */
	unsigned char *frame; /* room for the first */
} dcd_file;

/* ---- Numbers ---- */

static uint32_t get_u32(const dcd_file *dcd, const unsigned char *bytes) {
	uint32_t bits;
	memcpy(&bits, bytes, sizeof bits);
	return dcd->is_big_endian == (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) ? bits : bswap_32(bits);
}

static uint64_t get_u64(const dcd_file *dcd, const unsigned char *bytes) {
	uint64_t bits;
	memcpy(&bits, bytes, sizeof bits);
	return dcd->is_big_endian == (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) ? bits : bswap_64(bits);
}

static float get_f32(const dcd_file *dcd, const unsigned char *bytes) {
	const uint32_t bits = get_u32(dcd, bytes);
	float value;
	memcpy(&value, &bits, sizeof value);
	return value;
}

static double get_f64(const dcd_file *dcd, const unsigned char *bytes) {
	const uint64_t bits = get_u64(dcd, bytes);
	double value;
	memcpy(&value, &bits, sizeof value);
	return value;
}

/* Which of the four kinds of markers the header's has; 0 if this is no DCD file. */
static int find_markers(const unsigned char start[QMDI_MAGIC_SIZE], dcd_file *dcd) {
	for (int kind = 0; kind < 4; kind++) {
		dcd->is_big_endian = kind & 1;
		dcd->marker_size = kind < 2 ? 4 : 8;
		const uint64_t size = kind < 2 ? get_u32(dcd, start) : get_u64(dcd, start);
		const unsigned char *name = start + dcd->marker_size;
		if (size == HEADER_SIZE && (memcmp(name, "CORD", 4) == 0 || memcmp(name, "VELD", 4) == 0))
			return 1;
	}
	return 0;
}

static int has_magic(const unsigned char start[QMDI_MAGIC_SIZE]) {
	dcd_file ignored;
	return find_markers(start, &ignored);
}

/* ---- Records ---- */

static uint64_t record_size(const dcd_file *dcd, uint64_t size) {
	return size + 2 * dcd->marker_size;
}

static uint64_t get_marker(const dcd_file *dcd, const unsigned char *bytes) {
	return dcd->marker_size == 4 ? get_u32(dcd, bytes) : get_u64(dcd, bytes);
}

static qmd_status fail_marker(const qmdi_trajectory_file *file, uint64_t offset, const char *what, uint64_t expected,
							  uint64_t found) {
	return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset %llu: %s: expected a record of %llu bytes, its marker says %llu",
					 file->path, (unsigned long long)offset, what, (unsigned long long)expected,
					 (unsigned long long)found);
}

static qmd_status read_bytes(const qmdi_trajectory_file *file, uint64_t offset, void *bytes, size_t size,
							 const char *what) {
	const dcd_file *dcd = file->content;
	if (offset > dcd->size || size > dcd->size - offset)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset %llu: truncated: expected %zu more bytes of %s", file->path,
						 (unsigned long long)offset, size, what);
	return qmdi_file_read(dcd->descriptor, file->path, offset, bytes, size);
}

static qmd_status read_marker(const qmdi_trajectory_file *file, uint64_t offset, const char *what, uint64_t *size) {
	const dcd_file *dcd = file->content;
	unsigned char marker[8] = {0};
	QMDI_TRY(read_bytes(file, offset, marker, dcd->marker_size, what));
	*size = get_marker(dcd, marker);
	return QMD_OK;
}

/* Check both markers of a record, and move on behind it. Its size has been taken from the file's or the first marker.
 */
static qmd_status skip_record(const qmdi_trajectory_file *file, const char *what, uint64_t size, uint64_t *offset) {
	const dcd_file *dcd = file->content;
	uint64_t before = 0, after = 0;
	QMDI_TRY(read_marker(file, *offset, what, &before));
	if (before != size)
		return fail_marker(file, *offset, what, size, before);
	if (size > dcd->size)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset %llu: truncated: %s has %llu bytes, the file %llu", file->path,
						 (unsigned long long)*offset, what, (unsigned long long)size, (unsigned long long)dcd->size);
	const uint64_t end = *offset + dcd->marker_size + size;
	QMDI_TRY(read_marker(file, end, what, &after));
	if (after != size)
		return fail_marker(file, end, what, size, after);
	*offset = end + dcd->marker_size;
	return QMD_OK;
}

/* Read a record of a size that is known, and move on behind it. */
static qmd_status read_record(const qmdi_trajectory_file *file, const char *what, void *bytes, size_t size,
							  uint64_t *offset) {
	const dcd_file *dcd = file->content;
	const uint64_t begin = *offset + dcd->marker_size;
	QMDI_TRY(skip_record(file, what, size, offset));
	return read_bytes(file, begin, bytes, size, what);
}

/* ---- Opening ---- */

/* What the header says; its number of frames in `n_frames`, of fixed atoms in `n_fixed`. */
static qmd_status read_header(qmdi_trajectory_file *file, uint64_t *offset, int32_t *n_frames, int32_t *n_fixed) {
	dcd_file *dcd = file->content;
	unsigned char start[QMDI_MAGIC_SIZE] = {0}, header[HEADER_SIZE] = {0};
	QMDI_TRY(read_bytes(file, 0, start, sizeof start, "the header"));
	find_markers(start, dcd);
	QMDI_TRY(read_record(file, "the header", header, sizeof header, offset));
	if (memcmp(header, "CORD", 4) != 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: a DCD file of velocities, expected one of coordinates",
						 file->path);
	int32_t control[N_CONTROL];
	for (size_t i = 0; i < N_CONTROL; i++)
		control[i] = (int32_t)get_u32(dcd, header + 4 + 4 * i);
	const int is_charmm = control[19] != 0;
	const double step = is_charmm ? (double)get_f32(dcd, header + 40) : get_f64(dcd, header + 40);
	if (is_charmm && control[11])
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: a DCD file of four dimensions", file->path);
	*n_frames = control[0];
	*n_fixed = control[8];
	dcd->has_cell = is_charmm && control[10];
	dcd->has_time = isfinite(step) && step > 0 && control[2] > 0;
	dcd->first_ps = control[1] * step * PS_PER_AKMA;
	dcd->step_ps = control[2] * step * PS_PER_AKMA;
	return QMD_OK;
}

static qmd_status read_free_atoms(qmdi_trajectory_file *file, int32_t n_fixed, uint64_t *offset) {
	dcd_file *dcd = file->content;
	dcd->n_free = file->n_atoms;
	if (n_fixed == 0)
		return QMD_OK;
	if (n_fixed < 0 || (size_t)n_fixed >= file->n_atoms)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset %zu: expected fewer than %zu fixed atoms, found %d", file->path,
						 dcd->marker_size + 36, file->n_atoms, n_fixed);
	dcd->n_free -= (size_t)n_fixed;
	const uint64_t begin = *offset + dcd->marker_size;
	QMDI_TRY(skip_record(file, "the list of free atoms", 4 * (uint64_t)dcd->n_free, offset)); /* so it is in the file */
	dcd->free_atoms = qmdi_array(dcd->n_free, sizeof *dcd->free_atoms);
	if (!dcd->free_atoms)
		return QMD_ERROR_MEMORY;
	QMDI_TRY(read_bytes(file, begin, dcd->free_atoms, 4 * dcd->n_free, "the list of free atoms"));
	for (size_t i = 0; i < dcd->n_free; i++) {
		const uint32_t number = get_u32(dcd, (const unsigned char *)&dcd->free_atoms[i]);
		if (number < 1 || number > file->n_atoms)
			return qmdi_fail(QMD_ERROR_FORMAT,
							 "%s: offset %llu: expected the number of a free atom, 1 to %zu, found %u", file->path,
							 (unsigned long long)begin + 4 * i, file->n_atoms, number);
		dcd->free_atoms[i] = number - 1;
	}
	return QMD_OK;
}

/* The header's number of frames is 0 while a simulation runs, and wrong in files that were joined or cut. */
static qmd_status count_frames(qmdi_trajectory_file *file, uint64_t offset, int32_t n_said) {
	dcd_file *dcd = file->content;
	const uint64_t cell_size = dcd->has_cell ? record_size(dcd, CELL_SIZE) : 0, left = dcd->size - offset;
	dcd->first_offset = offset;
	dcd->first_size = cell_size + 3 * record_size(dcd, 4 * (uint64_t)file->n_atoms);
	dcd->next_size = cell_size + 3 * record_size(dcd, 4 * (uint64_t)dcd->n_free);
	if (left == 0)
		return QMD_OK;
	const uint64_t rest = left < dcd->first_size ? left : (left - dcd->first_size) % dcd->next_size;
	if (rest != 0)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: truncated: the last frame has %llu bytes, expected %llu", file->path,
						 (unsigned long long)rest,
						 (unsigned long long)(left < dcd->first_size ? dcd->first_size : dcd->next_size));
	file->n_frames = (size_t)((left - dcd->first_size) / dcd->next_size + 1);
	if (n_said != 0 && (uint64_t)n_said != file->n_frames)
		qmdi_log(QMD_LOG_WARNING, "%s: the header says %d frames, the file holds %zu", file->path, n_said,
				 file->n_frames);
	dcd->frame = qmdi_array((size_t)dcd->first_size, 1);
	return dcd->frame ? QMD_OK : QMD_ERROR_MEMORY;
}

/* MDAnalysis writes markers that say 164 bytes around three titles: then their number tells where the record ends. */
static qmd_status skip_titles(const qmdi_trajectory_file *file, uint64_t *offset) {
	const dcd_file *dcd = file->content;
	uint64_t size = 0, after = 0;
	unsigned char n_titles[4] = {0};
	QMDI_TRY(read_marker(file, *offset, "the titles", &size));
	QMDI_TRY(read_bytes(file, *offset + dcd->marker_size, n_titles, sizeof n_titles, "the titles"));
	const uint64_t counted_size = 4 + TITLE_SIZE * (uint64_t)get_u32(dcd, n_titles);
	if (counted_size > size && counted_size < dcd->size) {
		const uint64_t end = *offset + dcd->marker_size + counted_size;
		QMDI_TRY(read_marker(file, end, "the titles", &after));
		if (after == size) {
			*offset = end + dcd->marker_size;
			return QMD_OK;
		}
	}
	return skip_record(file, "the titles", size, offset);
}

static qmd_status read_dcd(const qmdi_trajectory_file *file, size_t frame, float *xyz);

static qmd_status read_head(qmdi_trajectory_file *file) {
	dcd_file *dcd = file->content;
	uint64_t offset = 0;
	int32_t n_frames = 0, n_fixed = 0;
	unsigned char n_atoms[4] = {0};
	QMDI_TRY(read_header(file, &offset, &n_frames, &n_fixed));
	QMDI_TRY(skip_titles(file, &offset));
	QMDI_TRY(read_record(file, "the number of atoms", n_atoms, sizeof n_atoms, &offset));
	file->n_atoms = get_u32(dcd, n_atoms);
	if (file->n_atoms == 0 || file->n_atoms > INT32_MAX)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset %llu: expected a number of atoms, found %d", file->path,
						 (unsigned long long)(offset - dcd->marker_size - 4), (int)(int32_t)file->n_atoms);
	QMDI_TRY(read_free_atoms(file, n_fixed, &offset));
	QMDI_TRY(count_frames(file, offset, n_frames));
	if (file->n_frames == 0)
		return QMD_OK;
	float *first = qmdi_array(file->n_atoms, 3 * sizeof *first); /* a frame of the file is larger */
	if (!first)
		return QMD_ERROR_MEMORY;
	const qmd_status status = read_dcd(file, 0, first); /* shows whether the file has the frames that it says */
	if (status == QMD_OK && dcd->free_atoms)
		dcd->first_xyz = first;
	else
		qmdi_release(first);
	return status;
}

static qmd_status open_dcd(qmdi_trajectory_file *file) {
	dcd_file *dcd = qmdi_zeroed(1, sizeof *dcd);
	if (!dcd)
		return QMD_ERROR_MEMORY;
	file->content = dcd;
	dcd->descriptor = -1;
	QMDI_TRY(qmdi_file_open(file->path, &dcd->descriptor, &dcd->size));
	return read_head(file);
}

static void close_dcd(qmdi_trajectory_file *file) {
	dcd_file *dcd = file->content;
	if (!dcd)
		return;
	if (dcd->descriptor >= 0)
		qmdi_file_close(dcd->descriptor);
	qmdi_release(dcd->free_atoms);
	qmdi_release(dcd->first_xyz);
	qmdi_release(dcd->frame);
	qmdi_release(dcd);
}

/* ---- Reading ---- */

static uint64_t offset_of(const dcd_file *dcd, size_t frame) {
	return dcd->first_offset + (frame ? dcd->first_size + (frame - 1) * dcd->next_size : 0);
}

/* The content of the record at `at` of the frame that was read; `at` moves on behind it. NULL: damaged, and said so. */
static const unsigned char *take_record(const qmdi_trajectory_file *file, size_t frame, const char *what, uint64_t size,
										uint64_t *at) {
	const dcd_file *dcd = file->content;
	const uint64_t offset = offset_of(dcd, frame) + *at;
	const unsigned char *record = dcd->frame + *at;
	const uint64_t before = get_marker(dcd, record), after = get_marker(dcd, record + dcd->marker_size + size);
	if (before != size || after != size) {
		fail_marker(file, before != size ? offset : offset + dcd->marker_size + size, what, size,
					before != size ? before : after);
		return NULL;
	}
	*at += record_size(dcd, size);
	return record + dcd->marker_size;
}

static qmd_status read_dcd(const qmdi_trajectory_file *file, size_t frame, float *xyz) {
	static const char *const names[] = {"x", "y", "z"};
	const dcd_file *dcd = file->content;
	uint64_t at = 0;
	QMDI_TRY(qmdi_file_read(dcd->descriptor, file->path, offset_of(dcd, frame), dcd->frame,
							(size_t)(frame ? dcd->next_size : dcd->first_size)));
	if (dcd->has_cell && !take_record(file, frame, "cell", CELL_SIZE, &at))
		return QMD_ERROR_FORMAT;
	const uint32_t *atoms = frame ? dcd->free_atoms : NULL;
	const size_t n = frame ? dcd->n_free : file->n_atoms;
	if (atoms)
		memcpy(xyz, dcd->first_xyz, 3 * file->n_atoms * sizeof *xyz);
	for (size_t axis = 0; axis < 3; axis++) {
		const unsigned char *content = take_record(file, frame, names[axis], 4 * (uint64_t)n, &at);
		if (!content)
			return QMD_ERROR_FORMAT;
		for (size_t i = 0; i < n; i++)
			xyz[3 * (atoms ? atoms[i] : i) + axis] = get_f32(dcd, content + 4 * i);
	}
	return QMD_OK;
}

static qmd_status time_of_dcd(const qmdi_trajectory_file *file, size_t frame, double *time_ps) {
	const dcd_file *dcd = file->content;
	if (!dcd->has_time)
		return qmdi_fail(QMD_ERROR_STATE, "%s: the file has no time step", file->path);
	*time_ps = dcd->first_ps + (double)frame * dcd->step_ps;
	return QMD_OK;
}

/* A, gamma, B, beta, alpha, C. */
static qmd_status parse_cell(const qmdi_trajectory_file *file, size_t frame, const double cell[6], double box[9],
							 int *has_box) {
	const double lengths[3] = {cell[0], cell[2], cell[5]}, angles[3] = {cell[4], cell[3], cell[1]};
	double cosines[3];
	QMDI_TRY(qmdi_unit_cell_check(file->path, frame, cell, 6));
	const int is_cosines = fabs(angles[0]) <= 1 && fabs(angles[1]) <= 1 && fabs(angles[2]) <= 1;
	for (size_t i = 0; i < 3; i++) {
		if (!is_cosines && (angles[i] < 0 || angles[i] > 180))
			return qmdi_fail(QMD_ERROR_UNSUPPORTED,
							 "%s: frame %zu: %g is no angle of a cell: perhaps this is a "
							 "symmetric box matrix of CHARMM, which is not supported",
							 file->path, frame, angles[i]);
		cosines[i] = is_cosines ? angles[i] : qmdi_cos_degrees(angles[i]);
	}
	*has_box = qmdi_unit_cell_box(lengths, cosines, box);
	return QMD_OK;
}

static qmd_status box_of_dcd(const qmdi_trajectory_file *file, size_t frame, double box[9], int *has_box) {
	const dcd_file *dcd = file->content;
	unsigned char bytes[CELL_SIZE] = {0};
	double cell[6];
	uint64_t offset = offset_of(dcd, frame);
	if (!dcd->has_cell)
		return QMD_OK;
	QMDI_TRY(read_record(file, "cell", bytes, sizeof bytes, &offset));
	for (size_t i = 0; i < 6; i++)
		cell[i] = get_f64(dcd, bytes + 8 * i);
	return parse_cell(file, frame, cell, box, has_box);
}

const qmdi_trajectory_format qmdi_dcd_format = {has_magic, open_dcd, close_dcd, read_dcd, time_of_dcd, box_of_dcd};
