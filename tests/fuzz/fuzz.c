#include "fuzz.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container_fixture.h"

#define MAX_FRAMES 16
#define CONTAINER_HEAD_SIZE 40

/* ---- Memory ---- */

static size_t held, most_held = SIZE_MAX;

static void *hold(void *pointer) {
	held += malloc_usable_size(pointer);
	if (held > most_held) {
		fprintf(stderr, "%zu bytes are held, expected at most %zu\n", held, most_held);
		abort();
	}
	return pointer;
}

static void *allocate(void *user, size_t size) {
	(void)user;
	return hold(malloc(size));
}

static void *reallocate(void *user, void *pointer, size_t size) {
	(void)user;
	const size_t before = malloc_usable_size(pointer);
	void *made = realloc(pointer, size);
	held -= made ? before : 0;
	return hold(made);
}

static void release(void *user, void *pointer) {
	(void)user;
	held -= malloc_usable_size(pointer);
	free(pointer);
}

void fuzz_limit_memory(size_t size) {
	static const qmd_allocator counting = {allocate, reallocate, release, NULL};
	static int is_counting;
	if (!is_counting && qmd_set_allocator(&counting) != QMD_OK)
		abort();
	is_counting = 1;
	most_held = held + (64u << 20) + 4 * size;
}

void fuzz_lift_memory_limit(void) {
	most_held = SIZE_MAX;
}

/* ---- Inputs ---- */

static char path[64];

static void remove_file(void) {
	unlink(path);
}

/* In memory where the system has a place for that. */
static int open_file(void) {
	const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(path, sizeof path, "%s/qmd-fuzz-XXXXXX", folder);
	const int descriptor = mkstemp(path);
	if (descriptor < 0)
		abort();
	atexit(remove_file);
	return descriptor;
}

const char *fuzz_file(const uint8_t *data, size_t size) {
	static int descriptor = -1;
	if (descriptor < 0)
		descriptor = open_file();
	fuzz_limit_memory(size);
	if (ftruncate(descriptor, (off_t)size) != 0 || pwrite(descriptor, data, size, 0) != (ssize_t)size)
		abort();
	return path;
}

int fuzz_trajectory(const uint8_t *data, size_t size) {
	const char *name = fuzz_file(data, size);
	qmd_trajectory *trajectory;
	if (qmd_trajectory_open(&name, 1, 0, &trajectory) != QMD_OK)
		return 0;
	const size_t n_frames = qmd_trajectory_n_frames(trajectory);
	float *xyz = malloc(qmd_trajectory_n_atoms(trajectory) * 3 * sizeof *xyz);
	for (size_t i = 0; xyz && i < n_frames && i < MAX_FRAMES; i++) {
		double time_ps, box[9];
		int has_box;
		qmd_trajectory_read(trajectory, i, 1, xyz);
		qmd_trajectory_time_ps(trajectory, i, &time_ps);
		qmd_trajectory_box(trajectory, i, box, &has_box);
	}
	free(xyz);
	qmd_trajectory_free(trajectory);
	return 0;
}

int fuzz_container(const uint8_t *data, size_t size, void (*load)(const char *path)) {
	load(fuzz_file(data, size));
	if (size < CONTAINER_HEAD_SIZE)
		return 0;
	unsigned char *sealed = malloc(size);
	if (!sealed)
		return 0;
	memcpy(sealed, data, size);
	qmdt_store(sealed + 16, 8, size);
	qmdt_reseal_container(sealed, size);
	load(fuzz_file(sealed, size));
	free(sealed);
	return 0;
}
