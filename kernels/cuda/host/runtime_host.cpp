/* runtime.h on emulated devices (host_device.h). One lock guards everything: what runs is never two at a time. */
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

extern "C" {
#include "base/error.h"
}

#include "../runtime.h"
#include "host_device.h"
#include "host_launch.h"
#include "host_work.h"

#define ALIGNMENT 256

namespace {

/* Something for a stream to do. */
using work = std::function<qmd_status()>;

struct allocation {
	unsigned char *mapping; /* guard page, pages, guard page; the memory ends where the pages do */
	size_t mapping_size, size;
	int device;
};

std::recursive_mutex lock;
qmdi_host_machine machine = QMDI_HOST_MACHINE;
uint64_t n_calls, n_launches;
size_t n_other_objects; /* pinned memory, events, graphs, and what libraries have */
std::map<unsigned char *, allocation> allocations;
std::set<qmdi_cuda_stream *> streams;
thread_local int current_device;
thread_local void *current_context;

} // namespace

struct qmdi_cuda_stream {
	int device;
	qmd_status failed; /* of the work that was done; for good, as CUDA has it */
	std::vector<work> pending;
	std::unique_ptr<std::vector<work>> captured; /* while a capture goes on */
	size_t n_captured_kernels;
};

struct qmdi_cuda_event {
	qmdi_cuda_stream *stream; /* that it was recorded in last; NULL: never */
	bool done;
	std::chrono::steady_clock::time_point time;
};

struct qmdi_cuda_graph {
	std::vector<work> nodes;
	size_t n_kernels;
};

namespace {

/* Every call that may fail begins with this. */
qmd_status begin_call(const char *call) {
	if (!qmdi::host::count_call()) {
		return qmdi_fail(QMD_ERROR_INTERNAL, "CUDA: %s: a failure that was asked for", call);
	}
	return QMD_OK;
}

#define BEGIN                                                                                                          \
	const std::lock_guard<std::recursive_mutex> guard(lock);                                                           \
	QMDI_TRY(begin_call(__func__))

/* ---- Memory of the devices ---- */

size_t page() {
	return static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

void protect(const allocation &a, int protection) {
	mprotect(a.mapping + page(), a.mapping_size - 2 * page(), protection);
}

/* Device memory is open while one of these lives. */
struct opened {
	opened() {
		for (const auto &entry : allocations) {
			protect(entry.second, PROT_READ | PROT_WRITE);
		}
	}
	~opened() {
		for (const auto &entry : allocations) {
			protect(entry.second, PROT_NONE);
		}
	}
};

/* The allocation that holds an address, or NULL. */
const allocation *find(const void *pointer, unsigned char **start) {
	auto *address = static_cast<unsigned char *>(const_cast<void *>(pointer));
	auto next = allocations.upper_bound(address);
	if (next == allocations.begin()) {
		return nullptr;
	}
	--next;
	*start = next->first;
	return address < next->first + next->second.size ? &next->second : nullptr;
}

/* Bytes of the current device that nobody has. */
size_t available() {
	size_t used = 0;
	for (const auto &entry : allocations) {
		used += entry.second.device == current_device ? entry.second.size : 0;
	}
	return machine.memory > used ? machine.memory - used : 0;
}

/* Bytes must lie within one allocation, if they begin in one. */
qmd_status check_range(const void *pointer, size_t size, int device) {
	unsigned char *start;
	const allocation *a = find(pointer, &start);
	if (!a) {
		return QMD_OK;
	}
	if (static_cast<const unsigned char *>(pointer) + size > start + a->size) {
		return qmdi_fail(QMD_ERROR_ARGUMENT, "CUDA: a copy of %zu bytes leaves its allocation", size);
	}
	if (a->device != device) {
		return qmdi_fail(QMD_ERROR_ARGUMENT, "CUDA: memory of device %d for a stream of device %d", a->device, device);
	}
	return QMD_OK;
}

/* ---- Streams ---- */

/* Do what was given to a stream. */
void finish(qmdi_cuda_stream *stream) {
	if (stream->pending.empty()) {
		return;
	}
	const opened open;
	const std::vector<work> pending = std::move(stream->pending);
	stream->pending.clear();
	for (const work &item : pending) {
		const qmd_status status = stream->failed == QMD_OK ? item() : stream->failed;
		stream->failed = status;
	}
}

void finish_all() {
	for (qmdi_cuda_stream *stream : streams) {
		finish(stream);
	}
}

qmd_status check_stream(qmdi_cuda_stream *stream) {
	if (streams.count(stream) == 0) {
		return qmdi_fail(QMD_ERROR_ARGUMENT, "CUDA: the stream is not one");
	}
	if (stream->device != current_device) {
		return qmdi_fail(QMD_ERROR_ARGUMENT, "CUDA: the stream is of device %d, but device %d is current",
						 stream->device, current_device);
	}
	return QMD_OK;
}

qmd_status give(qmdi_cuda_stream *stream, work item) {
	QMDI_TRY(check_stream(stream));
	(stream->captured ? *stream->captured : stream->pending).push_back(std::move(item));
	return QMD_OK;
}

void copy_block(const qmdi_cuda_block &block) {
	for (size_t plane = 0; plane < block.n_planes; ++plane) {
		for (size_t row = 0; row < block.n_rows; ++row) {
			memcpy(static_cast<unsigned char *>(block.to) + plane * block.to_plane + row * block.to_row,
				   static_cast<const unsigned char *>(block.from) + plane * block.from_plane + row * block.from_row,
				   block.bytes);
		}
	}
}

size_t block_end(const qmdi_cuda_block &block, size_t row, size_t plane) {
	return (block.n_planes - 1) * plane + (block.n_rows - 1) * row + block.bytes;
}

qmd_status run_launch(const qmdi_cuda_launch &launch) {
	++n_launches;
	const uint64_t seed = machine.seed == 0 ? 0 : machine.seed + n_launches;
	if (qmdi_host_launch(&launch, seed, machine.capability, nullptr) != 0) {
		return qmdi_fail(QMD_ERROR_INTERNAL, "CUDA: %s: %s", launch.entry->name, qmdi_host_error());
	}
	return QMD_OK;
}

} // namespace

/* ---- For emulated libraries ---- */

namespace qmdi::host {

std::recursive_mutex &machine_lock() {
	return lock;
}

bool count_call() {
	return ++n_calls != machine.failing_call;
}

void count_object(int change) {
	n_other_objects += static_cast<size_t>(change);
}

bool is_device_memory(const void *pointer, size_t size) {
	unsigned char *start;
	const allocation *a = find(pointer, &start);
	return a && a->device == current_device && size <= a->size &&
		   static_cast<const unsigned char *>(pointer) <= start + a->size - size;
}

bool is_stream(qmdi_cuda_stream *stream) {
	return check_stream(stream) == QMD_OK;
}

qmd_status give_work(qmdi_cuda_stream *stream, std::function<qmd_status()> item) {
	QMDI_TRY(give(stream, std::move(item)));
	stream->n_captured_kernels += stream->captured ? 1 : 0;
	return QMD_OK;
}

} // namespace qmdi::host

/* ---- The machine ---- */

void qmdi_host_machine_set(const qmdi_host_machine *wanted) {
	const std::lock_guard<std::recursive_mutex> guard(lock);
	machine = *wanted;
	n_calls = n_launches = 0;
}

uint64_t qmdi_host_n_calls(void) {
	return n_calls;
}

uint64_t qmdi_host_n_launches(void) {
	return n_launches;
}

size_t qmdi_host_n_objects(void) {
	return n_other_objects + allocations.size() + streams.size();
}

void qmdi_host_set_current(int device, void *context) {
	current_device = device;
	current_context = context;
}

int qmdi_host_current_device(void) {
	return current_device;
}

void *qmdi_host_current_context(void) {
	return current_context;
}

/* ---- Devices ---- */

qmd_status qmdi_cuda_find_device(int number, qmdi_cuda_device *device) {
	BEGIN;
	if (!machine.has_driver) {
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "CUDA: there is no driver on this machine (emulated)");
	}
	if (machine.n_devices == 0) {
		return qmdi_fail(QMD_ERROR_UNSUPPORTED, "CUDA: there is no device (emulated)");
	}
	number = number < 0 ? current_device : number;
	if (number >= machine.n_devices) {
		return qmdi_fail(QMD_ERROR_RANGE, "CUDA: device %d, but there are %d", number, machine.n_devices);
	}
	*device = qmdi_cuda_device{number, machine.capability, 4, "emulated on the CPU"};
	return QMD_OK;
}

qmd_status qmdi_cuda_enter(int device, qmdi_cuda_scope *before) {
	BEGIN;
	*before = qmdi_cuda_scope{current_device, current_context};
	current_device = device;
	current_context = nullptr;
	return QMD_OK;
}

void qmdi_cuda_leave(const qmdi_cuda_scope *before) {
	current_device = before->device;
	current_context = before->context;
}

/* ---- Memory ---- */

qmd_status qmdi_cuda_available(size_t *bytes) {
	BEGIN;
	*bytes = available();
	return QMD_OK;
}

qmd_status qmdi_cuda_allocate(size_t size, void **pointer) {
	BEGIN;
	const size_t rounded = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	const size_t pages = (rounded + page() - 1) / page() * page();
	if (size == 0 || size > available()) {
		return qmdi_fail(QMD_ERROR_MEMORY, "CUDA: the device has no %zu bytes left, but %zu", size, available());
	}
	void *mapping = mmap(nullptr, pages + 2 * page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapping == MAP_FAILED) {
		return qmdi_fail(QMD_ERROR_MEMORY, "mmap: no %zu bytes", pages);
	}
	(void)madvise(mapping, pages + 2 * page(), MADV_HUGEPAGE); /* or filling and closing it would take long */
	const allocation made = {static_cast<unsigned char *>(mapping), pages + 2 * page(), size, current_device};
	unsigned char *start = made.mapping + page() + pages - rounded;
	protect(made, PROT_READ | PROT_WRITE);
	memset(start, QMDI_HOST_POISON, rounded);
	protect(made, PROT_NONE);
	allocations[start] = made;
	*pointer = start;
	return QMD_OK;
}

/* What was released before may be somebody else's by now, so that nothing but the end of the test will do. */
void qmdi_cuda_release(void *pointer) {
	const std::lock_guard<std::recursive_mutex> guard(lock);
	if (!pointer) {
		return;
	}
	const auto entry = allocations.find(static_cast<unsigned char *>(pointer));
	if (entry == allocations.end()) {
		fprintf(stderr, "qmdi_cuda_release: %p is no memory of a device, or was released before\n", pointer);
		abort();
	}
	finish_all();
	munmap(entry->second.mapping, entry->second.mapping_size);
	allocations.erase(entry);
}

qmd_status qmdi_cuda_allocate_pinned(size_t size, void **pointer) {
	BEGIN;
	*pointer = operator new(size);
	memset(*pointer, QMDI_HOST_POISON, size);
	++n_other_objects;
	return QMD_OK;
}

void qmdi_cuda_release_pinned(void *pointer) {
	const std::lock_guard<std::recursive_mutex> guard(lock);
	if (pointer) {
		finish_all();
		operator delete(pointer);
		--n_other_objects;
	}
}

qmd_status qmdi_cuda_device_of(const void *pointer, int *device) {
	BEGIN;
	unsigned char *start;
	const allocation *a = find(pointer, &start);
	*device = a ? a->device : -1;
	return QMD_OK;
}

/* ---- Work for a stream ---- */

qmd_status qmdi_cuda_copy(qmdi_cuda_stream *stream, void *to, const void *from, size_t size) {
	const qmdi_cuda_block block = {to, from, size, 1, 1, size, size, size, size};
	return qmdi_cuda_copy_block(stream, &block);
}

qmd_status qmdi_cuda_copy_block(qmdi_cuda_stream *stream, const qmdi_cuda_block *block) {
	BEGIN;
	QMDI_TRY(check_range(block->to, block_end(*block, block->to_row, block->to_plane), current_device));
	QMDI_TRY(check_range(block->from, block_end(*block, block->from_row, block->from_plane), current_device));
	return give(stream, [copied = *block] {
		copy_block(copied);
		return QMD_OK;
	});
}

qmd_status qmdi_cuda_fill(qmdi_cuda_stream *stream, void *pointer, int byte, size_t size) {
	BEGIN;
	QMDI_TRY(check_range(pointer, size, current_device));
	return give(stream, [pointer, byte, size] {
		memset(pointer, byte, size);
		return QMD_OK;
	});
}

qmd_status qmdi_cuda_submit(qmdi_cuda_stream *stream, const qmdi_cuda_launch *launch, int dependent) {
	(void)dependent;
	BEGIN;
	return qmdi::host::give_work(stream, [copy = *launch] { return run_launch(copy); });
}

/* ---- Streams and events ---- */

qmd_status qmdi_cuda_stream_create(qmdi_cuda_stream **stream) {
	BEGIN;
	*stream = new qmdi_cuda_stream{current_device, QMD_OK, {}, nullptr, 0};
	streams.insert(*stream);
	return QMD_OK;
}

void qmdi_cuda_stream_free(qmdi_cuda_stream *stream) {
	const std::lock_guard<std::recursive_mutex> guard(lock);
	if (streams.count(stream) != 0) {
		finish(stream);
		streams.erase(stream);
		delete stream;
	}
}

qmd_status qmdi_cuda_stream_wait(qmdi_cuda_stream *stream) {
	BEGIN;
	QMDI_TRY(check_stream(stream));
	finish(stream);
	return stream->failed;
}

qmd_status qmdi_cuda_stream_check(qmdi_cuda_stream *stream) {
	BEGIN;
	return check_stream(stream);
}

qmd_status qmdi_cuda_event_create(qmdi_cuda_event **event) {
	BEGIN;
	*event = new qmdi_cuda_event{nullptr, false, {}};
	++n_other_objects;
	return QMD_OK;
}

void qmdi_cuda_event_free(qmdi_cuda_event *event) {
	const std::lock_guard<std::recursive_mutex> guard(lock);
	if (event) {
		finish_all();
		delete event;
		--n_other_objects;
	}
}

qmd_status qmdi_cuda_event_record(qmdi_cuda_event *event, qmdi_cuda_stream *stream) {
	BEGIN;
	QMDI_TRY(give(stream, [event] {
		event->done = true;
		event->time = std::chrono::steady_clock::now();
		return QMD_OK;
	}));
	event->stream = stream;
	event->done = false;
	return QMD_OK;
}

qmd_status qmdi_cuda_event_wait(qmdi_cuda_event *event) {
	BEGIN;
	if (!event->stream || event->done) {
		return QMD_OK;
	}
	finish(event->stream);
	return event->stream->failed;
}

qmd_status qmdi_cuda_event_seconds(qmdi_cuda_event *from, qmdi_cuda_event *to, double *seconds) {
	BEGIN;
	if (!from->done || !to->done) {
		return qmdi_fail(QMD_ERROR_INTERNAL, "CUDA: an event has not happened yet");
	}
	*seconds = std::chrono::duration<double>(to->time - from->time).count();
	return QMD_OK;
}

/* ---- Graphs ---- */

qmd_status qmdi_cuda_capture_begin(qmdi_cuda_stream *stream) {
	BEGIN;
	QMDI_TRY(check_stream(stream));
	stream->captured = std::make_unique<std::vector<work>>();
	stream->n_captured_kernels = 0;
	return QMD_OK;
}

qmd_status qmdi_cuda_capture_end(qmdi_cuda_stream *stream, qmdi_cuda_graph **graph) {
	const std::lock_guard<std::recursive_mutex> guard(lock);
	const std::unique_ptr<std::vector<work>> captured = std::move(stream->captured);
	QMDI_TRY(begin_call(__func__));
	*graph = new qmdi_cuda_graph{*captured, stream->n_captured_kernels};
	++n_other_objects;
	return QMD_OK;
}

qmd_status qmdi_cuda_graph_launch(qmdi_cuda_graph *graph, qmdi_cuda_stream *stream) {
	BEGIN;
	for (const work &node : graph->nodes) {
		QMDI_TRY(give(stream, node));
	}
	return QMD_OK;
}

void qmdi_cuda_graph_free(qmdi_cuda_graph *graph) {
	const std::lock_guard<std::recursive_mutex> guard(lock);
	if (graph) {
		delete graph;
		--n_other_objects;
	}
}

size_t qmdi_cuda_graph_n_kernels(const qmdi_cuda_graph *graph) {
	return graph->n_kernels;
}
