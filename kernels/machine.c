/* What this machine's processor and operating system allow. */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

static const char *const isa_names[] = {"ref", "avx2", "avx512bw", "avxvnni", "avx512vnni"};

const char *qmdi_isa_name(qmdi_isa isa) {
	return isa_names[isa];
}

/* CPUID leaf 7, subleaf 1, EAX bit 4: the one that not every compiler's __builtin_cpu_supports() knows. */
static int has_avxvnni(void) {
	unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
	return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & (1u << 4)) != 0;
}

uint32_t qmdi_machine_features(void) {
	__builtin_cpu_init();
	uint32_t features = 0;
	/* True only where the operating system saves ymm, or zmm and mask registers (XCR0), as well. */
	if (__builtin_cpu_supports("avx2")) {
		features |= QMDI_CPU_AVX2;
		features |= has_avxvnni() ? QMDI_CPU_AVXVNNI : 0u;
		if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
			__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
			features |= QMDI_CPU_AVX512BW;
			features |= __builtin_cpu_supports("avx512vnni") ? QMDI_CPU_AVX512VNNI : 0u;
		}
	}
	return features;
}

qmdi_isa qmdi_machine_isa(void) {
	const uint32_t features = qmdi_machine_features();
	if (features & QMDI_CPU_AVX512VNNI) {
		return QMDI_ISA_AVX512VNNI;
	}
	if (features & QMDI_CPU_AVXVNNI) {
		return QMDI_ISA_AVXVNNI;
	}
	if (features & QMDI_CPU_AVX512BW) {
		return QMDI_ISA_AVX512BW;
	}
	return features & QMDI_CPU_AVX2 ? QMDI_ISA_AVX2 : QMDI_ISA_REF;
}

qmdi_isa qmdi_allowed_isa(void) {
	const qmdi_isa machine = qmdi_machine_isa();
	const char *limit = getenv("QMD_MAX_ISA");
	for (qmdi_isa isa = QMDI_ISA_REF; limit != NULL && isa < machine; ++isa) {
		if (strcmp(limit, isa_names[isa]) == 0) {
			return isa;
		}
	}
	return machine;
}
