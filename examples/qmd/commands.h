/* The commands of the program, one file each. */
#ifndef QMD_COMMANDS_H
#define QMD_COMMANDS_H

#include "arguments.h"

extern const program_command command_study, command_inspect, command_train, command_quantize, command_run,
	command_pixels, command_explain, command_export, command_import, command_profile, command_compare, command_bench,
	command_merge;

#endif
