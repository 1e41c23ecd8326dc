#include "npy.h"

#include <string.h>

int npy_write_header(FILE *file, size_t n, size_t side, qmd_type type) {
	enum { PREFIX = 10, ALIGNMENT = 64 };
	char text[256];
	const int length =
		snprintf(text, sizeof text, "{'descr': '|%s1', 'fortran_order': False, 'shape': (%zu, %zu, %zu, 3), }",
				 type == QMD_S8 ? "i" : "u", n, side, side);
	/* Blanks and a newline fill the header up to a multiple of 64 bytes. */
	const size_t total = ((size_t)length + 1 + PREFIX + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	const size_t size = total - PREFIX;
	memset(text + length, ' ', size - (size_t)length);
	text[size - 1] = '\n';
	const unsigned char prefix[PREFIX] = {
		0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(size & 0xff), (unsigned char)(size >> 8)};
	if (fwrite(prefix, 1, PREFIX, file) != PREFIX || fwrite(text, 1, size, file) != size)
		return -1;
	return 0;
}
