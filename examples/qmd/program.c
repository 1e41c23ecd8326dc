#include "program.h"

#include <stdarg.h>
#include <stdio.h>

#include "progress.h"

static const char *command_name;
static char failure_beginning[32] = "qmd: ";

void program_set_command(const char *name) {
	command_name = name;
	snprintf(failure_beginning, sizeof failure_beginning, "qmd %s: ", name);
}

/* One line, whatever the texts that it quotes hold. */
static void complain(const char *beginning, const char *format, va_list arguments, const char *ending) {
	char line[2048];
	vsnprintf(line, sizeof line, format, arguments);
	for (unsigned char *c = (unsigned char *)line; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
	fflush(stdout);
	progress_clear();
	fprintf(stderr, "%s%s%s\n", beginning, line, ending);
}

int fail(const char *format, ...) {
	va_list arguments;
	va_start(arguments, format);
	complain(failure_beginning, format, arguments, "");
	va_end(arguments);
	return PROGRAM_FAILED;
}

void warn(const char *format, ...) {
	va_list arguments;
	va_start(arguments, format);
	complain("qmd: warning: ", format, arguments, "");
	va_end(arguments);
}

int fail_usage(const char *format, ...) {
	char ending[64];
	snprintf(ending, sizeof ending, " (see 'qmd%s%s --help')", command_name ? " " : "",
			 command_name ? command_name : "");
	va_list arguments;
	va_start(arguments, format);
	complain(failure_beginning, format, arguments, ending);
	va_end(arguments);
	return PROGRAM_USAGE;
}

int fail_status(qmd_status status) {
	if (status == QMD_ERROR_CANCELLED) {
		fail("interrupted");
		return PROGRAM_INTERRUPTED;
	}
	return fail("%s", *qmd_last_error() ? qmd_last_error() : qmd_status_meaning(status));
}

int fail_memory(void) {
	return fail("%s", qmd_status_meaning(QMD_ERROR_MEMORY));
}
