/*
 * Version, errors, the log, and memory that comes from the host.
 *
 *     $ base_services examples/data
 *     header 0.1, library 0.1.0
 *     QMD_ERROR_IO (a file cannot be opened, read or written): nowhere.qme: cannot be opened: ...
 *     log: the icnnmd split leaks: ...
 *     ... blocks of memory were asked for, and all were given back
 */
#include "snippets.h"

#include <stdio.h>
#include <stdlib.h>

/* [version] */
static void print_version(void) {
	/* What this program was compiled for, and what it found when it was started. */
	printf("header %d.%d, library %s\n", QMD_VERSION_MAJOR, QMD_VERSION_MINOR, qmd_version());
}
/* [version] */

/* [errors] */
static void fail_on_purpose(void) {
	qmd_engine *engine;
	const qmd_status status = qmd_engine_load("nowhere.qme", &engine);
	if (status != QMD_OK)
		printf("%s (%s): %s\n", qmd_status_name(status), qmd_status_meaning(status), qmd_last_error());
}
/* [errors] */

/* [log] */
static void print_line(void *user, qmd_log_level level, const char *line) {
	if (level >= QMD_LOG_WARNING)
		fprintf(user, "log: %s\n", line); /* a FILE, as it was handed to qmd_set_log() */
}

static void listen_to_the_library(void) {
	qmd_set_log(print_line, stdout);
}
/* [log] */

/* [allocator] */
typedef struct arena {
	size_t n_allocated, n_released;
} arena;

static void *arena_allocate(void *user, size_t size) {
	arena *host = user;
	host->n_allocated++;
	return malloc(size);
}

static void *arena_reallocate(void *user, void *pointer, size_t size) {
	arena *host = user;
	host->n_allocated += pointer == NULL;
	return realloc(pointer, size);
}

static void arena_release(void *user, void *pointer) {
	arena *host = user;
	host->n_released += pointer != NULL;
	free(pointer);
}

/* Before any handle exists. */
static void use_own_memory(arena *host) {
	const qmd_allocator allocator = {arena_allocate, arena_reallocate, arena_release, host};
	check(qmd_set_allocator(&allocator));
}
/* [allocator] */

int main(int argc, char **argv) {
	if (argc != 2)
		return 2;
	static arena host;
	print_version();
	use_own_memory(&host);
	fail_on_purpose();
	listen_to_the_library();
	qmd_dataset *dataset = open_states(argv[1]);
	qmd_split *split;
	check(qmd_split_icnnmd(dataset, 5, 0, 1, &split)); /* which warns */
	qmd_split_free(split);
	qmd_dataset_free(dataset);
	printf("%zu blocks of memory were asked for, and %s\n", host.n_allocated,
		   host.n_allocated == host.n_released ? "all were given back" : "not all were given back");
	return 0;
}
