#include "support.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* An engine that tells the bundled states apart, and knows no more than that. */
static void make_engine(const char *path) {
	static const char *const names[] = {"open", "closed"};
	qmd_dataset *data;
	qmd_split *split;
	qmd_pixels *pixels;
	qmd_model *model, *quantized;
	qmd_engine *engine;
	qmdt_ok(qmd_dataset_create(NULL, &data));
	for (size_t s = 0; s < 2; s++) {
		char name[64];
		const char *trajectories[2];
		for (size_t r = 0; r < 2; r++) {
			snprintf(name, sizeof name, "adk-%s-%zu.nc", names[s], r + 1);
			trajectories[r] = qmdt_bundled(name);
		}
		snprintf(name, sizeof name, "adk-%s.pdb", names[s]);
		qmdt_ok(qmd_dataset_add_state(data, names[s], qmdt_bundled(name), trajectories, 2));
	}
	qmdt_ok(qmd_split_by_replica(data, 1, &split));
	qmdt_ok(qmd_pixels_fit(data, split, NULL, &pixels));

	const uint32_t side = (uint32_t)qmd_pixels_side(pixels);
	qmd_layer layer;
	qmdt_ok(qmd_model_create((qmd_shape){side, side, 3}, &model));
	qmd_layer_init(&layer, QMD_LAYER_CONV2D);
	layer.units = 4;
	layer.kernel_h = layer.kernel_w = 5;
	layer.stride_h = layer.stride_w = 3;
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	qmd_layer_init(&layer, QMD_LAYER_RELU);
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	qmd_layer_init(&layer, QMD_LAYER_FLATTEN);
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	qmd_layer_init(&layer, QMD_LAYER_DENSE);
	layer.units = 2;
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	qmd_layer_init(&layer, QMD_LAYER_SOFTMAX);
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	qmdt_ok(qmd_model_initialize(model, 1));

	qmd_train_options train;
	qmd_train_options_init(&train);
	train.epochs = 2;
	train.n_threads = 1;
	qmdt_ok(qmd_train(model, data, split, pixels, &train));
	qmd_quantize_options quantize;
	qmd_quantize_options_init(&quantize);
	quantize.epochs = 0;
	quantize.n_threads = 1;
	qmdt_ok(qmd_quantize(model, data, split, &quantize, &quantized));
	qmdt_ok(qmd_engine_compile(quantized, NULL, &engine));
	qmdt_ok(qmd_engine_save(engine, path));

	qmd_engine_free(engine);
	qmd_model_free(quantized);
	qmd_model_free(model);
	qmd_pixels_free(pixels);
	qmd_split_free(split);
	qmd_dataset_free(data);
}

/* Run a command; its output, which lives until the next call, and its exit status. */
static const char *run(const char *command, int *exit_status) {
	static char output[16384];
	FILE *pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	const size_t length = fread(output, 1, sizeof output - 1, pipe);
	output[length] = '\0';
	const int status = pclose(pipe);
	ck_assert_msg(WIFEXITED(status), "%s: ended with %d", command, status);
	*exit_status = WEXITSTATUS(status);
	return output;
}

START_TEST(a_wrapped_simulation_gives_the_same_answer) {
	char command[4096];
	int exit_status;
	const char *engine = qmdt_scratch("embed.qme");
	make_engine(engine);
	static const char *const states[] = {"open", "closed"};
	for (size_t s = 0; s < 2; s++) {
		char pdb[64], netcdf[64];
		snprintf(pdb, sizeof pdb, "adk-%s.pdb", states[s]);
		snprintf(netcdf, sizeof netcdf, "adk-%s-3.nc", states[s]);
		snprintf(command, sizeof command, "%s/examples/embed %s %s %s 2>&1", QMDT_BINARY_DIR, engine, qmdt_bundled(pdb),
				 qmdt_bundled(netcdf));
		const char *output = run(command, &exit_status);
		ck_assert_msg(exit_status == 0, "exit status %d: %s", exit_status, output);
		ck_assert_msg(strstr(output, "\nsame answer\n") != NULL, "%s", output);
		char first[64];
		snprintf(first, sizeof first, "step    0: %s ", states[s]);
		ck_assert_msg(strstr(output, first) != NULL, "%s", output);
	}
}
END_TEST

START_TEST(mistakes_end_in_one_line) {
	int exit_status;
	const char *output = run(QMDT_BINARY_DIR "/examples/embed 2>&1", &exit_status);
	ck_assert_int_eq(exit_status, 2);
	ck_assert_str_eq(output, "usage: embed ENGINE PDB NETCDF\n");
	output = run(QMDT_BINARY_DIR "/examples/embed nowhere.qme a b 2>&1", &exit_status);
	ck_assert_int_eq(exit_status, 1);
	ck_assert_ptr_nonnull(strstr(output, "nowhere.qme"));
	ck_assert_ptr_eq(strchr(output, '\n'), output + strlen(output) - 1);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("embed");
	TCase *embed = tcase_create("embed");
	tcase_set_timeout(embed, 300);
	tcase_add_test(embed, a_wrapped_simulation_gives_the_same_answer);
	tcase_add_test(embed, mistakes_end_in_one_line);
	suite_add_tcase(suite, embed);
	return qmdt_run(suite);
}
