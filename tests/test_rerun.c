/* Computing again only what changed gives what computing it all gives, byte for byte. */
#include "engine_fixture.h"

#include "base/random.h"
#include "engine/engine_internal.h"
#include "engine/engine_rerun.h"
#include "quantize/passes.h"

#define MOST_CLASSES 4

typedef struct rerun_fixture {
	qmd_engine *engine;
	qmd_context *context;
	qmdi_rerun_plan *plan;
	qmdi_rerun *rerun;
	size_t image_size, n_pixels, n_classes;
	unsigned char *whole, *images; /* images: [QMDI_RERUN_BATCH][image_size] */
	qmdi_variant variants[QMDI_RERUN_BATCH];
	size_t n;
	uint64_t seed;
} rerun_fixture;

/* The engine is the fixture's from here on. */
static void setup(rerun_fixture *fixture, const qmd_model *model, qmd_engine *engine) {
	*fixture = (rerun_fixture){.engine = engine, .seed = 5};
	fixture->image_size = qmdt_image_size(model);
	fixture->n_pixels = fixture->image_size / 3;
	fixture->n_classes = qmd_engine_n_classes(engine);
	ck_assert_uint_le(fixture->n_classes, MOST_CLASSES);
	fixture->whole = qmdt_images(model, 1, 77);
	fixture->images = malloc(QMDI_RERUN_BATCH * fixture->image_size);
	qmdt_ok(qmd_context_create(engine, NULL, &fixture->context));
	qmdt_ok(qmdi_rerun_plan_create(engine, &fixture->plan));
	qmdt_ok(qmdi_rerun_create(fixture->plan, &fixture->rerun));
}

static void teardown(rerun_fixture *fixture) {
	qmdi_rerun_free(fixture->rerun);
	qmdi_rerun_plan_free(fixture->plan);
	qmd_context_free(fixture->context);
	qmd_engine_free(fixture->engine);
	free(fixture->whole);
	free(fixture->images);
}

static void run_whole(const rerun_fixture *fixture, const unsigned char *images, size_t n, float *logits) {
	const qmd_output output = {"logits", logits};
	qmdt_ok(qmd_context_run_images(fixture->context, images, n, &output, 1));
}

static void expect_same(const rerun_fixture *fixture, const float *logits, const float *expected, size_t n,
						const char *what) {
	for (size_t v = 0; v < n; v++)
		ck_assert_msg(
			qmdt_same_floats(logits + v * fixture->n_classes, expected + v * fixture->n_classes, fixture->n_classes),
			"%s: pixels %zu to %zu: %a, expected %a", what, fixture->variants[v].first, fixture->variants[v].end,
			(double)logits[v * fixture->n_classes], (double)expected[v * fixture->n_classes]);
}

/* Compare the variants that have been added, and start anew. */
static void compare_variants(rerun_fixture *fixture, const char *what) {
	float logits[QMDI_RERUN_BATCH * MOST_CLASSES], expected[QMDI_RERUN_BATCH * MOST_CLASSES];
	qmdi_rerun_variants(fixture->rerun, fixture->variants, fixture->n, logits);
	run_whole(fixture, fixture->images, fixture->n, expected);
	expect_same(fixture, logits, expected, fixture->n, what);
	fixture->n = 0;
}

static void add_variant(rerun_fixture *fixture, size_t first, size_t end, const char *what) {
	unsigned char *image = fixture->images + fixture->n * fixture->image_size;
	memcpy(image, fixture->whole, fixture->image_size);
	for (size_t i = 3 * first; i < 3 * end; i++)
		image[i] = (unsigned char)qmdi_random_u32(fixture->seed, 1, i);
	fixture->seed++;
	fixture->variants[fixture->n++] = (qmdi_variant){image, first, end};
	if (fixture->n == QMDI_RERUN_BATCH)
		compare_variants(fixture, what);
}

static void expect_whole(rerun_fixture *fixture, const char *what) {
	float logits[MOST_CLASSES], expected[MOST_CLASSES];
	qmdi_rerun_set(fixture->rerun, fixture->whole, logits);
	run_whole(fixture, fixture->whole, 1, expected);
	expect_same(fixture, logits, expected, 1, what);
}

/* Runs of pixels of every length that matters, from every `step`-th pixel on. */
static void compare(rerun_fixture *fixture, size_t step, const char *what) {
	const size_t side = qmd_engine_image_shape(fixture->engine).w;
	const size_t lengths[] = {0, 1, 3, 8, side - 1, side, 2 * side + 1, fixture->n_pixels};
	expect_whole(fixture, what);
	for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++)
		for (size_t first = 0; first + lengths[k] <= fixture->n_pixels; first += step)
			add_variant(fixture, first, first + lengths[k], what);
	compare_variants(fixture, what);
	/* Another image, in the same memory. */
	for (size_t i = 0; i < fixture->image_size; i++)
		fixture->whole[i] = (unsigned char)(fixture->whole[i] * 3 + 1);
	expect_whole(fixture, what);
	add_variant(fixture, 0, 1, what);
	compare_variants(fixture, what);
}

static void compare_network(size_t network, int fuse) {
	qmd_model *model = qmdt_network(network);
	rerun_fixture fixture;
	setup(&fixture, model, qmdt_compile(model, fuse));
	compare(&fixture, 1, qmdt_network_name(network));
	teardown(&fixture);
	qmd_model_free(model);
}

START_TEST(reruns_equal_whole_runs) {
	for (qmdi_isa isa = QMDI_ISA_REF; isa <= QMDI_ISA_AVX512VNNI; isa++) {
		setenv("QMD_MAX_ISA", qmdi_isa_name(isa), 1);
		compare_network((size_t)_i, 1);
	}
	unsetenv("QMD_MAX_ISA");
	compare_network((size_t)_i, 0);
}
END_TEST

/* ---- The published network ---- */

static qmd_model *published(uint32_t side, int collapse) {
	qmd_model *model;
	qmdt_ok(qmd_model_create_preset("icnnmd", (qmd_shape){side, side, 3}, 2, 1, &model));
	if (collapse)
		qmdt_ok(qmdi_collapse_convolutions(model));
	unsigned char *image = qmdt_images(model, 1, 3);
	qmdt_quantize_by_hand(model, QMD_S8, image);
	free(image);
	return model;
}

static void compare_published(uint32_t side, int collapse) {
	qmd_model *model = published(side, collapse);
	rerun_fixture fixture;
	setup(&fixture, model, qmdt_compile(model, 1));
	compare(&fixture, 7, collapse ? "icnnmd, collapsed" : "icnnmd");
	teardown(&fixture);
	qmd_model_free(model);
}

START_TEST(reruns_of_the_published_network_equal_whole_runs) {
	compare_published(20, 0);
	compare_published(20, 1);
	compare_published(21, 1); /* odd extents, which pools cut */
}
END_TEST

/* 418 residues of 8 atoms, as in 58 x 58 pixels: the share of the work that is left. */
START_TEST(reruns_save_most_of_the_work) {
	qmd_model *model = published(58, 1);
	rerun_fixture fixture;
	setup(&fixture, model, qmdt_compile(model, 1));
	uint64_t n_macs_whole = 0;
	for (size_t i = 0; i < fixture.engine->n_steps; i++)
		n_macs_whole += qmdi_step_n_macs(&fixture.engine->steps[i]);
	float logits[MOST_CLASSES];
	qmdi_rerun_set(fixture.rerun, fixture.whole, logits);
	const uint64_t n_macs_set = qmdi_rerun_macs(fixture.rerun);
	ck_assert_uint_le(n_macs_set, n_macs_whole);
	size_t n_variants = 0;
	for (size_t first = 0; first + 8 <= 58 * 58; first += 8, n_variants++)
		add_variant(&fixture, first, first + 8, "icnnmd");
	compare_variants(&fixture, "icnnmd");
	const double share = (double)(qmdi_rerun_macs(fixture.rerun) - n_macs_set) / (double)(n_variants * n_macs_whole);
	ck_assert_double_lt(share, 0.1);
	ck_assert_double_gt(share, 0.01);
	teardown(&fixture);
	qmd_model_free(model);
}
END_TEST

/* ---- Outputs ---- */

static qmdi_plan_output *logits_of(qmd_engine *engine) {
	for (size_t i = 0; i < engine->n_outputs; i++)
		if (strcmp(engine->outputs[i].name, "logits") == 0)
			return &engine->outputs[i];
	ck_abort_msg("no logits");
}

START_TEST(logits_behind_a_softmax_are_computed_too) {
	qmd_model *model = qmdt_network(0);
	qmd_engine *engine = qmdt_compile(model, 1);
	logits_of(engine)->tensor = (uint32_t)engine->n_steps; /* as a file could say */
	rerun_fixture fixture;
	setup(&fixture, model, engine);
	compare(&fixture, 5, "softmax");
	teardown(&fixture);
	qmd_model_free(model);
}
END_TEST

START_TEST(engines_without_logits_are_refused) {
	qmd_model *model = qmdt_network(0);
	qmd_engine *engine = qmdt_compile(model, 1);
	qmdi_rerun_plan *plan;
	logits_of(engine)->name[0] = 'L';
	qmdt_fails(qmdi_rerun_plan_create(engine, &plan), QMD_ERROR_STATE, "no output 'logits'");
	ck_assert_ptr_null(plan);
	qmd_engine_free(engine);
	qmd_model_free(model);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("rerun");
	TCase *reruns = tcase_create("reruns");
	tcase_add_loop_test(reruns, reruns_equal_whole_runs, 0, QMDT_N_NETWORKS);
	tcase_add_test(reruns, reruns_of_the_published_network_equal_whole_runs);
	tcase_add_test(reruns, reruns_save_most_of_the_work);
	tcase_add_test(reruns, logits_behind_a_softmax_are_computed_too);
	tcase_add_test(reruns, engines_without_logits_are_refused);
	suite_add_tcase(suite, reruns);
	return qmdt_run(suite);
}
