/* Emulated GPUs with an emulated cuDNN and cuBLAS, for the suites of training and inference on them. */
#ifndef QMD_TESTS_CUDA_MACHINE_FIXTURE_H
#define QMD_TESTS_CUDA_MACHINE_FIXTURE_H

#include "cuda/host/host_device.h"
#include "cuda/host/vendor_host.h"
#include "support.h"

/* Two of sm_80, where cuBLAS has less memory to work: every piece of memory is opened and closed around all that runs.
 */
extern const qmdi_host_machine qmdt_small_gpus;

/* A machine with the vendor's libraries, which refuse what `refuses` says (vendor_host.h); GPU 0 is current. */
void qmdt_set_machine(const qmdi_host_machine *machine, int refuses);

/*
 * Run `work` on qmdt_small_gpus with the first call of the runtime and of the libraries failing, then the second, and
 * so on until one does not come to its call. Every run must leave nothing on the machine, and GPU 0 current. Returns
 * how many runs did not return QMD_OK.
 */
size_t qmdt_fail_each_device_call(qmd_status (*work)(void *argument), void *argument);

#endif
