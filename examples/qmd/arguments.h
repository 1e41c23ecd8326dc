/* The command line: one table of options that the commands choose from, so that one name means one thing. */
#ifndef QMD_ARGUMENTS_H
#define QMD_ARGUMENTS_H

#include "program.h"

typedef enum option_code {
	OPTION_END = 0,
	OPTION_STATE = 256,
	OPTION_SELECT,
	OPTION_MAP,
	OPTION_STRIDE,
	OPTION_PIXELS,
	OPTION_SUPERPOSE,
	OPTION_RANGE,
	OPTION_SIGMA,
	OPTION_SPLIT,
	OPTION_FOLDS,
	OPTION_FOLD,
	OPTION_GAP,
	OPTION_EPOCHS,
	OPTION_PATIENCE,
	OPTION_TARGET_LOSS,
	OPTION_LEARNING_RATE,
	OPTION_BATCH_SIZE,
	OPTION_QAT_EPOCHS,
	OPTION_QAT_LEARNING_RATE,
	OPTION_WEIGHT_BITS,
	OPTION_ACTIVATION_BITS,
	OPTION_OBSERVER,
	OPTION_NO_COLLAPSE,
	OPTION_CHECKPOINT,
	OPTION_SAVE_MODEL,
	OPTION_SAVE_ENGINE,
	OPTION_TARGET,
	OPTION_LAYOUT,
	OPTION_OPSET,
	OPTION_ACTIVATIONS,
	OPTION_CLIP_WEIGHTS,
	OPTION_EXPLAIN_FRAMES,
	OPTION_METHOD,
	OPTION_BACKGROUND,
	OPTION_SEGMENTS,
	OPTION_AS_PUBLISHED,
	OPTION_SHARD,
	OPTION_SAMPLES,
	OPTION_NUMBERING,
	OPTION_CONTROL,
	OPTION_EXPLAIN_SEEDS,
	OPTION_TRUST_FRAMES,
	OPTION_TOPOLOGY,
	OPTION_MODEL,
	OPTION_FRAME,
	OPTION_SEED,
	OPTION_BATCH,
	OPTION_BATCHES,
	OPTION_REPEATS,
	OPTION_DEVICE,
	OPTION_ENGINE,
	OPTION_THREADS,
	OPTION_RESUME,
	OPTION_OUTPUT,
	OPTION_HTML,
	OPTION_JSON,
	OPTION_HELP
} option_code;

typedef enum split_kind { SPLIT_AUTO, SPLIT_REPLICA, SPLIT_BLOCK, SPLIT_ICNNMD, SPLIT_NONE } split_kind;

typedef enum control_kind { CONTROL_NONE, CONTROL_SHUFFLED } control_kind;

typedef enum background_kind { BACKGROUND_DEFAULT, BACKGROUND_NONE, BACKGROUND_MEAN, BACKGROUND_OTHER } background_kind;

/* NAME=PDB,NC[,NC...] */
typedef struct state_argument {
	char *text; /* owns what the others point to */
	const char *name, *topology;
	const char **trajectories;
	size_t n_trajectories;
} state_argument;

struct program_command;

#define ARGUMENTS_MAX_BATCHES 16
#define ARGUMENTS_MAX_BATCH 4096

typedef struct program_arguments {
	const struct program_command *command;
	state_argument *states;
	size_t n_states;
	const char *selection, *map_path;
	size_t stride;
	int32_t pixels_kind;
	const char *superpose;
	double range;
	int range_in_sigma;
	split_kind split;
	size_t n_folds; /* 0: as many as the split suggests */
	size_t fold;    /* 1-based; 0: none is held out */
	size_t gap;
	uint32_t epochs, patience, batch_size, qat_epochs;
	double target_loss, learning_rate, qat_learning_rate;
	uint32_t weight_bits, activation_bits;
	int32_t observer;
	int linear_collapse;
	const char *checkpoint, *model_output, *engine_output, *topology, *model, *output, *html_output, *numbering;
	int32_t onnx_target, onnx_layout, activations_type;
	uint32_t opset;
	int clip_weights;
	size_t explain_frames, explain_seeds, trust_frames;
	int has_explain_frames; /* --explain-frames was given */
	int32_t method;         /* a qmd_explain_method */
	uint32_t samples;       /* 0: as many as the library takes */
	background_kind background;
	const char *segments;
	int as_published;
	uint32_t shard, n_shards; /* from 0; n_shards 0: all at once */
	size_t frame;             /* 0-based; SIZE_MAX: all */
	uint64_t seed;
	uint32_t batch, repeats; /* of timing */
	uint32_t batches[ARGUMENTS_MAX_BATCHES];
	size_t n_batches;
	const char *device; /* of contexts, or of training and FP32 inference */
	const char *engine; /* of a model: NULL where an engine's file is timed */
	uint32_t threads;
	int has_threads; /* --threads was given */
	control_kind control;
	int resume, json, help;
	char *const *operands;
	size_t n_operands;
	char **recorded; /* the options and operands that say what is computed, and not where to, as a command line */
	size_t n_recorded;
} program_arguments;

typedef struct program_command {
	const char *name;
	const char *summary;  /* one line */
	const char *operands; /* of the usage line: "ENGINE TRAJECTORY..." */
	const char *details;  /* paragraphs of --help */
	size_t min_operands, max_operands;
	const option_code *options; /* up to OPTION_END */
	int (*run)(const program_arguments *arguments);
} program_command;

/* Read argv[1..] for a command. After PROGRAM_OK or a failure alike, release with arguments_release(). */
int arguments_read(program_arguments *arguments, const program_command *command, int argc, char **argv);
void arguments_release(program_arguments *arguments);

/* Print a command's --help to stdout. */
void arguments_print_help(const program_command *command);

/* An option as the table has it: what --help and the manual page say of it. */
typedef struct option_row {
	option_code code;
	char letter; /* 0: none */
	const char *name;
	const char *value; /* placeholder, or NULL for a switch */
	const char *help;
} option_row;

/* The option of a code; the options in the table's order, NULL after the last. */
const option_row *arguments_option(option_code code);
const option_row *arguments_option_at(size_t index);

/* Words of the command line for what it chose. */
const char *split_name(split_kind split);
const char *pixels_name(int32_t kind);
const char *observer_name(int32_t observer);
const char *method_name(int32_t method);
const char *background_name(background_kind background);
const char *control_name(control_kind control);

/* "default", "tensorrt"; "nchw", "nhwc". */
const char *onnx_target_name(int32_t target);
const char *onnx_layout_name(int32_t layout);

#endif
