/* What kind of file a file is. */
#ifndef QMD_KIND_H
#define QMD_KIND_H

#include "program.h"

typedef enum file_kind {
	KIND_PDB,
	KIND_NETCDF,
	KIND_XTC,
	KIND_DCD,
	KIND_MODEL,
	KIND_ENGINE,
	KIND_CHECKPOINT,
	KIND_SHARD
} file_kind;

/* By its first bytes; text is taken for a PDB file. Fails for a file that cannot be read. */
int kind_of_file(const char *path, file_kind *kind);

#endif
