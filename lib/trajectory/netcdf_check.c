/*
 * The classic NetCDF formats (NetCDF Users Guide, appendix B; CDF-5: PnetCDF). All numbers are big-endian.
 *
 *     header  = "CDF" version numrecs dim_list gatt_list var_list
 *     list    = ABSENT ABSENT | tag count element...
 *     dim     = name length                                length 0: the record dimension
 *     att     = name type count values                     padded to 4 bytes
 *     var     = name rank dimid... att_list type size begin
 *
 * Counts are 4 bytes in versions 1 and 2, 8 in version 5; `begin` is 4 bytes in version 1 alone.
 */
#include "netcdf_check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"

#define TAG_DIMENSION 10
#define TAG_VARIABLE 11
#define TAG_ATTRIBUTE 12

/* Far beyond any trajectory; they bound what a hostile header can cost. */
#define MAX_DIMENSIONS 1024
#define MAX_VARIABLES 1024
#define MAX_ATTRIBUTES 8192
#define MAX_NAME 256

/* Where a variable's data stand: one piece, or one a record. */
typedef struct data_extent {
	uint64_t begin, size; /* size of the piece, without padding */
	int is_record;
} data_extent;

typedef struct netcdf_header {
	const char *path;
	FILE *file;
	uint64_t file_size, offset;
	int version;
	uint64_t n_records;
	int is_streaming; /* the number of records is not stored */
	uint64_t *dimensions;
	size_t n_dimensions;
	data_extent *extents;
	size_t n_variables;
} netcdf_header;

__attribute__((format(printf, 2, 3))) static qmd_status fail_at(const netcdf_header *header, const char *format, ...) {
	char text[256];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	return qmdi_fail(QMD_ERROR_FORMAT, "%s: offset %llu: %s", header->path, (unsigned long long)header->offset, text);
}

/* ---- Numbers and names ---- */

static qmd_status get_bytes(netcdf_header *header, unsigned char *bytes, size_t size) {
	if (size > header->file_size - header->offset)
		return fail_at(header, "truncated: expected %zu more bytes of the NetCDF header, found %llu", size,
					   (unsigned long long)(header->file_size - header->offset));
	if (fread(bytes, 1, size, header->file) != size)
		return qmdi_fail(QMD_ERROR_IO, "%s: cannot read at offset %llu: %s", header->path,
						 (unsigned long long)header->offset, strerror(errno));
	header->offset += size;
	return QMD_OK;
}

static qmd_status get_number(netcdf_header *header, size_t size, uint64_t *number) {
	unsigned char bytes[8] = {0};
	QMDI_TRY(get_bytes(header, bytes, size));
	*number = 0;
	for (size_t i = 0; i < size; i++)
		*number = *number << 8 | bytes[i];
	return QMD_OK;
}

/* A count or length, which is not negative. */
static qmd_status get_count(netcdf_header *header, const char *what, uint64_t most, uint64_t *count) {
	QMDI_TRY(get_number(header, header->version == 5 ? 8 : 4, count));
	if (*count > most)
		return fail_at(header, "%s: expected at most %llu, found %llu", what, (unsigned long long)most,
					   (unsigned long long)*count);
	return QMD_OK;
}

static uint64_t count_max(const netcdf_header *header) {
	return header->version == 5 ? INT64_MAX : INT32_MAX;
}

static uint64_t padded(uint64_t size) {
	return (size + 3) / 4 * 4;
}

static qmd_status skip(netcdf_header *header, uint64_t size) {
	if (size > header->file_size - header->offset)
		return fail_at(header, "truncated: expected %llu more bytes of the NetCDF header, found %llu",
					   (unsigned long long)size, (unsigned long long)(header->file_size - header->offset));
	if (fseeko(header->file, (off_t)(header->offset + size), SEEK_SET) != 0)
		return qmdi_fail(QMD_ERROR_IO, "%s: cannot seek: %s", header->path, strerror(errno));
	header->offset += size;
	return QMD_OK;
}

static qmd_status check_name(netcdf_header *header) {
	unsigned char name[MAX_NAME + 4] = {0};
	uint64_t length = 0;
	QMDI_TRY(get_count(header, "length of a name", MAX_NAME, &length));
	QMDI_TRY(get_bytes(header, name, (size_t)padded(length)));
	if (length == 0)
		return fail_at(header, "a name is empty");
	for (uint64_t i = 0; i < length; i++)
		if (name[i] < ' ' || name[i] == '/' || name[i] == 0x7f)
			return fail_at(header, "a name holds byte %d", name[i]);
	return QMD_OK;
}

static qmd_status get_type_size(netcdf_header *header, uint64_t *size) {
	static const uint64_t sizes[] = {0, 1, 1, 2, 4, 4, 8, 1, 2, 4, 8, 8};
	uint64_t type = 0;
	QMDI_TRY(get_number(header, 4, &type));
	const uint64_t last = header->version == 5 ? 11 : 6;
	if (type < 1 || type > last)
		return fail_at(header, "expected a type from 1 to %llu, found %llu", (unsigned long long)last,
					   (unsigned long long)type);
	*size = sizes[type];
	return QMD_OK;
}

/* Begin a list of at most `most` elements. */
static qmd_status get_list(netcdf_header *header, uint64_t tag, uint64_t most, const char *what, uint64_t *count) {
	uint64_t found = 0;
	QMDI_TRY(get_number(header, 4, &found));
	QMDI_TRY(get_count(header, what, most, count));
	if (found != tag && (found != 0 || *count != 0))
		return fail_at(header, "%s: expected tag %llu, found %llu", what, (unsigned long long)tag,
					   (unsigned long long)found);
	return QMD_OK;
}

/* ---- The lists ---- */

static qmd_status check_dimensions(netcdf_header *header) {
	uint64_t n = 0;
	size_t n_record_dimensions = 0;
	QMDI_TRY(get_list(header, TAG_DIMENSION, MAX_DIMENSIONS, "list of dimensions", &n));
	header->dimensions = qmdi_zeroed((size_t)n, sizeof *header->dimensions);
	if (!header->dimensions)
		return QMD_ERROR_MEMORY;
	header->n_dimensions = (size_t)n;
	for (size_t i = 0; i < header->n_dimensions; i++) {
		QMDI_TRY(check_name(header));
		QMDI_TRY(get_count(header, "length of a dimension", count_max(header), &header->dimensions[i]));
		n_record_dimensions += header->dimensions[i] == 0;
	}
	if (n_record_dimensions > 1)
		return fail_at(header, "expected one record dimension, found %zu", n_record_dimensions);
	return QMD_OK;
}

static qmd_status check_attributes(netcdf_header *header) {
	uint64_t n_attributes = 0, type_size = 0, n = 0;
	QMDI_TRY(get_list(header, TAG_ATTRIBUTE, MAX_ATTRIBUTES, "list of attributes", &n_attributes));
	for (uint64_t i = 0; i < n_attributes; i++) {
		QMDI_TRY(check_name(header));
		QMDI_TRY(get_type_size(header, &type_size));
		QMDI_TRY(get_count(header, "length of an attribute", header->file_size, &n));
		/* n is at most the file's size: eight times that and the padding fit. */
		QMDI_TRY(skip(header, padded(n * type_size)));
	}
	return QMD_OK;
}

static qmd_status check_variable(netcdf_header *header, data_extent *extent) {
	uint64_t rank = 0, type_size = 0, stored_size = 0, n_elements = 1;
	QMDI_TRY(check_name(header));
	QMDI_TRY(get_count(header, "rank of a variable", MAX_DIMENSIONS, &rank));
	for (uint64_t i = 0; i < rank; i++) {
		uint64_t dimension = 0;
		QMDI_TRY(get_count(header, "dimension of a variable", count_max(header), &dimension));
		if (dimension >= header->n_dimensions)
			return fail_at(header, "a variable has dimension %llu, but there are %zu", (unsigned long long)dimension,
						   header->n_dimensions);
		const uint64_t length = header->dimensions[dimension];
		if (length == 0 && i > 0)
			return fail_at(header, "the record dimension of a variable is not its first");
		if (length == 0)
			extent->is_record = 1;
		else if (__builtin_mul_overflow(n_elements, length, &n_elements))
			return fail_at(header, "a variable's size overflows");
	}
	QMDI_TRY(check_attributes(header));
	QMDI_TRY(get_type_size(header, &type_size));
	/* The stored size is redundant, and wrong in many files: NetCDF-C does not use it either. */
	QMDI_TRY(get_number(header, header->version == 5 ? 8 : 4, &stored_size));
	QMDI_TRY(get_number(header, header->version == 1 ? 4 : 8, &extent->begin));
	if (__builtin_mul_overflow(n_elements, type_size, &extent->size) || extent->size > INT64_MAX - 3)
		return fail_at(header, "a variable's size overflows");
	return QMD_OK;
}

static qmd_status check_variables(netcdf_header *header) {
	uint64_t n = 0;
	QMDI_TRY(get_list(header, TAG_VARIABLE, MAX_VARIABLES, "list of variables", &n));
	header->extents = qmdi_zeroed((size_t)n, sizeof *header->extents);
	if (!header->extents)
		return QMD_ERROR_MEMORY;
	header->n_variables = (size_t)n;
	for (size_t i = 0; i < header->n_variables; i++)
		QMDI_TRY(check_variable(header, &header->extents[i]));
	return QMD_OK;
}

/* ---- The data ---- */

/* Bytes from one record to the next. The only record variable is not padded. */
static qmd_status get_record_size(const netcdf_header *header, uint64_t *record_size) {
	size_t n_record_variables = 0;
	uint64_t unpadded = 0;
	*record_size = 0;
	for (size_t i = 0; i < header->n_variables; i++) {
		if (!header->extents[i].is_record)
			continue;
		n_record_variables++;
		unpadded = header->extents[i].size;
		if (__builtin_add_overflow(*record_size, padded(unpadded), record_size))
			return fail_at(header, "the size of a record overflows");
	}
	if (n_record_variables == 1)
		*record_size = unpadded;
	return QMD_OK;
}

/* As many records as the file has room for. */
static void count_records(netcdf_header *header, uint64_t record_size) {
	uint64_t first = header->file_size;
	for (size_t i = 0; i < header->n_variables; i++)
		if (header->extents[i].is_record && header->extents[i].begin < first)
			first = header->extents[i].begin;
	header->n_records = record_size > 0 ? (header->file_size - first) / record_size : 0;
}

static qmd_status check_extents(netcdf_header *header) {
	uint64_t record_size = 0;
	QMDI_TRY(get_record_size(header, &record_size));
	if (header->is_streaming)
		count_records(header, record_size);
	for (size_t i = 0; i < header->n_variables; i++) {
		const data_extent *extent = &header->extents[i];
		uint64_t skipped = 0, end;
		if (extent->begin < header->offset)
			return fail_at(header, "variable %zu begins at offset %llu, inside the header", i,
						   (unsigned long long)extent->begin);
		if (extent->is_record && header->n_records == 0)
			continue;
		if ((extent->is_record && __builtin_mul_overflow(header->n_records - 1, record_size, &skipped)) ||
			__builtin_add_overflow(extent->begin, extent->size, &end) || __builtin_add_overflow(end, skipped, &end))
			return fail_at(header, "the end of variable %zu overflows", i);
		if (end > header->file_size)
			return qmdi_fail(QMD_ERROR_FORMAT, "%s: truncated: expected at least %llu bytes (%llu records), found %llu",
							 header->path, (unsigned long long)end, (unsigned long long)header->n_records,
							 (unsigned long long)header->file_size);
	}
	return QMD_OK;
}

static qmd_status check_magic(netcdf_header *header) {
	unsigned char magic[4] = {0};
	static const unsigned char hdf5[4] = {0x89, 'H', 'D', 'F'};
	if (header->file_size < sizeof magic)
		return qmdi_fail(QMD_ERROR_FORMAT, "%s: not NetCDF: %llu bytes", header->path,
						 (unsigned long long)header->file_size);
	QMDI_TRY(get_bytes(header, magic, sizeof magic));
	if (memcmp(magic, hdf5, sizeof magic) == 0)
		return qmdi_fail(
			QMD_ERROR_UNSUPPORTED,
			"%s: NetCDF-4 (HDF5), expected classic NetCDF: CDF-1, CDF-2 or CDF-5 (nccopy -k cdf5 converts)",
			header->path);
	if (memcmp(magic, "CDF", 3) != 0 || (magic[3] != 1 && magic[3] != 2 && magic[3] != 5))
		return qmdi_fail(QMD_ERROR_FORMAT,
						 "%s: offset 0: not NetCDF: expected 'CDF' and 1, 2 or 5, found bytes %02x %02x %02x %02x",
						 header->path, magic[0], magic[1], magic[2], magic[3]);
	header->version = magic[3];
	return QMD_OK;
}

static qmd_status check_header(netcdf_header *header) {
	QMDI_TRY(check_magic(header));
	QMDI_TRY(get_number(header, header->version == 5 ? 8 : 4, &header->n_records));
	header->is_streaming = header->n_records == (header->version == 5 ? UINT64_MAX : UINT32_MAX);
	if (header->n_records > count_max(header) && !header->is_streaming)
		return fail_at(header, "expected a number of records, found %llu", (unsigned long long)header->n_records);
	QMDI_TRY(check_dimensions(header));
	QMDI_TRY(check_attributes(header));
	QMDI_TRY(check_variables(header));
	return check_extents(header);
}

qmd_status qmdi_netcdf_check(const char *path, uint64_t *n_records) {
	struct stat properties;
	if (stat(path, &properties) != 0)
		return qmdi_fail(QMD_ERROR_IO, "%s: cannot open: %s", path, strerror(errno));
	if (!S_ISREG(properties.st_mode)) /* opening a pipe would wait for its other end */
		return qmdi_fail(QMD_ERROR_IO, "%s: not a regular file", path);
	netcdf_header header = {.path = path, .file = fopen(path, "rb"), .file_size = (uint64_t)properties.st_size};
	if (!header.file)
		return qmdi_fail(QMD_ERROR_IO, "%s: cannot open: %s", path, strerror(errno));
	const qmd_status status = check_header(&header);
	*n_records = header.n_records;
	fclose(header.file);
	qmdi_release(header.dimensions);
	qmdi_release(header.extents);
	return status;
}
