/* What the library owes its host: whatever the host has set stays set, and changes no number. */
#include "support.h"

#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "study_fixture.h"

/* ---- The host's state ---- */

typedef struct host_state {
	int rounding, traps;
	unsigned mxcsr; /* 0 where there is none */
	char locale[256], decimal_point[8];
	struct sigaction actions[NSIG];
	sigset_t mask;
	int n_threads, is_dynamic, n_levels;
	mode_t umask;
	char folder[4096];
	char **environment;
} host_state;

static unsigned read_mxcsr(void) {
#if defined(__x86_64__)
	unsigned mxcsr;
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	return mxcsr & ~0x3fu; /* without the flags of what has happened */
#else
	return 0;
#endif
}

static void write_mxcsr(unsigned mxcsr) {
#if defined(__x86_64__)
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
#else
	(void)mxcsr;
#endif
}

static void look(host_state *state) {
	memset(state, 0, sizeof *state);
	state->rounding = fegetround();
	state->traps = fegetexcept();
	state->mxcsr = read_mxcsr();
	snprintf(state->locale, sizeof state->locale, "%s", setlocale(LC_ALL, NULL));
	snprintf(state->decimal_point, sizeof state->decimal_point, "%s", localeconv()->decimal_point);
	for (int i = 1; i < NSIG; i++)
		sigaction(i, NULL, &state->actions[i]);
	pthread_sigmask(SIG_SETMASK, NULL, &state->mask);
	state->n_threads = omp_get_max_threads();
	state->is_dynamic = omp_get_dynamic();
	state->n_levels = omp_get_max_active_levels();
	state->umask = umask(0);
	umask(state->umask);
	ck_assert_ptr_nonnull(getcwd(state->folder, sizeof state->folder));
	state->environment = environ;
}

static int same_actions(const host_state *a, const host_state *b) {
	for (int i = 1; i < NSIG; i++)
		if (a->actions[i].sa_handler != b->actions[i].sa_handler || a->actions[i].sa_flags != b->actions[i].sa_flags)
			return 0;
	return 1;
}

/* After every call of the study. */
static void expect_unchanged(void *user) {
	const host_state *before = user;
	host_state now;
	look(&now);
	ck_assert_int_eq(now.rounding, before->rounding);
	ck_assert_int_eq(now.traps, before->traps);
	ck_assert_uint_eq(now.mxcsr, before->mxcsr);
	ck_assert_str_eq(now.locale, before->locale);
	ck_assert_str_eq(now.decimal_point, before->decimal_point);
	ck_assert_msg(same_actions(&now, before), "the action of a signal was changed");
	for (int i = 1; i < NSIG; i++)
		ck_assert_int_eq(sigismember(&now.mask, i), sigismember(&before->mask, i));
	ck_assert_int_eq(now.n_threads, before->n_threads);
	ck_assert_int_eq(now.is_dynamic, before->is_dynamic);
	ck_assert_int_eq(now.n_levels, before->n_levels);
	ck_assert_uint_eq(now.umask, before->umask);
	ck_assert_str_eq(now.folder, before->folder);
	ck_assert_ptr_eq(now.environment, before->environment);
}

/* The study of a host that has set nothing, and the same with two threads of OpenMP; later ones must equal them. */
static qmdt_study usual, usual_of_two;

static void run_usual_studies(void) {
	qmdt_study_init(&usual);
	qmdt_ok(qmdt_study_run(&usual));
	usual_of_two = usual;
	usual_of_two.n_training_threads = 2;
	qmdt_ok(qmdt_study_run(&usual_of_two));
}

/* The study as this process is set now: nothing is changed on its way, and its results are the usual ones. */
static void expect_usual_study(uint32_t n_threads) {
	host_state before;
	const qmdt_study *expected = n_threads == 1 ? &usual : &usual_of_two;
	qmdt_study study = *expected;
	study.n_engine_threads = n_threads;
	study.after_call = expect_unchanged;
	study.user = &before;
	look(&before);
	const qmd_status status = qmdt_study_run(&study);
	fesetenv(FE_DFL_ENV);
	ck_assert_msg(status == QMD_OK, "%s: %s", qmd_status_name(status), qmd_last_error());
	qmdt_study_check_same(&study, expected);
}

/* ---- Floating-point environment ---- */

START_TEST(rounding_and_flushing_change_nothing) {
	static const int roundings[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO, FE_TONEAREST};
	for (size_t i = 0; i < sizeof roundings / sizeof *roundings; i++) {
		ck_assert_int_eq(fesetround(roundings[i]), 0);
		write_mxcsr(read_mxcsr() | 0x8040u); /* FTZ and DAZ */
		expect_usual_study(1 + (uint32_t)(i % 2));
	}
}
END_TEST

/* Where a host wants to be stopped by a division by 0, the library's own must not stop it. */
START_TEST(traps_of_the_host_are_not_sprung) {
	feclearexcept(FE_ALL_EXCEPT);
	ck_assert_int_ne(feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW | FE_UNDERFLOW), -1);
	expect_usual_study(2);
}
END_TEST

/* ---- Locale ---- */

/* A locale whose decimals have a comma: the machine's, else one that is compiled here. */
static int set_comma_locale(void) {
	if (setlocale(LC_ALL, "de_DE.UTF-8"))
		return 1;
	char command[8192];
	const char *folder = qmdt_scratch("locales");
	ck_assert_int_eq(mkdir(folder, 0777), 0);
	snprintf(command, sizeof command, "localedef --no-archive -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1",
			 folder);
	if (system(command) != 0)
		return 0;
	setenv("LOCPATH", folder, 1);
	return setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
}

START_TEST(a_comma_for_decimals_changes_nothing) {
	if (!set_comma_locale()) {
		fprintf(stderr, "SKIPPED: no locale de_DE.UTF-8, and localedef cannot make it (package locales)\n");
		return;
	}
	char text[16];
	snprintf(text, sizeof text, "%.1f", 1.5);
	ck_assert_str_eq(text, "1,5");
	expect_usual_study(1);
	ck_assert_ptr_nonnull(setlocale(LC_ALL, "C"));
}
END_TEST

/* ---- Signals, threads, output ---- */

static void ignore_signal(int number) {
	(void)number;
}

START_TEST(signals_stay_the_hosts) {
	static const int numbers[] = {SIGINT, SIGTERM, SIGPIPE, SIGFPE, SIGSEGV, SIGUSR1, SIGCHLD};
	struct sigaction saved[sizeof numbers / sizeof *numbers];
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		const struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};
		ck_assert_int_eq(sigaction(numbers[i], &action, &saved[i]), 0);
	}
	expect_usual_study(2);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		ck_assert_int_eq(sigaction(numbers[i], &saved[i], NULL), 0);
}
END_TEST

START_TEST(threads_of_openmp_stay_the_hosts) {
	const int n_threads = omp_get_max_threads();
	omp_set_num_threads(5);
	expect_usual_study(2);
	omp_set_num_threads(n_threads);
}
END_TEST

/* The host's own thread of OpenMP is the one that trains. */
START_TEST(threads_of_openmp_keep_their_rounding) {
	int rounding = FE_TONEAREST;
#pragma omp parallel num_threads(2)
	fesetround(FE_UPWARD);
	expect_usual_study(2);
#pragma omp parallel num_threads(2)
	if (omp_get_thread_num() == 1)
		rounding = fegetround();
	ck_assert_int_eq(rounding, FE_UPWARD);
}
END_TEST

/* Calls that fail inside the libraries that libqmd calls too. */
static void make_mistakes(void) {
	static const char *const names[] = {"broken.nc", "broken.pdb", "broken.qme", "broken.onnx"};
	static const char bytes[4][16] = {"CDF\1xxxxxxxxxxx", "ATOM  nonsense\n", "QMDENGIN", "\x0a\xffonnx"};
	qmd_topology *topology = NULL;
	qmd_trajectory *trajectory = NULL;
	qmd_engine *engine = NULL;
	qmd_model *model = NULL;
	const char *paths[4];
	for (size_t i = 0; i < 4; i++) {
		paths[i] = qmdt_scratch(names[i]);
		qmdt_write_file(paths[i], bytes[i], sizeof bytes[i]);
	}
	ck_assert_int_ne(qmd_trajectory_open(&paths[0], 1, 0, &trajectory), QMD_OK);
	ck_assert_int_ne(qmd_topology_load(paths[1], &topology), QMD_OK);
	ck_assert_int_ne(qmd_engine_load(paths[2], &engine), QMD_OK);
	ck_assert_int_ne(qmd_onnx_import(paths[3], NULL, &model), QMD_OK);
	ck_assert_int_ne(qmd_engine_save(NULL, "/nowhere/at/all"), QMD_OK);
}

/* Redirect a descriptor to a file; returns a copy of what it was. */
static int redirect(int descriptor, const char *path) {
	fflush(NULL);
	const int saved = dup(descriptor), file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
	ck_assert(saved >= 0 && file >= 0);
	ck_assert_int_eq(dup2(file, descriptor), descriptor);
	close(file);
	return saved;
}

static void give_back(int descriptor, int saved) {
	fflush(NULL);
	ck_assert_int_eq(dup2(saved, descriptor), descriptor);
	close(saved);
}

START_TEST(nothing_is_printed) {
	size_t size;
	qmdt_study study = usual;
	const char *path = qmdt_scratch("printed.txt");
	const int out = redirect(STDOUT_FILENO, path), error = redirect(STDERR_FILENO, path);
	const qmd_status status = qmdt_study_run(&study);
	make_mistakes();
	give_back(STDERR_FILENO, error);
	give_back(STDOUT_FILENO, out);
	qmdt_ok(status);
	char *text = (char *)qmdt_read_file(path, &size);
	text[size] = '\0';
	ck_assert_msg(size == 0, "%zu bytes were printed: %s", size, text);
	free(text);
}
END_TEST

/* What could exit, print, install a handler or change the locale is not even linked. */
START_TEST(the_library_calls_nothing_that_a_host_would_mind) {
	static const char *const forbidden[] = {
		"exit",     "_exit",   "_Exit",  "quick_exit", "abort",     "__assert_fail", "atexit",       "raise",
		"signal",   "kill",    "printf", "puts",       "putchar",   "perror",        "__printf_chk", "stdout",
		"stderr",   "vprintf", "chdir",  "umask",      "sigaction", "setlocale",     "setenv",       "putenv",
		"unsetenv", "system",  "popen",  "execvp",     "fork",      "fesetround"};
	char line[512], name[400];
	size_t n_symbols = 0;
	if (QMDT_COVERAGE) /* what saves the counters is within the library, and may abort */
		return;
	FILE *symbols = popen("nm -D --undefined-only " QMDT_BINARY_DIR "/lib/libqmd.so", "r");
	ck_assert_ptr_nonnull(symbols);
	while (fgets(line, sizeof line, symbols)) {
		if (sscanf(line, " %*s %399[^@\n]", name) != 1)
			continue;
		n_symbols++;
		for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
			ck_assert_msg(strcmp(name, forbidden[i]) != 0, "libqmd.so calls %s", name);
	}
	ck_assert_int_eq(pclose(symbols), 0);
	ck_assert_uint_gt(n_symbols, 50);
}
END_TEST

/* ---- Fork ---- */

/* The study in a forked process: its exit status is 0 if it ends in `expected`, with the same results if that is
 * QMD_OK.
 */
static void expect_in_child(const qmdt_study *before, uint32_t n_training_threads, qmd_status expected) {
	qmdt_study study = *before;
	study.n_training_threads = n_training_threads;
	const pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		signal(SIGALRM, SIG_DFL); /* Check's own kills the whole group */
		alarm(60);
		if (qmdt_study_run(&study) != expected)
			_exit(2);
		_exit(expected == QMD_OK && memcmp(study.results, before->results, sizeof study.results) != 0);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%u threads: the child ended with %d",
				  n_training_threads, status);
}

START_TEST(a_forked_process_does_it_all_again) {
	qmdt_study study = usual;
	study.n_engine_threads = 2;
	qmdt_ok(qmdt_study_run(&study));
	expect_in_child(&study, 1, QMD_OK);
	qmdt_ok(qmdt_study_run(&study));
	qmdt_study_check_same(&study, &usual);
}
END_TEST

/* OpenMP cannot start threads anew; that is said, not waited for. */
START_TEST(a_forked_process_trains_by_itself) {
	qmdt_study study = usual;
	study.n_training_threads = 2;
	qmdt_ok(qmdt_study_run(&study));
	expect_in_child(&usual, 2, QMD_ERROR_STATE);
	expect_in_child(&usual, 1, QMD_OK);
	qmdt_ok(qmdt_study_run(&study));
}
END_TEST

int main(void) {
	Suite *suite = suite_create("host");
	TCase *host = tcase_create("host");
	tcase_set_timeout(host, 300);
	tcase_add_unchecked_fixture(host, run_usual_studies, NULL);
	tcase_add_test(host, rounding_and_flushing_change_nothing);
	tcase_add_test(host, traps_of_the_host_are_not_sprung);
	tcase_add_test(host, a_comma_for_decimals_changes_nothing);
	tcase_add_test(host, signals_stay_the_hosts);
	tcase_add_test(host, threads_of_openmp_stay_the_hosts);
	tcase_add_test(host, threads_of_openmp_keep_their_rounding);
	tcase_add_test(host, nothing_is_printed);
	tcase_add_test(host, the_library_calls_nothing_that_a_host_would_mind);
	tcase_add_test(host, a_forked_process_does_it_all_again);
	tcase_add_test(host, a_forked_process_trains_by_itself);
	suite_add_tcase(suite, host);
	return qmdt_run(suite);
}
