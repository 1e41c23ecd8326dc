/* PNG of several images side by side, enlarged. */
#ifndef QMD_PICTURE_H
#define QMD_PICTURE_H

#include "program.h"

/*
 * A PNG in malloc'd memory (to be freed on failure too): images [n][side][side][3] of QMD_S8 (shown as q + 128) or
 * QMD_U8, each pixel as a square of `zoom` pixels, with `gap` white pixels around each.
 */
int picture_encode(const unsigned char *images, size_t n, size_t side, qmd_type type, size_t zoom, size_t gap,
				   unsigned char **file, size_t *size);

/* The same to a file, with a margin. */
int picture_write(const char *path, const unsigned char *images, size_t n, size_t side, qmd_type type, size_t zoom);

#endif
