/*
 * The host back end: run a launch of a CUDA kernel on the CPU, in the calling thread, a few blocks at a time. Blocks
 * come in an order and warps are interleaved in a way that the seed gives, so that what is not synchronized shows up as
 * wrong numbers. Found and reported: threads that wait for ever, warps that take part in a collective from different
 * places, misaligned accesses, and reads of global memory before wait_for_earlier_launches(). Shared memory holds
 * QMDI_HOST_POISON at the start of a block, and so does the target of a copy until it is waited for.
 *
 * Not seen: weak ordering of memory (a missing fence()), and time.
 */
#ifndef QMD_KERNELS_CUDA_HOST_LAUNCH_H
#define QMD_KERNELS_CUDA_HOST_LAUNCH_H

#include "../launch.h"

#ifdef __cplusplus
extern "C" {
#endif

#define QMDI_HOST_POISON 0xA5
#define QMDI_HOST_SHARED_MAX (99 << 10) /* what each of sm_86, 89 and 120 gives a block at most; sm_75 gives 64 KiB */

/* What a launch did, counted by warp: an access is what the lanes of a warp do together in one instruction. */
typedef struct qmdi_host_counters {
	uint64_t load_accesses, load_bytes, load_sectors;    /* global, through any function; sectors of 32 bytes */
	uint64_t store_accesses, store_bytes, store_sectors; /* atomics count as stores */
	uint64_t distinct_load_sectors;                      /* what a cache without limit would fetch */
	uint64_t distinct_store_sectors;                     /* ... and write back */
	uint64_t shared_accesses, shared_conflicts;          /* conflicts: passes beyond those without any */
	uint64_t multiplications;                            /* multiply_m16n8k32, a warp each; and m8n8k16 */
	uint64_t dot4s;                                      /* dot4, a thread each */
	uint64_t barriers;                                   /* sync_block, a block each */
} qmdi_host_counters;

/*
 * seed: 0 runs everything in order, block after block; another shuffles blocks and warps. arch: 75 for a machine
 * without cp.async and m16n8k32, else 80. counters: added to unless NULL; counting is slow. Returns 0, or -1 with a
 * text in qmdi_host_error(); what the kernel has written up to then stays.
 */
int qmdi_host_launch(const qmdi_cuda_launch *launch, uint64_t seed, int arch, qmdi_host_counters *counters);

/* Why the last launch of this thread failed. */
const char *qmdi_host_error(void);

#ifdef __cplusplus
}
#endif

#endif
