/*
 * CUDA devices that are emulated on the CPU, for tests of everything but the silicon: runtime.h on top of the host back
 * end of the kernels. Work is done as late as a stream may do it, when somebody waits for it, so that a host that reads
 * or overwrites too early gets wrong numbers. Memory of the device is closed to the process but while such work is
 * done: a host that follows a pointer into it dies, and so does a kernel that leaves an allocation. It holds
 * QMDI_HOST_POISON at first.
 */
#ifndef QMD_KERNELS_CUDA_HOST_DEVICE_H
#define QMD_KERNELS_CUDA_HOST_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qmdi_host_machine {
	int has_driver, n_devices;
	int capability;        /* of every device */
	size_t memory;         /* bytes of every device */
	uint64_t seed;         /* order of blocks and warps; 0: as they come */
	uint64_t failing_call; /* the n-th call of runtime.h or vendor.h from now on fails, 1 being the next; 0: none */
} qmdi_host_machine;

/* One driver, two devices of sm_90 with 1 GiB each, seed 0, nothing fails. */
#define QMDI_HOST_MACHINE                                                                                              \
	{ 1, 2, 90, (size_t)1 << 30, 0, 0 }

/* Change the machine; what exists on it stays. Counts calls and launches anew. */
void qmdi_host_machine_set(const qmdi_host_machine *machine);

/* Calls that could have failed, and kernels that ran, since the machine was set. */
uint64_t qmdi_host_n_calls(void);
uint64_t qmdi_host_n_launches(void);

/* Allocations, streams, events, graphs, and handles and descriptors of libraries that exist: 0 unless something leaks.
 */
size_t qmdi_host_n_objects(void);

/* What the calling thread has current, as a host would set it. */
void qmdi_host_set_current(int device, void *context);
int qmdi_host_current_device(void);
void *qmdi_host_current_context(void);

#ifdef __cplusplus
}
#endif

#endif
