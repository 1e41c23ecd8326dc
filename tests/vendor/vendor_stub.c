/* A library with the vendor's names, none of which does its work: cuDNN 8.9.7, or a cuBLAS of major version 99. */
#include "cuda/vendor/vendor.h"

__attribute__((used)) static size_t stub_cudnn(void) {
	return 8907;
}

__attribute__((used)) static int stub_cublas(int property, int *value) {
	(void)property;
	*value = 99;
	return 0;
}

#define NAMED(function, stub)                                                                                          \
	__asm__(".globl " #function "\n.type " #function ", @function\n.set " #function ", " #stub);
#define OF_CUDNN(function) NAMED(function, stub_cudnn)
#define OF_CUBLAS(function) NAMED(function, stub_cublas)

#ifdef STUB_CUDNN
QMDI_CUDNN_FUNCTIONS(OF_CUDNN)
#elif defined STUB_CUBLAS
QMDI_CUBLAS_FUNCTIONS(OF_CUBLAS)
#else
OF_CUDNN(cudnnGetVersion)
#endif
