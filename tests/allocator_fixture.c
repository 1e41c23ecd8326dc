#include "allocator_fixture.h"

#include "support.h"

static size_t n_calls, n_held, first_failing, last_failing;

static int fails(void) {
	n_calls++;
	return first_failing && n_calls >= first_failing && n_calls <= last_failing;
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
	last_failing = SIZE_MAX;
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

size_t qmdt_fail_single_allocations(qmd_status (*work)(void *argument), void *argument, size_t step) {
	size_t n_runs = 0;
	for (size_t nth = 1;; nth += step, n_runs++) {
		qmdt_allocator_install(nth);
		last_failing = nth;
		const qmd_status status = work(argument);
		const size_t n_left = qmdt_allocator_remove();
		const qmd_status expected = n_calls < nth ? QMD_OK : QMD_ERROR_MEMORY;
		ck_assert_msg(n_left == 0, "allocation %zu alone failed: %zu blocks are left", nth, n_left);
		ck_assert_msg(status == expected, "allocation %zu of %zu alone failed: %s: %s", nth, n_calls,
					  qmd_status_name(status), qmd_last_error());
		if (n_calls < nth)
			return n_runs;
	}
}
