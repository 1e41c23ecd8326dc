/*
 * The descriptor of a kernel, and the one table of them all. The engine's compiler describes each step by a
 * qmdi_kernel_shape, takes the first row of the table that supports it (the best come first, the reference last), and
 * packs weights by that row.
 *
 * Tensors are NHWC, a pixel's channels side by side and pixels side by side in a row. A tensor may have a halo: rows
 * and pixels around each image that hold 0 (what a convolution pads with), which makes windows at the border read like
 * any other. After the last byte of a tensor that a kernel reads there are at least QMDI_SLACK readable bytes, so that
 * vectors and words may read past what they use.
 */
#ifndef QMD_KERNELS_KERNEL_H
#define QMD_KERNELS_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QMDI_SLACK 64

typedef enum qmdi_op {
	QMDI_OP_CONV2D = 1, /* + bias, clamp, requantize, and where shape.pool is 2, a 2x2 maxpool of step 2 */
	QMDI_OP_DENSE = 2,  /* the same on a vector of in_c inputs: in_h = in_w = 1 */
	QMDI_OP_MAXPOOL = 3,
	QMDI_OP_AVGPOOL = 4, /* global too: a window as large as the image */
	QMDI_OP_ADD = 5
} qmdi_op;

/*
 * What a CPU can do, the slowest first; a better one can do all that those before it can, except that one with AVX-VNNI
 * may lack AVX512. AVXVNNI is VNNI on 256-bit vectors, in whichever encoding the machine has: VEX (AVX-VNNI) or EVEX
 * (AVX512-VNNI with AVX512-VL).
 */
typedef enum qmdi_isa {
	QMDI_ISA_REF = 0,
	QMDI_ISA_AVX2 = 1,
	QMDI_ISA_AVX512BW = 2,
	QMDI_ISA_AVXVNNI = 3,
	QMDI_ISA_AVX512VNNI = 4
} qmdi_isa;

/* Instructions of a machine, a bit each, as far as its operating system saves their registers. */
typedef enum qmdi_cpu_feature {
	QMDI_CPU_AVX2 = 1,
	QMDI_CPU_AVXVNNI = 2,   /* with VEX encoding; AVX2 too */
	QMDI_CPU_AVX512BW = 4,  /* AVX512-F, BW, VL and DQ; AVX2 too */
	QMDI_CPU_AVX512VNNI = 8 /* VNNI as well */
} qmdi_cpu_feature;

/* Range of an input's numbers, a bit each so that a row of the table can name several. */
typedef enum qmdi_operand {
	QMDI_U8 = 1, /* 0 to 255, one unsigned byte */
	QMDI_S8 = 2, /* -128 to 127, one signed byte */
	QMDI_S7 = 4  /* 0 to 127: what ReLU leaves; fits both */
} qmdi_operand;

/* How many scales the weights have. */
typedef enum qmdi_granularity { QMDI_PER_TENSOR = 1, QMDI_PER_CHANNEL = 2 } qmdi_granularity;

/*
 * One step of a plan, computed as docs/numerics.md says; a float_output of avgpool is the mean of the real numbers, of
 * add their sum. A maxpool passes numbers on as they are: its output is of the input's operand. Where both inputs of an
 * add differ, S7 may be called S8. Output extents are those that run() writes: after the fused pool.
 */
typedef struct qmdi_kernel_shape {
	qmdi_op op;
	qmdi_operand operand;
	uint32_t in_h, in_w, in_c;
	uint32_t out_h, out_w, out_c;
	uint32_t kernel_h, kernel_w, stride_h, stride_w;   /* conv2d and pools */
	uint32_t pad_top, pad_left, pad_bottom, pad_right; /* conv2d: the input's halo is at least so wide */
	uint32_t pool; /* dense: 1; conv2d: 1, or 2 for a fused 2x2 maxpool (odd rows and columns at the end are dropped) */
	int32_t low;   /* clamp of the requantized output: [low, 127]; 0 (ReLU) or -128 */
	int32_t float_output; /* 1 writes floats: conv2d (pool 1) and dense float32(acc) * multiplier, no clamp */
	float scale_a, scale_b, scale_out; /* avgpool: input a and output; add: both inputs and output; 2^-60 to 2^60 */
} qmdi_kernel_shape;

/* Weights as every machine stores them. */
typedef struct qmdi_kernel_weights {
	const int8_t *weights;    /* [out_c][kernel_h][kernel_w][in_c] or [out_c][in_c], -127 to 127 */
	const int32_t *bias;      /* [out_c] */
	const float *multipliers; /* [out_c]: m of docs/numerics.md; with float_output the logits' s_x * s_w */
} qmdi_kernel_weights;

/* A tensor in memory: `data` is channel 0 of the first pixel inside the halo of the first image; strides are in bytes.
 */
typedef struct qmdi_view {
	void *data;
	size_t row_stride, image_stride;
} qmdi_view;

/* One run of a step, in the default floating-point environment. What is written is the output's inside, never its halo.
 */
typedef struct qmdi_kernel_call {
	const qmdi_kernel_shape *shape;
	const void *packed; /* from pack(); NULL where packed_size() is 0 */
	size_t n_images;
	qmdi_view inputs[2]; /* the second for add */
	qmdi_view output;    /* elements of one byte, or of four with float_output */
} qmdi_kernel_call;

typedef struct qmdi_kernel {
	const char *name; /* <op>_<input><weights>_<isa>: "conv_x8s8_avx512vnni" (x8: u8 and s8), and that of its file */
	qmdi_op op;
	const char *device; /* "cpu" */
	qmdi_isa isa;
	uint32_t features; /* qmdi_cpu_feature bits that the machine must have */
	uint32_t operands; /* qmdi_operand bits */
	qmdi_granularity granularity;
	int (*supports)(const qmdi_kernel_shape *shape); /* op and operand have been checked */
	size_t (*packed_size)(const qmdi_kernel_shape *shape);
	void (*pack)(const qmdi_kernel_shape *shape, const qmdi_kernel_weights *weights,
				 void *packed); /* 64-byte aligned */
	/* A call falls into tasks that may run in any order and on any thread, each writing its own bytes. */
	size_t (*n_tasks)(const qmdi_kernel_shape *shape, size_t n_images);
	void (*run)(const qmdi_kernel_call *call, size_t first_task, size_t n_tasks);
} qmdi_kernel;

/* The table, n rows: for each op the best first, the reference last. */
const qmdi_kernel *const *qmdi_kernels(size_t *n);

/* 1 if this machine can run a row. */
int qmdi_kernel_runs_here(const qmdi_kernel *kernel);

/* 1 if the fields of a shape are in range and agree with each other. */
int qmdi_kernel_shape_is_sound(const qmdi_kernel_shape *shape);

/* 1 if a shape is sound and the row supports it. */
int qmdi_kernel_supports(const qmdi_kernel *kernel, const qmdi_kernel_shape *shape);

/* The best row for a shape that needs no better machine than `isa`, nor than this one; NULL if not even the reference
 * supports it. */
const qmdi_kernel *qmdi_kernel_choose(const qmdi_kernel_shape *shape, qmdi_isa isa);

/* What this machine can do, as bits and as a level, and the level limited by QMD_MAX_ISA (ref, avx2, avx512bw,
 * avxvnni, avx512vnni; another text forbids nothing). */
uint32_t qmdi_machine_features(void); /* qmdi_cpu_feature bits */
qmdi_isa qmdi_machine_isa(void);
qmdi_isa qmdi_allowed_isa(void);
const char *qmdi_isa_name(qmdi_isa isa);

#ifdef __cplusplus
}
#endif

#endif
