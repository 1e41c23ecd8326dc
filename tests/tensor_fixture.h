/*
 * Every operation of a column of the table (tensor/tensor.h), over one list of shapes and numbers, beside the
 * reference: equal bits where the table promises them, and otherwise as near as sums of float32 in any order come,
 * which is worked out from the numbers themselves.
 */
#ifndef QMD_TESTS_TENSOR_FIXTURE_H
#define QMD_TESTS_TENSOR_FIXTURE_H

#include "tensor_bench_fixture.h"

enum {
	QMDT_MEMORY = 1,
	QMDT_ENVIRONMENT = 2, /* of the caller: rounding mode */
	QMDT_LINEAR = 4,
	QMDT_POOLS = 8,
	QMDT_BATCHNORM = 16,
	QMDT_ELEMENTS = 32,
	QMDT_FAKE_QUANT = 64,
	QMDT_UPDATE = 128,
	QMDT_ALL = 255
};

/* Check an opened device, which is entered and left here. `subjects` is a sum of the above. */
void qmdt_check_device(qmdi_tensor_device *device, int subjects);

/* The parts of it, between enter() and leave() of both devices. */
void qmdt_check_linear(qmdt_bench *bench);
int qmdt_linear_shape(size_t i, qmdi_linear_shape *shape); /* the i-th of its shapes; 0 beyond the last */
void qmdt_check_pools(qmdt_bench *bench);
void qmdt_check_batchnorm(qmdt_bench *bench);
void qmdt_check_elements(qmdt_bench *bench);
void qmdt_check_fake_quant(qmdt_bench *bench);
void qmdt_check_update(qmdt_bench *bench);

#endif
