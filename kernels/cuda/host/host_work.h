/*
 * What the emulations of NVIDIA's libraries (vendor_host.h) need of the emulated devices beside runtime.h: work of
 * their own for a stream, and a place in the counts that tests look at.
 */
#ifndef QMD_KERNELS_CUDA_HOST_WORK_H
#define QMD_KERNELS_CUDA_HOST_WORK_H

#include <functional>
#include <mutex>

#include "../runtime.h"

namespace qmdi::host {

/* The lock that guards everything emulated. To be held for all below. */
std::recursive_mutex &machine_lock();

/* Count a call that may fail (qmdi_host_machine). False if it is the one that shall. */
bool count_call();

/* An object came into being (1) or went (-1): qmdi_host_n_objects(). */
void count_object(int change);

/* Whether bytes lie within one allocation of the current device. */
bool is_device_memory(const void *pointer, size_t size);

bool is_stream(qmdi_cuda_stream *stream); /* of the current device */

/* Give a stream of the current device something to do, which finds device memory open. QMD_ERROR_ARGUMENT for any other
 * stream. */
qmd_status give_work(qmdi_cuda_stream *stream, std::function<qmd_status()> item);

} // namespace qmdi::host

#endif
