#include "container.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "hash.h"
#include "memory.h"

#define HEADER_SIZE 32
#define HEADER_CRC_OFFSET 28
#define ENTRY_SIZE 40
#define NAME_SIZE 16
#define HASH_SIZE 8
#define ALIGNMENT 64
#define MAX_SECTIONS 64

typedef struct entry {
	char name[NAME_SIZE];
	uint64_t offset, size;
	uint32_t crc;
	char *label; /* "PATH: section 'NAME'": the name of its readers */
} entry;

struct qmdi_container {
	char *path;
	unsigned char *data;
	uint64_t size;
	entry *entries;
	size_t n_entries;
};

/* ---- CRC32: IEEE 802.3, reflected, as zlib's ---- */

typedef struct crc32_table {
	uint32_t of[256];
} crc32_table;

static crc32_table make_crc32_table(void) {
	crc32_table table;
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0);
		table.of[i] = crc;
	}
	return table;
}

/* The CRC of what `crc` stands for (0 at the start), followed by these bytes. */
static uint32_t crc32_of(const crc32_table *table, uint32_t crc, const void *data, size_t size) {
	const unsigned char *bytes = data;
	crc = ~crc;
	for (size_t i = 0; i < size; i++)
		crc = (crc >> 8) ^ table->of[(crc ^ bytes[i]) & 0xff];
	return ~crc;
}

static uint32_t crc32_of_head(const crc32_table *table, const unsigned char *head, size_t size) {
	const uint32_t crc = crc32_of(table, 0, head, HEADER_CRC_OFFSET);
	return crc32_of(table, crc, head + HEADER_SIZE, size - HEADER_SIZE);
}

static uint64_t align(uint64_t offset) {
	return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* ---- Saving ---- */

static size_t head_size(size_t n_sections) {
	return HEADER_SIZE + n_sections * ENTRY_SIZE;
}

static void put_entry(qmdi_writer *head, const crc32_table *table, const qmdi_section *section, uint64_t offset) {
	char name[NAME_SIZE] = {0};
	snprintf(name, sizeof name, "%s", section->name);
	qmdi_put(head, name, sizeof name);
	qmdi_put_u64(head, offset);
	qmdi_put_u64(head, section->size);
	qmdi_put_u32(head, crc32_of(table, 0, section->data, section->size));
	qmdi_put_u32(head, 0);
}

/* The header and the section table. */
static qmd_status make_head(qmdi_writer *head, const char magic[8], uint32_t major, uint32_t minor,
							const qmdi_section *sections, size_t n_sections) {
	uint64_t end = head_size(n_sections);
	for (size_t i = 0; i < n_sections; i++)
		end = align(end) + sections[i].size;
	qmdi_put(head, magic, 8);
	qmdi_put_u32(head, major);
	qmdi_put_u32(head, minor);
	qmdi_put_u64(head, end + HASH_SIZE);
	qmdi_put_u32(head, (uint32_t)n_sections);
	qmdi_put_u32(head, 0); /* the CRC, once the table is there */
	const crc32_table table = make_crc32_table();
	uint64_t offset = head_size(n_sections);
	for (size_t i = 0; i < n_sections; i++) {
		offset = align(offset);
		put_entry(head, &table, &sections[i], offset);
		offset += sections[i].size;
	}
	if (head->status != QMD_OK)
		return head->status;
	const uint32_t crc = crc32_of_head(&table, head->data, head->size);
	for (int i = 0; i < 4; i++)
		head->data[HEADER_CRC_OFFSET + i] = (unsigned char)(crc >> (8 * i));
	return QMD_OK;
}

static qmd_status write_hash(qmdi_new_file *file) {
	unsigned char bytes[HASH_SIZE];
	for (int i = 0; i < HASH_SIZE; i++)
		bytes[i] = (unsigned char)(file->hash >> (8 * i));
	return qmdi_new_file_write(file, bytes, sizeof bytes);
}

static qmd_status write_all(qmdi_new_file *file, const qmdi_writer *head, const qmdi_section *sections,
							size_t n_sections) {
	static const unsigned char zeros[ALIGNMENT];
	QMDI_TRY(qmdi_new_file_write(file, head->data, head->size));
	for (size_t i = 0; i < n_sections; i++) {
		QMDI_TRY(qmdi_new_file_write(file, zeros, (size_t)(align(file->size) - file->size)));
		QMDI_TRY(qmdi_new_file_write(file, sections[i].data, sections[i].size));
	}
	return write_hash(file);
}

uint64_t qmdi_sections_hash(const qmdi_section *sections, size_t n_sections) {
	uint64_t hash = QMDI_HASH_START;
	for (size_t i = 0; i < n_sections; i++) {
		const uint64_t size = sections[i].size;
		hash = qmdi_hash(hash, &size, sizeof size);
		hash = qmdi_hash(hash, sections[i].data, sections[i].size);
	}
	return hash;
}

qmd_status qmdi_container_save(const char *path, const char magic[8], uint32_t major, uint32_t minor,
							   const qmdi_section *sections, size_t n_sections) {
	qmdi_writer head = {0};
	qmdi_new_file file;
	qmd_status status = make_head(&head, magic, major, minor, sections, n_sections);
	if (status == QMD_OK)
		status = qmdi_new_file_begin(path, &file);
	if (status == QMD_OK) {
		status = write_all(&file, &head, sections, n_sections);
		status = qmdi_new_file_finish(&file, status);
	}
	qmdi_writer_release(&head);
	return status;
}

/* ---- Loading ---- */

static qmdi_reader read_range(const qmdi_container *container, const char *name, uint64_t offset, uint64_t size) {
	return (qmdi_reader){.data = container->data + offset, .size = (size_t)size, .base = (size_t)offset, .name = name};
}

/* Everything of the header but its CRC, which needs the table. */
static qmd_status check_header(const qmdi_container *container, const unsigned char *bytes, const char magic[8],
							   uint32_t major, uint32_t *n_sections) {
	const char *path = container->path;
	qmdi_reader reader = {.data = bytes, .size = HEADER_SIZE, .name = path};
	if (memcmp(qmdi_get(&reader, 8), magic, 8) != 0)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset 0: magic is '%.8s', expected '%.8s'", path, (const char *)bytes,
						 magic);
	const uint32_t found_major = qmdi_get_u32(&reader), found_minor = qmdi_get_u32(&reader);
	if (found_major > major)
		return qmdi_fail(QMD_ERROR_VERSION,
						 "%s: offset 8: format version is %" PRIu32 ".%" PRIu32
						 ", libqmd %s reads versions up to %" PRIu32 ".x",
						 path, found_major, found_minor, qmd_version(), major);
	if (found_major == 0)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset 8: format version is 0", path);
	const uint64_t size = qmdi_get_u64(&reader);
	if (size != container->size)
		return qmdi_fail(QMD_ERROR_CORRUPT,
						 "%s: offset 16: header: the file should have %" PRIu64 " bytes, but has %" PRIu64, path, size,
						 container->size);
	*n_sections = qmdi_get_u32(&reader);
	if (*n_sections > MAX_SECTIONS || *n_sections > (container->size - HEADER_SIZE - HASH_SIZE) / ENTRY_SIZE)
		return qmdi_fail(QMD_ERROR_CORRUPT,
						 "%s: offset 24: header: %" PRIu32 " sections do not fit into %" PRIu64 " bytes", path,
						 *n_sections, container->size);
	return QMD_OK;
}

static qmd_status check_head_crc(const qmdi_container *container, const crc32_table *table, uint32_t n_sections) {
	qmdi_reader reader = read_range(container, container->path, HEADER_CRC_OFFSET, 4);
	const uint32_t expected = qmdi_get_u32(&reader);
	const uint32_t found = crc32_of_head(table, container->data, head_size(n_sections));
	if (found != expected)
		return qmdi_fail(QMD_ERROR_CORRUPT,
						 "%s: offset 28: header: CRC32 of header and section table is %08" PRIx32
						 ", expected %08" PRIx32,
						 container->path, found, expected);
	return QMD_OK;
}

static qmd_status check_entry_name(const qmdi_container *container, const entry *checked) {
	const size_t length = strnlen(checked->name, NAME_SIZE);
	static const char zeros[NAME_SIZE];
	if (length == 0 || length == NAME_SIZE || memcmp(checked->name + length, zeros, NAME_SIZE - length) != 0)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: section %td: its name is not 1 to %d bytes followed by zeros",
						 container->path, checked - container->entries, NAME_SIZE - 1);
	for (const entry *other = container->entries; other < checked; other++)
		if (strcmp(other->name, checked->name) == 0)
			return qmdi_fail(QMD_ERROR_FORMAT, "%s: there are two sections '%s'", container->path, checked->name);
	return QMD_OK;
}

static qmd_status make_label(const qmdi_container *container, entry *labelled) {
	const size_t size = strlen(container->path) + sizeof ": section ''" + NAME_SIZE;
	labelled->label = qmdi_array(size, 1);
	if (!labelled->label)
		return QMD_ERROR_MEMORY;
	snprintf(labelled->label, size, "%s: section '%s'", container->path, labelled->name);
	return QMD_OK;
}

/* One entry of the table. `end` is where the section before it ends; there is only one place for the next. */
static qmd_status read_entry(qmdi_container *container, qmdi_reader *table, uint64_t *end) {
	entry *added = &container->entries[container->n_entries];
	memcpy(added->name, qmdi_get(table, NAME_SIZE), NAME_SIZE);
	QMDI_TRY(check_entry_name(container, added));
	added->offset = qmdi_get_u64(table);
	added->size = qmdi_get_u64(table);
	added->crc = qmdi_get_u32(table);
	const uint32_t reserved = qmdi_get_u32(table);
	const uint64_t limit = container->size - HASH_SIZE;
	if (added->offset != align(*end) || added->offset > limit || added->size > limit - added->offset || reserved != 0)
		return qmdi_fail(QMD_ERROR_FORMAT,
						 "%s: section '%s' at offset %" PRIu64 ", %" PRIu64 " bytes, reserved %" PRIu32
						 ": expected at offset %" PRIu64 ", within %" PRIu64 " bytes, reserved 0",
						 container->path, added->name, added->offset, added->size, reserved, align(*end), limit);
	QMDI_TRY(make_label(container, added));
	container->n_entries++;
	*end = added->offset + added->size;
	return QMD_OK;
}

static qmd_status check_gap(const qmdi_container *container, uint64_t begin, uint64_t end, const char *next) {
	for (uint64_t offset = begin; offset < end; offset++)
		if (container->data[offset] != 0)
			return qmdi_fail(QMD_ERROR_CORRUPT, "%s: offset %" PRIu64 ": a byte before section '%s' is %u, expected 0",
							 container->path, offset, next, container->data[offset]);
	return QMD_OK;
}

static qmd_status check_section(const qmdi_container *container, const crc32_table *table, const entry *checked) {
	const uint32_t crc = crc32_of(table, 0, container->data + checked->offset, (size_t)checked->size);
	if (crc != checked->crc)
		return qmdi_fail(QMD_ERROR_CORRUPT,
						 "%s: offset %" PRIu64 ": CRC32 of %" PRIu64 " bytes is %08" PRIx32 ", expected %08" PRIx32,
						 checked->label, checked->offset, checked->size, crc, checked->crc);
	return QMD_OK;
}

static qmd_status check_hash(const qmdi_container *container, uint64_t end) {
	const uint64_t offset = container->size - HASH_SIZE;
	if (end != offset)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: the last section ends at offset %" PRIu64 ", expected %" PRIu64,
						 container->path, end, offset);
	qmdi_reader reader = read_range(container, container->path, offset, HASH_SIZE);
	const uint64_t expected = qmdi_get_u64(&reader);
	const uint64_t found = qmdi_hash(QMDI_HASH_START, container->data, (size_t)offset);
	if (found != expected)
		return qmdi_fail(QMD_ERROR_CORRUPT,
						 "%s: offset %" PRIu64 ": hash of the whole file is %016" PRIx64 ", expected %016" PRIx64,
						 container->path, offset, found, expected);
	return QMD_OK;
}

static qmd_status read_sections(qmdi_container *container, uint32_t n_sections) {
	const crc32_table table = make_crc32_table();
	QMDI_TRY(check_head_crc(container, &table, n_sections));
	container->entries = qmdi_zeroed(n_sections, sizeof *container->entries);
	if (!container->entries)
		return QMD_ERROR_MEMORY;
	uint64_t end = head_size(n_sections);
	qmdi_reader reader = read_range(container, container->path, HEADER_SIZE, end - HEADER_SIZE);
	for (uint32_t i = 0; i < n_sections; i++) {
		const uint64_t begin = end;
		QMDI_TRY(read_entry(container, &reader, &end));
		const entry *added = &container->entries[i];
		QMDI_TRY(check_gap(container, begin, added->offset, added->name));
		QMDI_TRY(check_section(container, &table, added));
	}
	return check_hash(container, end);
}

static qmd_status read_file(qmdi_container *container, int descriptor, const char magic[8], uint32_t major) {
	const char *path = container->path;
	unsigned char header[HEADER_SIZE];
	if (container->size < HEADER_SIZE + HASH_SIZE)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: header: the file has %" PRIu64 " bytes, expected at least %d", path,
						 container->size, HEADER_SIZE + HASH_SIZE);
	QMDI_TRY(qmdi_file_read(descriptor, path, 0, header, sizeof header));
	uint32_t n_sections = 0;
	QMDI_TRY(check_header(container, header, magic, major, &n_sections));
	container->data = qmdi_array(container->size, 1);
	if (!container->data)
		return QMD_ERROR_MEMORY;
	memcpy(container->data, header, sizeof header); /* what was checked is what is used */
	QMDI_TRY(qmdi_file_read(descriptor, path, HEADER_SIZE, container->data + HEADER_SIZE,
							(size_t)container->size - HEADER_SIZE));
	return read_sections(container, n_sections);
}

static qmd_status load_into(qmdi_container *container, const char *path, const char magic[8], uint32_t major) {
	container->path = qmdi_string(path);
	if (!container->path)
		return QMD_ERROR_MEMORY;
	int descriptor;
	QMDI_TRY(qmdi_file_open(path, &descriptor, &container->size));
	const qmd_status status = read_file(container, descriptor, magic, major);
	qmdi_file_close(descriptor);
	return status;
}

qmd_status qmdi_container_load(const char *path, const char magic[8], uint32_t major, qmdi_container **container) {
	*container = NULL;
	qmdi_container *loaded = qmdi_zeroed(1, sizeof *loaded);
	if (!loaded)
		return QMD_ERROR_MEMORY;
	const qmd_status status = load_into(loaded, path, magic, major);
	if (status != QMD_OK) {
		qmdi_container_free(loaded);
		return status;
	}
	*container = loaded;
	return QMD_OK;
}

void qmdi_container_free(qmdi_container *container) {
	if (!container)
		return;
	for (size_t i = 0; i < container->n_entries; i++)
		qmdi_release(container->entries[i].label);
	qmdi_release(container->entries);
	qmdi_release(container->data);
	qmdi_release(container->path);
	qmdi_release(container);
}

static const entry *find_entry(const qmdi_container *container, const char *name) {
	for (size_t i = 0; i < container->n_entries; i++)
		if (strcmp(container->entries[i].name, name) == 0)
			return &container->entries[i];
	return NULL;
}

qmd_status qmdi_container_section(const qmdi_container *container, const char *name, qmdi_reader *reader) {
	const entry *found = find_entry(container, name);
	if (!found)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: it has no section '%s'", container->path, name);
	*reader = read_range(container, found->label, found->offset, found->size);
	return QMD_OK;
}

int qmdi_container_has(const qmdi_container *container, const char *name) {
	return find_entry(container, name) != NULL;
}

qmd_status qmdi_file_magic(const char *path, char magic[8]) {
	int descriptor;
	uint64_t size;
	memset(magic, 0, 8);
	QMDI_TRY(qmdi_file_open(path, &descriptor, &size));
	const qmd_status status = qmdi_file_read(descriptor, path, 0, magic, size < 8 ? (size_t)size : 8);
	qmdi_file_close(descriptor);
	return status;
}
