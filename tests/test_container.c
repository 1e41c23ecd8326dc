/* The container of model, engine and checkpoint files (docs/files.md), and the bytes in it. */
#include "support.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "allocator_fixture.h"
#include "base/container.h"
#include "base/hash.h"
#include "container_fixture.h"

#define MAGIC "QMDTESTS"
#define MAJOR 3
#define MINOR 7

static const unsigned char more[] = {0, 1, 2, 3, 4};
static const qmdi_section sections[] = {{"greeting", "123456789", 9}, {"empty", NULL, 0}, {"more", more, sizeof more}};

/* Those three sections, written by a script of Python's struct and zlib from docs/files.md. */
static const unsigned char golden[] = {
	0x51, 0x4d, 0x44, 0x54, 0x45, 0x53, 0x54, 0x53, 0x03, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x0d, 0x01,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0xe6, 0xd4, 0x54, 0x34, 0x67, 0x72, 0x65, 0x65,
	0x74, 0x69, 0x6e, 0x67, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x26, 0x39, 0xf4, 0xcb, 0x00, 0x00, 0x00, 0x00,
	0x65, 0x6d, 0x70, 0x74, 0x79, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x6d, 0x6f, 0x72, 0x65, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0xcc, 0xd3, 0x5a, 0x51, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36,
	0x37, 0x38, 0x39, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x03, 0x04, 0xd3, 0xaa, 0x0c, 0x20, 0x82, 0x16, 0x62, 0x7c};

static qmd_status save(const char *path) {
	return qmdi_container_save(path, MAGIC, MAJOR, MINOR, sections, 3);
}

static qmd_status load(const char *path) {
	qmdi_container *container;
	const qmd_status status = qmdi_container_load(path, MAGIC, MAJOR, &container);
	ck_assert_msg(status == QMD_OK || !container, "a container was left after %s", qmd_last_error());
	qmdi_container_free(container);
	return status;
}

static void expect_content(const char *path, const void *data, size_t size) {
	size_t found_size;
	unsigned char *found = qmdt_read_file(path, &found_size);
	ck_assert_uint_eq(found_size, size);
	ck_assert_mem_eq(found, data, size);
	free(found);
}

/* A new folder, and a path in it. */
static const char *scratch_folder(const char *name, char path[4096]) {
	const char *folder = qmdt_scratch(name);
	ck_assert_int_eq(mkdir(folder, 0777), 0);
	snprintf(path, 4096, "%s/file", folder);
	return folder;
}

static int n_files(const char *folder) {
	int n = 0;
	DIR *stream = opendir(folder);
	ck_assert_ptr_nonnull(stream);
	while (readdir(stream))
		n++;
	closedir(stream);
	return n - 2; /* . and .. */
}

/* ---- Checksums ---- */

START_TEST(checksums_equal_published_vectors) {
	ck_assert_uint_eq(qmdi_hash(QMDI_HASH_START, "", 0), UINT64_C(0xcbf29ce484222325));
	ck_assert_uint_eq(qmdi_hash(QMDI_HASH_START, "a", 1), UINT64_C(0xaf63dc4c8601ec8c));
	ck_assert_uint_eq(qmdi_hash(QMDI_HASH_START, "foobar", 6), UINT64_C(0x85944171f73967e8));
	ck_assert_uint_eq(qmdi_hash(qmdi_hash(QMDI_HASH_START, "foo", 3), "bar", 3), UINT64_C(0x85944171f73967e8));
	ck_assert_uint_eq(qmdt_crc32((const unsigned char *)"123456789", 9), 0xcbf43926u);
	ck_assert_uint_eq(qmdt_load(golden + 64, 4), 0xcbf43926u);
}
END_TEST

/* ---- Saving and loading ---- */

START_TEST(a_file_is_written_as_documented) {
	const char *path = qmdt_scratch("golden");
	qmdt_ok(save(path));
	expect_content(path, golden, sizeof golden);
	qmdt_ok(save(path)); /* over the old one */
	expect_content(path, golden, sizeof golden);
}
END_TEST

START_TEST(sections_are_found_by_name) {
	const char *path = qmdt_scratch("sections");
	qmdt_write_file(path, golden, sizeof golden);
	qmdi_container *container;
	qmdt_ok(qmdi_container_load(path, MAGIC, MAJOR + 1, &container)); /* an older major is read */
	qmdi_reader reader;
	qmdt_ok(qmdi_container_section(container, "more", &reader));
	ck_assert_uint_eq(reader.base, 256);
	ck_assert_mem_eq(qmdi_get(&reader, 5), more, 5);
	qmdt_ok(qmdi_reader_finish(&reader));
	qmdt_ok(qmdi_container_section(container, "empty", &reader));
	qmdt_ok(qmdi_reader_finish(&reader));
	qmdt_ok(qmdi_container_section(container, "greeting", &reader));
	ck_assert_uint_eq(qmdi_get_u8(&reader), '1');
	qmdt_fails(qmdi_reader_finish(&reader), QMD_ERROR_FORMAT, "section 'greeting': offset 193: 8 bytes are left over");
	ck_assert_int_eq(qmdi_container_has(container, "greeting"), 1);
	ck_assert_int_eq(qmdi_container_has(container, "greet"), 0);
	qmdt_fails(qmdi_container_section(container, "greet", &reader), QMD_ERROR_FORMAT, "no section 'greet'");
	qmdi_container_free(container);
	qmdi_container_free(NULL);
}
END_TEST

START_TEST(every_damage_is_refused) {
	const char *path = qmdt_scratch("whole");
	qmdt_ok(save(path));
	qmdt_refuses_damage(path, qmdt_scratch("damaged"), load);
}
END_TEST

START_TEST(damage_is_located) {
	const char *path = qmdt_scratch("located");
	unsigned char data[sizeof golden + 1];
	memcpy(data, golden, sizeof golden);
	data[258] ^= 1;
	qmdt_write_file(path, data, sizeof golden);
	qmdt_fails(load(path), QMD_ERROR_CORRUPT, "section 'more': offset 256: CRC32 of 5 bytes is");
	data[258] ^= 1;
	data[210] = 9;
	qmdt_write_file(path, data, sizeof golden);
	qmdt_fails(load(path), QMD_ERROR_CORRUPT, "offset 210: a byte before section 'empty' is 9, expected 0");
	data[210] = 0;
	data[265] ^= 1;
	qmdt_write_file(path, data, sizeof golden);
	qmdt_fails(load(path), QMD_ERROR_CORRUPT, "offset 261: hash of the whole file is");
	data[265] ^= 1;
	qmdt_write_file(path, data, sizeof golden - 1);
	qmdt_fails(load(path), QMD_ERROR_CORRUPT, "the file should have 269 bytes, but has 268");
	data[sizeof golden] = 0;
	qmdt_write_file(path, data, sizeof golden + 1);
	qmdt_fails(load(path), QMD_ERROR_CORRUPT, "the file should have 269 bytes, but has 270");
}
END_TEST

START_TEST(another_kind_of_file_is_refused) {
	const char *path = qmdt_scratch("kind");
	qmdt_write_file(path, golden, sizeof golden);
	qmdi_container *container;
	qmdt_fails(qmdi_container_load(path, "QMDMODEL", 1, &container), QMD_ERROR_FORMAT,
			   "magic is 'QMDTESTS', expected 'QMDMODEL'");
	qmdt_fails(qmdi_container_load(path, MAGIC, MAJOR - 1, &container), QMD_ERROR_VERSION,
			   "format version is 3.7, libqmd " QMD_VERSION_STRING " reads versions up to 2.x");
	qmdt_fails(load(qmdt_scratch("absent")), QMD_ERROR_IO, "absent: cannot be opened: No such file");
	qmdt_fails(load("/"), QMD_ERROR_IO, "/: not a regular file");
	const char *pipe = qmdt_scratch("pipe");
	ck_assert_int_eq(mkfifo(pipe, 0600), 0);
	qmdt_fails(load(pipe), QMD_ERROR_IO, "not a regular file"); /* and does not wait for a writer */
	qmdt_fails(save(pipe), QMD_ERROR_IO, "not a regular file");
}
END_TEST

/* A file whose checksums are right and whose content is hostile: `n_bytes` at `offset` become `value`. */
static qmd_status load_crafted(size_t offset, size_t n_bytes, uint64_t value) {
	const char *path = qmdt_scratch("crafted");
	unsigned char data[sizeof golden];
	memcpy(data, golden, sizeof golden);
	qmdt_store(data + offset, n_bytes, value);
	qmdt_reseal_container(data, sizeof golden);
	qmdt_write_file(path, data, sizeof data);
	return load(path);
}

START_TEST(crafted_files_are_refused) {
	enum { entry = 32, next = 72, last = 112, offset = 16, length = 24, reserved = 36 };
	qmdt_ok(load_crafted(0, 1, 'Q')); /* nothing is changed */
	qmdt_ok(load_crafted(12, 4, 8));  /* a newer minor version is read */
	qmdt_fails(load_crafted(8, 4, 0), QMD_ERROR_FORMAT, "format version is 0");
	qmdt_fails(load_crafted(16, 8, UINT64_MAX), QMD_ERROR_CORRUPT, "the file should have 18446744073709551615 bytes");
	qmdt_fails(load_crafted(24, 4, UINT32_MAX), QMD_ERROR_CORRUPT, "4294967295 sections do not fit into 269 bytes");
	qmdt_fails(load_crafted(24, 4, 6), QMD_ERROR_CORRUPT, "6 sections do not fit into 269 bytes");
	qmdt_fails(load_crafted(24, 4, 2), QMD_ERROR_FORMAT, "expected at offset 128");
	qmdt_fails(load_crafted(last + length, 8, 4), QMD_ERROR_FORMAT,
			   "the last section ends at offset 260, expected 261");
	qmdt_fails(load_crafted(entry, 1, 0), QMD_ERROR_FORMAT, "section 0: its name");
	qmdt_fails(load_crafted(entry + 15, 1, 'x'), QMD_ERROR_FORMAT, "section 0: its name");
	qmdt_fails(load_crafted(next, 8, UINT64_C(0x676e697465657267)), QMD_ERROR_FORMAT, "two sections 'greeting'");
	qmdt_fails(load_crafted(entry + offset, 8, 193), QMD_ERROR_FORMAT, "'greeting' at offset 193");
	qmdt_fails(load_crafted(next + offset, 8, 192), QMD_ERROR_FORMAT, "'empty' at offset 192"); /* overlaps */
	qmdt_fails(load_crafted(entry + offset, 8, UINT64_MAX - 7), QMD_ERROR_FORMAT, "'greeting' at offset 1844");
	qmdt_fails(load_crafted(entry + length, 8, UINT64_MAX - 191), QMD_ERROR_FORMAT, "18446744073709551424 bytes");
	qmdt_fails(load_crafted(entry + length, 8, 70), QMD_ERROR_FORMAT, "'greeting' at offset 192, 70 bytes");
	qmdt_fails(load_crafted(entry + reserved, 4, 1), QMD_ERROR_FORMAT, "reserved 1");
}
END_TEST

START_TEST(the_magic_of_any_file_is_told) {
	char magic[8];
	const char *path = qmdt_scratch("magic");
	qmdt_write_file(path, "CDF", 3);
	qmdt_ok(qmdi_file_magic(path, magic));
	ck_assert_mem_eq(magic, "CDF\0\0\0\0\0", 8);
	qmdt_write_file(path, golden, sizeof golden);
	qmdt_ok(qmdi_file_magic(path, magic));
	ck_assert_mem_eq(magic, MAGIC, 8);
	qmdt_fails(qmdi_file_magic(qmdt_scratch("nothing"), magic), QMD_ERROR_IO, "nothing: cannot be opened");
}
END_TEST

/* ---- Failing while saving ---- */

START_TEST(a_failing_write_leaves_the_old_file) {
	char path[4096];
	const char *folder = scratch_folder("full", path);
	qmdt_write_file(path, "old", 3);
	struct rlimit whole;
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &whole), 0);
	void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
	for (rlim_t limit = 0; limit < sizeof golden; limit++) { /* the disk is full after so many bytes */
		const struct rlimit full = {limit, whole.rlim_max};
		ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &full), 0);
		const qmd_status status = save(path);
		ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &whole), 0);
		ck_assert_int_eq(status, QMD_ERROR_IO);
		ck_assert_ptr_nonnull(strstr(qmd_last_error(), "cannot be written: File too large"));
		expect_content(path, "old", 3);
		ck_assert_int_eq(n_files(folder), 1);
	}
	signal(SIGXFSZ, handler);
	qmdt_ok(save(path));
	expect_content(path, golden, sizeof golden);
	ck_assert_int_eq(n_files(folder), 1);
}
END_TEST

START_TEST(a_place_that_cannot_be_written_is_named) {
	char path[4096];
	const char *folder = scratch_folder("places", path);
	qmdt_fails(save(folder), QMD_ERROR_IO, "not a regular file");
	qmdt_fails(save(qmdt_scratch("places/none/file")), QMD_ERROR_IO, "none/file: cannot be created: No such file");
	ck_assert_int_eq(n_files(folder), 0);
}
END_TEST

static qmd_status save_work(void *path) {
	return save(path);
}

static qmd_status load_work(void *path) {
	return load(path);
}

START_TEST(every_failing_allocation_is_survived) {
	char path[4096];
	const char *folder = scratch_folder("memory", path);
	ck_assert_uint_gt(qmdt_fail_each_allocation(save_work, path), 2);
	ck_assert_uint_gt(qmdt_fail_each_allocation(load_work, path), 5);
	ck_assert_int_eq(n_files(folder), 1);
}
END_TEST

START_TEST(a_file_in_the_working_folder_is_replaced) {
	char before[4096], path[4096];
	ck_assert_ptr_nonnull(getcwd(before, sizeof before));
	ck_assert_int_eq(chdir(scratch_folder("here", path)), 0);
	const qmd_status status = save("file");
	ck_assert_int_eq(chdir(before), 0);
	ck_assert_int_eq(status, QMD_OK);
	expect_content(path, golden, sizeof golden);
}
END_TEST

/* ---- Bytes ---- */

START_TEST(numbers_are_little_endian) {
	qmdi_writer writer = {0};
	const float floats[] = {1.0f, -0.0f};
	const int32_t integers[] = {-2, 3};
	qmdi_put_u8(&writer, 0xab);
	qmdi_put_u32(&writer, 0x01020304);
	qmdi_put_i32(&writer, -2);
	qmdi_put_u64(&writer, UINT64_C(0x0102030405060708));
	qmdi_put_f32(&writer, 1.0f);
	qmdi_put_f64(&writer, -2.0);
	qmdi_put_f32_array(&writer, floats, 2);
	qmdi_put_i32_array(&writer, integers, 2);
	qmdi_put_string(&writer, "hi");
	qmdi_put_string(&writer, NULL);
	static const unsigned char expected[] = {
		0xab, 4,    3,    2,    1, 0xfe, 0xff, 0xff, 0xff, 8, 7,    6,    5,   4,   3, 2,    1, 0,
		0,    0x80, 0x3f,                                                                    /* u8 .. f32 */
		0,    0,    0,    0,    0, 0,    0,    0xc0, 0,    0, 0x80, 0x3f, 0,   0,   0, 0x80, /* f64, f32[2] */
		0xfe, 0xff, 0xff, 0xff, 3, 0,    0,    0,    2,    0, 0,    0,    'h', 'i', 0, 0,    0, 0};
	ck_assert_int_eq(writer.status, QMD_OK);
	ck_assert_uint_eq(writer.size, sizeof expected);
	ck_assert_mem_eq(writer.data, expected, sizeof expected);

	qmdi_reader reader = {.data = writer.data, .size = writer.size, .name = "bytes"};
	ck_assert_uint_eq(qmdi_get_u8(&reader), 0xab);
	ck_assert_uint_eq(qmdi_get_u32(&reader), 0x01020304);
	ck_assert_int_eq(qmdi_get_i32(&reader), -2);
	ck_assert_uint_eq(qmdi_get_u64(&reader), UINT64_C(0x0102030405060708));
	ck_assert(qmdi_get_f32(&reader) == 1.0f);
	ck_assert(qmdi_get_f64(&reader) == -2.0);
	float *f = qmdi_get_f32_array(&reader, 2);
	int32_t *i = qmdi_get_i32_array(&reader, 2);
	ck_assert(f[0] == 1.0f && f[1] == 0.0f && signbit(f[1]));
	ck_assert(i[0] == -2 && i[1] == 3);
	char text[3];
	qmdi_get_string(&reader, text, sizeof text);
	ck_assert_str_eq(text, "hi");
	qmdi_get_string(&reader, text, sizeof text);
	ck_assert_str_eq(text, "");
	qmdt_ok(qmdi_reader_finish(&reader));
	free(f);
	free(i);
	qmdi_writer_release(&writer);
}
END_TEST

START_TEST(a_reader_stops_at_the_end_and_at_the_first_failure) {
	static const unsigned char data[] = {1, 2, 3, 4, 5, 6};
	qmdi_reader reader = {.data = data, .size = sizeof data, .base = 100, .name = "file"};
	ck_assert_uint_eq(qmdi_get_u32(&reader), 0x04030201);
	ck_assert_uint_eq(qmdi_get_u32(&reader), 0);
	qmdt_fails(reader.status, QMD_ERROR_FORMAT, "file: offset 104: expected 4 elements of 1 bytes, only 2 bytes");
	ck_assert_uint_eq(qmdi_get_u8(&reader), 0); /* there is one, but the failure sticks */
	ck_assert_ptr_null(qmdi_get(&reader, 0));
	ck_assert_int_eq(qmdi_reader_fail(&reader, QMD_ERROR_RANGE, "later"), QMD_ERROR_FORMAT);
	qmdt_fails(qmdi_reader_finish(&reader), QMD_ERROR_FORMAT, "offset 104");
}
END_TEST

START_TEST(array_lengths_are_checked_before_allocation) {
	static const unsigned char data[12] = {0};
	static const size_t hostile[] = {4, SIZE_MAX / 4 + 2, SIZE_MAX};
	for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
		qmdt_allocator_install(0);
		qmdi_reader reader = {.data = data, .size = sizeof data, .name = "file"};
		ck_assert_ptr_null(qmdi_get_f32_array(&reader, hostile[i]));
		qmdt_fails(reader.status, QMD_ERROR_FORMAT, "only 12 bytes are left");
		reader.status = QMD_OK;
		ck_assert_ptr_null(qmdi_get_i32_array(&reader, hostile[i]));
		ck_assert_int_eq(reader.status, QMD_ERROR_FORMAT);
		ck_assert_uint_eq(qmdt_allocator_n_calls(), 0);
		qmdt_allocator_remove();
	}
	qmdi_reader reader = {.data = data, .size = sizeof data, .name = "file"};
	ck_assert_ptr_null(qmdi_get_i8_array(&reader, 13));
	ck_assert_int_eq(reader.status, QMD_ERROR_FORMAT);
	reader.status = QMD_OK;
	int8_t *bytes = qmdi_get_i8_array(&reader, 12);
	ck_assert_mem_eq(bytes, data, 12);
	free(bytes);
}
END_TEST

START_TEST(texts_are_checked) {
	static const unsigned char long_text[] = {3, 0, 0, 0, 'a', 'b', 'c'};
	static const unsigned char cut_text[] = {3, 0, 0, 0, 'a', 'b'};
	static const unsigned char nul_text[] = {3, 0, 0, 0, 'a', 0, 'c'};
	char text[4] = "old";
	qmdi_reader reader = {.data = long_text, .size = sizeof long_text, .name = "file"};
	qmdi_get_string(&reader, text, 3);
	ck_assert_str_eq(text, "");
	qmdt_fails(reader.status, QMD_ERROR_FORMAT, "a text of 3 bytes, expected less than 3");
	reader = (qmdi_reader){.data = cut_text, .size = sizeof cut_text, .name = "file"};
	qmdi_get_string(&reader, text, 4);
	qmdt_fails(reader.status, QMD_ERROR_FORMAT, "only 2 bytes are left");
	reader = (qmdi_reader){.data = nul_text, .size = sizeof nul_text, .name = "file"};
	qmdi_get_string(&reader, text, 4);
	ck_assert_str_eq(text, "");
	qmdt_fails(reader.status, QMD_ERROR_FORMAT, "NUL");
	reader = (qmdi_reader){.data = long_text, .size = sizeof long_text, .name = "file"};
	qmdi_get_string(&reader, text, 4);
	ck_assert_str_eq(text, "abc");
}
END_TEST

START_TEST(a_writer_keeps_its_first_failure) {
	qmdi_writer writer = {0};
	qmdt_allocator_install(2);
	qmdi_put_u32(&writer, 1);
	for (uint32_t i = 0; i < 100; i++)
		qmdi_put_u32(&writer, i);
	qmdt_fails(writer.status, QMD_ERROR_MEMORY, "out of memory");
	const size_t size = writer.size;
	qmdi_put_u8(&writer, 1);
	qmdi_put_f32_array(&writer, NULL, SIZE_MAX);
	ck_assert_uint_eq(writer.size, size);
	qmdi_writer_release(&writer);
	ck_assert_uint_eq(qmdt_allocator_remove(), 0);
	float value = 0;
	qmdi_put_f32_array(&writer, &value, SIZE_MAX / 2);
	qmdt_fails(writer.status, QMD_ERROR_MEMORY, "elements of 4 bytes to write");
}
END_TEST

int main(void) {
	Suite *suite = suite_create("container");
	TCase *files = tcase_create("files");
	tcase_set_timeout(files, 120);
	tcase_add_test(files, checksums_equal_published_vectors);
	tcase_add_test(files, a_file_is_written_as_documented);
	tcase_add_test(files, sections_are_found_by_name);
	tcase_add_test(files, every_damage_is_refused);
	tcase_add_test(files, damage_is_located);
	tcase_add_test(files, another_kind_of_file_is_refused);
	tcase_add_test(files, crafted_files_are_refused);
	tcase_add_test(files, the_magic_of_any_file_is_told);
	tcase_add_test(files, a_failing_write_leaves_the_old_file);
	tcase_add_test(files, a_place_that_cannot_be_written_is_named);
	tcase_add_test(files, every_failing_allocation_is_survived);
	tcase_add_test(files, a_file_in_the_working_folder_is_replaced);
	suite_add_tcase(suite, files);
	TCase *bytes = tcase_create("bytes");
	tcase_add_test(bytes, numbers_are_little_endian);
	tcase_add_test(bytes, a_reader_stops_at_the_end_and_at_the_first_failure);
	tcase_add_test(bytes, array_lengths_are_checked_before_allocation);
	tcase_add_test(bytes, texts_are_checked);
	tcase_add_test(bytes, a_writer_keeps_its_first_failure);
	suite_add_tcase(suite, bytes);
	return qmdt_run(suite);
}
