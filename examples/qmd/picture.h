/* PNG of several images side by side, enlarged. */
#ifndef QMD_PICTURE_H
#define QMD_PICTURE_H

#include "program.h"

/* Images [n][side][side][3] of QMD_S8 (shown as q + 128) or QMD_U8, each pixel as a square of `zoom` pixels, on white.
 */
int picture_write(const char *path, const unsigned char *images, size_t n, size_t side, qmd_type type, size_t zoom);

#endif
