/* runtime.h on the CUDA runtime, which is linked statically and looks for the driver when it is first asked for. */
#include "runtime.h"

#include <cuda.h>
#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/memory.h"

/* Events, streams and graphs are CUDA's own under another name, so that no header needs CUDA's. */
#define STREAM(stream) ((cudaStream_t)(stream))
#define EVENT(event) ((cudaEvent_t)(event))

struct qmdi_cuda_graph {
	cudaGraphExec_t executable;
	size_t n_kernels;
};

static qmd_status status_of(cudaError_t error) {
	switch (error) {
	case cudaErrorMemoryAllocation:
		return QMD_ERROR_MEMORY;
	case cudaErrorInsufficientDriver:
	case cudaErrorNoDevice:
	case cudaErrorNoKernelImageForDevice:
	case cudaErrorUnsupportedPtxVersion:
	case cudaErrorStubLibrary:
	case cudaErrorDevicesUnavailable:
		return QMD_ERROR_UNSUPPORTED;
	case cudaErrorInvalidResourceHandle:
	case cudaErrorInvalidValue:
		return QMD_ERROR_ARGUMENT;
	default:
		return QMD_ERROR_INTERNAL;
	}
}

/* What a call left in CUDA's last error would be taken for the host's. */
static qmd_status check(cudaError_t error, const char *call) {
	if (error == cudaSuccess)
		return QMD_OK;
	(void)cudaGetLastError();
	return qmdi_fail(status_of(error), "CUDA: %s: %s (%s)", call, cudaGetErrorString(error), cudaGetErrorName(error));
}

#define CHECK(call) check((call), #call)

/* ---- Devices ---- */

static qmd_status fail_without_device(cudaError_t error) {
	int driver = 0;
	(void)cudaGetLastError();
	(void)cudaDriverGetVersion(&driver);
	if (error == cudaErrorNoDevice)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "CUDA: there is no device (the driver is there)");
	if (driver == 0)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "CUDA: there is no driver on this machine (%s)",
						 cudaGetErrorName(error));
	return qmdi_fail(QMD_ERROR_UNSUPPORTED,
					 "CUDA: the driver is for CUDA %d.%d, this libqmd was built with CUDA %d.%d: %s (%s)",
					 driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10,
					 cudaGetErrorString(error), cudaGetErrorName(error));
}

qmd_status qmdi_cuda_find_device(int number, qmdi_cuda_device *device) {
	int n = 0, major = 0, minor = 0, n_multiprocessors = 0;
	const cudaError_t error = cudaGetDeviceCount(&n);
	if (error != cudaSuccess)
		return fail_without_device(error);
	if (number < 0)
		QMDI_TRY(CHECK(cudaGetDevice(&number)));
	if (number >= n)
		return qmdi_fail(QMD_ERROR_RANGE, "CUDA: device %d, but there are %d", number, n);
	struct cudaDeviceProp properties;
	QMDI_TRY(CHECK(cudaGetDeviceProperties(&properties, number)));
	QMDI_TRY(CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, number)));
	QMDI_TRY(CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, number)));
	QMDI_TRY(CHECK(cudaDeviceGetAttribute(&n_multiprocessors, cudaDevAttrMultiProcessorCount, number)));
	*device = (qmdi_cuda_device){
		.number = number, .capability = 10 * major + minor, .n_multiprocessors = (uint32_t)n_multiprocessors};
	snprintf(device->name, sizeof device->name, "%s", properties.name);
	return QMD_OK;
}

/* A function of the driver that the runtime has no name for. It is looked up once: enter() and leave() are called
 * often, and leave() must give the host's context back where a device is lost and CUDA answers nothing more. */
typedef struct driver_function {
	const char *name;
	unsigned version;
	_Atomic(void *) address; /* NULL: not yet looked up */
} driver_function;

static driver_function get_context = {"cuCtxGetCurrent", 4000, NULL};
static driver_function set_context = {"cuCtxSetCurrent", 4000, NULL};
static driver_function get_stream_context = {"cuStreamGetCtx", 9020, NULL};

static qmd_status find_function(driver_function *function, void **address) {
	enum cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
	*address = atomic_load(&function->address);
	if (*address)
		return QMD_OK;
	QMDI_TRY(
		CHECK(cudaGetDriverEntryPointByVersion(function->name, address, function->version, cudaEnableDefault, &found)));
	if (found != cudaDriverEntryPointSuccess)
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "CUDA: the driver has no %s", function->name);
	atomic_store(&function->address, *address);
	return QMD_OK;
}

static qmd_status current_context(void **context) {
	PFN_cuCtxGetCurrent_v4000 get = NULL;
	QMDI_TRY(find_function(&get_context, (void **)&get));
	return get((CUcontext *)context) == CUDA_SUCCESS ? QMD_OK
													 : qmdi_fail(QMD_ERROR_INTERNAL, "CUDA: cuCtxGetCurrent failed");
}

/* The device's primary context becomes current, whatever the host had. */
qmd_status qmdi_cuda_enter(int device, qmdi_cuda_scope *before) {
	void *set; /* leave() will need it */
	QMDI_TRY(find_function(&set_context, &set));
	QMDI_TRY(current_context(&before->context));
	QMDI_TRY(CHECK(cudaGetDevice(&before->device)));
	return CHECK(cudaSetDevice(device));
}

void qmdi_cuda_leave(const qmdi_cuda_scope *before) {
	PFN_cuCtxSetCurrent_v4000 set = NULL;
	int device = before->device;
	if (find_function(&set_context, (void **)&set) == QMD_OK)
		(void)set((CUcontext)before->context);
	if (cudaGetDevice(&device) == cudaSuccess && device != before->device)
		(void)cudaSetDevice(before->device);
}

/* ---- Memory ---- */

qmd_status qmdi_cuda_available(size_t *bytes) {
	size_t all;
	return CHECK(cudaMemGetInfo(bytes, &all));
}

qmd_status qmdi_cuda_allocate(size_t size, void **pointer) {
	const cudaError_t error = cudaMalloc(pointer, size);
	if (error == cudaErrorMemoryAllocation) {
		size_t available = 0;
		(void)cudaGetLastError();
		(void)qmdi_cuda_available(&available);
		return qmdi_fail(QMD_ERROR_MEMORY, "CUDA: the device has no %zu bytes left, but %zu", size, available);
	}
	return check(error, "cudaMalloc");
}

void qmdi_cuda_release(void *pointer) {
	(void)cudaFree(pointer);
}

qmd_status qmdi_cuda_allocate_pinned(size_t size, void **pointer) {
	return CHECK(cudaHostAlloc(pointer, size, cudaHostAllocPortable));
}

void qmdi_cuda_release_pinned(void *pointer) {
	(void)cudaFreeHost(pointer);
}

/* Managed memory is every device's. */
qmd_status qmdi_cuda_device_of(const void *pointer, int *device) {
	struct cudaPointerAttributes attributes;
	QMDI_TRY(CHECK(cudaPointerGetAttributes(&attributes, pointer)));
	*device = -1;
	if (attributes.type == cudaMemoryTypeDevice)
		*device = attributes.device;
	else if (attributes.type == cudaMemoryTypeManaged)
		QMDI_TRY(CHECK(cudaGetDevice(device)));
	return QMD_OK;
}

/* ---- Work for a stream ---- */

qmd_status qmdi_cuda_copy(qmdi_cuda_stream *stream, void *to, const void *from, size_t size) {
	return CHECK(cudaMemcpyAsync(to, from, size, cudaMemcpyDefault, STREAM(stream)));
}

qmd_status qmdi_cuda_copy_block(qmdi_cuda_stream *stream, const qmdi_cuda_block *block) {
	const struct cudaMemcpy3DParms parameters = {
		.srcPtr = {(void *)block->from, block->from_row, block->bytes, block->from_plane / block->from_row},
		.dstPtr = {block->to, block->to_row, block->bytes, block->to_plane / block->to_row},
		.extent = {block->bytes, block->n_rows, block->n_planes},
		.kind = cudaMemcpyDefault,
	};
	return CHECK(cudaMemcpy3DAsync(&parameters, STREAM(stream)));
}

qmd_status qmdi_cuda_fill(qmdi_cuda_stream *stream, void *pointer, int byte, size_t size) {
	return CHECK(cudaMemsetAsync(pointer, byte, size, STREAM(stream)));
}

qmd_status qmdi_cuda_submit(qmdi_cuda_stream *stream, const qmdi_cuda_launch *launch, int dependent) {
	const void *kernel = launch->entry->kernel;
	if (launch->shared_bytes > QMDI_CUDA_PLAIN_SHARED_BYTES)
		QMDI_TRY(CHECK(
			cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)launch->shared_bytes)));
	cudaLaunchAttribute early = {.id = cudaLaunchAttributeProgrammaticStreamSerialization};
	early.val.programmaticStreamSerializationAllowed = 1;
	const cudaLaunchConfig_t configuration = {
		.gridDim = {launch->grid[0], launch->grid[1], launch->grid[2]},
		.blockDim = {launch->block[0], launch->block[1], launch->block[2]},
		.dynamicSmemBytes = launch->shared_bytes,
		.stream = STREAM(stream),
		.attrs = &early,
		.numAttrs = dependent ? 1 : 0,
	};
	void *arguments[] = {(void *)launch->params.bytes};
	return check(cudaLaunchKernelExC(&configuration, kernel, arguments), launch->entry->name);
}

/* ---- Streams and events ---- */

qmd_status qmdi_cuda_stream_create(qmdi_cuda_stream **stream) {
	return CHECK(cudaStreamCreateWithFlags((cudaStream_t *)stream, cudaStreamNonBlocking));
}

void qmdi_cuda_stream_free(qmdi_cuda_stream *stream) {
	if (stream)
		(void)cudaStreamDestroy(STREAM(stream));
}

qmd_status qmdi_cuda_stream_wait(qmdi_cuda_stream *stream) {
	return CHECK(cudaStreamSynchronize(STREAM(stream)));
}

qmd_status qmdi_cuda_stream_check(qmdi_cuda_stream *stream) {
	PFN_cuStreamGetCtx_v9020 get = NULL;
	void *context = NULL, *current = NULL;
	QMDI_TRY(find_function(&get_stream_context, (void **)&get));
	QMDI_TRY(current_context(&current));
	if (get(STREAM(stream), (CUcontext *)&context) != CUDA_SUCCESS)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "CUDA: the stream is not one");
	if (context != current)
		return qmdi_fail(QMD_ERROR_ARGUMENT,
						 "CUDA: the stream is of another device, or of another context than the device's primary one");
	return QMD_OK;
}

qmd_status qmdi_cuda_event_create(qmdi_cuda_event **event) {
	return CHECK(cudaEventCreate((cudaEvent_t *)event));
}

void qmdi_cuda_event_free(qmdi_cuda_event *event) {
	if (event)
		(void)cudaEventDestroy(EVENT(event));
}

qmd_status qmdi_cuda_event_record(qmdi_cuda_event *event, qmdi_cuda_stream *stream) {
	return CHECK(cudaEventRecord(EVENT(event), STREAM(stream)));
}

qmd_status qmdi_cuda_event_wait(qmdi_cuda_event *event) {
	return CHECK(cudaEventSynchronize(EVENT(event)));
}

qmd_status qmdi_cuda_event_seconds(qmdi_cuda_event *from, qmdi_cuda_event *to, double *seconds) {
	float milliseconds = 0;
	QMDI_TRY(CHECK(cudaEventElapsedTime(&milliseconds, EVENT(from), EVENT(to))));
	*seconds = 1e-3 * (double)milliseconds;
	return QMD_OK;
}

/* ---- Graphs ---- */

/* Of this thread alone: what others do meanwhile is no business of the graph. */
qmd_status qmdi_cuda_capture_begin(qmdi_cuda_stream *stream) {
	return CHECK(cudaStreamBeginCapture(STREAM(stream), cudaStreamCaptureModeThreadLocal));
}

static qmd_status count_kernels(cudaGraph_t graph, size_t *n_kernels) {
	size_t n = 0;
	QMDI_TRY(CHECK(cudaGraphGetNodes(graph, NULL, &n)));
	cudaGraphNode_t *nodes = qmdi_array(n, sizeof(cudaGraphNode_t));
	if (!nodes)
		return QMD_ERROR_MEMORY;
	qmd_status status = CHECK(cudaGraphGetNodes(graph, nodes, &n));
	*n_kernels = 0;
	for (size_t i = 0; i < n && status == QMD_OK; i++) {
		enum cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
		status = CHECK(cudaGraphNodeGetType(nodes[i], &type));
		*n_kernels += type == cudaGraphNodeTypeKernel;
	}
	qmdi_release(nodes);
	return status;
}

static qmd_status instantiate(cudaGraph_t captured, qmdi_cuda_graph *graph) {
	QMDI_TRY(count_kernels(captured, &graph->n_kernels));
	return CHECK(cudaGraphInstantiate(&graph->executable, captured, 0));
}

qmd_status qmdi_cuda_capture_end(qmdi_cuda_stream *stream, qmdi_cuda_graph **graph) {
	cudaGraph_t captured = NULL;
	QMDI_TRY(CHECK(cudaStreamEndCapture(STREAM(stream), &captured)));
	*graph = qmdi_zeroed(1, sizeof **graph);
	const qmd_status status = *graph ? instantiate(captured, *graph) : QMD_ERROR_MEMORY;
	(void)cudaGraphDestroy(captured);
	if (status != QMD_OK) {
		qmdi_release(*graph);
		*graph = NULL;
	}
	return status;
}

qmd_status qmdi_cuda_graph_launch(qmdi_cuda_graph *graph, qmdi_cuda_stream *stream) {
	return CHECK(cudaGraphLaunch(graph->executable, STREAM(stream)));
}

void qmdi_cuda_graph_free(qmdi_cuda_graph *graph) {
	if (graph)
		(void)cudaGraphExecDestroy(graph->executable);
	qmdi_release(graph);
}

size_t qmdi_cuda_graph_n_kernels(const qmdi_cuda_graph *graph) {
	return graph->n_kernels;
}
