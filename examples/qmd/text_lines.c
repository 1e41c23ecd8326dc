#include "text_lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

static int read_lines(FILE *file, text_line *line, int (*take)(void *user, const text_line *line, char *text),
					  void *user) {
	char *text = NULL;
	size_t capacity = 0;
	int code = PROGRAM_OK;
	for (ssize_t length; code == PROGRAM_OK && (length = getline(&text, &capacity, file)) >= 0;) {
		line->number++;
		if (strlen(text) != (size_t)length)
			code = fail("%s: line %zu: holds a zero byte", line->path, line->number);
		const int is_marked = line->number == 1 && strncmp(text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0;
		char *start = text + (is_marked ? strlen(BYTE_ORDER_MARK) : 0);
		start[strcspn(start, "\r\n")] = 0;
		if (code == PROGRAM_OK && *start && *start != '#')
			code = take(user, line, start);
	}
	if (code == PROGRAM_OK && ferror(file))
		code = fail("%s: cannot be read: %s", line->path, strerror(errno));
	free(text);
	return code;
}

int text_lines_read(const char *path, int (*take)(void *user, const text_line *line, char *text), void *user) {
	FILE *file = fopen(path, "r");
	if (!file)
		return fail("%s: cannot be read: %s", path, strerror(errno));
	text_line line = {.path = path};
	const int code = read_lines(file, &line, take, user);
	fclose(file);
	return code;
}
