/*
 * What the explanation makes of an oracle's input, for test_lime.py.
 *
 *     explain_dump slic IMAGES u8|s8 SIDE LABELS          bytes [n][SIDE][SIDE][3] to uint32 [n][SIDE][SIDE]
 *     explain_dump masks SEED STREAM N_SAMPLES N MASKS    bytes 0 and 1, [N_SAMPLES][N]
 *     explain_dump lime MASKS VALUES N WEIGHTS            those bytes and double [n_samples] to double [N] weights,
 *                                                         then intercept and R2
 *     explain_dump shap SEED STREAM N N_PAIRS OUT         bytes 0 and 1, [2 + 2 * N_PAIRS][N], of OUT.members, and
 *                                                         double values of them, scores, errors and R2 of OUT
 */
#include <stdio.h>

#include "base/random.h"
#include "explain/lime.h"
#include "explain/shap.h"
#include "explain/slic.h"
#include "support.h"

static char **words;

static size_t number(int word) {
	return strtoul(words[word], NULL, 10);
}

static void *array(size_t n, size_t size) {
	void *memory = calloc(n + 1, size);
	ck_assert_ptr_nonnull(memory);
	return memory;
}

static void dump_slic(void) {
	size_t size, n_labels;
	unsigned char *images = qmdt_read_file(words[2], &size);
	const int32_t type = strcmp(words[3], "s8") == 0 ? QMD_S8 : QMD_U8;
	const size_t side = number(4), n_pixels = side * side, n = size / (3 * n_pixels);
	uint32_t *labels = array(n * n_pixels, sizeof *labels);
	for (size_t i = 0; i < n; i++)
		qmdt_ok(qmdi_slic(images + i * 3 * n_pixels, type, side, labels + i * n_pixels, &n_labels));
	qmdt_write_file(words[5], labels, n * n_pixels * sizeof *labels);
	free(labels);
	free(images);
}

static void dump_masks(void) {
	const size_t n_samples = number(4), n = number(5), row = qmdi_lime_n_words(n);
	uint64_t *masks = array(n_samples * row, sizeof *masks);
	unsigned char *bytes = array(n_samples, n);
	qmdi_lime_draw(number(2), number(3), n_samples, n, masks);
	for (size_t i = 0; i < n_samples * n; i++)
		bytes[i] = (unsigned char)qmdi_lime_shows(masks + i / n * row, i % n);
	qmdt_write_file(words[6], bytes, n_samples * n);
	free(masks);
	free(bytes);
}

static void dump_lime(void) {
	size_t size;
	unsigned char *bytes = qmdt_read_file(words[2], &size);
	const size_t n = number(4), n_samples = size / n, row = qmdi_lime_n_words(n);
	unsigned char *values = qmdt_read_file(words[3], &size);
	ck_assert_uint_eq(size, n_samples * sizeof(double));
	double *probabilities = array(n_samples, sizeof *probabilities), *out = array(n + 2, sizeof *out);
	memcpy(probabilities, values, size);
	uint64_t *masks = array(n_samples * row, sizeof *masks);
	for (size_t i = 0; i < n_samples * n; i++)
		masks[i / n * row + i % n / 64] |= (uint64_t)bytes[i] << i % n % 64;
	qmdi_lime_fit fit;
	qmdt_ok(qmdi_lime_solve(masks, probabilities, n_samples, n, out, &fit));
	out[n] = fit.intercept;
	out[n + 1] = fit.r2;
	qmdt_write_file(words[5], out, (n + 2) * sizeof *out);
	free(bytes);
	free(values);
	free(probabilities);
	free(out);
	free(masks);
}

static void write_members(const qmdi_shap *shap, const uint64_t *members, size_t n_coalitions) {
	char path[4096];
	unsigned char *bytes = array(n_coalitions, shap->n_residues);
	for (size_t i = 0; i < n_coalitions * shap->n_residues; i++)
		bytes[i] = (unsigned char)qmdi_shap_has(shap, members, i / shap->n_residues, i % shap->n_residues);
	snprintf(path, sizeof path, "%s.members", words[6]);
	qmdt_write_file(path, bytes, n_coalitions * shap->n_residues);
	free(bytes);
}

static void dump_shap(void) {
	const size_t n = number(4), n_pairs = number(5), n_coalitions = qmdi_shap_n_coalitions(n_pairs);
	qmdi_shap shap;
	qmdt_ok(qmdi_shap_create(&shap, n, n_pairs, number(2)));
	uint64_t *members = array(n * shap.n_words, sizeof *members);
	double *matrix = array(n * n, sizeof *matrix), *room = array(2 * n, sizeof *room);
	double *out = array(n_coalitions + 2 * n + 1, sizeof *out), *scores = out + n_coalitions, *errors = scores + n;
	qmdi_shap_draw(&shap, number(3), 0, n_pairs, members);
	for (size_t c = 0; c < n_coalitions; c++) {
		out[c] = qmdi_random_f32(number(2), 77, c);
		for (size_t r = 0; r < n; r++)
			out[c] += 0.1 * (double)r * qmdi_shap_has(&shap, members, c, r);
	}
	qmdi_shap_work work = {matrix, room, room + n};
	qmdt_ok(qmdi_shap_solve(&shap, members, n_pairs, out, &work, scores));
	qmdi_shap_assess(&shap, members, n_pairs, out, &work, scores, errors + n, errors);
	write_members(&shap, members, n_coalitions);
	qmdt_write_file(words[6], out, (n_coalitions + 2 * n + 1) * sizeof *out);
	free(members);
	free(matrix);
	free(room);
	free(out);
	qmdi_shap_release(&shap);
}

static const struct {
	const char *name;
	int n_words;
	void (*dump)(void);
} jobs[] = {{"slic", 6, dump_slic}, {"masks", 7, dump_masks}, {"lime", 6, dump_lime}, {"shap", 7, dump_shap}};

static void (*chosen)(void);

/* Check's assertions want to be inside of a test. */
START_TEST(dump) {
	chosen();
}
END_TEST

int main(int argc, char **argv) {
	words = argv;
	for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
		if (argc == jobs[i].n_words && strcmp(argv[1], jobs[i].name) == 0)
			chosen = jobs[i].dump;
	if (!chosen) {
		fprintf(stderr, "usage: %s slic|masks|lime|shap ...\n", argv[0]);
		return 2;
	}
	Suite *suite = suite_create("dump");
	TCase *writing = tcase_create("write");
	tcase_set_timeout(writing, 120);
	tcase_add_test(writing, dump);
	suite_add_tcase(suite, writing);
	return qmdt_run(suite);
}
