#include "bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"

/* ---- Writing ---- */

/* Room for n more elements of `size` bytes, counted as written; NULL for none, and once anything failed. */
static unsigned char *extend(qmdi_writer *writer, size_t n, size_t size) {
	if (writer->status != QMD_OK || n == 0)
		return NULL;
	if (n > (PTRDIFF_MAX - writer->size) / size) {
		writer->status = qmdi_fail(QMD_ERROR_MEMORY, "out of memory: %zu elements of %zu bytes to write", n, size);
		return NULL;
	}
	const size_t needed = writer->size + n * size;
	if (needed > writer->capacity) {
		const size_t capacity = needed > writer->capacity * 2 ? needed : writer->capacity * 2;
		unsigned char *data = qmdi_resize(writer->data, capacity, 1);
		if (!data) {
			writer->status = QMD_ERROR_MEMORY;
			return NULL;
		}
		writer->data = data;
		writer->capacity = capacity;
	}
	unsigned char *room = writer->data + writer->size;
	writer->size = needed;
	return room;
}

static void store32(unsigned char *out, uint32_t value) {
	for (int i = 0; i < 4; i++)
		out[i] = (unsigned char)(value >> (8 * i));
}

static void store64(unsigned char *out, uint64_t value) {
	store32(out, (uint32_t)value);
	store32(out + 4, (uint32_t)(value >> 32));
}

static uint32_t bits_of_f32(float value) {
	uint32_t bits;
	memcpy(&bits, &value, sizeof bits);
	return bits;
}

void qmdi_put(qmdi_writer *writer, const void *data, size_t size) {
	unsigned char *out = extend(writer, size, 1);
	if (out)
		memcpy(out, data, size);
}

void qmdi_put_u8(qmdi_writer *writer, uint8_t value) {
	qmdi_put(writer, &value, 1);
}

void qmdi_put_u32(qmdi_writer *writer, uint32_t value) {
	unsigned char *out = extend(writer, 1, 4);
	if (out)
		store32(out, value);
}

void qmdi_put_i32(qmdi_writer *writer, int32_t value) {
	qmdi_put_u32(writer, (uint32_t)value);
}

void qmdi_put_u64(qmdi_writer *writer, uint64_t value) {
	unsigned char *out = extend(writer, 1, 8);
	if (out)
		store64(out, value);
}

void qmdi_put_f32(qmdi_writer *writer, float value) {
	qmdi_put_u32(writer, bits_of_f32(value));
}

void qmdi_put_f64(qmdi_writer *writer, double value) {
	uint64_t bits;
	memcpy(&bits, &value, sizeof bits);
	qmdi_put_u64(writer, bits);
}

void qmdi_put_f32_array(qmdi_writer *writer, const float *values, size_t n) {
	unsigned char *out = extend(writer, n, 4);
	for (size_t i = 0; out && i < n; i++)
		store32(out + 4 * i, bits_of_f32(values[i]));
}

void qmdi_put_i32_array(qmdi_writer *writer, const int32_t *values, size_t n) {
	unsigned char *out = extend(writer, n, 4);
	for (size_t i = 0; out && i < n; i++)
		store32(out + 4 * i, (uint32_t)values[i]);
}

void qmdi_put_string(qmdi_writer *writer, const char *text) {
	const size_t length = text ? strlen(text) : 0;
	if (length > UINT32_MAX && writer->status == QMD_OK)
		writer->status = qmdi_fail(QMD_ERROR_RANGE, "a text of %zu bytes is too long to be written", length);
	qmdi_put_u32(writer, (uint32_t)length);
	qmdi_put(writer, text, length);
}

void qmdi_writer_release(qmdi_writer *writer) {
	qmdi_release(writer->data);
	*writer = (qmdi_writer){0};
}

/* ---- Reading ---- */

qmd_status qmdi_reader_fail(qmdi_reader *reader, qmd_status status, const char *format, ...) {
	if (reader->status != QMD_OK)
		return reader->status;
	char text[512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	reader->status = qmdi_fail(status, "%s: offset %zu: %s", reader->name, reader->base + reader->offset, text);
	return reader->status;
}

/* 1 if n elements of `size` bytes are left; fails if not. */
static int has_left(qmdi_reader *reader, size_t n, size_t size) {
	if (reader->status != QMD_OK)
		return 0;
	const size_t left = reader->size - reader->offset;
	if (n <= left / size)
		return 1;
	qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "expected %zu elements of %zu bytes, only %zu bytes are left", n, size,
					 left);
	return 0;
}

const unsigned char *qmdi_get(qmdi_reader *reader, size_t size) {
	if (!has_left(reader, size, 1))
		return NULL;
	const unsigned char *data = reader->data + reader->offset;
	reader->offset += size;
	return data;
}

static uint32_t load32(const unsigned char *data) {
	uint32_t value = 0;
	for (int i = 0; i < 4; i++)
		value |= (uint32_t)data[i] << (8 * i);
	return value;
}

static uint64_t load64(const unsigned char *data) {
	return load32(data) | (uint64_t)load32(data + 4) << 32;
}

static float f32_of_bits(uint32_t bits) {
	float value;
	memcpy(&value, &bits, sizeof value);
	return value;
}

uint8_t qmdi_get_u8(qmdi_reader *reader) {
	const unsigned char *data = qmdi_get(reader, 1);
	return data ? *data : 0;
}

uint32_t qmdi_get_u32(qmdi_reader *reader) {
	const unsigned char *data = qmdi_get(reader, 4);
	return data ? load32(data) : 0;
}

int32_t qmdi_get_i32(qmdi_reader *reader) {
	return (int32_t)qmdi_get_u32(reader);
}

uint64_t qmdi_get_u64(qmdi_reader *reader) {
	const unsigned char *data = qmdi_get(reader, 8);
	return data ? load64(data) : 0;
}

float qmdi_get_f32(qmdi_reader *reader) {
	return f32_of_bits(qmdi_get_u32(reader));
}

double qmdi_get_f64(qmdi_reader *reader) {
	const uint64_t bits = qmdi_get_u64(reader);
	double value;
	memcpy(&value, &bits, sizeof value);
	return value;
}

/* An array for n elements of `size` bytes, whose bytes are at *data. */
static void *get_array(qmdi_reader *reader, size_t n, size_t size, const unsigned char **data) {
	if (!has_left(reader, n, size))
		return NULL;
	void *values = qmdi_array(n, size);
	if (!values) {
		reader->status = QMD_ERROR_MEMORY;
		return NULL;
	}
	*data = qmdi_get(reader, n * size);
	return values;
}

float *qmdi_get_f32_array(qmdi_reader *reader, size_t n) {
	const unsigned char *data;
	float *values = get_array(reader, n, 4, &data);
	for (size_t i = 0; values && i < n; i++)
		values[i] = f32_of_bits(load32(data + 4 * i));
	return values;
}

int32_t *qmdi_get_i32_array(qmdi_reader *reader, size_t n) {
	const unsigned char *data;
	int32_t *values = get_array(reader, n, 4, &data);
	for (size_t i = 0; values && i < n; i++)
		values[i] = (int32_t)load32(data + 4 * i);
	return values;
}

int8_t *qmdi_get_i8_array(qmdi_reader *reader, size_t n) {
	const unsigned char *data;
	int8_t *values = get_array(reader, n, 1, &data);
	if (values && n > 0)
		memcpy(values, data, n);
	return values;
}

void qmdi_get_string(qmdi_reader *reader, char *text, size_t size) {
	text[0] = '\0';
	const uint32_t length = qmdi_get_u32(reader);
	if (length >= size) {
		qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "a text of %u bytes, expected less than %zu", length, size);
		return;
	}
	const unsigned char *data = qmdi_get(reader, length);
	if (!data)
		return;
	if (memchr(data, '\0', length)) {
		qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "the text that ends here holds a NUL byte");
		return;
	}
	memcpy(text, data, length);
	text[length] = '\0';
}

qmd_status qmdi_reader_finish(qmdi_reader *reader) {
	if (reader->status == QMD_OK && reader->offset != reader->size)
		qmdi_reader_fail(reader, QMD_ERROR_FORMAT, "%zu bytes are left over", reader->size - reader->offset);
	return reader->status;
}
