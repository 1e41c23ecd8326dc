#include "arena.h"

#include "base/memory.h"

struct qmdi_arena_block {
	_Alignas(16) qmdi_arena_block *next;
	_Alignas(16) unsigned char data[];
};

void *qmdi_arena_take(qmdi_arena *arena, size_t n, size_t size) {
	const size_t left = arena->limit - arena->taken;
	if (left < sizeof(qmdi_arena_block) || (size > 0 && n > (left - sizeof(qmdi_arena_block)) / size)) {
		qmdi_fail(QMD_ERROR_MEMORY, "%zu elements of %zu bytes were asked for, beyond the limit of %zu bytes", n, size,
				  arena->limit);
		arena->n_refused++;
		return NULL;
	}
	const size_t block_size = sizeof(qmdi_arena_block) + n * size;
	qmdi_arena_block *block = qmdi_zeroed(block_size, 1);
	if (!block) {
		arena->n_refused++;
		return NULL;
	}
	block->next = arena->blocks;
	arena->blocks = block;
	arena->taken += block_size;
	return block->data;
}

void qmdi_arena_release(qmdi_arena *arena) {
	while (arena->blocks) {
		qmdi_arena_block *next = arena->blocks->next;
		qmdi_release(arena->blocks);
		arena->blocks = next;
	}
	arena->taken = 0;
}
