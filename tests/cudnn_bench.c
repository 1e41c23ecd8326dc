#include "cudnn_bench.h"

#include <math.h>

const qmdi_vendor *qmdt_vendor;
qmdi_cuda_stream *qmdt_stream;
cudnnHandle_t qmdt_handle;

static void set_vendor(void) {
	const qmdi_host_machine machine = QMDI_HOST_MACHINE;
	const qmdi_host_vendor vendor = QMDI_HOST_VENDOR;
	qmdi_host_machine_set(&machine);
	qmdi_host_vendor_set(&vendor);
	qmdi_host_set_current(0, NULL);
}

void qmdt_cudnn_setup(void) {
	set_vendor();
	qmdt_ok(qmdi_vendor_open(&qmdt_vendor));
	qmdt_ok(qmdi_cuda_stream_create(&qmdt_stream));
	WORKS(cudnnCreate(&qmdt_handle));
	WORKS(cudnnSetStream(qmdt_handle, (cudaStream_t)qmdt_stream));
}

void qmdt_cudnn_teardown(void) {
	WORKS(cudnnDestroy(qmdt_handle));
	qmdi_cuda_stream_free(qmdt_stream);
	ck_assert_uint_eq(qmdi_host_n_objects(), 0);
}

void *qmdt_to_device(const void *data, size_t size) {
	void *memory;
	qmdt_ok(qmdi_cuda_allocate(size, &memory));
	if (data)
		qmdt_ok(qmdi_cuda_copy(qmdt_stream, memory, data, size));
	qmdt_ok(qmdi_cuda_stream_wait(qmdt_stream));
	return memory;
}

void qmdt_check_on_device(const float *memory, const float *expected, size_t n) {
	float found[64];
	ck_assert_uint_le(n, 64);
	qmdt_ok(qmdi_cuda_copy(qmdt_stream, found, memory, n * sizeof *found));
	qmdt_ok(qmdi_cuda_stream_wait(qmdt_stream));
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(found[i] == expected[i] || (isnan(found[i]) && isnan(expected[i])), "[%zu] is %.9g, not %.9g", i,
					  (double)found[i], (double)expected[i]);
}
