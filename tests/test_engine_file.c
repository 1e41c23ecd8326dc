#include "engine_fixture.h"

#include <math.h>
#include <stdio.h>

#include "allocator_fixture.h"
#include "base/container.h"
#include "base/random.h"
#include "container_fixture.h"
#include "engine/engine_internal.h"

#define N_IMAGES 2
#define N_CLASSES 3
#define N_MUTANTS 400

/* ---- Helpers ---- */

static qmd_engine *compile(const qmd_model *model) {
	qmd_engine *engine;
	qmdt_ok(qmd_engine_compile(model, NULL, &engine));
	return engine;
}

static void run(const qmd_engine *engine, const unsigned char *images, float *logits) {
	const qmd_output output = {"logits", logits};
	qmd_context *context;
	qmdt_ok(qmd_context_create(engine, NULL, &context));
	qmdt_ok(qmd_context_run_images(context, images, N_IMAGES, &output, 1));
	qmd_context_free(context);
}

static void expect_same_files(const char *a, const char *b) {
	size_t size_a, size_b;
	unsigned char *data_a = qmdt_read_file(a, &size_a), *data_b = qmdt_read_file(b, &size_b);
	ck_assert_uint_eq(size_a, size_b);
	ck_assert_mem_eq(data_a, data_b, size_a);
	free(data_a);
	free(data_b);
}

/* ---- There and back ---- */

static void expect_round_trip(const qmd_model *model) {
	const char *first = qmdt_scratch("first.qme"), *second = qmdt_scratch("second.qme");
	unsigned char *images = qmdt_images(model, N_IMAGES, 8);
	float expected[N_IMAGES * N_CLASSES], logits[N_IMAGES * N_CLASSES];
	qmd_engine *engine = compile(model), *loaded;
	run(engine, images, expected);
	qmdt_ok(qmd_engine_save(engine, first));
	qmdt_ok(qmd_engine_load(first, &loaded));
	run(loaded, images, logits);
	ck_assert_mem_eq(logits, expected, sizeof logits);
	ck_assert_uint_eq(qmd_engine_n_layers(loaded), qmd_engine_n_layers(engine));
	for (size_t i = 0; i < qmd_engine_n_layers(engine); i++) {
		qmd_engine_layer a = {.struct_size = sizeof a}, b = {.struct_size = sizeof b};
		qmdt_ok(qmd_engine_layer_info(engine, i, &a));
		qmdt_ok(qmd_engine_layer_info(loaded, i, &b));
		ck_assert_str_eq(a.name, b.name);
		ck_assert_str_eq(a.kernel, b.kernel);
		ck_assert_uint_eq(a.n_macs, b.n_macs);
		ck_assert_float_eq(a.output_scale, b.output_scale);
	}
	for (size_t i = 0; i < N_CLASSES; i++)
		ck_assert_str_eq(qmd_engine_class_name(loaded, i), qmd_engine_class_name(engine, i));
	ck_assert_str_eq(qmd_engine_passes(loaded), qmd_engine_passes(engine));
	ck_assert_uint_eq(qmd_engine_n_atoms(loaded), qmd_engine_n_atoms(engine));
	qmdt_ok(qmd_engine_save(loaded, second));
	expect_same_files(first, second);
	qmd_engine_free(loaded);
	qmd_engine_free(engine);
	free(images);
}

START_TEST(engines_come_back_from_files) {
	qmd_model *model = qmdt_network((size_t)_i);
	expect_round_trip(model);
	qmd_model_free(model);
}
END_TEST

START_TEST(engines_with_pixels_come_back_from_files) {
	const qmd_type types[] = {QMD_S8, QMD_U8};
	for (size_t i = 0; i < 2; i++) {
		qmd_model *model = qmdt_bound_network(types[i]);
		expect_round_trip(model);
		qmd_model_free(model);
	}
}
END_TEST

START_TEST(files_do_not_depend_on_the_machine) {
	qmd_model *model = qmdt_network(0);
	const char *ref = qmdt_scratch("ref.qme"), *best = qmdt_scratch("best.qme");
	setenv("QMD_MAX_ISA", "ref", 1);
	qmd_engine *engine = compile(model);
	qmdt_ok(qmd_engine_save(engine, ref));
	qmd_engine_free(engine);
	unsetenv("QMD_MAX_ISA");
	engine = compile(model);
	qmdt_ok(qmd_engine_save(engine, best));
	qmd_engine_free(engine);
	expect_same_files(ref, best);
	qmd_model_free(model);
}
END_TEST

START_TEST(files_that_are_not_there_are_named) {
	qmd_engine *engine = (qmd_engine *)1;
	qmdt_fails(qmd_engine_load("/nowhere/x.qme", &engine), QMD_ERROR_IO, "/nowhere/x.qme");
	ck_assert_ptr_null(engine);
	qmdt_fails(qmd_engine_load(NULL, &engine), QMD_ERROR_ARGUMENT, "path");
	qmdt_fails(qmd_engine_load("/nowhere/x.qme", NULL), QMD_ERROR_ARGUMENT, "engine");
	qmd_model *model = qmdt_network(4);
	engine = compile(model);
	qmdt_fails(qmd_engine_save(engine, "/nowhere/x.qme"), QMD_ERROR_IO, "/nowhere/x.qme");
	qmdt_fails(qmd_engine_save(engine, NULL), QMD_ERROR_ARGUMENT, "path");
	qmdt_fails(qmd_engine_save(NULL, "x"), QMD_ERROR_ARGUMENT, "engine");
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

/* ---- Damage ---- */

static qmd_status load_and_free(const char *path) {
	qmd_engine *engine;
	const qmd_status status = qmd_engine_load(path, &engine);
	qmd_engine_free(engine);
	return status;
}

/* As small as an engine can be: its file is read once for each of its bits. */
static qmd_model *tiny_network(void) {
	qmd_model *model;
	qmd_layer layer;
	qmdt_ok(qmd_model_create((qmd_shape){1, 1, 3}, &model));
	qmd_layer_init(&layer, QMD_LAYER_DENSE);
	layer.units = 2;
	qmdt_ok(qmd_model_add(model, &layer, NULL));
	qmdt_ok(qmd_model_initialize(model, 1));
	qmdt_quantize_by_hand(model, QMD_S8, (const unsigned char *)"\x10\x20\x30");
	return model;
}

START_TEST(any_flipped_bit_and_any_truncation_is_refused) {
	const char *path = qmdt_scratch("tiny.qme");
	qmd_model *model = tiny_network();
	qmd_engine *engine = compile(model);
	qmdt_ok(qmd_engine_save(engine, path));
	qmdt_refuses_damage(path, qmdt_scratch("damaged.qme"), load_and_free);
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

/* ---- Crafted files: what a checksum does not see ---- */

/* Saving trusts the engine, so a broken one makes a file whose checksums are right. */
#define EXPECT_REFUSED(engine, breaking, part)                                                                         \
	do {                                                                                                               \
		const char *crafted_path = qmdt_scratch("crafted.qme");                                                        \
		breaking;                                                                                                      \
		qmdt_ok(qmd_engine_save((engine), crafted_path));                                                              \
		qmdt_fails(load_and_free(crafted_path), QMD_ERROR_FORMAT, part);                                               \
		qmdt_fails(load_and_free(crafted_path), QMD_ERROR_FORMAT, crafted_path);                                       \
	} while (0)

/* Break one number, expect a refusal, repair it. */
#define EXPECT_FIELD_REFUSED(engine, field, value, part)                                                               \
	do {                                                                                                               \
		__typeof__(field) saved_field = (field);                                                                       \
		EXPECT_REFUSED(engine, (field) = (value), part);                                                               \
		(field) = saved_field;                                                                                         \
	} while (0)

/* The numbers of a step in the "plan" section, after its name, four bytes each. */
enum {
	OP,
	INPUT_0,
	INPUT_1,
	IN_H,
	IN_W,
	IN_C,
	UNITS,
	KERNEL_H,
	KERNEL_W,
	STRIDE_H,
	STRIDE_W,
	PAD_TOP,
	PAD_LEFT,
	PAD_BOTTOM,
	PAD_RIGHT,
	POOL,
	LOW,
	FLOAT_OUTPUT,
	OUTPUT_SCALE,
	N_FIELDS,
	NAME = -1
};

#define IMAGE ((size_t)-1)

/* Where a number of a step stands in the file; with IMAGE the field counts h, w, c, type and the number of steps. */
static size_t find_field(const unsigned char *data, size_t step, int field) {
	size_t size, offset = qmdt_find_section(data, "plan", &size);
	if (step == IMAGE)
		return offset + 4 * (size_t)field;
	offset += 20;
	for (size_t i = 0; i < step; i++)
		offset += 4 + qmdt_load(data + offset, 4) + 4 * N_FIELDS;
	return field == NAME ? offset + 4 : offset + 4 + qmdt_load(data + offset, 4) + 4 * (size_t)field;
}

static uint32_t float_bits(float x) {
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	return bits;
}

START_TEST(crafted_plans_are_refused) {
	/* conv2d_1 | relu_1 | conv2d_2 | add_1+relu_2 | avgpool_1 | maxpool_1 | ... | softmax_1 */
	enum { CONV = 0, ADD = 3, MAXPOOL = 5, SOFTMAX = 10 };
	const struct {
		size_t step;
		int field;
		uint32_t value;
		const char *part;
	} cases[] = {
		{CONV, OP, 0, "op is 0"},
		{CONV, OP, 7, "op is 7"},
		{CONV, OP, 0xffffffff, "op is -1"},
		{CONV, OP, QMDI_OP_DENSE, "kernel or stride is 3"},
		{CONV, INPUT_0, 1, "reads tensor 1"},
		{CONV, INPUT_0, 0xffffffff, "reads tensor"},
		{CONV, INPUT_1, 1, "second input"},
		{ADD, INPUT_1, 4000, "reads tensor 4000"},
		{CONV, IN_H, 8, "reads 8 x 9 x 3"},
		{CONV, UNITS, 0, "0 units"},
		{CONV, UNITS, 0x80000000, "units"},
		{CONV, UNITS, 1u << 26, "elements, expected at most"},
		{CONV, UNITS, 1u << 19, "relu_1"},
		{MAXPOOL, UNITS, 5, "5 units"},
		{CONV, KERNEL_H, 0, "kernel or stride is 0"},
		{CONV, KERNEL_H, 1000, "does not fit"},
		{CONV, STRIDE_W, 0, "kernel or stride is 0"},
		{CONV, STRIDE_W, 0xffffffff, "kernel or stride is 4294967295"},
		{CONV, STRIDE_W, 2, "relu_1"},
		{SOFTMAX, KERNEL_H, 2, "kernel or stride is 2"},
		{CONV, PAD_LEFT, 3, "padding of 3"},
		{MAXPOOL, PAD_TOP, 1, "padding of 1"},
		{CONV, POOL, 3, "fused pool of 3"},
		{MAXPOOL, POOL, 2, "fused pool of 2"},
		{CONV, LOW, 1, "lower clamp is 1"},
		{MAXPOOL, LOW, 0, "lower clamp is 0"},
		{CONV, FLOAT_OUTPUT, 2, "float output is 2"},
		{CONV, FLOAT_OUTPUT, 1, "output scale"},
		{SOFTMAX, FLOAT_OUTPUT, 0, "softmax without"},
		{SOFTMAX, INPUT_0, 1, "holds integers"},
		{CONV, OUTPUT_SCALE, 0x7fc00000, "output scale is nan"},
		{CONV, OUTPUT_SCALE, 0xbf800000, "output scale is -1"},
		{CONV, OUTPUT_SCALE, 0x7f000000, "output scale is 1.7"},
		{MAXPOOL, OUTPUT_SCALE, 0x3f800000, "expected its input's"},
		{CONV, NAME, 0x1b, "control character"},
		{IMAGE, 0, 0, "0 x 9 x 3"},
		{IMAGE, 1, 0xffffffff, "4294967295"},
		{IMAGE, 2, 4, "but tensor 0"},
		{IMAGE, 3, QMD_F32, "image type is 1"},
		{IMAGE, 4, 1025, "1025 steps"},
		{IMAGE, 4, 10, "a text of"},
	};
	const char *path = qmdt_scratch("original.qme"), *crafted = qmdt_scratch("crafted.qme");
	qmd_model *model = qmdt_network(2);
	qmd_engine *engine = compile(model);
	qmdt_ok(qmd_engine_save(engine, path));
	size_t size;
	unsigned char *data = qmdt_read_file(path, &size);
	ck_assert_uint_eq(qmdt_load(data + find_field(data, MAXPOOL, OP), 4), QMDI_OP_MAXPOOL);
	ck_assert_uint_eq(qmdt_load(data + find_field(data, CONV, OUTPUT_SCALE), 4),
					  float_bits(engine->steps[0].output_scale));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		unsigned char *field = data + find_field(data, cases[i].step, cases[i].field);
		const size_t width = cases[i].field == NAME ? 1 : 4;
		const uint64_t saved = qmdt_load(field, width);
		qmdt_store(field, width, cases[i].value);
		qmdt_reseal_container(data, size);
		qmdt_write_file(crafted, data, size);
		qmdt_fails(load_and_free(crafted), QMD_ERROR_FORMAT, cases[i].part);
		qmdt_fails(load_and_free(crafted), QMD_ERROR_FORMAT, crafted);
		qmdt_store(field, width, saved);
	}
	free(data);
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

START_TEST(crafted_weights_and_outputs_are_refused) {
	qmd_model *model = qmdt_bound_network(QMD_S8);
	qmd_engine *engine = compile(model);
	qmdi_step *conv = &engine->steps[0];
	EXPECT_FIELD_REFUSED(engine, conv->weights[5], -128, "weight 5 is -128");
	EXPECT_FIELD_REFUSED(engine, conv->bias[2], INT32_MAX, "channel 2");
	EXPECT_FIELD_REFUSED(engine, conv->bias[2], INT32_MIN, "channel 2");
	EXPECT_FIELD_REFUSED(engine, conv->weight_scales[1], 0.0f, "channel 1");
	EXPECT_FIELD_REFUSED(engine, conv->weight_scales[1], INFINITY, "channel 1");
	EXPECT_FIELD_REFUSED(engine, conv->weight_scales[1], NAN, "channel 1");
	EXPECT_FIELD_REFUSED(engine, conv->weight_scales[1], 1e-41f, "channel 1");
	EXPECT_FIELD_REFUSED(engine, engine->outputs[0].tensor, 1, "expected one that holds floats");
	EXPECT_FIELD_REFUSED(engine, engine->outputs[0].tensor, 1000, "expected one that holds floats");
	EXPECT_FIELD_REFUSED(engine, engine->outputs[0].name[0], '\n', "control character");
	EXPECT_FIELD_REFUSED(engine, engine->n_outputs, 0, "no outputs");
	EXPECT_FIELD_REFUSED(engine, engine->n_class_names, 2, "2 class names for 3 classes");
	EXPECT_FIELD_REFUSED(engine, engine->class_names[0][1], '\x07', "control character 7");
	EXPECT_FIELD_REFUSED(engine, engine->passes[0], '\r', "control character 13");
	EXPECT_FIELD_REFUSED(engine, engine->tensors[0].operand, QMDI_U8, "differ in type");
	memcpy(engine->outputs[1].name, "logits", 7);
	EXPECT_REFUSED(engine, (void)0, "two outputs 'logits'");
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

START_TEST(pixels_of_another_size_are_refused) {
	qmd_model *model = qmdt_bound_network(QMD_S8);
	qmd_engine *engine = compile(model);
	qmd_pixels_free(engine->pixels);
	engine->pixels = qmdt_made_up_pixels(QMD_PIXELS_DISPLACEMENT, 50);
	EXPECT_REFUSED(engine, (void)0, "but the pixels make 8 x 8 x 3");
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

START_TEST(sections_with_bytes_too_many_are_refused) {
	static const char *const names[] = {"plan", "weights", "classes", "passes", "pixels"};
	enum { N = sizeof names / sizeof names[0] };
	const char *path = qmdt_scratch("whole.qme"), *longer = qmdt_scratch("longer.qme");
	qmd_model *model = qmdt_bound_network(QMD_U8);
	qmd_engine *engine = compile(model);
	qmdt_ok(qmd_engine_save(engine, path));
	size_t size;
	unsigned char *data = qmdt_read_file(path, &size);
	for (size_t i = 0; i < N; i++) {
		qmdi_section sections[N];
		for (size_t k = 0; k < N; k++) {
			sections[k].name = names[k];
			sections[k].data = data + qmdt_find_section(data, names[k], &sections[k].size);
			sections[k].size += k == i; /* and a byte of what follows */
		}
		qmdt_ok(qmdi_container_save(longer, "QMDENGIN", 1, 0, sections, N));
		qmdt_fails(load_and_free(longer), QMD_ERROR_FORMAT, names[i]);
	}
	free(data);
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

/* Numbers overwritten at random behind right checksums: refused in words, or an engine that runs. */
static void try_mutant(const char *path) {
	qmd_engine *engine;
	qmd_context *context;
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.max_batch = 1;
	const qmd_status status = qmd_engine_load(path, &engine);
	ck_assert_msg(status == QMD_OK || status == QMD_ERROR_FORMAT || status == QMD_ERROR_MEMORY, "%s: %s",
				  qmd_status_name(status), qmd_last_error());
	if (status != QMD_OK)
		return;
	if (qmd_context_create(engine, &options, &context) == QMD_OK) {
		const qmd_shape shape = qmd_engine_image_shape(engine);
		unsigned char *image = calloc((size_t)shape.h * shape.w, shape.c);
		float *logits = calloc(qmd_engine_n_classes(engine), sizeof *logits);
		const qmd_output output = {"logits", logits};
		const qmd_status run_status = qmd_context_run_images(context, image, 1, &output, 1);
		ck_assert(run_status == QMD_OK || run_status == QMD_ERROR_ARGUMENT);
		free(logits);
		free(image);
		qmd_context_free(context);
	}
	qmd_engine_free(engine);
}

START_TEST(mutants_are_refused_or_run) {
	const char *path = qmdt_scratch("original.qme"), *mutant = qmdt_scratch("mutant.qme");
	qmd_model *model = qmdt_network(4);
	qmd_engine *engine = compile(model);
	qmdt_ok(qmd_engine_save(engine, path));
	size_t size, plan_size;
	unsigned char *original = qmdt_read_file(path, &size), *data = malloc(size);
	ck_assert_ptr_nonnull(data);
	const size_t plan = qmdt_find_section(original, "plan", &plan_size);
	for (uint32_t i = 0; i < N_MUTANTS; i++) {
		memcpy(data, original, size);
		for (uint32_t k = 0; k <= i % 3; k++) {
			uint32_t r[4];
			qmdi_random4(3, i, k, r);
			const uint32_t small[] = {0, 1, 2, 3, r[2] % 16, 255, 0xffffffffu, r[2]};
			qmdt_store(data + plan + r[0] % (plan_size - 4), r[3] % 2 ? 4 : 1, small[r[1] % 8]);
		}
		qmdt_reseal_container(data, size);
		qmdt_write_file(mutant, data, size);
		try_mutant(mutant);
	}
	free(data);
	free(original);
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

/* One load with the allocator's n-th call failing; 1 if it was reached. */
static int load_fails_at(size_t nth, const char *path) {
	qmd_engine *engine;
	qmdt_allocator_install(nth);
	const qmd_status status = qmd_engine_load(path, &engine);
	const int reached = qmdt_allocator_n_calls() >= nth;
	ck_assert_msg(status == (reached ? QMD_ERROR_MEMORY : QMD_OK), "allocation %zu: %s", nth, qmd_status_name(status));
	qmd_engine_free(engine);
	ck_assert_uint_eq(qmdt_allocator_remove(), 0);
	return reached;
}

START_TEST(any_allocation_of_a_load_may_fail) {
	const char *path = qmdt_scratch("bound.qme");
	qmd_model *model = qmdt_bound_network(QMD_S8);
	qmd_engine *engine = compile(model);
	qmdt_ok(qmd_engine_save(engine, path));
	qmd_engine_free(engine);
	qmd_model_free(model);
	size_t nth = 1;
	while (load_fails_at(nth, path))
		nth++;
	ck_assert_uint_gt(nth, 50);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("engine files");
	TCase *files = tcase_create("files");
	tcase_set_timeout(files, 120);
	tcase_add_loop_test(files, engines_come_back_from_files, 0, QMDT_N_NETWORKS);
	tcase_add_test(files, engines_with_pixels_come_back_from_files);
	tcase_add_test(files, files_do_not_depend_on_the_machine);
	tcase_add_test(files, files_that_are_not_there_are_named);
	tcase_add_test(files, any_flipped_bit_and_any_truncation_is_refused);
	tcase_add_test(files, any_allocation_of_a_load_may_fail);
	suite_add_tcase(suite, files);

	TCase *crafted = tcase_create("crafted");
	tcase_set_timeout(crafted, 120);
	tcase_add_test(crafted, crafted_plans_are_refused);
	tcase_add_test(crafted, crafted_weights_and_outputs_are_refused);
	tcase_add_test(crafted, pixels_of_another_size_are_refused);
	tcase_add_test(crafted, sections_with_bytes_too_many_are_refused);
	tcase_add_test(crafted, mutants_are_refused_or_run);
	suite_add_tcase(suite, crafted);
	return qmdt_run(suite);
}
