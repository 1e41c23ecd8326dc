/* Every allocation of a whole study fails in turn, and every call that writes, syncs, renames or reads a file. */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "allocator_fixture.h"
#include "base/hash.h"
#include "dcd_fixture.h"
#include "study_fixture.h"

/* ---- System calls that fail when they are told to ---- */

typedef enum call_kind {
	CALL_OPEN,
	CALL_WRITE,
	CALL_FSYNC,
	CALL_RENAME,
	CALL_PREAD,
	CALL_READ,
	N_CALL_KINDS
} call_kind;

/* What happens instead of a call: an error number, or one of these. */
enum { DO_HALF = -1, DIE_BEFORE = -2, DIE_IN_THE_MIDDLE = -3, DIE_AFTER = -4 };

static struct {
	int is_counting;
	call_kind kind;
	size_t nth; /* the call that fails, from 1 on; 0: none */
	int how;
	int and_after; /* those after it too */
	size_t n_calls[N_CALL_KINDS];
} plan;

/* What is to happen instead of this call; 0: nothing. */
static int next_call(call_kind kind) {
	if (!plan.is_counting)
		return 0;
	const size_t n = ++plan.n_calls[kind];
	const int is_chosen = plan.nth > 0 && kind == plan.kind && (n == plan.nth || (plan.and_after && n > plan.nth));
	return is_chosen ? plan.how : 0;
}

static void die(void) {
	kill(getpid(), SIGKILL);
}

/* 1 if the call has failed with errno set. */
static int has_failed(int how) {
	if (how == DIE_BEFORE)
		die();
	if (how > 0)
		errno = how;
	return how > 0;
}

static long done(int how, long result) {
	if (how == DIE_AFTER || how == DIE_IN_THE_MIDDLE)
		die();
	return result;
}

static int is_partial(int how) {
	return how == DO_HALF || how == DIE_IN_THE_MIDDLE;
}

static size_t part(int how, size_t size) {
	return is_partial(how) && size > 1 ? size / 2 : size;
}

#pragma GCC visibility push(default) /* NetCDF-C's calls come here too */

int open(const char *path, int flags, ...) {
	mode_t mode = 0;
	if (flags & O_CREAT) {
		va_list arguments;
		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
	}
	const int how = next_call(CALL_OPEN);
	return has_failed(how) ? -1 : (int)done(how, syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

ssize_t write(int descriptor, const void *data, size_t size) {
	const int how = next_call(CALL_WRITE);
	return has_failed(how) ? -1 : done(how, syscall(SYS_write, descriptor, data, part(how, size)));
}

/* What is synced is not of interest here, only that it is asked for. */
int fsync(int descriptor) {
	(void)descriptor;
	const int how = next_call(CALL_FSYNC);
	return has_failed(how) ? -1 : (int)done(how, 0);
}

int rename(const char *from, const char *to) {
	const int how = next_call(CALL_RENAME);
	return has_failed(how) ? -1 : (int)done(how, syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

ssize_t pread(int descriptor, void *data, size_t size, off_t offset) {
	const int how = next_call(CALL_PREAD);
	return has_failed(how) ? -1 : done(how, syscall(SYS_pread64, descriptor, data, part(how, size), offset));
}

ssize_t read(int descriptor, void *data, size_t size) {
	const int how = next_call(CALL_READ);
	return has_failed(how) ? -1 : done(how, syscall(SYS_read, descriptor, data, part(how, size)));
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));
ssize_t pread64(int descriptor, void *data, size_t size, off_t offset) __attribute__((alias("pread")));

/* Streams read through read() above; their cookie is the descriptor's number. */
static int stream_descriptors[1024];

static ssize_t read_stream(void *cookie, char *data, size_t size) {
	return read(*(const int *)cookie, data, size);
}

static int seek_stream(void *cookie, off64_t *offset, int whence) {
	*offset = lseek(*(const int *)cookie, *offset, whence);
	return *offset < 0 ? -1 : 0;
}

static int close_stream(void *cookie) {
	return close(*(const int *)cookie);
}

FILE *fopen(const char *path, const char *mode) {
	const int is_read = mode[0] == 'r';
	const int descriptor = is_read ? open(path, O_RDONLY | O_CLOEXEC)
								   : (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	const cookie_io_functions_t functions = {read_stream, NULL, seek_stream, close_stream};
	if (descriptor < 0)
		return NULL;
	if (!is_read)
		return fdopen(descriptor, mode);
	ck_assert_int_lt(descriptor, sizeof stream_descriptors / sizeof *stream_descriptors);
	stream_descriptors[descriptor] = descriptor;
	return fopencookie(&stream_descriptors[descriptor], mode, functions);
}

#pragma GCC visibility pop

static void plan_nothing(void) {
	memset(&plan, 0, sizeof plan);
}

static void plan_failure(call_kind kind, size_t nth, int how, int and_after) {
	plan_nothing();
	plan.kind = kind;
	plan.nth = nth;
	plan.how = how;
	plan.and_after = and_after;
	plan.is_counting = 1;
}

/* ---- Allocations ---- */

static qmd_status run_study(void *study) {
	return qmdt_study_run(study);
}

static size_t n_allocations;

START_TEST(every_allocation_fails_from_then_on) {
	qmdt_study study;
	qmdt_study_init(&study);
	study.n_engine_threads = 2;
	n_allocations = qmdt_fail_each_allocation(run_study, &study) - 1;
	ck_assert_uint_gt(n_allocations, 200);
	qmdt_study after = study;
	qmdt_ok(qmdt_study_run(&after));
	qmdt_study_check_same(&after, &study);
}
END_TEST

START_TEST(every_allocation_fails_alone) {
	qmdt_study study;
	qmdt_study_init(&study);
	study.n_engine_threads = 2;
	ck_assert_uint_eq(qmdt_fail_single_allocations(run_study, &study, 1), n_allocations);
	printf("%zu allocations failed alone, and from then on\n", n_allocations);
}
END_TEST

/* ---- Objects to save ---- */

static struct {
	qmdt_study study;
	qmd_model *model, *quantized;
	qmd_engine *engine;
	qmd_explanation *shard;
	const char *folder, *path; /* what is saved is the only file of its folder */
	unsigned char first_checkpoint[65536];
	size_t first_checkpoint_size;
} made;

#define N_IMAGES 8

/* Only what concerns the checkpoint fails. */
static qmd_status train_to(uint32_t epochs) {
	const int is_counting = plan.is_counting;
	signed char images[N_IMAGES * 4 * 4 * 3];
	uint32_t labels[N_IMAGES];
	qmd_train_options options;
	qmd_model *model;
	plan.is_counting = 0;
	qmdt_ok(qmd_model_load(made.study.model, &model));
	plan.is_counting = is_counting;
	for (size_t i = 0; i < sizeof images; i++)
		images[i] = (signed char)(i * i % 101);
	for (uint32_t i = 0; i < N_IMAGES; i++)
		labels[i] = i % 2;
	qmd_train_options_init(&options);
	options.epochs = epochs;
	options.n_threads = 1;
	options.checkpoint_path = made.path;
	options.target_loss = 0;
	const qmd_status status = qmd_train_images(model, images, QMD_S8, labels, N_IMAGES, &options);
	qmd_model_free(model);
	return status;
}

static void make_objects(void) {
	size_t size;
	qmdt_study_init(&made.study);
	qmdt_ok(qmdt_study_run(&made.study));
	qmdt_ok(qmd_model_load(made.study.model, &made.model));
	qmdt_ok(qmd_model_load(made.study.quantized, &made.quantized));
	qmdt_ok(qmd_engine_load(made.study.engine, &made.engine));
	qmdt_ok(qmd_explanation_load(made.study.shard, &made.shard));
	made.folder = qmdt_scratch("saved");
	made.path = qmdt_scratch("saved/file");
	ck_assert_int_eq(mkdir(made.folder, 0777), 0);
	qmdt_ok(train_to(1));
	unsigned char *checkpoint = qmdt_read_file(made.path, &size);
	ck_assert_uint_le(size, sizeof made.first_checkpoint);
	memcpy(made.first_checkpoint, checkpoint, size);
	made.first_checkpoint_size = size;
	free(checkpoint);
}

static void free_objects(void) {
	qmd_model_free(made.model);
	qmd_model_free(made.quantized);
	qmd_engine_free(made.engine);
	qmd_explanation_free(made.shard);
}

static qmd_status save_model(void) {
	return qmd_model_save(made.model, made.path);
}

static qmd_status save_quantized(void) {
	return qmd_model_save(made.quantized, made.path);
}

static qmd_status save_engine(void) {
	return qmd_engine_save(made.engine, made.path);
}

static qmd_status save_shard(void) {
	return qmd_explanation_save(made.shard, "saved", made.path);
}

static qmd_status save_onnx(void) {
	return qmd_onnx_export(made.model, NULL, made.path);
}

static qmd_status save_quantized_onnx(void) {
	return qmd_onnx_export(made.quantized, NULL, made.path);
}

static qmd_status save_image(void) {
	static const signed char image[4 * 4 * 3];
	return qmd_pixels_write_png(qmd_engine_pixels(made.engine), image, made.path);
}

/* Goes on from the first epoch's checkpoint, and saves one more. */
static qmd_status save_checkpoint(void) {
	return train_to(2);
}

static const struct {
	const char *name;
	qmd_status (*save)(void);
} savers[] = {{"model", save_model},   {"quantized model", save_quantized},
			  {"engine", save_engine}, {"shard", save_shard},
			  {"ONNX", save_onnx},     {"quantized ONNX", save_quantized_onnx},
			  {"image", save_image},   {"checkpoint", save_checkpoint}};

#define N_SAVERS (sizeof savers / sizeof *savers)

/* The old file, and what it becomes if nothing fails. */
typedef struct contents {
	unsigned char *old, *new;
	size_t old_size, new_size;
	size_t n_calls[N_CALL_KINDS]; /* of one save */
} contents;

static void restore_old(const contents *c) {
	qmdt_write_file(made.path, c->old, c->old_size);
}

static contents learn_contents(size_t saver) {
	contents c = {0};
	c.old = malloc(made.first_checkpoint_size);
	ck_assert_ptr_nonnull(c.old);
	memcpy(c.old, made.first_checkpoint, made.first_checkpoint_size);
	c.old_size = made.first_checkpoint_size;
	restore_old(&c);
	plan_failure(CALL_WRITE, 0, 0, 0);
	const qmd_status status = savers[saver].save();
	memcpy(c.n_calls, plan.n_calls, sizeof c.n_calls);
	plan_nothing();
	qmdt_ok(status);
	c.new = qmdt_read_file(made.path, &c.new_size);
	ck_assert(c.new_size != c.old_size || memcmp(c.new, c.old, c.new_size) != 0);
	ck_assert_uint_gt(c.n_calls[CALL_WRITE], 0);
	ck_assert_uint_eq(c.n_calls[CALL_FSYNC], 2); /* of the file and of its folder */
	ck_assert_uint_eq(c.n_calls[CALL_RENAME], 1);
	return c;
}

static void free_contents(contents *c) {
	free(c->old);
	free(c->new);
}

/* 'o' for the old file, 'n' for the new one, '?' for anything else. */
static char what_is_there(const contents *c) {
	size_t size;
	unsigned char *data = qmdt_read_file(made.path, &size);
	const int is_old = size == c->old_size && memcmp(data, c->old, size) == 0;
	const int is_new = size == c->new_size && memcmp(data, c->new, size) == 0;
	free(data);
	return is_old ? 'o' : is_new ? 'n' : '?';
}

/* Files beside the saved one; they are removed. */
static size_t remove_others(void) {
	size_t n = 0;
	DIR *folder = opendir(made.folder);
	ck_assert_ptr_nonnull(folder);
	for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "file") != 0) {
			n++;
			ck_assert_int_eq(unlinkat(dirfd(folder), entry->d_name, 0), 0);
		}
	closedir(folder);
	return n;
}

/* What is expected if the nth call of a kind goes another way in a save. */
typedef void expectation(size_t saver, const contents *c, call_kind kind, size_t nth, int how);

/* Every saver, every call of it, every way in which that may go. Returns how many these are. */
static size_t at_every_call_of_a_save(const int *ways, size_t n_ways, expectation *expect) {
	static const call_kind kinds[] = {CALL_OPEN, CALL_WRITE, CALL_FSYNC, CALL_RENAME};
	size_t n_points = 0;
	for (size_t saver = 0; saver < N_SAVERS; saver++) {
		contents c = learn_contents(saver);
		for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
			for (size_t w = 0; w < n_ways; w++)
				for (size_t nth = 1; nth <= c.n_calls[kinds[k]]; nth++) {
					if (is_partial(ways[w]) && kinds[k] != CALL_WRITE)
						continue;
					expect(saver, &c, kinds[k], nth, ways[w]);
					n_points++;
				}
		free_contents(&c);
	}
	return n_points;
}

/* ---- Writing that fails ---- */

/* The folder is opened and synced after the new file has its name. */
static int is_after_rename(const contents *c, call_kind kind, size_t nth) {
	return (kind == CALL_FSYNC || kind == CALL_OPEN) && nth == c->n_calls[kind];
}

static void expect_failed_save(size_t saver, const contents *c, call_kind kind, size_t nth, int how) {
	const int goes_on = how == DO_HALF || (how == EINTR && (kind == CALL_WRITE || kind == CALL_PREAD));
	const char expected = goes_on || is_after_rename(c, kind, nth) ? 'n' : 'o';
	for (int and_after = 0; and_after < (goes_on ? 1 : 2); and_after++) {
		restore_old(c);
		plan_failure(kind, nth, how, and_after);
		const qmd_status status = savers[saver].save();
		plan_nothing();
		ck_assert_msg(status == (goes_on ? QMD_OK : QMD_ERROR_IO), "%s, call %zu of kind %d, failure %d: %s: %s",
					  savers[saver].name, nth, kind, how, qmd_status_name(status), qmd_last_error());
		const char found = what_is_there(c);
		ck_assert_msg(found == expected, "%s, call %zu of kind %d, failure %d: file '%c', expected '%c'",
					  savers[saver].name, nth, kind, how, found, expected);
		ck_assert_uint_eq(remove_others(), 0);
	}
	/* What was to be saved is as it was. */
	restore_old(c);
	qmdt_ok(savers[saver].save());
	ck_assert_int_eq(what_is_there(c), 'n');
}

START_TEST(every_call_of_a_save_fails) {
	static const int failures[] = {EIO, ENOSPC, EINTR, DO_HALF};
	const size_t n_points = at_every_call_of_a_save(failures, sizeof failures / sizeof *failures, expect_failed_save);
	ck_assert_uint_gt(n_points, 100);
	printf("%zu calls of saves failed\n", n_points);
}
END_TEST

/* ---- Killed while saving ---- */

static void expect_whole_after_kill(size_t saver, const contents *c, call_kind kind, size_t nth, int how) {
	restore_old(c);
	fflush(NULL);
	const pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		plan_failure(kind, nth, how, 0);
		savers[saver].save();
		_exit(0);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended with %d", status);
	const char found = what_is_there(c);
	const int is_renamed = is_after_rename(c, kind, nth) || (kind == CALL_RENAME && how == DIE_AFTER);
	ck_assert_msg(found == (is_renamed ? 'n' : 'o'), "%s, killed at call %zu of kind %d (%d): file '%c'",
				  savers[saver].name, nth, kind, how, found);
	ck_assert_uint_le(remove_others(), 1); /* the dead can tidy up nothing */
	qmdt_ok(savers[saver].save());
	ck_assert_int_eq(what_is_there(c), 'n');
}

START_TEST(killed_at_every_call_of_a_save) {
	static const int ways[] = {DIE_BEFORE, DIE_IN_THE_MIDDLE, DIE_AFTER};
	const size_t n_kills = at_every_call_of_a_save(ways, sizeof ways / sizeof *ways, expect_whole_after_kill);
	ck_assert_uint_gt(n_kills, 100);
	printf("%zu kills in saves\n", n_kills);
}
END_TEST

/* ---- Reading that fails ---- */

static uint64_t loaded; /* hash of the coordinates that the last load gave */

static qmd_status load_model(void) {
	qmd_model *model = NULL;
	const qmd_status status = qmd_model_load(made.study.model, &model);
	ck_assert_int_eq(model != NULL, status == QMD_OK);
	qmd_model_free(model);
	return status;
}

static qmd_status load_engine(void) {
	qmd_engine *engine = NULL;
	const qmd_status status = qmd_engine_load(made.study.engine, &engine);
	ck_assert_int_eq(engine != NULL, status == QMD_OK);
	qmd_engine_free(engine);
	return status;
}

static qmd_status load_shard(void) {
	qmd_explanation *shard = NULL;
	const qmd_status status = qmd_explanation_load(made.study.shard, &shard);
	ck_assert_int_eq(shard != NULL, status == QMD_OK);
	qmd_explanation_free(shard);
	return status;
}

static qmd_status import_file(const char *path) {
	qmd_model *model = NULL;
	const qmd_status status = qmd_onnx_import(path, NULL, &model);
	ck_assert_int_eq(model != NULL, status == QMD_OK);
	qmd_model_free(model);
	return status;
}

static qmd_status import_onnx(void) {
	return import_file(made.study.onnx);
}

static qmd_status import_quantized_onnx(void) {
	return import_file(made.study.quantized_onnx);
}

static qmd_status load_topology(void) {
	qmd_topology *topology = NULL;
	float xyz[64];
	const qmd_status status = qmd_topology_load(made.study.pdb, &topology);
	ck_assert_int_eq(topology != NULL, status == QMD_OK);
	ck_assert_uint_le(qmd_topology_n_atoms(topology), 21);
	if (status == QMD_OK)
		qmdt_ok(qmd_topology_coordinates(topology, xyz));
	loaded = qmdi_hash(QMDI_HASH_START, xyz, qmd_topology_n_atoms(topology) * 3 * sizeof *xyz);
	qmd_topology_free(topology);
	return status;
}

static qmd_status read_all_frames(const char *path) {
	qmd_trajectory *trajectory = NULL;
	qmd_status status = qmd_trajectory_open(&path, 1, 0, &trajectory);
	ck_assert_int_eq(trajectory != NULL, status == QMD_OK);
	const size_t n_frames = qmd_trajectory_n_frames(trajectory), n_atoms = qmd_trajectory_n_atoms(trajectory);
	float *xyz = malloc(n_frames * n_atoms * 3 * sizeof *xyz + 1);
	ck_assert_ptr_nonnull(xyz);
	if (status == QMD_OK)
		status = qmd_trajectory_read(trajectory, 0, n_frames, xyz);
	if (status == QMD_OK)
		loaded = qmdi_hash(QMDI_HASH_START, xyz, n_frames * n_atoms * 3 * sizeof *xyz);
	free(xyz);
	qmd_trajectory_free(trajectory);
	return status;
}

static qmd_status read_netcdf(void) {
	return read_all_frames(made.study.trajectories[0][0]);
}

static qmd_status read_dcd(void) {
	static const char *path;
	if (!path)
		path = qmdt_write_dcd("frames.dcd", &(qmdt_dcd){.n_frames = 4, .n_atoms = 5, .n_frames_said = 4});
	return read_all_frames(path);
}

static qmd_status read_xtc(void) {
	return read_all_frames(QMDT_SOURCE_DIR "/tests/fuzz/corpus/xtc/water.xtc");
}

static qmd_status load_map(void) {
	static const char map[] = "bent A 1 ALA CA -> A 2 ALA CA\nbent A 2 ALA CA -> A 3 ALA CA\n";
	static const char *path;
	if (!path) {
		path = qmdt_scratch("atoms.map");
		qmdt_write_file(path, map, sizeof map - 1);
	}
	qmd_dataset *dataset = NULL;
	qmd_dataset_options options;
	qmd_dataset_options_init(&options);
	options.map_path = path;
	const qmd_status status = qmd_dataset_create(&options, &dataset);
	ck_assert_int_eq(dataset != NULL, status == QMD_OK);
	qmd_dataset_free(dataset);
	return status;
}

static qmd_status resume_training(void) {
	qmdt_write_file(made.path, made.first_checkpoint, made.first_checkpoint_size);
	return train_to(1);
}

static const struct {
	const char *name;
	qmd_status (*load)(void);
} loaders[] = {{"model", load_model},
			   {"engine", load_engine},
			   {"shard", load_shard},
			   {"ONNX", import_onnx},
			   {"quantized ONNX", import_quantized_onnx},
			   {"PDB", load_topology},
			   {"NetCDF", read_netcdf},
			   {"DCD", read_dcd},
			   {"XTC", read_xtc},
			   {"map", load_map},
			   {"checkpoint", resume_training}};

/* Streams and NetCDF-C read more than they need and may then do without, or give up where a call was interrupted, which
 * calls on regular files never are. What they say they read must be right. */
static int may_end_so(call_kind kind, size_t nth, int how, qmd_status status) {
	if (how == DO_HALF || (kind == CALL_PREAD && how == EINTR))
		return status == QMD_OK;
	if (kind == CALL_READ && (nth > 1 || how == EINTR) && status == QMD_OK)
		return 1;
	return status == QMD_ERROR_IO;
}

static void expect_failed_load(size_t loader, call_kind kind, size_t nth, int how, uint64_t expected) {
	loaded = expected;
	plan_failure(kind, nth, how, 0);
	const qmd_status status = loaders[loader].load();
	plan_nothing();
	ck_assert_msg(may_end_so(kind, nth, how, status), "%s, call %zu of kind %d, failure %d: %s: %s",
				  loaders[loader].name, nth, kind, how, qmd_status_name(status), qmd_last_error());
	ck_assert_msg(status != QMD_OK || loaded == expected, "%s, call %zu of kind %d, failure %d: read wrongly",
				  loaders[loader].name, nth, kind, how);
}

START_TEST(every_call_of_a_load_fails) {
	static const int failures[] = {EIO, EINTR, DO_HALF};
	static const call_kind kinds[] = {CALL_OPEN, CALL_PREAD, CALL_READ};
	size_t n_points = 0;
	for (size_t loader = 0; loader < sizeof loaders / sizeof *loaders; loader++) {
		size_t n_calls[N_CALL_KINDS];
		qmdt_ok(loaders[loader].load()); /* writes its file */
		plan_failure(CALL_READ, 0, 0, 0);
		const qmd_status whole = loaders[loader].load();
		memcpy(n_calls, plan.n_calls, sizeof n_calls);
		plan_nothing();
		qmdt_ok(whole);
		const uint64_t expected = loaded;
		ck_assert_uint_gt(n_calls[CALL_PREAD] + n_calls[CALL_READ], 0);
		for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
			for (size_t f = 0; f < sizeof failures / sizeof *failures; f++)
				for (size_t nth = 1; nth <= n_calls[kinds[k]]; nth++)
					if (failures[f] == EIO || kinds[k] != CALL_OPEN) {
						expect_failed_load(loader, kinds[k], nth, failures[f], expected);
						n_points++;
					}
		qmdt_ok(loaders[loader].load());
	}
	ck_assert_uint_gt(n_points, 50);
	printf("%zu calls of loads failed\n", n_points);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("failures");
	TCase *memory = tcase_create("memory");
	tcase_set_timeout(memory, 300);
	tcase_add_test(memory, every_allocation_fails_from_then_on);
	tcase_add_test(memory, every_allocation_fails_alone);
	suite_add_tcase(suite, memory);
	TCase *files = tcase_create("files");
	tcase_set_timeout(files, 300);
	tcase_add_unchecked_fixture(files, make_objects, free_objects);
	tcase_add_test(files, every_call_of_a_save_fails);
	tcase_add_test(files, killed_at_every_call_of_a_save);
	tcase_add_test(files, every_call_of_a_load_fails);
	suite_add_tcase(suite, files);
	return qmdt_run(suite);
}
