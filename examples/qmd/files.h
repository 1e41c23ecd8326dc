/* Files and folders that the program writes. */
#ifndef QMD_FILES_H
#define QMD_FILES_H

#include <stdio.h>

#include "program.h"

/* Make a folder and those above it; fine if it is there. */
int files_make_folder(const char *path);

/* Write a file at once: an old one stays whole if that fails. */
int files_write(const char *path, const void *data, size_t size);

/* A text that is put together in memory, so that a file of it is written at once. */
typedef struct files_text {
	FILE *stream; /* where to print */
	char *text;
	size_t size;
} files_text;

int files_text_begin(files_text *text);

/* Write the text to a file, or to stdout where `path` is NULL, unless `code` says that putting it together failed.
 * Frees it. Returns `code`, or its own failure. */
int files_text_end(files_text *text, const char *path, int code);

/* Make an empty file, to be filled and then given the name `path`; its own name is malloc'd. */
int files_begin(const char *path, char **temporary);

/* Give a whole file its name, or, where `code` says that writing it failed, remove it. Returns `code`, or its own
 * failure. */
int files_commit(const char *temporary, const char *path, int code);

/* FOLDER/NAME, the name by a format, in malloc'd memory; NULL if there is none. */
__attribute__((format(printf, 2, 3))) char *files_path(const char *folder, const char *format, ...);

/* 1 if the file is there. */
int files_exists(const char *path);

/* Remove a file; fine if it is not there. */
int files_remove(const char *path);

/* Does the path end in this suffix? */
int files_has_suffix(const char *path, const char *suffix);

/* A text as one field of a CSV file: quoted where it must be. */
void files_csv_field(FILE *file, const char *text);

#endif
