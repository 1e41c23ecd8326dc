#include "tensor_bench_fixture.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/random.h"

/* Of an array on a device: as many floats as keep it aligned to 64 bytes, before and behind. */
#define GUARD 16
#define GUARD_VALUE 0x1.8d3p77f
#define UNWRITTEN (-0x1.2e7p81f)

void qmdt_bench_begin(qmdt_bench *bench, const char *format, ...) {
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(bench->name, sizeof bench->name, format, arguments);
	va_end(arguments);
	bench->n_arrays = 0;
}

static void *must(void *memory) {
	ck_assert_ptr_nonnull(memory);
	return memory;
}

static int is_same(float a, float b) {
	return a == b ? !signbit(a) == !signbit(b) : isnan(a) && isnan(b);
}

/* ---- Arrays ---- */

static void upload(const qmdt_bench *bench, qmdt_bench_array *array, int which) {
	const size_t n_all = array->n + 2 * (size_t)GUARD;
	float *all = must(malloc(n_all * sizeof *all));
	for (size_t i = 0; i < n_all; i++)
		all[i] = i >= GUARD && i < GUARD + array->n ? array->host[i - GUARD] : GUARD_VALUE;
	ON_SIDE(bench, which, allocate(d, n_all, &array->base[side]));
	ON_SIDE(bench, which, upload(d, all, n_all, array->base[side]));
	ON_SIDE(bench, which, wait(d));
	array->at[which] = array->base[which] + GUARD;
	free(all);
}

qmdt_bench_array *qmdt_bench_put(qmdt_bench *bench, const float *values, size_t n) {
	ck_assert_uint_lt(bench->n_arrays, QMDT_MOST_ARRAYS);
	qmdt_bench_array *array = &bench->arrays[bench->n_arrays++];
	*array = (qmdt_bench_array){.n = n, .host = must(malloc(n * sizeof *values))};
	memcpy(array->host, values, n * sizeof *values);
	upload(bench, array, QMDT_TESTED);
	upload(bench, array, QMDT_REFERENCE);
	return array;
}

qmdt_bench_array *qmdt_bench_take(qmdt_bench *bench, float *values, size_t n) {
	qmdt_bench_array *array = qmdt_bench_put(bench, values, n);
	free(values);
	return array;
}

qmdt_bench_array *qmdt_bench_draw(qmdt_bench *bench, size_t n, float low, float high) {
	float *values = must(malloc(n * sizeof *values));
	bench->seed++;
	for (size_t i = 0; i < n; i++)
		values[i] = low + (high - low) * qmdi_random_f32(bench->seed, 0, i);
	return qmdt_bench_take(bench, values, n);
}

qmdt_bench_array *qmdt_bench_output(qmdt_bench *bench, size_t n) {
	float *values = must(malloc(n * sizeof *values));
	for (size_t i = 0; i < n; i++)
		values[i] = UNWRITTEN;
	return qmdt_bench_take(bench, values, n);
}

qmdt_bench_array *qmdt_bench_magnitudes(qmdt_bench *bench, const qmdt_bench_array *array) {
	float *values = must(malloc(array->n * sizeof *values));
	for (size_t i = 0; i < array->n; i++)
		values[i] = fabsf(array->host[i]);
	return qmdt_bench_take(bench, values, array->n);
}

static float *fetch_all(const qmdt_bench *bench, const qmdt_bench_array *array, int which) {
	const size_t n_all = array->n + 2 * (size_t)GUARD;
	float *all = must(malloc(n_all * sizeof *all));
	ON_SIDE(bench, which, download(d, array->base[side], n_all, all));
	return all;
}

float *qmdt_bench_fetch(const qmdt_bench *bench, const qmdt_bench_array *array, int which) {
	float *values = must(malloc(array->n * sizeof *values));
	ON_SIDE(bench, which, download(d, AT(array), array->n, values));
	return values;
}

/* ---- Comparison. An assertion that holds costs a write to a file, so there is none for each element. ---- */

void qmdt_bench_compare(qmdt_bench *bench, qmdt_bench_array *array, const char *what) {
	float *tested = qmdt_bench_fetch(bench, array, QMDT_TESTED),
		  *reference = qmdt_bench_fetch(bench, array, QMDT_REFERENCE);
	for (size_t i = 0; i < array->n; i++)
		if (!is_same(tested[i], reference[i]))
			ck_abort_msg("%s, %s: %s[%zu] is %a, not %a", bench->devices[QMDT_TESTED]->ops->name, bench->name, what, i,
						 (double)tested[i], (double)reference[i]);
	array->is_compared = 1;
	free(tested);
	free(reference);
}

static int is_within(double tested, double reference, double bound) {
	return isnan(reference) ? isnan(tested) : fabs(tested - reference) <= bound;
}

void qmdt_bench_compare_within(qmdt_bench *bench, qmdt_bench_array *array, qmdt_bench_array *bounds, double factor,
							   const char *what) {
	ck_assert_uint_eq(array->n, bounds->n);
	float *tested = qmdt_bench_fetch(bench, array, QMDT_TESTED),
		  *reference = qmdt_bench_fetch(bench, array, QMDT_REFERENCE);
	float *scale = qmdt_bench_fetch(bench, bounds, QMDT_REFERENCE);
	for (size_t i = 0; i < array->n; i++) {
		const double bound = factor * (double)scale[i];
		if (!is_within((double)tested[i], (double)reference[i], bound))
			ck_abort_msg("%s, %s: %s[%zu] is %.9g, not %.9g within %g", bench->devices[QMDT_TESTED]->ops->name,
						 bench->name, what, i, (double)tested[i], (double)reference[i], bound);
	}
	array->is_compared = bounds->is_compared = 1;
	free(tested);
	free(reference);
	free(scale);
}

void qmdt_bench_compare_repeated(qmdt_bench *bench, qmdt_bench_array *first, qmdt_bench_array *second,
								 const char *what) {
	float *a = qmdt_bench_fetch(bench, first, QMDT_TESTED), *b = qmdt_bench_fetch(bench, second, QMDT_TESTED);
	for (size_t i = 0; i < first->n; i++)
		if (!is_same(a[i], b[i]))
			ck_abort_msg("%s, %s: %s[%zu] is first %a, then %a", bench->devices[QMDT_TESTED]->ops->name, bench->name,
						 what, i, (double)a[i], (double)b[i]);
	first->is_compared = second->is_compared = 1;
	free(a);
	free(b);
}

/* ---- What should not have changed ---- */

static void check_unchanged(const qmdt_bench *bench, const qmdt_bench_array *array, int side) {
	float *all = fetch_all(bench, array, side);
	for (size_t i = 0; i < array->n + 2 * (size_t)GUARD; i++) {
		const int is_guard = i < GUARD || i >= GUARD + array->n;
		if (!is_guard && array->is_compared)
			continue;
		const float expected = is_guard ? GUARD_VALUE : array->host[i - GUARD];
		if (!is_same(all[i], expected))
			ck_abort_msg("%s, %s: array %zu has been written at %td of %zu: %a, not %a",
						 bench->devices[side]->ops->name, bench->name, (size_t)(array - bench->arrays),
						 (ptrdiff_t)i - GUARD, array->n, (double)all[i], (double)expected);
	}
	free(all);
}

void qmdt_bench_end(qmdt_bench *bench) {
	for (size_t i = 0; i < bench->n_arrays; i++) {
		qmdt_bench_array *array = &bench->arrays[i];
		for (int side = 0; side < QMDT_N_SIDES; side++) {
			check_unchanged(bench, array, side);
			bench->devices[side]->ops->release(bench->devices[side], array->base[side]);
		}
		free(array->host);
	}
	bench->n_arrays = 0;
}
