/* Files of shards, and what `qmd merge` needs of `qmd explain`. */
#ifndef QMD_EXPLAIN_SHARD_H
#define QMD_EXPLAIN_SHARD_H

#include "arguments.h"

/* Frames of a shard, from 0, of n_shards. */
size_t explain_shard_size(size_t n_frames, uint32_t shard, uint32_t n_shards);

/* With --shard, -o must be FILE.qmx or DIR/; without it it must not be FILE.qmx. */
int explain_shard_check_output(const program_arguments *arguments);

/* Write the shard, with the command line that it came from, to a file whose name is malloc'd. */
int explain_shard_write(const program_arguments *arguments, const qmd_explanation *explanation, char **path);

/* The command line of a merged explanation: output and json are those of `arguments`. Its texts belong to `line`. */
typedef struct explain_command_line {
	char **argv;
	size_t n;
	program_arguments arguments;
} explain_command_line;

int explain_command_line_read(const qmd_explanation *merged, const program_arguments *arguments,
							  explain_command_line *line);
void explain_command_line_release(explain_command_line *line);

/* qmd explain, which takes over `merged`; NULL: explain. */
int explain_run(const program_arguments *arguments, qmd_explanation *merged);

#endif
