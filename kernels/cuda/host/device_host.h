/*
 * The words of device.h on the host back end. A word that is more than arithmetic ends in block.cpp, which knows the
 * block, the warp and the thread that is running. Each takes the line it stands on, to count accesses by place and to
 * name the place in errors.
 */
#ifndef QMD_KERNELS_CUDA_DEVICE_HOST_H
#define QMD_KERNELS_CUDA_DEVICE_HOST_H

#include <algorithm>
#include <cmath>
#include <cstring>

#include "host_launch.h"

#define QMDI_DEVICE inline
#define __device__
#define __host__
#define __forceinline__ inline

struct dim3 {
	unsigned x, y, z;
};

struct alignas(8) uint2 {
	unsigned x, y;
};
struct alignas(8) int2 {
	int x, y;
};
struct alignas(8) float2 {
	float x, y;
};
struct alignas(16) uint4 {
	unsigned x, y, z, w;
};
struct alignas(16) int4 {
	int x, y, z, w;
};
struct alignas(16) float4 {
	float x, y, z, w;
};

namespace qmdi {

namespace host {

/* Where a word stands in a kernel. */
struct place {
	const char *file;
	unsigned line;
};

struct thread_context {
	dim3 thread, block, block_size, grid_size;
	unsigned char *shared;
};

extern __thread thread_context *running; /* not thread_local, which is called through a wrapper */

enum class memory { global_load, global_constant, global_store, shared };

/* A thread touches memory: checks alignment, and counts where the launch counts. */
void touch(memory kind, const void *pointer, size_t size, place where);

void copy_async(void *shared, const void *global, size_t size, place where);
void commit_copies();
void wait_copies(size_t n);
void sync_block(place where);
void sync_warp(place where);
void wait_for_earlier_launches();
void count_dot4();
bool has_m16n8k32();

/* Warp collectives: every lane brings and takes 8 bytes, rows or fragments. */
uint64_t shuffle(uint64_t value, unsigned from_lane, place where);
void load_matrix(uint32_t *r, const void *row, place where);
void multiply(int32_t *c, const uint32_t *a, const uint32_t *b, int is_unsigned, place where);
void multiply_m8n8k16(int32_t *c, uint32_t a, uint32_t b, int is_unsigned, place where);

template <class T> T shuffle_value(T value, unsigned from_lane, place where) {
	static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
	uint64_t bits = 0;
	memcpy(&bits, &value, sizeof value);
	bits = shuffle(bits, from_lane, where);
	memcpy(&value, &bits, sizeof value);
	return value;
}

inline unsigned lane() {
	const thread_context &t = *running;
	return (t.thread.x + t.block_size.x * (t.thread.y + t.block_size.y * t.thread.z)) % 32;
}

} // namespace host

#define threadIdx (qmdi::host::running->thread)
#define blockIdx (qmdi::host::running->block)
#define blockDim (qmdi::host::running->block_size)
#define gridDim (qmdi::host::running->grid_size)

/* The place of the call: default arguments are evaluated where the function is called. */
#define QMDI_PLACE const char *file = __builtin_FILE(), unsigned line = __builtin_LINE()
#define QMDI_HERE                                                                                                      \
	host::place {                                                                                                      \
		file, line                                                                                                     \
	}

using std::max;
using std::min;

inline unsigned char *shared_memory() {
	return host::running->shared;
}

template <class T> T load(const T *pointer, QMDI_PLACE) {
	host::touch(host::memory::global_load, pointer, sizeof(T), QMDI_HERE);
	return *pointer;
}

template <class T> T load_cached(const T *pointer, QMDI_PLACE) {
	return load(pointer, file, line);
}

template <class T> T load_constant(const T *pointer, QMDI_PLACE) {
	host::touch(host::memory::global_constant, pointer, sizeof(T), QMDI_HERE);
	return *pointer;
}

template <class T> void store(T *pointer, T value, QMDI_PLACE) {
	host::touch(host::memory::global_store, pointer, sizeof(T), QMDI_HERE);
	*pointer = value;
}

template <class T> T load_shared(const T *pointer, QMDI_PLACE) {
	host::touch(host::memory::shared, pointer, sizeof(T), QMDI_HERE);
	return *pointer;
}

template <class T> void store_shared(T *pointer, T value, QMDI_PLACE) {
	host::touch(host::memory::shared, pointer, sizeof(T), QMDI_HERE);
	*pointer = value;
}

template <int size> void copy_async(void *shared, const void *global, QMDI_PLACE) {
	static_assert(size == 4 || size == 16, "copies are of 4 or 16 bytes");
	host::copy_async(shared, global, size, QMDI_HERE);
}

inline void commit_copies() {
	host::commit_copies();
}

template <int n> void wait_copies() {
	host::wait_copies(n);
}

inline void sync_block(QMDI_PLACE) {
	host::sync_block(QMDI_HERE);
}

inline void sync_warp(QMDI_PLACE) {
	host::sync_warp(QMDI_HERE);
}

template <class T> T shuffle(T value, unsigned lane, QMDI_PLACE) {
	return host::shuffle_value(value, lane % 32, QMDI_HERE);
}

template <class T> T shuffle_xor(T value, unsigned mask, QMDI_PLACE) {
	return host::shuffle_value(value, (host::lane() ^ mask) % 32, QMDI_HERE);
}

template <class T> T shuffle_down(T value, unsigned n, QMDI_PLACE) {
	return host::shuffle_value(value, host::lane() + n < 32 ? host::lane() + n : host::lane(), QMDI_HERE);
}

inline void load_matrix_x4(uint32_t (&r)[4], const void *row, QMDI_PLACE) {
	host::load_matrix(r, row, QMDI_HERE);
}

template <class A> constexpr bool is_unsigned_byte = false;
template <> inline constexpr bool is_unsigned_byte<uint8_t> = true;

template <class A> void multiply_m8n8k16(int32_t &c0, int32_t &c1, uint32_t a, uint32_t b, QMDI_PLACE) {
	int32_t c[2] = {c0, c1};
	host::multiply_m8n8k16(c, a, b, is_unsigned_byte<A>, QMDI_HERE);
	c0 = c[0];
	c1 = c[1];
}

template <class A> void multiply_m16n8k32(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], QMDI_PLACE) {
	if (host::has_m16n8k32()) {
		host::multiply(c, a, b, is_unsigned_byte<A>, QMDI_HERE);
	} else {
		multiply_m8n8k16<A>(c[0], c[1], a[0], b[0], file, line);
		multiply_m8n8k16<A>(c[2], c[3], a[1], b[0], file, line);
		multiply_m8n8k16<A>(c[0], c[1], a[2], b[1], file, line);
		multiply_m8n8k16<A>(c[2], c[3], a[3], b[1], file, line);
	}
}

/* Sums wrap, as on the device. */
template <class A> int32_t dot4(uint32_t x, uint32_t w, int32_t c) {
	uint32_t sum = static_cast<uint32_t>(c);
	for (int i = 0; i < 32; i += 8) {
		sum += static_cast<uint32_t>(static_cast<A>(x >> i) * static_cast<int8_t>(w >> i));
	}
	host::count_dot4();
	return static_cast<int32_t>(sum);
}

inline uint32_t bytes_at(uint32_t low, uint32_t high, uint32_t shift) {
	return static_cast<uint32_t>((static_cast<uint64_t>(high) << 32 | low) >> (8 * shift));
}

inline float multiply_rn(float a, float b) {
	return a * b;
}

inline int32_t round_to_int(float value) {
	return static_cast<int32_t>(lrintf(value));
}

/* IEEE 754-2008, binary16: 1 bit of sign, 5 of exponent, 10 of fraction. The NaN is the device's. */
inline uint16_t round_to_half(float value) {
	uint32_t bits;
	memcpy(&bits, &value, sizeof bits);
	const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
	if (magnitude > 0x7f800000) {
		return 0x7fff;
	}
	if (magnitude >= 0x477ff000) { /* 65520, half way to what would be the next */
		return static_cast<uint16_t>(sign | 0x7c00);
	}
	if (magnitude < 0x38800000) { /* 2^-14: subnormal in steps of 2^-24 */
		return static_cast<uint16_t>(sign | static_cast<uint32_t>(lrintf(ldexpf(fabsf(value), 24))));
	}
	const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
	return static_cast<uint16_t>(sign | (rounded - 0x38000000) >> 13);
}

inline float from_half(uint16_t bits) {
	const int exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
	float magnitude = exponent == 0 ? ldexpf(static_cast<float>(fraction), -24)
									: ldexpf(static_cast<float>(0x400 | fraction), exponent - 25);
	if (exponent == 31) {
		magnitude = fraction ? NAN : INFINITY;
	}
	return bits & 0x8000 ? -magnitude : magnitude;
}

/* Fibers do not interrupt each other, so plain additions are atomic. */
template <class T> T atomic_add(T *pointer, T value, QMDI_PLACE) {
	host::touch(host::memory::global_store, pointer, sizeof(T), QMDI_HERE);
	const T old = *pointer;
	*pointer = static_cast<T>(old + value);
	return old;
}

inline uint32_t atomic_increment(uint32_t *pointer, uint32_t last, QMDI_PLACE) {
	host::touch(host::memory::global_store, pointer, sizeof *pointer, QMDI_HERE);
	const uint32_t old = *pointer;
	*pointer = old >= last ? 0 : old + 1;
	return old;
}

inline void fence() {
}

inline void wait_for_earlier_launches() {
	host::wait_for_earlier_launches();
}

inline void let_later_launches_start() {
}

} // namespace qmdi

#define QMDI_CUDA_KERNEL(name, n_threads, n_blocks, params_type, ...)                                                  \
	static void name##_thread(const void *params) {                                                                    \
		const params_type copy = *static_cast<const params_type *>(params);                                            \
		__VA_ARGS__(copy);                                                                                             \
	}                                                                                                                  \
	static_assert(sizeof(params_type) <= QMDI_CUDA_PARAMS_SIZE, "the parameters of a launch");                         \
	static const qmdi_cuda_entry name##_entry = {#name, nullptr, name##_thread}

#endif
