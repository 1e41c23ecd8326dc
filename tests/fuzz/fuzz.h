/* What the fuzz harnesses share. Each is one file that defines LLVMFuzzerTestOneInput(). */
#ifndef QMD_TESTS_FUZZ_H
#define QMD_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include <qmd.h>

/* One input, which may hold anything. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Name of a file that holds the input until the next call. */
const char *fuzz_file(const uint8_t *data, size_t size);

/* Open the input as a trajectory and read all there is. */
int fuzz_trajectory(const uint8_t *data, size_t size);

/*
 * Load the input as a file of the library's own format, as it is and again with its checksums made right, which no
 * fuzzer would find. `load` frees what it loads.
 */
int fuzz_container(const uint8_t *data, size_t size, void (*load)(const char *path));

#endif
