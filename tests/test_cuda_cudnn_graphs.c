/*
 * Graphs of the emulated cuDNN: done late, in order, by an engine that is what its notes say; arguments that are
 * refused; and numbers of every type as the processor rounds them.
 */
#include "cudnn_bench.h"

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>

#include "engine_fixture.h"

#define MAX_OWNED 64

/* A plan of x, w, bias and y, ids 1 to 4, over one channel: 3 x 3 pixels, 2 x 2 taps, 2 x 2 outputs. */
typedef struct plan {
	cudnnBackendDescriptor_t owned[MAX_OWNED];
	size_t n_owned;
	cudnnBackendDescriptor_t graph, plan;
	int64_t n_offered;
} plan;

static cudnnBackendDescriptor_t own(plan *p, cudnnBackendDescriptor_t descriptor) {
	ck_assert_uint_lt(p->n_owned, MAX_OWNED);
	return p->owned[p->n_owned++] = descriptor;
}

static cudnnBackendDescriptor_t new_descriptor(plan *p, cudnnBackendDescriptorType_t type) {
	cudnnBackendDescriptor_t descriptor;
	WORKS(cudnnBackendCreateDescriptor(type, &descriptor));
	return own(p, descriptor);
}

static void destroy_plan(plan *p) {
	while (p->n_owned > 0)
		WORKS(cudnnBackendDestroyDescriptor(p->owned[--p->n_owned]));
}

#define SET(descriptor, name, type, n, values)                                                                         \
	WORKS(cudnnBackendSetAttribute(descriptor, CUDNN_ATTR_##name, CUDNN_TYPE_##type, n, values))

static const cudnnDataType_t fp32 = CUDNN_DATA_FLOAT;
static const cudnnConvolutionMode_t cross = CUDNN_CROSS_CORRELATION;
static const int64_t ones[] = {1, 1}, zeros[] = {0, 0}, two = 2;
static const int64_t x_dims[] = {1, 1, 3, 3}, w_dims[] = {1, 1, 2, 2}, b_dims[] = {1, 1, 1, 1}, y_dims[] = {1, 1, 2, 2};

static cudnnBackendDescriptor_t final_tensor(plan *p, int64_t id, cudnnDataType_t type, const int64_t dims[4],
											 int is_virtual) {
	const int64_t strides[] = {dims[1] * dims[2] * dims[3], 1, dims[1] * dims[3], dims[1]}, sixteen = 16;
	const bool flag = is_virtual;
	cudnnBackendDescriptor_t t = new_descriptor(p, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
	SET(t, TENSOR_UNIQUE_ID, INT64, 1, &id);
	SET(t, TENSOR_DATA_TYPE, DATA_TYPE, 1, &type);
	SET(t, TENSOR_DIMENSIONS, INT64, 4, dims);
	SET(t, TENSOR_STRIDES, INT64, 4, strides);
	SET(t, TENSOR_BYTE_ALIGNMENT, INT64, 1, &sixteen);
	SET(t, TENSOR_IS_VIRTUAL, BOOLEAN, 1, &flag);
	WORKS(cudnnBackendFinalize(t));
	return t;
}

static cudnnBackendDescriptor_t bare_convolution(plan *p) {
	cudnnBackendDescriptor_t c = new_descriptor(p, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
	SET(c, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1, &cross);
	SET(c, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1, &fp32);
	SET(c, CONVOLUTION_SPATIAL_DIMS, INT64, 1, &two);
	SET(c, CONVOLUTION_PRE_PADDINGS, INT64, 2, zeros);
	SET(c, CONVOLUTION_POST_PADDINGS, INT64, 2, zeros);
	SET(c, CONVOLUTION_DILATIONS, INT64, 2, ones);
	SET(c, CONVOLUTION_FILTER_STRIDES, INT64, 2, ones);
	WORKS(cudnnBackendFinalize(c));
	return c;
}

/* b may be NULL. */
static cudnnBackendDescriptor_t new_pointwise(plan *p, cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t x,
											  cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y) {
	cudnnBackendDescriptor_t what = new_descriptor(p, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
	SET(what, POINTWISE_MODE, POINTWISE_MODE, 1, &mode);
	SET(what, POINTWISE_MATH_PREC, DATA_TYPE, 1, &fp32);
	WORKS(cudnnBackendFinalize(what));
	cudnnBackendDescriptor_t operation = new_descriptor(p, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
	SET(operation, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, 1, &what);
	SET(operation, OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, 1, &x);
	SET(operation, OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, 1, &y);
	if (b)
		SET(operation, OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR, 1, &b);
	WORKS(cudnnBackendFinalize(operation));
	return operation;
}

static void make_operations(plan *p, cudnnBackendDescriptor_t operations[2]) {
	cudnnBackendDescriptor_t convolution = bare_convolution(p), x = final_tensor(p, 1, fp32, x_dims, 0);
	cudnnBackendDescriptor_t w = final_tensor(p, 2, fp32, w_dims, 0), between = final_tensor(p, 9, fp32, y_dims, 1);
	operations[0] = new_descriptor(p, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
	SET(operations[0], OPERATION_CONVOLUTION_FORWARD_CONV_DESC, BACKEND_DESCRIPTOR, 1, &convolution);
	SET(operations[0], OPERATION_CONVOLUTION_FORWARD_X, BACKEND_DESCRIPTOR, 1, &x);
	SET(operations[0], OPERATION_CONVOLUTION_FORWARD_W, BACKEND_DESCRIPTOR, 1, &w);
	SET(operations[0], OPERATION_CONVOLUTION_FORWARD_Y, BACKEND_DESCRIPTOR, 1, &between);
	WORKS(cudnnBackendFinalize(operations[0]));
	operations[1] = new_pointwise(p, CUDNN_POINTWISE_ADD, between, final_tensor(p, 3, fp32, b_dims, 0),
								  final_tensor(p, 4, fp32, y_dims, 0));
}

static void make_graph(plan *p, const cudnnBackendDescriptor_t *operations, int64_t n) {
	p->graph = new_descriptor(p, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
	SET(p->graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, n, operations);
	SET(p->graph, OPERATIONGRAPH_HANDLE, HANDLE, 1, &qmdt_handle);
}

/* The configuration of engine i of the list for operations, and a plan of it that is not finalized. */
static void plan_operations(plan *p, const cudnnBackendDescriptor_t *operations, int64_t n, size_t i) {
	const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
	cudnnBackendDescriptor_t configs[QMDI_HOST_MAX_ENGINES];
	make_graph(p, operations, n);
	WORKS(cudnnBackendFinalize(p->graph));
	cudnnBackendDescriptor_t heuristic = new_descriptor(p, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
	SET(heuristic, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1, &p->graph);
	SET(heuristic, ENGINEHEUR_MODE, HEUR_MODE, 1, &mode);
	WORKS(cudnnBackendFinalize(heuristic));
	for (size_t k = 0; k < QMDI_HOST_MAX_ENGINES; k++)
		configs[k] = new_descriptor(p, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
	WORKS(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
								   QMDI_HOST_MAX_ENGINES, &p->n_offered, configs));
	ck_assert_int_lt((int64_t)i, p->n_offered);
	p->plan = new_descriptor(p, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
	SET(p->plan, EXECUTION_PLAN_HANDLE, HANDLE, 1, &qmdt_handle);
	SET(p->plan, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, 1, &configs[i]);
}

static void make_plan(plan *p, size_t i) {
	cudnnBackendDescriptor_t operations[2];
	*p = (plan){.n_owned = 0};
	make_operations(p, operations);
	plan_operations(p, operations, 2, i);
}

static cudnnStatus_t execute(const plan *p, int64_t n, void *const pointers[4], void *workspace) {
	const int64_t ids[] = {1, 2, 3, 4};
	cudnnBackendDescriptor_t pack;
	WORKS(cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack));
	SET(pack, VARIANT_PACK_UNIQUE_IDS, INT64, n, ids);
	SET(pack, VARIANT_PACK_DATA_POINTERS, VOID_PTR, n, pointers);
	SET(pack, VARIANT_PACK_WORKSPACE, VOID_PTR, 1, &workspace);
	WORKS(cudnnBackendFinalize(pack));
	const cudnnStatus_t status = qmdt_vendor->cudnnBackendExecute(qmdt_handle, p->plan, pack);
	WORKS(cudnnBackendDestroyDescriptor(pack)); /* before the work is done */
	return status;
}

enum { EXACT, TF32_RANDOM, RANDOM, REFUSED, WITH_WORKSPACE, N_ENGINES };

static const qmdi_host_vendor some_engines = {
	0, {{0, 0, 0, 0}, {0, 1, 1, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}, {100, 0, 0, 0}}, N_ENGINES, 0};

/* 1 to 9 by 1, 10, 100, 1000, and 0.5. */
typedef struct arguments {
	void *pointers[4];
} arguments;

static arguments new_arguments(void) {
	return (arguments){{QMDT_TO_DEVICE(1, 2, 3, 4, 5, 6, 7, 8, 9), QMDT_TO_DEVICE(1, 10, 100, 1000),
						QMDT_TO_DEVICE(0.5f), qmdt_to_device(NULL, 4 * sizeof(float))}};
}

static void free_arguments(const arguments *of) {
	for (size_t i = 0; i < 4; i++)
		qmdi_cuda_release(of->pointers[i]);
}

START_TEST(a_graph_is_done_late_and_without_its_descriptors) {
	plan p;
	const arguments on_device = new_arguments();
	qmdi_host_vendor_set(&some_engines);
	make_plan(&p, EXACT);
	ck_assert_int_eq(p.n_offered, N_ENGINES);
	WORKS(cudnnBackendFinalize(p.plan));
	ck_assert_int_eq(execute(&p, 4, on_device.pointers, NULL), CUDNN_STATUS_SUCCESS);
	destroy_plan(&p);
	qmdt_ok(qmdi_cuda_fill(qmdt_stream, on_device.pointers[2], 0, sizeof(float))); /* after the graph */
	QMDT_CHECK_ON_DEVICE(on_device.pointers[3], 5421.5f, 6532.5f, 8754.5f, 9865.5f);
	free_arguments(&on_device);
}
END_TEST

START_TEST(an_engine_is_what_its_notes_say) {
	float runs[2][4];
	plan p;
	const arguments on_device = new_arguments();
	const float not_tf32 = 1 + 0x1p-11f;
	qmdi_host_vendor_set(&some_engines);
	qmdt_ok(qmdi_cuda_copy(qmdt_stream, on_device.pointers[0], &not_tf32, sizeof not_tf32));
	make_plan(&p, REFUSED);
	FAILS(NOT_SUPPORTED, cudnnBackendFinalize(p.plan));
	destroy_plan(&p);
	for (size_t engine = EXACT; engine <= RANDOM; engine++) {
		make_plan(&p, engine);
		WORKS(cudnnBackendFinalize(p.plan));
		for (size_t i = 0; i < 2; i++) {
			ck_assert_int_eq(execute(&p, 4, on_device.pointers, NULL), CUDNN_STATUS_SUCCESS);
			qmdt_ok(qmdi_cuda_copy(qmdt_stream, runs[i], on_device.pointers[3], sizeof runs[i]));
			qmdt_ok(qmdi_cuda_stream_wait(qmdt_stream));
		}
		ck_assert_int_eq(qmdt_same_floats(runs[0], runs[1], 4), engine == EXACT);
		const float first = 5420 + not_tf32 + 0.5f;
		ck_assert_int_eq(fabsf(runs[0][0] - first) > 0.0004f, engine == TF32_RANDOM || engine == RANDOM);
		destroy_plan(&p);
	}
	free_arguments(&on_device);
}
END_TEST

START_TEST(a_plan_takes_its_arguments_as_they_must_be) {
	plan p;
	_Alignas(16) float on_host[4];
	const arguments on_device = new_arguments();
	void *workspace = qmdt_to_device(NULL, 100), *short_workspace = qmdt_to_device(NULL, 99);
	char *const y = on_device.pointers[3];
	void *pointers[4];
#define WITH(i, pointer) (memcpy(pointers, on_device.pointers, sizeof pointers), pointers[i] = (pointer), pointers)
	qmdi_host_vendor_set(&some_engines);
	make_plan(&p, WITH_WORKSPACE);
	ck_assert_int_eq(execute(&p, 4, on_device.pointers, workspace), CUDNN_STATUS_BAD_PARAM); /* not finalized */
	WORKS(cudnnBackendFinalize(p.plan));
	ck_assert_int_eq(execute(&p, 4, on_device.pointers, NULL), CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
	ck_assert_int_eq(execute(&p, 4, on_device.pointers, short_workspace), CUDNN_STATUS_EXECUTION_FAILED);
	ck_assert_int_eq(execute(&p, 3, on_device.pointers, workspace), CUDNN_STATUS_BAD_PARAM);
	ck_assert_int_eq(execute(&p, 4, WITH(1, NULL), workspace), CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
	ck_assert_int_eq(execute(&p, 4, WITH(1, y + 4), workspace), CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
	ck_assert_int_eq(execute(&p, 4, WITH(0, y), workspace), CUDNN_STATUS_EXECUTION_FAILED); /* too short for x */
	ck_assert_int_eq(execute(&p, 4, WITH(1, y), workspace), CUDNN_STATUS_BAD_PARAM);        /* w is y */
	ck_assert_int_eq(execute(&p, 4, on_device.pointers, y), CUDNN_STATUS_EXECUTION_FAILED);
	ck_assert_int_eq(execute(&p, 4, WITH(3, on_host), workspace), CUDNN_STATUS_EXECUTION_FAILED);
	qmdi_host_set_current(1, NULL);
	ck_assert_int_eq(execute(&p, 4, on_device.pointers, workspace), CUDNN_STATUS_BAD_PARAM);
	qmdi_host_set_current(0, NULL);
	ck_assert_int_eq(execute(&p, 4, on_device.pointers, workspace), CUDNN_STATUS_SUCCESS);
	QMDT_CHECK_ON_DEVICE(on_device.pointers[3], 5421.5f, 6532.5f, 8754.5f, 9865.5f);
	destroy_plan(&p);
	qmdi_cuda_release(workspace);
	qmdi_cuda_release(short_workspace);
	free_arguments(&on_device);
}
END_TEST

/* n numbers of one type to another by one operation. */
static void convert(cudnnPointwiseMode_t mode, cudnnDataType_t from, const void *x, size_t x_size, cudnnDataType_t to,
					void *y, size_t y_size, int64_t n) {
	const int64_t dims[] = {1, 1, 1, n};
	plan p = {.n_owned = 0};
	void *pointers[4] = {qmdt_to_device(x, x_size), qmdt_to_device(NULL, y_size)};
	qmdi_host_vendor_set(&some_engines);
	const cudnnBackendDescriptor_t operation =
		new_pointwise(&p, mode, final_tensor(&p, 1, from, dims, 0), NULL, final_tensor(&p, 2, to, dims, 0));
	plan_operations(&p, &operation, 1, EXACT);
	WORKS(cudnnBackendFinalize(p.plan));
	ck_assert_int_eq(execute(&p, 2, pointers, NULL), CUDNN_STATUS_SUCCESS);
	qmdt_ok(qmdi_cuda_copy(qmdt_stream, y, pointers[1], y_size));
	qmdt_ok(qmdi_cuda_stream_wait(qmdt_stream));
	destroy_plan(&p);
	qmdi_cuda_release(pointers[0]);
	qmdi_cuda_release(pointers[1]);
}

#define N_HALVES 65536

/* Every FP16 number, and FP32 numbers of every exponent that matters, as the processor converts them. */
__attribute__((target("f16c"))) START_TEST(fp16_is_that_of_the_processor) {
	static uint16_t halves[N_HALVES], rounded[N_HALVES];
	static float floats[N_HALVES], found[N_HALVES];
	for (size_t i = 0; i < N_HALVES; i++) {
		halves[i] = (uint16_t)i;
		floats[i] =
			ldexpf((i % 2 ? -1.0f : 1.0f) * (1.0f + (float)(i * 40503 % 32768) / 32768.0f), (int)(i / 1024) - 40);
	}
	floats[0] = NAN, floats[1] = INFINITY, floats[2] = -0.0f;
	convert(CUDNN_POINTWISE_IDENTITY, CUDNN_DATA_HALF, halves, sizeof halves, fp32, found, sizeof found, N_HALVES);
	for (size_t i = 0; i < N_HALVES; i++) {
		const float expected = _cvtsh_ss(halves[i]);
		ck_assert_msg(qmdt_same_floats(&found[i], &expected, 1) || (isnan(found[i]) && isnan(expected)), "%zx", i);
	}
	convert(CUDNN_POINTWISE_IDENTITY, fp32, floats, sizeof floats, CUDNN_DATA_HALF, rounded, sizeof rounded, N_HALVES);
	for (size_t i = 0; i < N_HALVES; i++)
		ck_assert_msg(rounded[i] == _cvtss_sh(floats[i], _MM_FROUND_TO_NEAREST_INT), "%a: %x", (double)floats[i],
					  rounded[i]);
}
END_TEST

START_TEST(integers_are_rounded_to_even_and_saturated) {
	const float x[] = {2.5f, 3.5f, -2.5f, 127.5f, -128.6f, 1e30f, NAN, -0.4f};
	const int8_t expected[] = {2, 4, -2, 127, -128, 127, 0, 0};
	int8_t y[8];
	int32_t wide[8];
	float back[8];
	convert(CUDNN_POINTWISE_IDENTITY, fp32, x, sizeof x, CUDNN_DATA_INT8, y, sizeof y, 8);
	ck_assert_mem_eq(y, expected, sizeof y);
	convert(CUDNN_POINTWISE_IDENTITY, CUDNN_DATA_INT8, y, sizeof y, fp32, back, sizeof back, 8);
	for (size_t i = 0; i < 8; i++)
		ck_assert_float_eq(back[i], (float)expected[i]);
	convert(CUDNN_POINTWISE_IDENTITY, fp32, x, sizeof x, CUDNN_DATA_INT32, wide, sizeof wide, 8);
	ck_assert_int_eq(wide[3], 128);
	ck_assert_int_eq(wide[5], INT32_MAX);
	convert(CUDNN_POINTWISE_RELU_FWD, fp32, x, sizeof x, fp32, back, sizeof back, 8);
	for (size_t i = 0; i < 8; i++)
		ck_assert(i == 6 ? isnan(back[i]) : back[i] == fmaxf(x[i], 0.0f));
}
END_TEST

START_TEST(graphs_must_hold_together) {
	plan p = {.n_owned = 0};
	cudnnBackendDescriptor_t operations[2];
	make_operations(&p, operations);
	const cudnnBackendDescriptor_t reversed[] = {operations[1], operations[0]};
	make_graph(&p, operations, 2);
	SET(p.graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, 1, &operations[0]); /* nobody reads what is virtual */
	FAILS(BAD_PARAM, cudnnBackendFinalize(p.graph));
	SET(p.graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, 1, &operations[1]); /* nobody makes it */
	FAILS(BAD_PARAM, cudnnBackendFinalize(p.graph));
	SET(p.graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, 2, reversed);
	FAILS(BAD_PARAM, cudnnBackendFinalize(p.graph));
	SET(p.graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, 2, operations);
	WORKS(cudnnBackendFinalize(p.graph));
	FAILS(BAD_PARAM, cudnnBackendSetAttribute(p.graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 2,
											  operations));
	destroy_plan(&p);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("cuda cudnn graphs");
	TCase *graphs = tcase_create("graphs");
	tcase_set_timeout(graphs, 60);
	tcase_add_checked_fixture(graphs, qmdt_cudnn_setup, qmdt_cudnn_teardown);
	tcase_add_test(graphs, a_graph_is_done_late_and_without_its_descriptors);
	tcase_add_test(graphs, an_engine_is_what_its_notes_say);
	tcase_add_test(graphs, a_plan_takes_its_arguments_as_they_must_be);
	tcase_add_test(graphs, fp16_is_that_of_the_processor);
	tcase_add_test(graphs, integers_are_rounded_to_even_and_saturated);
	tcase_add_test(graphs, graphs_must_hold_together);
	suite_add_tcase(suite, graphs);
	return qmdt_run(suite);
}
