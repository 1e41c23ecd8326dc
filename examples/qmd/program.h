/* What every file of the `qmd` program shares: exit codes and how to fail. */
#ifndef QMD_PROGRAM_H
#define QMD_PROGRAM_H

#include <qmd.h>

enum {
	PROGRAM_OK = 0,
	PROGRAM_FAILED = 1,       /* a file, the data or the computation */
	PROGRAM_USAGE = 2,        /* the command line */
	PROGRAM_INTERRUPTED = 130 /* by SIGINT, as shells count it */
};

/* Print "qmd COMMAND: text" as one line on stderr, and return PROGRAM_FAILED. */
__attribute__((format(printf, 1, 2))) int fail(const char *format, ...);

/* Print "qmd: warning: text" as one line on stderr. */
__attribute__((format(printf, 1, 2))) void warn(const char *format, ...);

/* The same for a wrong command line, pointing to --help; returns PROGRAM_USAGE. */
__attribute__((format(printf, 1, 2))) int fail_usage(const char *format, ...);

/* The same with the library's last error; returns PROGRAM_FAILED, or PROGRAM_INTERRUPTED for a cancelled call. */
int fail_status(qmd_status status);

/* Memory has run out; returns PROGRAM_FAILED. */
int fail_memory(void);

/* The command that is running, for messages. */
void program_set_command(const char *name);

/* Return from the calling function if a function of the program, or of the library, fails. */
#define TRY(call)                                                                                                      \
	do {                                                                                                               \
		const int try_code = (call);                                                                                   \
		if (try_code != PROGRAM_OK)                                                                                    \
			return try_code;                                                                                           \
	} while (0)
#define TRY_QMD(call)                                                                                                  \
	do {                                                                                                               \
		const qmd_status try_status = (call);                                                                          \
		if (try_status != QMD_OK)                                                                                      \
			return fail_status(try_status);                                                                            \
	} while (0)

#endif
