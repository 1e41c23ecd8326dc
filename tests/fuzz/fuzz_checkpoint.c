/* Checkpoints of trainings, of both optimizers; what loads must be fit to train on. */
#include "fuzz.h"
#include "fuzz_training.h"

static void resume(qmd_optimizer kind, const char *path) {
	fuzz_training training = fuzz_training_create(kind);
	if (fuzz_training_load(&training, path) == QMD_OK)
		fuzz_training_step(&training);
	fuzz_training_free(&training);
}

static void load(const char *path) {
	resume(QMD_OPTIMIZER_ADAM, path);
	resume(QMD_OPTIMIZER_RMSPROP, path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	return fuzz_container(data, size, load);
}
