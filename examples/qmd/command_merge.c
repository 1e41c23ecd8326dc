#include "commands.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "explain_shard.h"
#include "files.h"

typedef struct merge_job {
	const program_arguments *arguments;
	qmd_explanation **shards;
	size_t n;
	qmd_explanation *merged;
} merge_job;

static int load(merge_job *job, const char *path) {
	qmd_explanation **longer = realloc(job->shards, (job->n + 1) * sizeof(qmd_explanation *));
	if (!longer)
		return fail_memory();
	job->shards = longer;
	TRY_QMD(qmd_explanation_load(path, &job->shards[job->n]));
	job->n++;
	return PROGRAM_OK;
}

static int is_shard(const struct dirent *entry) {
	return files_has_suffix(entry->d_name, ".qmx");
}

static int load_entry(merge_job *job, const char *folder, const char *name) {
	char *path = files_path(folder, "%s", name);
	const int code = path ? load(job, path) : fail_memory();
	free(path);
	return code;
}

/* All shards of a folder, by name. */
static int load_folder(merge_job *job, const char *folder) {
	struct dirent **entries = NULL;
	const int n = scandir(folder, &entries, is_shard, alphasort);
	if (n < 0)
		return fail("%s: cannot be read: %s", folder, strerror(errno));
	int code = n > 0 ? PROGRAM_OK : fail("%s: holds no files of shards (*.qmx)", folder);
	for (int i = 0; i < n; i++) {
		if (code == PROGRAM_OK)
			code = load_entry(job, folder, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return code;
}

static int merge(merge_job *job) {
	const program_arguments *a = job->arguments;
	for (size_t i = 0; i < a->n_operands; i++)
		TRY(files_has_suffix(a->operands[i], "/") ? load_folder(job, a->operands[i]) : load(job, a->operands[i]));
	TRY_QMD(qmd_explanation_merge((const qmd_explanation *const *)job->shards, job->n, &job->merged));
	return PROGRAM_OK;
}

static int write_merged(merge_job *job) {
	explain_command_line line;
	int code = explain_command_line_read(job->merged, job->arguments, &line);
	if (code == PROGRAM_OK) {
		code = explain_run(&line.arguments, job->merged);
		job->merged = NULL;
	}
	explain_command_line_release(&line);
	return code;
}

static int run(const program_arguments *arguments) {
	merge_job job = {.arguments = arguments};
	int code = merge(&job);
	if (code == PROGRAM_OK)
		code = write_merged(&job);
	for (size_t i = 0; i < job.n; i++)
		qmd_explanation_free(job.shards[i]);
	free(job.shards);
	qmd_explanation_free(job.merged);
	return code;
}

static const option_code options[] = {OPTION_OUTPUT, OPTION_JSON, OPTION_HELP, OPTION_END};

const program_command command_merge = {
	.name = "merge",
	.summary = "Put the parts together that qmd explain --shard wrote",
	.operands = "DIR/|FILE.qmx ... [-o FILE.csv|FILE.svg|FILE.xlsx|DIR/]",
	.details =
		"\nWhat is written is what qmd explain without --shard would have written, byte for byte. All parts of a\n"
		"run must be there, each once, by one engine, one data set and the same options. The data are looked\n"
		"for where they were, so run it in the same folder.\n",
	.min_operands = 1,
	.max_operands = 65536,
	.options = options,
	.run = run};
