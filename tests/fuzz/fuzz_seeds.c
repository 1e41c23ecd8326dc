/* Write the corpus' files of the library's own formats and of NetCDF: fuzz_seeds tests/fuzz/corpus */
#include <stdio.h>

#include "dcd_fixture.h"
#include "engine_fixture.h"
#include "fuzz_training.h"
#include "linear_fixture.h"
#include "model_fixture.h"
#include "netcdf_fixture.h"
#include "support.h"

static const char *name_in(const char *folder, const char *name) {
	static char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

static void copy(const char *from, const char *to) {
	size_t size;
	unsigned char *data = qmdt_read_file(from, &size);
	qmdt_write_file(to, data, size);
	free(data);
}

static void write_netcdf(const char *corpus) {
	static const double numbers[] = {1, 2, 3, 90, 90, 90, 90, 90, 90};
	static const int formats[] = {1, 2, 5};
	for (size_t i = 0; i < 3; i++) {
		char name[32];
		qmdt_netcdf content = {.format = formats[i],
							   .n_frames = 2,
							   .n_atoms = 3,
							   .times = numbers,
							   .lengths = numbers,
							   .angles = numbers + 3,
							   .is_double = i == 1};
		snprintf(name, sizeof name, "netcdf/cdf-%d.nc", formats[i]);
		copy(qmdt_write_netcdf("seed.nc", &content), name_in(corpus, name));
	}
	const qmdt_netcdf restart = {.n_frames = 1, .n_atoms = 3, .times = numbers, .is_restart = 1, .is_double = 1};
	copy(qmdt_write_netcdf("seed.nc", &restart), name_in(corpus, "netcdf/restart.nc"));
}

static void write_dcd(const char *corpus) {
	static const uint32_t free_atoms[] = {1, 3};
	static const double cell[] = {30, 80, 40, 95, 110, 50};
	const qmdt_dcd fixed = {
		.n_frames = 2, .n_atoms = 3, .free_atoms = free_atoms, .n_free = 2, .cell = cell, .step_interval = 1};
	const qmdt_dcd wide = {.n_frames = 2, .n_atoms = 2, .is_big_endian = 1, .has_wide_markers = 1, .is_xplor = 1};
	copy(qmdt_write_dcd("seed.dcd", &fixed), name_in(corpus, "dcd/fixed-atoms.dcd"));
	copy(qmdt_write_dcd("seed.dcd", &wide), name_in(corpus, "dcd/wide-markers.dcd"));
}

static void write_models(const char *corpus) {
	qmd_model *model = qmdt_model_of_every_kind();
	qmdt_ok(qmd_model_save(model, name_in(corpus, "model/plain.qmd")));
	qmdt_set_scales(model);
	qmdt_ok(qmd_model_save(model, name_in(corpus, "model/quantized.qmd")));
	qmd_model_free(model);
}

static void write_engines(const char *corpus) {
	qmd_model *model = qmdt_bound_network(QMD_U8);
	qmd_engine *engine;
	qmdt_ok(qmd_engine_compile(model, NULL, &engine));
	qmdt_ok(qmd_engine_save(engine, name_in(corpus, "engine/bound.qme")));
	qmd_engine_free(engine);
	qmd_model_free(model);
}

static void write_checkpoints(const char *corpus) {
	static const char *const names[] = {"checkpoint/adam.qmc", "checkpoint/rmsprop.qmc"};
	static const qmd_optimizer kinds[] = {QMD_OPTIMIZER_ADAM, QMD_OPTIMIZER_RMSPROP};
	for (size_t i = 0; i < 2; i++) {
		fuzz_training training = fuzz_training_create(kinds[i]);
		training.state = (qmdi_train_state){.epoch = 1, .step = 1, .best_loss = 0.5, .n_worse = 0};
		fuzz_training_step(&training);
		qmdt_ok(fuzz_training_save(&training, name_in(corpus, names[i])));
		fuzz_training_free(&training);
	}
}

static void write_shard(const char *corpus) {
	qmdt_linear linear;
	qmd_explain_options options;
	qmd_explanation *shard;
	qmdt_linear_setup(&linear, QMD_PIXELS_ICNNMD);
	qmd_explain_options_init(&options);
	options.n_shards = 7;
	qmdt_ok(qmd_explain(linear.engine, linear.dataset, linear.frames, LINEAR_N_FRAMES, &options, &shard));
	qmdt_ok(qmd_explanation_save(shard, "a note", name_in(corpus, "shard/three-frames.qmx")));
	qmd_explanation_free(shard);
	qmdt_linear_teardown(&linear);
}

static const char *corpus_folder;

/* The fixtures fail as tests do, and only within one. */
START_TEST(writes_seeds) {
	write_netcdf(corpus_folder);
	write_dcd(corpus_folder);
	write_models(corpus_folder);
	write_engines(corpus_folder);
	write_checkpoints(corpus_folder);
	write_shard(corpus_folder);
}
END_TEST

int main(int argc, char **argv) {
	if (argc != 2) {
		fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
		return 2;
	}
	corpus_folder = argv[1];
	Suite *suite = suite_create("fuzz_seeds");
	TCase *seeds = tcase_create("seeds");
	tcase_add_test(seeds, writes_seeds);
	suite_add_tcase(suite, seeds);
	return qmdt_run(suite);
}
