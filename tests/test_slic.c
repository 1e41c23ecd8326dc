/* Superpixels by what they are: connected, numbered without gaps, of like colour; test_lime.py has scikit-image's own.
 */
#include "support.h"

#include "allocator_fixture.h"
#include "base/random.h"
#include "explain/slic.h"

#define MAX_SIDE 40
#define MAX_PIXELS (MAX_SIDE * MAX_SIDE)

static unsigned char image[MAX_PIXELS * 3];
static uint32_t labels[MAX_PIXELS];

static void fill_with_noise(uint64_t seed) {
	for (size_t i = 0; i < sizeof image; i++)
		image[i] = (unsigned char)qmdi_random_u32(seed, 0, i);
}

/* Mark what is connected with pixel p in its segment; returns how many pixels. */
static size_t flood(size_t side, size_t p, unsigned char *seen) {
	size_t stack[4 * MAX_PIXELS], n = 0, size = 0;
	stack[n++] = p;
	while (n > 0) {
		const size_t q = stack[--n], x = q % side, y = q / side;
		if (seen[q] || labels[q] != labels[p])
			continue;
		seen[q] = 1;
		size++;
		if (x > 0)
			stack[n++] = q - 1;
		if (x + 1 < side)
			stack[n++] = q + 1;
		if (y > 0)
			stack[n++] = q - side;
		if (y + 1 < side)
			stack[n++] = q + side;
	}
	return size;
}

/* Numbers without gaps, in the order of the first pixels; each segment in one piece. */
static void check_segments(size_t side, size_t n_labels) {
	unsigned char seen[MAX_PIXELS] = {0};
	uint32_t next = 0;
	for (size_t p = 0; p < side * side; p++) {
		ck_assert_uint_le(labels[p], next);
		if (!seen[p]) {
			ck_assert_uint_eq(labels[p], next);
			flood(side, p, seen);
			next++;
		}
	}
	ck_assert_uint_eq(next, n_labels);
}

START_TEST(segments_are_connected_and_numbered_in_order) {
	for (size_t side = 1; side <= MAX_SIDE; side++) {
		size_t n_labels;
		fill_with_noise(side);
		qmdt_ok(qmdi_slic(image, QMD_U8, side, labels, &n_labels));
		check_segments(side, n_labels);
		qmdt_ok(qmdi_slic(image, QMD_S8, side, labels, &n_labels));
		check_segments(side, n_labels);
	}
}
END_TEST

/* 30 x 30 pixels of one colour: a grid of 10 x 10 squares. */
START_TEST(one_colour_gives_squares) {
	size_t n_labels;
	memset(image, 99, sizeof image);
	qmdt_ok(qmdi_slic(image, QMD_U8, 30, labels, &n_labels));
	ck_assert_uint_eq(n_labels, 100);
	for (size_t p = 0; p < 900; p++)
		ck_assert_uint_eq(labels[p], p / 30 / 3 * 10 + p % 30 / 3);
}
END_TEST

/* Black beside white: far from the edge, which the Gaussian blurs, no segment has both. */
START_TEST(segments_keep_to_a_colour) {
	const size_t side = 36, blur = 4;
	size_t n_labels;
	for (size_t i = 0; i < side * side * 3; i++)
		image[i] = i / 3 % side < side / 2 ? 0 : 255;
	qmdt_ok(qmdi_slic(image, QMD_U8, side, labels, &n_labels));
	unsigned char is_left[MAX_PIXELS] = {0}, is_right[MAX_PIXELS] = {0};
	for (size_t p = 0; p < side * side; p++) {
		is_left[labels[p]] |= p % side + blur < side / 2;
		is_right[labels[p]] |= p % side >= side / 2 + blur;
	}
	for (size_t k = 0; k < n_labels; k++)
		ck_assert(!is_left[k] || !is_right[k]);
}
END_TEST

static qmd_status segment(void *n_labels) {
	return qmdi_slic(image, QMD_U8, 20, labels, n_labels);
}

START_TEST(no_memory_is_an_error) {
	size_t n_labels;
	fill_with_noise(1);
	ck_assert_uint_gt(qmdt_fail_each_allocation(segment, &n_labels), 5);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("slic");
	TCase *segments = tcase_create("segments");
	tcase_add_test(segments, segments_are_connected_and_numbered_in_order);
	tcase_add_test(segments, one_colour_gives_squares);
	tcase_add_test(segments, segments_keep_to_a_colour);
	tcase_add_test(segments, no_memory_is_an_error);
	suite_add_tcase(suite, segments);
	return qmdt_run(suite);
}
