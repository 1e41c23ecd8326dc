/* What the files of the emulated cuDNN and cuBLAS share. */
#ifndef QMD_KERNELS_CUDA_CUDNN_HOST_H
#define QMD_KERNELS_CUDA_CUDNN_HOST_H

#include <set>
#include <vector>

#include "../vendor/vendor.h"
#include "host_device.h"
#include "host_work.h"
#include "vendor_host.h"

struct cudnnContext {
	int device;
	qmdi_cuda_stream *stream;
};

namespace qmdi::host {

/* The emulated functions bear the names of the real ones. */
#define QMDI_HOST_FUNCTION(function) qmdi_##function function;
QMDI_CUDNN_FUNCTIONS(QMDI_HOST_FUNCTION)
QMDI_CUBLAS_FUNCTIONS(QMDI_HOST_FUNCTION)
#undef QMDI_HOST_FUNCTION

extern qmdi_host_vendor vendor;

/* ---- Failures ---- */

/* The text is for cudnnGetLastErrorString(). */
cudnnStatus_t fail(cudnnStatus_t status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define QMDI_CUDNN_TRY(call)                                                                                           \
	do {                                                                                                               \
		const cudnnStatus_t status_ = (call);                                                                          \
		if (status_ != CUDNN_STATUS_SUCCESS)                                                                           \
			return status_;                                                                                            \
	} while (0)

#define QMDI_CUDNN_CHECK(condition)                                                                                    \
	do {                                                                                                               \
		if (!(condition))                                                                                              \
			return fail(CUDNN_STATUS_BAD_PARAM, "%s: not so: %s", __func__, #condition);                               \
	} while (0)

/* Every call that may fail begins with this. */
#define QMDI_CUDNN_BEGIN                                                                                               \
	const std::lock_guard<std::recursive_mutex> guard(machine_lock());                                                 \
	if (!count_call())                                                                                                 \
	return fail(CUDNN_STATUS_INTERNAL_ERROR, "%s: a failure that was asked for", __func__)

/* ---- Objects ---- */

/* Those of one kind that exist. */
template <class T> class registry {
  public:
	T *create(const T &value) {
		count_object(1);
		return *live.insert(new T(value)).first;
	}
	bool has(const T *object) const {
		return live.count(const_cast<T *>(object)) != 0;
	}
	bool destroy(T *object) {
		if (live.erase(object) == 0) {
			return false;
		}
		count_object(-1);
		delete object;
		return true;
	}

  private:
	std::set<T *> live;
};

extern registry<cudnnContext> handles;

/* ---- Tensors ---- */

/* Where numbers lie: dimensions n, c, h, w and their strides in numbers. */
struct layout {
	cudnnDataType_t type;
	int64_t dims[4], strides[4];

	int64_t n_numbers() const {
		return dims[0] * dims[1] * dims[2] * dims[3];
	}
	size_t n_bytes() const; /* from the first to the last */
};

size_t size_of(cudnnDataType_t type); /* 0: not emulated */

/* A number as a type holds it: rounded to nearest even; integers saturated. */
double round_to(cudnnDataType_t type, double value);
double round_to_tf32(double value);

/* Numbers in the order n, h, w, c, whatever the layout. */
std::vector<double> read_numbers(const layout &l, const void *memory);
void write_numbers(const layout &l, const std::vector<double> &numbers, void *memory);

/* memory = alpha * numbers + beta * memory, which is not read for beta = 0 */
void blend_numbers(const layout &l, std::vector<double> numbers, double alpha, double beta, void *memory);

/* ---- Work ---- */

cudnnStatus_t check_handle(cudnnHandle_t handle);
cudnnStatus_t check_memory(const char *name, const void *pointer, size_t size, size_t alignment);
cudnnStatus_t give(cudnnHandle_t handle, std::function<void()> item);

/* Sums whose order changes from run to run: a number for this run, and the last bit that it changes. */
uint64_t next_run();
double disturb(double value, uint64_t run, size_t index);

} // namespace qmdi::host

#endif
