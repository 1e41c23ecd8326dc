/* Trajectory files that are cut off, damaged or made up: an error each time, and never a crash. */
#include "support.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "base/random.h"
#include "dcd_fixture.h"
#include "netcdf_fixture.h"

/* ---- An allocator that remembers how much was held at most ---- */

#define MEMORY_LIMIT(file_size) ((64u << 20) + 4 * (file_size))

static size_t held, most_held;

static void *count_allocate(void *user, size_t size) {
	(void)user;
	void *made = malloc(size);
	held += malloc_usable_size(made);
	most_held = held > most_held ? held : most_held;
	return made;
}

static void count_release(void *user, void *pointer) {
	(void)user;
	held -= malloc_usable_size(pointer);
	free(pointer);
}

static void *count_reallocate(void *user, void *pointer, size_t size) {
	const size_t before = malloc_usable_size(pointer);
	void *made = count_allocate(user, size);
	if (!made || !pointer)
		return made;
	memcpy(made, pointer, before < size ? before : size);
	count_release(user, pointer);
	return made;
}

static void count_memory(void) {
	const qmd_allocator counting = {count_allocate, count_reallocate, count_release, NULL};
	held = most_held = 0;
	qmdt_ok(qmd_set_allocator(&counting));
}

static void check_memory(void) {
	ck_assert_uint_eq(held, 0);
	qmdt_ok(qmd_set_allocator(NULL));
}

/* ---- Damaged files ---- */

/* One file that is written over and over: making a new one each time costs more than reading it. */
typedef struct victim_file {
	const char *path;
	int descriptor;
	size_t size;
} victim_file;

static victim_file new_victim(const char *name) {
	victim_file made = {.path = qmdt_scratch(name)};
	made.descriptor = open(made.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(made.descriptor, 0);
	return made;
}

static void overwrite(victim_file *victim, const unsigned char *bytes, size_t size) {
	ck_assert_int_eq(pwrite(victim->descriptor, bytes, size, 0), (ssize_t)size);
	if (size != victim->size)
		ck_assert_int_eq(ftruncate(victim->descriptor, (off_t)size), 0);
	victim->size = size;
}

/* Open a file and read all there is, as far as it goes. */
static qmd_status use_file(const char *path) {
	qmd_trajectory *trajectory;
	most_held = held;
	const qmd_status status = qmd_trajectory_open(&path, 1, 0, &trajectory);
	if (status != QMD_OK) {
		ck_assert_ptr_null(trajectory);
		ck_assert_msg(strstr(qmd_last_error(), path) != NULL, "'%s' does not name %s", qmd_last_error(), path);
		return status;
	}
	/* What opened lies inside the file, so it is small enough to be read. */
	const size_t n_atoms = qmd_trajectory_n_atoms(trajectory), n_frames = qmd_trajectory_n_frames(trajectory);
	float *xyz = malloc(n_atoms * 3 * sizeof *xyz);
	ck_assert_ptr_nonnull(xyz);
	for (size_t i = 0; i < n_frames && i < 10; i++) {
		double time, box[9];
		int has_box;
		qmd_trajectory_read(trajectory, i, 1, xyz);
		qmd_trajectory_time_ps(trajectory, i, &time);
		qmd_trajectory_box(trajectory, i, box, &has_box);
	}
	free(xyz);
	qmd_trajectory_free(trajectory);
	return QMD_OK;
}

static void use_victim(const victim_file *victim, qmd_status *status) {
	*status = use_file(victim->path);
	ck_assert_msg(most_held <= MEMORY_LIMIT(victim->size), "%zu bytes were held for a file of %zu", most_held,
				  victim->size);
}

static const double numbers[] = {1, 2, 3, 4, 5, 6, 90, 90, 90};

static unsigned char *small_file(int format, size_t *size) {
	const qmdt_netcdf content = {
		.format = format, .n_frames = 3, .n_atoms = 2, .times = numbers, .lengths = numbers, .angles = numbers};
	return qmdt_read_file(qmdt_write_netcdf("small.nc", &content), size);
}

START_TEST(refuses_every_truncation) {
	static const int formats[] = {1, 2, 5};
	victim_file victim = new_victim("cut.nc");
	for (size_t i = 0; i < 3; i++) {
		size_t size;
		unsigned char *bytes = small_file(formats[i], &size);
		for (size_t length = 0; length < size; length++) {
			overwrite(&victim, bytes, length);
			ck_assert_msg(use_file(victim.path) == QMD_ERROR_FORMAT, "CDF-%d, %zu of %zu bytes: %s", formats[i], length,
						  size, qmd_last_error());
		}
		overwrite(&victim, bytes, size);
		qmdt_ok(use_file(victim.path));
		free(bytes);
	}
	close(victim.descriptor);
}
END_TEST

/* Small files of the formats that are frame after frame. */
typedef struct framed_file {
	unsigned char *bytes;
	size_t size;
} framed_file;

static unsigned char *corpus(const char *name, size_t *size) {
	char path[4096];
	snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", QMDT_SOURCE_DIR, name);
	return qmdt_read_file(path, size);
}

enum { N_FRAMED = 7 };

static framed_file framed(size_t which) {
	static const double cell[6] = {30, 0, 40, 0, 0, 50};
	static const uint32_t free_atoms[2] = {1, 3};
	static const char *const names[] = {"xtc/water.xtc", "xtc/plain.xtc", "xtc/large-magic.xtc", "xtc/plain-ranges.xtc",
										"dcd/mdanalysis.dcd"};
	framed_file file = {0};
	if (which < 5) {
		file.bytes = corpus(names[which], &file.size);
		return file;
	}
	const qmdt_dcd content = {.n_frames = 3,
							  .n_atoms = 3,
							  .cell = cell,
							  .step_interval = 1,
							  .time_step = 1,
							  .is_big_endian = which == 6,
							  .has_wide_markers = which == 6,
							  .free_atoms = free_atoms,
							  .n_free = 2};
	file.bytes = qmdt_read_file(qmdt_write_dcd("framed.dcd", &content), &file.size);
	return file;
}

/* A file that ends with a frame is a shorter file: the others are refused. */
START_TEST(refuses_every_truncation_within_a_frame) {
	static const size_t n_whole[N_FRAMED] = {2, 1, 0, 1, 3, 3, 3};
	victim_file victim = new_victim("cut");
	for (size_t i = 0; i < N_FRAMED; i++) {
		framed_file file = framed(i);
		size_t n_opened = 0;
		qmd_status status;
		for (size_t length = 0; length < file.size; length++) {
			overwrite(&victim, file.bytes, length);
			use_victim(&victim, &status);
			ck_assert_msg(status == QMD_OK || status == QMD_ERROR_FORMAT, "%s", qmd_last_error());
			n_opened += status == QMD_OK;
		}
		ck_assert_uint_eq(n_opened, n_whole[i]);
		overwrite(&victim, file.bytes, file.size);
		qmdt_ok(use_file(victim.path));
		free(file.bytes);
	}
	close(victim.descriptor);
}
END_TEST

START_TEST(survives_every_damaged_byte_of_frames) {
	victim_file victim = new_victim("damaged");
	for (size_t i = 0; i < N_FRAMED; i++) {
		framed_file file = framed(i);
		for (size_t at = 0; at < file.size; at++)
			for (unsigned value = 1; value < 256; value = value < 4 ? value + 1 : value * 2 - 1) {
				qmd_status status;
				file.bytes[at] ^= (unsigned char)value;
				overwrite(&victim, file.bytes, file.size);
				use_victim(&victim, &status);
				file.bytes[at] ^= (unsigned char)value;
			}
		free(file.bytes);
	}
	close(victim.descriptor);
}
END_TEST

/* Any byte of the header to any of these values; most end in an error, some open. */
START_TEST(survives_every_damaged_byte) {
	static const int formats[] = {1, 2, 5};
	static const unsigned char flips[] = {0x01, 0x02, 0x10, 0x80, 0xff};
	victim_file victim = new_victim("damaged.nc");
	for (size_t i = 0; i < 3; i++) {
		size_t size, n_refused = 0;
		unsigned char *bytes = small_file(formats[i], &size);
		for (size_t at = 0; at < size; at++)
			for (size_t flip = 0; flip < sizeof flips; flip++) {
				bytes[at] ^= flips[flip];
				overwrite(&victim, bytes, size);
				n_refused += use_file(victim.path) != QMD_OK;
				bytes[at] ^= flips[flip];
			}
		ck_assert_uint_gt(n_refused, size);
		free(bytes);
	}
	close(victim.descriptor);
}
END_TEST

START_TEST(survives_random_damage) {
	static const int formats[] = {1, 2, 5};
	static const unsigned char values[] = {0, 1, 0x7f, 0x80, 0xff};
	victim_file victim = new_victim("random.nc");
	for (size_t i = 0; i < 3; i++) {
		size_t size;
		unsigned char *bytes = small_file(formats[i], &size), *damaged = malloc(size);
		for (uint64_t seed = 0; seed < 1000; seed++) {
			uint64_t drawn = 0;
			memcpy(damaged, bytes, size);
			const size_t n_changes = 1 + qmdi_random_u32(seed, i, drawn++) % 6;
			for (size_t change = 0; change < n_changes; change++) {
				const size_t at = qmdi_random_u32(seed, i, drawn++) % size;
				damaged[at] = values[qmdi_random_u32(seed, i, drawn++) % sizeof values];
			}
			overwrite(&victim, damaged, size - (seed % 3 == 0 ? qmdi_random_u32(seed, i, drawn) % size : 0));
			qmd_status status;
			use_victim(&victim, &status);
		}
		free(bytes);
		free(damaged);
	}
	close(victim.descriptor);
}
END_TEST

/* ---- Made-up headers ---- */

typedef struct header_bytes {
	unsigned char bytes[512];
	size_t size;
} header_bytes;

static void put(header_bytes *header, size_t size, uint64_t number) {
	for (size_t i = 0; i < size; i++)
		header->bytes[header->size++] = (unsigned char)(number >> 8 * (size - 1 - i));
}

static void put_name(header_bytes *header, const char *name, uint64_t number) {
	const size_t length = strlen(name);
	put(header, 4, length);
	memcpy(header->bytes + header->size, name, length);
	header->size += (length + 3) / 4 * 4;
	put(header, 4, number);
}

/* CDF-1 with dimensions frame, atom and spatial of these lengths, and one variable of these dimensions. */
static header_bytes made_up(uint64_t n_records, uint64_t n_atoms, uint64_t first_dimension, uint64_t type,
							uint64_t begin) {
	header_bytes header = {"CDF\001", 4};
	put(&header, 4, n_records);
	put(&header, 4, 10);
	put(&header, 4, 3);
	put_name(&header, "frame", 0);
	put_name(&header, "atom", n_atoms);
	put_name(&header, "spatial", 3);
	put(&header, 8, 0);
	put(&header, 4, 11);
	put(&header, 4, 1);
	put_name(&header, "coordinates", 3);
	put(&header, 4, first_dimension);
	put(&header, 4, 1);
	put(&header, 4, 2);
	put(&header, 8, 0);
	put(&header, 4, type);
	put(&header, 4, 24);
	put(&header, 4, begin);
	return header;
}

static void header_fails(header_bytes header, const char *part) {
	const char *path = qmdt_scratch("made-up.nc");
	qmdt_write_file(path, header.bytes, sizeof header.bytes);
	qmdt_fails(use_file(path), QMD_ERROR_FORMAT, part);
}

START_TEST(refuses_made_up_headers) {
	/* Well-formed, but not AMBER's: the header passes, and the convention is missing. */
	header_fails(made_up(2, 2, 0, 5, 300), "Conventions");
	header_fails(made_up(0x7fffffff, 2, 0, 5, 300), "truncated");
	header_fails(made_up(2, 0x7fffffff, 0, 5, 300), "truncated");
	header_fails(made_up(0x7fffffff, 0x7fffffff, 0, 6, 300), "overflows");
	header_fails(made_up(0x80000000u, 2, 0, 5, 300), "expected a number of records");
	header_fails(made_up(2, 0x80000000u, 0, 5, 300), "length of a dimension");
	header_fails(made_up(2, 2, 3, 5, 300), "has dimension 3, but there are 3");
	header_fails(made_up(2, 2, 0, 0, 300), "expected a type from 1 to 6, found 0");
	header_fails(made_up(2, 2, 0, 7, 300), "expected a type from 1 to 6, found 7");
	header_fails(made_up(2, 2, 0, 5, 20), "inside the header");
	header_fails(made_up(2, 0, 0, 5, 300), "one record dimension, found 2");
	header_fails(made_up(2, 2, 0, 5, 500), "truncated");
	header_bytes header = made_up(2, 2, 1, 5, 300);
	header.bytes[header.size - 4 * 7 + 3] = 0; /* dimensions atom, frame, spatial */
	header_fails(header, "not its first");
	header = made_up(2, 2, 0, 5, 300);
	header.bytes[20] = 0; /* in the name of the first dimension */
	header_fails(header, "a name holds byte 0");
	header.bytes[19] = 0; /* its length */
	header_fails(header, "a name is empty");
}
END_TEST

/* Thirteen bytes of this kind make NetCDF-C 4.9.0 abort. */
START_TEST(refuses_short_files) {
	static const struct {
		const char *bytes;
		size_t size;
		qmd_status status;
	} cases[] = {{"", 0, QMD_ERROR_FORMAT},
				 {"CDF", 3, QMD_ERROR_FORMAT},
				 {"CDF\001", 4, QMD_ERROR_FORMAT},
				 {"CDF\001\0\0\0\0\0\0\0\0\0", 13, QMD_ERROR_FORMAT},
				 {"CDF\002\0\0\0\0\0\0\0\012\377\377\377\377", 16, QMD_ERROR_FORMAT},
				 {"CDF\003\0\0\0\0", 8, QMD_ERROR_FORMAT},
				 {"\211HDF\r\n\032\n", 8, QMD_ERROR_UNSUPPORTED},
				 {"not a trajectory", 16, QMD_ERROR_FORMAT}};
	const char *path = qmdt_scratch("short.nc");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		qmdt_write_file(path, cases[i].bytes, cases[i].size);
		ck_assert_int_eq(use_file(path), cases[i].status);
	}
}
END_TEST

/* A PDB file that is cut or damaged anywhere loads or says why not. */
START_TEST(survives_damaged_pdb) {
	size_t size;
	unsigned char *bytes = qmdt_read_file(qmdt_bundled("adk-open.pdb"), &size);
	victim_file victim = new_victim("damaged.pdb");
	const size_t n = 300;
	size_t n_refused = 0;
	for (uint64_t seed = 0; seed < 20000; seed++) {
		unsigned char damaged[300];
		memcpy(damaged, bytes, n);
		for (uint64_t change = 0; change < 3; change++)
			damaged[qmdi_random_u32(seed, 0, 2 * change) % n] = (unsigned char)qmdi_random_u32(seed, 0, 2 * change + 1);
		overwrite(&victim, damaged, 1 + qmdi_random_u32(seed, 1, 0) % n);
		qmd_topology *topology;
		const qmd_status status = qmd_topology_load(victim.path, &topology);
		n_refused += status != QMD_OK;
		ck_assert_msg(status == QMD_OK || status == QMD_ERROR_FORMAT || status == QMD_ERROR_RANGE, "%s",
					  qmd_last_error());
		ck_assert_int_eq(status == QMD_OK, topology != NULL);
		qmd_topology_free(topology);
	}
	ck_assert_uint_gt(n_refused, 1000);
	free(bytes);
	close(victim.descriptor);
}
END_TEST

int main(void) {
	Suite *suite = suite_create("trajectory_hostile");
	TCase *files = tcase_create("files");
	tcase_set_timeout(files, 300);
	tcase_add_checked_fixture(files, count_memory, check_memory);
	tcase_add_test(files, refuses_every_truncation);
	tcase_add_test(files, refuses_every_truncation_within_a_frame);
	tcase_add_test(files, survives_every_damaged_byte);
	tcase_add_test(files, survives_every_damaged_byte_of_frames);
	tcase_add_test(files, survives_random_damage);
	tcase_add_test(files, refuses_made_up_headers);
	tcase_add_test(files, refuses_short_files);
	tcase_add_test(files, survives_damaged_pdb);
	suite_add_tcase(suite, files);
	return qmdt_run(suite);
}
