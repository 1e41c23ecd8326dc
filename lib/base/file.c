#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"
#include "memory.h"

/* strerror() is not thread-safe. */
static qmd_status fail_errno(const char *path, const char *what) {
	char text[128];
	const int number = errno;
	return qmdi_fail(QMD_ERROR_IO, "%s: %s: %s", path, what, strerror_r(number, text, sizeof text));
}

/* ---- Reading ---- */

qmd_status qmdi_file_open(const char *path, int *descriptor, uint64_t *size) {
	const int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (opened < 0)
		return fail_errno(path, "cannot be opened");
	struct stat found;
	if (fstat(opened, &found) != 0) {
		const qmd_status status = fail_errno(path, "cannot be examined");
		qmdi_file_close(opened);
		return status;
	}
	if (!S_ISREG(found.st_mode)) {
		qmdi_file_close(opened);
		return qmdi_fail(QMD_ERROR_IO, "%s: not a regular file", path);
	}
	*descriptor = opened;
	*size = (uint64_t)found.st_size;
	return QMD_OK;
}

void qmdi_file_close(int descriptor) {
	close(descriptor);
}

qmd_status qmdi_file_read(int descriptor, const char *path, uint64_t offset, void *data, size_t size) {
	for (size_t done = 0; done < size;) {
		const uint64_t position = offset + done;
		const ssize_t got = pread(descriptor, (char *)data + done, size - done, (off_t)position);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_errno(path, "cannot be read");
		if (got == 0)
			return qmdi_fail(QMD_ERROR_IO, "%s: offset %llu: the file ends here, %zu bytes more were expected", path,
							 (unsigned long long)position, size - done);
		done += (size_t)got;
	}
	return QMD_OK;
}

/* ---- Replacing ---- */

/* A device or a pipe must not be replaced by a file. */
static qmd_status check_replaceable(const char *path) {
	struct stat found;
	if (stat(path, &found) == 0 && !S_ISREG(found.st_mode))
		return qmdi_fail(QMD_ERROR_IO, "%s: exists and is not a regular file", path);
	return QMD_OK;
}

/* Not mkstemp(), whose files others cannot read: a saved file has the permissions of any other new file. */
static int create_temporary(const char *path, char *temporary, size_t size) {
	static atomic_uint n_made;
	for (;;) {
		snprintf(temporary, size, "%s.%ld-%u.tmp", path, (long)getpid(), atomic_fetch_add(&n_made, 1));
		const int descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (descriptor >= 0 || errno != EEXIST)
			return descriptor;
	}
}

qmd_status qmdi_new_file_begin(const char *path, qmdi_new_file *file) {
	QMDI_TRY(check_replaceable(path));
	const size_t size = strlen(path) + 48;
	char *temporary = qmdi_array(size, 1);
	if (!temporary)
		return QMD_ERROR_MEMORY;
	const int descriptor = create_temporary(path, temporary, size);
	if (descriptor < 0) {
		const qmd_status status = fail_errno(path, "cannot be created");
		qmdi_release(temporary);
		return status;
	}
	*file = (qmdi_new_file){path, temporary, descriptor, 0, QMDI_HASH_START};
	return QMD_OK;
}

qmd_status qmdi_new_file_write(qmdi_new_file *file, const void *data, size_t size) {
	for (size_t done = 0; done < size;) {
		const ssize_t put = write(file->descriptor, (const char *)data + done, size - done);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return fail_errno(file->path, "cannot be written");
		done += (size_t)put;
	}
	file->hash = qmdi_hash(file->hash, data, size);
	file->size += size;
	return QMD_OK;
}

/* A rename is on disk once its folder is. Some file systems cannot sync a folder, and say EINVAL. */
static qmd_status sync_folder(const char *path) {
	const char *slash = strrchr(path, '/');
	char *folder = qmdi_string(path);
	if (!folder)
		return QMD_ERROR_MEMORY;
	if (!slash)
		snprintf(folder, strlen(path) + 1, ".");
	else
		folder[slash == path ? 1 : slash - path] = '\0';
	const int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	qmd_status status = QMD_OK;
	if (descriptor < 0 || (fsync(descriptor) != 0 && errno != EINVAL))
		status = fail_errno(folder, "the folder cannot be synced");
	if (descriptor >= 0)
		close(descriptor);
	qmdi_release(folder);
	return status;
}

static qmd_status put_in_place(qmdi_new_file *file) {
	const int synced = fsync(file->descriptor);
	if (synced != 0)
		return fail_errno(file->path, "cannot be synced");
	if (rename(file->temporary, file->path) != 0)
		return fail_errno(file->path, "cannot be replaced");
	return QMD_OK;
}

qmd_status qmdi_new_file_finish(qmdi_new_file *file, qmd_status status) {
	if (status == QMD_OK)
		status = put_in_place(file);
	close(file->descriptor);
	if (status == QMD_OK)
		status = sync_folder(file->path);
	else
		unlink(file->temporary);
	qmdi_release(file->temporary);
	*file = (qmdi_new_file){0};
	return status;
}
