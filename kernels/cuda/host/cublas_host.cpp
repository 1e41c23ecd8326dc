/* The emulated cuBLAS: matrix products, by loops in FP64. */
#include <algorithm>
#include <cstring>

#include "cudnn_host.h"
#include "host_launch.h"

struct cublasContext {
	int device;
	qmdi_cuda_stream *stream;
	cublasMath_t math;
	void *workspace;
	size_t workspace_size;
};

namespace qmdi::host {

namespace {

registry<cublasContext> cublas_handles;

/* Of what the host gives, bytes. */
constexpr size_t used_workspace = 4096;

/* A matrix by columns, as it is or transposed. */
struct matrix {
	const float *values;
	bool is_transposed;
	int64_t stride;

	double at(int64_t row, int64_t column) const {
		return static_cast<double>(is_transposed ? values[column + row * stride] : values[row + column * stride]);
	}
};

size_t n_bytes(int64_t n_rows, int64_t n_columns, int64_t stride) {
	return n_rows == 0 || n_columns == 0 ? 0 : static_cast<size_t>((n_columns - 1) * stride + n_rows) * sizeof(float);
}

cublasStatus_t check_handle(cublasHandle_t handle) {
	if (!cublas_handles.has(handle)) {
		return CUBLAS_STATUS_NOT_INITIALIZED;
	}
	return handle->device == qmdi_host_current_device() ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

#define CUBLAS_BEGIN                                                                                                   \
	const std::lock_guard<std::recursive_mutex> guard(machine_lock());                                                 \
	if (!count_call())                                                                                                 \
	return CUBLAS_STATUS_INTERNAL_ERROR

#define CUBLAS_TRY(call)                                                                                               \
	do {                                                                                                               \
		const cublasStatus_t status_ = (call);                                                                         \
		if (status_ != CUBLAS_STATUS_SUCCESS)                                                                          \
			return status_;                                                                                            \
	} while (0)

} // namespace

cublasStatus_t cublasGetProperty(libraryPropertyType type, int *value) {
	const int version[] = {CUBLAS_VER_MAJOR, CUBLAS_VER_MINOR, CUBLAS_VER_PATCH};
	if (!value || type < MAJOR_VERSION || type > PATCH_LEVEL) {
		return CUBLAS_STATUS_INVALID_VALUE;
	}
	*value = version[type];
	return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusString(cublasStatus_t status) {
	switch (status) {
	case CUBLAS_STATUS_SUCCESS:
		return "the operation completed successfully";
	case CUBLAS_STATUS_NOT_INITIALIZED:
		return "the library was not initialized";
	case CUBLAS_STATUS_INVALID_VALUE:
		return "an unsupported value or parameter was passed to the function";
	case CUBLAS_STATUS_NOT_SUPPORTED:
		return "the functionality requested is not supported";
	case CUBLAS_STATUS_EXECUTION_FAILED:
		return "the function failed to launch on the GPU";
	default:
		return "an internal operation failed";
	}
}

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle) {
	CUBLAS_BEGIN;
	if (!handle) {
		return CUBLAS_STATUS_INVALID_VALUE;
	}
	*handle = cublas_handles.create({qmdi_host_current_device(), nullptr, CUBLAS_DEFAULT_MATH, nullptr, 0});
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
	const std::lock_guard<std::recursive_mutex> guard(machine_lock());
	return cublas_handles.destroy(handle) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

/* Takes the host's workspace away, as cuBLAS does. */
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
	CUBLAS_BEGIN;
	CUBLAS_TRY(check_handle(handle));
	auto *emulated = reinterpret_cast<qmdi_cuda_stream *>(stream);
	if (!is_stream(emulated)) {
		return CUBLAS_STATUS_INVALID_VALUE;
	}
	handle->stream = emulated;
	handle->workspace = nullptr;
	handle->workspace_size = 0;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t size) {
	CUBLAS_BEGIN;
	CUBLAS_TRY(check_handle(handle));
	if (size != 0 && (reinterpret_cast<uintptr_t>(workspace) % 256 != 0 || !is_device_memory(workspace, size))) {
		return CUBLAS_STATUS_INVALID_VALUE;
	}
	handle->workspace = workspace;
	handle->workspace_size = size;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t math) {
	CUBLAS_BEGIN;
	CUBLAS_TRY(check_handle(handle));
	if (math != CUBLAS_DEFAULT_MATH && math != CUBLAS_PEDANTIC_MATH && math != CUBLAS_TF32_TENSOR_OP_MATH) {
		return CUBLAS_STATUS_INVALID_VALUE;
	}
	handle->math = math;
	return CUBLAS_STATUS_SUCCESS;
}

namespace {

struct product {
	int64_t m, n, k;
	matrix a, b;
	double alpha, beta;
	float *c;
	int64_t c_stride;
	bool is_tf32;
};

/* c = alpha a b + beta c. c is not read for beta = 0, which is promised; of alpha = 0 nothing is. */
void multiply(const product &p) {
	for (int64_t column = 0; column < p.n; ++column) {
		for (int64_t row = 0; row < p.m; ++row) {
			double sum = 0;
			for (int64_t i = 0; i < p.k; ++i) {
				const double a = p.a.at(row, i), b = p.b.at(i, column);
				sum += p.is_tf32 ? round_to_tf32(a) * round_to_tf32(b) : a * b;
			}
			float &c = p.c[row + column * p.c_stride];
			c = static_cast<float>(p.alpha * sum + (p.beta == 0 ? 0 : p.beta * static_cast<double>(c)));
		}
	}
}

bool is_operation(cublasOperation_t operation) {
	return operation == CUBLAS_OP_N || operation == CUBLAS_OP_T || operation == CUBLAS_OP_C;
}

bool is_float_memory(const void *pointer, size_t size) {
	return size == 0 || (reinterpret_cast<uintptr_t>(pointer) % sizeof(float) == 0 && is_device_memory(pointer, size));
}

bool do_overlap(const float *a, size_t a_size, const float *b, size_t b_size) {
	const auto *first = reinterpret_cast<const char *>(a), *second = reinterpret_cast<const char *>(b);
	return first < second + b_size && second < first + a_size;
}

/* A matrix as it lies in memory, whose columns are `stride` numbers apart. */
bool is_matrix(const void *pointer, int64_t n_rows, int64_t n_columns, int64_t stride) {
	return stride >= std::max<int64_t>(1, n_rows) && is_float_memory(pointer, n_bytes(n_rows, n_columns, stride));
}

} // namespace

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t a_operation, cublasOperation_t b_operation,
							  int m, int n, int k, const float *alpha, const float *a, int a_stride, const float *b,
							  int b_stride, const float *beta, float *c, int c_stride) {
	CUBLAS_BEGIN;
	CUBLAS_TRY(check_handle(handle));
	const bool a_is_transposed = a_operation != CUBLAS_OP_N, b_is_transposed = b_operation != CUBLAS_OP_N;
	if (!is_operation(a_operation) || !is_operation(b_operation) || m < 0 || n < 0 || k < 0 || !alpha || !beta ||
		!is_matrix(a, a_is_transposed ? k : m, a_is_transposed ? m : k, a_stride) ||
		!is_matrix(b, b_is_transposed ? n : k, b_is_transposed ? k : n, b_stride) || !is_matrix(c, m, n, c_stride)) {
		return CUBLAS_STATUS_INVALID_VALUE;
	}
	const size_t c_size = n_bytes(m, n, c_stride);
	if (do_overlap(a, n_bytes(a_is_transposed ? k : m, a_is_transposed ? m : k, a_stride), c, c_size) ||
		do_overlap(b, n_bytes(b_is_transposed ? n : k, b_is_transposed ? k : n, b_stride), c, c_size)) {
		return CUBLAS_STATUS_INVALID_VALUE; /* the real one does not look, and anything may come of it */
	}
	if (!handle->stream) {
		return CUBLAS_STATUS_EXECUTION_FAILED;
	}
	const product p = {m,
					   n,
					   k,
					   {a, a_is_transposed, a_stride},
					   {b, b_is_transposed, b_stride},
					   *alpha,
					   *beta,
					   c,
					   c_stride,
					   handle->math == CUBLAS_TF32_TENSOR_OP_MATH};
	const qmd_status status =
		give_work(handle->stream, [p, workspace = handle->workspace, size = handle->workspace_size] {
			multiply(p);
			if (size != 0) {
				memset(workspace, QMDI_HOST_POISON, std::min(size, used_workspace));
			}
			return QMD_OK;
		});
	return status == QMD_OK ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

namespace {

/* Which types go together (cuBLAS documentation, table of cublasGemmEx()), of those that libqmd asks for. */
bool are_types(cudaDataType_t of_factors, cudaDataType_t of_c, cublasComputeType_t compute) {
	return of_factors == CUDA_R_8I ? of_c == CUDA_R_32I && compute == CUBLAS_COMPUTE_32I
								   : (of_factors == CUDA_R_16F || of_factors == CUDA_R_32F) && of_c == CUDA_R_32F &&
										 compute == CUBLAS_COMPUTE_32F;
}

cudnnDataType_t number_type(cudaDataType_t type) {
	return type == CUDA_R_8I    ? CUDNN_DATA_INT8
		   : type == CUDA_R_32I ? CUDNN_DATA_INT32
		   : type == CUDA_R_16F ? CUDNN_DATA_HALF
								: CUDNN_DATA_FLOAT;
}

/* A matrix by columns as it lies in memory. */
layout columns_of(cudaDataType_t type, int64_t n_rows, int64_t n_columns, int64_t stride) {
	return {number_type(type), {n_columns, n_rows, 1, 1}, {stride, 1, 1, 1}};
}

bool is_memory(const layout &l, const void *pointer) {
	return reinterpret_cast<uintptr_t>(pointer) % 4 == 0 && is_device_memory(pointer, l.n_bytes());
}

/* c = a^T b */
void multiply_transposed(const layout &a, const void *a_data, const layout &b, const void *b_data, const layout &c,
						 void *c_data) {
	const std::vector<double> left = read_numbers(a, a_data), right = read_numbers(b, b_data);
	const auto m = static_cast<size_t>(a.dims[0]), n = static_cast<size_t>(b.dims[0]);
	const auto k = static_cast<size_t>(a.dims[1]);
	std::vector<double> product(m * n);
	for (size_t column = 0; column < n; ++column) {
		for (size_t row = 0; row < m; ++row) {
			for (size_t i = 0; i < k; ++i) {
				product[column * m + row] += left[row * k + i] * right[column * k + i];
			}
		}
	}
	write_numbers(c, product, c_data);
}

} // namespace

/* Of INT8, m, k and the strides of what is read are multiples of 4: what the documentation asks of its tensor cores.
 * Only the transposed a, the b as it is, and alpha 1 and beta 0 are emulated. */
cublasStatus_t cublasGemmEx_64(cublasHandle_t handle, cublasOperation_t a_operation, cublasOperation_t b_operation,
							   int64_t m, int64_t n, int64_t k, const void *alpha, const void *a, cudaDataType_t a_type,
							   int64_t a_stride, const void *b, cudaDataType_t b_type, int64_t b_stride,
							   const void *beta, void *c, cudaDataType_t c_type, int64_t c_stride,
							   cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {
	CUBLAS_BEGIN;
	CUBLAS_TRY(check_handle(handle));
	const bool is_integer = a_type == CUDA_R_8I;
	if (m <= 0 || n <= 0 || k <= 0 || a_stride < k || b_stride < k || c_stride < m || !alpha || !beta) {
		return CUBLAS_STATUS_INVALID_VALUE;
	}
	const uint32_t one = is_integer ? 1 : 0x3f800000, zero = 0;
	if (a_operation != CUBLAS_OP_T || b_operation != CUBLAS_OP_N || memcmp(alpha, &one, 4) != 0 ||
		memcmp(beta, &zero, 4) != 0 || a_type != b_type || !are_types(a_type, c_type, compute) ||
		algorithm != CUBLAS_GEMM_DEFAULT) {
		return CUBLAS_STATUS_NOT_SUPPORTED;
	}
	if (is_integer && (vendor.refuses & QMDI_HOST_INT8 || m % 4 != 0 || a_stride % 4 != 0 || b_stride % 4 != 0)) {
		return CUBLAS_STATUS_NOT_SUPPORTED;
	}
	if (a_type == CUDA_R_16F && vendor.refuses & QMDI_HOST_FP16) {
		return CUBLAS_STATUS_NOT_SUPPORTED;
	}
	const layout of_a = columns_of(a_type, k, m, a_stride), of_b = columns_of(b_type, k, n, b_stride);
	const layout of_c = columns_of(c_type, m, n, c_stride);
	if (!is_memory(of_a, a) || !is_memory(of_b, b) || !is_memory(of_c, c)) {
		return CUBLAS_STATUS_INVALID_VALUE;
	}
	if (!handle->stream) {
		return CUBLAS_STATUS_EXECUTION_FAILED;
	}
	const qmd_status status = give_work(handle->stream, [=] {
		multiply_transposed(of_a, a, of_b, b, of_c, c);
		return QMD_OK;
	});
	return status == QMD_OK ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

} // namespace qmdi::host
