/* Small text files of the user's, line by line. */
#ifndef QMD_TEXT_LINES_H
#define QMD_TEXT_LINES_H

#include "program.h"

/* A line that is being read: where it stands, for messages. */
typedef struct text_line {
	const char *path;
	size_t number; /* from 1 */
} text_line;

/*
 * Hand each line to `take`, which may change the text, without its end and a byte-order mark. Empty lines and those
 * that begin with '#' are passed over. Fails where take() does, for a file that cannot be read, and for a zero byte.
 */
int text_lines_read(const char *path, int (*take)(void *user, const text_line *line, char *text), void *user);

#endif
