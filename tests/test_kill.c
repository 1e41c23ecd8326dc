/* Training that is killed at any moment, again and again, and resumed: it ends in the bits of one that was left alone.
 */
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "training_fixture.h"

#define N_EPOCHS 12

/* What a training says of itself, in memory that outlives it. */
typedef struct report {
	size_t first_done, last_done, total; /* of the progress callback; SIZE_MAX before its first call */
} report;

static report *shared;
static const char *checkpoint, *final_model;

static int note_progress(void *user, const qmd_progress *progress) {
	report *seen = user;
	if (seen->first_done == SIZE_MAX)
		seen->first_done = progress->done;
	seen->last_done = progress->done;
	seen->total = progress->total;
	return 0;
}

/* Train to the end, from where the checkpoint is; then save the model. */
static qmd_status train_and_save(void) {
	qmd_train_options options;
	qmd_model *model = qmdt_tiny_model();
	qmd_train_options_init(&options);
	options.epochs = N_EPOCHS;
	options.batch_size = 8;
	options.n_threads = 1;
	options.target_loss = 0;
	options.checkpoint_path = checkpoint;
	options.progress = note_progress;
	options.user = shared;
	qmd_status status = qmd_train_images(model, qmdt_patches, QMD_S8, qmdt_patch_labels, QMDT_N_PATCHES, &options);
	if (status == QMD_OK)
		status = qmd_model_save(model, final_model);
	qmd_model_free(model);
	return status;
}

static pid_t start_training(void) {
	*shared = (report){.first_done = SIZE_MAX};
	fflush(NULL);
	const pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0)
		_exit(train_and_save() == QMD_OK ? 0 : 1);
	return child;
}

static double now(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void sleep_for(double seconds) {
	const struct timespec time = {.tv_sec = (time_t)seconds,
								  .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};
	nanosleep(&time, NULL);
}

/* Lost are at most the steps since the last checkpoint: the epoch before that of the last step that was heard of. */
static void expect_little_lost(size_t last_done) {
	const size_t n_batches = shared->total / N_EPOCHS;
	if (last_done > 0 && shared->first_done != SIZE_MAX)
		ck_assert_msg(shared->first_done > (last_done - 1) / n_batches * n_batches,
					  "step %zu was done, and the training resumed with step %zu of epochs of %zu", last_done,
					  shared->first_done, n_batches);
}

/* One training from nothing to its end, killed after random times of up to `longest` seconds. Returns the kills. */
static size_t train_through_kills(double longest, uint64_t seed, size_t most_kills) {
	size_t last_done = 0;
	unlink(checkpoint);
	unlink(final_model);
	for (size_t n_kills = 0;; n_kills++) {
		int status;
		const pid_t child = start_training();
		if (n_kills < most_kills) {
			sleep_for(longest * (double)qmdi_random_f32(seed, 0, n_kills));
			kill(child, SIGKILL);
		}
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		expect_little_lost(last_done);
		if (WIFEXITED(status)) {
			ck_assert_msg(WEXITSTATUS(status) == 0, "after %zu kills the training failed", n_kills);
			return n_kills;
		}
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		if (shared->last_done > last_done)
			last_done = shared->last_done;
	}
}

/* QMD_TEST_KILLS: how many. */
static size_t kills_wanted(void) {
	const char *text = getenv("QMD_TEST_KILLS");
	return text ? (size_t)strtoul(text, NULL, 10) : 100;
}

START_TEST(a_killed_training_ends_in_the_same_bits) {
	size_t size, n_kills = 0, n_trainings = 0, resumed_size;
	checkpoint = qmdt_scratch("killed.qmc");
	final_model = qmdt_scratch("killed.qmm");
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	qmdt_draw_patches(3);
	const double start = now();
	ck_assert_uint_eq(train_through_kills(0, 0, 0), 0);
	const double duration = now() - start;
	unsigned char *expected = qmdt_read_file(final_model, &size);
	for (; n_kills < kills_wanted(); n_trainings++) {
		n_kills += train_through_kills(duration / 3, n_trainings, 50);
		unsigned char *resumed = qmdt_read_file(final_model, &resumed_size);
		ck_assert_uint_eq(resumed_size, size);
		ck_assert_mem_eq(resumed, expected, size);
		free(resumed);
	}
	printf("%zu kills of %zu trainings\n", n_kills, n_trainings);
	munmap(shared, sizeof *shared);
	free(expected);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("kill");
	TCase *training = tcase_create("training");
	tcase_set_timeout(training, 1200);
	tcase_add_test(training, a_killed_training_ends_in_the_same_bits);
	suite_add_tcase(suite, training);
	return qmdt_run(suite);
}
