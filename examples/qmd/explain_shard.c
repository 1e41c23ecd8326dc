#include "explain_shard.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "files.h"
#include "report.h"

#define SUFFIX ".qmx"

size_t explain_shard_size(size_t n_frames, uint32_t shard, uint32_t n_shards) {
	return n_frames * (shard + 1) / n_shards - n_frames * shard / n_shards;
}

int explain_shard_check_output(const program_arguments *arguments) {
	const char *output = arguments->output;
	const int is_file = output && files_has_suffix(output, SUFFIX);
	if (!arguments->n_shards && is_file)
		return fail_usage("-o FILE%s is of one part of the frames: give --shard I/N", SUFFIX);
	if (arguments->n_shards && !is_file && !(output && files_has_suffix(output, "/")))
		return fail_usage("--shard is written to a file of its own: -o FILE%s or -o DIR/", SUFFIX);
	return PROGRAM_OK;
}

/* The command line as a JSON array. */
static char *note_of(const program_arguments *arguments) {
	json_t *list = json_array();
	for (size_t i = 0; i < arguments->n_recorded; i++)
		json_array_append_new(list, json_string_nocheck(arguments->recorded[i]));
	char *note = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	return note;
}

int explain_shard_write(const program_arguments *arguments, const qmd_explanation *explanation, char **path) {
	*path = files_has_suffix(arguments->output, "/")
				? files_path(arguments->output, "shard-%u-of-%u%s", arguments->shard + 1, arguments->n_shards, SUFFIX)
				: strdup(arguments->output);
	if (!*path)
		return fail_memory();
	char *note = note_of(arguments);
	if (!note)
		return fail("the command line is not UTF-8, which files of shards hold");
	const qmd_status status = qmd_explanation_save(explanation, note, *path);
	free(note);
	return status == QMD_OK ? PROGRAM_OK : fail_status(status);
}

/* ---- Reading the command line back ---- */

static int copy_texts(const json_t *list, explain_command_line *line) {
	size_t i;
	const json_t *item;
	line->argv = calloc(json_array_size(list) + 2, sizeof *line->argv);
	if (!line->argv || !(line->argv[line->n++] = strdup(command_explain.name)))
		return fail_memory();
	json_array_foreach(list, i, item) {
		const char *text = json_string_value(item);
		if (!text)
			return fail("the shards hold no command line of qmd explain");
		if (!(line->argv[line->n] = strdup(text)))
			return fail_memory();
		line->n++;
	}
	return PROGRAM_OK;
}

int explain_command_line_read(const qmd_explanation *merged, const program_arguments *arguments,
							  explain_command_line *line) {
	*line = (explain_command_line){.n = 0};
	json_t *list = json_loads(qmd_explanation_note(merged), 0, NULL);
	const int code = json_is_array(list) ? copy_texts(list, line)
										 : fail("the shards hold no command line of qmd explain: they are not its own");
	json_decref(list);
	TRY(code);
	TRY(arguments_read(&line->arguments, &command_explain, (int)line->n, line->argv));
	line->arguments.output = arguments->output;
	line->arguments.json = arguments->json;
	return PROGRAM_OK;
}

void explain_command_line_release(explain_command_line *line) {
	arguments_release(&line->arguments);
	for (size_t i = 0; i < line->n; i++)
		free(line->argv[i]);
	free(line->argv);
}
