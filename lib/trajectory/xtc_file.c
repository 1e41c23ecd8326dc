/*
 * GROMACS XTC files (GROMACS reference manual, file formats: xtc; XDR, RFC 4506). All numbers are big-endian. A frame:
 *
 *     magic   i32   1995, or 2023 with a byte count of 64 bits
 *     atoms   i32
 *     step    i32
 *     time    f32   picosecond
 *     box     f32 [3][3], vectors as rows, nanometer
 *     atoms   i32   again
 *     up to 9 atoms:  f32 [atoms][3], nanometer
 *     more:           precision f32, low i32 [3], high i32 [3], small index i32, byte count i32 or i64, bytes padded to
 * 4
 *
 * The bytes are the coordinates times the precision, as integers between low and high: see unpack().
 */
#include "trajectory_file.h"

#include <endian.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "unit_cell.h"
#include "xtc_coordinates.h"

#define MAGIC 1995
#define LARGE_MAGIC 2023
#define MAX_PLAIN_ATOMS 9

/* Sizes of the parts of a frame. */
#define HEAD_SIZE 56
#define PACKED_HEAD_SIZE 92
#define LARGE_PACKED_HEAD_SIZE 96

#define ANGSTROM_PER_NM 10

typedef struct xtc_frame {
	size_t n_atoms;
	float time_ps;
	float box[9]; /* nm */
	qmdi_xtc_packing packing;
	size_t head_size;
	uint64_t size; /* of the whole frame */
} xtc_frame;

typedef struct xtc_file {
	int descriptor;
	uint64_t size;
	uint64_t *offsets; /* n_frames + 1: where each frame starts, and the end of the file */
	size_t capacity;
	unsigned char *frame; /* room for the largest */
} xtc_file;

static uint32_t get_u32(const unsigned char *bytes) {
	uint32_t bits;
	memcpy(&bits, bytes, sizeof bits);
	return be32toh(bits);
}

static float get_f32(const unsigned char *bytes) {
	const uint32_t bits = get_u32(bytes);
	float value;
	memcpy(&value, &bits, sizeof value);
	return value;
}

static int has_magic(const unsigned char start[QMDI_MAGIC_SIZE]) {
	const uint32_t magic = get_u32(start);
	return magic == MAGIC || magic == LARGE_MAGIC;
}

/* ---- The head of a frame ---- */

static qmd_status fail_truncated(const qmdi_trajectory_file *file, uint64_t offset, uint64_t expected, uint64_t found) {
	return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset %llu: truncated: expected %llu more bytes of frame %zu, found %llu",
					 file->path, (unsigned long long)offset, (unsigned long long)expected, file->n_frames,
					 (unsigned long long)found);
}

static qmd_status fail_at(const qmdi_trajectory_file *file, uint64_t offset, const char *what, long long found) {
	return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset %llu: %s, found %lld", file->path, (unsigned long long)offset, what,
					 found);
}

/* What is said of packed coordinates, checked as far as it can be before they are unpacked. `left` bytes follow. */
static qmd_status parse_packing(const qmdi_trajectory_file *file, uint64_t offset, const unsigned char *head,
								uint64_t left, xtc_frame *frame) {
	qmdi_xtc_packing *packing = &frame->packing;
	packing->precision = get_f32(head + 56);
	for (size_t axis = 0; axis < 3; axis++) {
		packing->low[axis] = (int32_t)get_u32(head + 60 + 4 * axis);
		packing->high[axis] = (int32_t)get_u32(head + 72 + 4 * axis);
		const int64_t range = (int64_t)packing->high[axis] - packing->low[axis];
		if (range < 0 || range >= UINT32_MAX)
			return fail_at(file, offset + 72 + 4 * axis, "expected a highest coordinate above the lowest",
						   packing->high[axis]);
	}
	packing->small = get_u32(head + 84);
	packing->n_bytes = get_u32(head + 88);
	if (frame->head_size == LARGE_PACKED_HEAD_SIZE)
		packing->n_bytes = packing->n_bytes << 32 | get_u32(head + 92);
	if (!(packing->precision > 0) || !isfinite(packing->precision))
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset %llu: expected a precision above 0, found %g", file->path,
						 (unsigned long long)offset + 56, (double)packing->precision);
	if (packing->small < QMDI_XTC_FIRST_SMALL || packing->small > QMDI_XTC_LAST_SMALL)
		return fail_at(file, offset + 84, "expected an index of small differences from 9 to 72", packing->small);
	if (packing->n_bytes > left)
		return fail_truncated(file, offset, packing->n_bytes, left);
	if (frame->n_atoms / QMDI_XTC_MAX_ATOMS_PER_BYTE > packing->n_bytes)
		return fail_at(file, offset + 4, "expected no more atoms than the packed bytes can hold",
					   (long long)frame->n_atoms);
	return QMD_OK;
}

/* Read and check the head of the frame at an offset. */
static qmd_status read_head(const qmdi_trajectory_file *file, uint64_t offset, xtc_frame *frame) {
	const xtc_file *xtc = file->content;
	unsigned char head[LARGE_PACKED_HEAD_SIZE] = {0};
	const uint64_t left = xtc->size - offset;
	const size_t n = left < sizeof head ? (size_t)left : sizeof head;
	QMDI_TRY(qmdi_file_read(xtc->descriptor, file->path, offset, head, n));
	const uint32_t magic = get_u32(head), n_atoms = get_u32(head + 4);
	if (n < HEAD_SIZE)
		return fail_truncated(file, offset, HEAD_SIZE, left);
	if (!has_magic(head))
		return fail_at(file, offset, "expected the magic number 1995 or 2023", magic);
	if (n_atoms == 0 || n_atoms > INT32_MAX || n_atoms != get_u32(head + 52))
		return fail_at(file, offset + 52, "expected the number of atoms, the same twice", (int32_t)get_u32(head + 52));
	frame->n_atoms = n_atoms;
	frame->time_ps = get_f32(head + 12);
	for (size_t i = 0; i < 9; i++)
		frame->box[i] = get_f32(head + 16 + 4 * i);
	if (n_atoms <= MAX_PLAIN_ATOMS) {
		frame->head_size = HEAD_SIZE;
		frame->size = HEAD_SIZE + 12 * (uint64_t)n_atoms;
	} else {
		frame->head_size = magic == LARGE_MAGIC ? LARGE_PACKED_HEAD_SIZE : PACKED_HEAD_SIZE;
		if (n < frame->head_size)
			return fail_truncated(file, offset, frame->head_size, left);
		QMDI_TRY(parse_packing(file, offset, head, left - frame->head_size, frame));
		frame->size = frame->head_size + (frame->packing.n_bytes + 3) / 4 * 4;
	}
	return frame->size > left ? fail_truncated(file, offset, frame->size, left) : QMD_OK;
}

/* ---- Opening ---- */

static qmd_status add_offset(const qmdi_trajectory_file *file, uint64_t offset) {
	xtc_file *xtc = file->content;
	if (file->n_frames + 1 >= xtc->capacity) {
		const size_t capacity = xtc->capacity ? 2 * xtc->capacity : 64;
		uint64_t *grown = qmdi_resize(xtc->offsets, capacity, sizeof *grown);
		if (!grown)
			return QMD_ERROR_MEMORY;
		xtc->offsets = grown;
		xtc->capacity = capacity;
	}
	xtc->offsets[file->n_frames] = offset;
	return QMD_OK;
}

/* Frames have no common size: where they start shows as their heads are read one after the other. */
static qmd_status find_frames(qmdi_trajectory_file *file) {
	xtc_file *xtc = file->content;
	uint64_t offset = 0, largest = 0;
	while (offset < xtc->size) {
		xtc_frame frame = {0};
		QMDI_TRY(read_head(file, offset, &frame));
		if (file->n_frames == 0)
			file->n_atoms = frame.n_atoms;
		if (frame.n_atoms != file->n_atoms)
			return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset %llu: frame %zu: expected %zu atoms, found %zu", file->path,
							 (unsigned long long)offset + 4, file->n_frames, file->n_atoms, frame.n_atoms);
		QMDI_TRY(add_offset(file, offset));
		file->n_frames++;
		largest = frame.size > largest ? frame.size : largest;
		offset += frame.size;
	}
	QMDI_TRY(add_offset(file, offset));
	xtc->frame = qmdi_array((size_t)largest, 1);
	return xtc->frame ? QMD_OK : QMD_ERROR_MEMORY;
}

static qmd_status open_xtc(qmdi_trajectory_file *file) {
	xtc_file *xtc = qmdi_zeroed(1, sizeof *xtc);
	if (!xtc)
		return QMD_ERROR_MEMORY;
	file->content = xtc;
	xtc->descriptor = -1;
	QMDI_TRY(qmdi_file_open(file->path, &xtc->descriptor, &xtc->size));
	return find_frames(file);
}

static void close_xtc(qmdi_trajectory_file *file) {
	xtc_file *xtc = file->content;
	if (!xtc)
		return;
	if (xtc->descriptor >= 0)
		qmdi_file_close(xtc->descriptor);
	qmdi_release(xtc->offsets);
	qmdi_release(xtc->frame);
	qmdi_release(xtc);
}

/* ---- Reading ---- */

/* The file may have changed since its frames were found. */
static qmd_status reread_head(const qmdi_trajectory_file *file, size_t frame, xtc_frame *head) {
	const xtc_file *xtc = file->content;
	const uint64_t offset = xtc->offsets[frame];
	QMDI_TRY(read_head(file, offset, head));
	if (head->n_atoms != file->n_atoms || head->size != xtc->offsets[frame + 1] - offset)
		return qmdi_fail(QMD_ERROR_IO, "%s: frame %zu: the file changed while it was open", file->path, frame);
	return QMD_OK;
}

static qmd_status read_xtc(const qmdi_trajectory_file *file, size_t frame, float *xyz) {
	const xtc_file *xtc = file->content;
	const uint64_t offset = xtc->offsets[frame];
	xtc_frame head = {0};
	QMDI_TRY(reread_head(file, frame, &head));
	QMDI_TRY(qmdi_file_read(xtc->descriptor, file->path, offset, xtc->frame, (size_t)head.size));
	const unsigned char *data = xtc->frame + head.head_size;
	if (file->n_atoms > MAX_PLAIN_ATOMS) {
		if (!qmdi_xtc_unpack(&head.packing, data, file->n_atoms, xyz))
			return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset %llu: frame %zu: the packed coordinates are damaged",
							 file->path, (unsigned long long)offset, frame);
	} else {
		for (size_t i = 0; i < 3 * file->n_atoms; i++)
			xyz[i] = get_f32(data + 4 * i);
	}
	for (size_t i = 0; i < 3 * file->n_atoms; i++)
		xyz[i] *= ANGSTROM_PER_NM;
	return QMD_OK;
}

static qmd_status time_of_xtc(const qmdi_trajectory_file *file, size_t frame, double *time_ps) {
	xtc_frame head = {0};
	QMDI_TRY(reread_head(file, frame, &head));
	*time_ps = (double)head.time_ps;
	return QMD_OK;
}

static qmd_status box_of_xtc(const qmdi_trajectory_file *file, size_t frame, double box[9], int *has_box) {
	xtc_frame head = {0};
	double vectors[9];
	QMDI_TRY(reread_head(file, frame, &head));
	for (size_t i = 0; i < 9; i++)
		vectors[i] = (double)head.box[i] * ANGSTROM_PER_NM;
	QMDI_TRY(qmdi_unit_cell_check(file->path, frame, vectors, 9));
	if (!(vectors[0] > 0 && vectors[4] > 0 && vectors[8] > 0))
		return QMD_OK;
	if (vectors[1] != 0 || vectors[2] != 0 || vectors[5] != 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "%s: frame %zu: expected box vectors a along x and b in the xy plane",
						 file->path, frame);
	memcpy(box, vectors, sizeof vectors);
	*has_box = 1;
	return QMD_OK;
}

const qmdi_trajectory_format qmdi_xtc_format = {has_magic, open_xtc, close_xtc, read_xtc, time_of_xtc, box_of_xtc};
