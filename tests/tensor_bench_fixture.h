/*
 * Arrays that lie on two devices, one that is tested and the reference, and comparison of what operations make of them
 * there. Every array has guards before and behind it; whatever is not compared must stay as it was put there.
 */
#ifndef QMD_TESTS_TENSOR_BENCH_FIXTURE_H
#define QMD_TESTS_TENSOR_BENCH_FIXTURE_H

#include "support.h"
#include "tensor/tensor.h"

enum { QMDT_TESTED, QMDT_REFERENCE, QMDT_N_SIDES };

#define QMDT_MOST_ARRAYS 32

typedef struct qmdt_bench_array {
	size_t n;
	float *at[QMDT_N_SIDES];   /* in the devices' memory: what an operation is given */
	float *base[QMDT_N_SIDES]; /* where the memory begins, with a guard */
	float *host;               /* what was put there, [n] */
	int is_compared;
} qmdt_bench_array;

typedef struct qmdt_bench {
	qmdi_tensor_device *devices[QMDT_N_SIDES];
	char name[160]; /* of the case, for messages */
	qmdt_bench_array arrays[QMDT_MOST_ARRAYS];
	size_t n_arrays;
	uint64_t seed; /* of the next array that is drawn */
} qmdt_bench;

/* Half the distance from 1 to the next float: the largest relative error of one operation. */
#define QMDT_ROUNDING 0x1p-24

/* One call of the table on both devices: `d` is the device, AT(array) the array there. */
#define AT(array) ((array)->at[side])
#define ON_SIDE(bench, which, call)                                                                                    \
	do {                                                                                                               \
		const int side = (which);                                                                                      \
		qmdi_tensor_device *d = (bench)->devices[side];                                                                \
		const qmd_status on_side_status = d->ops->call;                                                                \
		ck_assert_msg(on_side_status == QMD_OK, "%s, %s: %s: %s", d->ops->name, (bench)->name, #call,                  \
					  qmd_last_error());                                                                               \
	} while (0)
#define ON_BOTH(bench, call)                                                                                           \
	do {                                                                                                               \
		ON_SIDE(bench, QMDT_TESTED, call);                                                                             \
		ON_SIDE(bench, QMDT_REFERENCE, call);                                                                          \
	} while (0)

/* Begin a case, whose name is formatted; end it: check guards and what should not have changed, release all arrays. */
__attribute__((format(printf, 2, 3))) void qmdt_bench_begin(qmdt_bench *bench, const char *format, ...);
void qmdt_bench_end(qmdt_bench *bench);

/* An array of these values; of values of malloc(), which are freed; of numbers drawn evenly from [low, high); for an
 * output, of numbers that no operation makes. They live until the end of the case. */
qmdt_bench_array *qmdt_bench_put(qmdt_bench *bench, const float *values, size_t n);
qmdt_bench_array *qmdt_bench_take(qmdt_bench *bench, float *values, size_t n);
qmdt_bench_array *qmdt_bench_draw(qmdt_bench *bench, size_t n, float low, float high);
qmdt_bench_array *qmdt_bench_output(qmdt_bench *bench, size_t n);

/* An array of the magnitudes of what was put into another. */
qmdt_bench_array *qmdt_bench_magnitudes(qmdt_bench *bench, const qmdt_bench_array *array);

/* What is in an array of one of the devices now: n floats of malloc(). */
float *qmdt_bench_fetch(const qmdt_bench *bench, const qmdt_bench_array *array, int side);

/* Both devices hold the same bits; NaN is NaN. */
void qmdt_bench_compare(qmdt_bench *bench, qmdt_bench_array *array, const char *what);

/* Element i differs by at most factor * element i of `bounds` on the reference; NaN is NaN. */
void qmdt_bench_compare_within(qmdt_bench *bench, qmdt_bench_array *array, qmdt_bench_array *bounds, double factor,
							   const char *what);

/* The tested device holds the same bits in both: an operation that was repeated. */
void qmdt_bench_compare_repeated(qmdt_bench *bench, qmdt_bench_array *first, qmdt_bench_array *second,
								 const char *what);

#endif
