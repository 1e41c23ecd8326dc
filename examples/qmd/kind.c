#include "kind.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What a file of each kind holds near its start. */
static const struct {
	const char *magic;
	size_t size, offset;
	file_kind kind;
} known[] = {{"CDF", 3, 0, KIND_NETCDF},
			 {"\x89HDF", 4, 0, KIND_NETCDF},
			 {"\0\0\x07\xcb", 4, 0, KIND_XTC},
			 {"\0\0\x07\xe7", 4, 0, KIND_XTC}, /* of many atoms */
			 {"CORD", 4, 4, KIND_DCD},
			 {"CORD", 4, 8, KIND_DCD}, /* behind a marker of 64 bits */
			 {"VELD", 4, 4, KIND_DCD},
			 {"VELD", 4, 8, KIND_DCD},
			 {"QMDMODEL", 8, 0, KIND_MODEL},
			 {"QMDENGIN", 8, 0, KIND_ENGINE},
			 {"QMDCHECK", 8, 0, KIND_CHECKPOINT},
			 {"QMDSHARD", 8, 0, KIND_SHARD}};

int kind_of_file(const char *path, file_kind *kind) {
	char start[16] = "";
	FILE *file = fopen(path, "rb");
	if (!file)
		return fail("%s: cannot be opened: %s", path, strerror(errno));
	const size_t n = fread(start, 1, sizeof start, file);
	const int has_failed = ferror(file);
	const int reason = errno;
	fclose(file);
	if (has_failed)
		return fail("%s: cannot be read: %s", path, strerror(reason));
	if (n == 0)
		return fail("%s: is empty", path);
	*kind = KIND_PDB;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (memcmp(start + known[i].offset, known[i].magic, known[i].size) == 0)
			*kind = known[i].kind;
	return PROGRAM_OK;
}
