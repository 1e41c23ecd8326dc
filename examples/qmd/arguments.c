#include "arguments.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const option_row option_rows[] = {
	{OPTION_STATE, 0, "state", "NAME=PDB,NC[,NC...]",
	 "a state: its topology and its trajectories, one a replica; once for each state"},
	{OPTION_SELECT, 0, "select", "TEXT", "atoms to use (default: \"protein and noh\")"},
	{OPTION_MAP, 0, "map", "FILE", "which atoms of the states correspond (default: by identity)"},
	{OPTION_STRIDE, 0, "stride", "N", "use every N-th frame (default: 1)"},
	{OPTION_PIXELS, 0, "pixels", "KIND", "displacement (default) or icnnmd"},
	{OPTION_SUPERPOSE, 0, "superpose", "TEXT",
	 "atoms to superpose on, within the selection (default: backbone, else CA, else all)"},
	{OPTION_RANGE, 0, "range", "X", "displacement that becomes 127, in angstrom (default: 5)"},
	{OPTION_SIGMA, 0, "sigma", NULL, "--range is in units of each atom's own standard deviation"},
	{OPTION_SPLIT, 0, "split", "KIND",
	 "replica (default where every state has several files), block or icnnmd (leaks neighbours)"},
	{OPTION_FOLDS, 0, "folds", "N", "number of folds (default: replica: the fewest files of a state; else 5)"},
	{OPTION_FOLD, 0, "fold", "K", "hold out fold K, from 1 (default: hold out nothing)"},
	{OPTION_GAP, 0, "gap", "N", "block: frames left out on both sides of a held-out block (default: 1)"},
	{OPTION_EPOCHS, 0, "epochs", "N", "epochs of FP32 training (default: 30)"},
	{OPTION_PATIENCE, 0, "patience", "N", "stop after N epochs without a lower training loss (default: 0, never)"},
	{OPTION_TARGET_LOSS, 0, "target-loss", "X",
	 "stop once an epoch's training loss is below (default: 0.05; 0: never)"},
	{OPTION_LEARNING_RATE, 0, "learning-rate", "X", "of FP32 training, by Adam (default: 0.0003)"},
	{OPTION_BATCH_SIZE, 0, "batch-size", "N", "frames in a mini-batch (default: 16)"},
	{OPTION_QAT_EPOCHS, 0, "qat-epochs", "N",
	 "epochs of fine-tuning with fake-quant (default: 5; 0: calibration alone)"},
	{OPTION_QAT_LEARNING_RATE, 0, "qat-learning-rate", "X", "of fine-tuning, by Adam (default: 0.00001)"},
	{OPTION_WEIGHT_BITS, 0, "weight-bits", "N", "2 to 8 (default: 8; an engine needs 8)"},
	{OPTION_ACTIVATION_BITS, 0, "activation-bits", "N", "2 to 8 (default: 8; an engine needs 8)"},
	{OPTION_OBSERVER, 0, "observer", "KIND", "how activations' ranges are found: ema (default) or percentile"},
	{OPTION_NO_COLLAPSE, 0, "no-collapse", NULL, "keep convolutions with nothing between them apart"},
	{OPTION_CHECKPOINT, 0, "checkpoint", "FILE", "save progress here, and go on from it if it is there"},
	{OPTION_SAVE_MODEL, 0, "save-model", "FILE", "save the quantized model too"},
	{OPTION_SAVE_ENGINE, 0, "save-engine", "FILE", "compile a file that is quantized, and save the engine too"},
	{OPTION_TARGET, 0, "target", "KIND", "default (ONNX Runtime, OpenVINO) or tensorrt"},
	{OPTION_LAYOUT, 0, "layout", "KIND", "order of the input's extents: nchw (default) or nhwc"},
	{OPTION_OPSET, 0, "opset", "N", "version of the operators, 13 (default) to 17"},
	{OPTION_ACTIVATIONS, 0, "activations", "KIND", "type of quantized activations: s8 (default), or u8 around 128"},
	{OPTION_CLIP_WEIGHTS, 0, "clip-weights", NULL, "make quantized weights of -128, which are refused otherwise, -127"},
	{OPTION_EXPLAIN_FRAMES, 0, "explain-frames", "N",
	 "score residues on at most N held-out frames of a fold, evenly spread (default: 200; slic-lime: every tenth)"},
	{OPTION_EXPLAIN_SEEDS, 0, "explain-seeds", "N",
	 "study: also train each fold from N - 1 more seeds; explain: also sample from them; and see which residues are "
	 "the "
	 "same (default: 1)"},
	{OPTION_TRUST_FRAMES, 0, "trust-frames", "N",
	 "compare scores on at most N held-out frames of a fold, evenly spread (default: 20)"},
	{OPTION_METHOD, 0, "method", "KIND",
	 "how residues are scored: leave-one-out (default), shap, slic-lime, or of a model integrated-gradients"},
	{OPTION_SAMPLES, 0, "samples", "N",
	 "shap: images a frame, 4 a residue at least (default: until the top 20 settle); slic-lime: (default: 1000); "
	 "integrated-gradients: steps (default: until they add up)"},
	{OPTION_BACKGROUND, 0, "background", "KIND",
	 "what pixels left out become: none (no displacement), mean (of the training frames) or other (the mean of the "
	 "other states' frames); default: none, for icnnmd pixels mean"},
	{OPTION_SEGMENTS, 0, "segments", "FILE",
	 "lines NAME CHAIN:FIRST-LAST[,FIRST-LAST...] ...; explain: score them, not residues; study: show where they are"},
	{OPTION_AS_PUBLISHED, 0, "as-published", NULL,
	 "slic-lime of a model: with the defects of ICNNMD's script (input on another scale, residues off by one atom)"},
	{OPTION_SHARD, 0, "shard", "I/N",
	 "score only the I-th of N parts of the frames, for qmd merge: -o FILE.qmx or DIR/"},
	{OPTION_NUMBERING, 0, "numbering", "FILE",
	 "labels of residues: lines of chain, residue number, label (CSV or tabs)"},
	{OPTION_CONTROL, 0, "control", "KIND",
	 "none (default), or shuffled: states say nothing of frames, so nothing must be found"},
	{OPTION_TOPOLOGY, 0, "topology", "PDB", "atoms of the trajectories (default: just the engine's, in order)"},
	{OPTION_MODEL, 0, "model", "FILE", "use the pixels of this model or engine instead of fitting new ones"},
	{OPTION_FRAME, 0, "frame", "N", "only this frame, from 0"},
	{OPTION_SEED, 0, "seed", "N", "of weights, order of frames, dropout, random splits and samples (default: 1)"},
	{OPTION_BATCH, 0, "batch", "N", "images at a time (default: 1)"},
	{OPTION_BATCHES, 0, "batches", "N,N...", "frames at a time, one after the other (default: 1,8,32,128,1024)"},
	{OPTION_REPEATS, 0, "repeats", "N", "batches that are timed (default: 200)"},
	{OPTION_DEVICE, 0, "device", "NAME",
	 "what computes: cpu (default), cuda (the first GPU) or cuda:N; for train, quantize and study also reference "
	 "(slow)"},
	{OPTION_ENGINE, 0, "engine", "NAME",
	 "time a model, images to logits, by cudnn-fp16 or cudnn-int8 (on a GPU; of a model that is quantized), or by "
	 "fp32"},
	{OPTION_THREADS, 0, "threads", "N", "threads (default: all that the process may use)"},
	{OPTION_RESUME, 0, "resume", NULL, "go on with an interrupted study in the same folder"},
	{OPTION_OUTPUT, 'o', "output", "PATH", "where to write"},
	{OPTION_HTML, 0, "html", "FILE", "also write a page to read"},
	{OPTION_JSON, 0, "json", NULL, "print JSON instead of text"},
	{OPTION_HELP, 'h', "help", NULL, "print this help"},
};

#define N_OPTION_ROWS (sizeof option_rows / sizeof *option_rows)

const option_row *arguments_option_at(size_t index) {
	return index < N_OPTION_ROWS ? &option_rows[index] : NULL;
}

const option_row *arguments_option(option_code code) {
	for (size_t i = 0; i < N_OPTION_ROWS; i++)
		if (option_rows[i].code == code)
			return &option_rows[i];
	return NULL;
}

/* ---- Values ---- */

/* Words of an option with a few values; the number is what the word stands for. */
typedef struct choice {
	const char *word;
	int32_t number;
} choice;

static const choice split_choices[] = {
	{"replica", SPLIT_REPLICA}, {"block", SPLIT_BLOCK}, {"icnnmd", SPLIT_ICNNMD}, {NULL, SPLIT_NONE}};
static const choice pixels_choices[] = {
	{"displacement", QMD_PIXELS_DISPLACEMENT}, {"icnnmd", QMD_PIXELS_ICNNMD}, {NULL, 0}};
static const choice observer_choices[] = {
	{"ema", QMD_OBSERVER_EMA_MAX}, {"percentile", QMD_OBSERVER_PERCENTILE}, {NULL, 0}};

static const choice target_choices[] = {
	{"default", QMD_ONNX_TARGET_DEFAULT}, {"tensorrt", QMD_ONNX_TARGET_TENSORRT}, {NULL, 0}};
static const choice layout_choices[] = {{"nchw", QMD_ONNX_NCHW}, {"nhwc", QMD_ONNX_NHWC}, {NULL, 0}};
static const choice method_choices[] = {{"leave-one-out", QMD_EXPLAIN_LEAVE_ONE_OUT},
										{"shap", QMD_EXPLAIN_SHAP},
										{"slic-lime", QMD_EXPLAIN_SLIC_LIME},
										{"integrated-gradients", QMD_EXPLAIN_INTEGRATED_GRADIENTS},
										{NULL, 0}};
static const choice background_choices[] = {
	{"none", BACKGROUND_NONE}, {"mean", BACKGROUND_MEAN}, {"other", BACKGROUND_OTHER}, {NULL, BACKGROUND_DEFAULT}};
static const choice control_choices[] = {{"none", CONTROL_NONE}, {"shuffled", CONTROL_SHUFFLED}, {NULL, 0}};
static const choice type_choices[] = {{"s8", QMD_S8}, {"u8", QMD_U8}, {NULL, 0}};

static const char *choice_word(const choice *choices, int32_t number) {
	for (; choices->word; choices++)
		if (choices->number == number)
			return choices->word;
	return "none";
}

const char *split_name(split_kind split) {
	return choice_word(split_choices, (int32_t)split);
}

const char *pixels_name(int32_t kind) {
	return choice_word(pixels_choices, kind);
}

const char *observer_name(int32_t observer) {
	return choice_word(observer_choices, observer);
}

const char *method_name(int32_t method) {
	return choice_word(method_choices, method);
}

const char *control_name(control_kind control) {
	return choice_word(control_choices, (int32_t)control);
}

const char *background_name(background_kind background) {
	return choice_word(background_choices, (int32_t)background);
}

const char *onnx_target_name(int32_t target) {
	return choice_word(target_choices, target);
}

const char *onnx_layout_name(int32_t layout) {
	return choice_word(layout_choices, layout);
}

static int read_choice(const option_row *row, const choice *choices, const char *text, int32_t *number) {
	char known[128] = "";
	for (const choice *c = choices; c->word; c++) {
		if (strcmp(text, c->word) == 0) {
			*number = c->number;
			return PROGRAM_OK;
		}
		snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "", c->word);
	}
	return fail_usage("--%s is one of %s, not '%s'", row->name, known, text);
}

static int read_count(const option_row *row, const char *text, uint64_t smallest, uint64_t largest, uint64_t *value) {
	char *end;
	errno = 0;
	const unsigned long long number = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || number < smallest || number > largest)
		return fail_usage("--%s is a whole number from %llu to %llu, not '%s'", row->name, (unsigned long long)smallest,
						  (unsigned long long)largest, text);
	*value = number;
	return PROGRAM_OK;
}

static int read_count32(const option_row *row, const char *text, uint32_t smallest, uint32_t largest, uint32_t *value) {
	uint64_t wide = 0;
	TRY(read_count(row, text, smallest, largest, &wide));
	*value = (uint32_t)wide;
	return PROGRAM_OK;
}

static int read_size(const option_row *row, const char *text, size_t smallest, size_t largest, size_t *value) {
	uint64_t wide = 0;
	TRY(read_count(row, text, smallest, largest, &wide));
	*value = (size_t)wide;
	return PROGRAM_OK;
}

static int read_real(const option_row *row, const char *text, int zero_is_allowed, double *value) {
	char *end;
	const double number = strtod(text, &end);
	if (end == text || *end || !isfinite(number) || number < 0 || (number == 0 && !zero_is_allowed))
		return fail_usage("--%s is a number %s 0, not '%s'", row->name, zero_is_allowed ? "of at least" : "above",
						  text);
	*value = number;
	return PROGRAM_OK;
}

static int read_positive(const option_row *row, const char *text, double *value) {
	return read_real(row, text, 0, value);
}

static int read_shard(const option_row *row, const char *text, program_arguments *a) {
	unsigned shard = 0, n_shards = 0;
	int length = 0;
	if (*text < '0' || *text > '9' || sscanf(text, "%u/%u%n", &shard, &n_shards, &length) != 2 || text[length] ||
		shard < 1 || shard > n_shards)
		return fail_usage("--%s is I/N with I from 1 to N, not '%s'", row->name, text);
	a->shard = shard - 1;
	a->n_shards = n_shards;
	return PROGRAM_OK;
}

static int read_batches(const option_row *row, const char *text, program_arguments *a) {
	char *copy = strdup(text), *rest = copy;
	if (!copy)
		return fail_memory();
	int code = PROGRAM_OK;
	a->n_batches = 0;
	for (const char *item; code == PROGRAM_OK && (item = strsep(&rest, ",")) != NULL;)
		code = a->n_batches < ARGUMENTS_MAX_BATCHES
				   ? read_count32(row, item, 1, ARGUMENTS_MAX_BATCH, &a->batches[a->n_batches++])
				   : fail_usage("--%s takes at most %d numbers", row->name, ARGUMENTS_MAX_BATCHES);
	free(copy);
	return code;
}

static int read_text(const option_row *row, const char *text, const char **value) {
	if (!*text)
		return fail_usage("--%s is empty", row->name);
	*value = text;
	return PROGRAM_OK;
}

static int read_state(program_arguments *arguments, const char *text) {
	state_argument *states = realloc(arguments->states, (arguments->n_states + 1) * sizeof *states);
	if (!states)
		return fail_memory();
	arguments->states = states;
	state_argument *state = &states[arguments->n_states];
	*state = (state_argument){.text = strdup(text)};
	if (!state->text)
		return fail_memory();
	arguments->n_states++;

	char *equals = strchr(state->text, '=');
	if (!equals || equals == state->text)
		return fail_usage("--state is NAME=PDB,NC[,NC...], not '%s'", text);
	*equals = 0;
	state->name = state->text;
	size_t n_commas = 0;
	for (const char *c = equals + 1; *c; c++)
		n_commas += *c == ',';
	state->trajectories = calloc(n_commas + 1, sizeof *state->trajectories);
	if (!state->trajectories)
		return fail_memory();
	char *rest = equals + 1;
	for (char *item; (item = strsep(&rest, ",")) != NULL;) {
		if (!*item)
			return fail_usage("--state %s: a file name is empty in '%s'", state->name, text);
		if (!state->topology)
			state->topology = item;
		else
			state->trajectories[state->n_trajectories++] = item;
	}
	if (state->n_trajectories == 0)
		return fail_usage("--state %s: no trajectory follows the topology '%s'", state->name, state->topology);
	return PROGRAM_OK;
}

static int read_data_option(program_arguments *a, const option_row *row, const char *text, int *known) {
	*known = 1;
	int32_t number = SPLIT_AUTO;
	switch ((int)row->code) {
	case OPTION_STATE:
		return read_state(a, text);
	case OPTION_SELECT:
		return read_text(row, text, &a->selection);
	case OPTION_MAP:
		return read_text(row, text, &a->map_path);
	case OPTION_STRIDE:
		return read_size(row, text, 1, INT32_MAX, &a->stride);
	case OPTION_PIXELS:
		return read_choice(row, pixels_choices, text, &a->pixels_kind);
	case OPTION_SUPERPOSE:
		return read_text(row, text, &a->superpose);
	case OPTION_RANGE:
		return read_positive(row, text, &a->range);
	case OPTION_SPLIT:
		TRY(read_choice(row, split_choices, text, &number));
		a->split = (split_kind)number;
		return PROGRAM_OK;
	case OPTION_CONTROL:
		number = CONTROL_NONE;
		TRY(read_choice(row, control_choices, text, &number));
		a->control = (control_kind)number;
		return PROGRAM_OK;
	case OPTION_FOLDS:
		return read_size(row, text, 1, 1000, &a->n_folds);
	case OPTION_FOLD:
		return read_size(row, text, 1, 1000, &a->fold);
	case OPTION_GAP:
		return read_size(row, text, 0, INT32_MAX, &a->gap);
	case OPTION_FRAME:
		return read_size(row, text, 0, INT32_MAX, &a->frame);
	case OPTION_EXPLAIN_FRAMES:
		a->has_explain_frames = 1;
		return read_size(row, text, 1, INT32_MAX, &a->explain_frames);
	case OPTION_EXPLAIN_SEEDS:
		return read_size(row, text, 1, 100, &a->explain_seeds);
	case OPTION_TRUST_FRAMES:
		return read_size(row, text, 1, INT32_MAX, &a->trust_frames);
	case OPTION_METHOD:
		return read_choice(row, method_choices, text, &a->method);
	case OPTION_BACKGROUND:
		TRY(read_choice(row, background_choices, text, &number));
		a->background = (background_kind)number;
		return PROGRAM_OK;
	case OPTION_SEGMENTS:
		return read_text(row, text, &a->segments);
	case OPTION_SHARD:
		return read_shard(row, text, a);
	case OPTION_SAMPLES:
		return read_count32(row, text, 1, INT32_MAX, &a->samples);
	default:
		*known = 0;
		return PROGRAM_OK;
	}
}

static int read_training_option(program_arguments *a, const option_row *row, const char *text, int *known) {
	*known = 1;
	switch ((int)row->code) {
	case OPTION_EPOCHS:
		return read_count32(row, text, 1, 1000000, &a->epochs);
	case OPTION_PATIENCE:
		return read_count32(row, text, 0, 1000000, &a->patience);
	case OPTION_TARGET_LOSS:
		return read_real(row, text, 1, &a->target_loss);
	case OPTION_LEARNING_RATE:
		return read_positive(row, text, &a->learning_rate);
	case OPTION_BATCH_SIZE:
		return read_count32(row, text, 1, 4096, &a->batch_size);
	case OPTION_QAT_EPOCHS:
		return read_count32(row, text, 0, 1000000, &a->qat_epochs);
	case OPTION_QAT_LEARNING_RATE:
		return read_positive(row, text, &a->qat_learning_rate);
	case OPTION_WEIGHT_BITS:
		return read_count32(row, text, 2, 8, &a->weight_bits);
	case OPTION_ACTIVATION_BITS:
		return read_count32(row, text, 2, 8, &a->activation_bits);
	case OPTION_OBSERVER:
		return read_choice(row, observer_choices, text, &a->observer);
	case OPTION_SEED:
		return read_count(row, text, 0, INT64_MAX, &a->seed);
	case OPTION_BATCH:
		return read_count32(row, text, 1, ARGUMENTS_MAX_BATCH, &a->batch);
	case OPTION_BATCHES:
		return read_batches(row, text, a);
	case OPTION_DEVICE:
		return read_text(row, text, &a->device);
	case OPTION_ENGINE:
		return read_text(row, text, &a->engine);
	case OPTION_REPEATS:
		return read_count32(row, text, 1, 100000, &a->repeats);
	case OPTION_THREADS:
		a->has_threads = 1;
		return read_count32(row, text, 1, 1024, &a->threads);
	default:
		*known = 0;
		return PROGRAM_OK;
	}
}

static int read_onnx_option(program_arguments *a, const option_row *row, const char *text, int *known) {
	*known = 1;
	switch ((int)row->code) {
	case OPTION_TARGET:
		return read_choice(row, target_choices, text, &a->onnx_target);
	case OPTION_LAYOUT:
		return read_choice(row, layout_choices, text, &a->onnx_layout);
	case OPTION_ACTIVATIONS:
		return read_choice(row, type_choices, text, &a->activations_type);
	case OPTION_OPSET:
		return read_count32(row, text, 13, 17, &a->opset);
	default:
		*known = 0;
		return PROGRAM_OK;
	}
}

static int read_file_option(program_arguments *a, const option_row *row, const char *text) {
	switch ((int)row->code) {
	case OPTION_CHECKPOINT:
		return read_text(row, text, &a->checkpoint);
	case OPTION_SAVE_MODEL:
		return read_text(row, text, &a->model_output);
	case OPTION_SAVE_ENGINE:
		return read_text(row, text, &a->engine_output);
	case OPTION_TOPOLOGY:
		return read_text(row, text, &a->topology);
	case OPTION_MODEL:
		return read_text(row, text, &a->model);
	case OPTION_HTML:
		return read_text(row, text, &a->html_output);
	case OPTION_NUMBERING:
		return read_text(row, text, &a->numbering);
	case OPTION_OUTPUT:
		return read_text(row, text, &a->output);
	default:
		return PROGRAM_OK;
	}
}

static void set_switch(program_arguments *a, option_code code) {
	a->range_in_sigma |= code == OPTION_SIGMA;
	a->as_published |= code == OPTION_AS_PUBLISHED;
	a->resume |= code == OPTION_RESUME;
	a->json |= code == OPTION_JSON;
	a->help |= code == OPTION_HELP;
	a->clip_weights |= code == OPTION_CLIP_WEIGHTS;
	if (code == OPTION_NO_COLLAPSE)
		a->linear_collapse = 0;
}

static int read_option(program_arguments *a, const option_row *row, const char *text) {
	if (!row->value) {
		set_switch(a, row->code);
		return PROGRAM_OK;
	}
	int known;
	TRY(read_data_option(a, row, text, &known));
	if (known)
		return PROGRAM_OK;
	TRY(read_training_option(a, row, text, &known));
	if (known)
		return PROGRAM_OK;
	TRY(read_onnx_option(a, row, text, &known));
	return known ? PROGRAM_OK : read_file_option(a, row, text);
}

/* ---- The line ---- */

static uint32_t count_processors(void) {
	cpu_set_t set;
	const int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
	return n > 0 ? (uint32_t)n : 1;
}

static void set_defaults(program_arguments *a, const program_command *command) {
	qmd_train_options train;
	qmd_quantize_options quantize;
	qmd_pixels_options pixels;
	qmd_onnx_export_options onnx;
	qmd_train_options_init(&train);
	qmd_quantize_options_init(&quantize);
	qmd_pixels_options_init(&pixels);
	qmd_onnx_export_options_init(&onnx);
	*a = (program_arguments){.command = command,
							 .stride = 1,
							 .pixels_kind = pixels.kind,
							 .range = pixels.range,
							 .split = SPLIT_AUTO,
							 .batches = {1, 8, 32, 128, 1024},
							 .n_batches = 5,
							 .gap = 1,
							 .epochs = train.epochs,
							 .patience = train.patience,
							 .batch_size = train.batch_size,
							 .target_loss = train.target_loss,
							 .learning_rate = train.learning_rate,
							 .qat_epochs = quantize.epochs,
							 .qat_learning_rate = quantize.learning_rate,
							 .weight_bits = quantize.weight_bits,
							 .activation_bits = quantize.activation_bits,
							 .observer = quantize.observer,
							 .linear_collapse = quantize.linear_collapse,
							 .onnx_target = onnx.target,
							 .onnx_layout = onnx.layout,
							 .activations_type = onnx.activations_type,
							 .opset = onnx.opset,
							 .explain_frames = 200,
							 .explain_seeds = 1,
							 .trust_frames = 20,
							 .method = QMD_EXPLAIN_LEAVE_ONE_OUT,
							 .frame = SIZE_MAX,
							 .seed = train.seed,
							 .batch = 1,
							 .repeats = 200,
							 .threads = count_processors()};
}

static void make_getopt_tables(const program_command *command, struct option *longs, char *shorts) {
	*shorts++ = ':'; /* a missing value is told apart from an unknown option */
	for (const option_code *code = command->options; *code != OPTION_END; code++) {
		const option_row *row = arguments_option(*code);
		*longs++ = (struct option){row->name, row->value ? required_argument : no_argument, NULL, (int)row->code};
		if (!row->letter)
			continue;
		*shorts++ = row->letter;
		if (row->value)
			*shorts++ = ':';
	}
	*longs = (struct option){0};
	*shorts = 0;
}

static const option_row *row_of(int code) {
	for (size_t i = 0; i < N_OPTION_ROWS; i++)
		if (code == (int)option_rows[i].code || (option_rows[i].letter && code == option_rows[i].letter))
			return &option_rows[i];
	return NULL;
}

static int append_record(program_arguments *arguments, char *text) {
	char **list = text ? realloc(arguments->recorded, (arguments->n_recorded + 1) * sizeof *list) : NULL;
	if (!list) {
		free(text);
		return fail_memory();
	}
	arguments->recorded = list;
	list[arguments->n_recorded++] = text;
	return PROGRAM_OK;
}

/* Where results go and how fast they come does not change them. */
static int record_option(program_arguments *arguments, const option_row *row, const char *text) {
	if (row->code == OPTION_OUTPUT || row->code == OPTION_SHARD || row->code == OPTION_THREADS ||
		row->code == OPTION_JSON)
		return PROGRAM_OK;
	char *option = NULL;
	if (asprintf(&option, text ? "--%s=%s" : "--%s", row->name, text) < 0)
		option = NULL;
	return append_record(arguments, option);
}

static int record_operands(program_arguments *arguments) {
	TRY(append_record(arguments, strdup("--")));
	for (size_t i = 0; i < arguments->n_operands; i++)
		TRY(append_record(arguments, strdup(arguments->operands[i])));
	return PROGRAM_OK;
}

int arguments_read(program_arguments *arguments, const program_command *command, int argc, char **argv) {
	struct option longs[N_OPTION_ROWS + 1];
	char shorts[2 * N_OPTION_ROWS + 2];
	set_defaults(arguments, command);
	make_getopt_tables(command, longs, shorts);
	opterr = 0;
	optind = 0; /* anew, whatever was read before */
	for (int code; (code = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
		if (code == ':')
			return fail_usage("option '%s' needs a value", argv[optind - 1]);
		const option_row *row = code == '?' ? NULL : row_of(code);
		if (!row)
			return fail_usage("option '%s' is unknown, ambiguous or takes no value", argv[optind - 1]);
		TRY(read_option(arguments, row, optarg));
		TRY(record_option(arguments, row, optarg));
	}
	if (!arguments->device)
		arguments->device = arguments->engine && strcmp(arguments->engine, "fp32") != 0 ? "cuda" : "cpu";
	arguments->operands = argv + optind;
	arguments->n_operands = (size_t)(argc - optind);
	if (arguments->help)
		return PROGRAM_OK;
	if (arguments->n_operands < command->min_operands)
		return fail_usage("something is missing: qmd %s %s", command->name, command->operands);
	if (arguments->n_operands > command->max_operands)
		return fail_usage("'%s' is one argument too many", arguments->operands[command->max_operands]);
	return record_operands(arguments);
}

void arguments_release(program_arguments *arguments) {
	for (size_t i = 0; i < arguments->n_states; i++) {
		free(arguments->states[i].text);
		free(arguments->states[i].trajectories);
	}
	for (size_t i = 0; i < arguments->n_recorded; i++)
		free(arguments->recorded[i]);
	free(arguments->recorded);
	free(arguments->states);
	*arguments = (program_arguments){.command = arguments->command};
}

void arguments_print_help(const program_command *command) {
	printf("Usage: qmd %s [option...] %s\n\n%s.\n%s\nOptions:\n", command->name, command->operands, command->summary,
		   command->details);
	for (const option_code *code = command->options; *code != OPTION_END; code++) {
		const option_row *row = arguments_option(*code);
		char left[64];
		snprintf(left, sizeof left, "%c%c%s--%s%s%s", row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
				 row->letter ? ", " : "  ", row->name, row->value ? " " : "", row->value ? row->value : "");
		if (strlen(left) > 28)
			printf("  %s\n  %-28s  %s\n", left, "", row->help);
		else
			printf("  %-28s  %s\n", left, row->help);
	}
	printf("\nExit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted.\n");
}
