/*
 * The functions of NVIDIA's cuDNN and cuBLAS that libqmd calls, as a table of pointers. The libraries are not linked:
 * vendor_library.c opens them when a program first asks for them, so that libqmd loads on machines without. In tests
 * an emulation fills the same table.
 *
 * cuDNN 9.0 or newer: it was the first with cudnnGetLastErrorString(), which tells why a plan was refused. cuBLAS of
 * the major version of the toolkit that libqmd was built with.
 *
 * ReLU and softmax are not among them: kernels of our own give the CPU's bits, signs of zeros and NaN included, where
 * cuDNN promises none.
 */
#ifndef QMD_KERNELS_CUDA_VENDOR_H
#define QMD_KERNELS_CUDA_VENDOR_H

#include <cublas_v2.h>
#include <cudnn.h>

#include <qmd/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QMDI_CUDNN_OLDEST 90000 /* as cudnnGetVersion() tells it: 10000 * major + 100 * minor + patch */

#define QMDI_CUDNN_FUNCTIONS(X)                                                                                        \
	X(cudnnGetVersion)                                                                                                 \
	X(cudnnGetErrorString)                                                                                             \
	X(cudnnGetLastErrorString)                                                                                         \
	X(cudnnCreate)                                                                                                     \
	X(cudnnDestroy)                                                                                                    \
	X(cudnnSetStream)                                                                                                  \
	X(cudnnBackendCreateDescriptor)                                                                                    \
	X(cudnnBackendDestroyDescriptor)                                                                                   \
	X(cudnnBackendSetAttribute)                                                                                        \
	X(cudnnBackendGetAttribute)                                                                                        \
	X(cudnnBackendFinalize)                                                                                            \
	X(cudnnBackendExecute)                                                                                             \
	X(cudnnCreateTensorDescriptor)                                                                                     \
	X(cudnnSetTensor4dDescriptor)                                                                                      \
	X(cudnnDestroyTensorDescriptor)                                                                                    \
	X(cudnnCreatePoolingDescriptor)                                                                                    \
	X(cudnnSetPooling2dDescriptor)                                                                                     \
	X(cudnnGetPooling2dForwardOutputDim)                                                                               \
	X(cudnnDestroyPoolingDescriptor)                                                                                   \
	X(cudnnPoolingForward)                                                                                             \
	X(cudnnPoolingBackward)                                                                                            \
	X(cudnnBatchNormalizationForwardTraining)                                                                          \
	X(cudnnBatchNormalizationForwardInference)                                                                         \
	X(cudnnBatchNormalizationBackward)

#define QMDI_CUBLAS_FUNCTIONS(X)                                                                                       \
	X(cublasGetProperty)                                                                                               \
	X(cublasGetStatusString)                                                                                           \
	X(cublasCreate_v2)                                                                                                 \
	X(cublasDestroy_v2)                                                                                                \
	X(cublasSetStream_v2)                                                                                              \
	X(cublasSetWorkspace_v2)                                                                                           \
	X(cublasSetMathMode)                                                                                               \
	X(cublasSgemm_v2)                                                                                                  \
	X(cublasGemmEx_64)

/* Named apart from their members: in C++ a member must not change what its own type's name means. */
#define QMDI_VENDOR_TYPE(function) typedef __typeof__(function) qmdi_##function;
#define QMDI_VENDOR_MEMBER(function) qmdi_##function *function;

QMDI_CUDNN_FUNCTIONS(QMDI_VENDOR_TYPE)
QMDI_CUBLAS_FUNCTIONS(QMDI_VENDOR_TYPE)

typedef struct qmdi_vendor {
	QMDI_CUDNN_FUNCTIONS(QMDI_VENDOR_MEMBER)
	QMDI_CUBLAS_FUNCTIONS(QMDI_VENDOR_MEMBER)
} qmdi_vendor;

#undef QMDI_VENDOR_TYPE
#undef QMDI_VENDOR_MEMBER

/*
 * The process's one table, with every pointer set; it stays valid to the end. Any thread may call this.
 * QMD_ERROR_UNSUPPORTED where a library is missing, lacks a function or is too old: the error names the file, what was
 * found and what is needed. A failure is told again to whoever asks again.
 */
qmd_status qmdi_vendor_open(const qmdi_vendor **vendor);

#ifdef __cplusplus
}
#endif

#endif
