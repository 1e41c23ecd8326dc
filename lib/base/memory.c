#include "memory.h"

#include <stdlib.h>
#include <string.h>

static void *default_allocate(void *user, size_t size) {
	(void)user;
	return malloc(size);
}

static void *default_reallocate(void *user, void *pointer, size_t size) {
	(void)user;
	return realloc(pointer, size);
}

static void default_release(void *user, void *pointer) {
	(void)user;
	free(pointer);
}

static const qmd_allocator default_allocator = {default_allocate, default_reallocate, default_release, NULL};
static qmd_allocator current = {default_allocate, default_reallocate, default_release, NULL};

qmd_status qmd_set_allocator(const qmd_allocator *allocator) {
	if (!allocator) {
		current = default_allocator;
		return QMD_OK;
	}
	if (!allocator->allocate || !allocator->reallocate || !allocator->release)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "qmd_set_allocator: all three functions must be set");
	current = *allocator;
	return QMD_OK;
}

static int product_overflows(size_t n, size_t size) {
	return size != 0 && n > PTRDIFF_MAX / size;
}

/* malloc(0) may return NULL, which would read as a failure. */
static size_t at_least_1(size_t size) {
	return size > 0 ? size : 1;
}

static void *or_fail(void *pointer, size_t size) {
	if (!pointer)
		qmdi_fail(QMD_ERROR_MEMORY, "out of memory: %zu bytes were asked for", size);
	return pointer;
}

void *qmdi_allocate(size_t size) {
	return or_fail(current.allocate(current.user, at_least_1(size)), size);
}

void *qmdi_array(size_t n, size_t size) {
	if (product_overflows(n, size)) {
		qmdi_fail(QMD_ERROR_MEMORY, "out of memory: %zu elements of %zu bytes were asked for", n, size);
		return NULL;
	}
	return qmdi_allocate(n * size);
}

void *qmdi_zeroed(size_t n, size_t size) {
	void *pointer = qmdi_array(n, size);
	if (pointer)
		memset(pointer, 0, n * size);
	return pointer;
}

void *qmdi_resize(void *pointer, size_t n, size_t size) {
	if (product_overflows(n, size)) {
		qmdi_fail(QMD_ERROR_MEMORY, "out of memory: %zu elements of %zu bytes were asked for", n, size);
		return NULL;
	}
	return or_fail(current.reallocate(current.user, pointer, at_least_1(n * size)), n * size);
}

void *qmdi_copy(const void *source, size_t n, size_t size) {
	void *pointer = qmdi_array(n, size);
	if (pointer && n > 0 && size > 0)
		memcpy(pointer, source, n * size);
	return pointer;
}

char *qmdi_string(const char *text) {
	return text ? qmdi_copy(text, strlen(text) + 1, 1) : NULL;
}

void qmdi_release(void *pointer) {
	if (pointer)
		current.release(current.user, pointer);
}

/* The host's allocator promises 16 bytes only: room for the alignment and for the pointer to give back. */
#define ALIGNMENT 64

void *qmdi_aligned(size_t n, size_t size) {
	if (product_overflows(n, size) || n * size > PTRDIFF_MAX - 2 * ALIGNMENT) {
		qmdi_fail(QMD_ERROR_MEMORY, "out of memory: %zu elements of %zu bytes were asked for", n, size);
		return NULL;
	}
	char *raw = qmdi_allocate(n * size + ALIGNMENT + sizeof(void *));
	if (!raw)
		return NULL;
	uintptr_t start = (uintptr_t)raw + sizeof(void *);
	char *aligned = raw + sizeof(void *) + (ALIGNMENT - start % ALIGNMENT) % ALIGNMENT;
	memcpy(aligned - sizeof(void *), &raw, sizeof raw);
	return aligned;
}

void qmdi_release_aligned(void *pointer) {
	if (!pointer)
		return;
	void *raw;
	memcpy(&raw, (char *)pointer - sizeof(void *), sizeof raw);
	qmdi_release(raw);
}
