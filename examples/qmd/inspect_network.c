#include "inspect.h"

#include <stdio.h>
#include <string.h>

#include "report.h"
#include "table.h"

static json_t *describe_shape(qmd_shape shape) {
	return json_pack("[i,i,i]", (int)shape.h, (int)shape.w, (int)shape.c);
}

/* ---- What models and engines have in common ---- */

static json_t *describe_pixels(const qmd_pixels *pixels) {
	if (!pixels)
		return json_null();
	return json_pack("{s:s, s:I, s:I, s:I, s:s, s:f}", "kind", pixels_name(qmd_pixels_kind_of(pixels)), "side",
					 (json_int_t)qmd_pixels_side(pixels), "n_atoms", (json_int_t)qmd_pixels_n_atoms(pixels),
					 "n_superposed", (json_int_t)qmd_pixels_n_superposed(pixels), "type",
					 qmd_pixels_type(pixels) == QMD_S8 ? "s8" : "u8", "scale", (double)qmd_pixels_scale(pixels));
}

static void print_pixels(const qmd_pixels *pixels) {
	if (!pixels) {
		printf("pixels   none\n");
		return;
	}
	printf("pixels   %s, %zu x %zu x 3 of %s, %zu atoms, superposed on %zu of them\n",
		   pixels_name(qmd_pixels_kind_of(pixels)), qmd_pixels_side(pixels), qmd_pixels_side(pixels),
		   qmd_pixels_type(pixels) == QMD_S8 ? "s8" : "u8", qmd_pixels_n_atoms(pixels),
		   qmd_pixels_n_superposed(pixels));
}

static void print_classes(const json_t *json) {
	size_t i;
	json_t *name;
	printf("classes ");
	json_array_foreach(json_object_get(json, "classes"), i, name) {
		printf(" %s", json_string_value(name));
	}
	printf("\n");
}

/* Three extents, as "49x49x32". */
static void shape_cell(table *t, const json_t *shape) {
	const json_int_t h = json_integer_value(json_array_get(shape, 0)), w = json_integer_value(json_array_get(shape, 1));
	const json_int_t c = json_integer_value(json_array_get(shape, 2));
	if (h == 1 && w == 1)
		table_cell(t, "%lld", (long long)c);
	else
		table_cell(t, "%lldx%lldx%lld", (long long)h, (long long)w, (long long)c);
}

/* ---- Model ---- */

static const char *kind_name(int32_t kind) {
	static const char *const names[] = {"?",       "input",   "conv2d",         "dense",     "relu",
										"maxpool", "avgpool", "global_avgpool", "batchnorm", "dropout",
										"add",     "flatten", "softmax"};
	return kind > 0 && kind < (int32_t)(sizeof names / sizeof *names) ? names[kind] : names[0];
}

static size_t count_parameters(const qmd_model *model, const qmd_layer *layer) {
	static const char *const names[] = {"weight", "bias", "gamma", "beta"};
	size_t sum = 0;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		size_t n = 0;
		if (qmd_model_parameters(model, layer->name, names[i], &n, NULL) == QMD_OK)
			sum += n;
	}
	return sum;
}

static int list_layers(const qmd_model *model, json_t *layers) {
	for (size_t i = 0; i < qmd_model_n_layers(model); i++) {
		qmd_layer layer;
		qmd_shape output;
		memset(&layer, 0, sizeof layer);
		layer.struct_size = sizeof layer;
		TRY_QMD(qmd_model_layer(model, i, &layer, &output));
		json_t *row = json_pack("{s:s, s:s, s:o, s:I}", "name", layer.name, "kind", kind_name(layer.kind), "output",
								describe_shape(output), "n_parameters", (json_int_t)count_parameters(model, &layer));
		if (json_array_append_new(layers, row) != 0)
			return report_fail();
	}
	return PROGRAM_OK;
}

static void print_model(const char *path, const qmd_model *model, const json_t *json) {
	static const char *const headings[] = {"layer", "<name", "<kind", "output", "parameters", NULL};
	printf("%s: %s model, %zu parameters, %.2f million multiplications an image\n", path,
		   qmd_model_is_quantized(model) ? "quantized" : "FP32", qmd_model_n_parameters(model),
		   (double)qmd_model_n_macs(model) * 1e-6);
	print_pixels(qmd_model_pixels(model));
	print_classes(json);
	printf("\n");
	table t;
	table_start(&t, headings);
	size_t i;
	json_t *layer;
	json_array_foreach(json_object_get(json, "layers"), i, layer) {
		table_cell(&t, "%zu", i);
		table_cell(&t, "%s", json_string_value(json_object_get(layer, "name")));
		table_cell(&t, "%s", json_string_value(json_object_get(layer, "kind")));
		shape_cell(&t, json_object_get(layer, "output"));
		table_number(&t, report_get(layer, "n_parameters", NULL), 0);
	}
	table_print(&t, stdout);
}

int inspect_model(const program_arguments *arguments, const char *path) {
	qmd_model *model = NULL;
	TRY_QMD(qmd_model_load(path, &model));
	json_t *classes = json_array();
	for (size_t c = 0; c < qmd_model_n_classes(model) && qmd_model_class_name(model, c); c++)
		json_array_append_new(classes, json_string(qmd_model_class_name(model, c)));
	json_t *json = json_pack("{s:s, s:s, s:b, s:I, s:I, s:o, s:o, s:[]}", "file", path, "kind", "model", "quantized",
							 qmd_model_is_quantized(model), "n_parameters", (json_int_t)qmd_model_n_parameters(model),
							 "n_macs", (json_int_t)qmd_model_n_macs(model), "pixels",
							 describe_pixels(qmd_model_pixels(model)), "classes", classes, "layers");
	int code = json ? list_layers(model, json_object_get(json, "layers")) : report_fail();
	if (code == PROGRAM_OK && arguments->json)
		code = report_print(json);
	else if (code == PROGRAM_OK)
		print_model(path, model, json);
	json_decref(json);
	qmd_model_free(model);
	return code;
}

/* ---- Engine ---- */

static int list_steps(const qmd_engine *engine, json_t *steps) {
	for (size_t i = 0; i < qmd_engine_n_layers(engine); i++) {
		qmd_engine_layer step = {.struct_size = sizeof step};
		TRY_QMD(qmd_engine_layer_info(engine, i, &step));
		json_t *row = json_pack("{s:s, s:s, s:s, s:o, s:o, s:I, s:I, s:f}", "name", step.name, "op", step.op, "kernel",
								step.kernel, "input", describe_shape(step.input), "output", describe_shape(step.output),
								"n_macs", (json_int_t)step.n_macs, "weight_bytes", (json_int_t)step.weight_bytes,
								"output_scale", (double)step.output_scale);
		if (json_array_append_new(steps, row) != 0)
			return report_fail();
	}
	return PROGRAM_OK;
}

static void print_engine(const char *path, const qmd_engine *engine, const json_t *json) {
	static const char *const headings[] = {"step", "<layers",      "<kernel",      "input", "output",
										   "kMAC", "weight bytes", "output scale", NULL};
	const qmd_pixels *pixels = qmd_engine_pixels(engine);
	table t;
	size_t i;
	json_t *step;
	double n_macs = 0, n_bytes = 0;
	table_start(&t, headings);
	json_array_foreach(json_object_get(json, "plan"), i, step) {
		n_macs += report_get(step, "n_macs", NULL);
		n_bytes += report_get(step, "weight_bytes", NULL);
		table_cell(&t, "%zu", i + 1);
		table_cell(&t, "%s", json_string_value(json_object_get(step, "name")));
		table_cell(&t, "%s", json_string_value(json_object_get(step, "kernel")));
		shape_cell(&t, json_object_get(step, "input"));
		shape_cell(&t, json_object_get(step, "output"));
		table_number(&t, report_get(step, "n_macs", NULL) * 1e-3, 0);
		table_number(&t, report_get(step, "weight_bytes", NULL), 0);
		table_cell(&t, "%.6g", report_get(step, "output_scale", NULL));
	}
	printf("%s: INT8 engine, %.2f million multiplications an image, %.0f bytes of packed weights\n", path,
		   n_macs * 1e-6, n_bytes);
	print_pixels(pixels);
	print_classes(json);
	printf("\n");
	table_print(&t, stdout);
	printf("\nWhat the passes did:\n%s", qmd_engine_passes(engine));
	const size_t length = strlen(qmd_engine_passes(engine));
	if (length == 0 || qmd_engine_passes(engine)[length - 1] != '\n')
		printf("\n");
}

int inspect_engine(const program_arguments *arguments, const char *path) {
	qmd_engine *engine = NULL;
	TRY_QMD(qmd_engine_load(path, &engine));
	json_t *classes = json_array();
	for (size_t c = 0; c < qmd_engine_n_classes(engine); c++)
		json_array_append_new(classes, json_string(qmd_engine_class_name(engine, c)));
	json_t *json = json_pack("{s:s, s:s, s:o, s:o, s:[], s:s}", "file", path, "kind", "engine", "pixels",
							 describe_pixels(qmd_engine_pixels(engine)), "classes", classes, "plan", "passes",
							 qmd_engine_passes(engine));
	int code = json ? list_steps(engine, json_object_get(json, "plan")) : report_fail();
	if (code == PROGRAM_OK && arguments->json)
		code = report_print(json);
	else if (code == PROGRAM_OK)
		print_engine(path, engine, json);
	json_decref(json);
	qmd_engine_free(engine);
	return code;
}
