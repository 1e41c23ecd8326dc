/*
 * The emulation of cuDNN and cuBLAS that the tests of training on a GPU stand on: it refuses what the libraries refuse,
 * and more, and its numbers are those of NVIDIA's definitions. Where the real cuDNN is installed, it is asked the same
 * questions: descriptors need no device.
 */
#include "engine_fixture.h"

#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cuda/host/host_device.h"
#include "cuda/host/vendor_host.h"
#include "cuda/runtime.h"
#include "cuda/vendor/vendor.h"

static const qmdi_vendor *v;
static qmdi_cuda_stream *stream;
static cudnnHandle_t handle;

static void set_vendor(void) {
	const qmdi_host_machine machine = QMDI_HOST_MACHINE;
	const qmdi_host_vendor vendor = QMDI_HOST_VENDOR;
	qmdi_host_machine_set(&machine);
	qmdi_host_vendor_set(&vendor);
	qmdi_host_set_current(0, NULL);
}

#define WORKS(call) ck_assert_int_eq(v->call, CUDNN_STATUS_SUCCESS)
#define FAILS(status, call) ck_assert_int_eq(v->call, CUDNN_STATUS_##status)

static void setup(void) {
	set_vendor();
	qmdt_ok(qmdi_vendor_open(&v));
	qmdt_ok(qmdi_cuda_stream_create(&stream));
	WORKS(cudnnCreate(&handle));
	WORKS(cudnnSetStream(handle, (cudaStream_t)stream));
}

static void teardown(void) {
	WORKS(cudnnDestroy(handle));
	qmdi_cuda_stream_free(stream);
	ck_assert_uint_eq(qmdi_host_n_objects(), 0);
}

/* ---- Memory of the device ---- */

static void *to_device(const void *data, size_t size) {
	void *memory;
	qmdt_ok(qmdi_cuda_allocate(size, &memory));
	if (data)
		qmdt_ok(qmdi_cuda_copy(stream, memory, data, size));
	qmdt_ok(qmdi_cuda_stream_wait(stream));
	return memory;
}

#define TO_DEVICE(...) to_device((const float[]){__VA_ARGS__}, sizeof((const float[]){__VA_ARGS__}))

static void check_device(const float *memory, const float *expected, size_t n) {
	float found[64];
	ck_assert_uint_le(n, 64);
	qmdt_ok(qmdi_cuda_copy(stream, found, memory, n * sizeof *found));
	qmdt_ok(qmdi_cuda_stream_wait(stream));
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(found[i] == expected[i] || (isnan(found[i]) && isnan(expected[i])), "[%zu] is %.9g, not %.9g", i,
					  (double)found[i], (double)expected[i]);
}

#define CHECK_DEVICE(memory, ...)                                                                                      \
	check_device(memory, (const float[]){__VA_ARGS__}, sizeof((const float[]){__VA_ARGS__}) / sizeof(float))

/* ---- The same questions to the real library ---- */

typedef struct functions {
	qmdi_cudnnBackendCreateDescriptor *create;
	qmdi_cudnnBackendDestroyDescriptor *destroy;
	qmdi_cudnnBackendSetAttribute *set;
	qmdi_cudnnBackendGetAttribute *get;
	qmdi_cudnnBackendFinalize *finalize;
	qmdi_cudnnCreateTensorDescriptor *create_tensor;
	qmdi_cudnnSetTensor4dDescriptor *set_tensor;
	qmdi_cudnnDestroyTensorDescriptor *destroy_tensor;
	qmdi_cudnnCreatePoolingDescriptor *create_pooling;
	qmdi_cudnnSetPooling2dDescriptor *set_pooling;
	qmdi_cudnnGetPooling2dForwardOutputDim *pooled;
	qmdi_cudnnDestroyPoolingDescriptor *destroy_pooling;
} functions;

#define MAX_ANSWERS 128

typedef struct answers {
	int values[MAX_ANSWERS];
	const char *questions[MAX_ANSWERS];
	size_t n;
} answers;

/* A number that a function gave, or its status. */
#define NOTE(question, number)                                                                                         \
	do {                                                                                                               \
		ck_assert_uint_lt(a->n, MAX_ANSWERS);                                                                          \
		a->questions[a->n] = question;                                                                                 \
		a->values[a->n++] = (int)(number);                                                                             \
	} while (0)
#define ASK(call) NOTE(#call, f->call)

static const cudnnDataType_t fp32 = CUDNN_DATA_FLOAT;

#define SET(descriptor, name, type, n, values) set(descriptor, CUDNN_ATTR_##name, CUDNN_TYPE_##type, n, values)

static void ask_tensor(const functions *f, answers *a) {
	const int64_t one = 1, sixteen = 16, three = 3, dims[] = {1, 8, 4, 4}, strides[] = {128, 1, 32, 8};
	int64_t found[8], n = -1;
	cudnnBackendDescriptor_t t;
	ASK(create(CUDNN_BACKEND_TENSOR_DESCRIPTOR, &t));
	ASK(finalize(t));
	ASK(SET(t, TENSOR_UNIQUE_ID, INT64, 1, &one));
	ASK(SET(t, TENSOR_UNIQUE_ID, INT64, 2, dims));
	ASK(SET(t, TENSOR_UNIQUE_ID, INT64, 0, dims));
	ASK(SET(t, TENSOR_UNIQUE_ID, FLOAT, 1, &one));
	ASK(SET(t, TENSOR_UNIQUE_ID, INT64, 1, NULL));
	ASK(SET(t, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1, &fp32));
	ASK(SET(t, TENSOR_DATA_TYPE, DATA_TYPE, 1, &fp32));
	ASK(SET(t, TENSOR_DIMENSIONS, INT64, 4, dims));
	ASK(SET(t, TENSOR_STRIDES, INT64, 3, strides));
	ASK(SET(t, TENSOR_BYTE_ALIGNMENT, INT64, 1, &sixteen));
	ASK(finalize(t)); /* three strides */
	ASK(SET(t, TENSOR_STRIDES, INT64, 4, strides));
	ASK(SET(t, TENSOR_BYTE_ALIGNMENT, INT64, 1, &three));
	ASK(finalize(t));
	ASK(SET(t, TENSOR_BYTE_ALIGNMENT, INT64, 1, &sixteen));
	ASK(get(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 8, &n, found));
	ASK(finalize(t));
	ASK(finalize(t));
	ASK(SET(t, TENSOR_BYTE_ALIGNMENT, INT64, 1, &sixteen));
	ASK(get(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 8, &n, found));
	NOTE("dimensions of 8", n);
	(void)f->get(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 2, &n, found);
	NOTE("dimensions of 2", n);
	(void)f->get(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 0, &n, NULL);
	NOTE("dimensions of 0", n);
	ASK(get(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_FLOAT, 8, &n, found));
	ASK(get(t, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &n, found));
	ASK(destroy(t));
	ASK(destroy(NULL));
}

static cudnnBackendDescriptor_t new_tensor(const functions *f, int64_t id, const int64_t dims[4], int is_virtual) {
	const int64_t strides[] = {dims[1] * dims[2] * dims[3], 1, dims[1] * dims[3], dims[1]}, sixteen = 16;
	const bool flag = is_virtual;
	cudnnBackendDescriptor_t t;
	ck_assert_int_eq(f->create(CUDNN_BACKEND_TENSOR_DESCRIPTOR, &t), CUDNN_STATUS_SUCCESS);
	(void)f->SET(t, TENSOR_UNIQUE_ID, INT64, 1, &id);
	(void)f->SET(t, TENSOR_DATA_TYPE, DATA_TYPE, 1, &fp32);
	(void)f->SET(t, TENSOR_DIMENSIONS, INT64, 4, dims);
	(void)f->SET(t, TENSOR_STRIDES, INT64, 4, strides);
	(void)f->SET(t, TENSOR_BYTE_ALIGNMENT, INT64, 1, &sixteen);
	(void)f->SET(t, TENSOR_IS_VIRTUAL, BOOLEAN, 1, &flag);
	return t;
}

static const int64_t ones[] = {1, 1, 1}, zeros[] = {0, 0, 0}, negative[] = {-1, 1}, two = 2;
static const cudnnConvolutionMode_t cross = CUDNN_CROSS_CORRELATION;

/* Padding above and left of the image alone. */
static cudnnBackendDescriptor_t new_convolution(const functions *f, answers *a) {
	cudnnBackendDescriptor_t c;
	ASK(create(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, &c));
	ASK(finalize(c));
	ASK(SET(c, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1, &cross));
	ASK(SET(c, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1, &fp32));
	ASK(SET(c, CONVOLUTION_SPATIAL_DIMS, INT64, 1, &two));
	ASK(SET(c, CONVOLUTION_PRE_PADDINGS, INT64, 2, ones));
	ASK(SET(c, CONVOLUTION_POST_PADDINGS, INT64, 2, zeros));
	ASK(SET(c, CONVOLUTION_DILATIONS, INT64, 2, ones));
	ASK(finalize(c)); /* no strides */
	ASK(SET(c, CONVOLUTION_FILTER_STRIDES, INT64, 3, ones));
	ASK(finalize(c));
	ASK(SET(c, CONVOLUTION_FILTER_STRIDES, INT64, 2, zeros));
	ASK(finalize(c));
	ASK(SET(c, CONVOLUTION_FILTER_STRIDES, INT64, 2, ones));
	ASK(SET(c, CONVOLUTION_PRE_PADDINGS, INT64, 2, negative));
	ASK(finalize(c));
	ASK(SET(c, CONVOLUTION_PRE_PADDINGS, INT64, 2, ones));
	ASK(finalize(c));
	return c;
}

static void ask_operation(const functions *f, answers *a, const cudnnBackendDescriptor_t parts[4], int n) {
	static const cudnnBackendAttributeName_t names[] = {
		CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
		CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
	cudnnBackendDescriptor_t o;
	ASK(create(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, &o));
	for (int i = 0; i < n; i++)
		ASK(set(o, names[i], CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &parts[i]));
	ASK(finalize(o));
	ASK(destroy(o));
}

/* A convolution of 4 x 5 pixels by 2 x 3 taps to 4 x 4 pixels: right, without its output, and with what does not fit.
 */
static void ask_convolution(const functions *f, answers *a) {
	const int64_t x[] = {2, 8, 4, 5}, w[] = {3, 8, 2, 3}, y[] = {2, 3, 4, 4}, y_wrong[] = {2, 3, 5, 4},
				  w_wrong[] = {3, 4, 2, 3};
	cudnnBackendDescriptor_t parts[] = {new_convolution(f, a), new_tensor(f, 1, x, 0), new_tensor(f, 2, w, 0),
										new_tensor(f, 3, y, 0)};
	cudnnBackendDescriptor_t other_y = new_tensor(f, 3, y_wrong, 0), other_w = new_tensor(f, 2, w_wrong, 0);
	ASK(finalize(other_y));
	ASK(finalize(other_w));
	for (int i = 2; i < 4; i++)
		ASK(finalize(parts[i]));
	ask_operation(f, a, parts, 4); /* x is not finalized */
	ASK(finalize(parts[1]));
	ask_operation(f, a, parts, 4);
	ask_operation(f, a, parts, 3);
	const cudnnBackendDescriptor_t with_y[] = {parts[0], parts[1], parts[2], other_y};
	const cudnnBackendDescriptor_t with_w[] = {parts[0], parts[1], other_w, parts[3]};
	ask_operation(f, a, with_y, 4);
	ask_operation(f, a, with_w, 4);
	for (int i = 0; i < 4; i++)
		ASK(destroy(parts[i]));
	ASK(destroy(other_y));
	ASK(destroy(other_w));
}

static void ask_pooling(const functions *f, answers *a) {
	cudnnTensorDescriptor_t t, unset;
	cudnnPoolingDescriptor_t p;
	int n, c, h = 0, w = 0;
	ASK(create_tensor(&t));
	ASK(create_tensor(&unset));
	ASK(set_tensor(t, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 0, 1, 1, 1));
	ASK(set_tensor(t, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 65536, 1024, 33, 1));
	ASK(set_tensor(t, CUDNN_TENSOR_NHWC, (cudnnDataType_t)99, 1, 1, 1, 1));
	ASK(set_tensor(NULL, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, 1, 1, 1));
	ASK(set_tensor(t, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 2, 3, 5, 7));
	ASK(create_pooling(&p));
	ASK(pooled(p, t, &n, &c, &h, &w));
	ASK(set_pooling(p, CUDNN_POOLING_MAX, CUDNN_PROPAGATE_NAN, 0, 2, 0, 0, 2, 2));
	ASK(set_pooling(p, CUDNN_POOLING_MAX, CUDNN_PROPAGATE_NAN, 2, 2, 0, 0, 0, 2));
	ASK(set_pooling(p, (cudnnPoolingMode_t)9, CUDNN_PROPAGATE_NAN, 2, 2, 0, 0, 2, 2));
	ASK(set_pooling(p, CUDNN_POOLING_MAX, CUDNN_PROPAGATE_NAN, 2, 3, 0, 0, 2, 2));
	ASK(pooled(p, unset, &n, &c, &h, &w));
	ASK(pooled(p, t, &n, &c, &h, &w));
	NOTE("rows and columns", 10 * h + w);
	ASK(set_pooling(p, CUDNN_POOLING_MAX, CUDNN_PROPAGATE_NAN, 9, 9, 0, 0, 2, 2));
	ASK(pooled(p, t, &n, &c, &h, &w));
	ASK(destroy_pooling(p));
	ASK(destroy_tensor(t));
	ASK(destroy_tensor(unset));
	ASK(destroy_pooling(NULL));
	ASK(destroy_tensor(NULL));
}

static void (*const scripts[])(const functions *f, answers *a) = {ask_tensor, ask_convolution, ask_pooling};

static functions emulated_functions(void) {
	return (functions){v->cudnnBackendCreateDescriptor,
					   v->cudnnBackendDestroyDescriptor,
					   v->cudnnBackendSetAttribute,
					   v->cudnnBackendGetAttribute,
					   v->cudnnBackendFinalize,
					   v->cudnnCreateTensorDescriptor,
					   v->cudnnSetTensor4dDescriptor,
					   v->cudnnDestroyTensorDescriptor,
					   v->cudnnCreatePoolingDescriptor,
					   v->cudnnSetPooling2dDescriptor,
					   v->cudnnGetPooling2dForwardOutputDim,
					   v->cudnnDestroyPoolingDescriptor};
}

static void *real_library(void) {
	void *library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
	return library ? library : dlopen(QMDT_CUDNN_FOLDER "/../lib/libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
}

static int find_real_functions(functions *f) {
	static const char *const names[] = {"cudnnBackendCreateDescriptor",
										"cudnnBackendDestroyDescriptor",
										"cudnnBackendSetAttribute",
										"cudnnBackendGetAttribute",
										"cudnnBackendFinalize",
										"cudnnCreateTensorDescriptor",
										"cudnnSetTensor4dDescriptor",
										"cudnnDestroyTensorDescriptor",
										"cudnnCreatePoolingDescriptor",
										"cudnnSetPooling2dDescriptor",
										"cudnnGetPooling2dForwardOutputDim",
										"cudnnDestroyPoolingDescriptor"};
	void *library = real_library();
	for (size_t i = 0; library && i < sizeof names / sizeof *names; i++) {
		void *function = dlsym(library, names[i]);
		ck_assert_ptr_nonnull(function);
		memcpy((char *)f + i * sizeof function, &function, sizeof function);
	}
	return library != NULL;
}

START_TEST(descriptors_are_refused_as_cudnn_refuses_them) {
	const functions emulated = emulated_functions();
	functions real;
	answers expected = {.n = 0}, found = {.n = 0};
	scripts[_i](&emulated, &found);
	if (!find_real_functions(&real)) {
		printf("SKIPPED: no cuDNN on this machine, its emulation was not compared with it\n");
		return;
	}
	scripts[_i](&real, &expected);
	ck_assert_uint_eq(found.n, expected.n);
	for (size_t i = 0; i < found.n; i++)
		ck_assert_msg(found.values[i] == expected.values[i], "answer %zu, %s: %d, but cuDNN says %d", i,
					  found.questions[i], found.values[i], expected.values[i]);
}
END_TEST

/* ---- Graphs ---- */

#define MAX_OWNED 64

/* A plan of x, w, bias and y, ids 1 to 4, over one channel: 3 x 3 pixels, 2 x 2 taps, 2 x 2 outputs. */
typedef struct plan {
	cudnnBackendDescriptor_t owned[MAX_OWNED];
	size_t n_owned;
	cudnnBackendDescriptor_t graph, config, plan;
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

#define VSET(descriptor, name, type, n, values)                                                                        \
	WORKS(cudnnBackendSetAttribute(descriptor, CUDNN_ATTR_##name, CUDNN_TYPE_##type, n, values))

static const int64_t x_dims[] = {1, 1, 3, 3}, w_dims[] = {1, 1, 2, 2}, b_dims[] = {1, 1, 1, 1}, y_dims[] = {1, 1, 2, 2};

static cudnnBackendDescriptor_t final_tensor(plan *p, int64_t id, const int64_t dims[4], int is_virtual) {
	const functions f = emulated_functions();
	cudnnBackendDescriptor_t t = own(p, new_tensor(&f, id, dims, is_virtual));
	WORKS(cudnnBackendFinalize(t));
	return t;
}

static cudnnBackendDescriptor_t bare_convolution(plan *p) {
	cudnnBackendDescriptor_t c = new_descriptor(p, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
	VSET(c, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1, &cross);
	VSET(c, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1, &fp32);
	VSET(c, CONVOLUTION_SPATIAL_DIMS, INT64, 1, &two);
	VSET(c, CONVOLUTION_PRE_PADDINGS, INT64, 2, zeros);
	VSET(c, CONVOLUTION_POST_PADDINGS, INT64, 2, zeros);
	VSET(c, CONVOLUTION_DILATIONS, INT64, 2, ones);
	VSET(c, CONVOLUTION_FILTER_STRIDES, INT64, 2, ones);
	WORKS(cudnnBackendFinalize(c));
	return c;
}

static void make_operations(plan *p, cudnnBackendDescriptor_t operations[2]) {
	const cudnnPointwiseMode_t add = CUDNN_POINTWISE_ADD;
	cudnnBackendDescriptor_t convolution = bare_convolution(p), x = final_tensor(p, 1, x_dims, 0);
	cudnnBackendDescriptor_t w = final_tensor(p, 2, w_dims, 0), between = final_tensor(p, 9, y_dims, 1);
	cudnnBackendDescriptor_t b = final_tensor(p, 3, b_dims, 0), y = final_tensor(p, 4, y_dims, 0);
	cudnnBackendDescriptor_t what = new_descriptor(p, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
	VSET(what, POINTWISE_MODE, POINTWISE_MODE, 1, &add);
	VSET(what, POINTWISE_MATH_PREC, DATA_TYPE, 1, &fp32);
	WORKS(cudnnBackendFinalize(what));
	operations[0] = new_descriptor(p, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
	VSET(operations[0], OPERATION_CONVOLUTION_FORWARD_CONV_DESC, BACKEND_DESCRIPTOR, 1, &convolution);
	VSET(operations[0], OPERATION_CONVOLUTION_FORWARD_X, BACKEND_DESCRIPTOR, 1, &x);
	VSET(operations[0], OPERATION_CONVOLUTION_FORWARD_W, BACKEND_DESCRIPTOR, 1, &w);
	VSET(operations[0], OPERATION_CONVOLUTION_FORWARD_Y, BACKEND_DESCRIPTOR, 1, &between);
	WORKS(cudnnBackendFinalize(operations[0]));
	operations[1] = new_descriptor(p, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
	VSET(operations[1], OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, 1, &what);
	VSET(operations[1], OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, 1, &between);
	VSET(operations[1], OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR, 1, &b);
	VSET(operations[1], OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, 1, &y);
	WORKS(cudnnBackendFinalize(operations[1]));
}

static void make_graph(plan *p, cudnnBackendDescriptor_t operations[2]) {
	p->graph = new_descriptor(p, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
	VSET(p->graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, 2, operations);
	VSET(p->graph, OPERATIONGRAPH_HANDLE, HANDLE, 1, &handle);
}

/* The configuration of engine i of the list, and a plan of it that is not finalized. */
static void make_plan(plan *p, size_t i) {
	const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
	cudnnBackendDescriptor_t operations[2], configs[QMDI_HOST_MAX_ENGINES];
	*p = (plan){.n_owned = 0};
	make_operations(p, operations);
	make_graph(p, operations);
	WORKS(cudnnBackendFinalize(p->graph));
	cudnnBackendDescriptor_t heuristic = new_descriptor(p, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
	VSET(heuristic, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1, &p->graph);
	VSET(heuristic, ENGINEHEUR_MODE, HEUR_MODE, 1, &mode);
	WORKS(cudnnBackendFinalize(heuristic));
	for (size_t k = 0; k < QMDI_HOST_MAX_ENGINES; k++)
		configs[k] = new_descriptor(p, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
	WORKS(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
								   QMDI_HOST_MAX_ENGINES, &p->n_offered, configs));
	ck_assert_int_lt((int64_t)i, p->n_offered);
	p->config = configs[i];
	p->plan = new_descriptor(p, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
	VSET(p->plan, EXECUTION_PLAN_HANDLE, HANDLE, 1, &handle);
	VSET(p->plan, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, 1, &p->config);
}

static cudnnStatus_t execute(const plan *p, int64_t n, void *const pointers[4], void *workspace) {
	const int64_t ids[] = {1, 2, 3, 4};
	cudnnBackendDescriptor_t pack;
	WORKS(cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack));
	VSET(pack, VARIANT_PACK_UNIQUE_IDS, INT64, n, ids);
	VSET(pack, VARIANT_PACK_DATA_POINTERS, VOID_PTR, n, pointers);
	VSET(pack, VARIANT_PACK_WORKSPACE, VOID_PTR, 1, &workspace);
	WORKS(cudnnBackendFinalize(pack));
	const cudnnStatus_t status = v->cudnnBackendExecute(handle, p->plan, pack);
	WORKS(cudnnBackendDestroyDescriptor(pack)); /* before the work is done */
	return status;
}

enum { EXACT, TF32_RANDOM, RANDOM, REFUSED, WITH_WORKSPACE, N_ENGINES };

static const qmdi_host_vendor some_engines = {
	0, {{0, 0, 0, 0}, {0, 1, 1, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}, {100, 0, 0, 0}}, N_ENGINES};

/* 1 to 9 by 1, 10, 100, 1000, and 0.5. */
typedef struct arguments {
	void *pointers[4];
} arguments;

static arguments new_arguments(void) {
	return (arguments){{TO_DEVICE(1, 2, 3, 4, 5, 6, 7, 8, 9), TO_DEVICE(1, 10, 100, 1000), TO_DEVICE(0.5f),
						to_device(NULL, 4 * sizeof(float))}};
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
	qmdt_ok(qmdi_cuda_fill(stream, on_device.pointers[2], 0, sizeof(float))); /* after the graph */
	CHECK_DEVICE(on_device.pointers[3], 5421.5f, 6532.5f, 8754.5f, 9865.5f);
	free_arguments(&on_device);
}
END_TEST

START_TEST(an_engine_is_what_its_notes_say) {
	float runs[2][4];
	plan p;
	const arguments on_device = new_arguments();
	const float not_tf32 = 1 + 0x1p-11f;
	qmdi_host_vendor_set(&some_engines);
	qmdt_ok(qmdi_cuda_copy(stream, on_device.pointers[0], &not_tf32, sizeof not_tf32));
	make_plan(&p, REFUSED);
	FAILS(NOT_SUPPORTED, cudnnBackendFinalize(p.plan));
	destroy_plan(&p);
	for (size_t engine = EXACT; engine <= RANDOM; engine++) {
		make_plan(&p, engine);
		WORKS(cudnnBackendFinalize(p.plan));
		for (size_t i = 0; i < 2; i++) {
			ck_assert_int_eq(execute(&p, 4, on_device.pointers, NULL), CUDNN_STATUS_SUCCESS);
			qmdt_ok(qmdi_cuda_copy(stream, runs[i], on_device.pointers[3], sizeof runs[i]));
			qmdt_ok(qmdi_cuda_stream_wait(stream));
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
	void *workspace = to_device(NULL, 100), *short_workspace = to_device(NULL, 99);
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
	CHECK_DEVICE(on_device.pointers[3], 5421.5f, 6532.5f, 8754.5f, 9865.5f);
	destroy_plan(&p);
	qmdi_cuda_release(workspace);
	qmdi_cuda_release(short_workspace);
	free_arguments(&on_device);
}
END_TEST

START_TEST(graphs_must_hold_together) {
	plan p = {.n_owned = 0};
	cudnnBackendDescriptor_t operations[2];
	make_operations(&p, operations);
	const cudnnBackendDescriptor_t reversed[] = {operations[1], operations[0]};
	make_graph(&p, operations);
	VSET(p.graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, 1, &operations[0]); /* nobody reads what is virtual */
	FAILS(BAD_PARAM, cudnnBackendFinalize(p.graph));
	VSET(p.graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, 1, &operations[1]); /* nobody makes it */
	FAILS(BAD_PARAM, cudnnBackendFinalize(p.graph));
	VSET(p.graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, 2, reversed);
	FAILS(BAD_PARAM, cudnnBackendFinalize(p.graph));
	VSET(p.graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, 2, operations);
	WORKS(cudnnBackendFinalize(p.graph));
	FAILS(BAD_PARAM, cudnnBackendSetAttribute(p.graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 2,
											  operations));
	destroy_plan(&p);
}
END_TEST

START_TEST(what_was_destroyed_is_known) {
	cudnnBackendDescriptor_t descriptor;
	cudnnTensorDescriptor_t tensor;
	cudnnHandle_t other;
	WORKS(cudnnBackendCreateDescriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR, &descriptor));
	WORKS(cudnnBackendDestroyDescriptor(descriptor));
	FAILS(BAD_PARAM, cudnnBackendDestroyDescriptor(descriptor));
	FAILS(BAD_PARAM, cudnnBackendFinalize(descriptor));
	WORKS(cudnnCreateTensorDescriptor(&tensor));
	WORKS(cudnnDestroyTensorDescriptor(tensor));
	FAILS(BAD_PARAM, cudnnDestroyTensorDescriptor(tensor));
	WORKS(cudnnCreate(&other));
	WORKS(cudnnDestroy(other));
	FAILS(BAD_PARAM, cudnnSetStream(other, (cudaStream_t)stream));
	FAILS(BAD_PARAM_STREAM_MISMATCH, cudnnSetStream(handle, (cudaStream_t)&other));
	char words[64];
	v->cudnnGetLastErrorString(words, sizeof words);
	ck_assert_ptr_nonnull(strstr(words, "stream"));
	qmdi_host_machine machine = QMDI_HOST_MACHINE;
	machine.failing_call = 2;
	qmdi_host_machine_set(&machine);
	WORKS(cudnnCreateTensorDescriptor(&tensor));
	ck_assert_uint_eq(qmdi_host_n_objects(), 3); /* it, the stream and the handle */
	FAILS(INTERNAL_ERROR, cudnnSetTensor4dDescriptor(tensor, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, 1, 1, 1));
	WORKS(cudnnSetTensor4dDescriptor(tensor, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, 1, 1, 1));
	WORKS(cudnnDestroyTensorDescriptor(tensor));
}
END_TEST

/* ---- Pooling and batch normalization, by hand ---- */

static cudnnTensorDescriptor_t new_images(int n, int c, int h, int w) {
	cudnnTensorDescriptor_t tensor;
	WORKS(cudnnCreateTensorDescriptor(&tensor));
	WORKS(cudnnSetTensor4dDescriptor(tensor, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, n, c, h, w));
	return tensor;
}

static const float one = 1, zero = 0, half = 0.5f;

/* 2 x 3 pixels of two channels by windows of 2 x 2, a column apart. */
START_TEST(pooling_is_as_defined) {
	cudnnTensorDescriptor_t x = new_images(1, 2, 2, 3), y = new_images(1, 2, 1, 2);
	cudnnPoolingDescriptor_t p;
	void *pixels = TO_DEVICE(1, 0, 5, 0, 5, NAN, 5, 0, 3, 8, 2, 0), *pooled = TO_DEVICE(2, 2, 2, 2);
	void *d_y = TO_DEVICE(1, 10, 100, 1000), *d_x = to_device(NULL, 12 * sizeof(float));
	WORKS(cudnnCreatePoolingDescriptor(&p));
	WORKS(cudnnSetPooling2dDescriptor(p, CUDNN_POOLING_MAX_DETERMINISTIC, CUDNN_PROPAGATE_NAN, 2, 2, 0, 0, 1, 1));
	FAILS(BAD_PARAM, cudnnPoolingForward(handle, p, &one, x, pixels, &zero, x, pixels)); /* y is no smaller */
	FAILS(BAD_PARAM_NULL_POINTER, cudnnPoolingForward(handle, p, &one, x, NULL, &zero, y, pooled));
	WORKS(cudnnPoolingForward(handle, p, &one, x, pixels, &half, y, pooled));
	CHECK_DEVICE(pooled, 6, 9, 6, NAN);
	WORKS(cudnnSetPooling2dDescriptor(p, CUDNN_POOLING_MAX_DETERMINISTIC, CUDNN_NOT_PROPAGATE_NAN, 2, 2, 0, 0, 1, 1));
	WORKS(cudnnPoolingForward(handle, p, &one, x, pixels, &zero, y, pooled));
	CHECK_DEVICE(pooled, 5, 8, 5, 8);
	WORKS(cudnnPoolingBackward(handle, p, &one, y, pooled, y, d_y, x, pixels, &zero, x, d_x));
	CHECK_DEVICE(d_x, 0, 0, 0, 0, 100, 0, 1, 0, 0, 1010, 0, 0); /* of 5, 5 and 5 the last */
	WORKS(cudnnSetPooling2dDescriptor(p, CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING, CUDNN_PROPAGATE_NAN, 2, 2, 0, 0,
									  1, 1));
	WORKS(cudnnPoolingForward(handle, p, &one, x, pixels, &zero, y, pooled));
	CHECK_DEVICE(pooled, 3.5f, 2, 3.75f, NAN);
	WORKS(cudnnPoolingBackward(handle, p, &one, y, pooled, y, d_y, x, pixels, &zero, x, d_x));
	CHECK_DEVICE(d_x, 0.25f, 2.5f, 25.25f, 252.5f, 25, 250, 0.25f, 2.5f, 25.25f, 252.5f, 25, 250);
	WORKS(cudnnDestroyPoolingDescriptor(p));
	WORKS(cudnnDestroyTensorDescriptor(x));
	WORKS(cudnnDestroyTensorDescriptor(y));
	qmdi_cuda_release(pixels);
	qmdi_cuda_release(pooled);
	qmdi_cuda_release(d_y);
	qmdi_cuda_release(d_x);
}
END_TEST

/* Two channels: 1, 3, 5, 7 with mean 4 and variance 5, and four times 2. */
START_TEST(batch_normalization_is_as_defined) {
	cudnnTensorDescriptor_t x = new_images(4, 2, 1, 1), c = new_images(1, 2, 1, 1);
	const cudnnBatchNormMode_t mode = CUDNN_BATCHNORM_SPATIAL;
	void *in = TO_DEVICE(1, 2, 3, 2, 5, 2, 7, 2), *out = to_device(NULL, 8 * sizeof(float));
	void *scale = TO_DEVICE(3, 5), *bias = TO_DEVICE(1, -1), *mean = TO_DEVICE(8, 8), *variance = TO_DEVICE(0, 6);
	void *saved = to_device(NULL, 2 * sizeof(float)), *inverse = to_device(NULL, 2 * sizeof(float));
	/* 1 / sqrt(5 + 4) = 1 / 3 and 1 / sqrt(0 + 4) = 1 / 2 */
	FAILS(BAD_PARAM, cudnnBatchNormalizationForwardTraining(handle, mode, &one, &zero, x, in, x, out, x, scale, bias,
															0.25, mean, variance, 4, saved, inverse));
	FAILS(BAD_PARAM, cudnnBatchNormalizationForwardTraining(handle, mode, &one, &zero, x, in, x, out, c, scale, bias,
															0.25, mean, NULL, 4, saved, inverse));
	WORKS(cudnnBatchNormalizationForwardTraining(handle, mode, &one, &zero, x, in, x, out, c, scale, bias, 0.25, mean,
												 variance, 4, saved, inverse));
	CHECK_DEVICE(out, -2, -1, 0, -1, 2, -1, 4, -1);
	CHECK_DEVICE(mean, 7, 6.5f);
	CHECK_DEVICE(variance, 0.25f * 20 / 3, 4.5f);
	CHECK_DEVICE(saved, 4, 2);
	CHECK_DEVICE(inverse, 1.0f / 3, 0.5f);
	WORKS(cudnnBatchNormalizationForwardInference(handle, mode, &one, &zero, x, in, x, out, c, scale, bias, saved,
												  scale, 1));
	CHECK_DEVICE(out, -3.5f, -1, -0.5f, -1, 2.5f, -1, 5.5f, -1); /* variances 3 and 5, and 1 to each */
	qmdi_cuda_release(in);
	qmdi_cuda_release(out);
	qmdi_cuda_release(scale);
	qmdi_cuda_release(bias);
	qmdi_cuda_release(mean);
	qmdi_cuda_release(variance);
	qmdi_cuda_release(saved);
	qmdi_cuda_release(inverse);
	WORKS(cudnnDestroyTensorDescriptor(x));
	WORKS(cudnnDestroyTensorDescriptor(c));
}
END_TEST

/* x = -1, 1 with scale 2 and no epsilon: normalized as it is. d_bias = 1 + 3, d_scale = -1 + 3, and
 * d_x = 2 (d_y - 4 / 2 - x 2 / 2) = 0. With half the gradients and the old ones added. */
START_TEST(batch_normalization_has_its_gradients) {
	cudnnTensorDescriptor_t x = new_images(2, 1, 1, 1), c = new_images(1, 1, 1, 1);
	const cudnnBatchNormMode_t mode = CUDNN_BATCHNORM_SPATIAL;
	void *in = TO_DEVICE(-1, 1), *d_y = TO_DEVICE(1, 3), *d_x = TO_DEVICE(7, 7), *scale = TO_DEVICE(2);
	void *d_scale = TO_DEVICE(100), *d_bias = TO_DEVICE(200), *mean = TO_DEVICE(0), *inverse = TO_DEVICE(1);
	WORKS(cudnnBatchNormalizationBackward(handle, mode, &one, &zero, &half, &one, x, in, x, d_y, x, d_x, c, scale,
										  d_scale, d_bias, 0, mean, inverse));
	CHECK_DEVICE(d_x, 0, 0);
	CHECK_DEVICE(d_scale, 101);
	CHECK_DEVICE(d_bias, 202);
	WORKS(cudnnBatchNormalizationBackward(handle, mode, &one, &zero, &one, &zero, x, d_y, x, in, x, d_x, c, scale,
										  d_scale, d_bias, 0, NULL, NULL)); /* the moments of 1, 3 are 2 and 1 */
	CHECK_DEVICE(d_scale, 2);
	CHECK_DEVICE(d_bias, 0);
	qmdi_cuda_release(in);
	qmdi_cuda_release(d_y);
	qmdi_cuda_release(d_x);
	qmdi_cuda_release(scale);
	qmdi_cuda_release(d_scale);
	qmdi_cuda_release(d_bias);
	qmdi_cuda_release(mean);
	qmdi_cuda_release(inverse);
	WORKS(cudnnDestroyTensorDescriptor(x));
	WORKS(cudnnDestroyTensorDescriptor(c));
}
END_TEST

/* ---- cuBLAS ---- */

#define GEMM(a_op, b_op, m, n, k, a, lda, b, ldb, ldc)                                                                 \
	v->cublasSgemm_v2(cublas, CUBLAS_OP_##a_op, CUBLAS_OP_##b_op, m, n, k, &one, a, lda, b, ldb, &zero, c, ldc)

START_TEST(matrices_are_multiplied_by_columns) {
	cublasHandle_t cublas;
	float *a = TO_DEVICE(1, 2, 3, 4, 5, 6), *b = TO_DEVICE(1, 10, 100, 1000),
		  *c = TO_DEVICE(NAN, NAN, NAN, NAN, NAN, NAN);
	void *workspace = to_device(NULL, 512);
	ck_assert_int_eq(v->cublasCreate_v2(&cublas), CUBLAS_STATUS_SUCCESS);
	ck_assert_int_eq(GEMM(N, N, 3, 2, 2, a, 3, b, 2, 3), CUBLAS_STATUS_EXECUTION_FAILED); /* no stream */
	ck_assert_int_eq(v->cublasSetStream_v2(cublas, (cudaStream_t)stream), CUBLAS_STATUS_SUCCESS);
	ck_assert_int_eq(v->cublasSetWorkspace_v2(cublas, (char *)workspace + 4, 256), CUBLAS_STATUS_INVALID_VALUE);
	ck_assert_int_eq(v->cublasSetWorkspace_v2(cublas, workspace, 512), CUBLAS_STATUS_SUCCESS);
	ck_assert_int_eq(GEMM(N, N, 3, 2, 2, a, 2, b, 2, 3), CUBLAS_STATUS_INVALID_VALUE); /* 3 rows, 2 apart */
	ck_assert_int_eq(GEMM(N, N, 3, 3, 2, a, 3, b, 2, 3), CUBLAS_STATUS_INVALID_VALUE); /* b and c are too short */
	ck_assert_int_eq(GEMM(N, N, 3, 2, 2, &one, 3, b, 2, 3), CUBLAS_STATUS_INVALID_VALUE);
	ck_assert_int_eq(GEMM(N, N, 3, 2, 2, a, 3, b, 2, 3), CUBLAS_STATUS_SUCCESS);
	CHECK_DEVICE(c, 41, 52, 63, 4100, 5200, 6300);
	ck_assert_int_eq(GEMM(T, T, 3, 2, 2, a, 2, b, 2, 3), CUBLAS_STATUS_SUCCESS);
	CHECK_DEVICE(c, 201, 403, 605, 2010, 4030, 6050);
	ck_assert_int_eq(v->cublasDestroy_v2(cublas), CUBLAS_STATUS_SUCCESS);
	ck_assert_int_eq(v->cublasDestroy_v2(cublas), CUBLAS_STATUS_NOT_INITIALIZED);
	ck_assert_int_eq(GEMM(N, N, 3, 2, 2, a, 3, b, 2, 3), CUBLAS_STATUS_NOT_INITIALIZED);
	qmdi_cuda_release(a);
	qmdi_cuda_release(b);
	qmdi_cuda_release(c);
	qmdi_cuda_release(workspace);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("cuda cudnn host");
	TCase *emulation = tcase_create("emulation");
	tcase_set_timeout(emulation, 60);
	tcase_add_checked_fixture(emulation, setup, teardown);
	tcase_add_loop_test(emulation, descriptors_are_refused_as_cudnn_refuses_them, 0,
						(int)(sizeof scripts / sizeof *scripts));
	tcase_add_test(emulation, a_graph_is_done_late_and_without_its_descriptors);
	tcase_add_test(emulation, an_engine_is_what_its_notes_say);
	tcase_add_test(emulation, a_plan_takes_its_arguments_as_they_must_be);
	tcase_add_test(emulation, graphs_must_hold_together);
	tcase_add_test(emulation, what_was_destroyed_is_known);
	tcase_add_test(emulation, pooling_is_as_defined);
	tcase_add_test(emulation, batch_normalization_is_as_defined);
	tcase_add_test(emulation, batch_normalization_has_its_gradients);
	tcase_add_test(emulation, matrices_are_multiplied_by_columns);
	suite_add_tcase(suite, emulation);
	return qmdt_run(suite);
}
