/*
 * The emulation of cuDNN and cuBLAS that the tests of training on a GPU stand on: it refuses what the libraries refuse,
 * and more, and its numbers are those of NVIDIA's definitions. Where the real cuDNN is installed, it is asked the same
 * questions: descriptors need no device.
 */
#include "cudnn_bench.h"

#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

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

static cudnnBackendDescriptor_t new_tensor(const functions *f, int64_t id, const int64_t dims[4]) {
	const int64_t strides[] = {dims[1] * dims[2] * dims[3], 1, dims[1] * dims[3], dims[1]}, sixteen = 16;
	const bool is_virtual = false;
	cudnnBackendDescriptor_t t;
	ck_assert_int_eq(f->create(CUDNN_BACKEND_TENSOR_DESCRIPTOR, &t), CUDNN_STATUS_SUCCESS);
	(void)f->SET(t, TENSOR_UNIQUE_ID, INT64, 1, &id);
	(void)f->SET(t, TENSOR_DATA_TYPE, DATA_TYPE, 1, &fp32);
	(void)f->SET(t, TENSOR_DIMENSIONS, INT64, 4, dims);
	(void)f->SET(t, TENSOR_STRIDES, INT64, 4, strides);
	(void)f->SET(t, TENSOR_BYTE_ALIGNMENT, INT64, 1, &sixteen);
	(void)f->SET(t, TENSOR_IS_VIRTUAL, BOOLEAN, 1, &is_virtual);
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
	cudnnBackendDescriptor_t parts[] = {new_convolution(f, a), new_tensor(f, 1, x), new_tensor(f, 2, w),
										new_tensor(f, 3, y)};
	cudnnBackendDescriptor_t other_y = new_tensor(f, 3, y_wrong), other_w = new_tensor(f, 2, w_wrong);
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
	return (functions){qmdt_vendor->cudnnBackendCreateDescriptor,
					   qmdt_vendor->cudnnBackendDestroyDescriptor,
					   qmdt_vendor->cudnnBackendSetAttribute,
					   qmdt_vendor->cudnnBackendGetAttribute,
					   qmdt_vendor->cudnnBackendFinalize,
					   qmdt_vendor->cudnnCreateTensorDescriptor,
					   qmdt_vendor->cudnnSetTensor4dDescriptor,
					   qmdt_vendor->cudnnDestroyTensorDescriptor,
					   qmdt_vendor->cudnnCreatePoolingDescriptor,
					   qmdt_vendor->cudnnSetPooling2dDescriptor,
					   qmdt_vendor->cudnnGetPooling2dForwardOutputDim,
					   qmdt_vendor->cudnnDestroyPoolingDescriptor};
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
	FAILS(BAD_PARAM, cudnnSetStream(other, (cudaStream_t)qmdt_stream));
	FAILS(BAD_PARAM_STREAM_MISMATCH, cudnnSetStream(qmdt_handle, (cudaStream_t)&other));
	char words[64];
	qmdt_vendor->cudnnGetLastErrorString(words, sizeof words);
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
	void *pixels = QMDT_TO_DEVICE(1, 0, 5, 0, 5, NAN, 5, 0, 3, 8, 2, 0), *pooled = QMDT_TO_DEVICE(2, 2, 2, 2);
	void *d_y = QMDT_TO_DEVICE(1, 10, 100, 1000), *d_x = qmdt_to_device(NULL, 12 * sizeof(float));
	WORKS(cudnnCreatePoolingDescriptor(&p));
	WORKS(cudnnSetPooling2dDescriptor(p, CUDNN_POOLING_MAX_DETERMINISTIC, CUDNN_PROPAGATE_NAN, 2, 2, 0, 0, 1, 1));
	FAILS(BAD_PARAM, cudnnPoolingForward(qmdt_handle, p, &one, x, pixels, &zero, x, pixels)); /* y is no smaller */
	FAILS(BAD_PARAM_NULL_POINTER, cudnnPoolingForward(qmdt_handle, p, &one, x, NULL, &zero, y, pooled));
	WORKS(cudnnPoolingForward(qmdt_handle, p, &one, x, pixels, &half, y, pooled));
	QMDT_CHECK_ON_DEVICE(pooled, 6, 9, 6, NAN);
	WORKS(cudnnSetPooling2dDescriptor(p, CUDNN_POOLING_MAX_DETERMINISTIC, CUDNN_NOT_PROPAGATE_NAN, 2, 2, 0, 0, 1, 1));
	WORKS(cudnnPoolingForward(qmdt_handle, p, &one, x, pixels, &zero, y, pooled));
	QMDT_CHECK_ON_DEVICE(pooled, 5, 8, 5, 8);
	WORKS(cudnnPoolingBackward(qmdt_handle, p, &one, y, pooled, y, d_y, x, pixels, &zero, x, d_x));
	QMDT_CHECK_ON_DEVICE(d_x, 0, 0, 0, 0, 100, 0, 1, 0, 0, 1010, 0, 0); /* of 5, 5 and 5 the last */
	WORKS(cudnnSetPooling2dDescriptor(p, CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING, CUDNN_PROPAGATE_NAN, 2, 2, 0, 0,
									  1, 1));
	WORKS(cudnnPoolingForward(qmdt_handle, p, &one, x, pixels, &zero, y, pooled));
	QMDT_CHECK_ON_DEVICE(pooled, 3.5f, 2, 3.75f, NAN);
	WORKS(cudnnPoolingBackward(qmdt_handle, p, &one, y, pooled, y, d_y, x, pixels, &zero, x, d_x));
	QMDT_CHECK_ON_DEVICE(d_x, 0.25f, 2.5f, 25.25f, 252.5f, 25, 250, 0.25f, 2.5f, 25.25f, 252.5f, 25, 250);
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
	void *in = QMDT_TO_DEVICE(1, 2, 3, 2, 5, 2, 7, 2), *out = qmdt_to_device(NULL, 8 * sizeof(float));
	void *scale = QMDT_TO_DEVICE(3, 5), *bias = QMDT_TO_DEVICE(1, -1), *mean = QMDT_TO_DEVICE(8, 8),
		 *variance = QMDT_TO_DEVICE(0, 6);
	void *saved = qmdt_to_device(NULL, 2 * sizeof(float)), *inverse = qmdt_to_device(NULL, 2 * sizeof(float));
	/* 1 / sqrt(5 + 4) = 1 / 3 and 1 / sqrt(0 + 4) = 1 / 2 */
	FAILS(BAD_PARAM, cudnnBatchNormalizationForwardTraining(qmdt_handle, mode, &one, &zero, x, in, x, out, x, scale,
															bias, 0.25, mean, variance, 4, saved, inverse));
	FAILS(BAD_PARAM, cudnnBatchNormalizationForwardTraining(qmdt_handle, mode, &one, &zero, x, in, x, out, c, scale,
															bias, 0.25, mean, NULL, 4, saved, inverse));
	WORKS(cudnnBatchNormalizationForwardTraining(qmdt_handle, mode, &one, &zero, x, in, x, out, c, scale, bias, 0.25,
												 mean, variance, 4, saved, inverse));
	QMDT_CHECK_ON_DEVICE(out, -2, -1, 0, -1, 2, -1, 4, -1);
	QMDT_CHECK_ON_DEVICE(mean, 7, 6.5f);
	QMDT_CHECK_ON_DEVICE(variance, 0.25f * 20 / 3, 4.5f);
	QMDT_CHECK_ON_DEVICE(saved, 4, 2);
	QMDT_CHECK_ON_DEVICE(inverse, 1.0f / 3, 0.5f);
	WORKS(cudnnBatchNormalizationForwardInference(qmdt_handle, mode, &one, &zero, x, in, x, out, c, scale, bias, saved,
												  scale, 1));
	QMDT_CHECK_ON_DEVICE(out, -3.5f, -1, -0.5f, -1, 2.5f, -1, 5.5f, -1); /* variances 3 and 5, and 1 to each */
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
	void *in = QMDT_TO_DEVICE(-1, 1), *d_y = QMDT_TO_DEVICE(1, 3), *d_x = QMDT_TO_DEVICE(7, 7),
		 *scale = QMDT_TO_DEVICE(2);
	void *d_scale = QMDT_TO_DEVICE(100), *d_bias = QMDT_TO_DEVICE(200), *mean = QMDT_TO_DEVICE(0),
		 *inverse = QMDT_TO_DEVICE(1);
	WORKS(cudnnBatchNormalizationBackward(qmdt_handle, mode, &one, &zero, &half, &one, x, in, x, d_y, x, d_x, c, scale,
										  d_scale, d_bias, 0, mean, inverse));
	QMDT_CHECK_ON_DEVICE(d_x, 0, 0);
	QMDT_CHECK_ON_DEVICE(d_scale, 101);
	QMDT_CHECK_ON_DEVICE(d_bias, 202);
	WORKS(cudnnBatchNormalizationBackward(qmdt_handle, mode, &one, &zero, &one, &zero, x, d_y, x, in, x, d_x, c, scale,
										  d_scale, d_bias, 0, NULL, NULL)); /* the moments of 1, 3 are 2 and 1 */
	QMDT_CHECK_ON_DEVICE(d_scale, 2);
	QMDT_CHECK_ON_DEVICE(d_bias, 0);
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
	qmdt_vendor->cublasSgemm_v2(cublas, CUBLAS_OP_##a_op, CUBLAS_OP_##b_op, m, n, k, &one, a, lda, b, ldb, &zero, c,   \
								ldc)

START_TEST(matrices_are_multiplied_by_columns) {
	cublasHandle_t cublas;
	float *a = QMDT_TO_DEVICE(1, 2, 3, 4, 5, 6), *b = QMDT_TO_DEVICE(1, 10, 100, 1000),
		  *c = QMDT_TO_DEVICE(NAN, NAN, NAN, NAN, NAN, NAN);
	void *workspace = qmdt_to_device(NULL, 512);
	ck_assert_int_eq(qmdt_vendor->cublasCreate_v2(&cublas), CUBLAS_STATUS_SUCCESS);
	ck_assert_int_eq(GEMM(N, N, 3, 2, 2, a, 3, b, 2, 3), CUBLAS_STATUS_EXECUTION_FAILED); /* no stream */
	ck_assert_int_eq(qmdt_vendor->cublasSetStream_v2(cublas, (cudaStream_t)qmdt_stream), CUBLAS_STATUS_SUCCESS);
	ck_assert_int_eq(qmdt_vendor->cublasSetWorkspace_v2(cublas, (char *)workspace + 4, 256),
					 CUBLAS_STATUS_INVALID_VALUE);
	ck_assert_int_eq(qmdt_vendor->cublasSetWorkspace_v2(cublas, workspace, 512), CUBLAS_STATUS_SUCCESS);
	ck_assert_int_eq(GEMM(N, N, 3, 2, 2, a, 2, b, 2, 3), CUBLAS_STATUS_INVALID_VALUE); /* 3 rows, 2 apart */
	ck_assert_int_eq(GEMM(N, N, 3, 3, 2, a, 3, b, 2, 3), CUBLAS_STATUS_INVALID_VALUE); /* b and c are too short */
	ck_assert_int_eq(GEMM(N, N, 3, 2, 2, &one, 3, b, 2, 3), CUBLAS_STATUS_INVALID_VALUE);
	ck_assert_int_eq(GEMM(N, N, 3, 2, 2, c, 3, b, 2, 3), CUBLAS_STATUS_INVALID_VALUE);
	ck_assert_int_eq(GEMM(N, N, 1, 1, 2, a, 1, c, 2, 1), CUBLAS_STATUS_INVALID_VALUE);
	ck_assert_int_eq(GEMM(N, N, 3, 2, 2, a, 3, b, 2, 3), CUBLAS_STATUS_SUCCESS);
	QMDT_CHECK_ON_DEVICE(c, 41, 52, 63, 4100, 5200, 6300);
	ck_assert_int_eq(GEMM(T, T, 3, 2, 2, a, 2, b, 2, 3), CUBLAS_STATUS_SUCCESS);
	QMDT_CHECK_ON_DEVICE(c, 201, 403, 605, 2010, 4030, 6050);
	ck_assert_int_eq(qmdt_vendor->cublasDestroy_v2(cublas), CUBLAS_STATUS_SUCCESS);
	ck_assert_int_eq(qmdt_vendor->cublasDestroy_v2(cublas), CUBLAS_STATUS_NOT_INITIALIZED);
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
	tcase_add_checked_fixture(emulation, qmdt_cudnn_setup, qmdt_cudnn_teardown);
	tcase_add_loop_test(emulation, descriptors_are_refused_as_cudnn_refuses_them, 0,
						(int)(sizeof scripts / sizeof *scripts));
	tcase_add_test(emulation, what_was_destroyed_is_known);
	tcase_add_test(emulation, pooling_is_as_defined);
	tcase_add_test(emulation, batch_normalization_is_as_defined);
	tcase_add_test(emulation, batch_normalization_has_its_gradients);
	tcase_add_test(emulation, matrices_are_multiplied_by_columns);
	suite_add_tcase(suite, emulation);
	return qmdt_run(suite);
}
