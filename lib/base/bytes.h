/* Little-endian encoding into a growing buffer, and decoding that never reads past the end. */
#ifndef QMD_LIB_BYTES_H
#define QMD_LIB_BYTES_H

#include "error.h"

/* Bytes to be written. Start from {0}. The first failure sticks, so that a row of puts is checked once. */
typedef struct qmdi_writer {
	unsigned char *data;
	size_t size, capacity;
	qmd_status status;
} qmdi_writer;

void qmdi_put(qmdi_writer *writer, const void *data, size_t size);
void qmdi_put_u8(qmdi_writer *writer, uint8_t value);
void qmdi_put_u32(qmdi_writer *writer, uint32_t value);
void qmdi_put_i32(qmdi_writer *writer, int32_t value);
void qmdi_put_u64(qmdi_writer *writer, uint64_t value);
void qmdi_put_f32(qmdi_writer *writer, float value);
void qmdi_put_f64(qmdi_writer *writer, double value);
void qmdi_put_f32_array(qmdi_writer *writer, const float *values, size_t n);
void qmdi_put_i32_array(qmdi_writer *writer, const int32_t *values, size_t n);
void qmdi_put_string(qmdi_writer *writer, const char *text); /* u32 length, bytes; NULL as "" */
void qmdi_writer_release(qmdi_writer *writer);

/* Bytes to be read. `name` (file and section) and offsets go into messages. The first failure sticks; after it gets
 * return 0. */
typedef struct qmdi_reader {
	const unsigned char *data;
	size_t size, offset;
	size_t base; /* offset of data[0] in the file */
	const char *name;
	qmd_status status;
} qmdi_reader;

const unsigned char *qmdi_get(qmdi_reader *reader, size_t size); /* NULL past the end */
uint8_t qmdi_get_u8(qmdi_reader *reader);
uint32_t qmdi_get_u32(qmdi_reader *reader);
int32_t qmdi_get_i32(qmdi_reader *reader);
uint64_t qmdi_get_u64(qmdi_reader *reader);
float qmdi_get_f32(qmdi_reader *reader);
double qmdi_get_f64(qmdi_reader *reader);

/* New arrays of n elements, their bytes checked against what is left before anything is allocated. NULL on failure. */
float *qmdi_get_f32_array(qmdi_reader *reader, size_t n);
int32_t *qmdi_get_i32_array(qmdi_reader *reader, size_t n);
int8_t *qmdi_get_i8_array(qmdi_reader *reader, size_t n);

/* A text of less than `size` bytes, into `text`. */
void qmdi_get_string(qmdi_reader *reader, char *text, size_t size);

/* Fail at the reader's offset: "name: offset 123: " is put before the text. Returns the sticking status. */
__attribute__((format(printf, 3, 4))) qmd_status qmdi_reader_fail(qmdi_reader *reader, qmd_status status,
																  const char *format, ...);

/* QMD_OK if nothing failed and every byte was read. */
qmd_status qmdi_reader_finish(qmdi_reader *reader);

#endif
