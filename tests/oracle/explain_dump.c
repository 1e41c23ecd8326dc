/*
 * What the explanation makes of an oracle's input, for test_lime.py.
 *
 *     explain_dump slic IMAGES u8|s8 SIDE LABELS     bytes [n][SIDE][SIDE][3] to uint32 [n][SIDE][SIDE]
 */
#include <stdio.h>

#include "explain/slic.h"
#include "support.h"

static char **words;

static void dump_slic(void) {
	size_t size, n_labels;
	unsigned char *images = qmdt_read_file(words[2], &size);
	const int32_t type = strcmp(words[3], "s8") == 0 ? QMD_S8 : QMD_U8;
	const size_t side = strtoul(words[4], NULL, 10), n_pixels = side * side, n = size / (3 * n_pixels);
	uint32_t *labels = malloc(n * n_pixels * sizeof *labels);
	ck_assert_ptr_nonnull(labels);
	for (size_t i = 0; i < n; i++)
		qmdt_ok(qmdi_slic(images + i * 3 * n_pixels, type, side, labels + i * n_pixels, &n_labels));
	qmdt_write_file(words[5], labels, n * n_pixels * sizeof *labels);
	free(labels);
	free(images);
}

/* Check's assertions want to be inside of a test. */
START_TEST(dump) {
	dump_slic();
}
END_TEST

int main(int argc, char **argv) {
	if (argc != 6 || strcmp(argv[1], "slic") != 0) {
		fprintf(stderr, "usage: %s slic IMAGES u8|s8 SIDE LABELS\n", argv[0]);
		return 2;
	}
	words = argv;
	Suite *suite = suite_create("dump");
	TCase *writing = tcase_create("write");
	tcase_set_timeout(writing, 120);
	tcase_add_test(writing, dump);
	suite_add_tcase(suite, writing);
	return qmdt_run(suite);
}
