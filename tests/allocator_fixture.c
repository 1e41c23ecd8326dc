#include "allocator_fixture.h"

#include "support.h"

static size_t n_calls, n_held, first_failing;

static int fails(void) {
	n_calls++;
	return first_failing && n_calls >= first_failing;
}

static void *allocate(void *user, size_t size) {
	ck_assert_ptr_eq(user, &n_calls);
	if (fails())
		return NULL;
	n_held++;
	return malloc(size);
}

static void *reallocate(void *user, void *pointer, size_t size) {
	ck_assert_ptr_eq(user, &n_calls);
	if (fails())
		return NULL;
	n_held += !pointer;
	return realloc(pointer, size);
}

static void release(void *user, void *pointer) {
	ck_assert_ptr_eq(user, &n_calls);
	n_held -= pointer != NULL;
	free(pointer);
}

void qmdt_allocator_install(size_t nth) {
	const qmd_allocator allocator = {allocate, reallocate, release, &n_calls};
	n_calls = n_held = 0;
	first_failing = nth;
	qmdt_ok(qmd_set_allocator(&allocator));
}

size_t qmdt_allocator_remove(void) {
	qmdt_ok(qmd_set_allocator(NULL));
	return n_held;
}

size_t qmdt_allocator_n_calls(void) {
	return n_calls;
}

size_t qmdt_fail_each_allocation(qmd_status (*work)(void *argument), void *argument) {
	size_t nth = 0;
	qmd_status status;
	do {
		qmdt_allocator_install(++nth);
		status = work(argument);
		const size_t n_left = qmdt_allocator_remove();
		ck_assert_msg(n_left == 0, "allocation %zu failed: %zu blocks are left", nth, n_left);
		ck_assert_msg(status == QMD_OK || status == QMD_ERROR_MEMORY, "allocation %zu failed: %s: %s", nth,
					  qmd_status_name(status), qmd_last_error());
	} while (status != QMD_OK);
	return nth;
}
