/* What the fuzz harnesses share. Each is one file that defines LLVMFuzzerTestOneInput(). */
#ifndef QMD_TESTS_FUZZ_H
#define QMD_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include <qmd.h>

/* One input, which may hold anything. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * From here on a reader of an input of so many bytes may hold at most 64 MiB + 4 times those; it ends the process where
 * it takes more. fuzz_file() does this too. NetCDF-C's own memory is not counted.
 */
void fuzz_limit_memory(size_t size);

/* What was read is used: it may take what it needs. */
void fuzz_lift_memory_limit(void);

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
