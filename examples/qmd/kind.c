#include "kind.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int kind_of_file(const char *path, file_kind *kind) {
	static const struct {
		const char *magic;
		file_kind kind;
	} known[] = {{"CDF", KIND_NETCDF},
				 {"\x89HDF", KIND_NETCDF},
				 {"QMDMODEL", KIND_MODEL},
				 {"QMDENGIN", KIND_ENGINE},
				 {"QMDCHECK", KIND_CHECKPOINT}};
	char magic[9] = "";
	FILE *file = fopen(path, "rb");
	if (!file)
		return fail("%s: cannot be opened: %s", path, strerror(errno));
	const size_t n = fread(magic, 1, 8, file);
	const int has_failed = ferror(file);
	const int reason = errno;
	fclose(file);
	if (has_failed)
		return fail("%s: cannot be read: %s", path, strerror(reason));
	if (n == 0)
		return fail("%s: is empty", path);
	*kind = KIND_PDB;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strncmp(magic, known[i].magic, strlen(known[i].magic)) == 0)
			*kind = known[i].kind;
	return PROGRAM_OK;
}
