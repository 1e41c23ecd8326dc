/*
 * A network layer by layer: building, looking at, setting, binding, saving.
 *
 *     $ model_build examples/data
 *     icnnmd at 15 x 15: 17 layers after the input, 198178 parameters, 3137376 multiplications
 *     6 layers, 2 classes
 *     conv2d_1: 8 filters of 3 x 3, output 15 x 15 x 8
 *     its first weight is -0.011, its 8 biases are now 0.1
 *     bound to 214 atoms; class 1 is closed; in floating point
 *     saved and loaded again: 3826 parameters
 */
#include "snippets.h"

#include <stdio.h>
#include <stdlib.h>

/* [preset] */
static void use_preset(uint32_t side) {
	qmd_model *model;
	check(qmd_model_create_preset("icnnmd", (qmd_shape){side, side, 3}, 2, 1, &model));
	printf("icnnmd at %u x %u: %zu layers after the input, %zu parameters, %llu multiplications\n", side, side,
		   qmd_model_n_layers(model) - 1, qmd_model_n_parameters(model), (unsigned long long)qmd_model_n_macs(model));
	qmd_model_free(model);
}
/* [preset] */

/* [build] */
static qmd_model *build(uint32_t side) {
	qmd_model *model;
	qmd_layer layer;
	int32_t convolution;
	check(qmd_model_create((qmd_shape){side, side, 3}, &model));

	qmd_layer_init(&layer, QMD_LAYER_CONV2D);
	layer.units = 8;
	layer.kernel_h = layer.kernel_w = 3;
	layer.padding = QMD_PADDING_SAME;
	check(qmd_model_add(model, &layer, &convolution)); /* its number, for layers that do not read the one before */

	qmd_layer_init(&layer, QMD_LAYER_RELU);
	check(qmd_model_add(model, &layer, NULL));
	qmd_layer_init(&layer, QMD_LAYER_FLATTEN);
	check(qmd_model_add(model, &layer, NULL));
	qmd_layer_init(&layer, QMD_LAYER_DENSE);
	layer.units = 2;
	check(qmd_model_add(model, &layer, NULL));
	qmd_layer_init(&layer, QMD_LAYER_SOFTMAX);
	check(qmd_model_add(model, &layer, NULL));

	check(qmd_model_initialize(model, 1)); /* draw the weights */
	printf("%zu layers, %zu classes\n", qmd_model_n_layers(model), qmd_model_n_classes(model));
	return model; /* qmd_model_free() when it is done with */
}
/* [build] */

/* [layers and parameters] */
static void look_inside(qmd_model *model) {
	qmd_layer layer;
	qmd_shape output;
	qmd_layer_init(&layer, QMD_LAYER_INPUT);
	check(qmd_model_layer(model, 1, &layer, &output));
	printf("%s: %u filters of %u x %u, output %u x %u x %u\n", layer.name, layer.units, layer.kernel_h, layer.kernel_w,
		   output.h, output.w, output.c);

	size_t n = 0;
	check(qmd_model_parameters(model, layer.name, "weight", &n, NULL)); /* how many */
	float *weights = allocate(n, sizeof *weights), biases[8];
	check(qmd_model_parameters(model, layer.name, "weight", &n, weights)); /* [filters][kh][kw][channels] */
	for (size_t i = 0; i < 8; i++)
		biases[i] = 0.1f;
	check(qmd_model_set_parameters(model, layer.name, "bias", 8, biases));
	printf("its first weight is %.3f, its 8 biases are now 0.1\n", (double)weights[0]);
	free(weights);
}
/* [layers and parameters] */

/* [bind] */
static void bind(qmd_model *model, qmd_dataset *dataset, const qmd_split *split) {
	/* As training does it: for a network whose weights come from elsewhere. */
	static const char *const names[2] = {"open", "closed"};
	qmd_pixels *pixels;
	check(qmd_pixels_fit(dataset, split, NULL, &pixels));
	check(qmd_model_bind(model, pixels, names));
	qmd_pixels_free(pixels); /* this hold on them: the model has its own */
	printf("bound to %zu atoms; class 1 is %s; %s\n", qmd_pixels_n_atoms(qmd_model_pixels(model)),
		   qmd_model_class_name(model, 1), qmd_model_is_quantized(model) ? "quantized" : "in floating point");
}
/* [bind] */

/* [files] */
static void save_and_load(const qmd_model *model) {
	qmd_model *loaded;
	check(qmd_model_save(model, "built.qmd"));
	check(qmd_model_load("built.qmd", &loaded));
	printf("saved and loaded again: %zu parameters\n", qmd_model_n_parameters(loaded));
	qmd_model_free(loaded);
}
/* [files] */

int main(int argc, char **argv) {
	if (argc != 2)
		return 2;
	example e = open_example(argv[1]);
	const uint32_t side = (uint32_t)qmd_pixels_side(e.pixels);
	use_preset(side);
	qmd_model *model = build(side);
	look_inside(model);
	bind(model, e.dataset, e.split);
	save_and_load(model);
	qmd_model_free(model);
	close_example(&e);
	return 0;
}
