/*
 * What a kernel may say to the machine: every instruction that is not plain C++, with two back ends. nvcc gets inline
 * PTX (below); any other compiler gets host C++ (host/device_host.h), where the threads of a block are fibers. A kernel
 * is written once, in these words, and is tested on a CPU.
 *
 * Beside threadIdx, blockIdx, blockDim and gridDim, all in namespace qmdi:
 *
 *   shared_memory()                     dynamic shared memory of the block, 16-byte aligned; there is no other
 *   load(p)  store(p, v)                global memory: data that an earlier launch wrote or another block reads
 *   load_cached(p)                      the same, where this launch does not write and the block reads several times
 *   load_constant(p)                    global memory that nobody writes while the kernel runs or waits: weights
 *   load_shared(p)  store_shared(p, v)  shared memory. Values of 1, 2, 4, 8 or 16 bytes, aligned to their size
 *   copy_async<4 | 16>(shared, global)  cp.async: lands when waited for, for this thread; sync_block() for the others
 *   commit_copies()  wait_copies<n>()   closes a group; waits until at most n groups of this thread are in flight
 *   sync_block()  sync_warp()           every thread of the block or warp that has not returned
 *   shuffle(v, lane)  shuffle_xor(v, mask)  shuffle_down(v, n)    values of 4 or 8 bytes; the whole warp takes part
 *   load_matrix_x4(r, p)                ldmatrix: four 8 x 16-byte matrices; lane i gives the address of a row
 *   multiply_m16n8k32<A>(c, a, b)       mma.sync on s32 += A x s8, A is int8_t or uint8_t; four m8n8k16 on sm_75
 *   dot4<A>(x, w, c)                    dp4a: c + sum of 4 products of bytes of A by s8
 *   bytes_at(low, high, shift)          four bytes from byte `shift` (0 to 3) of eight
 *   multiply_rn  round_to_int           float32 product, and float32 to int32 ties to even
 *   round_to_half(v)  from_half(bits)   float32 to the bits of a binary16, ties to even, and back
 *   atomic_add  atomic_increment        on global memory; the latter wraps to 0 after `last`. Return the old value
 *   fence()                             what this thread wrote to global memory is seen before what it writes next
 *   wait_for_earlier_launches()         programmatic dependent launch: call before the first load(), copy or store()
 *   let_later_launches_start()          and this where the next launch of the stream may begin
 *
 * Fragments of multiply_m16n8k32, four bytes a register, g = lane / 4 and t = lane % 4 (PTX ISA, "Matrix Fragments for
 * mma.m16n8k32", integer types):
 *
 *   a[i]: row g + 8 * (i % 2), columns (k) 16 * (i / 2) + 4t .. 4t + 3
 *   b[i]: column g, rows (k) 16 * i + 4t .. 4t + 3
 *   c[i]: row g + 8 * (i / 2), column 2t + i % 2
 *
 * load_matrix_x4 with the rows of a 16 x 32-byte tile (lanes 0-7: rows 0-7, bytes 0-15; 8-15: rows 8-15; 16-31: the
 * same, bytes 16-31) gives exactly a[0..3].
 */
#ifndef QMD_KERNELS_CUDA_DEVICE_H
#define QMD_KERNELS_CUDA_DEVICE_H

#include "launch.h"

#ifdef __CUDACC__

#define QMDI_DEVICE __device__ __forceinline__

namespace qmdi {

QMDI_DEVICE unsigned char *shared_memory() {
	extern __shared__ uint4 qmdi_shared[];
	return reinterpret_cast<unsigned char *>(qmdi_shared);
}

QMDI_DEVICE uint32_t shared_address(const void *pointer) {
	return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

template <class T> QMDI_DEVICE T load(const T *pointer) {
	return __ldcg(pointer);
}

template <class T> QMDI_DEVICE T load_cached(const T *pointer) {
	return *pointer;
}

template <class T> QMDI_DEVICE T load_constant(const T *pointer) {
	return __ldg(pointer);
}

template <class T> QMDI_DEVICE void store(T *pointer, T value) {
	*pointer = value;
}

template <class T> QMDI_DEVICE T load_shared(const T *pointer) {
	return *pointer;
}

template <class T> QMDI_DEVICE void store_shared(T *pointer, T value) {
	*pointer = value;
}

/* sm_75 has no cp.async: there a copy is done at once. */
template <int size> QMDI_DEVICE void copy_async(void *shared, const void *global) {
	static_assert(size == 4 || size == 16, "copies are of 4 or 16 bytes");
#if __CUDA_ARCH__ >= 800
	if (size == 16) {
		asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global) : "memory");
	} else {
		asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(shared)), "l"(global) : "memory");
	}
#else
	if (size == 16) {
		*static_cast<uint4 *>(shared) = __ldcg(static_cast<const uint4 *>(global));
	} else {
		*static_cast<uint32_t *>(shared) = __ldcg(static_cast<const uint32_t *>(global));
	}
#endif
}

QMDI_DEVICE void commit_copies() {
#if __CUDA_ARCH__ >= 800
	asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int n> QMDI_DEVICE void wait_copies() {
#if __CUDA_ARCH__ >= 800
	asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory");
#endif
}

QMDI_DEVICE void sync_block() {
	__syncthreads();
}

QMDI_DEVICE void sync_warp() {
	__syncwarp();
}

template <class T> QMDI_DEVICE T shuffle(T value, unsigned lane) {
	return __shfl_sync(0xffffffffu, value, static_cast<int>(lane));
}

template <class T> QMDI_DEVICE T shuffle_xor(T value, unsigned mask) {
	return __shfl_xor_sync(0xffffffffu, value, static_cast<int>(mask));
}

template <class T> QMDI_DEVICE T shuffle_down(T value, unsigned n) {
	return __shfl_down_sync(0xffffffffu, value, n);
}

QMDI_DEVICE void load_matrix_x4(uint32_t (&r)[4], const void *row) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
				 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
				 : "r"(shared_address(row))
				 : "memory");
}

#define QMDI_MMA_M8N8K16(type, c0, c1, a, b)                                                                           \
	asm volatile("mma.sync.aligned.m8n8k16.row.col.s32." type ".s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"                \
				 : "+r"(c0), "+r"(c1)                                                                                  \
				 : "r"(a), "r"(b))
#define QMDI_MMA_M16N8K32(type, c, a, b)                                                                               \
	asm volatile("mma.sync.aligned.m16n8k32.row.col.s32." type ".s8.s32 "                                              \
				 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                                     \
				 : "+r"((c)[0]), "+r"((c)[1]), "+r"((c)[2]), "+r"((c)[3])                                              \
				 : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "r"((b)[0]), "r"((b)[1]))

template <class A> constexpr bool is_unsigned_byte = false;
template <> constexpr bool is_unsigned_byte<uint8_t> = true;

template <class A> QMDI_DEVICE void multiply_m8n8k16(int32_t &c0, int32_t &c1, uint32_t a, uint32_t b) {
	if constexpr (is_unsigned_byte<A>) {
		QMDI_MMA_M8N8K16("u8", c0, c1, a, b);
	} else {
		QMDI_MMA_M8N8K16("s8", c0, c1, a, b);
	}
}

template <class A> QMDI_DEVICE void multiply_m16n8k32(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
	if constexpr (is_unsigned_byte<A>) {
		QMDI_MMA_M16N8K32("u8", c, a, b);
	} else {
		QMDI_MMA_M16N8K32("s8", c, a, b);
	}
#else
	multiply_m8n8k16<A>(c[0], c[1], a[0], b[0]);
	multiply_m8n8k16<A>(c[2], c[3], a[1], b[0]);
	multiply_m8n8k16<A>(c[0], c[1], a[2], b[1]);
	multiply_m8n8k16<A>(c[2], c[3], a[3], b[1]);
#endif
}

template <class A> QMDI_DEVICE int32_t dot4(uint32_t x, uint32_t w, int32_t c) {
	int32_t sum;
	if constexpr (is_unsigned_byte<A>) {
		asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(sum) : "r"(x), "r"(w), "r"(c));
	} else {
		asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(sum) : "r"(x), "r"(w), "r"(c));
	}
	return sum;
}

/* Four bytes from byte `shift` (0 to 3) of eight. */
QMDI_DEVICE uint32_t bytes_at(uint32_t low, uint32_t high, uint32_t shift) {
	return __funnelshift_r(low, high, 8 * shift);
}

QMDI_DEVICE float multiply_rn(float a, float b) {
	return __fmul_rn(a, b);
}

QMDI_DEVICE int32_t round_to_int(float value) {
	return __float2int_rn(value);
}

QMDI_DEVICE uint16_t round_to_half(float value) {
	uint16_t bits;
	asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
	return bits;
}

QMDI_DEVICE float from_half(uint16_t bits) {
	float value;
	asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
	return value;
}

template <class T> QMDI_DEVICE T atomic_add(T *pointer, T value) {
	return atomicAdd(pointer, value);
}

QMDI_DEVICE uint64_t atomic_add(uint64_t *pointer, uint64_t value) {
	static_assert(sizeof(unsigned long long) == sizeof(uint64_t), "one 64-bit type under two names");
	return atomicAdd(reinterpret_cast<unsigned long long *>(pointer), static_cast<unsigned long long>(value));
}

QMDI_DEVICE uint32_t atomic_increment(uint32_t *pointer, uint32_t last) {
	return atomicInc(pointer, last);
}

QMDI_DEVICE void fence() {
	__threadfence();
}

QMDI_DEVICE void wait_for_earlier_launches() {
#if __CUDA_ARCH__ >= 900
	asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

QMDI_DEVICE void let_later_launches_start() {
#if __CUDA_ARCH__ >= 900
	asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

} // namespace qmdi

/*
 * Define a kernel that can be launched, and its entry `<name>_entry`: at most n_threads threads a block, at least
 * n_blocks blocks a multiprocessor. The last arguments name the function of one thread, which takes the parameters.
 */
#define QMDI_CUDA_KERNEL(name, n_threads, n_blocks, params_type, ...)                                                  \
	extern "C" __global__ void __launch_bounds__(n_threads, n_blocks)                                                  \
		name(const __grid_constant__ params_type params) {                                                             \
		__VA_ARGS__(params);                                                                                           \
	}                                                                                                                  \
	static const qmdi_cuda_entry name##_entry = {#name, reinterpret_cast<const void *>(&name), nullptr}

#else
#include "host/device_host.h"
#endif

#endif
