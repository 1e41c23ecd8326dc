/* What the suites share: Check, scratch folders, where the data are, fixtures. */
#ifndef QMD_TESTS_SUPPORT_H
#define QMD_TESTS_SUPPORT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <qmd.h>

/* The call must succeed; its error text is shown if it does not. */
#define qmdt_ok(call)                                                                                                  \
	do {                                                                                                               \
		const qmd_status qmdt_status = (call);                                                                         \
		ck_assert_msg(qmdt_status == QMD_OK, "%s: %s: %s", #call, qmd_status_name(qmdt_status), qmd_last_error());     \
	} while (0)

/* The call must fail with this status, and the error text must hold `part`. */
#define qmdt_fails(call, expected, part)                                                                               \
	do {                                                                                                               \
		const qmd_status qmdt_status = (call);                                                                         \
		ck_assert_msg(qmdt_status == (expected), "%s: %s instead of %s: %s", #call, qmd_status_name(qmdt_status),      \
					  qmd_status_name(expected), qmd_last_error());                                                    \
		ck_assert_msg(strstr(qmd_last_error(), (part)) != NULL, "%s: '%s' is not in '%s'", #call, (part),              \
					  qmd_last_error());                                                                               \
	} while (0)

/* Path of a file in a new folder of this process, which goes at exit. The text lives until exit. */
const char *qmdt_scratch(const char *name);

/* Path of a bundled file (examples/data). The text lives until exit. */
const char *qmdt_bundled(const char *name);

/* Path of a file in the larger test data (QMD_TEST_DATA), or NULL, counted and printed as a skip, where it is not
 * there. */
const char *qmdt_data(const char *name);

/* Write bytes to a file; read a whole file into malloc'd memory. */
void qmdt_write_file(const char *path, const void *data, size_t size);
unsigned char *qmdt_read_file(const char *path, size_t *size);

/* A predictor on one thread. */
qmd_status qmdt_predictor_create(const qmd_model *model, uint32_t batch_size, qmd_predictor **predictor);

/* Run one suite: main() of every test program. Prints how many parts were skipped for lack of data. */
int qmdt_run(Suite *suite);

#endif
