#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LAST_ERROR_SIZE 1024

static _Thread_local char last_error[LAST_ERROR_SIZE];

const char *qmd_version(void) {
	return QMD_VERSION_STRING;
}

const char *qmd_status_name(qmd_status status) {
	switch (status) {
#define STATUS_NAME(name, number, meaning)                                                                             \
	case number:                                                                                                       \
		return "QMD_" #name;
		QMD_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
	default:
		return "QMD_ERROR_UNKNOWN";
	}
}

const char *qmd_status_meaning(qmd_status status) {
	switch (status) {
#define STATUS_MEANING(name, number, meaning)                                                                          \
	case number:                                                                                                       \
		return meaning;
		QMD_STATUS_LIST(STATUS_MEANING)
#undef STATUS_MEANING
	default:
		return "unknown status";
	}
}

const char *qmd_last_error(void) {
	return last_error;
}

void qmdi_keep_one_line(char *text) {
	for (unsigned char *c = (unsigned char *)text; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
}

qmd_status qmdi_fail(qmd_status status, const char *format, ...) {
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(last_error, sizeof last_error, format, arguments);
	va_end(arguments);
	qmdi_keep_one_line(last_error);
	return status;
}

qmd_status qmdi_fail_within(qmd_status status, const char *format, ...) {
	char cause[LAST_ERROR_SIZE], prefix[LAST_ERROR_SIZE];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(prefix, sizeof prefix, format, arguments);
	va_end(arguments);
	memcpy(cause, last_error, sizeof cause);
	snprintf(last_error, sizeof last_error, "%s: %s", prefix, cause);
	qmdi_keep_one_line(last_error);
	return status;
}

qmd_status qmdi_options_copy(void *defaults, size_t size, size_t smallest, const void *options, const char *what) {
	if (!options)
		return QMD_OK;
	uint32_t given;
	memcpy(&given, options, sizeof given);
	if (given < smallest || given > size)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "%s: struct_size is %u, expected %zu to %zu (was %s_init() called?)", what,
						 given, smallest, size, what);
	memcpy(defaults, options, given);
	return QMD_OK;
}

void qmdi_struct_fill(void *out, size_t size, const void *ours, size_t our_size) {
	uint32_t struct_size;
	if (!out || size < sizeof struct_size)
		return;
	memset(out, 0, size);
	memcpy(out, ours, size < our_size ? size : our_size);
	struct_size = (uint32_t)(size < our_size ? size : our_size);
	memcpy(out, &struct_size, sizeof struct_size);
}

qmd_status qmdi_struct_give(void *out, const void *ours, size_t size, size_t smallest, const char *what) {
	uint32_t room;
	memcpy(&room, out, sizeof room);
	if (room < smallest)
		return qmdi_fail(QMD_ERROR_ARGUMENT, "%s: struct_size is %u, expected at least %zu (was it set?)", what, room,
						 smallest);
	memcpy(out, ours, room < size ? room : size);
	memcpy(out, &room, sizeof room);
	return QMD_OK;
}
