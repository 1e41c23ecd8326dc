/* Failing: every error path of the library ends in qmdi_fail(). */
#ifndef QMD_LIB_ERROR_H
#define QMD_LIB_ERROR_H

#include <qmd/base.h>

/* Set the thread's last error to the formatted text, cut to one line, and return `status`. */
__attribute__((format(printf, 2, 3))) qmd_status qmdi_fail(qmd_status status, const char *format, ...);

/* As qmdi_fail(), with "prefix: " put before the text of the last error, whose status is kept. */
__attribute__((format(printf, 2, 3))) qmd_status qmdi_fail_within(qmd_status status, const char *format, ...);

/* Replace control characters: texts can quote hostile files, and a terminal may obey them. */
void qmdi_keep_one_line(char *text);

/* Return from the calling function if `call` fails. */
#define QMDI_TRY(call)                                                                                                 \
	do {                                                                                                               \
		qmd_status qmdi_try_status = (call);                                                                           \
		if (qmdi_try_status != QMD_OK)                                                                                 \
			return qmdi_try_status;                                                                                    \
	} while (0)

/* Return QMD_ERROR_ARGUMENT that names `argument` if it is NULL. */
#define QMDI_REQUIRE(argument)                                                                                         \
	do {                                                                                                               \
		if (!(argument))                                                                                               \
			return qmdi_fail(QMD_ERROR_ARGUMENT, "%s: argument '%s' is NULL", __func__, #argument);                    \
	} while (0)

/*
 * Options structs grow at the end. Copy a caller's struct, which may be older (shorter) than ours, over `defaults`;
 * QMD_ERROR_ARGUMENT for a struct_size that no version had. `options` may be NULL.
 */
qmd_status qmdi_options_copy(void *defaults, size_t size, size_t smallest, const void *options, const char *what);

/*
 * Fill a caller's struct of `size` bytes with ours and set its struct_size: as much of it as both know; what only a
 * newer caller knows becomes 0. `out` may be NULL.
 */
void qmdi_struct_fill(void *out, size_t size, const void *ours, size_t our_size);

/*
 * The way out: fill a caller's struct from ours (`size` bytes, struct_size included), as far as the caller's
 * struct_size, which must be set, says that it reaches. A newer caller's further fields are left alone.
 */
qmd_status qmdi_struct_give(void *out, const void *ours, size_t size, size_t smallest, const char *what);

#endif
