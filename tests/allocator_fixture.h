/* A host's allocator that counts, and fails the allocations it is told to. */
#ifndef QMD_TESTS_ALLOCATOR_FIXTURE_H
#define QMD_TESTS_ALLOCATOR_FIXTURE_H

#include <qmd.h>

/* Install it. Allocation number `nth` (1 is the next) and all after it return NULL; 0: none does. */
void qmdt_allocator_install(size_t nth);

/* Go back to malloc. Returns how many blocks are still held. */
size_t qmdt_allocator_remove(void);

/* Calls of allocate and reallocate since it was installed. */
size_t qmdt_allocator_n_calls(void);

/*
 * Run `work` with its first allocation failing, then its second, and so on until one returns QMD_OK. Every run must
 * return QMD_OK or QMD_ERROR_MEMORY and leave no block held. Returns the number of runs.
 */
size_t qmdt_fail_each_allocation(qmd_status (*work)(void *argument), void *argument);

/*
 * Run `work` with its first allocation alone failing, then its allocation 1 + step alone, and so on until there are no
 * more. Every run with a failure must return QMD_ERROR_MEMORY, and none may leave a block held. Returns their number.
 */
size_t qmdt_fail_single_allocations(qmd_status (*work)(void *argument), void *argument, size_t step);

#endif
