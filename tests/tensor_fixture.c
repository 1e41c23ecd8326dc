#include "tensor_fixture.h"

#include <fenv.h>

/* ---- Memory ---- */

static int is_all(const float *values, size_t n, float value) {
	for (size_t i = 0; i < n; i++)
		if (values[i] != value)
			return 0;
	return 1;
}

/* New memory is 0; what goes up comes down, a part too. */
static void check_size(qmdi_tensor_device *device, size_t n) {
	const qmdi_tensor_ops *ops = device->ops;
	float *tensor, *up, *down;
	qmdt_ok(ops->allocate(device, n, &tensor));
	qmdt_ok(ops->allocate_host(device, n, &up));
	qmdt_ok(ops->allocate_host(device, n, &down));
	ck_assert_uint_eq((uintptr_t)tensor % 64, 0);
	ck_assert(is_all(up, n, 0.0f));
	for (size_t i = 0; i < n; i++) {
		up[i] = (float)i + 0.5f;
		down[i] = -1.0f;
	}
	qmdt_ok(ops->download(device, tensor, n, down));
	ck_assert(is_all(down, n, 0.0f));
	qmdt_ok(ops->upload(device, up, n, tensor));
	qmdt_ok(ops->download(device, tensor, n, down));
	ck_assert_mem_eq(up, down, n * sizeof *up);
	qmdt_ok(ops->upload(device, up, 1, tensor + n - 1));
	qmdt_ok(ops->download(device, tensor + n - 1, 1, down));
	ck_assert_float_eq(down[0], 0.5f);
	ops->release_host(device, down);
	ops->release_host(device, up);
	ops->release(device, tensor);
}

static void check_memory(qmdi_tensor_device *device) {
	static const size_t sizes[] = {1, 7, 64, 1000, 70001};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		check_size(device, sizes[i]);
	device->ops->release(device, NULL);
	device->ops->release_host(device, NULL);
	size_t bytes = 0;
	qmdt_ok(device->ops->available(device, &bytes));
	ck_assert_uint_gt(bytes, 0);
}

/* ---- The caller's floating-point environment ---- */

/* 1 + 2^-25 is 1 to nearest, and more upwards; long enough for every thread to have a part. */
static void check_environment(qmdi_tensor_device *device) {
	const qmdi_tensor_ops *ops = device->ops;
	enum { N = 100000 };
	float *a, *b, *host;
	qmdt_ok(ops->allocate(device, N, &a));
	qmdt_ok(ops->allocate(device, N, &b));
	qmdt_ok(ops->allocate_host(device, N, &host));
	for (size_t i = 0; i < N; i++)
		host[i] = 1.0f;
	qmdt_ok(ops->upload(device, host, N, a));
	qmdt_ok(ops->wait(device));
	for (size_t i = 0; i < N; i++)
		host[i] = 0x1p-25f;
	qmdt_ok(ops->upload(device, host, N, b));
	volatile float large = 1.0f, small = 0x1p-25f;
	fesetround(FE_UPWARD);
	const qmd_status entered = ops->enter(device);
	const float sum_of_host = large + small;
	const qmd_status added = ops->add(device, N, a, b, a);
	ops->leave(device);
	const int rounding = fegetround();
	fesetround(FE_TONEAREST);
	ck_assert_int_eq(rounding, FE_UPWARD);
	ck_assert_int_eq(entered, QMD_OK);
	ck_assert_msg(sum_of_host <= 1.0f, "%s: the host computes as the caller rounds", ops->name);
	ck_assert_int_eq(added, QMD_OK);
	qmdt_ok(ops->download(device, a, N, host));
	ck_assert_msg(is_all(host, N, 1.0f), "%s: sums are rounded as the caller rounds", ops->name);
	ops->release_host(device, host);
	ops->release(device, b);
	ops->release(device, a);
}

/* ---- All ---- */

static void check_plans_of_nothing(qmdi_tensor_device *device) {
	device->ops->linear_destroy(device, NULL);
	device->ops->pool_destroy(device, NULL);
	device->ops->batchnorm_destroy(device, NULL);
}

static void check_operations(qmdt_bench *bench, int subjects) {
	check_plans_of_nothing(bench->devices[QMDT_TESTED]);
	if (subjects & QMDT_LINEAR)
		qmdt_check_linear(bench);
	if (subjects & QMDT_POOLS)
		qmdt_check_pools(bench);
	if (subjects & QMDT_BATCHNORM)
		qmdt_check_batchnorm(bench);
	if (subjects & QMDT_ELEMENTS)
		qmdt_check_elements(bench);
	if (subjects & QMDT_FAKE_QUANT)
		qmdt_check_fake_quant(bench);
	if (subjects & QMDT_UPDATE)
		qmdt_check_update(bench);
}

void qmdt_check_device(qmdi_tensor_device *device, int subjects) {
	qmdi_tensor_device reference = {&qmdi_tensor_reference, NULL};
	qmdt_bench bench = {.devices = {device, &reference}};
	qmdt_ok(reference.ops->open(&reference, 0, 1));
	if (subjects & QMDT_MEMORY)
		check_memory(device);
	if (subjects & QMDT_ENVIRONMENT)
		check_environment(device);
	qmdt_ok(reference.ops->enter(&reference));
	qmdt_ok(device->ops->enter(device));
	check_operations(&bench, subjects);
	device->ops->leave(device);
	reference.ops->leave(&reference);
	reference.ops->close(&reference);
}
