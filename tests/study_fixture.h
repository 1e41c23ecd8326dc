/* The whole way of the data on made-up files: pixels, training, quantization, engine, explanation, and every file that
 * is written on it. */
#ifndef QMD_TESTS_STUDY_FIXTURE_H
#define QMD_TESTS_STUDY_FIXTURE_H

#include <qmd.h>

/* What a study results in, each as a hash of all its bytes. */
typedef enum qmdt_study_result {
	QMDT_STUDY_COORDINATES,
	QMDT_STUDY_IMAGES,
	QMDT_STUDY_PNG,
	QMDT_STUDY_CHECKPOINT,
	QMDT_STUDY_MODEL,
	QMDT_STUDY_PREDICTIONS,
	QMDT_STUDY_ONNX,
	QMDT_STUDY_QUANTIZED,
	QMDT_STUDY_ENGINE,
	QMDT_STUDY_LOGITS,
	QMDT_STUDY_SCORES,
	QMDT_STUDY_N_RESULTS
} qmdt_study_result;

typedef struct qmdt_study {
	const char *pdb, *map, *trajectories[2][2]; /* two states, two replicas each */
	const char *others[3];                      /* trajectories in DCD, XTC and NetCDF */
	const char *checkpoint, *model, *quantized, *engine, *onnx, *quantized_onnx, *image, *shard; /* written */
	uint32_t n_training_threads, n_engine_threads;
	void (*after_call)(void *user); /* called after every call of the library but those that free; or NULL */
	void *user;
	uint64_t results[QMDT_STUDY_N_RESULTS];
} qmdt_study;

/* Write the files that are read, in the scratch folder. One thread each, no callback. */
void qmdt_study_init(qmdt_study *study);

/* Remove the checkpoint, then do it all. What was made is freed, whatever fails; returns the first status that is not
 * QMD_OK. */
qmd_status qmdt_study_run(qmdt_study *study);

/* Every result of two studies is the same. */
void qmdt_study_check_same(const qmdt_study *a, const qmdt_study *b);

#endif
