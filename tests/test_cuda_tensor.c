/*
 * The column of cuDNN, cuBLAS and our own kernels on emulated devices and libraries: every operation beside the
 * reference, and what goes wrong. What the emulation cannot know is told by tests/vendor of the real libraries, and by
 * a GPU.
 */
#include <stdio.h>

#include "allocator_fixture.h"
#include "base/error.h"
#include "cuda_machine_fixture.h"
#include "tensor_fixture.h"

static void setup(void) {
	qmdt_set_machine(&qmdt_small_gpus, 0);
}

/* Nothing may be left on the machine, and the host's device is what it was. */
static void teardown(void) {
	qmdt_set_machine(&qmdt_small_gpus, 0);
	ck_assert_uint_eq(qmdi_host_n_objects(), 0);
}

static void fails_to_open(const char *name, qmd_status status, const char *part) {
	qmdi_tensor_device *device = NULL;
	qmdt_fails(qmdi_tensor_open(name, 1, &device), status, part);
	ck_assert_ptr_null(device);
	ck_assert_uint_eq(qmdi_host_n_objects(), 0);
}

/* ---- Numbers ---- */

static void check_device(const char *name, int subjects) {
	qmdi_tensor_device *device;
	qmdi_host_set_current(1, NULL);
	qmdt_ok(qmdi_tensor_open(name, 1, &device));
	qmdt_check_device(device, subjects);
	qmdi_tensor_close(device);
	ck_assert_int_eq(qmdi_host_current_device(), 1);
}

START_TEST(every_operation_does_what_the_reference_does) {
	check_device("cuda:0", QMDT_ALL);
}
END_TEST

/* Blocks and warps by chance, and an engine that takes memory to work. */
START_TEST(no_order_of_threads_changes_a_bit) {
	qmdi_host_machine machine = qmdt_small_gpus;
	const qmdi_host_vendor vendor = {.engines = {{.workspace = 70001}}, .n_engines = 1};
	machine.seed = 42;
	qmdt_set_machine(&machine, 0);
	qmdi_host_vendor_set(&vendor);
	check_device("cuda", QMDT_ALL & ~(QMDT_MEMORY | QMDT_ENVIRONMENT));
}
END_TEST

/* ---- Devices and libraries that do not serve ---- */

START_TEST(what_is_missing_is_named) {
	qmdi_host_machine machine = qmdt_small_gpus;
	machine.has_driver = 0;
	qmdt_set_machine(&machine, 0);
	fails_to_open("cuda", QMD_ERROR_UNSUPPORTED, "driver");
	machine.has_driver = 1, machine.n_devices = 0;
	qmdt_set_machine(&machine, 0);
	fails_to_open("cuda", QMD_ERROR_UNSUPPORTED, "no device");
	machine.n_devices = 2, machine.capability = 61;
	qmdt_set_machine(&machine, 0);
	fails_to_open("cuda", QMD_ERROR_UNSUPPORTED, "compute capability 6.1");
	qmdt_set_machine(&qmdt_small_gpus, 0);
	fails_to_open("cuda:2", QMD_ERROR_RANGE, "there are 2");
	const qmdi_host_vendor missing = {.is_missing = 1};
	qmdi_host_vendor_set(&missing);
	fails_to_open("cuda", QMD_ERROR_UNSUPPORTED, "libcudnn");
}
END_TEST

/* ---- Engines ---- */

static const qmdi_linear_shape convolution = {"the first", 1, 2, {5, 4, 3}, {5, 4, 4}, 3, 3, 1, 1, 1, 1, 1, 1};

/* Create a plan where cuDNN has one engine, which keeps no promise or is refused. */
static void fails_to_plan(const qmdi_host_engine *engine, qmd_status status, const char *part) {
	const qmdi_host_vendor vendor = {.engines = {*engine}, .n_engines = 1};
	qmdi_tensor_device *device;
	void *plan = NULL;
	qmdi_host_vendor_set(&vendor);
	qmdt_ok(qmdi_tensor_open("cuda", 1, &device));
	qmdt_ok(device->ops->enter(device));
	qmdt_fails(device->ops->linear_create(device, &convolution, QMDI_GRADIENT_INPUT, &plan), status, part);
	ck_assert_msg(strstr(qmd_last_error(), "layer 'the first'") != NULL, "%s", qmd_last_error());
	device->ops->leave(device);
	qmdi_tensor_close(device);
}

START_TEST(an_engine_that_keeps_no_promise_is_not_taken) {
	const qmdi_host_engine tensor_core = {.is_tensor_core = 1}, nondeterministic = {.is_nondeterministic = 1};
	const qmdi_host_engine refused = {.is_refused = 1}, hungry = {.workspace = ((size_t)512 << 20) + 1};
	const qmdi_host_engine large = {.workspace = (size_t)512 << 20};
	fails_to_plan(&tensor_core, QMD_ERROR_UNSUPPORTED, "2 do not promise that");
	fails_to_plan(&nondeterministic, QMD_ERROR_UNSUPPORTED, "2 do not promise that");
	fails_to_plan(&refused, QMD_ERROR_UNSUPPORTED, "NOT_SUPPORTED");
	fails_to_plan(&hungry, QMD_ERROR_UNSUPPORTED, "536870913 bytes");
	qmdi_host_machine machine = qmdt_small_gpus;
	machine.memory = 64 << 20;
	qmdi_host_machine_set(&machine);
	fails_to_plan(&large, QMD_ERROR_MEMORY, "536870912 bytes left");
}
END_TEST

/* And one that keeps them is found wherever it stands. */
START_TEST(an_engine_that_keeps_promises_is_found) {
	const qmdi_host_engine plain = {.workspace = 77};
	for (size_t place = 0; place < 4; place++) {
		qmdi_host_vendor vendor = {
			0, {{.is_tensor_core = 1}, {.is_nondeterministic = 1}, {.is_refused = 1}, {.is_tensor_core = 1}}, 4, 0};
		qmdi_tensor_device *device;
		void *plan;
		vendor.engines[place] = plain;
		qmdi_host_vendor_set(&vendor);
		qmdt_ok(qmdi_tensor_open("cuda", 1, &device));
		qmdt_ok(device->ops->enter(device));
		qmdt_ok(device->ops->linear_create(device, &convolution, QMDI_GRADIENT_INPUT, &plan));
		device->ops->linear_destroy(device, plan);
		device->ops->leave(device);
		qmdi_tensor_close(device);
	}
}
END_TEST

/* ---- Memory ---- */

START_TEST(a_full_device_says_what_was_wanted_and_what_is_left) {
	qmdi_tensor_device *device;
	qmdi_host_machine machine = qmdt_small_gpus;
	float *tensor;
	size_t before, after;
	char part[64];
	machine.memory = 64 << 20, machine.capability = 90;
	qmdt_set_machine(&machine, 0);
	qmdt_ok(qmdi_tensor_open("cuda", 1, &device));
	qmdt_ok(device->ops->available(device, &before));
	ck_assert_uint_lt(before, machine.memory);
	snprintf(part, sizeof part, "no %zu bytes left, but %zu", before / 4 * 4 + 4, before);
	qmdt_fails(device->ops->allocate(device, before / 4 + 1, &tensor), QMD_ERROR_MEMORY, part);
	qmdt_fails(device->ops->allocate(device, SIZE_MAX / 2, &tensor), QMD_ERROR_MEMORY, "numbers");
	qmdt_ok(device->ops->allocate(device, before / 4, &tensor));
	qmdt_ok(device->ops->available(device, &after));
	ck_assert_uint_lt(after, 4);
	device->ops->release(device, tensor);
	qmdt_ok(device->ops->available(device, &after));
	ck_assert_uint_eq(after, before);
	qmdi_tensor_close(device);
}
END_TEST

/* ---- Every call fails once ---- */

enum { N = 2 * 5 * 4 * 4 };

static const qmdi_linear_shape dense = {"last", 0, 2, {2, 2, 4}, {1, 1, 3}, 0, 0, 0, 0, 0, 0, 0, 0};

static qmd_status run_dense(qmdi_tensor_device *device, float *t[4], void *plan) {
	const qmdi_tensor_ops *ops = device->ops;
	QMDI_TRY(ops->linear_forward(device, plan, t[0], t[1], t[3], t[2]));
	QMDI_TRY(ops->linear_backward_parameters(device, plan, t[0], t[2], t[1], t[3]));
	return ops->linear_backward_input(device, plan, t[1], t[2], t[0]);
}

static qmd_status run_layers(qmdi_tensor_device *device, float *t[4], void *plans[4]) {
	const qmdi_tensor_ops *ops = device->ops;
	const qmdi_pool_shape pool = {"second", 1, 2, {5, 4, 4}, {2, 2, 4}, 2, 2, 2, 2};
	const qmdi_batchnorm_shape norm = {"third", 2, 20, 4, 1e-3f, 0.9f};
	const qmdi_grid grid = {t[3], 2, 1, N / 2, -127, 127};
	QMDI_TRY(ops->linear_create(device, &convolution, QMDI_GRADIENT_PARAMETERS | QMDI_GRADIENT_INPUT, &plans[0]));
	QMDI_TRY(ops->pool_create(device, &pool, &plans[1]));
	QMDI_TRY(ops->batchnorm_create(device, &norm, &plans[2]));
	QMDI_TRY(ops->linear_create(device, &dense, QMDI_GRADIENT_PARAMETERS | QMDI_GRADIENT_INPUT, &plans[3]));
	QMDI_TRY(ops->linear_forward(device, plans[0], t[0], t[1], t[1], t[2]));
	QMDI_TRY(ops->linear_backward_parameters(device, plans[0], t[0], t[2], t[1], t[3]));
	QMDI_TRY(ops->linear_backward_input(device, plans[0], t[1], t[2], t[0]));
	QMDI_TRY(ops->batchnorm_training(device, plans[2], t[2], t[3], t[3] + 4, t[3] + 8, t[3] + 12, t[0]));
	QMDI_TRY(ops->batchnorm_backward(device, plans[2], t[2], t[3], t[0], t[3] + 16, t[3] + 20, NULL));
	QMDI_TRY(ops->batchnorm_inference(device, plans[2], t[2], t[3], t[3] + 4, t[3] + 8, t[3] + 12, t[0]));
	QMDI_TRY(ops->batchnorm_backward_inference(device, plans[2], t[3], t[3] + 12, t[0], t[2]));
	QMDI_TRY(ops->pool_forward(device, plans[1], t[2], t[0]));
	QMDI_TRY(ops->pool_backward(device, plans[1], t[2], t[0], t[0], t[1]));
	QMDI_TRY(run_dense(device, t, plans[3]));
	QMDI_TRY(ops->relu(device, N, t[2], t[2]));
	QMDI_TRY(ops->scale_gradients(device, &grid, t[2], t[0], t[1]));
	return ops->softmax(device, 2, N / 2, t[2], t[0]);
}

static qmd_status enter_and_run(qmdi_tensor_device *device, float *t[4]) {
	const qmdi_tensor_ops *ops = device->ops;
	void *plans[4] = {NULL, NULL, NULL, NULL};
	QMDI_TRY(ops->enter(device));
	const qmd_status status = run_layers(device, t, plans);
	ops->linear_destroy(device, plans[0]);
	ops->pool_destroy(device, plans[1]);
	ops->batchnorm_destroy(device, plans[2]);
	ops->linear_destroy(device, plans[3]);
	ops->leave(device);
	return status;
}

static qmd_status run_and_download(qmdi_tensor_device *device, float *t[4], float **host) {
	const qmdi_tensor_ops *ops = device->ops;
	for (size_t i = 0; i < 4; i++)
		QMDI_TRY(ops->allocate(device, N, &t[i]));
	QMDI_TRY(ops->allocate_host(device, N, host));
	QMDI_TRY(ops->upload(device, *host, N, t[0]));
	QMDI_TRY(enter_and_run(device, t));
	return ops->download(device, t[0], N, *host);
}

static qmd_status open_run_and_close(void *argument) {
	(void)argument;
	qmdi_tensor_device *device;
	float *t[4] = {NULL, NULL, NULL, NULL}, *host = NULL;
	QMDI_TRY(qmdi_tensor_open("cuda", 1, &device));
	const qmd_status status = run_and_download(device, t, &host);
	for (size_t i = 0; i < 4; i++)
		device->ops->release(device, t[i]);
	device->ops->release_host(device, host);
	qmdi_tensor_close(device);
	return status;
}

/* A plan may do without an engine whose description fails; all else must tell. */
START_TEST(every_call_may_fail_and_nothing_is_left) {
	ck_assert_uint_gt(qmdt_fail_each_device_call(open_run_and_close, NULL), 100);
}
END_TEST

/* What failed first is told, and not what fails while things are given back. */
START_TEST(giving_back_leaves_the_error) {
	qmdi_host_machine machine = qmdt_small_gpus;
	for (machine.failing_call = 1; machine.failing_call < 5; machine.failing_call++) {
		qmdi_tensor_device *device;
		float *tensor = NULL, *host = NULL;
		void *plan = NULL;
		qmdt_ok(qmdi_tensor_open("cuda", 1, &device));
		qmdt_ok(device->ops->allocate(device, N, &tensor));
		qmdt_ok(device->ops->allocate_host(device, N, &host));
		qmdt_ok(device->ops->enter(device));
		qmdt_ok(device->ops->linear_create(device, &convolution, 0, &plan));
		device->ops->leave(device);
		(void)qmdi_fail(QMD_ERROR_INTERNAL, "the first failure");
		qmdi_host_machine_set(&machine);
		device->ops->linear_destroy(device, plan);
		qmdi_host_machine_set(&machine);
		device->ops->release(device, tensor);
		qmdi_host_machine_set(&machine);
		device->ops->release_host(device, host);
		qmdi_host_machine_set(&machine);
		qmdi_tensor_close(device);
		ck_assert_str_eq(qmd_last_error(), "the first failure");
		qmdt_set_machine(&qmdt_small_gpus, 0);
		ck_assert_uint_eq(qmdi_host_n_objects(), 0);
	}
}
END_TEST

START_TEST(every_allocation_of_the_host_may_fail) {
	ck_assert_uint_gt(qmdt_fail_each_allocation(open_run_and_close, NULL), 5);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("cuda tensor");
	TCase *tests = tcase_create("all");
	tcase_set_timeout(tests, 0);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, every_operation_does_what_the_reference_does);
	tcase_add_test(tests, no_order_of_threads_changes_a_bit);
	tcase_add_test(tests, what_is_missing_is_named);
	tcase_add_test(tests, an_engine_that_keeps_no_promise_is_not_taken);
	tcase_add_test(tests, an_engine_that_keeps_promises_is_found);
	tcase_add_test(tests, a_full_device_says_what_was_wanted_and_what_is_left);
	tcase_add_test(tests, every_call_may_fail_and_nothing_is_left);
	tcase_add_test(tests, giving_back_leaves_the_error);
	tcase_add_test(tests, every_allocation_of_the_host_may_fail);
	suite_add_tcase(suite, tests);
	return qmdt_run(suite);
}
