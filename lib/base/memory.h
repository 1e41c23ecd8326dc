/* Memory through the host's allocator. Every size that comes from a file or a caller goes through qmdi_array(). */
#ifndef QMD_LIB_MEMORY_H
#define QMD_LIB_MEMORY_H

#include "error.h"

/* All return NULL and set the last error when there is no memory; the caller returns QMD_ERROR_MEMORY. */
void *qmdi_allocate(size_t size);
void *qmdi_zeroed(size_t n, size_t size);                /* n elements, all bytes 0; checks n * size */
void *qmdi_array(size_t n, size_t size);                 /* n elements; checks n * size */
void *qmdi_resize(void *pointer, size_t n, size_t size); /* as realloc(); checks n * size; on failure `pointer` stays */
char *qmdi_string(const char *text);                     /* a copy; NULL for NULL */
void *qmdi_copy(const void *source, size_t n, size_t size); /* a copy of n elements */
void qmdi_release(void *pointer);

/* Aligned to 64 bytes, from 2 MB on to huge pages of as much, which the system is asked for; free with
 * qmdi_release_aligned(). */
void *qmdi_aligned(size_t n, size_t size);
void qmdi_release_aligned(void *pointer);

#endif
