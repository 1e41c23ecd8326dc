/* Run a harness without a fuzzer: on files, on all files of folders, and on each of them cut short and with damaged
 * bytes. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define MAX_SIZE (1 << 20)
#define MAX_PLACES 250 /* of damage in a file */

static size_t n_run;

/* In memory of its very size, so that a sanitizer sees what reads beyond it. */
static void run(const uint8_t *data, size_t size) {
	uint8_t *exact = malloc(size > 0 ? size : 1);
	if (!exact)
		abort();
	memcpy(exact, data, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	n_run++;
}

static void run_damaged(uint8_t *data, size_t size) {
	static const uint8_t values[] = {0x00, 0x7f, 0x80, 0xff};
	for (size_t i = 0; i < MAX_PLACES && i < size; i++) {
		const size_t at = size <= MAX_PLACES ? i : i * size / MAX_PLACES;
		const uint8_t whole = data[at];
		run(data, at);
		for (size_t v = 0; v < sizeof values; v++) {
			data[at] = values[v];
			run(data, size);
		}
		data[at] = whole;
	}
}

static int run_file(const char *path) {
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		return 0;
	}
	uint8_t *data = malloc(MAX_SIZE);
	if (!data)
		abort();
	const size_t size = fread(data, 1, MAX_SIZE, file);
	fclose(file);
	run(data, size);
	run_damaged(data, size);
	free(data);
	return 1;
}

static int run_folder(const char *path) {
	DIR *folder = opendir(path);
	if (!folder)
		return run_file(path);
	int good = 1;
	for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
		char name[4096];
		snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
		if (entry->d_name[0] != '.')
			good &= run_file(name);
	}
	closedir(folder);
	return good;
}

int main(int argc, char **argv) {
	int good = 1;
	for (int i = 1; i < argc; i++)
		good &= run_folder(argv[i]);
	printf("%zu inputs\n", n_run);
	return good && n_run > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
