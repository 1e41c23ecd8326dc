#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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
#define ALIGNMENT ((size_t)64)
#define HUGE_PAGE ((size_t)1 << 21)

#if defined(MADV_HUGEPAGE) && !defined(MADV_COLLAPSE)
#define MADV_COLLAPSE 25 /* Linux 6.1; older ones refuse it */
#endif

/* Ask for huge pages, of which a stream of weights crosses fewer: where pages come with the first write, and in the
 * place of those that the allocator has used before. Where there are none, all stays as it is. */
static void advise_huge(void *block, size_t size) {
#ifdef MADV_HUGEPAGE
	const int saved = errno;
	(void)madvise(block, size, MADV_HUGEPAGE);
	(void)madvise(block, size, MADV_COLLAPSE);
	errno = saved;
#else
	(void)block;
	(void)size;
#endif
}

void *qmdi_aligned(size_t n, size_t size) {
	if (product_overflows(n, size) || n * size > PTRDIFF_MAX - 3 * HUGE_PAGE) {
		qmdi_fail(QMD_ERROR_MEMORY, "out of memory: %zu elements of %zu bytes were asked for", n, size);
		return NULL;
	}
	const int is_huge = n * size >= HUGE_PAGE; /* smaller blocks would waste more than they use */
	const size_t alignment = is_huge ? HUGE_PAGE : ALIGNMENT;
	const size_t whole = is_huge ? (n * size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE : n * size;
	char *raw = qmdi_allocate(whole + alignment + sizeof(void *));
	if (!raw)
		return NULL;
	uintptr_t start = (uintptr_t)raw + sizeof(void *);
	char *aligned = raw + sizeof(void *) + (alignment - start % alignment) % alignment;
	memcpy(aligned - sizeof(void *), &raw, sizeof raw);
	if (is_huge)
		advise_huge(aligned, whole);
	return aligned;
}

void qmdi_release_aligned(void *pointer) {
	if (!pointer)
		return;
	void *raw;
	memcpy(&raw, (char *)pointer - sizeof(void *), sizeof raw);
	qmdi_release(raw);
}
