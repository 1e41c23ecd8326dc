/* Engines in files (docs/files.md): the plan as it is said, never what a machine made of it. */
#include "engine_internal.h"

#include <string.h>

#include "base/container.h"
#include "base/float_environment.h"
#include "base/memory.h"
#include "pixels/pixels_internal.h"

#define MAGIC "QMDENGIN"
#define MAJOR 1
#define MINOR 0
#define MOST_OUTPUTS 16

/* ---- Saving ---- */

static void put_step(const qmdi_step *step, qmdi_writer *writer) {
	qmdi_put_string(writer, step->name);
	qmdi_put_i32(writer, step->op);
	const uint32_t numbers[] = {step->inputs[0], step->inputs[1], step->in_h,       step->in_w,      step->in_c,
								step->units,     step->kernel_h,  step->kernel_w,   step->stride_h,  step->stride_w,
								step->pad_top,   step->pad_left,  step->pad_bottom, step->pad_right, step->pool};
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		qmdi_put_u32(writer, numbers[i]);
	qmdi_put_i32(writer, step->low);
	qmdi_put_i32(writer, step->float_output);
	qmdi_put_f32(writer, step->output_scale);
}

static void put_plan(const qmd_engine *engine, qmdi_writer *writer) {
	const qmd_shape image = qmd_engine_image_shape(engine);
	qmdi_put_u32(writer, image.h);
	qmdi_put_u32(writer, image.w);
	qmdi_put_u32(writer, image.c);
	qmdi_put_i32(writer, (int32_t)qmd_engine_image_type(engine));
	qmdi_put_u32(writer, (uint32_t)engine->n_steps);
	for (size_t i = 0; i < engine->n_steps; i++)
		put_step(&engine->steps[i], writer);
	qmdi_put_u32(writer, (uint32_t)engine->n_outputs);
	for (size_t i = 0; i < engine->n_outputs; i++) {
		qmdi_put_string(writer, engine->outputs[i].name);
		qmdi_put_u32(writer, engine->outputs[i].tensor);
	}
}

static void put_weights(const qmd_engine *engine, qmdi_writer *writer) {
	for (size_t i = 0; i < engine->n_steps; i++) {
		const qmdi_step *step = &engine->steps[i];
		qmdi_put(writer, step->weights, qmdi_step_n_weights(step));
		qmdi_put_i32_array(writer, step->bias, step->units);
		qmdi_put_f32_array(writer, step->weight_scales, step->units);
	}
}

static void put_classes(const qmd_engine *engine, qmdi_writer *writer) {
	qmdi_put_u32(writer, (uint32_t)engine->n_class_names);
	for (size_t i = 0; i < engine->n_class_names; i++)
		qmdi_put_string(writer, engine->class_names[i]);
}

enum { PLAN, WEIGHTS, CLASSES, PASSES, PIXELS, N_SECTIONS };
static const char *const section_names[N_SECTIONS] = {"plan", "weights", "classes", "passes", "pixels"};

static qmd_status encode(const qmd_engine *engine, qmdi_writer writers[N_SECTIONS], qmdi_section sections[N_SECTIONS],
						 size_t *n_sections) {
	*n_sections = engine->pixels ? N_SECTIONS : PIXELS;
	put_plan(engine, &writers[PLAN]);
	put_weights(engine, &writers[WEIGHTS]);
	put_classes(engine, &writers[CLASSES]);
	qmdi_put_string(&writers[PASSES], engine->passes);
	if (engine->pixels)
		qmdi_pixels_put(engine->pixels, &writers[PIXELS]);
	for (size_t i = 0; i < *n_sections; i++) {
		QMDI_TRY(writers[i].status);
		sections[i] = (qmdi_section){section_names[i], writers[i].data, writers[i].size};
	}
	return QMD_OK;
}

qmd_status qmdi_engine_hash(const qmd_engine *engine, uint64_t *hash) {
	qmdi_writer writers[N_SECTIONS] = {{0}};
	qmdi_section sections[N_SECTIONS];
	size_t n;
	const qmd_status status = encode(engine, writers, sections, &n);
	if (status == QMD_OK)
		*hash = qmdi_sections_hash(sections, n);
	for (size_t i = 0; i < N_SECTIONS; i++)
		qmdi_writer_release(&writers[i]);
	return status;
}

qmd_status qmd_engine_save(const qmd_engine *engine, const char *path) {
	QMDI_REQUIRE(engine);
	QMDI_REQUIRE(path);
	qmdi_writer writers[N_SECTIONS] = {{0}};
	qmdi_section sections[N_SECTIONS];
	size_t n;
	qmd_status status = encode(engine, writers, sections, &n);
	if (status == QMD_OK)
		status = qmdi_container_save(path, MAGIC, MAJOR, MINOR, sections, n);
	for (size_t i = 0; i < N_SECTIONS; i++)
		qmdi_writer_release(&writers[i]);
	return status;
}

/* ---- Loading ---- */

/* Texts reach terminals: a control character in one is no accident. */
static qmd_status check_text(qmdi_reader *reader, const char *text, int lines) {
	for (const char *c = text; *c; c++)
		if (((unsigned char)*c < 0x20 && !(lines && *c == '\n')) || *c == 0x7f)
			return qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "a text with control character %d", *c);
	return QMD_OK;
}

/* A text of less than `size` bytes, newly allocated. */
static qmd_status get_text(qmdi_reader *reader, size_t size, int lines, char **text) {
	char *buffer = qmdi_zeroed(size, 1);
	if (!buffer)
		return QMD_ERROR_MEMORY;
	qmdi_get_string(reader, buffer, size);
	qmd_status status = reader->status;
	if (status == QMD_OK)
		status = check_text(reader, buffer, lines);
	if (status == QMD_OK) {
		*text = qmdi_string(buffer);
		status = *text ? QMD_OK : QMD_ERROR_MEMORY;
	}
	qmdi_release(buffer);
	return status;
}

/* What a crafted file breaks is the file's fault, whatever rule it breaks. */
static qmd_status as_format(qmd_status status, const qmdi_reader *reader) {
	if (status == QMD_OK || status == QMD_ERROR_MEMORY)
		return status;
	return qmdi_fail_within(QMD_ERROR_FORMAT, "%s", reader->name);
}

static qmd_status get_step(qmdi_reader *reader, qmdi_step *step) {
	QMDI_TRY(get_text(reader, QMDI_STEP_NAME_SIZE, 0, &step->name));
	step->op = qmdi_get_i32(reader);
	uint32_t *const numbers[] = {&step->inputs[0],  &step->inputs[1], &step->in_h,     &step->in_w,
								 &step->in_c,       &step->units,     &step->kernel_h, &step->kernel_w,
								 &step->stride_h,   &step->stride_w,  &step->pad_top,  &step->pad_left,
								 &step->pad_bottom, &step->pad_right, &step->pool};
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		*numbers[i] = qmdi_get_u32(reader);
	step->low = qmdi_get_i32(reader);
	step->float_output = qmdi_get_i32(reader);
	step->output_scale = qmdi_get_f32(reader);
	return reader->status;
}

static qmd_status get_outputs(qmdi_reader *reader, qmd_engine *engine) {
	const uint32_t n = qmdi_get_u32(reader);
	QMDI_TRY(reader->status);
	if (n > MOST_OUTPUTS)
		return qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "%u outputs, expected at most %d", n, MOST_OUTPUTS);
	engine->outputs = qmdi_zeroed(n, sizeof *engine->outputs);
	if (!engine->outputs)
		return QMD_ERROR_MEMORY;
	for (engine->n_outputs = 0; engine->n_outputs < n; engine->n_outputs++) {
		qmdi_plan_output *output = &engine->outputs[engine->n_outputs];
		qmdi_get_string(reader, output->name, sizeof output->name);
		output->tensor = qmdi_get_u32(reader);
		QMDI_TRY(reader->status);
		QMDI_TRY(check_text(reader, output->name, 0));
	}
	return QMD_OK;
}

static qmd_status get_plan(qmdi_reader *reader, qmd_engine *engine) {
	const uint32_t h = qmdi_get_u32(reader), w = qmdi_get_u32(reader), c = qmdi_get_u32(reader);
	const int32_t image_type = qmdi_get_i32(reader);
	const uint32_t n_steps = qmdi_get_u32(reader);
	QMDI_TRY(reader->status);
	QMDI_TRY(as_format(qmdi_plan_reserve(engine, n_steps), reader));
	QMDI_TRY(as_format(qmdi_plan_set_image(engine, (qmd_shape){h, w, c}, image_type), reader));
	for (size_t i = 0; i < n_steps; i++) {
		QMDI_TRY(get_step(reader, &engine->steps[i]));
		QMDI_TRY(as_format(qmdi_plan_complete_step(engine, i), reader));
	}
	QMDI_TRY(get_outputs(reader, engine));
	return qmdi_reader_finish(reader);
}

static qmd_status get_weights(qmdi_reader *reader, qmd_engine *engine) {
	for (size_t i = 0; i < engine->n_steps; i++) {
		qmdi_step *step = &engine->steps[i];
		if (step->units == 0)
			continue;
		step->weights = qmdi_get_i8_array(reader, qmdi_step_n_weights(step));
		step->bias = qmdi_get_i32_array(reader, step->units);
		step->weight_scales = qmdi_get_f32_array(reader, step->units);
		QMDI_TRY(reader->status);
		QMDI_TRY(as_format(qmdi_plan_check_weights(engine, i), reader));
	}
	return qmdi_reader_finish(reader);
}

static qmd_status get_classes(qmdi_reader *reader, qmd_engine *engine) {
	const uint32_t n = qmdi_get_u32(reader);
	QMDI_TRY(reader->status);
	if (n > reader->size / 4)
		return qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "%u class names do not fit into %zu bytes", n, reader->size);
	engine->class_names = qmdi_zeroed(n, sizeof *engine->class_names);
	if (!engine->class_names)
		return QMD_ERROR_MEMORY;
	for (engine->n_class_names = 0; engine->n_class_names < n; engine->n_class_names++)
		QMDI_TRY(get_text(reader, QMDI_CLASS_NAME_SIZE, 0, &engine->class_names[engine->n_class_names]));
	return qmdi_reader_finish(reader);
}

static qmd_status get_sections(const qmdi_container *container, qmd_engine *engine) {
	qmdi_reader reader;
	QMDI_TRY(qmdi_container_section(container, section_names[PLAN], &reader));
	QMDI_TRY(get_plan(&reader, engine));
	QMDI_TRY(qmdi_container_section(container, section_names[WEIGHTS], &reader));
	QMDI_TRY(get_weights(&reader, engine));
	QMDI_TRY(qmdi_container_section(container, section_names[CLASSES], &reader));
	QMDI_TRY(get_classes(&reader, engine));
	QMDI_TRY(qmdi_container_section(container, section_names[PASSES], &reader));
	QMDI_TRY(get_text(&reader, reader.size + 1, 1, &engine->passes));
	QMDI_TRY(qmdi_reader_finish(&reader));
	if (qmdi_container_has(container, section_names[PIXELS])) {
		QMDI_TRY(qmdi_container_section(container, section_names[PIXELS], &reader));
		QMDI_TRY(qmdi_pixels_get(&reader, &engine->pixels));
		QMDI_TRY(qmdi_reader_finish(&reader));
	}
	return as_format(qmdi_plan_finish(engine), &reader);
}

static qmd_status load(const char *path, qmd_engine *engine) {
	qmdi_container *container;
	QMDI_TRY(qmdi_container_load(path, MAGIC, MAJOR, &container));
	const qmd_status status = get_sections(container, engine);
	qmdi_container_free(container);
	QMDI_TRY(status);
	return qmdi_engine_pack(engine);
}

qmd_status qmd_engine_load(const char *path, qmd_engine **engine) {
	QMDI_REQUIRE(engine);
	*engine = NULL;
	QMDI_REQUIRE(path);
	qmd_engine *loaded;
	QMDI_TRY(qmdi_engine_new(&loaded));
	qmdi_float_environment saved;
	qmdi_float_enter(&saved);
	const qmd_status status = load(path, loaded);
	qmdi_float_leave(&saved);
	if (status != QMD_OK) {
		qmd_engine_free(loaded);
		return status;
	}
	*engine = loaded;
	return QMD_OK;
}
