/* The most multiply-adds of bytes that one core can do: the instructions of the kernels on registers alone. */
#ifndef QMD_PEAK_H
#define QMD_PEAK_H

/* Instructions of a kind, the best last. */
typedef enum qmd_peak_kind {
	QMD_PEAK_AVX2,
	QMD_PEAK_AVX512BW,
	QMD_PEAK_VNNI_256,
	QMD_PEAK_VNNI_512,
	QMD_PEAK_N_KINDS
} qmd_peak_kind;

/* "AVX2 (vpmaddubsw)", ... */
const char *qmd_peak_name(qmd_peak_kind kind);

/* Multiply-adds a second of one core, by loops of about 0.1 s in processor time; 0 if the machine lacks the
 * instructions. */
double qmd_peak_measure(qmd_peak_kind kind);

/* The same of the best kind that the machine has; without any, 0 and kind is left alone. */
double qmd_peak_measure_best(qmd_peak_kind *kind);

/* Processor time that the calling thread has used, in seconds. */
double qmd_peak_thread_seconds(void);

#endif
