/* The CPU's column: the device itself, and the table. */
#include "tensor_onednn.h"

#include <omp.h>
#include <unistd.h>

#include "tensor_host.h"

qmd_status qmdi_onednn_check(const char *name, dnnl_status_t status, const char *call) {
	if (status == dnnl_success)
		return QMD_OK;
	const qmd_status found = status == dnnl_out_of_memory   ? QMD_ERROR_MEMORY
							 : status == dnnl_unimplemented ? QMD_ERROR_UNSUPPORTED
															: QMD_ERROR_INTERNAL;
	if (!name)
		return qmdi_fail(found, "oneDNN's %s returned %d", call, (int)status);
	return qmdi_fail(found, "layer '%s': oneDNN's %s returned %d", name, call, (int)status);
}

/* ---- The device ---- */

#define TRY_DNNL(call) QMDI_TRY(qmdi_onednn_check(NULL, call, #call))

static qmd_status open_onednn(qmdi_onednn *d) {
	d->environments = qmdi_array(d->n_threads, sizeof *d->environments);
	if (!d->environments)
		return QMD_ERROR_MEMORY;
	TRY_DNNL(dnnl_engine_create(&d->engine, dnnl_cpu, 0));
	TRY_DNNL(dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags));
	TRY_DNNL(dnnl_primitive_attr_create(&d->attributes));
	/* An environment variable could ask for bfloat16 instead. */
	TRY_DNNL(dnnl_primitive_attr_set_fpmath_mode(d->attributes, dnnl_fpmath_mode_strict));
	return QMD_OK;
}

static qmd_status open_device(qmdi_tensor_device *device, int number, size_t n_threads) {
	(void)number;
	qmdi_onednn *d = device->state = qmdi_zeroed(1, sizeof *d);
	if (!d)
		return QMD_ERROR_MEMORY;
	d->n_threads = n_threads;
	return open_onednn(d);
}

static void close_device(qmdi_tensor_device *device) {
	qmdi_onednn *d = device->state;
	if (d->attributes)
		dnnl_primitive_attr_destroy(d->attributes);
	if (d->stream)
		dnnl_stream_destroy(d->stream);
	if (d->engine)
		dnnl_engine_destroy(d->engine);
	qmdi_release(d->environments);
	qmdi_release(d);
}

/* ---- The caller's threads and floating-point environment ---- */

/* A forked process has none of the threads that GNU OpenMP waits for. */
static qmd_status check_process(const qmdi_onednn *d) {
	static _Thread_local pid_t process; /* where this thread first had others beside it; 0: nowhere */
	if (d->n_threads == 1)
		return QMD_OK;
	if (process == 0)
		process = getpid();
	return process == getpid()
			   ? QMD_OK
			   : qmdi_fail(QMD_ERROR_STATE,
						   "%zu threads in a process that was forked after OpenMP had started its own, which would "
						   "wait for ever: set n_threads to 1, or fork before",
						   d->n_threads);
}

static qmd_status enter(qmdi_tensor_device *device) {
	qmdi_onednn *d = device->state;
	QMDI_TRY(check_process(d));
	qmdi_float_enter(&d->environments[0]);
	d->caller_threads = omp_get_max_threads();
	omp_set_num_threads((int)d->n_threads);
	/* Threads that a host started may run in another environment. */
#pragma omp parallel
	{
		const int thread = omp_get_thread_num();
		if (thread > 0 && (size_t)thread < d->n_threads)
			qmdi_float_enter(&d->environments[thread]);
	}
	return QMD_OK;
}

static void leave(qmdi_tensor_device *device) {
	qmdi_onednn *d = device->state;
#pragma omp parallel
	{
		const int thread = omp_get_thread_num();
		if (thread > 0 && (size_t)thread < d->n_threads)
			qmdi_float_leave(&d->environments[thread]);
	}
	omp_set_num_threads(d->caller_threads);
	qmdi_float_leave(&d->environments[0]);
}

const qmdi_tensor_ops qmdi_tensor_onednn = {
	.name = "cpu",
	.is_host = 1,
	.open = open_device,
	.close = close_device,
	.enter = enter,
	.leave = leave,
	.allocate = qmdi_host_tensor_allocate,
	.release = qmdi_host_tensor_release,
	.allocate_host = qmdi_host_tensor_allocate,
	.release_host = qmdi_host_tensor_release,
	.upload = qmdi_host_tensor_copy,
	.download = qmdi_host_tensor_copy,
	.wait = qmdi_host_tensor_wait,
	.available = qmdi_host_tensor_available,
	.linear_create = qmdi_onednn_linear_create,
	.linear_destroy = qmdi_onednn_linear_destroy,
	.linear_forward = qmdi_onednn_linear_forward,
	.linear_backward_parameters = qmdi_onednn_linear_backward_parameters,
	.linear_backward_input = qmdi_onednn_linear_backward_input,
	.pool_create = qmdi_onednn_pool_create,
	.pool_destroy = qmdi_onednn_pool_destroy,
	.pool_forward = qmdi_onednn_pool_forward,
	.pool_backward = qmdi_onednn_pool_backward,
	.batchnorm_create = qmdi_onednn_batchnorm_create,
	.batchnorm_destroy = qmdi_onednn_batchnorm_destroy,
	.batchnorm_training = qmdi_onednn_batchnorm_training,
	.batchnorm_inference = qmdi_onednn_batchnorm_inference,
	.batchnorm_backward = qmdi_onednn_batchnorm_backward,
	.batchnorm_backward_inference = qmdi_onednn_batchnorm_backward_inference,
	.copy = qmdi_onednn_copy,
	.add = qmdi_onednn_add,
	.multiply = qmdi_onednn_multiply,
	.relu = qmdi_onednn_relu,
	.relu_backward = qmdi_onednn_relu_backward,
	.dropout_mask = qmdi_onednn_dropout_mask,
	.softmax = qmdi_onednn_softmax,
	.weight_scales = qmdi_onednn_weight_scales,
	.fake_quant = qmdi_onednn_fake_quant,
	.fake_quant_backward = qmdi_onednn_fake_quant_backward,
	.scale_gradients = qmdi_onednn_scale_gradients,
	.quantize_bias = qmdi_onednn_quantize_bias,
	.update = qmdi_onednn_update,
};
