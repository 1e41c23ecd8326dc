/* Trajectories, from DCD files. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	return fuzz_trajectory(data, size);
}
