/* Pixels as a section of a file. */
#include "support.h"

#include <math.h>

#include "pixels_fixture.h"

static qmd_pixels *make_small(int32_t kind) {
	qmd_pixels *pixels = qmdt_pixels_make(kind, 8, qmdt_octahedron, 6, 0.5f);
	memcpy(pixels->atoms[3].chain, "BC", 3);
	pixels->atoms[3].residue_number = -7;
	pixels->atoms[3].insertion_code = 'X';
	pixels->atoms[3].hetero = 1;
	if (pixels->steps)
		pixels->steps[2] = 0.125f;
	else
		memset(pixels->background, 77, 24);
	return pixels;
}

static qmdi_reader reader_of(const void *data, size_t size) {
	return (qmdi_reader){.data = data, .size = size, .base = 1000, .name = "file: pixels"};
}

START_TEST(saved_pixels_come_back) {
	for (int32_t kind = QMD_PIXELS_DISPLACEMENT; kind <= QMD_PIXELS_ICNNMD; kind++) {
		qmd_pixels *pixels = make_small(kind), *loaded;
		qmdi_writer writer = {0}, again = {0};
		qmdi_pixels_put(pixels, &writer);
		qmdt_ok(writer.status);
		qmdi_reader reader = reader_of(writer.data, writer.size);
		qmdt_ok(qmdi_pixels_get(&reader, &loaded));
		qmdt_ok(qmdi_reader_finish(&reader));
		ck_assert_int_eq(qmd_pixels_kind_of(loaded), kind);
		ck_assert_uint_eq(qmd_pixels_n_superposed(loaded), 6);
		for (size_t i = 0; i < 8; i++) {
			qmd_atom before, after;
			qmdt_ok(qmd_pixels_atom(pixels, i, &before));
			qmdt_ok(qmd_pixels_atom(loaded, i, &after));
			ck_assert_mem_eq(&before, &after, sizeof before);
		}
		unsigned char before[27], after[27];
		qmdt_ok(qmd_pixels_background(pixels, before));
		qmdt_ok(qmd_pixels_background(loaded, after));
		ck_assert_mem_eq(before, after, 27);
		float moved[8][3];
		for (size_t i = 0; i < 24; i++)
			moved[i / 3][i % 3] = qmdt_octahedron[i / 3][i % 3] + (float)(i % 7);
		const qmd_frame frame = qmdt_frame_of(moved, 8);
		qmdt_ok(qmd_pixels_run(pixels, &frame, 1, before));
		qmdt_ok(qmd_pixels_run(loaded, &frame, 1, after));
		ck_assert_mem_eq(before, after, 27);
		qmdi_pixels_put(loaded, &again);
		ck_assert_uint_eq(again.size, writer.size);
		ck_assert_mem_eq(again.data, writer.data, writer.size);
		qmdi_writer_release(&writer);
		qmdi_writer_release(&again);
		qmd_pixels_free(pixels);
		qmd_pixels_free(loaded);
	}
}
END_TEST

/* Change pixels into what must not be read back. */
typedef void (*damage_fn)(qmd_pixels *pixels);

static void damage_kind(qmd_pixels *pixels) {
	pixels->kind = 3;
}
static void damage_order(qmd_pixels *pixels) {
	pixels->superposed[4] = 3;
}
static void damage_index(qmd_pixels *pixels) {
	pixels->superposed[5] = 8;
}
static void damage_hetero(qmd_pixels *pixels) {
	pixels->atoms[5].hetero = 2;
}
static void damage_residue(qmd_pixels *pixels) {
	pixels->atoms[5].residue = 8;
}
static void damage_name(qmd_pixels *pixels) {
	pixels->atoms[5].name[1] = '\033';
}
static void damage_insertion_code(qmd_pixels *pixels) {
	pixels->atoms[5].insertion_code = '\n';
}
static void damage_reference(qmd_pixels *pixels) {
	pixels->reference[20] = NAN;
}
static void damage_distance(qmd_pixels *pixels) {
	pixels->reference[20] = 1e30f;
}
static void damage_step_zero(qmd_pixels *pixels) {
	pixels->steps[7] = 0.0f;
}
static void damage_step_negative(qmd_pixels *pixels) {
	pixels->steps[7] = -1.0f;
}
static void damage_step_nan(qmd_pixels *pixels) {
	pixels->steps[7] = NAN;
}
static void damage_step_infinite(qmd_pixels *pixels) {
	pixels->steps[7] = INFINITY;
}
static void damage_padding(qmd_pixels *pixels) {
	pixels->background[24] = 1;
}

START_TEST(damaged_sections_are_refused) {
	static const struct {
		damage_fn damage;
		const char *text;
		int32_t kind;
		qmd_status status;
	} cases[] = {
		{damage_kind, "file: pixels: offset 1012: pixels of kind 3", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT},
		{damage_order, "superposed atom 4 is 3, expected ascending", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT},
		{damage_index, "superposed atom 5 is 8, expected ascending numbers below 8", QMD_PIXELS_ICNNMD,
		 QMD_ERROR_FORMAT},
		{damage_hetero, "atom 5: hetero is 2", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT},
		{damage_residue, "atom 5: residue is 8", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT},
		{damage_name, "atom 5: its names hold other than printable", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT},
		{damage_insertion_code, "atom 5: its names hold other than printable", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT},
		{damage_reference, "file: pixels: pixels: the reference of atom 6 has z = nan", QMD_PIXELS_ICNNMD,
		 QMD_ERROR_RANGE},
		{damage_distance, "the reference of atom 6 has z = 1e+30", QMD_PIXELS_ICNNMD, QMD_ERROR_RANGE},
		{damage_step_zero, "step 7 is 0", QMD_PIXELS_DISPLACEMENT, QMD_ERROR_FORMAT},
		{damage_step_negative, "step 7 is -1", QMD_PIXELS_DISPLACEMENT, QMD_ERROR_FORMAT},
		{damage_step_nan, "step 7 is nan", QMD_PIXELS_DISPLACEMENT, QMD_ERROR_FORMAT},
		{damage_step_infinite, "step 7 is inf", QMD_PIXELS_DISPLACEMENT, QMD_ERROR_FORMAT},
		{damage_padding, "background pixel 8 shows no atom and is 1", QMD_PIXELS_ICNNMD, QMD_ERROR_FORMAT}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		qmd_pixels *pixels = make_small(cases[i].kind), *loaded = NULL;
		cases[i].damage(pixels);
		qmdi_writer writer = {0};
		qmdi_pixels_put(pixels, &writer);
		qmdi_reader reader = reader_of(writer.data, writer.size);
		qmdt_fails(qmdi_pixels_get(&reader, &loaded), cases[i].status, cases[i].text);
		ck_assert_int_eq(reader.status, cases[i].status);
		ck_assert_ptr_null(loaded);
		qmdi_writer_release(&writer);
		qmd_pixels_free(pixels);
	}
}
END_TEST

START_TEST(counts_are_checked_before_memory_is_taken) {
	static const uint32_t counts[][2] = {{0, 0}, {8, 0}, {8, 9}, {UINT32_MAX, 1}, {UINT32_MAX, UINT32_MAX}};
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		unsigned char bytes[1000] = {0};
		qmdi_writer writer = {0};
		qmdi_put_u32(&writer, QMD_PIXELS_ICNNMD);
		qmdi_put_u32(&writer, counts[i][0]);
		qmdi_put_u32(&writer, counts[i][1]);
		qmdi_put(&writer, bytes, sizeof bytes);
		qmdi_reader reader = reader_of(writer.data, writer.size);
		qmd_pixels *loaded;
		qmdt_fails(qmdi_pixels_get(&reader, &loaded), QMD_ERROR_FORMAT, "do not fit into 1000 bytes");
		qmdi_writer_release(&writer);
	}
}
END_TEST

/* Whatever is read from a damaged section must still be safe to use. */
START_TEST(no_truncation_and_no_flipped_bit_does_harm) {
	for (int32_t kind = QMD_PIXELS_DISPLACEMENT; kind <= QMD_PIXELS_ICNNMD; kind++) {
		qmd_pixels *pixels = make_small(kind), *loaded;
		qmdi_writer writer = {0};
		qmdi_pixels_put(pixels, &writer);
		for (size_t size = 0; size < writer.size; size++) {
			unsigned char *copy = malloc(size + 1); /* the sanitizer watches its end */
			memcpy(copy, writer.data, size);
			qmdi_reader reader = reader_of(copy, size);
			ck_assert_int_eq(qmdi_pixels_get(&reader, &loaded), QMD_ERROR_FORMAT);
			free(copy);
		}
		for (size_t bit = 0; bit < 8 * writer.size; bit++) {
			writer.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
			qmdi_reader reader = reader_of(writer.data, writer.size);
			if (qmdi_pixels_get(&reader, &loaded) == QMD_OK) {
				unsigned char *image = malloc(qmd_pixels_side(loaded) * qmd_pixels_side(loaded) * 3);
				const qmd_frame frame = qmdt_frame_of(qmdt_octahedron, qmd_pixels_n_atoms(loaded));
				if (qmd_pixels_n_atoms(loaded) == 8)
					qmdt_ok(qmd_pixels_run(loaded, &frame, 1, image));
				free(image);
				qmd_pixels_free(loaded);
			}
			writer.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
		}
		qmdi_writer_release(&writer);
		qmd_pixels_free(pixels);
	}
}
END_TEST

int main(void) {
	Suite *suite = suite_create("pixels_io");
	TCase *section = tcase_create("the section of a file");
	tcase_add_test(section, saved_pixels_come_back);
	tcase_add_test(section, damaged_sections_are_refused);
	tcase_add_test(section, counts_are_checked_before_memory_is_taken);
	tcase_add_test(section, no_truncation_and_no_flipped_bit_does_harm);
	suite_add_tcase(suite, section);
	return qmdt_run(suite);
}
