/* An emulated cuDNN with a handle and a stream, and memory of its device: where tests of the emulation begin. */
#ifndef QMD_TESTS_CUDNN_BENCH_H
#define QMD_TESTS_CUDNN_BENCH_H

#include "support.h"

#include "cuda/host/host_device.h"
#include "cuda/host/vendor_host.h"
#include "cuda/runtime.h"
#include "cuda/vendor/vendor.h"

extern const qmdi_vendor *qmdt_vendor;
extern qmdi_cuda_stream *qmdt_stream;
extern cudnnHandle_t qmdt_handle;

/* A test's fixture; it ends with a check that nothing is left on the machine. */
void qmdt_cudnn_setup(void);
void qmdt_cudnn_teardown(void);

#define WORKS(call) ck_assert_int_eq(qmdt_vendor->call, CUDNN_STATUS_SUCCESS)
#define FAILS(status, call) ck_assert_int_eq(qmdt_vendor->call, CUDNN_STATUS_##status)

/* New memory of the device with these bytes; with anything where data is NULL. qmdi_cuda_release() it. */
void *qmdt_to_device(const void *data, size_t size);

/* At most 64 floats of the device are these; NaN is NaN. */
void qmdt_check_on_device(const float *memory, const float *expected, size_t n);

/* The same with numbers that are written down. */
#define QMDT_TO_DEVICE(...) qmdt_to_device((const float[]){__VA_ARGS__}, sizeof((const float[]){__VA_ARGS__}))
#define QMDT_CHECK_ON_DEVICE(memory, ...)                                                                              \
	qmdt_check_on_device(memory, (const float[]){__VA_ARGS__}, sizeof((const float[]){__VA_ARGS__}) / sizeof(float))

#endif
