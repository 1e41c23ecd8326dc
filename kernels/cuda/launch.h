/*
 * One launch of a CUDA kernel as data: what runs, on which grid, with which parameters. A kernel's row fills it in; the
 * runtime layer hands it to a stream, or to the host back end (host/host_launch.h), which runs it on the CPU.
 *
 * A kernel takes one argument, a struct passed by value, so that a launch can be kept, copied and put into a graph
 * without knowing the kernel.
 */
#ifndef QMD_KERNELS_CUDA_LAUNCH_H
#define QMD_KERNELS_CUDA_LAUNCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#include <cstring>
#endif

#define QMDI_CUDA_PARAMS_SIZE 512

/* What a block may have of shared memory on any device without asking for more. */
#define QMDI_CUDA_PLAIN_SHARED_BYTES (48u << 10)

/* A kernel that can be launched; made by QMDI_CUDA_KERNEL (device.h). */
typedef struct qmdi_cuda_entry {
	const char *name;                   /* of the function, as in the SASS */
	const void *kernel;                 /* its address for cudaLaunchKernelExC(); NULL on the host back end */
	void (*thread)(const void *params); /* host back end: the code of one thread; NULL under nvcc */
} qmdi_cuda_entry;

typedef struct qmdi_cuda_launch {
	const qmdi_cuda_entry *entry;
	uint32_t grid[3];      /* blocks along x, y and z */
	uint32_t block[3];     /* threads; their product is a multiple of 32 and at most 1024 */
	uint32_t shared_bytes; /* dynamic shared memory; kernels have no other */
	uint32_t params_size;
	union {
		unsigned char bytes[QMDI_CUDA_PARAMS_SIZE];
		uint64_t aligned;
	} params;
} qmdi_cuda_launch;

#ifdef __cplusplus
namespace qmdi {

/* Fill in a launch with blocks along x and y and threads along x. 0, or -1 if no grid has so many blocks. */
template <class Params>
int set_launch(qmdi_cuda_launch *launch, const qmdi_cuda_entry *entry, const uint64_t (&grid)[2], uint32_t n_threads,
			   uint32_t shared_bytes, const Params &params) {
	static_assert(sizeof params <= QMDI_CUDA_PARAMS_SIZE, "the parameters of a launch");
	*launch = {entry,
			   {static_cast<uint32_t>(grid[0]), static_cast<uint32_t>(grid[1]), 1},
			   {n_threads, 1, 1},
			   shared_bytes,
			   sizeof params,
			   {}};
	memcpy(launch->params.bytes, &params, sizeof params);
	return grid[0] <= INT32_MAX && grid[1] <= 65535 ? 0 : -1;
}

} // namespace qmdi
#endif

#endif
