#include <png.h>

#include "base/file.h"
#include "base/memory.h"
#include "pixels_internal.h"

static qmd_status write_png(const unsigned char *rgb, size_t side, const char *path) {
	png_image header = {.version = PNG_IMAGE_VERSION,
						.width = (png_uint_32)side,
						.height = (png_uint_32)side,
						.format = PNG_FORMAT_RGB};
	png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
	unsigned char *png = qmdi_array(size, 1);
	if (!png)
		return QMD_ERROR_MEMORY;
	qmdi_new_file file;
	qmd_status status = QMD_OK;
	if (!png_image_write_to_memory(&header, png, &size, 0, rgb, 0, NULL))
		status = qmdi_fail(QMD_ERROR_INTERNAL, "%s: libpng: %s", path, header.message);
	if (status == QMD_OK)
		status = qmdi_new_file_begin(path, &file);
	if (status == QMD_OK)
		status = qmdi_new_file_finish(&file, qmdi_new_file_write(&file, png, size));
	png_image_free(&header);
	qmdi_release(png);
	return status;
}

qmd_status qmd_pixels_write_png(const qmd_pixels *pixels, const void *image, const char *path) {
	QMDI_REQUIRE(pixels);
	QMDI_REQUIRE(image);
	QMDI_REQUIRE(path);
	const size_t size = pixels->side * pixels->side * QMDI_PIXEL_CHANNELS;
	unsigned char *rgb = qmdi_array(size, 1);
	if (!rgb)
		return QMD_ERROR_MEMORY;
	const unsigned char offset = pixels->kind == QMD_PIXELS_DISPLACEMENT ? 128 : 0;
	for (size_t i = 0; i < size; i++)
		rgb[i] = (unsigned char)(((const unsigned char *)image)[i] + offset);
	const qmd_status status = write_png(rgb, pixels->side, path);
	qmdi_release(rgb);
	return status;
}
