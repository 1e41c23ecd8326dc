/* What the parts of qmd_bench share: options, samples, rows of the JSON file. */
#ifndef QMD_BENCH_H
#define QMD_BENCH_H

#include <qmd.h>
#include <stdio.h>

#include "peak.h"

typedef struct bench {
	FILE *json; /* rows so far; or NULL */
	size_t n_rows;
	const char *kernel; /* only kernels whose name holds it; NULL: all */
	double seconds;     /* spent on each row */
	uint32_t n_threads; /* at most */
	qmd_peak_kind peak_kind;
	double peak; /* of one core: multiply-adds a second; 0 where it is unknown */
} bench;

/* The parts. */
void bench_kernels(bench *b);
void bench_networks(bench *b);

/* ---- Samples ---- */

/* A number of measured times, in seconds. */
typedef struct bench_sample {
	double median;
	double low, high; /* quartiles */
	double least;
} bench_sample;

/* Sorts the times. */
bench_sample bench_summarize(double *times, size_t n);

/* Half the distance of the quartiles, as a share of the median. */
double bench_spread(const bench_sample *sample);

/* ---- Subjects ---- */

typedef struct bench_subject {
	void (*run)(void *user);
	void *user;
} bench_subject;

#define BENCH_MAX_SUBJECTS 4
#define BENCH_MAX_ROUNDS 1000

/* Time subjects in turns, so that all see the same machine: blocks of calls of at least 5 ms, the first call of each
 * not counted. samples[i] is of one call of subject i. One thread is timed in processor time, which other programs on
 * the machine disturb little; more by wall clock. */
void bench_measure(const bench_subject *subjects, size_t n, double seconds, uint32_t n_threads, bench_sample *samples);

/* The same, n_rounds calls of each, each after everything was thrown out of the caches. */
void bench_measure_cold(const bench_subject *subjects, size_t n, size_t n_rounds, uint32_t n_threads,
						bench_sample *samples);

/* ---- The rest ---- */

/* One row of the JSON file: the inside of an object, as by printf. */
__attribute__((format(printf, 2, 3))) void bench_row(bench *b, const char *format, ...);

/* Say why and end the program, unless a call of the library succeeded, or an allocation. */
void bench_check(qmd_status status);
void *bench_memory(void *memory);

/* Random bytes; free() them. */
unsigned char *bench_noise(size_t n);

#endif
