/* Times, in turns and apart. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCK_SECONDS 0.005
#define LEAST_ROUNDS 7
#define CACHE_SIZE ((size_t)128 << 20) /* more than any cache of one processor that is likely to be met */

static double seconds_on(clockid_t clock) {
	struct timespec now;
	clock_gettime(clock, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int compare(const void *a, const void *b) {
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

bench_sample bench_summarize(double *times, size_t n) {
	qsort(times, n, sizeof *times, compare);
	return (bench_sample){.median = 0.5 * (times[(n - 1) / 2] + times[n / 2]),
						  .low = times[n / 4],
						  .high = times[n - 1 - n / 4],
						  .least = times[0]};
}

double bench_spread(const bench_sample *sample) {
	return 0.5 * (sample->high - sample->low) / sample->median;
}

/* Seconds of n calls. */
static double time_calls(const bench_subject *subject, size_t n, uint32_t n_threads) {
	const clockid_t clock = n_threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
	const double start = seconds_on(clock);
	for (size_t i = 0; i < n; i++)
		subject->run(subject->user);
	return seconds_on(clock) - start;
}

/* The threads of the subject before go to sleep. */
static void wait_for_threads(uint32_t n_threads) {
	if (n_threads > 1)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* Calls that fill a block; *seconds: what they take. */
static size_t calls_of_block(const bench_subject *subject, uint32_t n_threads, double *seconds) {
	size_t n = 1;
	subject->run(subject->user); /* warms up */
	while ((*seconds = time_calls(subject, n, n_threads)) < BLOCK_SECONDS)
		n *= 2;
	return n;
}

void bench_measure(const bench_subject *subjects, size_t n, double seconds, uint32_t n_threads, bench_sample *samples) {
	double times[BENCH_MAX_SUBJECTS][BENCH_MAX_ROUNDS], round = 0;
	size_t n_calls[BENCH_MAX_SUBJECTS];
	for (size_t i = 0; i < n; i++) {
		double block = 0;
		n_calls[i] = calls_of_block(&subjects[i], n_threads, &block);
		round += block * (1 + 1 / (double)n_calls[i]);
	}
	size_t n_rounds = seconds < round * BENCH_MAX_ROUNDS ? (size_t)(seconds / round) : BENCH_MAX_ROUNDS;
	n_rounds = n_rounds < LEAST_ROUNDS ? LEAST_ROUNDS : n_rounds;
	for (size_t r = 0; r < n_rounds; r++)
		for (size_t i = 0; i < n; i++) {
			wait_for_threads(n_threads);
			subjects[i].run(subjects[i].user);
			times[i][r] = time_calls(&subjects[i], n_calls[i], n_threads) / (double)n_calls[i];
		}
	for (size_t i = 0; i < n; i++)
		samples[i] = bench_summarize(times[i], n_rounds);
}

void bench_measure_cold(const bench_subject *subjects, size_t n, size_t n_rounds, uint32_t n_threads,
						bench_sample *samples) {
	double times[BENCH_MAX_SUBJECTS][BENCH_MAX_ROUNDS];
	unsigned char *other = bench_memory(malloc(CACHE_SIZE));
	for (size_t r = 0; r < n_rounds; r++)
		for (size_t i = 0; i < n; i++) {
			wait_for_threads(n_threads);
			memset(other, (int)r, CACHE_SIZE);
			times[i][r] = time_calls(&subjects[i], 1, n_threads);
		}
	for (size_t i = 0; i < n; i++)
		samples[i] = bench_summarize(times[i], n_rounds);
	free(other);
}
