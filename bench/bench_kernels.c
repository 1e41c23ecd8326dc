/*
 * Every CPU row of the kernel table over the layers of the icnnmd network on 68 x 68 pixels, and some that it has not,
 * one thread, in processor time of the thread: other programs on the machine disturb it little.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "kernel.h"

#define REPETITIONS 7

typedef struct bench_case {
	const char *name;
	qmdi_kernel_shape shape;
} bench_case;

static const bench_case cases[] = {
	{"conv 5x5x3-32 pool u8",
	 {QMDI_OP_CONV2D, QMDI_U8, 68, 68, 3, 33, 33, 32, 5, 5, 1, 1, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0}},
	{"conv 5x5x3-32 pool s8",
	 {QMDI_OP_CONV2D, QMDI_S8, 68, 68, 3, 33, 33, 32, 5, 5, 1, 1, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0}},
	{"conv 3x3x32-64", {QMDI_OP_CONV2D, QMDI_S7, 33, 33, 32, 33, 33, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0}},
	{"conv 3x3x64-64 pool",
	 {QMDI_OP_CONV2D, QMDI_S7, 33, 33, 64, 15, 15, 64, 3, 3, 1, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0}},
	{"dense 14400-512", {QMDI_OP_DENSE, QMDI_S7, 1, 1, 14400, 1, 1, 512, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}},
	{"add 33x33x64", {QMDI_OP_ADD, QMDI_S7, 33, 33, 64, 33, 33, 64, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0.5f, 0.3f, 0.7f}},
	{"maxpool 2 66x66x32",
	 {QMDI_OP_MAXPOOL, QMDI_S7, 66, 66, 32, 33, 33, 32, 2, 2, 2, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}},
	{"avgpool 15x15x64",
	 {QMDI_OP_AVGPOOL, QMDI_S7, 15, 15, 64, 1, 1, 64, 15, 15, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0.5f, 0, 0.7f}},
	{"dense 512-2", {QMDI_OP_DENSE, QMDI_S7, 1, 1, 512, 1, 1, 2, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0}},
};

static void *aligned(size_t size) {
	void *memory = aligned_alloc(64, (size + 2 * QMDI_SLACK) / 64 * 64 + 64);
	return bench_memory(memory);
}

/* A tensor with a halo of one pixel, filled with small numbers: what they are does not change the time. */
static qmdi_view tensor(size_t h, size_t w, size_t c, size_t n_images, void **memory) {
	const size_t row = (w + 2) * c, image = (h + 2) * row;
	*memory = aligned(n_images * image);
	for (size_t i = 0; i < n_images * image; ++i) {
		((uint8_t *)*memory)[i] = (uint8_t)(i * 37 % 101);
	}
	return (qmdi_view){(uint8_t *)*memory + row + c, row, image};
}

static void *packed_weights(const qmdi_kernel *kernel, const qmdi_kernel_shape *shape) {
	const size_t k = (size_t)shape->kernel_h * shape->kernel_w * shape->in_c;
	int8_t *weights = aligned(k * shape->out_c);
	int32_t *bias = aligned(shape->out_c * sizeof *bias);
	float *multipliers = aligned(shape->out_c * sizeof *multipliers);
	for (size_t i = 0; i < k * shape->out_c; ++i) {
		weights[i] = (int8_t)((int)(i * 31 % 255) - 127);
	}
	for (size_t c = 0; c < shape->out_c; ++c) {
		bias[c] = 100;
		multipliers[c] = 1e-4f;
	}
	void *packed = aligned(kernel->packed_size(shape));
	kernel->pack(shape, &(qmdi_kernel_weights){weights, bias, multipliers}, packed);
	free(weights);
	free(bias);
	free(multipliers);
	return packed;
}

/* Seconds of n runs. */
static double time_runs(const qmdi_kernel *kernel, const qmdi_kernel_call *call, size_t n) {
	const size_t n_tasks = kernel->n_tasks(call->shape, call->n_images);
	const double start = qmd_peak_thread_seconds();
	for (size_t i = 0; i < n; ++i) {
		kernel->run(call, 0, n_tasks);
	}
	return qmd_peak_thread_seconds() - start;
}

/* Of one run, from repetitions of at least 10 ms. */
static bench_sample time_run(const qmdi_kernel *kernel, const qmdi_kernel_call *call) {
	size_t n = 1;
	double times[REPETITIONS];
	while (time_runs(kernel, call, n) < 0.01) {
		n *= 2;
	}
	for (int repetition = 0; repetition < REPETITIONS; ++repetition) {
		times[repetition] = time_runs(kernel, call, n) / (double)n;
	}
	return bench_summarize(times, REPETITIONS);
}

static void run_case(bench *b, const qmdi_kernel *kernel, const bench_case *test, size_t n_images, double peak) {
	const qmdi_kernel_shape *shape = &test->shape;
	const int has_weights = shape->op == QMDI_OP_CONV2D || shape->op == QMDI_OP_DENSE;
	void *input, *output, *packed = has_weights ? packed_weights(kernel, shape) : NULL;
	qmdi_kernel_call call = {.shape = shape, .packed = packed, .n_images = n_images};
	call.inputs[0] = call.inputs[1] = tensor(shape->in_h, shape->in_w, shape->in_c, n_images, &input);
	call.output = tensor(shape->out_h, shape->out_w, shape->out_c * (shape->float_output ? 4u : 1u), n_images, &output);
	const bench_sample sample = time_run(kernel, &call);
	const double time = sample.median;
	const double macs = (double)n_images * shape->out_h * shape->out_w * shape->pool * shape->pool * shape->out_c *
						shape->kernel_h * shape->kernel_w * shape->in_c;
	printf("%-25s %-22s %5zu %10.1f %6.1f%%", kernel->name, test->name, n_images, time * 1e6,
		   100 * bench_spread(&sample));
	if (has_weights) {
		printf(" %9.1f", macs / time * 1e-9);
	}
	if (has_weights && peak > 0) {
		printf(" %6.1f%%", 100 * macs / time / peak);
	}
	putchar('\n');
	bench_row(b,
			  "\"part\": \"kernel\", \"kernel\": \"%s\", \"layer\": \"%s\", \"batch\": %zu, \"us\": %.6g, "
			  "\"spread\": %.3g, \"gmacs\": %.5g, \"share_of_own_peak\": %.4g",
			  kernel->name, test->name, n_images, time * 1e6, bench_spread(&sample),
			  has_weights ? macs / time * 1e-9 : 0, has_weights && peak > 0 ? macs / time / peak : 0);
	free(input);
	free(output);
	free(packed);
}

void bench_kernels(bench *b) {
	double peaks[1 + QMD_PEAK_N_KINDS] = {0}; /* by qmdi_isa: nothing for the reference */
	for (qmdi_isa isa = QMDI_ISA_AVX2; isa <= qmdi_machine_isa(); ++isa) {
		peaks[isa] = qmd_peak_measure((qmd_peak_kind)(isa - 1));
		printf("peak of %s: %.1f GMAC/s\n", qmdi_isa_name(isa), peaks[isa] * 1e-9);
	}
	printf("\n%-25s %-22s %5s %10s %7s %9s %7s\n", "kernel", "layer", "batch", "us", "spread", "GMAC/s", "of peak");
	size_t n_rows;
	const qmdi_kernel *const *rows = qmdi_kernels(&n_rows);
	for (size_t row = 0; row < n_rows; ++row) {
		for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
			if ((!b->kernel || strstr(rows[row]->name, b->kernel) != NULL) && qmdi_kernel_runs_here(rows[row]) &&
				qmdi_kernel_supports(rows[row], &cases[i].shape)) {
				run_case(b, rows[row], &cases[i], 1, peaks[rows[row]->isa]);
				if (rows[row]->isa != QMDI_ISA_REF) { /* which takes as long for each image, and long */
					run_case(b, rows[row], &cases[i], 32, peaks[rows[row]->isa]);
				}
			}
		}
	}
}
