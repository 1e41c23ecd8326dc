/* Run a harness on files, and on all files of folders, without a fuzzer. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

static size_t n_run;

static int run_file(const char *path) {
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		return 0;
	}
	uint8_t *data = malloc(1 << 20);
	const size_t size = data ? fread(data, 1, 1 << 20, file) : 0;
	fclose(file);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	n_run++;
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
