#include "peak.h"

#include <time.h>

#define ROUNDS 4000000L

/* Ten sums at a time are more than any of these instructions has in flight. */
#define TEN(instruction)                                                                                               \
	instruction(0) instruction(1) instruction(2) instruction(3) instruction(4) instruction(5) instruction(6)           \
		instruction(7) instruction(8) instruction(9)

#define CLOBBERS                                                                                                       \
	"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",         \
		"xmm13", "xmm14", "xmm15"

#define VNNI_ZMM(sum) "vpdpbusd %%zmm10, %%zmm11, %%zmm" #sum "\n\t"
#define VNNI_YMM_VEX(sum) "%{vex%} vpdpbusd %%ymm10, %%ymm11, %%ymm" #sum "\n\t"
#define VNNI_YMM_EVEX(sum) "%{evex%} vpdpbusd %%ymm10, %%ymm11, %%ymm" #sum "\n\t"
#define AVX2(sum)                                                                                                      \
	"vpmaddubsw %%ymm10, %%ymm11, %%ymm12\n\tvpmaddwd %%ymm12, %%ymm13, %%ymm12\n\tvpaddd %%ymm12, %%ymm" #sum         \
	", %%ymm" #sum "\n\t"

static void zmm_rounds(void) {
	for (long i = 0; i < ROUNDS; ++i) {
		__asm__ volatile(TEN(VNNI_ZMM)::: CLOBBERS);
	}
}

static void vex_rounds(void) {
	for (long i = 0; i < ROUNDS; ++i) {
		__asm__ volatile(TEN(VNNI_YMM_VEX)::: CLOBBERS);
	}
}

static void evex_rounds(void) {
	for (long i = 0; i < ROUNDS; ++i) {
		__asm__ volatile(TEN(VNNI_YMM_EVEX)::: CLOBBERS);
	}
}

static void avx2_rounds(void) {
	for (long i = 0; i < ROUNDS; ++i) {
		__asm__ volatile(TEN(AVX2)::: CLOBBERS);
	}
}

double qmd_bench_seconds(void) {
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double qmd_bench_peak(qmdi_isa isa, uint32_t features) {
	void (*rounds)(void) = NULL;
	if (isa == QMDI_ISA_AVX512VNNI && (features & QMDI_CPU_AVX512VNNI)) {
		rounds = zmm_rounds;
	} else if (isa == QMDI_ISA_AVXVNNI && (features & QMDI_CPU_AVXVNNI)) {
		rounds = vex_rounds;
	} else if (isa == QMDI_ISA_AVXVNNI && (features & QMDI_CPU_AVX512VNNI)) {
		rounds = evex_rounds;
	} else if (isa == QMDI_ISA_AVX2 && (features & QMDI_CPU_AVX2)) {
		rounds = avx2_rounds;
	}
	if (rounds == NULL) {
		return 0;
	}
	double least = 1e30;
	for (int repetition = 0; repetition < 5; ++repetition) {
		const double start = qmd_bench_seconds();
		rounds();
		const double elapsed = qmd_bench_seconds() - start;
		least = elapsed < least ? elapsed : least;
	}
	return (isa == QMDI_ISA_AVX512VNNI ? 64.0 : 32.0) * 10 * ROUNDS / least;
}
