#include "dcd_fixture.h"

#include "netcdf_fixture.h"
#include "support.h"

typedef struct dcd_bytes {
	const qmdt_dcd *content;
	unsigned char bytes[8192];
	size_t size;
} dcd_bytes;

static void put(dcd_bytes *file, const void *value, size_t size) {
	const unsigned char *bytes = value; /* little-endian here */
	ck_assert_uint_le(file->size + size, sizeof file->bytes);
	for (size_t i = 0; i < size; i++)
		file->bytes[file->size++] = bytes[file->content->is_big_endian ? size - 1 - i : i];
}

static void put_i32(dcd_bytes *file, int32_t value) {
	put(file, &value, sizeof value);
}

static void put_marker(dcd_bytes *file, uint64_t size) {
	const int32_t narrow = (int32_t)size;
	if (file->content->has_wide_markers)
		put(file, &size, sizeof size);
	else
		put(file, &narrow, sizeof narrow);
}

static void put_header(dcd_bytes *file) {
	const qmdt_dcd *content = file->content;
	const char *kind = content->kind ? content->kind : "CORD";
	const float time_step = (float)content->time_step;
	const size_t n_fixed = content->free_atoms ? content->n_atoms - content->n_free : 0;
	put_marker(file, 84);
	for (size_t i = 0; i < 4; i++)
		put(file, &kind[i], 1);
	const int32_t before[9] = {content->n_frames_said, content->first_step, content->step_interval, 0, 0, 0, 0, 0,
							   (int32_t)n_fixed};
	for (size_t i = 0; i < 9; i++)
		put_i32(file, before[i]);
	if (content->is_xplor) {
		put(file, &content->time_step, sizeof content->time_step);
	} else {
		put(file, &time_step, sizeof time_step);
		put_i32(file, content->cell != NULL);
	}
	put_i32(file, content->has_four_dimensions);
	for (size_t i = 12; i < 19; i++)
		put_i32(file, 0);
	put_i32(file, content->is_xplor ? 0 : 24);
	put_marker(file, 84);
}

static void put_titles(dcd_bytes *file) {
	const char blank = ' ';
	put_marker(file, 84);
	put_i32(file, 1);
	for (size_t i = 0; i < 80; i++)
		put(file, &blank, 1);
	put_marker(file, 84);
}

static void put_frame(dcd_bytes *file, size_t frame) {
	const qmdt_dcd *content = file->content;
	const int is_part = content->free_atoms && frame > 0;
	const size_t n = is_part ? content->n_free : content->n_atoms;
	if (content->cell) {
		put_marker(file, 48);
		for (size_t i = 0; i < 6; i++)
			put(file, &content->cell[i], sizeof content->cell[i]);
		put_marker(file, 48);
	}
	for (size_t axis = 0; axis < 3; axis++) {
		put_marker(file, 4 * n);
		for (size_t i = 0; i < n; i++) {
			const float x = (float)qmdt_coordinate(frame, is_part ? content->free_atoms[i] - 1 : i, axis);
			put(file, &x, sizeof x);
		}
		put_marker(file, 4 * n);
	}
}

const char *qmdt_write_dcd(const char *name, const qmdt_dcd *content) {
	const char *path = qmdt_scratch(name);
	dcd_bytes file = {.content = content};
	put_header(&file);
	put_titles(&file);
	put_marker(&file, 4);
	put_i32(&file, (int32_t)content->n_atoms);
	put_marker(&file, 4);
	if (content->free_atoms) {
		put_marker(&file, 4 * content->n_free);
		for (size_t i = 0; i < content->n_free; i++)
			put_i32(&file, (int32_t)content->free_atoms[i]);
		put_marker(&file, 4 * content->n_free);
	}
	for (size_t frame = 0; frame < content->n_frames; frame++)
		put_frame(&file, frame);
	qmdt_write_file(path, file.bytes, file.size);
	return path;
}
