/* NumPy's .npy files, format 1.0, of bytes. */
#ifndef QMD_NPY_H
#define QMD_NPY_H

#include <stdio.h>

#include "program.h"

/* Write the header of an array [n][side][side][3] of QMD_S8 or QMD_U8; its bytes follow by fwrite(). Returns 0, or -1
 * if the file cannot be written. */
int npy_write_header(FILE *file, size_t n, size_t side, qmd_type type);

#endif
