#include "engine_fixture.h"

#include <math.h>
#include <stdio.h>

#include "allocator_fixture.h"
#include "engine/engine_internal.h"
#include "pixels/pixels_internal.h"

#define N_FRAMES 7
#define N_CLASSES 3

/* ---- No allocation, not even below the host's allocator ---- */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_MALLOC 1

static size_t n_mallocs;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *pointer, size_t size);

void *malloc(size_t size) {
	__atomic_add_fetch(&n_mallocs, 1, __ATOMIC_RELAXED);
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
	__atomic_add_fetch(&n_mallocs, 1, __ATOMIC_RELAXED);
	return __libc_calloc(n, size);
}

void *realloc(void *pointer, size_t size) {
	__atomic_add_fetch(&n_mallocs, 1, __ATOMIC_RELAXED);
	return __libc_realloc(pointer, size);
}

static size_t count_mallocs(void) {
	return __atomic_load_n(&n_mallocs, __ATOMIC_RELAXED);
}
#endif

/* ---- Helpers ---- */

typedef struct fixture {
	qmd_model *model;
	qmd_engine *engine;
	const qmd_pixels *pixels;
	double *xyz[N_FRAMES];
	qmd_frame frames[N_FRAMES];
} fixture;

static fixture new_fixture(qmd_type image_type) {
	fixture f = {.model = qmdt_bound_network(image_type)};
	qmdt_ok(qmd_engine_compile(f.model, NULL, &f.engine));
	f.pixels = qmd_engine_pixels(f.engine);
	for (size_t i = 0; i < N_FRAMES; i++) {
		f.xyz[i] = qmdt_made_up_frame(f.pixels, i);
		qmd_frame_init(&f.frames[i]);
		f.frames[i].xyz = f.xyz[i];
		f.frames[i].type = QMD_F64;
		f.frames[i].n_atoms = f.pixels->n_atoms;
	}
	return f;
}

static void free_fixture(fixture *f) {
	for (size_t i = 0; i < N_FRAMES; i++)
		free(f->xyz[i]);
	qmd_engine_free(f->engine);
	qmd_model_free(f->model);
}

/* ---- Frames ---- */

static void expect_frames_equal_images(qmd_type image_type, uint32_t n_threads, uint32_t max_batch) {
	fixture f = new_fixture(image_type);
	ck_assert_int_eq(qmd_engine_image_type(f.engine), image_type);
	unsigned char *images = malloc(N_FRAMES * qmdt_image_size(f.model));
	ck_assert_ptr_nonnull(images);
	qmdt_ok(qmd_pixels_run(f.pixels, f.frames, N_FRAMES, images));
	float *expected = qmdt_reference_logits(f.model, images, N_FRAMES);
	float logits[N_FRAMES * N_CLASSES], probabilities[N_FRAMES * N_CLASSES], alone[N_FRAMES * N_CLASSES];
	const qmd_output outputs[] = {{"probabilities", probabilities}, {"logits", logits}};
	qmd_context *context = qmdt_new_context(f.engine, n_threads, max_batch);
	qmdt_ok(qmd_context_run_outputs(context, f.frames, N_FRAMES, outputs, 2));
	ck_assert_mem_eq(logits, expected, sizeof logits);
	for (size_t i = 0; i < N_FRAMES; i++)
		qmdt_ok(qmd_context_run(context, &f.frames[i], 1, alone + i * N_CLASSES));
	ck_assert_mem_eq(alone, probabilities, sizeof alone);
	qmd_context_free(context);
	free(expected);
	free(images);
	free_fixture(&f);
}

START_TEST(frames_give_what_their_images_give) {
	expect_frames_equal_images(QMD_S8, 1, 1);
	expect_frames_equal_images(QMD_S8, 3, 4);
	expect_frames_equal_images(QMD_U8, 1, 32);
	expect_frames_equal_images(QMD_U8, 8, 7);
}
END_TEST

START_TEST(the_first_bad_frame_is_named) {
	fixture f = new_fixture(QMD_S8);
	float probabilities[N_FRAMES * N_CLASSES];
	f.xyz[3][10] = NAN;
	f.xyz[5][0] = INFINITY;
	for (uint32_t n_threads = 1; n_threads <= 4; n_threads++) {
		qmd_context *context = qmdt_new_context(f.engine, n_threads, 1 + 5 * (n_threads / 2));
		qmdt_fails(qmd_context_run(context, f.frames, N_FRAMES, probabilities), QMD_ERROR_RANGE, "frame 3: ");
		qmdt_fails(qmd_context_run(context, f.frames, N_FRAMES, probabilities), QMD_ERROR_RANGE, "C3");
		f.frames[3].n_atoms--;
		qmdt_fails(qmd_context_run(context, f.frames, N_FRAMES, probabilities), QMD_ERROR_SHAPE, "frame 3: ");
		f.frames[3].n_atoms++;
		qmdt_ok(qmd_context_run(context, f.frames, 3, probabilities));
		qmd_context_free(context);
	}
	free_fixture(&f);
}
END_TEST

START_TEST(running_allocates_nothing) {
	fixture f = new_fixture(QMD_S8);
	float probabilities[N_FRAMES * N_CLASSES];
	unsigned char *images = qmdt_images(f.model, N_FRAMES, 1);
	const qmd_output output = {"probabilities", probabilities};
	for (uint32_t n_threads = 1; n_threads <= 3; n_threads += 2) {
		qmdt_allocator_install(0);
		qmd_context *context = qmdt_new_context(f.engine, n_threads, 4);
		qmdt_ok(qmd_context_run(context, f.frames, N_FRAMES, probabilities));
		const size_t n_before = qmdt_allocator_n_calls();
		ck_assert_uint_gt(n_before, 0);
#ifdef COUNTS_MALLOC
		ck_assert_uint_gt(count_mallocs(), 0);
		const size_t mallocs_before = count_mallocs();
#endif
		int n_failed = 0; /* Check's own assertions allocate */
		for (int i = 0; i < 3; i++) {
			n_failed += qmd_context_run(context, f.frames, N_FRAMES, probabilities) != QMD_OK;
			n_failed += qmd_context_run_images(context, images, N_FRAMES, &output, 1) != QMD_OK;
		}
#ifdef COUNTS_MALLOC
		const size_t mallocs_after = count_mallocs();
		ck_assert_uint_eq(mallocs_after, mallocs_before);
#endif
		ck_assert_int_eq(n_failed, 0);
		ck_assert_uint_eq(qmdt_allocator_n_calls(), n_before);
		qmd_context_free(context);
		ck_assert_uint_eq(qmdt_allocator_remove(), 0);
	}
	free(images);
	free_fixture(&f);
}
END_TEST

/* One run with the allocator's n-th call failing; 1 if it was reached. */
static int fails_at(size_t nth, const qmd_model *model) {
	qmd_engine *engine = NULL;
	qmd_context *context = NULL;
	qmd_context_options options;
	qmd_context_options_init(&options);
	options.n_threads = 2;
	qmdt_allocator_install(nth);
	qmd_status status = qmd_engine_compile(model, NULL, &engine);
	if (status == QMD_OK)
		status = qmd_context_create(engine, &options, &context);
	const int reached = qmdt_allocator_n_calls() >= nth;
	ck_assert_msg(status == (reached ? QMD_ERROR_MEMORY : QMD_OK), "allocation %zu: %s", nth, qmd_status_name(status));
	ck_assert_int_eq(context == NULL, reached);
	qmd_context_free(context);
	qmd_engine_free(engine);
	ck_assert_uint_eq(qmdt_allocator_remove(), 0);
	return reached;
}

START_TEST(any_allocation_may_fail) {
	qmd_model *model = qmdt_bound_network(QMD_S8);
	size_t nth = 1;
	while (fails_at(nth, model))
		nth++;
	ck_assert_uint_gt(nth, 50);
	qmd_model_free(model);
}
END_TEST

/* ---- Atoms ---- */

START_TEST(an_engine_knows_its_atoms_and_classes) {
	fixture f = new_fixture(QMD_S8);
	qmd_atom atom;
	ck_assert_uint_eq(qmd_engine_n_atoms(f.engine), 77);
	qmdt_ok(qmd_engine_atom(f.engine, 17, &atom));
	ck_assert_str_eq(atom.name, "C1");
	ck_assert_str_eq(atom.residue_name, "ALA");
	ck_assert_int_eq(atom.residue_number, 3);
	qmdt_fails(qmd_engine_atom(f.engine, 77, &atom), QMD_ERROR_RANGE, "atom 77 of 77");
	qmdt_fails(qmd_engine_atom(NULL, 0, &atom), QMD_ERROR_ARGUMENT, "engine");
	ck_assert_uint_eq(qmd_engine_n_classes(f.engine), 3);
	ck_assert_str_eq(qmd_engine_class_name(f.engine, 0), "open");
	ck_assert_str_eq(qmd_engine_class_name(f.engine, 2), "apo");
	ck_assert_ptr_null(qmd_engine_class_name(f.engine, 3));
	free_fixture(&f);
}
END_TEST

/* The host's atoms: the engine's from the last to the first, each behind two atoms of water that all look alike. */
static qmd_atom *make_host_atoms(const fixture *f, size_t *n) {
	*n = 3 * f->pixels->n_atoms;
	qmd_atom *atoms = calloc(*n, sizeof *atoms);
	ck_assert_ptr_nonnull(atoms);
	for (size_t i = 0; i < *n; i++) {
		if (i % 3 == 2) {
			atoms[i] = f->pixels->atoms[f->pixels->n_atoms - 1 - i / 3];
			continue;
		}
		memcpy(atoms[i].name, "OW", 3);
		memcpy(atoms[i].residue_name, "SOL", 4);
		atoms[i].residue_number = 1;
	}
	return atoms;
}

START_TEST(atoms_are_found_in_the_hosts_order) {
	fixture f = new_fixture(QMD_S8);
	size_t n;
	qmd_atom *atoms = make_host_atoms(&f, &n);
	uint32_t indices[77];
	qmdt_ok(qmd_engine_match(f.engine, atoms, n, indices));
	for (size_t i = 0; i < 77; i++)
		ck_assert_uint_eq(indices[i], 3 * (76 - i) + 2);
	for (size_t i = 0; i < n; i++)
		atoms[i].chain[0] = '\0';
	memset(indices, 0, sizeof indices);
	qmdt_ok(qmd_engine_match(f.engine, atoms, n, indices));
	for (size_t i = 0; i < 77; i++)
		ck_assert_uint_eq(indices[i], 3 * (76 - i) + 2);
	free(atoms);
	free_fixture(&f);
}
END_TEST

START_TEST(atoms_that_do_not_match_are_named) {
	fixture f = new_fixture(QMD_S8);
	size_t n;
	qmd_atom *atoms = make_host_atoms(&f, &n);
	uint32_t indices[77];
	qmd_atom *third = &atoms[3 * (76 - 2) + 2], saved = *third;
	third->insertion_code = 'A';
	qmdt_fails(qmd_engine_match(f.engine, atoms, n, indices), QMD_ERROR_MATCH, "C2 of ALA 1, chain 'A', is missing");
	*third = saved;
	memcpy(third->residue_name, "VAL", 4);
	qmdt_fails(qmd_engine_match(f.engine, atoms, n, indices), QMD_ERROR_MATCH, "is missing");
	*third = saved;
	memcpy(third->chain, "C", 2);
	qmdt_fails(qmd_engine_match(f.engine, atoms, n, indices), QMD_ERROR_MATCH, "is missing");
	*third = saved;
	atoms[0] = saved;
	qmdt_fails(qmd_engine_match(f.engine, atoms, n, indices), QMD_ERROR_MATCH,
			   "C2 of ALA 1, chain 'A', is found twice");
	memset(atoms[1].name, 'X', sizeof atoms[1].name); /* a text without an end */
	qmdt_fails(qmd_engine_match(f.engine, atoms, n, indices), QMD_ERROR_MATCH, "twice");
	qmdt_fails(qmd_engine_match(f.engine, NULL, n, indices), QMD_ERROR_ARGUMENT, "atoms");
	qmdt_fails(qmd_engine_match(f.engine, atoms, 0, indices), QMD_ERROR_MATCH, "is missing");
	free(atoms);
	free_fixture(&f);
}
END_TEST

START_TEST(chains_that_the_host_lacks_may_not_make_two_atoms_one) {
	qmd_model *model = qmdt_bound_network(QMD_S8);
	for (size_t i = 72; i < model->pixels->n_atoms; i++) {
		model->pixels->atoms[i] = model->pixels->atoms[i - 72];
		memcpy(model->pixels->atoms[i].chain, "B", 2);
	}
	fixture f = {.model = model};
	qmdt_ok(qmd_engine_compile(f.model, NULL, &f.engine));
	f.pixels = qmd_engine_pixels(f.engine);
	size_t n;
	qmd_atom *atoms = make_host_atoms(&f, &n);
	uint32_t indices[77];
	qmdt_ok(qmd_engine_match(f.engine, atoms, n, indices));
	for (size_t i = 0; i < n; i++)
		atoms[i].chain[0] = '\0';
	qmdt_fails(qmd_engine_match(f.engine, atoms, n, indices), QMD_ERROR_MATCH, "twice");
	/* Even where the host has but one of the two. */
	atoms[2].residue_number = 1000;
	atoms[5] = atoms[8] = atoms[11] = atoms[14] = atoms[2];
	qmdt_fails(qmd_engine_match(f.engine, atoms, n, indices), QMD_ERROR_MATCH, "stands for two");
	free(atoms);
	free_fixture(&f);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("engine frames");
	TCase *frames = tcase_create("frames");
	tcase_set_timeout(frames, 120);
	tcase_add_test(frames, frames_give_what_their_images_give);
	tcase_add_test(frames, the_first_bad_frame_is_named);
	tcase_add_test(frames, running_allocates_nothing);
	tcase_add_test(frames, any_allocation_may_fail);
	suite_add_tcase(suite, frames);

	TCase *atoms = tcase_create("atoms");
	tcase_add_test(atoms, an_engine_knows_its_atoms_and_classes);
	tcase_add_test(atoms, atoms_are_found_in_the_hosts_order);
	tcase_add_test(atoms, atoms_that_do_not_match_are_named);
	tcase_add_test(atoms, chains_that_the_host_lacks_may_not_make_two_atoms_one);
	suite_add_tcase(suite, atoms);
	return qmdt_run(suite);
}
