#include "picture.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

#define GAP 16 /* white pixels around and between images */

static void paint(unsigned char *canvas, size_t width, size_t left, const unsigned char *image, size_t side,
				  qmd_type type, size_t zoom) {
	const unsigned char shift = type == QMD_S8 ? 128 : 0;
	for (size_t y = 0; y < side * zoom; y++)
		for (size_t x = 0; x < side * zoom; x++)
			for (size_t k = 0; k < 3; k++)
				canvas[(y * width + left + x) * 3 + k] =
					(unsigned char)(image[((y / zoom) * side + x / zoom) * 3 + k] + shift);
}

int picture_encode(const unsigned char *images, size_t n, size_t side, qmd_type type, size_t zoom, size_t gap,
				   unsigned char **file, size_t *size) {
	const size_t tile = side * zoom + gap, width = n * tile + gap, height = tile + gap;
	unsigned char *canvas = malloc(width * height * 3);
	if (!canvas)
		return fail_memory();
	memset(canvas, 255, width * height * 3);
	for (size_t i = 0; i < n; i++)
		paint(canvas + gap * width * 3, width, gap + i * tile, images + i * side * side * 3, side, type, zoom);
	png_image png;
	memset(&png, 0, sizeof png);
	png.version = PNG_IMAGE_VERSION;
	png.width = (png_uint_32)width;
	png.height = (png_uint_32)height;
	png.format = PNG_FORMAT_RGB;
	png_alloc_size_t n_bytes = 0;
	*file = NULL;
	int is_made = png_image_write_to_memory(&png, NULL, &n_bytes, 0, canvas, 0, NULL); /* asks for the size */
	if (is_made && (*file = malloc(n_bytes)) != NULL)
		is_made = png_image_write_to_memory(&png, *file, &n_bytes, 0, canvas, 0, NULL);
	free(canvas);
	*size = n_bytes;
	if (!is_made)
		return fail("a PNG cannot be made: %s", png.message);
	return *file ? PROGRAM_OK : fail_memory();
}

int picture_write(const char *path, const unsigned char *images, size_t n, size_t side, qmd_type type, size_t zoom) {
	unsigned char *file = NULL;
	size_t size = 0;
	int code = picture_encode(images, n, side, type, zoom, GAP, &file, &size);
	if (code == PROGRAM_OK)
		code = files_write(path, file, size);
	free(file);
	return code;
}
