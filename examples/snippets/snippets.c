#include "snippets.h"

#include <stdio.h>
#include <stdlib.h>

void check(qmd_status status) {
	if (status == QMD_OK)
		return;
	fprintf(stderr, "%s: %s\n", qmd_status_name(status), qmd_last_error());
	exit(1);
}

void *allocate(size_t n, size_t size) {
	void *memory = calloc(n > 0 ? n : 1, size);
	if (!memory) {
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return memory;
}

static void add_state(qmd_dataset *dataset, const char *folder, const char *name) {
	char topology[1024], files[3][1024];
	const char *trajectories[3];
	snprintf(topology, sizeof topology, "%s/adk-%s.pdb", folder, name);
	for (int i = 0; i < 3; i++) {
		snprintf(files[i], sizeof files[i], "%s/adk-%s-%d.nc", folder, name, i + 1);
		trajectories[i] = files[i];
	}
	check(qmd_dataset_add_state(dataset, name, topology, trajectories, 3));
}

qmd_dataset *open_states(const char *folder) {
	qmd_dataset_options options;
	qmd_dataset_options_init(&options);
	options.selection = "name CA";
	options.stride = 4;
	qmd_dataset *dataset;
	check(qmd_dataset_create(&options, &dataset));
	add_state(dataset, folder, "open");
	add_state(dataset, folder, "closed");
	return dataset;
}

example open_example(const char *folder) {
	example e;
	e.dataset = open_states(folder);
	check(qmd_split_by_replica(e.dataset, 0, &e.split));
	check(qmd_pixels_fit(e.dataset, e.split, NULL, &e.pixels));
	return e;
}

void close_example(example *e) {
	qmd_pixels_free(e->pixels);
	qmd_split_free(e->split);
	qmd_dataset_free(e->dataset);
}

qmd_model *train_briefly(qmd_dataset *dataset, const qmd_split *split, qmd_pixels *pixels) {
	const uint32_t side = (uint32_t)qmd_pixels_side(pixels);
	qmd_model *model;
	qmd_layer layer;
	check(qmd_model_create((qmd_shape){side, side, 3}, &model));
	qmd_layer_init(&layer, QMD_LAYER_CONV2D);
	layer.units = 16;
	layer.kernel_h = layer.kernel_w = 3;
	check(qmd_model_add(model, &layer, NULL));
	static const int32_t kinds[] = {QMD_LAYER_RELU, QMD_LAYER_FLATTEN, QMD_LAYER_DENSE, QMD_LAYER_SOFTMAX};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		qmd_layer_init(&layer, kinds[i]);
		layer.units = kinds[i] == QMD_LAYER_DENSE ? 2 : 0;
		check(qmd_model_add(model, &layer, NULL));
	}
	check(qmd_model_initialize(model, 1));

	qmd_train_options options;
	qmd_train_options_init(&options);
	options.learning_rate = 3e-3;
	check(qmd_train(model, dataset, split, pixels, &options));
	return model;
}

qmd_engine *make_engine(qmd_dataset *dataset, const qmd_split *split, qmd_pixels *pixels) {
	qmd_model *model = train_briefly(dataset, split, pixels), *quantized;
	qmd_engine *engine;
	check(qmd_quantize(model, dataset, split, NULL, &quantized));
	check(qmd_engine_compile(quantized, NULL, &engine));
	qmd_model_free(quantized);
	qmd_model_free(model);
	return engine;
}
