#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int files_make_folder(const char *path) {
	char *copy = strdup(path);
	if (!copy)
		return fail_memory();
	int code = 0;
	for (char *slash = strchr(copy + 1, '/'); slash && code == 0; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		code = mkdir(copy, 0777) != 0 && errno != EEXIST ? errno : 0;
		*slash = '/';
	}
	free(copy);
	if (code == 0 && mkdir(path, 0777) != 0 && errno != EEXIST)
		code = errno;
	if (code)
		return fail("%s: cannot make the folder: %s", path, strerror(code));
	struct stat status;
	if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode))
		return fail("%s: is not a folder", path);
	return PROGRAM_OK;
}

static int write_and_sync(int descriptor, const char *data, size_t size) {
	while (size > 0) {
		const ssize_t written = write(descriptor, data, size);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -1;
		data += written;
		size -= (size_t)written;
	}
	return fsync(descriptor);
}

int files_begin(const char *path, char **temporary) {
	if (asprintf(temporary, "%s.tmp-%ld", path, (long)getpid()) < 0) {
		*temporary = NULL;
		return fail_memory();
	}
	const int descriptor = open(*temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (descriptor < 0)
		return fail("%s: cannot be written: %s", path, strerror(errno));
	close(descriptor);
	return PROGRAM_OK;
}

int files_commit(const char *temporary, const char *path, int code) {
	if (code == PROGRAM_OK && rename(temporary, path) != 0)
		code = fail("%s: cannot be written: %s", path, strerror(errno));
	if (code != PROGRAM_OK)
		unlink(temporary);
	return code;
}

static int fill(const char *temporary, const char *path, const void *data, size_t size) {
	const int descriptor = open(temporary, O_WRONLY | O_CLOEXEC);
	int code = PROGRAM_OK;
	if (descriptor < 0 || write_and_sync(descriptor, data, size) != 0)
		code = fail("%s: cannot be written: %s", path, strerror(errno));
	if (descriptor >= 0 && close(descriptor) != 0 && code == PROGRAM_OK)
		code = fail("%s: cannot be written: %s", path, strerror(errno));
	return code;
}

int files_write(const char *path, const void *data, size_t size) {
	char *temporary = NULL;
	int code = files_begin(path, &temporary);
	if (code == PROGRAM_OK && temporary)
		code = files_commit(temporary, path, fill(temporary, path, data, size));
	free(temporary);
	return code;
}

int files_text_begin(files_text *text) {
	*text = (files_text){.text = NULL};
	text->stream = open_memstream(&text->text, &text->size);
	return text->stream ? PROGRAM_OK : fail_memory();
}

int files_text_end(files_text *text, const char *path, int code) {
	if (fclose(text->stream) != 0 && code == PROGRAM_OK)
		code = fail_memory();
	if (code == PROGRAM_OK && path)
		code = files_write(path, text->text, text->size);
	else if (code == PROGRAM_OK)
		fwrite(text->text, 1, text->size, stdout);
	free(text->text);
	return code;
}

char *files_path(const char *folder, const char *format, ...) {
	char *name = NULL, *path = NULL;
	va_list values;
	va_start(values, format);
	const int length = vasprintf(&name, format, values);
	va_end(values);
	if (length < 0)
		return NULL;
	if (asprintf(&path, "%s/%s", folder, name) < 0)
		path = NULL;
	free(name);
	return path;
}

int files_exists(const char *path) {
	return access(path, F_OK) == 0;
}

int files_remove(const char *path) {
	if (unlink(path) != 0 && errno != ENOENT)
		return fail("%s: cannot be removed: %s", path, strerror(errno));
	return PROGRAM_OK;
}

int files_has_suffix(const char *path, const char *suffix) {
	const size_t length = strlen(path), wanted = strlen(suffix);
	return length >= wanted && strcmp(path + length - wanted, suffix) == 0;
}

void files_csv_field(FILE *file, const char *text) {
	if (!strpbrk(text, ",\"\r\n")) {
		fputs(text, file);
		return;
	}
	fputc('"', file);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', file);
		fputc(*text, file);
	}
	fputc('"', file);
}
