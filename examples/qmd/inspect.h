/* What `qmd inspect` says of each kind of file. */
#ifndef QMD_INSPECT_H
#define QMD_INSPECT_H

#include "arguments.h"

int inspect_topology(const program_arguments *arguments, const char *path);
int inspect_trajectory(const program_arguments *arguments, const char *path, const char *kind);
int inspect_model(const program_arguments *arguments, const char *path);
int inspect_engine(const program_arguments *arguments, const char *path);

#endif
