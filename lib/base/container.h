/*
 * The file format of models, engines and checkpoints: named sections of bytes (docs/files.md).
 *
 *     magic[8] | u32 major | u32 minor | u64 file size | u32 n_sections | u32 crc of the header and the section table
 *     n_sections x { name[16] | u64 offset | u64 size | u32 crc | u32 0 }
 *     sections, each at a multiple of 64, zeros between
 *     u64 FNV-1a hash of all bytes before it
 */
#ifndef QMD_LIB_CONTAINER_H
#define QMD_LIB_CONTAINER_H

#include "bytes.h"

typedef struct qmdi_section {
	const char *name; /* at most 15 bytes */
	const void *data;
	size_t size;
} qmdi_section;

/* A hash of the bytes of sections: equal for what would be equal files. */
uint64_t qmdi_sections_hash(const qmdi_section *sections, size_t n_sections);

/* Write a file: temporary name in the same folder, fsync, rename, fsync of the folder. An old file stays whole on
 * failure. */
qmd_status qmdi_container_save(const char *path, const char magic[8], uint32_t major, uint32_t minor,
							   const qmdi_section *sections, size_t n_sections);

typedef struct qmdi_container qmdi_container;

/*
 * Read a whole file and check everything: magic, version (QMD_ERROR_VERSION for a newer major), lengths against the
 * file's size before anything is allocated, checksums (QMD_ERROR_CORRUPT, naming section and offset).
 */
qmd_status qmdi_container_load(const char *path, const char magic[8], uint32_t major, qmdi_container **container);
void qmdi_container_free(qmdi_container *container);

/* A reader of one section; QMD_ERROR_FORMAT if the file has none of that name. Borrowed until the container is freed.
 */
qmd_status qmdi_container_section(const qmdi_container *container, const char *name, qmdi_reader *reader);
int qmdi_container_has(const qmdi_container *container, const char *name);

/* The first 8 bytes of a file, zeros where it is shorter: what kind of file it is. */
qmd_status qmdi_file_magic(const char *path, char magic[8]);

#endif
