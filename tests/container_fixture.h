/* Damaged and crafted container files (docs/files.md), written without the library's own code. */
#ifndef QMD_TESTS_CONTAINER_FIXTURE_H
#define QMD_TESTS_CONTAINER_FIXTURE_H

#include <qmd.h>

/* Loads a file and frees what it loaded. */
typedef qmd_status (*qmdt_load_fn)(const char *path);

/*
 * Every truncation and every flipped bit of the file must be refused with QMD_ERROR_FORMAT, CORRUPT or VERSION and a
 * text that names the file and an offset or section. `damaged_path` is written and overwritten.
 */
void qmdt_refuses_damage(const char *path, const char *damaged_path, qmdt_load_fn load);

/* Make all checksums right again after bytes were changed. */
void qmdt_reseal_container(unsigned char *data, size_t size);

/* Offset and size of a section; fails the test if there is none. */
size_t qmdt_find_section(const unsigned char *data, const char *name, size_t *size);

uint32_t qmdt_crc32(const unsigned char *data, size_t size);
uint64_t qmdt_fnv1a(const unsigned char *data, size_t size);

/* Little-endian numbers in a file's bytes. */
uint64_t qmdt_load(const unsigned char *data, size_t n_bytes);
void qmdt_store(unsigned char *data, size_t n_bytes, uint64_t value);

#endif
