#include "study.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "files.h"
#include "report.h"

/* A file by name and size, so that another one in its place is noticed. */
static json_t *describe_file(const char *path) {
	struct stat status;
	const json_int_t size = stat(path, &status) == 0 ? (json_int_t)status.st_size : -1;
	return json_pack("{s:s, s:I}", "path", path, "bytes", size);
}

static json_t *describe_states(const program_arguments *arguments) {
	json_t *states = json_array();
	for (size_t s = 0; s < arguments->n_states; s++) {
		const state_argument *state = &arguments->states[s];
		json_t *trajectories = json_array();
		for (size_t t = 0; t < state->n_trajectories; t++)
			json_array_append_new(trajectories, describe_file(state->trajectories[t]));
		json_array_append_new(states, json_pack("{s:s, s:o, s:o}", "name", state->name, "topology",
												describe_file(state->topology), "trajectories", trajectories));
	}
	return states;
}

json_t *study_identity(const program_arguments *a, const split_plan *plan) {
	return json_pack("{s:s, s:o, s:s?, s:s?, s:I, s:s, s:s?, s:f, s:b, s:s, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:f, "
					 "s:s, s:b, s:I, s:I, s:f, s:s, s:I, s:I, s:s}",
					 "version", qmd_version(), "state", describe_states(a), "select", a->selection, "map", a->map_path,
					 "stride", (json_int_t)a->stride, "pixels", pixels_name(a->pixels_kind), "superpose", a->superpose,
					 "range", a->range, "sigma", a->range_in_sigma, "split", split_name(plan->kind), "folds",
					 (json_int_t)plan->n_folds, "gap", (json_int_t)plan->gap, "epochs", (json_int_t)a->epochs,
					 "patience", (json_int_t)a->patience, "learning-rate", a->learning_rate, "batch-size",
					 (json_int_t)a->batch_size, "qat-epochs", (json_int_t)a->qat_epochs, "qat-learning-rate",
					 a->qat_learning_rate, "observer", observer_name(a->observer), "no-collapse", !a->linear_collapse,
					 "explain-frames", (json_int_t)a->explain_frames, "seed", (json_int_t)a->seed, "target-loss",
					 a->target_loss, "control", control_name(a->control), "explain-seeds", (json_int_t)a->explain_seeds,
					 "trust-frames", (json_int_t)a->trust_frames, "device", a->device);
}

static char *value_text(const json_t *value) {
	return json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
}

/* PROGRAM_OK if an argument is what it was. */
static int compare_argument(const study *s, const char *key, const json_t *before, const json_t *now) {
	char *before_text = before ? value_text(before) : strdup("not given"), *now_text = value_text(now);
	int code = PROGRAM_OK;
	if (!before_text || !now_text)
		code = report_fail();
	else if (strcmp(before_text, now_text) != 0)
		code = json_is_array(now)
				   ? fail("--resume: %s was made with other files: --%s differs (study.json there lists them)",
						  s->folder, key)
				   : fail("--resume: %s was made with other arguments: %s was %s, now it is %s", s->folder, key,
						  before_text, now_text);
	free(before_text);
	free(now_text);
	return code;
}

static int check_identity(const study *s, const char *path) {
	json_t *before = NULL;
	int code = report_load(path, &before);
	const char *key;
	json_t *now;
	json_object_foreach(s->identity, key, now) {
		if (code == PROGRAM_OK)
			code = compare_argument(s, key, json_object_get(before, key), now);
	}
	json_decref(before);
	return code;
}

static int remove_named(const char *folder, const char *name) {
	char *path = files_path(folder, "%s", name);
	const int code = path ? files_remove(path) : fail_memory();
	free(path);
	return code;
}

static int remove_fold(const char *folder, size_t number, int *was_there) {
	static const char *const suffixes[] = {".qmd", "-quantized.qmd", ".qme", ".json", ".checkpoint", ".training.json"};
	*was_there = 0;
	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		char *path = files_path(folder, "fold-%zu%s", number, suffixes[i]);
		if (!path)
			return fail_memory();
		*was_there |= files_exists(path);
		const int code = files_remove(path);
		free(path);
		TRY(code);
	}
	for (size_t i = 2, is_there = 1; is_there; i++) {
		char *path = files_path(folder, "fold-%zu.seed-%zu.qme", number, i);
		if (!path)
			return fail_memory();
		is_there = (size_t)files_exists(path);
		const int code = files_remove(path);
		free(path);
		TRY(code);
	}
	return PROGRAM_OK;
}

/* Results of an earlier study, which may have had more folds, must not be taken for this one's. */
static int clear_folder(const study *s) {
	static const char *const names[] = {"report.json",   "report.html",  "residues.csv", "residues.svg",
										"residues.xlsx", "atoms.csv",    "residues.pdb", "residues.pml",
										"residues.vmd",  "residues.cxc", "frames.png"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		TRY(remove_named(s->folder, names[i]));
	int was_there = 1;
	for (size_t k = 1; was_there || k <= s->plan.n_folds; k++)
		TRY(remove_fold(s->folder, k, &was_there));
	return PROGRAM_OK;
}

int study_check_resume(const study *s, int *is_resumed) {
	*is_resumed = 0;
	if (!s->arguments->resume)
		return PROGRAM_OK;
	char *path = files_path(s->folder, "study.json");
	if (!path)
		return fail_memory();
	*is_resumed = files_exists(path);
	const int code = *is_resumed ? check_identity(s, path) : PROGRAM_OK;
	free(path);
	return code;
}

int study_begin_folder(const study *s) {
	TRY(files_make_folder(s->folder));
	TRY(clear_folder(s));
	char *path = files_path(s->folder, "study.json");
	const int code = path ? report_write(path, s->identity) : fail_memory();
	free(path);
	return code;
}
