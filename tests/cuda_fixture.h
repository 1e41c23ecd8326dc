/* Running a row of the table of CUDA kernels on the host back end: what the suites of the kernels share. */
#ifndef QMD_TESTS_CUDA_FIXTURE_H
#define QMD_TESTS_CUDA_FIXTURE_H

#include <check.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/cuda_kernel.h"
#include "cuda/host/host_launch.h"
#include "kernel_fixture.h"

extern "C" int qmdt_run(Suite *suite);

/* How a row is run: on which device, in which order. */
struct qmdt_machine {
	int arch;
	uint32_t n_multiprocessors;
	uint64_t seed;
};

/* Memory as a device gives it, all zero. */
class qmdt_device_memory {
  public:
	explicit qmdt_device_memory(size_t size);
	~qmdt_device_memory();
	qmdt_device_memory(const qmdt_device_memory &) = delete;
	qmdt_device_memory &operator=(const qmdt_device_memory &) = delete;

	unsigned char *bytes;
};

/* A case packed for a row, to be run as often as one likes. */
class qmdt_cuda_run {
  public:
	/* Multiprocessors decide how a call is cut up. The case must outlive the run. */
	qmdt_cuda_run(qmdt_kernel_case *test, const qmdi_cuda_kernel *row, uint32_t n_multiprocessors);

	/* Fill the output's memory with the pattern, and run. 0, or -1 as qmdi_host_launch() says. */
	int run(uint64_t seed, int arch, qmdi_host_counters *counters);

	qmdi_cuda_launch launch;
	std::vector<float> probabilities; /* where the row fuses the softmax */

  private:
	qmdt_kernel_case *test;
	qmdt_device_memory packed, scratch;
};

/* The reference's output, guards included. */
std::vector<uint8_t> qmdt_expected_output(qmdt_kernel_case *test);

/* Whether the output's memory is what the reference wrote. */
bool qmdt_is_equal(const qmdt_kernel_case *test, const std::vector<uint8_t> &expected);

/* Whether a run's probabilities, if it has any, are the library's for the outputs that it wrote. */
bool qmdt_has_probabilities(const qmdt_kernel_case *test, const qmdt_cuda_run &run);

std::string qmdt_describe(const qmdt_kernel_case *test, const qmdt_machine &on);

#endif
