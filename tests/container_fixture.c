#include "container_fixture.h"

#include <stdio.h>

#include "support.h"

uint64_t qmdt_load(const unsigned char *data, size_t n_bytes) {
	uint64_t value = 0;
	for (size_t i = n_bytes; i > 0; i--)
		value = value << 8 | data[i - 1];
	return value;
}

void qmdt_store(unsigned char *data, size_t n_bytes, uint64_t value) {
	for (size_t i = 0; i < n_bytes; i++, value >>= 8)
		data[i] = (unsigned char)value;
}

/* By its definition, bit by bit: division by the reflected polynomial. */
static uint32_t divide(uint32_t remainder, const unsigned char *data, size_t size) {
	for (size_t i = 0; i < 8 * size; i++) {
		const uint32_t bit = (uint32_t)(data[i / 8] >> (i % 8) & 1);
		remainder = (remainder ^ bit) & 1 ? remainder >> 1 ^ 0xedb88320u : remainder >> 1;
	}
	return remainder;
}

uint32_t qmdt_crc32(const unsigned char *data, size_t size) {
	return ~divide(~0u, data, size);
}

uint64_t qmdt_fnv1a(const unsigned char *data, size_t size) {
	uint64_t hash = UINT64_C(14695981039346656037);
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ data[i]) * UINT64_C(1099511628211);
	return hash;
}

void qmdt_reseal_container(unsigned char *data, size_t size) {
	size_t n_sections = (size_t)qmdt_load(data + 24, 4);
	if (n_sections > (size - 40) / 40)
		n_sections = (size - 40) / 40;
	for (size_t i = 0; i < n_sections; i++) {
		unsigned char *entry = data + 32 + 40 * i;
		const uint64_t offset = qmdt_load(entry + 16, 8), length = qmdt_load(entry + 24, 8);
		if (offset <= size && length <= size - offset)
			qmdt_store(entry + 32, 4, qmdt_crc32(data + offset, (size_t)length));
	}
	qmdt_store(data + 28, 4, ~divide(divide(~0u, data, 28), data + 32, 40 * n_sections));
	qmdt_store(data + size - 8, 8, qmdt_fnv1a(data, size - 8));
}

size_t qmdt_find_section(const unsigned char *data, const char *name, size_t *size) {
	const size_t n_sections = (size_t)qmdt_load(data + 24, 4);
	for (size_t i = 0; i < n_sections; i++) {
		const unsigned char *entry = data + 32 + 40 * i;
		if (strncmp((const char *)entry, name, 16) != 0)
			continue;
		*size = (size_t)qmdt_load(entry + 24, 8);
		return (size_t)qmdt_load(entry + 16, 8);
	}
	ck_abort_msg("no section '%s'", name);
	return 0;
}

static void refuses(const char *path, const char *what, size_t where, qmdt_load_fn load) {
	const qmd_status status = load(path);
	ck_assert_msg(status == QMD_ERROR_FORMAT || status == QMD_ERROR_CORRUPT || status == QMD_ERROR_VERSION,
				  "%s %zu: %s: %s", what, where, qmd_status_name(status), qmd_last_error());
	const char *text = qmd_last_error();
	ck_assert_msg(strstr(text, path) && (strstr(text, "offset ") || strstr(text, "section ") || strstr(text, "header")),
				  "%s %zu: '%s' names no place", what, where, text);
}

void qmdt_refuses_damage(const char *path, const char *damaged_path, qmdt_load_fn load) {
	size_t size;
	unsigned char *data = qmdt_read_file(path, &size);
	qmdt_ok(load(path));
	for (size_t length = 0; length < size; length++) {
		qmdt_write_file(damaged_path, data, length);
		refuses(damaged_path, "truncated to", length, load);
	}
	for (size_t bit = 0; bit < 8 * size; bit++) {
		data[bit / 8] ^= (unsigned char)(1u << (bit % 8));
		qmdt_write_file(damaged_path, data, size);
		refuses(damaged_path, "flipped bit", bit, load);
		data[bit / 8] ^= (unsigned char)(1u << (bit % 8));
	}
	free(data);
}
