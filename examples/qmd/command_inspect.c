#include "commands.h"

#include "inspect.h"
#include "kind.h"

static int run(const program_arguments *arguments) {
	const char *path = arguments->operands[0];
	file_kind kind;
	TRY(kind_of_file(path, &kind));
	switch (kind) {
	case KIND_NETCDF:
		return inspect_trajectory(arguments, path, "netcdf");
	case KIND_XTC:
		return inspect_trajectory(arguments, path, "xtc");
	case KIND_DCD:
		return inspect_trajectory(arguments, path, "dcd");
	case KIND_MODEL:
		return inspect_model(arguments, path);
	case KIND_ENGINE:
		return inspect_engine(arguments, path);
	case KIND_CHECKPOINT:
		return fail("%s: is a checkpoint of a training that is not finished; nothing in it is to be inspected", path);
	case KIND_SHARD:
		return fail("%s: is a part of an explanation, which qmd merge puts together with the others", path);
	case KIND_PDB:
		break;
	}
	return inspect_topology(arguments, path);
}

static const option_code options[] = {OPTION_SELECT, OPTION_JSON, OPTION_HELP, OPTION_END};

const program_command command_inspect = {.name = "inspect",
										 .summary = "Say what is in a file: PDB, trajectory, model or engine",
										 .operands = "FILE",
										 .details = "\nOf an engine the plan is listed step by step, with the kernel "
													"that this machine runs, and what each pass did.\n"
													"Of a PDB file --select counts one more selection.\n",
										 .min_operands = 1,
										 .max_operands = 1,
										 .options = options,
										 .run = run};
