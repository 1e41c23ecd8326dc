/* The most multiply-adds of bytes that one core can do: the instructions of the kernels on registers alone. */
#ifndef QMD_BENCH_PEAK_H
#define QMD_BENCH_PEAK_H

#include "kernel.h"

/* Multiply-adds a second with the instructions of an ISA, by a loop of about 0.1 s; 0 if the machine lacks them. */
double qmd_bench_peak(qmdi_isa isa, uint32_t features);

/* Processor time that the calling thread has used. */
double qmd_bench_seconds(void);

#endif
