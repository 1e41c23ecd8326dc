#include "peak.h"

#include <time.h>

#define ROUNDS 4000000L
#define REPETITIONS 5

double qmd_peak_thread_seconds(void) {
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

const char *qmd_peak_name(qmd_peak_kind kind) {
	static const char *const names[] = {"AVX2 (vpmaddubsw)", "AVX512-BW (vpmaddubsw)", "VNNI on 256 bits (vpdpbusd)",
										"VNNI on 512 bits (vpdpbusd)"};
	return kind < QMD_PEAK_N_KINDS ? names[kind] : "?";
}

#if defined(__x86_64__)

#include <cpuid.h>

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

#define AVX512BW(sum)                                                                                                  \
	"vpmaddubsw %%zmm10, %%zmm11, %%zmm12\n\tvpmaddwd %%zmm12, %%zmm13, %%zmm12\n\tvpaddd %%zmm12, %%zmm" #sum         \
	", %%zmm" #sum "\n\t"

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

static void avx512bw_rounds(void) {
	for (long i = 0; i < ROUNDS; ++i) {
		__asm__ volatile(TEN(AVX512BW)::: CLOBBERS);
	}
}

static int has_avx_vnni(void) {
	unsigned a, b, c, d;
	return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1) && __builtin_cpu_supports("avx2");
}

typedef void (*rounds_fn)(void);

/* NULL if the machine lacks the instructions. */
static rounds_fn rounds_of(qmd_peak_kind kind) {
	__builtin_cpu_init();
	const int has_evex = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl");
	switch (kind) {
	case QMD_PEAK_AVX2:
		return __builtin_cpu_supports("avx2") ? avx2_rounds : NULL;
	case QMD_PEAK_AVX512BW:
		return __builtin_cpu_supports("avx512bw") ? avx512bw_rounds : NULL;
	case QMD_PEAK_VNNI_256:
		return has_avx_vnni() ? vex_rounds : has_evex ? evex_rounds : NULL;
	case QMD_PEAK_VNNI_512:
		return has_evex ? zmm_rounds : NULL;
	default:
		return NULL;
	}
}

double qmd_peak_measure(qmd_peak_kind kind) {
	const rounds_fn rounds = rounds_of(kind);
	if (!rounds) {
		return 0;
	}
	double least = 1e30;
	for (int repetition = 0; repetition < REPETITIONS; ++repetition) {
		const double start = qmd_peak_thread_seconds();
		rounds();
		const double elapsed = qmd_peak_thread_seconds() - start;
		least = elapsed < least ? elapsed : least;
	}
	return (kind == QMD_PEAK_VNNI_512 || kind == QMD_PEAK_AVX512BW ? 64.0 : 32.0) * 10 * ROUNDS / least;
}

#else

double qmd_peak_measure(qmd_peak_kind kind) {
	(void)kind;
	return 0;
}

#endif

double qmd_peak_measure_best(qmd_peak_kind *kind) {
	for (int i = QMD_PEAK_N_KINDS - 1; i >= 0; --i) {
		const double peak = qmd_peak_measure((qmd_peak_kind)i);
		if (peak > 0) {
			*kind = (qmd_peak_kind)i;
			return peak;
		}
	}
	return 0;
}
