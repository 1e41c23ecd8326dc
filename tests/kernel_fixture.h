/* A random step of a plan with its tensors: what the kernels' tests run through every row of the table. */
#ifndef QMD_TESTS_KERNEL_FIXTURE_H
#define QMD_TESTS_KERNEL_FIXTURE_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers of the tensors and the weights. */
typedef enum qmdt_fill {
	QMDT_FILL_RANDOM = 0,  /* the whole range, evenly */
	QMDT_FILL_EXTREME = 1, /* the ends of the range alone, weights +-127 */
	QMDT_FILL_TIES = 2,    /* small numbers and multipliers of 1/2: every second odd sum is a tie */
	QMDT_N_FILLS = 3
} qmdt_fill;

/* Memory of one tensor with a halo. It ends QMDI_SLACK bytes before a page that cannot be touched. */
typedef struct qmdt_tensor {
	qmdi_view view;
	uint8_t *bytes; /* of the whole tensor, halo and gaps between rows and images included */
	size_t size;
} qmdt_tensor;

typedef struct qmdt_kernel_case {
	qmdi_kernel_shape shape;
	qmdt_fill fill;
	size_t n_images;
	qmdt_tensor inputs[2], output;
	int8_t *weights;
	int32_t *bias;
	float *multipliers;
} qmdt_kernel_case;

/* The next of a fixed sequence of random numbers; and one of 0 .. n-1. */
uint32_t qmdt_random(void);
uint32_t qmdt_random_below(uint32_t n);
void qmdt_random_seed(uint64_t seed);

/* Random extents of a shape that kernels must support. */
qmdi_kernel_shape qmdt_random_shape(qmdi_op op);

/* Tensors, weights and multipliers for a shape, drawn at random by `fill`. One case at a time: tensors lie in memory
 * that all cases share. */
void qmdt_case_make(qmdt_kernel_case *test, const qmdi_kernel_shape *shape, qmdt_fill fill, size_t n_images);
/* The same with tensors whose inside begins at a multiple of `alignment` (1, or a divisor of the pixels' bytes),
 * strides too. */
void qmdt_case_make_aligned(qmdt_kernel_case *test, const qmdi_kernel_shape *shape, qmdt_fill fill, size_t n_images,
							size_t alignment);
void qmdt_case_free(qmdt_kernel_case *test);

/* Fill the whole output with a pattern, then run a kernel, its tasks in random pieces and order. */
void qmdt_case_run(qmdt_kernel_case *test, const qmdi_kernel *kernel);

/* Numbers that a run writes. */
size_t qmdt_case_n_outputs(const qmdt_kernel_case *test);

/* 1 if a byte of the output's memory lies in the inside, where run() writes. */
int qmdt_case_is_inside(const qmdt_kernel_case *test, size_t byte);

/* The pattern that bytes outside must still hold. */
#define QMDT_GUARD 0xA5

#ifdef __cplusplus
}
#endif

#endif
