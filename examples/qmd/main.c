/* The `qmd` program: every stage of libqmd from the command line (docs/program.md). */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "manual.h"

#define WARNING_SIZE 512

static const program_command *const commands[] = {&command_study,   &command_inspect,
												  &command_train,   &command_quantize,
												  &command_run,     &command_pixels,
												  &command_explain, &command_merge,
												  &command_export,  &command_import,
												  &command_profile, &command_compare,
												  &command_bench,   NULL};

static void print_help(void) {
	printf(
		"Usage: qmd COMMAND [option...]\n\nNeural networks on every time-step of a molecular dynamics simulation, in "
		"integers.\n\nCommands:\n");
	for (size_t i = 0; commands[i]; i++)
		printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
	printf("\n'qmd COMMAND --help' lists a command's options, 'qmd --version' the version; 'qmd --man' is the manual "
		   "page.\n");
}

/* Warnings, each once: folds repeat them. */
static void print_log(void *user, qmd_log_level level, const char *line) {
	char *last = user;
	if (level < QMD_LOG_WARNING || strncmp(last, line, WARNING_SIZE - 1) == 0)
		return;
	snprintf(last, WARNING_SIZE, "%s", line);
	fprintf(stderr, "qmd: warning: %s\n", line);
}

static int run(const program_command *command, int argc, char **argv) {
	program_set_command(command->name);
	program_arguments arguments;
	int code = arguments_read(&arguments, command, argc, argv);
	if (code == PROGRAM_OK && arguments.help)
		arguments_print_help(command);
	else if (code == PROGRAM_OK)
		code = command->run(&arguments);
	arguments_release(&arguments);
	if (fflush(stdout) != 0 && code == PROGRAM_OK)
		code = fail("stdout cannot be written");
	return code;
}

int main(int argc, char **argv) {
	static char last_warning[WARNING_SIZE];
	qmd_set_log(print_log, last_warning);
	if (argc < 2)
		return fail_usage("a command is missing");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_help();
		return PROGRAM_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("qmd %s\n", qmd_version());
		return PROGRAM_OK;
	}
	if (strcmp(argv[1], "--man") == 0) {
		manual_print(commands);
		return PROGRAM_OK;
	}
	for (size_t i = 0; commands[i]; i++)
		if (strcmp(argv[1], commands[i]->name) == 0)
			return run(commands[i], argc - 1, argv + 1);
	return fail_usage("there is no command '%s'", argv[1]);
}
