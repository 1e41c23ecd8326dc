/* Model files: a container of the sections graph, weights, pixels, classes and quantization (docs/files.md). */
#include "model_layer.h"

#include <string.h>

#include "base/container.h"
#include "base/memory.h"
#include "pixels/pixels_internal.h"

#define MAGIC "QMDMODEL"
#define MAJOR 1
#define MINOR 0

/* ---- Saving ---- */

static void put_layer(qmdi_writer *writer, const qmd_layer *layer) {
	qmdi_put_string(writer, layer->name);
	qmdi_put_i32(writer, layer->kind);
	qmdi_put_i32_array(writer, layer->inputs, 2);
	qmdi_put_u32(writer, layer->units);
	qmdi_put_u32(writer, layer->kernel_h);
	qmdi_put_u32(writer, layer->kernel_w);
	qmdi_put_u32(writer, layer->stride_h);
	qmdi_put_u32(writer, layer->stride_w);
	qmdi_put_i32(writer, layer->padding);
	qmdi_put_u32(writer, layer->pad_top);
	qmdi_put_u32(writer, layer->pad_left);
	qmdi_put_u32(writer, layer->pad_bottom);
	qmdi_put_u32(writer, layer->pad_right);
	qmdi_put_f32(writer, layer->rate);
	qmdi_put_f32(writer, layer->epsilon);
	qmdi_put_f32(writer, layer->momentum);
}

static void put_graph(qmdi_writer *writer, const qmd_model *model) {
	const qmd_shape input = model->layers[0].output;
	qmdi_put_u32(writer, input.h);
	qmdi_put_u32(writer, input.w);
	qmdi_put_u32(writer, input.c);
	qmdi_put_u32(writer, (uint32_t)(model->n_layers - 1));
	for (size_t i = 1; i < model->n_layers; i++)
		put_layer(writer, &model->layers[i].definition);
}

static void put_weights(qmdi_writer *writer, const qmd_model *model) {
	for (size_t i = 0; i < model->n_layers; i++)
		for (int p = 0; p < QMDI_MAX_PARAMETERS; p++)
			qmdi_put_f32_array(writer, model->layers[i].parameters[p], model->layers[i].n_parameters[p]);
}

static void put_pixels(qmdi_writer *writer, const qmd_model *model) {
	qmdi_pixels_put(model->pixels, writer);
}

static void put_classes(qmdi_writer *writer, const qmd_model *model) {
	qmdi_put_u32(writer, (uint32_t)model->n_class_names);
	for (size_t i = 0; i < model->n_class_names; i++)
		qmdi_put_string(writer, model->class_names[i]);
}

static void put_quantization(qmdi_writer *writer, const qmd_model *model) {
	qmdi_put_u32(writer, model->weight_bits);
	qmdi_put_u32(writer, model->activation_bits);
	qmdi_put_i32(writer, model->image_type);
	qmdi_put_string(writer, model->passes);
	for (size_t i = 0; i < model->n_layers; i++) {
		qmdi_put_f32(writer, model->layers[i].activation_scale);
		qmdi_put_f32_array(writer, model->layers[i].weight_scales, model->layers[i].definition.units);
	}
}

typedef struct section_kind {
	const char *name;
	void (*put)(qmdi_writer *writer, const qmd_model *model);
} section_kind;

#define MAX_SECTIONS 5

static size_t choose_sections(const qmd_model *model, section_kind kinds[MAX_SECTIONS]) {
	size_t n = 0;
	kinds[n++] = (section_kind){"graph", put_graph};
	kinds[n++] = (section_kind){"weights", put_weights};
	if (model->pixels)
		kinds[n++] = (section_kind){"pixels", put_pixels};
	if (model->class_names)
		kinds[n++] = (section_kind){"classes", put_classes};
	if (qmd_model_is_quantized(model))
		kinds[n++] = (section_kind){"quantization", put_quantization};
	return n;
}

/* A file that loading would refuse is not written. */
static qmd_status check_loadable(const qmd_model *model) {
	for (size_t i = 0; i < model->n_layers; i++)
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++)
			QMDI_TRY(qmdi_layer_check_parameter(&model->layers[i], p, model->layers[i].parameters[p]));
	return qmd_model_is_quantized(model) ? qmdi_model_check_quantization(model) : QMD_OK;
}

static qmd_status encode(const qmd_model *model, qmdi_writer writers[MAX_SECTIONS], qmdi_section sections[MAX_SECTIONS],
						 size_t *n) {
	section_kind kinds[MAX_SECTIONS];
	*n = choose_sections(model, kinds);
	for (size_t i = 0; i < *n; i++) {
		kinds[i].put(&writers[i], model);
		QMDI_TRY(writers[i].status);
		sections[i] = (qmdi_section){kinds[i].name, writers[i].data, writers[i].size};
	}
	return QMD_OK;
}

qmd_status qmdi_model_hash(const qmd_model *model, uint64_t *hash) {
	qmdi_writer writers[MAX_SECTIONS] = {{0}};
	qmdi_section sections[MAX_SECTIONS];
	size_t n;
	const qmd_status status = encode(model, writers, sections, &n);
	if (status == QMD_OK)
		*hash = qmdi_sections_hash(sections, n);
	for (size_t i = 0; i < n; i++)
		qmdi_writer_release(&writers[i]);
	return status;
}

qmd_status qmd_model_save(const qmd_model *model, const char *path) {
	QMDI_REQUIRE(model);
	QMDI_REQUIRE(path);
	qmd_status status = check_loadable(model);
	if (status != QMD_OK)
		return qmdi_fail_within(status, "%s: the model is not saved", path);
	qmdi_writer writers[MAX_SECTIONS] = {{0}};
	qmdi_section sections[MAX_SECTIONS];
	size_t n;
	status = encode(model, writers, sections, &n);
	if (status == QMD_OK)
		status = qmdi_container_save(path, MAGIC, MAJOR, MINOR, sections, n);
	for (size_t i = 0; i < n; i++)
		qmdi_writer_release(&writers[i]);
	return status;
}

/* ---- Loading ---- */

/* What the checks of the API refuse is a fault of the file here. The text says where. */
static qmd_status refuse(qmdi_reader *reader, qmd_status cause) {
	reader->status = cause == QMD_ERROR_MEMORY ? cause : QMD_ERROR_FORMAT;
	return qmdi_fail_within(reader->status, "%s: offset %zu", reader->name, reader->base + reader->offset);
}

static void get_layer(qmdi_reader *reader, char name[QMDI_LAYER_NAME_SIZE], qmd_layer *layer) {
	qmdi_get_string(reader, name, QMDI_LAYER_NAME_SIZE);
	qmd_layer_init(layer, qmdi_get_i32(reader));
	layer->name = name;
	layer->inputs[0] = qmdi_get_i32(reader);
	layer->inputs[1] = qmdi_get_i32(reader);
	layer->units = qmdi_get_u32(reader);
	layer->kernel_h = qmdi_get_u32(reader);
	layer->kernel_w = qmdi_get_u32(reader);
	layer->stride_h = qmdi_get_u32(reader);
	layer->stride_w = qmdi_get_u32(reader);
	layer->padding = qmdi_get_i32(reader);
	layer->pad_top = qmdi_get_u32(reader);
	layer->pad_left = qmdi_get_u32(reader);
	layer->pad_bottom = qmdi_get_u32(reader);
	layer->pad_right = qmdi_get_u32(reader);
	layer->rate = qmdi_get_f32(reader);
	layer->epsilon = qmdi_get_f32(reader);
	layer->momentum = qmdi_get_f32(reader);
}

static qmd_status get_layers(qmdi_reader *reader, size_t n_weights, qmd_model *model) {
	const uint32_t n_layers = qmdi_get_u32(reader);
	for (uint32_t i = 0; i < n_layers; i++) {
		char name[QMDI_LAYER_NAME_SIZE];
		qmd_layer layer;
		get_layer(reader, name, &layer);
		if (reader->status != QMD_OK)
			return reader->status;
		const qmd_status status = qmdi_model_add_within(model, &layer, n_weights, NULL);
		if (status != QMD_OK)
			return refuse(reader, status);
		n_weights -= qmdi_layer_n_parameters(&model->layers[model->n_layers - 1]);
	}
	return qmdi_reader_finish(reader);
}

/* One graph has one encoding: what a kind does not use is 0, and what follows from the rest is what follows. */
static qmd_status check_encoding(qmdi_reader *reader, const qmd_model *model) {
	qmdi_writer again = {0};
	put_graph(&again, model);
	qmd_status status = again.status;
	for (size_t i = 0; i < reader->size && status == QMD_OK; i++)
		if (again.data[i] != reader->data[i]) {
			reader->offset = i;
			status = qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "the byte is %u, but by the rest of the graph it is %u",
									  reader->data[i], again.data[i]);
		}
	qmdi_writer_release(&again);
	return status;
}

static qmd_status get_graph(const qmdi_container *container, size_t n_weights, qmd_model **model) {
	qmdi_reader reader;
	QMDI_TRY(qmdi_container_section(container, "graph", &reader));
	qmd_shape input;
	input.h = qmdi_get_u32(&reader);
	input.w = qmdi_get_u32(&reader);
	input.c = qmdi_get_u32(&reader);
	if (reader.status != QMD_OK)
		return reader.status;
	const qmd_status status = qmd_model_create(input, model);
	if (status != QMD_OK)
		return refuse(&reader, status);
	QMDI_TRY(get_layers(&reader, n_weights, *model));
	return check_encoding(&reader, *model);
}

static qmd_status get_weights(qmdi_reader *reader, qmd_model *model) {
	for (size_t i = 0; i < model->n_layers; i++) {
		qmdi_layer *layer = &model->layers[i];
		for (size_t p = 0; p < QMDI_MAX_PARAMETERS; p++) {
			if (layer->n_parameters[p] == 0)
				continue;
			qmdi_release(layer->parameters[p]);
			layer->parameters[p] = qmdi_get_f32_array(reader, layer->n_parameters[p]);
			if (!layer->parameters[p])
				return reader->status;
			const qmd_status status = qmdi_layer_check_parameter(layer, p, layer->parameters[p]);
			if (status != QMD_OK)
				return refuse(reader, status);
		}
	}
	return qmdi_reader_finish(reader);
}

/* A text of any length. */
static char *get_text(qmdi_reader *reader) {
	const uint32_t length = qmdi_get_u32(reader);
	const unsigned char *bytes = qmdi_get(reader, length);
	if (!bytes)
		return NULL;
	if (memchr(bytes, '\0', length)) {
		qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "the text that ends here holds a NUL byte");
		return NULL;
	}
	char *text = qmdi_array((size_t)length + 1, 1);
	if (!text) {
		reader->status = QMD_ERROR_MEMORY;
		return NULL;
	}
	memcpy(text, bytes, length);
	text[length] = '\0';
	return text;
}

static qmd_status get_quantization(const qmdi_container *container, qmd_model *model) {
	qmdi_reader reader;
	QMDI_TRY(qmdi_container_section(container, "quantization", &reader));
	model->weight_bits = qmdi_get_u32(&reader);
	model->activation_bits = qmdi_get_u32(&reader);
	model->image_type = qmdi_get_i32(&reader);
	model->passes = get_text(&reader);
	for (size_t i = 0; i < model->n_layers && reader.status == QMD_OK; i++) {
		qmdi_layer *layer = &model->layers[i];
		layer->activation_scale = qmdi_get_f32(&reader);
		if (layer->definition.units)
			layer->weight_scales = qmdi_get_f32_array(&reader, layer->definition.units);
	}
	QMDI_TRY(qmdi_reader_finish(&reader));
	const qmd_status status = qmdi_model_check_quantization(model);
	return status == QMD_OK ? QMD_OK : refuse(&reader, status);
}

/* n texts, released by qmdi_release_texts() whatever is returned. */
static qmd_status get_names(qmdi_reader *reader, char **names, size_t n) {
	for (size_t i = 0; i < n; i++) {
		names[i] = get_text(reader);
		if (!names[i])
			return reader->status;
	}
	return qmdi_reader_finish(reader);
}

static qmd_status bind_with_names(qmdi_reader *reader, qmd_model *model, qmd_pixels *pixels) {
	const size_t n = qmd_model_n_classes(model);
	const uint32_t found = qmdi_get_u32(reader);
	if (found != n || n == 0)
		return qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "%u names of classes, but the graph has %zu classes", found,
								n);
	char **names = qmdi_zeroed(n, sizeof *names);
	if (!names)
		return QMD_ERROR_MEMORY;
	qmd_status status = get_names(reader, names, n);
	if (status == QMD_OK) {
		status = qmd_model_bind(model, pixels, (const char *const *)names);
		if (status != QMD_OK)
			status = refuse(reader, status);
	}
	qmdi_release_texts(names, n);
	return status;
}

static qmd_status bind_pixels(const qmdi_container *container, qmd_model *model, qmd_pixels *pixels) {
	qmdi_reader reader;
	if (qmdi_container_has(container, "classes")) {
		QMDI_TRY(qmdi_container_section(container, "classes", &reader));
		return bind_with_names(&reader, model, pixels);
	}
	QMDI_TRY(qmdi_container_section(container, "pixels", &reader));
	const qmd_status status = qmd_model_bind(model, pixels, NULL);
	return status == QMD_OK ? QMD_OK : refuse(&reader, status);
}

static qmd_status get_binding(const qmdi_container *container, qmd_model *model) {
	qmdi_reader reader;
	if (!qmdi_container_has(container, "pixels") && !qmdi_container_has(container, "classes"))
		return QMD_OK;
	QMDI_TRY(qmdi_container_section(container, "pixels", &reader));
	qmd_pixels *pixels = NULL;
	qmd_status status = qmdi_pixels_get(&reader, &pixels);
	if (status == QMD_OK)
		status = qmdi_reader_finish(&reader);
	if (status != QMD_OK && status != QMD_ERROR_MEMORY)
		status = QMD_ERROR_FORMAT; /* the text says where and why */
	if (status == QMD_OK)
		status = bind_pixels(container, model, pixels);
	qmd_pixels_free(pixels);
	return status;
}

/* *model is to be freed by the caller whatever is returned. */
static qmd_status get_model(const qmdi_container *container, qmd_model **model) {
	qmdi_reader weights;
	QMDI_TRY(qmdi_container_section(container, "weights", &weights));
	QMDI_TRY(get_graph(container, weights.size / sizeof(float), model));
	QMDI_TRY(get_weights(&weights, *model));
	if (qmdi_container_has(container, "quantization"))
		QMDI_TRY(get_quantization(container, *model));
	return get_binding(container, *model);
}

qmd_status qmd_model_load(const char *path, qmd_model **model) {
	QMDI_REQUIRE(path);
	QMDI_REQUIRE(model);
	*model = NULL;
	qmdi_container *container;
	QMDI_TRY(qmdi_container_load(path, MAGIC, MAJOR, &container));
	qmd_model *loaded = NULL;
	const qmd_status status = get_model(container, &loaded);
	qmdi_container_free(container);
	if (status != QMD_OK) {
		qmd_model_free(loaded);
		return status;
	}
	*model = loaded;
	return QMD_OK;
}
