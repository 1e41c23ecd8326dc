/* Statuses, error texts, options, memory, log, progress, random numbers, the floating-point environment. */
#include "support.h"

#include <errno.h>
#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <xmmintrin.h>

#include "allocator_fixture.h"
#include "base/error.h"
#include "base/float_environment.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"

/* ---- Statuses and error texts ---- */

START_TEST(statuses_have_pinned_numbers_names_and_meanings) {
	static const char *const names[] = {
		"QMD_OK",          "QMD_ERROR_ARGUMENT",    "QMD_ERROR_MEMORY",  "QMD_ERROR_IO",       "QMD_ERROR_FORMAT",
		"QMD_ERROR_RANGE", "QMD_ERROR_UNSUPPORTED", "QMD_ERROR_SHAPE",   "QMD_ERROR_STATE",    "QMD_ERROR_CANCELLED",
		"QMD_ERROR_MATCH", "QMD_ERROR_VERSION",     "QMD_ERROR_CORRUPT", "QMD_ERROR_INTERNAL",
	};
	const int32_t n = (int32_t)(sizeof names / sizeof *names);
	for (int32_t i = 0; i < n; i++) {
		ck_assert_str_eq(qmd_status_name(i), names[i]);
		ck_assert_str_ne(qmd_status_meaning(i), qmd_status_meaning(n));
	}
	ck_assert_str_eq(qmd_status_name(n), "QMD_ERROR_UNKNOWN");
	ck_assert_str_eq(qmd_status_name(-1), "QMD_ERROR_UNKNOWN");
	ck_assert_str_eq(qmd_status_meaning(QMD_ERROR_MEMORY), "out of memory");
	ck_assert_str_eq(qmd_version(), "0.1.0");
}
END_TEST

START_TEST(an_error_text_is_one_line_of_printable_bytes) {
	ck_assert_int_eq(qmdi_fail(QMD_ERROR_IO, "%s: %d", "a\nb\x1b[31m\x7f", 7), QMD_ERROR_IO);
	ck_assert_str_eq(qmd_last_error(), "a?b?[31m?: 7");
	ck_assert_int_eq(qmdi_fail_within(QMD_ERROR_FORMAT, "file\t%d", 1), QMD_ERROR_FORMAT);
	ck_assert_str_eq(qmd_last_error(), "file?1: a?b?[31m?: 7");
	char text[3000];
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	qmdi_fail(QMD_ERROR_IO, "%s", text);
	const size_t longest = strlen(qmd_last_error());
	ck_assert_uint_gt(longest, 500);
	ck_assert_uint_lt(longest, sizeof text - 1);
	qmdi_fail_within(QMD_ERROR_IO, "prefix");
	ck_assert_uint_eq(strlen(qmd_last_error()), longest);
	ck_assert_int_eq(strncmp(qmd_last_error(), "prefix: xxx", 11), 0);
	qmdi_fail_within(QMD_ERROR_IO, "%s", text);
	ck_assert_uint_eq(strlen(qmd_last_error()), longest);
}
END_TEST

static void *fail_in_a_thread(void *found) {
	snprintf(found, 64, "%s", qmd_last_error());
	qmdi_fail(QMD_ERROR_IO, "of the thread");
	return NULL;
}

START_TEST(an_error_text_belongs_to_its_thread) {
	char found[64] = "untouched";
	pthread_t thread;
	qmdi_fail(QMD_ERROR_IO, "of the first thread");
	ck_assert_int_eq(pthread_create(&thread, NULL, fail_in_a_thread, found), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_str_eq(found, "");
	ck_assert_str_eq(qmd_last_error(), "of the first thread");
}
END_TEST

/* ---- Structs that grow ---- */

typedef struct two_versions {
	uint32_t struct_size;
	int32_t old;
	int32_t added;
} two_versions;

enum { SMALLEST = offsetof(two_versions, added) };

START_TEST(options_of_an_older_host_keep_later_defaults) {
	const two_versions defaults = {sizeof defaults, 1, 2};
	two_versions ours = defaults;
	const two_versions same = {sizeof same, 5, 6};
	qmdt_ok(qmdi_options_copy(&ours, sizeof ours, SMALLEST, &same, "options"));
	ck_assert(ours.old == 5 && ours.added == 6);
	ours = defaults;
	const two_versions older = {SMALLEST, 5, 6};
	qmdt_ok(qmdi_options_copy(&ours, sizeof ours, SMALLEST, &older, "options"));
	ck_assert(ours.old == 5 && ours.added == 2);
	ours = defaults;
	qmdt_ok(qmdi_options_copy(&ours, sizeof ours, SMALLEST, NULL, "options"));
	ck_assert(ours.old == 1 && ours.added == 2);
}
END_TEST

START_TEST(options_of_no_version_are_refused) {
	static const uint32_t sizes[] = {0, SMALLEST - 1, sizeof(two_versions) + 1, UINT32_MAX};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		two_versions ours = {sizeof ours, 1, 2};
		const two_versions given = {sizes[i], 5, 6};
		qmdt_fails(qmdi_options_copy(&ours, sizeof ours, SMALLEST, &given, "options"), QMD_ERROR_ARGUMENT,
				   "options: struct_size is ");
		ck_assert(ours.old == 1 && ours.added == 2);
	}
}
END_TEST

START_TEST(defaults_fill_what_the_host_knows_and_not_more) {
	const two_versions ours = {.struct_size = sizeof ours, .old = 5, .added = 6};
	unsigned char older[sizeof ours];
	memset(older, 0xAA, sizeof older);
	qmdi_struct_fill(older, SMALLEST, &ours, sizeof ours);
	two_versions seen;
	memcpy(&seen, older, sizeof seen);
	ck_assert(seen.struct_size == SMALLEST && seen.old == 5);
	for (size_t i = SMALLEST; i < sizeof older; i++)
		ck_assert_uint_eq(older[i], 0xAA);
	struct {
		two_versions known;
		uint32_t later;
	} newer = {.later = 3};
	qmdi_struct_fill(&newer, sizeof newer, &ours, sizeof ours);
	ck_assert(newer.known.struct_size == sizeof ours && newer.known.added == 6 && newer.later == 0);
	qmdi_struct_fill(NULL, sizeof ours, &ours, sizeof ours);
}
END_TEST

START_TEST(a_struct_is_given_as_far_as_the_host_knows_it) {
	const two_versions ours = {sizeof ours, 5, 6};
	two_versions out = {sizeof out, 1, 2};
	qmdt_ok(qmdi_struct_give(&out, &ours, sizeof ours, SMALLEST, "out"));
	ck_assert(out.struct_size == sizeof out && out.old == 5 && out.added == 6);
	out = (two_versions){SMALLEST, 1, 2};
	qmdt_ok(qmdi_struct_give(&out, &ours, sizeof ours, SMALLEST, "out"));
	ck_assert(out.struct_size == SMALLEST && out.old == 5 && out.added == 2);
	struct {
		two_versions known;
		int32_t later;
	} newer = {{sizeof newer, 1, 2}, 3};
	qmdt_ok(qmdi_struct_give(&newer, &ours, sizeof ours, SMALLEST, "out"));
	ck_assert(newer.known.struct_size == sizeof newer && newer.known.added == 6 && newer.later == 3);
	out.struct_size = SMALLEST - 1;
	qmdt_fails(qmdi_struct_give(&out, &ours, sizeof ours, SMALLEST, "out"), QMD_ERROR_ARGUMENT,
			   "out: struct_size is 7, expected at least 8");
}
END_TEST

/* ---- Memory ---- */

START_TEST(sizes_that_overflow_are_refused_before_the_allocator_sees_them) {
	qmdt_allocator_install(0);
	ck_assert_ptr_null(qmdi_array(SIZE_MAX / 2 + 2, 2));
	ck_assert_ptr_null(qmdi_array(SIZE_MAX, SIZE_MAX));
	ck_assert_ptr_null(qmdi_zeroed(SIZE_MAX / 4, 8));
	ck_assert_ptr_null(qmdi_resize(NULL, SIZE_MAX / 4, 8));
	ck_assert_ptr_null(qmdi_copy("", SIZE_MAX / 4, 8));
	ck_assert_ptr_null(qmdi_aligned(PTRDIFF_MAX, 1));
	ck_assert_ptr_nonnull(strstr(qmd_last_error(), "out of memory: 9223372036854775807 elements of 1 bytes"));
	ck_assert_uint_eq(qmdt_allocator_n_calls(), 0);
	ck_assert_uint_eq(qmdt_allocator_remove(), 0);
}
END_TEST

START_TEST(nothing_is_a_valid_size) {
	void *blocks[] = {qmdi_allocate(0), qmdi_array(0, 8), qmdi_array(8, 0), qmdi_zeroed(0, 0), qmdi_copy(NULL, 0, 4)};
	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
		ck_assert_ptr_nonnull(blocks[i]);
		qmdi_release(blocks[i]);
	}
	ck_assert_ptr_null(qmdi_string(NULL));
	qmdi_release(NULL);
	qmdi_release_aligned(NULL);
}
END_TEST

START_TEST(aligned_memory_is_aligned_and_given_back) {
	qmdt_allocator_install(0);
	for (size_t size = 0; size < 300; size++) {
		unsigned char *block = qmdi_aligned(size, 1);
		ck_assert_ptr_nonnull(block);
		ck_assert_uint_eq((uintptr_t)block % 64, 0);
		memset(block, 0xff, size); /* the address sanitizer sees an overrun, and the release a lost pointer */
		qmdi_release_aligned(block);
	}
	ck_assert_uint_eq(qmdt_allocator_remove(), 0);
}
END_TEST

START_TEST(large_blocks_start_at_huge_pages) {
	enum { LEAST = 2 << 20 };
	static const struct {
		size_t size, alignment;
	} cases[] = {{LEAST - 1, 64}, {LEAST, 2 << 20}, {LEAST + 1, 2 << 20}, {5 * LEAST, 2 << 20}};
	qmdt_allocator_install(0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		errno = 33; /* whatever the system says to the wish for huge pages */
		unsigned char *block = qmdi_aligned(cases[i].size, 1);
		ck_assert_ptr_nonnull(block);
		ck_assert_uint_eq((uintptr_t)block % cases[i].alignment, 0);
		ck_assert_int_eq(errno, 33);
		memset(block, 0xff, cases[i].size);
		qmdi_release_aligned(block);
	}
	ck_assert_uint_eq(qmdt_allocator_remove(), 0);
}
END_TEST

START_TEST(a_resize_that_fails_keeps_the_block) {
	qmdt_allocator_install(2);
	char *block = qmdi_string("kept");
	ck_assert_ptr_null(qmdi_resize(block, 1000, 1));
	ck_assert_str_eq(block, "kept");
	ck_assert_ptr_nonnull(strstr(qmd_last_error(), "out of memory: 1000 bytes were asked for"));
	qmdi_release(block);
	ck_assert_uint_eq(qmdt_allocator_remove(), 0);
}
END_TEST

START_TEST(an_allocator_must_be_whole) {
	const qmd_allocator half = {NULL, NULL, NULL, NULL};
	qmdt_fails(qmd_set_allocator(&half), QMD_ERROR_ARGUMENT, "all three functions");
	void *block = qmdi_allocate(1); /* malloc's still */
	ck_assert_ptr_nonnull(block);
	free(block);
}
END_TEST

/* ---- Log and progress ---- */

static char logged[2048];
static int logged_level;

static void log_line(void *user, qmd_log_level level, const char *line) {
	ck_assert_ptr_eq(user, logged);
	logged_level = (int)level;
	snprintf(logged, sizeof logged, "%s", line);
}

START_TEST(log_lines_go_to_the_host) {
	qmdi_log(QMD_LOG_INFO, "nobody listens");
	qmd_set_log(log_line, logged);
	qmdi_log(QMD_LOG_WARNING, "%d of %s", 3, "a\nb");
	qmd_set_log(NULL, NULL);
	ck_assert_str_eq(logged, "3 of a?b");
	ck_assert_int_eq(logged_level, QMD_LOG_WARNING);
	qmdi_log(QMD_LOG_INFO, "nobody listens again");
	ck_assert_str_eq(logged, "3 of a?b");
}
END_TEST

static int cancel_at_two(void *user, const qmd_progress *progress) {
	*(qmd_progress *)user = *progress;
	return progress->done >= 2;
}

START_TEST(progress_is_told_and_can_cancel) {
	qmd_progress told;
	qmdt_ok(qmdi_progress(cancel_at_two, &told, "train", 1, 0, 0.5, NAN));
	ck_assert_uint_eq(told.struct_size, sizeof told);
	ck_assert_str_eq(told.phase, "train");
	ck_assert_uint_eq(told.done, 1);
	ck_assert_uint_eq(told.total, 1);
	ck_assert(told.loss == 0.5 && isnan(told.accuracy));
	qmdt_fails(qmdi_progress(cancel_at_two, &told, "train", 2, 9, 0, 0), QMD_ERROR_CANCELLED, "during 'train'");
	qmdt_ok(qmdi_progress(NULL, NULL, "train", 2, 9, 0, 0));
}
END_TEST

/* ---- Random numbers ---- */

START_TEST(philox_gives_the_published_numbers) {
	/* Random123's kat_vectors, philox4x32 10: counter, key, result. */
	static const uint32_t vectors[][10] = {
		{0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
		{~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
		{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
		 0x24126ea1},
	};
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
		const uint32_t *v = vectors[i];
		const uint64_t counter = v[0] | (uint64_t)v[1] << 32, stream = v[2] | (uint64_t)v[3] << 32;
		const uint64_t seed = v[4] | (uint64_t)v[5] << 32;
		uint32_t out[4];
		qmdi_random4(seed, stream, counter, out);
		ck_assert_mem_eq(out, v + 6, sizeof out);
		for (uint64_t word = 0; word < 4 && counter < UINT64_MAX / 4; word++)
			ck_assert_uint_eq(qmdi_random_u32(seed, stream, 4 * counter + word), out[word]);
	}
}
END_TEST

/* Sum of (observed - expected)^2 / expected of uniform bins. */
static double chi_squared(const unsigned *bins, size_t n_bins, double n) {
	double sum = 0;
	for (size_t i = 0; i < n_bins; i++) {
		const double expected = n / (double)n_bins;
		sum += (bins[i] - expected) * (bins[i] - expected) / expected;
	}
	return sum;
}

START_TEST(uniform_numbers_are_uniform) {
	enum { N = 100000, BINS = 64 };
	unsigned bins[BINS] = {0};
	double sum = 0, product = 0;
	float before = 0.5f;
	for (uint64_t i = 0; i < N; i++) {
		const float x = qmdi_random_f32(7, 3, i);
		ck_assert(x >= 0.0f && x < 1.0f);
		bins[(size_t)(x * BINS)]++;
		sum += x;
		product += ((double)x - 0.5) * ((double)before - 0.5);
		before = x;
	}
	ck_assert_double_eq_tol(sum / N, 0.5, 0.004);           /* 4.4 standard errors */
	ck_assert_double_eq_tol(product / N, 0, 0.0012);        /* neighbours are uncorrelated: 4.5 standard errors */
	ck_assert_double_lt(chi_squared(bins, BINS, N), 120.0); /* 63 degrees of freedom: 5.1 standard deviations */
}
END_TEST

START_TEST(streams_and_seeds_differ) {
	size_t n_equal = 0;
	for (uint64_t i = 0; i < 1000; i++) {
		const uint32_t one = qmdi_random_u32(1, 1, i);
		n_equal += one == qmdi_random_u32(1, 2, i);
		n_equal += one == qmdi_random_u32(2, 1, i);
		n_equal += one == qmdi_random_u32(1, 1, i + 1000);
	}
	ck_assert_uint_eq(n_equal, 0);
}
END_TEST

START_TEST(a_shuffle_is_a_permutation_and_fair) {
	enum { N = 5, TIMES = 20000 };
	unsigned bins[N * N] = {0};
	for (uint64_t time = 0; time < TIMES; time++) {
		uint32_t values[N] = {0, 1, 2, 3, 4};
		qmdi_random_shuffle(9, time, values, N);
		unsigned seen = 0;
		for (unsigned i = 0; i < N; i++) {
			seen |= 1u << values[i];
			bins[i * N + values[i]]++;
		}
		ck_assert_uint_eq(seen, 0x1f);
	}
	for (unsigned i = 0; i < N; i++) /* each place has each value equally often; 4 degrees of freedom */
		ck_assert_double_lt(chi_squared(bins + i * N, N, TIMES), 24.0);
	uint32_t one = 3;
	qmdi_random_shuffle(9, 0, &one, 1);
	qmdi_random_shuffle(9, 0, NULL, 0);
	ck_assert_uint_eq(one, 3);
}
END_TEST

/* ---- Floating-point environment ---- */

START_TEST(the_hosts_float_environment_is_left_and_given_back) {
	volatile float one = 1.0f, tiny = 0x1p-126f, twenty_five = 25.0f;
	const unsigned before = _mm_getcsr();
	_mm_setcsr(before | 0x8040); /* FTZ and DAZ */
	fesetround(FE_UPWARD);
	const unsigned host = _mm_getcsr();
	volatile const float host_part = one / twenty_five, host_half = tiny / 2.0f;
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	volatile const float our_part = one / twenty_five, our_half = tiny / 2.0f;
	qmdi_float_leave(&saved);
	const unsigned after = _mm_getcsr();
	_mm_setcsr(before);
	fesetround(FE_TONEAREST);
	ck_assert(host_part == 0x1.47ae16p-5f && host_half == 0.0f); /* the host's environment is another */
	ck_assert(our_part == 0x1.47ae14p-5f);
	ck_assert(our_half == 0x1p-127f);
	ck_assert_uint_eq(after & 0xffc0, host & 0xffc0);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("base");
	TCase *errors = tcase_create("errors");
	tcase_add_test(errors, statuses_have_pinned_numbers_names_and_meanings);
	tcase_add_test(errors, an_error_text_is_one_line_of_printable_bytes);
	tcase_add_test(errors, an_error_text_belongs_to_its_thread);
	suite_add_tcase(suite, errors);
	TCase *structs = tcase_create("structs");
	tcase_add_test(structs, options_of_an_older_host_keep_later_defaults);
	tcase_add_test(structs, options_of_no_version_are_refused);
	tcase_add_test(structs, defaults_fill_what_the_host_knows_and_not_more);
	tcase_add_test(structs, a_struct_is_given_as_far_as_the_host_knows_it);
	suite_add_tcase(suite, structs);
	TCase *memory = tcase_create("memory");
	tcase_add_test(memory, sizes_that_overflow_are_refused_before_the_allocator_sees_them);
	tcase_add_test(memory, nothing_is_a_valid_size);
	tcase_add_test(memory, aligned_memory_is_aligned_and_given_back);
	tcase_add_test(memory, large_blocks_start_at_huge_pages);
	tcase_add_test(memory, a_resize_that_fails_keeps_the_block);
	tcase_add_test(memory, an_allocator_must_be_whole);
	suite_add_tcase(suite, memory);
	TCase *callbacks = tcase_create("callbacks");
	tcase_add_test(callbacks, log_lines_go_to_the_host);
	tcase_add_test(callbacks, progress_is_told_and_can_cancel);
	suite_add_tcase(suite, callbacks);
	TCase *numbers = tcase_create("numbers");
	tcase_add_test(numbers, philox_gives_the_published_numbers);
	tcase_add_test(numbers, uniform_numbers_are_uniform);
	tcase_add_test(numbers, streams_and_seeds_differ);
	tcase_add_test(numbers, a_shuffle_is_a_permutation_and_fair);
	tcase_add_test(numbers, the_hosts_float_environment_is_left_and_given_back);
	suite_add_tcase(suite, numbers);
	return qmdt_run(suite);
}
