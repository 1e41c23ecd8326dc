/* Arithmetic that C for the CPU and C++ for CUDA kernels share: one text, hence one result. Both are compiled without
 * contraction. */
#ifndef QMD_LIB_SHARED_MATH_H
#define QMD_LIB_SHARED_MATH_H

#ifdef __CUDACC__
#define QMDI_SHARED_MATH static __device__ __forceinline__
#define QMDI_UNROLLED _Pragma("unroll")
#else
#define QMDI_SHARED_MATH static inline
#define QMDI_UNROLLED
#endif

#endif
