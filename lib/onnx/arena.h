/* Memory that is freed all at once. */
#ifndef QMD_LIB_ARENA_H
#define QMD_LIB_ARENA_H

#include "base/error.h"

typedef struct qmdi_arena_block qmdi_arena_block;

/* Start from {.limit = bytes that may be taken in all}. */
typedef struct qmdi_arena {
	qmdi_arena_block *blocks;
	size_t taken, limit;
	size_t n_refused; /* how often nothing could be taken */
} qmdi_arena;

/* n elements, all bytes 0, aligned to 16; NULL and the last error beyond the limit or when there is no memory. */
void *qmdi_arena_take(qmdi_arena *arena, size_t n, size_t size);

/* Free everything; the arena may be used again. */
void qmdi_arena_release(qmdi_arena *arena);

#endif
