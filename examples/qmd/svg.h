/* The residue profile as a figure: a bar with its standard error for each residue, the first ten named. */
#ifndef QMD_SVG_H
#define QMD_SVG_H

#include <stdio.h>

#include "residues.h"

/* Within a page, or (is_file) as a file of its own. */
void svg_draw_profile(FILE *out, const profile_residue *residues, size_t n, const char *title, int is_file);

int svg_write_profile(const char *path, const profile_residue *residues, size_t n, const char *title);

#endif
