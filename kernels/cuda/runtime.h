/*
 * What the back end asks of a CUDA device, in plain C without a CUDA header: memory, streams, events, launches, graphs.
 * Two implementations: runtime_cuda.c on the CUDA runtime, and host/runtime_host.cpp, which emulates devices on the CPU
 * for tests (host/host_device.h). All fail with the last error set and leave none of their own in CUDA's.
 *
 * A call needs the device of its objects to be current: qmdi_cuda_enter(). Pointers of the device must not be read or
 * written but through these calls; the emulation does not let them be.
 */
#ifndef QMD_KERNELS_CUDA_RUNTIME_H
#define QMD_KERNELS_CUDA_RUNTIME_H

#include <qmd/base.h>

#include "launch.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The oldest device, as 10 * major + minor of its compute capability, that kernels are built for. */
#define QMDI_CUDA_OLDEST 75

#define QMDI_CUDA_NAME_SIZE 256

typedef struct qmdi_cuda_device {
	int number, capability; /* 10 * major + minor: 90 for sm_90 */
	uint32_t n_multiprocessors;
	char name[QMDI_CUDA_NAME_SIZE];
} qmdi_cuda_device;

/* The host's own: cudaStream_t. */
typedef struct qmdi_cuda_stream qmdi_cuda_stream;
typedef struct qmdi_cuda_event qmdi_cuda_event;
typedef struct qmdi_cuda_graph qmdi_cuda_graph;

/* ---- Devices ---- */

/* QMD_ERROR_UNSUPPORTED where there is no driver, an old one, or no device; QMD_ERROR_RANGE beyond the last device.
 * With number -1 the one that is current for the calling thread. An old device is no error here. */
qmd_status qmdi_cuda_find_device(int number, qmdi_cuda_device *device);

/* What was current before, for this thread. */
typedef struct qmdi_cuda_scope {
	int device;
	void *context;
} qmdi_cuda_scope;

/* Make a device current, and give the host's back. leave() is for scopes whose enter() succeeded. */
qmd_status qmdi_cuda_enter(int device, qmdi_cuda_scope *before);
void qmdi_cuda_leave(const qmdi_cuda_scope *before);

/* Return what `call` does with a device current, whose number this is. */
#define QMDI_CUDA_ON_DEVICE(number, call)                                                                              \
	do {                                                                                                               \
		qmdi_cuda_scope before;                                                                                        \
		QMDI_TRY(qmdi_cuda_enter(number, &before));                                                                    \
		const qmd_status status = (call);                                                                              \
		qmdi_cuda_leave(&before);                                                                                      \
		return status;                                                                                                 \
	} while (0)

/* ---- Memory ---- */

/* On the device, aligned to 256 bytes, with anything in it; QMD_ERROR_MEMORY, which tells what is left. release accepts
 * NULL. */
qmd_status qmdi_cuda_allocate(size_t size, void **pointer);
void qmdi_cuda_release(void *pointer);

/* Bytes of the current device that nobody has; the largest piece may be smaller. */
qmd_status qmdi_cuda_available(size_t *bytes);

/* The host's, page-locked: what copies need to be fast and not to block. */
qmd_status qmdi_cuda_allocate_pinned(size_t size, void **pointer);
void qmdi_cuda_release_pinned(void *pointer);

/* The device whose memory a pointer points to; -1 for the host's memory. */
qmd_status qmdi_cuda_device_of(const void *pointer, int *device);

/* ---- Work for a stream, in order ---- */

/* Between any two memories: planes of rows of `bytes` bytes. Strides, in bytes, matter where there are several; those
 * of planes are whole numbers of rows. */
typedef struct qmdi_cuda_block {
	void *to;
	const void *from;
	size_t bytes, n_rows, n_planes;
	size_t to_row, to_plane, from_row, from_plane;
} qmdi_cuda_block;

qmd_status qmdi_cuda_copy(qmdi_cuda_stream *stream, void *to, const void *from, size_t size);
qmd_status qmdi_cuda_copy_block(qmdi_cuda_stream *stream, const qmdi_cuda_block *block);
qmd_status qmdi_cuda_fill(qmdi_cuda_stream *stream, void *pointer, int byte, size_t size);

/* dependent: it may begin before the launch ahead of it in the stream has ended, and waits in the kernel
 * (wait_for_earlier_launches()). */
qmd_status qmdi_cuda_submit(qmdi_cuda_stream *stream, const qmdi_cuda_launch *launch, int dependent);

/* ---- Streams and events ---- */

qmd_status qmdi_cuda_stream_create(qmdi_cuda_stream **stream);
void qmdi_cuda_stream_free(qmdi_cuda_stream *stream); /* NULL is allowed */
qmd_status qmdi_cuda_stream_wait(qmdi_cuda_stream *stream);

/* A stream of the host: QMD_ERROR_ARGUMENT if it is not one of the current device and its primary context. */
qmd_status qmdi_cuda_stream_check(qmdi_cuda_stream *stream);

qmd_status qmdi_cuda_event_create(qmdi_cuda_event **event);
void qmdi_cuda_event_free(qmdi_cuda_event *event); /* NULL is allowed */
qmd_status qmdi_cuda_event_record(qmdi_cuda_event *event, qmdi_cuda_stream *stream);
qmd_status qmdi_cuda_event_wait(qmdi_cuda_event *event); /* at once if it was never recorded */
qmd_status qmdi_cuda_event_seconds(qmdi_cuda_event *from, qmdi_cuda_event *to, double *seconds);

/* ---- Graphs ---- */

/* What is given to `stream` between begin and end becomes a graph and does not run. end() takes back what begin()
 * began, also when it fails. */
qmd_status qmdi_cuda_capture_begin(qmdi_cuda_stream *stream);
qmd_status qmdi_cuda_capture_end(qmdi_cuda_stream *stream, qmdi_cuda_graph **graph);
qmd_status qmdi_cuda_graph_launch(qmdi_cuda_graph *graph, qmdi_cuda_stream *stream);
void qmdi_cuda_graph_free(qmdi_cuda_graph *graph); /* NULL is allowed */

/* Nodes of a graph that are kernels. */
size_t qmdi_cuda_graph_n_kernels(const qmdi_cuda_graph *graph);

#ifdef __cplusplus
}
#endif

#endif
