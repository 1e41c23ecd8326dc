#include "support.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PATHS 4096

static char scratch_folder[PATH_MAX];
static pid_t scratch_owner;
static int n_skipped;

static const char *keep(const char *folder, const char *name) {
	static char *kept[MAX_PATHS];
	static size_t n_kept;
	char path[2 * PATH_MAX];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	ck_assert_uint_lt(n_kept, MAX_PATHS);
	kept[n_kept] = strdup(path);
	return kept[n_kept++];
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
	(void)status, (void)type, (void)walk;
	return remove(path);
}

static void remove_scratch(void) {
	if (scratch_owner == getpid())
		nftw(scratch_folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *qmdt_scratch(const char *name) {
	if (scratch_owner != getpid()) {
		const char *base = getenv("TMPDIR");
		snprintf(scratch_folder, sizeof scratch_folder, "%s/qmd-test-XXXXXX", base ? base : "/tmp");
		ck_assert_ptr_nonnull(mkdtemp(scratch_folder));
		scratch_owner = getpid();
		atexit(remove_scratch);
	}
	return keep(scratch_folder, name);
}

const char *qmdt_bundled(const char *name) {
	return keep(QMDT_SOURCE_DIR "/examples/data", name);
}

const char *qmdt_data(const char *name) {
	const char *folder = getenv("QMD_TEST_DATA");
	const char *path = keep(folder && *folder ? folder : QMDT_SOURCE_DIR "/../shared/data", name);
	if (access(path, R_OK) == 0)
		return path;
	fprintf(stderr, "SKIPPED for lack of data: %s\n", path);
	n_skipped++;
	return NULL;
}

void qmdt_write_file(const char *path, const void *data, size_t size) {
	remove(path); /* some file systems wait for the disk where a file is truncated and written anew */
	FILE *file = fopen(path, "wb");
	ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
	ck_assert_uint_eq(fwrite(data, 1, size, file), size);
	ck_assert_int_eq(fclose(file), 0);
}

unsigned char *qmdt_read_file(const char *path, size_t *size) {
	FILE *file = fopen(path, "rb");
	ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
	const long length = ftell(file);
	ck_assert_int_ge(length, 0);
	rewind(file);
	unsigned char *data = malloc((size_t)length + 1);
	ck_assert_ptr_nonnull(data);
	ck_assert_uint_eq(fread(data, 1, (size_t)length, file), (size_t)length);
	fclose(file);
	*size = (size_t)length;
	return data;
}

qmd_status qmdt_predictor_create(const qmd_model *model, uint32_t batch_size, qmd_predictor **predictor) {
	qmd_predictor_options options;
	qmd_predictor_options_init(&options);
	options.batch_size = batch_size;
	options.n_threads = 1;
	return qmd_predictor_create(model, &options, predictor);
}

int qmdt_run(Suite *suite) {
	SRunner *runner = srunner_create(suite);
	/* Sanitizers and thread pools want one process. */
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	const int n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	if (n_skipped)
		fprintf(stderr, "%d parts SKIPPED for lack of data (set QMD_TEST_DATA)\n", n_skipped);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
